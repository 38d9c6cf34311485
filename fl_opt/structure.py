"""What a problem can offer to solvers. A solver knows one of these, never a formulation.

Each structure is a Protocol; a problem offers it by having its methods. ``fl_opt.solve`` looks at
them to choose the fastest exact solver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import Excess, Problem, Proof, Solution
from fl_opt.errors import Infeasible
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


@dataclass(frozen=True, eq=False)
class Items:
    """A 0/1 or multiple-choice knapsack.

    `value` (n,), `weight` (n,) >= 0, `capacity`; at most one item of each `group` (n,) may be
    taken, None for a group per item. `weight_low` (n,) is a proven lower bound of the exact weight
    and serves the bound; `weight` is enough to be feasible. `base` is the cost of the empty choice,
    off by a few roundings at most, `floor` a proven lower bound of the cost of any.
    """

    value: Floats
    weight: Floats
    capacity: float
    weight_low: Floats
    group: NDArray[np.int_] | None = None
    base: float = 0.0
    floor: float = -np.inf


@runtime_checkable
class Knapsack(Problem[D], Protocol[D]):
    """Choose items under one capacity. Solver: ``core``. Proof: dual + tree.

    The cost of a choice is `Items.base` minus its value.
    """

    def items(self) -> Items:
        """Values, weights and groups."""

    def pack(self, chosen: NDArray[np.bool_]) -> D:
        """The decision that takes the items of a mask (n,)."""


@runtime_checkable
class Stepped(Problem[D], Protocol[D]):
    """A choice of members under a capacity that grows with a number x > 0, which costs.

    Solver: ``steps``. Proof: dual + tree. A mask (n,) says which members are chosen.
    """

    def everyone(self) -> NDArray[np.bool_]:
        """All members that some x suffices for. Raises ``Infeasible`` where there is none."""

    def shortest(self) -> float:
        """An x below which nobody can be chosen, proven."""

    def choice(self, x: float) -> Knapsack[Any]:
        """The best choice at x, at a cost of minus its value."""

    def taken(self, decision: Any) -> NDArray[np.bool_]:
        """The mask of a decision of `choice`."""

    def least(self, chosen: NDArray[np.bool_]) -> Attainable[Any]:
        """The least x at which a choice is possible."""

    def join(self, chosen: NDArray[np.bool_], decision: Any) -> D:
        """The whole decision from one of `least`."""

    def bound(self, x: float, value: float) -> float:
        """Lower bound of the cost at any number of at least `x`, with at most that value."""


@runtime_checkable
class Matching(Protocol[D_co]):
    """Assign rows to columns, each at most once. Solver: ``assignment``. Proof: dual."""

    def weights(self) -> Floats:
        """(n, m) cost <= 0 of a pair, 0 where it may not be used; the cost is their sum."""

    def match(self, column: NDArray[np.int_]) -> D_co:
        """The decision that gives row i column[i]; -1 is none."""


@dataclass(frozen=True, eq=False)
class Offers:
    """Pairs of a matching that may be had at several levels, which share one budget.

    `value` (n, m, l) is what a pair is worth at a level, -inf where it may not be used, off by at
    most `error`; `weight` (l,) >= 0 is what a level takes of `budget`; at most `most` pairs may be
    matched.
    """

    value: Floats
    error: float
    weight: Floats
    budget: float
    most: int


@runtime_checkable
class BudgetedMatching(Problem[D], Protocol[D]):
    """Assign rows to columns, each at most once, at levels. Solver: ``budgeted``.

    Proof: dual, and dual + tree where a search closes the rest. The cost is minus the value.
    """

    def offers(self) -> Offers:
        """Values and weights of the levels of all pairs."""

    def arrange(self, column: NDArray[np.int_], level: NDArray[np.int_]) -> D:
        """The decision that gives row i column[i] at level[i]; -1 is none."""


@dataclass(frozen=True, eq=False)
class GroupCut:
    """A lower bound of what one part of a grouping costs, whoever is where.

    Part `part` costs at least ``constant + sum_k coefficient[k, group of k]``, and at least 0.
    """

    part: int
    constant: float
    coefficient: Floats


@runtime_checkable
class Grouped(Problem[D], Protocol[D]):
    """Every member joins one group; what is left then is convex. Solver: ``grouping``.

    Proof: dual, and tree where the master program closes the gap. A grouping is an array (K,) of
    the indices of the groups. Its cost is the sum over independent parts, named by hashable keys,
    so that a part that several groupings share is solved once.
    """

    @property
    def able(self) -> NDArray[np.bool_]:
        """(K, E) which groups a member may join."""

    def start(self) -> NDArray[np.int_]:
        """A grouping to begin with. Raises ``Infeasible`` where there is none."""

    def keys(self, group: NDArray[np.int_]) -> Sequence[tuple[int, bytes]]:
        """The parts of a grouping; the first entry is the index that their cuts have."""

    def part(self, key: tuple[int, bytes]) -> Nested:
        """The convex problem of a part."""

    def join(self, group: NDArray[np.int_], found: Mapping[tuple[int, bytes], Solution[Any]]) -> D:
        """The decision of a grouping from the solutions of its parts."""

    def cut(self, key: tuple[int, bytes], solution: Solution[Any], most: float) -> GroupCut:
        """A cut from a solved part that holds for groupings of a cost up to `most`."""


@dataclass(frozen=True, eq=False)
class LevelCut:
    """A lower bound of what a group costs while its level lies in an interval.

    With the members S it costs at least ``fixed + sum_{k in S} value[k]``, linear in the level:
    `fixed` (2,) and `value` (K, 2) are at both ends, infinite for members that cannot be there.
    `price` is that of the group's resource at which the cut was made.
    """

    fixed: Floats
    value: Floats
    price: float


@runtime_checkable
class Levelled(Grouped[D], Protocol[D]):
    """A grouping whose groups each have a number, their level, that is paid once by all members.

    Solver: ``grouping``, whose bound then is that of a choice of group and level. A group without
    members costs nothing.
    """

    def levels(self, most: float) -> Sequence[Floats] | None:
        """By group: ends of intervals that hold its level, for groupings of a cost up to `most`.

        None where the parts are not the groups.
        """

    def level_cut(
        self,
        group: int,
        span: tuple[float, float],
        most: float,
        price: float | None,
        share: Floats | None = None,
    ) -> LevelCut | None:
        """A bound for levels within `span` at a price, None for a small one.

        With shares (K,) of the members, at one near which it is best where they are there by so
        much. None where nobody can be in the group at these levels.
        """


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


@dataclass(frozen=True)
class Program(Generic[D]):
    """A Pyomo model that minimises; `decision` reads its variables, cost = `unit` x objective."""

    model: pyo.ConcreteModel
    decision: Callable[[], D]
    unit: float = 1.0


@runtime_checkable
class Mixed(Problem[D], Protocol[D]):
    """A reference model in Pyomo. Solver: ``mip`` (HiGHS). Proof: tree, the solver's word."""

    def program(self) -> Program[D]:
        """The model."""


