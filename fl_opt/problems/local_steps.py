r"""How many local steps between two aggregations, when both take of a budget.

    minimise    G(tau) = [1 + sqrt(1 + 4 T^2 phi rho eta h(tau)/tau)]/(2 eta phi T) + rho h(tau)
    with        h(tau) = (delta/beta) ((1 + eta beta)^tau - 1) - eta delta tau
                T(tau) = min_m (R_m - c_m - b_m) tau/(c_m tau + b_m)
    subject to  1 <= tau <= tau_max, whole                             "steps_min", "steps_max"

    tau    local steps per round [-]                    eta    step size [-]
    T      local steps in all that the budgets pay [-]  phi    control parameter [-]
    R_m    budget of resource m (its own unit)          rho    Lipschitz constant of the losses
    c_m    what a local step takes of it                beta   smoothness of the losses
    b_m    what an aggregation takes of it              delta  divergence of the gradients

h bounds how far local steps drift apart, and is zero at tau = 1, for delta = 0 and for beta = 0.
Few steps a round waste the budget on aggregation, many drift. G bounds the loss that is left, for
convex losses and eta beta <= 1; it need not be unimodal, so all tau are evaluated at once.

In floats: with x = eta beta, h = (delta/beta) sum_{j >= 2} binomial(tau, j) x^j, whose terms are
positive; the series is summed where tau x is small, expm1(tau log1p(x)) - tau x is taken elsewhere.
The first fraction is 1/(2 eta phi T) + sqrt(1/(2 eta phi T)^2 + rho h/(eta phi tau)).

Proof: "enumeration", with rounding of each value taken off.

Source: Wang, Tuor, Salonidis, Leung, Makaya, He, Chan, Adaptive federated learning in resource
constrained edge computing systems, IEEE JSAC 2019, arXiv 1804.05271.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.allocation import Allocation, use
from fl_opt.certificate import Excess
from fl_opt.checks import number, vector
from fl_opt.errors import Infeasible, InvalidInput
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems._estimates import Constants as Constants
from fl_opt.problems._estimates import estimate as estimate
from fl_opt.problems.drift import drift
from fl_opt.problems.workload_sharing import TaskShares
from fl_opt.structure import Optimum
from fl_opt.units import Floats

if TYPE_CHECKING:
    import pandas

_MOST = 1_000_000


@dataclass(frozen=True)
class StepCount:
    """What `LocalSteps` decides: `steps` of every device, whole, >= 1.

    `nominal_steps` says how it becomes a round, see `to_round`.
    """

    steps: int
    nominal_steps: int = 1

    def __post_init__(self) -> None:
        for name in ("steps", "nominal_steps"):
            object.__setattr__(self, name, _count(name, getattr(self, name)))

    def to_round(self, network: Network) -> Allocation:
        """All devices train these steps at full power, B/K of the band and the fastest clock.

        `network.cycles` is the work of `nominal_steps` steps.
        """
        everyone = np.full(network.size, self.steps)
        return TaskShares(everyone, nominal_steps=self.nominal_steps).to_round(network)

    def to_frame(self) -> pandas.DataFrame:
        """One row."""
        import pandas

        return pandas.DataFrame({"steps": [self.steps]})


@dataclass(frozen=True, eq=False, init=False)
class LocalSteps:
    """Choose the local steps per round that leave the least loss when the budgets are spent.

    Parameters
    ----------
    budget, step_cost, round_cost
        Budgets R, and what a local step (c) and an aggregation (b) take of them: seconds, joules,
        money, scalars or (M,) for M resources, each in its own unit.
    rate
        Step size eta > 0 of the local descent [-].
    rho, beta, delta
        Lipschitz constant and smoothness of the losses, divergence of the devices' gradients from
        the mean gradient, >= 0; see ``estimate``.
    phi
        Control parameter > 0; 0.025 in the source.
    steps_max
        Most steps tau_max to consider, at most 1,000,000.
    nominal_steps
        Handed to the decision, see ``StepCount.to_round``.

    The cost is the bound G on the loss. Of equally good numbers the largest is taken, as for
    delta = 0. Raises ``InvalidInput`` for values out of range; ``Infeasible`` where a budget does
    not pay for more than one step and one aggregation.
    """

    budget: Floats
    step_cost: Floats
    round_cost: Floats
    rate: float
    rho: float
    beta: float
    delta: float
    phi: float
    steps_max: int
    nominal_steps: int

    def __init__(
        self,
        budget: ArrayLike,
        step_cost: ArrayLike,
        round_cost: ArrayLike,
        rate: float,
        rho: float,
        beta: float,
        delta: float,
        phi: float = 0.025,
        steps_max: int = 100,
        nominal_steps: int = 1,
    ) -> None:
        size = max(np.size(budget), np.size(step_cost), np.size(round_cost))
        put = object.__setattr__
        put(self, "budget", vector("budget", budget, size))
        put(self, "step_cost", vector("step_cost", step_cost, size))
        put(self, "round_cost", vector("round_cost", round_cost, size))
        put(self, "rate", number("rate", rate, open_low=True))
        put(self, "phi", number("phi", phi, open_low=True))
        for name, value in (("rho", rho), ("beta", beta), ("delta", delta)):
            put(self, name, number(name, value))
        put(self, "steps_max", _count("steps_max", steps_max, _MOST))
        put(self, "nominal_steps", _count("nominal_steps", nominal_steps))

    @classmethod
    def from_network(
        cls,
        network: Network,
        budget_s: float,
        rate: float,
        constants: Constants,
        nominal_steps: int = 1,
        phi: float = 0.025,
        steps_max: int = 100,
    ) -> LocalSteps:
        """A budget of time, with steps and uploads as long as those of the slowest device.

        Times are those of ``StepCount.to_round`` at `nominal_steps`, over devices that can take
        part. The model's broadcast does not count.
        """
        allocation = StepCount(nominal_steps, nominal_steps).to_round(network)
        used = use(network, allocation)
        return cls(
            budget_s,
            float(used.training_s.max()) / nominal_steps,
            float(used.airtime_s.max()),
            rate,
            constants.rho,
            constants.beta,
            constants.delta,
            phi,
            steps_max,
            nominal_steps,
        )

    def drift(self, steps: ArrayLike) -> Floats:
        """h(tau), how far local steps drift apart; infinite beyond what doubles hold."""
        return drift(steps, self.rate, self.beta, self.delta)

    def paid_steps(self, steps: ArrayLike) -> Floats:
        """T(tau), local steps in all that the budgets pay."""
        tau = np.asarray(steps, dtype=float)[..., None]
        spare = np.maximum(self.budget - self.step_cost - self.round_cost, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            paid = spare / (self.step_cost + self.round_cost / tau)
        return np.asarray(paid.min(axis=-1))

    def loss(self, steps: ArrayLike) -> Floats:
        """G(tau), the bound on the loss that is left."""
        tau = np.asarray(steps, dtype=float)
        h = self.drift(tau) if self.rho > 0.0 else np.zeros(tau.shape)
        with np.errstate(divide="ignore", over="ignore"):
            half = 0.5 / (self.rate * self.phi * self.paid_steps(tau))
            root = np.sqrt(half * half + self.rho * h / (self.rate * self.phi * tau))
            return np.asarray(half + root + self.rho * h)

    def cost(self, decision: StepCount) -> float:
        """The bound on the loss."""
        return float(self.loss(decision.steps))

    def excess(self, decision: StepCount) -> dict[str, Excess]:
        """The range of the steps."""
        return {
            "steps_min": Excess(-decision.steps, -1.0, ""),
            "steps_max": Excess(decision.steps, self.steps_max, ""),
        }

    def _check(self) -> None:
        once = self.step_cost + self.round_cost
        poor = np.flatnonzero(self.budget <= once)
        if not poor.size:
            return
        m = int(poor[0])
        cure = float(np.nextafter(once[m], np.inf)) if poor.size == 1 else None
        name = f"budget[{m}]" if self.budget.size > 1 else "budget"
        raise Infeasible(
            f"{name} = {self.budget[m]:g} does not pay for more than one local step "
            f"({self.step_cost[m]:g}) and one aggregation ({self.round_cost[m]:g})",
            constraint="budget",
            relaxations={name: cure},
        )

    def _low(self, steps: ArrayLike) -> Floats:
        """G(tau) less what rounding may have put into it."""
        # a power of 1 + x carries the rounding of its logarithm
        grown = np.minimum(np.asarray(steps) * math.log1p(self.rate * self.beta), 750.0)
        return np.asarray(self.loss(steps) * (1.0 - (64.0 + 8.0 * grown) * EPS))

    # structure: ClosedForm

    def optimum(self) -> Optimum[StepCount]:
        """The best of all numbers of steps, evaluated together."""
        self._check()
        every = np.arange(1, self.steps_max + 1)
        loss = self.loss(every)
        steps = self.steps_max - int(np.argmin(loss[::-1]))
        decision = StepCount(steps, self.nominal_steps)
        return Optimum(decision, float(self._low(every).min()), proof="enumeration")

    # structure: Enumerable

    def candidates(self) -> Iterator[tuple[StepCount, float]]:
        """Every number of steps, one by one."""
        self._check()
        for steps in range(1, self.steps_max + 1):
            decision = StepCount(steps, self.nominal_steps)
            yield decision, float(self._low(steps))


def _count(where: str, value: float, most: float = math.inf) -> int:
    whole = number(where, value, low=1.0, high=most)
    if whole != int(whole):
        raise InvalidInput(where, f"{whole:g}", "a whole number")
    return int(whole)
