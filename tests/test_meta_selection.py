"""Selection for personalised learning: references, all small choices, contributions by hand."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from block_instances import published
from hypothesis import given, settings
from hypothesis import strategies as st

import fl_opt
from benchmarks.laws.blocks import on_blocks
from benchmarks.laws.contested import joint, on_band
from fl_opt import InvalidInput, JointSchedule, MetaBlockSelection, MetaSelection, solve, verify
from fl_opt.problems.meta_selection import contribution

# independent methods agree, and the proof is tight and never false


@pytest.mark.parametrize("seed", range(10))
def test_three_solvers_agree_on_a_band(seed: int) -> None:
    problem = on_band(seed)
    best, cuts, tried = (solve(problem, name) for name in ("auto", "outer", "enumerate"))
    assert best.solver == "prices"
    assert best.certificate.feasible
    assert cuts.certificate.cost == pytest.approx(best.certificate.cost, rel=1e-8, abs=1e-9)
    assert tried.certificate.cost == pytest.approx(best.certificate.cost, rel=1e-8, abs=1e-9)
    assert best.certificate.bound <= tried.certificate.cost
    assert best.certificate.cost - best.certificate.bound <= 1e-7


@pytest.mark.parametrize("seed", range(12))
def test_three_solvers_agree_on_blocks(seed: int) -> None:
    problem = on_blocks(seed)
    best, tree, tried = (solve(problem, name) for name in ("auto", "mip", "enumerate"))
    assert best.solver == "budgeted"
    assert best.certificate.feasible
    assert best.certificate.proof == "dual"
    assert tree.certificate.cost == pytest.approx(best.certificate.cost, rel=1e-8, abs=1e-8)
    assert tried.certificate.cost == pytest.approx(best.certificate.cost, rel=1e-13, abs=1e-12)
    assert best.certificate.bound <= tried.certificate.cost
    assert best.certificate.cost - best.certificate.bound <= 1e-11


# the contribution


def test_contribution_by_hand() -> None:
    # |g| (|g| - 2 (l1 + l2/sqrt(D)))
    found = contribution([1.0, 2.0, 0.0, 5.0], [4.0, 16.0, 0.0, 0.0], l1=0.5, l2=1.0)
    np.testing.assert_array_equal(found, [-1.0, 1.0, 0.0, -np.inf])
    np.testing.assert_array_equal(contribution([1.0, 2.0], 0.0), [1.0, 4.0])


@given(st.floats(0.0, 100.0), st.floats(1.0, 1e4), st.floats(0.0, 10.0), st.floats(0.0, 10.0))
@settings(max_examples=50, deadline=None)
def test_a_gradient_contributes_from_twice_its_doubt(
    norm: float, samples: float, l1: float, l2: float
) -> None:
    found = float(contribution(norm, samples, l1, l2)[0])
    assert (found > 0.0) == (norm > 2.0 * (l1 + l2 / math.sqrt(samples)))


# the shape of the optimum


@pytest.mark.parametrize("seed", range(10))
def test_only_the_largest_positive_contributions_take_part(seed: int) -> None:
    problem = on_band(seed)
    value = contribution(problem.gradient_norm, problem.network.samples, problem.l1, problem.l2)
    taken = solve(problem).allocation.selected
    assert taken.sum() <= problem.participants
    assert np.all(value[taken] > 0.0)
    others = np.sort(value)[::-1][problem.participants :]
    assert value[taken].min(initial=np.inf) >= others.max(initial=-np.inf)
    blocks = on_blocks(seed)
    found = solve(blocks).allocation.selected
    assert found.sum() <= blocks.participants
    assert np.all(blocks.utility[found] > 0.0)


def test_without_doubt_and_seats_for_all_it_is_the_joint_schedule() -> None:
    drawn = joint(3, 9)
    norm = np.random.default_rng(3).uniform(0.5, 2.0, 9)
    ours = MetaSelection(drawn.network, norm, 9, drawn.deadline_s, 0.0, 0.0, drawn.energy_total_j)
    plain = JointSchedule(drawn.network, drawn.deadline_s, drawn.energy_total_j, norm**2)
    assert solve(ours).certificate.cost == solve(plain).certificate.cost


def test_contributions_stand_for_samples_on_blocks() -> None:
    assignment = published("chosen")
    norm = np.sqrt(assignment.network.samples)
    ours = MetaBlockSelection(
        assignment.network, norm, 6, assignment.delay_s, assignment.energy_j, power="chosen"
    )
    whole = solve(assignment).certificate.cost
    assert solve(ours).certificate.cost == pytest.approx(whole, rel=1e-13)


def test_like_devices_take_the_seats_there_are() -> None:
    network = (
        joint(1, 5)
        .network[[0, 0, 0, 0]]
        .replace(gain=1e-9, band_hz=1e8, energy_j=np.inf, cycles=1e7, upload_bit=1e5)
    )
    solution = solve(MetaSelection(network, 2.0, 3, 5.0))
    np.testing.assert_array_equal(solution.allocation.selected, [True, True, True, False])
    assert solution.certificate.cost == -12.0


@pytest.mark.parametrize("change", [{"participants": 0}, {"l1": 1e3}, {"gradient_norm": 0.0}])
def test_nobody_takes_part_without_seats_or_contribution(change: dict[str, Any]) -> None:
    for problem in (on_band(1), on_blocks(1)):
        solution = solve(dataclasses.replace(problem, **change))
        assert not solution.allocation.selected.any()
        assert solution.certificate.cost == solution.certificate.bound == 0.0


# laws


@pytest.mark.parametrize("seed", range(6))
def test_more_seats_on_blocks_never_hurt(seed: int) -> None:
    problem = on_blocks(seed)
    costs = [
        solve(dataclasses.replace(problem, participants=count)).certificate.cost
        for count in range(5)
    ]
    assert np.all(np.diff(costs) <= 1e-13 * np.abs(costs).max())


def test_permuting_devices_permutes_the_answer() -> None:
    problem = on_band(5)
    order = np.random.default_rng(5).permutation(8)
    mixed = dataclasses.replace(
        problem, network=problem.network[order], gradient_norm=problem.gradient_norm[order],
        deadline_s=np.asarray(problem.deadline_s)[order],
    )  # fmt: skip
    one, two = solve(problem), solve(mixed)
    assert two.certificate.cost == pytest.approx(one.certificate.cost, rel=1e-8)


def test_is_a_policy_that_reads_the_norms() -> None:
    network = joint(2, 6).network.replace(band_hz=1e7, gain=1e-9, energy_j=np.inf)
    policy = fl_opt.Optimised(
        partial(MetaSelection, participants=2, deadline_s=5.0),
        signals={"gradient_norm": "update_norm"},
    )
    assert policy.needs == ("update_norm",)
    rng = np.random.default_rng(0)
    norms = np.array([1.0, 5.0, 2.0, 4.0, 0.0, 3.0])
    round = fl_opt.Round(network, 0, rng, None, {"update_norm": norms})
    allocation, plan = policy.decide(round, policy.start(6, rng))
    assert plan.note == ""
    np.testing.assert_array_equal(np.flatnonzero(allocation.selected), [1, 3])


# refusals


def test_what_a_wrong_decision_breaks() -> None:
    problem = on_band(0)
    everyone = solve(problem).allocation.replace(selected=np.ones(8, dtype=bool))
    assert "candidates" in verify(problem, everyone).violation
    blocks = dataclasses.replace(on_blocks(4), participants=4, l1=0.0, l2=0.0)
    best = solve(blocks).allocation
    assert best.selected.sum() > 1
    fewer = dataclasses.replace(blocks, participants=1)
    assert set(verify(fewer, best).violation) == {"participants"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"participants": 1.5}, "participants is 1.5; expected a whole number"),
        ({"participants": -1}, "participants is -1"),
        ({"gradient_norm": [1.0, 2.0]}, r"gradient_norm.shape is \(2,\)"),
        ({"gradient_norm": -1.0}, "gradient_norm is -1"),
        ({"l2": math.nan}, "l2 is nan"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], message: str) -> None:
    for problem in (on_band(0), on_blocks(0)):
        with pytest.raises(InvalidInput, match=message):
            dataclasses.replace(problem, **change)
