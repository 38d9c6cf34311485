"""Fading and walks: marginal laws, memory, staying in the cell, independence of the speed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fl_opt.scenario.fading import path_correlation, power_gain, remember, scattered
from fl_opt.scenario.mobility import Disc, Places, Region, Walk, Walkers
from fl_opt.scenario.streams import Streams
from fl_opt.units import Floats

STREAMS = Streams.of(np.random.default_rng(1))


def waves(size: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.complex128]]:
    rng = np.random.default_rng(seed)
    return scattered(rng.standard_normal((1, size)), rng.standard_normal((1, size)))


def test_rayleigh_gain_is_exponential() -> None:
    gain = power_gain(waves(20_000, 1), 0.0)
    assert stats.kstest(gain, "expon").pvalue > 0.01


@pytest.mark.parametrize("rice", [0.5, 8.0])
def test_rice_gain_is_noncentral_chi_square(rice: float) -> None:
    gain = power_gain(waves(20_000, 2), rice)
    law = stats.ncx2(df=2, nc=2.0 * rice, scale=0.5 / (1.0 + rice))
    assert stats.kstest(gain, law.cdf).pvalue > 0.01


def test_branches_are_averaged() -> None:
    rng = np.random.default_rng(3)
    gain = power_gain(
        scattered(rng.standard_normal((4, 20_000)), rng.standard_normal((4, 20_000))), 0
    )
    assert stats.kstest(gain, stats.gamma(a=4, scale=0.25).cdf).pvalue > 0.01


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_gauss_markov_keeps_its_law_and_its_memory(rho: float) -> None:
    state = first = waves(40_000, 4)
    for lag in range(1, 4):
        state = remember(state, rho, waves(40_000, 10 + lag))
        correlation = np.mean(first * np.conj(state))
        # Four standard errors of the mean of 40,000 products of unit variance.
        assert abs(correlation - rho**lag) < 4.0 / np.sqrt(40_000)
    assert stats.kstest(power_gain(state, 0.0), "expon").pvalue > 0.01


def test_full_correlation_stands_still() -> None:
    state = waves(10, 5)
    assert np.array_equal(remember(state, 1.0, waves(10, 6)), state)


def test_path_correlation() -> None:
    walked = np.array([0.0, 50.0, 100.0])
    assert path_correlation(walked, 50.0) == pytest.approx([1.0, np.exp(-1.0), np.exp(-2.0)])


def test_disc_is_evenly_filled() -> None:
    u, v = np.random.default_rng(7).random((2, 20_000))
    place = Disc(35.0, 500.0).place(u, v)
    r = np.hypot(*place.T)
    assert r.min() >= 35.0
    assert r.max() <= 500.0
    share = (r**2 - 35.0**2) / (500.0**2 - 35.0**2)
    assert stats.kstest(share, "uniform").pvalue > 0.01
    assert stats.kstest(np.arctan2(*place.T) / (2.0 * np.pi) + 0.5, "uniform").pvalue > 0.01


def walkers(region: Region, size: int, low: float, high: float, pause_s: float) -> Walkers:
    first, second = STREAMS.uniform("place", 0, size), STREAMS.uniform("place", 1, size)
    return Walkers(Walk(region, low, high, pause_s), STREAMS, region.place(first, second))


def stepwise(
    walk: Walk, start: Floats, device: int, size: int, seconds: float, dt: float
) -> Floats:
    """The same walk by small steps of time, one device, as an independent reference."""
    here, target, leg, pause = start.copy(), start.copy(), -1, 0.0
    speed = 1.0
    for _ in range(round(seconds / dt)):
        if pause > 0.0:
            pause -= dt
            continue
        if np.hypot(*(target - here)) < 1e-9:
            leg += 1
            u = [STREAMS.uniform("waypoint", 2 * leg + part, size) for part in range(2)]
            target = walk.region.place(*u)[device]
            spread = walk.speed_max_m_s - walk.speed_min_m_s
            speed = walk.speed_min_m_s + spread * STREAMS.uniform("speed", leg, size)[device]
        ahead = target - here
        length = np.hypot(*ahead)
        if length <= speed * dt:
            here, pause = target.copy(), walk.pause_s
        else:
            here = here + ahead / length * speed * dt
    return here


def test_walk_agrees_with_small_steps_of_time() -> None:
    size, seconds, dt = 3, 400.0, 0.02
    crowd = walkers(Disc(0.0, 100.0), size, 1.0, 3.0, 5.0)
    start = crowd.position_m.copy()
    for _ in range(8):
        crowd.advance(seconds / 8)
    for device in range(size):
        small = stepwise(crowd.walk, start[device], device, size, seconds, dt)
        # The reference rounds every arrival and pause up to a step: a few steps of 3 m/s.
        assert np.hypot(*(small - crowd.position_m[device])) < 60 * dt * 3.0


@settings(max_examples=30, deadline=None)
@given(
    low=st.floats(0.1, 5.0),
    more=st.floats(0.0, 100.0),
    pause_s=st.floats(0.0, 100.0),
    interval_s=st.floats(0.1, 300.0),
)
def test_nobody_leaves_the_cell_nor_walks_too_fast(
    low: float, more: float, pause_s: float, interval_s: float
) -> None:
    crowd = walkers(Disc(10.0, 200.0), 50, low, low + more, pause_s)
    for _ in range(5):
        before = crowd.position_m.copy()
        walked = crowd.advance(interval_s)
        moved = np.hypot(*(crowd.position_m - before).T)
        assert np.all(np.hypot(*crowd.position_m.T) <= 200.0 * (1 + 1e-12))
        assert np.all(moved <= walked * (1 + 1e-12) + 1e-9)
        assert np.all(walked <= (low + more) * interval_s * (1 + 1e-12))
        if pause_s == 0.0:
            assert np.all(walked >= low * interval_s * (1 - 1e-9))


def test_one_long_step_or_many_short_ones() -> None:
    region = Places(np.array([[0.0, 50.0], [80.0, 0.0], [-30.0, -30.0]]))
    once, often = (walkers(region, 20, 1.0, 2.0, 10.0) for _ in range(2))
    walked = once.advance(600.0)
    assert np.allclose(sum(often.advance(60.0) for _ in range(10)), walked, rtol=1e-9)
    assert np.allclose(once.position_m, often.position_m, atol=1e-6)


def test_twice_the_speed_is_half_the_time() -> None:
    """The legs are the same whatever the speed: common random numbers."""
    slow, fast = (walkers(Disc(0.0, 100.0), 20, s, 1.5 * s, 0.0) for s in (1.0, 2.0))
    slow.advance(500.0)
    fast.advance(250.0)
    assert np.allclose(slow.position_m, fast.position_m, atol=1e-6)


def test_streams_are_addressed_not_ordered() -> None:
    a, b = Streams.of(np.random.default_rng(9)), Streams.of(np.random.default_rng(9))
    late = a.normal("x", 5, 10)
    b.uniform("y", 0, 1000)
    assert np.array_equal(b.normal("x", 5, 10), late)
    assert np.array_equal(a.normal("x", 5, 4), late[:4])
    assert not np.array_equal(a.normal("x", 6, 10), late)
    assert not np.array_equal(a.normal("z", 5, 10), late)
    assert a != Streams.of(np.random.default_rng(10))