@runtime_checkable
class Enumerable(Problem[D], Protocol[D]):
    """Few enough candidates to try them all. Solver: ``enumerate``. Proof: enumeration."""

    def candidates(self) -> Iterator[tuple[D, float]]:
        """Decisions of which one is optimal, each with a lower bound of what its branch costs."""


@runtime_checkable
class Searched(Problem[D], Protocol[D]):
    """A heuristic of the problem's own, and a bound. Solver: ``search``. Proof: dual."""

    def search(self) -> Iterator[D]:
        """Feasible decisions to choose the best from; nothing says that the optimum is there."""

    def floor(self) -> float:
        """A lower bound of the optimal cost, true in floating point."""


@dataclass(frozen=True, eq=False)
class Relaxed:
    """What prices say of a choice of one option per group, among those still allowed.

    `bound` is a lower bound of the cost, true in floating point, infinite where nothing is
    feasible. `choice` (n,) is best at the prices; `doubt` is the group that is least sure of it, -1
    where none has another option. `prices` serve as a start for a smaller choice.
    """

    bound: float
    choice: NDArray[np.int_]
    doubt: int
    prices: Floats


@runtime_checkable
class Branched(Problem[D], Protocol[D]):
    """One option of each group, convex once they are chosen. Solver: ``branch``.

    Proof: dual, and dual + tree where branches were closed.
    """

    def options(self) -> NDArray[np.bool_]:
        """(n, m) the options that each group has."""

    def relax(
        self, allowed: NDArray[np.bool_], enough: float, start: Relaxed | None = None
    ) -> Relaxed:
        """The best prices where some options are allowed; any whose bound is `enough` will do."""

    def fixed(self, choice: NDArray[np.int_], near: Relaxed) -> SmoothDual[D] | Attainable[D]:
        """The convex problem that a choice leaves; its decision is the whole's."""

    def refusal(self) -> Infeasible:
        """Why no choice is feasible."""


@dataclass(frozen=True, eq=False)
class Choice:
    """Candidates of a 0/1 choice whose members share two resources, each on its own exchange.

    maximise ``sum value x - charge sum second x`` with ``sum first x <= supply`` and
    ``sum second x <= budget``: a member takes at least `least` of the first resource, and the more
    it takes, the less it needs of the second, convexly.

    `value` (n,) > 0. `least` (n,) is enough, `least_low` (n,) a proven lower bound of what is, in
    some optimal choice at least. `budget` may be infinite; `charge` >= 0 is the value of a unit of
    the second resource saved.
    """

    value: Floats
    least: Floats
    least_low: Floats
    supply: float
    budget: float
    charge: float


