"""Many rounds with known channels: a brute force, prices that never lie, laws, corners."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_lyapunov import cell, fading, play

import fl_opt
from fl_opt import InvalidInput, LongTermEnergy, Lyapunov, MaxParticipation, MinEnergy, Schedule
from fl_opt.problems.uplink import Uplink


def instance(seed: int, size: int, rounds: int, budget_j: Any, **options: Any) -> LongTermEnergy:
    horizon = tuple(fading(seed, size, rounds))
    return LongTermEnergy(horizon, 0.8, budget_j, **({"steps": 12} | options))


# two independent methods agree


def brute_force(problem: LongTermEnergy) -> float:
    """Two devices: all sets of all rounds; each round's band is split on a grid of shares.

    A set of sets is possible if for some splits both batteries pay; of every round only the
    least energy of one device for a given energy of the other matters, so sums over rounds of
    grid points are tried.
    """
    share = np.linspace(0.0, 1.0, 60)[1:-1]
    curves = []
    for network in problem.horizon:
        per_set: dict[tuple[int, ...], Any] = {(): np.zeros((1, 2))}
        for k in (0, 1):
            uplink = Uplink(network[[k]], problem.deadline_s)
            if uplink.least_hz[0] <= network.band_hz:
                energy = np.zeros((1, 2))
                energy[0, k] = uplink.at([network.band_hz])[1][0]
                per_set[(k,)] = energy
        both = Uplink(network, problem.deadline_s)
        if both.least_hz.sum() <= network.band_hz:
            spare = network.band_hz - both.least_hz.sum()
            points = [both.at(both.least_hz + spare * np.array([s, 1.0 - s]))[1] for s in share]
            per_set[(0, 1)] = np.array(points)
        curves.append(per_set)
    budget = np.broadcast_to(np.asarray(problem.budget_j, dtype=float), (2,))
    eta = np.broadcast_to(np.asarray(problem.importance, dtype=float), (len(curves),))
    best = 0.0
    for chosen in itertools.product(*(per_set.items() for per_set in curves)):
        gained = sum(worth * len(members) for worth, (members, _) in zip(eta, chosen, strict=True))
        if gained <= best:
            continue
        spent = np.zeros((1, 2))
        for _, points in chosen:
            spent = (spent[:, None] + points[None]).reshape(-1, 2)
        if np.any(np.all(spent <= budget, axis=1)):
            best = gained
    return best


@pytest.mark.parametrize("seed", range(5))
def test_between_the_decision_and_the_bound_lies_a_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = instance(seed, 2, 2, 1.0)
    alone = [
        [fl_opt.solve(MinEnergy(network[[k]], 0.8)).certificate.cost for k in (0, 1)]
        for network in whole.horizon
        if np.all(Uplink(network, 0.8).least_hz <= network.band_hz)
    ]
    usual = np.mean(alone, axis=0) if alone else np.full(2, 1e-2)
    budget = usual * 10.0 ** rng.uniform(-0.5, 0.8, 2)
    problem = instance(seed, 2, 2, budget, importance=[1.0, 1.5 if seed % 2 else 1.0])
    answer, best = fl_opt.solve(problem), brute_force(problem)
    assert answer.certificate.feasible
    assert -answer.certificate.bound >= best * (1.0 - 1e-12)
    # a grid may miss a split that pays just so, so that the brute force is no upper bound
    assert -answer.certificate.cost >= best - 1.5


# the proof


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 10**6), st.floats(-3.0, 0.0))
def test_no_prices_give_a_bound_below_what_a_policy_reaches(seed: int, log_budget: float) -> None:
    budget_j = 10.0**log_budget
    problem = instance(seed, 3, 3, budget_j)
    answer = fl_opt.solve(problem)
    assert answer.solver == "search"
    assert answer.certificate.proof == "dual"
    assert answer.certificate.feasible
    assert answer.certificate.bound <= answer.certificate.cost
    rng = np.random.default_rng(seed)
    found = -answer.certificate.cost
    for _ in range(3):
        assert problem.upper(10.0 ** rng.uniform(-3.0, 4.0, 3)) >= found
    for weight in (1e-6, 1e-3):
        allocations, _, spent = play(
            Lyapunov(0.8, budget_j, 3, weight, budget_j / 3), list(problem.horizon)
        )
        if np.all(spent.sum(axis=0) <= budget_j):
            reached = sum(int(each.selected.sum()) for each in allocations)
            assert reached <= -answer.certificate.bound * (1.0 + 1e-12)


def test_most_participations_of_a_contested_horizon_are_certified() -> None:
    certificate = fl_opt.solve(instance(2, 4, 4, 0.03)).certificate
    assert certificate.gap <= 0.15
    assert certificate.cost < 0.0


# shape and laws


def test_full_batteries_leave_max_participation_in_every_round() -> None:
    problem = instance(5, 5, 3, 1e3)
    counts = [
        -fl_opt.solve(MaxParticipation(network, 0.8, np.ones(5))).certificate.cost
        for network in problem.horizon
    ]
    answer = fl_opt.solve(problem)
    assert -answer.certificate.bound >= sum(counts)
    assert -answer.certificate.cost == pytest.approx(sum(counts), abs=1.0)


def test_one_device_takes_the_rounds_that_cost_least() -> None:
    problem = instance(3, 1, 5, 1.0)
    costs = [
        fl_opt.solve(MinEnergy(network, 0.8)).certificate.cost
        if Uplink(network, 0.8).least_hz[0] <= network.band_hz
        else np.inf
        for network in problem.horizon
    ]
    order = np.argsort(costs)
    budget = float(np.sort(costs)[:2].sum()) * 1.01
    answer = fl_opt.solve(instance(3, 1, 5, budget))
    assert np.flatnonzero(answer.allocation.selected[:, 0]).tolist() == sorted(order[:2])
    assert answer.certificate.gap <= 1e-12


def test_important_rounds_are_served_first() -> None:
    horizon = (cell(4, 3),) * 3
    spent = fl_opt.solve(MinEnergy(cell(4, 3), 0.8)).allocation
    energy = fl_opt.allocation.use(cell(4, 3), spent).energy_j
    problem = LongTermEnergy(horizon, 0.8, 1.05 * energy, [1.0, 5.0, 1.0], 20)
    assert fl_opt.solve(problem).allocation.selected[1].all()


def test_more_battery_never_lowers_the_bound_by_much_nor_the_value() -> None:
    values = [
        -fl_opt.solve(instance(7, 3, 4, budget)).certificate.cost for budget in (0.0, 0.01, 1e3)
    ]
    assert values == sorted(values)
    assert values[0] == 0.0


# corners and refusals


@pytest.mark.parametrize(
    ("changes", "most"),
    [({"gain": 0.0}, 0), ({"upload_bit": 0.0, "band_hz": 0.0}, 6), ({"energy_j": 0.0}, 0)],
)
def test_corners(changes: dict[str, Any], most: int) -> None:
    network = cell(1, 3, **({"gain": np.full(3, 1e-10)} | changes))
    if network.size == 1:
        network = cell(1, 3).replace(**changes)
    answer = fl_opt.solve(LongTermEnergy((network, network), 0.8, 1.0, steps=5))
    assert answer.allocation.selected.sum() == most
    assert answer.certificate.feasible
    assert answer.certificate.bound <= answer.certificate.cost


def test_a_battery_overdrawn_over_all_rounds_is_a_violation() -> None:
    problem = instance(2, 3, 2, 1e3)
    found = fl_opt.solve(problem).allocation
    poor = LongTermEnergy(problem.horizon, 0.8, 1e-9)
    assert list(fl_opt.verify(poor, found).violation) == ["energy_total"]
    with pytest.raises(InvalidInput, match="rounds is 1; expected 2, as the horizon"):
        fl_opt.verify(problem, Schedule(found.rounds[:1]))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"horizon": ()}, r"horizon is networks of sizes \[\]; expected one size for all"),
        ({"horizon": (cell(1, 2), cell(1, 3))}, r"networks of sizes \[2, 3\]"),
        ({"budget_j": [1.0, -1.0, 0.0]}, r"budget_j\[1\] is -1 J"),
        ({"importance": [1.0, 2.0]}, r"importance.shape is \(2,\)"),
        ({"deadline_s": 0.0}, r"deadline_s is 0 s"),
        ({"steps": 0}, r"steps is 0; expected at least 1"),
    ],
)
def test_refusals(arguments: dict[str, Any], text: str) -> None:
    good: dict[str, Any] = {"horizon": (cell(1, 3),), "deadline_s": 1.0, "budget_j": 1.0}
    with pytest.raises(InvalidInput, match=text):
        LongTermEnergy(**(good | arguments))
