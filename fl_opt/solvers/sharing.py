r"""Share many supplies among those taken, so that all budgets pay: tangents until it is decided.

    minimise  s   with  sum b <= supply of each supply,  sum e_k(b_k) <= s budget of each budget

A linear program has the known tangents in place of the convex e_k. Its amounts are tried: if the
needs there keep all budgets, the choice is possible. If not, tangents at these amounts are added.
Any weights y >= 0 of tangents prove, in floating point and whoever found them, that

    sum_k lam_k budget_k >= sum y level - sum_t max over t's members of (sum y steep) supply_t

for every possible choice, lam_k being the largest sum of y among the candidates of a budget: where
that fails, the choice is refuted. The duals of the linear program are taken for y; lam and the
maxima are prices of budgets and supplies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.certificate import FEASIBLE, verify
from fl_opt.kernels import EPS
from fl_opt.structure import Crossed, CrossedChoice, Cut
from fl_opt.units import Floats

Mask = NDArray[np.bool_]

_TURNS = 60
_TOLERANCE = 1e-10


@dataclass(frozen=True, eq=False)
class Verdict:
    """A feasible decision of a choice, or None; whether the choice is proven impossible.

    `cut` holds the tangents on which that rests.
    """

    decision: Any
    refuted: bool
    cut: Cut


class Sharing:
    """Known tangents (p,) of candidates: e_k(b) >= level - steep b."""

    def __init__(self, problem: Crossed[Any]) -> None:
        self.problem = problem
        self.choice: CrossedChoice = problem.crossed
        self.member = np.zeros(0, dtype=np.int_)
        self.level, self.steep = np.zeros(0), np.zeros(0)

    def tangents(self, taken: Mask, first: Floats) -> Cut:
        """New tangents, kept; those that rounding breaks are left out."""
        cut = self.problem.tangents(taken, first)
        good = np.isfinite(cut.value) & np.isfinite(cut.slope)
        cut = Cut(cut.members[good], cut.at[good], cut.value[good], cut.slope[good])
        self.member = np.append(self.member, cut.members)
        self.level = np.append(self.level, cut.value - cut.slope * cut.at)
        self.steep = np.append(self.steep, -cut.slope)
        return cut

    def _these(self, index: NDArray[np.int_]) -> Cut:
        return Cut(self.member[index], np.zeros(index.size), self.level[index], -self.steep[index])

    def _forget(self, known: int) -> None:
        """Keep the first `known` tangents alone."""
        self.member, self.level = self.member[:known], self.level[:known]
        self.steep = self.steep[:known]

    def filled(self, taken: Mask, first: Floats) -> Floats:
        """Amounts (m,) with the same shares above the least that use up every supply."""
        choice, least = self.choice, self.choice.least[taken]
        of, size = choice.supply_of[taken], choice.supply.size
        above = np.maximum(first - least, 0.0)
        held = np.bincount(of, above, minlength=size)
        crowd = np.bincount(of, minlength=size)
        spare = np.maximum(choice.supply - np.bincount(of, least, minlength=size), 0.0)
        spare *= 1.0 - 8.0 * EPS
        share = np.where(held[of] > 0.0, above, 1.0) / np.where(held > 0.0, held, crowd)[of]
        return np.asarray(least + spare[of] * share)

    def decide(self, taken: Mask) -> Verdict:
        """Whether a choice is possible; neither, where that is a matter of the last digits.

        New tangents are forgotten afterwards: few rows make fast programs.
        """
        known = self.member.size
        verdict = self._decided(taken)
        self._forget(known)
        return verdict

    def _decided(self, taken: Mask) -> Verdict:
        choice, nothing = self.choice, self._these(np.zeros(0, dtype=np.int_))
        of, size = choice.supply_of[taken], choice.supply.size
        low = np.bincount(of, choice.least_low[taken], minlength=size)
        if np.any(low > choice.supply * (1.0 + 32.0 * EPS)):
            return Verdict(None, True, nothing)
        least = np.bincount(of, choice.least[taken], minlength=size)
        if np.any(least > choice.supply * (1.0 + 0.5 * FEASIBLE)):
            return Verdict(None, False, nothing)
        first, cut = self.filled(taken, choice.least[taken]), nothing
        for _ in range(_TURNS):
            fresh = self.tangents(taken, first)
            need, wide = np.zeros(choice.value.size), np.zeros(choice.value.size)
            wide[taken] = first
            need[fresh.members] = fresh.value + fresh.slope * (wide[fresh.members] - fresh.at)
            spent = np.bincount(choice.budget_of, need, minlength=choice.budget.size)
            if np.all(spent <= choice.budget * (1.0 + 0.5 * FEASIBLE)):
                decision = self.problem.share(taken, first)
                if verify(self.problem, decision).feasible:
                    return Verdict(decision, False, fresh)
            found = self._relaxed(taken)
            if found is None:
                break
            before, (moved, weight) = first, found
            cut = self._these(np.flatnonzero(weight))
            if self._refuted(taken, weight):
                return Verdict(None, True, cut)
            first = self.filled(taken, moved)
            if np.all(np.abs(first - before) <= 4.0 * EPS * before):
                break
        return Verdict(None, False, cut)

    def _relaxed(self, taken: Mask) -> tuple[Floats, Floats] | None:
        """Amounts (m,) best by the tangents, and the duals (p,) of these; None if it fails."""
        from scipy.optimize import linprog
        from scipy.sparse import csr_matrix

        choice = self.choice
        some, m = np.flatnonzero(taken), int(taken.sum())
        place = np.cumsum(taken) - 1
        known = np.flatnonzero(taken[self.member])
        supply, limit = choice.supply[choice.supply_of[some]], choice.budget[choice.budget_of[some]]
        wide = np.where(supply > 0.0, supply, 1.0)
        unit = np.where((limit > 0.0) & (limit < math.inf), limit, 1.0)
        who, p = place[self.member[known]], known.size
        paid = [
            k for k in np.unique(choice.budget_of[some]).tolist() if choice.budget[k] < math.inf
        ]
        shared = np.unique(choice.supply_of[some])
        rows = np.arange(p)
        entries: list[tuple[NDArray[np.int_], NDArray[np.int_], ArrayLike]]
        entries = [(rows, who, -self.steep[known] * wide[who] / unit[who]), (rows, m + who, -1.0)]
        sides = [-self.level[known] / unit[who]]
        for at, t in enumerate(shared.tolist(), start=p):
            members = np.flatnonzero(choice.supply_of[some] == t)
            entries.append((np.full(members.size, at), members, 1.0))
            sides.append(np.array([1.0 if choice.supply[t] > 0.0 else 0.0]))
        for at, k in enumerate(paid, start=p + shared.size):
            members = np.flatnonzero(choice.budget_of[some] == k)
            entries.append((np.full(members.size, at), m + members, 1.0))
            if choice.budget[k] > 0.0:
                entries.append((np.array([at]), np.array([2 * m]), -1.0))
            sides.append(np.zeros(1))
        row = np.concatenate([each[0] for each in entries])
        column = np.concatenate([each[1] for each in entries])
        value = np.concatenate([np.broadcast_to(each[2], each[0].shape) for each in entries])
        side = np.concatenate(sides)
        floor = np.append(np.minimum(choice.least[some] / wide, 1.0), np.zeros(m + 1))
        rows_of: Any = csr_matrix((value, (row, column)), shape=(side.size, 2 * m + 1))
        limits: Any = np.column_stack([floor, np.repeat([1.0, math.inf], [m, m + 1])])
        result = linprog(
            np.append(np.zeros(2 * m), 1.0),
            A_ub=rows_of,
            b_ub=side,
            bounds=limits,
            method="highs",
            options={
                "primal_feasibility_tolerance": _TOLERANCE,
                "dual_feasibility_tolerance": _TOLERANCE,
            },
        )
        if result.x is None:
            return None
        weight = np.zeros(self.member.size)
        weight[known] = np.maximum(-result.ineqlin.marginals[:p], 0.0) / unit[who]
        return result.x[:m] * wide, weight

    def _refuted(self, taken: Mask, weight: Floats) -> bool:
        """Whether weights (p,) of the tangents prove that no shares keep all budgets."""
        choice, size = self.choice, taken.size
        total = np.bincount(self.member, weight, minlength=size)
        steep = np.bincount(self.member, weight * self.steep, minlength=size)
        price = np.zeros(choice.budget.size)
        np.maximum.at(price, choice.budget_of, total)
        low = np.where(taken, choice.least_low, 0.0)
        dearest = np.zeros(choice.supply.size)
        np.maximum.at(dearest, choice.supply_of, steep)
        spare = choice.supply - np.bincount(choice.supply_of, low, minlength=choice.supply.size)
        with np.errstate(invalid="ignore"):
            paid = np.where(price > 0.0, price * choice.budget, 0.0)
        terms = np.concatenate(
            [weight * self.level, -steep * low, -dearest * np.maximum(spare, 0.0), -paid]
        )
        # of every term a few roundings, of the totals as many as they have parts
        rounding = (16.0 + 2.0 * self.member.size) * EPS * float(np.abs(terms).sum())
        return math.fsum(terms.tolist()) > rounding
