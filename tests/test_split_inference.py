"""Split inference at least energy: against conic programs, HiGHS and scans; its proof and laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from split_instances import cell, profile
from still_world import network

import fl_opt
from fl_opt import Infeasible, InvalidInput, SplitInference, SplitPlan, SplitProfile, physics
from fl_opt.problems._split_shares import Shares, divide

SEEDS = st.integers(0, 2**32)


def instance(seed: int, size: int, layers: int = 3, load: float | None = None) -> SplitInference:
    rng = np.random.default_rng(seed)
    chain = profile(rng, layers)
    share = rng.choice([0.5, 1.0, 3.0]) if load is None else load
    drawn = cell(rng, size, share)
    return SplitInference(drawn, chain, rng.uniform(0.4, 1.2, size), 1e9 * size * share)


def scan(problem: SplitInference) -> float:
    """Least energy of one device that has all: every place tried, formulas written out."""
    one, best = problem.network, np.inf
    places = zip(*problem.profile.for_devices(1), strict=True)
    for device, bit, work in zip(*next(places), strict=True):
        rate = one.band_hz * np.log2(
            1.0 + one.gain[0] * one.power_max_w[0] / (one.noise_w_hz[0] * one.band_hz)
        )
        seconds = device / one.cpu_max_hz[0] + bit / rate + work / problem.server_hz
        if seconds <= problem.deadline_s[0]:
            heat = one.capacitance[0] * device * one.cpu_max_hz[0] ** 2
            best = min(best, heat + one.power_max_w[0] * bit / rate)
    return float(best)


@pytest.mark.parametrize("seed", range(8))
def test_one_device_is_a_scan_of_the_places(seed: int) -> None:
    problem = instance(seed, 1, layers=5)
    best = scan(problem)
    if best == np.inf:
        with pytest.raises(Infeasible):
            fl_opt.solve(problem)
        return
    certificate = fl_opt.solve(problem).certificate
    assert certificate.feasible
    assert certificate.cost == pytest.approx(best, rel=1e-9)
    assert certificate.bound <= best


@pytest.mark.parametrize("seed", range(4))
def test_equals_conic_programs_of_all_places(seed: int) -> None:
    problem = instance(seed, 2 + seed % 2, layers=2)
    try:
        certificate = fl_opt.solve(problem).certificate
    except Infeasible:
        with pytest.raises(Infeasible):
            fl_opt.solve(problem, solver="enumerate")
        return
    listed = fl_opt.solve(problem, solver="enumerate").certificate
    assert certificate.feasible
    assert listed.feasible
    assert certificate.cost <= listed.cost * (1.0 + 1e-9)
    assert certificate.cost == pytest.approx(listed.cost, rel=1e-5)
    assert certificate.bound <= listed.cost
    assert certificate.gap <= 1e-9


@pytest.mark.parametrize("seed", [1, 4])
def test_agrees_with_a_mixed_integer_program_of_tangents(seed: int) -> None:
    problem = instance(seed, 4, load=2.0)
    exact, whole = fl_opt.solve(problem), fl_opt.solve(problem, solver="mip")
    assert whole.certificate.bound <= exact.certificate.cost
    assert whole.certificate.bound == pytest.approx(exact.certificate.cost, rel=2e-2)
    assert exact.certificate.bound <= whole.certificate.cost


@given(SEEDS, st.integers(1, 8))
@settings(max_examples=8, deadline=None)
def test_the_proof_is_tight_and_never_false(seed: int, size: int) -> None:
    problem = instance(seed, size)
    try:
        certificate = fl_opt.solve(problem).certificate
    except Infeasible:
        return
    assert certificate.feasible
    assert certificate.bound <= certificate.cost
    assert certificate.gap <= 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(300))
def test_all_are_settled(seed: int) -> None:
    rng = np.random.default_rng((seed, 1))
    problem = instance(seed, int(rng.integers(1, 9)), int(rng.integers(1, 6)))
    try:
        certificate = fl_opt.solve(problem).certificate
    except Infeasible:
        return
    assert certificate.feasible
    assert certificate.gap <= 1e-9


@pytest.mark.parametrize(("seed", "size", "layers"), [(1010, 6, 3), (1103, 2, 4), (1161, 2, 4)])
def test_choices_that_fit_nowhere_are_proven_so(seed: int, size: int, layers: int) -> None:
    """Prices of their limits run off: a box of prices that ends too soon proves nothing."""
    certificate = fl_opt.solve(instance(seed, size, layers)).certificate
    assert certificate.feasible
    assert certificate.gap <= 1e-9


@given(SEEDS, st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
@settings(max_examples=8, deadline=None)
def test_wrong_prices_give_no_false_bound(seed: int, band: float, server: float) -> None:
    problem = instance(seed, 5, load=2.0)
    try:
        best = fl_opt.solve(problem).certificate.cost
    except Infeasible:
        return
    shares, options = problem.shares, problem.options()
    index = np.flatnonzero(options.ravel())
    prices = best * np.array([band, server])
    found = divide(shares[index], *(prices / problem.limits))
    low = np.full(options.size, np.inf)
    low[index] = problem.cell.device_j.ravel()[index] + found.low
    bound = low.reshape(options.shape).min(axis=1).sum() - prices.sum()
    assert bound <= best * (1.0 + 1e-12)


@given(SEEDS, st.floats(-9.0, 9.0), st.floats(-9.0, 9.0))
@settings(max_examples=60, deadline=None)
def test_the_division_of_time_is_best(seed: int, band: float, server: float) -> None:
    """No other airtime is better, and the bound lies below all of them."""
    rng = np.random.default_rng(seed)
    least = 10.0 ** rng.uniform(-6.0, -1.0, 20)
    part = Shares(
        least * (1.0 + 10.0 ** rng.uniform(-6.0, 4.0, 20)),
        10.0 ** rng.uniform(2.0, 6.0, 20),
        least,
        rng.uniform(0.01, 1.0, 20),
        10.0 ** rng.uniform(3.0, 9.0, 20) * (rng.random(20) > 0.2),
    )
    mu, nu = 10.0 ** (band - 6.0), 10.0 ** (server - 9.0)
    found = divide(part, mu, nu)
    assert np.all(found.low <= found.term)
    assert np.all(found.air_s + found.server_s <= part.left * (1.0 + 1e-12))
    for inside in np.concatenate([np.geomspace(1e-9, 0.5, 40), 1.0 - np.geomspace(1e-9, 0.5, 40)]):
        t = part.least + inside * (part.left - part.least)
        level = np.log(t / part.least)
        v = level + np.log1p(level) + 1e-9
        for _ in range(60):
            v = np.maximum(
                v - (np.log(np.expm1(v) / v) - level) / (1 / -np.expm1(-v) - 1 / v), 1e-12
            )
        share = part.cycles / (part.left - t)
        term = part.power * t + mu * part.nats / (t * v) + nu * share
        usable = (level > 1e-5) & (part.left - t > 1e-9 * part.left)
        assert np.all((found.low <= term * (1.0 + 1e-9)) | ~usable)


def test_a_faster_link_moves_the_split_towards_the_server() -> None:
    chain = SplitProfile.from_layers([1e8] * 6, np.geomspace(2e6, 1e4, 6))
    home = []
    for band in np.geomspace(3e2, 3e7, 12):
        drawn = network(1, cpu_max_hz=1e9, capacitance=1e-27, band_hz=band)
        home.append(int(fl_opt.solve(SplitInference(drawn, chain, 1.0, 1e10)).allocation.place[0]))
    assert home[0] == 6
    assert home[-1] == 0
    assert np.all(np.diff(home) <= 0)


def test_a_network_that_stays_at_home_takes_nothing() -> None:
    drawn = network(3, band_hz=0.0)
    chain = SplitProfile.from_layers([1e8, 1e8], [1e6, 1e5])
    for server_hz in (0.0, 1e9):
        solution = fl_opt.solve(SplitInference(drawn, chain, 0.5, server_hz))
        assert solution.allocation.place.tolist() == [2, 2, 2]
        assert not solution.allocation.bandwidth_hz.any()
        assert solution.certificate.feasible
        assert solution.certificate.cost == pytest.approx(3 * 1e-28 * 2e8 * 4e18)
        assert solution.certificate.gap <= 1e-10


def test_identical_devices_share_equally_where_all_offload() -> None:
    drawn = network(4, cpu_max_hz=1e9, capacitance=1e-26, band_hz=8e6)
    chain = SplitProfile(0.0, [3e5], 1e8)
    solution = fl_opt.solve(SplitInference(drawn, chain, 0.5, 1e10))
    assert solution.allocation.bandwidth_hz == pytest.approx(np.full(4, 2e6), rel=1e-6)
    rate = physics.rate_bit_s(2e6, 0.2, 1e-10, drawn.noise_w_hz[0])
    assert solution.certificate.cost == pytest.approx(4 * 0.2 * 3e5 / float(rate), rel=1e-9)


@given(SEEDS)
@settings(max_examples=3, deadline=None)
def test_more_of_anything_never_hurts_and_order_does_not_matter(seed: int) -> None:
    one = instance(seed, 5, load=2.0)
    order = np.random.default_rng(seed).permutation(5)

    def solved(band: float, server: float, time: float, at: Any) -> Any:
        drawn = one.network[at].replace(band_hz=one.network.band_hz * band)
        other = SplitInference(
            drawn, one.profile, one.deadline_s[at] * time, one.server_hz * server
        )
        return fl_opt.solve(other).certificate

    try:
        base = fl_opt.solve(one).certificate
    except Infeasible:
        return
    for factors in ((1.3, 1.0, 1.0), (1.0, 1.3, 1.0), (1.0, 1.0, 1.1)):
        assert solved(*factors, np.arange(5)).bound <= base.cost
    moved = solved(1.0, 1.0, 1.0, order)
    assert moved.cost == pytest.approx(base.cost, rel=1e-7)


def test_many_devices_are_certified() -> None:
    certificate = fl_opt.solve(instance(11, 200, layers=6, load=1.5)).certificate
    assert certificate.feasible
    assert certificate.gap <= 1e-6


def test_says_who_is_too_slow_and_what_time_cures() -> None:
    chain = SplitProfile.from_layers([4e8, 4e8], [1e6, 1e6])
    dead = network(2, gain=[0.0, 1e-10])
    with pytest.raises(Infeasible, match="device 0 needs 400 ms even with all") as answer:
        fl_opt.solve(SplitInference(dead, chain, 0.3, 1e10))
    assert answer.value.devices.tolist() == [0]
    cure = answer.value.relaxations["deadline_s"]
    assert cure is not None
    assert fl_opt.solve(SplitInference(dead, chain, cure, 1e10)).allocation.place[0] == 2
    with pytest.raises(Infeasible, match="at no places do the devices fit 1 kHz of band"):
        fl_opt.solve(SplitInference(network(2, band_hz=1e3), chain, 0.3, 1e10))


def test_layers_become_places() -> None:
    chain = SplitProfile.from_layers([4.0, 2.0, 1.0], [60.0, 30.0, 10.0], 5.0, server_ratio=0.5)
    assert chain.device_cycles.tolist() == [0.0, 4.0, 6.0, 7.0]
    assert chain.upload_bit.tolist() == [60.0, 30.0, 10.0, 5.0]
    assert chain.server_cycles.tolist() == [3.5, 1.5, 0.5, 0.0]
    assert chain.places == 4


def test_devices_may_run_different_networks() -> None:
    each = SplitProfile([[0.0, 1e8]] * 2, [[1e5, 0.0], [9e6, 0.0]], [[1e8, 0.0]] * 2)
    drawn = network(2, cpu_max_hz=1e9, capacitance=1e-27, band_hz=1e6)
    assert fl_opt.solve(SplitInference(drawn, each, 0.5, 1e10)).allocation.place.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: SplitProfile([1.0, 2.0], [1.0, -1.0], 0.0), r"upload_bit\[1\] is -1 bit"),
        (lambda: SplitProfile.from_layers([1.0, 2.0], [1.0, 2.0, 3.0]), "activation_bit.shape"),
        (lambda: SplitPlan([-1], 0.0, 0.0), "place is .* whole numbers"),
        (lambda: SplitInference(network(2), SplitProfile([1.0], 1.0, 1.0), 0.0, 1.0),
         "deadline_s is 0 s"),
        (lambda: SplitInference(network(2), SplitProfile([1.0], 1.0, 1.0), 1.0, -1.0),
         "server_hz is -1 Hz"),
        (lambda: SplitInference(network(2), SplitProfile([[1.0]] * 3, 1.0, 1.0), 1.0, 1.0),
         r"profile is \(3, 1\); expected \(2, J\)"),
        (lambda: SplitInference(network(1, power_max_w=np.inf, energy_j=1.0),
                                SplitProfile([1.0], 1.0, 1.0), 1.0, 1.0),
         r"power_max_w\[0\] is inf"),
        (lambda: fl_opt.solve(instance(0, 9), "enumerate"), "ways to split is .* at most 2000"),
        (lambda: instance(0, 2).cost(SplitPlan([0, 9], 0.0, 0.0)), "plan.place is 9"),
    ],
)  # fmt: skip
def test_refuses(call: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        call()
