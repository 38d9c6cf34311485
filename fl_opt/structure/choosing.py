"""Structures of problems that choose who takes part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import Problem
from fl_opt.structure.convex import Attainable, Priced
from fl_opt.units import Floats

D = TypeVar("D")


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
