"""Virtual queues: the published rule in its special case, what they promise, and corners."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fl_opt
from fl_opt import Allocation, InvalidInput, JointSchedule, Lyapunov, MinEnergy, Network, Round
from fl_opt.physics import LN2
from fl_opt.problems.uplink import Uplink
from fl_opt.validation import measure


def cell(seed: int, size: int, **changes: Any) -> Network:
    rng = np.random.default_rng(seed)
    fields: dict[str, Any] = {
        "gain": 10.0 ** rng.uniform(-12.0, -9.5, size),
        "power_max_w": 0.2,
        "cpu_min_hz": 1e8,
        "cpu_max_hz": 2e9,
        "capacitance": 1e-28,
        "cycles": 10.0 ** rng.uniform(7.5, 8.7, size),
        "upload_bit": 10.0 ** rng.uniform(5.0, 6.0, size),
        "samples": 100.0,
        "band_hz": 3e5 * size,
    }
    return Network(**(fields | changes))


def play(policy: Any, networks: list[Network]) -> tuple[list[Allocation], list[Any], Any]:
    """Allocations, the queues at the end of every round, and what was spent (T, K)."""
    rng = np.random.default_rng(0)
    memory, last = policy.start(networks[0].size, rng), None
    allocations, spent = [], []
    memories = []
    for index, network in enumerate(networks):
        allocation, memory = policy.decide(Round(network, index, rng, last), memory)
        last = measure(network, allocation, rng)
        allocations.append(allocation)
        memories.append(memory)
        spent.append(last.energy_j)
    return allocations, memories, np.array(spent)


def fading(seed: int, size: int, rounds: int) -> list[Network]:
    base = cell(seed, size)
    fade = np.random.default_rng(seed + 1).exponential(1.0, (rounds, size))
    return [base.replace(gain=base.gain * row) for row in fade]


# two independent methods agree


def published_best(network: Network, queue: Any, worth: float, airtime_s: float) -> float:
    """The most of V |S| - sum q E over the prefixes of ascending q/h, as the source solves it.

    Energy is that of uploads which all last as long, without a power limit: (q/h) times a
    function of the bandwidth. The bandwidths of a prefix are found by halving their price.
    """
    order = np.argsort(queue / network.gain)
    noise, nats = network.noise_w_hz[0], network.upload_bit[0] * LN2

    def energy(band: Any) -> Any:
        return airtime_s * band * noise * np.expm1(nats / (airtime_s * band))

    best = 0.0
    for size in range(1, order.size + 1):
        ratio = (queue / network.gain)[order[:size]]

        def bands(price: float, ratio: Any = ratio) -> Any:
            low, high = np.full(ratio.size, 1.0), np.full(ratio.size, network.band_hz)
            for _ in range(60):
                middle = np.sqrt(low * high)
                x = nats / (airtime_s * middle)
                save = ratio * airtime_s * noise * (x * np.exp(x) - np.expm1(x))
                low, high = (
                    np.where(save > price, middle, low),
                    np.where(save > price, high, middle),
                )
            return np.sqrt(low * high)

        cheap, dear = 1e-40, 1e10
        for _ in range(60):
            price = np.sqrt(cheap * dear)
            cheap, dear = (price, dear) if bands(price).sum() > network.band_hz else (cheap, price)
        best = max(best, worth * size - float((ratio * energy(bands(dear))).sum()))
    return best


@pytest.mark.parametrize("seed", range(5))
def test_in_the_special_case_the_round_is_the_published_prefix(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = cell(seed, 9, cycles=0.0, upload_bit=4e5, power_max_w=1e12, band_hz=2e6)
    queue = 10.0 ** rng.uniform(-3.0, 0.0, 9)
    every = JointSchedule(network, 0.5, utility=1e30, utility_per_j=queue)
    worth = 2.0 * rng.uniform(0.05, 1.0) * (9e30 + fl_opt.solve(every).certificate.cost) / 9
    worth = worth or float(np.median(queue))
    problem = JointSchedule(network, 0.5, utility=worth, utility_per_j=queue)
    answer = fl_opt.solve(problem)
    best = published_best(network, queue, worth, 0.5)
    assert -answer.certificate.cost == pytest.approx(best, rel=1e-6)
    line = np.argsort(queue / network.gain)
    taken = answer.allocation.selected[line]
    assert np.array_equal(taken, np.sort(taken)[::-1])


def test_with_own_payloads_the_best_set_is_no_prefix() -> None:
    network = cell(0, 2, cycles=0.0, gain=[2e-10, 1e-10], upload_bit=[4e6, 1e5], band_hz=1e6)
    queue = np.array([1.0, 1.0])
    spent = [
        fl_opt.solve(MinEnergy(network[[k]].replace(power_max_w=1e9), 0.5)).certificate.cost
        for k in (0, 1)
    ]
    worth = np.sqrt(spent[0] * spent[1])
    wide = network.replace(power_max_w=1e9)
    found = fl_opt.solve(JointSchedule(wide, 0.5, utility=worth, utility_per_j=queue))
    assert np.argsort(queue / network.gain).tolist() == [0, 1]
    assert found.allocation.selected.tolist() == [False, True]
    # no prefix but the empty one is worth anything
    assert spent[0] > worth
    assert sum(spent) > 2.0 * worth


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6))
def test_every_round_is_the_best_of_all_sets_at_its_queues(seed: int) -> None:
    networks = fading(seed, 4, 3)
    policy = Lyapunov(0.8, 0.02, 3, 1e-3)
    allocations, memories, _ = play(policy, networks)
    for network, allocation, memory in zip(networks, allocations, memories, strict=True):
        problem = JointSchedule(network, 0.8, utility=1e-3, utility_per_j=memory.queue_j)
        best = 0.0
        for members in itertools.product([False, True], repeat=4):
            some = np.array(members)
            if some.any() and Uplink(network[some], 0.8).least_hz.sum() <= network.band_hz:
                alone = dataclasses.replace(
                    problem, network=network[some], utility_per_j=memory.queue_j[some]
                )
                mask = np.ones(alone.choice.value.size, dtype=bool)
                if mask.size == some.sum():
                    priced = fl_opt.solve(alone.rest(mask))
                    best = min(best, alone.cost(alone.join(mask, priced.allocation)))
        assert problem.cost(allocation) <= best + 1e-8 * abs(best)
        assert memory.plan.solution.certificate.gap <= 2e-9


# what the queues promise


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.floats(-6.0, 0.0), st.floats(-4.0, 0.0))
def test_what_is_above_the_budget_stands_in_the_queue(
    seed: int, log_weight: float, log_budget: float
) -> None:
    rounds = 8
    policy = Lyapunov(0.8, 10.0**log_budget, rounds, 10.0**log_weight)
    _, memories, spent = play(policy, fading(seed, 5, rounds))
    share = 10.0**log_budget / rounds
    queue = np.zeros(5)
    for t, memory in enumerate(memories):
        assert memory.queue_j == pytest.approx(queue, rel=1e-12, abs=1e-18)
        queue = np.maximum(queue + spent[t] - share, 0.0)
        used = spent[: t + 1].sum(axis=0)
        assert np.all(used <= ((t + 1) * share + queue) * (1.0 + 1e-12))


def test_the_first_round_charges_nothing_and_takes_whoever_fits() -> None:
    network = cell(3, 8)
    allocations, memories, _ = play(Lyapunov(0.8, 1e-6, 5, 1e-9), [network])
    most = fl_opt.solve(fl_opt.MaxParticipation(network, 0.8, np.ones(8)))
    assert not memories[0].queue_j.any()
    assert allocations[0].selected.sum() == most.allocation.selected.sum()


def test_more_weight_schedules_more_and_minds_the_budget_less() -> None:
    networks = fading(11, 6, 30)
    counts, above = [], []
    for weight in (1e-8, 1e-5, 1e-2):
        allocations, _, spent = play(Lyapunov(0.8, 0.05, 30, weight), networks)
        counts.append(sum(int(a.selected.sum()) for a in allocations))
        above.append(float(np.maximum(spent.sum(axis=0) - 0.05, 0.0).max()))
    assert counts[0] < counts[1] < counts[2]
    assert above[1] < above[2]


def test_a_floor_keeps_who_has_no_debt_from_wasting_energy() -> None:
    network = cell(0, 3, gain=[1e-10, 3e-12, 2e-11], cycles=1e8, upload_bit=3e5, band_hz=1e6)
    share_j = 4e-4
    floored = Lyapunov(1.0, 10 * share_j, 10, 4e-7, share_j)
    _, memories, wise = play(floored, [network] * 10)
    _, _, published = play(dataclasses.replace(floored, floor_j=0.0), [network] * 10)
    assert wise.sum(axis=0).max() <= 1.2 * 10 * share_j
    assert published.sum(axis=0).max() > 40.0 * 10 * share_j
    assert not memories[1].queue_j[[0, 2]].any()


def test_important_rounds_take_more() -> None:
    networks = [cell(5, 6)] * 30
    late = np.where(np.arange(30) < 15, 0.1, 1.0)
    allocations, _, _ = play(Lyapunov(0.8, 0.1, 30, 1e-4, importance=late), networks)
    count = [int(a.selected.sum()) for a in allocations]
    assert np.mean(count[18:]) > np.mean(count[3:15])


# corners


def test_a_budget_of_nothing_and_one_without_end() -> None:
    networks = fading(2, 4, 6)
    rich = play(Lyapunov(0.8, 1e9, 6, 1e-3), networks)[0]
    free = [
        fl_opt.solve(fl_opt.MaxParticipation(network, 0.8, np.ones(4))).allocation
        for network in networks
    ]
    assert [a.selected.sum() for a in rich] == [a.selected.sum() for a in free]
    poor = play(Lyapunov(0.8, 0.0, 6, 1e-12), networks)[0]
    joined = sum(a.selected.astype(int) for a in poor)
    assert np.all(joined <= 1)


def test_one_device_alone_joins_while_its_joules_are_worth_it() -> None:
    network = cell(1, 1)
    spent_j = fl_opt.solve(MinEnergy(network, 0.8)).certificate.cost
    queue = np.array([1e-2 / spent_j])
    for worth, joins in ((1e-2 * 1.001, True), (1e-2 * 0.999, False)):
        problem = JointSchedule(network, 0.8, utility=worth, utility_per_j=queue)
        assert fl_opt.solve(problem).allocation.selected.tolist() == [joins]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"deadline_s": 0.0}, r"Lyapunov.deadline_s is 0 s"),
        ({"weight_j2": 0.0}, r"Lyapunov.weight_j2 is 0"),
        ({"floor_j": -1.0}, r"Lyapunov.floor_j is -1 J"),
        ({"rounds": 0}, r"Lyapunov.rounds is 0; expected at least 1"),
        ({"budget_j": [-1.0, 0.0]}, r"Lyapunov.budget_j\[0\] is -1 J"),
        ({"importance": [1.0, 2.0, 3.0]}, r"Lyapunov.importance.shape is \(3,\)"),
    ],
)
def test_refusals(arguments: dict[str, Any], text: str) -> None:
    good: dict[str, Any] = {"deadline_s": 1.0, "budget_j": 1.0, "rounds": 2, "weight_j2": 1.0}
    with pytest.raises(InvalidInput, match=text):
        Lyapunov(**(good | arguments))


def test_refuses_budgets_of_other_devices() -> None:
    policy = Lyapunov(1.0, [1.0, 2.0, 3.0], 2, 1.0)
    with pytest.raises(InvalidInput, match=r"Lyapunov.budget_j.shape is \(3,\)"):
        policy.start(2, np.random.default_rng(0))
