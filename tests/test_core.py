"""The core solver: exact, its bound never false, at ease with identical and extreme items."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fl_opt.certificate import Excess, Solution
from fl_opt.errors import InvalidInput
from fl_opt.solvers import relaxation
from fl_opt.solvers.core import Core
from fl_opt.structure import Items, Knapsack
from fl_opt.units import Floats

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Bag:
    """A knapsack and nothing else; the decision is the mask."""

    goods: Items

    def items(self) -> Items:
        return self.goods

    def pack(self, chosen: Mask) -> Mask:
        return chosen

    def cost(self, decision: Mask) -> float:
        return math.fsum([self.goods.base, *(-self.goods.value[decision]).tolist()])

    def excess(self, decision: Mask) -> dict[str, Excess]:
        used = math.fsum(self.goods.weight[decision].tolist())
        return {"capacity": Excess(used, self.goods.capacity, "kg")}


def bag(
    value: Any, weight: Any, capacity: float, low: Any = None, group: list[int] | None = None
) -> Bag:
    weights = np.array(weight, dtype=float)
    lows = weights if low is None else np.array(low, dtype=float)
    groups = None if group is None else np.array(group)
    return Bag(Items(np.array(value, dtype=float), weights, capacity, lows, groups))


def pack(problem: Bag, **options: Any) -> Solution[Mask]:
    solution = Core(**options)(problem)
    assert solution.certificate.feasible
    assert solution.certificate.proof == "dual + tree"
    if problem.goods.group is not None:
        taken = problem.goods.group[solution.allocation]
        assert np.unique(taken).size == taken.size
    return solution


def exact(goods: Items, weight: Floats) -> Fraction:
    """The best value in rational arithmetic, by lists of undominated sets, class after class."""
    capacity = Fraction(goods.capacity)
    classes: dict[int, list[int]] = {}
    labels = np.arange(goods.value.size) if goods.group is None else goods.group
    for item, label in enumerate(labels.tolist()):
        if weight[item] <= goods.capacity:
            classes.setdefault(label, []).append(item)
    fronts = [(Fraction(0), Fraction(0))]
    for members in classes.values():
        grown = list(fronts)
        for item in members:
            w, v = Fraction(float(weight[item])), Fraction(float(goods.value[item]))
            grown += [(a + w, b + v) for a, b in fronts if a + w <= capacity]
        fronts, best = [], Fraction(-1)
        for a, b in sorted(grown, key=lambda pair: (pair[0], -pair[1])):
            if b > best:
                fronts.append((a, b))
                best = b
    return fronts[-1][1]


def kinds(rng: np.random.Generator, size: int) -> tuple[Floats, Floats]:
    """Values and weights of one of the classical families."""
    weight = np.exp(rng.normal(0.0, rng.choice([0.01, 1.0, 3.0]), size))
    if rng.random() < 0.3:
        weight = rng.integers(0, 5, size).astype(float)
    value = [
        rng.uniform(0.1, 1.0, size),
        weight + 1.0,
        np.maximum(weight - 0.5, 0.01),
        np.full(size, rng.choice([1.0, 0.1, math.pi])),
        rng.integers(0, 6, size).astype(float),
        weight.copy(),
        np.exp(rng.normal(0.0, 2.0, size)) * rng.choice([1.0, -1.0], size),
    ][int(rng.integers(7))]
    if rng.random() < 0.3:
        weight[:], value[:] = weight[0], value[0]
    return value, weight


@st.composite
def bags(draw: st.DrawFn) -> Bag:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = draw(st.integers(1, 12))
    value, weight = kinds(rng, size)
    if draw(st.booleans()):
        weight[rng.integers(size)] = rng.choice([0.0, np.inf])
    whole = float(weight[np.isfinite(weight)].sum())
    capacity = float(rng.choice([0.0, whole, whole * rng.random(), 2.0 * whole]))
    unit = 10.0 ** draw(st.integers(-9, 12))
    low = weight * (1.0 - draw(st.sampled_from([0.0, 0.0, 1e-13, 1e-6, 0.1])))
    low[np.isinf(weight)] = draw(st.sampled_from([np.inf, capacity]))
    group = rng.integers(0, max(1, size // 2), size).tolist() if draw(st.booleans()) else None
    scale = draw(st.sampled_from([1.0, 0.1, 1e-9, 1e9]))
    return bag(value * scale, weight * unit, capacity * unit, low * unit, group)


@settings(max_examples=400, deadline=None)
@given(bags())
def test_equals_enumeration_and_never_proves_too_much(problem: Bag) -> None:
    solution = pack(problem)
    goods = problem.goods
    found = sum((Fraction(v) for v in goods.value[solution.allocation].tolist()), Fraction(0))
    best = exact(goods, goods.weight)
    assert found >= best * (1 - Fraction(1e-9))
    assert Fraction(-solution.certificate.bound) >= exact(goods, goods.weight_low)
    if np.array_equal(goods.weight, goods.weight_low):
        assert solution.certificate.gap <= 1e-9


@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_branch_and_bound(seed: int) -> None:
    from scipy.optimize import Bounds, LinearConstraint, milp

    rng = np.random.default_rng(seed)
    size = 60
    weight = rng.uniform(0.1, 1.0, size)
    value = weight * rng.uniform(0.8, 1.2, size)
    group = rng.integers(0, 15, size) if seed % 2 else np.arange(size)
    problem = bag(value, weight, 0.3 * float(weight.sum()) / (4.0 if seed % 2 else 1.0))
    problem = bag(value, weight, problem.goods.capacity, group=group.tolist())
    rows = np.vstack([weight, (group == np.arange(size)[:, None]).astype(float)])
    limits = LinearConstraint(rows, ub=np.append(problem.goods.capacity, np.ones(size)))
    reference = milp(
        -value, integrality=np.ones(size, int), bounds=Bounds(0, 1), constraints=limits
    )
    solution = pack(problem)
    assert solution.certificate.cost == pytest.approx(reference.fun, rel=1e-7)
    assert solution.certificate.gap <= 1e-9


@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.3, 0.999, 3.0, 1e6]))
@settings(max_examples=150, deadline=None)
def test_a_wrong_price_gives_no_false_bound(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    value, weight = kinds(rng, 10)
    problem = bag(value, weight, float(weight.sum()) * rng.random())
    right = relaxation.capacity_price

    def wrong(steps: relaxation.Steps, capacity: float) -> float:
        return right(steps, capacity) * factor

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relaxation, "capacity_price", wrong)
        solution = pack(problem)
    assert Fraction(-solution.certificate.bound) >= exact(problem.goods, problem.goods.weight)


@given(st.integers(0, 2**32), st.floats(-2.0, 2.0), st.integers(0, 8))
@settings(max_examples=150, deadline=None)
def test_any_price_of_taking_part_bounds_its_side(seed: int, each: float, limit: int) -> None:
    rng = np.random.default_rng(seed)
    value, weight = kinds(rng, 8)
    problem = bag(np.abs(value), weight, float(weight.sum()) * rng.random())
    options = relaxation.options_of(problem.goods)
    upper = relaxation.relax(options, each, limit).upper * options.unit
    for row in range(2**8):
        chosen = (row >> np.arange(8)) % 2 == 1
        number = np.count_nonzero(chosen & (np.abs(value) > 0.0))
        on_side = number <= limit if each >= 0.0 else number >= limit
        if on_side and problem.excess(chosen)["capacity"].amount[0] <= 0.0:
            assert -problem.cost(chosen) <= upper


@given(st.integers(0, 2**32), st.floats(0.0, 1.0), st.booleans())
@settings(max_examples=150, deadline=None)
def test_the_gap_is_relative_to_the_cost_above_a_base(
    seed: int, spare: float, groups: bool
) -> None:
    rng = np.random.default_rng(seed)
    value, weight = kinds(rng, 12)
    group = rng.integers(0, 5, 12) if groups else np.arange(12)
    best = np.zeros(12)
    np.maximum.at(best, group, value)
    goods = bag(value, weight, float(weight.sum()) * rng.random(), group=group.tolist()).goods
    base = float(best.sum()) * (1.0 + 1e-3 * spare)
    floor = float(Fraction(base) - sum(map(Fraction, best.tolist()))) - 1e-15 * base
    solution = pack(Bag(dataclasses.replace(goods, base=base, floor=floor)))
    least = Fraction(base) - exact(goods, weight)
    assert Fraction(solution.certificate.bound) <= least
    found = solution.certificate
    assert found.cost - found.bound <= 1e-9 * found.cost + 1e-13 * base


def test_equal_values_take_the_lightest_first_with_proof() -> None:
    weight = np.random.default_rng(3).permutation(np.linspace(0.1, 1.0, 101))
    solution = pack(bag(np.full(101, 0.7), weight, 20.0))
    order = np.argsort(weight)
    count = int(solution.allocation.sum())
    assert count == np.searchsorted(np.cumsum(weight[order]), 20.0, side="right")
    assert weight[solution.allocation].sum() <= 20.0
    assert solution.certificate.gap <= 1e-13


@pytest.mark.parametrize("grain", [1.0, 100.0])
def test_whole_values_are_proven_to_gap_zero(grain: float) -> None:
    rng = np.random.default_rng(5)
    value = rng.integers(1, 40, 300) * grain
    solution = pack(bag(value, rng.lognormal(0.0, 1.0, 300), 60.0), gap=0.0)
    assert solution.certificate.gap == 0.0


@pytest.mark.parametrize(
    ("value", "weight", "capacity", "chosen"),
    [
        ([2.0], [1.0], 1.0, [True]),
        ([2.0], [1.0 + 1e-9], 1.0, [False]),
        ([1.0, 1.0, 0.0, -1.0], [0.0, np.inf, 0.0, 0.0], 0.0, [True, False, False, False]),
        ([3.0, 2.0, 2.0], [3.0, 2.0, 2.0], 4.0, [False, True, True]),
        ([], [], 1.0, []),
        ([1.0, 2.0], [1e-320, 1e300], 1e300, [True, True]),
    ],
)
def test_small_cases_solved_in_the_head(
    value: list[float], weight: list[float], capacity: float, chosen: list[bool]
) -> None:
    assert pack(bag(value, weight, capacity)).allocation.tolist() == chosen


def test_items_that_fill_the_capacity_exactly_are_all_taken() -> None:
    weight = np.random.default_rng(0).lognormal(0.0, 2.0, 1000)
    solution = pack(bag(weight**0.5, weight, float(weight.sum())))
    assert solution.allocation.all()


@pytest.mark.parametrize("kind", ["random", "whole", "identical", "two kinds", "groups"])
def test_many_items(kind: str) -> None:
    rng = np.random.default_rng(1)
    size = 200_000
    weight, value, group = rng.lognormal(0.0, 1.0, size), rng.uniform(0.1, 1.0, size), None
    if kind == "whole":
        value = rng.integers(50, 1000, size).astype(float)
    if kind == "identical":
        weight, value = np.ones(size), np.full(size, math.pi)
    if kind == "two kinds":
        value = np.where(rng.random(size) < 0.5, 1.0, math.sqrt(2.0))
        weight = np.where(value == 1.0, 1.0, 1.1 * math.sqrt(2.0))
    if kind == "groups":
        group = (np.arange(size) // 4).tolist()
    problem = bag(value, weight, 0.4 * float(weight.sum()) / (4.0 if group else 1.0), group=group)
    solution = pack(problem, states=200_000)
    assert solution.certificate.gap <= (1e-5 if kind == "two kinds" else 1e-9)


@pytest.mark.parametrize("constant", [0.1, 1.0])
def test_weight_plus_constant_is_certified_closely(constant: float) -> None:
    rng = np.random.default_rng(2)
    weight = rng.lognormal(0.0, 1.0, 2000)
    problem = bag(weight + constant, weight, 0.3 * float(weight.sum()))
    solution = pack(problem, states=1_000_000)
    assert solution.certificate.gap <= 1e-5


@pytest.mark.parametrize("kind", ["alike", "in proportion"])
def test_large_groups_are_no_burden(kind: str) -> None:
    size = 20_000
    weight = np.random.default_rng(6).lognormal(0.0, 1.0, size)
    value = weight.copy()
    if kind == "alike":
        weight, value = np.ones(size), np.ones(size)
    group = (np.arange(size) // 1000).tolist()
    solution = pack(bag(value, weight, 7.0, group=group), states=1_000_000)
    assert solution.certificate.gap <= 1e-3


@pytest.mark.parametrize("size", [300, 1000, 10_000])
def test_levels_that_differ_tenfold_in_weight_are_settled(size: int) -> None:
    """Levels of a class are nearly in proportion: of most, the least loss is that of a feather."""
    rng = np.random.default_rng(size)
    kept = 10.0 ** np.arange(-5.0, 1.0)
    error = rng.lognormal(0.0, 1.5, (size, 1)) * (1.0 - kept)
    weight = rng.lognormal(0.0, 1.5, (size, 1)) * kept * (1.0 + 0.3 * kept)
    value, more = error[:, :1] - error[:, 1:], weight[:, 1:] - weight[:, :1]
    group = np.repeat(np.arange(size), 5).tolist()
    goods = bag(value.ravel(), more.ravel(), 0.3 * float(weight[:, -1].sum()), group=group).goods
    base = math.fsum(error[:, 0].tolist())
    solution = pack(Bag(dataclasses.replace(goods, base=base)))
    assert solution.certificate.gap <= 2e-9


def test_a_lighter_item_that_may_not_fit_hides_no_other() -> None:
    problem = bag([2.0, 1.0], [np.inf, 1.0], 1.0, low=[0.5, 1.0], group=[0, 0])
    solution = pack(problem)
    assert solution.allocation.tolist() == [False, True]
    assert solution.certificate.bound == -2.0


@pytest.mark.parametrize("group", [None, [0, 0, 1, 1]])
def test_items_that_only_may_fit_hide_none_that_surely_do(group: list[int] | None) -> None:
    problem = bag(
        [2.0, 0.0, 1.0, 2.0], [9.0, 0.1, 9.0, 0.5], 1.0, low=[0, 0.1, 0, 0.5], group=group
    )
    solution = pack(problem)
    assert solution.allocation.tolist() == [False, False, False, True]
    assert solution.certificate.bound <= -2.0


def test_an_integer_program_has_no_prices() -> None:
    assert pack(bag([1.0], [1.0], 1.0)).prices == {"capacity": None}


def test_the_price_of_taking_part_settles_nearly_equal_values() -> None:
    rng = np.random.default_rng(4)
    value = 1.0 + 1e-3 * rng.random(1000)
    weight = rng.lognormal(0.0, 1.0, 1000)
    solution = pack(bag(value, weight, 0.4 * float(weight.sum())))
    assert solution.certificate.gap <= 1e-9


@given(st.integers(0, 2**32), st.floats(0.05, 20.0), st.floats(0.05, 20.0))
@settings(max_examples=60, deadline=None)
def test_units_and_order_change_nothing(seed: int, kilo: float, euro: float) -> None:
    rng = np.random.default_rng(seed)
    size = 40
    value, weight = rng.uniform(0.1, 1.0, size), rng.lognormal(0.0, 1.0, size)
    capacity = float(weight.sum()) * 0.37
    order = rng.permutation(size)
    one = pack(bag(value, weight, capacity)).certificate.cost
    two = pack(bag(euro * value[order], kilo * weight[order], kilo * capacity)).certificate.cost
    assert two == pytest.approx(euro * one, rel=2e-9)


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_more_capacity_never_hurts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    value, weight = kinds(rng, 15)
    costs = [
        pack(bag(value, weight, float(weight.sum()) * share)).certificate.cost
        for share in (0.2, 0.5, 0.8)
    ]
    assert costs[2] <= costs[1] * (1.0 - 1e-9) + 1e-300
    assert costs[1] <= costs[0] * (1.0 - 1e-9) + 1e-300


def test_a_time_limit_leaves_a_feasible_choice_and_a_true_bound() -> None:
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.1, 1.0, 60)
    problem = bag(weight, weight, 7.77)
    solution = Core()(problem, time_limit_s=1e-9)
    assert solution.certificate.feasible
    better = pack(problem)
    assert solution.certificate.bound <= better.certificate.cost
    assert solution.certificate.gap > better.certificate.gap


def test_offers_its_structure() -> None:
    assert isinstance(bag([1.0], [1.0], 1.0), Knapsack)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (bag([1.0, np.nan], [1.0, 1.0], 1.0), r"items.value\[1\] is nan"),
        (bag([1.0], [1.0], 1.0, low=[2.0]), r"items.weight_low\[0\] is 2.0; expected within 0 and"),
        (bag([1.0], [-1.0], 1.0), r"items.weight_low\[0\] is -1.0"),
        (bag([1.0], [1.0], -1.0), "items.capacity is -1"),
        (bag([1.0], [1.0], math.inf), "items.capacity is inf"),
        (bag([1.0], [1.0, 2.0], 1.0), r"items.weight.shape is \(2,\)"),
    ],
)
def test_refuses_what_is_no_knapsack(problem: Bag, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        Core()(problem)


def test_refuses_senseless_options() -> None:
    with pytest.raises(InvalidInput, match="gap is -1"):
        Core(gap=-1.0)
