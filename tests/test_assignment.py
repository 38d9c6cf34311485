"""The assignment solver: against two other codes, with prices that never lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from fl_opt import InvalidInput
from fl_opt.certificate import Excess
from fl_opt.solvers.assignment import Assignment, upper_bound
from fl_opt.units import Floats


@dataclass(frozen=True, eq=False)
class Pairs:
    """A bare matching problem; the decision is the column of each row."""

    w: Floats

    def weights(self) -> Floats:
        return self.w

    def match(self, column: NDArray[np.int_]) -> NDArray[np.int_]:
        return column

    def cost(self, decision: NDArray[np.int_]) -> float:
        on = np.flatnonzero(decision >= 0)
        return float(self.w[on, decision[on]].sum())

    def excess(self, decision: NDArray[np.int_]) -> Mapping[str, Excess]:
        used = np.bincount(decision[decision >= 0], minlength=self.w.shape[1])
        return {"column": Excess(used, 1.0, "")}


def least(w: Floats) -> float:
    rows, columns = linear_sum_assignment(w)
    return float(w[rows, columns].sum())


def blocks_and_devices(rng: np.random.Generator, size: int, blocks: int) -> Floats:
    """Degenerate costs of resource blocks: few classes of samples, one law of the distance."""
    squared = rng.uniform(0.0, 1.0, size) ** 2
    samples = rng.choice([100.0, 200.0, 300.0, 400.0, 500.0], size)
    loss = np.outer(squared, np.linspace(0.1, 2.0, blocks))
    return np.where(loss < 1.0, -samples[:, None] * np.exp(-loss), 0.0)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_small_matchings_agree_with_scipy(seed: int, n: int, m: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    w = -rng.random((n, m)).round(digits) * (rng.random((n, m)) < 0.7)
    solution = Assignment()(Pairs(w))
    assert solution.certificate.feasible
    assert solution.certificate.cost == pytest.approx(least(w), rel=1e-14, abs=0.0)
    assert solution.certificate.gap <= 1e-14
    assert solution.certificate.proof == "dual"


@pytest.mark.parametrize("shape", [(300, 200), (150, 700), (420, 420)])
@pytest.mark.parametrize("kind", ["random", "product", "levels", "sparse", "blocks"])
def test_large_matchings_agree_with_scipy(shape: tuple[int, int], kind: str) -> None:
    rng = np.random.default_rng(3)
    families: dict[str, Floats] = {
        "random": -rng.random(shape),
        "product": -np.outer(rng.random(shape[0]), rng.random(shape[1])),
        "levels": -rng.integers(0, 3, shape).astype(float),
        "sparse": -rng.random(shape) * (rng.random(shape) < 0.005),
        "blocks": blocks_and_devices(rng, *shape),
    }
    w = families[kind]
    solution = Assignment()(Pairs(w))
    assert solution.certificate.feasible
    assert solution.certificate.cost == pytest.approx(least(w), rel=1e-13)
    assert solution.certificate.gap <= 1e-13


def test_worths_over_many_decades() -> None:
    w = -(10.0 ** np.random.default_rng(4).uniform(-12, 12, (160, 200)))
    solution = Assignment()(Pairs(w))
    assert solution.certificate.cost == pytest.approx(least(w), rel=1e-13)
    assert solution.certificate.gap <= 1e-13


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_no_price_lowers_the_bound_below_the_best_matching(seed: int) -> None:
    rng = np.random.default_rng(seed)
    w = blocks_and_devices(rng, 7, 5)
    best = -sum(
        (Fraction(float(w[i, j])) for i, j in zip(*linear_sum_assignment(w), strict=True)),
        Fraction(0),
    )
    price = rng.exponential(10.0 ** rng.uniform(-3, 3), 5) * (rng.random(5) < 0.8)
    assert Fraction(upper_bound(-w, price)) >= best
    found = Assignment()(Pairs(w)).certificate
    assert Fraction(-found.bound) >= best


def test_a_pair_that_is_worth_nothing_is_not_used() -> None:
    w = np.array([[-1.0, 0.0], [-2.0, 0.0]])
    np.testing.assert_array_equal(Assignment()(Pairs(w)).allocation, [-1, 0])


@pytest.mark.parametrize("shape", [(3, 4), (0, 2), (5, 0)])
def test_no_feasible_pair_is_an_empty_matching(shape: tuple[int, int]) -> None:
    solution = Assignment()(Pairs(np.zeros(shape)))
    assert np.all(solution.allocation == -1)
    assert solution.certificate.cost == solution.certificate.bound == solution.certificate.gap == 0


def test_permuting_and_turning_changes_nothing() -> None:
    rng = np.random.default_rng(5)
    w = blocks_and_devices(rng, 200, 150)
    cost = Assignment()(Pairs(w)).certificate.cost
    mixed = w[rng.permutation(200)][:, rng.permutation(150)]
    assert Assignment()(Pairs(mixed)).certificate.cost == pytest.approx(cost, rel=1e-13)
    assert Assignment()(Pairs(w.T)).certificate.cost == pytest.approx(cost, rel=1e-13)
    assert Assignment()(Pairs(1e-9 * w)).certificate.cost == pytest.approx(1e-9 * cost, rel=1e-13)


def test_options_change_the_way_and_not_the_answer() -> None:
    w = blocks_and_devices(np.random.default_rng(6), 400, 300)
    one = Assignment()(Pairs(w)).certificate
    for solver in (Assignment(near=1, outbid=1), Assignment(spread=0.5), Assignment(seed=9)):
        other = solver(Pairs(w)).certificate
        assert other.cost == pytest.approx(one.cost, rel=1e-13)
        assert other.gap <= 1e-13


def test_when_the_time_is_over_the_bound_still_holds() -> None:
    w = blocks_and_devices(np.random.default_rng(7), 600, 400)
    best = least(w)
    cut = Assignment(near=2)(Pairs(w), time_limit_s=1e-9).certificate
    assert cut.feasible
    assert cut.bound <= best < cut.cost


@pytest.mark.parametrize("wrong", [0.5, np.nan, -np.inf])
def test_wrong_weights_are_refused(wrong: float) -> None:
    with pytest.raises(InvalidInput, match="weights is positive or not finite"):
        Assignment()(Pairs(np.array([[-1.0, wrong]])))
