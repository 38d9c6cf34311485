"""Who arrives, seconds, joules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from still_world import network

from fl_opt import Allocation, Infeasible, Network
from fl_opt.units import Floats
from fl_opt.validation import claims, measure
from fl_opt.validation.clock import IDLE_S


def luck(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def full(net: Network, **changes: Any) -> Allocation:
    fields: dict[str, Any] = {
        "selected": np.ones(net.size, dtype=bool),
        "bandwidth_hz": net.band_hz / net.size,
        "power_w": net.power_max_w,
        "cpu_hz": net.cpu_max_hz,
    }
    return Allocation(**(fields | changes))


def random_case(seed: int, access: str) -> tuple[Network, Allocation, Floats]:
    """Networks, decisions and batteries in which every way to fail occurs."""
    rng = luck(seed)
    size = int(rng.integers(1, 7))
    net = network(
        size,
        gain=10.0 ** rng.uniform(-13, -9, size) * (rng.random(size) > 0.15),
        cycles=2e8 * rng.random(size) * (rng.random(size) > 0.1),
        upload_bit=3e5 * rng.random(size) * (rng.random(size) > 0.1),
        capacitance=10.0 ** rng.uniform(-29, -27),
    )
    start = rng.random(size) * 0.3 if rng.random() < 0.5 else None
    allocation = Allocation(
        selected=rng.random(size) < 0.8,
        bandwidth_hz=net.band_hz / size * rng.random(size),
        power_w=0.2 * rng.random(size),
        cpu_hz=rng.uniform(1e8, 2e9, size),
        start_s=start,
        access=access,  # type: ignore[arg-type]
        deadline_s=float(10.0 ** rng.uniform(-1.5, 1.0)),
    )
    battery = np.where(rng.random(size) < 0.5, 10.0 ** rng.uniform(-4, 0, size), math.inf)
    return net, allocation, battery


def step_through(
    net: Network, allocation: Allocation, battery: Floats
) -> list[tuple[bool, float, float]]:
    """Each device's story told one after another, from the definitions: arrived, silent, spent."""
    story = {}
    free = 0.0
    order = sorted(
        (k for k in range(net.size) if allocation.selected[k]),
        key=lambda k: max(
            net.cycles[k] / allocation.cpu_hz[k],
            0.0 if allocation.start_s is None else allocation.start_s[k],
        ),
    )
    for k in order:
        train = net.cycles[k] / allocation.cpu_hz[k]
        heat = net.capacitance[k] * net.cycles[k] * allocation.cpu_hz[k] ** 2
        begin = train if allocation.start_s is None else max(train, allocation.start_s[k])
        power, band = allocation.power_w[k], allocation.bandwidth_hz[k]
        rate = band * math.log2(1.0 + net.gain[k] * power / (net.noise_w_hz[k] * band))
        air = 0.0 if net.upload_bit[k] == 0 else net.upload_bit[k] / rate if rate else math.inf
        if allocation.access == "tdma":
            begin = max(free, begin)
            free = begin + air
        silent = min(begin + air, allocation.deadline_s)
        phases = [(0.0, train, heat / train if train else 0.0), (begin, begin + air, power)]
        spent = 0.0
        for since, until, watt in phases:
            joule = watt * max(0.0, min(until, silent) - since)
            if spent + joule > battery[k]:
                silent = since + (battery[k] - spent) / watt
                joule = battery[k] - spent
            spent += joule
        story[k] = (silent >= begin + air, silent, spent)
    return [story.get(k, (False, 0.0, 0.0)) for k in range(net.size)]


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), access=st.sampled_from(["fdma", "tdma"]))
def test_the_arrays_tell_the_story_of_every_device(seed: int, access: str) -> None:
    net, allocation, battery = random_case(seed, access)
    outcome = measure(net, allocation, luck(), battery_j=battery, downlink_s=0.02)
    arrived, silent, spent = zip(*step_through(net, allocation, battery), strict=True)
    np.testing.assert_array_equal(outcome.arrived, arrived)
    np.testing.assert_allclose(outcome.finish_s, silent, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(outcome.energy_j, spent, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(outcome.training_j + outcome.upload_j, outcome.energy_j)
    if allocation.selected.any():
        assert outcome.seconds == pytest.approx(0.02 + max(silent))
    assert (outcome.energy_j <= battery * (1 + 1e-12)).all()
    assert (outcome.finish_s <= allocation.deadline_s).all()
    assert (outcome.training_s + outcome.airtime_s <= outcome.finish_s + 1e-12).all()


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), more=st.floats(1.0, 10.0))
def test_more_time_and_more_battery_lose_nobody(seed: int, more: float) -> None:
    net, allocation, battery = random_case(seed, "fdma")
    error = luck(seed).random(net.size)
    before = measure(net, allocation, luck(1), battery_j=battery, packet_error=error)
    later = allocation.replace(deadline_s=more * allocation.deadline_s)
    after = measure(net, later, luck(1), battery_j=more * battery, packet_error=error / more)
    assert (after.arrived >= before.arrived).all()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_devices_does_not_matter(seed: int) -> None:
    net, allocation, battery = random_case(seed, "fdma")
    order = luck(seed).permutation(net.size)
    names = ("selected", "bandwidth_hz", "power_w", "cpu_hz", "start_s")
    turned = {name: getattr(allocation, name) for name in names}
    turned = {name: value[order] for name, value in turned.items() if value is not None}
    one = measure(net, allocation, luck(), battery_j=battery)
    other = measure(net[order], allocation.replace(**turned), luck(), battery_j=battery[order])
    np.testing.assert_array_equal(other.arrived, one.arrived[order])
    np.testing.assert_allclose(other.energy_j, one.energy_j[order])
    assert other.seconds == one.seconds


