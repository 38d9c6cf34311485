"""Periods of edge and cloud aggregation: boxes against pairs, in fifty digits, and the limits."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from still_world import network

import fl_opt
from fl_opt import HierarchicalPeriods, Infeasible, InvalidInput, LocalSteps, Periods, physics
from fl_opt.problem_file import read_problem
from fl_opt.problems.local_steps import Constants


def fields(seed: int) -> dict[str, Any]:
    """Budgets of one to three resources, constants over decades, some of them zero."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 4))
    step, edge, cloud = 10.0 ** rng.uniform([[-3], [-3], [-2]], [[0], [0], [2]], (3, size))
    rho, beta, delta, edge_delta = 10.0 ** rng.uniform(-3, 2, 4) * (rng.random(4) > 0.1)
    return {
        "budget": (step + edge + cloud) * 10.0 ** rng.uniform(0.01, 4, size),
        "step_cost": step,
        "edge_cost": edge,
        "cloud_cost": cloud,
        "rate": 10.0 ** rng.uniform(-4, -1),
        "rho": rho,
        "beta": beta,
        "delta": delta,
        "edge_delta": edge_delta,
        "local_max": 25,
        "edge_max": 20,
    }


def exact_loss(given: dict[str, Any], one: int, two: int) -> mpmath.mpf:
    """The bound on the loss with D as a sum over edge rounds, in the digits of the context."""
    names = ("rate", "rho", "beta", "delta", "edge_delta")
    eta, rho, beta, delta, apart = (mpmath.mpf(float(given[name])) for name in names)

    def h(steps: int, divergence: mpmath.mpf) -> mpmath.mpf:
        if beta == 0:
            return mpmath.mpf(0)
        return divergence / beta * ((eta * beta + 1) ** steps - 1) - eta * divergence * steps

    # drift within each edge round, and that of the rounds before it, carried on
    carried = sum((mpmath.mpf(one) * j for j in range(2, two + 1)), mpmath.mpf(0))
    drifted = h(one * two, apart) + (1 + carried) * h(one, delta)
    rows = zip(
        *(given[name] for name in ("budget", "step_cost", "edge_cost", "cloud_cost")), strict=True
    )
    paid = mpmath.inf
    for row in rows:
        r, c, e, d = (mpmath.mpf(float(value)) for value in row)
        paid = min(paid, (r - c - e - d) / (c + e / one + d / (one * two)))
    half = 1 / (2 * eta * mpmath.mpf(0.025) * paid)
    root = mpmath.sqrt(half**2 + rho * drifted / (eta * mpmath.mpf(0.025) * one * two))
    return half + root + rho * drifted


@pytest.mark.parametrize("seed", range(12))
def test_equals_all_pairs_in_fifty_digits(seed: int) -> None:
    given = fields(seed)
    found = fl_opt.solve(HierarchicalPeriods(**given))
    assert (found.solver, found.certificate.proof) == ("closed", "enumeration")
    with mpmath.workdps(50):
        losses = {
            (one, two): exact_loss(given, one, two) for one in range(1, 26) for two in range(1, 21)
        }
        least = min(losses.values())
        chosen = (found.allocation.local_steps, found.allocation.edge_rounds)
        assert losses[chosen] <= least * (1 + mpmath.mpf(2) * 10**-12)
        assert abs(mpmath.mpf(found.certificate.cost) / losses[chosen] - 1) <= 1e-12
        assert mpmath.mpf(found.certificate.bound) <= least
    assert found.certificate.gap <= 2e-12


@pytest.mark.parametrize("seed", range(15))
def test_equals_pair_by_pair(seed: int) -> None:
    stated = HierarchicalPeriods(**fields(seed))
    tried = fl_opt.solve(stated, solver="enumerate").certificate
    found = fl_opt.solve(stated).certificate
    assert found.cost == pytest.approx(tried.cost, rel=2e-12)
    assert found.bound <= tried.cost


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_no_pair_in_a_wide_range_beats_the_bound(seed: int) -> None:
    stated = HierarchicalPeriods(**(fields(seed) | {"local_max": 10**5, "edge_max": 10**5}))
    found = fl_opt.solve(stated)
    assert found.certificate.gap <= 2e-12
    rng = np.random.default_rng(seed)
    one, two = np.floor(10.0 ** rng.uniform(0, 5, (2, 5000)))
    near = np.clip(found.allocation.local_steps + np.arange(-50, 51), 1.0, 1e5)
    assert stated.loss(one, two).min() >= found.certificate.bound
    assert stated.loss(near, found.allocation.edge_rounds).min() >= found.certificate.bound


