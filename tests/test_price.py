"""The price solver on resources whose best sharing is a formula, and on demands with corners."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from fdma_rounds import published
from hypothesis import given, settings
from hypothesis import strategies as st

import fl_opt
from fl_opt.certificate import Excess
from fl_opt.solvers.price import Price
from fl_opt.units import Floats

seeds = st.integers(0, 10**6)


@dataclass(frozen=True, eq=False)
class Asked:
    """The answer of a `Shared` to a price."""

    x: Floats
    demand: float
    slope: float
    price: float


@dataclass(frozen=True, eq=False)
class Shared:
    """minimise sum a/x^n with sum x <= supply and low <= x <= high: x = (n a/price)^(1/(n+1))."""

    a: Floats
    supply: float
    low: float = 0.0
    high: float = math.inf
    power: float = 1.0
    guess: float = 1.0

    shared = "supply"

    def cost(self, decision: Floats) -> float:
        return float(np.sum(self.a / decision**self.power))

    def excess(self, decision: Floats) -> Mapping[str, Excess]:
        return {
            "supply": Excess(decision.sum(), self.supply, ""),
            "low": Excess(-decision, -self.low, "", scale=1.0),
        }

    def price_guess(self) -> float:
        return self.guess

    def respond(self, price: float, start: Asked | None = None) -> Asked:
        free = (self.power * self.a / price) ** (1.0 / (self.power + 1.0))
        x = np.clip(free, self.low, self.high)
        moving = (x > self.low) & (x < self.high)
        slope = -float(x[moving].sum()) / (self.power + 1.0)
        return Asked(x, float(x.sum()), slope, price)

    def settle(self, response: Asked) -> Floats:
        moving = (response.x > self.low) & (response.x < self.high)
        if not moving.any():
            return np.full(self.a.size, self.supply / self.a.size * (1.0 - 1e-15))
        fixed = float(response.x[~moving].sum())
        share = (self.supply - fixed) / float(response.x[moving].sum()) * (1.0 - 1e-14)
        return np.where(moving, response.x * share, response.x)

    def dual(
        self, price: float, response: Asked
    ) -> tuple[float, Mapping[str, float | Floats | None]]:
        x = self.respond(max(price, 1e-300)).x
        terms = self.a / x**self.power + price * x
        paid = price * self.supply
        rounding = 1e-14 * (float(terms.sum()) + paid)
        return float(terms.sum()) - paid - rounding, {"supply": price}


def random(seed: int, **changes: float) -> Shared:
    rng = np.random.default_rng(seed)
    return Shared(10.0 ** rng.uniform(-6.0, 6.0, int(rng.integers(1, 30))), 1.0, **changes)


def optimum(problem: Shared) -> float:
    """By bisection of the price, which needs no derivative."""
    low, high = 1e-40, 1e40
    for _ in range(400):
        middle = math.sqrt(low) * math.sqrt(high)
        more = problem.respond(middle).demand > problem.supply
        low, high = (middle, high) if more else (low, middle)
    return problem.cost(problem.respond(high).x)


# an independent method, and a closed form


@given(seeds, st.floats(0.3, 3.0))
def test_shares_as_bisection_does(seed: int, power: float) -> None:
    problem = random(seed, power=power)
    solution = Price()(problem)
    assert solution.certificate.feasible
    assert solution.certificate.gap <= 1e-12
    assert solution.certificate.cost == pytest.approx(optimum(problem), rel=1e-11)


@given(seeds)
def test_closed_form(seed: int) -> None:
    """With a/x the shares go with the roots: the optimum is (sum sqrt a)^2 / supply."""
    problem = random(seed)
    solution = Price()(problem)
    exact = float(np.sqrt(problem.a).sum()) ** 2
    assert solution.certificate.cost == pytest.approx(exact, rel=1e-12)
    assert solution.certificate.bound <= exact * (1.0 + 1e-15)
    assert solution.prices["supply"] == pytest.approx(exact, rel=1e-6)
    np.testing.assert_allclose(solution.allocation, np.sqrt(problem.a / exact), rtol=1e-7)


# corners: limits on every share, guesses far off, supplies of any size


@given(seeds, st.floats(-12.0, 12.0))
def test_any_guess_will_do(seed: int, power: float) -> None:
    solution = Price()(random(seed, guess=10.0**power))
    assert solution.certificate.gap <= 1e-12


@given(seeds, st.floats(0.0, 1.0), st.floats(1.0, 30.0))
def test_shares_within_limits(seed: int, least: float, most: float) -> None:
    size = random(seed).a.size
    problem = random(seed, low=least * 0.99 / size, high=most / size)
    solution = Price()(problem)
    assert solution.certificate.feasible
    assert solution.certificate.gap <= 1e-9


@given(seeds, st.floats(-9.0, 9.0))
def test_the_size_of_the_supply_does_not_matter(seed: int, power: float) -> None:
    one = random(seed)
    other = Shared(one.a, 10.0**power)
    costs = [Price()(problem).certificate.cost for problem in (one, other)]
    assert costs[1] * 10.0**power == pytest.approx(costs[0], rel=1e-11)


def test_a_demand_that_jumps_ends_the_search() -> None:
    @dataclass(frozen=True, eq=False)
    class Jump(Shared):
        """All or nothing at a price of 3: demand never meets the supply."""

        def respond(self, price: float, start: Asked | None = None) -> Asked:
            x = np.full(1, 2.0 if price < 3.0 else 0.1)
            return Asked(x, float(x[0]), 0.0, price)

        def settle(self, response: Asked) -> Floats:
            return np.full(1, 0.1)

        def dual(
            self, price: float, response: Asked
        ) -> tuple[float, Mapping[str, float | Floats | None]]:
            return -math.inf, {"supply": price}

    solution = Price()(Jump(np.ones(1), 1.0))
    assert solution.prices["supply"] == pytest.approx(3.0, rel=1e-12)
    assert solution.certificate.gap == math.inf


def test_a_free_resource_has_no_price() -> None:
    @dataclass(frozen=True, eq=False)
    class Free(Shared):
        """Nobody asks for anything."""

        def respond(self, price: float, start: Asked | None = None) -> Asked:
            return Asked(np.ones(1), 0.0, 0.0, price)

    assert Price()(Free(np.ones(1), 2.0)).prices["supply"] == 0.0


# a bound at any price


@given(seeds, st.floats(-6.0, 6.0))
def test_a_bound_at_a_wrong_price_is_lower(seed: int, power: float) -> None:
    problem = random(seed)
    exact = float(np.sqrt(problem.a).sum()) ** 2
    bound, _ = problem.dual(exact * 10.0**power, problem.respond(exact * 10.0**power))
    assert bound <= exact


# a start


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_an_earlier_price_saves_steps_and_changes_nothing(seed: int) -> None:
    calls = []

    @dataclass(frozen=True, eq=False)
    class Counted(Shared):
        """Counts how often it is asked."""

        def respond(self, price: float, start: Asked | None = None) -> Asked:
            calls.append(price)
            return super().respond(price, start)

    one = random(seed)
    problem = Counted(one.a, one.supply, guess=1e9)
    cold = Price()(problem)
    few = len(calls)
    calls.clear()
    warm = Price()(problem, start=cold)
    assert len(calls) < few
    assert warm.certificate.cost == pytest.approx(cold.certificate.cost, rel=1e-11)


def test_a_useless_start_is_ignored() -> None:
    problem = random(3)
    cold = Price()(problem)
    for price in (None, 0.0, math.inf):
        start = fl_opt.Solution(cold.allocation, cold.certificate, {"supply": price}, "", 0.0)
        assert Price()(problem, start=start).certificate.gap <= 1e-12


def test_is_what_solve_takes_for_the_least_energy() -> None:
    problem = published(1, 10)
    assert fl_opt.solve(problem).solver == "price"
    loose = Price(tolerance=0.3)(problem)
    assert 1e-11 < loose.certificate.gap < 0.3
    assert loose.certificate.feasible
