"""Time against energy: references, the lines that meet, the front, the refusals."""

from __future__ import annotations

import numpy as np
import pytest
from reference import exact, nonlinear

from benchmarks import instances
from fl_opt import (
    Infeasible,
    InvalidInput,
    MinEnergy,
    MinRoundTime,
    Network,
    TimeEnergyTradeoff,
    solve,
)


def cell(**changes: object) -> Network:
    """Three unlike devices."""
    fields: dict[str, object] = {
        "gain": [1e-10, 4e-11, 9e-12],
        "power_max_w": 0.2,
        "cpu_min_hz": 1e8,
        "cpu_max_hz": 2e9,
        "capacitance": 1e-28,
        "cycles": 2e8,
        "upload_bit": 3e5,
        "samples": 1.0,
        "band_hz": 2e6,
    }
    return Network(**(fields | changes))  # type: ignore[arg-type]


def worth(seed: int) -> float:
    """A worth of time over six decades [J/s]."""
    return float(10.0 ** np.random.default_rng(seed).uniform(-4.0, 2.0))


# two independent methods agree


@pytest.mark.parametrize("seed", range(5))
def test_the_conic_program_agrees(seed: int) -> None:
    problem = TimeEnergyTradeoff(instances.draw(seed, 5).network, worth(seed))
    cost = solve(problem).certificate.cost
    conic = solve(problem, solver="cvxpy").certificate
    if conic.feasible:
        assert conic.cost >= cost * (1.0 - 1e-9)
        assert conic.cost == pytest.approx(cost, rel=1e-3)


def test_a_nonlinear_search_finds_nothing_better() -> None:
    rng = np.random.default_rng(0)
    for joule_per_s in (0.01, 0.1, 1.0):
        cost = solve(TimeEnergyTradeoff(cell(), joule_per_s)).certificate.cost
        other = nonlinear.least_tradeoff_j(cell(), joule_per_s, 4, rng)
        assert other >= cost * (1.0 - 1e-8)
        assert other == pytest.approx(cost, rel=1e-4)


# the proof is tight and never false


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2])
def test_the_optimum_in_50_digits_lies_between_bound_and_cost(size: int) -> None:
    network = cell()[:size]
    solution = solve(TimeEnergyTradeoff(network, 0.1))
    price = solution.prices["band"]
    assert isinstance(price, float)
    optimum = exact.least_tradeoff_j(network, 0.1, solution.allocation.deadline_s, price)
    assert solution.certificate.bound <= optimum * (1 + 1e-17)
    assert optimum <= solution.certificate.cost * (1 + 1e-12)


def test_random_instances_are_solved_to_nine_digits() -> None:
    for seed in range(40):
        size = int(np.random.default_rng(seed).integers(1, 40))
        problem = TimeEnergyTradeoff(instances.draw(seed, size).network, worth(seed))
        certificate = solve(problem).certificate
        assert certificate.feasible
        assert certificate.gap <= 1e-9


@pytest.mark.parametrize("factor", [0.3, 0.9, 1.0, 1.1, 4.0])
def test_every_line_lies_below_the_cost_of_every_duration(factor: float) -> None:
    problem = TimeEnergyTradeoff(cell(energy_j=[0.1, np.inf, 0.05]), 0.1)
    best = solve(problem)
    at = max(
        best.allocation.deadline_s * factor,
        1.01 * solve(MinRoundTime(problem.network)).certificate.cost,
    )
    inner = solve(problem.inner(at))
    reach = problem.reach(2.0 * problem.cost(inner.allocation))
    line = problem.line(at, inner, reach)
    for duration in np.geomspace(at * 0.9, reach, 12):
        try:
            found = solve(MinEnergy(problem.network, duration)).certificate.cost
        except Infeasible:
            continue
        below = line.value + line.slope * (duration - line.at)
        assert below <= (found + 0.1 * duration) * (1.0 + 1e-12)


# the front


def test_the_slope_of_the_front_is_the_worth_of_time() -> None:
    solution = solve(TimeEnergyTradeoff(cell(), 0.1))
    deadline = solution.prices["deadline"]
    assert isinstance(deadline, np.ndarray)
    assert deadline.sum() == pytest.approx(0.1, rel=1e-6)
    duration, step = solution.allocation.deadline_s, 1e-5
    later = solve(MinEnergy(cell(), duration * (1.0 + step))).certificate.cost
    sooner = solve(MinEnergy(cell(), duration * (1.0 - step))).certificate.cost
    assert (sooner - later) / (2.0 * step * duration) == pytest.approx(0.1, rel=1e-4)


def test_dearer_time_makes_shorter_rounds_down_to_the_shortest() -> None:
    durations = [
        solve(TimeEnergyTradeoff(cell(), joule_per_s)).allocation.deadline_s
        for joule_per_s in (1e-3, 1e-2, 1e-1, 1.0, 10.0, 1e3, 1e6)
    ]
    assert (np.diff(durations) <= 1e-12).all()
    shortest = solve(MinRoundTime(cell())).certificate.cost
    assert durations[-1] == pytest.approx(shortest, rel=1e-6)
    assert durations[-1] >= shortest * (1.0 - 1e-10)


def test_without_payload_only_the_clock_decides() -> None:
    network = cell(upload_bit=0.0)
    solution = solve(TimeEnergyTradeoff(network, 0.1))
    # 3 kappa C^3/T^2 + lambda T is least at T^3 = 6 kappa C^3/lambda
    best = (6.0 * 1e-28 * 2e8**3 / 0.1) ** (1.0 / 3.0)
    assert solution.allocation.deadline_s == pytest.approx(best, rel=1e-6)
    assert solution.certificate.gap <= 1e-9


# refusals


@pytest.mark.parametrize("joule_per_s", [0.0, -1.0, np.inf, np.nan])
def test_a_second_must_be_worth_something(joule_per_s: float) -> None:
    with pytest.raises(InvalidInput, match="joule_per_s"):
        TimeEnergyTradeoff(cell(), joule_per_s)


def test_who_can_never_take_part_is_named() -> None:
    with pytest.raises(Infeasible) as caught:
        solve(TimeEnergyTradeoff(cell(gain=[1e-10, 0.0, 1e-11]), 1.0))
    assert caught.value.devices.tolist() == [1]
