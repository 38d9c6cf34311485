"""Whether `MinEnergy` and `MinRoundTime` find the optimum, and never claim too much for it."""

from __future__ import annotations

import math
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import fl_opt
from benchmarks import instances
from benchmarks._record import Record
from fl_opt import Infeasible, MinEnergy, MinRoundTime
from fl_opt.errors import SolverFailure

# the references are those of the tests
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from reference import exact, nonlinear

TITLE = "Correct: energy and round time"
ABOUT = """
Random rounds after the law in `benchmarks/instances.py`: K 1 to 1,000, SNR -20 to 60 dB, payloads
and bands over 6 decades, nothing rejected. A failure is an exception, an answer that breaks a limit
by more than 1e-12 of it, or a gap above 1e-9. The references share no line with the solver: the
conic program of `MinEnergy.model()` in CVXPY with Clarabel, sequential quadratic programming in
logarithms from four random starts, and golden sections inside a price search in 50 digits. The
last says for certain whether a bound is false.
"""

GAP = 1e-9
AGREES = 1e-6
PROBLEMS = ("MinEnergy", "MinRoundTime")
Judge = Callable[[str, int], "Found"]


@dataclass
class Found:
    """What some instances gave; adds up. `count` has the outcomes by name."""

    count: Counter[str] = field(default_factory=Counter)
    binds: Counter[str] = field(default_factory=Counter)
    gaps: list[float] = field(default_factory=list)
    apart: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __add__(self, other: Found) -> Found:
        return Found(*(getattr(self, name) + getattr(other, name) for name in vars(self)))


def problem(name: str, instance: instances.Instance) -> MinEnergy | MinRoundTime:
    """The problem of that name for an instance."""
    if name == "MinEnergy":
        return MinEnergy(instance.network, instance.deadline_s)
    return MinRoundTime(instance.network)


def solved(name: str, seed: int) -> Found:
    """Solve one instance as drawn and judge the certificate."""
    instance, found = instances.draw(seed), Found()
    try:
        solution = fl_opt.solve(problem(name, instance))
    except Infeasible:
        found.count["infeasible"] += 1
        return found
    except (ArithmeticError, ValueError, RuntimeError) as error:
        found.count["failed"] += 1
        found.notes.append(f"{name} {seed}: {error!r}")
        return found
    proof = solution.certificate
    found.count["feasible"] += 1
    found.gaps.append(proof.gap)
    if not proof.feasible or not proof.gap <= GAP or proof.bound > proof.cost:
        found.count["failed"] += 1
        found.notes.append(f"{name} {seed}: gap {proof.gap:.1e}, {dict(proof.violation)}")
    for limit, mask in instances.binding(instance.network, solution.allocation).items():
        found.binds[limit] += int(mask.any())
    return found


def against_cvxpy(name: str, seed: int) -> Found:
    """Compare with the conic program, K as drawn."""
    found, ours = Found(), problem(name, instances.draw(seed))
    try:
        cost = fl_opt.solve(ours, "cvxpy").certificate
    except (Infeasible, SolverFailure) as answer:
        return _unanswered(found, ours, isinstance(answer, Infeasible))
    if not cost.feasible:
        return _unanswered(found, ours, False)
    return _compared(found, ours, cost.cost, f"{name} {seed} cvxpy")


def against_nonlinear(name: str, seed: int) -> Found:
    """Compare with SLSQP, K 1 to 8."""
    instance = instances.draw(seed, size=1 + seed % 8)
    found, ours, rng = Found(), problem(name, instance), np.random.default_rng(seed)
    network = instance.network
    cost = (
        nonlinear.least_energy_j(network, instance.deadline_s, 4, rng)
        if name == "MinEnergy"
        else nonlinear.shortest_round_s(network, 4, rng)
    )
    if math.isinf(cost):
        return _unanswered(found, ours, False)
    # what SLSQP may violate, it may gain
    return _compared(found, ours, cost, f"{name} {seed} nonlinear", allowed=1e-6)


