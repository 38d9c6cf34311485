"""Where optimisation pays in the wide macro cell, and where it is worth nothing."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np

import fl_opt
from benchmarks._record import Record
from fl_opt.comparison import Report, regime_map, trained_map
from fl_opt.comparison.regime import RegimeMap
from fl_opt.comparison.rows import PairRow
from fl_opt.policy import Policy
from fl_opt.report import studies
from fl_opt.report.page import Gallery

TITLE = "Where optimisation pays"
ABOUT = """
The shipped macro cell: 40 devices within 1.5 km, 5 MHz. The task is the MLP on digits, two classes
per device, 10 local steps of batch 32: an update of 154 kbit takes the devices some milliseconds to
compute and, with equal shares of the band, 0.04 to several seconds to send. So the radio decides;
with heavy training and light updates there is less to gain, see [scenarios](scenarios.md). Nothing
here was tuned: arms and deadline of the comparison are those of `make demo`, and the maps show what
other deadlines and bands would have given. "Equal bandwidth" leaves out from the start whom an
equal part of the band does not bring home in time, "at random" fills the band in the order of a
lot.
"""

DEADLINE_S = 0.25
ARMS: dict[str, Policy] = {
    "all, equal bandwidth": fl_opt.Everyone(),
    "10 at random": fl_opt.Random(10),
    "at random by the deadline": fl_opt.Random(None, DEADLINE_S),
    "10 best channels": fl_opt.BestChannel(10),
    "optimised by the deadline": fl_opt.Optimised(
        partial(fl_opt.JointSchedule, deadline_s=DEADLINE_S)
    ),
}
EQUAL, RANDOM, OURS = "equal bandwidth", "at random", "optimised"
POLICIES = {
    EQUAL: fl_opt.Everyone,
    RANDOM: partial(fl_opt.Random, None),
    OURS: lambda deadline_s: fl_opt.Optimised(
        partial(fl_opt.JointSchedule, deadline_s=deadline_s, utility=1.0)
    ),
}
"""By name and deadline."""


def measure(record: Record) -> None:
    """Compare in training, then map."""
    scenario = fl_opt.Scenario.named("macro")
    task = fl_opt.Task("digits", "mlp", "shards:2")
    _compare(record, scenario, task)
    _maps(record, scenario, task)


def _compare(record: Record, scenario: fl_opt.Scenario, task: fl_opt.Task) -> None:
    rounds, seeds = (5, 2) if record.quick else (100, 12)
    arms = [fl_opt.Arm(policy, name=name) for name, policy in ARMS.items()]
    report = fl_opt.compare(arms, scenario, task, rounds=rounds, seeds=seeds)
    page = Path("out/macro.html")
    page.parent.mkdir(parents=True, exist_ok=True)
    report.to_html(page)
    base, lot, *_, ours = ARMS
    for against in (base, lot):
        row = _difference(report, ours, against)
        record.fact(
            f"time to {report.yardstick.accuracy:.1%} accuracy, optimised minus {against}",
            f"{_interval(row)}; sooner in {row.better} of {seeds} seeds, later in {row.worse}",
            row.interval.value,
        )
    record.table(
        f"{rounds} rounds, {seeds} seeds: simulated time to {report.yardstick.accuracy:.1%}, which "
        f"is {report.yardstick.rule}; paired differences with 95 % intervals, negative is sooner",
        (
            "arm",
            "reached it",
            "median time",
            f"against {base}",
            f"against {lot}",
            "updates per round",
        ),
        [_row(report, arm, (base, lot)) for arm in ARMS],
    )
    record.notes.append(
        report.method() + " A difference counts time up to what every run of both arms covers. "
        f"The full report, learning curves and all: `{page}`, written by this command."
    )


def _difference(report: Report, arm: str, against: str) -> PairRow:
    """The row of time to the target of one arm against another."""
    rows = report.paired_rows(against)
    return next(row for row in rows if row.arm == arm and row.measure.name == "time_to_target_s")


def _interval(row: PairRow) -> str:
    mean = row.interval
    if not np.isfinite(mean.low):
        return f"{mean.value:+.2f} s"
    return f"{mean.value:+.2f} s [{mean.low:+.2f}, {mean.high:+.2f}]"


def _row(report: Report, arm: str, baselines: tuple[str, ...]) -> list[str]:
    """One line of the table of arms."""
    own = {row.measure.name: row for row in report.arm_rows() if row.arm == arm}
    time, updates = own["time_to_target_s"], own["arrived_per_round"]
    told = ["" if arm == base else _interval(_difference(report, arm, base)) for base in baselines]
    half_s = time.interval.value
    median = f"{half_s:.2f} s" if np.isfinite(half_s) else "not reached by half"
    reached = f"{time.reached} of {time.interval.count}"
    return [arm, reached, median, *told, f"{updates.interval.value:.1f}"]


def _maps(record: Record, scenario: fl_opt.Scenario, task: fl_opt.Task) -> None:
    deadlines, bands = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0], [5e5, 1e6, 2e6, 5e6, 1e7, 2e7]
    rounds, seeds = 5, 8
    if record.quick:
        deadlines, bands, rounds, seeds = [0.1, 1.0], [1e6, 1e7], 2, 3
    workload = fl_opt.FedAvg().workload(task.load(0, scenario.data_sizes))
    for quantity, baseline, name, what in (
        ("arrived_per_round", EQUAL, "regime", "updates per round"),
        ("arrived_per_round", RANDOM, "regime-random", "updates per round"),
        ("energy_per_update_j", EQUAL, "regime-energy", "energy per update"),
    ):
        found = regime_map(
            scenario,
            {baseline: POLICIES[baseline], OURS: POLICIES[OURS]},
            workload,
            deadlines_s=deadlines,
            bands_hz=bands,
            quantity=quantity,
            rounds=rounds,
            seeds=seeds,
        )
        _draw(record, found, name, f"{what}, optimised against {baseline}")
    trained = trained_map(
        scenario,
        {EQUAL: POLICIES[EQUAL], OURS: POLICIES[OURS]},
        task,
        deadlines_s=deadlines[::2],
        bands_hz=bands[::2],
        rounds=3 if record.quick else 25,
        seeds=2 if record.quick else 6,
    )
    _draw(
        record,
        trained,
        "regime-accuracy",
        f"accuracy after equal simulated time, optimised against {EQUAL}",
    )


def _draw(record: Record, found: RegimeMap, name: str, title: str) -> None:
    """Count the verdicts and save the picture."""
    cells = found.cells
    count = {
        word: sum(cell.verdict == word for cell in cells)
        for word in ("better", "worse", "nothing", "unclear")
    }
    told = ", ".join(f"{word} {number}" for word, number in count.items())
    record.fact(f"{title}: pairs of deadline and band", f"{told}, of {len(cells)}")
    gallery = studies.regime(title, found).sections[0].blocks[0]
    if not isinstance(gallery, Gallery):
        raise TypeError("the page of a regime map begins with its pictures")
    (picture,) = gallery.pictures
    record.picture(dataclasses.replace(picture, name=name, title=title[0].upper() + title[1:]))
