"""Local accuracy and rounds: closed forms, conic scans, supporting lines, laws, refusals."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fdma_rounds import cell, mixed
from mpmath import mp
from scipy.optimize import minimize_scalar

import fl_opt
from benchmarks.instances import draw
from fl_opt import (
    AccuracyPlan,
    Infeasible,
    InvalidInput,
    LocalAccuracy,
    LocalAccuracyTime,
    MinEnergy,
    MinRoundTime,
    Network,
    solve,
)
from fl_opt.allocation import use
from fl_opt.problem_file import read_problem
from fl_opt.solvers.nested import NestedSearch

Solution = fl_opt.Solution[AccuracyPlan]


def drawn(some: int) -> pytest.MarkDecorator:
    """Seeds: a few in every run, more in the slow one."""
    more = (pytest.param(seed, marks=pytest.mark.slow) for seed in range(some, 12))
    return pytest.mark.parametrize("seed", [*range(some), *more])


def longer(seed: int, most: float) -> float:
    """How many times the shortest time a training may take."""
    return math.exp(np.random.default_rng((seed, 6)).uniform(0.01, math.log(most)))


def published(seed: int, size: int) -> LocalAccuracyTime:
    """A round of the published law that some length suffices for, its work cut into steps."""
    return _first(seed, lambda at: draw(at, size).network)


def cornered(seed: int, size: int) -> LocalAccuracyTime:
    """The same with the corners of `mixed`."""
    return _first(seed, lambda at: mixed(at, size)[0])


def _first(seed: int, network: Callable[[int], Network]) -> LocalAccuracyTime:
    rng = np.random.default_rng((seed, 5))
    rounds, steps = float(10.0 ** rng.uniform(0.0, 3.0)), float(10.0 ** rng.uniform(-1.0, 2.0))
    while True:
        here = network(seed)
        here = here.replace(cycles=here.cycles / steps)
        seed += 1_000_003
        if not (here.cycles.any() and here.upload_bit.any()):
            continue
        problem = LocalAccuracyTime(here, rounds, steps)
        try:
            problem.span()
        except Infeasible:
            continue
        return problem


def freed(seed: int, size: int) -> LocalAccuracyTime:
    """One of the published law without limits on energy, which is solved faster."""
    return _first(seed, lambda at: draw(at, size).network.replace(energy_j=math.inf))


def by(problem: LocalAccuracyTime, training_s: float) -> LocalAccuracy:
    return LocalAccuracy(problem.network, problem.exact_rounds, problem.halving_steps, training_s)


def certified(problem: LocalAccuracy | LocalAccuracyTime, gap: float = 1e-8) -> Solution:
    solution: Solution = solve(problem)
    proof = solution.certificate
    assert proof.feasible, proof.violation
    assert proof.proof == "dual"
    assert proof.bound <= proof.cost
    assert proof.gap <= gap
    return solution


def at_accuracy(problem: LocalAccuracy | LocalAccuracyTime, eta: float) -> tuple[Network, float]:
    """The round of a local accuracy and the number of rounds, from the program as it stands."""
    network, rounds = problem.network, problem.exact_rounds / (1.0 - eta)
    cycles = problem.halving_steps * math.log2(1.0 / eta) * network.cycles
    return network.replace(cycles=cycles), rounds


# independent methods agree


@pytest.mark.parametrize("seed", range(6))
def test_one_device_in_fifty_digits(seed: int) -> None:
    """Without an energy limit a round is v log2(1/eta) C/f + s/r, and m that is one equation."""
    rng = np.random.default_rng(seed)
    size = 1 + seed % 3  # identical devices share the band equally
    network = cell()[[0] * size].replace(cycles=10.0 ** rng.uniform(5.0, 9.0))
    rounds, steps = float(10.0 ** rng.uniform(-1.0, 3.0)), float(10.0 ** rng.uniform(-1.0, 2.0))
    solution = certified(LocalAccuracyTime(network, rounds, steps))
    with mp.workdps(50):
        band = mp.mpf(network.band_hz) / size
        snr = mp.mpf(network.gain[0]) * network.power_max_w[0] / (network.noise_w_hz[0] * band)
        upload = network.upload_bit[0] / (band * mp.log(1 + snr, 2))
        step = steps * mp.mpf(network.cycles[0]) / network.cpu_max_hz[0] / mp.log(2)

        def total(nats: Any) -> Any:
            return rounds / (1 - mp.exp(-nats)) * (step * nats + upload)

        nats = mp.findroot(
            lambda y: step * (mp.expm1(y) - y) - upload, mp.sqrt(2 * upload / step) / 2 + 1e-3
        )
        best = total(nats)
    assert abs(solution.certificate.cost / best - 1) < 1e-11
    assert solution.certificate.bound <= best
    assert solution.allocation.halvings == pytest.approx(float(nats / mp.log(2)), rel=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_one_device_by_plain_formulas(seed: int) -> None:
    """Least energy of one device: golden sections over eta, and for each over the split of time."""
    rng = np.random.default_rng(seed)
    network = cell(cycles=10.0 ** rng.uniform(5.0, 8.0))[[0]]
    gain, noise = float(network.gain[0]), float(network.noise_w_hz[0])
    problem = LocalAccuracyTime(network, 10.0 ** rng.uniform(0.0, 2.0), 5.0)
    training_s = solve(problem).certificate.cost * float(rng.choice([1.2, 3.0, 20.0]))

    def energy(eta: float) -> float:
        here, rounds = at_accuracy(problem, eta)
        work, length = float(here.cycles[0]), training_s / rounds

        def of_split(upload_s: float) -> float:
            power = noise * 2e6 / gain * math.expm1(3e5 * math.log(2.0) / (upload_s * 2e6))
            clock = max(1e8, work / (length - upload_s))
            late = max(power / 0.2 - 1.0, 0.0) + max(clock / 2e9 - 1.0, 0.0)
            return rounds * (1e-28 * work * clock**2 + power * upload_s) * (1.0 + 1e3 * late)

        low = 3e5 / (2e6 * math.log2(1.0 + 0.2 * gain / (noise * 2e6)))
        high = length - work / 2e9
        if high <= low:
            return math.inf
        found = minimize_scalar(of_split, bounds=(low, high), options={"xatol": 1e-12})
        return float(min(found.fun, of_split(low), of_split(high)))

    near = solve(by(problem, training_s)).allocation.local_accuracy
    grid = np.linspace(0.3 * near, near + 0.7 * (1.0 - near), 60)
    start = float(grid[np.argmin([energy(float(eta)) for eta in grid])])
    width = float(grid[1] - grid[0])
    found = minimize_scalar(energy, bounds=(start - width, start + width), options={"xatol": 1e-12})
    solution = certified(by(problem, training_s))
    assert solution.certificate.cost == pytest.approx(found.fun, rel=1e-7)
    assert solution.certificate.bound <= found.fun * (1.0 + 1e-9)


def agrees(problem: LocalAccuracy | LocalAccuracyTime, tolerance: float) -> Solution:
    """The search, no dearer than the conic program of everything at once, and no cheaper."""
    ours: Solution = solve(problem)
    theirs = solve(problem, "cvxpy").certificate
    assert (theirs.feasible, theirs.proof) == (True, "none"), theirs.violation
    assert ours.certificate.cost == pytest.approx(theirs.cost, rel=tolerance)
    assert ours.certificate.bound <= theirs.cost * (1.0 + 1e-9)
    return ours


@drawn(2)
@pytest.mark.parametrize("law", ["published", "cornered"])
def test_equals_one_conic_program(law: str, seed: int) -> None:
    problem = {"published": published, "cornered": cornered}[law](seed, 1 + seed % 4)
    shortest = agrees(problem, 1e-7)
    agrees(by(problem, longer(seed, 30.0) * shortest.certificate.cost), 1e-7)


def test_the_conic_program_refuses_like_the_search() -> None:
    problem = LocalAccuracyTime(cell(cycles=2e7), 20.0, 10.0)
    shortest = agrees(problem, 1e-8).certificate.cost
    with pytest.raises(Infeasible, match="Clarabel proves"):
        solve(by(problem, 0.9 * shortest), "cvxpy")
    with pytest.raises(Infeasible, match=r"network\.cycles is 0 for all devices"):
        solve(LocalAccuracyTime(cell(cycles=0.0), 20.0, 10.0), "cvxpy")


@drawn(2)
def test_no_accuracy_of_a_grid_is_better(seed: int) -> None:
    problem, slack = freed(seed, 1 + seed % 4), longer(seed, 30.0)
    shortest = certified(problem)
    whole = by(problem, slack * shortest.certificate.cost)
    thrifty = certified(whole)
    for eta in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        network, rounds = at_accuracy(problem, eta)
        try:
            length = solve(MinRoundTime(network)).certificate.cost
        except Infeasible:
            continue
        assert rounds * length >= shortest.certificate.bound
        if rounds * length <= whole.training_s:
            inner = solve(MinEnergy(network, whole.training_s / rounds)).certificate
            assert rounds * inner.cost >= thrifty.certificate.bound * (1.0 - 1e-12)


# the proof is tight and never false


@drawn(2)
def test_corners_are_solved_to_a_millionth(seed: int) -> None:
    problem, slack = cornered(seed, 1 + seed % 4), longer(seed, 100.0)
    shortest = certified(problem, 1e-6)
    certified(by(problem, slack * shortest.certificate.cost), 1e-6)


@drawn(1)
def test_lines_support_both_costs_everywhere(seed: int) -> None:
    problem = published(seed, 3 - seed % 3)
    solution = solve(problem)
    best = solution.allocation.rounds - problem.exact_rounds
    search = NestedSearch()
    where = best * np.geomspace(0.2, 20.0, 7)
    where = where[where > problem.span()[0]]
    whole = by(problem, 3.0 * solution.certificate.cost)
    for stated in (problem, whole):
        found = []
        for x in where:
            try:
                answer = search.fixed(stated, float(x), None)
            except Infeasible:
                continue
            found.append((float(x), answer, stated.cost(answer.allocation)))
        for x, answer, here in found:
            line = stated.line(x, answer, float(where[-1]))
            assert line.value >= here * (1.0 - 1e-6)
            for other, _, cost in found:
                if stated is problem and cost > here:
                    continue  # lines of the time hold up to the time they are taken at
                assert line.value + line.slope * (other - x) <= cost * (1.0 + 1e-10)


@pytest.mark.parametrize(
    "slack",
    [
        1.0,
        1.0 + 1e-9,
        *(pytest.param(1.0 + d, marks=pytest.mark.slow) for d in (1e-12, 1e-6, 1e-3)),
    ],
)
def test_at_the_shortest_time_the_proof_still_holds(slack: float) -> None:
    problem = LocalAccuracyTime(cell(cycles=2e7), 20.0, 10.0)
    shortest = certified(problem)
    whole = by(problem, slack * shortest.certificate.cost)
    proof = solve(whole).certificate
    assert proof.feasible
    assert proof.bound <= proof.cost
    assert proof.gap <= 1e-3
    near = shortest.allocation.local_accuracy
    for eta in near + np.linspace(-1e-2, 1e-2, 9):
        network, rounds = at_accuracy(problem, float(eta))
        try:
            inner = solve(MinEnergy(network, whole.training_s / rounds))
        except Infeasible:
            continue
        assert rounds * inner.certificate.cost >= proof.bound * (1.0 - 1e-9)


# the known shape


@drawn(2)
def test_the_least_time_is_convex_in_the_rounds(seed: int) -> None:
    problem = freed(seed, 1 + seed % 5)
    best = solve(problem).allocation.rounds
    low = problem.exact_rounds + problem.span()[0]
    rounds = np.linspace(max(0.5 * (best + low), low), 3.0 * best, 9)[1:]
    cost = []
    for m in rounds:
        network, _ = at_accuracy(problem, 1.0 - problem.exact_rounds / float(m))
        cost.append(float(m) * solve(MinRoundTime(network)).certificate.cost)
    assert np.all(np.diff(cost, 2) >= -1e-9 * cost[0])


def test_dear_training_is_left_rough_and_dear_radio_makes_it_exact() -> None:
    accuracy = [
        certified(LocalAccuracyTime(cell(cycles=work), 20.0, 10.0)).allocation.local_accuracy
        for work in (1e4, 1e6, 1e8, 1e10)
    ]
    assert np.all(np.diff(accuracy) > 0.0)
    assert accuracy[0] < 0.05
    assert accuracy[-1] > 0.95


def test_more_time_costs_less_energy_convexly_and_the_price_is_the_slope() -> None:
    problem = LocalAccuracyTime(cell(cycles=2e7), 20.0, 10.0)
    times = np.linspace(7.0, 20.0, 7)
    found = [certified(by(problem, float(t))) for t in times]
    energy = np.array([solution.certificate.cost for solution in found])
    assert np.all(np.diff(energy) < 0.0)
    assert np.all(np.diff(energy, 2) > 0.0)
    price = [solution.prices["training"] for solution in found]
    steep = -np.diff(energy) / np.diff(times)
    assert np.all(np.array(price[:-1], float) >= steep)
    assert np.all(np.array(price[1:], float) <= steep)


def test_the_price_of_band_is_the_slope() -> None:
    problem = by(LocalAccuracyTime(cell(cycles=2e7), 20.0, 10.0), 10.0)
    for stated in (problem, problem.premise):
        price = solve(stated).prices["band"]
        assert isinstance(price, float)
        network, change = problem.network, 2e2
        wide, slim = (
            dataclasses.replace(stated, network=network.replace(band_hz=band))
            for band in (2e6 + change, 2e6 - change)
        )
        slope = (solve(slim).certificate.cost - solve(wide).certificate.cost) / (2.0 * change)
        assert price == pytest.approx(slope, rel=1e-4)


# laws


@drawn(1)
def test_rounds_scale_and_only_the_work_of_a_halving_counts(seed: int) -> None:
    one = freed(seed, 3 - seed % 3)
    factor = 10.0 ** np.random.default_rng(seed).uniform(-1.0, 1.0)
    network, rounds, steps = one.network, one.exact_rounds, one.halving_steps
    cost = certified(one).certificate.cost
    more = certified(LocalAccuracyTime(network, factor * rounds, steps)).certificate.cost
    assert more == pytest.approx(factor * cost, rel=2e-8)
    slower = network.replace(cycles=network.cycles / factor)
    same = certified(LocalAccuracyTime(slower, rounds, factor * steps)).certificate.cost
    assert same == pytest.approx(cost, rel=2e-8)
    energy = certified(by(one, 2.0 * cost)).certificate.cost
    twice = LocalAccuracy(network, factor * rounds, steps, 2.0 * factor * cost)
    assert certified(twice).certificate.cost == pytest.approx(factor * energy, rel=2e-8)


@drawn(1)
def test_order_does_not_matter_and_more_never_hurts(seed: int) -> None:
    one, rng = freed(seed, 4), np.random.default_rng(seed)
    order, more = rng.permutation(4), float(rng.uniform(1.1, 5.0))
    base = certified(one)
    turned = LocalAccuracyTime(one.network[order], one.exact_rounds, one.halving_steps)
    assert certified(turned).certificate.cost == pytest.approx(base.certificate.cost, rel=2e-8)
    whole = by(one, 1.5 * base.certificate.cost)
    least = certified(whole).certificate.cost
    for name in ("band_hz", "energy_j"):
        better = one.network.replace(**{name: more * getattr(one.network, name)})
        two = LocalAccuracyTime(better, one.exact_rounds, one.halving_steps)
        assert certified(two).certificate.bound <= base.certificate.cost
        assert certified(by(two, whole.training_s)).certificate.bound <= least


# corner cases


@pytest.mark.parametrize("slack", [1.1, pytest.param(1e4, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "changes",
    [
        {"upload_bit": [3e5, 0.0, 3e5]},
        pytest.param(
            {"upload_bit": [3e5, 0.0, 0.0], "cycles": [1e5, 2e8, 1e6]}, marks=pytest.mark.slow
        ),
        {"cycles": [0.0, 2e7, 0.0]},
        {"cpu_min_hz": 0.0},
        {"cpu_min_hz": 2e9},
        pytest.param({"energy_j": 0.05}, marks=pytest.mark.slow),
        {"energy_j": 1e-4, "cpu_min_hz": 0.0},
        {"power_max_w": np.inf, "energy_j": 0.05},
        {"band_hz": 1e12},
        {"cycles": 1e-3},
        {"cycles": 1e14},
    ],
)
def test_corner_cases(changes: dict[str, Any], slack: float) -> None:
    problem = LocalAccuracyTime(cell(**{"cycles": 2e7, **changes}), 20.0, 10.0)
    shortest = certified(problem, 1e-7)
    certified(by(problem, slack * shortest.certificate.cost), 1e-7)


def test_a_device_that_only_trains_can_set_the_time() -> None:
    """Its m log2(1/eta) falls with the rounds, the uploads of the other rise with them."""
    network = cell(cycles=[0.0, 2e7, 0.0], upload_bit=[3e5, 0.0, 3e5])
    problem = LocalAccuracyTime(network, 20.0, 10.0)
    shortest = certified(problem)
    plan = shortest.allocation
    used = use(network, plan.allocation)
    assert used.finish_s == pytest.approx(used.finish_s[1], rel=1e-6)
    for slack in (1.1, 1e4):
        certified(by(problem, slack * shortest.certificate.cost), 1e-7)


def test_the_slowest_clock_bounds_the_accuracy() -> None:
    """With E = kappa C f_min^2 v h + floor, local training halves the error less than h times."""
    network = cell(cycles=2e7, cpu_min_hz=1e9)
    floor = network.noise_w_hz * network.upload_bit * math.log(2.0) / network.gain
    heat = 1e-28 * 2e7 * 1e18
    network = network.replace(energy_j=floor + 10.0 * heat * 0.3)
    plan = certified(LocalAccuracyTime(network, 20.0, 10.0)).allocation
    assert plan.halvings < 0.3


def test_a_plan_becomes_rounds() -> None:
    problem = by(LocalAccuracyTime(cell(cycles=2e7), 20.0, 10.0), 10.0)
    solution = certified(problem)
    plan = solution.allocation
    assert plan.rounds == pytest.approx(20.0 / (1.0 - plan.local_accuracy), rel=1e-12)
    round_ = plan.to_round(problem.network)
    used = use(problem.network, round_)
    assert plan.rounds * used.energy_j.sum() == pytest.approx(solution.certificate.cost, rel=1e-12)
    assert plan.rounds * used.finish_s.max() <= 10.0 * (1.0 + 1e-12)
    assert len(plan.to_frame()) == 3
    assert "takes part: 3 of 3" in str(solution)


def test_claims_do_not_count() -> None:
    problem = by(LocalAccuracyTime(cell(cycles=2e7), 20.0, 10.0), 10.0)
    plan = solve(problem).allocation
    lazy = AccuracyPlan(plan.halvings, 0.9 * plan.rounds, plan.allocation)
    assert set(fl_opt.verify(problem, lazy).violation) == {"accuracy"}
    idle = AccuracyPlan(plan.halvings, plan.rounds, plan.allocation.replace(cycles=0.0))
    assert fl_opt.verify(problem, idle).cost == solve(problem).certificate.cost
    slack = AccuracyPlan(plan.halvings, 1.1 * plan.rounds, plan.allocation)
    assert set(fl_opt.verify(problem, slack).violation) == {"training"}


def test_is_a_policy_and_can_be_stated_in_a_file(tmp_path: Path) -> None:
    policy = fl_opt.Optimised(partial(LocalAccuracyTime, exact_rounds=20.0, halving_steps=10.0))
    now = fl_opt.Round(cell(cycles=2e7), 0, np.random.default_rng(0))
    round_, memory = policy.decide(now, policy.start(3, np.random.default_rng(1)))
    assert round_.selected.all()
    assert memory.solution.allocation.to_round(now.network) is round_
    cell(cycles=2e7).to_csv(tmp_path / "cell.csv")
    text = 'problem = "LocalAccuracy"\nnetwork = "cell.csv"\nexact_rounds = 20\n'
    (tmp_path / "it.toml").write_text(text + "halving_steps = 10\ntraining_s = 10\n")
    stated = read_problem(tmp_path / "it.toml").problem
    assert certified(stated).certificate.cost > 0.0


# refusals


def test_too_little_time_names_what_cures() -> None:
    problem = LocalAccuracyTime(cell(cycles=2e7), 20.0, 10.0)
    shortest = solve(problem).certificate.cost
    with pytest.raises(Infeasible, match=r"training takes at least .* training_s is 5 s") as answer:
        solve(by(problem, 5.0))
    cure = answer.value.relaxations["training_s"]
    assert answer.value.constraint == "training"
    assert cure == pytest.approx(shortest, rel=1e-8)
    assert cure is not None
    certified(by(problem, cure), 1e-3)


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"gain": [1e-10, 0.0, 1e-10]}, "power_max"),
        ({"energy_j": [1.0, 1e-9, 1.0]}, "energy"),
        ({"band_hz": 0.0}, "band"),
    ],
)
def test_impossible_however_long(changes: dict[str, Any], constraint: str) -> None:
    problem = LocalAccuracyTime(cell(**changes), 20.0, 10.0)
    for stated in (problem, by(problem, 1e9)):
        with pytest.raises(Infeasible) as answer:
            solve(stated)
        assert answer.value.constraint == constraint


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"cycles": 0.0}, "network.cycles is 0 for all devices: more exact training costs nothing"),
        ({"upload_bit": 0.0}, "network.upload_bit is 0 for all devices: a further round costs"),
    ],
)
def test_where_no_accuracy_is_best_it_says_so_and_a_policy_falls_back(
    changes: dict[str, Any], text: str
) -> None:
    network = cell(**changes)
    problem = LocalAccuracyTime(network, 20.0, 10.0)
    for stated in (problem, by(problem, 1e9)):
        with pytest.raises(Infeasible, match=text) as answer:
            solve(stated)
        assert answer.value.constraint == "accuracy"
        assert answer.value.devices.tolist() == [0, 1, 2]
    formulate = partial(LocalAccuracy, exact_rounds=20.0, halving_steps=10.0, training_s=1e9)
    policy = fl_opt.Optimised(formulate, fallback=fl_opt.policies.Everyone())
    now = fl_opt.Round(network, 0, np.random.default_rng(0))
    round_, memory = policy.decide(now, policy.start(3, np.random.default_rng(1)))
    assert round_.selected.all()
    assert text in memory.note


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((cell(), 0.0, 1.0, 1.0), "exact_rounds is 0"),
        ((cell(), 1.0, -1.0, 1.0), "halving_steps is -1"),
        ((cell(), 1.0, 1.0, math.inf), "training_s is inf"),
        ((cell(power_max_w=math.inf), 1.0, 1.0, 1.0), "without a limit on energy"),
        (("cell", 1.0, 1.0, 1.0), "network is str"),
    ],
)
def test_refuses_what_is_no_training(arguments: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        LocalAccuracy(*arguments)
