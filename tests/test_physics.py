"""The one physics against 50 digits, its inverses and its limits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import MPContext

from fl_opt import physics

mp = MPContext()
mp.dps = 50
NOISE = 3.981e-21

bits = st.floats(2.0, 8.0).map(lambda x: 10.0**x)
hertz = st.floats(2.0, 9.0).map(lambda x: 10.0**x)
seconds = st.floats(-3.0, 4.0).map(lambda x: 10.0**x)
gains = st.floats(-16.0, -6.0).map(lambda x: 10.0**x)
watts = st.floats(-4.0, 2.0).map(lambda x: 10.0**x)


def exact_rate(b: float, p: float, h: float) -> Any:
    snr = mp.mpf(h) * mp.mpf(p) / (mp.mpf(NOISE) * mp.mpf(b))
    return mp.mpf(b) * mp.log1p(snr) / mp.log(2)


# an independent computation


@given(hertz, watts, gains)
def test_rate_in_fifty_digits(b: float, p: float, h: float) -> None:
    assert float(physics.rate_bit_s(b, p, h, NOISE)) == pytest.approx(
        float(exact_rate(b, p, h)), rel=1e-15
    )


@given(bits, seconds, hertz, gains)
def test_power_in_fifty_digits(s: float, t: float, b: float, h: float) -> None:
    x = mp.mpf(s) * mp.log(2) / (mp.mpf(t) * mp.mpf(b))
    exact = mp.mpf(NOISE) * mp.mpf(b) / mp.mpf(h) * mp.expm1(x) if x < 1e4 else mp.inf
    found = float(physics.upload_power_w(s, t, b, h, NOISE))
    if exact > 1e300:
        assert found > 1e299
    else:
        # an exponent of x carries its own rounding x times
        assert found == pytest.approx(float(exact), rel=1e-15 * (2.0 + float(x)))


@given(bits, seconds, watts, gains)
def test_least_bandwidth_carries_the_payload_exactly(
    s: float, t: float, p: float, h: float
) -> None:
    b = float(physics.least_bandwidth_hz(s, t, p, h, NOISE))
    needed = mp.mpf(NOISE) * mp.mpf(s) * mp.log(2) / (mp.mpf(t) * mp.mpf(p) * mp.mpf(h))
    if needed >= 1:
        assert math.isinf(b)
    elif b < 1e300:
        # b is conditioned by 1/(1 - G): judge by what it carries
        carried = exact_rate(b, p, h) * mp.mpf(t) / mp.mpf(s)
        assert abs(carried - 1) < mp.mpf("4e-15")


def test_packet_error_in_fifty_digits() -> None:
    m, noise, p, h = 1.08, 1e-9, 0.01, 1e-6
    exact = 1 - mp.exp(-mp.mpf(m) * mp.mpf(noise) / (mp.mpf(p) * mp.mpf(h)))
    assert float(physics.packet_error(m, noise, p, h)) == pytest.approx(float(exact), rel=1e-15)


# closed forms


def test_known_values() -> None:
    assert float(physics.rate_bit_s(1e6, 1.0, 3e6 * NOISE, NOISE)) == pytest.approx(2e6, rel=1e-15)
    assert float(physics.training_s(2e9, 1e9)) == 2.0
    assert float(physics.training_energy_j(1e-28, 2e9, 1e9)) == pytest.approx(0.2, rel=1e-15)
    assert float(physics.upload_energy_j(0.2, 3.0)) == pytest.approx(0.6, rel=1e-15)
    assert float(physics.least_upload_energy_j(1e6, 1e-12, NOISE)) == pytest.approx(
        NOISE * 1e6 * math.log(2.0) / 1e-12, rel=1e-15
    )
    assert float(physics.cpu_hz(2e9, 2.0)) == 1e9


def test_near_the_limit_of_any_bandwidth() -> None:
    # G = 1 - 1e-12: b is about h p/(2 N0 (1 - G)); no NaN
    h, p, t = 1e-12, 0.2, 1.0
    s = (1.0 - 1e-12) * t * p * h / (NOISE * math.log(2.0))
    b = float(physics.least_bandwidth_hz(s, t, p, h, NOISE))
    assert b == pytest.approx(h * p / (2.0 * NOISE * 1e-12), rel=1e-3)
    assert math.isinf(physics.least_bandwidth_hz(s * (1.0 + 2e-12), t, p, h, NOISE))


def test_what_is_infinite_is_said_without_a_warning() -> None:
    with np.errstate(all="raise", under="ignore"):
        assert math.isinf(physics.upload_power_w(1100.0, 1.0, 1.0, 1e-12, NOISE))
        assert math.isinf(physics.upload_power_w(1.0, 1.0, 0.0, 1e-12, NOISE))
        assert math.isinf(physics.airtime_s(1.0, 0.0))
        assert math.isinf(physics.least_bandwidth_hz(1.0, 1.0, 0.2, 0.0, NOISE))
        assert math.isinf(physics.training_s(1.0, 0.0))
        assert float(physics.packet_error(1.0, 1e-9, 0.0, 1e-6)) == 1.0


def test_nothing_to_do_takes_nothing() -> None:
    with np.errstate(all="raise", under="ignore"):
        assert float(physics.rate_bit_s(0.0, 0.2, 1e-12, NOISE)) == 0.0
        assert float(physics.airtime_s(0.0, 0.0)) == 0.0
        assert float(physics.upload_power_w(0.0, 0.0, 0.0, 0.0, NOISE)) == 0.0
        assert float(physics.upload_energy_j(math.inf, 0.0)) == 0.0
        assert float(physics.least_bandwidth_hz(0.0, 1.0, 0.2, 1e-12, NOISE)) == 0.0
        assert float(physics.least_upload_energy_j(0.0, 0.0, NOISE)) == 0.0
        assert float(physics.training_s(0.0, 0.0)) == 0.0


# laws


@given(bits, seconds, hertz, gains)
def test_power_and_rate_are_inverse(s: float, t: float, b: float, h: float) -> None:
    p = float(physics.upload_power_w(s, t, b, h, NOISE))
    x = s * math.log(2.0) / (t * b)
    if x < 700.0:
        rate = float(physics.rate_bit_s(b, p, h, NOISE))
        assert float(physics.airtime_s(s, rate)) == pytest.approx(t, rel=1e-14)


@given(bits, seconds, seconds, hertz, hertz, gains)
def test_upload_energy_is_jointly_convex_in_time_and_bandwidth(
    s: float, t0: float, t1: float, b0: float, b1: float, h: float
) -> None:
    def energy(t: float, b: float) -> float:
        power = physics.upload_power_w(s, t, b, h, NOISE)
        return float(physics.upload_energy_j(power, t))

    ends = 0.5 * (energy(t0, b0) + energy(t1, b1))
    middle = energy(0.5 * (t0 + t1), 0.5 * (b0 + b1))
    assert middle <= ends * (1.0 + 1e-12)
    assert middle >= float(physics.least_upload_energy_j(s, h, NOISE)) * (1.0 - 1e-15)


@given(bits, seconds, hertz, gains, st.floats(1.0, 10.0))
def test_more_time_or_band_never_costs_energy(
    s: float, t: float, b: float, h: float, more: float
) -> None:
    def energy(t: float, b: float) -> float:
        power = physics.upload_power_w(s, t, b, h, NOISE)
        return float(physics.upload_energy_j(power, t))

    assert energy(t * more, b) <= energy(t, b) * (1.0 + 1e-12)
    assert energy(t, b * more) <= energy(t, b) * (1.0 + 1e-12)


def test_arguments_broadcast() -> None:
    rate = physics.rate_bit_s(np.array([1e5, 1e6])[:, None], [0.1, 0.2, 0.3], 1e-12, NOISE)
    assert rate.shape == (2, 3)
    assert np.all(np.diff(rate, axis=0) > 0.0)
    assert np.all(np.diff(rate, axis=1) > 0.0)
