"""Every association tried, what is shared at the edges as conic programs: the reference.

For the sum of the durations each edge is a program of its own, solved once for each set of devices;
for the longest, all edges are one program with a common end. Moves, cuts and master have no part
in it. The prices of the programs give each association its own bound, by weak duality.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fl_opt.certificate import Solution, verify
from fl_opt.errors import InvalidInput, SolverFailure
from fl_opt.problems._conic import FdmaProgram
from fl_opt.problems._edge_rounds import Together
from fl_opt.problems.edge_network import EdgeAllocation
from fl_opt.problems.time_energy import TimeEnergyTradeoff

if TYPE_CHECKING:
    from fl_opt.problems.edge_association import EdgeAssociation, Key

MOST = 10_000
"""Associations that are tried."""


def associations(problem: EdgeAssociation) -> Iterator[tuple[EdgeAllocation, float]]:
    """The best sharing of each association that is possible, with the bound at its prices."""
    count = math.prod(int(row.sum()) for row in problem.able)
    if count > MOST:
        raise InvalidInput(
            "associations", count, f"at most {MOST:,} to try them all", 'solve with "grouping"'
        )
    problem.start()

    @cache
    def shared(key: Key) -> Solution[Any]:
        return _shared(problem.part(key))

    rows = np.arange(problem.network.size)
    for choice in itertools.product(*(np.flatnonzero(row) for row in problem.able)):
        group = np.array(choice, dtype=int)
        found = {key: shared(key) for key in problem.keys(group)}
        decision = problem.join(group, found)
        cost = problem.cost(decision)
        cuts = [problem.cut(key, each, cost) for key, each in found.items()]
        low = math.fsum(cut.constant + float(cut.coefficient[rows, group].sum()) for cut in cuts)
        yield decision, min(low, cost)


def _shared(part: Any) -> Solution[Any]:
    """The best sharing of a part, with the prices of its bands."""
    import cvxpy

    edges: Sequence[TimeEnergyTradeoff] = part.edges if isinstance(part, Together) else [part]
    worth = sum(edge.joule_per_s for edge in edges)
    networks = [edge.network for edge in edges]
    programs = [FdmaProgram(network, None, worth) for network in networks]
    if len(programs) > 1:
        # all edges together cost no more than each by itself, at its own best end
        longest = 2.0 * sum(each.unit_j / worth + each.unit_s for each in programs)
        programs = [FdmaProgram(network, None, worth, longest) for network in networks]
    unit_j = sum(each.unit_j for each in programs)
    unit_s = max(each.unit_s for each in programs)
    end = cvxpy.Variable()
    cost = (worth * unit_s / unit_j) * end
    limits: list[Any] = []
    for each in programs:
        cost += (each.unit_j / unit_j) * each.spent
        limits += [limit for limit in each.limits.values() if limit.size]
        limits.append((each.unit_s / unit_s) * each.end <= end)
    program = cvxpy.Problem(cvxpy.Minimize(cost), limits)
    with warnings.catch_warnings():
        # "solution may be inaccurate": the bound says how inaccurate
        warnings.simplefilter("ignore", UserWarning)
        options = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-10)
        with contextlib.suppress(cvxpy.error.SolverError):
            program.solve(solver=cvxpy.CLARABEL, **options)
    if program.status not in (cvxpy.OPTIMAL, cvxpy.OPTIMAL_INACCURATE):
        raise SolverFailure("enumerate", "Clarabel gave no answer", 'solve with "grouping"')
    seconds = float(end.value) * unit_s
    found = tuple(each.decision().replace(deadline_s=seconds) for each in programs)
    price = [
        max(float(each.limits["band"].dual_value), 0.0) * unit_j / network.band_hz
        for each, network in zip(programs, networks, strict=True)
    ]
    decision = found if isinstance(part, Together) else found[0]
    judged = verify(part, decision)
    return Solution(decision, judged, {"band": np.array(price)}, "cvxpy", 0.0)
