"""Bits for updates: water level against a conic program, greed against all whole choices."""

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
from fl_opt import BitAllocation, BitDepths, InvalidInput, WholeBitAllocation
from fl_opt.allocation import use
from fl_opt.problem_file import read_problem
from fl_opt.testing import check_policy


def problem(seed: int, size: int = 0) -> BitAllocation:
    """Deviations over four decades, some without weight, caps that bind or not."""
    rng = np.random.default_rng(seed)
    size = size or int(rng.integers(1, 25))
    weight = rng.random(size) * (rng.random(size) > 0.1)
    cap = rng.choice([0.0, 2.5, 4.0, 8.0, math.inf], size, p=[0.05, 0.2, 0.2, 0.2, 0.35])
    return BitAllocation(
        weight,
        10.0 ** rng.uniform(-2, 2, size),
        rng.integers(1, 1000, size),
        10.0 ** rng.uniform(0, 4.5),
        cap,
    )


def whole(seed: int) -> WholeBitAllocation:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 6))
    return WholeBitAllocation(
        rng.random(size), 10.0 ** rng.uniform(-1, 1, size), 10, float(rng.integers(0, 200)),
        rng.integers(0, 9, size),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_equals_the_conic_program(seed: int) -> None:
    stated = problem(seed)
    exact, reference = fl_opt.solve(stated), fl_opt.solve(stated, solver="cvxpy")
    assert exact.solver == "closed"
    assert reference.certificate.feasible
    assert reference.certificate.bound <= exact.certificate.cost
    assert exact.certificate.cost <= reference.certificate.cost * (1.0 + 1e-13)
    assert reference.certificate.cost == pytest.approx(exact.certificate.cost, rel=1e-6)


@pytest.mark.parametrize("seed", range(150))
def test_whole_bits_equal_enumeration(seed: int) -> None:
    stated = whole(seed)
    exact, tried = fl_opt.solve(stated), fl_opt.solve(stated, solver="enumerate")
    assert exact.certificate.feasible
    assert exact.certificate.cost == pytest.approx(tried.certificate.cost, rel=1e-14)
    assert exact.certificate.gap <= 1e-12
    assert exact.certificate.proof == "dual"


@pytest.mark.parametrize("seed", range(10))
def test_whole_bits_equal_the_mixed_integer_program(seed: int) -> None:
    stated = whole(seed)
    reference = fl_opt.solve(stated, solver="mip").certificate
    assert reference.feasible
    assert reference.cost == pytest.approx(fl_opt.solve(stated).certificate.cost, rel=1e-6)


@pytest.mark.parametrize("seed", range(100))
def test_the_bound_is_tight_and_true_in_fifty_digits(seed: int) -> None:
    stated = problem(seed)
    solution = fl_opt.solve(stated)
    proof = solution.certificate
    assert proof.feasible
    # doubles lose digits below 1e-307
    assert proof.gap <= (3e-12 if proof.cost > 1e-300 else 1e-10)
    v, d = stated.silence, stated.coordinates
    with mpmath.workdps(50):

        def bits(level: mpmath.mpf, k: int) -> mpmath.mpf:
            if v[k] == 0.0:
                return mpmath.mpf(0)
            best = mpmath.log(mpmath.mpf(v[k]) / d[k], 2) / 2 - level
            return min(max(best, mpmath.mpf(0)), mpmath.mpf(stated.bits_max[k]))

        low, high = mpmath.mpf(-40000), mpmath.mpf(60)
        for _ in range(180):
            middle = (low + high) / 2
            spent = mpmath.fsum(int(d[k]) * bits(middle, k) for k in range(stated.size))
            low, high = (middle, high) if spent > stated.budget_bit else (low, middle)
        least = mpmath.fsum(
            mpmath.mpf(v[k]) * mpmath.mpf(4) ** -bits(high, k) for k in range(stated.size)
        )
        assert mpmath.mpf(proof.bound) <= least * (1 + mpmath.mpf(10) ** -40)
        assert abs(mpmath.mpf(proof.cost) - least) <= 1e-11 * least + mpmath.mpf(10) ** -300


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(-3.0, 3.0))
@settings(max_examples=60, deadline=None)
def test_any_price_gives_a_bound(seed: int, scale: float) -> None:
    stated = problem(seed)
    solution = fl_opt.solve(stated)
    price = solution.prices["budget"]
    assert isinstance(price, float)
    for tried in (0.0, price * 10.0**scale, 10.0**scale):
        assert stated.lower_bound(tried) <= solution.certificate.cost


