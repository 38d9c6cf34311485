"""What a device needs and answers: against 50 digits, with bounds that are never false."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fdma_rounds import feasible, mixed
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference import exact

from benchmarks.instances import draw
from fl_opt import InvalidInput, Network
from fl_opt.problems.device import Point
from fl_opt.problems.uplink import Uplink
from fl_opt.units import Floats

seeds = st.integers(0, 10**6)


# an independent method


@settings(max_examples=50, deadline=None)
@given(seeds, st.floats(-0.5, 4.0))
def test_least_bandwidth_in_fifty_digits_and_its_bound_below(seed: int, longer: float) -> None:
    network, deadline = mixed(seed, 3)
    deadline = deadline * 10.0**longer
    uplink = Uplink(network, deadline)
    for k, needed in enumerate(exact.least_hz(network, deadline)):
        found, low = uplink.least_hz[k], uplink.least_low_hz[k]
        assert not low > needed
        if needed == exact.mp.inf or math.isinf(found):
            # only at the edge of what any bandwidth does may the two disagree
            assert needed > 1e13 * network.band_hz or found == needed
        elif needed:
            assert abs(found / needed - 1) < 1e-7
            assert found >= needed * (1 - exact.mp.mpf(1e-7))


@settings(max_examples=30, deadline=None)
@given(seeds, st.floats(-3.0, 3.0))
def test_best_reply_in_fifty_digits_and_its_bound_below(seed: int, factor: float) -> None:
    problem = feasible(seed, 2)
    uplink = problem.uplink
    if not uplink.part.nats.size:
        return
    price = problem.price_guess() * 10.0**factor
    response = uplink.respond(price)
    _, energy, _ = uplink.at(response.point.b)
    paid = max(price, float(uplink.own_price(response.point).max()))
    found = uplink.multipliers(paid, response.point)
    ends = exact.horizons(problem.network, problem.deadline_s)
    senders = np.flatnonzero(uplink.sending)
    everyone = exact.devices(problem.network)
    for n, k in enumerate(senders):
        _, worth = everyone[k].best(ends[k], exact.mp.mpf(price))
        assert abs((energy[n] + price * response.point.b[n]) / worth - 1) < 1e-7
        _, worth = everyone[k].best(ends[k], exact.mp.mpf(paid))
        assert not found.value[n] > worth


@settings(max_examples=30, deadline=None)
@given(seeds, st.floats(0.0, 0.3))
def test_a_bound_at_a_wrong_point_is_lower_but_never_false(seed: int, error: float) -> None:
    problem = feasible(seed, 2)
    uplink = problem.uplink
    if not uplink.part.nats.size:
        return
    rng = np.random.default_rng(seed)
    price = problem.price_guess() * 10.0 ** rng.uniform(-2.0, 2.0)
    right = uplink.respond(price).point
    u = np.clip(
        right.u * np.exp(error * rng.standard_normal(right.u.size)),
        uplink.part.train_low,
        np.minimum(uplink.part.train_high, uplink.part.deadline * (1.0 - 1e-9)),
    )
    wrong = Point(
        uplink.part.deadline - u, u, right.b * np.exp(error * rng.standard_normal(u.size))
    )
    paid = max(price, float(uplink.own_price(wrong).max()) * (1.0 + 1e-12))
    assume(math.isfinite(paid))  # at an infinite price nothing is worth its band
    found = uplink.multipliers(paid, wrong)
    ends = exact.horizons(problem.network, problem.deadline_s)
    everyone = exact.devices(problem.network)
    for n, k in enumerate(np.flatnonzero(uplink.sending)):
        assert not found.value[n] > everyone[k].best(ends[k], exact.mp.mpf(paid))[1]


# known shape


def energies(uplink: Uplink, b: Floats) -> Floats:
    return uplink.at(b)[1]


@settings(max_examples=60, deadline=None)
@given(seeds, st.floats(1.0, 50.0), st.floats(1.0, 50.0))
def test_least_energy_is_convex_and_falls_with_the_bandwidth(
    seed: int, one: float, two: float
) -> None:
    uplink = feasible(seed, 4).uplink
    low, high = uplink.floor.b * min(one, two), uplink.floor.b * max(one, two)
    at_low, at_middle, at_high = (energies(uplink, b) for b in (low, 0.5 * (low + high), high))
    assert np.all(at_middle <= 0.5 * (at_low + at_high) * (1.0 + 1e-10))
    assert np.all(at_high <= at_low * (1.0 + 1e-10))
    slope = uplink.at(low)[2]
    assert np.all(at_high >= at_low + slope * (high - low) - 1e-9 * at_low)


@settings(max_examples=60, deadline=None)
@given(seeds, st.floats(1.0, 10.0))
def test_a_higher_price_asks_for_less(seed: int, factor: float) -> None:
    problem = feasible(seed, 5)
    price = problem.price_guess()
    one, two = problem.respond(price), problem.respond(price * factor)
    assert np.all(two.point.b <= one.point.b * (1.0 + 1e-8))
    assert two.slope <= 0.0


@settings(max_examples=60, deadline=None)
@given(seeds, st.floats(-6.0, 6.0))
def test_where_a_search_starts_does_not_show(seed: int, power: float) -> None:
    problem = feasible(seed, 5)
    price = problem.price_guess()
    far = price * 10.0**power
    cold = problem.respond(far)
    warm = problem.respond(far, problem.respond(price))
    np.testing.assert_allclose(warm.point.b, cold.point.b, rtol=1e-6)
    back = problem.respond(price, warm)
    np.testing.assert_allclose(back.point.b, problem.respond(price).point.b, rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_the_slope_of_demand_is_its_derivative(seed: int) -> None:
    problem = feasible(seed, 4)
    price, step = problem.price_guess(), 1e-4
    low, high = (problem.respond(price * math.exp(sign * step)) for sign in (-1.0, 1.0))
    centre = problem.respond(price)
    measured = (high.demand - low.demand) / (2.0 * step)
    # between two kinks only
    kinked = abs(high.slope - low.slope) > 0.05 * abs(centre.slope)
    assert kinked or abs(measured - centre.slope) <= 1e-3 * centre.demand


# corner cases


def edge(**changes: float) -> Network:
    values = {
        "gain": 1e-12,
        "power_max_w": 0.2,
        "cpu_min_hz": 5e8,
        "cpu_max_hz": 2e9,
        "capacitance": 1e-28,
        "cycles": 2e8,
        "upload_bit": 3e5,
        "samples": 1.0,
        "band_hz": 1e6,
    }
    return Network(**values | changes)


def test_energy_that_barely_reaches() -> None:
    network = edge(power_max_w=math.inf)
    heat = 1e-28 * 2e8 * 5e8**2
    floor = float(network.noise_w_hz[0]) * 3e5 * math.log(2.0) / 1e-12
    short = network.replace(energy_j=heat + 0.999 * floor)
    for deadline in (1.0, 1e3, 1e6):
        assert math.isinf(Uplink(short, deadline).least_hz[0])
    enough = network.replace(energy_j=heat + 1.001 * floor)
    assert Uplink(enough, 1.0).least_hz[0] == pytest.approx(1.7e8, rel=0.03)
    assert Uplink(enough, 1e6).least_hz[0] == pytest.approx(104.0, rel=0.01)


def test_power_that_no_bandwidth_helps() -> None:
    network = edge()
    shortest = float(network.noise_w_hz[0]) * 3e5 * math.log(2.0) / (0.2 * 1e-12)
    training = 2e8 / 2e9
    assert math.isinf(Uplink(network, training + shortest).least_hz[0])
    barely = Uplink(network, training + shortest * (1.0 + 1e-9)).least_hz[0]
    assert 1e9 < barely < math.inf
    # G = 1 - 1e-9: b is about h p/(2 N0 (1 - G))
    assert barely == pytest.approx(1e-12 * 0.2 / (2.0 * network.noise_w_hz[0] * 1e-9), rel=1e-3)


def test_without_payload_no_band_is_needed() -> None:
    idle = edge(upload_bit=0.0)
    assert Uplink(idle, 0.1).least_hz[0] == 0.0
    assert math.isinf(Uplink(idle, 0.0999).least_hz[0])
    assert Uplink(idle, 1.0).idle_clock_hz[0] == 5e8
    hot = idle.replace(energy_j=1e-28 * 2e8 * 5e8**2 * 0.999)
    assert math.isinf(Uplink(hot, 10.0).least_hz[0])


# a law


@settings(max_examples=30, deadline=None)
@given(seeds, st.permutations(range(5)))
def test_permuting_devices_permutes_their_needs(seed: int, order: list[int]) -> None:
    network, deadline = mixed(seed, 5)
    one, two = Uplink(network, deadline), Uplink(network[order], deadline[order])
    np.testing.assert_array_equal(two.least_hz, one.least_hz[order])
    np.testing.assert_array_equal(two.least_low_hz, one.least_low_hz[order])


@settings(max_examples=60, deadline=None)
@given(seeds, st.floats(1.0, 4.0))
def test_more_of_anything_never_needs_more_band(seed: int, more: float) -> None:
    instance = draw(seed, 4)
    network, deadline = instance.network, instance.deadline_s
    least = Uplink(network, deadline).least_hz
    for better in (
        network.replace(energy_j=network.energy_j * more),
        network.replace(power_max_w=network.power_max_w * more),
        network.replace(cpu_max_hz=network.cpu_max_hz * more),
        network.replace(gain=network.gain * more),
        network.replace(upload_bit=network.upload_bit / more),
        network.replace(cpu_min_hz=network.cpu_min_hz / more),
    ):
        assert np.all(Uplink(better, deadline).least_hz <= least * (1.0 + 1e-6))
    assert np.all(Uplink(network, deadline * more).least_hz <= least * (1.0 + 1e-6))


# a refusal


@pytest.mark.parametrize("deadline", [0.0, -1.0, math.inf, math.nan, [1.0, 2.0]])
def test_refuses_what_is_no_deadline(deadline: float | list[float]) -> None:
    with pytest.raises(InvalidInput, match="deadline_s"):
        Uplink(edge(), deadline)
