"""A convex function of one number whose values are convex programs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_opt import Infeasible
from fl_opt.certificate import Excess, Solution
from fl_opt.solvers.nested import NestedSearch
from fl_opt.structure import Line
from fl_opt.units import Floats

seeds = st.integers(0, 10**6)


@dataclass(frozen=True)
class Asked:
    """A share of one."""

    demand: float
    slope: float


@dataclass(frozen=True)
class Inner:
    """minimise g(x)/y over y <= 1: the supply is taken whole, at a price of g(x)."""

    value: float
    x: float
    shortest: float

    shared = "y"
    supply = 1.0

    def cost(self, decision: tuple[float, float]) -> float:
        return self.value / decision[1]

    def excess(self, decision: tuple[float, float]) -> Mapping[str, Excess]:
        return {"y": Excess(decision[1], 1.0, "")}

    def price_guess(self) -> float:
        return self.value

    def respond(self, price: float, start: Asked | None = None) -> Asked:
        if self.x < self.shortest:
            raise Infeasible("too short", constraint="x")
        y = math.sqrt(self.value / price)
        return Asked(y, -0.5 * y)

    def settle(self, response: Asked) -> tuple[float, float]:
        return self.x, 1.0

    def dual(
        self, price: float, response: Asked
    ) -> tuple[float, Mapping[str, float | Floats | None]]:
        return (2.0 * math.sqrt(self.value * price) - price) * (1.0 - 1e-15), {"y": price}


@dataclass(frozen=True)
class Whole:
    """minimise sum a/x^n + worth x over x >= shortest: the optimum is a formula for n = 1."""

    a: tuple[float, ...]
    worth: float
    shortest: float = 0.0
    doubt: float = 0.0
    power: float = 1.0

    def value(self, x: float) -> float:
        return float(sum(self.a) / x**self.power)

    def cost(self, decision: tuple[float, float]) -> float:
        return self.value(decision[0]) / decision[1] + self.worth * decision[0]

    def excess(self, decision: tuple[float, float]) -> Mapping[str, Excess]:
        return {"x": Excess(-decision[0], -self.shortest, "", scale=1.0)}

    def span(self) -> tuple[float, float]:
        low = max(self.shortest * 0.3, 1e-9)
        return low, 2.0 * low

    def inner(self, x: float) -> Inner:
        return Inner(self.value(x), x, self.shortest)

    def refuted(self, x: float) -> bool:
        return x < self.shortest * (1.0 - self.doubt)

    def reach(self, cost: float) -> float:
        return cost / self.worth * (1.0 + 1e-15)

    def line(self, x: float, solution: Solution[Any], reach: float) -> Line:
        value = self.value(x)
        slope = self.worth - self.power * value / x
        total = value + self.worth * x
        return Line(x, total - 1e-14 * (total + (abs(slope) + self.worth) * reach), slope)

    def prices(self, x: float, solution: Solution[Any]) -> Mapping[str, float | Floats | None]:
        return solution.prices


def random(seed: int, **changes: float) -> Whole:
    rng = np.random.default_rng(seed)
    a = tuple(float(x) for x in 10.0 ** rng.uniform(-3.0, 3.0, int(rng.integers(1, 5))))
    return Whole(a, float(10.0 ** rng.uniform(-3.0, 3.0)), **changes)


@given(seeds)
def test_closed_form(seed: int) -> None:
    """sum a/x + worth x is least at x = sqrt(sum a/worth)."""
    problem = random(seed)
    solution = NestedSearch()(problem)
    proof = solution.certificate
    best = 2.0 * math.sqrt(sum(problem.a) * problem.worth)
    assert proof.feasible
    assert proof.gap <= 1e-10
    assert proof.cost == pytest.approx(best, rel=1e-10)
    assert proof.bound <= best
    assert solution.allocation[0] == pytest.approx(math.sqrt(sum(problem.a) / problem.worth), 1e-4)


@given(seeds, st.floats(0.2, 4.0))
def test_other_curves(seed: int, power: float) -> None:
    problem = random(seed, power=power)
    proof = NestedSearch()(problem).certificate
    total, worth = sum(problem.a), problem.worth
    best = (power * total / worth) ** (1.0 / (power + 1.0))
    assert proof.gap <= 1e-10
    assert proof.bound <= problem.value(best) + worth * best * (1.0 + 1e-15)


@given(seeds, st.floats(1.0, 100.0))
def test_the_optimum_is_the_shortest_where_time_is_dear(seed: int, factor: float) -> None:
    free = random(seed)
    shortest = factor * math.sqrt(sum(free.a) / free.worth)
    problem = Whole(free.a, free.worth, shortest)
    solution = NestedSearch()(problem)
    best = problem.value(shortest) + problem.worth * shortest
    assert solution.certificate.feasible
    assert solution.certificate.gap <= 1e-10
    assert solution.certificate.bound <= best * (1.0 + 1e-15)
    assert solution.allocation[0] >= shortest


@given(seeds, st.floats(-13.0, -3.0))
def test_doubt_about_the_shortest_widens_the_gap_and_never_breaks_it(
    seed: int, power: float
) -> None:
    free = random(seed)
    shortest = 3.0 * math.sqrt(sum(free.a) / free.worth)
    problem = Whole(free.a, free.worth, shortest, doubt=10.0**power)
    proof = NestedSearch()(problem).certificate
    best = problem.value(shortest) + problem.worth * shortest
    assert proof.bound <= best * (1.0 + 1e-15)
    # infeasible and not refuted: the search cannot tell where in the doubt it is
    assert proof.gap <= 8.0 * 10.0**power + 1e-10


def test_a_loose_tolerance_is_kept() -> None:
    proof = NestedSearch(tolerance=1e-2)(random(1)).certificate
    assert 1e-9 < proof.gap <= 1e-2


def test_what_is_impossible_is_said_by_the_problem() -> None:
    class Never(Whole):
        """No number will do."""

        def span(self) -> tuple[float, float]:
            raise Infeasible("never", constraint="x")

    with pytest.raises(Infeasible, match="never"):
        NestedSearch()(Never((1.0,), 1.0))
