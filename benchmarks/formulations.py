"""Every formulation: how fast it is solved, how near the proof is, and whether it ever fails."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

import fl_opt
from benchmarks._record import Record
from benchmarks._timing import Yardstick, slope, timed
from benchmarks.laws import LAWS, Law
from fl_opt import Certificate, Infeasible, InvalidInput, Solution
from fl_opt.catalogue import formulations
from fl_opt.errors import SolverFailure
from fl_opt.solving import solvers_for

TITLE = "Every formulation"
ABOUT = """
Every formulation of `fl-opt list`, on random instances by a law of its own (`benchmarks/laws`),
solved by the solver that `solve` takes by itself. A formulation without a reference offers the
package no second model of the whole problem; its tests compare it with other methods.

- *How fast*: at three sizes, the median of up to five draws, each solved once from nothing, in
  passes and in seconds; *growth* is the slope of ln time on ln size. *Speed-up* is the time of the
  reference over ours on the same instance, at the largest size of a short ladder that it finishes
  within 60 s, no more than a thousandth above our cost. "ladder ends" says that it finished every
  size that was asked for, "none finished" that it took longer or ended higher.
- *How near*: up to 1,000 instances, fewer where ten minutes of processor time are spent before.
  *Impossible* are those refused as infeasible. The *gap* is (cost - bound)/|cost|, or cost - bound
  where the cost is a contraction or a connectivity. *Binds least* is the constraint that binds in
  the smallest share of the solved instances: some device uses it to 1e-7 of its limit, or, where
  choices of whole devices never meet it exactly, the optimum without it is better.
- *Failures* are answers that violate a constraint or have no bound, bounds above our cost or that
  of the reference, refusals of instances that the reference solves, and solvers that give up.
  *Compared* counts the small instances that were also solved by the reference.