def test_one_edge_round_is_local_steps() -> None:
    """tau_2 = 1 and a cloud aggregation that comes with every edge aggregation."""
    for delta, apart in ((0.5, 0.0), (0.0, 0.5), (0.3, 0.2)):
        stated = HierarchicalPeriods(
            15.0, 0.013, 0.03, 0.1, rate=0.01, rho=1.0, beta=3.0, delta=delta, edge_delta=apart
        )
        flat = LocalSteps(15.0, 0.013, 0.13, 0.01, 1.0, 3.0, 0.5)
        tau = np.arange(1, 101)
        assert stated.loss(tau, 1) == pytest.approx(flat.loss(tau), rel=1e-12)


def test_a_dear_cloud_is_asked_seldom_and_unlike_devices_meet_often() -> None:
    def found(cloud: float = 1.2, delta: float = 0.1, apart: float = 0.01) -> Periods:
        stated = HierarchicalPeriods(
            600.0, 0.024, 0.12, cloud, rate=0.01, rho=1.0, beta=3.0, delta=delta, edge_delta=apart
        )
        decision: Periods = fl_opt.solve(stated).allocation
        return decision

    between = [found(cloud).local_steps * found(cloud).edge_rounds for cloud in (0.0, 1.2, 12.0)]
    assert between == sorted(between)
    assert found(cloud=0.0).edge_rounds == 1
    local = [found(delta=delta).local_steps for delta in (0.0, 0.01, 0.1, 1.0)]
    assert local == sorted(local, reverse=True)
    assert local[-1] < local[0]
    rounds = [found(apart=apart) for apart in (0.0, 0.1, 10.0)]
    spans = [periods.local_steps * periods.edge_rounds for periods in rounds]
    assert spans == sorted(spans, reverse=True)


def test_without_drift_the_longest_periods_are_best() -> None:
    stated = HierarchicalPeriods(
        15.0, 0.013, 0.1, 1.0, rate=0.01, rho=1.0, beta=3.0, delta=0.0, edge_delta=0.0,
        local_max=10**6, edge_max=10**6,
    )  # fmt: skip
    found = fl_opt.solve(stated)
    assert found.allocation == Periods(10**6, 10**6)
    paid = (15.0 - 1.113) / (0.013 + 0.1 / 1e6 + 1.0 / 1e12)
    assert found.certificate.cost == pytest.approx(1.0 / (0.01 * 0.025 * paid), rel=1e-12)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_laws_of_budgets_range_order_and_units(seed: int) -> None:
    given = fields(seed)

    def cost(**changes: Any) -> float:
        return fl_opt.solve(HierarchicalPeriods(**(given | changes))).certificate.cost

    base = cost()
    assert cost(budget=1.5 * given["budget"]) <= base * (1.0 + 2e-12)
    assert cost(local_max=60, edge_max=60) <= base * (1.0 + 2e-12)
    assert cost(delta=1.5 * given["delta"]) >= base * (1.0 - 2e-12)
    assert cost(edge_delta=1.5 * given["edge_delta"]) >= base * (1.0 - 2e-12)
    names = ("budget", "step_cost", "edge_cost", "cloud_cost")
    turned = cost(**{name: given[name][::-1] for name in names})
    assert turned == pytest.approx(base, rel=2e-12)
    scaled = cost(**{name: 1024.0 * given[name] for name in names})
    assert scaled == pytest.approx(base, rel=2e-12)


