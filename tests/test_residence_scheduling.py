"""Rounds that devices may leave: a dense search, prices that never lie, and known ends."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

import fl_opt
from benchmarks.laws.contested import joint
from fl_opt import InvalidInput, MaxParticipation, Network, ResidenceScheduling
from fl_opt.problems.residence_scheduling import quantile_deadline_s
from fl_opt.problems.uplink import Uplink
from fl_opt.solvers.branch import Branch


def instance(seed: int, size: int, **changes: Any) -> ResidenceScheduling:
    """Contested rounds; devices stay for 0.2 to 10 deadlines in the mean."""
    base = joint(seed, size)
    mean = np.asarray(base.deadline_s) * 10.0 ** np.random.default_rng(seed).uniform(
        -0.7, 1.0, size
    )
    fields: dict[str, Any] = {"utility": base.utility, "grid": 64}
    return ResidenceScheduling(base.network, base.deadline_s, mean, **(fields | changes))


def cell(size: int, **changes: Any) -> Network:
    fields: dict[str, Any] = {
        "gain": np.full(size, 1e-10),
        "power_max_w": 0.2,
        "cpu_min_hz": 1e8,
        "cpu_max_hz": 2e9,
        "capacitance": 1e-28,
        "cycles": 2e8,
        "upload_bit": 3e5,
        "samples": 500.0,
        "band_hz": 1e6,
    }
    return Network(**(fields | changes))


# two independent methods agree


def finish_s(network: Network, k: int, band_hz: float) -> float:
    """When device k is done at full clock and power with a bandwidth, from the rate itself."""
    snr = network.gain[k] * network.power_max_w[k] / (network.noise_w_hz[k] * band_hz)
    upload = network.upload_bit[k] / (band_hz * math.log2(1.0 + snr))
    return float(network.cycles[k] / network.cpu_max_hz[k] + upload)


def dense(problem: ResidenceScheduling, network: Network, deadline: Any, mean: Any) -> float:
    """The best of two devices: every split of the band on a fine grid, and each alone."""
    best, samples = 0.0, network.samples
    for share in np.linspace(0.0, 1.0, 4001):
        worth = 0.0
        for k, part in ((0, share), (1, 1.0 - share)):
            if part > 0.0:
                done = finish_s(network, k, part * network.band_hz)
                worth += samples[k] * math.exp(-done / mean[k]) if done <= deadline[k] else 0.0
        best = max(best, worth)
    return best


@pytest.mark.parametrize("seed", range(8))
def test_a_program_of_intervals_and_the_tree_never_contradict(seed: int) -> None:
    problem = instance(seed, 2 + seed % 5)
    ours = fl_opt.solve(problem).certificate
    theirs = fl_opt.solve(problem, solver="mip").certificate
    assert ours.feasible
    assert theirs.feasible
    size = max(abs(ours.cost), 1e-12)
    assert theirs.bound <= ours.cost + 1e-9 * size
    assert ours.bound <= theirs.cost + 1e-9 * size
    # the width of its intervals is all that parts it from the optimum
    assert ours.cost <= theirs.bound + 0.06 * size
    assert theirs.cost >= ours.cost - 1e-4 * size


@pytest.mark.parametrize("seed", range(12))
def test_two_devices_against_every_split(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = cell(
        2,
        gain=10.0 ** rng.uniform(-12.0, -9.5, 2),
        cycles=10.0 ** rng.uniform(7.5, 8.8, 2),
        samples=rng.uniform(100.0, 900.0, 2),
        band_hz=10.0 ** rng.uniform(4.8, 5.8),
    )
    deadline, mean = rng.uniform(0.5, 3.0, 2), 10.0 ** rng.uniform(-0.5, 1.0, 2)
    problem = ResidenceScheduling(network, deadline, mean)
    answer = fl_opt.solve(problem)
    best = dense(problem, network, deadline, mean)
    assert answer.certificate.feasible
    assert -answer.certificate.bound >= best
    # a split may lie between two of the grid
    assert -answer.certificate.cost >= best * (1.0 - 1e-3) - 1e-9
    assert -answer.certificate.cost <= best * (1.0 + 1e-3) + 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_finish_times_are_those_of_the_rate(seed: int) -> None:
    network = cell(3, gain=[1e-10, 3e-11, 1e-11], band_hz=4e5)
    problem = ResidenceScheduling(network, 2.0, 10.0 ** (seed - 1.0))
    found = fl_opt.solve(problem).allocation
    for k in np.flatnonzero(found.selected):
        done = finish_s(network, int(k), float(found.bandwidth_hz[k]))
        assert found.upload_s is not None
        claimed = 2e8 / float(found.cpu_hz[k]) + float(found.upload_s[k])
        assert claimed == pytest.approx(done, rel=1e-9)


# the proof


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_no_branch_is_bounded_too_high(seed: int, size: int) -> None:
    problem = instance(seed, size)
    answer = fl_opt.solve(problem)
    assert answer.solver == "branch"
    assert answer.certificate.feasible
    assert answer.certificate.bound <= answer.certificate.cost
    rng = np.random.default_rng(seed)
    mean, able = np.asarray(problem.mean_residence_s), problem._able
    for _ in range(20):
        # any round that keeps the limits: random finish times, as many devices as fit
        finish = np.asarray(problem.deadline_s) * rng.uniform(0.05, 1.0, size)
        least = Uplink(problem.network, finish).least_hz
        order = rng.permutation(size)
        taken = np.zeros(size, dtype=bool)
        taken[order[np.cumsum(least[order]) <= problem.network.band_hz]] = True
        cost = -float(np.sum((utility_of(problem) * np.exp(-finish / mean))[taken]))
        assert cost >= answer.certificate.bound
        if not able.size:
            continue
        # every branch that holds it, by the piece of its finish or the lack of one
        steps = problem._table[0][1:-1]
        piece = problem._piece[(steps < finish[able]).sum(axis=0)]
        own = np.where(taken[able], piece, 0)
        allowed = problem.options() & (rng.random(problem.options().shape) < 0.5)
        allowed[np.arange(able.size), own] = True
        assert problem.relax(allowed, math.inf).bound <= cost
        relaxed = problem.relax(problem.options(), math.inf)
        assert relaxed.rise is not None
        assert relaxed.bound + relaxed.rise[np.arange(able.size), own].max() <= cost


def utility_of(problem: ResidenceScheduling) -> Any:
    return problem.network.samples if problem.utility is None else np.asarray(problem.utility)


@pytest.mark.parametrize("size", [2, 5, 12, 60])
def test_the_grid_is_all_that_keeps_the_gap_open(size: int) -> None:
    for seed in range(3):
        found = fl_opt.solve(instance(seed, size, grid=256)).certificate
        finer = fl_opt.solve(instance(seed, size, grid=1024)).certificate
        assert found.gap <= 1e-3
        assert finer.gap <= 1e-4
        assert finer.bound <= found.cost
        assert found.bound <= finer.cost


def test_many_devices_are_left_to_the_price_where_that_is_enough() -> None:
    assert fl_opt.solve(instance(0, 300, grid=256)).certificate.gap <= 1e-3
    # two that matter among many that do not
    utility = np.full(140, 1e-3)
    utility[:2] = 500.0
    crowd = ResidenceScheduling(cell(140, cycles=0.0, band_hz=5e4), 100.0, 0.4, utility)
    alone = fl_opt.solve(crowd, Branch(nodes=1)).certificate
    assert alone.gap > 1e-2
    assert fl_opt.solve(crowd).certificate.gap <= 1e-3


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_utilities_may_have_any_unit(unit: float) -> None:
    problem = instance(5, 4)
    scaled = dataclasses.replace(problem, utility=unit * utility_of(problem))
    assert fl_opt.solve(scaled).certificate.gap == pytest.approx(
        fl_opt.solve(problem).certificate.gap, rel=0.1, abs=1e-9
    )


def test_nothing_is_worth_nothing() -> None:
    answer = fl_opt.solve(ResidenceScheduling(cell(2), 1.0, 1e-5)).certificate
    assert (answer.cost, answer.bound) == (0.0, 0.0)


# shape and closed forms


def test_one_device_takes_the_whole_band() -> None:
    network = cell(1, band_hz=2e5)
    answer = fl_opt.solve(ResidenceScheduling(network, 5.0, 3.0))
    done = finish_s(network, 0, 2e5)
    assert answer.certificate.cost == pytest.approx(-500.0 * math.exp(-done / 3.0), rel=1e-6)
    assert answer.certificate.gap <= 1e-6


def test_who_leaves_soon_is_hurried() -> None:
    network = cell(2, band_hz=3e5)
    found = fl_opt.solve(ResidenceScheduling(network, 10.0, [2.0, 50.0])).allocation
    assert found.selected.all()
    assert found.bandwidth_hz[0] > 2.0 * found.bandwidth_hz[1]


def test_two_alike_share_the_band_where_they_stay_long_and_one_gets_all_where_not() -> None:
    network = cell(2, band_hz=5e4, cycles=0.0)
    whole = finish_s(network, 0, 5e4)
    half = finish_s(network, 0, 2.5e4)
    patient = brentq(lambda m: 2.0 * math.exp(-half / m) - math.exp(-whole / m), 0.01, 100.0)
    long, short = (
        fl_opt.solve(ResidenceScheduling(network, 100.0, factor * patient)).allocation
        for factor in (5.0, 0.5)
    )
    assert long.selected.sum() == 2
    assert short.selected.sum() == 1


# laws and ends


@pytest.mark.parametrize("seed", range(3))
def test_devices_that_never_leave_make_it_max_participation(seed: int) -> None:
    problem = instance(seed, 25)
    still = dataclasses.replace(problem, mean_residence_s=math.inf)
    known = MaxParticipation(problem.network, problem.deadline_s, problem.utility)
    best = fl_opt.solve(known).certificate.cost
    answer = fl_opt.solve(still).certificate
    assert answer.bound <= best + 1e-9 * abs(best)
    assert answer.cost >= best - 1e-9 * abs(best)
    assert answer.cost <= best + float(utility_of(problem).max())


def test_more_band_and_longer_stays_raise_the_bound() -> None:
    problem = instance(7, 8)
    network = problem.network
    base = fl_opt.solve(problem).certificate
    mean = np.asarray(problem.mean_residence_s)
    for other in (
        dataclasses.replace(problem, network=network.replace(band_hz=1.5 * network.band_hz)),
        dataclasses.replace(problem, mean_residence_s=1.5 * mean),
    ):
        assert fl_opt.solve(other).certificate.bound < base.cost


def test_neither_order_nor_the_unit_of_utility_matters() -> None:
    problem = instance(8, 20)
    order = np.random.default_rng(8).permutation(20)
    moved = ResidenceScheduling(
        problem.network[order],
        np.asarray(problem.deadline_s)[order],
        np.asarray(problem.mean_residence_s)[order],
        1e-3 * utility_of(problem)[order],
        64,
    )
    one, other = fl_opt.solve(problem).certificate, fl_opt.solve(moved).certificate
    assert other.cost == pytest.approx(1e-3 * one.cost, rel=1e-9)
    assert other.bound == pytest.approx(1e-3 * one.bound, rel=1e-9)


@pytest.mark.parametrize(
    ("network", "mean", "expected"),
    [
        (cell(3, gain=[1e-10, 0.0, 1e-10]), 5.0, [True, False, True]),
        (cell(2, upload_bit=0.0, band_hz=0.0), 5.0, [True, True]),
        (cell(2, energy_j=[0.0, 1.0]), 5.0, [False, True]),
        (cell(2, samples=0.0), 5.0, [False, False]),
        (cell(2, upload_bit=[3e5, 0.0], band_hz=0.0), [5.0, 1e-3], [False, True]),
    ],
)
def test_corners(network: Network, mean: Any, expected: list[bool]) -> None:
    answer = fl_opt.solve(ResidenceScheduling(network, 1.0, mean))
    assert answer.allocation.selected.tolist() == expected
    assert answer.certificate.feasible
    assert answer.certificate.bound <= answer.certificate.cost


# the quantile version


def test_a_risk_becomes_a_deadline() -> None:
    assert quantile_deadline_s(2.0, 10.0, 0.1) == pytest.approx(-10.0 * math.log(0.9), rel=1e-15)
    assert quantile_deadline_s(2.0, math.inf, 0.1) == 2.0
    assert quantile_deadline_s(2.0, 3.0, 1.0) == 2.0
    problem = instance(4, 15)
    certain = problem.with_risk(0.2)
    assert np.all(
        np.exp(-np.asarray(certain.deadline_s) / np.asarray(problem.mean_residence_s))
        >= 0.8 - 1e-12
    )
    found = fl_opt.solve(certain)
    assert found.certificate.feasible
    assert problem.cost(found.allocation) <= 0.8 * found.certificate.cost * (1.0 - 1e-9)
    assert fl_opt.verify(problem, found.allocation).feasible


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"mean_residence_s": 0.0}, r"mean_residence_s is 0 s"),
        ({"mean_residence_s": [1.0, -1.0]}, r"mean_residence_s\[1\] is -1 s"),
        ({"mean_residence_s": 1.0, "grid": 3}, r"grid is 3; expected at least 4"),
        ({"mean_residence_s": 1.0, "utility": math.nan}, r"utility is nan"),
        ({"mean_residence_s": 1.0, "deadline_s": 0.0}, r"deadline_s is 0 s"),
    ],
)
def test_refusals(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        ResidenceScheduling(cell(2), **({"deadline_s": 1.0} | arguments))


def test_refuses_a_risk_that_is_none() -> None:
    problem = ResidenceScheduling(cell(2), 1.0, 1.0)
    with pytest.raises(InvalidInput, match=r"risk is 0; expected a number > 0, <= 1"):
        problem.with_risk(0.0)
    with pytest.raises(InvalidInput, match=r"power_max_w\[0\] is inf W"):
        ResidenceScheduling(cell(2, power_max_w=math.inf), 1.0, 1.0)
