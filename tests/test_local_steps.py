"""Local steps per round: all at once against one by one, in fifty digits, and the limits."""

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
from fl_opt import Infeasible, InvalidInput, LocalSteps, StepCount
from fl_opt.allocation import use
from fl_opt.problem_file import read_problem
from fl_opt.problems.local_steps import Constants, estimate
from fl_opt.testing import check_policy


def fields(seed: int) -> dict[str, Any]:
    """Budgets of one to three resources, constants over decades, some of them zero."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 4))
    step, aggregation = 10.0 ** rng.uniform(-3, 0, size), 10.0 ** rng.uniform(-3, 1, size)
    rho, beta, delta = 10.0 ** rng.uniform(-3, 2, 3) * (rng.random(3) > 0.1)
    return {
        "budget": (step + aggregation) * 10.0 ** rng.uniform(0.01, 4, size),
        "step_cost": step,
        "round_cost": aggregation,
        "rate": 10.0 ** rng.uniform(-4, -1),
        "rho": rho,
        "beta": beta,
        "delta": delta,
        "steps_max": 60,
    }


def exact_loss(given: dict[str, Any], tau: int) -> mpmath.mpf:
    """G as the paper writes it, in the digits of the context."""
    m = {name: given[name] for name in ("rate", "rho", "beta", "delta")}
    eta, rho, beta, delta = (mpmath.mpf(float(value)) for value in m.values())
    phi = mpmath.mpf(given.get("phi", 0.025))
    h = mpmath.mpf(0)
    if beta > 0:
        h = delta / beta * ((eta * beta + 1) ** tau - 1) - eta * delta * tau
    limits = (
        [mpmath.mpf(float(value)) for value in row]
        for row in zip(given["budget"], given["step_cost"], given["round_cost"], strict=True)
    )
    paid = min((r - c - b) * tau / (c * tau + b) for r, c, b in limits)
    root = mpmath.sqrt(1 + 4 * paid**2 * phi * rho * eta * h / tau)
    return (1 + root) / (2 * eta * phi * paid) + rho * h


@pytest.mark.parametrize("seed", range(40))
def test_equals_all_numbers_of_steps_in_fifty_digits(seed: int) -> None:
    given = fields(seed)
    solution = fl_opt.solve(LocalSteps(**given))
    assert solution.solver == "closed"
    assert solution.certificate.proof == "enumeration"
    with mpmath.workdps(50):
        losses = [exact_loss(given, tau) for tau in range(1, 61)]
        least = min(losses)
        assert losses[solution.allocation.steps - 1] <= least * (1 + mpmath.mpf(10) ** -12)
        assert abs(mpmath.mpf(solution.certificate.cost) / least - 1) <= 1e-12
        assert mpmath.mpf(solution.certificate.bound) <= least
    assert solution.certificate.gap <= 1e-12


@pytest.mark.parametrize("seed", range(30))
def test_equals_one_by_one(seed: int) -> None:
    stated = LocalSteps(**fields(seed))
    tried = fl_opt.solve(stated, solver="enumerate").certificate
    found = fl_opt.solve(stated).certificate
    assert found.cost == pytest.approx(tried.cost, rel=1e-14)
    assert found.bound <= tried.cost


@pytest.mark.parametrize("beta", [1e-320, 1e-200, 1e-14, 1e-9, 1e-3, 1.0, 50.0])
@pytest.mark.parametrize("tau", [1, 2, 7, 49, 51, 1000])
def test_the_drift_keeps_its_digits(beta: float, tau: int) -> None:
    drift = float(LocalSteps(15.0, 0.01, 0.1, 0.01, 1.0, beta, 0.5).drift(tau))
    with mpmath.workdps(700):
        x = mpmath.mpf(0.01 * beta)
        exact = mpmath.mpf(0.5) * mpmath.mpf(0.01) * ((1 + x) ** tau - 1 - tau * x) / x
        assert abs(mpmath.mpf(drift) - exact) <= 1e-13 * exact + mpmath.mpf(10) ** -322
    assert (drift == 0.0) == (tau == 1 or exact < 1e-323)


def test_dear_aggregation_and_alike_devices_ask_for_more_steps() -> None:
    def steps(round_cost: float, delta: float) -> int:
        stated = LocalSteps(15.0, 0.013, round_cost, 0.01, 1.0, 3.0, delta)
        return int(fl_opt.solve(stated).allocation.steps)

    by_cost = [steps(cost, 0.5) for cost in (0.0, 0.01, 0.1, 1.0, 5.0)]
    assert by_cost == sorted(by_cost)
    assert by_cost[0] == 1
    by_delta = [steps(0.13, delta) for delta in (0.0, 0.01, 0.1, 1.0, 100.0)]
    assert by_delta == sorted(by_delta, reverse=True)
    assert by_delta[0] == 100
    assert len(set(by_delta)) == 5


@pytest.mark.parametrize("flat", ["delta", "beta", "rho"])
def test_without_drift_the_most_steps_are_best(flat: str) -> None:
    given = {"rho": 1.0, "beta": 3.0, "delta": 0.5, flat: 0.0}
    solution = fl_opt.solve(LocalSteps(15.0, 0.013, 0.13, 0.01, **given, steps_max=10**5))
    assert solution.allocation.steps == 10**5
    paid = (15.0 - 0.013 - 0.13) / (0.013 + 0.13 / 10**5)
    assert solution.certificate.cost == pytest.approx(1.0 / (0.01 * 0.025 * paid), rel=1e-12)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_laws_of_budgets_range_order_and_units(seed: int) -> None:
    given = fields(seed)

    def cost(**changes: Any) -> float:
        return fl_opt.solve(LocalSteps(**(given | changes))).certificate.cost

    base = cost()
    assert cost(budget=1.5 * given["budget"]) <= base * (1.0 + 1e-12)
    assert cost(steps_max=90) <= base * (1.0 + 1e-12)
    assert cost(delta=1.5 * given["delta"]) >= base * (1.0 - 1e-12)
    names = ("budget", "step_cost", "round_cost")
    turned = cost(**{name: given[name][::-1] for name in names})
    assert turned == pytest.approx(base, rel=1e-13)
    scaled = cost(**{name: 1024.0 * given[name] for name in names})
    assert scaled == pytest.approx(base, rel=1e-13)


def test_free_steps_and_free_aggregation() -> None:
    every = fl_opt.solve(LocalSteps(1.0, 0.0, 0.0, 0.01, 1.0, 3.0, 0.5))
    assert every.allocation.steps == 1
    assert every.certificate.cost == 0.0
    one = fl_opt.solve(LocalSteps(1.0, 0.1, 0.1, 0.01, 1.0, 3.0, 0.5, steps_max=1))
    assert one.allocation.steps == 1


def test_huge_drift_is_no_error() -> None:
    solution = fl_opt.solve(LocalSteps(1e9, 0.1, 10.0, 0.5, 1.0, 1e6, 1.0, steps_max=1000))
    assert solution.allocation.steps == 1
    assert solution.certificate.gap <= 1e-12


def test_judges_anybody() -> None:
    stated = LocalSteps(15.0, 0.013, 0.13, 0.01, 1.0, 3.0, 0.5, steps_max=10)
    assert set(fl_opt.verify(stated, StepCount(11)).violation) == {"steps_max"}
    poor = LocalSteps(0.1, 0.013, 0.13, 0.01, 1.0, 3.0, 0.5)
    assert fl_opt.verify(poor, StepCount(3)).cost == math.inf


def test_estimates_are_exact_for_quadratic_losses() -> None:
    """F_k = a_k/2 |w - c_k|^2 has smoothness a_k and gradients a_k (w - c_k)."""
    rng = np.random.default_rng(0)
    curve, centre = np.array([1.0, 2.0, 4.0]), rng.normal(size=(3, 5))
    samples, model = np.array([1.0, 2.0, 1.0]), rng.normal(size=5)
    own = model + rng.normal(size=(3, 5))
    own[2] = model  # has not moved

    def loss(w: Any) -> Any:
        return 0.5 * curve * np.sum((w - centre) ** 2, axis=1)

    def gradient(w: Any) -> Any:
        return curve[:, None] * (w - centre)

    found = estimate(
        parameters=model,
        local_parameters=own,
        loss=loss(model),
        local_loss=loss(own),
        gradient=gradient(model),
        local_gradient=gradient(own),
        samples=samples,
    )
    assert found.beta == pytest.approx((1.0 * 1.0 + 2.0 * 2.0) / 3.0)
    moved = np.linalg.norm(own - model, axis=1)[:2]
    slope = np.abs(loss(own) - loss(model))[:2] / moved
    assert found.rho == pytest.approx((slope[0] + 2.0 * slope[1]) / 3.0)
    mean = samples @ gradient(model) / 4.0
    apart = np.linalg.norm(gradient(model) - mean, axis=1)
    assert found.delta == pytest.approx(samples @ apart / 4.0)
    alike = np.ones((2, 3))
    still = estimate(
        parameters=alike[0], local_parameters=alike, loss=[1, 1], local_loss=[1, 1],
        gradient=alike, local_gradient=alike, samples=1.0,
    )  # fmt: skip
    assert still == Constants(0.0, 0.0, 0.0)


def test_becomes_a_round_and_a_policy_and_a_file(tmp_path: Path) -> None:
    net = network(4, gain=[1e-10, 2e-11, 3e-12, 1e-11])
    constants = Constants(rho=1.0, beta=3.0, delta=0.5)
    formulate = partial(
        LocalSteps.from_network, budget_s=60.0, rate=0.01, constants=constants, nominal_steps=10
    )
    policy = fl_opt.Optimised(formulate)
    rng = np.random.default_rng(0)
    allocation, memory = policy.decide(fl_opt.Round(net, 0, rng, None, {}), policy.start(4, rng))
    check_policy(policy)
    steps = memory.solution.allocation.steps
    assert allocation.local_steps is not None
    assert allocation.local_steps.tolist() == [steps] * 4
    used = use(net, allocation)
    stated = formulate(net)
    assert used.training_s.max() == pytest.approx(steps * stated.step_cost[0], rel=1e-12)
    assert used.airtime_s.max() == pytest.approx(stated.round_cost[0], rel=1e-12)
    (tmp_path / "steps.toml").write_text(
        'problem = "LocalSteps"\nbudget = [15, 3]\nstep_cost = [0.013, 0.001]\n'
        "round_cost = [0.13, 0.02]\nrate = 0.01\nrho = 1\nbeta = 3\ndelta = 0.5\n"
    )
    assert fl_opt.solve(read_problem(tmp_path / "steps.toml").problem).allocation.steps > 1


def test_a_poor_budget_says_what_it_lacks() -> None:
    with pytest.raises(Infeasible, match=r"budget\[1\] = 0.3 does not pay for more than") as caught:
        fl_opt.solve(LocalSteps([15.0, 0.3], 0.1, 0.2, 0.01, 1.0, 3.0, 0.5))
    (cure,) = caught.value.relaxations.values()
    assert cure is not None
    cured = LocalSteps([15.0, cure], 0.1, 0.2, 0.01, 1.0, 3.0, 0.5)
    assert math.isfinite(fl_opt.solve(cured).certificate.cost)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"rate": 0.0}, "rate is 0; expected a number > 0"),
        ({"delta": -1.0}, "delta is -1"),
        ({"budget": math.inf}, "budget is inf"),
        ({"steps_max": 2.5}, "steps_max is 2.5; expected a whole number"),
        ({"steps_max": 0}, "steps_max is 0"),
        ({"steps_max": 10**7}, "steps_max is 1e\\+07"),
    ],
)
def test_refuses_what_is_no_learning(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        LocalSteps(**(fields(0) | changes))


def test_refuses_estimates_of_other_shapes() -> None:
    one = np.ones((2, 3))
    with pytest.raises(InvalidInput, match=r"gradient\.shape is \(2, 4\); expected \(2, 3\)"):
        estimate(
            parameters=one[0], local_parameters=one, loss=[1, 1], local_loss=[1, 1],
            gradient=np.ones((2, 4)), local_gradient=one, samples=1.0,
        )  # fmt: skip
