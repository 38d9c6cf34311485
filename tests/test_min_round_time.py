"""Shortest synchronous round: three references, true brackets, known shapes, corners, cures."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
import pytest
from fdma_rounds import cell, mixed
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference import exact, nonlinear

import fl_opt
from benchmarks.instances import binding, draw
from fl_opt import Infeasible, InvalidInput, MinRoundTime, solve
from fl_opt.allocation import use
from fl_opt.errors import SolverFailure
from fl_opt.problems.uplink import Uplink

seeds = st.integers(0, 10**6)


def round_of(seed: int, size: int) -> MinRoundTime:
    """A round of `mixed` in which somebody sends and that some duration suffices for."""
    while True:
        network, _ = mixed(seed, size)
        problem = MinRoundTime(network)
        try:
            problem.bracket()
        except Infeasible:
            seed += 1_000_003
        else:
            return problem


def certified(problem: MinRoundTime) -> fl_opt.Solution[fl_opt.Allocation]:
    solution = solve(problem)
    proof = solution.certificate
    assert proof.feasible, proof.violation
    assert proof.proof == "bracket"
    assert proof.gap <= 1e-9
    return solution


# independent methods agree


@settings(max_examples=12, deadline=None)
@given(seeds, st.integers(1, 3))
def test_fifty_digits(seed: int, size: int) -> None:
    problem = round_of(seed, size)
    proof = certified(problem).certificate
    assume(proof.cost > 0.0)
    best = exact.shortest_round_s(problem.network, proof.cost)
    assert not proof.bound > best
    assert abs(proof.cost / best - 1) <= 1e-9


@settings(max_examples=8, deadline=None)
@given(seeds, st.integers(1, 30))
def test_no_reference_finds_anything_better(seed: int, size: int) -> None:
    problem = round_of(seed, size)
    bound = certified(problem).certificate.bound
    with contextlib.suppress(SolverFailure):
        theirs = solve(problem, "cvxpy").certificate
        assert not theirs.feasible or theirs.cost >= bound * (1.0 - 1e-11)
    network, rng = draw(seed, min(size, 6)).network, np.random.default_rng(seed)
    cost = nonlinear.shortest_round_s(network, 2, rng)
    assert cost >= certified(MinRoundTime(network)).certificate.bound * (1.0 - 1e-6)


def test_the_references_mostly_find_the_same() -> None:
    """Fixed rounds: both are numerical, and either may stop short of the optimum."""
    conic, other = [], []
    for seed in range(10):
        network, rng = draw(seed, 1 + seed % 6).network, np.random.default_rng(seed)
        problem = MinRoundTime(network)
        cost = certified(problem).certificate.cost
        conic.append(solve(problem, "cvxpy").certificate.cost / cost - 1.0)
        other.append(nonlinear.shortest_round_s(network, 3, rng) / cost - 1.0)
    for apart in (conic, other):
        assert np.median(np.abs(apart)) < 1e-7
        assert np.sum(np.abs(apart) < 1e-4) >= 8


def test_the_conic_program_is_as_exact_as_its_solver_where_numbers_are_tame() -> None:
    problem = MinRoundTime(cell(energy_j=[0.02, math.inf, 0.01]))
    ours, theirs = certified(problem), solve(problem, "cvxpy")
    assert theirs.certificate.feasible
    assert theirs.certificate.cost == pytest.approx(ours.certificate.cost, rel=1e-8)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_the_published_law_is_solved_to_a_billionth(seed: int) -> None:
    certified(MinRoundTime(draw(seed).network))


# a refutation is never false


@settings(max_examples=8, deadline=None)
@given(seeds, st.integers(1, 2), st.floats(-14.0, -1.0))
def test_no_attainable_time_is_refuted_and_no_refuted_one_attained(
    seed: int, size: int, power: float
) -> None:
    problem = round_of(seed, size)
    best = float(exact.shortest_round_s(problem.network, certified(problem).certificate.cost))
    assume(best > 0.0)
    for shift in (-(10.0**power), 0.0, 10.0**power):
        attempt = problem.attain(best * (1.0 + shift))
        assert not (attempt.refuted and attempt.decision is not None)
        if shift > 1e-15:
            assert not attempt.refuted
        if attempt.decision is not None:
            assert fl_opt.verify(problem, attempt.decision).feasible
            assert problem.cost(attempt.decision) <= best * (1.0 + shift) * (1.0 + 1e-12)
            # a decision shorter than the optimum would refute the reference
            assert shift > -1e-12


# the known shape of the optimum


def test_with_unlimited_energy_all_run_at_full_speed_and_finish_together() -> None:
    """Shi, Zhou, Niu, Jiang, Geng, IEEE TWC 2021, arXiv 2007.07174."""
    network = cell()
    solution = certified(MinRoundTime(network))
    allocation, used = solution.allocation, use(network, solution.allocation)
    np.testing.assert_allclose(allocation.cpu_hz, network.cpu_max_hz, rtol=1e-12)
    np.testing.assert_allclose(allocation.power_w, network.power_max_w, rtol=1e-9)
    np.testing.assert_allclose(used.finish_s, solution.certificate.cost, rtol=1e-9)
    assert binding(network, allocation)["band"].all()


def test_weaker_channels_and_slower_clocks_get_more_band() -> None:
    network = cell(gain=[1e-10, 1e-10, 1e-11], cpu_max_hz=[2e9, 1e9, 2e9])
    band = certified(MinRoundTime(network)).allocation.bandwidth_hz
    assert band[1] > band[0]
    assert band[2] > band[0]


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_little_energy_trains_slowly(seed: int) -> None:
    network = draw(seed, 5).network
    rich = certified(MinRoundTime(network.replace(energy_j=math.inf)))
    poor = certified(MinRoundTime(network))
    assert poor.certificate.cost >= rich.certificate.bound
    assert np.all(use(network, poor.allocation).energy_j <= network.energy_j * (1.0 + 1e-12))


# closed forms


def test_one_device_has_the_band_for_itself() -> None:
    network = cell(gain=1e-11, cpu_max_hz=2e9)[[0]]
    rate = 2e6 * math.log2(1.0 + 1e-11 * 0.2 / (float(network.noise_w_hz[0]) * 2e6))
    cost = certified(MinRoundTime(network)).certificate.cost
    assert cost == pytest.approx(0.1 + 3e5 / rate, rel=1e-11)


def test_identical_devices_share_equally() -> None:
    network = cell(gain=1e-11, cpu_max_hz=2e9)[[0] * 5]
    solution = certified(MinRoundTime(network))
    rate = 4e5 * math.log2(1.0 + 1e-11 * 0.2 / (float(network.noise_w_hz[0]) * 4e5))
    assert solution.certificate.cost == pytest.approx(0.1 + 3e5 / rate, rel=1e-11)
    np.testing.assert_allclose(solution.allocation.bandwidth_hz, 4e5, rtol=1e-9)


# corner cases


def test_the_slowest_device_uploads_nothing() -> None:
    network = cell(cycles=[2e8, 4e9, 2e8], upload_bit=[3e5, 0.0, 3e5])
    solution = certified(MinRoundTime(network))
    assert solution.certificate.cost == pytest.approx(2.0, rel=1e-11)
    assert solution.allocation.bandwidth_hz.sum() < 0.5 * network.band_hz
    assert solution.prices["band"] == 0.0


def test_nobody_sends() -> None:
    solution = certified(MinRoundTime(cell(upload_bit=0.0)))
    assert solution.certificate.cost == pytest.approx(0.1, rel=1e-11)
    assert solution.prices["band"] == 0.0


def test_nobody_trains() -> None:
    network = cell(cycles=0.0)
    solution = certified(MinRoundTime(network))
    np.testing.assert_allclose(
        use(network, solution.allocation).airtime_s, solution.certificate.cost, rtol=1e-9
    )


def test_power_without_a_limit_where_energy_has_one() -> None:
    network = cell(power_max_w=math.inf, energy_j=0.05)
    solution = certified(MinRoundTime(network))
    np.testing.assert_allclose(use(network, solution.allocation).energy_j, 0.05, rtol=1e-9)


def test_an_energy_that_is_hardly_enough_makes_a_long_round() -> None:
    network = cell()[[2]]
    heat = 1e-28 * 2e8 * 1e8**2
    floor = float(network.noise_w_hz[0]) * 3e5 * math.log(2.0) / 9e-12
    quick = certified(MinRoundTime(network.replace(energy_j=(heat + floor) * 2.0)))
    slow = certified(MinRoundTime(network.replace(energy_j=(heat + floor) * 1.001)))
    assert slow.certificate.cost > 1.9 > quick.certificate.cost


# laws


@settings(max_examples=15, deadline=None)
@given(seeds, st.permutations(range(6)))
def test_permuting_devices_permutes_the_answer(seed: int, order: list[int]) -> None:
    problem = round_of(seed, 6)
    one, two = solve(problem), solve(MinRoundTime(problem.network[order]))
    assert two.certificate.cost == pytest.approx(one.certificate.cost, rel=1e-10)


@settings(max_examples=15, deadline=None)
@given(seeds, st.floats(1.0, 5.0))
def test_more_of_anything_never_hurts(seed: int, more: float) -> None:
    network = round_of(seed, 4).network
    least = solve(MinRoundTime(network)).certificate.cost
    for better in (
        network.replace(band_hz=network.band_hz * more),
        network.replace(energy_j=network.energy_j * more),
        network.replace(power_max_w=network.power_max_w * more),
        network.replace(cpu_max_hz=network.cpu_max_hz * more),
        network.replace(cpu_min_hz=network.cpu_min_hz / more),
        network.replace(gain=network.gain * more),
        network[1:],
    ):
        assert solve(MinRoundTime(better)).certificate.bound <= least


@settings(max_examples=15, deadline=None)
@given(seeds, st.integers(-6, 6), st.integers(-6, 6))
def test_units_do_not_matter(seed: int, seconds: int, joules: int) -> None:
    network = round_of(seed, 3).network
    t, e = 2.0**seconds, 2.0**joules
    other = network.replace(
        band_hz=network.band_hz / t,
        noise_w_hz=network.noise_w_hz * e,
        power_max_w=network.power_max_w * e / t,
        energy_j=network.energy_j * e,
        cpu_min_hz=network.cpu_min_hz / t,
        cpu_max_hz=network.cpu_max_hz / t,
        capacitance=network.capacitance * e * t * t,
    )
    one, two = solve(MinRoundTime(network)).certificate, solve(MinRoundTime(other)).certificate
    assert two.feasible
    assert two.cost == pytest.approx(one.cost * t, rel=1e-10)


@settings(max_examples=8, deadline=None)
@given(seeds)
def test_a_price_is_what_a_further_unit_saves(seed: int) -> None:
    network = draw(seed, 3).network
    solution = certified(MinRoundTime(network))
    cost, step = solution.certificate.cost, 1e-5

    def time(**changes: Any) -> float:
        return solve(MinRoundTime(network.replace(**changes))).certificate.cost

    fields = {"band": "band_hz", "energy": "energy_j", "power_max": "power_max_w"}
    for name, price in solution.prices.items():
        limits = np.atleast_1d(getattr(network, fields[name]))
        prices = np.broadcast_to(np.asarray(price, dtype=float), limits.shape)
        for k, (limit, per_unit) in enumerate(zip(limits, prices, strict=True)):
            if math.isinf(limit):
                continue
            more, less = np.array(limits), np.array(limits)
            more[k], less[k] = limit * (1.0 + step), limit * (1.0 - step)
            changed = [x if x.size > 1 or name != "band" else float(x[0]) for x in (more, less)]
            paid = float(per_unit) * float(limit) * step
            noise = 1e-3 * paid + 2e-9 * cost
            assert cost - time(**{fields[name]: changed[0]}) <= paid + noise, name
            try:
                lost = time(**{fields[name]: changed[1]}) - cost
            except Infeasible:
                continue
            assert lost >= paid - noise, name


def test_an_earlier_solution_is_a_start() -> None:
    network = draw(7, 100).network
    first = solve(MinRoundTime(network))
    nearby = MinRoundTime(network.replace(band_hz=network.band_hz * 1.01))
    again, cold = solve(nearby, start=first), solve(nearby)
    assert again.certificate.gap <= 1e-9
    assert again.certificate.cost == pytest.approx(cold.certificate.cost, rel=1e-10)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_the_least_bandwidths_fill_the_band(seed: int) -> None:
    network = draw(seed, 5).network
    solution = certified(MinRoundTime(network))
    needed = Uplink(network, solution.certificate.cost).least_hz.sum()
    assert needed <= network.band_hz * (1.0 + 1e-12)
    earlier = Uplink(network, solution.certificate.bound * (1.0 - 1e-9)).least_hz.sum()
    assert earlier > network.band_hz


# refusals with their cures


@pytest.mark.parametrize(
    ("changes", "constraint", "devices", "text"),
    [
        ({"gain": [1e-10, 0.0, 1e-12]}, "power_max", [1], "device 1 has gain 0 and cannot upload"),
        ({"power_max_w": [0.0, 0.2, 0.0]}, "power_max", [0, 2], "device 0 has power_max_w 0"),
        (
            {"energy_j": [1.0, 1e-6, 1e-7]},
            "energy",
            [1, 2],
            r"device 1 needs more than .* to train at its slowest clock and upload, however long",
        ),
        ({"band_hz": 0.0}, "band", [0, 1, 2], "band_hz is 0 Hz and nothing can be uploaded"),
    ],
)
def test_impossible_is_an_answer(
    changes: dict[str, Any], constraint: str, devices: list[int], text: str
) -> None:
    problem = MinRoundTime(cell(**changes))
    with pytest.raises(Infeasible, match=text) as answer:
        solve(problem)
    assert answer.value.constraint == constraint
    np.testing.assert_array_equal(answer.value.devices, devices)
    for name, value in answer.value.relaxations.items():
        if value is None:
            continue
        limit = np.maximum(getattr(problem.network, name), value)
        cured = problem.network.replace(**{name: float(limit) if name == "band_hz" else limit})
        MinRoundTime(cured).bracket()
        if name == "energy_j":
            assert solve(MinRoundTime(cured)).certificate.feasible
            short = problem.network.replace(energy_j=np.maximum(1e-9, 0.999 * limit))
            with pytest.raises(Infeasible):
                solve(MinRoundTime(short))
    with pytest.raises(Infeasible):
        solve(problem, "cvxpy")


def test_refuses_a_race_without_limits() -> None:
    with pytest.raises(InvalidInput, match=r"power_max_w\[1\] is inf W.*a finite power or energy"):
        MinRoundTime(cell(power_max_w=[0.2, math.inf, 0.2]))
    MinRoundTime(cell(power_max_w=math.inf, upload_bit=0.0))