@pytest.mark.parametrize("seed", range(40))
def test_the_error_that_a_bit_removes_is_level(seed: int) -> None:
    stated = problem(seed)
    solution = fl_opt.solve(stated)
    bits, price = solution.allocation.bits, solution.prices["budget"]
    removes = math.log(4.0) * stated.silence * np.exp2(-2.0 * bits) / stated.coordinates
    assert isinstance(price, float)
    if price == 0.0:
        heard = stated.silence > 0.0
        assert np.array_equal(bits[heard], stated.bits_max[heard])
        return
    inside = (bits > 0.0) & (bits < stated.bits_max)
    assert removes[inside] == pytest.approx(price, rel=1e-9)
    assert np.all(removes[bits == 0.0][stated.bits_max[bits == 0.0] > 0.0] <= price * (1 + 1e-9))
    assert np.all(removes[(bits > 0.0) & ~inside] >= price * (1.0 - 1e-9))
    assert stated.coordinates @ bits == pytest.approx(stated.budget_bit, rel=1e-12)


def test_equal_devices_share_evenly_and_a_bit_quarters_the_error() -> None:
    solution = fl_opt.solve(BitAllocation(np.full(8, 0.125), 1.0, 100, 2400.0))
    assert solution.allocation.bits == pytest.approx(3.0, rel=1e-14)
    assert solution.certificate.cost == pytest.approx(8 * 0.125**2 / 64, rel=1e-14)


@pytest.mark.parametrize("seed", range(15))
def test_the_prices_are_derivatives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight, cap = rng.random(6), rng.uniform(1.0, 4.0, 6)

    def cost(budget: float, caps: Any) -> float:
        return fl_opt.solve(BitAllocation(weight, 1.0, 10, budget, caps)).certificate.cost

    solution = fl_opt.solve(BitAllocation(weight, 1.0, 10, 90.0, cap))
    slope = (cost(89.999, cap) - cost(90.001, cap)) / 0.002
    assert solution.prices["budget"] == pytest.approx(slope, rel=1e-4, abs=1e-9)
    own = np.asarray(solution.prices["bits_max"])
    for k in range(6):
        step = 1e-5 * (np.arange(6) == k)
        slope = (cost(90.0, cap - step) - cost(90.0, cap + step)) / 2e-5
        assert own[k] == pytest.approx(slope, rel=1e-3, abs=1e-5)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_laws_of_budget_caps_order_units_and_wholeness(seed: int) -> None:
    stated = problem(seed)
    w, s, d = stated.weight, stated.deviation, stated.coordinates
    budget, cap = stated.budget_bit, stated.bits_max

    def cost(*fields: Any) -> float:
        return fl_opt.solve(BitAllocation(*fields)).certificate.cost

    base = cost(w, s, d, budget, cap)
    assert cost(w, s, d, 1.2 * budget, cap) <= base * (1.0 + 1e-12)
    assert cost(w, s, d, budget, 0.5 * cap) >= base * (1.0 - 1e-12)
    order = np.random.default_rng(seed).permutation(stated.size)
    shuffled = cost(w[order], s[order], d[order], budget, cap[order])
    assert shuffled == pytest.approx(base, rel=1e-11, abs=1e-300)
    assert cost(w, s, 8.0 * d, 8.0 * budget, cap) == pytest.approx(base, rel=1e-11, abs=1e-300)
    rounded = whole(seed)
    assert fl_opt.solve(rounded).certificate.cost >= fl_opt.solve(rounded.real).certificate.bound