"""

REFERENCES = ("cvxpy", "outer", "mip", "enumerate")
MET, EQUAL, REACHED, CLOSED = 1e-7, 1e-9, 1e-3, 1e-6
CLOCK_S = time.get_clock_info("process_time").resolution
STARTS = (0, 1000, 2000)
"""Where the draws begin that a reference is tried on, one after another, until it finishes one."""


@dataclass(frozen=True)
class Budget:
    """How much is measured of each formulation, and for how long."""

    instances: int
    gaps_s: float
    compared: int
    compared_s: float
    draws: int
    draws_s: float
    limit_s: float


FULL = Budget(1000, 600.0, 50, 4.0, 5, 1.0, 60.0)
QUICK = Budget(20, 0.3, 2, 0.1, 1, 0.1, 1.0)
QUICK_SIZES = (3, 5, 8)


@dataclass
class Tally:
    """What the random instances of a formulation gave."""

    solved: int = 0
    impossible: int = 0
    compared: int = 0
    gap: float = 0.0
    failures: list[str] = field(default_factory=list)
    solvers: Counter[str] = field(default_factory=Counter)
    proofs: Counter[str] = field(default_factory=Counter)
    limited: set[str] = field(default_factory=set)
    bound: Counter[str] = field(default_factory=Counter)

    def add(self, law: Law, solution: Solution[Any]) -> None:
        """Count an answer, its gap and what is wrong with it."""
        proof = solution.certificate
        self.solved += 1
        self.solvers[solution.solver] += 1
        self.proofs[proof.proof] += 1
        gap = _gap(law, proof)
        if gap == math.inf:
            self.failures.append("no bound")
        else:
            self.gap = max(self.gap, gap)
        if not proof.feasible:
            self.failures.append(f"violates {', '.join(proof.violation)}")
        if _above(proof.bound, proof.cost):
            self.failures.append("bound above its own cost")

    def share(self, law: Law) -> tuple[str, float]:
        """The constraint that binds in the smallest share of instances, of those that can."""
        shares = [(self.bound[name] / self.solved, name) for name in self.limited - set(law.idle)]
        least, name = min(shares, default=(1.0, ""))
        return name, least


def _gap(law: Law, proof: Certificate) -> float:
    """The gap, relative to the scale of the law where that is larger; infinite without a bound."""
    if not math.isfinite(proof.bound):
        return math.inf
    size = max(abs(proof.cost), abs(proof.bound), law.scale, float(np.finfo(float).tiny))
    return max(proof.cost - proof.bound, 0.0) / size


def _above(bound: float, cost: float) -> bool:
    return bound > cost + 1e-12 * abs(cost)


def binding(law: Law, problem: Any, solution: Solution[Any]) -> dict[str, bool]:
    """Whether each constraint that has a finite limit binds."""
    found = {}
    cost = solution.certificate.cost
    for name, excess in problem.excess(solution.allocation).items():
        if not np.isfinite(excess.limit).any():
            continue
        if name in law.without:
            free = fl_opt.solve(law.without[name](problem)).certificate.cost
            found[name] = free < cost - EQUAL * abs(cost)
        else:
            found[name] = bool(np.any(excess.share >= -MET))
    return found


def drawn(law: Law, most: int, start: int) -> Iterator[Any]:
    """Problems of random sizes up to `most`, one after another."""
    low, high = law.few[0], max(law.few[0], most)
    for seed in itertools.count(start):
        rng = np.random.default_rng(seed)
        size = math.floor(math.exp(rng.uniform(math.log(low), math.log(high + 1))))
        try:
            problem = law.draw(min(size, high), rng)
        except Infeasible:
            # the law asks for an optimum of another problem that has none
            continue
        yield problem


def sampled(law: Law, budget: Budget) -> Tally:
    """Solve random instances until there are enough or the time is spent."""
    tally, began = Tally(), time.process_time()
    for problem in drawn(law, law.few[1], 0):
        try:
            solution = fl_opt.solve(problem)
        except Infeasible:
            tally.impossible += 1
        except SolverFailure as failure:
            tally.failures.append(str(failure))
        else:
            tally.add(law, solution)
            for name, binds in binding(law, problem, solution).items():
                tally.limited.add(name)
                tally.bound[name] += binds
        tried = tally.solved + tally.impossible + len(tally.failures)
        if tried >= budget.instances or time.process_time() - began > budget.gaps_s:
            return tally
    raise AssertionError("draws do not end")


def reference_of(problem: Any) -> str | None:
    """The model that shares least with the solver that `solve` takes."""
    names = solvers_for(problem)
    return next((name for name in names[1:] if name in REFERENCES), None)


def compare(law: Law, budget: Budget, tally: Tally) -> None:
    """Hold small answers against the reference."""
    began = time.process_time()
    for problem in itertools.islice(drawn(law, law.ladder[0], 10**6), budget.compared):
        name = reference_of(problem)
        assert name is not None
        theirs: Certificate | None
        try:
            theirs = fl_opt.solve(problem, name, time_limit_s=budget.limit_s).certificate
        except (Infeasible, InvalidInput, SolverFailure):
            theirs = None
        found = theirs is not None and theirs.feasible
        try:
            ours = fl_opt.solve(problem).certificate
        except Infeasible:
            if found:
                tally.failures.append(f"refused what {name} solves")
            continue
        if theirs is not None and found:
            tally.compared += 1
            if _above(ours.bound, theirs.cost):
                tally.failures.append(f"bound above the cost of {name}")
        if time.process_time() - began > budget.compared_s:
            return


def solved_anew(law: Law, size: int, seed: int) -> tuple[float, Solution[Any], int]:
    """Time of a feasible draw of some size [s], its solution, and the seed it was drawn by."""
    for at in range(seed, seed + 1000):
        try:
            problem = law.draw(size, np.random.default_rng((at, size)))
            seconds, solution = timed(partial(fl_opt.solve, problem))
        except Infeasible:
            continue
        return max(seconds, CLOCK_S), solution, at
    raise AssertionError(f"no feasible draw of size {size}")


def timed_at(law: Law, size: int, budget: Budget) -> tuple[float, float]:
    """Median time of some draws of a size [s], and their largest gap."""
    seconds: list[float] = []
    seed, gap = 0, 0.0
    while len(seconds) < budget.draws and sum(seconds) <= budget.draws_s:
        taken, solution, seed = solved_anew(law, size, seed)
        seconds.append(taken)
        gap = max(gap, _gap(law, solution.certificate))
        seed += 1
    return statistics.median(seconds), gap


@dataclass(frozen=True)
class Race:
    """Our time and the reference's on the same instance [s]."""

    name: str
    size: int
    ours_s: float
    theirs_s: float
    ended: bool


def race(law: Law, ladder: Sequence[int], limit_s: float, tally: Tally) -> Race | None:
    """The largest size of the ladder that the reference finishes in time."""
    best: Race | None = None
    spent: list[float] = []
    for size in ladder:
        if len(spent) > 1 and spent[-1] ** 2 / spent[-2] > limit_s:
            break
        found = next(
            filter(None, (_raced_at(law, size, at, limit_s, tally) for at in STARTS)), None
        )
        if found is None or found.theirs_s > limit_s:
            break
        spent.append(found.theirs_s)
        best = found
    return best


def _raced_at(law: Law, size: int, start: int, limit_s: float, tally: Tally) -> Race | None:
    """Both times on one draw, endless at the time limit; None where the reference fails."""
    ours_s, solution, seed = solved_anew(law, size, start)
    ours_s = min(ours_s, *(solved_anew(law, size, seed)[0] for _ in range(2)))
    problem = law.draw(size, np.random.default_rng((seed, size)))
    name = reference_of(problem)
    assert name is not None
    late = Race(name, size, ours_s, math.inf, False)
    began = time.perf_counter()
    try:
        theirs_s, answer = timed(partial(fl_opt.solve, problem, name, time_limit_s=limit_s))
    except (Infeasible, InvalidInput, SolverFailure):
        return late if time.perf_counter() - began >= limit_s else None
    theirs, cost = answer.certificate, solution.certificate.cost
    if theirs.feasible and _above(solution.certificate.bound, theirs.cost):
        tally.failures.append(f"bound above the cost of {name}")
    reached = theirs.cost <= cost + REACHED * abs(cost)
    if answer.seconds >= limit_s or (name != "cvxpy" and theirs.proof == "none"):
        return late
    if not reached:
        return None
    return Race(name, size, ours_s, theirs_s, size == law.ladder[-1])