def test_a_round_by_hand() -> None:
    net = network(2, gain=1e-10, upload_bit=[1e6, 2e6])
    allocation = full(net, cpu_hz=1e9)
    rate = 2e6 * math.log2(1 + 1e-10 * 0.2 / (net.noise_w_hz[0] * 2e6))
    outcome = measure(net, allocation, luck(), downlink_s=0.5)
    np.testing.assert_allclose(outcome.training_s, 0.2)
    np.testing.assert_allclose(outcome.airtime_s, [1e6 / rate, 2e6 / rate])
    np.testing.assert_allclose(outcome.training_j, 1e-28 * 2e8 * 1e18)
    np.testing.assert_allclose(outcome.upload_j, 0.2 * outcome.airtime_s)
    assert outcome.arrived.all()
    assert outcome.seconds == pytest.approx(0.5 + 0.2 + 2e6 / rate)
    assert claims(net, allocation, 0.5) == pytest.approx((outcome.seconds, outcome.energy_j.sum()))


def test_a_claim_that_the_rate_does_not_keep_misses_the_deadline() -> None:
    net = network(1, upload_bit=1e6)
    honest = measure(net, full(net), luck())
    rosy = full(net, upload_s=honest.airtime_s / 2, deadline_s=0.1 + honest.airtime_s[0] / 2)
    outcome = measure(net, rosy, luck())
    assert not outcome.arrived.any()
    assert outcome.seconds == rosy.deadline_s
    assert outcome.upload_j[0] == pytest.approx(honest.upload_j[0] / 2)
    assert claims(net, rosy)[0] == pytest.approx(rosy.deadline_s)


def test_the_last_digit_of_a_solver_does_not_decide() -> None:
    net = network(3)
    finish = measure(net, full(net), luck()).finish_s[0]
    assert measure(net, full(net, deadline_s=finish * (1 - 1e-8)), luck()).arrived.all()
    assert not measure(net, full(net, deadline_s=finish * (1 - 1e-5)), luck()).arrived.any()
    needed = measure(net, full(net), luck()).energy_j
    tight = measure(net, full(net), luck(), battery_j=needed * (1 - 1e-8))
    assert tight.arrived.all()
    assert (tight.energy_j <= needed * (1 - 1e-8)).all()
    wide = full(net, bandwidth_hz=net.band_hz / 3 * (1 + 1e-8))
    assert measure(net, wide, luck()).arrived.all()


