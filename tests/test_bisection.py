"""The bracket: exact for any path of the search, never refuting what can be had."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fl_opt
from fl_opt import Infeasible
from fl_opt.certificate import Excess
from fl_opt.solvers.bisection import Bisection
from fl_opt.structure import Attempt
from fl_opt.units import Floats

numbers = st.floats(-6.0, 6.0).map(lambda x: 10.0**x)


@dataclass(frozen=True)
class Threshold:
    """The least cost is `least`; the shortage is a function of the cost over it.

    Costs within `doubt` below the least are neither attained nor refuted, as rounding would have
    it; `low` is the lower end of the bracket, as a share of the least.
    """

    least: float
    shortage: Callable[[float], float]
    doubt: float = 0.0
    low: float = 0.5

    def cost(self, decision: float) -> float:
        return decision

    def excess(self, decision: float) -> Mapping[str, Excess]:
        return {"least": Excess(-decision, -self.least, "")}

    def bracket(self) -> tuple[float, float]:
        return self.low * self.least, 2.0 * self.low * self.least

    def attain(self, cost: float) -> Attempt[float]:
        ratio = cost / self.least
        if ratio >= 1.0:
            return Attempt(cost, min(self.shortage(ratio), 0.0), False)
        refuted = ratio < 1.0 - self.doubt
        return Attempt(None, max(self.shortage(ratio), 1e-300), refuted)

    def prices(self, cost: float) -> Mapping[str, float | Floats | None]:
        return {"least": cost}


SHAPES: dict[str, Callable[[float], float]] = {
    "inverse": lambda ratio: 1.0 / ratio - 1.0,
    "steep": lambda ratio: ratio**-40.0 - 1.0,
    "flat": lambda ratio: math.copysign(abs(ratio - 1.0) ** 5, 1.0 - ratio),
    "step": lambda ratio: math.inf if ratio < 1.0 else -0.5,
    "wall": lambda ratio: math.inf if ratio < 1.0 else 1.0 / ratio - 1.0,
    "empty": lambda ratio: 1.0 / ratio - 1.0 if ratio < 1.0 else -1.0,
}


@given(numbers, st.sampled_from(sorted(SHAPES)), st.floats(-8.0, -0.01))
def test_finds_the_least_cost_whatever_the_shape(least: float, shape: str, depth: float) -> None:
    problem = Threshold(least, SHAPES[shape], low=10.0**depth)
    solution = Bisection()(problem)
    proof = solution.certificate
    assert proof.feasible
    assert proof.proof == "bracket"
    assert proof.bound <= least <= proof.cost * (1.0 + 1e-15)
    assert proof.gap <= 1.1e-11
    assert solution.prices["least"] == pytest.approx(least, rel=1e-10)


@given(numbers, st.sampled_from(sorted(SHAPES)), st.floats(-14.0, -2.0))
def test_doubt_widens_the_bracket_and_never_breaks_it(
    least: float, shape: str, power: float
) -> None:
    doubt = 10.0**power
    proof = Bisection()(Threshold(least, SHAPES[shape], doubt)).certificate
    assert proof.bound <= least <= proof.cost * (1.0 + 1e-15)
    assert proof.gap <= 8.0 * max(doubt, 1e-11)


@given(numbers, st.floats(-3.0, 3.0))
def test_any_start_will_do(least: float, power: float) -> None:
    problem = Threshold(least, SHAPES["inverse"])
    cold = Bisection()(problem)
    start = fl_opt.Solution(1.0, fl_opt.Certificate(least * 10.0**power, 0.0, "none"), {}, "", 0.0)
    warm = Bisection()(problem, start=start)
    assert warm.certificate.gap <= 1.1e-11
    assert warm.certificate.cost == pytest.approx(cold.certificate.cost, rel=1e-10)


def test_a_good_start_saves_attempts() -> None:
    counts = []
    for guess in (None, 1.0):
        calls: list[float] = []

        def shortage(ratio: float, calls: list[float] = calls) -> float:
            calls.append(ratio)
            return 1.0 / ratio - 1.0

        problem = Threshold(1.0, shortage, low=0.1)
        start = None
        if guess is not None:
            start = fl_opt.Solution(1.0, fl_opt.Certificate(guess, 0.0, "none"), {}, "", 0.0)
        Bisection()(problem, start=start)
        counts.append(len(calls))
    assert counts[1] < counts[0]


def test_a_loose_tolerance_is_kept() -> None:
    proof = Bisection(tolerance=1e-3)(Threshold(3.0, SHAPES["inverse"])).certificate
    assert 1e-9 < proof.gap <= 1.1e-3


def test_the_lower_end_of_the_bracket_is_a_bound_of_its_own() -> None:
    proof = Bisection()(Threshold(3.0, SHAPES["step"], doubt=1.0, low=0.9)).certificate
    assert proof.bound == pytest.approx(2.7)
    assert proof.gap == pytest.approx(0.1, rel=1e-6)


def test_what_is_impossible_is_said_by_the_problem() -> None:
    @dataclass(frozen=True)
    class Never(Threshold):
        """No cost will do."""

        def bracket(self) -> tuple[float, float]:
            raise Infeasible("never", constraint="least")

    with pytest.raises(Infeasible, match="never"):
        Bisection()(Never(1.0, SHAPES["inverse"]))
