"""Networks: what they refuse, and that files give back what was written."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_opt import InvalidInput, Network, Workload
from fl_opt.units import THERMAL_NOISE_W_HZ

ARRAYS = (
    "gain",
    "power_max_w",
    "cpu_min_hz",
    "cpu_max_hz",
    "capacitance",
    "cycles",
    "upload_bit",
    "energy_j",
    "samples",
    "noise_w_hz",
)


def of(**changes: Any) -> Network:
    values: dict[str, Any] = {
        "gain": [1e-10, 4e-11, 9e-12],
        "power_max_w": 0.2,
        "cpu_min_hz": 1e8,
        "cpu_max_hz": [2e9, 1e9, 3e9],
        "capacitance": 1e-28,
        "cycles": 2e8,
        "upload_bit": 3e5,
        "samples": [600, 400, 800],
        "band_hz": 2e6,
    }
    return Network(**values | changes)


def same(one: Network, two: Network) -> bool:
    arrays = all(np.array_equal(getattr(one, name), getattr(two, name)) for name in ARRAYS)
    return arrays and one.band_hz == two.band_hz


numbers = st.floats(1e-30, 1e30)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    size = draw(st.integers(1, 6))
    values: dict[str, Any] = {
        name: draw(st.lists(numbers, min_size=size, max_size=size)) for name in ARRAYS
    }
    values["energy_j"][0] = draw(st.sampled_from([math.inf, 0.1]))
    slow, fast = np.sort([values["cpu_min_hz"], values["cpu_max_hz"]], axis=0)
    return Network(**values | {"cpu_min_hz": slow, "cpu_max_hz": fast, "band_hz": draw(numbers)})


# a file gives back what was written, to the last digit


@settings(max_examples=40)
@given(network=networks())
def test_files_keep_every_digit(network: Network, tmp_path_factory: Any) -> None:
    folder: Path = tmp_path_factory.mktemp("networks")
    network.to_json(folder / "a.json")
    network.to_csv(folder / "a.csv")
    assert same(Network.from_json(folder / "a.json"), network)
    assert same(Network.from_csv(folder / "a.csv"), network)
    assert same(Network.from_dict(network.to_dict()), network)


def test_csv_with_scalars_above_the_header_or_as_keywords(tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    path.write_text(
        "# a cell\n# band_hz = 2e6\n# power_max_w = 0.5\n# capacitance = 1e-28\n"
        "gain,cpu_min_hz,cpu_max_hz,cycles,upload_bit,samples\n"
        "1e-10,1e8,2e9,2e8,3e5,600\n4e-11,1e8,1e9,2e8,3e5,400\n"
    )
    network = Network.from_csv(path, power_max_w=0.2)
    assert network.size == 2
    assert network.band_hz == 2e6
    np.testing.assert_array_equal(network.power_max_w, [0.2, 0.2])
    np.testing.assert_array_equal(network.energy_j, [math.inf, math.inf])
    np.testing.assert_array_equal(network.noise_w_hz, THERMAL_NOISE_W_HZ)


# laws


def test_scalars_broadcast_and_arrays_are_read_only_copies() -> None:
    gain = np.array([1e-10, 4e-11, 9e-12])
    network = of(gain=gain)
    gain[0] = 7.0
    assert network.gain[0] == 1e-10
    assert len(network) == network.size == 3
    for name in ARRAYS:
        values = getattr(network, name)
        assert values.shape == (3,)
        assert values.dtype == np.float64
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 1.0


def test_some_devices_of_a_network() -> None:
    network = of()
    np.testing.assert_array_equal(network[[True, False, True]].samples, [600.0, 800.0])
    np.testing.assert_array_equal(network[[2, 0]].samples, [800.0, 600.0])
    np.testing.assert_array_equal(network[1:].samples, [400.0, 800.0])
    assert network[[1]].band_hz == network.band_hz


def test_replace_changes_what_it_says_and_checks_it() -> None:
    network = of()
    other = network.replace(band_hz=1e6, energy_j=[1.0, 2.0, 3.0])
    assert other.band_hz == 1e6
    np.testing.assert_array_equal(other.energy_j, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(other.gain, network.gain)
    assert network.band_hz == 2e6
    with pytest.raises(InvalidInput, match=r"energy_j\[1\] is -1 J"):
        network.replace(energy_j=[1.0, -1.0, 1.0])
    with pytest.raises(InvalidInput, match="bandwidth"):
        network.replace(bandwidth=1.0)


def test_what_may_be_zero_or_infinite() -> None:
    of(gain=0.0, power_max_w=math.inf, cpu_min_hz=0.0, cycles=0.0, upload_bit=0.0, band_hz=0.0)
    of(capacitance=0.0, energy_j=0.0, samples=0.0)


# refusals with their messages


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gain": [1e-10, math.nan, 1e-12]}, r"gain\[1\] is nan"),
        ({"gain": [1e-10, math.inf, 1e-12]}, r"gain\[1\] is inf.*finite"),
        ({"gain": -1e-10}, r"gain is -1e-10; expected a number >= 0"),
        ({"power_max_w": -0.2}, r"power_max_w is -200 mW; expected a number >= 0 \[W\]"),
        ({"cpu_max_hz": 0.0}, r"cpu_max_hz is 0 Hz; expected a number > 0"),
        ({"noise_w_hz": 0.0}, r"noise_w_hz is 0 W/Hz; expected a number > 0"),
        ({"cycles": math.inf}, r"cycles is inf"),
        ({"upload_bit": [1.0, 2.0]}, r"upload_bit\.shape is \(2,\); expected \(3,\)"),
        ({"samples": [[1.0]]}, r"samples\.shape is \(1, 1\)"),
        ({"energy_j": "plenty"}, r"energy_j is 'plenty'; expected numbers"),
        ({"energy_j": math.nan}, r"energy_j is nan"),
        ({"band_hz": -1.0}, r"band_hz is -1 Hz; expected a number >= 0"),
        ({"band_hz": math.inf}, r"band_hz is inf Hz"),
        ({"band_hz": [1e6, 1e6]}, r"band_hz is \[1000000.0, 1000000.0\]"),
        (
            {"cpu_min_hz": [1e8, 1.5e9, 4e9]},
            r"cpu_min_hz\[1\] is 1\.5e\+09 Hz.*at most cpu_max_hz\[1\].*devices 1, 2",
        ),
    ],
)
def test_refuses_what_is_no_network(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        of(**changes)


def test_refuses_nobody() -> None:
    with pytest.raises(InvalidInput, match="at least one device"):
        of(gain=[], samples=[], cpu_max_hz=[])


def test_refuses_a_mask_of_another_size() -> None:
    with pytest.raises(InvalidInput, match=r"mask\.shape is \(2,\); expected \(3,\)"):
        of()[[True, False]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gain,samples\n1e-10,6\n", "missing"),
        ("gain,gain\n1,2\n", "column gain is repeated"),
        ("gain,band_hz\n1,2\n", "band_hz is a column"),
        ("gain,color\n1,2\n", "color is unknown"),
        ("gain,samples\n1e-10\n", r"cell\.csv:2 is 1 cells; expected 2"),
        ("gain,samples\n1e-10,many\n", r"cell\.csv:2 samples is 'many'; expected a number"),
        ("gain,samples\n", "without devices"),
        ("", "without devices"),
        ("# band_hz = wide\ngain\n1\n", r"cell\.csv:1 band_hz is 'wide'"),
    ],
)
def test_csv_says_where_it_is_wrong(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=message):
        Network.from_csv(path)


@pytest.mark.parametrize("text", ["{", "[1, 2]", "\udcff"])
def test_json_says_what_it_is_not(text: str, tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidInput, match=r"cell\.json"):
        Network.from_json(path)


def test_a_workload_broadcasts_and_refuses() -> None:
    work = Workload(cycles=2e8, upload_bit=[1e5, 2e5], samples=600)
    assert work.size == 2
    np.testing.assert_array_equal(work.samples, [600.0, 600.0])
    with pytest.raises(InvalidInput, match="cycles"):
        Workload(cycles=-1.0, upload_bit=1.0, samples=1.0)
    with pytest.raises(InvalidInput, match="at least one device"):
        Workload(cycles=[], upload_bit=[], samples=[])
