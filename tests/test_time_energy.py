"""Energy against time: three references, true supporting lines, the shape of the front."""

from __future__ import annotations

import contextlib
import math

import numpy as np
import pytest
from fdma_rounds import cell, mixed
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference import exact, nonlinear

import fl_opt
from benchmarks.instances import draw
from fl_opt import Infeasible, InvalidInput, MinEnergy, MinRoundTime, TimeEnergyTradeoff, solve
from fl_opt.allocation import use
from fl_opt.errors import SolverFailure

seeds = st.integers(0, 10**6)


def tradeoff(seed: int, size: int) -> TimeEnergyTradeoff:
    """A round of `mixed` that some duration suffices for; a second is worth about its power."""
    rng = np.random.default_rng(seed)
    while True:
        network, ends = mixed(seed, size)
        problem = TimeEnergyTradeoff(network, 1.0)
        try:
            problem.span()
        except Infeasible:
            seed += 1_000_003
            continue
        spent = network.capacitance * network.cycles * network.cpu_max_hz**2
        worth = (float(spent.sum()) + 1e-9) / float(ends.max()) * 10.0 ** rng.uniform(-3.0, 2.0)
        return TimeEnergyTradeoff(network, worth)


def certified(problem: TimeEnergyTradeoff) -> fl_opt.Solution[fl_opt.Allocation]:
    solution = solve(problem)
    proof = solution.certificate
    assert proof.feasible, proof.violation
    assert proof.proof == "dual"
    assert proof.gap <= 1e-9
    return solution


def duration(problem: TimeEnergyTradeoff, allocation: fl_opt.Allocation) -> float:
    return float(use(problem.network, allocation).finish_s.max())


# independent methods agree


@settings(max_examples=4, deadline=None)
@given(seeds)
def test_fifty_digits(seed: int) -> None:
    problem = tradeoff(seed, 1)
    solution = certified(problem)
    price = solution.prices["band"]
    assert isinstance(price, float)
    near = duration(problem, solution.allocation)
    assume(0.0 < price < math.inf)
    # durations on both sides must be feasible
    assume(near > 1.001 * solve(MinRoundTime(problem.network)).certificate.cost)
    best = exact.near_tradeoff_j(problem.network, problem.joule_per_s, near, price)
    assert not solution.certificate.bound > best
    assert abs(solution.certificate.cost / best - 1) <= 1e-9


@settings(max_examples=6, deadline=None)
@given(seeds, st.integers(1, 20))
def test_no_reference_finds_anything_better(seed: int, size: int) -> None:
    problem = tradeoff(seed, size)
    bound = certified(problem).certificate.bound
    with contextlib.suppress(SolverFailure):
        theirs = solve(problem, "cvxpy").certificate
        assert not theirs.feasible or theirs.cost >= bound * (1.0 - 1e-11)
    network, rng = draw(seed, min(size, 5)).network, np.random.default_rng(seed)
    cost = nonlinear.least_tradeoff_j(network, problem.joule_per_s, 2, rng)
    ours = certified(TimeEnergyTradeoff(network, problem.joule_per_s)).certificate
    assert cost >= ours.bound * (1.0 - 1e-6)


def test_the_references_mostly_find_the_same() -> None:
    """Fixed rounds: both are numerical, and either may stop short of the optimum."""
    conic, other = [], []
    for seed in range(10):
        network, rng = draw(seed, 1 + seed % 5).network, np.random.default_rng(seed)
        problem = TimeEnergyTradeoff(network, float(10.0 ** rng.uniform(-3.0, 2.0)))
        cost = certified(problem).certificate.cost
        conic.append(solve(problem, "cvxpy").certificate.cost / cost - 1.0)
        theirs = nonlinear.least_tradeoff_j(network, problem.joule_per_s, 3, rng)
        other.append(theirs / cost - 1.0)
    for apart in (conic, other):
        assert np.median(np.abs(apart)) < 1e-8
        assert np.sum(np.abs(apart) < 1e-5) >= 8


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(1, 40), st.floats(-4.0, 2.0))
def test_the_published_law_is_solved_to_a_billionth(seed: int, size: int, power: float) -> None:
    certified(TimeEnergyTradeoff(draw(seed, size).network, 10.0**power))


@settings(max_examples=10, deadline=None)
@given(seeds, st.integers(1, 6))
def test_no_deadline_of_a_grid_is_better(seed: int, size: int) -> None:
    problem = tradeoff(seed, size)
    solution = certified(problem)
    best = duration(problem, solution.allocation)
    for factor in np.geomspace(0.5, 2.0, 21):
        try:
            inner = solve(MinEnergy(problem.network, best * float(factor)))
        except Infeasible:
            continue
        assert problem.cost(inner.allocation) >= solution.certificate.bound


# a supporting line is never false


@settings(max_examples=10, deadline=None)
@given(seeds, st.integers(1, 4))
def test_a_line_supports_the_cost_everywhere(seed: int, size: int) -> None:
    problem = tradeoff(seed, size)
    shortest = solve(MinRoundTime(problem.network)).certificate.cost
    assume(shortest > 0.0)
    ends = shortest * np.geomspace(1.0 + 1e-9, 30.0, 7)
    found = [solve(problem.inner(float(x))) for x in ends]
    costs = [s.certificate.cost + problem.joule_per_s * x for s, x in zip(found, ends, strict=True)]
    for x, solution in zip(ends, found, strict=True):
        line = problem.line(float(x), solution, float(ends[-1]))
        for other, cost in zip(ends, costs, strict=True):
            assert line.value + line.slope * (other - line.at) <= cost * (1.0 + 1e-12)


# the known shape


