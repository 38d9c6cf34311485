"""Least energy by a deadline: three references, true bounds, known shapes, corners, cures."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fdma_rounds import cell, feasible, published
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from reference import exact, nonlinear

import fl_opt
from benchmarks.instances import binding, draw
from fl_opt import Infeasible, InvalidInput, MinEnergy, Network, solve
from fl_opt.allocation import use
from fl_opt.errors import SolverFailure
from fl_opt.problems._conic import FdmaProgram

CASES = Path(__file__).parent / "cases"
seeds = st.integers(0, 10**6)


def certified(problem: MinEnergy, gap: float = 1e-9) -> fl_opt.Solution[fl_opt.Allocation]:
    solution = solve(problem)
    proof = solution.certificate
    assert proof.feasible, proof.violation
    assert proof.proof == "dual"
    assert proof.gap <= gap
    return solution


# independent methods agree


@settings(max_examples=12, deadline=None)
@given(seeds, st.integers(1, 3))
def test_fifty_digits(seed: int, size: int) -> None:
    problem = feasible(seed, size)
    solution = certified(problem)
    price = solution.prices["band"]
    assert isinstance(price, float)
    best = exact.least_energy_j(problem.network, problem.deadline_s, price)
    proof = solution.certificate
    assert not proof.bound > best
    assert best == 0 or abs(proof.cost / best - 1) <= 1e-9


@settings(max_examples=8, deadline=None)
@given(seeds, st.integers(1, 30))
def test_no_reference_finds_anything_better(seed: int, size: int) -> None:
    problem = feasible(seed, size)
    bound = certified(problem).certificate.bound
    with contextlib.suppress(SolverFailure):
        theirs = solve(problem, "cvxpy").certificate
        assert theirs.proof == "none"
        assert not theirs.feasible or theirs.cost >= bound * (1.0 - 1e-11)
    problem, rng = published(seed, min(size, 6)), np.random.default_rng(seed)
    cost = nonlinear.least_energy_j(problem.network, problem.deadline_s, 2, rng)
    assert cost >= certified(problem).certificate.bound * (1.0 - 1e-6)


def test_the_references_mostly_find_the_same() -> None:
    """Fixed rounds: both are numerical, and either may stop short of the optimum."""
    conic, other = [], []
    for seed in range(10):
        problem, rng = published(seed, 1 + seed % 6), np.random.default_rng(seed)
        cost = certified(problem).certificate.cost
        conic.append(solve(problem, "cvxpy").certificate.cost / cost - 1.0)
        theirs = nonlinear.least_energy_j(problem.network, problem.deadline_s, 3, rng)
        other.append(theirs / cost - 1.0)
    for apart in (conic, other):
        assert np.median(np.abs(apart)) < 1e-9
        assert np.sum(np.abs(apart) < 1e-5) >= 8


def test_the_conic_program_is_as_exact_as_its_solver_where_numbers_are_tame() -> None:
    problem = MinEnergy(cell(energy_j=[0.002, math.inf, 0.0014]), [1.0, 1.2, 0.9])
    ours, theirs = certified(problem), solve(problem, "cvxpy")
    assert theirs.certificate.feasible
    assert theirs.certificate.cost == pytest.approx(ours.certificate.cost, rel=1e-9)
    np.testing.assert_allclose(
        theirs.allocation.bandwidth_hz, ours.allocation.bandwidth_hz, rtol=1e-3
    )


def test_the_conic_program_takes_new_data_without_being_built_again() -> None:
    program = FdmaProgram(cell(), 1.0)
    assert program.program.is_dcp(dpp=True)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        network = cell(gain=10.0 ** rng.uniform(-11.5, -9.5, 3), band_hz=rng.uniform(1e6, 3e6))
        program.load(network, 1.5)
        program.program.solve(solver="CLARABEL", warm_start=False)
        problem = MinEnergy(network, 1.5)
        found = fl_opt.verify(problem, program.decision())
        assert found.feasible
        assert found.cost == pytest.approx(certified(problem).certificate.cost, rel=1e-8)
    with pytest.raises(InvalidInput, match="limited like those it was built for"):
        program.load(cell(energy_j=1.0), 1.0)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_the_published_law_is_solved_to_a_billionth(seed: int) -> None:
    certified(published(seed, draw(seed).network.size))


# proofs are tight, and never false


@settings(max_examples=10, deadline=None)
@given(seeds, st.integers(1, 2), st.floats(-3.0, 3.0), st.floats(-9.0, 0.0))
def test_a_bound_at_wrong_prices_and_points_is_never_false(
    seed: int, size: int, factor: float, error: float
) -> None:
    problem = feasible(seed, size)
    solution = solve(problem)
    right = solution.prices["band"]
    assert isinstance(right, float)
    assume(0.0 < right < math.inf)
    best = exact.least_energy_j(problem.network, problem.deadline_s, right)
    rng = np.random.default_rng(seed)
    price = right * 10.0**factor
    response = problem.respond(price)
    assert not problem.dual(price, response)[0] > best
    point = response.point
    noise = np.exp(10.0**error * rng.standard_normal((2, point.b.size)))
    part = problem.uplink.part
    u = np.clip(point.u * noise[0], part.train_low, np.minimum(part.train_high, part.deadline))
    u = np.minimum(u, part.deadline * (1.0 - 1e-9))
    moved = type(point)(part.deadline - u, u, point.b * noise[1])
    for asked in (0.0, price, right):
        other = replace(response, point=moved)
        assert not problem.dual(asked, other)[0] > best


@settings(max_examples=40, deadline=None)
@given(seeds, st.floats(-4.0, 4.0))
@example(33941, -2.4375)  # a demand of 66,000 bands
def test_any_price_settles_to_a_feasible_decision(seed: int, factor: float) -> None:
    problem = feasible(seed, 4)
    price = problem.price_guess() * 10.0**factor
    decision = problem.settle(problem.respond(price))
    verdict = fl_opt.verify(problem, decision)
    assert verdict.feasible, verdict.violation
    assert verdict.cost >= solve(problem).certificate.bound


# the known shape of the optimum


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_nobody_wastes_band_or_time(seed: int) -> None:
    problem = published(seed, 6)
    allocation = certified(problem).allocation
    assert binding(problem.network, allocation)["band"].all()
    finish = use(problem.network, allocation).finish_s
    np.testing.assert_allclose(finish, float(np.max(problem.deadline_s)), rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_prices_are_complementary(seed: int) -> None:
    problem = published(seed, 12)
    solution = certified(problem)
    uses = binding(problem.network, solution.allocation, 2e-6)
    for name in ("power_max", "cpu_min", "cpu_max", "energy"):
        price = np.asarray(solution.prices[name])
        assert np.all(price >= 0.0)
        assert not np.any(price[~uses[name]] > 0.0), name


# a published case and closed forms


def test_published_case_of_ten_devices() -> None:
    """Least upload energy for given upload times: training takes exactly the rest of a second."""
    case = json.loads((CASES / "fdma_energy_N10.json").read_text(encoding="utf-8"))
    clock = 1e9
    network = Network(
        gain=case["g"],
        power_max_w=1e6,
        cpu_min_hz=clock,
        cpu_max_hz=clock,
        capacitance=0.0,
        cycles=clock * (1.0 - np.array(case["t"])),
        upload_bit=case["s_bits"],
        samples=1,
        band_hz=case["B_Hz"],
        noise_w_hz=case["N0_W_per_Hz"],
    )
    solution = certified(MinEnergy(network, 1.0), 1e-12)
    assert solution.certificate.cost == pytest.approx(case["optimum_J"], rel=1e-12)
    np.testing.assert_allclose(solution.allocation.bandwidth_hz, case["opt_b_Hz"], rtol=1e-6)


def test_identical_devices_share_equally() -> None:
    network = cell(gain=4e-11)[[0] * 8]
    allocation = certified(MinEnergy(network, 1.0)).allocation
    np.testing.assert_allclose(allocation.bandwidth_hz, network.band_hz / 8, rtol=1e-9)


def test_one_device_takes_all_and_minimises_over_time() -> None:
    network = cell(gain=1e-12)[[0]]
    solution = certified(MinEnergy(network, 1.0))
    assert solution.allocation.bandwidth_hz[0] == pytest.approx(network.band_hz, rel=1e-12)
    t = np.linspace(0.01, 0.89, 200_001)
    nats = 3e5 * math.log(2.0)
    noise = float(network.noise_w_hz[0]) / 1e-12
    upload = t * 2e6 * noise * np.expm1(nats / (t * 2e6))
    total = upload + 1e-28 * (2e8) ** 3 / (1.0 - t) ** 2
    power = upload / t
    assert solution.certificate.cost == pytest.approx(float(total[power <= 0.2].min()), rel=1e-8)


def test_an_abundant_band_approaches_the_floor_of_the_upload() -> None:
    """(e^x - 1)/x is 1 + x/2 for small x, and x goes with the inverse of the band."""
    over = []
    for band_hz in (1e13, 1e17):
        network = cell(band_hz=band_hz)
        spent = use(network, certified(MinEnergy(network, 1.0)).allocation).upload_j
        floor = network.noise_w_hz * 3e5 * math.log(2.0) / network.gain
        over.append(spent / floor - 1.0)
    assert np.all(over[1] > 0.0)
    np.testing.assert_allclose(over[0], 1e4 * over[1], rtol=1e-2)


# corner cases (a table with their right answers)


def test_without_payload_training_is_as_slow_as_may_be() -> None:
    network = cell(upload_bit=[0.0, 3e5, 3e5], cycles=[2e8, 2e8, 1e7])
    solution = certified(MinEnergy(network, [4.0, 1.0, 1.0]))
    allocation = solution.allocation
    assert allocation.bandwidth_hz[0] == 0.0
    assert allocation.power_w[0] == 0.0
    assert allocation.cpu_hz[0] == 1e8
    assert use(network, allocation).finish_s[0] == pytest.approx(2.0)
    quick = certified(MinEnergy(network, [0.5, 1.0, 1.0])).allocation
    assert quick.cpu_hz[0] == pytest.approx(4e8)


def test_nobody_sends() -> None:
    solution = certified(MinEnergy(cell(upload_bit=0.0), 1.0))
    assert solution.prices["band"] == 0.0
    assert solution.certificate.cost == pytest.approx(3 * 1e-28 * 2e8 * (2e8) ** 2, rel=1e-15)
    assert solution.allocation.bandwidth_hz.sum() == 0.0


def test_nobody_trains() -> None:
    network = cell(cycles=0.0)
    solution = certified(MinEnergy(network, 1.0))
    used = use(network, solution.allocation)
    np.testing.assert_allclose(used.airtime_s, 1.0, rtol=1e-12)
    assert used.training_j.sum() == 0.0


def test_training_takes_all_the_time() -> None:
    with pytest.raises(Infeasible, match="device 0 trains for 100 ms") as answer:
        solve(MinEnergy(cell(), 0.1))
    assert answer.value.constraint == "deadline"


def test_a_slowest_clock_above_the_optimum() -> None:
    network = cell(cpu_min_hz=1.9e9)
    solution = certified(MinEnergy(network, 1.0))
    np.testing.assert_allclose(solution.allocation.cpu_hz, 1.9e9)
    used = use(network, solution.allocation)
    np.testing.assert_allclose(used.airtime_s, 1.0 - 2e8 / 1.9e9, rtol=1e-12)
    assert np.all(np.asarray(solution.prices["cpu_min"]) > 0.0)


def test_just_enough_band() -> None:
    network = cell()
    needed = float(MinEnergy(network, 0.5).uplink.least_hz.sum())
    solution = solve(MinEnergy(network.replace(band_hz=needed), 0.5))
    assert solution.certificate.feasible
    assert solution.certificate.gap <= 1e-9
    assert solution.prices["band"] == math.inf
    np.testing.assert_allclose(solution.allocation.cpu_hz, 2e9, rtol=1e-12)
    np.testing.assert_allclose(solution.allocation.power_w, 0.2, rtol=1e-12)


def test_a_huge_spectral_efficiency_is_infinite_energy_without_a_warning() -> None:
    problem = MinEnergy(cell(), 1.0)
    decision = solve(problem).allocation.replace(bandwidth_hz=200.0, upload_s=None)
    with np.errstate(all="raise", under="ignore"):
        assert "deadline" in fl_opt.verify(problem, decision).violation


def test_power_without_a_limit() -> None:
    certified(MinEnergy(cell(power_max_w=math.inf), 1.0))


@pytest.mark.slow
def test_a_million_devices() -> None:
    one = published(2, 3)
    network = one.network[np.arange(10**6) % 3]
    network = network.replace(band_hz=one.network.band_hz * 10**6 / 3)
    proof = solve(MinEnergy(network, one.deadline_s)).certificate
    assert proof.feasible
    assert proof.gap <= 1e-9
    assert proof.cost == pytest.approx(solve(one).certificate.cost * 10**6 / 3, rel=1e-5)
