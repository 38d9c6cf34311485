"""Least round time on blocks: a 0/1 program, every matching, 50 digits, covers, and laws."""

from __future__ import annotations

import itertools
import math
from typing import Any

import mpmath
import numpy as np
import pytest
from block_instances import exact_delay, published
from hypothesis import given, settings
from hypothesis import strategies as st

import fl_opt
from benchmarks.laws.blocks import POWERS, random_problem, random_round
from fl_opt import BlockNetwork, Infeasible, InvalidInput, MinBlockRoundTime, solve, verify
from fl_opt.problems.block_links import BlockLinks
from fl_opt.problems.bottleneck import bottleneck, least_outside
from fl_opt.units import Floats


def answer(problem: MinBlockRoundTime, solver: str = "auto") -> float:
    """The least time, infinite where there is none."""
    try:
        solution = solve(problem, solver)
    except Infeasible:
        return math.inf
    assert solution.certificate.feasible
    assert int(solution.allocation.selected.sum()) == problem.participants
    return solution.certificate.cost


# independent methods agree, and the proof is tight and never false


def test_three_solvers_agree() -> None:
    rng = np.random.default_rng(1)
    costs = []
    for _ in range(30):
        problem = random_round(rng, int(rng.integers(1, 6)), int(rng.integers(1, 5)))
        costs.append(answer(problem))
        assert answer(problem, "mip") == pytest.approx(costs[-1], rel=1e-9, abs=1e-12)
        assert answer(problem, "enumerate") == pytest.approx(costs[-1], rel=1e-13, abs=0.0)
    assert 5 < sum(math.isfinite(cost) for cost in costs) < 30


def test_a_larger_program_agrees() -> None:
    network = random_problem(np.random.default_rng(2), 30, 20).network
    problem = MinBlockRoundTime(network, 15, power="chosen", energy_j=0.02)
    ours, tree = solve(problem).certificate, solve(problem, "mip").certificate
    assert tree.cost == pytest.approx(ours.cost, rel=1e-9)
    assert tree.bound <= ours.cost
    assert ours.bound <= tree.cost


def test_the_bound_is_below_the_optimum_in_50_digits() -> None:
    rng = np.random.default_rng(3)
    finite = 0
    for _ in range(40):
        problem = random_round(rng, int(rng.integers(1, 5)), int(rng.integers(1, 4)))
        size, blocks = problem.network.size, problem.network.blocks
        delay = [[exact_delay(problem, i, n) for n in range(blocks)] for i in range(size)]
        exact = min(
            max((delay[i][n] for i, n in zip(rows, order, strict=True)), default=mpmath.mpf(0))
            for rows in itertools.combinations(range(size), problem.participants)
            for order in itertools.permutations(range(blocks), problem.participants)
        )
        if math.isinf(float(exact)):
            assert answer(problem) == math.inf
            continue
        proof = solve(problem).certificate
        assert proof.bound <= exact
        assert proof.cost == pytest.approx(float(exact), rel=1e-12)
        assert proof.gap <= 1e-12
        assert proof.proof == "combinatorial"
        finite += 1
    assert finite > 15


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6), st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_a_bottleneck_and_its_cover_meet_on_tied_levels(
    seed: int, n: int, m: int, values: int
) -> None:
    rng = np.random.default_rng(seed)
    level: Floats = rng.integers(1, values + 1, (n, m)).astype(float)
    level += np.where(rng.random((n, m)) < 0.2, np.inf, 0.0)
    count = int(rng.integers(1, min(n, m) + 1))
    found = bottleneck(level, count)
    best = min(
        max(level[i, j] for i, j in zip(rows, order, strict=True))
        for rows in itertools.combinations(range(n), count)
        for order in itertools.permutations(range(m), count)
    )
    assert found.complete == bool(np.isfinite(best))
    assert int(found.rows.sum() + found.columns.sum()) < count
    if found.complete:
        taken = np.flatnonzero(found.column >= 0)
        assert taken.size == count == np.unique(found.column[taken]).size
        assert level[taken, found.column[taken]].max() == best
    assert least_outside(level, found) == best


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_any_small_cover_gives_a_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    level = rng.exponential(1.0, (5, 4))
    found = bottleneck(level, 4)
    lines = rng.permutation(9)[:3]
    cover = type(found)(found.column, np.isin(range(5), lines), np.isin(range(5, 9), lines), True)
    taken = np.flatnonzero(found.column >= 0)
    assert least_outside(level, cover) <= level[taken, found.column[taken]].max()


