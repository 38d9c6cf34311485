"""Match rows to columns on the few pairs that matter, and let prices prove that the rest do not.

With worths w = -weights >= 0, prices a, b >= 0 of rows and columns bound every matching:

    sum of matched w_ij  <=  sum_i a_i + sum_j b_j        if  a_i + b_j >= w_ij for all i, j

A sparse matching on a core of pairs (shortest augmenting paths, scipy) gives the decision. Its
prices follow from that matching alone, as longest paths over the pairs of the core: so they prove
whatever matching they came from. Given b, the least a that is valid for *all* pairs is
a_i = max(0, max_j w_ij - b_j), and pairs of the core's matching that this outbids join the core.
Invariant: the matching is optimal on the core; when nothing is outbid the two sums meet, and it is
optimal on all pairs.

The first core comes from the answer for half of the rows and half of the columns, whose prices
price the other halves. Dense shortest augmenting paths (``scipy.optimize.linear_sum_assignment``)
give no prices; they are quicker below about 1000 x 500 pairs, and two to four times as slow on
5000 x 2500 pairs of like devices and blocks (``python -m benchmarks assignment``).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import Problem, Solution, verify
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.structure import Matching
from fl_opt.units import Floats

D = TypeVar("D")

Whole = NDArray[np.int_]
Mask = NDArray[np.bool_]

_DENSE = 128
"""Up to this many rows or columns, each of them needs no more than its as many best pairs."""


class Matchable(Matching[D], Problem[D], Protocol[D]):
    """What `Assignment` solves: a problem that is a matching."""


@dataclass(frozen=True)
class Assignment:
    """Matching of least weight, each row and each column used at most once.

    Parameters
    ----------
    near, outbid
        Pairs per row and per column that the first core takes, and that join in a turn.
    spread
        Size of the noise, relative to the largest worth, that keeps equal rows from choosing the
        same columns for the first core.
    seed
        Of the halving and the noise: the same weights give the same answer.
    """

    near: int = 16
    outbid: int = 4
    spread: float = 3e-3
    seed: int = 0

    def __call__(
        self,
        problem: Matchable[D],
        *,
        time_limit_s: float | None = None,
        start: Solution[Any] | None = None,
    ) -> Solution[D]:
        """Solve `problem`; a `start` is of no use.

        When the time is over the best matching so far is returned with its proven bound. Raises
        ``InvalidInput`` for weights that are positive or not finite.
        """
        begin = time.perf_counter()
        weights = problem.weights()
        if not np.all(np.isfinite(weights) & (weights <= 0.0)):
            raise InvalidInput("weights", "positive or not finite", "finite numbers <= 0")
        rows, columns = (np.flatnonzero((weights < 0.0).any(axis=axis)) for axis in (1, 0))
        column, worth = np.full(weights.shape[0], -1), 0.0
        if rows.size:
            last = math.inf if time_limit_s is None else begin + time_limit_s
            worths = -weights[np.ix_(rows, columns)]
            turned = rows.size > columns.size  # the shorter side searches
            w = np.ascontiguousarray(worths.T) if turned else worths
            matched, price = self._solve(w, np.random.default_rng(self.seed), last)
            taken = np.flatnonzero(matched >= 0)
            pairs = (matched[taken], taken) if turned else (taken, matched[taken])
            column[rows[pairs[0]]] = columns[pairs[1]]
            worth = upper_bound(w, price)
        decision = problem.match(column)
        certificate = verify(problem, decision, bound=0.0 - worth, proof="dual")
        return Solution(decision, certificate, {}, "assignment", time.perf_counter() - begin)

    def _solve(self, w: Floats, rng: np.random.Generator, last: float) -> tuple[Whole, Floats]:
        """Column of each row (-1 is none), and prices of the columns, of worths w > 0."""
        core = (self._core(w, rng, last) if min(w.shape) > _DENSE else _best(w)) & (w > 0.0)
        lowest, price = math.inf, np.zeros(w.shape[1])
        while True:
            i, j = np.nonzero(core)
            column = _match(w, i, j)
            now = np.clip(_prices(w, i, j, column), 0.0, None)
            # what each row would gain by another column, at these prices
            gain = w - now
            most = np.maximum(gain.max(axis=1), 0.0)
            bound = float(most.sum() + now.sum())
            if bound < lowest:
                lowest, price = bound, now
            taken = np.flatnonzero(column >= 0)
            gain[taken] -= gain[taken, column[taken]][:, None]
            gain[core] = 0.0
            joining = _outbid(gain, 1e-13 * float(w.max()), self.outbid)
            if not joining.any() or time.perf_counter() > last:
                return column, price
            core |= joining

    def _core(self, w: Floats, rng: np.random.Generator, last: float) -> Mask:
        """Pairs that are nearly as good as any, by the prices of half the problem."""
        i, j = (np.sort(rng.choice(size, size // 2, replace=False)) for size in w.shape)
        _, half = self._solve(np.ascontiguousarray(w[np.ix_(i, j)]), rng, last)
        a = np.maximum((w[:, j] - half).max(axis=1), 0.0)
        slack = a[:, None] - w
        slack += np.maximum(-slack.min(axis=0), 0.0)
        core = _least(slack, 2)
        slack += rng.exponential(self.spread * float(w.max()), slack.shape)
        return core | _least(slack, self.near)


def upper_bound(w: Floats, price: Floats) -> float:
    """Proven upper bound of the worth of any matching, from any prices >= 0 of the columns."""
    rows = np.maximum((w - price).max(axis=1), 0.0)
    # a difference is rounded by half a unit of its last place, the sums once
    return (math.fsum(rows) + math.fsum(price)) * (1.0 + 4.0 * EPS)


def prices(w: Floats, column: Whole) -> Floats:
    """Prices (m,) of the columns that prove a matching of largest worth optimal."""
    i, j = np.nonzero(w > 0.0)
    return np.clip(_prices(w, i, j, column), 0.0, None)


def _match(w: Floats, i: Whole, j: Whole) -> Whole:
    """Matching of largest worth over the pairs (i, j); column of each row, -1 is none."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    n, m = w.shape
    # poor rows first: the paths are then shorter
    order = np.argsort(w.sum(axis=1), kind="stable")
    place = np.empty(n, dtype=int)
    place[order] = np.arange(n)
    # every row may stay alone, at a column of its own; a stored 0 would not count as a pair
    cost = np.concatenate([2.0 - w[i, j] / (float(w.max()) or 1.0), np.full(n, 2.0)])
    ends = np.concatenate([place[i], np.arange(n)]), np.concatenate([j, m + np.arange(n)])
    _, found = min_weight_full_bipartite_matching(csr_matrix((cost, ends), shape=(n, m + n)))
    column = np.asarray(found, dtype=int)[place]
    return np.where(column < m, column, -1)


