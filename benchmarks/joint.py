"""Whether `JointSchedule` finds the best round, how far its prices alone get, and how fast."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

import fl_opt
from benchmarks import _cells
from benchmarks._record import Record
from fl_opt.solvers.prices import TwoPrices

TITLE = "Correct: the joint schedule"
ABOUT = """
Random cells after `benchmarks/_cells.py`, the band 0.4 to 1.2 of what all need, the energy of the
round 0.15 to 0.7 of the least that all would need; utilities of four kinds in turn (log-normal,
samples held, all equal, least bandwidth plus a constant). The references are all 2^K sets, each
judged by a bisection of its price, and outer approximation with HiGHS, which shares neither bound
nor search with the solver; where it has no proof after a minute, its answer is only to be reached.
E_tot binds where the optimum without it is better.
"""

EQUAL = 1e-9


def instance(size: int, seed: int) -> fl_opt.JointSchedule:
    """A cell of some size, short of band or of energy or of both."""
    rng = np.random.default_rng((seed, 8))
    network = _cells.cell(size, band=1.4, seed=seed)
    needed_hz = _cells.needed_hz(network)
    ample = network.replace(band_hz=max(network.band_hz, 1.2 * needed_hz))
    least_j = fl_opt.solve(fl_opt.MinEnergy(ample, _cells.DEADLINE_S)).certificate.cost
    kind = _cells.UTILITIES[seed % len(_cells.UTILITIES)]
    utility = _cells.utility(kind, network, rng)
    network = network.replace(band_hz=rng.uniform(0.4, 1.2) * needed_hz)
    budget_j = rng.uniform(0.15, 0.7) * least_j
    return fl_opt.JointSchedule(network, _cells.DEADLINE_S, budget_j, utility)


@dataclass
class Tally:
    """What some instances gave."""

    count: int = 0
    equal: int = 0
    undecided: int = 0
    wrong: int = 0
    bound_by_energy: int = 0
    between: int = 0
    gaps: list[float] = field(default_factory=list)

    def add(self, problem: fl_opt.JointSchedule, reference: str, limit_s: float | None) -> None:
        """Solve by prices and by the reference, compare."""
        ours = fl_opt.solve(problem, "prices")
        theirs = fl_opt.solve(problem, reference, time_limit_s=limit_s)
        cost, bound = ours.certificate.cost, ours.certificate.bound
        other = theirs.certificate
        free = fl_opt.solve(
            fl_opt.MaxParticipation(problem.network, problem.deadline_s, problem.utility), "core"
        )
        self.count += 1
        proven = other.gap <= EQUAL
        reached, passed = cost - other.cost, other.cost - cost
        size = EQUAL * abs(other.cost)
        self.equal += reached <= size and (not proven or passed <= size)
        self.undecided += not proven
        false = bound > other.cost + 1e-12 * abs(other.cost)
        self.wrong += false or not ours.certificate.feasible
        self.bound_by_energy += free.certificate.cost < cost * (1.0 + 1e-12)
        self.between += 0.1 <= float(ours.allocation.selected.mean()) <= 0.9
        self.gaps.append(ours.certificate.gap)


def measure(record: Record) -> None:
    """Compare with both references; price a large cell."""
    small, large = (12, 2) if record.quick else (200, 40)
    few, many = Tally(), Tally()
    rng = np.random.default_rng(0)
    for seed in range(small):
        few.add(instance(int(rng.integers(2, 11)), seed), "enumerate", None)
    for seed in range(small, small + large):
        size = int(rng.integers(11, 41 if record.quick else 201))
        many.add(instance(size, seed), "outer", 60.0)
    _told(record, few, "all sets tried, K 2 to 10")
    _told(record, many, "outer approximation, K 11 to 200")
    both = few.count + many.count
    binding = (few.bound_by_energy + many.bound_by_energy) / both
    between = (few.between + many.between) / both
    record.promise(
        "instances in which E_tot binds", binding, "at least 50 %", binding >= 0.5, f"{binding:.0%}"
    )
    record.fact("instances with 10 to 90 % of the devices selected", f"{between:.0%}")
    _large(record)


def _told(record: Record, tally: Tally, against: str) -> None:
    record.promise(
        f"as good as the reference, {against}",
        tally.equal,
        f"all {tally.count:,}",
        tally.equal == tally.count,
        f"{tally.equal:,} of {tally.count:,}",
    )
    record.promise(
        f"infeasible answers or false bounds, {against}", tally.wrong, "none", tally.wrong == 0
    )
    if tally.undecided:
        record.fact(f"references that stop before their proof, {against}", f"{tally.undecided}")
    worst, median = max(tally.gaps), float(np.median(tally.gaps))
    record.fact(f"certified gap, {against}", f"median {median:.0e}, largest {worst:.0e}")


def _large(record: Record) -> None:
    size = 500 if record.quick else 10_000
    rows = []
    for seed, kind in enumerate(_cells.UTILITIES):
        problem = instance(size, seed)
        first = TwoPrices(core=0)(problem)
        closed = fl_opt.solve(problem, "prices")
        rows.append(
            (
                kind,
                f"{first.certificate.gap:.1e}",
                f"{closed.certificate.gap:.1e}",
                f"{closed.allocation.selected.mean():.0%}",
            )
        )
    record.table(
        f"Certified gap at K = {size:,}: by the two prices and rounding alone, and with the search "
        "of the core",
        ("utility", "prices alone", "with the core", "selected"),
        rows,
    )
    record.fact(
        f"price gap at K = {size:,}, log-normal utility",
        f"{rows[0][1]}, with the core {rows[0][2]}",
    )
