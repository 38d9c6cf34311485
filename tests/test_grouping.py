"""Grouping by itself: the master of cuts at any scale, bounds by levels, options."""

from __future__ import annotations

import itertools
import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_edge_association import edges

from fl_opt import EdgeAssociation, InvalidInput
from fl_opt.solvers.cuts import CutMaster
from fl_opt.solvers.grouping import Grouping, PartSearch
from fl_opt.solvers.levels import LevelMaster
from fl_opt.solvers.price import Price
from fl_opt.structure import GroupCut


def least(cuts: list[GroupCut], size: int, groups: int) -> float:
    """The least sum of cuts over all groupings, tried one by one."""
    rows = np.arange(size)

    def total(group: tuple[int, ...]) -> float:
        found = np.zeros(groups)
        for cut in cuts:
            value = cut.constant + math.fsum(cut.coefficient[rows, group])
            found[cut.part] = max(found[cut.part], value)
        return math.fsum(found)

    return min(map(total, itertools.product(range(groups), repeat=size)))


def bounds(cuts: list[GroupCut], size: int, groups: int, unit: float) -> tuple[float, float]:
    master = CutMaster(np.ones((size, groups), dtype=bool), unit)
    for at, cut in enumerate(cuts):
        master.add(at, cut)
    return master.relax()[0], master.solve(10_000, 60.0)[0]


def test_coefficients_that_highs_drops_count() -> None:
    """Savings below 1e-9 of the unit are zero to HiGHS; of fourteen the sum is far from it."""
    saved = -0.9e-9 * np.ones((14, 1))
    cuts = [GroupCut(0, 1.0, saved)]
    relaxed, low = bounds(cuts, 14, 1, 1.0)
    assert max(relaxed, low) <= least(cuts, 14, 1) == pytest.approx(1.0 - 12.6e-9, abs=1e-15)
    assert low >= 1.0 - 13.5e-9


@given(
    seed=st.integers(0, 2**32 - 1),
    unit=st.sampled_from([1e-6, 1.0, 1e6]),
    spread=st.sampled_from([1e-8, 1.0, 1e4]),
)
@settings(max_examples=40, deadline=None)
def test_the_master_is_never_above_the_least_sum(seed: int, unit: float, spread: float) -> None:
    rng = np.random.default_rng(seed)
    size, groups = int(rng.integers(1, 7)), int(rng.integers(1, 4))
    cuts = []
    for _ in range(int(rng.integers(1, 7))):
        value = unit * spread * rng.normal(size=(size, groups))
        constant = float(unit * (1.0 + spread * rng.normal()))
        cuts.append(GroupCut(int(rng.integers(groups)), constant, value))
    true = least(cuts, size, groups)
    relaxed, low = bounds(cuts, size, groups, unit)
    assert relaxed <= true
    assert low <= true
    assert low >= min(true, 2.0 * unit) - 1e-8 * unit * (1.0 + spread * 10.0)


def group_cost(problem: EdgeAssociation, group: Any) -> float:
    solve = PartSearch()
    return math.fsum(solve(problem.part(key)).certificate.cost for key in problem.keys(group))


def check_levels(seed: int, worth: float) -> None:
    """Bounds by levels against costs of random associations, whatever the shares asked for."""
    rng = np.random.default_rng(seed)
    size, count = int(rng.integers(2, 6)), int(rng.integers(1, 4))
    energy = np.where(rng.random(size) < 0.3, 10.0 ** rng.uniform(-1.5, 0.5, size), np.inf)
    bits = rng.uniform(2e5, 2e6, size) * (rng.random(size) > 0.2)
    network = edges(seed, size, count, upload_bit=bits, energy_j=energy)
    problem = EdgeAssociation(network, 10.0**worth)
    if not problem.able.any(axis=1).all():
        return
    groups = [problem.start()]
    groups += [np.array([rng.choice(np.flatnonzero(row)) for row in problem.able]) for _ in "two"]
    costs = [group_cost(problem, group) for group in groups]
    master = LevelMaster.of(problem, max(costs) * 1.001)
    assert master is not None
    until = time.perf_counter() + 60.0
    for _ in range(3):
        found = master.relax(until)
        assert found is not None
        low, share = found
        assert share.sum(axis=1) == pytest.approx(np.ones(size), abs=1e-6)
        assert low <= min(costs) * (1.0 + 1e-12)
        for group, cost in zip(groups, costs, strict=True):
            parts = [master.lows(e, group == e)[0] for e in range(count)]
            assert math.fsum(parts) <= cost * (1.0 + 1e-12)
        # any worth and any weights give a bound
        some = rng.normal(size=sum(len(cell.cuts) for cell in master.cells)) + 0.5
        assert master.combined(rng.normal(size=size) * low, some) <= min(costs) * (1.0 + 1e-12)
        master.refine()


@pytest.mark.parametrize(
    ("seed", "worth"), [pytest.param(0, -1.5, marks=pytest.mark.slow), (3, 0.5)]
)
def test_bounds_by_levels_are_true(seed: int, worth: float) -> None:
    check_levels(seed, worth)


@pytest.mark.slow
@given(seed=st.integers(0, 2**32 - 1), worth=st.floats(-3.0, 2.5))
@settings(max_examples=30, deadline=None)
def test_bounds_by_levels_of_many(seed: int, worth: float) -> None:
    check_levels(seed, worth)


def test_bounds_of_moves_are_those_of_the_groups_after_them() -> None:
    problem = EdgeAssociation(edges(5, 5, 2), 0.3)
    group = problem.start()
    master = LevelMaster.of(problem, 2.0 * group_cost(problem, group))
    assert master is not None
    for e in range(2):
        mine = group == e
        _, once, twice = master.lows(e, mine)
        for k in range(5):
            moved = mine.copy()
            moved[k] = not mine[k]
            assert once[k] == pytest.approx(master.lows(e, moved)[0], abs=1e-12)
        for out, into in itertools.product(np.flatnonzero(mine), np.flatnonzero(~mine)):
            swapped = mine.copy()
            swapped[out], swapped[into] = False, True
            assert twice[out, into] == pytest.approx(master.lows(e, swapped)[0], abs=1e-12)


@pytest.mark.slow
def test_at_scale_the_bound_of_the_sum_of_rounds_is_near() -> None:
    problem = EdgeAssociation(edges(1, 12, 3), 0.1)
    found = Grouping(pairs=0)(problem).certificate
    assert (found.feasible, found.proof, found.gap <= 0.02) == (True, "dual", True)
    # cuts of associations alone
    loose = Grouping(pairs=0, groupings=0)(problem).certificate
    assert found.cost <= loose.cost * (1.0 + 1e-9)
    assert loose.bound <= found.bound
    assert loose.gap > 0.1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"gap": 2.0}, "gap is 2"),
        ({"pairs": -1}, "pairs is -1"),
        ({"pairs": 3.5}, r"pairs is 3\.5"),
        ({"groupings": -2}, "groupings is -2"),
        ({"nodes": 0}, "nodes is 0"),
        ({"inner": Price()}, "inner is Price"),
    ],
)
def test_refuses_other_options(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        Grouping(**options)
