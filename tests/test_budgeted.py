"""The solver of matchings under a budget: against every choice, in exact sums, and its corners."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from fl_opt import InvalidInput
from fl_opt.certificate import Excess
from fl_opt.problems.resource_blocks import matchings
from fl_opt.solvers.budgeted import Budgeted
from fl_opt.structure import Offers
from fl_opt.units import Floats

Choice = tuple[NDArray[np.int_], NDArray[np.int_]]


@dataclass(frozen=True, eq=False)
class Bare:
    """Bare offers; the decision is column and level of each row."""

    given: Offers

    def offers(self) -> Offers:
        return self.given

    def arrange(self, column: NDArray[np.int_], level: NDArray[np.int_]) -> Choice:
        return column, level

    def taken(self, decision: Choice) -> list[tuple[int, int, int]]:
        column, level = decision
        return [(int(i), int(column[i]), int(level[i])) for i in np.flatnonzero(column >= 0)]

    def cost(self, decision: Choice) -> float:
        return -math.fsum(float(self.given.value[pair]) for pair in self.taken(decision))

    def excess(self, decision: Choice) -> Mapping[str, Excess]:
        taken = self.taken(decision)
        used = math.fsum(float(self.given.weight[k]) for _, _, k in taken)
        columns = np.bincount([j for _, j, _ in taken], minlength=self.given.value.shape[1])
        return {
            "column": Excess(columns, 1.0, ""),
            "budget": Excess(used, self.given.budget, ""),
            "most": Excess(len(taken), self.given.most, "", scale=1.0),
        }


def choices(offers: Offers) -> Iterator[Fraction]:
    """Exact value of every choice that keeps the budget exactly."""
    n, m, levels = offers.value.shape
    for column in matchings(n, m):
        rows = [i for i in range(n) if column[i] >= 0]
        if len(rows) > offers.most:
            continue
        for picked in itertools.product(range(levels), repeat=len(rows)):
            values = [offers.value[i, column[i], k] for i, k in zip(rows, picked, strict=True)]
            used = sum((Fraction(float(offers.weight[k])) for k in picked), Fraction(0))
            if np.isfinite(values).all() and used <= Fraction(offers.budget):
                yield sum((Fraction(float(value)) for value in values), Fraction(0))


def draw(rng: np.random.Generator, shape: tuple[int, int, int]) -> Offers:
    """Values of both signs with gaps, whole, equal or real weights, tight and loose budgets."""
    value = rng.normal(1.0, 1.0, shape)
    value[rng.random(shape) < 0.2] = -np.inf
    weight = [
        rng.uniform(0.1, 2.0, shape[2]),
        rng.integers(0, 4, shape[2]).astype(float),
        np.ones(shape[2]),
    ][rng.integers(3)]
    budget = rng.uniform(0.0, 1.2) * min(shape[:2]) * weight.max()
    return Offers(value, 0.0, weight, float(budget), int(rng.integers(0, min(shape[:2]) + 2)))


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_is_the_best_of_all_choices_and_bounds_them(seed: int, n: int, m: int, levels: int) -> None:
    offers = draw(np.random.default_rng(seed), (n, m, levels))
    best = max(choices(offers))
    proof = Budgeted()(Bare(offers)).certificate
    assert proof.feasible
    assert Fraction(-proof.bound) >= best
    assert -proof.cost == pytest.approx(float(best), rel=1e-14, abs=0.0)
    assert proof.cost - proof.bound <= 1e-9 * max(1.0, float(best))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_without_the_search_the_bound_is_true_and_the_answer_feasible(seed: int) -> None:
    offers = draw(np.random.default_rng(seed), (8, 6, 4))
    rough, exact = Budgeted(core=0)(Bare(offers)), Budgeted()(Bare(offers))
    assert rough.certificate.feasible
    assert rough.certificate.proof == "dual"
    assert rough.certificate.bound <= exact.certificate.cost <= rough.certificate.cost
    assert exact.certificate.gap <= 1e-9


def test_a_loose_budget_leaves_an_assignment() -> None:
    value = np.random.default_rng(3).random((30, 20, 3))
    solution = Budgeted()(Bare(Offers(value, 0.0, np.array([1.0, 2.0, 3.0]), math.inf, 20)))
    best = value.max(axis=2)
    assert solution.certificate.cost == pytest.approx(
        -best[linear_sum_assignment(best, maximize=True)].sum(), rel=1e-14
    )
    assert solution.certificate.gap <= 1e-13


def test_seats_take_the_best_pairs() -> None:
    value = np.random.default_rng(4).random((9, 7, 1))
    worth = [
        -Budgeted()(Bare(Offers(value, 0.0, np.ones(1), 100.0, most))).certificate.cost
        for most in range(9)
    ]
    assert worth[0] == 0.0
    assert worth[1] == value.max()
    # matchings by their number of pairs are concave
    assert np.all(np.diff(worth, 2) <= 1e-15)
    assert worth[7] == worth[8]


def test_a_rest_that_nobody_can_use_is_not_priced() -> None:
    rng = np.random.default_rng(5)
    value = np.sort(rng.random((12, 10, 4)), axis=2)
    for budget in (14.0, 14.9):
        offers = Offers(value, 0.0, np.array([1.0, 2.0, 3.0, 4.0]), budget, 10)
        proof = Budgeted(core=0)(Bare(offers)).certificate
        assert proof.gap <= 1e-13


def test_a_time_limit_leaves_a_true_bound() -> None:
    offers = draw(np.random.default_rng(6), (8, 6, 4))
    short = Budgeted()(Bare(offers), time_limit_s=1e-9).certificate
    assert short.feasible
    assert short.bound <= Budgeted()(Bare(offers)).certificate.cost


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": np.ones(2)}, r"offers.value.shape is \(2, 2, 3\); expected \(n, m, 2\)"),
        ({"weight": np.array([1.0, -1.0, 2.0])}, "offers.weight is negative"),
        ({"value": np.full((2, 2, 3), np.nan)}, "offers.value is NaN"),
        ({"budget": -1.0}, "offers.budget is -1"),
    ],
)
def test_offers_that_make_no_sense_are_named(change: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"value": np.ones((2, 2, 3)), "weight": np.ones(3), "budget": 1.0}
    problem = Bare(Offers(**(fields | {"error": 0.0, "most": 2} | change)))
    with pytest.raises(InvalidInput, match=message):
        Budgeted()(problem)


def test_an_option_out_of_range_is_named() -> None:
    with pytest.raises(InvalidInput, match="gap is 2; expected a number >= 0, <= 1"):
        Budgeted(gap=2.0)


def ones(shape: tuple[int, int, int]) -> Floats:
    return np.ones(shape)


def test_like_pairs_at_one_level() -> None:
    solution = Budgeted()(Bare(Offers(ones((50, 40, 1)), 0.0, np.ones(1), 12.5, 30)))
    assert solution.certificate.cost == -12.0
    assert solution.certificate.gap <= 1e-13
