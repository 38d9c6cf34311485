"""Resource blocks: published optima, a 0/1 program, every matching, 50 digits, and laws."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from block_instances import CASE, exact_weight, published
from hypothesis import given, settings
from hypothesis import strategies as st

import fl_opt
from benchmarks.laws.blocks import BITS, COUNTED, POWERS, random_problem
from fl_opt import InvalidInput, solve, verify
from fl_opt.allocation import use
from fl_opt.problems import BlockNetwork, ResourceBlockAssignment
from fl_opt.problems.block_rules import least_packet_error, random_blocks

# two independent methods agree, and the proof is tight and never false


def test_three_solvers_agree() -> None:
    rng = np.random.default_rng(1)
    served = 0
    for _ in range(25):
        problem = random_problem(rng, int(rng.integers(1, 6)), int(rng.integers(1, 5)))
        best = solve(problem)
        assert best.solver == "assignment"
        assert best.certificate.feasible
        assert best.certificate.gap <= 1e-12
        tree, tried = solve(problem, "mip").certificate, solve(problem, "enumerate").certificate
        assert tree.feasible
        assert tree.cost == pytest.approx(best.certificate.cost, rel=1e-9, abs=1e-9)
        assert tried.cost == pytest.approx(best.certificate.cost, rel=1e-13, abs=1e-12)
        served += int(best.allocation.selected.sum())
    assert served > 30


def test_a_larger_program_agrees() -> None:
    problem = random_problem(np.random.default_rng(2), 40, 25)
    one, tree = solve(problem).certificate, solve(problem, "mip").certificate
    assert tree.cost == pytest.approx(one.cost, rel=1e-9)
    assert tree.bound <= one.cost
    assert one.bound <= tree.cost


def test_the_bound_is_below_the_optimum_in_50_digits() -> None:
    rng = np.random.default_rng(3)
    limited = 0
    for _ in range(40):
        problem = random_problem(rng, int(rng.integers(1, 5)), int(rng.integers(1, 4)))
        size, blocks = problem.network.size, problem.network.blocks
        worth = [[exact_weight(problem, i, n) for n in range(blocks)] for i in range(size)]
        wide = max(size, blocks)
        exact = max(
            sum(worth[i][n] for i, n in enumerate(order[:size]) if n < blocks)
            for order in itertools.permutations(range(wide))
        )
        proof = solve(problem).certificate
        assert -proof.bound >= exact
        assert -proof.cost == pytest.approx(float(exact), rel=1e-12, abs=1e-12)
        usable = np.array([[float(x) > 0.0 for x in row] for row in worth])
        np.testing.assert_array_equal(problem.weights() < 0.0, usable)
        limited += bool(usable.any() and not usable.all())
    assert limited > 10


# published results


@pytest.mark.parametrize(
    ("power", "optimum"),
    [("max", CASE["optimum"]), ("chosen", CASE["optimum_power_chosen_SI"])],
)
def test_published_optima(power: str, optimum: float) -> None:
    problem = published(power)
    solution = solve(problem)
    assert solution.certificate.cost == pytest.approx(optimum, rel=1e-12)
    assert solution.certificate.gap <= 1e-12
    lost = problem.lost(solution.allocation)
    assert lost == pytest.approx(sum(CASE["datanumber"]) + optimum, rel=1e-11)


def test_published_assignment() -> None:
    block = np.full(9, -1)
    for device, taken in CASE["assignment"]:
        block[device] = taken
    np.testing.assert_array_equal(solve(published("max")).allocation.block, block)


# the shape of the optimum, closed forms


def test_the_chosen_power_meets_the_energy_limit_or_the_largest_power() -> None:
    rng = np.random.default_rng(4)
    both = set()
    for _ in range(20):
        problem = random_problem(rng, 6, 4)
        if problem.power != "chosen":
            continue
        decision = solve(problem).allocation
        on = decision.selected
        spent = problem.excess(decision)["energy"].used
        full = decision.power_w == problem.network.power_max_w
        assert np.all(np.isclose(spent, problem.energy_j, rtol=1e-11) | full, where=on)
        both |= set(full[on].tolist())
    assert both == {True, False}


def test_just_above_and_just_below_the_least_energy() -> None:
    network = published("chosen").network
    floor = BITS * math.log(2.0) * network.disturbance_w() / 1e6 / network.gain
    above, below = (
        published("chosen", energy_j=share * floor.min(), delay_s=math.inf).success.max()
        for share in (2.0, 0.999)
    )
    assert below == 0.0 < above


def test_one_device_and_one_block() -> None:
    network = BlockNetwork(
        gain=[1e-4], interference_w=[1e-8], power_max_w=0.01, upload_bit=1e6, samples=100,
        band_hz=1e6, noise_w_hz=1e-20, waterfall=1.0,
    )  # fmt: skip
    problem = ResourceBlockAssignment(network, delay_s=1.0, energy_j=1.0)
    certificate = solve(problem).certificate
    loss = 1.0 - math.exp(-(1e-8 + 1e-14) / 1e-6)
    assert certificate.cost == pytest.approx(-100.0 * (1.0 - loss), rel=1e-13)


def test_nobody_takes_part_where_no_pair_is_feasible() -> None:
    for power in POWERS:
        problem = published(power, delay_s=1e-9)
        for solver in ("assignment", "mip"):
            solution = solve(problem, solver)
            assert not solution.allocation.selected.any()
            assert np.all(solution.allocation.block == -1)
            assert solution.certificate.cost == 0.0
        assert solve(problem).certificate.gap == 0.0


def test_a_device_without_samples_stays_out() -> None:
    samples = np.array(CASE["datanumber"], dtype=float)
    samples[2] = 0.0
    fields = {"interference_w": CASE["I_W"], "power_max_w": 0.01, "upload_bit": BITS}
    network = BlockNetwork.from_distance(CASE["distance_m"], samples=samples, band_hz=1e6, **fields)
    solution = solve(ResourceBlockAssignment(network, delay_s=1.0, energy_j=1.0))
    assert not solution.allocation.selected[2]


def test_counting_training_takes_pairs_away() -> None:
    costs = []
    for training in COUNTED:
        network = BlockNetwork.from_distance(
            CASE["distance_m"], interference_w=CASE["I_W"], power_max_w=CASE["P_W"],
            upload_bit=BITS, samples=CASE["datanumber"], band_hz=1e6,
            cycles=1.5e8, cpu_hz=1e9, capacitance=1e-29,
        )  # fmt: skip
        problem = ResourceBlockAssignment(network, 0.3, 0.003, "chosen", training)
        costs.append(solve(problem).certificate.cost)
    assert costs[0] < costs[1] < costs[2] < 0.0


# laws


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_no_rule_beats_the_optimum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, 7, 5)
    solution = solve(problem)
    chosen = solution.allocation.selected
    rules = [
        random_blocks(problem, rng),
        random_blocks(problem, rng, among=chosen),
        least_packet_error(problem),
    ]
    for decision in rules:
        judged = verify(problem, decision)
        assert judged.feasible
        assert judged.cost >= solution.certificate.bound
    assert not np.any(rules[1].selected & ~chosen)


@given(st.integers(0, 2**32 - 1), st.floats(1.0, 3.0))
@settings(max_examples=30, deadline=None)
def test_looser_limits_and_chosen_power_never_hurt(seed: int, factor: float) -> None:
    problem = random_problem(np.random.default_rng(seed), 6, 4)
    network, kept = problem.network, (problem.delay_s, problem.energy_j)
    costs = [
        solve(ResourceBlockAssignment(network, *limits, power, problem.training)).certificate.cost
        for limits, power in (
            (kept, POWERS[0]),
            (kept, POWERS[1]),
            ((kept[0] * factor, kept[1]), POWERS[1]),
            ((kept[0] * factor, kept[1] * factor), POWERS[1]),
        )
    ]
    for tight, loose in itertools.pairwise(costs):
        assert loose <= tight + 1e-12 * abs(tight)


def test_permuting_devices_and_blocks_permutes_the_answer() -> None:
    rng = np.random.default_rng(5)
    problem = published("chosen")
    one, network = solve(problem).allocation, problem.network
    devices, blocks = rng.permutation(9), rng.permutation(6)
    mixed = BlockNetwork(
        gain=network.gain[devices][:, blocks], interference_w=network.interference_w[blocks],
        power_max_w=0.01, upload_bit=BITS, samples=network.samples[devices], band_hz=1e6,
        noise_w_hz=network.noise_w_hz, downlink_bit=BITS,
        downlink_interference_w=network.downlink_interference_w,
    )  # fmt: skip
    two = solve(ResourceBlockAssignment(mixed, 0.5, 0.003, "chosen")).allocation
    np.testing.assert_array_equal(two.selected, one.selected[devices])
    assert one.block is not None
    assert two.block is not None
    np.testing.assert_array_equal(blocks[two.block[two.selected]], one.block[devices][two.selected])


def test_a_bound_on_learning_falls_with_the_samples_lost() -> None:
    problem = published("max")
    rates = {"strong_convexity": 1.0, "smoothness": 10.0, "gradient_growth": 0.01}
    best = problem.contraction(solve(problem).allocation, **rates)
    worse = problem.contraction(least_packet_error(problem), **rates)
    nobody = problem.contraction(problem.match(np.full(9, -1)), **rates)
    assert 0.9 < best < worse < nobody == pytest.approx(0.9 + 4 * 0.01 / 10)


# the same physics as every other round


def test_the_devices_on_their_blocks_are_a_network() -> None:
    problem = published("chosen")
    solution = solve(problem)
    decision = solution.allocation
    assert decision.block is not None
    assert decision.upload_s is not None
    used = use(problem.network.to_network(decision.block), decision)
    np.testing.assert_allclose(used.airtime_s, decision.upload_s, rtol=1e-12)
    energy = problem.excess(decision)["energy"].used
    np.testing.assert_allclose(used.upload_j, energy, rtol=1e-12)


def test_a_policy_shares_the_band_of_a_round_in_blocks() -> None:
    network = fl_opt.Network(
        gain=[1e-10, 4e-11, 9e-12, 1e-13], power_max_w=0.2, cpu_min_hz=1e8, cpu_max_hz=2e9,
        capacitance=1e-28, cycles=2e8, upload_bit=3e5, samples=[600, 400, 800, 100], band_hz=2e6,
    )  # fmt: skip

    def formulate(network: fl_opt.Network) -> ResourceBlockAssignment:
        blocks = BlockNetwork.from_network(network, interference_w=[1e-13, 5e-13])
        return ResourceBlockAssignment(blocks, delay_s=1.0, energy_j=0.1, training="both")

    policy = fl_opt.Optimised(formulate)
    rng = np.random.default_rng(0)
    allocation, plan = policy.decide(fl_opt.Round(network, 0, rng), policy.start(4, rng))
    assert allocation.selected.sum() == 2
    assert plan.note == ""
    assert np.all(allocation.bandwidth_hz[allocation.selected] == 1e6)


# refusals


def test_what_a_wrong_decision_breaks() -> None:
    problem = published("max")
    best = solve(problem).allocation
    assert best.block is not None
    crowd = best.replace(block=np.where(best.selected, 0, -1))
    assert "block" in verify(problem, crowd).violation
    assert set(verify(problem, best.replace(power_w=0.02)).violation) >= {"power_max", "energy"}
    assert "power_min" in verify(problem, best.replace(power_w=0.005)).violation
    assert "band" in verify(problem, best.replace(bandwidth_hz=2e6)).violation
    everyone = best.replace(selected=np.ones(9, dtype=bool), block=np.arange(9) % 6)
    assert set(verify(problem, everyone).violation) >= {"block", "delay", "energy"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"power": "some"}, "power is 'some'; expected 'max' or 'chosen'"),
        ({"training": "no"}, "training is 'no'; expected one of"),
        ({"delay_s": [1.0, 2.0]}, r"delay_s.shape is \(2,\); expected \(9,\)"),
        ({"energy_j": -1.0}, "energy_j is -1 J"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        published(**({"power": "max"} | change))


def test_wrong_gains_and_blocks_are_named() -> None:
    rest = {"power_max_w": 0.1, "upload_bit": 1e5, "samples": 1, "band_hz": 1e6}
    with pytest.raises(InvalidInput, match=r"gain.shape is \(2, 3\); expected \(K, 2\)"):
        BlockNetwork(gain=np.ones((2, 3)), interference_w=[0.0, 0.0], **rest)
    with pytest.raises(InvalidInput, match=r"gain\[1, 0\] is nan"):
        BlockNetwork(gain=[[1.0, 1.0], [np.nan, 1.0]], interference_w=[0.0, 0.0], **rest)
    problem = published("max")
    best = solve(problem).allocation
    with pytest.raises(InvalidInput, match=r"decision.block\[0\] is 6; expected 0 to 5"):
        verify(problem, best.replace(block=np.full(9, 6)))
    with pytest.raises(InvalidInput, match=r"decision\.block is None"):
        verify(problem, best.replace(block=None))
    with pytest.raises(InvalidInput, match="matchings is"):
        solve(problem, "enumerate")
