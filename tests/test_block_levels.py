"""Blocks at levels: the published optimum, the full 0/1 program, every choice, and laws."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from level_instances import LEVEL_CASE, published_levels

import fl_opt
from benchmarks.laws.blocks import random_levels
from fl_opt import BlockLevels, BlockNetwork, InvalidInput, ResourceBlockAssignment, solve, verify
from fl_opt.problems.level_rules import energy_per_worth, fixed_levels


def changed(problem: BlockLevels, **changes: Any) -> BlockLevels:
    return dataclasses.replace(problem, **changes)


# independent methods agree, and the proof is tight and never false


def test_three_solvers_agree() -> None:
    rng = np.random.default_rng(1)
    served = 0
    for _ in range(12):
        size, blocks = (int(each) for each in rng.integers(1, 4, 2))
        problem = random_levels(rng, size, blocks, (2, 2, 1))
        best, tree, tried = (solve(problem, name) for name in ("auto", "mip", "enumerate"))
        assert best.solver == "budgeted"
        proof = best.certificate
        assert proof.feasible
        assert tree.certificate.feasible
        assert tree.certificate.cost == pytest.approx(proof.cost, rel=1e-8, abs=1e-8)
        assert tried.certificate.cost == pytest.approx(proof.cost, rel=1e-13, abs=1e-12)
        assert proof.bound <= tried.certificate.cost
        assert proof.cost - proof.bound <= 1e-8
        served += int(best.allocation.selected.sum())
    assert served > 4


def test_a_larger_program_agrees() -> None:
    rng = np.random.default_rng(2)
    for _ in range(3):
        problem = random_levels(rng, 8, 6, (4, 3, 2))
        one, tree = solve(problem).certificate, solve(problem, "mip").certificate
        assert tree.cost == pytest.approx(one.cost, rel=1e-7, abs=1e-8)
        assert one.bound <= tree.cost


@pytest.mark.parametrize("seed", range(20))
def test_the_worth_of_an_offer_is_that_of_50_digits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = random_levels(rng, 2, 2, (2, 2, 2))
    offers = problem.offers()
    with mpmath.workdps(50):
        for i, n, j in np.ndindex(2, 2, 2):
            best = -mpmath.inf
            for power in problem.power_w:
                for clock in problem.cpu_hz:
                    found = exact_worth(problem, i, n, float(problem.bandwidth_hz[j]), power, clock)
                    best = max(best, found)
            if best == -mpmath.inf:
                assert offers.value[i, n, j] == -np.inf
            elif best > 0:
                assert abs(mpmath.mpf(float(offers.value[i, n, j])) - best) <= offers.error


def exact_worth(problem: BlockLevels, i: int, n: int, b: float, power: Any, clock: Any) -> Any:
    mp, network = mpmath.mpf, problem.network
    noise = mp(network.interference_w[n]) + mp(network.noise_w_hz[i]) * mp(b)
    heard, bits = mp(float(power)) * mp(network.gain[i, n]), mp(network.upload_bit[i])
    arrives = mpmath.exp(-mp(network.waterfall) * noise / heard)
    airtime = bits / (mp(b) * mpmath.log(1 + heard / noise, 2)) if bits else mp(0)
    waited = mp(0)
    if network.downlink_bit[i]:
        band = mp(network.downlink_band_hz)
        snr = mp(network.downlink_power_w) * mp(network.downlink_gain[i])
        snr /= network.downlink_interference_w + mp(network.noise_w_hz[i]) * band
        waited = mp(network.downlink_bit[i]) / (band * mpmath.log(1 + snr, 2))
    f, cycles = mp(float(clock)), mp(network.cycles[i])
    heat = mp(network.capacitance[i]) * cycles * f**2 if problem.training != "neither" else mp(0)
    work = cycles / f if problem.training == "both" else mp(0)
    energy = mp(float(power)) * airtime + heat
    met = (
        1 - arrives <= problem.error_max
        and waited + work + airtime <= problem.delay_s[i]
        and energy <= problem.energy_j[i]
        and power <= network.power_max_w[i]
    )
    worth = mp(problem.utility[i]) + mp(problem.arrival_utility[i]) * arrives
    return worth - mp(problem.utility_per_j) * energy if met else -mpmath.inf


# published results


def test_published_optimum() -> None:
    solution = solve(published_levels())
    assert solution.certificate.cost == pytest.approx(-LEVEL_CASE["optimum"], rel=1e-14)
    assert solution.certificate.proof == "dual"
    assert solution.certificate.gap <= 1e-12
    decision = solution.allocation
    assert decision.block is not None
    bands = np.searchsorted(published_levels().bandwidth_hz, decision.bandwidth_hz)
    for device, band, block in LEVEL_CASE["selected"]:
        assert (decision.block[device], bands[device]) == (block, band)


# the shape of the optimum, closed forms


def test_the_clock_is_the_slowest_in_time() -> None:
    network = BlockNetwork(
        gain=[[1e-4]], interference_w=[1e-9], power_max_w=1.0, upload_bit=0.0, samples=5,
        band_hz=1e6, cycles=1e9, capacitance=1e-28,
    )  # fmt: skip
    for delay_s, clock in ((3.0, 0.5e9), (1.5, 1e9), (0.5, 2e9)):
        problem = BlockLevels(
            network, [1e6], [0.1], [0.5e9, 1e9, 2e9], 1e6, delay_s, utility_per_j=1.0
        )
        solution = solve(problem)
        assert solution.allocation.cpu_hz[0] == clock
        arrives = math.exp(-1.08 * float(network.disturbance_w()[0, 0]) / 1e-5)
        assert solution.certificate.cost == pytest.approx(0.1 * (clock / 1e9) ** 2 - 5 * arrives)


def test_one_level_of_each_is_an_assignment_of_blocks() -> None:
    network = random_levels(np.random.default_rng(3), 9, 6, (1, 1, 1)).network
    levels = BlockLevels(
        network, [1e6], [0.008], [1e9], math.inf, 2.0, energy_j=0.01, training="neither"
    )
    fields = {field.name: getattr(network, field.name) for field in dataclasses.fields(network)}
    plain = BlockNetwork(**(fields | {"power_max_w": 0.008, "band_hz": 1e6}))
    whole = solve(ResourceBlockAssignment(plain, 2.0, 0.01)).certificate.cost
    assert solve(levels).certificate.cost == pytest.approx(whole, rel=1e-13)
    assert whole < 0.0


def test_nobody_takes_part_where_nothing_is_worth_it() -> None:
    for change in ({"utility": -1e3}, {"delay_s": 1e-6}, {"band_total_hz": 0.5e6},
                   {"participants_max": 0}, {"error_max": 0.0}):  # fmt: skip
        solution = solve(published_levels(**change))
        assert not solution.allocation.selected.any()
        assert solution.certificate.cost == solution.certificate.bound == 0.0


def test_like_devices_and_a_dead_one() -> None:
    problem = published_levels([100.0, 100.0, 100.0, 1e9], [0.5] * 4, blocks=2)
    solution = solve(problem)
    assert int(solution.allocation.selected.sum()) == 2
    assert not solution.allocation.selected[3]
    assert solution.certificate.gap <= 1e-12


# laws


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_no_rule_beats_the_optimum(seed: int) -> None:
    problem = random_levels(np.random.default_rng(seed), 7, 5, (3, 2, 2))
    least = solve(problem).certificate.bound
    for rule in (energy_per_worth, fixed_levels):
        judged = verify(problem, rule(problem))
        assert judged.feasible
        assert judged.cost >= least


@given(st.integers(0, 2**32 - 1), st.floats(1.0, 2.0))
@settings(max_examples=10, deadline=None)
def test_looser_limits_and_more_levels_never_hurt(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    problem = random_levels(rng, 6, 4, (3, 2, 2))
    best = solve(problem).certificate
    for change in (
        {"band_total_hz": factor * problem.band_total_hz},
        {"delay_s": factor * problem.delay_s},
        {"energy_j": factor * problem.energy_j},
        {"participants_max": problem.participants_max + 1},
        {"bandwidth_hz": np.append(problem.bandwidth_hz, 3.5e6)},
        {"power_w": np.append(problem.power_w, 0.018)},
    ):
        assert solve(changed(problem, **change)).certificate.bound <= best.cost


def test_permuting_devices_and_blocks_changes_no_worth() -> None:
    rng = np.random.default_rng(5)
    problem = random_levels(rng, 7, 5, (3, 2, 2))
    devices, blocks = rng.permutation(7), rng.permutation(5)
    fields = {field.name: getattr(problem.network, field.name)
              for field in dataclasses.fields(problem.network)}  # fmt: skip
    for name, value in fields.items():
        if np.ndim(value) == 1:
            fields[name] = value[blocks if name == "interference_w" else devices]
    fields["gain"] = fields["gain"][devices][:, blocks]
    mixed = changed(
        problem, network=BlockNetwork(**fields),
        **{name: getattr(problem, name)[devices]
           for name in ("delay_s", "energy_j", "utility", "arrival_utility")},
    )  # fmt: skip
    one, two = solve(problem).certificate.cost, solve(mixed).certificate.cost
    assert two == pytest.approx(one, rel=1e-13)


def test_is_a_policy() -> None:
    network = fl_opt.Network(
        gain=[1e-10, 4e-11, 9e-12, 1e-13], power_max_w=0.2, cpu_min_hz=1e8, cpu_max_hz=2e9,
        capacitance=1e-28, cycles=2e8, upload_bit=3e5, samples=[600, 400, 800, 100], band_hz=2e6,
    )  # fmt: skip

    def formulate(network: fl_opt.Network) -> BlockLevels:
        blocks = BlockNetwork.from_network(network, [1e-13, 5e-13, 0.0])
        return BlockLevels(blocks, [4e5, 8e5], [0.1, 0.2], [1e9, 2e9], network.band_hz, 1.0)

    policy, rng = fl_opt.Optimised(formulate), np.random.default_rng(0)
    allocation, plan = policy.decide(fl_opt.Round(network, 0, rng), policy.start(4, rng))
    assert plan.note == ""
    assert allocation.selected.sum() == 3
    assert allocation.bandwidth_hz.sum() <= 2e6


# refusals


def test_what_a_wrong_decision_breaks() -> None:
    problem = published_levels()
    best = solve(problem).allocation
    assert "bandwidth_level" in verify(problem, best.replace(bandwidth_hz=1.1e6)).violation
    assert "band" in verify(problem, best.replace(bandwidth_hz=1.2e6)).violation
    assert "cpu_level" in verify(problem, best.replace(cpu_hz=2e9)).violation
    broken = verify(problem, best.replace(power_w=0.02)).violation
    assert {"power_max", "power_level"} <= set(broken)
    assert "packet_error" in verify(problem, best.replace(power_w=0.005)).violation
    fewer = changed(problem, participants_max=3)
    assert set(verify(fewer, best).violation) == {"participants"}
    assert "block" in verify(problem, best.replace(block=np.zeros(5, dtype=int))).violation


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bandwidth_hz": [2e6, 1e6]}, r"bandwidth_hz\[1\] is 1e\+06; expected > 2e\+06"),
        ({"cpu_hz": []}, "cpu_hz.shape is"),
        ({"power_w": [-1.0]}, "power_w"),
        ({"error_max": 1.5}, "error_max is 1.5"),
        ({"participants_max": 1.5}, "participants_max is 1.5; expected a whole number"),
        ({"training": "no"}, "training is 'no'"),
        ({"utility": [1.0, 2.0]}, r"utility.shape is \(2,\)"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        published_levels(**change)


def test_too_many_choices_to_try_are_refused() -> None:
    with pytest.raises(InvalidInput, match="matchings at levels is"):
        solve(published_levels(), "enumerate")
