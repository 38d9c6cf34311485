"""Periods of asynchronous learning: exact fractions, a dense grid, closed forms, whole tiers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fl_opt
from fl_opt import AsyncTiers, InvalidInput, Tiers
from fl_opt.problems.async_tiers import staleness_weight


def instance(seed: int) -> AsyncTiers:
    """A few devices up to a hundred times slower than others; ties, odd weights, least periods."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 8))
    times = 10.0 ** rng.uniform(0.0, rng.choice([0.1, 1.0, 1.6]), size)
    if seed % 3 == 0:
        times = np.round(times, 1)
    weight = rng.uniform(0.0, 3.0, size) if seed % 2 else np.ones(size)
    return AsyncTiers(times, weight, rng.choice([0.4, 0.5, 1.0, 2.0]), rng.choice([0.0, 0.3, 2.0]))


def worth(problem: AsyncTiers, period: Any) -> Any:
    """The objective as it is defined, at many periods (m,)."""
    tier = np.ceil(problem.time_s / np.asarray(period)[:, None])
    return np.sum(problem.weight / tier ** (1.0 + problem.exponent), axis=1) / period


# two independent methods agree


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_the_sweep_finds_what_exact_fractions_find(seed: int) -> None:
    problem = instance(seed)
    ours = fl_opt.solve(problem)
    every = fl_opt.solve(problem, "enumerate").certificate
    assert ours.solver == "closed"
    assert ours.certificate.feasible
    assert every.feasible
    assert ours.certificate.cost == pytest.approx(every.cost, rel=1e-13)
    assert ours.certificate.bound <= every.cost
    assert ours.certificate.gap <= 1e-12


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_no_period_at_all_is_better(seed: int) -> None:
    problem = instance(seed)
    bound = -fl_opt.solve(problem).certificate.bound
    low = max(1e-3, problem.period_min_s)
    grid = np.geomspace(low, 2.0 * max(problem.time_s.max(), low), 20_000)
    assert worth(problem, grid).max() <= bound


def test_a_thousand_devices_are_proven() -> None:
    rng = np.random.default_rng(0)
    problem = AsyncTiers(10.0 ** rng.uniform(0.0, 1.0, 1000), rng.uniform(1.0, 2.0, 1000))
    answer = fl_opt.solve(problem)
    assert answer.certificate.gap <= 1e-12
    assert answer.certificate.proof == "enumeration"
    grid = np.geomspace(0.05, 12.0, 2000)
    assert worth(problem, grid).max() <= -answer.certificate.bound


# shape and closed forms


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_somebody_is_done_just_when_the_period_ends(seed: int) -> None:
    problem = instance(seed)
    found = fl_opt.solve(problem).allocation
    on = problem.weight > 0.0
    tight = (problem.time_s / found.tier)[on].max()
    assert found.period_s == pytest.approx(max(tight, problem.period_min_s), rel=1e-14)
    assert np.all(problem.time_s <= found.tier * found.period_s * (1.0 + 1e-12))
    assert np.all((found.tier == 1) | (problem.time_s > (found.tier - 1) * found.period_s))


@pytest.mark.parametrize("time_s", [0.1, 0.3, 1.1, 7.7])
def test_a_single_device_is_waited_for(time_s: float) -> None:
    answer = fl_opt.solve(AsyncTiers(time_s, 2.0))
    assert answer.allocation.tier.tolist() == [1]
    assert answer.allocation.period_s == time_s
    assert answer.certificate.cost == -2.0 / time_s


def test_two_devices_by_hand() -> None:
    # 1 s and 3 s: wait for both 2/3, or 1 + 1/(3 sqrt 3) with a period of 1 s
    answer = fl_opt.solve(AsyncTiers([1.0, 3.0]))
    assert answer.allocation.tier.tolist() == [1, 3]
    assert answer.certificate.cost == pytest.approx(-(1.0 + 1.0 / 3.0**1.5), rel=1e-15)
    # the slow one holds nearly everything: it is waited for
    assert fl_opt.solve(AsyncTiers([1.0, 3.0], [1.0, 100.0])).allocation.tier.tolist() == [1, 1]


def test_tiers_are_whole_where_a_quotient_is_rounded_up() -> None:
    rng = np.random.default_rng(1)
    times = rng.uniform(1.0, 2.0, 2000)
    odd = [t for t in times if math.ceil(t / (t / 3.0)) == 4]
    # such times exist only where t/3 is rounded down by enough; nextafter makes the others
    assert math.ceil(1.7 / math.nextafter(1.7 / 3.0, 0.0)) == 4
    odd = odd or [t for t in times if math.ceil(t / math.nextafter(t / 3.0, 0.0)) == 4]
    for t in odd[:20]:
        problem = AsyncTiers([t / 3.0, t], [1.0, 1.0])
        assert fl_opt.solve(problem).allocation.tier.tolist() == [1, 3]
        shorter = AsyncTiers([math.nextafter(t / 3.0, 0.0), t], [1.0, 1.0])
        assert fl_opt.solve(shorter).allocation.tier.tolist() == [1, 3]


