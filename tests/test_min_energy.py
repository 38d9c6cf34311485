"""Least energy by a deadline: three references, true bounds, known shapes, corners, cures."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fdma_rounds import feasible, mixed, published
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference import exact, nonlinear

import fl_opt
from benchmarks.instances import binding, draw
from fl_opt import Infeasible, InvalidInput, MinEnergy, Network, solve
from fl_opt.allocation import use
from fl_opt.errors import SolverFailure
from fl_opt.problems._conic import FdmaProgram
from fl_opt.problems.uplink import Response

CASES = Path(__file__).parent / "cases"
seeds = st.integers(0, 10**6)


def cell(**changes: Any) -> Network:
    values: dict[str, Any] = {
        "gain": [1e-10, 4e-11, 9e-12],
        "power_max_w": 0.2,
        "cpu_min_hz": 1e8,
        "cpu_max_hz": 2e9,
        "capacitance": 1e-28,
        "cycles": 2e8,
        "upload_bit": 3e5,
        "samples": 1,
        "band_hz": 2e6,
    }
    return Network(**values | changes)


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
def test_the_conic_program(seed: int, size: int) -> None:
    problem = feasible(seed, size)
    ours = certified(problem).certificate
    try:
        theirs = solve(problem, "cvxpy").certificate
    except SolverFailure:
        assume(False)
    assume(theirs.feasible)
    assert theirs.proof == "none"
    assert theirs.cost >= ours.bound * (1.0 - 1e-11)
    assert theirs.cost <= ours.cost * (1.0 + 1e-4)


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


@settings(max_examples=8, deadline=None)
@given(seeds, st.integers(1, 6))
def test_sequential_quadratic_programming(seed: int, size: int) -> None:
    problem = published(seed, size)
    ours, rng = certified(problem).certificate, np.random.default_rng(seed)
    theirs = nonlinear.least_energy_j(problem.network, problem.deadline_s, 3, rng)
    assert theirs >= ours.bound * (1.0 - 1e-6)
    assert math.isinf(theirs) or theirs <= ours.cost * (1.0 + 1e-5)


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
        other = Response(moved, response.demand, response.slope, response.warm)
        assert not problem.dual(asked, other)[0] > best


@settings(max_examples=40, deadline=None)
@given(seeds, st.floats(-4.0, 4.0))
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


# laws


@settings(max_examples=25, deadline=None)
@given(seeds, st.permutations(range(6)))
def test_permuting_devices_permutes_the_answer(seed: int, order: list[int]) -> None:
    problem = feasible(seed, 6)
    ends = np.broadcast_to(problem.deadline_s, 6)
    one = solve(problem)
    two = solve(MinEnergy(problem.network[order], ends[order]))
    assert two.certificate.cost == pytest.approx(one.certificate.cost, rel=1e-10)
    np.testing.assert_allclose(
        two.allocation.bandwidth_hz, one.allocation.bandwidth_hz[order], rtol=1e-6
    )


@settings(max_examples=25, deadline=None)
@given(seeds, st.floats(1.0, 5.0))
def test_more_of_anything_never_hurts(seed: int, more: float) -> None:
    problem = feasible(seed, 4)
    network, ends = problem.network, np.asarray(problem.deadline_s)
    least = solve(problem).certificate
    for better in (
        MinEnergy(network.replace(band_hz=network.band_hz * more), ends),
        MinEnergy(network.replace(energy_j=network.energy_j * more), ends),
        MinEnergy(network.replace(power_max_w=network.power_max_w * more), ends),
        MinEnergy(network.replace(cpu_max_hz=network.cpu_max_hz * more), ends),
        MinEnergy(network.replace(cpu_min_hz=network.cpu_min_hz / more), ends),
        MinEnergy(network, ends * more),
    ):
        assert solve(better).certificate.bound <= least.cost


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(-6, 6), st.integers(-6, 6), st.integers(-6, 6))
def test_units_do_not_matter(seed: int, bits: int, seconds: int, joules: int) -> None:
    """Powers of two change no digit: measure data in other bits, time and energy in others."""
    problem = feasible(seed, 3)
    network, ends = problem.network, np.asarray(problem.deadline_s)
    s, t, e = 2.0**bits, 2.0**seconds, 2.0**joules
    # a symbol carries bits: more of them in the same time need more band
    other = network.replace(
        band_hz=network.band_hz * s / t,
        upload_bit=network.upload_bit * s,
        noise_w_hz=network.noise_w_hz * e / s,
        power_max_w=network.power_max_w * e / t,
        energy_j=network.energy_j * e,
        cpu_min_hz=network.cpu_min_hz / t,
        cpu_max_hz=network.cpu_max_hz / t,
        capacitance=network.capacitance * e * t * t,
    )
    one, two = solve(problem).certificate, solve(MinEnergy(other, ends * t)).certificate
    assert two.feasible
    assert two.cost == pytest.approx(one.cost * e, rel=1e-11)
    assert two.bound == pytest.approx(one.bound * e, rel=1e-9)


def moved(problem: MinEnergy, name: str, k: int, factor: float) -> MinEnergy:
    network, ends = problem.network, np.array(np.broadcast_to(problem.deadline_s, 3))
    if name == "deadline":
        ends[k] *= factor
        return MinEnergy(network, ends)
    if name == "band":
        return MinEnergy(network.replace(band_hz=network.band_hz * factor), ends)
    fields = {
        "energy": "energy_j",
        "power_max": "power_max_w",
        "cpu_max": "cpu_max_hz",
        "cpu_min": "cpu_min_hz",
    }
    values = np.array(getattr(network, fields[name]))
    values[k] *= factor
    return MinEnergy(network.replace(**{fields[name]: values}), ends)


def limit_of(problem: MinEnergy, name: str, k: int) -> float:
    network = problem.network
    limits: dict[str, float] = {
        "band": network.band_hz,
        "deadline": float(np.broadcast_to(problem.deadline_s, 3)[k]),
        "energy": float(network.energy_j[k]),
        "power_max": float(network.power_max_w[k]),
        "cpu_max": float(network.cpu_max_hz[k]),
        "cpu_min": -float(network.cpu_min_hz[k]),
    }
    return limits[name]


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_a_price_is_what_a_further_unit_saves(seed: int) -> None:
    """Between the savings of a unit more and of a unit less, which differ at a kink."""
    problem = feasible(seed, 3)
    solution = solve(problem)
    cost, step = solution.certificate.cost, 1e-5
    for name, price in solution.prices.items():
        for k in range(1 if name == "band" else 3):
            limit = limit_of(problem, name, k)
            if limit == 0.0 or math.isinf(limit):
                continue
            more, less = (1.0 + step, 1.0 - step) if limit > 0.0 else (1.0 - step, 1.0 + step)
            paid = float(np.broadcast_to(np.asarray(price, dtype=float), 3)[k]) * abs(limit) * step
            noise = 1e-3 * paid + 2e-9 * cost
            saved = cost - solve(moved(problem, name, k, more)).certificate.cost
            assert saved <= paid + noise, name
            try:
                lost = solve(moved(problem, name, k, less)).certificate.cost - cost
            except (Infeasible, InvalidInput):
                continue
            assert lost >= paid - noise, name


def test_an_earlier_solution_is_a_start() -> None:
    problem = published(7, 200)
    network, first = problem.network, solve(problem)
    nearby = MinEnergy(network.replace(band_hz=network.band_hz * 1.01), problem.deadline_s)
    again, cold = solve(nearby, start=first), solve(nearby)
    assert again.certificate.gap <= 1e-9
    assert again.certificate.cost == pytest.approx(cold.certificate.cost, rel=1e-10)


# refusals with their cures


def bare(problem: MinEnergy, name: str, value: float) -> MinEnergy:
    network, ends = problem.network, np.asarray(problem.deadline_s)
    if name == "band_hz":
        return MinEnergy(network.replace(band_hz=value), ends)
    if name == "deadline_s":
        return MinEnergy(network, np.maximum(ends, value))
    raised = np.maximum(getattr(network, name), value)
    return MinEnergy(network.replace(**{name: raised}), ends)


@settings(max_examples=15, deadline=None)
@given(seeds, st.integers(1, 4))
def test_every_cure_cures_and_a_thousandth_less_does_not(seed: int, size: int) -> None:
    network, ends = mixed(seed, size)
    problem = MinEnergy(network.replace(band_hz=network.band_hz * 0.3), ends * 0.8)
    with contextlib.suppress(Infeasible):
        solve(problem)
        assume(False)
    with pytest.raises(Infeasible) as answer:
        solve(problem)
    assert answer.value.devices.size
    for name, value in answer.value.relaxations.items():
        if value is None:
            continue
        assert solve(bare(problem, name, value)).certificate.feasible
        with pytest.raises(Infeasible):
            solve(bare(problem, name, 0.999 * value))


@pytest.mark.parametrize(
    ("changes", "deadline", "constraint", "devices", "text"),
    [
        (
            {"cycles": [2e8, 4e9, 5e9]},
            1.5,
            "deadline",
            [1, 2],
            r"device 1 trains for 2 s at its fastest clock; deadline_s is 1\.5 s "
            r"\(too slow: devices 1, 2\); cured by ",
        ),
        (
            {"gain": [1e-10, 1e-16, 9e-12]},
            1.0,
            "power_max",
            [1],
            r"device 1 needs more than .* s for its upload even with unlimited band; 900 ms",
        ),
        ({"gain": [1e-10, 0.0, 9e-12]}, 1.0, "power_max", [1], "device 1 has gain 0"),
        ({"power_max_w": [0.2, 0.2, 0.0]}, 1.0, "power_max", [2], "device 2 has power_max_w 0"),
        (
            {"energy_j": [1.0, 1e-5, 1.0]},
            1.0,
            "energy",
            [1],
            r"device 1 cannot train and upload within energy_j = 10 uJ",
        ),
        (
            {"band_hz": 1e4},
            1.0,
            "band",
            [0, 1, 2],
            r"the devices need at least .* kHz together, device 2 alone .* kHz; band_hz is 10 kHz; "
            r"cured by band_hz = ",
        ),
        ({"band_hz": 0.0}, 1.0, "band", [0, 1, 2], "band_hz is 0 Hz"),
    ],
)
def test_impossible_is_an_answer(
    changes: dict[str, Any], deadline: float, constraint: str, devices: list[int], text: str
) -> None:
    with pytest.raises(Infeasible, match=text) as answer:
        solve(MinEnergy(cell(**changes), deadline))
    assert answer.value.constraint == constraint
    np.testing.assert_array_equal(answer.value.devices, devices)
    with pytest.raises((Infeasible, SolverFailure)):
        solve(MinEnergy(cell(**changes), deadline), "cvxpy")


@pytest.mark.parametrize("deadline", [0.0, -1.0, math.nan, math.inf, [1.0, 2.0]])
def test_refuses_what_is_no_deadline(deadline: Any) -> None:
    with pytest.raises(InvalidInput, match="deadline_s"):
        solve(MinEnergy(cell(), deadline))


@pytest.mark.slow
def test_a_million_devices() -> None:
    one = published(2, 3)
    network = one.network[np.arange(10**6) % 3]
    network = network.replace(band_hz=one.network.band_hz * 10**6 / 3)
    proof = solve(MinEnergy(network, one.deadline_s)).certificate
    assert proof.feasible
    assert proof.gap <= 1e-9
    assert proof.cost == pytest.approx(solve(one).certificate.cost * 10**6 / 3, rel=1e-5)