# the shape of the optimum, closed forms


def test_one_device_takes_its_best_block_at_full_power() -> None:
    network = BlockNetwork(
        gain=[[1e-6, 4e-6, 2e-6]], interference_w=[1e-8, 1e-8, 1e-8], power_max_w=0.01,
        upload_bit=1e6, samples=1, band_hz=1e6, noise_w_hz=1e-20, cycles=2e8, cpu_hz=1e9,
    )  # fmt: skip
    solution = solve(MinBlockRoundTime(network))
    np.testing.assert_array_equal(solution.allocation.block, [1])
    rate = 1e6 * math.log2(1.0 + 4e-8 / (1e-8 + 1e-14))
    assert solution.certificate.cost == pytest.approx(0.2 + 1e6 / rate, rel=1e-14)


def test_like_devices_wait_for_the_worst_block_that_is_needed() -> None:
    network = BlockNetwork(
        gain=np.full(6, 1e-5), interference_w=[3e-8, 1e-8, 5e-8, 2e-8], power_max_w=0.01,
        upload_bit=1e6, samples=1, band_hz=1e6,
    )  # fmt: skip
    delay = np.sort(BlockLinks(network, math.inf, "max", "both").delay_s[0])
    for count in range(5):
        cost = solve(MinBlockRoundTime(network, count)).certificate.cost
        assert cost == (delay[count - 1] if count else 0.0)


def test_nobody_to_serve_takes_no_time() -> None:
    solution = solve(MinBlockRoundTime(published("max").network, 0))
    assert not solution.allocation.selected.any()
    assert solution.certificate.cost == solution.certificate.bound == solution.certificate.gap == 0


def test_a_round_without_payload_waits_for_training() -> None:
    network = BlockNetwork(
        gain=1e-5 * np.ones(2), interference_w=[1e-8, 1e-8], power_max_w=0.01, upload_bit=0.0,
        samples=1, band_hz=1e6, cycles=[1e8, 3e8], cpu_hz=1e9,
    )  # fmt: skip
    assert solve(MinBlockRoundTime(network)).certificate.cost == 0.3
    assert solve(MinBlockRoundTime(network, training="neither")).certificate.cost == 0.0


def test_a_dead_device_is_left_out_where_it_may_be() -> None:
    network = BlockNetwork(
        gain=[1e-5, 0.0, 2e-5], interference_w=[1e-8, 2e-8, 3e-8], power_max_w=0.01,
        upload_bit=1e6, samples=1, band_hz=1e6,
    )  # fmt: skip
    np.testing.assert_array_equal(
        solve(MinBlockRoundTime(network, 2)).allocation.selected, [True, False, True]
    )
    with pytest.raises(Infeasible) as refused:
        solve(MinBlockRoundTime(network))
    np.testing.assert_array_equal(refused.value.devices, [1])
    assert refused.value.relaxations == {"participants": 2.0, "energy_j": None}


# laws


@given(st.integers(0, 2**32 - 1), st.floats(1.0, 3.0))
@settings(max_examples=30, deadline=None)
def test_more_devices_take_longer_and_looser_limits_do_not(seed: int, factor: float) -> None:
    problem = random_round(np.random.default_rng(seed), 5, 4)
    network, limit, how = problem.network, problem.energy_j, problem.training
    costs = [
        answer(MinBlockRoundTime(network, count, limit, "max", how)) for count in range(5)
    ]  # fmt: skip
    assert costs == sorted(costs)
    kept = [
        answer(MinBlockRoundTime(network, 3, energy, power, how))
        for energy, power in ((limit, POWERS[0]), (limit, POWERS[1]), (factor * limit, POWERS[1]))
    ]
    for tight, loose in itertools.pairwise(kept):
        assert loose <= tight * (1.0 + 1e-12)


