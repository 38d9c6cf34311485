"""Many rounds with known channels: a brute force, prices that never lie, laws, corners."""

from __future__ import annotations

import itertools
import operator
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
    answer = fl_opt.solve(problem, solver="search")
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
    assert certificate.gap <= 1e-12
    assert certificate.cost < 0.0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_tree_agrees_with_all_sets_and_splits(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    size, rounds = 2, 2 + seed % 2
    worth = rng.uniform(0.5, 2.0, rounds) if seed > 1 else 1.0
    problem = instance(seed, size, rounds, 10.0 ** rng.uniform(-2.6, -1.2, size), importance=worth)
    exact, best = fl_opt.solve(problem, solver="crossed").certificate, listed(problem)
    assert exact.feasible
    assert exact.proof == "tree"
    assert -exact.cost == pytest.approx(best, rel=1e-9)
    assert best * (1.0 - 1e-12) <= -exact.bound <= best * (1.0 + 1e-8)


def listed(problem: LongTermEnergy) -> float:
    """Two devices: the best of all sets, each judged by a convex program of its own in SciPy.

    Only a round with both has a split to choose. The least largest part of a battery used is
    found over the splits by a smooth constrained descent with a slack, from several starts.
    """
    from scipy.optimize import minimize

    budget = np.broadcast_to(np.asarray(problem.budget_j, dtype=float), (2,))
    eta = np.broadcast_to(np.asarray(problem.importance, dtype=float), (len(problem.horizon),))

    def used(chosen: tuple[tuple[int, ...], ...]) -> float:
        fixed, open_rounds = np.zeros(2), []
        for network, members in zip(problem.horizon, chosen, strict=True):
            uplink = Uplink(network[list(members)], problem.deadline_s) if members else None
            if uplink is None:
                continue
            if uplink.least_hz.sum() > network.band_hz:
                return np.inf
            if len(members) == 1:
                fixed[members[0]] += uplink.at([network.band_hz])[1][0] / budget[members[0]]
            else:
                open_rounds.append((uplink, network.band_hz - uplink.least_hz.sum()))

        def parts(share: Any) -> Any:
            total = fixed.copy()
            for (uplink, spare), s in zip(open_rounds, share, strict=True):
                s = min(max(float(s), 0.0), 1.0)
                band = uplink.least_hz + spare * np.array([s, 1.0 - s])
                total += uplink.at(band)[1] / budget
            return total

        if not open_rounds:
            return float(fixed.max())
        half = np.full(len(open_rounds), 0.5)
        unit, best = float(parts(half).max()), np.inf
        last: Any = operator.itemgetter(-1)
        least: Any = {"type": "ineq", "fun": lambda y: y[-1] - parts(y[:-1]) / unit}
        box: Any = [(1e-6, 1.0 - 1e-6)] * half.size + [(0.0, None)]
        fine: Any = {"ftol": 1e-12, "maxiter": 300}
        for start in (0.2, 0.5, 0.8):
            x = np.append(np.full(half.size, start), parts(np.full(half.size, start)).max() / unit)
            found = minimize(
                last,
                x,
                bounds=box,
                constraints=least,
                options=fine,
                method="SLSQP",
            )
            best = min(best, float(parts(found.x[:-1]).max()))
        return best

    def gained(chosen: tuple[tuple[int, ...], ...]) -> float:
        return float(sum(w * len(members) for w, members in zip(eta, chosen, strict=True)))

    sets: list[tuple[int, ...]] = [(), (0,), (1,), (0, 1)]
    every = itertools.product(sets, repeat=len(problem.horizon))
    falling = sorted(every, key=gained, reverse=True)
    return next(gained(chosen) for chosen in falling if used(chosen) <= 1.0 + 1e-12)


def test_tangents_never_lie_above_the_least_energy() -> None:
    problem = instance(4, 3, 3, 0.05)
    choice, everyone = problem.crossed, np.ones(problem.crossed.value.size, dtype=bool)
    supply = choice.supply[choice.supply_of]
    rng = np.random.default_rng(0)
    for _ in range(20):
        at, there = (
            np.minimum(choice.least * 10.0 ** rng.uniform(0.0, 3.0, supply.size), 3.0 * supply)
            for _ in range(2)
        )
        at, there = np.maximum(at, choice.least), np.maximum(there, choice.least)
        cut = problem.tangents(everyone, at)
        energy = np.array([
            Uplink(problem.horizon[t][[k]], problem.deadline_s).at([b])[1][0]
            for t, k, b in zip(choice.supply_of, choice.budget_of, there, strict=True)
        ])  # fmt: skip
        assert np.all(cut.value + cut.slope * (there - cut.at) <= energy)
        tight = cut.value + cut.slope * (at - cut.at)
        again = problem.tangents(everyone, at * (1.0 + 1e-9))
        near = again.value + again.slope * (at - again.at)
        assert near == pytest.approx(tight, rel=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_prices_and_tree_never_contradict_each_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = instance(
        seed, 4, 5, 10.0 ** rng.uniform(-2.3, -1.3, 4), importance=rng.choice([1.0, 2.0, 3.0], 5)
    )
    exact = fl_opt.solve(problem, solver="crossed").certificate
    prices = fl_opt.solve(problem, solver="search").certificate
    assert exact.feasible
    assert exact.gap <= 1e-8
    assert exact.cost <= prices.cost
    assert prices.bound <= exact.cost + 1e-9
    assert exact.bound >= prices.bound - 1e-6


@pytest.mark.slow
def test_six_devices_and_twenty_rounds_are_closed_where_prices_leave_a_gap() -> None:
    problem = instance(5, 6, 20, 0.05)
    prices = fl_opt.solve(problem, solver="search").certificate
    exact = fl_opt.solve(problem).certificate
    assert exact.gap <= 1e-9
    assert exact.cost <= prices.cost
    assert exact.bound > prices.bound + 0.5


def test_a_time_limit_leaves_an_answer_and_a_bound() -> None:
    problem = instance(1, 6, 12, 0.02, importance=np.linspace(1.0, 2.0, 12))
    answer = fl_opt.solve(problem, solver="crossed", time_limit_s=1e-6)
    assert answer.certificate.feasible
    assert -answer.certificate.bound <= 6 * np.linspace(1.0, 2.0, 12).sum() * (1.0 + 1e-12)
    better = fl_opt.solve(problem, solver="crossed", time_limit_s=1.0)
    again = fl_opt.solve(problem, solver="crossed", time_limit_s=1e-6, start=better)
    assert again.certificate.cost == better.certificate.cost < 0.0


# shape and laws


def test_full_batteries_leave_max_participation_in_every_round() -> None:
    problem = instance(5, 5, 3, 1e3)
    counts = [
        -fl_opt.solve(MaxParticipation(network, 0.8, np.ones(5))).certificate.cost
        for network in problem.horizon
    ]
    certificate = fl_opt.solve(problem).certificate
    assert -certificate.cost == sum(counts)
    assert certificate.gap <= 1e-12


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
    [
        ({"gain": 0.0}, 0),
        ({"gain": [0.0, 1e-10, 1e-10]}, 4),
        ({"upload_bit": 0.0, "band_hz": 0.0}, 6),
        ({"upload_bit": [0.0, 3e5, 3e5], "band_hz": 0.0}, 2),
        ({"energy_j": 0.0}, 0),
        ({"cycles": 0.0}, 6),
    ],
)
@pytest.mark.parametrize("solver", ["crossed", "search"])
def test_corners(solver: str, changes: dict[str, Any], most: int) -> None:
    network = cell(1, 3, **({"gain": np.full(3, 1e-10)} | changes))
    if network.size == 1:
        network = cell(1, 3).replace(**changes)
    answer = fl_opt.solve(LongTermEnergy((network, network), 0.8, 1.0, steps=5), solver)
    assert answer.allocation.selected.sum() == most
    assert answer.certificate.feasible
    assert answer.certificate.bound <= answer.certificate.cost


def test_an_empty_battery_and_a_worthless_round_take_no_part() -> None:
    network = cell(1, 3).replace(gain=1e-10)
    for solver in ("crossed", "search"):
        problem = LongTermEnergy((network,) * 3, 0.8, [0.0, 1e3, 1e3], [1.0, 0.0, 2.0], 5)
        answer = fl_opt.solve(problem, solver)
        assert -answer.certificate.cost == pytest.approx(6.0, rel=1e-12)
        assert not answer.allocation.selected[:, 0].any()
        poor = fl_opt.solve(LongTermEnergy((network,) * 2, 0.8, 0.0), solver)
        assert poor.certificate.cost == poor.certificate.bound == 0.0


def test_a_battery_without_energy_pays_for_those_who_need_none() -> None:
    network = cell(1, 2).replace(upload_bit=0.0, cycles=0.0)
    answer = fl_opt.solve(LongTermEnergy((network,) * 2, 0.8, 0.0), "crossed")
    assert answer.certificate.cost == answer.certificate.bound == -4.0


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
