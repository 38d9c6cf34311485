"""Structures of convex problems: one price or several, a bracket, a closed form, a conic model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

from fl_opt.certificate import Problem, Proof, Solution
from fl_opt.errors import Infeasible
from fl_opt.units import Floats

if TYPE_CHECKING:
    import cvxpy

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


@dataclass(frozen=True, eq=False)
class DualPoint:
    """The Lagrangian minimum at some prices (n,), and its first two derivatives to them.

    `slope` (n,) is what each limit is exceeded by, `curvature` (n, n) negative semidefinite.
    """

    value: float
    slope: Floats
    curvature: Floats


@runtime_checkable
class SmoothDual(Problem[Any], Protocol[D_co]):
    """A few coupling limits, each with a price, and a smooth dual. Solver: ``multipliers``.

    Proof: dual. Prices and values are dimensionless here; the cost is in the unit of `value`.
    """

    def price_guess(self) -> Floats:
        """Prices (n,) > 0 of the right order of magnitude."""

    def dual(self, prices: Floats) -> DualPoint:
        """The dual function at prices > 0; concave."""

    def settle(self, prices: Floats) -> D_co:
        """A feasible decision from nearly optimal prices."""

    def bound(self, prices: Floats) -> tuple[float, Mapping[str, float | Floats | None]]:
        """A lower bound of the optimal cost, true in floating point at any prices >= 0.

        With it the shadow prices of all limits by constraint name.
        """


@dataclass(frozen=True)
class Attempt(Generic[D_co]):
    """Whether a cost can be had.

    `decision` is a feasible decision of at most that cost, or None; `shortage` is the missing
    amount of the shared resource relative to its limit (<= 0 where there is a decision), smooth
    in the cost as far as the problem allows; `refuted` says that floating point proves that no
    decision has this cost.
    """

    decision: D_co | None
    shortage: float
    refuted: bool


@runtime_checkable
class Attainable(Problem[Any], Protocol[D_co]):
    """One can tell whether a cost is attainable. Solver: ``bisection``. Proof: bracket."""

    def bracket(self) -> tuple[float, float]:
        """A cost that is a proven lower bound, and one that is attained or above all that are."""

    def attain(self, cost: float) -> Attempt[D_co]:
        """Try to find a decision of at most `cost`."""

    def prices(self, cost: float) -> Mapping[str, float | Floats | None]:
        """Shadow prices at an attained cost that is nearly the least."""


@dataclass(frozen=True)
class Line:
    """`value` + `slope` (x - `at`) is at most the optimal cost at any x."""

    at: float
    value: float
    slope: float


@runtime_checkable
class Nested(Problem[Any], Protocol):
    """Convex in one number x > 0 on top of a problem that is easy once x is fixed.

    Solver: ``nested``. Proof: dual. The larger x, the easier the inner problem is to meet; where
    that is not so, see `Premised`.
    """

    def span(self) -> tuple[float, float]:
        """An x below which nothing is feasible, proven, and a larger one to try first."""

    def inner(self, x: float) -> Priced[Any] | Attainable[Any]:
        """The problem at x; its decision is the whole's."""

    def refuted(self, x: float) -> bool:
        """Whether floating point proves that the inner problem at x is infeasible."""

    def reach(self, cost: float) -> float:
        """An x above which every decision costs more than `cost`."""

    def line(self, x: float, solution: Solution[Any], reach: float) -> Line:
        """A supporting line at x, true in floating point for every x up to `reach`."""

    def prices(self, x: float, solution: Solution[Any]) -> Mapping[str, float | Floats | None]:
        """Shadow prices at the optimum."""


@runtime_checkable
class Premised(Nested, Protocol):
    """A nested problem that is feasible at x where another costs at most `limit` there.

    Solver: ``nested``, which solves the premise first.
    """

    @property
    def limit(self) -> float: ...

    @property
    def premise(self) -> Nested:
        """The other problem; it is feasible wherever x is not below its span."""

    def refusal(self, least: Solution[Any]) -> Infeasible:
        """Why nothing is feasible; `least` is the optimum of the premise."""


@runtime_checkable
class Apart(Protocol):
    """Priced problems that are solved one by one, as the inner problem of a `Nested` may be."""

    @property
    def parts(self) -> Sequence[Priced[Any]]: ...


@dataclass(frozen=True)
class Optimum(Generic[D]):
    """A decision in closed form with its bound and the kind of its proof."""

    decision: D
    bound: float
    prices: Mapping[str, float | Floats | None] = field(default_factory=dict)
    proof: Proof = "dual"


@runtime_checkable
class ClosedForm(Protocol[D]):
    """A formula, a few scalar roots, or a short exact algorithm of the problem's own.

    Solver: ``closed``. Proof: dual, or what the optimum says.
    """

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
class Convex(Problem[D], Protocol[D]):
    """A reference model in CVXPY. Solver: ``cvxpy``."""

    def model(self) -> Model[D]:
        """The program."""
