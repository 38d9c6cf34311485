"""The shortest round: references, the bracket, the shape, the laws, the refusals."""

from __future__ import annotations

import numpy as np
import pytest
from reference import exact, nonlinear

from benchmarks import instances
from fl_opt import Infeasible, InvalidInput, MinRoundTime, Network, solve
from fl_opt.allocation import use
from fl_opt.problems.uplink import Uplink


def cell(**changes: object) -> Network:
    """Three unlike devices with energy to spare."""
    fields: dict[str, object] = {
        "gain": [1e-10, 4e-11, 9e-12],
        "power_max_w": 0.2,
        "cpu_min_hz": 1e8,
        "cpu_max_hz": 2e9,
        "capacitance": 1e-28,
        "cycles": [2e8, 3e8, 2e8],
        "upload_bit": 3e5,
        "samples": 1.0,
        "band_hz": 1e6,
    }
    return Network(**(fields | changes))  # type: ignore[arg-type]


# two independent methods agree


@pytest.mark.parametrize("seed", range(8))
def test_the_conic_program_agrees(seed: int) -> None:
    problem = MinRoundTime(instances.draw(seed, 6).network)
    cost = solve(problem).certificate.cost
    conic = solve(problem, solver="cvxpy").certificate
    if conic.feasible:
        assert conic.cost >= cost * (1.0 - 1e-9)
        assert conic.cost == pytest.approx(cost, rel=1e-3)


def test_a_nonlinear_search_finds_nothing_better() -> None:
    rng = np.random.default_rng(0)
    answered = 0
    for seed in range(40, 46):
        network = instances.draw(seed, 4).network
        cost = solve(MinRoundTime(network)).certificate.cost
        other = nonlinear.shortest_round_s(network, 3, rng)
        if np.isfinite(other):
            answered += 1
            assert other >= cost * (1.0 - 1e-8)
            assert other == pytest.approx(cost, rel=1e-4)
    assert answered >= 3


# the proof is tight and never false


@pytest.mark.parametrize("seed", range(10))
def test_the_optimum_in_50_digits_lies_in_the_bracket(seed: int) -> None:
    network = instances.draw(700 + seed, 1 + seed % 4).network
    certificate = solve(MinRoundTime(network)).certificate
    optimum = exact.shortest_round_s(network, certificate.cost)
    assert certificate.bound <= optimum
    assert optimum <= certificate.cost * (1 + 1e-12)
    assert certificate.gap <= 1e-9


def test_random_instances_are_solved_to_nine_digits() -> None:
    for seed in range(120):
        size = int(np.random.default_rng(seed).integers(1, 80))
        certificate = solve(MinRoundTime(instances.draw(seed, size).network)).certificate
        assert certificate.feasible
        assert certificate.proof == "bracket"
        assert certificate.gap <= 1e-9


def test_no_refuted_duration_is_attained() -> None:
    """The two answers of ``attain`` exclude each other on both sides of the optimum."""
    for seed in range(20):
        problem = MinRoundTime(instances.draw(seed, 5).network)
        best = solve(problem).certificate
        for factor in (0.5, 0.99, 1.0 - 1e-9, 1.0 + 1e-9, 1.01, 2.0):
            attempt = problem.attain(best.cost * factor)
            assert not (attempt.refuted and attempt.decision is not None)
            if factor > 1.0:
                assert attempt.decision is not None
            if factor < 1.0 - 1e-6:
                assert attempt.refuted


# the optimum has its known shape


def test_with_energy_to_spare_all_shout_and_finish_together() -> None:
    network = cell()
    solution = solve(MinRoundTime(network))
    np.testing.assert_allclose(solution.allocation.power_w, 0.2, rtol=1e-9)
    np.testing.assert_allclose(solution.allocation.cpu_hz, 2e9, rtol=1e-12)
    finish = use(network, solution.allocation).finish_s
    np.testing.assert_allclose(finish, solution.certificate.cost, rtol=1e-9)


def test_weaker_channels_and_slower_clocks_get_more_band() -> None:
    weak = solve(MinRoundTime(cell(cycles=2e8))).allocation.bandwidth_hz
    assert (np.diff(weak) > 0.0).all()
    slow = solve(
        MinRoundTime(cell(gain=np.full(3, 1e-11), cpu_max_hz=[2e9, 1.5e9, 1e9], cycles=2e8))
    ).allocation.bandwidth_hz
    assert (np.diff(slow) > 0.0).all()


def test_who_uploads_nothing_may_set_the_time_alone() -> None:
    network = cell(upload_bit=[3e5, 0.0, 3e5], cycles=[2e8, 8e9, 2e8])
    solution = solve(MinRoundTime(network))
    assert solution.certificate.cost == pytest.approx(4.0, rel=1e-9)
    assert solution.allocation.bandwidth_hz.sum() < network.band_hz
    assert solution.prices["band"] == 0.0


