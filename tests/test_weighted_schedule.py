"""The joint schedule where joules of different devices cost differently."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import fl_opt
from benchmarks.laws.contested import joint
from fl_opt import InvalidInput, JointSchedule
from fl_opt.problems._weighted import weighted
from fl_opt.problems.uplink import Uplink


def gains(problem: JointSchedule) -> Any:
    return problem.network.samples if problem.utility is None else np.asarray(problem.utility)


def queues(seed: int, size: int) -> JointSchedule:
    """Prices per joule over four decades; three devices in ten pay nothing."""
    rng = np.random.default_rng(seed)
    base = joint(seed, size)
    mean = float(np.mean(gains(base)))
    price = mean * size / base.energy_total_j * 10.0 ** rng.uniform(-3.0, 2.0, size)
    price[rng.random(size) < 0.3] = 0.0
    return dataclasses.replace(base, utility_per_j=price, energy_total_j=math.inf)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 7))
def test_prices_and_all_sets_agree(seed: int, size: int) -> None:
    problem = queues(seed, size)
    ours, every = (fl_opt.solve(problem, name).certificate for name in ("prices", "enumerate"))
    assert ours.feasible
    assert every.feasible
    assert ours.cost == pytest.approx(every.cost, rel=2e-9)
    assert ours.bound <= every.cost
    assert max(ours.gap, every.gap) <= 2e-9


@pytest.mark.parametrize("seed", range(4))
def test_outer_approximation_agrees(seed: int) -> None:
    problem = queues(seed, 7)
    ours, outer = (fl_opt.solve(problem, name).certificate for name in ("prices", "outer"))
    assert ours.cost == pytest.approx(outer.cost, rel=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_those_chosen_spend_what_a_plain_search_over_bandwidths_finds(seed: int) -> None:
    problem = queues(seed, 6)
    decision = fl_opt.solve(problem).allocation
    on = np.flatnonzero(decision.selected & (problem.network.upload_bit > 0.0))
    price = np.asarray(problem.utility_per_j)[on]
    uplink = Uplink(problem.network[on], np.asarray(problem.deadline_s)[on])
    spare = problem.network.band_hz - uplink.least_hz.sum()

    def spent(logits: Any) -> float:
        share = np.exp(logits - logits.max())
        _, energy, _ = uplink.at(uplink.least_hz + spare * share / share.sum())
        return float(price @ energy)

    found = minimize(
        spent,
        np.zeros(on.size),
        method="Nelder-Mead",
        options={"maxfev": 1500, "xatol": 1e-6, "fatol": 1e-12},
    ).fun
    idle = decision.selected & (problem.network.upload_bit == 0.0)
    heat = problem.network.capacitance * problem.network.cycles * decision.cpu_hz**2
    ours = problem.cost(decision) + float(gains(problem)[decision.selected].sum())
    ours -= float((np.asarray(problem.utility_per_j) * heat)[idle].sum())
    assert ours <= found * (1.0 + 1e-9)
    assert ours >= found * (1.0 - 1e-3)


def test_equal_prices_are_one_price() -> None:
    base = joint(3, 40, utility_per_j=True)
    every = dataclasses.replace(base, utility_per_j=np.full(40, base.utility_per_j))
    one, other = fl_opt.solve(base), fl_opt.solve(every)
    assert one.certificate.cost == other.certificate.cost
    assert np.array_equal(one.allocation.bandwidth_hz, other.allocation.bandwidth_hz)


def test_a_weighted_network_spends_the_weighted_energy() -> None:
    base = joint(4, 30)
    weight = np.random.default_rng(4).uniform(0.1, 1.0, 30)
    deadline = np.asarray(base.deadline_s)
    plain, counted = (
        Uplink(network, deadline) for network in (base.network, weighted(base.network, weight))
    )
    able = np.isfinite(plain.least_hz)
    assert np.array_equal(able, np.isfinite(counted.least_hz))
    assert counted.least_hz[able] == pytest.approx(plain.least_hz[able], rel=1e-7)
    some = able & plain.sending
    here, there = (Uplink(u.network[some], deadline[some]) for u in (plain, counted))
    at = 3.0 * here.least_hz
    assert there.at(at)[1] == pytest.approx(weight[some] * here.at(at)[1], rel=1e-9)


def test_who_pays_nothing_takes_the_least_band_and_leaves_the_rest_to_who_pays() -> None:
    network = fl_opt.Network(
        gain=[1e-10, 1e-10, 1e-10],
        power_max_w=0.2,
        cpu_min_hz=1e8,
        cpu_max_hz=2e9,
        capacitance=1e-28,
        cycles=2e8,
        upload_bit=3e5,
        samples=1.0,
        band_hz=1e6,
    )
    problem = JointSchedule(network, 1.0, utility_per_j=[0.0, 1.0, 4.0])
    found = fl_opt.solve(problem).allocation
    assert found.selected.all()
    assert found.bandwidth_hz[0] == pytest.approx(Uplink(network, 1.0).least_hz[0], rel=1e-12)
    assert found.bandwidth_hz[0] < found.bandwidth_hz[1] < found.bandwidth_hz[2]
    assert found.bandwidth_hz.sum() == pytest.approx(1e6, rel=1e-12)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_order_and_units_do_not_matter_and_dearer_joules_never_help(seed: int) -> None:
    problem = queues(seed, 12)
    base = fl_opt.solve(problem).certificate.cost
    order = np.random.default_rng(seed).permutation(12)
    price = np.asarray(problem.utility_per_j)
    moved = JointSchedule(
        problem.network[order],
        np.asarray(problem.deadline_s)[order],
        utility=1e-3 * gains(problem)[order],
        utility_per_j=1e-3 * price[order],
    )
    assert fl_opt.solve(moved).certificate.cost == pytest.approx(1e-3 * base, rel=4e-9)
    dearer = dataclasses.replace(problem, utility_per_j=1.5 * price)
    assert fl_opt.solve(dearer).certificate.cost >= base - 2e-9 * abs(base)


def test_a_price_that_hardly_counts_leaves_no_gap() -> None:
    problem = queues(1, 6)
    price = np.asarray(problem.utility_per_j).copy()
    for tiny in (1e-12, 1e-16, 1e-60):
        price[0] = price.max() * tiny
        certificate = fl_opt.solve(dataclasses.replace(problem, utility_per_j=price)).certificate
        assert certificate.feasible
        assert certificate.gap <= 2e-9


def test_refuses_different_prices_beside_a_budget() -> None:
    problem = queues(0, 3)
    with pytest.raises(InvalidInput, match=r"one value for all beside a finite energy_total_j"):
        dataclasses.replace(problem, energy_total_j=1.0, utility_per_j=[1.0, 2.0, 3.0])
    with pytest.raises(InvalidInput, match=r"utility_per_j\[1\] is -1"):
        dataclasses.replace(problem, utility_per_j=[1.0, -1.0, 3.0])
