"""What a benchmark measured, as a JSON file that says how, on what, and against which target."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fl_opt.comparison.environment import describe
from fl_opt.report.ink import Picture

NAMES = (
    "correctness",
    "participation",
    "joint",
    "speed",
    "assignment",
    "formulations",
    "heuristics",
    "heuristics_blocks",
    "heuristics_edges",
    "training",
    "methods",
    "import_time",
    "regime",
    "interval_coverage",
)
"""All benchmarks, in the order of the page."""
PROMISE_HELD = {True: "yes", False: "no", None: ""}


@dataclass(frozen=True)
class Figure:
    """One measured number in words, what was promised of it, and whether that is met.

    `met` is None where nothing is promised, and in a quick run.
    """

    what: str
    measured: str
    target: str = ""
    met: bool | None = None
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """Further numbers: a title, the columns, and rows of text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Drawn:
    """A picture that was saved, by its path from the folder of the page."""

    path: str
    title: str
    description: str


@dataclass
class Record:
    """All that one benchmark found. `about` and `notes` are Markdown paragraphs.

    The methods add to it, so that a benchmark reads as a list of what it measures.
    """

    title: str
    about: str
    quick: bool
    folder: Path
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    pictures: list[Drawn] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def fact(self, what: str, measured: str, value: float | None = None) -> None:
        """Add a number of which nothing is promised."""
        self.figures.append(Figure(what, measured, value=value))

    def promise(
        self, what: str, value: float, target: str, met: bool, measured: str | None = None
    ) -> None:
        """Add a number with its target; a quick run is held to none, its sizes are others."""
        text = f"{value:.4g}" if measured is None else measured
        self.figures.append(Figure(what, text, target, None if self.quick else met, value))

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Add a table; cells become text."""
        cells = tuple(tuple(str(cell) for cell in row) for row in rows)
        self.tables.append(Table(title, tuple(columns), cells))

    def picture(self, drawn: Picture) -> None:
        """Save a picture beside the folder of the records."""
        folder = self.folder.parent / "figures"
        folder.mkdir(parents=True, exist_ok=True)
        path = drawn.save(folder / f"{drawn.name}.svg")
        self.pictures.append(Drawn(f"figures/{path.name}", drawn.title, drawn.description))


Measure = Callable[[Record], None]


def machine() -> dict[str, str]:
    """What the numbers were measured on and with."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(encoding="utf-8").splitlines() if cpu.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return describe() | {
        "cpu": models[0] if models else "unknown",
        "memory": f"{pages / 2**30:.0f} GiB",
        "blas_threads": os.environ.get("OMP_NUM_THREADS", "as many as cores"),
    }


def write(record: Record, name: str, environment: dict[str, Any]) -> Path:
    """The record as `NAME.json` in its folder."""
    data = {"name": name, **asdict(record), "environment": environment}
    del data["folder"]
    record.folder.mkdir(parents=True, exist_ok=True)
    path = record.folder / f"{name}.json"
    text = json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path
