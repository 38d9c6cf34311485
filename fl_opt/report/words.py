"""Numbers and findings of a comparison in words and table cells, no more digits than they bear."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fl_opt.comparison.statistics import coverage_limit
from fl_opt.report.page import Cell, Table
from fl_opt.report.scales import scale_of

if TYPE_CHECKING:
    from fl_opt.comparison import ArmRow, Interval, PairRow, Report

MOST_DECIMALS = 4
"""Decimals beyond which a number is rounding."""
HEADLINE = "time_to_target_s"
"""Measure that the answer at the top of the page is about."""


def figure_of(value: float, decimals: int, *, signed: bool = False) -> str:
    """A number with a fixed count of decimals and a true minus sign; "–" where it is none."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:+.{decimals}f}" if signed else f"{value:.{decimals}f}"
    return text.replace("-", "−") if any(sign in "123456789" for sign in text) else "0"


def told(
    interval: Interval, unit: str, *, signed: bool = False, among: Sequence[float] = ()
) -> tuple[str, str]:
    """An estimate and its interval, in one unit and to the digits that the interval bears.

    The unit fits the values `among` which it stands; four digits are the most.

    >>> from fl_opt.comparison import Interval
    >>> told(Interval(41.327, 38.21, 44.9, 5), "s")
    ('41.3 s', '38.2 to 44.9')
    """
    ends = [interval.value, interval.low, interval.high]
    divisor, shown = scale_of(among or ends, unit)
    value, low, high = (end / divisor for end in ends)
    most = max((abs(end) for end in (value, low, high) if math.isfinite(end)), default=0.0)
    decimals = 2 - _power(most)
    if high > low:
        decimals = min(1 - _power(high - low), 3 - _power(most))
    decimals = min(max(decimals, 0), MOST_DECIMALS)
    text = figure_of(value, decimals, signed=signed)
    if not math.isfinite(low) or not math.isfinite(high):
        detail = ""
    else:
        detail = " to ".join(figure_of(end, decimals, signed=signed) for end in (low, high))
    return (f"{text} {shown}".rstrip() if text != "–" else text), detail


def _power(size: float) -> int:
    """Power of ten of the first digit; that of one for zero and what is not finite."""
    return math.floor(math.log10(size)) if 0.0 < size < math.inf else 0


def arm_cell(row: ArmRow, among: Sequence[float] = ()) -> Cell:
    """One measure of one arm; a target that was missed is said, never left blank."""
    text, detail = told(row.interval, row.measure.unit, among=among)
    if row.reached is None:
        return Cell(text, detail)
    seeds = f"reached in {row.reached} of {row.interval.count}"
    return Cell("not reached" if math.isinf(row.interval.value) else text, seeds)


def pair_cell(row: PairRow, among: Sequence[float] = ()) -> Cell:
    """One difference from the baseline; a tone only where the interval excludes zero."""
    text, detail = told(row.interval, row.measure.unit, signed=True, among=among)
    if row.interval.count == 1:
        detail = "one seed"
    tone = ""
    if row.interval.excludes_zero and row.measure.better:
        ahead = (row.interval.value > 0.0) == (row.measure.better == "higher")
        tone = "better" if ahead else "worse"
    return Cell(text, detail, tone)


def seeds_won(row: PairRow) -> str:
    """In how many seeds the arm was ahead."""
    return f"ahead in {row.better} of {row.better + row.worse + row.undecided} seeds"


def arms_table(report: Report) -> Table:
    """Every measure of every arm."""
    rows: dict[str, list[ArmRow]] = {}
    for row in report.arm_rows():
        rows.setdefault(row.measure.title, []).append(row)
    return Table(
        f"Every arm by itself: mean over the seeds and its {report.level:.0%} interval",
        "measure",
        report.arms,
        [(name, [arm_cell(one, _centres(some)) for one in some]) for name, some in rows.items()],
        "Time and energy to the target are those by which half of the runs had got there; a run "
        "that never did is not left out, it stands behind all that did.",
    )


def paired_table(report: Report) -> Table:
    """Every measure of every arm against the first."""
    rows: dict[str, list[PairRow]] = {}
    for row in report.paired_rows():
        rows.setdefault(row.measure.title, []).append(row)
    return Table(
        f"Difference from {report.arms[0]}, seed by seed: mean and its {report.level:.0%} interval",
        "measure",
        report.arms[1:],
        [(name, [pair_cell(one, _centres(some)) for one in some]) for name, some in rows.items()],
        "▲ better, ▼ worse: only where the interval excludes zero. Many measures are compared "
        "at once; one in twenty such signs is expected by luck alone where nothing differs.",
    )


