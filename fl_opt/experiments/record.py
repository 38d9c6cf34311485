"""The record of an experiment: all that it found as JSON, and what the documentation shows of it.

The table and the pictures are made from the JSON and from nothing else, so that a page can't say
what was not measured.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fl_opt.comparison.environment import describe
from fl_opt.experiments import load
from fl_opt.experiments.experiment import Cell
from fl_opt.experiments.runner import Outcome
from fl_opt.experiments.store import Kept
from fl_opt.experiments.tables import HEADS, lines, setting, verdict
from fl_opt.report.ink import Picture


def write(outcome: Outcome, folder: str | Path) -> Path:
    """NAME.json, NAME.md and NAME-PICTURE.svg in `folder`; the path of the first."""
    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    one = outcome.experiment
    record = {
        "experiment": one.name,
        "settings": dataclasses.asdict(one),
        "held": outcome.held,
        "runs": [
            {"arm": cell.arm, "seed": cell.seed, "data": outcome.runs[cell].data}
            for cell in one.cells()
        ],
        "environment": describe() | {"command": f"fl-opt reproduce {one.name}"},
    }
    path = home / f"{one.name}.json"
    path.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    # from what was written, as everybody can who has the file
    read = outcome_of(record)
    path.with_suffix(".md").write_text(markdown(read), encoding="utf-8")
    for picture in pictures(read):
        picture.save(home / f"{picture.name}.svg")
    return path


def outcome_of(record: Mapping[str, Any]) -> Outcome:
    """The outcome that a record tells of; its table and pictures are computed anew."""
    # JSON has lists alone; settings that are sequences are tuples
    settings: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in record["settings"].items()
    }
    experiment = dataclasses.replace(load(record["experiment"]), **settings)
    runs = {Cell(run["arm"], run["seed"]): Kept(run["data"], math.nan) for run in record["runs"]}
    return Outcome(experiment, runs, record["held"])


def pictures(outcome: Outcome) -> list[Picture]:
    """Its pictures under names that no other experiment's have."""
    one = outcome.experiment
    return [
        dataclasses.replace(picture, name=f"{one.name}-{picture.name}")
        for picture in one.figures(outcome.results)
    ]


def markdown(outcome: Outcome) -> str:
    """Table and pictures, to be included into a page of the documentation."""
    name = outcome.experiment.name
    heads = ("quantity", *HEADS)
    table = [heads, ("---",) * len(heads), *lines(outcome.rows)]
    text = [f"% Written by fl-opt reproduce {name} --record; edits are lost.", ""]
    text += ["| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in table]
    text += ["", f"`fl-opt reproduce {name}`: {setting(outcome)}; {verdict(outcome)}.", ""]
    for picture in pictures(outcome):
        caption = f" {picture.caption}" if picture.caption else ""
        text += [
            f"![{_escaped(picture.description)}]({picture.name}.svg)",
            "",
            f"*{picture.title}.*{caption}",
            "",
        ]
    return "\n".join(text)


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("[", "\\[").replace("]", "\\]")
