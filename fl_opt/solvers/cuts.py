"""The least sum of cuts over all groupings: a linear program in HiGHS that grows by rows."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_opt.kernels import EPS
from fl_opt.structure import GroupCut
from fl_opt.units import Floats

TOLERANCE = 1e-10
"""Feasibility tolerance of HiGHS; costs are in units of a known one."""
_DROPPED = 1e-9
"""HiGHS takes entries of a matrix up to this for zero."""


class CutMaster:
    """Minimise sum z over x (K, E) in the simplex of each member, z_i >= each cut of part i and 0.

    `known` holds the keys of the cuts; `unit` is a known cost: no bound is above twice that.
    """

    def __init__(self, able: NDArray[np.bool_], unit: float) -> None:
        import highspy

        self.able, self.unit = able, unit if unit > 0.0 else 1.0
        self.known: set[Hashable] = set()
        self.cuts: list[GroupCut] = []
        self.size = np.zeros(able.shape[1])
        size, groups = able.shape
        self._highs: Any = highspy.Highs()
        options = {
            "output_flag": False,
            "threads": 1,
            "mip_rel_gap": 0.0,
            "mip_feasibility_tolerance": TOLERANCE,
            "primal_feasibility_tolerance": TOLERANCE,
            "dual_feasibility_tolerance": TOLERANCE,
        }
        for name, option in options.items():
            self._highs.setOptionValue(name, option)
        nothing: tuple[int, NDArray[np.int32], Floats] = (0, np.zeros(0, np.int32), np.zeros(0))
        for free in able.ravel():
            self._highs.addCol(0.0, 0.0, float(free), *nothing)
        for _ in range(groups):
            self._highs.addCol(1.0, 0.0, math.inf, *nothing)
        for k in range(size):
            index = np.arange(k * groups, (k + 1) * groups, dtype=np.int32)
            self._highs.addRow(1.0, 1.0, groups, index, np.ones(groups))

    def add(self, key: Hashable, cut: GroupCut) -> None:
        """One more cut."""
        self.known.add(key)
        self.cuts.append(cut)
        value = np.where(self.able, cut.coefficient, 0.0) / self.unit
        least = np.where(self.able, value, math.inf).min(axis=1, keepdims=True)
        # twice the known cost is dear enough, and large coefficients cost digits
        spare = max(2.0 - cut.constant / self.unit - math.fsum(least.ravel().tolist()), 0.0)
        value = np.minimum(value, least + spare)
        little = np.abs(value) <= 2.0 * _DROPPED
        # what would be dropped is the least it can be, whoever is where
        constant = cut.constant / self.unit
        constant += math.fsum(np.where(little, value, 0.0).min(axis=1, initial=0.0).tolist())
        value = np.where(little, 0.0, value)
        size = float(np.abs(value).max(axis=1).sum())
        self.size[cut.part] = max(self.size[cut.part], size)
        value = value.ravel()
        index = np.flatnonzero(value)
        columns = np.append(index, self.able.size + cut.part).astype(np.int32)
        entries = np.append(value[index], -1.0)
        self._highs.addRow(-math.inf, -constant, columns.size, columns, entries)

    def _run(self, whole: bool) -> None:
        import highspy

        kind = highspy.HighsVarType
        wanted = kind.kInteger if whole else kind.kContinuous
        for column in range(self.able.size):
            self._highs.changeColIntegrality(column, wanted)
        self._highs.run()

    def relax(self) -> tuple[float, Floats]:
        """A lower bound of the cost, true in floating point, and the relaxed choices (K, E)."""
        self._highs.setOptionValue("time_limit", math.inf)
        self._run(whole=False)
        solution = self._highs.getSolution()
        share = np.array(solution.col_value)[: self.able.size].reshape(self.able.shape)
        return self.combined(-np.array(solution.row_dual)[self.able.shape[0] :]), share

    def combined(self, weight: Floats) -> float:
        """The bound that cuts have together with any weights (c,)."""
        part = np.array([cut.part for cut in self.cuts])
        weight = np.maximum(np.nan_to_num(weight), 0.0)
        # of one part at most one cut counts: weights sum to at most 1
        whole = np.bincount(part, weight, minlength=self.able.shape[1])
        weight = weight / np.maximum(whole, 1.0)[part] * (1.0 - 8.0 * EPS * (part.size + 1.0))
        value = np.zeros(self.able.shape)
        size = np.zeros(self.able.shape)
        for each, cut in zip(weight, self.cuts, strict=True):
            value += each * cut.coefficient
            size += each * np.abs(cut.coefficient)
        fixed = [each * cut.constant for each, cut in zip(weight, self.cuts, strict=True)]
        least = np.where(self.able, value, math.inf).min(axis=1)
        rounding = (part.size + 8.0) * EPS * float(np.where(self.able, size, 0.0).max(axis=1).sum())
        rounding += 8.0 * EPS * math.fsum(map(abs, fixed))
        return math.fsum(fixed) + math.fsum(least.tolist()) - rounding

    def solve(self, nodes: int, time_limit_s: float) -> tuple[float, NDArray[np.int_] | None, bool]:
        """The bound that HiGHS proves over whole choices, its grouping, and whether it finished.

        Each choice and each cut may be violated by the tolerance. A cut costs as much, of which
        one counts in each part; a choice as much times its largest coefficient. That is taken off,
        twice.
        """
        import highspy

        self._highs.setOptionValue("mip_max_nodes", nodes)
        self._highs.setOptionValue("time_limit", time_limit_s)
        self._run(whole=True)
        info, solution = self._highs.getInfo(), self._highs.getSolution()
        margin = 2.0 * TOLERANCE * (self.size.size + float(self.size.sum()))
        low = (info.mip_dual_bound - margin) * self.unit
        whole = self._highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
        if not solution.value_valid:
            return low, None, whole
        share = np.array(solution.col_value)[: self.able.size].reshape(self.able.shape)
        return low, np.argmax(np.where(self.able, share, -1.0), axis=1), whole
