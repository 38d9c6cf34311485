"""Bring every member to one of several groups: local moves, bounded by cuts, and a master program.

Solving the parts of a grouping gives its cost, and cuts that bound the cost of every other one.

Moves: a member is transferred to another group, or two members of different groups change places.
Only moves whose bound lies below the cost are tried, those of the least bound first; so at the end
no move is better, and most of them were never solved.

Master: the least sum of the cuts of all parts over all groupings, a linear program with 0/1
choices. Its relaxation bounds the cost whatever HiGHS says, since its dual variables are only
weights with which cuts are added up here. Its groupings are solved and cut in turn; each either is
optimal or is cut off, so the search is finite (Benders decomposition; Geoffrion, JOTA 1972).

Invariants: `cost` is the cost of the best grouping solved; every cut holds for all groupings of no
higher cost.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import Proof, Solution, unpriced, verify
from fl_opt.checks import number
from fl_opt.solvers.cuts import CutMaster
from fl_opt.solvers.nested import NestedSearch
from fl_opt.structure import Apart, GroupCut, Grouped
from fl_opt.units import Floats

Group = NDArray[np.int_]
_BETTER = 1e-11
"""A move is better if it saves more than this part of the cost."""


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
        self._cut(self.best)

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

    def _cut(self, group: Group) -> None:
        for key in self.problem.keys(group):
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
        self._cut(group)
        return better

    def descend(self) -> None:
        """Move until no transfer and no exchange is better."""
        moving = True
        while moving and not self.late():
            moving = self._first_better(self.transfers()) or self._first_better(self.exchanges())

    def _first_better(self, moves: Iterator[tuple[float, Group]]) -> bool:
        for low, group in moves:
            if self.late() or low >= self.cost * (1.0 - _BETTER):
                return False
            if self.attempt(group):
                return True
        return False

    def _lows(self) -> Iterator[tuple[Floats, Floats]]:
        """By part: the cuts at the best grouping (c,), and what they change by a transfer."""
        rows = np.arange(self.best.size)
        for part in {cut.part for cut in self.cuts}:
            cuts = [cut for cut in self.cuts if cut.part == part]
            value = np.array([cut.coefficient for cut in cuts])
            here = value[:, rows, self.best]
            constant = np.array([cut.constant for cut in cuts])
            yield constant + here.sum(axis=1), value - here[:, :, None]

    def transfers(self) -> Iterator[tuple[float, Group]]:
        """Transfers by their bounds, the least first."""
        low = np.zeros(self.able.shape)
        for base, change in self._lows():
            low += np.maximum((base[:, None, None] + change).max(axis=0), 0.0)
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
        for base, change in self._lows():
            swapped = change[:, :, self.best]  # (c, k, j): k goes where j is
            both = np.full((size, size), -math.inf)
            for one, offset in zip(swapped, base, strict=True):
                np.maximum(both, offset + one + one.T, out=both)
            low += np.maximum(both, 0.0)
        reach = self.able[:, self.best]
        low[~(reach & reach.T) | (self.best[:, None] == self.best)] = math.inf
        low[np.tril_indices(size)] = math.inf
        for index in np.argsort(low, axis=None, kind="stable"):
            k, j = np.unravel_index(index, low.shape)
            moved = self.best.copy()
            moved[[k, j]] = moved[[j, k]]
            yield float(low[k, j]), moved

    def closed(self) -> bool:
        """Whether bound and cost meet."""
        return self.cost - self.bound <= self.options.gap * self.cost

    def prove(self) -> Proof:
        """Solve the master's groupings until the bound meets the cost, or enough are solved."""
        proof: Proof = "dual"
        self._relax()
        if self.able.size > self.options.pairs:
            return proof
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