def _prices(w: Floats, i: Whole, j: Whole, column: Whole) -> Floats:
    """Prices of the columns that prove a matching optimal on the pairs (i, j).

    They are not unique; the middle between the least and the largest outbids fewest new pairs.
    """
    n, m = w.shape
    taken = np.flatnonzero(column >= 0)
    row = np.full(m, -1)
    row[column[taken]] = taken
    own, theirs = np.zeros(n), np.zeros(m)
    own[taken] = theirs[column[taken]] = w[taken, column[taken]]
    worth, fine = w[i, j], 1e-14 * float(w.max())
    least = _longest(worth - own[i], j, column[i], m, fine)
    largest = np.zeros(m)
    most = _longest(worth - theirs[j], i, row[j], n, fine)
    largest[column[taken]] = own[taken] - most[taken]
    return 0.5 * (least + largest)


def _longest(gain: Floats, to: Whole, start: Whole, size: int, fine: float) -> Floats:
    """Least x >= 0 (size,) with x[to] >= gain + x[start] on all edges; x[-1] stands for 0."""
    order = np.argsort(to, kind="stable")
    to, start, gain = to[order], start[order], gain[order]
    first = np.flatnonzero(np.diff(to, prepend=-1))
    ends = to[first]
    x = np.zeros(size + 1)
    for _ in range(size + 1 if to.size else 0):
        new = np.maximum(np.maximum.reduceat(gain + x[start], first), x[ends])
        grown = float((new - x[ends]).max())
        x[ends] = new
        if grown <= fine:
            break
    return x[:size]


def _outbid(gain: Floats, fine: float, count: int) -> Mask:
    """The `count` largest gains of every row and column, where they are gains at all."""
    rows = np.flatnonzero((gain > fine).any(axis=1))
    part = gain[rows]
    columns = np.flatnonzero((part > fine).any(axis=0))
    part = part[:, columns]
    chosen = np.zeros(gain.shape, dtype=bool)
    if part.size:
        chosen[np.ix_(rows, columns)] = _least(-part, count) & (part > fine)
    return chosen


def _best(w: Floats) -> Mask:
    """For each member of the shorter side as many of its best pairs as that side has members."""
    return _smallest(-w, min(w.shape), 1 if w.shape[0] <= w.shape[1] else 0)


def _least(values: Floats, count: int) -> Mask:
    """The `count` smallest of every row and of every column."""
    return _smallest(values, count, 0) | _smallest(values, count, 1)


def _smallest(values: Floats, count: int, axis: int) -> Mask:
    if count >= values.shape[axis]:
        return np.ones(values.shape, dtype=bool)
    if axis == 0:  # rows lie together in memory
        return _smallest(np.ascontiguousarray(values.T), count, 1).T
    chosen = np.zeros(values.shape, dtype=bool)
    np.put_along_axis(chosen, np.argpartition(values, count, axis=1)[:, :count], True, axis=1)
    return chosen
