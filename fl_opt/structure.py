"""What a problem can offer to solvers. A solver knows one of these, never a formulation.

Each structure is a Protocol; a problem offers it by having its methods. ``fl_opt.solve`` looks at
them to choose the fastest exact solver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import Excess, Problem, Proof
from fl_opt.units import Floats

if TYPE_CHECKING:
    import cvxpy
    import pyomo.environ as pyo

D = TypeVar("D")
D_co = TypeVar("D_co", covariant=True)
R = TypeVar("R", bound="Response")


class Response(Protocol):
    """What all devices together ask for at a price.

    `demand` is the amount of the shared resource, `slope` its derivative to the logarithm of the
    price (<= 0).
    """

    demand: float
    slope: float


@runtime_checkable
class Priced(Problem[Any], Protocol[R]):
    """Convex, separable but for one shared resource. Solver: ``price``. Proof: dual.

    `shared` names the constraint that couples the devices, `supply` is its limit.
    """

    @property
    def shared(self) -> str: ...

    @property
    def supply(self) -> float: ...

    def price_guess(self) -> float:
        """A price > 0 of the right order of magnitude."""

    def respond(self, price: float, start: R | None = None) -> R:
        """Best decision of every device at `price`; `start` is a response at a near price."""

    def settle(self, response: R) -> Any:
        """A feasible decision near `response`, whose demand may miss the supply slightly."""

    def dual(self, price: float, response: R) -> tuple[float, Mapping[str, float | Floats | None]]:
        """A lower bound of the optimal cost, true in floating point for any price >= 0.

        With it the shadow prices of all limits by constraint name.
        """


@dataclass(frozen=True)
class Attempt(Generic[D]):
    """Whether a cost can be had.

    `decision` is a feasible decision of at most that cost, or None; `shortage` is the missing
    amount of the shared resource relative to its limit (<= 0 where there is a decision), smooth
    in the cost as far as the problem allows; `refuted` says that floating point proves that no
    decision has this cost.
    """

    decision: D | None
    shortage: float
    refuted: bool


@runtime_checkable
class Attainable(Protocol[D]):
    """One can tell whether a cost is attainable. Solver: ``bisection``. Proof: bracket."""

    def bracket(self) -> tuple[float, float]:
        """A cost that is a proven lower bound, and one that is attained or above all that are."""

    def attain(self, cost: float) -> Attempt[D]:
        """Try to find a decision of at most `cost`."""

    def prices(self, attempt: Attempt[D], cost: float) -> Mapping[str, float | Floats | None]:
        """Shadow prices at the optimum."""


@dataclass(frozen=True, eq=False)
class Items:
    """A 0/1 or multiple-choice knapsack.

    `value` (n,), `weight` (n,) >= 0, `capacity`; at most one item of each `group` (n,) may be
    taken, None for a group per item. `weight_low` (n,) is a proven lower bound of the exact weight
    and serves the bound; `weight` is enough to be feasible.
    """

    value: Floats
    weight: Floats
    capacity: float
    weight_low: Floats
    group: NDArray[np.int_] | None = None


@runtime_checkable
class Knapsack(Protocol[D_co]):
    """Choose items under one capacity. Solver: ``core``. Proof: dual + tree.

    The cost of a choice is minus its value.
    """

    def items(self) -> Items:
        """Values, weights and groups."""

    def pack(self, chosen: NDArray[np.bool_]) -> D_co:
        """The decision that takes the items of a mask (n,)."""


@runtime_checkable
class Matching(Protocol[D_co]):
    """Assign rows to columns, each at most once. Solver: ``assignment``. Proof: dual."""

    def weights(self) -> Floats:
        """(n, m) cost <= 0 of a pair, 0 where it may not be used; the cost is their sum."""

    def match(self, column: NDArray[np.int_]) -> D_co:
        """The decision that gives row i column[i]; -1 is none."""


@dataclass(frozen=True)
class Optimum(Generic[D]):
    """A decision in closed form with its bound."""

    decision: D
    bound: float
    prices: Mapping[str, float | Floats | None] = field(default_factory=dict)


@runtime_checkable
class ClosedForm(Protocol[D]):
    """The optimum is a formula or a few scalar roots. Solver: ``closed``. Proof: dual."""

    def optimum(self) -> Optimum[D]:
        """The best decision, with a bound that is true in floating point."""


@dataclass(frozen=True)
class Model(Generic[D]):
    """A CVXPY program, dimensionless, boxed, its constraints named.

    `decision` reads the solved variables; `bound`, where given, turns the dual variables into a
    proven lower bound of the cost.
    """

    program: cvxpy.Problem
    decision: Callable[[], D]
    bound: Callable[[], float] | None = None


@runtime_checkable
class Convex(Protocol[D]):
    """A reference model in CVXPY. Solver: ``cvxpy``."""

    def model(self) -> Model[D]:
        """The program."""


@dataclass(frozen=True)
class Program(Generic[D]):
    """A Pyomo model that minimises; `decision` reads its variables, cost = `unit` x objective."""

    model: pyo.ConcreteModel
    decision: Callable[[], D]
    unit: float = 1.0


@runtime_checkable
class Mixed(Protocol[D]):
    """A reference model in Pyomo. Solver: ``mip`` (HiGHS). Proof: tree, the solver's word."""

    def program(self) -> Program[D]:
        """The model."""


@runtime_checkable
class Enumerable(Protocol[D_co]):
    """Few enough candidates to try them all. Solver: ``enumerate``. Proof: enumeration."""

    def candidates(self) -> Iterator[tuple[D_co, float]]:
        """Decisions of which one is optimal, each with a lower bound of what its branch costs."""


@dataclass(frozen=True)
class Cut:
    """Tangents of the convex part at the best decision for a fixed set of devices.

    For each device k of `devices` (n,): its resource e_k satisfies e_k >= `value`[k] x_k +
    `slope`[k] (b_k - `at`[k] x_k) whenever it takes part (x_k = 1) with bandwidth b_k.
    """

    devices: NDArray[np.int_]
    at: Floats
    value: Floats
    slope: Floats


@runtime_checkable
class MixedConvex(Protocol[D]):
    """0/1 choices, convex once they are made. Solver: ``outer``. Proof: tree.

    The master program chooses; `cut` solves the convex rest for its choice and answers with
    tangents that exclude the choice where it is infeasible.
    """

    def master(self) -> Any:
        """What the master program knows before any cut; see ``solvers.outer.Master``."""

    def cut(self, selected: NDArray[np.bool_]) -> tuple[D | None, Cut]:
        """Best decision of a selection (None where infeasible), and tangents at its minimiser."""


__all__ = [
    "Attainable",
    "Attempt",
    "ClosedForm",
    "Convex",
    "Cut",
    "Enumerable",
    "Excess",
    "Items",
    "Knapsack",
    "Matching",
    "Mixed",
    "MixedConvex",
    "Model",
    "Optimum",
    "Priced",
    "Program",
    "Proof",
    "Response",
]
