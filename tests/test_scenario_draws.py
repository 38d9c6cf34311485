"""What a scenario draws has the laws that it states, and is the same world for all."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats
from small_cell import SHIPPED, WALK, WORK, gains, rng, small

from fl_opt import Workload
from fl_opt.scenario import Scenario


def test_gain_is_the_link_budget_by_hand() -> None:
    """Classical loss at 200 m: 128.1 + 37.6 log10 0.2 = 101.8187 dB; 8 dBi, 3 dB of walls."""
    scenario = small(
        radius_m=None,
        positions_m=[[200.0, 0.0], [0.0, -200.0], [3.0, 4.0]],
        count=None,
        path_loss="classical",
        los="never",
        shadowing_db=0.0,
        kind="none",
        base_antenna_db=8.0,
        extra_loss_db=3.0,
        noise_figure_db=5.0,
        interference_db=2.0,
    )
    network = scenario.draw(rng(), WORK)
    expected = 10.0 ** (-(128.1 + 37.6 * np.log10(0.2) - 8.0 + 3.0) / 10.0)
    # Nobody is nearer than min_distance_m = 10 m, a twentieth of 200 m.
    assert_allclose(network.gain, expected * np.array([1.0, 1.0, 20.0**3.76]), rtol=1e-12)
    assert_allclose(network.noise_w_hz, 10.0 ** ((-174.0 + 7.0 - 30.0) / 10.0), rtol=1e-12)
    assert_allclose(network.power_max_w, 10.0**-0.7, rtol=1e-12)


def test_shadowing_is_log_normal_and_fading_has_mean_one() -> None:
    scenario = small(devices=20_000, path_loss="classical", los="never", shadowing_db=7.0)
    layout = scenario.layout(rng())
    flat = scenario.replace(shadowing_db=0.0).layout(rng())
    shadow = 10.0 * np.log10(layout.path_gain / flat.path_gain) / 7.0
    assert stats.kstest(shadow, "norm").pvalue > 0.01
    assert stats.kstest(layout.gain / layout.path_gain, "expon").pvalue > 0.01


def test_line_of_sight_has_the_probability_of_the_table_while_devices_walk() -> None:
    scenario = small(devices=4000, mobility=WALK, path_loss="umi")
    for layout in itertools.islice(scenario.layouts(rng()), 0, 9, 4):
        d = np.maximum(np.hypot(*layout.positions_m.T), 10.0)
        far = np.maximum(d, 18.0)
        p = 18.0 / far + np.exp(-far / 36.0) * (1.0 - 18.0 / far)
        error = (layout.los - p).sum() / np.sqrt((p * (1.0 - p)).sum())
        assert abs(error) < 3.5


def test_shadowing_shows_its_standard_deviation_by_state() -> None:
    scenario = small(devices=20_000, path_loss="umi", kind="none")
    layout, flat = (s.layout(rng()) for s in (scenario, scenario.replace(shadowing_db=0.0)))
    deviation = 10.0 * np.log10(layout.path_gain / flat.path_gain)
    assert np.std(deviation[layout.los]) == pytest.approx(4.0, rel=0.1)
    assert np.std(deviation[~layout.los]) == pytest.approx(7.82, rel=0.05)


def test_shadowing_forgets_with_the_path_walked() -> None:
    """Straight walks of 10 m per round in a wide cell: correlation exp(-10/37) or exp(-10/50)."""
    walk = {"speed_min_m_s": 1.0, "speed_max_m_s": 1.0, "interval_s": 10.0}
    scenario = small(devices=8000, radius_m=5000.0, los="never", kind="none", mobility=walk)
    flat = scenario.replace(shadowing_db=0.0)
    two = [gains(s, 4) for s in (scenario, flat)]
    deviation = 10.0 * np.log10(two[0] / two[1])
    for lag in (1, 3):
        r = np.corrcoef(deviation[0], deviation[lag])[0, 1]
        assert r == pytest.approx(np.exp(-10.0 * lag / 50.0), abs=0.03)


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_fading_correlates_over_rounds(rho: float) -> None:
    """Power gains of a complex chain with correlation rho have correlation rho^2."""
    scenario = small(devices=8000, correlation=rho)
    g = gains(scenario, 3)
    flat = gains(scenario.replace(kind="none"), 3)
    for lag in (1, 2):
        r = np.corrcoef(g[0] / flat[0], g[lag] / flat[lag])[0, 1]
        assert r == pytest.approx(rho ** (2 * lag), abs=0.05)


def test_who_stands_still_keeps_place_sight_and_shadow() -> None:
    first, second = itertools.islice(small().layouts(rng()), 2)
    assert np.array_equal(first.positions_m, second.positions_m)
    assert np.array_equal(first.los, second.los)
    assert np.array_equal(first.path_gain, second.path_gain)
    assert not np.array_equal(first.gain, second.gain)


def test_rice_fading_is_steadier_in_line_of_sight() -> None:
    scenario = small(devices=5000, los="always", kind="rician", rician_k_db=10.0)
    layout = scenario.layout(rng())
    # Variance of the Rice power gain: (2k + 1)/(k + 1)^2 at k = 10.
    assert np.var(layout.gain / layout.path_gain) == pytest.approx(21.0 / 121.0, rel=0.15)
    layout = scenario.replace(los="never").layout(rng())
    assert stats.kstest(layout.gain / layout.path_gain, "expon").pvalue > 0.01


def test_lognormal_sizes_keep_their_mean() -> None:
    sizes = small(devices=20_000, mean_samples=1000, spread=0.8).data_sizes
    assert sizes.mean() == pytest.approx(1000.0, rel=0.03)
    assert np.std(np.log(sizes)) == pytest.approx(0.8, rel=0.05)
    assert np.all(sizes == np.round(sizes))


def test_clocks_are_spread_evenly() -> None:
    cpu = small(devices=5000).draw(rng(), WORK).cpu_max_hz
    assert stats.kstest((cpu / 2e9 - 0.7) / 0.6, "uniform").pvalue > 0.01


KNOBS: dict[str, Any] = {
    "band_hz": 7e6,
    "power_max_w": 0.01,
    "base_power_dbm": 20.0,
    "cpu_max_hz": 1e9,
    "battery_j": 1.0,
    "mean_samples": 50,
    "noise_figure_db": 9.0,
}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_same_world_whatever_is_asked_of_it(name: str) -> None:
    scenario = Scenario.named(name)
    reference = gains(scenario, 6)
    for knob, value in KNOBS.items():
        assert np.array_equal(gains(scenario.replace(**{knob: value}), 6), reference), knob
    works = [WORK, Workload(np.linspace(1e8, 2e9, scenario.size), 3e4, 10.0)]
    for work in works:
        networks = itertools.islice(scenario.rounds(rng(), work), 6)
        assert np.array_equal([network.gain for network in networks], reference)


@pytest.mark.parametrize(
    "knob", [{"carrier_hz": 3e9}, {"extra_loss_db": 7.0}, {"shadowing_db": 2.0}]
)
def test_the_same_luck_under_other_laws(knob: dict[str, float]) -> None:
    """A knob of the law moves the gains and nothing else that is drawn."""
    scenario = small(mobility=WALK)
    for one, other in zip(
        itertools.islice(scenario.layouts(rng()), 4),
        scenario.replace(**knob).layouts(rng()),
        strict=False,
    ):
        assert np.array_equal(one.positions_m, other.positions_m)
        assert np.array_equal(one.los, other.los)
        assert np.allclose(one.gain / one.path_gain, other.gain / other.path_gain)
        assert not np.allclose(one.gain, other.gain, atol=0.0)


def test_more_devices_leave_the_first_as_they_are() -> None:
    few, many = (small(devices=n, mobility=WALK) for n in (8, 40))
    assert np.array_equal(gains(few, 4), gains(many, 4)[:, :8])
    assert np.array_equal(few.data_sizes, many.data_sizes[:8])
    assert np.array_equal(few.kind, many.kind[:8])
    network = many.draw(rng(), WORK)
    assert np.array_equal(few.draw(rng(), WORK).cpu_max_hz, network.cpu_max_hz[:8])


def test_a_seed_gives_a_world_and_another_seed_another() -> None:
    scenario = Scenario.named("macro")
    assert np.array_equal(gains(scenario, 5), gains(scenario, 5))
    assert not np.array_equal(gains(scenario, 1, seed=5), gains(scenario, 1, seed=6))
    generator = rng()
    first, second = (scenario.draw(generator, WORK).gain for _ in range(2))
    assert not np.array_equal(first, second)


def test_a_fixed_amount_of_luck_is_taken_at_once() -> None:
    """So that what else a run draws from the same generator does not depend on the scenario."""
    states = []
    for scenario in (small(), small(devices=77, mobility=WALK, branches=3)):
        generator = rng()
        rounds = scenario.rounds(generator, WORK)
        states.append(generator.bit_generator.state["state"])
        next(rounds)
        assert generator.bit_generator.state["state"] == states[-1]
    assert states[0] == states[1]


def test_layouts_and_rounds_are_one_world() -> None:
    scenario = Scenario.named("urban")
    pairs = zip(scenario.layouts(rng()), scenario.rounds(rng(), WORK), strict=True)
    for layout, network in itertools.islice(pairs, 4):
        assert np.array_equal(layout.gain, network.gain)


def test_a_layout_is_not_changed_by_the_next_round() -> None:
    layouts = small(mobility=WALK).layouts(rng())
    first = next(layouts)
    kept = first.positions_m.copy()
    next(layouts)
    assert np.array_equal(first.positions_m, kept)


@settings(max_examples=20, deadline=None)
@given(
    shares=st.lists(st.floats(0.05, 5.0), min_size=1, max_size=5),
    count=st.integers(1, 300),
)
def test_shares_of_classes_are_met(shares: list[float], count: int) -> None:
    kinds = [
        {"name": f"c{i}", "share": share, "cpu_max_hz": 1e9, "power_max_dbm": 20.0}
        for i, share in enumerate(shares)
    ]
    kind = small(devices=count, **{"class": kinds}).kind
    found = np.bincount(kind, minlength=len(shares))
    assert found == pytest.approx(count * np.array(shares) / sum(shares), abs=5.0)
