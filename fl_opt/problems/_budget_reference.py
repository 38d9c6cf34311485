"""Sets and lengths of rounds by trying all sets: the reference of `BudgetedTraining`.

A set is first tried at the length at which it would be as good as the best so far: it is left out
where the least bandwidths there, found device by device, do not fit. Else its shortest round is a
conic program, and the bandwidths a little below that length say how good the program is. Neither
shares anything with the knapsacks, the bisection and the intervals of the solver.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.errors import Infeasible, InvalidInput
from fl_opt.network import Network
from fl_opt.problems._conic import fdma_model
from fl_opt.problems._reference import least_bandwidth_hz

if TYPE_CHECKING:
    from fl_opt.problems.budgeted_training import BudgetedTraining

MOST = 12
"""Devices whose sets are tried."""
_DIGITS = 1e-9
"""What bandwidths of the reference may be off by."""


def sets(problem: BudgetedTraining) -> Iterator[tuple[Allocation, float]]:
    """The shortest round of each set that may be better than those before, with a bound."""
    network, worth = problem.network, problem.worth
    able = [int(k) for k in np.flatnonzero(worth > 0.0) if shortest(network[[k]]) is not None]
    if len(able) > MOST:
        raise InvalidInput(
            "devices that could take part",
            len(able),
            f"at most {MOST} to try all their sets",
            'solve with solver="steps"',
        )
    masks = (np.arange(1, 2 ** len(able))[:, None] >> np.arange(len(able))) % 2 == 1
    best = np.inf
    # the most useful sets first: they are seldom the worst
    for mask in masks[np.argsort(-(masks @ worth[able]), kind="stable")]:
        chosen = np.zeros(network.size, dtype=bool)
        chosen[np.array(able)[mask]] = True
        here = network[chosen]
        rounds = float(problem.convergence.rounds(worth[chosen].sum()))
        if not fits(here, best / rounds):
            continue
        found = shortest(here)
        if found is None:
            continue
        decision = problem.join(chosen, found)
        cost = problem.cost(decision)
        best = min(best, cost)
        yield decision, _below(here, cost / rounds) * rounds


def fits(network: Network, length_s: float) -> bool:
    """Whether everybody can take part in a round of a length, or it is not clear."""
    if not np.isfinite(length_s):
        return True
    if length_s <= 0.0:
        return False
    needed = float(least_bandwidth_hz(network, length_s * (1.0 + _DIGITS)).sum())
    return needed <= network.band_hz * (1.0 + _DIGITS)


def _below(network: Network, length_s: float) -> float:
    """A length near `length_s` at which the round is refuted; 0 where none is that near."""
    for missing in 10.0 ** np.arange(-8.0, -2.0):
        length = length_s * (1.0 - missing)
        if not fits(network, length):
            return float(length)
    return 0.0


def shortest(network: Network) -> Allocation | None:
    """The shortest round of all devices by a conic program; None where there is none."""
    import cvxpy

    try:
        model = fdma_model(network)
        with warnings.catch_warnings():
            # "solution may be inaccurate": the bandwidths say how inaccurate
            warnings.simplefilter("ignore", UserWarning)
            model.program.solve(
                solver=cvxpy.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10
            )
    except Infeasible:
        return None
    if model.program.status not in (cvxpy.OPTIMAL, cvxpy.OPTIMAL_INACCURATE):
        return None
    return model.decision()
