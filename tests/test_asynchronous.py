"""Asynchronous rounds: times by hand, the limit that is FedAvg, staleness, energy to the end."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from still_world import StillWorld, network

from fl_opt import (
    Allocation,
    Arm,
    AsyncTiers,
    Everyone,
    FedAsync,
    FedAvg,
    FedBuff,
    InvalidInput,
    Random,
    Task,
    TieredAverage,
    Trace,
    simulate,
    solve,
)
from fl_opt.validation.clock import Measured, measure
from fl_opt.validation.under_way import WAIT, Tick, UnderWay

TASK = Task(samples=400)
FAST: dict[str, Any] = {"local_steps": 3, "batch": 8, "rate": 0.2}
WORLD = StillWorld(network(6), broadcast_s=0.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Paced(StillWorld):
    """Training takes what it is told, uploads take a negligible time."""

    seconds: tuple[float, ...] = ()

    def rounds(self, rng: Any, workload: Any) -> Any:
        for net in super().rounds(rng, workload):
            yield net.replace(cycles=2e9 * np.array(self.seconds), upload_bit=0.0)


def paced(*seconds: float, **more: Any) -> Paced:
    return Paced(network(len(seconds)), broadcast_s=0.0, seconds=seconds, **more)


def run(
    method: Any, rounds: int = 6, policy: Any = None, seed: int = 1, world: Any = WORLD
) -> Trace:
    return simulate(world, Arm(policy or Everyone(), method), TASK, rounds, seed)


# times by hand


def test_two_devices_by_hand() -> None:
    """One device takes 1 s, the other 2.5 s; every arrival is a round."""
    trace = run(FedAsync(**FAST), 6, world=paced(1.0, 2.5))
    np.testing.assert_allclose(trace.time_s, [1.0, 2.0, 2.5, 3.0, 4.0, 5.0])
    assert trace.participation.argmax(axis=1).tolist() == [0, 0, 1, 0, 0, 0]
    # both end at 5 s: they began at 4 s and at 2.5 s
    assert trace.arrived.tolist() == [1, 1, 1, 1, 1, 2]


def test_a_buffer_of_two_by_hand() -> None:
    """1, 2 and 4.5 s; who has reported waits for the next model."""
    trace = run(FedBuff(**FAST, buffer=2), 4, world=paced(1.0, 2.0, 4.5))
    np.testing.assert_allclose(trace.time_s, [2.0, 4.0, 5.0, 6.0])
    assert trace.participation.tolist() == [[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 1, 0]]


def test_tiers_report_every_so_many_rounds() -> None:
    """Periods that `AsyncTiers` finds, and the tiers that it says."""
    times = (0.9, 2.0, 3.1)
    tiers = solve(AsyncTiers(times)).allocation
    trace = run(TieredAverage(**FAST, period_s=tiers.period_s), 12, world=paced(*times))
    np.testing.assert_allclose(trace.round_s, tiers.period_s)
    for k, tier in enumerate(tiers.tier):
        assert np.flatnonzero(trace.participation[:, k]).tolist() == list(range(tier - 1, 12, tier))


def test_the_broadcast_delays_those_who_begin() -> None:
    world = dataclasses.replace(paced(1.0, 2.5), broadcast_s=0.25)
    trace = run(FedAsync(**FAST), 4, world=world)
    np.testing.assert_allclose(trace.time_s, [1.25, 2.5, 2.75, 3.75])


# limits


@pytest.mark.parametrize("policy", [Everyone(), Random(count=3)], ids=str)
@pytest.mark.parametrize("exponent", [0.0, 0.5])
def test_a_buffer_for_all_is_fedavg_to_the_bit(policy: Any, exponent: float) -> None:
    """Nobody is ever stale, at whatever speeds: the server waits for the last."""
    rng = np.random.default_rng(3)
    world = StillWorld(network(6, gain=1e-10 * rng.random(6)))
    late = run(FedBuff(**FAST, buffer=6, exponent=exponent), policy=policy, world=world)
    once = run(FedAvg(**FAST), policy=policy, world=world)
    for name in ("loss", "accuracy", "time_s", "energy_j", "device_energy_j", "bandwidth_hz"):
        np.testing.assert_array_equal(getattr(late, name), getattr(once, name))


def test_equal_speeds_fill_any_buffer_at_once() -> None:
    late, once = run(FedBuff(**FAST, buffer=1)), run(FedAvg(**FAST))
    np.testing.assert_array_equal(late.loss, once.loss)
    np.testing.assert_array_equal(late.time_s, once.time_s)


def test_a_device_alone_is_descent_whatever_the_method() -> None:
    """With one device and mix 1 nothing is stale and the mean is its model."""
    world = paced(1.0)
    base = run(FedAvg(**FAST), world=world)
    for method in (FedAsync(**FAST, mix=1.0), FedBuff(**FAST), TieredAverage(**FAST, period_s=1.0)):
        np.testing.assert_allclose(run(method, world=world).loss, base.loss, rtol=1e-6)


def test_staleness_counts_only_by_the_exponent() -> None:
    """Exponent 0 and a period longer than all: no tier, no staleness, FedAvg in other time."""
    slow = run(TieredAverage(**FAST, period_s=50.0, exponent=0.0), world=paced(1.0, 2.5, 3.0))
    base = run(FedAvg(**FAST), world=paced(1.0, 2.5, 3.0))
    np.testing.assert_array_equal(slow.loss, base.loss)
    world = paced(1.0, 2.5)
    flat, steep = (run(FedAsync(**FAST, exponent=a), 3, world=world) for a in (0.0, 2.0))
    # the first two arrivals are fresh, the third began two rounds before
    np.testing.assert_array_equal(flat.loss[:2], steep.loss[:2])
    assert flat.loss[2] != steep.loss[2]


def learned(method: Any, seconds: tuple[float, ...], rounds: int) -> Any:
    """States before and after each round of a method, with who arrived and began."""
    world = paced(*seconds)
    federation = TASK.load(np.random.default_rng(0), world.data_sizes)
    net = next(world.rounds(np.random.default_rng(0), method.workload(federation)))
    under_way, state = UnderWay.idle(len(seconds)), method.start(federation, _rng(4))
    kept = []
    for index in range(rounds):
        free = under_way.offer(net)
        allocation = Allocation(
            selected=~under_way.work.selected,
            bandwidth_hz=net.band_hz / len(seconds),
            power_w=net.power_max_w,
            cpu_hz=net.cpu_max_hz,
        )
        begun = measure(free, allocation, _rng(0))
        outcome, under_way = under_way.joined(begun, allocation, 0.0).until(method.tick)
        after = method.learn(federation, state, allocation, outcome, _rng(index))
        kept.append((state, allocation, outcome, after))
        state = after
    return federation, kept


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_late_update_is_that_of_the_model_it_began_with() -> None:
    """Written out: the slow device's third round mixes in what it made of the first model."""
    method = FedAsync(**FAST, mix=0.6, exponent=0.5)
    federation, kept = learned(method, (1.0, 2.5), 3)
    before, allocation, outcome, after = kept[2]
    assert outcome.arrived.tolist() == [False, True]
    first = kept[0][0].weights
    update, _ = FedAvg(**FAST).updates(
        federation, first, np.array([1]), allocation.replace(local_steps=[3, 3]), _rng(2)
    )
    count = 0.6 * (1.0 + 2.0) ** -0.5
    wanted = before.weights + count * (first + update[0] - before.weights)
    torch.testing.assert_close(after.weights, wanted, rtol=1e-5, atol=1e-6)


