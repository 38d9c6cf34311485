"""Compression levels: the knapsack against enumeration and HiGHS, its shape, laws and corners."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from still_world import network

import fl_opt
from fl_opt import CompressionLevels, Infeasible, InvalidInput, Network
from fl_opt import compression_laws as laws
from fl_opt.problems._reference import least_bandwidth_hz
from fl_opt.units import Floats

SIZE = 10_000
MENUS = (
    [laws.qsgd(SIZE, s) for s in (1, 3, 7, 31)],
    [*(laws.top_k(SIZE, k) for k in (10, 100, 1000)), laws.sign(SIZE, laws.GAUSSIAN)],
    [laws.top_k(SIZE, 10), laws.qsgd(SIZE, 4), laws.full(SIZE)],
)


def cell(rng: np.random.Generator, size: int, load: float = 3.0) -> Network:
    """Devices of a cell, some weak, some short of energy; 1/load of what full updates need."""
    loss_db = 128.1 + 37.6 * np.log10(rng.uniform(0.02, 0.8, size)) + rng.normal(0.0, 6.0, size)
    drawn = Network(
        gain=10.0 ** (-loss_db / 10.0) * rng.exponential(1.0, size),
        power_max_w=rng.choice([0.05, 0.2], size),
        cpu_min_hz=rng.choice([0.0, 1e8], size),
        cpu_max_hz=rng.uniform(1e9, 3e9, size),
        capacitance=1e-28,
        cycles=rng.uniform(0.0, 9e8, size),
        upload_bit=32.0 * SIZE,
        energy_j=np.where(rng.random(size) < 0.6, np.inf, 10.0 ** rng.uniform(-2.5, 0.0, size)),
        samples=rng.integers(10, 1000, size),
        band_hz=1.0,
    )
    needed = fl_opt.MaxParticipation(drawn, 1.0).items().weight
    usual = float(np.median(needed[np.isfinite(needed)])) if np.isfinite(needed).any() else 1e6
    return drawn.replace(band_hz=float(np.minimum(needed, 5.0 * usual).sum()) / load)


def instance(seed: int, size: int, silence: bool) -> CompressionLevels:
    rng = np.random.default_rng(seed)
    menu, drawn = MENUS[seed % 3], cell(rng, size, rng.uniform(0.3, 8.0))
    norm = rng.exponential(1.0, size)
    return CompressionLevels.from_levels(drawn, 1.0, menu, norm, silence=silence)


def best_by_hand(problem: CompressionLevels) -> float:
    """Least error over all choices, bandwidths and laws written out anew; inf where none fits."""
    size, count = problem.level_bit.shape
    hz = np.zeros((size, count + 1))
    error = np.zeros((size, count + 1))
    share = np.asarray(problem.weight)
    for k, at in itertools.product(range(size), range(count)):
        one = problem.network[np.array([k])].replace(upload_bit=problem.level_bit[k, at])
        hz[k, at] = least_bandwidth_hz(one, problem.deadline_s)[0]
        power = 2.0 if problem.unbiased[k, at] else 1.0
        error[k, at] = share[k] ** power * problem.level_error[k, at] * problem.update_norm[k] ** 2
    error[:, count] = share * problem.update_norm**2
    best = math.inf
    for choice in itertools.product(range(count + problem.silence), repeat=size):
        picked = (np.arange(size), np.array(choice))
        if hz[picked].sum() <= problem.network.band_hz:
            best = min(best, float(error[picked].sum()))
    return best


@pytest.mark.parametrize("seed", range(16))
def test_equals_enumeration_by_hand_the_solver_and_highs(seed: int) -> None:
    problem = instance(seed, 1 + seed % 4, silence=seed % 5 > 0)
    best = best_by_hand(problem)
    if best == math.inf:
        for solver in ("core", "enumerate", "mip"):
            with pytest.raises(Infeasible):
                fl_opt.solve(problem, solver=solver)
        return
    for solver, slack in (("core", 1e-9), ("enumerate", 1e-12), ("mip", 1e-7)):
        certificate = fl_opt.solve(problem, solver=solver).certificate
        assert certificate.feasible
        assert certificate.cost == pytest.approx(best, rel=slack, abs=1e-300)
        assert certificate.bound <= best * (1.0 + 1e-12)
        # HiGHS is exact to a tolerance of its largest coefficient
        room = slack * (float(problem.error.max()) + best if solver == "mip" else best)
        assert certificate.cost - certificate.bound <= 2.0 * room + 1e-300


@pytest.mark.parametrize(("seed", "silence"), [(0, True), (1, False), (2, True)])
def test_equals_highs_on_the_full_model(seed: int, silence: bool) -> None:
    problem = instance(seed, 30, silence)
    exact, full = fl_opt.solve(problem), fl_opt.solve(problem, solver="mip")
    assert exact.solver == "core"
    assert exact.certificate.cost == pytest.approx(full.certificate.cost, rel=1e-7)
    assert full.certificate.bound <= exact.certificate.cost
    assert exact.certificate.gap <= 1e-9


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=15, deadline=None)
def test_the_proof_is_tight_and_never_false(seed: int, silence: bool) -> None:
    problem = instance(seed, 40, silence)
    try:
        certificate = fl_opt.solve(problem).certificate
    except Infeasible:
        assert not silence
        return
    assert certificate.feasible
    assert certificate.bound <= certificate.cost
    assert certificate.gap <= 1e-6
    rng = np.random.default_rng(seed)
    for _ in range(10):
        anyone = problem._round(rng.integers(-silence, problem.level_bit.shape[1], 40))
        judged = fl_opt.verify(problem, anyone)
        assert not judged.feasible or judged.cost >= certificate.bound


def test_a_round_of_many_is_certified() -> None:
    for seed in range(3):
        assert fl_opt.solve(instance(seed, 3000, True)).certificate.gap <= 2e-9


def test_no_device_takes_more_bits_than_help() -> None:
    """With band for all, the least error wins; of equal errors nobody need pay for the heavier."""
    problem = CompressionLevels(network(3), 1.0, [2e5, 1e5, 3e5], [0.2, 0.5, 0.2])
    solution = fl_opt.solve(problem)
    assert solution.allocation.level.tolist() == [0, 0, 0]
    assert solution.certificate.cost == pytest.approx(0.2, rel=1e-15)
    assert solution.certificate.gap <= 1e-14


def test_better_channels_can_have_the_finer_levels() -> None:
    drawn = network(40, gain=np.geomspace(1e-13, 1e-9, 40), band_hz=1.2e5)
    problem = CompressionLevels.from_levels(drawn, 1.0, MENUS[0])
    solution = fl_opt.solve(problem)
    assert np.unique(solution.allocation.level).size >= 3
    ordered = problem._round(np.sort(solution.allocation.level))
    certificate = fl_opt.verify(problem, ordered)
    assert certificate.feasible
    assert certificate.cost == pytest.approx(solution.certificate.cost, rel=1e-14)


def test_heavier_updates_get_finer_levels() -> None:
    even = network(40, band_hz=1.2e5)
    problem = CompressionLevels.from_levels(even, 1.0, MENUS[0], np.linspace(0.1, 3.0, 40))
    level = fl_opt.solve(problem).allocation.level
    assert np.unique(level).size >= 3
    assert np.all(np.diff(level) >= 0)


def test_two_devices_solved_in_the_head() -> None:
    """The band carries one fine and one coarse update: the heavier device gets the fine one."""
    drawn = network(2, samples=[1.0, 3.0])
    fine, coarse = (least_bandwidth_hz(drawn.replace(upload_bit=s), 1.0)[0] for s in (4e5, 1e5))
    drawn = drawn.replace(band_hz=float(fine + coarse) * 1.01)
    solution = fl_opt.solve(CompressionLevels(drawn, 1.0, [1e5, 4e5], [0.5, 0.1], silence=False))
    assert solution.allocation.level.tolist() == [0, 1]
    assert solution.certificate.cost == pytest.approx(0.25 * 0.5 + 0.75 * 0.1, rel=1e-15)


def test_squares_add_up_only_where_means_are_right() -> None:
    one = CompressionLevels(network(4), 1.0, [1e5, 1e5], [0.4, 0.4], [True, False], 3.0)
    fair, biased = (one.cost(one._round(np.full(4, level))) for level in (0, 1))
    assert fair == pytest.approx(4 * (1 / 16) * 0.4 * 9.0)
    assert biased == pytest.approx(0.4 * 9.0)
    assert one.cost(one._round(np.full(4, -1))) == pytest.approx(9.0)


def mean_error(errors: Floats, weight: Floats) -> float:
    return float(((weight @ errors) ** 2).sum())


@given(st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_the_cost_bounds_the_error_of_the_mean(seed: int) -> None:
    """Of any updates, silent, sign or top-k: the weighted mean errs by no more than the cost."""
    rng = np.random.default_rng(seed)
    d, size = 30, 5
    updates = rng.normal(size=(size, d)) + rng.normal(size=d)
    menu = [laws.top_k(d, 3), laws.sign(d)]
    drawn = network(size, samples=rng.integers(1, 50, size))
    norm = np.linalg.norm(updates, axis=1)
    problem = CompressionLevels.from_levels(drawn, 1.0, menu, norm)
    level = rng.integers(-1, 2, size)
    sent = np.zeros_like(updates)
    for k, x in enumerate(updates):
        if level[k] == 0:
            largest = np.argsort(-np.abs(x))[:3]
            sent[k, largest] = x[largest]
        if level[k] == 1:
            sent[k] = np.abs(x).mean() * np.sign(x)
    cost = problem.cost(problem._round(level))
    assert mean_error(sent - updates, problem.weight) <= cost * (1.0 + 1e-12)


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=15, deadline=None)
def test_more_band_more_time_and_more_levels_never_hurt(seed: int, silence: bool) -> None:
    problem = instance(seed, 25, True)
    drawn, menu, norm = problem.network, MENUS[seed % 3], problem.update_norm
    base = fl_opt.solve(problem).certificate

    def cost(network_: Network, deadline_s: float, menu_: list[laws.Level]) -> float:
        other = CompressionLevels.from_levels(network_, deadline_s, menu_, norm)
        return fl_opt.solve(other).certificate.bound

    assert cost(drawn.replace(band_hz=1.3 * drawn.band_hz), 1.0, menu) <= base.cost
    assert cost(drawn, 1.2, menu) <= base.cost
    assert cost(drawn, 1.0, [*menu, laws.top_k(SIZE, 30)]) <= base.cost


@given(st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_order_of_devices_and_scale_of_weights_do_not_matter(seed: int) -> None:
    problem = instance(seed, 30, True)
    order = np.random.default_rng(seed).permutation(30)
    moved = CompressionLevels.from_levels(
        problem.network[order], 1.0, MENUS[seed % 3], problem.update_norm[order],
        7.0 * problem.network.samples[order],
    )  # fmt: skip
    one, two = (fl_opt.solve(each).certificate for each in (problem, moved))
    assert two.cost == pytest.approx(one.cost, rel=1e-6)
    assert max(one.bound, two.bound) <= min(one.cost, two.cost) * (1.0 + 1e-13)


def test_the_least_bands_fill_the_band_exactly() -> None:
    drawn = network(5, gain=[1e-10, 5e-11, 2e-11, 1e-11, 5e-12])
    needed = least_bandwidth_hz(drawn.replace(upload_bit=1e5), 1.0)
    tight = drawn.replace(band_hz=float(needed.sum()) * (1.0 + 1e-12))
    solution = fl_opt.solve(CompressionLevels(tight, 1.0, [1e5, 2e5], [0.5, 0.2], silence=False))
    assert solution.allocation.level.tolist() == [0] * 5
    assert solution.certificate.feasible
    assert solution.certificate.gap <= 1e-12


@pytest.mark.parametrize(
    ("drawn", "silence", "level"),
    [
        (network(1), True, [1]),
        (network(1, band_hz=0.0), True, [-1]),
        (network(2, gain=[0.0, 1e-10]), True, [-1, 1]),
        (network(2, energy_j=[1e-9, 1.0]), True, [-1, 1]),
        (network(2, cycles=[4e9, 2e8]), True, [-1, 1]),
        (network(3, band_hz=1e12), False, [1, 1, 1]),
        (network(2, samples=[0.0, 1.0], band_hz=1e3), True, [-1, -1]),
    ],
)
def test_corner_cases(drawn: Network, silence: bool, level: list[int]) -> None:
    solution = fl_opt.solve(CompressionLevels(drawn, 1.0, [1e5, 3e5], [0.5, 0.1], silence=silence))
    assert solution.allocation.level.tolist() == level
    assert solution.certificate.feasible
    assert solution.certificate.gap <= 1e-9


def test_no_error_at_all_is_proven() -> None:
    free = CompressionLevels(network(3), 1.0, [1e5, 3e5], [0.5, 0.0])
    certificate = fl_opt.solve(free).certificate
    assert (certificate.cost, certificate.bound, certificate.gap) == (0.0, 0.0, 0.0)
    nobody = CompressionLevels(network(3), 1.0, 1e5, 0.5, update_norm=0.0)
    assert fl_opt.solve(nobody).certificate.cost == 0.0


def test_everyone_must_send_where_silence_is_not_offered() -> None:
    problem = CompressionLevels(network(2, gain=[0.0, 1e-10]), 1.0, [1e5], [0.5], silence=False)
    with pytest.raises(Infeasible, match="device 0 has gain 0") as answer:
        fl_opt.solve(problem)
    assert answer.value.constraint == "power_max"
    tight = CompressionLevels(network(3, band_hz=1e4), 1.0, [1e5, 3e5], [0.5, 0.1], silence=False)
    with pytest.raises(Infeasible, match="the devices need at least") as answer:
        fl_opt.solve(tight)
    cure = answer.value.relaxations["band_hz"]
    assert cure is not None
    cured = CompressionLevels(network(3, band_hz=cure), 1.0, [1e5, 3e5], [0.5, 0.1], silence=False)
    assert fl_opt.solve(cured).allocation.level.tolist() == [0, 0, 0]


def test_claims_of_a_decision_do_not_count() -> None:
    problem = CompressionLevels(network(2, band_hz=3e4), 1.0, [1e5, 3e5], [0.5, 0.1])
    honest = fl_opt.solve(problem).allocation
    finer = honest.replace(level=[1, 1], upload_bit=1.0)
    assert "payload" in fl_opt.verify(problem, finer).violation
    assert set(fl_opt.verify(problem, honest.replace(level=[7, 0])).violation) == {"level"}
    assert fl_opt.verify(problem, honest.replace(level=None)).cost == pytest.approx(1.0)
    with pytest.raises(InvalidInput, match=r"allocation\.size is 3; expected 2"):
        problem.cost(fl_opt.Allocation.none(3))


def test_serves_as_a_policy() -> None:
    state = functools.partial(CompressionLevels.from_levels, deadline_s=1.0, levels=MENUS[1])
    policy = fl_opt.Optimised(state, signals={"update_norm": "update_norm"})
    drawn, rng = cell(np.random.default_rng(0), 12), np.random.default_rng(1)
    signals = {"update_norm": np.linspace(0.5, 2.0, 12)}
    moment = fl_opt.Round(drawn, 0, rng, None, signals)
    allocation, memory = policy.decide(moment, policy.start(12, rng))
    assert memory.solution.certificate.feasible
    assert allocation.level is not None
    bits = np.append([level.upload_bit for level in MENUS[1]], 0.0)
    assert np.array_equal(allocation.upload_bit, bits[allocation.level])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"deadline_s": 0.0}, "deadline_s is 0 s"),
        ({"level_bit": [1e5, -1.0]}, r"level_bit\[1\] is -1 bit"),
        ({"level_bit": [[1e5, 1.0], [1.0, math.inf]]}, r"level_bit\[1\]\[1\] is inf"),
        (
            {"level_bit": [[1e5, 1.0]] * 3},
            r"level_bit.shape is \(3, 2\); expected \(2,\) or \(2, 2",
        ),
        ({"level_error": [0.1, 0.2, 0.3]}, r"level_error.shape is \(3,\)"),
        ({"unbiased": [1, 0]}, "unbiased is int64"),
        ({"update_norm": [1.0, math.nan]}, r"update_norm\[1\] is nan"),
        ({"weight": -1.0}, "weight is -1"),
    ],
)
def test_refuses_what_is_no_choice(arguments: dict[str, Any], text: str) -> None:
    fields: dict[str, Any] = {"deadline_s": 1.0, "level_bit": [1e5, 3e5], "level_error": [0.5, 0.1]}
    with pytest.raises(InvalidInput, match=text):
        CompressionLevels(network(2), **fields | arguments)


def test_enumeration_refuses_many_ways() -> None:
    with pytest.raises(InvalidInput, match='at most 100000; solve with solver="core"'):
        fl_opt.solve(instance(0, 20, True), solver="enumerate")
