"""Power over the air through fading: prices against a cone program, the static case, and laws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fl_opt
from fl_opt import InvalidInput, OverTheAirFading, OverTheAirPower
from fl_opt.problems.over_the_air_fading import FadingPlan

THOUSAND = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(10_000, 11_000)]


def problem(seed: int, states: int = 0, size: int = 0) -> OverTheAirFading:
    """Rayleigh fading around gains that differ by decades, some links dead at times."""
    rng = np.random.default_rng(seed)
    size, states = size or int(rng.integers(1, 8)), states or int(rng.integers(1, 12))
    gain = rng.exponential(1.0, (states, size)) * 10.0 ** rng.uniform(-12, -9, size)
    gain[rng.random((states, size)) < 0.1] = 0.0
    return OverTheAirFading(gain, rng.uniform(0.01, 1.0, size), 10.0 ** rng.uniform(-15, -8))


@pytest.mark.parametrize("seed", range(12))
def test_equals_the_cone_program(seed: int) -> None:
    rng = np.random.default_rng(seed)
    states, size = int(rng.integers(2, 7)), int(rng.integers(1, 5))
    gain = 1e-10 * rng.exponential(1.0, (states, size))
    stated = OverTheAirFading(gain, rng.uniform(0.05, 0.5, size), 10.0 ** rng.uniform(-12, -10))
    exact, reference = fl_opt.solve(stated), fl_opt.solve(stated, solver="cvxpy")
    assert exact.solver == "multipliers"
    assert reference.certificate.feasible
    assert reference.certificate.bound <= exact.certificate.cost
    assert reference.certificate.cost == pytest.approx(exact.certificate.cost, rel=1e-7)


@pytest.mark.parametrize("seed", range(40))
def test_one_state_is_the_static_problem(seed: int) -> None:
    stated = problem(seed, states=1)
    static = fl_opt.solve(OverTheAirPower(stated.gain[0], stated.power_mean_w, stated.noise_w))
    fading = fl_opt.solve(stated)
    assert fading.certificate.cost == pytest.approx(static.certificate.cost, rel=1e-9)
    assert fading.allocation.eta_w[0] == pytest.approx(static.allocation.eta_w, rel=1e-4)
    peak, mean = (
        np.asarray(prices) * stated.power_mean_w
        for prices in (static.prices["power_max"], fading.prices["power_mean"])
    )
    assert mean == pytest.approx(peak, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("seed", [*range(60), *THOUSAND])
def test_the_proof_is_tight(seed: int) -> None:
    proof = fl_opt.solve(problem(seed)).certificate
    assert proof.feasible
    assert proof.proof == "dual"
    assert proof.bound <= proof.cost
    assert proof.gap <= 1e-9


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_no_prices_and_no_powers_pass_each_other(seed: int) -> None:
    stated = problem(seed)
    rng = np.random.default_rng(seed)
    prices = 10.0 ** rng.uniform(-6, 1, stated.size) / stated.size
    share = rng.exponential(1.0, stated.gain.shape)
    power = stated.power_mean_w * share / share.mean(axis=0)
    heard = np.sqrt(stated.gain * power)
    with np.errstate(divide="ignore"):
        eta = ((stated.noise_w + (heard**2).sum(axis=1)) / heard.sum(axis=1)) ** 2
    eta[heard.sum(axis=1) == 0.0] = math.inf
    judged = fl_opt.verify(stated, FadingPlan(power, eta))
    assert judged.feasible
    assert stated.bound(prices)[0] <= judged.cost
    best = fl_opt.solve(stated).certificate
    assert stated.bound(prices)[0] <= best.cost
    assert best.bound <= judged.cost


@pytest.mark.parametrize("seed", range(20))
def test_powers_are_regularised_inversions_at_the_prices(seed: int) -> None:
    stated = problem(seed, states=10)
    solution = fl_opt.solve(stated)
    price, plan = np.asarray(solution.prices["power_mean"]), solution.allocation
    for r in range(10):
        fresh = stated.respond(price, stated.gain[r])
        assert fresh.power_w == pytest.approx(plan.power_w[r], rel=1e-6, abs=1e-9)
        assert fresh.eta_w == pytest.approx(plan.eta_w[r], rel=1e-6)
    spent, heard = plan.power_w.mean(axis=0), stated.gain.any(axis=0)
    # who has power left has it for nothing
    slack = 1.0 - spent / stated.power_mean_w
    assert (price * stated.power_mean_w * slack)[heard] == pytest.approx(0.0, abs=1e-9)


def test_loudest_in_middling_states_and_silent_where_it_is_hopeless() -> None:
    gain = 1e-11 * np.geomspace(1e-3, 1e3, 25)[:, None]
    stated = OverTheAirFading(gain, 0.1, 1e-12)
    plan = fl_opt.solve(stated).allocation
    power = plan.power_w[:, 0]
    top = int(np.argmax(power))
    assert 0 < top < 24
    assert (np.diff(power[: top + 1]) >= 0.0).all()
    assert (np.diff(power[top:]) <= 0.0).all()
    silent = power == 0.0
    assert silent[0]
    assert np.isinf(plan.eta_w[silent]).all()


@pytest.mark.parametrize("seed", range(20))
def test_saving_for_better_states_beats_equal_power_in_each(seed: int) -> None:
    stated = problem(seed, states=8)
    each = [
        fl_opt.solve(OverTheAirPower(row, stated.power_mean_w, stated.noise_w)).certificate.cost
        for row in stated.gain
    ]
    assert fl_opt.solve(stated).certificate.bound <= np.mean(each)


@pytest.mark.parametrize(
    ("gain", "power", "noise_w", "cost"),
    [
        ([[1e-10, 2e-11], [3e-12, 1e-9]], 0.1, 0.0, 0.0),
        ([[1e-10, 0.0], [3e-12, 0.0]], 0.1, 0.0, 1.0),
        ([[1e-10, 0.0], [0.0, 0.0]], 0.1, 0.0, 1.5),
        ([[0.0, 0.0]], 0.1, 1e-13, 2.0),
        ([[1e-10, 1e-11]], [0.0, 0.0], 1e-13, 2.0),
        ([2e-10], 0.1, 1e-11, 1.0 / 3.0),
        ([[2e-10], [2e-10]], 0.1, 1e-11, 1.0 / 3.0),
    ],
)
def test_corner_cases(gain: Any, power: Any, noise_w: float, cost: float) -> None:
    proof = fl_opt.solve(OverTheAirFading(gain, power, noise_w)).certificate
    assert proof.feasible
    assert proof.cost == pytest.approx(cost, rel=1e-10, abs=1e-15)
    assert proof.bound == pytest.approx(cost, rel=1e-10, abs=1e-15)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_laws_of_power_order_repetition_and_units(seed: int) -> None:
    stated = problem(seed)
    rng = np.random.default_rng(seed)
    gain, power, noise = stated.gain, stated.power_mean_w, stated.noise_w
    base = fl_opt.solve(stated).certificate.cost

    def cost(*fields: Any) -> float:
        return fl_opt.solve(OverTheAirFading(*fields)).certificate.cost

    assert cost(gain, 1.5 * power, noise) <= base * (1.0 + 1e-9)
    rows, columns = rng.permutation(gain.shape[0]), rng.permutation(gain.shape[1])
    assert cost(gain[rows][:, columns], power[columns], noise) == pytest.approx(base, rel=1e-9)
    assert cost(np.vstack([gain, gain]), power, noise) == pytest.approx(base, rel=1e-9)
    assert cost(gain, 8.0 * power, 8.0 * noise) == pytest.approx(base, rel=1e-9)


def test_many_states_and_devices() -> None:
    rng = np.random.default_rng(3)
    gain = rng.exponential(1.0, (400, 30)) * 10.0 ** rng.uniform(-12, -9, 30)
    proof = fl_opt.solve(OverTheAirFading(gain, 0.1, 1e-13)).certificate
    assert proof.feasible
    assert proof.gap <= 1e-9


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([[1e-10, -1.0]], 0.2, 1e-13), r"gain\[1\] is -1"),
        (([[1e-10, 1e-10]], [0.1, 0.1, 0.1], 0.0), r"power_mean_w.shape is \(3,\)"),
        (([], 0.2, 0.0), r"gain.shape is \(1, 0\); expected \(R, K\), a row per state"),
        ((np.ones((2, 2, 2)), 0.2, 0.0), r"gain.shape is \(2, 2, 2\)"),
    ],
)
def test_refuses_what_is_no_fading(arguments: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        OverTheAirFading(*arguments)
