"""Every set of few candidates tried: the reference of `JointSchedule`, without its prices.

A set is possible iff its least energy is within the budget. That is decided by halving a bracket
of the price of the band, until weak duality refutes the set or a decision within the budget is
found.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.certificate import FEASIBLE
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.problems.min_energy import MinEnergy

if TYPE_CHECKING:
    from fl_opt.problems.joint_schedule import JointSchedule

MOST = 20
"""Candidates whose sets can be listed."""


def subsets(problem: JointSchedule) -> Iterator[tuple[Allocation, float]]:
    """Decisions, each with a lower bound of what its set costs, the most useful sets first."""
    choice = problem.choice
    size = choice.value.size
    if size > MOST:
        raise InvalidInput("candidates", size, f"at most {MOST}", 'solve with solver="outer"')
    masks = (np.arange(2**size)[:, None] >> np.arange(size)) % 2 == 1
    utility, least, least_low = (
        masks @ column for column in (choice.value, choice.least, choice.least_low)
    )
    alone_j = np.zeros(size)
    for k in np.flatnonzero(choice.least <= choice.supply):
        alone_j[k] = least_energy(problem.rest(np.arange(size) == k), math.inf, True)[1]
    energy_low_j = masks @ alone_j * (1.0 - 32.0 * EPS)
    lowest = choice.charge * energy_low_j - utility * (1.0 + 32.0 * EPS)
    best = math.inf
    for row in np.argsort(lowest, kind="stable"):
        taken, gained = masks[row], float(utility[row])
        if lowest[row] >= best:
            return
        if energy_low_j[row] > choice.budget:
            continue
        if least[row] > choice.supply * (1.0 + FEASIBLE):
            if least_low[row] <= choice.supply * (1.0 + 32.0 * EPS):
                # neither fits nor is refuted in floating point: its bound stays
                yield problem.join(np.zeros_like(taken), None), float(lowest[row])
            continue
        if not taken.any():
            best = 0.0
            yield problem.join(taken, None), 0.0
            continue
        spare_j = (best + gained) / choice.charge if choice.charge > 0.0 else math.inf
        limit_j = min(choice.budget, spare_j)
        found, low_j = least_energy(problem.rest(taken), limit_j, choice.charge > 0.0)
        low = choice.charge * low_j - gained * (1.0 + 32.0 * EPS)
        if found is not None:
            decision = problem.join(taken, found)
            best = min(best, problem.cost(decision))
            yield decision, low
        elif low_j <= limit_j:
            # neither possible nor refuted in floating point: its bound stays, its decision goes
            yield problem.join(np.zeros_like(taken), None), low


def least_energy(
    problem: MinEnergy, budget_j: float, exact: bool, gap: float = 1e-13
) -> tuple[Allocation | None, float]:
    """A decision within the budget, or None, and a lower bound of the least energy [J].

    The search ends as soon as the budget is decided, or, if `exact`, at the least energy, known to
    a relative `gap`.
    """
    low, high, price = 0.0, math.inf, problem.price_guess()
    found, bound = None, 0.0
    least = math.inf
    for _ in range(120):
        response = problem.respond(price)
        bound = max(bound, problem.dual(price, response)[0])
        if bound > budget_j:
            return None, bound
        decision = problem.settle(response)
        energy = problem.cost(decision)
        if energy < least and energy <= budget_j * (1.0 + FEASIBLE):
            found, least = decision, energy
        if found is not None and (not exact or least - bound <= gap * least):
            break
        low, high = (price, high) if response.demand > problem.supply else (low, price)
        if high <= low * (1.0 + 1e-14):
            break
        reach = price * (8.0 if low == price else 0.125)
        price = reach if low == 0.0 or high == math.inf else math.sqrt(low * high)
    return found, bound
