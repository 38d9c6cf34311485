"""A formula is judged like any other answer: a slip in it shows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

import fl_opt
from fl_opt.certificate import Excess
from fl_opt.structure import Optimum


@dataclass(frozen=True)
class Rectangle:
    """Least half perimeter of a rectangle of a given area: a square, by the two means."""

    area: float
    slip: float = 0.0

    def cost(self, decision: tuple[float, float]) -> float:
        return decision[0] + decision[1]

    def excess(self, decision: tuple[float, float]) -> Mapping[str, Excess]:
        return {"area": Excess(-decision[0] * decision[1], -self.area, "m2")}

    def optimum(self) -> Optimum[tuple[float, float]]:
        side = math.sqrt(self.area)
        return Optimum((side, side + self.slip), 2.0 * side, {"area": 1.0 / side})


def test_a_right_formula_has_no_gap() -> None:
    solution = fl_opt.solve(Rectangle(9.0))
    assert solution.solver == "closed"
    assert solution.certificate.feasible
    assert solution.certificate.cost == 6.0
    assert solution.certificate.gap == 0.0
    assert solution.certificate.proof == "dual"
    assert solution.prices == {"area": pytest.approx(1.0 / 3.0)}


@dataclass(frozen=True)
class Tried(Rectangle):
    """The same, with another kind of proof."""

    def optimum(self) -> Optimum[tuple[float, float]]:
        best = super().optimum()
        return Optimum(best.decision, best.bound, proof="enumeration")


def test_an_optimum_may_say_how_it_is_proven() -> None:
    assert fl_opt.solve(Tried(9.0)).certificate.proof == "enumeration"


def test_a_slip_shows_as_a_gap_or_as_a_violation() -> None:
    assert fl_opt.solve(Rectangle(9.0, slip=0.5)).certificate.gap > 0.05
    assert "area" in fl_opt.solve(Rectangle(9.0, slip=-0.5)).certificate.violation
