"""How fast the exact solvers are, in passes of one array expression and against references."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import fl_opt
from benchmarks import _cells, _highs
from benchmarks._record import Record
from benchmarks._timing import Times, in_turns, slope, timed
from fl_opt import Network
from fl_opt.errors import SolverFailure
from fl_opt.report.charts import Measured, growth
from fl_opt.report.ink import look
from fl_opt.units import Floats

TITLE = "Fast"
ABOUT = """
Devices, budgets and band follow the law in `benchmarks/_cells.py`: a cell in which each of band,
p_max, f_min, f_max and E_k binds for many devices. A time is that of the whole call of
`fl_opt.solve`: feasibility, search, repair, dual bound, and the verification by the physics. For
who takes part, the utility is log-normal, which is harder than whole numbers.
"""

BAND = 1.4  # times what all need without budgets; then each limit binds for a tenth or more
PART = 0.4  # of the band that all need, where not all can take part
BUDGET = 0.4  # of the least energy of all, what a joint schedule may spend
LIMIT_S = 60.0
REFERENCE_SIZE, REFERENCE_ROUNDS = 100, 5


def all_in(size: int, seed: int = 0) -> fl_opt.MinEnergy:
    """Everybody takes part."""
    return fl_opt.MinEnergy(_cells.cell(size, band=BAND, seed=seed), _cells.DEADLINE_S)


def scarce(size: int) -> fl_opt.MaxParticipation:
    """The band does for a part of the devices."""
    network = _cells.cell(size, band=BAND)
    network = network.replace(band_hz=PART * _cells.needed_hz(network))
    return fl_opt.MaxParticipation(network, _cells.DEADLINE_S, _utility(network))


def _utility(network: Network) -> Floats:
    return _cells.utility("log-normal", network, np.random.default_rng(2))


def joint(size: int) -> fl_opt.JointSchedule:
    """Band and energy do for a part of the devices."""
    network = _cells.cell(size, band=BAND)
    energy_j = fl_opt.solve(fl_opt.MinEnergy(network, _cells.DEADLINE_S)).certificate.cost
    return fl_opt.JointSchedule(network, _cells.DEADLINE_S, BUDGET * energy_j, _utility(network))


def _fresh(problem: Any, solver: str = "auto") -> Callable[[], fl_opt.Solution[Any]]:
    """Solve a copy: what a problem keeps once it is computed does not help the next turn."""
    names = problem.__dataclass_fields__
    fields = {name: getattr(problem, name) for name in names}
    return lambda: fl_opt.solve(type(problem)(**fields), solver)


def measure(record: Record) -> None:
    """All figures of speed."""
    _million(record)
    _against_cvxpy(record)
    _participation(record)
    _growth(record)


def _million(record: Record) -> None:
    size = 20_000 if record.quick else 1_000_000
    problem = all_in(size)
    found = fl_opt.solve(problem)
    proof = found.certificate
    shares = _cells.binding(problem.network, found.allocation)
    times = in_turns({"all": _fresh(problem)}, 2 if record.quick else 9)["all"]
    what = f"MinEnergy, all limits, K = {size:,}"
    record.promise(what, times.passes, "at most 400 passes", times.passes <= 400.0, str(times))
    record.fact("that is, in seconds", f"{times.least_s:.2f} s, a pass {1e3 * times.pass_s:.2f} ms")
    record.promise(
        "its certified gap", proof.gap, "at most 1e-9", proof.gap <= 1e-9 and proof.feasible
    )
    told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    record.fact("devices for which a limit binds (the band does, too)", told)
    memory = _peak_byte(problem.network)
    record.promise(
        "peak memory of a process that does only this",
        memory,
        "at most 1 GB",
        memory <= 1e9,
        f"{memory / 1e9:.2f} GB, of it {_array_byte(problem.network) / 1e9:.2f} GB input",
    )


CHILD = """
import json, resource, sys
import numpy as np
import fl_opt
data = dict(np.load(sys.argv[1]))
network = fl_opt.Network(**{name: values for name, values in data.items() if name != "band_hz"},
                         band_hz=float(data["band_hz"]))
