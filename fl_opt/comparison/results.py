"""Put arms into the same worlds and say, with intervals, what differs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fl_opt.comparison.environment import describe
from fl_opt.comparison.measures import MEASURES, Yardstick, yardstick
from fl_opt.comparison.plain import plain
from fl_opt.comparison.rows import ArmRow, PairRow, arm_row, pair_row
from fl_opt.comparison.statistics import coverage_limit
from fl_opt.errors import InvalidInput

if TYPE_CHECKING:
    import pandas

    from fl_opt.validation import Trace


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a comparison. `report` holds the runs that were finished until then.

    A script that knows nothing of it stops, as it should; one that does writes the report.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        super().__init__(f"{len(report.traces)} finished runs are in .report")


@dataclass(frozen=True, eq=False, kw_only=True)
class Report:
    """What a comparison found: the traces, and all that is needed to read and repeat them.

    Attributes
    ----------
    traces
        One finished run per (seed, arm), by seed, then in the order of `arms`.
    arms
        Names; the first is the baseline of `paired_rows` unless another is asked for.
    seeds, rounds
        What was asked for.
    scenario, task
        Summaries, plain data.
    setup
        Each arm as text: a line in words, and a line with all settings.
    target_accuracy
        Accuracy that runs are timed to, as asked for; None: chosen by the rule of `yardstick`.
    level
        Confidence level of all intervals.
    environment
        Versions, machine, command, time.
    """

    traces: Sequence[Trace]
    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    rounds: int
    scenario: Mapping[str, Any]
    task: Mapping[str, Any]
    setup: Mapping[str, str] = field(default_factory=dict)
    target_accuracy: float | None = None
    level: float = 0.95
    environment: Mapping[str, str] = field(default_factory=describe)

    @property
    def complete(self) -> bool:
        """Whether every (seed, arm) that was asked for is there; not so after Ctrl-C."""
        return len(self.traces) == len(self.arms) * len(self.seeds)

    @cached_property
    def yardstick(self) -> Yardstick:
        """Target accuracy, and the time and energy that all runs cover."""
        return yardstick(self.traces, self.target_accuracy)

    def runs(self, arm: str) -> dict[int, Trace]:
        """Finished runs of an arm by seed."""
        return {trace.seed: trace for trace in self.traces if trace.arm == arm}

    def arm_rows(self) -> list[ArmRow]:
        """Every measure of every arm over its runs."""
        return [
            arm_row(arm, self.runs(arm), measure, self.yardstick, self.level)
            for arm in self.arms
            for measure in MEASURES
        ]

    def paired_rows(self, baseline: str | None = None) -> list[PairRow]:
        """Every measure of every other arm against `baseline`, the first arm by default."""
        against = self.arms[0] if baseline is None else baseline
        if against not in self.arms:
            raise InvalidInput("baseline", repr(against), f"one of {', '.join(self.arms)}")
        return [
            pair_row(
                (arm, against),
                (self.runs(arm), self.runs(against)),
                measure,
                self.yardstick,
                self.level,
            )
            for arm in self.arms
            if arm != against
            for measure in MEASURES
        ]

    def method(self) -> str:
        """In words, how the intervals were made and what so few seeds cannot show."""
        count = len({trace.seed for trace in self.traces})
        text = (
            f"{count} seed{'s' * (count != 1)}; all arms of a seed saw the same channels, data "
            f"and initial model. Differences are taken seed by seed; their mean has a "
            f"{self.level:.0%} expanded percentile bootstrap interval over the seeds"
        )
        limit = coverage_limit(count)
        if count < 2:
            return text + ": none here, one seed has no spread."
        if limit < self.level:
            text += f". {count} seeds cannot support more than {limit:.1%}, whatever is computed"
        return text + "."

    def arms_table(self) -> pandas.DataFrame:
        """Every measure of every arm, a row each: value, ends of the interval, runs."""
        import pandas

        return pandas.DataFrame([_flat(row) for row in self.arm_rows()])

    def paired_table(self, baseline: str | None = None) -> pandas.DataFrame:
        """Every measure of every other arm against `baseline`, a row each; see ``PairRow``."""
        import pandas

        return pandas.DataFrame([_flat(row) for row in self.paired_rows(baseline)])

    def to_frame(self) -> pandas.DataFrame:
        """A row per arm, seed and round: the traces one below the other."""
        import pandas

        return pandas.concat([trace.to_frame() for trace in self.traces], ignore_index=True)

    def to_csv(self, path: str | Path) -> None:
        """`to_frame` as a CSV file."""
        self.to_frame().to_csv(path, index=False)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data: what was asked, both tables, and every trace in full."""
        names = [item.name for item in fields(self) if item.name != "traces"]
        return {name: plain(getattr(self, name)) for name in names} | {
            "complete": self.complete,
            "method": self.method(),
            "yardstick": plain(self.yardstick),
            "arms_table": [plain(_flat(row)) for row in self.arm_rows()],
            "paired_table": [plain(_flat(row)) for row in self.paired_rows()],
            "traces": [plain(trace) for trace in self.traces],
        }

    def to_json(self, path: str | Path) -> None:
        """`to_dict` as strict JSON: NaN is null, infinity the text "inf"."""
        text = json.dumps(self.to_dict(), allow_nan=False, indent=1)
        Path(path).write_text(text + "\n", encoding="utf-8")

    def to_html(self, path: str | Path) -> None:
        """One self-contained page, see ``fl_opt.report``."""
        from fl_opt.report import html

        html.write(self, path)


def _flat(row: ArmRow | PairRow) -> dict[str, Any]:
    """A row as plain columns: the measure by name and unit, the interval by its parts."""
    data = {key: value for key, value in vars(row).items() if key not in ("measure", "interval")}
    names = {"measure": row.measure.name, "unit": row.measure.unit}
    return {"arm": row.arm} | names | asdict(row.interval) | data
