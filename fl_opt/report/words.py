"""Numbers and findings of a comparison in words and table cells, no more digits than they bear."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from fl_opt.report.page import Cell, Table
from fl_opt.report.scales import scale_of

if TYPE_CHECKING:
    from fl_opt.comparison import ArmRow, Interval, PairRow, Report

_HEADLINE = "time_to_target_s"


def figure_of(value: float, decimals: int, *, signed: bool = False) -> str:
    """A number with a fixed count of decimals and a true minus sign; "–" where it is none."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:+.{decimals}f}" if signed else f"{value:.{decimals}f}"
    zero = not any(sign in "123456789" for sign in text)
    return text.lstrip("+-") if zero else text.replace("-", "−")


def told(interval: Interval, unit: str, *, signed: bool = False) -> tuple[str, str]:
    """An estimate and its interval, in one unit and to the digits that the interval bears.

    >>> from fl_opt.comparison import Interval
    >>> told(Interval(41.327, 38.21, 44.9, 5), "s")
    ('41.3 s', '38.2 to 44.9')
    """
    divisor, shown = scale_of([interval.value, interval.low, interval.high], unit)
    value, low, high = (x / divisor for x in (interval.value, interval.low, interval.high))
    width = high - low if high > low else abs(value)
    decimals = 2
    if math.isfinite(width) and width > 0.0:
        decimals = min(max((1 if high > low else 2) - math.floor(math.log10(width)), 0), 6)
    text = figure_of(value, decimals, signed=signed)
    if not math.isfinite(low) or not math.isfinite(high):
        detail = ""
    else:
        detail = " to ".join(figure_of(end, decimals, signed=signed) for end in (low, high))
    return (f"{text} {shown}".rstrip() if text != "–" else text), detail


def arm_cell(row: ArmRow) -> Cell:
    """One measure of one arm; a target that was missed is said, never left blank."""
    text, detail = told(row.interval, row.measure.unit)
    if row.reached is None:
        return Cell(text, detail)
    seeds = f"reached in {row.reached} of {row.interval.count}"
    return Cell("not reached" if math.isinf(row.interval.value) else text, seeds)


def pair_cell(row: PairRow) -> Cell:
    """One difference from the baseline; a tone only where the interval excludes zero."""
    text, detail = told(row.interval, row.measure.unit, signed=True)
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
    rows: dict[str, list[Cell]] = {}
    for row in report.arm_rows():
        rows.setdefault(row.measure.title, []).append(arm_cell(row))
    return Table(
        f"Every arm by itself: mean over the seeds and its {report.level:.0%} interval",
        "measure",
        report.arms,
        list(rows.items()),
        "Time and energy to the target are medians that count a run which never got there as "
        "still under way at its end (Kaplan and Meier); such a run is neither dropped nor "
        "taken as late.",
    )


def paired_table(report: Report) -> Table:
    """Every measure of every arm against the first."""
    rows: dict[str, list[Cell]] = {}
    for row in report.paired_rows():
        rows.setdefault(row.measure.title, []).append(pair_cell(row))
    return Table(
        f"Difference from {report.arms[0]}, seed by seed: mean and its {report.level:.0%} interval",
        "measure",
        report.arms[1:],
        list(rows.items()),
        "▲ better, ▼ worse: only where the interval excludes zero. Many measures are compared "
        "at once; one in twenty such signs is expected by luck alone where nothing differs.",
    )


def findings(report: Report) -> list[str]:
    """The answer in sentences: who reaches the target sooner than the first arm, and how sure."""
    yard = report.yardstick
    reached = {row.arm: row.reached for row in report.arm_rows() if row.measure.name == _HEADLINE}
    if not any(reached.values()):
        if not math.isfinite(yard.accuracy):
            return ["No run was evaluated, so nothing can be said about learning."]
        return [f"No run reached an accuracy of {yard.accuracy:.3f}."]
    pairs = [row for row in report.paired_rows() if row.measure.name == _HEADLINE]
    if not pairs:
        arm = report.arms[0]
        row = next(r for r in report.arm_rows() if r.measure.name == _HEADLINE)
        return [
            f"{arm} reached an accuracy of {yard.accuracy:.3f} in {reached[arm]} of "
            f"{row.interval.count} runs, in {told(row.interval, 's')[0]} at the median."
        ]
    return [_finding(row, yard.accuracy, report.level) for row in pairs]


def _finding(row: PairRow, target: float, level: float) -> str:
    interval, goal = row.interval, f"to an accuracy of {target:.3f}"
    if not math.isfinite(interval.value):
        return f"{row.arm} and {row.baseline} share no finished seed."
    size, ends = told(_size(interval), "s")
    unit = size.rpartition(" ")[2]
    direction = "sooner" if interval.value < 0.0 else "later"
    if interval.count < 2:
        return (
            f"In its one run {row.arm} gets {goal} {size} {direction} than {row.baseline}; "
            "a single seed says nothing of luck."
        )
    if not interval.excludes_zero:
        _, ends = told(interval, "s", signed=True)
        return (
            f"Whether {row.arm} is faster than {row.baseline} {goal} cannot be told from these "
            f"seeds: the {level:.0%} interval of the difference is {ends} {unit}."
        )
    return (
        f"{row.arm} gets {goal} {size} {direction} than {row.baseline} "
        f"({level:.0%} interval {ends} {unit}; {seeds_won(row)})."
    )


def _size(interval: Interval) -> Interval:
    """The interval of the size of a difference whose sign is certain; else the value's size."""
    if interval.value >= 0.0:
        return interval
    return dataclasses.replace(
        interval, value=-interval.value, low=-interval.high, high=-interval.low
    )


def caveats(report: Report) -> list[str]:
    """What a reader must know before quoting a number."""
    seeds = len({trace.seed for trace in report.traces})
    lines = [report.method()]
    late = {
        row.arm: row.interval.count - row.reached
        for row in report.arm_rows()
        if row.measure.name == _HEADLINE and row.reached is not None
    }
    missed = [f"{arm} in {count}" for arm, count in late.items() if count]
    if missed and math.isfinite(report.yardstick.accuracy):
        lines.append(
            f"Of {seeds} run{'s' * (seeds != 1)} each, the target was never reached by "
            f"{', '.join(missed)}. Such a run counts as still under way at its end, and a paired "
            "difference counts time and energy only up to what both runs were observed for."
        )
    lines.append(
        "Time and energy are simulated from the channels and the allocation; they are no "
        "wall-clock times. Pictures of devices show the first seed alone."
    )
    return lines
