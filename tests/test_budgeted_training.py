"""Set and length of a round together: all sets tried, the staircase, laws, corners, the greedy."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_max_participation import network, still

import fl_opt
from fl_opt import (
    BudgetedTraining,
    Infeasible,
    InvalidInput,
    LeastTimeGreedy,
    MaxParticipation,
    Network,
    RoundsModel,
)
from fl_opt.frontier import staircase
from fl_opt.problem_file import read_problem
from fl_opt.problems._horizon import able
from fl_opt.solvers.steps import Steps
from fl_opt.units import Floats

seeds = st.integers(0, 2**32)


def stated(seed: int, size: int, energy: bool = True) -> BudgetedTraining:
    """A random cell, utility and model of the rounds; somebody can take part."""
    rng = np.random.default_rng(seed)
    cell = network(rng, size)
    while not able(cell).any():
        cell = network(rng, size)
    if not energy:
        cell = cell.replace(energy_j=math.inf)
    utility = [None, 1.0, rng.exponential(1.0, size)][rng.integers(3)]
    worth = np.broadcast_to(cell.samples if utility is None else utility, size)
    power = float(rng.choice([0.5, 1.0, 2.0]))
    shared = 20.0 * float((worth.sum() * rng.uniform(0.1, 3.0)) ** power)
    return BudgetedTraining(cell, RoundsModel(20.0, shared, power), utility)


def worth_of(problem: BudgetedTraining) -> Floats:
    utility = problem.network.samples if problem.utility is None else problem.utility
    return np.array(np.broadcast_to(np.asarray(utility, dtype=float), problem.network.size))


def certified(problem: BudgetedTraining) -> fl_opt.Solution[fl_opt.Allocation]:
    solution = fl_opt.solve(problem)
    proof = solution.certificate
    assert solution.solver == "steps"
    assert proof.feasible, proof.violation
    assert proof.bound <= proof.cost
    assert proof.gap <= 1e-9
    return solution


def all_rounds_s(cell: Network) -> tuple[Floats, Floats]:
    """Masks (2^K, K) of all sets and their shortest rounds [s], without energy limits.

    Bisection of the length, and within it of every bandwidth, from the rate law alone.
    """
    size = cell.size
    sets = (np.arange(2**size)[:, None] >> np.arange(size)) % 2 == 1
    training = cell.cycles / cell.cpu_max_hz
    snr = cell.gain * cell.power_max_w / cell.noise_w_hz

    def needed(length: Floats) -> Floats:
        left = length[:, None] - training
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            rate = np.where(left > 0.0, cell.upload_bit / left, np.inf)
            possible = rate * math.log(2.0) < snr
            low, high = np.zeros(rate.shape), np.where(possible, rate, 0.0)
            for _ in range(60):
                short = possible & (high * np.log2(1.0 + snr / high) < rate)
                low, high = np.where(short, high, low), np.where(short, 2.0 * high, high)
            for _ in range(60):
                middle = 0.5 * (low + high)
                enough = middle * np.log2(1.0 + snr / middle) >= rate
                low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        idle = np.where(left >= 0.0, 0.0, np.inf)
        band = np.where(cell.upload_bit > 0.0, np.where(possible, high, np.inf), idle)
        return np.asarray(np.sum(np.where(sets, band, 0.0), axis=1))

    low, high = np.full(len(sets), 1e-9), np.full(len(sets), 1e6)
    for _ in range(60):
        middle = np.sqrt(low * high)
        fits = needed(middle) <= cell.band_hz
        low, high = np.where(fits, low, middle), np.where(fits, middle, high)
    return sets, high


# independent methods agree


@pytest.mark.parametrize("energy", [False, True])
@pytest.mark.parametrize(
    "seed", [0, 3, *(pytest.param(n, marks=pytest.mark.slow) for n in range(4, 16))]
)
def test_equals_the_best_of_all_sets(seed: int, energy: bool) -> None:
    problem = stated(seed, 2 + seed % 6, energy)
    solution, reference = certified(problem), fl_opt.solve(problem, "enumerate").certificate
    assert reference.feasible, reference.violation
    assert (reference.proof, reference.gap < 1e-7) == ("enumeration", True)
    assert solution.certificate.cost == pytest.approx(reference.cost, rel=1e-8)
    assert solution.certificate.bound <= reference.cost
    assert reference.bound <= solution.certificate.cost


def test_all_sets_of_many_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at most 12 to try all their sets"):
        fl_opt.solve(BudgetedTraining(still(13), RoundsModel(1.0, 1.0)), "enumerate")


# the proof is tight and never false


@settings(max_examples=5, deadline=None)
@given(seeds, st.integers(1, 20))
def test_no_length_of_a_grid_is_better(seed: int, size: int) -> None:
    problem = stated(seed, size)
    solution = certified(problem)
    best = solution.allocation.deadline_s
    for factor in np.geomspace(0.1, 10.0, 7):
        there = fl_opt.solve(MaxParticipation(problem.network, best * factor, problem.utility))
        if there.allocation.selected.any():
            assert problem.cost(there.allocation) >= solution.certificate.bound


def test_out_of_intervals_it_certifies_what_it_reached() -> None:
    problem = stated(3, 40)
    exact = certified(problem).certificate
    rough = fl_opt.solve(problem, Steps(intervals=2)).certificate
    assert rough.feasible
    assert rough.bound <= exact.cost <= rough.cost
    assert rough.gap > 1e-9
    loose = fl_opt.solve(problem, Steps(gap=0.1)).certificate
    assert loose.gap <= 0.1
    assert loose.bound <= exact.cost


def test_a_time_limit_is_kept_and_the_bound_true() -> None:
    problem = stated(5, 200)
    quick = fl_opt.solve(problem, time_limit_s=1e-6).certificate
    assert quick.feasible
    assert quick.bound <= certified(problem).certificate.cost


# the known shape


@pytest.mark.parametrize("seed", range(6))
def test_by_number_the_best_is_one_of_a_bisection_for_each(seed: int) -> None:
    """For a number j the shortest round is the least T at which the j least bandwidths fit."""
    rng = np.random.default_rng(seed)
    cell = network(rng, 8).replace(energy_j=math.inf)
    sets, length = all_rounds_s(cell)
    count = sets.sum(axis=1)
    model = RoundsModel(10.0, 100.0)
    fastest = np.array([length[count == j].min() for j in range(1, 9)])
    possible = fastest < 1e5
    cost = np.where(possible, fastest * model.rounds(np.arange(1, 9)), np.inf)
    solution = certified(BudgetedTraining(cell, model, 1.0))
    assert solution.certificate.cost == pytest.approx(cost.min(), rel=1e-8)
    assert solution.allocation.selected.sum() == np.argmin(cost) + 1


def test_more_worth_of_many_seats_more() -> None:
    cell = network(np.random.default_rng(2), 30)
    seated = []
    for shared in (0.0, 30.0, 1e3, 1e6):
        problem = BudgetedTraining(cell, RoundsModel(20.0, shared), 1.0)
        seated.append(int(certified(problem).allocation.selected.sum()))
    assert seated == sorted(seated)
    assert seated[0] == 1
    assert seated[-1] > 5


def test_rounds_that_do_not_depend_on_the_set_are_those_of_the_fastest_device() -> None:
    problem = BudgetedTraining(still(4, cycles=[2e8, 1e8, 4e8, 8e8]), RoundsModel(7.0, 0.0))
    solution = certified(problem)
    assert solution.allocation.selected.tolist() == [False, True, False, False]
    alone = fl_opt.solve(fl_opt.MinRoundTime(problem.network[[1]])).certificate.cost
    assert solution.certificate.cost == pytest.approx(7.0 * alone, rel=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_the_staircase_is_that_of_all_sets(seed: int) -> None:
    problem = stated(10 + seed, 6, energy=False)
    worth = worth_of(problem)
    sets, length = all_rounds_s(problem.network)
    value = sets @ worth
    last = float(length[length < 1e5].max()) * 1.01
    best: list[tuple[float, float]] = []
    for k in np.argsort(length):
        if value[k] > (best[-1][1] if best else 0.0) * (1.0 + 1e-9) and length[k] < last:
            if best and length[k] <= best[-1][0] * (1.0 + 1e-9):
                best.pop()
            best.append((float(length[k]), float(value[k])))
    steps = list(staircase(problem.network, last, utility=problem.utility))[::-1]
    assert [step.utility for step in steps] == pytest.approx([u for _, u in best], rel=1e-9)
    assert [step.round_s for step in steps] == pytest.approx([t for t, _ in best], rel=1e-8)
    for step in steps:
        assert step.bound_s <= step.round_s
        assert step.utility <= step.utility_bound <= step.utility * (1.0 + 1e-8)
        assert worth[step.selected].sum() == pytest.approx(step.utility, rel=1e-12)


def test_the_best_training_is_a_step_of_the_staircase() -> None:
    problem = stated(4, 14)
    solution = certified(problem)
    last = 10.0 * float(solution.allocation.deadline_s)
    steps = list(staircase(problem.network, last, utility=problem.utility))
    cost = [step.round_s * float(problem.convergence.rounds(step.utility)) for step in steps]
    assert min(cost) == pytest.approx(solution.certificate.cost, rel=1e-9)


def test_a_staircase_ends_where_it_is_told() -> None:
    cell = network(np.random.default_rng(1), 10)
    steps = list(staircase(cell, 2.0, 1.0))
    assert all(1.0 <= step.round_s <= 2.0 or step is steps[-1] for step in steps)
    with pytest.raises(InvalidInput, match="shortest_s"):
        next(staircase(cell, 1.0, 2.0))


# laws


@settings(max_examples=3, deadline=None)
@given(seeds, st.integers(1, 8), st.floats(1.0, 4.0))
def test_laws_of_band_order_and_units(seed: int, size: int, more: float) -> None:
    problem = stated(seed, size)
    cell, model, utility = problem.network, problem.convergence, worth_of(problem)
    base = certified(problem).certificate.cost
    wider = BudgetedTraining(cell.replace(band_hz=more * cell.band_hz), model, utility)
    assert certified(wider).certificate.cost <= base * (1.0 + 1e-9)
    order = np.random.default_rng(seed).permutation(size)
    turned = BudgetedTraining(cell[order], model, utility[order])
    assert certified(turned).certificate.cost == pytest.approx(base, rel=1e-9)
    unit = RoundsModel(more * model.fixed, more ** (1.0 + model.power) * model.shared, model.power)
    scaled = BudgetedTraining(cell, unit, more * utility)
    assert certified(scaled).certificate.cost == pytest.approx(more * base, rel=1e-9)


# corner cases


@pytest.mark.parametrize(
    ("cell", "utility", "expected"),
    [
        (still(1), None, [True]),
        (still(2, gain=[0.0, 1e-10]), None, [False, True]),
        (still(2, energy_j=[1e-9, 1.0]), None, [False, True]),
        (still(2), [-1.0, 1.0], [False, True]),
        (still(2, upload_bit=[0.0, 3e5], band_hz=0.0), None, [True, False]),
        (still(3, upload_bit=0.0), None, [True] * 3),
        (still(3, cycles=0.0, band_hz=1e12), None, [True] * 3),
        (still(2, power_max_w=[np.inf, 0.2], energy_j=[1e-2, np.inf]), [1e9, 1.0], [True, False]),
    ],
)
def test_corner_cases(cell: Network, utility: Any, expected: list[bool]) -> None:
    problem = BudgetedTraining(cell, RoundsModel(1.0, 1e6), utility)
    assert certified(problem).allocation.selected.tolist() == expected


def test_identical_devices_take_part_up_to_the_best_number() -> None:
    cell = still(12)
    model = RoundsModel(10.0, 60.0)
    alone = [
        fl_opt.solve(fl_opt.MinRoundTime(cell[np.arange(12) <= j])).certificate.cost
        for j in range(12)
    ]
    cost = np.array(alone) * model.rounds(np.arange(1, 13))
    solution = certified(BudgetedTraining(cell, model, 1.0))
    assert solution.certificate.cost == pytest.approx(cost.min(), rel=1e-9)
    assert solution.allocation.selected.sum() == np.argmin(cost) + 1


def test_nothing_to_do_takes_no_time() -> None:
    solution = fl_opt.solve(
        BudgetedTraining(still(2, cycles=0.0, upload_bit=0.0), RoundsModel(1.0, 1.0))
    )
    assert solution.certificate.cost == 0.0
    assert solution.certificate.feasible


def test_is_a_policy_and_can_be_stated_in_a_file(tmp_path: Path) -> None:
    cell = network(np.random.default_rng(3), 6)
    policy = fl_opt.Optimised(partial(BudgetedTraining, convergence=RoundsModel(10.0, 1e3)))
    rng = np.random.default_rng(0)
    round_, memory = policy.decide(fl_opt.Round(cell, 0, rng), policy.start(6, rng))
    assert round_ is memory.solution.allocation
    cell.to_csv(tmp_path / "cell.csv")
    text = 'problem = "BudgetedTraining"\nnetwork = "cell.csv"\nutility = 1\n'
    (tmp_path / "it.toml").write_text(text + "[convergence]\nfixed = 10\nshared = 100\n")
    found = read_problem(tmp_path / "it.toml").problem
    assert found.convergence == RoundsModel(10, 100)
    certified(found)


# the greedy rule


@pytest.mark.parametrize("count", [False, True])
def test_the_greedy_is_feasible_and_never_better(count: bool) -> None:
    lost = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        cell = network(rng, 8)
        model = RoundsModel(5.0, 60.0 if count else 60.0 * float(cell.samples.mean()))
        problem = BudgetedTraining(cell, model, 1.0 if count else None)
        policy = LeastTimeGreedy(model, count)
        greedy, _ = policy.decide(fl_opt.Round(cell, 0, rng), None)
        proof = fl_opt.verify(problem, greedy)
        assert proof.feasible, proof.violation
        best = certified(problem).certificate
        assert proof.cost >= best.bound
        lost += proof.cost > best.cost * (1.0 + 1e-6)
    assert lost > 0 or count


@pytest.mark.parametrize("seed", range(4))
def test_the_greedy_adds_who_lengthens_the_round_least(seed: int) -> None:
    """Step by step against all sets; with shared rounds only, it goes on to the end."""
    rng = np.random.default_rng(seed)
    cell = network(rng, 6).replace(energy_j=math.inf, samples=1.0)
    _, length = all_rounds_s(cell)
    model = RoundsModel(3.0, 40.0)
    chosen = np.zeros(6, dtype=bool)
    training = math.inf
    while not chosen.all():
        larger = np.flatnonzero(~chosen)
        codes = [int(np.sum(2 ** np.flatnonzero(chosen | (np.arange(6) == k)))) for k in larger]
        best = int(np.argmin(length[codes]))
        longer = float(length[codes[best]] * model.rounds(chosen.sum() + 1))
        if longer >= training or length[codes[best]] > 1e5:
            break
        training = longer
        chosen[larger[best]] = True
    greedy, _ = LeastTimeGreedy(model, count=True).decide(fl_opt.Round(cell, 0, rng), None)
    assert greedy.selected.tolist() == chosen.tolist()
    problem = BudgetedTraining(cell, model, 1.0)
    assert problem.cost(greedy) == pytest.approx(training, rel=1e-8)


def test_the_greedy_needs_a_model() -> None:
    with pytest.raises(InvalidInput, match=r"LeastTimeGreedy\.convergence is int"):
        LeastTimeGreedy(3)


# refusals


@pytest.mark.parametrize(
    ("cell", "utility", "constraint"),
    [
        (still(2, gain=0.0), None, "power_max"),
        (still(2, energy_j=1e-9), None, "energy"),
        (still(2, band_hz=0.0), None, "band"),
        (still(2), [0.0, -1.0], "utility"),
        (still(2, gain=[0.0, 1e-10]), [1.0, 0.0], "power_max"),
    ],
)
def test_nobody_can_take_part(cell: Network, utility: Any, constraint: str) -> None:
    with pytest.raises(Infeasible) as answer:
        fl_opt.solve(BudgetedTraining(cell, RoundsModel(1.0, 1.0), utility))
    assert answer.value.constraint == constraint


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: RoundsModel(-1.0, 1.0), "fixed is -1"),
        (lambda: RoundsModel(0.0, 0.0), r"fixed \+ shared is 0"),
        (lambda: RoundsModel(1.0, 1.0, 0.0), "power is 0"),
        (lambda: BudgetedTraining(still(2), 5), "convergence is int"),
        (lambda: BudgetedTraining(still(2), RoundsModel(1, 1), [1.0, math.nan]), "utility"),
        (
            lambda: BudgetedTraining(still(2, power_max_w=math.inf), RoundsModel(1, 1)),
            "without a limit on energy",
        ),
        (lambda: Steps(intervals=0), "intervals is 0"),
    ],
)
def test_refuses_what_is_no_training(make: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        make()
