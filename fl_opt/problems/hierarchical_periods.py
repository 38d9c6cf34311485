r"""How often edges aggregate, and how often the cloud does, when both take of budgets.

    minimise    1/(2 eta phi T) + sqrt(1/(2 eta phi T)^2 + rho D/(eta phi tau_1 tau_2)) + rho D
    with        T = min_m (R_m - c_m - e_m - d_m)/(c_m + e_m/tau_1 + d_m/(tau_1 tau_2))
                D = h(tau_1 tau_2, Delta) + (1 + tau_1 (tau_2^2 + tau_2 - 2)/2) h(tau_1, delta)
    subject to  1 <= tau_1 <= a, 1 <= tau_2 <= b, whole         "local_steps", "edge_rounds"

    tau_1  local steps between edge aggregations    tau_2  edge aggregations between those of the
    T      local steps in all that budgets pay             cloud
    R_m    budget of resource m (its own unit)      c_m    what a local step takes of it
    e_m    what an edge aggregation takes of it     d_m    what a cloud aggregation takes besides
    eta    step size [-]                            phi    control parameter [-]
    rho    Lipschitz constant of the losses         beta   smoothness of the losses, in h
    delta  divergence of a device's gradient from   Delta  divergence of an edge's gradient from
           its edge's                                      that of all data

A cloud aggregation is dear and an edge aggregation cheap, so edges may aggregate often. D bounds
how far the model has drifted by the next cloud aggregation, h is that of `LocalSteps`; with
tau_2 = 1 this is `LocalSteps` with the divergence Delta + delta.

T and D grow with both periods. So on a box of periods the cost is at least that of T and
tau_1 tau_2 at its upper corner and D at its lower one. The search halves boxes and drops those that
cannot be better than the best pair by a part of 1e-12, down to single pairs.

Proof: "enumeration", of boxes by their bounds and of pairs, with rounding taken off.

Sources: Liu, Zhang, Song, Letaief, arXiv 1905.06641 (the scheme, and D for convex losses); Wang et
al., IEEE JSAC 2019, arXiv 1804.05271 (the loss in T and D). Their combination is ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.allocation import Allocation, use
from fl_opt.certificate import Excess
from fl_opt.checks import number, vector
from fl_opt.errors import Infeasible, InvalidInput
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems.drift import drift
from fl_opt.problems.local_steps import Constants, StepCount
from fl_opt.structure import Optimum
from fl_opt.units import Floats

if TYPE_CHECKING:
    import pandas

_MOST = 1_000_000
_ENUMERABLE = 250_000
_CLOSE = 1e-12
"""Boxes that may be better by less than this part are dropped, and lower the bound."""


@dataclass(frozen=True)
class Periods:
    """Local steps between edge aggregations, and edge aggregations between those of the cloud.

    `nominal_steps` says how it becomes a round, see ``StepCount``.
    """

    local_steps: int
    edge_rounds: int
    nominal_steps: int = 1

    def __post_init__(self) -> None:
        for name in ("local_steps", "edge_rounds", "nominal_steps"):
            object.__setattr__(self, name, _whole(name, getattr(self, name), math.inf))

    def to_round(self, network: Network) -> Allocation:
        """One round of an edge: see ``StepCount.to_round``."""
        return StepCount(self.local_steps, self.nominal_steps).to_round(network)

    def to_frame(self) -> pandas.DataFrame:
        """One row."""
        import pandas

        row = {"local_steps": self.local_steps, "edge_rounds": self.edge_rounds}
        return pandas.DataFrame([row])


@dataclass(frozen=True, eq=False, init=False)
class HierarchicalPeriods:
    """Choose the periods of edge and cloud aggregation that leave the least loss for the budgets.

    Parameters
    ----------
    budget, step_cost, edge_cost, cloud_cost
        Budgets R, and what a local step (c), an edge aggregation (e) and a cloud aggregation (d)
        take of them: seconds, joules, money, scalars or (M,), each in its own unit.
    rate
        Step size eta > 0 of the local descent [-].
    rho, beta
        Lipschitz constant and smoothness of the losses, >= 0.
    delta
        Divergence of the devices' gradients from that of their edge, >= 0.
    edge_delta
        Divergence Delta of the edges' gradients from the mean gradient, >= 0.
    phi
        Control parameter > 0; 0.025 in the source.
    local_max, edge_max
        Largest periods to consider, at most 1,000,000 each.
    nominal_steps
        Handed to the decision, see ``StepCount``.

    The cost is a bound on the loss that is left. Raises ``InvalidInput`` for values out of range,
    ``Infeasible`` where a budget does not pay for more than one step and one aggregation of each.
    """

    budget: Floats
    step_cost: Floats
    edge_cost: Floats
    cloud_cost: Floats
    rate: float
    rho: float
    beta: float
    delta: float
    edge_delta: float
    phi: float
    local_max: int
    edge_max: int
    nominal_steps: int

    def __init__(
        self,
        budget: ArrayLike,
        step_cost: ArrayLike,
        edge_cost: ArrayLike,
        cloud_cost: ArrayLike,
        *,
        rate: float,
        rho: float,
        beta: float,
        delta: float,
        edge_delta: float,
        phi: float = 0.025,
        local_max: int = 100,
        edge_max: int = 100,
        nominal_steps: int = 1,
    ) -> None:
        size = max(np.size(value) for value in (budget, step_cost, edge_cost, cloud_cost))
        put = object.__setattr__
        put(self, "budget", vector("budget", budget, size))
        put(self, "step_cost", vector("step_cost", step_cost, size))
        put(self, "edge_cost", vector("edge_cost", edge_cost, size))
        put(self, "cloud_cost", vector("cloud_cost", cloud_cost, size))
        put(self, "rate", number("rate", rate, open_low=True))
        put(self, "phi", number("phi", phi, open_low=True))
        constants = {"rho": rho, "beta": beta, "delta": delta, "edge_delta": edge_delta}
        for name, value in constants.items():
            put(self, name, number(name, value))
        put(self, "local_max", _whole("local_max", local_max, _MOST))
        put(self, "edge_max", _whole("edge_max", edge_max, _MOST))
        put(self, "nominal_steps", _whole("nominal_steps", nominal_steps, math.inf))

    @classmethod
    def from_network(
        cls,
        network: Network,
        constants: Constants,
        *,
        budget_s: float,
        budget_j: float,
        cloud_s: float,
        rate: float,
        edge_delta: float,
        nominal_steps: int = 1,
        local_max: int = 100,
        edge_max: int = 100,
    ) -> HierarchicalPeriods:
        """Budgets of time and of each device's energy, for the devices of one edge.

        A local step and an upload take as long as those of the slowest device and as much energy
        as those of the greediest, by ``StepCount.to_round``; the cloud takes `cloud_s` more, and no
        energy of the devices.
        """
        allocation = StepCount(nominal_steps, nominal_steps).to_round(network)
        used = use(network, allocation)
        upload_j = allocation.power_w * used.airtime_s
        training_j = np.maximum(used.energy_j - upload_j, 0.0)
        return cls(
            [budget_s, budget_j],
            np.array([used.training_s.max(), training_j.max()]) / nominal_steps,
            [float(used.airtime_s.max()), float(upload_j.max())],
            [cloud_s, 0.0],
            rate=rate,
            rho=constants.rho,
            beta=constants.beta,
            delta=constants.delta,
            edge_delta=edge_delta,
            local_max=local_max,
            edge_max=edge_max,
            nominal_steps=nominal_steps,
        )

    def paid_steps(self, local_steps: ArrayLike, edge_rounds: ArrayLike) -> Floats:
        """T, local steps in all that the budgets pay."""
        one = np.asarray(local_steps, dtype=float)[..., None]
        two = np.asarray(edge_rounds, dtype=float)[..., None]
        spare = self.budget - self.step_cost - self.edge_cost - self.cloud_cost
        with np.errstate(divide="ignore", invalid="ignore"):
            each = self.step_cost + (self.edge_cost + self.cloud_cost / two) / one
            paid = np.maximum(spare, 0.0) / each
        return np.asarray(paid.min(axis=-1))

    def divergence(self, local_steps: ArrayLike, edge_rounds: ArrayLike) -> Floats:
        """D, how far the model drifts between two cloud aggregations; infinite beyond doubles."""
        one = np.asarray(local_steps, dtype=float)
        two = np.asarray(edge_rounds, dtype=float)
        within = drift(one, self.rate, self.beta, self.delta)
        apart = drift(one * two, self.rate, self.beta, self.edge_delta)
        with np.errstate(over="ignore"):
            return np.asarray(apart + (1.0 + 0.5 * one * (two - 1.0) * (two + 2.0)) * within)

    def _loss(self, drifted: Floats, paid: Floats, steps: Floats) -> Floats:
        with np.errstate(divide="ignore", over="ignore"):
            half = 0.5 / (self.rate * self.phi * paid)
            far = self.rho * drifted if self.rho > 0.0 else np.zeros(drifted.shape)
            root = np.sqrt(half * half + far / (self.rate * self.phi * steps))
            return np.asarray(half + root + far)

    def loss(self, local_steps: ArrayLike, edge_rounds: ArrayLike) -> Floats:
        """The bound on the loss that is left."""
        one, two = np.broadcast_arrays(
            np.asarray(local_steps, dtype=float), np.asarray(edge_rounds, dtype=float)
        )
        return self._loss(self.divergence(one, two), self.paid_steps(one, two), one * two)

    def cost(self, decision: Periods) -> float:
        """The bound on the loss that is left."""
        return float(self.loss(decision.local_steps, decision.edge_rounds))

    def excess(self, decision: Periods) -> dict[str, Excess]:
        """The ranges of the periods."""
        return {
            "local_steps": Excess(decision.local_steps, self.local_max, ""),
            "edge_rounds": Excess(decision.edge_rounds, self.edge_max, ""),
        }

    def _check(self) -> None:
        once = self.step_cost + self.edge_cost + self.cloud_cost
        poor = np.flatnonzero(self.budget - self.step_cost - self.edge_cost <= self.cloud_cost)
        if not poor.size:
            return
        m = int(poor[0])
        cure = float(once[m] * (1.0 + 8.0 * EPS)) + np.finfo(float).tiny
        name = f"budget[{m}]" if self.budget.size > 1 else "budget"
        raise Infeasible(
            f"{name} = {self.budget[m]:g} does not pay for more than one local step, one edge and "
            f"one cloud aggregation ({once[m]:g} together)",
            constraint="budget",
            relaxations={name: cure if poor.size == 1 else None},
        )

    def _sure(self, steps: Floats) -> Floats:
        """How much of a computed loss is certain; a power of 1 + x rounds as its logarithm does."""
        grown = np.minimum(steps * math.log1p(self.rate * self.beta), 750.0)
        return np.asarray(1.0 - (96.0 + 8.0 * grown) * EPS)

    # structure: ClosedForm

    def optimum(self) -> Optimum[Periods]:
        """Halve boxes of periods, and drop those that cannot hold the optimum."""
        self._check()
        low = np.array([[1, 1]])
        high = np.array([[self.local_max, self.edge_max]])
        best, proven = (math.inf, 0, 0), math.inf
        while (low < high).any():
            best = min(best, self._tried(low), self._tried(high))
            low, high = _halved(low, high)
            steps = np.prod(high, axis=1, dtype=float)
            paid = self.paid_steps(high[:, 0], high[:, 1])
            bound = self._loss(self.divergence(low[:, 0], low[:, 1]), paid, steps)
            bound = bound * self._sure(steps)
            kept = bound < best[0] * (1.0 - _CLOSE)
            proven = min(proven, float(bound.min(where=~kept, initial=math.inf)))
            low, high = low[kept], high[kept]
        if low.size:
            best = min(best, self._tried(low))
            sure = self._sure(np.prod(low, axis=1, dtype=float))
            proven = min(proven, float((self.loss(low[:, 0], low[:, 1]) * sure).min()))
        decision = Periods(-best[1], -best[2], self.nominal_steps)
        return Optimum(decision, proven, proof="enumeration")

    def _tried(self, pairs: NDArray[np.int_]) -> tuple[float, int, int]:
        """Least loss among pairs, and the pair, negated: of equals the largest comes first."""
        loss = self.loss(pairs[:, 0], pairs[:, 1])
        of_least = pairs[loss == loss.min()]
        one, two = max((int(one), int(two)) for one, two in of_least)
        return float(loss.min()), -one, -two

    # structure: Enumerable

    def candidates(self) -> Iterator[tuple[Periods, float]]:
        """Every pair, one by one. Raises ``InvalidInput`` for more than 250,000."""
        self._check()
        pairs = self.local_max * self.edge_max
        if pairs > _ENUMERABLE:
            raise InvalidInput(
                "local_max x edge_max",
                pairs,
                f"at most {_ENUMERABLE} to try all pairs",
                'solve with solver="closed"',
            )
        for one in range(1, self.local_max + 1):
            for two in range(1, self.edge_max + 1):
                sure = float(self._sure(np.asarray(float(one * two))))
                yield Periods(one, two, self.nominal_steps), float(self.loss(one, two)) * sure


def _halved(
    low: NDArray[np.int_], high: NDArray[np.int_]
) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Every box that is no single pair in two, along the side of the larger ratio."""
    wide = (low < high).any(axis=1)
    single_low, single_high = low[~wide], high[~wide]
    low, high = low[wide], high[wide]
    side = np.argmax(np.where(low < high, high / low, 0.0), axis=1)
    rows = np.arange(len(low))
    # the geometric middle: losses change by factors
    middle = np.sqrt(low[rows, side].astype(float) * high[rows, side]).astype(int)
    middle = np.clip(middle, low[rows, side], high[rows, side] - 1)
    upper_low, lower_high = low.copy(), high.copy()
    lower_high[rows, side] = middle
    upper_low[rows, side] = middle + 1
    return (
        np.concatenate([single_low, low, upper_low]),
        np.concatenate([single_high, lower_high, high]),
    )


def _whole(where: str, value: float, most: float) -> int:
    whole = number(where, value, low=1.0, high=most)
    if whole != int(whole):
        raise InvalidInput(where, f"{whole:g}", "a whole number")
    return int(whole)