def test_packets_are_lost_at_their_rate_and_the_energy_is_gone() -> None:
    net = network(20000)
    outcome = measure(net, full(net), luck(3), packet_error=0.3)
    assert outcome.arrived.mean() == pytest.approx(0.7, abs=0.02)
    assert (outcome.energy_j > 0).all()
    few = full(net, selected=np.arange(20000) < 10000)
    same = measure(net, few.replace(bandwidth_hz=net.band_hz / 20000), luck(3), packet_error=0.3)
    np.testing.assert_array_equal(same.arrived[:10000], outcome.arrived[:10000])


def test_a_round_without_anybody_lasts_until_its_deadline() -> None:
    net = network(3)
    assert measure(net, Allocation.none(3, 2.5), luck(), downlink_s=1.0).seconds == 2.5
    assert measure(net, Allocation.none(3), luck()).seconds == IDLE_S
    assert measure(net, Allocation.none(3), luck(), idle_s=7.0).seconds == 7.0
    assert claims(net, Allocation.none(3, 2.5)) == (0.0, 0.0)


def test_no_device_spends_more_than_its_battery_to_the_last_digit() -> None:
    size = 4000
    # weak enough that every upload would take more than any battery holds
    net = network(size, gain=1e-17, cycles=2e9 * luck().random(size), band_hz=4e9)
    held = 0.1 + 3.0 * luck(1).random(size)
    spent = measure(net, full(net), luck(), battery_j=held).energy_j
    assert spent == pytest.approx(held, rel=1e-12)
    assert (held - spent >= 0.0).all()


def test_a_dead_link_ends_with_the_deadline_or_with_the_battery_or_is_refused() -> None:
    net = network(3, gain=[1e-10, 0.0, 1e-10])
    closed = measure(net, full(net, deadline_s=2.0), luck())
    np.testing.assert_array_equal(closed.arrived, [True, False, True])
    assert closed.seconds == 2.0
    assert closed.upload_j[1] == pytest.approx(0.2 * (2.0 - 0.1))
    assert all(math.isfinite(part) for part in claims(net, full(net, deadline_s=2.0)))
    empty = measure(net, full(net), luck(), battery_j=1.0)
    assert empty.energy_j[1] == pytest.approx(1.0)
    assert not empty.arrived[1]
    with pytest.raises(Infeasible, match="device 1 would never finish, and the round has no") as no:
        measure(net, full(net), luck())
    np.testing.assert_array_equal(no.value.devices, [1])
    with pytest.raises(Infeasible, match="broadcast"):
        measure(net, full(net, deadline_s=2.0), luck(), downlink_s=math.inf)


def test_behind_a_dead_link_in_a_queue_nobody_is_served() -> None:
    net = network(3, gain=[1e-10, 0.0, 1e-10])
    queue = full(net, access="tdma", start_s=np.array([0.0, 0.2, 0.3]), deadline_s=3.0)
    outcome = measure(net, queue, luck())
    np.testing.assert_array_equal(outcome.arrived, [True, False, False])
    assert outcome.upload_j[2] == 0.0


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ({"bandwidth_hz": 2e6}, "band"),
        ({"bandwidth_hz": 5e6, "access": "tdma"}, "band"),
        ({"power_w": [0.1, 0.3, 0.1]}, "power_max"),
        ({"cpu_hz": 2.1e9}, "cpu_max"),
        ({"cpu_hz": 0.9e8}, "cpu_min"),
    ],
)
def test_what_no_radio_or_processor_can_do_is_refused(
    change: dict[str, Any], constraint: str
) -> None:
    net = network(3)
    with pytest.raises(Infeasible, match=f"asks for .* where {constraint} is") as refused:
        measure(net, full(net, **change), luck())
    assert refused.value.constraint == constraint
    if constraint == "power_max":
        np.testing.assert_array_equal(refused.value.devices, [1])
    idle = full(net, selected=np.zeros(3, dtype=bool), **change)
    assert not measure(net, idle, luck()).arrived.any()
