"""What local moves lose against the optimal association of devices to edge servers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks._record import Record
from fl_opt import EdgeAssociation, EdgeNetwork, solve
from fl_opt.problems.edge_association import Counted
from fl_opt.solvers.grouping import Grouping, PartSearch
from fl_opt.units import Floats

TITLE = "The price of heuristics: which edge"
ABOUT = """
[EdgeAssociation](formulations/edge_association.md) of 6 devices and 2 edges in a square kilometre
with Rayleigh fading, a second worth 0.003 to 0.3 J: the cost of two rules above the optimum, which
is proven to 1e-8. "Quickest" brings every device where its upload is quickest at equal shares of
the band so far; "moves" goes on from there by transfers and exchanges until none is better, as HFEL
does (Luo et al., IEEE TWC 2020, arXiv 2002.11343). Bands, powers and clocks are optimal in all.
Then 20 devices and 3 edges, a second worth 0.003 to 10 J, which are too many to be closed: the gap
that is left after 8 s each.
"""

LIMIT_S = 8.0
RULES = ("quickest", "moves")


def network(rng: np.random.Generator, size: int = 6, edges: int = 2) -> EdgeNetwork:
    """Devices and edges at random places."""
    places, servers = rng.uniform(0.0, 1000.0, (size, 2)), rng.uniform(0.0, 1000.0, (edges, 2))
    distance = np.linalg.norm(places[:, None] - servers, axis=2) + 10.0
    return EdgeNetwork(
        gain=10.0**-3.5 * distance**-3.0 * rng.exponential(size=(size, edges)),
        edge_band_hz=rng.uniform(5e5, 2e6, edges),
        power_max_w=0.2,
        cpu_min_hz=1e8,
        cpu_max_hz=rng.uniform(1e9, 3e9, size),
        capacitance=1e-28,
        cycles=rng.uniform(1e8, 1e9, size),
        upload_bit=rng.uniform(2e5, 2e6, size),
    )


def losses(problem: EdgeAssociation) -> tuple[Floats, float]:
    """Cost of each rule relative to the optimum, less one, and the gap of the proof."""
    best = solve(problem).certificate
    part = PartSearch()
    keys: Any = problem.keys(problem.start())
    quickest = math.fsum(part(problem.part(key)).certificate.cost for key in keys)
    moved = Grouping(groupings=0)(problem).certificate.cost
    return np.array([quickest, moved]) / best.cost - 1.0, best.gap


def measure(record: Record) -> None:
    """Tabulate how far above the optimum the rules end."""
    count = 3 if record.quick else 40
    rows, widest = [], 0.0
    kinds: tuple[Counted, ...] = ("sum", "max")
    for rounds in kinds:
        lost = []
        for seed in range(count):
            rng = np.random.default_rng(seed)
            worth = 10.0 ** rng.uniform(-2.5, -0.5)
            loss, gap = losses(EdgeAssociation(network(rng), worth, rounds))
            lost.append(loss)
            widest = max(widest, gap)
        for rule, loss in zip(RULES, np.array(lost).T, strict=True):
            told = (f"{np.quantile(loss, q):.2%}" for q in (0.5, 0.9, 1.0))
            rows.append([rounds, rule, f"{np.mean(loss <= 1e-7):.0%}", f"{loss.mean():.2%}", *told])
    columns = ("rounds", "rule", "optimal", "mean", "median", "90 %", "worst")
    record.table(f"Cost above the optimum in {count} rounds of each kind", columns, rows)
    record.promise("largest gap of the optimum", widest, "<= 1e-7", widest <= 1e-7)
    for rounds in kinds:
        record.fact(f"20 devices, 3 edges, {rounds} of the rounds: gap left", _left(record, rounds))


def _left(record: Record, rounds: Counted) -> str:
    """Gaps of rounds that are too large to be closed."""
    count, size, limit_s = (2, 6, 1.0) if record.quick else (20, 20, LIMIT_S)
    gaps = []
    for seed in range(count):
        rng = np.random.default_rng([seed, size])
        problem = EdgeAssociation(network(rng, size, 3), 10.0 ** rng.uniform(-2.5, 1.0), rounds)
        gaps.append(solve(problem, time_limit_s=limit_s).certificate.gap)
    quarter, half, most = np.quantile(gaps, (0.75, 0.5, 1.0))
    small = f"{np.mean(np.array(gaps) <= 0.01):.0%} below 1 %"
    return f"median {half:.1%}, three quarters {quarter:.1%}, largest {most:.1%}; {small}"
