"""Path loss against figures of others, by hand, at the limits, and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_opt.scenario.pathloss import ENVIRONMENTS, Link, by_state

HEIGHTS_M = {
    "uma": (25.0, 1.5),
    "umi": (10.0, 1.5),
    "inh_mixed": (3.0, 1.5),
    "inh_open": (3.0, 1.5),
}


def link(name: str, carrier_hz: float) -> Link:
    return Link(carrier_hz, *HEIGHTS_M.get(name, (25.0, 1.5)))


def loss(name: str, distance_m: float, los: bool, carrier_hz: float) -> float:
    return float(ENVIRONMENTS[name].loss_db(distance_m, los, link(name, carrier_hz)))


# Expected values of the test suite of the network simulator ns-3 (three-gpp-propagation-loss-model;
# Zugno et al., WNS3 2020, arXiv 2002.09341) at 5 GHz: an independent reading of the same table.
@pytest.mark.parametrize(
    ("name", "los", "expected_db"),
    [
        ("uma", True, {10: 72.9380, 100: 86.2362, 1000: 109.7252, 5000: 137.6794}),
        ("uma", False, {10: 82.5131, 100: 106.1356, 1000: 144.7641, 5000: 172.0753}),
        ("umi", True, {10: 69.8591, 100: 88.4122, 1000: 119.3114, 5000: 147.2696}),
        ("umi", False, {10: 76.7563, 100: 107.9432, 1000: 143.1886, 5000: 167.8617}),
        ("inh_mixed", True, {1: 50.8072, 10: 63.7630, 50: 75.7750, 100: 80.9802}),
        ("inh_open", False, {1: 50.8072, 10: 73.1894, 50: 99.7824, 100: 111.3062}),
    ],
)
def test_agrees_with_another_reading_of_the_table(
    name: str, los: bool, expected_db: dict[int, float]
) -> None:
    for distance_m, expected in expected_db.items():
        assert loss(name, distance_m, los, 5e9) == pytest.approx(expected, abs=1e-4)


def test_by_hand_at_100_m_and_3_5_ghz() -> None:
    """UMa: d3 = sqrt(100^2 + 23.5^2) = 102.7241 m, log10 = 2.0116725; 20 log10 3.5 = 10.8813609."""
    assert loss("uma", 100.0, True, 3.5e9) == pytest.approx(
        28.0 + 44.2567958 + 10.8813609, abs=1e-6
    )
    assert loss("uma", 100.0, False, 3.5e9) == pytest.approx(
        13.54 + 39.08 * 2.0116725 + 10.8813609, abs=1e-5
    )


def test_breakpoint_by_hand() -> None:
    """4 x 24 x 0.5 x 3.5e9 / 3e8 = 560 m; beyond it the slope is 40 dB per decade."""
    assert link("uma", 3.5e9).breakpoint_m == pytest.approx(560.0)
    rise = loss("uma", 5000.0, True, 3.5e9) - loss("uma", 1000.0, True, 3.5e9)
    slant = math.hypot(5000.0, 23.5) / math.hypot(1000.0, 23.5)
    assert rise == pytest.approx(40.0 * math.log10(slant), abs=1e-9)


def test_slopes_meet_at_the_breakpoint() -> None:
    for name in ("uma", "umi"):
        at = link(name, 3.5e9).breakpoint_m
        jump = loss(name, at * (1 + 1e-9), True, 3.5e9) - loss(name, at, True, 3.5e9)
        # The constants of the table are rounded to 0.1 dB (UMi: 9.5 where 9.5 = (40 - 21)/2).
        assert abs(jump) < 0.1


def test_classical_model() -> None:
    assert loss("classical", 1000.0, True, 2e9) == 128.1
    assert loss("classical", 100.0, False, 2e9) == pytest.approx(128.1 - 37.6)


@pytest.mark.parametrize(
    ("name", "distance_m", "expected"),
    [
        ("uma", 18.0, 1.0),
        ("umi", 5.0, 1.0),
        # 18/100 + exp(-100/63) (1 - 18/100); 18/100 + exp(-100/36) (1 - 18/100)
        ("uma", 100.0, 0.18 + 0.2044766 * 0.82),
        ("umi", 100.0, 0.18 + 0.0621765 * 0.82),
        ("inh_mixed", 1.2, 1.0),
        ("inh_mixed", 5.9, math.exp(-1.0)),
        ("inh_mixed", 6.5, 0.32),
        ("inh_mixed", 39.1, 0.32 * math.exp(-1.0)),
        ("inh_open", 5.0, 1.0),
        ("inh_open", 49.0, math.exp(-44.0 / 70.8)),
        ("inh_open", 260.7, 0.54 * math.exp(-1.0)),
    ],
)
def test_probability_of_line_of_sight(name: str, distance_m: float, expected: float) -> None:
    probability = ENVIRONMENTS[name].los_probability
    assert probability is not None
    assert probability(np.array([distance_m]))[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", sorted(ENVIRONMENTS.keys() - {"classical"}))
def test_probability_falls_from_one_towards_zero(name: str) -> None:
    probability = ENVIRONMENTS[name].los_probability
    assert probability is not None
    p = probability(np.geomspace(0.5, 1e5, 4000))
    assert p[0] == 1.0
    assert p[-1] < 1e-3
    assert np.all((p >= 0.0) & (p <= 1.0))
    # The open office jumps by 0.3 % at 49 m, as the table does.
    assert np.all(np.diff(p) < 0.005)


@given(
    name=st.sampled_from(sorted(ENVIRONMENTS)),
    carrier_hz=st.floats(0.5e9, 100e9),
    distance_m=st.floats(1.0, 5000.0),
    factor=st.floats(1.001, 10.0),
)
def test_farther_is_weaker_and_blocked_is_weaker(
    name: str, carrier_hz: float, distance_m: float, factor: float
) -> None:
    for los in (True, False):
        near = loss(name, distance_m, los, carrier_hz)
        # 0.1 dB: the rounding of the table at the breakpoint.
        assert loss(name, distance_m * factor, los, carrier_hz) > near - 0.1
    blocked, clear = (loss(name, distance_m, los, carrier_hz) for los in (False, True))
    assert blocked >= clear


def test_states_choose_the_column() -> None:
    los = np.array([True, False])
    assert by_state(los, (4.0, 6.0)).tolist() == [4.0, 6.0]
    losses = ENVIRONMENTS["uma"].loss_db([200.0, 200.0], los, link("uma", 2e9))
    assert losses[0] == loss("uma", 200.0, True, 2e9)
    assert losses[1] == loss("uma", 200.0, False, 2e9)
