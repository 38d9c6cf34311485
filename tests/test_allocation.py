"""What an allocation asks of the devices, told from the story of each, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import exact

from fl_opt import Allocation, InvalidInput, Network
from fl_opt.allocation import use
from fl_opt.kernels import CHUNK

NETWORK = Network(
    gain=[1e-10, 4e-11, 9e-12],
    power_max_w=0.2,
    cpu_min_hz=1e8,
    cpu_max_hz=2e9,
    capacitance=[1e-28, 2e-28, 1e-28],
    cycles=[2e8, 1e8, 4e8],
    upload_bit=[3e5, 1e5, 2e5],
    samples=1,
    band_hz=2e6,
)


def of(**changes: Any) -> Allocation:
    values: dict[str, Any] = {
        "selected": [True, True, True],
        "bandwidth_hz": [5e5, 3e5, 1e6],
        "power_w": [0.1, 0.02, 0.2],
        "cpu_hz": [1e9, 5e8, 2e9],
    }
    return Allocation(**values | changes)


# an independent computation


@given(st.integers(0, 10**6))
def test_time_and_energy_in_fifty_digits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    allocation = of(
        bandwidth_hz=10.0 ** rng.uniform(3.0, 7.0, 3),
        power_w=10.0 ** rng.uniform(-4.0, 0.0, 3),
        cpu_hz=10.0 ** rng.uniform(8.0, 9.5, 3),
    )
    network = NETWORK.replace(gain=10.0 ** rng.uniform(-14.0, -8.0, 3))
    used = use(network, allocation)
    energies = [float(value) for value in exact.energy_j(network, allocation)]
    finishes = [float(value) for value in exact.finish_s(network, allocation)]
    np.testing.assert_allclose(used.energy_j, energies, rtol=2e-15)
    np.testing.assert_allclose(used.finish_s, finishes, rtol=2e-15)


# the story of each access


def test_fdma_uploads_when_training_ends() -> None:
    used = use(NETWORK, of())
    np.testing.assert_allclose(used.training_s, [0.2, 0.2, 0.2], rtol=1e-15)
    np.testing.assert_array_equal(used.begin_s, used.training_s)
    np.testing.assert_allclose(used.airtime_s, NETWORK.upload_bit / used.rate_bit_s, rtol=1e-15)
    np.testing.assert_allclose(used.upload_j, [0.1, 0.02, 0.2] * used.airtime_s, rtol=1e-15)


def test_an_upload_waits_for_its_start() -> None:
    begin = use(NETWORK, of(start_s=[0.5, 0.1, 0.0])).begin_s
    np.testing.assert_allclose(begin, [0.5, 0.2, 0.2], rtol=1e-15)


@pytest.mark.parametrize("access", ["tdma", "sequential"])
def test_one_after_another_as_soon_as_the_band_is_free(access: Any) -> None:
    used = use(NETWORK, of(access=access, start_s=[0.3, 0.2, 0.0], cpu_hz=[2e9, 2e9, 2e9]))
    air = used.airtime_s
    # device 1 is ready first, then the one that trains longest, then the one told to wait
    order = [1, 2, 0]
    ready = [0.3, 0.2, 0.2]
    end = 0.0
    for k in sorted(order, key=lambda k: (ready[k], k)):
        assert used.begin_s[k] == pytest.approx(max(end, ready[k]), rel=1e-15)
        end = used.begin_s[k] + air[k]
    assert used.finish_s.max() == pytest.approx(end, rel=1e-15)


def test_superposed_uploads_begin_together() -> None:
    used = use(NETWORK, of(access="superposed", cpu_hz=[2e9, 2e9, 1e9]))
    np.testing.assert_allclose(used.begin_s, 0.4, rtol=1e-15)


def test_who_is_not_selected_does_nothing() -> None:
    used = use(NETWORK, of(selected=[True, False, True]))
    for name in ("training_s", "begin_s", "airtime_s", "finish_s", "training_j", "upload_j"):
        assert getattr(used, name)[1] == 0.0
    nobody = use(NETWORK, Allocation.none(3))
    assert nobody.energy_j.sum() == 0.0
    assert nobody.finish_s.max() == 0.0


def test_a_dead_link_never_ends_and_says_so_without_a_warning() -> None:
    used = use(NETWORK.replace(gain=[0.0, 4e-11, 9e-12]), of())
    assert math.isinf(used.airtime_s[0])
    assert math.isinf(used.upload_j[0])
    assert math.isfinite(used.finish_s[1])


def test_overrides_change_the_workload() -> None:
    plain, less = use(NETWORK, of()), use(NETWORK, of(upload_bit=1e5, cycles=1e8))
    np.testing.assert_allclose(less.airtime_s, 1e5 / plain.rate_bit_s, rtol=1e-15)
    np.testing.assert_allclose(less.training_s, [0.1, 0.2, 0.05], rtol=1e-15)


# laws


def test_chunks_do_not_show() -> None:
    copies = CHUNK // 3 + 2
    network = NETWORK[np.tile(np.arange(3), copies)]
    allocation = of(
        selected=np.ones(3 * copies, dtype=bool),
        **{name: np.tile(getattr(of(), name), copies) for name in _ARRAYS},
    )
    np.testing.assert_array_equal(
        use(network, allocation).finish_s, np.tile(use(NETWORK, of()).finish_s, copies)
    )


_ARRAYS = ("bandwidth_hz", "power_w", "cpu_hz")


def test_what_is_remembered_belongs_to_the_network_it_was_asked_with() -> None:
    allocation = of()
    first = use(NETWORK, allocation)
    assert use(NETWORK, allocation) is first
    twice = NETWORK.replace(upload_bit=2.0 * NETWORK.upload_bit)
    np.testing.assert_allclose(use(twice, allocation).airtime_s, 2.0 * first.airtime_s, rtol=1e-15)
    assert use(NETWORK, allocation.replace(power_w=0.1)).upload_j[1] != first.upload_j[1]


def test_a_table_has_a_row_for_every_device() -> None:
    frame = of(upload_s=[0.1, 0.2, 0.3], block=[0, 1, -1]).to_frame()
    assert list(frame.columns) == [
        "selected",
        "bandwidth_hz",
        "power_w",
        "cpu_hz",
        "upload_s",
        "block",
    ]
    assert frame.index.name == "device"
    assert len(frame) == 3


def test_an_allocation_is_a_round_of_its_own() -> None:
    allocation = of()
    assert allocation.to_round(NETWORK) is allocation
    assert allocation.size == 3
    assert repr(allocation) == "Allocation(size=3, selected=3)"
    with pytest.raises(ValueError, match="read-only"):
        allocation.selected[0] = False


# refusals


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"selected": [1, 0, 1]}, r"selected is int64 \(3,\); expected a mask"),
        ({"selected": [[True]]}, r"selected is bool \(1, 1\)"),
        ({"access": "cdma"}, "access is 'cdma'"),
        ({"bandwidth_hz": [1.0, -1.0, 1.0]}, r"bandwidth_hz\[1\] is -1 Hz"),
        ({"power_w": math.nan}, "power_w is nan W"),
        ({"cpu_hz": [1.0, 2.0]}, r"cpu_hz\.shape is \(2,\)"),
        ({"upload_s": -0.1}, "upload_s is -100 ms"),
        ({"deadline_s": -1.0}, "deadline_s is -1 s"),
        ({"block": [0.5, 1.0, 2.0]}, "block is float64; expected whole numbers"),
    ],
)
def test_refuses_what_is_no_decision(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        of(**changes)


def test_refuses_a_network_of_another_size() -> None:
    with pytest.raises(InvalidInput, match=r"allocation\.size is 3; expected 2, as the network"):
        use(NETWORK[:2], of())
