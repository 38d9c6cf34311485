"""Least energy by a deadline: three references, the proof, the shape, the laws, the refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike
from reference import exact, nonlinear

import fl_opt
from benchmarks import instances
from fl_opt import Infeasible, MinEnergy, Network, solve, verify
from fl_opt.problems.uplink import Uplink

CASES = Path(__file__).parent / "cases"


def cell(**changes: object) -> Network:
    """Four unlike devices under no special limit."""
    fields: dict[str, object] = {
        "gain": [1e-10, 4e-11, 9e-12, 2e-12],
        "power_max_w": 0.2,
        "cpu_min_hz": 1e8,
        "cpu_max_hz": 2e9,
        "capacitance": 1e-28,
        "cycles": [2e8, 3e8, 1e8, 2e8],
        "upload_bit": 3e5,
        "samples": 1.0,
        "band_hz": 2e6,
    }
    return Network(**(fields | changes))  # type: ignore[arg-type]


def feasible(count: int, size: int, first: int = 0) -> list[tuple[MinEnergy, float]]:
    """Problems of the published law that have a solution, with their optimal cost."""
    found: list[tuple[MinEnergy, float]] = []
    seed = first
    while len(found) < count:
        drawn = instances.draw(seed, size)
        seed += 1
        problem = MinEnergy(drawn.network, drawn.deadline_s)
        try:
            found.append((problem, solve(problem).certificate.cost))
        except Infeasible:
            continue
    return found


# two independent methods agree


@pytest.mark.parametrize("seed", range(3))
def test_the_conic_program_agrees(seed: int) -> None:
    for problem, cost in feasible(4, 6, 100 * seed):
        conic = solve(problem, solver="cvxpy").certificate
        if conic.feasible:
            assert conic.cost >= cost * (1.0 - 1e-9)
            assert conic.cost == pytest.approx(cost, rel=1e-4)


def test_a_nonlinear_search_finds_nothing_better() -> None:
    rng = np.random.default_rng(0)
    answered = 0
    for problem, cost in feasible(6, 4, 500):
        other = nonlinear.least_energy_j(problem.network, problem.deadline_s, 3, rng)
        if np.isfinite(other):
            answered += 1
            assert other >= cost * (1.0 - 1e-8)
            assert other == pytest.approx(cost, rel=1e-5)
    assert answered >= 3


# the proof is tight and never false


@pytest.mark.parametrize("seed", range(6))
def test_the_optimum_in_50_digits_lies_between_bound_and_cost(seed: int) -> None:
    ((problem, _),) = feasible(1, 1 + seed % 3, 900 + 50 * seed)
    solution = solve(problem)
    price = solution.prices["band"]
    assert isinstance(price, float)
    optimum = exact.least_energy_j(problem.network, problem.deadline_s, price)
    assert solution.certificate.bound <= optimum
    assert optimum <= solution.certificate.cost * (1 + 1e-12)


def test_random_instances_are_solved_to_nine_digits() -> None:
    solved = 0
    for seed in range(150):
        drawn = instances.draw(seed, int(np.random.default_rng(seed).integers(1, 80)))
        try:
            certificate = solve(MinEnergy(drawn.network, drawn.deadline_s)).certificate
        except Infeasible:
            continue
        solved += 1
        assert certificate.feasible
        assert certificate.gap <= 1e-9
    assert solved >= 60


@pytest.mark.parametrize("wrong", [0.0, 1e-6, 0.5, 0.99, 1.01, 3.0, 1e6])
def test_wrong_prices_loosen_the_bound_and_never_falsify_it(wrong: float) -> None:
    for problem, cost in feasible(4, 8, 2000):
        price = solve(problem).prices["band"]
        assert isinstance(price, float)
        if not np.isfinite(price):
            continue
        asked = max(wrong, 1e-6) * price
        for told in (wrong * price, price):
            bound, _ = problem.dual(told, problem.respond(asked))
            assert bound <= cost * (1.0 + 1e-12)


def test_wrong_points_loosen_the_bound_and_never_falsify_it() -> None:
    rng = np.random.default_rng(1)
    for problem, cost in feasible(6, 8, 3000):
        price = solve(problem).prices["band"]
        assert isinstance(price, float)
        if not np.isfinite(price):
            continue
        response = problem.respond(price)
        noise = np.exp(1e-3 * rng.standard_normal(response.point.b.size))
        response.point.b[:] *= noise
        bound, _ = problem.dual(price, response)
        assert bound <= cost


# the optimum has its known shape


def test_like_devices_share_the_band_equally() -> None:
    network = cell(gain=np.full(4, 1e-11), cycles=2e8)
    shares = solve(MinEnergy(network, 1.0)).allocation.bandwidth_hz
    np.testing.assert_allclose(shares, network.band_hz / 4, rtol=1e-6)


def test_weaker_channels_get_more_band_and_nobody_idles() -> None:
    network = cell(cycles=2e8)
    solution = solve(MinEnergy(network, 1.0))
    assert (np.diff(solution.allocation.bandwidth_hz) > 0.0).all()
    finish = fl_opt.allocation.use(network, solution.allocation).finish_s
    np.testing.assert_allclose(finish, 1.0, rtol=1e-12)


def test_published_instance_with_fixed_airtimes() -> None:
    """Parameters in the style of Yang et al., IEEE TWC 2021; see the file for its source."""
    case = json.loads((CASES / "fdma_energy_N10.json").read_text())
    airtime = np.array(case["t"])
    network = Network(
        gain=case["g"],
        power_max_w=1e9,
        cpu_min_hz=1e9,
        cpu_max_hz=1e9,
        capacitance=0.0,
        cycles=(2.0 - airtime) * 1e9,
        upload_bit=case["s_bits"],
        samples=1.0,
        band_hz=case["B_Hz"],
        noise_w_hz=case["N0_W_per_Hz"],
    )
    solution = solve(MinEnergy(network, 2.0))
    assert solution.certificate.cost == pytest.approx(case["optimum_J"], rel=1e-12)
    np.testing.assert_allclose(solution.allocation.bandwidth_hz, case["opt_b_Hz"], rtol=1e-6)


# corner cases with their right answers


def test_without_payload_the_clock_is_the_slowest_in_time() -> None:
    network = cell(upload_bit=[0.0, 3e5, 3e5, 3e5])
    allocation = solve(MinEnergy(network, 1.0)).allocation
    assert allocation.bandwidth_hz[0] == 0.0
    assert allocation.power_w[0] == 0.0
    assert allocation.cpu_hz[0] == pytest.approx(2e8)


def test_without_work_the_upload_takes_all_the_time() -> None:
    solution = solve(MinEnergy(cell(cycles=0.0), 1.0))
    assert solution.allocation.upload_s is not None
    np.testing.assert_allclose(solution.allocation.upload_s, 1.0, rtol=1e-12)
    assert solution.certificate.gap <= 1e-9


def test_without_any_payload_the_band_is_free() -> None:
    solution = solve(MinEnergy(cell(upload_bit=0.0), 1.0))
    assert solution.prices["band"] == 0.0
    assert solution.certificate.gap <= 1e-12


def test_a_slowest_clock_above_the_optimum_stays() -> None:
    network = cell(cpu_min_hz=1e9)
    allocation = solve(MinEnergy(network, 1.0)).allocation
    assert allocation.upload_s is not None
    np.testing.assert_array_equal(allocation.cpu_hz, 1e9)
    np.testing.assert_allclose(allocation.upload_s, 1.0 - network.cycles / 1e9, rtol=1e-12)


def test_a_band_that_just_suffices_is_priceless() -> None:
    network = cell()
    least = float(Uplink(network, 1.0).least_hz.sum())
    solution = solve(MinEnergy(network.replace(band_hz=least), 1.0))
    np.testing.assert_allclose(solution.allocation.cpu_hz, network.cpu_max_hz, rtol=1e-15)
    np.testing.assert_allclose(solution.allocation.power_w, network.power_max_w, rtol=1e-9)
    assert solution.prices["band"] == np.inf
    assert solution.certificate.gap <= 1e-9


def test_one_device_gets_the_whole_band() -> None:
    network = cell()[:1]
    solution = solve(MinEnergy(network, 1.0))
    assert solution.allocation.bandwidth_hz[0] == pytest.approx(network.band_hz)
    assert solution.certificate.gap <= 1e-12


@pytest.mark.parametrize("band_hz", [1e9, 1e13, 1e17])
def test_an_abundant_band_approaches_the_floor_of_the_upload(band_hz: float) -> None:
    network = cell(band_hz=band_hz, cycles=0.0)
    certificate = solve(MinEnergy(network, 1.0)).certificate
    floor = float(fl_opt.physics.least_upload_energy_j(3e5, network.gain, network.noise_w_hz).sum())
    assert certificate.cost == pytest.approx(floor, rel=2e-3)
    assert certificate.gap <= 1e-9


def test_unlimited_power_is_allowed() -> None:
    solution = solve(MinEnergy(cell(power_max_w=np.inf), 1.0))
    assert solution.certificate.gap <= 1e-9


# laws


def test_the_order_of_devices_does_not_matter() -> None:
    network = cell()
    turn = np.array([2, 0, 3, 1])
    one = solve(MinEnergy(network, 1.0))
    other = solve(MinEnergy(network[turn], 1.0))
    assert other.certificate.cost == pytest.approx(one.certificate.cost, rel=1e-12)
    np.testing.assert_allclose(
        other.allocation.bandwidth_hz, one.allocation.bandwidth_hz[turn], rtol=1e-6
    )


def test_more_of_anything_never_hurts() -> None:
    network = cell(energy_j=[0.01, np.inf, np.inf, 0.02])
    cost = solve(MinEnergy(network, 1.0)).certificate.cost
    for name in ("band_hz", "power_max_w", "cpu_max_hz", "energy_j", "gain"):
        more = network.replace(**{name: 1.3 * np.asarray(getattr(network, name))})
        assert solve(MinEnergy(more, 1.0)).certificate.cost <= cost * (1.0 + 1e-12)
    assert solve(MinEnergy(network, 1.3)).certificate.cost < cost


def test_prices_are_derivatives() -> None:
    network = cell(energy_j=[np.inf, np.inf, np.inf, 0.018], power_max_w=[0.2, 0.2, 1.5e-3, 0.2])
    deadline = np.array([1.0, 0.8, 0.9, 1.0])
    solution = solve(MinEnergy(network, deadline))
    step = 1e-6

    def saved(changed: Network, until: np.ndarray) -> float:
        return solution.certificate.cost - solve(MinEnergy(changed, until)).certificate.cost

    band = saved(network.replace(band_hz=network.band_hz * (1.0 + step)), deadline)
    assert band / (network.band_hz * step) == pytest.approx(solution.prices["band"], rel=1e-3)
    for name, field in (("energy", "energy_j"), ("power_max", "power_max_w")):
        price = solution.prices[name]
        assert isinstance(price, np.ndarray)
        for k in np.flatnonzero(price > 0.0):
            values = getattr(network, field).copy()
            values[k] *= 1.0 + step
            change = saved(network.replace(**{field: values}), deadline)
            assert change / (values[k] * step) == pytest.approx(price[k], rel=1e-3)
    later = deadline.copy()
    later[1] *= 1.0 + step
    price = solution.prices["deadline"]
    assert isinstance(price, np.ndarray)
    assert saved(network, later) / (deadline[1] * step) == pytest.approx(price[1], rel=1e-3)


def test_an_earlier_solution_saves_work_and_changes_nothing() -> None:
    network = cell()
    before = solve(MinEnergy(network, 1.0))
    problem = MinEnergy(network.replace(gain=network.gain * 1.01), 1.0)
    warm, cold = solve(problem, start=before), solve(problem)
    assert warm.certificate.cost == pytest.approx(cold.certificate.cost, rel=1e-12)


# refusals


@pytest.mark.parametrize(
    ("changes", "deadline_s", "constraint", "devices", "words"),
    [
        ({}, 0.1, "deadline", [0, 1, 3], "trains for 100 ms at its fastest clock"),
        ({}, 0.17, "band", [0, 1, 2, 3], "need at least"),
        ({"gain": [1e-10, 0.0, 1e-11, 1e-11]}, 1.0, "power_max", [1], "gain 0"),
        ({"gain": [1e-10, 1e-16, 1e-11, 1e-11]}, 1.0, "power_max", [1], "even with unlimited"),
        ({"energy_j": [1.0, 1.0, 1e-9, 1.0]}, 1.0, "energy", [2], "cannot train and upload"),
        ({"band_hz": 0.0}, 1.0, "band", [0, 1, 2, 3], "band_hz is 0 Hz"),
    ],
)
def test_the_impossible_says_what_and_who(
    changes: dict[str, object],
    deadline_s: float,
    constraint: str,
    devices: list[int],
    words: str,
) -> None:
    with pytest.raises(Infeasible, match=words) as caught:
        solve(MinEnergy(cell(**changes), deadline_s))
    assert caught.value.constraint == constraint
    assert caught.value.devices.tolist() == devices


@pytest.mark.parametrize(
    ("changes", "deadline_s"),
    [({}, 0.17), ({"energy_j": [1.0, 1.0, 1e-9, 1.0]}, 1.0), ({"power_max_w": 1e-6}, 0.5)],
)
def test_each_cure_cures_and_less_does_not(changes: dict[str, object], deadline_s: float) -> None:
    network = cell(**changes)
    with pytest.raises(Infeasible) as caught:
        solve(MinEnergy(network, deadline_s))
    cures = {name: value for name, value in caught.value.relaxations.items() if value is not None}
    assert cures

    def moved(name: str, value: float) -> MinEnergy:
        if name == "deadline_s":
            return MinEnergy(network, value)
        if name == "band_hz":
            return MinEnergy(network.replace(band_hz=value), deadline_s)
        raised = np.maximum(getattr(network, name), value)
        return MinEnergy(network.replace(**{name: raised}), deadline_s)

    for name, value in cures.items():
        assert solve(moved(name, value)).certificate.feasible
        with pytest.raises(Infeasible):
            solve(moved(name, 0.999 * value))


@pytest.mark.parametrize("deadline_s", [0.0, -1.0, np.nan, np.inf, [1.0, 2.0]])
def test_a_deadline_that_is_none_is_refused(deadline_s: ArrayLike) -> None:
    with pytest.raises(fl_opt.InvalidInput, match="deadline_s"):
        solve(MinEnergy(cell(), deadline_s))


def test_verify_names_what_a_stranger_breaks() -> None:
    network = cell()
    stranger = fl_opt.Allocation(
        selected=[True, True, True, False], bandwidth_hz=1e6, power_w=0.3, cpu_hz=3e9
    )
    found = verify(MinEnergy(network, 1.0), stranger)
    assert set(found.violation) == {"band", "power_max", "cpu_max", "selected"}
    assert found.violation["band"].amount == pytest.approx(1e6)
    assert found.gap == np.inf