def test_the_mean_is_not_divided_by_what_updates_count() -> None:
    method = FedBuff(**FAST, buffer=2, exponent=0.5, server_rate=0.5)
    federation, kept = learned(method, (1.0, 2.0, 4.5), 3)
    before, allocation, outcome, after = kept[2]
    assert outcome.arrived.tolist() == [True, False, True]
    starts = torch.stack([before.weights, kept[0][0].weights])
    update, _ = FedAvg(**FAST).updates(federation, starts, np.array([0, 2]), allocation, _rng(2))
    share = federation.samples[[0, 2]] / federation.samples[[0, 2]].sum()
    counts = 0.5 * share * (1.0 + np.array([0, 2])) ** -0.5
    wanted = before.weights + torch.from_numpy(counts).float() @ update
    torch.testing.assert_close(after.weights, wanted, rtol=1e-5, atol=1e-6)


# the clock


@st.composite
def works(draw: Any) -> tuple[Any, Allocation, float]:
    """A network, an allocation of it, and a period that cuts the work anywhere."""
    size = draw(st.integers(1, 5))
    reals = st.floats(0.0, 1.0, width=32)

    def some() -> Any:
        return np.array(draw(st.lists(reals, min_size=size, max_size=size)))

    net = network(size, cycles=1e9 * some(), upload_bit=1e6 * some(), gain=1e-10 + 1e-9 * some())
    chosen = Allocation(
        selected=np.ones(size, dtype=bool),
        bandwidth_hz=net.band_hz / size,
        power_w=0.2,
        cpu_hz=1e9,
        start_s=some(),
        deadline_s=0.2 + 2.0 * draw(reals),
    )
    return net, chosen, 0.02 + draw(reals)


