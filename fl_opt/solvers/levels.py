"""The least cost of groups whose level is chosen too, as a linear program that grows.

Each group has cells, the intervals of its level, each with cuts. A member joins a cell at one of
its ends, and only as far as the cell is open:

    minimise    sum_c z_c                                       over x, y >= 0, z
    subject to  z_c >= fixed_ci y_c + value_ci x_c              every cut i of cell c
                x_kc <= y_c,  sum_c x_kc = 1,  sum_{c of a group} y_c <= 1

So the level is paid once by the group, and not by whoever happens to set it. Cells that are open
get cuts at their shares and are halved. The bound is computed here from the dual variables, which
are only weights of members and cuts: it is true whatever the program says.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_opt.kernels import EPS
from fl_opt.structure import LevelCut, Levelled
from fl_opt.units import Floats

_OPEN = 1e-7
_NARROW = 1.002
"""Ratio of the ends of a cell that is not halved any more."""
_KEPT = 4
"""Prices of a cell at which its halves get cuts again."""
_AROUND = (0.25, 4.0)
"""Prices of the first cuts, relative to that at which equal shares fill the resource."""


@dataclass(eq=False)
class Cell:
    """An interval of the level of a group, what is known of it, and how far it is open."""

    group: int
    span: tuple[float, float]
    cuts: list[LevelCut]
    share: Floats
    open: float = 0.0


@dataclass(eq=False)
class LevelMaster:
    """The program over all cells; `unit` is a cost of the right order."""

    problem: Levelled[Any]
    able: NDArray[np.bool_]
    unit: float
    cells: list[Cell]

    @classmethod
    def of(cls, problem: Levelled[Any], most: float) -> LevelMaster | None:
        """The program of a problem for costs of up to `most`; None where it has no levels."""
        levels = problem.levels(most)
        if levels is None:
            return None
        able = problem.able

        found = cls(problem, able, most, [])
        even = able / able.sum(axis=1, keepdims=True)
        for group, ends in enumerate(levels):
            price: float | None = None
            for span in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
                cut = problem.level_cut(group, span, most, price, even[:, group])
                if cut is not None:
                    price = cut.price
                    found._admit(group, span, [cut], [None, *(price * by for by in _AROUND)])
        return found

    def _admit(
        self,
        group: int,
        span: tuple[float, float],
        known: list[LevelCut],
        prices: Iterable[float | None],
    ) -> None:
        found = [self.problem.level_cut(group, span, self.unit, price) for price in prices]
        cuts = [cut for cut in found if cut is not None] + known
        if cuts:
            self.cells.append(Cell(group, span, cuts, np.zeros(self.able.shape[0])))

    def relax(self, until_s: float) -> tuple[float, Floats] | None:
        """The bound of the cost and the shares (K, E) of the program; None without an answer."""
        from scipy import optimize, sparse

        size, groups = self.able.shape
        count = len(self.cells)
        cuts = [(c, cut) for c, cell in enumerate(self.cells) for cut in cell.cuts]
        there = np.array([np.isfinite(cell.cuts[0].value) for cell in self.cells])
        # columns: x (count, K, 2), y (count, 2), z (count)
        x = np.arange(count * size * 2).reshape(count, size, 2)
        y = x.size + np.arange(count * 2).reshape(count, 2)
        z = x.size + y.size + np.arange(count)
        width = x.size + y.size + z.size
        joined = np.broadcast_to(y[:, None, :], x.shape)[there]
        rows = np.arange(joined.size)
        ones = np.ones(joined.size)
        within = sparse.csr_matrix(
            (np.append(ones, -ones), (np.append(rows, rows), np.append(x[there], joined))),
            (joined.size, width),
        )
        row_of, column, entry = [], [], []
        for row, (c, cut) in enumerate(cuts):
            inside = there[c]
            columns = np.concatenate([x[c][inside], y[c], [z[c]]])
            row_of.append(np.full(columns.size, row))
            column.append(columns)
            entry.append(np.concatenate([cut.value[inside], cut.fixed, [-self.unit]]) / self.unit)
        above = sparse.csr_matrix(
            (np.concatenate(entry), (np.concatenate(row_of), np.concatenate(column))),
            (len(cuts), width),
        )
        group = np.array([cell.group for cell in self.cells])
        once = sparse.csr_matrix(
            (np.ones(y.size), (np.repeat(group, 2), y.ravel())), (groups, width)
        )
        member = np.broadcast_to(np.arange(size)[None, :, None], x.shape)
        each = sparse.csr_matrix((np.ones(x.size), (member.ravel(), x.ravel())), (size, width))
        cost, low, high = np.zeros(width), np.zeros(width), np.full(width, np.inf)
        cost[z], low[z] = 1.0, -np.inf
        high[x[~there]] = 0.0
        linprog: Any = optimize.linprog
        found = linprog(
            cost,
            sparse.vstack([within, above, once]),
            np.append(np.zeros(joined.size + len(cuts)), np.ones(groups)),
            each,
            np.ones(size),
            np.stack([low, high], axis=1),
            "highs-ds",
            options={"time_limit": max(until_s - time.perf_counter(), 0.1)},
        )
        if found.status != 0:
            return None
        share = np.zeros(self.able.shape)
        for c, cell in enumerate(self.cells):
            cell.open = float(found.x[y[c]].sum())
            cell.share = found.x[x[c]].sum(axis=1)
            share[:, cell.group] += cell.share
        weight = -found.ineqlin.marginals[joined.size : joined.size + len(cuts)]
        return self.combined(found.eqlin.marginals * self.unit, weight), share

    def combined(self, worth: Floats, weight: Floats) -> float:
        """The bound by any worth (K,) of members, and any weights of the cuts in their order."""
        size, groups = self.able.shape
        least, scale, row = np.zeros(groups), np.zeros(groups), 0
        for cell in self.cells:
            some = np.maximum(np.nan_to_num(weight[row : row + len(cell.cuts)]), 0.0)
            row += len(cell.cuts)
            some = some / some.sum() if some.any() else np.full(some.size, 1.0 / some.size)
            here = np.isfinite(cell.cuts[0].value[:, 1])
            all_fixed = some[:, None] * np.array([cut.fixed for cut in cell.cuts])
            all_value = some[:, None, None] * np.array([cut.value[here] for cut in cell.cuts])
            low = all_fixed.sum(axis=0)
            low += np.minimum(all_value.sum(axis=0) - worth[here, None], 0.0).sum(axis=0)
            least[cell.group] = min(least[cell.group], float(low.min()))
            part = np.abs(all_fixed).sum() + np.abs(all_value).sum()
            scale[cell.group] = max(scale[cell.group], float(part))
        size_of = math.fsum(np.abs(worth).tolist()) * (groups + 1.0) + math.fsum(scale.tolist())
        rounding = EPS * (size + len(self.cells) + 64.0) * size_of
        return float(math.fsum(worth.tolist()) + math.fsum(least.tolist()) - rounding)

    def refine(self) -> None:
        """Cuts at the shares of the cells that are open, in both halves of those that are wide."""
        for cell in [cell for cell in self.cells if cell.open > _OPEN]:
            low, high = cell.span
            share = np.minimum(cell.share / cell.open, 1.0)
            near = cell.cuts[-1].price
            middle = math.sqrt(max(low, 0.01 * high) * high)
            wide = high > low * _NARROW
            for span in ((low, middle), (middle, high)) if wide else (cell.span,):
                cut = self.problem.level_cut(cell.group, span, self.unit, near, share)
                if not wide and cut is not None:
                    cell.cuts.append(cut)
                elif wide:
                    prices = [None, *(each.price for each in cell.cuts[1:][-_KEPT:])]
                    known = [] if cut is None else [cut]
                    self._admit(cell.group, span, known, prices if known else [])
            if wide:
                self.cells.remove(cell)

    # bounds of given groups, for moves

    def stacked(self, group: int) -> tuple[Floats, Floats, NDArray[np.int_]]:
        """All cuts of a group: fixed (n, 2), value (n, K, 2), and where each cell begins."""
        cells = [cell for cell in self.cells if cell.group == group]
        count = np.array([len(cell.cuts) for cell in cells], dtype=int)
        cuts = [cut for cell in cells for cut in cell.cuts]
        # what cannot be is dearer than what is known, and yet finite
        value = np.minimum(np.array([cut.value for cut in cuts]), 4.0 * self.unit)
        return np.array([cut.fixed for cut in cuts]), value, np.cumsum(count) - count

    def lows(self, group: int, members: NDArray[np.bool_]) -> tuple[float, Floats, Floats]:
        """Bounds of a group with these members; (K,) with one other changed; (K, K) exchanged.

        Entry k, j of the last is without k and with j.
        """
        if not any(cell.group == group for cell in self.cells):
            size = members.size
            return 0.0, np.full(size, math.inf), np.full((size, size), math.inf)
        fixed, value, begins = self.stacked(group)
        base = fixed + value[:, members].sum(axis=1)

        def least(low: Floats) -> Floats:
            """(n, ..., 2) to (...)."""
            found: Floats = np.maximum.reduceat(low.min(axis=-1), begins, axis=0).min(axis=0)
            return found

        changed = base[:, None] + np.where(members[:, None], -value, value)
        once = least(changed)
        if members.sum() == 1:
            once[members] = 0.0
        twice = np.full((members.size, members.size), math.inf)
        for k in np.flatnonzero(members):
            twice[k] = least(changed[:, k, None] + value)
        return float(least(base)) if members.any() else 0.0, once, twice
