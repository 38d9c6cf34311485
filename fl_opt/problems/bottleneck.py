"""Match so many rows to columns that the largest of the levels used is least.

Whether `count` pairs can be had below a threshold is a question of matching (Hopcroft and Karp), so
that a search over the sorted levels finds the least largest one. What refutes a smaller one is a
cover: fewer than `count` rows and columns that hold every pair below it. Of any `count` pairs, no
two in one row or column, one is then outside, so that the least level outside is a lower bound
whatever the cover came from (König's theorem says that there is one that closes the gap).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_opt.units import Floats

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Bottleneck:
    """The column of each row (n,), -1 is none, and a cover of all better pairs.

    `complete` tells whether `count` rows are matched; if not, as many as can be are, and the cover
    holds all pairs that may be used.
    """

    column: NDArray[np.int_]
    rows: Mask
    columns: Mask
    complete: bool


def bottleneck(level: Floats, count: int) -> Bottleneck:
    """Match `count` rows of (n, m) levels, infinite where a pair may not be used."""
    n, m = level.shape
    if count == 0:
        return Bottleneck(np.full(n, -1), np.zeros(n, bool), np.zeros(m, bool), True)
    column = _match(np.isfinite(level))
    if int(np.count_nonzero(column >= 0)) < count:
        return Bottleneck(column, *_cover(np.isfinite(level), column), False)
    # as many rows, and as many columns, as there are pairs use nothing below their least levels
    least = max(float(np.sort(level.min(axis=axis))[count - 1]) for axis in (0, 1))
    steps = np.unique(level[(level >= least) & np.isfinite(level)])
    low, high = -1, steps.size - 1
    refuted = level < least
    smaller = _match(refuted)
    while high - low > 1:
        # the first guess is the least level: often it is the answer
        middle = 0 if low < 0 else (low + high) // 2
        trial = level <= steps[middle]
        matched = _match(trial)
        if int(np.count_nonzero(matched >= 0)) >= count:
            high, column = middle, matched
        else:
            low, refuted, smaller = middle, trial, matched
    taken = np.flatnonzero(column >= 0)
    # more rows than asked for: the latest may stay out
    spare = taken[np.argsort(level[taken, column[taken]], kind="stable")[count:]]
    column[spare] = -1
    return Bottleneck(column, *_cover(refuted, smaller), True)


def least_outside(level: Floats, found: Bottleneck) -> float:
    """Lower bound of the largest level of any matching that the cover of `found` excludes."""
    outside = level[~found.rows][:, ~found.columns]
    return float(outside.min()) if outside.size else np.inf


def _match(allowed: Mask) -> NDArray[np.int_]:
    """Column of each row in a largest matching on the pairs allowed, -1 is none."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    found = maximum_bipartite_matching(csr_matrix(allowed), perm_type="column")
    return np.asarray(found, dtype=int)


def _cover(allowed: Mask, column: NDArray[np.int_]) -> tuple[Mask, Mask]:
    """Rows and columns, as many as pairs in a largest matching, that hold all pairs allowed."""
    row = np.full(allowed.shape[1], -1)
    taken = np.flatnonzero(column >= 0)
    row[column[taken]] = taken
    # rows and columns that alternating paths reach from the rows left alone
    rows, columns = column < 0, np.zeros(allowed.shape[1], dtype=bool)
    fresh = np.flatnonzero(rows)
    while fresh.size:
        reached = allowed[fresh].any(axis=0) & ~columns
        columns |= reached
        owners = row[reached]
        fresh = owners[(owners >= 0) & ~rows[owners]]
        rows[fresh] = True
    return ~rows, columns
