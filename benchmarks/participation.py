"""Whether `MaxParticipation` finds the best set, and never claims too much for it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

import fl_opt
from benchmarks import _cells
from benchmarks._record import Record
from fl_opt.problems._reference import least_bandwidth_hz

TITLE = "Correct: who takes part"
ABOUT = """
Random cells after `benchmarks/_cells.py`, the band 0.1 to 0.95 of what all need; four kinds of
utility in turn: log-normal, samples held, all equal, and least bandwidth plus a constant, which is
hard. The references compute each device's least bandwidth anew, by Brent's method inside golden
sections, and share no line with the solver: all 2^K sets for small K, HiGHS on the whole program
for larger ones, given 10 s: where it has no proof by then, its answer is only to be reached.
"""

EQUAL = 1e-9
LIMIT_S = 10.0
HARD = _cells.UTILITIES.index("need plus a constant")


def instance(size: int, seed: int) -> fl_opt.MaxParticipation:
    """A cell of some size, with a utility of the kind whose turn it is."""
    rng = np.random.default_rng((seed, 7))
    network = _cells.cell(size, band=1.4, seed=seed)
    network = network.replace(band_hz=rng.uniform(0.1, 0.95) * _cells.needed_hz(network))
    kind = _cells.UTILITIES[seed % len(_cells.UTILITIES)]
    return fl_opt.MaxParticipation(network, _cells.DEADLINE_S, _cells.utility(kind, network, rng))


def best_value(problem: fl_opt.MaxParticipation) -> float:
    """Value of the best of all sets."""
    network, utility = problem.network, np.asarray(problem.utility, dtype=float)
    weight = np.minimum(least_bandwidth_hz(network, _cells.DEADLINE_S), 2.0 * network.band_hz)
    sets = (np.arange(2**network.size)[:, None] >> np.arange(network.size)) % 2
    fits = sets @ weight <= network.band_hz
    return float((sets @ utility)[fits].max())


def measure(record: Record) -> None:
    """Compare with both references."""
    small, large = (40, 4) if record.quick else (1_000, 80)
    few, many = Tally(), Tally()
    rng = np.random.default_rng(0)
    for seed in range(small):
        problem = instance(int(rng.integers(1, 15)), seed)
        few.add(fl_opt.solve(problem, "core"), best_value(problem), True)
    for seed in range(small, small + large):
        problem = instance(int(rng.integers(15, 201)), seed)
        other = fl_opt.solve(problem, "mip", time_limit_s=LIMIT_S).certificate
        many.add(fl_opt.solve(problem, "core"), -other.cost, other.gap <= EQUAL)
    few.tell(record, "all sets tried, K 1 to 14")
    many.tell(record, "HiGHS on the whole model, K 15 to 200")
    for tally, what in ((few, "K 1 to 14"), (many, "K 15 to 200")):
        kinds = len(_cells.UTILITIES)
        hard = [gap for k, gap in enumerate(tally.gaps) if k % kinds == HARD]
        ordinary = [gap for k, gap in enumerate(tally.gaps) if k % kinds != HARD]
        record.fact(
            f"largest certified gap, {what}",
            f"{max(ordinary):.1e}, of the hard utility {max(hard):.1e}",
        )
    low, high = np.quantile(few.shares + many.shares, [0.05, 0.95])
    record.fact("devices that take part, 5 % to 95 % of the instances", f"{low:.0%} to {high:.0%}")


@dataclass
class Tally:
    """What some instances gave."""

    equal: int = 0
    undecided: int = 0
    wrong: int = 0
    gaps: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    def add(self, solution: fl_opt.Solution[fl_opt.Allocation], best: float, proven: bool) -> None:
        """Compare an answer with the reference's value; unproven, that is only to be reached."""
        proof = solution.certificate
        value = -proof.cost
        self.equal += value >= best * (1.0 - EQUAL) and (not proven or value <= best * (1 + EQUAL))
        self.undecided += not proven
        # the reference's own rounding is allowed for
        self.wrong += not proof.feasible or -proof.bound < best * (1.0 - 1e-12)
        self.gaps.append(proof.gap)
        self.shares.append(float(solution.allocation.selected.mean()))

    def tell(self, record: Record, against: str) -> None:
        """Add the figures."""
        count = len(self.gaps)
        record.promise(
            f"as good as the reference, {against}",
            self.equal,
            f"all {count:,}",
            self.equal == count,
            f"{self.equal:,} of {count:,}",
        )
        record.promise(
            f"infeasible answers or false bounds, {against}", self.wrong, "none", self.wrong == 0
        )
        record.fact(
            f"references without a proof after {LIMIT_S:.0f} s, {against}", f"{self.undecided}"
        )