@dataclass(frozen=True)
class Cut:
    """Tangents of the exchange of some candidates.

    Candidate k of `members` (m,), when it is taken with `b` of the first resource, needs at least
    ``value[k] + slope[k] (b - at[k])`` of the second.
    """

    members: NDArray[np.int_]
    at: Floats
    value: Floats
    slope: Floats


@runtime_checkable
class MixedConvex(Problem[D], Protocol[D]):
    """0/1 choices of a `Choice`, convex once they are made. Solver: ``outer``. Proof: tree.

    A mask (n,) says which candidates are taken. `rest` is the convex problem that is left then:
    its cost is the second resource that they need; it is asked for only where their least amounts
    of the first fit the supply.
    """

    @property
    def choice(self) -> Choice: ...

    def rest(self, taken: NDArray[np.bool_]) -> Priced[Any]:
        """Least need of the second resource, if exactly these candidates are taken."""

    def join(self, taken: NDArray[np.bool_], decision: Any | None) -> D:
        """The whole decision from one of `rest`; None where nobody is taken."""

    def recall(self, decision: D) -> NDArray[np.bool_] | None:
        """The mask of an earlier decision; None where it does not fit this problem."""

    def first(self, decision: Any) -> Floats:
        """Amounts (m,) of the first resource that a decision of `rest` gives to those taken."""

    def tangents(self, taken: NDArray[np.bool_], first: Floats) -> Cut:
        """Tangents of the candidates taken at amounts (m,) of the first, at least their least."""


@dataclass(frozen=True, eq=False)
class CrossedChoice:
    """A `Choice` with many supplies and many budgets; each candidate draws on one of either.

    maximise ``sum value x``; candidate k takes of supply `supply_of[k]` of `supply` (T,), and the
    more it takes, the less it needs of budget `budget_of[k]` of `budget` (K,), convexly. The rest
    is as in `Choice`.
    """

    value: Floats
    least: Floats
    least_low: Floats
    supply: Floats
    supply_of: NDArray[np.int_]
    budget: Floats
    budget_of: NDArray[np.int_]


@runtime_checkable
class Crossed(Problem[D], Protocol[D]):
    """0/1 choices of a `CrossedChoice`. Solver: ``crossed``. Proof: tree.

    A mask (n,) says which candidates are taken. Tangents must never lie above what is needed, in
    floating point: prices of all limits are read from them alone.
    """

    @property
    def crossed(self) -> CrossedChoice: ...

    def share(self, taken: NDArray[np.bool_], first: Floats) -> D:
        """The decision that gives those taken amounts (m,) of the first, none below its least."""

    def tangents(self, taken: NDArray[np.bool_], first: Floats) -> Cut:
        """Tangents of the candidates taken at amounts (m,) of the first, at least their least."""

    def recall(self, decision: D) -> NDArray[np.bool_] | None:
        """The mask of an earlier decision; None where it does not fit this problem."""


@dataclass(frozen=True, eq=False)
class Weighing:
    """What every candidate takes of both resources at a price of the first.

    `price` is in units of the second resource per unit of the first, and may be a little above
    the one that was asked for; at infinity only the first resource counts. `weight` (n,) is a
    proven lower bound of the least ``second + price x first``; `first` and `second` (n,) are
    amounts at which it is nearly attained. `warm` serves as a start at a near price.
    """

    price: float
    weight: Floats
    first: Floats
    second: Floats
    warm: Any = None


@runtime_checkable
class PricedChoice(MixedConvex[D], Protocol[D]):
    """A mixed convex problem whose candidates answer to a price. Solver: ``prices``.

    Proof: dual, and dual + tree where a search closes the rest.
    """

    def weigh(self, price: float, start: Weighing | None = None) -> Weighing:
        """Every candidate's best exchange at a price > 0, possibly infinite."""


__all__ = [
    "Apart",
    "Attainable",
    "Attempt",
    "Branched",
    "BudgetedMatching",
    "Choice",
    "ClosedForm",
    "Convex",
    "Crossed",
    "CrossedChoice",
    "Cut",
    "DualPoint",
    "Enumerable",
    "Excess",
    "GroupCut",
    "Grouped",
    "Items",
    "Knapsack",
    "LevelCut",
    "Levelled",
    "Line",
    "Matching",
    "Mixed",
    "MixedConvex",
    "Model",
    "Nested",
    "Offers",
    "Optimum",
    "Premised",
    "Priced",
    "PricedChoice",
    "Program",
    "Proof",
    "Relaxed",
    "Response",
    "Searched",
    "SmoothDual",
    "Stepped",
    "Weighing",
]
