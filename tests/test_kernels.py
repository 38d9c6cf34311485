"""Inverses of the rate law against 50 digits, and roots of many functions at once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import MPContext
from numpy.typing import NDArray

from fl_opt.kernels import (
    CHUNK,
    chunks,
    growth,
    growth_inverse,
    growth_slope,
    increasing_root,
    marginal,
    marginal_inverse,
)
from fl_opt.units import Floats

mp = MPContext()
mp.dps = 50
ULP = float(np.finfo(float).eps)

logs = st.floats(-14.0, math.log10(690.0))


def one(value: float) -> Floats:
    return np.array([value])


def off(found: Floats, exact: Any) -> float:
    """Relative error in units in the last place."""
    return float(abs(mp.mpf(float(found[0])) / exact - 1)) / ULP


def newton_growth(level: Any) -> Any:
    x = 2 * level + mp.log1p(level)
    for _ in range(40):
        x -= (mp.log(mp.expm1(x) / x) - level) / (-1 / mp.expm1(-x) - 1 / x)
    return x


# two independent methods agree


@given(logs)
def test_growth_and_its_slope_to_the_last_digits(power: float) -> None:
    v = 10.0**power
    x = mp.mpf(v)
    assert off(growth(one(v)), mp.log(mp.expm1(x) / x)) <= 8.0
    # its own formula loses a few digits before the series takes over
    assert off(growth_slope(one(v)), -1 / mp.expm1(-x) - 1 / x) <= 400.0


@given(logs)
def test_marginal_to_the_last_digits(power: float) -> None:
    v = 10.0**power
    x = mp.mpf(v)
    assert off(marginal(one(v)), (x - 1) * mp.exp(x) + 1) <= 4.0


@given(st.floats(-16.0, 6.0))
def test_growth_inverse_to_the_last_digits(power: float) -> None:
    level = 10.0**power
    assert off(growth_inverse(one(level)), newton_growth(mp.mpf(level))) <= 8.0


@given(st.floats(-30.0, 290.0))
def test_marginal_inverse_against_lambert(power: float) -> None:
    level = 10.0**power
    exact = 1 + mp.lambertw((mp.mpf(level) - 1) / mp.e).real
    assert off(marginal_inverse(one(level)), exact) <= 4.0


def test_lambertw_of_scipy_would_not_do() -> None:
    from scipy.special import lambertw

    level = 1e-16
    root = 1.0 + lambertw((level - 1.0) / math.e).real
    exact = 1 + mp.lambertw((mp.mpf(level) - 1) / mp.e).real
    assert off(one(root), exact) > 1e-3 / ULP
    assert off(marginal_inverse(one(level)), exact) <= 4.0


# closed forms at the ends


def test_ends_are_limits_not_errors() -> None:
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_array_equal(growth(np.array([0.0, 1e300])), [0.0, 1e300])
        np.testing.assert_array_equal(growth_inverse(np.array([0.0, math.inf])), [0.0, math.inf])
        np.testing.assert_array_equal(marginal(np.array([0.0, 1e4])), [0.0, math.inf])
        np.testing.assert_array_equal(marginal_inverse(np.array([0.0, math.inf])), [0.0, math.inf])
        assert growth_inverse(one(1e-300))[0] == 2e-300


# laws


@given(st.lists(st.floats(1e-15, 600.0), min_size=2, max_size=30))
def test_inverses_rise(values: list[float]) -> None:
    level = np.sort(np.array(values))
    for inverse in (growth_inverse, marginal_inverse):
        found = inverse(level)
        assert np.all(np.diff(found) >= -8.0 * ULP * found[1:])


def test_an_element_does_not_see_its_neighbours() -> None:
    level = 10.0 ** np.random.default_rng(0).uniform(-15.0, 2.5, 500)
    for inverse in (growth_inverse, marginal_inverse):
        together = inverse(level)
        alone = np.concatenate([inverse(level[k : k + 1]) for k in range(level.size)])
        np.testing.assert_allclose(together, alone, rtol=4.0 * ULP)


@given(st.integers(0, 3 * CHUNK + 5))
def test_chunks_cover_everything_once(size: int) -> None:
    pieces = list(chunks(size))
    covered = [k for piece in pieces for k in (piece.start, piece.stop)]
    assert covered == sorted(covered)
    assert sum(piece.stop - piece.start for piece in pieces) == size
    assert all(piece.stop - piece.start <= CHUNK for piece in pieces)


@given(st.integers(0, 10**6), st.sampled_from(["cubic", "log", "ends", "wall"]))
def test_roots_of_many_functions_at_once(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 20))
    root = rng.uniform(-5.0, 5.0, size)
    low, high = root - rng.exponential(3.0, size), root + rng.exponential(3.0, size)
    start = rng.uniform(low - 1.0, high + 1.0)

    def function(x: Floats, index: NDArray[np.int_]) -> tuple[Floats, Floats]:
        d = x - root[index]
        if kind == "cubic":
            return d**3 + 0.1 * d, 3.0 * d * d + 0.1
        if kind == "log":
            # runs off to minus infinity at the lower end
            room, whole = x - low[index], root[index] - low[index]
            return np.log(room / whole), 1.0 / room
        if kind == "ends":
            return np.exp(d) + 1.0, np.exp(d)
        # infinite values only tell the side
        return np.where(d > 0.5, np.inf, d), np.ones_like(d)

    found = increasing_root(function, low, high, start)
    expected = low if kind == "ends" else root
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_root_beyond_the_bracket_is_its_end() -> None:
    def line(x: Floats, index: NDArray[np.int_]) -> tuple[Floats, Floats]:
        return x - np.array([-1.0, 3.0])[index], np.ones_like(x)

    low, high = np.zeros(2), np.ones(2)
    np.testing.assert_array_equal(increasing_root(line, low, high, np.full(2, 0.5)), [0.0, 1.0])


@pytest.mark.parametrize("level", [1e-18, 1.0 - 1e-12])
def test_near_the_branch_point_no_digits_are_lost(level: float) -> None:
    # G = 1 - 1e-12 leaves a level of 1e-12: v = 2 level there
    tiny = -math.log1p(-1e-12)
    assert growth_inverse(one(tiny))[0] == pytest.approx(2.0 * tiny, rel=1e-12)
    assert off(growth_inverse(one(level)), newton_growth(mp.mpf(level))) <= 8.0
