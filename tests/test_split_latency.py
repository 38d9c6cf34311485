"""Split inference in least time: against conic programs and scans; its proof, laws and corners."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from split_instances import cell, profile
from still_world import network

import fl_opt
from fl_opt import Infeasible, InvalidInput, SplitInference, SplitLatency, SplitPlan, SplitProfile
from fl_opt.problems._split_cell import alone

SEEDS = st.integers(0, 2**32)


def instance(seed: int, size: int, layers: int = 3) -> SplitLatency:
    rng = np.random.default_rng(seed)
    chain, load = profile(rng, layers), rng.choice([0.3, 1.0, 3.0])
    return SplitLatency(cell(rng, size, load), chain, 1e9 * size * load)


def scan(problem: SplitLatency) -> float:
    """Least time of one device that has all, formulas written out."""
    one = problem.network
    noise = one.noise_w_hz[0] * one.band_hz
    rate = one.band_hz * np.log2(1.0 + one.gain[0] * one.power_max_w[0] / noise)
    device, bit, work = problem.profile.for_devices(1)
    return float((device / one.cpu_max_hz[0] + bit / rate + work / problem.server_hz).min())


@pytest.mark.parametrize("seed", range(8))
def test_one_device_is_a_scan_of_the_places(seed: int) -> None:
    problem = instance(seed, 1, layers=5)
    certificate = fl_opt.solve(problem).certificate
    best = scan(problem)
    assert certificate.feasible
    assert certificate.cost == pytest.approx(best, rel=1e-10)
    assert certificate.bound <= best


@pytest.mark.parametrize("seed", range(5))
def test_equals_conic_programs_of_all_places(seed: int) -> None:
    problem = instance(seed, 2 + seed % 2, layers=2)
    exact = fl_opt.solve(problem).certificate
    listed = fl_opt.solve(problem, solver="enumerate").certificate
    assert exact.feasible
    assert listed.feasible
    assert exact.cost <= listed.cost * (1.0 + 1e-9)
    assert exact.cost == pytest.approx(listed.cost, rel=1e-6)
    assert exact.bound <= listed.cost
    assert exact.gap <= 1e-9


@given(SEEDS, st.integers(1, 8))
@settings(max_examples=8, deadline=None)
def test_the_proof_is_tight_and_never_false(seed: int, size: int) -> None:
    certificate = fl_opt.solve(instance(seed, size)).certificate
    assert certificate.feasible
    assert certificate.bound <= certificate.cost
    assert certificate.gap <= 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(300))
def test_all_are_settled(seed: int) -> None:
    rng = np.random.default_rng((seed, 1))
    problem = instance(seed, int(rng.integers(1, 9)), int(rng.integers(1, 6)))
    certificate = fl_opt.solve(problem).certificate
    assert certificate.feasible
    assert certificate.gap <= 1e-9


@given(SEEDS, st.floats(-20.0, 20.0))
@settings(max_examples=12, deadline=None)
def test_no_weights_refute_what_was_attained(seed: int, lean: float) -> None:
    problem = instance(seed, 4)
    plan = fl_opt.solve(problem).allocation
    only = alone(plan.place, problem.options())
    for allowed in (problem.options(), only):
        assert problem.weigh(allowed, lean, problem.cost(plan) * (1.0 + 1e-12)).low <= 1.0


def test_all_who_share_end_together() -> None:
    drawn = network(4, gain=[1e-10, 5e-11, 2e-11, 1e-11], band_hz=1e6)
    chain = SplitProfile(0.0, [3e5], 1e8)
    problem = SplitLatency(drawn, chain, 1e9)
    plan = fl_opt.solve(problem).allocation
    _, _, air, server = problem.cell.taken(plan)
    assert air + server == pytest.approx(np.full(4, problem.cost(plan)), rel=1e-9)
    assert np.all(np.diff(plan.bandwidth_hz) > 0.0)
    assert plan.bandwidth_hz.sum() == pytest.approx(1e6, rel=1e-8)
    assert plan.server_hz.sum() == pytest.approx(1e9, rel=1e-8)


def test_the_least_time_is_where_least_energy_becomes_possible() -> None:
    problem = instance(3, 4)
    least = fl_opt.solve(problem).certificate.cost

    def by(deadline_s: float) -> SplitInference:
        return SplitInference(problem.network, problem.profile, deadline_s, problem.server_hz)

    assert fl_opt.solve(by(least * 1.001)).certificate.feasible
    with pytest.raises(Infeasible):
        fl_opt.solve(by(least * 0.999))


@pytest.mark.parametrize(
    ("band_hz", "server_hz", "place", "seconds"),
    [(0.0, 0.0, 2, 0.1), (0.0, 1e12, 2, 0.1), (1e9, 1e15, 0, None)],
)
def test_corner_cases(band_hz: float, server_hz: float, place: int, seconds: float | None) -> None:
    chain = SplitProfile.from_layers([1e8, 1e8], [1e6, 1e5])
    solution = fl_opt.solve(SplitLatency(network(3, band_hz=band_hz), chain, server_hz))
    assert solution.allocation.place.tolist() == [place] * 3
    assert solution.certificate.feasible
    assert solution.certificate.gap <= 1e-9
    if seconds is not None:
        assert solution.certificate.cost == pytest.approx(seconds, rel=1e-12)


def test_nothing_to_do_takes_no_time() -> None:
    solution = fl_opt.solve(SplitLatency(network(2), SplitProfile([0.0], 0.0, 0.0), 1e9))
    assert solution.certificate.cost == 0.0


@given(SEEDS)
@settings(max_examples=3, deadline=None)
def test_more_of_anything_never_hurts_and_order_does_not_matter(seed: int) -> None:
    one = instance(seed, 4)
    order = np.random.default_rng(seed).permutation(4)

    def solved(band: float, server: float, at: Any) -> Any:
        drawn = one.network[at].replace(band_hz=one.network.band_hz * band)
        return fl_opt.solve(SplitLatency(drawn, one.profile, one.server_hz * server)).certificate

    base = fl_opt.solve(one).certificate
    assert solved(1.3, 1.0, np.arange(4)).bound <= base.cost
    assert solved(1.0, 1.3, np.arange(4)).bound <= base.cost
    assert solved(1.0, 1.0, order).cost == pytest.approx(base.cost, rel=1e-8)


def test_many_devices_are_certified() -> None:
    certificate = fl_opt.solve(instance(8, 60, layers=6)).certificate
    assert certificate.feasible
    assert certificate.gap <= 1e-6


def test_says_who_can_never_end() -> None:
    chain = SplitProfile([0.0], [1e6], 1e8)
    with pytest.raises(Infeasible, match="device 1 needs") as answer:
        fl_opt.solve(SplitLatency(network(2, gain=[1e-10, 0.0]), chain, 1e9))
    assert answer.value.devices.tolist() == [1]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: SplitLatency(network(1), SplitProfile([1.0], 1.0, 1.0), -1.0), "server_hz is -1"),
        (lambda: SplitLatency(network(2), network(2), 1.0), "profile is Network"),
        (lambda: instance(0, 2).excess(SplitPlan([0], 0.0, 0.0)), "plan.size is 1; expected 2"),
    ],
)
def test_refuses(call: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        call()