def _centres(rows: Sequence[ArmRow] | Sequence[PairRow]) -> list[float]:
    return [row.interval.value for row in rows]


def answer(report: Report) -> tuple[str, list[tuple[str, str]]]:
    """The answer: a sentence, and for every arm but the first what became of it, in words."""
    yard, baseline = report.yardstick, report.arms[0]
    if not math.isfinite(yard.accuracy):
        return "No run was evaluated, so nothing can be said about learning.", []
    goal = f"an accuracy of {yard.accuracy:.3f}"
    rows = [row for row in report.arm_rows() if row.measure.name == HEADLINE]
    if not any(row.reached for row in rows):
        return f"No run reached {goal}.", []
    first = rows[0]
    text = (
        f"{baseline} reaches {goal} in {first.reached} of {first.interval.count} runs"
        if first.reached
        else f"{baseline} never reaches {goal}"
    )
    if math.isfinite(first.interval.value):
        text += f", after {told(first.interval, 's')[0]} at the median"
    pairs = [row for row in report.paired_rows() if row.measure.name == HEADLINE]
    if not pairs:
        return f"{text}.", []
    seeds = len({trace.seed for trace in report.traces})
    how = "seed by seed" if seeds > 1 else "in one seed, which says nothing of luck"
    text += f". Against it, {how}:"
    return text, [(row.arm, _verdict(row)) for row in pairs]


def findings(report: Report) -> list[str]:
    """The answer as lines of text."""
    text, verdicts = answer(report)
    return [text, *(f"{arm}: {words}" for arm, words in verdicts)]


def _verdict(row: PairRow) -> str:
    interval = row.interval
    if not math.isfinite(interval.value):
        return "no seed that both arms finished"
    size, ends = told(_size(interval), "s")
    unit = size.rpartition(" ")[2]
    direction = "sooner" if interval.value < 0.0 else "later"
    if interval.value == 0.0 and not interval.high > interval.low:
        return f"no difference; {seeds_won(row)}"
    if interval.count < 2:
        return f"{size} {direction}"
    if not (interval.low > 0.0 or interval.high < 0.0):
        _, ends = told(interval, "s", signed=True)
        return f"cannot be told apart: {ends} {unit}; {seeds_won(row)}"
    return f"{size} {direction} ({ends} {unit}; {seeds_won(row)})"


def _size(interval: Interval) -> Interval:
    """The interval of the size of a difference whose sign is certain; else the value's size."""
    if interval.value >= 0.0:
        return interval
    return dataclasses.replace(
        interval, value=-interval.value, low=-interval.high, high=-interval.low
    )


def remarks(report: Report) -> list[str]:
    """Notes of the simulator with the arms that they are about, each once."""
    about: dict[str, list[str]] = {}
    for trace in report.traces:
        for note in trace.notes:
            arms = about.setdefault(note, [])
            if trace.arm not in arms:
                arms.append(trace.arm)
    return [
        f"{'all arms' if len(arms) == len(report.arms) > 1 else ', '.join(arms)}: {note}"
        for note, arms in about.items()
    ]


def caveats(report: Report) -> list[str]:
    """What a reader must know before quoting a number."""
    seeds = len({trace.seed for trace in report.traces})
    lines = [report.method()]
    least = next(n for n in itertools.count(1) if coverage_limit(n) >= report.level)
    if 2 <= seeds < least:
        lines.append(
            f"No difference is marked as better or worse here: a claim at {report.level:.0%} "
            f"takes {least} seeds at least."
        )
    late = {
        row.arm: row.interval.count - row.reached
        for row in report.arm_rows()
        if row.measure.name == HEADLINE and row.reached is not None
    }
    missed = [f"{arm} in {count}" for arm, count in late.items() if count]
    if missed and math.isfinite(report.yardstick.accuracy):
        lines.append(
            f"Of {seeds} run{'s' * (seeds != 1)} each, the target was never reached by "
            f"{', '.join(missed)}. Such a run stands behind all that did, and a paired difference "
            "counts time and energy only up to what every run of both arms was observed for."
        )
    lines.append(
        "Time and energy are simulated from the channels and the allocation; they are no "
        "wall-clock times. Pictures of devices show the first seed alone."
    )
    return lines
