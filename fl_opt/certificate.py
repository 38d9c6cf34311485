"""Proof beside every answer: cost and violations from the physics, a bound, and its kind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.kernels import chunks
from fl_opt.units import Floats, quantity

if TYPE_CHECKING:
    import pandas

D = TypeVar("D")
D_contra = TypeVar("D_contra", contravariant=True)

FEASIBLE = 1e-12
"""A constraint is met when its excess is at most this part of its limit."""

Proof = Literal["dual", "dual + tree", "bracket", "tree", "combinatorial", "enumeration", "none"]
"""Where a lower bound comes from.

dual: weak duality, recomputed in float64 with rounding taken off; bracket: a cost proven
unattainable; tree: branch and bound, the word of the solver; dual + tree: a dual bound outside a
core that a tree closed; combinatorial: an exact algorithm, such as dynamic programming, ran on data
rounded in favour of the bound; enumeration: every candidate was tried; none: there is no bound.
"""


@dataclass(frozen=True, eq=False)
class Excess:
    """How much a constraint is used: `used` <= `limit`, elementwise, SI units.

    `scale` is the size against which a violation is judged; the limit itself unless it is zero.
    """

    used: Floats
    limit: Floats
    unit: str
    scale: Floats | None

    def __init__(
        self, used: ArrayLike, limit: ArrayLike, unit: str, scale: ArrayLike | None = None
    ) -> None:
        spent, most = np.asarray(used, dtype=float), np.asarray(limit, dtype=float)
        if spent.shape != most.shape or not spent.shape:
            spent, most = np.broadcast_arrays(np.atleast_1d(spent), np.atleast_1d(most))
        size = None if scale is None else np.broadcast_to(np.asarray(scale, float), most.shape)
        object.__setattr__(self, "used", spent)
        object.__setattr__(self, "limit", most)
        object.__setattr__(self, "unit", unit)
        object.__setattr__(self, "scale", size)

    @property
    def amount(self) -> Floats:
        """Used minus limit; positive where violated. NaN counts as infinitely violated."""
        with np.errstate(invalid="ignore"):
            difference = self.used - self.limit
        unlimited = np.isposinf(self.limit) & ~np.isnan(self.used)
        return np.where(unlimited, -np.inf, np.where(np.isnan(difference), np.inf, difference))

    @property
    def share(self) -> Floats:
        """Amount relative to the scale; what violations are ranked by."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.amount / (np.abs(self.limit) if self.scale is None else self.scale)

    @property
    def violated(self) -> NDArray[np.bool_]:
        """Mask of the entries that exceed their limit by more than ``FEASIBLE`` of the scale."""
        mask = np.empty(self.used.shape, dtype=bool)
        for k in chunks(mask.size):
            limit = self.limit[k]
            scale = np.abs(limit) if self.scale is None else self.scale[k]
            # written so that NaN is a violation and an infinite limit is none
            mask[k] = ~(self.used[k] <= limit + FEASIBLE * scale)
        return mask


@dataclass(frozen=True)
class Violation:
    """The worst entry of a violated constraint."""

    constraint: str
    amount: float
    limit: float
    unit: str
    device: int | None
    count: int

    def __str__(self) -> str:
        at = "" if self.device is None else f" at device {self.device}"
        more = f" ({self.count} devices in all)" if self.count > 1 else ""
        # lower limits enter with both sides negated
        side = "over" if self.limit >= 0.0 else "below"
        return (
            f"{self.constraint}{at}: {quantity(self.amount, self.unit)} {side} "
            f"{quantity(abs(self.limit), self.unit)}{more}"
        )


class Problem(Protocol[D_contra]):
    """A formulation and its data. It judges decisions and never solves.

    One whose cost is no plain number names its unit in an attribute `unit`, such as "J".
    """

    def cost(self, decision: D_contra) -> float:
        """The objective, always minimised; a utility enters as its negative."""

    def excess(self, decision: D_contra) -> Mapping[str, Excess]:
        """Every constraint by name, from the physics."""