del data
fl_opt.solve(fl_opt.MinEnergy(network, float(sys.argv[2])))
print(json.dumps(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""


def _arrays(network: Network) -> dict[str, Any]:
    return {name: getattr(network, name) for name in network.__dataclass_fields__}


def _array_byte(network: Network) -> float:
    return float(sum(np.asarray(values).nbytes for values in _arrays(network).values()))


def _peak_byte(network: Network) -> float:
    """Peak memory of a fresh process that reads a network and solves it [byte]."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.npz"
        np.savez(path, **_arrays(network))
        command = [sys.executable, "-c", CHILD, str(path), str(_cells.DEADLINE_S)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(answer.stdout))


def _against_cvxpy(record: Record) -> None:
    """Several rounds in a row: on single ones Clarabel may stop early, or late."""
    import cvxpy

    size = REFERENCE_SIZE
    wanted = 2 if record.quick else REFERENCE_ROUNDS
    problems, apart, failed = list[fl_opt.MinEnergy](), list[float](), 0
    with warnings.catch_warnings():
        # where it stops early, the difference of the energies tells
        warnings.simplefilter("ignore", UserWarning)
        for seed in itertools.count():
            problem = all_in(size, seed)
            try:
                theirs = fl_opt.solve(problem, "cvxpy").certificate
            except SolverFailure:
                failed += 1
                continue
            problems.append(problem)
            apart.append(abs(theirs.cost / fl_opt.solve(problem).certificate.cost - 1.0))
            if len(problems) == wanted:
                break
        programs = [problem.model().program for problem in problems]
        calls: dict[str, list[Callable[[], object]]] = {
            "ours": [_fresh(problem) for problem in problems],
            "rebuilt": [_fresh(problem, "cvxpy") for problem in problems],
            "again": [partial(program.solve, solver=cvxpy.CLARABEL) for program in programs],
        }
        runs = {name: partial(_all_of, each) for name, each in calls.items()}
        runs["again"]()
        turns = {"ours": 10, "rebuilt": 2, "again": 2} if record.quick else {
            "ours": 30, "rebuilt": 5, "again": 7
        }  # fmt: skip
        times = in_turns(runs, turns)
    for name, what, least in (
        ("rebuilt", "the joint CVXPY model, built and solved", 50.0),
        ("again", "the same model's parametrised re-solve", 10.0),
    ):
        ratio = times[name].least_s / times["ours"].least_s
        both = (f"{1e3 * times[one].least_s / len(problems):.2f} ms" for one in (name, "ours"))
        record.promise(
            f"{what}, over MinEnergy, K = {size}, {len(problems)} rounds",
            ratio,
            f"at least {least:.0f} times",
            ratio >= least,
            f"{ratio:.0f} times ({' over '.join(both)} a round)",
        )
    record.fact("energies of the two differ by at most", f"{max(apart):.1e}", max(apart))
    record.fact("rounds left out, for which Clarabel has no answer", str(failed))


def _all_of(calls: Sequence[Callable[[], object]]) -> None:
    for call in calls:
        call()


def _ms(times: Times) -> str:
    return f"{1e3 * times.least_s:.2f} ms"


def _participation(record: Record) -> None:
    size = 5_000 if record.quick else 100_000
    problem = scarce(size)
    found = fl_opt.solve(problem, "core")
    proof = found.certificate
    times = in_turns({"core": _fresh(problem, "core")}, 3 if record.quick else 11)["core"]
    what = f"MaxParticipation, K = {size:,}"
    record.promise(what, times.passes, "at most 600 passes", times.passes <= 600.0, str(times))
    record.promise(
        "its certified gap", proof.gap, "at most 1e-9", proof.gap <= 1e-9 and proof.feasible
    )
    record.fact("of all devices take part", f"{found.allocation.selected.mean():.0%}")
    rows, last = _against_highs(record.quick)
    if last is None:
        raise RuntimeError("HiGHS did not finish the smallest instance")
    record.promise(
        f"HiGHS on the whole 0/1 program, over ours, K = {last.size:,}, the largest that it "
        f"finishes within {LIMIT_S:.0f} s",
        last.ratio,
        "at least 100 times",
        last.ratio >= 100.0,
        f"{last.ratio:,.0f} times ({last.highs_s:.1f} s over {_ms(last.ours)})",
    )
    record.table(
        "HiGHS on the whole program (weights given, gap 1e-9, model building not counted) against "
        "the whole of ours",
        ("K", "HiGHS", "ours", "ratio", "our value over HiGHS's - 1"),
        rows,
    )


@dataclass(frozen=True)
class Duel:
    """HiGHS and ours on the same knapsack."""

    size: int
    highs_s: float
    ours: Times

    @property
    def ratio(self) -> float:
        """How many times as long HiGHS takes."""
        return self.highs_s / self.ours.least_s


def _against_highs(quick: bool) -> tuple[list[tuple[str, ...]], Duel | None]:
    """Rows of doubling sizes, and the last that HiGHS finishes in time."""
    size, rows, last = (200 if quick else 1_600), list[tuple[str, ...]](), None
    while not (quick and size > 400):
        problem = scarce(size)
        ours = in_turns({"core": _fresh(problem, "core")}, 5)["core"]
        value = -fl_opt.solve(problem, "core").certificate.cost
        highs_s, answer = timed(partial(_highs.knapsack, problem.items(), 1e-9, LIMIT_S))
        done = [f"{highs_s:.2f} s", _ms(ours), f"{highs_s / ours.least_s:,.0f}"]
        if answer.finished:
            rows.append((f"{size:,}", *done, f"{value / answer.value - 1.0:+.1e}"))
            last = Duel(size, highs_s, ours)
        else:
            rows.append((f"{size:,}", f"not within {LIMIT_S:.0f} s", _ms(ours), "", ""))
            break
        size *= 2
    return rows, last


FAMILIES: dict[str, tuple[Callable[[int], Any], str, float]] = {
    "MinEnergy": (all_in, "price", 1e6),
    "MinRoundTime": (lambda size: fl_opt.MinRoundTime(all_in(size).network), "bisection", 1e6),
    "MaxParticipation": (scarce, "core", 1e6),
    "JointSchedule": (joint, "prices", 1e5),
}
"""What is drawn: the problem of a size, the solver, the largest size."""


def _growth(record: Record) -> None:
    largest = 3_000.0 if record.quick else 1e6
    drawn, rows = [], []
    for number, (name, (make, solver, most)) in enumerate(FAMILIES.items()):
        sizes = [
            round(float(size))
            for size in np.logspace(2.0, 6.0, 9)
            if size <= 1.001 * min(most, largest)
        ]
        problems = {str(size): make(size) for size in sizes}
        gaps = {size: fl_opt.solve(p, solver).certificate.gap for size, p in problems.items()}
        runs = {size: _fresh(problem, solver) for size, problem in problems.items()}
        few = 2 if record.quick or name == "JointSchedule" else 3
        times = in_turns(runs, {size: 3 * few if int(size) < 50_000 else few for size in runs})
        least = [times[str(size)].least_s for size in sizes]
        late = [k for k, size in enumerate(sizes) if size >= sizes[-1] / 101.0]
        steep = slope([sizes[k] for k in late], [least[k] for k in late])
        record.promise(
            f"growth of {name}, slope of ln time on ln K over the last two decades",
            steep,
            "about 1, at most 1.2",
            steep <= 1.2,
            f"{steep:.2f}",
        )
        rows += [
            (name, f"{k:,}", _seconds(times[str(k)]), str(times[str(k)]), f"{gaps[str(k)]:.0e}")
            for k in sizes
        ]
        everything = [times[str(size)].seconds for size in sizes]
        drawn.append(
            Measured(
                name,
                look(number),
                np.array(sizes, dtype=float),
                np.array(least),
                np.array([min(some) for some in everything]),
                np.array([max(some) for some in everything]),
            )
        )
    record.table(
        "Every size that was timed", ("problem", "K", "least", "in passes", "certified gap"), rows
    )
    record.picture(
        growth(
            "growth",
            "Time of a solve against the number of devices; slopes over the last two decades",
            drawn,
        )
    )


def _seconds(times: Times) -> str:
    return f"{times.least_s:.3g} s"