@pytest.mark.parametrize(
    ("fields", "bits"),
    [
        (([0.5, 0.5], 1.0, 10, 0.0), [0, 0]),
        (([0.0, 0.0], 1.0, 10, 50.0), [0, 0]),
        (([0.5, 0.0], 1.0, 10, 50.0), [5, 0]),
        (([0.5], 1.0, 10, 30.0), [3]),
        (([0.5, 0.5], 1.0, 10, 1e9, 4), [4, 4]),
        (([0.5, 0.5], 1.0, 10, 50.0, [0, 8]), [0, 5]),
        (([0.4, 0.2], 1.0, 10, 50.0), [3, 2]),
        (([0.5], 1.0, 0.1, 0.3), [3]),
    ],
)
def test_corner_cases_of_both(fields: Any, bits: list[int]) -> None:
    for stated in (BitAllocation(*fields), WholeBitAllocation(*fields)):
        solution = fl_opt.solve(stated)
        assert solution.allocation.bits == pytest.approx(bits, rel=1e-13)
        assert solution.certificate.feasible
        assert solution.certificate.gap <= 1e-12
    for solver in ("mip", "enumerate"):
        found = fl_opt.solve(WholeBitAllocation(*fields), solver=solver)
        assert found.certificate.cost == pytest.approx(solution.certificate.cost, rel=1e-9)


def test_a_zero_budget_leaves_all_errors() -> None:
    stated = BitAllocation([0.3, 0.7], [2.0, 1.0], 100, 0.0)
    solution = fl_opt.solve(stated)
    assert solution.certificate.cost == pytest.approx(0.36 + 0.49, rel=1e-15)
    assert solution.allocation.bits.tolist() == [0.0, 0.0]
    assert fl_opt.solve(stated, solver="cvxpy").certificate.cost == solution.certificate.cost


def test_judges_anybody() -> None:
    stated = WholeBitAllocation([0.5, 0.5], 1.0, 10, 50.0, 4)
    judged = fl_opt.verify(stated, BitDepths([4.5, 3.0], 10))
    assert set(judged.violation) == {"budget", "bits_max", "whole"}


def test_who_has_no_update_stays_out_as_a_policy_must() -> None:
    formulate = partial(BitAllocation.from_network, budget_bit=1e5, deadline_s=0.5)
    check_policy(fl_opt.Optimised(formulate))
    stated = formulate(network(3, upload_bit=[0.0, 3.2e5, 3.2e5]))
    solution = fl_opt.solve(stated)
    assert solution.allocation.bits == pytest.approx([0.0, 5.0, 5.0])
    assert stated.silence[0] == 0.0


def test_becomes_a_round_and_a_policy_and_a_file(tmp_path: Path) -> None:
    net = network(4, gain=[1e-10, 2e-11, 3e-12, 0.0], upload_bit=3.2e5)
    formulate = partial(BitAllocation.from_network, budget_bit=1e5, deadline_s=0.5)
    policy = fl_opt.Optimised(formulate)
    rng = np.random.default_rng(0)
    allocation, memory = policy.decide(fl_opt.Round(net, 0, rng, None, {}), policy.start(4, rng))
    assert memory.solution.certificate.gap <= 1e-12
    assert allocation.selected.tolist() == [True, True, True, False]
    assert allocation.upload_bit is not None
    assert allocation.upload_bit.sum() == pytest.approx(1e5)
    assert use(net, allocation).finish_s.max() <= 0.5 * (1.0 + 1e-12)
    (tmp_path / "bits.toml").write_text(
        'problem = "WholeBitAllocation"\nweight = [0.4, 0.2]\ndeviation = 1\n'
        "coordinates = 10\nbudget_bit = 50\n"
    )
    stated = read_problem(tmp_path / "bits.toml").problem
    assert fl_opt.solve(stated).allocation.bits.tolist() == [3.0, 2.0]


@pytest.mark.parametrize(
    ("kind", "arguments", "text"),
    [
        (BitAllocation, ([0.5, -1.0], 1.0, 10, 5.0), r"weight\[1\] is -1"),
        (BitAllocation, (0.5, 1.0, 0, 5.0), "coordinates is 0; expected a number > 0"),
        (BitAllocation, (0.5, 1.0, 10, math.inf), "budget_bit is inf"),
        (BitAllocation, ([], 1.0, 10, 5.0), "BitAllocation is empty"),
        (WholeBitAllocation, (0.5, 1.0, 10, 5.0, 2.5), r"bits_max\[0\] is 2.5; expected whole"),
        (WholeBitAllocation, (0.5, 1.0, 10, 5.0, math.inf), r"bits_max\[0\] is inf"),
    ],
)
def test_refuses_what_is_no_budget(kind: type, arguments: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        kind(*arguments)
