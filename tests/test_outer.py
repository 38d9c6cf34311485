"""Outer approximation: against the two prices and all sets; finite, honest under a time limit."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

import fl_opt
from benchmarks.laws.contested import joint
from fl_opt import JointSchedule
from fl_opt.solvers.outer import OuterApproximation


def check_against_prices(problem: JointSchedule, time_limit_s: float | None = None) -> None:
    exact = fl_opt.solve(problem, "outer", time_limit_s=time_limit_s)
    ours = fl_opt.solve(problem, "prices")
    proof = exact.certificate
    assert proof.feasible
    assert proof.proof == "tree"
    assert proof.gap <= 1e-8
    assert ours.certificate.cost == pytest.approx(proof.cost, rel=1e-9)
    assert ours.certificate.bound <= proof.cost


@pytest.mark.parametrize(("seed", "size"), [(0, 15), (1, 20), (2, 25), (4, 40), (5, 50), (9, 60)])
def test_equals_the_two_prices(seed: int, size: int) -> None:
    check_against_prices(joint(seed, size))


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_two_prices_with_a_penalty(seed: int) -> None:
    check_against_prices(joint(seed, 20, utility_per_j=True))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 130))
def test_equals_the_two_prices_up_to_two_hundred(seed: int) -> None:
    size = int(np.random.default_rng(seed).integers(60, 201))
    problem = joint(seed, size)
    if seed % 4 == 3:
        # utility by need plus a constant is hard for every tree: hold the bounds together
        exact = fl_opt.solve(problem, "outer", time_limit_s=120.0).certificate
        ours = fl_opt.solve(problem, "prices").certificate
        assert exact.feasible
        assert max(exact.bound, ours.bound) <= min(exact.cost, ours.cost)
        return
    check_against_prices(problem)


@pytest.mark.parametrize("seed", range(8))
def test_equals_enumeration(seed: int) -> None:
    problem = joint(seed, 3 + seed, utility_per_j=seed == 3)
    exact, all_sets = fl_opt.solve(problem, "outer"), fl_opt.solve(problem, "enumerate")
    assert exact.certificate.cost == pytest.approx(all_sets.certificate.cost, rel=1e-9)
    assert exact.certificate.bound <= all_sets.certificate.cost
    assert exact.certificate.gap <= 1e-8


def test_a_choice_beyond_the_budget_does_not_come_back() -> None:
    problem = joint(1, 12)
    base = fl_opt.solve(problem, "outer")
    spent = fl_opt.verify(
        dataclasses.replace(problem, utility=0.0, utility_per_j=1.0), base.allocation
    ).cost
    for part in (1.0 + 1e-12, 1.0 - 1e-9, 1.0 - 1e-6, 1e-3):
        tight = dataclasses.replace(problem, energy_total_j=part * spent)
        exact = fl_opt.solve(tight, "outer").certificate
        assert exact.feasible
        assert exact.gap <= 1e-8
        assert exact.cost == pytest.approx(fl_opt.solve(tight).certificate.cost, rel=1e-9)


def test_nobody_takes_part_where_nobody_can() -> None:
    problem = dataclasses.replace(joint(0, 5), energy_total_j=0.0, utility=1.0)
    able = (problem.network.upload_bit == 0.0) & (problem.network.cycles == 0.0)
    answer = fl_opt.solve(problem, "outer")
    assert answer.certificate.cost == -float(able.sum())
    assert answer.certificate.gap == 0.0


def test_without_a_budget_the_band_alone_decides() -> None:
    problem = dataclasses.replace(joint(6, 40), energy_total_j=math.inf)
    check_against_prices(problem)


def test_a_time_limit_leaves_an_answer_and_a_true_bound() -> None:
    problem = joint(0, 120)
    best = fl_opt.solve(problem).certificate
    for limit_s in (1e-9, 1.0):
        hurried = fl_opt.solve(problem, "outer", time_limit_s=limit_s).certificate
        assert hurried.feasible
        assert hurried.bound <= best.cost <= hurried.cost * (1.0 - 1e-9)
    assert fl_opt.solve(problem, "outer", time_limit_s=1e-9).certificate.proof == "none"


def test_starts_from_an_earlier_answer() -> None:
    problem = joint(8, 100)
    first = fl_opt.solve(problem)
    warm = OuterApproximation()(problem, time_limit_s=1e-9, start=first)
    assert warm.certificate.cost == pytest.approx(first.certificate.cost, rel=1e-9)
    assert np.array_equal(warm.allocation.selected, first.allocation.selected)