@dataclass(frozen=True, eq=False)
class Certificate:
    """What is known of an answer.

    Attributes
    ----------
    cost
        Objective, recomputed from the decision by the physics.
    bound
        Proven lower bound of the optimal cost; -inf where there is none.
    proof
        Kind of the bound, see ``Proof``.
    violation
        Violated constraints by name; empty for a feasible decision.
    units
        Unit of the "cost" and of every constraint by name; "" for plain numbers.
    """

    cost: float
    bound: float
    proof: Proof
    violation: Mapping[str, Violation] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def feasible(self) -> bool:
        """Whether every constraint is met to ``FEASIBLE`` of its limit."""
        return not self.violation

    @property
    def gap(self) -> float:
        """``(cost - bound)/max(|cost|, |bound|, tiny)``, >= 0; infinite without a bound."""
        if not math.isfinite(self.bound) or not math.isfinite(self.cost):
            return math.inf
        scale = max(abs(self.cost), abs(self.bound), np.finfo(float).tiny)
        return max((self.cost - self.bound) / scale, 0.0)


def verify(
    problem: Problem[D], decision: D, *, bound: float = -math.inf, proof: Proof = "none"
) -> Certificate:
    """Judge anybody's decision: its cost and its violations, recomputed from the physics.

    >>> import fl_opt
    >>> network = fl_opt.Network(
    ...     gain=1e-10, power_max_w=0.2, cpu_min_hz=1e8, cpu_max_hz=2e9, capacitance=1e-28,
    ...     cycles=[2e8], upload_bit=3e5, samples=600, band_hz=2e6)
    >>> greedy = fl_opt.Allocation(
    ...     selected=[True], bandwidth_hz=3e6, power_w=0.2, cpu_hz=2e9)
    >>> for violation in fl_opt.verify(
    ...         fl_opt.MinEnergy(network, deadline_s=1.0), greedy).violation.values():
    ...     print(violation)
    band: 1 MHz over 2 MHz
    """
    violation = {}
    units = {"cost": getattr(problem, "unit", "")}
    for name, excess in problem.excess(decision).items():
        units[name] = excess.unit
        mask = excess.violated
        if mask.any():
            worst = int(np.argmax(np.where(mask, excess.share, -np.inf)))
            violation[name] = Violation(
                name,
                float(excess.amount[worst]),
                float(excess.limit[worst]),
                excess.unit,
                worst if mask.size > 1 else None,
                int(mask.sum()),
            )
    # adding zero turns the cost -0 of an empty round into 0
    return Certificate(
        float(problem.cost(decision)) + 0.0, float(bound) + 0.0, proof, violation, units
    )


def unpriced(problem: Problem[D], decision: D) -> dict[str, float | Floats | None]:
    """None for every constraint by name: the prices of an answer to an integer program."""
    return dict.fromkeys(problem.excess(decision))


@dataclass(frozen=True, eq=False)
class Solution(Generic[D]):
    """An answer with its proof.

    Attributes
    ----------
    allocation
        The decision.
    certificate
        Cost, bound, gap, proof, violations.
    prices
        By constraint name: how much cost a further unit of the limit saves, >= 0, scalar or (K,);
        None where the limit has no price, as in integer programs.
    solver, seconds
        Who solved it, and the wall-clock time it took [s].
    """

    allocation: D
    certificate: Certificate
    prices: Mapping[str, float | Floats | None]
    solver: str
    seconds: float

    def __str__(self) -> str:
        proof = self.certificate
        unit = proof.units.get("cost", "")
        cost, bound = (f"{value:.9g} {unit}".rstrip() for value in (proof.cost, proof.bound))
        lines = [
            f"cost   {cost}",
            f"bound  {bound} ({proof.proof}), gap {proof.gap:.1e}",
            f"solver {self.solver}, {quantity(self.seconds, 's', 3)}",
        ]
        selected = getattr(self.allocation, "selected", None)
        if selected is not None:
            lines.append(f"takes part: {int(selected.sum())} of {selected.size} devices")
        for name, price in self.prices.items():
            if isinstance(price, float):
                limit = proof.units.get(name, "")
                rate = f"{unit}/{limit}" if unit and limit else unit or f"per {limit}" * bool(limit)
                lines.append(f"price of {name}: {price:.6g} {rate}".rstrip())
        lines += [f"violated {violation}" for violation in proof.violation.values()]
        return "\n".join(lines)

    def to_frame(self) -> pandas.DataFrame:
        """The decision as a table, a row per device; see its own ``to_frame``."""
        frame: pandas.DataFrame = self.allocation.to_frame()  # type: ignore[attr-defined]
        for name, price in self.prices.items():
            if isinstance(price, np.ndarray) and price.shape == (len(frame),):
                frame[f"price_{name}"] = price
        return frame
