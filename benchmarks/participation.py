"""Whether `MaxParticipation` finds the best set, and never claims too much for it."""

from __future__ import annotations

from collections import Counter

import numpy as np

import fl_opt
from benchmarks import _cells
from benchmarks._record import Record
from fl_opt.problems._reference import least_bandwidth_hz
from fl_opt.units import Floats

TITLE = "Correct: who takes part"
ABOUT = """
Random cells after `benchmarks/_cells.py`, the band 0.1 to 0.95 of what all need; four kinds of
utility in turn: log-normal, samples held, all equal, and least bandwidth plus a constant, which is
hard. The references compute each device's least bandwidth anew, by Brent's method inside golden
sections, and share no line with the solver: all 2^K sets for small K, HiGHS on the whole program
for larger ones.
"""

EQUAL = 1e-9


def instance(size: int, seed: int) -> fl_opt.MaxParticipation:
    """A cell of some size, with a utility of the kind whose turn it is."""
    rng = np.random.default_rng((seed, 7))
    network = _cells.cell(size, band=1.4, seed=seed)
    network = network.replace(band_hz=rng.uniform(0.1, 0.95) * _cells.needed_hz(network))
    kind = _cells.UTILITIES[seed % len(_cells.UTILITIES)]
    return fl_opt.MaxParticipation(network, _cells.DEADLINE_S, _cells.utility(kind, network, rng))


def best_value(problem: fl_opt.MaxParticipation, utility: Floats) -> float:
    """Value of the best of all sets."""
    network = problem.network
    weight = np.minimum(least_bandwidth_hz(network, _cells.DEADLINE_S), 2.0 * network.band_hz)
    sets = (np.arange(2**network.size)[:, None] >> np.arange(network.size)) % 2
    fits = sets @ weight <= network.band_hz
    return float((sets @ utility)[fits].max())


def measure(record: Record) -> None:
    """Compare with both references."""
    small, large = (40, 4) if record.quick else (1_000, 80)
    found = Counter[str]()
    rng = np.random.default_rng(0)
    gaps, shares = [], []
    for seed in range(small):
        problem = instance(int(rng.integers(1, 15)), seed)
        utility = np.asarray(problem.utility, dtype=float)
        solution = fl_opt.solve(problem, "core")
        best = best_value(problem, utility)
        _count(found, solution, best)
        gaps.append(solution.certificate.gap)
        shares.append(float(solution.allocation.selected.mean()))
    _told(record, found, small, "all sets tried, K 1 to 14")
    for seed in range(small, small + large):
        problem = instance(int(rng.integers(15, 201)), seed)
        solution, other = (fl_opt.solve(problem, name) for name in ("core", "mip"))
        _count(found := Counter() if seed == small else found, solution, -other.certificate.cost)
        gaps.append(solution.certificate.gap)
        shares.append(float(solution.allocation.selected.mean()))
    _told(record, found, large, "HiGHS on the whole model, K 15 to 200")
    worst = max(gaps)
    record.promise("largest certified gap of them all", worst, "at most 1e-9", worst <= 1e-9)
    low, high = np.quantile(shares, [0.05, 0.95])
    record.fact("devices that take part, 5 % to 95 % of the instances", f"{low:.0%} to {high:.0%}")


def _count(found: Counter[str], solution: fl_opt.Solution[fl_opt.Allocation], best: float) -> None:
    proof = solution.certificate
    found["equal"] += abs(-proof.cost - best) <= EQUAL * best
    found["infeasible"] += not proof.feasible
    # the reference's own rounding is allowed for
    found["false bound"] += -proof.bound < best * (1.0 - 1e-12)


def _told(record: Record, found: Counter[str], count: int, against: str) -> None:
    record.promise(
        f"as good as the reference, {against}",
        found["equal"],
        f"all {count:,}",
        found["equal"] == count,
        f"{found['equal']:,} of {count:,}",
    )
    record.promise(
        f"infeasible answers, false bounds, {against}",
        found["infeasible"] + found["false bound"],
        "none",
        found["infeasible"] + found["false bound"] == 0,
        f"{found['infeasible']}, {found['false bound']}",
    )