def test_the_front_is_convex_and_its_slopes_are_the_weights() -> None:
    network = draw(12, 20).network
    # a worth of a second at which energy and time are of one size
    scale = solve(MinRoundTime(network))
    joule = float(use(network, scale.allocation).energy_j.sum())
    weights = joule / scale.certificate.cost * np.geomspace(1e-5, 1.0, 9)
    points = []
    for weight in weights:
        problem = TimeEnergyTradeoff(network, float(weight))
        allocation = certified(problem).allocation
        points.append(
            (duration(problem, allocation), float(use(network, allocation).energy_j.sum()))
        )
    time, energy = np.array(points).T
    assert np.all(np.diff(time) <= 1e-9 * time[1:])
    assert np.all(np.diff(energy) >= -1e-9 * energy[1:])
    steep = -np.diff(energy) / np.diff(time)
    assert np.all(steep >= weights[:-1] * (1.0 - 1e-6))
    assert np.all(steep <= weights[1:] * (1.0 + 1e-6))


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_the_price_of_the_deadline_is_the_worth_of_a_second(seed: int) -> None:
    problem = TimeEnergyTradeoff(draw(seed, 4).network, 0.05)
    solution = certified(problem)
    best = duration(problem, solution.allocation)
    shortest = solve(MinRoundTime(problem.network)).certificate.cost
    assume(best > shortest * (1.0 + 1e-4))
    price = float(np.sum(np.asarray(solution.prices["deadline"])))
    assert price == pytest.approx(problem.joule_per_s, rel=1e-3)


def test_ever_dearer_time_approaches_the_shortest_round() -> None:
    network = cell(energy_j=0.05)
    shortest = solve(MinRoundTime(network)).certificate.cost
    problem = TimeEnergyTradeoff(network, 1e6)
    best = duration(problem, certified(problem).allocation)
    assert best == pytest.approx(shortest, rel=1e-4)
    assert best >= shortest * (1.0 - 1e-9)


def test_ever_cheaper_time_approaches_the_least_energy() -> None:
    network = cell()
    heat = 3 * 1e-28 * 2e8 * 1e8**2
    floor = float(np.sum(network.noise_w_hz * 3e5 * math.log(2.0) / network.gain))
    problem = TimeEnergyTradeoff(network, 1e-9)
    allocation = certified(problem).allocation
    energy = float(use(network, allocation).energy_j.sum())
    assert heat + floor < energy < 1.01 * (heat + floor)


# corner cases


def test_nobody_sends() -> None:
    """One device: kappa C^3/T^2 + lambda T is least at T = (2 kappa C^3/lambda)^(1/3)."""
    network = cell(upload_bit=0.0, cpu_min_hz=0.0)[[0]]
    problem = TimeEnergyTradeoff(network, 0.01)
    best = duration(problem, certified(problem).allocation)
    assert best == pytest.approx((2.0 * 1e-28 * 8e24 / 0.01) ** (1.0 / 3.0), rel=1e-6)


def test_nobody_does_anything() -> None:
    network = cell(upload_bit=0.0, cycles=0.0)
    assert solve(TimeEnergyTradeoff(network, 0.1)).certificate.cost == 0.0


def test_nobody_trains() -> None:
    problem = TimeEnergyTradeoff(cell(cycles=0.0), 0.1)
    allocation = certified(problem).allocation
    used = use(problem.network, allocation)
    np.testing.assert_allclose(used.airtime_s, duration(problem, allocation), rtol=1e-9)


def test_a_device_without_payload_sets_the_time() -> None:
    problem = TimeEnergyTradeoff(cell(cycles=[1e7, 1.9e9, 1e7], upload_bit=[1e5, 0.0, 1e5]), 1e3)
    best = duration(problem, certified(problem).allocation)
    assert best == pytest.approx(0.95, rel=1e-6)


# laws


@settings(max_examples=8, deadline=None)
@given(seeds, st.permutations(range(5)))
def test_permuting_devices_permutes_the_answer(seed: int, order: list[int]) -> None:
    problem = tradeoff(seed, 5)
    one, two = (
        solve(TimeEnergyTradeoff(network, problem.joule_per_s)).certificate.cost
        for network in (problem.network, problem.network[order])
    )
    assert two == pytest.approx(one, rel=1e-10)


@settings(max_examples=4, deadline=None)
@given(seeds, st.floats(1.0, 5.0))
def test_more_of_anything_never_hurts(seed: int, more: float) -> None:
    problem = tradeoff(seed, 4)
    network, worth = problem.network, problem.joule_per_s
    least = solve(problem).certificate.cost
    for better in (
        network.replace(band_hz=network.band_hz * more),
        network.replace(energy_j=network.energy_j * more),
        network.replace(cpu_max_hz=network.cpu_max_hz * more),
        network.replace(gain=network.gain * more),
    ):
        assert solve(TimeEnergyTradeoff(better, worth)).certificate.bound <= least


# refusals


@pytest.mark.parametrize("worth", [0.0, -1.0, math.nan, math.inf])
def test_refuses_a_worthless_second(worth: float) -> None:
    with pytest.raises(InvalidInput, match="joule_per_s"):
        TimeEnergyTradeoff(cell(), worth)


def test_impossible_is_an_answer() -> None:
    with pytest.raises(Infeasible, match="device 1 needs more than") as answer:
        solve(TimeEnergyTradeoff(cell(energy_j=[1.0, 1e-6, 1.0]), 0.1))
    assert answer.value.constraint == "energy"
    cure = answer.value.relaxations["energy_j"]
    assert cure is not None
    cured = cell(energy_j=[1.0, cure, 1.0])
    assert solve(TimeEnergyTradeoff(cured, 0.1)).certificate.feasible
