"""Structures of problems that bring devices to blocks, levels and groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import Problem, Solution
from fl_opt.structure.convex import Nested
from fl_opt.units import Floats

D = TypeVar("D")
D_co = TypeVar("D_co", covariant=True)


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
