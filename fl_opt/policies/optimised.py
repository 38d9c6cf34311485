"""Any problem, solved anew in every round, as a policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.certificate import Problem, Solution
from fl_opt.errors import Infeasible, InvalidInput, SolverFailure, device_list
from fl_opt.policies.seats import Order
from fl_opt.policy import Policy, Round
from fl_opt.solving import Solver, solve
from fl_opt.units import Floats


@dataclass(frozen=True, eq=False)
class Plan:
    """Memory of `Optimised`.

    Attributes
    ----------
    solution
        This round's answer with its certificate and prices; None where there was none.
    note
        What went otherwise than asked, for people; "" where nothing did.
    warm
        The last answer there was, to start the next search from.
    among, fallback
        Memories of the policies of the same names.
    """

    solution: Solution[Any] | None = None
    note: str = ""
    warm: Solution[Any] | None = None
    among: Any = None
    fallback: Any = None


@dataclass(frozen=True, eq=False)
class Optimised:
    """State a problem on every round's network, solve it, do what it says.

    Parameters
    ----------
    formulate
        ``formulate(network, **signals) -> Problem``, such as
        ``functools.partial(MinEnergy, deadline_s=2.0)``. Its decision is an ``Allocation`` or has
        ``to_round(network)``.
    solver
        As in ``fl_opt.solve``.
    signals
        Which signal of the training method goes into which argument of `formulate`:
        ``{"utility": "age"}``. They become `needs`. What a method does not know yet is NaN, which
        problems refuse: then let `formulate` be a function that says what the unknown counts.
    among
        A policy that chooses who takes part; the problem is then stated for those devices alone.
        For problems that serve everybody, such as ``MinEnergy``, which are infeasible as soon as
        one device is out of reach.
    fallback
        A policy for rounds in which the problem is infeasible or the solver fails. None: nobody
        takes part in them.
    time_limit_s
        Wall-clock limit of each solve [s].

    Such a round is noted in the memory, with the reason. So is a decision that violates
    the problem's own constraints; it is used as it is, and the simulator measures what it does.

    >>> import functools, fl_opt
    >>> policy = fl_opt.Optimised(functools.partial(fl_opt.MaxParticipation, deadline_s=2.0))
    """

    formulate: Callable[..., Problem[Any]]
    solver: str | Solver = "auto"
    signals: Mapping[str, str] = field(default_factory=dict)
    among: Policy | None = None
    fallback: Policy | None = None
    time_limit_s: float | None = None

    def __post_init__(self) -> None:
        if not callable(self.formulate):
            raise InvalidInput(
                "Optimised.formulate",
                repr(self.formulate),
                "a function from a network to a problem",
                "give the class or functools.partial(Class, deadline_s=...), not an instance",
            )

    @property
    def needs(self) -> tuple[str, ...]:
        """Signals that the problem and the helping policies read."""
        helpers = [getattr(policy, "needs", ()) for policy in (self.among, self.fallback)]
        return tuple(dict.fromkeys([*self.signals.values(), *helpers[0], *helpers[1]]))

    def start(self, size: int, rng: np.random.Generator) -> Plan:
        """No answer yet."""
        among, fallback = (
            None if policy is None else policy.start(size, rng)
            for policy in (self.among, self.fallback)
        )
        return Plan(among=among, fallback=fallback)

    def decide(self, round: Round, memory: Plan) -> tuple[Allocation, Plan]:
        """Solve this round's problem, starting from the last answer."""
        network, among = round.network, memory.among
        chosen = np.arange(network.size)
        if self.among is not None:
            choice, among = self.among.decide(round, among)
            chosen = np.flatnonzero(choice.selected)
        plan = dataclasses.replace(memory, solution=None, note="", among=among)
        if not chosen.size:
            return Allocation.none(network.size), plan
        part = network if self.among is None else network[chosen]
        given = {name: round.signals[signal][chosen] for name, signal in self.signals.items()}
        problem: Problem[Any] | None = None
        try:
            problem = self.formulate(part, **given)
            solution = solve(
                problem,
                self.solver,
                time_limit_s=self.time_limit_s,
                # an answer about other devices is no start
                start=memory.warm if self.among is None else None,
            )
        except Infeasible as answer:
            # its cures take long to compute and are of no use to a round
            where = f" among {device_list(chosen)}, in their order" if self.among else ""
            note = f"infeasible{where}: {answer.reason}"
            return self._without(round, plan, note, problem)
        except SolverFailure as failure:
            return self._without(round, plan, str(failure), problem)
        broken = "; ".join(str(violation) for violation in solution.certificate.violation.values())
        allocation = solution.allocation.to_round(part)
        if self.among is not None:
            allocation = _widen(allocation, chosen, network.size)
            prices = {name: _among(p, chosen, network.size) for name, p in solution.prices.items()}
            solution = dataclasses.replace(solution, allocation=allocation, prices=prices)
        plan = dataclasses.replace(
            plan, solution=solution, warm=solution, note=broken and f"violated {broken}"
        )
        return allocation, plan

    def _without(
        self, round: Round, plan: Plan, note: str, problem: Problem[Any] | None
    ) -> tuple[Allocation, Plan]:
        """What happens in a round whose problem has no answer."""
        plan = dataclasses.replace(plan, note=note)
        if self.fallback is None:
            # the server finds nobody only at the deadline that it set
            deadline_s = float(np.max(getattr(problem, "deadline_s", np.inf)))
            return Allocation.none(round.network.size, deadline_s), plan
        allocation, memory = self.fallback.decide(round, plan.fallback)
        return allocation, dataclasses.replace(plan, fallback=memory)


def _widen(part: Allocation, chosen: Order, size: int) -> Allocation:
    """The decision for some devices as one for all `size`; the others do not take part."""
    wide: dict[str, Any] = {}
    for item in dataclasses.fields(part):
        value = getattr(part, item.name)
        if isinstance(value, np.ndarray):
            wide[item.name] = np.zeros(size, dtype=value.dtype)
            wide[item.name][chosen] = value
    return part.replace(**wide)


def _among(price: float | Floats | None, chosen: Order, size: int) -> float | Floats | None:
    """A price per chosen device as one per device; NaN where the problem did not ask."""
    if not isinstance(price, np.ndarray):
        return price
    wide = np.full(size, np.nan)
    wide[chosen] = price
    return wide