def test_permuting_devices_and_blocks_changes_no_time() -> None:
    rng = np.random.default_rng(5)
    network = random_problem(rng, 8, 6).network
    devices, blocks = rng.permutation(8), rng.permutation(6)
    mixed = BlockNetwork(
        gain=network.gain[devices][:, blocks], interference_w=network.interference_w[blocks],
        power_max_w=network.power_max_w[devices], upload_bit=network.upload_bit[devices],
        samples=network.samples[devices], band_hz=1e6, downlink_bit=network.downlink_bit[devices],
        downlink_interference_w=network.downlink_interference_w,
        downlink_gain=network.downlink_gain[devices], cycles=1e7, capacitance=1e-28,
    )  # fmt: skip
    one, two = (solve(MinBlockRoundTime(each, 5)).certificate.cost for each in (network, mixed))
    assert two == pytest.approx(one, rel=1e-14)


def test_the_most_samples_in_time_are_served_by_then() -> None:
    """With the least time of n devices as its delay, the assignment can serve n of them."""
    assignment = published("max", energy_j=math.inf)
    for count in (1, 3, 6):
        least = solve(MinBlockRoundTime(assignment.network, count, training="neither"))
        late = published("max", energy_j=math.inf, delay_s=least.certificate.cost * (1 - 1e-9))
        judged = verify(late, least.allocation)
        assert set(judged.violation) == {"delay"}
        assert int(solve(late).allocation.selected.sum()) < count


def test_is_a_policy() -> None:
    network = fl_opt.Network(
        gain=[1e-10, 4e-11, 9e-12, 1e-13], power_max_w=0.2, cpu_min_hz=1e8, cpu_max_hz=2e9,
        capacitance=1e-28, cycles=2e8, upload_bit=3e5, samples=[600, 400, 800, 100], band_hz=2e6,
    )  # fmt: skip

    def formulate(network: fl_opt.Network) -> MinBlockRoundTime:
        return MinBlockRoundTime(BlockNetwork.from_network(network, [1e-13, 5e-13]), 2)

    policy, rng = fl_opt.Optimised(formulate), np.random.default_rng(0)
    allocation, plan = policy.decide(fl_opt.Round(network, 0, rng), policy.start(4, rng))
    assert plan.note == ""
    np.testing.assert_array_equal(allocation.selected, [True, True, False, False])


# refusals


@pytest.mark.parametrize("power", POWERS)
def test_the_energy_that_cures_cures_and_no_less_does(power: Any) -> None:
    network = published("max").network
    tight = MinBlockRoundTime(network, 6, 1e-4, power)
    with pytest.raises(Infeasible, match="6 devices are to be served") as refused:
        solve(tight)
    assert refused.value.constraint == "energy"
    cure = refused.value.relaxations["energy_j"]
    assert cure is not None
    assert math.isfinite(answer(MinBlockRoundTime(network, 6, cure, power)))
    assert answer(MinBlockRoundTime(network, 6, cure * (1.0 - 1e-8), power)) == math.inf
    able = refused.value.relaxations["participants"]
    assert able is not None
    assert math.isfinite(answer(MinBlockRoundTime(network, int(able), 1e-4, power)))


def test_more_devices_than_blocks() -> None:
    with pytest.raises(Infeasible, match="9 devices are to be served and 6 can be") as refused:
        solve(MinBlockRoundTime(published("max").network))
    assert refused.value.constraint == "block"
    assert refused.value.relaxations == {"participants": 6.0, "energy_j": None}


def test_what_a_wrong_decision_breaks() -> None:
    problem = MinBlockRoundTime(published("max").network, 6, energy_j=1.0)
    best = solve(problem).allocation
    assert set(verify(problem, best.replace(power_w=0.02)).violation) == {"power_max"}
    assert "power_min" in verify(problem, best.replace(power_w=0.005)).violation
    crowd = best.replace(block=np.where(best.selected, 0, -1))
    assert "block" in verify(problem, crowd).violation
    fewer = best.selected.copy()
    fewer[np.flatnonzero(fewer)[0]] = False
    assert set(verify(problem, best.replace(selected=fewer)).violation) == {"participants"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"participants": 10}, "participants is 10; expected a number >= 0, <= 9"),
        ({"participants": 1.5}, "participants is 1.5; expected a whole number"),
        ({"power": "some"}, "power is 'some'"),
        ({"training": "no"}, "training is 'no'"),
        ({"energy_j": -1.0}, "energy_j is -1 J"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        MinBlockRoundTime(published("max").network, **change)
