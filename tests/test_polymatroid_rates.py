"""Rates on a channel for all: greedy and decomposition against every set and every order."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from still_world import network

import fl_opt
from fl_opt import (
    BitAllocation,
    InvalidInput,
    MultipleAccess,
    PolymatroidBits,
    PolymatroidRates,
    UplinkRates,
)
from fl_opt.units import Floats

SEEDS = st.integers(0, 2**32)


def channel(rng: np.random.Generator, size: int) -> MultipleAccess:
    """SNRs from far below to far above one, some devices dead."""
    gain = 10.0 ** rng.uniform(-13.0, -8.0, size) * (rng.random(size) > 0.1)
    return MultipleAccess(rng.uniform(0.05, 1.0, size), gain, 1e-11)


def rates(rng: np.random.Generator, size: int) -> PolymatroidRates:
    weight = [rng.exponential(1.0, size), rng.normal(0.5, 1.0, size), np.ones(size)][
        int(rng.integers(3))
    ]
    return PolymatroidRates(channel(rng, size), weight)


def bits(rng: np.random.Generator, size: int) -> PolymatroidBits:
    return PolymatroidBits(
        channel(rng, size),
        rng.exponential(1.0, size) * (rng.random(size) > 0.1),
        rng.exponential(1.0, size),
        rng.uniform(0.5, 4.0, size),
        10.0 ** rng.uniform(-1.0, 1.0),
    )


def excess_over_all_sets(problem_channel: MultipleAccess, rate: Floats) -> float:
    """Most that any set uses beyond what it may, relative to that, formula written out anew."""
    snr = problem_channel.power_w * problem_channel.gain / problem_channel.noise_w
    worst = -1.0
    for count in range(1, snr.size + 1):
        for members in itertools.combinations(range(snr.size), count):
            most = float(np.log2(1.0 + snr[list(members)].sum()))
            used = float(rate[list(members)].sum())
            worst = max(worst, used / most - 1.0 if most > 0.0 else used * np.inf if used else -1.0)
    return worst


@pytest.mark.parametrize("seed", range(16))
def test_the_greedy_rates_equal_all_orders_and_all_sets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = rates(rng, int(rng.integers(1, 7)))
    greedy, orders, sets = (
        fl_opt.solve(problem, solver=name).certificate for name in ("closed", "enumerate", "cvxpy")
    )
    assert greedy.cost == pytest.approx(orders.cost, rel=1e-13)
    assert sets.cost == pytest.approx(greedy.cost, rel=1e-7, abs=1e-8)
    assert sets.bound <= greedy.cost + 1e-15
    assert sets.gap <= 1e-6 or greedy.cost == 0.0
    assert greedy.feasible
    assert sets.feasible


@pytest.mark.parametrize("seed", range(16))
def test_the_decomposition_equals_the_program_of_all_sets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = bits(rng, int(rng.integers(1, 8)))
    exact, sets = (fl_opt.solve(problem, solver=name).certificate for name in ("closed", "cvxpy"))
    assert exact.feasible
    assert sets.feasible
    assert exact.cost <= sets.cost * (1.0 + 1e-12)
    assert sets.cost == pytest.approx(exact.cost, rel=1e-6)
    assert sets.bound <= exact.cost
    assert exact.gap <= 1e-12


@given(SEEDS, st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_the_proof_is_tight(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    for problem in (rates(rng, size), bits(rng, size)):
        certificate = fl_opt.solve(problem).certificate
        assert certificate.feasible
        assert certificate.bound <= certificate.cost
        assert certificate.gap <= 1e-12


@given(SEEDS, st.floats(0.0, 3.0))
@settings(max_examples=60, deadline=None)
def test_wrong_prices_give_no_false_bound(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    problem = bits(rng, 6)
    best = problem.cost(fl_opt.solve(problem).allocation)
    slope = problem.silence * problem.decay
    price = slope * np.exp(rng.normal(0.0, spread, 6)) * (rng.random(6) > 0.1)
    assert problem.lower_bound(price) <= best


@given(SEEDS, st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_the_prefixes_find_the_set_that_is_violated_most(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    on = channel(rng, size)
    rate = rng.exponential(1.0, size) * (rng.random(size) > 0.2)
    excess = on.excess(UplinkRates(rate))["polymatroid"]
    worst = excess_over_all_sets(on, rate)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(
            excess.limit > 0.0, excess.used / excess.limit, np.where(excess.used > 0.0, np.inf, 0.0)
        )
    assert float(ratio.max()) - 1.0 == pytest.approx(worst, rel=1e-9, abs=1e-12)


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_answers_respect_every_set(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for problem in (rates(rng, 6), bits(rng, 6)):
        rate = fl_opt.solve(problem).allocation.rate_bit
        assert excess_over_all_sets(problem.channel, rate) <= 1e-12


def test_the_dearest_is_decoded_last() -> None:
    on = MultipleAccess(1.0, [3.0, 1.0, 4.0], 1.0)
    rate = fl_opt.solve(PolymatroidRates(on, [1.0, 3.0, 2.0])).allocation.rate_bit
    assert rate == pytest.approx([np.log2(9.0 / 6.0), 1.0, np.log2(6.0 / 2.0)])


def test_two_devices_solved_in_the_head() -> None:
    """Together 3 bits, each alone 2 and log2 5: equal errors share equally."""
    equal = PolymatroidBits(MultipleAccess(1.0, [3.0, 4.0], 1.0))
    assert fl_opt.solve(equal).allocation.rate_bit == pytest.approx([1.5, 1.5])
    # the first wants 2.5 bits, and may have 2
    greedy = PolymatroidBits(MultipleAccess(1.0, [3.0, 4.0], 1.0), weight=[4.0, 1.0])
    assert fl_opt.solve(greedy).allocation.rate_bit == pytest.approx([2.0, 1.0])


def test_with_strong_channels_only_the_sum_binds() -> None:
    """Then the rates are those of reverse water-filling over one budget."""
    rng = np.random.default_rng(3)
    weight, deviation = rng.uniform(1.0, 2.0, 10), rng.uniform(1.0, 2.0, 10)
    on = MultipleAccess(1.0, 1e6, 1.0)
    shared = PolymatroidBits(
        MultipleAccess(1.0, np.full(10, on.snr[0]), 1.0), weight, deviation, 1.0, 1.0
    )
    one = BitAllocation(weight, deviation, 1.0, float(np.log2(1.0 + 1e7)))
    rate = fl_opt.solve(shared).allocation.rate_bit
    assert rate == pytest.approx(fl_opt.solve(one).allocation.bits, rel=1e-12)


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_more_power_never_hurts_and_order_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = bits(rng, 12)
    on, order = one.channel, rng.permutation(12)

    def cost(power_w: Floats, at: Any) -> float:
        moved = PolymatroidBits(
            MultipleAccess(power_w[at], on.gain[at], on.noise_w),
            one.weight[at],
            one.deviation[at],
            one.coordinates[at],
            one.uses,
        )
        return fl_opt.solve(moved).certificate.cost

    base = cost(on.power_w, np.arange(12))
    assert cost(on.power_w, order) == pytest.approx(base, rel=1e-12)
    stronger = on.power_w * rng.choice([1.0, 2.0], 12)
    assert cost(stronger, np.arange(12)) <= base * (1.0 + 1e-12)


@pytest.mark.parametrize(
    ("power", "gain", "weight", "expected"),
    [
        (1.0, [3.0], 1.0, [2.0]),
        (1.0, [0.0, 3.0], 1.0, [0.0, 2.0]),
        (0.0, [1.0, 3.0], 1.0, [0.0, 0.0]),
        (1.0, [1.0, 1.0], [0.0, 1.0], [0.0, 1.0]),
    ],
)
def test_corner_cases(power: float, gain: list[float], weight: Any, expected: list[float]) -> None:
    on = MultipleAccess(power, gain, 1.0)
    for problem in (PolymatroidRates(on, weight), PolymatroidBits(on, weight)):
        solution = fl_opt.solve(problem)
        assert solution.allocation.rate_bit == pytest.approx(expected)
        assert solution.certificate.feasible
        assert solution.certificate.gap <= 1e-13


def test_identical_devices_have_equal_errors_and_nobody_is_infeasible() -> None:
    same = PolymatroidBits(MultipleAccess(0.1, np.full(50, 1e-10), 1e-11))
    rate = fl_opt.solve(same).allocation.rate_bit
    assert rate == pytest.approx(np.full(50, np.log2(51.0) / 50))
    loud = PolymatroidBits(MultipleAccess(1e6, np.geomspace(1e-5, 1.0, 20), 1e-20), uses=100.0)
    certificate = fl_opt.solve(loud).certificate
    assert certificate.feasible
    assert certificate.bound <= certificate.cost


def test_a_round_sends_over_its_whole_band() -> None:
    round_ = network(3, upload_bit=[3.2e6, 3.2e6, 0.0], samples=[100.0, 300.0, 5.0])
    problem = PolymatroidBits.from_network(round_, 0.5)
    assert problem.uses == 2e6
    assert problem.weight.tolist() == pytest.approx([100 / 405, 300 / 405, 0.0])
    solution = fl_opt.solve(problem)
    sent = problem.uses * float(solution.allocation.rate_bit.sum())
    noise = round_.noise_w_hz[0] * round_.band_hz
    assert sent <= 2e6 * np.log2(1.0 + 2 * 0.2e-10 / noise) * (1.0 + 1e-12)
    assert problem.bits(solution.allocation)[2] == 0.0
    assert solution.to_frame().columns.tolist() == ["rate_bit"]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: MultipleAccess(1.0, [1.0, -1.0], 1.0), r"gain\[1\] is -1"),
        (lambda: MultipleAccess(1.0, [], 1.0), "MultipleAccess is empty"),
        (lambda: MultipleAccess(1.0, [1.0], 0.0), "noise_w is 0 W"),
        (lambda: PolymatroidRates(network(2)), "channel is Network; expected a fl_opt.Multiple"),
        (lambda: PolymatroidBits(MultipleAccess(1.0, 1.0, 1.0), uses=0.0), "uses is 0"),
        (lambda: fl_opt.solve(PolymatroidRates(channel(np.random.default_rng(0), 9)), "cvxpy"),
         'devices is 9; expected at most 8 to list all sets; use solver="closed"'),
        (lambda: PolymatroidRates(MultipleAccess(1.0, [1.0, 2.0], 1.0)).excess(UplinkRates([1.0])),
         "decision.size is 1; expected 2"),
    ],
)  # fmt: skip
def test_refuses(call: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        call()