def test_one_device_has_the_time_of_its_least_bandwidth() -> None:
    network = cell()[:1]
    cost = solve(MinRoundTime(network)).certificate.cost
    assert Uplink(network, cost).least_hz[0] == pytest.approx(network.band_hz, rel=1e-9)


# laws


def test_more_of_anything_never_hurts_and_prices_are_derivatives() -> None:
    network = cell(energy_j=[0.05, np.inf, 0.04])
    solution = solve(MinRoundTime(network))
    cost, step = solution.certificate.cost, 1e-5
    for name, limit in (("band", "band_hz"), ("energy", "energy_j"), ("power_max", "power_max_w")):
        values = np.asarray(getattr(network, limit), dtype=float)
        price = np.atleast_1d(np.asarray(solution.prices[name], dtype=float))
        for k in range(price.size):
            if not np.isfinite(values.flat[min(k, values.size - 1)]):
                continue
            more = values.copy()
            more.flat[k] *= 1.0 + step
            changed = network.replace(**{limit: float(more) if more.ndim == 0 else more})
            saved = cost - solve(MinRoundTime(changed)).certificate.cost
            assert saved >= -1e-10 * cost
            assert saved / (values.flat[k] * step) == pytest.approx(price[k], rel=1e-2, abs=1e-9)


def test_the_order_of_devices_does_not_matter() -> None:
    network = cell(energy_j=[0.05, 0.1, 0.04])
    one, other = solve(MinRoundTime(network)), solve(MinRoundTime(network[[2, 0, 1]]))
    assert other.certificate.cost == pytest.approx(one.certificate.cost, rel=1e-10)


def test_an_earlier_solution_is_a_start() -> None:
    network = cell()
    problem = MinRoundTime(network.replace(band_hz=1.1e6))
    warm = solve(problem, start=solve(MinRoundTime(network)))
    assert warm.certificate.cost == pytest.approx(solve(problem).certificate.cost, rel=1e-10)


# the energy limit


@pytest.mark.parametrize(("over", "possible"), [(0.999, False), (1.001, True)])
def test_energy_just_below_and_above_the_floor(over: float, possible: bool) -> None:
    network = Network(
        gain=1e-12,
        power_max_w=1.0,
        cpu_min_hz=5e8,
        cpu_max_hz=2e9,
        capacitance=1e-28,
        cycles=[2e8],
        upload_bit=3e5,
        samples=1.0,
        band_hz=1e6,
    )
    floor = float(network.noise_w_hz[0] * 3e5 * np.log(2.0) / 1e-12)
    limited = network.replace(energy_j=1e-28 * 2e8 * 5e8**2 + over * floor)
    if possible:
        # 2e-10 of the energy decides here: its last digit moves the optimum by some 1e-8
        assert solve(MinRoundTime(limited)).certificate.gap <= 1e-8
        assert Uplink(limited, 1.0).least_hz[0] == pytest.approx(1.7e8, rel=0.05)
        assert Uplink(limited, 1e6).least_hz[0] == pytest.approx(104.0, rel=0.05)
    else:
        with pytest.raises(Infeasible, match="however long the round"):
            solve(MinRoundTime(limited))
        assert np.isinf(Uplink(limited, 1e9).least_hz[0])


# refusals


@pytest.mark.parametrize(
    ("changes", "constraint", "devices"),
    [
        ({"gain": [1e-10, 0.0, 1e-11]}, "power_max", [1]),
        ({"energy_j": [1.0, 1e-9, 1.0]}, "energy", [1]),
        ({"band_hz": 0.0}, "band", [0, 1, 2]),
    ],
)
def test_the_impossible_says_what_and_who(
    changes: dict[str, object], constraint: str, devices: list[int]
) -> None:
    with pytest.raises(Infeasible) as caught:
        solve(MinRoundTime(cell(**changes)))
    assert caught.value.constraint == constraint
    assert caught.value.devices.tolist() == devices


def test_the_energy_that_cures_cures_and_less_does_not() -> None:
    network = cell(energy_j=[1.0, 1e-9, 1.0])
    with pytest.raises(Infeasible) as caught:
        solve(MinRoundTime(network))
    energy = caught.value.relaxations["energy_j"]
    assert energy is not None
    cured = network.replace(energy_j=np.maximum(network.energy_j, energy))
    assert solve(MinRoundTime(cured)).certificate.feasible
    with pytest.raises(Infeasible):
        solve(MinRoundTime(network.replace(energy_j=np.maximum(network.energy_j, 0.999 * energy))))


def test_no_limit_on_power_and_energy_is_no_problem() -> None:
    with pytest.raises(InvalidInput, match="power_max_w"):
        MinRoundTime(cell(power_max_w=np.inf))
