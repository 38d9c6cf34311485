"""Scenarios: the same world for all, the laws of what is drawn, the interface."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

import fl_opt
from fl_opt import InvalidInput, Network, Workload, physics
from fl_opt.scenario import Layout, Scenario, names
from fl_opt.units import Floats, watt_from_dbm

WORK = Workload(cycles=5e8, upload_bit=1e6, samples=500)
SHIPPED = [name for name in names() if name != "melbourne"]
TEXT = """
name = "small"
[radio]
carrier_hz = 2e9
band_hz = 1e6
[cell]
radius_m = 300.0
base_height_m = 25.0
[channel]
path_loss = "uma"
[devices]
count = 12
[[devices.class]]
name = "phone"
cpu_max_hz = 2e9
cpu_spread = 0.3
power_max_dbm = 23
[data]
sizes = "lognormal"
"""


def rng(seed: int = 5) -> np.random.Generator:
    return np.random.default_rng(seed)


def small(**changes: Any) -> Scenario:
    return Scenario.from_text(TEXT).replace(**changes)


def gains(scenario: Scenario, rounds: int, seed: int = 5) -> Floats:
    return np.array([m.gain for m in itertools.islice(scenario.layouts(rng(seed)), rounds)])


WALK = {"speed_min_m_s": 1.0, "speed_max_m_s": 2.0, "interval_s": 10.0}


# What is drawn, against a computation by other means


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


# Laws


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


def test_scaling_multiplies_and_gains_follow() -> None:
    scenario = Scenario.named("urban")
    scaled = scenario.scale(
        band_hz=2.0, power_max_w=0.5, cpu_max_hz=1.5, gain=3.0, base_power_w=4.0, devices=1.1
    )
    assert scaled.band_hz == 2.0 * scenario.band_hz
    assert scaled.size == 33
    one, other = (s.replace(devices=30).draw(rng(), WORK) for s in (scenario, scaled))
    assert other.power_max_w == pytest.approx(0.5 * one.power_max_w)
    assert other.cpu_max_hz == pytest.approx(1.5 * one.cpu_max_hz)
    assert_allclose(other.gain, 3.0 * one.gain, rtol=1e-12)
    before, after = (s.settings.downlink for s in (scenario, scaled))
    assert before is not None
    assert after is not None
    power = [watt_from_dbm(part.base_power_dbm) for part in (before, after)]
    assert power[1] == pytest.approx(4.0 * power[0])


def test_replacing_tables_and_optional_keys() -> None:
    scenario = Scenario.named("urban")
    assert scenario.replace(mobility=None).settings.mobility is None
    assert scenario.replace(fading={"kind": "none"}).settings.fading.kind == "none"
    assert scenario.replace(**{"cell.radius_m": 150}).settings.cell.radius_m == 150.0
    assert scenario.replace(battery_j=None).battery_j is None
    assert scenario.replace(power_max_w=0.1).draw(rng(), WORK).power_max_w == pytest.approx(0.1)
    assert scenario == scenario.replace()


# Energy, broadcast, shipped scenarios


def test_energy_of_a_round_is_the_lesser_of_both_limits() -> None:
    assert small().battery_j is None
    assert np.all(np.isinf(small().draw(rng(), WORK).energy_j))
    limited = small(battery_j=40.0)
    assert limited.battery_j == pytest.approx(40.0)
    assert limited.draw(rng(), WORK).energy_j == pytest.approx(40.0)
    both = small(battery_j=40.0, round_energy_j=0.5)
    assert both.draw(rng(), WORK).energy_j == pytest.approx(0.5)
    urban = Scenario.named("urban").battery_j
    assert urban is not None
    with pytest.raises(ValueError, match="read-only"):
        urban[0] = 0.0


def test_broadcast_by_hand() -> None:
    scenario = small(
        downlink={"base_power_dbm": 40.0, "downlink_band_hz": 1e7, "device_noise_figure_db": 9.0}
    )
    network = scenario.draw(rng(), WORK)
    snr = 10.0 * network.gain.min() / (1e7 * 10.0 ** ((-174.0 + 9.0 - 30.0) / 10.0))
    expected = 2e6 / (1e7 * np.log2(1.0 + snr))
    assert scenario.downlink_s(2e6, network) == pytest.approx(expected)
    best = network.gain >= np.median(network.gain)
    assert scenario.downlink_s(2e6, network[best]) < expected
    assert scenario.downlink_s(0.0, network) == 0.0
    assert scenario.downlink_s(2e6, network.replace(gain=0.0)) == np.inf
    assert small().downlink_s(2e6, network) == 0.0
    narrow = scenario.replace(downlink_band_hz=None)
    assert narrow.downlink_s(2e6, network) > expected


def shortest_round_s(network: Network) -> float:
    """Least time of a round of all devices at full power, by bisection on the band."""
    training = network.cycles / network.cpu_max_hz
    low, high = float(training.max()), 1e6
    for _ in range(80):
        middle = float(np.sqrt(low * high))
        need = physics.least_bandwidth_hz(
            network.upload_bit,
            np.maximum(middle - training, 1e-12),
            network.power_max_w,
            network.gain,
            network.noise_w_hz,
        )
        low, high = (low, middle) if need.sum() <= network.band_hz else (middle, high)
    return high


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize(("bits", "cycles"), [(8e5, 2e8), (1.6e6, 2e9)])
def test_shipped_scenarios_ask_for_deadlines_of_seconds(
    name: str, bits: float, cycles: float
) -> None:
    scenario = Scenario.named(name)
    work = Workload(cycles, bits, scenario.data_sizes)
    networks = [scenario.draw(rng(seed), work) for seed in range(8)]
    times = [shortest_round_s(network) for network in networks]
    assert 0.3 < np.median(times) < 60.0
    downlinks = [scenario.downlink_s(bits, network) for network in networks]
    assert np.median(downlinks) < 0.5 * np.median(times)
    for network in networks:
        assert network.gain.max() > 30.0 * network.gain.min()
        assert network.cpu_max_hz.max() > 2.0 * network.cpu_max_hz.min()


def test_macro_has_weak_edges_and_office_does_not() -> None:
    """Median over worlds of the worst gain: the edge of the macro cell is far below the office."""
    worst = {
        name: np.median([Scenario.named(name).layout(rng(s)).gain.min() for s in range(8)])
        for name in ("macro", "office")
    }
    assert worst["macro"] < 1e-2 * worst["office"]


@pytest.mark.parametrize("name", SHIPPED)
def test_what_a_report_and_a_picture_need(name: str) -> None:
    scenario = Scenario.named(name)
    summary = scenario.summary()
    assert summary["name"] == name
    assert summary["devices"] == scenario.size == len(scenario.data_sizes)
    assert all(isinstance(value, str | int | float) for value in summary.values())
    layout = scenario.layout(rng())
    assert isinstance(layout, Layout)
    assert layout.positions_m.shape == (scenario.size, 2)
    assert layout.los.dtype == bool
    assert np.hypot(*layout.positions_m.T).max() <= layout.radius_m
    assert len(scenario.kinds) > layout.kind.max()


def test_a_scenario_travels_to_another_process() -> None:
    scenario = Scenario.named("urban")
    copy = pickle.loads(pickle.dumps(scenario))
    assert copy == scenario
    assert np.array_equal(gains(copy, 2), gains(scenario, 2))


def test_public_name_and_list() -> None:
    assert fl_opt.Scenario is Scenario
    assert names() == ["macro", "melbourne", "office", "urban"]


# Files


@pytest.mark.parametrize("name", SHIPPED)
def test_toml_round_trip(name: str, tmp_path: Path) -> None:
    scenario = Scenario.named(name)
    path = tmp_path / "copy.toml"
    assert path.write_text(scenario.to_toml(), encoding="utf-8")
    assert Scenario.from_toml(path) == scenario
    assert scenario.to_toml(path) == path.read_text(encoding="utf-8")
    awkward = scenario.replace(description='quote " and \\ and é\n', band_hz=1.0 / 3.0)
    assert Scenario.from_text(awkward.to_toml()) == awkward


def test_round_trip_of_places_and_explicit_sizes() -> None:
    scenario = small(
        radius_m=None,
        positions_m=[[1.5, 2.0], [-3e-7, 4e12]],
        count=2,
        data={"sizes": "explicit", "samples": [5, 7]},
    )
    assert Scenario.from_text(scenario.to_toml()) == scenario
    assert scenario.data_sizes.tolist() == [5.0, 7.0]


def test_refuses_a_workload_of_another_size() -> None:
    with pytest.raises(InvalidInput, match=r"workload\.size is 3; expected 12"):
        small().rounds(rng(), Workload(np.ones(3), 1.0, 1.0))