def test_the_published_setting_of_one_upload() -> None:
    """1 MHz, 0.5 W, gain 1e-8, noise 1e-10 W, 21,840 parameters: 0.1232 s and 0.0616 J."""
    net = network(
        1, gain=1e-8, power_max_w=0.5, band_hz=1e6, noise_w_hz=1e-16, upload_bit=21_840 * 32
    )
    stated = HierarchicalPeriods.from_network(
        net, Constants(1.0, 3.0, 0.1), budget_s=600.0, budget_j=100.0, cloud_s=1.2, rate=0.01,
        edge_delta=0.01,
    )  # fmt: skip
    airtime = 21_840 * 32 / (1e6 * math.log2(51.0))
    assert stated.edge_cost == pytest.approx([airtime, 0.5 * airtime], rel=1e-14)
    assert np.round(stated.edge_cost, 4).tolist() == [0.1232, 0.0616]
    assert stated.step_cost[0] == pytest.approx(float(physics.training_s(2e8, 2e9)), rel=1e-14)
    heat = float(physics.training_energy_j(1e-28, 2e8, 2e9))
    assert stated.step_cost[1] == pytest.approx(heat, rel=1e-12)


def test_becomes_a_round_a_policy_and_a_file(tmp_path: Path) -> None:
    net = network(4, gain=[1e-10, 2e-11, 3e-12, 1e-11])
    formulate = partial(
        HierarchicalPeriods.from_network, constants=Constants(1.0, 3.0, 0.5), budget_s=600.0,
        budget_j=1e3, cloud_s=1.0, rate=0.01, edge_delta=0.1, nominal_steps=10,
    )  # fmt: skip
    policy = fl_opt.Optimised(formulate)
    rng = np.random.default_rng(0)
    allocation, memory = policy.decide(fl_opt.Round(net, 0, rng, None, {}), policy.start(4, rng))
    assert allocation.local_steps is not None
    assert allocation.local_steps.tolist() == [memory.solution.allocation.local_steps] * 4
    (tmp_path / "periods.toml").write_text(
        'problem = "HierarchicalPeriods"\nbudget = [600, 30]\nstep_cost = [0.024, 0.0024]\n'
        "edge_cost = [0.1232, 0.0616]\ncloud_cost = [1.232, 0]\nrate = 0.01\nrho = 1\nbeta = 3\n"
        "delta = 0.5\nedge_delta = 0.05\n"
    )
    told = fl_opt.solve(read_problem(tmp_path / "periods.toml").problem).allocation
    assert (told.local_steps, told.edge_rounds) > (1, 1)
    assert fl_opt.solve(HierarchicalPeriods(**fields(1))).to_frame().shape == (1, 2)


def test_judges_anybody_and_huge_drift_is_no_error() -> None:
    stated = HierarchicalPeriods(**fields(0))
    assert set(fl_opt.verify(stated, Periods(26, 21)).violation) == {"local_steps", "edge_rounds"}
    wild = HierarchicalPeriods(
        1e9, 0.1, 1.0, 10.0, rate=0.5, rho=1.0, beta=1e6, delta=1.0, edge_delta=1.0,
        local_max=10**6, edge_max=10**6,
    )  # fmt: skip
    found = fl_opt.solve(wild)
    assert found.allocation == Periods(1, 1)
    assert found.certificate.gap <= 2e-12


def test_a_poor_budget_says_what_it_lacks() -> None:
    given = fields(0) | {
        "budget": [1.0, 0.3],
        "step_cost": 0.1,
        "edge_cost": 0.1,
        "cloud_cost": 0.2,
    }
    with pytest.raises(Infeasible, match=r"budget\[1\] = 0.3 does not pay for more") as caught:
        fl_opt.solve(HierarchicalPeriods(**given))
    cure = caught.value.relaxations["budget[1]"]
    assert cure is not None
    assert cure == pytest.approx(0.4, rel=1e-12)
    cured = HierarchicalPeriods(**(given | {"budget": [1.0, cure]}))
    assert math.isfinite(fl_opt.solve(cured).certificate.cost)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"rate": 0.0}, "rate is 0; expected a number > 0"),
        ({"edge_delta": -1.0}, "edge_delta is -1"),
        ({"edge_max": 2.5}, "edge_max is 2.5; expected a whole number"),
        ({"local_max": 10**7}, "local_max is 1e\\+07"),
    ],
)
def test_refuses_what_is_no_learning(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        HierarchicalPeriods(**(fields(0) | changes))


def test_too_many_pairs_to_try() -> None:
    many = HierarchicalPeriods(**(fields(0) | {"local_max": 1000, "edge_max": 1000}))
    with pytest.raises(InvalidInput, match="local_max x edge_max is 1000000"):
        fl_opt.solve(many, solver="enumerate")
