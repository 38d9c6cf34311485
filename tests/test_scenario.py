"""Scenarios as others use them: knobs, energy, broadcast, shipped cells, files."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from small_cell import SHIPPED, WORK, gains, rng, small

import fl_opt
from fl_opt import InvalidInput, Network, Workload, physics
from fl_opt.scenario import Layout, Scenario, names
from fl_opt.units import watt_from_dbm


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
    places = np.array([[50.0, 0.0], [0.0, 60.0]])
    moved = scenario.replace(
        radius_m=None, positions_m=places, devices=np.int64(2), seed=np.int64(3)
    )
    assert np.array_equal(moved.layout(rng()).positions_m, places)


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