@settings(deadline=None)
@given(works(), st.floats(0.0, 0.5, width=32))
def test_cutting_work_into_rounds_changes_neither_energy_nor_arrivals(
    work: tuple[Any, Allocation, float], wait_s: float
) -> None:
    net, allocation, period_s = work
    battery = np.full(net.size, 0.05)
    begun = measure(net, allocation, _rng(0), downlink_s=wait_s, battery_j=battery)
    whole, after = UnderWay.idle(net.size).joined(begun, allocation, wait_s).until(WAIT)
    for item in dataclasses.fields(Measured):
        np.testing.assert_array_equal(getattr(whole, item.name), getattr(begun, item.name))
    assert not after.work.selected.any()
    assert not after.bandwidth_hz.any()
    under_way = UnderWay.idle(net.size).joined(begun, allocation, wait_s)
    spent, ended, arrived = np.zeros((3, net.size)), np.zeros(net.size), np.zeros(net.size)
    for _ in range(200):
        outcome, under_way = under_way.until(Tick(period_s=period_s))
        assert outcome.seconds == period_s
        parts = outcome.energy_j, outcome.training_j, outcome.upload_j
        assert min(part.min() for part in parts) >= 0.0
        spent += parts
        ended += outcome.selected
        arrived += outcome.arrived
    assert (ended == 1).all()
    np.testing.assert_array_equal(arrived, begun.arrived)
    np.testing.assert_allclose(
        spent, [begun.energy_j, begun.training_j, begun.upload_j], rtol=1e-9, atol=1e-15
    )


def test_energy_flows_evenly_while_a_device_trains() -> None:
    """2.5 s of training cut at 1 s and 2 s."""
    trace = run(FedAsync(**FAST), 3, world=paced(1.0, 2.5))
    whole = 1e-28 * 2e9 * 2.5 * 4e18
    np.testing.assert_allclose(trace.device_energy_j[:, 1] / whole, [0.4, 0.4, 0.2])


@pytest.mark.parametrize("policy", [Everyone(), Random(count=3), Everyone(0.5)], ids=str)
def test_the_band_is_never_given_twice_and_batteries_never_overdrawn(policy: Any) -> None:
    rng = np.random.default_rng(5)
    battery = 0.2 * rng.random(6)
    world = StillWorld(network(6, gain=1e-10 * rng.random(6)), battery_j=battery)
    for method in (
        FedAsync(**FAST),
        FedBuff(**FAST, buffer=2),
        TieredAverage(**FAST, period_s=0.1),
    ):
        trace = run(method, 40, policy=policy, world=world)
        assert (trace.bandwidth_hz.sum(axis=1) <= 4e6 * (1.0 + 1e-6)).all()
        assert (trace.device_energy_j.sum(axis=0) <= battery * (1.0 + 1e-9)).all()
        assert trace.arrived.sum() > 0


def test_work_that_is_lost_does_not_fill_a_buffer() -> None:
    tick = Tick(arrivals=2)
    left = np.array([1.0, 2.0, 3.0])
    assert tick.seconds(left, np.array([True, False, True])) == 3.0
    assert tick.seconds(left, np.array([True, True, False])) == 2.0
    # fewer are to come than it waits for: until the last falls silent
    assert tick.seconds(left, np.array([True, False, False])) == 3.0
    assert Tick(arrivals=2, period_s=1.5).seconds(left, np.ones(3, dtype=bool)) == 1.5


def test_nobody_can_begin_and_the_server_ticks_on() -> None:
    world = StillWorld(network(3), battery_j=np.zeros(3))
    trace = run(TieredAverage(**FAST, period_s=0.5), 3, world=world)
    np.testing.assert_array_equal(trace.round_s, 0.5)
    assert not trace.selected.any()
    assert len(set(trace.loss.tolist())) == 1


def test_the_same_again() -> None:
    first, second = (run(FedBuff(**FAST, buffer=2), world=paced(1.0, 2.0, 4.5)) for _ in range(2))
    np.testing.assert_array_equal(first.loss, second.loss)
    np.testing.assert_array_equal(first.device_energy_j, second.device_energy_j)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(1, 5))
def test_rounds_are_the_arrivals_of_a_queue(tenths: list[int], buffer: int) -> None:
    """Against a simulation of events in whole numbers, which knows no network."""
    under_way, free_at, now = UnderWay.idle(len(tenths)), [0] * len(tenths), 0
    for _ in range(8):
        idle = np.array([end <= now for end in free_at])
        begun = _after(np.array(tenths) / 10.0, idle)
        allocation = Allocation(selected=idle, bandwidth_hz=1.0, power_w=0.0, cpu_hz=0.0)
        outcome, under_way = under_way.joined(begun, allocation, 0.0).until(Tick(buffer))
        for k in np.flatnonzero(idle):
            free_at[k] = now + tenths[k]
        busy = sorted(end for end in free_at if end > now)
        then = busy[min(buffer, len(busy)) - 1]
        assert outcome.seconds == pytest.approx((then - now) / 10.0)
        assert outcome.arrived.tolist() == [now < end <= then for end in free_at]
        now = then


def _after(seconds: Any, on: Any) -> Measured:
    zero = np.zeros(seconds.size)
    return Measured(on, on, np.where(on, seconds, 0.0), zero, 1.0, *[zero] * 6)


# refusals


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (FedAsync, "mix", 0.0),
        (FedAsync, "mix", 1.5),
        (FedAsync, "exponent", -0.5),
        (FedBuff, "buffer", 0),
        (FedBuff, "server_rate", 0.0),
        (TieredAverage, "period_s", 0.0),
    ],
)
def test_bad_settings_are_named(kind: Any, field: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=f"{kind.__name__}.{field}"):
        kind(**{field: value})
