"""Tasks shared at the least energy: two exact methods, enumeration, a MIP, a published case."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from still_world import network

import fl_opt
from fl_opt import Infeasible, InvalidInput, TaskShares, WorkloadSharing
from fl_opt.allocation import use
from fl_opt.problem_file import read_problem
from fl_opt.problems.units_shared import cheapest_totals, cheapest_units, price_bound, share
from fl_opt.testing import check_policy
from fl_opt.units import Floats

CASE = json.loads((Path(__file__).parent / "cases" / "pilla_linear_200x20.json").read_text())


def tables(rng: np.random.Generator, kind: str, size: int, most: int) -> Floats:
    """Energies that rise with the tasks: straight, convex, concave or anyhow."""
    steps = rng.exponential(1.0, (size, most))
    if kind == "linear":
        steps = np.repeat(rng.random((size, 1)), most, axis=1)
    if kind == "convex":
        steps = np.sort(steps, axis=1)
    if kind == "concave":
        steps = -np.sort(-steps, axis=1)
    base = rng.random((size, 1))
    return np.hstack([base, base + np.cumsum(steps, axis=1)])


def problem(seed: int, size: int, most: int) -> WorkloadSharing:
    """All kinds of tables, with limits that leave some room."""
    rng = np.random.default_rng(seed)
    kind = ("linear", "convex", "concave", "anyhow")[seed % 4]
    lower = rng.integers(0, most // 2 + 1, size)
    upper = rng.integers(lower, most + 1)
    tasks = int(rng.integers(lower.sum(), upper.sum() + 1))
    return WorkloadSharing(tables(rng, kind, size, most), tasks, lower, upper)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_equals_enumeration(size: int) -> None:
    for seed in range(100):
        stated = problem(seed, size, 8)
        exact = fl_opt.solve(stated)
        tried = fl_opt.solve(stated, solver="enumerate")
        assert exact.solver == "closed"
        assert exact.certificate.feasible
        assert exact.certificate.cost == pytest.approx(tried.certificate.cost, rel=1e-14)
        assert exact.certificate.gap <= 1e-13
        assert exact.certificate.bound <= tried.certificate.cost


@pytest.mark.parametrize("seed", range(8))
def test_equals_the_mixed_integer_program(seed: int) -> None:
    stated = problem(seed, 6, 12)
    exact, reference = fl_opt.solve(stated), fl_opt.solve(stated, solver="mip")
    assert reference.certificate.feasible
    assert reference.certificate.cost == pytest.approx(exact.certificate.cost, rel=1e-8)
    assert exact.certificate.cost <= reference.certificate.cost * (1.0 + 1e-14)


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("kind", ["linear", "convex"])
def test_marginal_costs_equal_dynamic_programming(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    energy = tables(rng, kind, 15, 20)
    units = int(rng.integers(0, 301))
    greedy, totals = cheapest_units(energy, units), cheapest_totals(energy, units)
    assert share(energy, units).proof == "dual"
    assert greedy.units.sum() == totals.units.sum() == units
    each = np.arange(15)
    cost = math.fsum(energy[each, greedy.units])
    assert cost == pytest.approx(math.fsum(energy[each, totals.units]), rel=1e-14)
    assert greedy.bound == pytest.approx(cost, rel=1e-13)
    assert max(greedy.bound, totals.bound) <= cost


@given(seed=st.integers(0, 2**32 - 1), price=st.floats(0.0, 5.0))
@settings(max_examples=60, deadline=None)
def test_any_price_gives_a_bound(seed: int, price: float) -> None:
    stated = problem(seed, 5, 10)
    least = fl_opt.solve(stated).certificate
    outside = np.arange(11) > stated.upper[:, None]
    outside |= np.arange(11) < stated.lower[:, None]
    inside = np.where(outside, np.inf, stated.energy_j)
    assert price_bound(inside, stated.tasks, price) <= least.cost


def test_the_published_case() -> None:
    base, slope = np.array(CASE["alpha_beta"]).T
    stated = WorkloadSharing.linear(base, slope, CASE["tasks"], CASE["lower"], CASE["upper"])
    solution = fl_opt.solve(stated)
    assert solution.certificate.cost == pytest.approx(439.714696107976, rel=1e-14)
    assert solution.certificate.gap <= 1e-13
    assert solution.allocation.tasks.tolist() == CASE["assignment"]
    # every device has one task at least, and a table from there on
    room = np.arange(200) < stated.upper[:, None]
    totals = cheapest_totals(np.where(room, stated.energy_j[:, 1:], np.inf), 180)
    assert (totals.units + 1).tolist() == CASE["assignment"]
    assert totals.bound == pytest.approx(439.714696107976, rel=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_marginal_costs_are_level_where_tables_are_convex(seed: int) -> None:
    rng = np.random.default_rng(seed)
    energy = tables(rng, "convex", 8, 12)
    tasks = fl_opt.solve(WorkloadSharing(energy, 40)).allocation.tasks
    step = np.diff(energy, axis=1)
    last = max(step[k, j - 1] for k, j in enumerate(tasks) if j > 0)
    following = min(step[k, j] for k, j in enumerate(tasks) if j < 12)
    assert last <= following + 1e-12


def test_concave_tables_fill_few_devices() -> None:
    # a step at the first task, then cheap: whoever is awake does all he can
    rows = [[0.0, *(5.0 + 0.1 * np.arange(10))] for _ in range(6)]
    tasks = fl_opt.solve(WorkloadSharing(rows, 25)).allocation.tasks
    assert sorted(tasks)[:3] == [0, 0, 0]
    assert tasks.sum() == 25


def test_equal_squares_are_shared_evenly() -> None:
    solution = fl_opt.solve(WorkloadSharing([np.arange(8.0) ** 2] * 5, 13))
    assert sorted(solution.allocation.tasks) == [2, 2, 3, 3, 3]
    assert solution.certificate.cost == 2 * 4 + 3 * 9


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_laws_of_tasks_limits_order_and_units(seed: int) -> None:
    stated = problem(seed, 6, 8)
    rows, tasks, lower, upper = stated.energy_j, stated.tasks, stated.lower, stated.upper

    def cost(*fields: Any) -> float:
        return fl_opt.solve(WorkloadSharing(*fields)).certificate.cost

    base = cost(rows, tasks, lower, upper)
    if tasks < upper.sum():
        assert cost(rows, tasks + 1, lower, upper) >= base
    assert cost(rows, tasks, np.maximum(lower - 1, 0), upper) <= base * (1.0 + 1e-14)
    order = np.random.default_rng(seed).permutation(6)
    shuffled = cost(rows[order], tasks, lower[order], upper[order])
    assert shuffled == pytest.approx(base, rel=1e-14)
    assert cost(1024.0 * rows, tasks, lower, upper) == pytest.approx(1024.0 * base, rel=1e-14)


@pytest.mark.parametrize(
    ("fields", "tasks", "energy"),
    [
        (([[0.0, 3.0]], 1), [1], 3.0),
        (([[2.0]], 0), [0], 2.0),
        (([[0.0, 1.0], [0.0, 2.0, 3.0]], 0), [0, 0], 0.0),
        (([[0.0, 1.0], [0.0, 2.0, 3.0]], 3), [1, 2], 4.0),
        (([[0.0, 0.0, 0.0]] * 3, 6), [2, 2, 2], 0.0),
        (([[0.0, 1.0, 9.0]] * 2, 2, [0, 2]), [0, 2], 9.0),
        (([[0.0], [0.0, 1.0, 2.0]], 2), [0, 2], 2.0),
    ],
)
def test_corner_cases(fields: Any, tasks: list[int], energy: float) -> None:
    stated = WorkloadSharing(*fields)
    for solver in ("closed", "mip", "enumerate"):
        solution = fl_opt.solve(stated, solver=solver)
        assert solution.allocation.tasks.tolist() == tasks
        assert solution.certificate.cost == energy
        assert solution.certificate.feasible


def test_judges_anybody() -> None:
    stated = WorkloadSharing([[0.0, 1.0, 3.0]] * 2, 3, lower=1)
    judged = fl_opt.verify(stated, TaskShares([0, 2]))
    assert set(judged.violation) == {"tasks", "lower"}
    assert fl_opt.verify(stated, TaskShares([0, 9])).cost == math.inf


def test_a_round_spends_what_the_table_says() -> None:
    rng = np.random.default_rng(0)
    net = network(
        5,
        gain=[1e-10, 3e-11, 0.0, 1e-10, 5e-11],
        cycles=rng.uniform(1e8, 4e8, 5),
        energy_j=[0.2, math.inf, 1.0, 0.05, math.inf],
    )
    stated = WorkloadSharing.from_network(net, tasks=12, deadline_s=1.0, nominal_steps=4)
    solution = fl_opt.solve(stated)
    allocation = solution.allocation.to_round(net)
    used = use(net, allocation)
    assert solution.certificate.cost == pytest.approx(used.energy_j.sum(), rel=1e-14)
    assert used.finish_s.max() <= 1.0 + 1e-12
    assert stated.upper[2] == 0
    assert np.all(used.energy_j <= net.energy_j)
    assert allocation.local_steps is not None
    assert allocation.local_steps.sum() == 12


def test_is_a_policy_and_can_be_stated_in_a_file(tmp_path: Path) -> None:
    net = network(4, gain=[1e-10, 2e-11, 3e-12, 1e-11])
    policy = fl_opt.Optimised(
        partial(WorkloadSharing.from_network, tasks=10, deadline_s=1.0, nominal_steps=10)
    )
    rng = np.random.default_rng(0)
    allocation, memory = policy.decide(fl_opt.Round(net, 0, rng, None, {}), policy.start(4, rng))
    check_policy(policy)
    assert allocation.local_steps is not None
    assert allocation.local_steps.sum() == 10
    assert memory.solution.certificate.gap <= 1e-12
    (tmp_path / "share.toml").write_text(
        'problem = "WorkloadSharing"\ntasks = 3\nenergy_j = [[0, 1, 3], [0, 2, 3, 7]]\n'
    )
    stated = read_problem(tmp_path / "share.toml").problem
    assert fl_opt.solve(stated).certificate.cost == 4.0


@pytest.mark.parametrize(
    ("tasks", "text", "cure"),
    [
        (9, "the devices can take 6 tasks at most, and there are 9; cured by tasks = 6", 6.0),
        (1, "the devices must take 2 tasks at least, and there are 1; cured by tasks = 2", 2.0),
    ],
)
def test_impossible_loads_say_which_is_possible(tasks: int, text: str, cure: float) -> None:
    with pytest.raises(Infeasible, match=text) as caught:
        fl_opt.solve(WorkloadSharing([[0.0, 1.0, 2.0, 3.0]] * 2, tasks, lower=1))
    assert caught.value.relaxations == {"tasks": cure}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([], 1), "energy_j is empty"),
        (([[0.0, -1.0]], 1), r"energy_j\[0\]\[0:\]\[1\] is -1"),
        (([[0.0, math.nan]], 1), r"energy_j\[0\]\[0:\]\[1\] is nan"),
        (([[0.0, 1.0]], 1.5), "tasks is 1.5; expected a whole number"),
        (([[0.0, 1.0]], 1, 0, 2), r"upper\[0\] is 2; expected at most 1"),
        (([[0.0, 1.0]], 1, 1, 0), r"lower\[0\] is 1; expected at most upper\[0\] = 0"),
    ],
)
def test_refuses_what_is_no_table(arguments: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        WorkloadSharing(*arguments)
