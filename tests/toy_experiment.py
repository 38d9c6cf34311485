"""Toy: an experiment that needs no training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import pytest

from fl_opt.experiments import Cell, Data, Experiment, Results, Row, runner
from fl_opt.experiments.experiment import over_seeds
from fl_opt.report.figures import Series, curves
from fl_opt.report.ink import Picture, look

RUN: list[Cell] = []
"""Cells that have run since `begin`."""


def begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has run; and who edits the package while tests run does not make them start anew."""
    code = runner._code("toy")
    monkeypatch.setattr(runner, "_code", lambda name: code[:1])
    RUN.clear()


@dataclass(frozen=True)
class Toy(Experiment):
    """Toy: numbers that need no training."""

    name: ClassVar[str] = "toy"
    source: ClassVar[str] = "nobody, nowhere"
    dataset: str = "digits"
    height: float = 1.0
    sizes: tuple[int, ...] = (1, 2)
    least: float = 0.5

    @property
    def arms(self) -> Sequence[str]:
        return ["low", "high"]

    def quick(self) -> Self:
        return dataclasses.replace(self, seeds=2)

    def run(self, cell: Cell) -> Data:
        RUN.append(cell)
        return {"value": self.height * (cell.arm == "high") + 0.01 * cell.seed}

    def rows(self, results: Results) -> Sequence[Row]:
        gain = np.array(over_seeds(results, "high", "value"))
        gain = gain - np.array(over_seeds(results, "low", "value"))
        return [Row.measured("gain | by <height>", gain, at_least=self.least)]

    def figures(self, results: Results) -> Sequence[Picture]:
        x = np.arange(1.0, 4.0)
        line = Series("toy", look(0), x, x, x, x)
        return [curves("line", "A line", [line], x_name="x", x_unit="s", y_name="y")]