def test_staleness_weights() -> None:
    age = np.arange(5)
    assert staleness_weight(age) == pytest.approx(1.0 / np.sqrt(1.0 + age), rel=1e-15)
    assert staleness_weight(age, 2.0) == pytest.approx((1.0 + age) ** -2.0, rel=1e-15)
    assert staleness_weight(age, 0.0).tolist() == [1.0] * 5
    with pytest.raises(InvalidInput, match="exponent is -1"):
        staleness_weight(age, -1.0)


# laws


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.2, 5.0))
def test_order_units_and_more_of_anything(seed: int, unit: float) -> None:
    problem = instance(seed)
    base = fl_opt.solve(problem).certificate.cost
    order = np.random.default_rng(seed).permutation(problem.time_s.size)
    moved = AsyncTiers(
        unit * problem.time_s[order],
        problem.weight[order],
        problem.exponent,
        unit * problem.period_min_s,
    )
    assert fl_opt.solve(moved).certificate.cost == pytest.approx(base / unit, rel=1e-12)
    quick = AsyncTiers(0.8 * problem.time_s, problem.weight, problem.exponent, problem.period_min_s)
    assert fl_opt.solve(quick).certificate.cost <= base * (1.0 - 1e-13)
    free = AsyncTiers(problem.time_s, problem.weight, problem.exponent)
    assert fl_opt.solve(free).certificate.cost <= base * (1.0 - 1e-13)


def test_where_staleness_counts_more_the_slow_are_waited_for() -> None:
    times = [1.0, 1.2, 2.9, 4.0]
    periods = [
        fl_opt.solve(AsyncTiers(times, [2, 2, 4, 9], a)).allocation.period_s for a in (0.5, 8.0)
    ]
    assert periods[0] < periods[1]


# corners


def test_who_never_reports_and_who_is_worth_nothing() -> None:
    answer = fl_opt.solve(AsyncTiers([1.0, math.inf, 3.0], [1.0, 5.0, 0.0]))
    assert answer.allocation.tier.tolist() == [1, 0, 3]
    assert answer.certificate.cost == -1.0
    assert answer.certificate.gap <= 1e-12
    nobody = fl_opt.solve(AsyncTiers([math.inf, 2.0], [1.0, 0.0]))
    assert nobody.certificate.cost == 0.0
    assert nobody.certificate.feasible


def test_identical_devices_are_one() -> None:
    answer = fl_opt.solve(AsyncTiers(np.full(500, 0.7)))
    assert answer.allocation.period_s == 0.7
    assert answer.certificate.cost == pytest.approx(-500 / 0.7, rel=1e-14)


def test_a_least_period_above_all_times() -> None:
    answer = fl_opt.solve(AsyncTiers([0.1, 0.2], 1.0, 0.5, 1.0))
    assert answer.allocation.period_s == 1.0
    assert answer.certificate.cost == -2.0


def test_from_a_network() -> None:
    network = fl_opt.Network(
        gain=[1e-10, 1e-12, 0.0],
        power_max_w=0.2,
        cpu_min_hz=1e8,
        cpu_max_hz=2e9,
        capacitance=1e-28,
        cycles=[2e8, 2e9, 2e8],
        upload_bit=3e5,
        samples=[10, 20, 30],
        band_hz=3e6,
    )
    problem = AsyncTiers.from_network(network)
    rate = 1e6 * np.log2(1.0 + network.gain[:2] * 0.2 / (network.noise_w_hz[:2] * 1e6))
    assert problem.time_s[:2] == pytest.approx(network.cycles[:2] / 2e9 + 3e5 / rate, rel=1e-12)
    assert math.isinf(problem.time_s[2])
    found = fl_opt.solve(problem).allocation
    assert found.tier[2] == 0
    frame = found.to_frame()
    assert frame["between_s"].tolist()[:2] == (found.tier * found.period_s)[:2].tolist()
    assert math.isinf(frame["between_s"][2])


# refusals


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"time_s": [1.0, 0.0]}, r"time_s\[1\] is 0 s"),
        ({"time_s": 1.0, "exponent": 0.0}, r"exponent is 0"),
        ({"time_s": 1.0, "weight": -1.0}, r"weight is -1"),
        ({"time_s": 1.0, "period_min_s": -1.0}, r"period_min_s is -1 s"),
    ],
)
def test_refuses_what_is_out_of_range(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        AsyncTiers(**arguments)


def test_refuses_periods_without_number() -> None:
    with pytest.raises(
        InvalidInput, match=r"periods in question is .*; give a longer period_min_s"
    ):
        fl_opt.solve(AsyncTiers([1.0, 1e9], [1.0, 1.0]))
    assert fl_opt.solve(AsyncTiers([1.0, 1e9], 1.0, 0.5, 0.999e3)).certificate.gap <= 1e-12


def test_refuses_tiers_that_are_not_whole() -> None:
    with pytest.raises(InvalidInput, match=r"whole numbers \(K,\) >= 0"):
        Tiers(1.0, [1.5])
    with pytest.raises(InvalidInput, match=r"period_s is 0 s"):
        Tiers(0.0, [1])


def test_a_tier_too_early_is_a_violation() -> None:
    problem = AsyncTiers([1.0, 3.0])
    violation = fl_opt.verify(problem, Tiers(1.0, [1, 2])).violation
    assert str(violation["report"]) == "report at device 1: 1 s over 2 s"
    assert "period_min" in fl_opt.verify(AsyncTiers(1.0, 1.0, 0.5, 2.0), Tiers(1.0, [1])).violation
