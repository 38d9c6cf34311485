"""Bring every member to one of several groups: local moves, bounded by cuts, and a master program.

Solving the parts of a grouping gives its cost, and cuts that bound the cost of every other one.

Moves: a member is transferred to another group, two members of different groups change places, or
a group that has a level joins another.
Only moves whose bound lies below the cost are tried, those of the least bound first; so at the end
no move is better, and most of them were never solved.

Master: the least sum of the cuts of all parts over all groupings, a linear program with 0/1
choices. Its relaxation bounds the cost whatever HiGHS says, since its dual variables are only
weights with which cuts are added up here. Its groupings are solved and cut in turn; each either is
optimal or is cut off, so the search is finite (Benders decomposition; Geoffrion, JOTA 1972).

Levels: where every group has a number that is paid once by all of its members, such cuts are weak,
and the choice of groups and levels gives bounds first, of all groupings and of moves; see `levels`.

Invariants: `cost` is the cost of the best grouping solved; every cut holds for all groupings of no
higher cost.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import Proof, Solution, unpriced, verify
from fl_opt.checks import number, whole
from fl_opt.errors import InvalidInput
from fl_opt.solvers.cuts import CutMaster
from fl_opt.solvers.levels import LevelMaster
from fl_opt.solvers.nested import NestedSearch
from fl_opt.structure import Apart, GroupCut, Grouped, Levelled
from fl_opt.units import Floats

Group = NDArray[np.int_]
_BETTER = 1e-11
"""A move is better if it saves more than this part of the cost."""
_STALE = 0.8
"""Levels are bounded anew when the cost falls below this part of what they were bounded for."""
_FEW = 256
"""So few groupings are settled by the tree of cuts alone."""
_LITTLE, _PATIENCE = 3e-4, 3
"""The bound has to rise by this part of the cost within so many turns."""


@dataclass(frozen=True)
class PartSearch(NestedSearch):
    """A nested search whose inner problem may be several priced ones, solved one by one."""

    def fixed(self, problem: Any, x: float, start: Solution[Any] | None) -> Solution[Any]:
        """Solve the inner problem at x."""
        inner = problem.inner(x)
        if not isinstance(inner, Apart):
            return super().fixed(problem, x, start)
        found = [self.inner(part) for part in inner.parts]
        decision = tuple(each.allocation for each in found)
        prices = np.array([each.prices["band"] for each in found], dtype=float)
        seconds = sum(each.seconds for each in found)
        return Solution(decision, found[0].certificate, {"band": prices}, "price", seconds)


@dataclass(frozen=True)
class Grouping:
    """Solver of a `Grouped` problem. Proof: "dual", or "tree" where the master closes the gap.

    Parameters
    ----------
    gap
        Relative gap at which the search ends.
    pairs
        Most pairs of a member and a group for which the master is solved with 0/1 choices; beyond,
        its relaxation alone gives the bound.
    groupings
        Most groupings of the master, relaxed or not, that are solved; 0 leaves the moves alone.
    nodes
        Most nodes of each of its trees; the search ends with a tree that has more.
    inner
        Solver of the parts.
    """

    gap: float = 1e-9
    pairs: int = 60
    groupings: int = 200
    nodes: int = 5_000
    inner: PartSearch = field(default_factory=lambda: PartSearch(tolerance=1e-9))

    def __post_init__(self) -> None:
        number("gap", self.gap, high=1.0)
        whole("pairs", self.pairs)
        whole("groupings", self.groupings)
        whole("nodes", self.nodes, 1)
        if not isinstance(self.inner, PartSearch):
            raise InvalidInput("inner", type(self.inner).__name__, "a PartSearch")

    def __call__(
        self,
        problem: Grouped[Any],
        *,
        time_limit_s: float | None = None,
        start: Solution[Any] | None = None,
    ) -> Solution[Any]:
        """Group; at the time limit, the best grouping found with the bound proven so far."""
        began = time.perf_counter()
        until_s = began + (math.inf if time_limit_s is None else time_limit_s)
        search = _Search(problem, self, until_s)
        # half of the time for the choice of levels, before there are moves to bound
        search.sharpen(min(until_s, began + 0.5 * (until_s - began)))
        search.descend()
        search.sharpen(until_s)
        search.descend()
        proof = search.prove()
        found = {key: search.found[key] for key in problem.keys(search.best)}
        decision = problem.join(search.best, found)
        certificate = verify(problem, decision, bound=search.bound, proof=proof)
        prices = unpriced(problem, decision)
        return Solution(decision, certificate, prices, "grouping", time.perf_counter() - began)


class _Search:
    """The groupings solved so far, the best of them, and the cuts of all."""

    def __init__(self, problem: Grouped[Any], options: Grouping, until_s: float) -> None:
        self.problem, self.options, self.until_s = problem, options, until_s
        self.found: dict[tuple[int, bytes], Solution[Any]] = {}
        self.cuts: list[GroupCut] = []
        self.best = problem.start()
        self.able = problem.able
        self.bound = -math.inf
        self.cost = self._cost(self.best)
        self.master = CutMaster(self.able, self.cost)
        self.levels: LevelMaster | None = None
        self.cutting, self.sharp = True, math.inf
        self._cut(self.problem.keys(self.best))

    def late(self) -> bool:
        """Whether the time is up."""
        return time.perf_counter() > self.until_s

    def _cost(self, group: Group) -> float:
        """Cost of a grouping, its parts solved where they are new."""
        cost = []
        for key in self.problem.keys(group):
            if key not in self.found:
                self.found[key] = self.options.inner(self.problem.part(key))
            cost.append(self.found[key].certificate.cost)
        return math.fsum(cost)

    def _cut(self, keys: Iterable[tuple[int, bytes]]) -> None:
        for key in keys:
            if key not in self.master.known:
                cut = self.problem.cut(key, self.found[key], self.cost)
                self.cuts.append(cut)
                self.master.add(key, cut)

    def attempt(self, group: Group) -> bool:
        """Solve a grouping and cut; whether it is the best so far."""
        cost = self._cost(group)
        better = cost < self.cost * (1.0 - _BETTER)
        if better:
            self.best, self.cost = group.copy(), cost
        if self.cutting:
            self._cut(self.problem.keys(group))
        return better

    def sharpen(self, until_s: float) -> None:
        """Raise the bound by the choice of levels, where there are any; try what it rounds to."""
        choices = math.prod(self.able.sum(axis=1).tolist())
        if not isinstance(self.problem, Levelled) or choices <= _FEW or not self.options.groupings:
            return
        low, since = -math.inf, 0
        for turn in range(self.options.groupings):
            if self.closed() or time.perf_counter() > until_s or self.cost >= self.sharp:
                return
            if self.levels is None or self.cost < _STALE * self.levels.unit:
                self.levels = LevelMaster.of(self.problem, self.cost)
            found = None if self.levels is None else self.levels.relax(until_s)
            if self.levels is None or found is None:
                return
            self.cutting = False
            self.bound = min(max(self.bound, found[0]), self.cost)
            if self.bound > low + _LITTLE * self.cost:
                low, since = self.bound, turn
            self.attempt(np.argmax(np.where(self.able, found[1], -1.0), axis=1))
            if turn > since + _PATIENCE:
                # nothing more is to be had at this cost
                self.sharp = self.cost
            self.levels.refine()

    def descend(self) -> None:
        """Move until no transfer, no exchange and no merger is better."""
        moving = True
        while moving and not self.late():
            moving = any(
                self._first_better(moves())
                for moves in (self.mergers, self.transfers, self.exchanges)
            )

    def _first_better(self, moves: Iterator[tuple[float, Group]]) -> bool:
        for low, group in moves:
            if self.late() or low >= self.cost * (1.0 - _BETTER):
                return False
            if self.attempt(group):
                return True
        return False

    def _lows(self) -> Iterator[tuple[int, Floats, Floats]]:
        """By part: the cuts at the best grouping (c,), and what they change by a transfer."""
        size, groups = self.able.shape
        rows = np.arange(size)
        parts = {cut.part for cut in self.cuts}
        for part in parts | set(range(groups) if self.levels is not None else ()):
            cuts = [cut for cut in self.cuts if cut.part == part]
            value = np.array([cut.coefficient for cut in cuts]).reshape(-1, size, groups)
            here = value[:, rows, self.best]
            constant = np.array([cut.constant for cut in cuts])
            yield part, constant + here.sum(axis=1), value - here[:, :, None]

    def transfers(self) -> Iterator[tuple[float, Group]]:
        """Transfers by their bounds, the least first."""
        low = np.zeros(self.able.shape)
        for part, base, change in self._lows():
            least = (base[:, None, None] + change).max(axis=0, initial=0.0)
            if self.levels is not None:
                mine = self.best == part
                here, once, _ = self.levels.lows(part, mine)
                level = np.full(self.able.shape, here)
                level[mine] = once[mine, None]
                level[:, part] = np.where(mine, here, once)
                least = np.maximum(least, level)
            low += least
        low[~self.able] = math.inf
        low[np.arange(self.best.size), self.best] = math.inf
        for index in np.argsort(low, axis=None, kind="stable"):
            k, e = np.unravel_index(index, low.shape)
            moved = self.best.copy()
            moved[k] = e
            yield float(low[k, e]), moved

    def exchanges(self) -> Iterator[tuple[float, Group]]:
        """Exchanges by their bounds, the least first."""
        size = self.best.size
        low = np.zeros((size, size))
        for part, base, change in self._lows():
            swapped = change[:, :, self.best]  # (c, k, j): k goes where j is
            both = np.zeros((size, size))
            for one, offset in zip(swapped, base, strict=True):
                np.maximum(both, offset + one + one.T, out=both)
            if self.levels is not None:
                mine = self.best == part
                here, _, twice = self.levels.lows(part, mine)
                level = np.where(mine[:, None], twice, np.where(mine, twice.T, here))
                np.maximum(both, level, out=both)
            low += both
        reach = self.able[:, self.best]
        low[~(reach & reach.T) | (self.best[:, None] == self.best)] = math.inf
        low[np.tril_indices(size)] = math.inf
        for index in np.argsort(low, axis=None, kind="stable"):
            k, j = np.unravel_index(index, low.shape)
            moved = self.best.copy()
            moved[[k, j]] = moved[[j, k]]
            yield float(low[k, j]), moved

    def mergers(self) -> Iterator[tuple[float, Group]]:
        """All members of one group to another, by their bounds; where groups have levels."""
        if self.levels is None:
            return
        here = {int(e): self.levels.lows(int(e), self.best == e)[0] for e in np.unique(self.best)}
        found = []
        for e, to in itertools.permutations(range(self.able.shape[1]), 2):
            mine = self.best == e
            if e not in here or not self.able[mine, to].all():
                continue
            moved = np.where(mine, to, self.best)
            rest = math.fsum(low for part, low in here.items() if part not in (e, to))
            found.append((self.levels.lows(to, moved == to)[0] + rest, moved))
        yield from sorted(found, key=lambda each: each[0])

    def closed(self) -> bool:
        """Whether bound and cost meet."""
        return self.cost - self.bound <= self.options.gap * self.cost

    def prove(self) -> Proof:
        """Solve the master's groupings until the bound meets the cost, or enough are solved."""
        proof: Proof = "dual"
        if self.levels is None:
            self._relax()
        if self.able.size > self.options.pairs or self.closed() or self.late():
            return proof
        self.cutting = True
        self._cut(self.found)
        for _ in range(self.options.groupings):
            if self.closed() or self.late():
                break
            left_s = max(self.until_s - time.perf_counter(), 0.1)
            low, group, whole = self.master.solve(self.options.nodes, left_s)
            low = min(low, self.cost)
            if low > self.bound:
                self.bound, proof = low, "tree"
            if group is None:
                break
            known = len(self.cuts)
            if self.attempt(group):
                self.descend()
            if len(self.cuts) == known or not whole:
                # solved before, let back by the master's tolerance; or the tree is too large
                break
        return proof

    def _relax(self) -> None:
        """Raise the bound by the relaxation of the master, cut at what it rounds to."""
        before = -math.inf
        for turn in range(self.options.groupings + 1):
            low, share = self.master.relax()
            self.bound = min(max(self.bound, low), self.cost)
            little = low <= before + 1e-4 * abs(before)
            if self.closed() or self.late() or little or turn == self.options.groupings:
                return
            before = low
            rounded = np.argmax(np.where(self.able, share, -1.0), axis=1)
            known = len(self.cuts)
            if self.attempt(rounded):
                self.descend()
            if len(self.cuts) == known:
                return