def _power(number: float) -> str:
    return f"{number:.2g}" if number < 1000 else f"{number:,.0f}"


def _speed(
    name: str,
    solver: str,
    law: Law,
    sizes: Sequence[int],
    times: Sequence[tuple[float, float]],
    raced: tuple[str, ...],
    pass_s: float,
) -> tuple[str, ...]:
    seconds, gaps = zip(*times, strict=True)
    return (
        name,
        solver,
        f"{' / '.join(f'{size:,}' for size in sizes)} {law.what}",
        " / ".join(_power(each / pass_s) for each in seconds),
        " / ".join(f"{each:.2g}" for each in seconds),
        f"{slope(sizes, seconds):.2f}",
        f"{gaps[-1]:.0e}",
        *raced,
    )


def _raced(found: Race | None, has_reference: bool) -> tuple[str, ...]:
    if found is None:
        return ("none finished" if has_reference else "-", "-", "-")
    ladder = ", ladder ends" if found.ended else ""
    return (
        found.name,
        f"{found.size:,} ({found.theirs_s:.2g} s{ladder})",
        _power(found.theirs_s / found.ours_s),
    )


def measure(record: Record) -> None:
    """A row of each table for every formulation."""
    budget = QUICK if record.quick else FULL
    fast, near, failures = [], [], []
    exact, least, wanting = 0.0, 1.0, ""
    yardstick = Yardstick()
    for name in formulations():
        law = LAWS[name]
        tally = sampled(law, budget)
        sizes = QUICK_SIZES if record.quick else law.sizes
        yardstick.take()
        times = [timed_at(law, size, budget) for size in sizes]
        yardstick.take()
        found = None
        if law.ladder:
            compare(law, budget, tally)
            ladder = law.ladder[:1] if record.quick else law.ladder
            found = race(law, ladder, budget.limit_s, tally)
        solver = " / ".join(tally.solvers)
        raced = _raced(found, bool(law.ladder))
        fast.append(partial(_speed, name, solver, law, sizes, times, raced))
        constraint, share = tally.share(law)
        near.append(
            (
                name,
                " / ".join(tally.proofs),
                f"{tally.solved:,}",
                f"{tally.impossible:,}",
                f"{tally.gap:.1e}",
                f"{constraint} {share:.0%}" if constraint else "nothing to bind",
                f"{tally.compared:,}",
                f"{len(tally.failures)}",
            )
        )
        failures += [f"{name}: {what} ({n})" for what, n in Counter(tally.failures).items()]
        if not law.open:
            exact = max(exact, tally.gap)
        if share < least:
            least, wanting = share, f"{constraint} of {name}"
    record.table(
        "How fast",
        (
            "formulation", "solver", "sizes", "passes", "seconds", "growth",
            "gap at the largest", "reference", "at size", "speed-up",
        ),
        [row(yardstick.least_s) for row in fast],
    )  # fmt: skip
    record.table(
        "How near",
        (
            "formulation", "proof", "instances", "impossible", "largest gap", "binds least",
            "compared", "failures",
        ),
        near,
    )  # fmt: skip
    _told(record, failures, exact, least, wanting)


def _told(
    record: Record, failures: Sequence[str], exact: float, least: float, wanting: str
) -> None:
    count = len(failures)
    record.promise("kinds of failures, all formulations together", count, "0", count == 0)
    if failures:
        record.notes.append("Failures: " + "; ".join(failures) + ".")
    record.promise("largest gap where it is closed", exact, f"at most {CLOSED:g}", exact <= CLOSED)
    record.promise(
        "smallest share of instances in which a constraint binds",
        least,
        "at least 10 %",
        least >= 0.1,
        f"{least:.0%}, {wanting}",
    )
    left = {name: law.open for name, law in LAWS.items()}
    _listed(record, "Gaps that may stay open, and are not counted", left)
    idle = {
        f"{constraint} of {name}": reason
        for name, law in LAWS.items()
        for constraint, reason in law.idle.items()
    }
    _listed(record, "Out of reach of the laws, and not counted", idle)


def _listed(record: Record, what: str, reasons: Mapping[str, str]) -> None:
    told = [f"{name} ({reason})" for name, reason in reasons.items() if reason]
    if told:
        record.notes.append(f"{what}: {'; '.join(told)}.")