def against_exact(name: str, seed: int) -> Found:
    """Compare with 50 digits, K 1 to 3."""
    instance = instances.draw(seed, size=1 + seed % 3)
    network, found = instance.network, Found()
    try:
        solution = fl_opt.solve(problem(name, instance))
    except Infeasible:
        needed = sum(exact.least_hz(network, instance.deadline_s))
        found.count["agrees" if needed > network.band_hz else "false bound"] += 1
        return found
    proof = solution.certificate
    if name == "MinEnergy":
        price = solution.prices["band"]
        assert isinstance(price, float)
        best = exact.least_energy_j(network, instance.deadline_s, price)
    else:
        best = exact.shortest_round_s(network, proof.cost)
    apart = float((exact.mp.mpf(proof.cost) - best) / best)
    found.apart.append(apart)
    found.count["agrees"] += abs(apart) <= GAP
    if exact.mp.mpf(proof.bound) > best:
        found.count["false bound"] += 1
        found.notes.append(f"{name} {seed}: bound above the optimum")
    return found


def _unanswered(found: Found, ours: MinEnergy | MinRoundTime, says_impossible: bool) -> Found:
    """The reference has no answer: is there one?"""
    try:
        fl_opt.solve(ours)
    except Infeasible:
        found.count["agrees" if says_impossible else "no answer, rightly"] += 1
    else:
        found.count["wrongly impossible" if says_impossible else "no answer"] += 1
    return found


def _compared(
    found: Found, ours: MinEnergy | MinRoundTime, cost: float, what: str, allowed: float = 1e-11
) -> Found:
    try:
        proof = fl_opt.solve(ours).certificate
    except Infeasible:
        found.count["wrongly impossible here"] += 1
        found.notes.append(f"{what}: feasible, says the reference")
        return found
    apart = cost / proof.cost - 1.0
    found.apart.append(apart)
    found.count["agrees" if abs(apart) <= AGREES else "worse by more"] += 1
    if cost < proof.bound * (1.0 - allowed):
        found.count["false bound"] += 1
        found.notes.append(f"{what}: reference below the bound by {1.0 - cost / proof.bound:.1e}")
    return found


def _chunk(task: tuple[Judge, str, Iterable[int]]) -> Found:
    judge, name, seeds = task
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return sum((judge(name, seed) for seed in seeds), Found())


def run(judge: Judge, name: str, count: int, chunk: int = 50) -> Found:
    """All seeds below `count`, in chunks that processes share."""
    tasks = [(judge, name, range(at, min(at + chunk, count))) for at in range(0, count, chunk)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return sum(pool.map(_chunk, tasks), Found())


def measure(record: Record) -> None:
    """Solve them all, compare some."""
    count, conic, other, digits = (60, 10, 10, 4) if record.quick else (10_000, 150, 400, 100)
    shares = []
    for name in PROBLEMS:
        began = time.perf_counter()
        found = run(solved, name, count)
        feasible = found.count["feasible"]
        failed = found.count["failed"]
        what = f"{name}, {count:,} instances: failures"
        record.promise(what, failed, "none", failed == 0)
        worst = max(found.gaps)
        record.promise(f"{name}: largest certified gap", worst, "at most 1e-9", worst <= GAP)
        seconds = time.perf_counter() - began
        record.fact(f"{name}: instances that are feasible", f"{feasible:,}, all in {seconds:.0f} s")
        binds = {limit: found.binds[limit] / feasible for limit in instances.LIMITS}
        least = min(binds.values())
        record.promise(
            f"{name}: rounds in which the rarest limit binds",
            least,
            "at least 10 %",
            least >= 0.1,
            f"{least:.0%}",
        )
        for limit, share in binds.items():
            shares.append((name, limit, f"{share:.1%}"))
        record.notes += found.notes[:10]
        _references(record, name, conic, other, digits)
    record.table(
        "How often each limit binds",
        ("problem", "limit", "in so many of the feasible rounds, for any device"),
        shares,
    )


def _references(record: Record, name: str, conic: int, other: int, digits: int) -> None:
    for judge, count, what in (
        (against_cvxpy, conic, "CVXPY with Clarabel, K 1 to 1,000"),
        (against_nonlinear, other, "SLSQP, K 1 to 8"),
        (against_exact, digits, "50 digits, K 1 to 3"),
    ):
        found = run(judge, name, count, chunk=5)
        tally = found.count
        false = tally["false bound"] + tally["wrongly impossible here"]
        record.promise(f"{name} against {what}: false bounds", false, "none", false == 0)
        told = [f"{value:,} {outcome}" for outcome, value in sorted(tally.items())]
        apart = np.abs(found.apart) if found.apart else np.zeros(1)
        told.append(f"median difference {np.median(apart):.0e}, largest {apart.max():.0e}")
        record.fact(f"{name} against {what}, {count} instances", "; ".join(told))
        record.notes += found.notes[:10]
