"""The joint schedule: against all sets and against cones; its bound, laws and corners."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fl_opt
from benchmarks.laws.contested import joint
from fl_opt import InvalidInput, JointSchedule, MaxParticipation, MinEnergy, Network
from fl_opt.solvers.exchange import bound
from fl_opt.solvers.prices import TwoPrices

SAMPLE = range(32)


def size_of(seed: int) -> int:
    return int(np.random.default_rng(seed).integers(3, 11))


def utilities(problem: JointSchedule) -> Any:
    given = problem.utility
    return problem.network.samples if given is None else np.asarray(given)


def check_against_enumeration(problem: JointSchedule) -> None:
    ours, all_sets = fl_opt.solve(problem), fl_opt.solve(problem, "enumerate")
    best = all_sets.certificate.cost
    assert ours.solver == "prices"
    assert ours.certificate.feasible
    assert ours.certificate.cost == pytest.approx(best, rel=1e-9)
    assert ours.certificate.bound <= best
    assert ours.certificate.gap <= 1.1e-9
    assert all_sets.certificate.gap <= 1e-9


@pytest.mark.parametrize("seed", SAMPLE)
def test_equals_enumeration(seed: int) -> None:
    check_against_enumeration(joint(seed, size_of(seed)))


@pytest.mark.parametrize("seed", range(10))
def test_equals_enumeration_with_a_penalty(seed: int) -> None:
    check_against_enumeration(joint(seed, size_of(seed) % 8 + 1, utility_per_j=True))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1200))
def test_equals_enumeration_on_two_hundred(seed: int) -> None:
    check_against_enumeration(joint(seed, size_of(seed), utility_per_j=seed % 5 == 0))


def test_the_instances_are_contested() -> None:
    problems = [joint(seed, size_of(seed)) for seed in SAMPLE]
    answers = [fl_opt.solve(problem) for problem in problems]
    part = np.array([answer.allocation.selected.mean() for answer in answers])
    without = [
        fl_opt.solve(dataclasses.replace(problem, energy_total_j=math.inf)) for problem in problems
    ]
    binding = [
        free.certificate.cost < tight.certificate.cost * (1.0 + 1e-9)
        for free, tight in zip(without, answers, strict=True)
    ]
    assert np.mean((part >= 0.1) & (part <= 0.9)) >= 0.9
    assert np.mean(binding) >= 0.5


@pytest.mark.parametrize("seed", range(3))
def test_equals_all_sets_judged_by_a_conic_program(seed: int) -> None:
    problem = joint(seed, 4)
    network, deadline_s = problem.network, np.asarray(problem.deadline_s)
    best = 0.0
    for members in itertools.product([False, True], repeat=4):
        some = np.array(members)
        gained = float(utilities(problem)[some].sum())
        if gained <= best:
            continue
        try:
            found = fl_opt.solve(MinEnergy(network[some], deadline_s[some]), "cvxpy").certificate
        except fl_opt.Infeasible:
            continue
        if found.feasible and found.cost <= problem.energy_total_j:
            best = gained
    assert fl_opt.solve(problem).certificate.cost == pytest.approx(-best, rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_no_prices_give_a_false_bound(seed: int) -> None:
    problem = joint(seed, 6, utility_per_j=seed % 3 == 0)
    best = -fl_opt.solve(problem, "enumerate").certificate.cost
    rng = np.random.default_rng(seed)
    choice = problem.choice
    for _ in range(40):
        price = 10.0 ** rng.uniform(-16.0, 2.0)
        weighing = problem.weigh(price)
        fair = choice.value.sum() / max(weighing.weight.sum(), 1e-300)
        for worth in choice.charge + fair * 10.0 ** rng.uniform(-4.0, 3.0, 5):
            upper, _ = bound(choice, weighing, worth)
            assert upper >= best
    if choice.charge == 0.0:
        for worth in 10.0 ** rng.uniform(-12.0, 2.0, 20):
            upper, _ = bound(choice, problem.weigh(math.inf), worth)
            assert upper >= best


@pytest.mark.parametrize("seed", range(4))
def test_weights_are_below_every_exchange(seed: int) -> None:
    problem = joint(seed, 40)
    everyone = np.ones(problem.choice.value.size, dtype=bool)
    rng = np.random.default_rng(seed)
    for price in (1e-12, 1e-8, 1e-4, 1.0):
        weighing = problem.weigh(price)
        for share in 10.0 ** rng.uniform(0.0, 4.0, (10, everyone.size)):
            at = problem.tangents(everyone, share * problem.choice.least)
            taken = (at.value + weighing.price * at.at) * (1.0 + 1e-13)
            assert np.all((weighing.weight <= taken) | (at.value > problem.energy_total_j))


def test_prices_alone_miss_at_most_two_utilities() -> None:
    for seed in range(20):
        problem = joint(seed, 60)
        rounded = TwoPrices(core=0)(problem).certificate
        assert rounded.proof == "dual"
        assert rounded.feasible
        assert rounded.cost - rounded.bound <= 2.0 * problem.choice.value.max()


def test_those_chosen_spend_the_least_together() -> None:
    problem = joint(5, 40)
    decision = fl_opt.solve(problem).allocation
    on = decision.selected
    alone = fl_opt.solve(MinEnergy(problem.network[on], np.asarray(problem.deadline_s)[on]))
    spent = fl_opt.verify(dataclasses.replace(problem, utility=0.0, utility_per_j=1.0), decision)
    assert spent.cost == pytest.approx(alone.certificate.cost, rel=1e-9)
    assert not decision.bandwidth_hz[~on].any()


def still(size: int, **changes: Any) -> Network:
    fields: dict[str, Any] = {
        "gain": np.full(size, 1e-10),
        "power_max_w": 0.2,
        "cpu_min_hz": 1e8,
        "cpu_max_hz": 2e9,
        "capacitance": 1e-28,
        "cycles": 2e8,
        "upload_bit": 3e5,
        "samples": 500.0,
        "band_hz": 1e6,
    }
    return Network(**(fields | changes))


def test_without_payload_energy_alone_decides() -> None:
    heat_j = 1e-28 * 2e8 * (2e8 / 1.0) ** 2
    network = still(9, upload_bit=0.0, band_hz=0.0)
    answer = fl_opt.solve(JointSchedule(network, 1.0, 4.5 * heat_j, utility=np.arange(1.0, 10.0)))
    assert answer.allocation.selected.tolist() == [False] * 5 + [True] * 4


def test_identical_devices_take_part_as_far_as_the_energy_goes() -> None:
    network = still(1000, band_hz=5e6)
    spent_j = fl_opt.solve(MinEnergy(network[:100], 1.0)).certificate.cost
    answer = fl_opt.solve(JointSchedule(network, 1.0, spent_j * (1.0 + 1e-9)))
    assert answer.allocation.selected.sum() == 100
    assert answer.certificate.gap == 0.0
    certificate = fl_opt.solve(JointSchedule(network, 1.0, spent_j, utility=0.3)).certificate
    assert certificate.cost - certificate.bound <= 0.6


@pytest.mark.parametrize("seed", range(8))
def test_without_a_budget_it_is_max_participation(seed: int) -> None:
    problem = dataclasses.replace(joint(seed, 60), energy_total_j=math.inf)
    free = MaxParticipation(problem.network, problem.deadline_s, problem.utility)
    one, other = fl_opt.solve(problem).certificate, fl_opt.solve(free).certificate
    assert one.cost == pytest.approx(other.cost, rel=2e-9)


@pytest.mark.parametrize(
    ("network", "arguments", "expected"),
    [
        (still(1), {}, [True]),
        (still(1), {"energy_total_j": 0.0}, [False]),
        (still(3), {"energy_total_j": 1e-9}, [False] * 3),
        (still(2, upload_bit=[0.0, 3e5], band_hz=0.0), {}, [True, False]),
        (still(2, upload_bit=0.0, cycles=0.0), {"energy_total_j": 0.0}, [True, True]),
        (still(2), {"utility": [0.0, -1.0]}, [False, False]),
        (still(2, gain=[0.0, 1e-10]), {"energy_total_j": 1.0}, [False, True]),
        (still(2, energy_j=[1e-9, 1.0]), {"energy_total_j": 1.0}, [False, True]),
        (still(2), {"deadline_s": [0.05, 1.0]}, [False, True]),
        (still(2, power_max_w=math.inf), {"energy_total_j": 1.0}, [True, True]),
        (still(2), {"utility_per_j": 1e9}, [False, False]),
        (still(2), {"utility_per_j": 1e-9}, [True, True]),
    ],
)
def test_corner_cases(network: Network, arguments: dict[str, Any], expected: list[bool]) -> None:
    problem = JointSchedule(network, **({"deadline_s": 1.0} | arguments))
    answer = fl_opt.solve(problem)
    assert answer.allocation.selected.tolist() == expected
    assert answer.certificate.feasible
    assert answer.certificate.gap <= 1.1e-9


def test_a_device_exactly_at_the_budget_takes_part() -> None:
    network = still(1)
    spent_j = fl_opt.solve(MinEnergy(network, 1.0)).certificate.cost
    assert fl_opt.solve(JointSchedule(network, 1.0, spent_j)).allocation.selected.all()
    less = JointSchedule(network, 1.0, spent_j * (1.0 - 1e-9))
    assert not fl_opt.solve(less).allocation.selected.any()


def test_a_device_between_possible_and_impossible_breaks_nothing() -> None:
    needed_w_hz = 0.2 * 1e-10 / (3e5 * math.log(2.0)) * 0.9
    network = still(3, noise_w_hz=needed_w_hz * np.array([1.0, 1.0 - 1e-12, 1.0 + 1e-12]))
    certificate = fl_opt.solve(JointSchedule(network.replace(band_hz=1e30), 1.0)).certificate
    assert certificate.feasible
    assert certificate.bound <= certificate.cost


@pytest.mark.parametrize("solver", ["prices", "enumerate", "outer"])
def test_a_round_without_anybody_lasts_until_the_deadline(solver: str) -> None:
    nobody = fl_opt.solve(JointSchedule(still(3), 1.5, energy_total_j=0.0), solver=solver)
    assert not nobody.allocation.selected.any()
    assert nobody.allocation.deadline_s == 1.5


@pytest.mark.parametrize("solver", ["prices", "enumerate", "outer"])
def test_a_device_whose_least_band_floating_point_cannot_tell_stays_out(solver: str) -> None:
    network = Network(
        gain=1e-10,
        power_max_w=0.2,
        cpu_min_hz=1e8,
        cpu_max_hz=2e9,
        capacitance=1e-28,
        cycles=2e8,
        upload_bit=3e5,
        samples=[600, 400],
        band_hz=2e4,
    )
    training_j, upload_j = 1e-28 * 2e8 * 1e16, network.noise_w_hz[0] * 3e5 * math.log(2) / 1e-10
    spare = (1e-15, 5e-16, 2e-15, 3e-16, 3e-15)
    problems = [
        JointSchedule(
            network.replace(energy_j=[(training_j + upload_j) * (1.0 + part), 1.0]),
            10.0,
            energy_total_j=1.0,
        )
        for part in spare
    ]
    problem = next(p for p in problems if p.choice.least_low[0] < 2e4 < p.choice.least[0])
    solution = fl_opt.solve(problem, solver=solver)
    assert solution.allocation.selected.tolist() == [False, True]
    assert solution.certificate.feasible


@given(st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_more_of_anything_never_hurts(seed: int) -> None:
    problem = joint(seed, 12)
    network = problem.network
    more = [
        dataclasses.replace(problem, network=network.replace(band_hz=1.2 * network.band_hz)),
        dataclasses.replace(problem, energy_total_j=1.2 * problem.energy_total_j),
        dataclasses.replace(problem, deadline_s=1.2 * np.asarray(problem.deadline_s)),
    ]
    base = fl_opt.solve(problem).certificate.cost
    for other in more:
        assert fl_opt.solve(other).certificate.cost <= base + 1e-9 * abs(base)


@given(st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_neither_order_nor_units_matter(seed: int) -> None:
    problem = joint(seed, 30)
    order = np.random.default_rng(seed).permutation(30)
    base = fl_opt.solve(problem).certificate.cost
    moved = JointSchedule(
        problem.network[order],
        np.asarray(problem.deadline_s)[order],
        problem.energy_total_j,
        1e-3 * utilities(problem)[order],
    )
    assert fl_opt.solve(moved).certificate.cost == pytest.approx(1e-3 * base, rel=2e-9)


def test_ten_thousand_devices_are_certified() -> None:
    for seed in (0, 1):
        certificate = fl_opt.solve(joint(seed, 10_000)).certificate
        assert certificate.feasible
        assert certificate.gap <= 1e-8


def test_a_device_that_needs_a_third_of_everything_is_branched_on() -> None:
    problem = joint(7, 1000)
    assert problem.choice.value.max() > 0.3 * problem.choice.value.sum()
    certificate = fl_opt.solve(problem).certificate
    assert certificate.feasible
    assert certificate.gap <= 1e-8


def test_answers_repeat_and_start_from_earlier_ones() -> None:
    problem = joint(2, 200)
    first = fl_opt.solve(problem)
    again, warm = fl_opt.solve(problem), fl_opt.solve(problem, start=first)
    assert np.array_equal(first.allocation.bandwidth_hz, again.allocation.bandwidth_hz)
    assert warm.certificate.cost == pytest.approx(first.certificate.cost, rel=1e-9)
    other = fl_opt.solve(joint(3, 50), start=first)
    assert other.certificate.feasible
    assert dict.fromkeys(problem.excess(first.allocation)) == first.prices


@pytest.mark.parametrize("options", [{"core": 0}, {"nodes": 1}])
def test_little_effort_leaves_an_honest_gap(options: dict[str, int]) -> None:
    problem = joint(3, 40)
    best = fl_opt.solve(problem).certificate.cost
    rough = TwoPrices(**options)(problem).certificate
    assert rough.feasible
    assert rough.bound <= best <= rough.cost
    hurried = TwoPrices()(problem, time_limit_s=1e-9).certificate
    assert hurried.feasible
    assert hurried.bound <= best


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"deadline_s": 0.0}, r"deadline_s is 0 s; expected a number > 0"),
        ({"deadline_s": 1.0, "energy_total_j": -1.0}, r"energy_total_j is -1 J"),
        ({"deadline_s": 1.0, "energy_total_j": math.nan}, r"energy_total_j is nan"),
        ({"deadline_s": 1.0, "utility_per_j": math.inf}, r"utility_per_j is inf"),
        ({"deadline_s": 1.0, "utility": [1.0, math.nan]}, r"utility\[1\] is nan"),
        ({"deadline_s": 1.0, "utility": [1.0, 2.0, 3.0]}, r"utility.shape is \(3,\)"),
    ],
)
def test_refuses_what_is_no_round(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        JointSchedule(still(2), **arguments)


def test_refuses_a_device_without_any_limit() -> None:
    network = still(2, power_max_w=[0.2, np.inf])
    with pytest.raises(InvalidInput, match=r"power_max_w\[1\] is inf W without a limit on energy"):
        JointSchedule(network, 1.0)


def test_enumeration_refuses_many_devices() -> None:
    with pytest.raises(InvalidInput, match=r"is 30; expected at most 20; solve with solver"):
        fl_opt.solve(JointSchedule(still(30), 1.0), "enumerate")
