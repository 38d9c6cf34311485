"""Steps set anew in every round: reports in closed form, limits of the rule, the budget kept."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from still_world import StillWorld, network

from fl_opt import (
    AdaptiveSteps,
    Allocation,
    Arm,
    EstimatingFedAvg,
    FedAvg,
    InvalidInput,
    LocalSteps,
    Outcome,
    Round,
    Task,
    simulate,
    solve,
)
from fl_opt.policies.adaptive_steps import Spending
from fl_opt.problems._estimates import Reports, report
from fl_opt.validation.estimating import reports

TASK = Task(samples=300, partition="shards:2")
WORLD = StillWorld(network(5))
ALL: dict[str, Any] = {"local_steps": 4, "batch": None, "rate": 0.1}


# reports against closed forms


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_reports_of_quadratics_are_their_constants(seed: int) -> None:
    """F_k(w) = c |w - a_k|^2/2: the gradient bends by c; means lie apart as the a_k do."""
    rng = np.random.default_rng(seed)
    size, n, bent = int(rng.integers(1, 6)), 3, float(rng.uniform(0.1, 9.0))
    centre, own, w = rng.normal(size=(size, n)), rng.normal(size=(size, n)), rng.normal(size=n)
    weight = rng.uniform(0.1, 3.0, size)

    def loss(at: Any) -> Any:
        return 0.5 * bent * np.sum((at - centre) ** 2, axis=1)

    found = report(
        parameters=w,
        local_parameters=own,
        loss=loss(w),
        local_loss=loss(own),
        gradient=bent * (w - centre),
        local_gradient=bent * (own - centre),
        samples=weight,
    )
    np.testing.assert_allclose(found.beta, bent, rtol=1e-9)
    apart = centre - weight @ centre / weight.sum()
    np.testing.assert_allclose(found.delta, bent * np.linalg.norm(apart, axis=1), atol=1e-9)
    # a difference of losses is the distance along the mean gradient of the two ends
    middle = bent * (0.5 * (own + w) - centre)
    along = np.abs(np.sum((own - w) * middle, axis=1)) / np.linalg.norm(own - w, axis=1)
    np.testing.assert_allclose(found.rho, along, atol=1e-9)
    told = found.mean(weight)
    assert told is not None
    assert told.delta == pytest.approx(weight @ found.delta / weight.sum(), abs=1e-12)


def test_reports_of_a_softmax_regression_are_those_written_out() -> None:
    """Against the gradient X^T (p - y)/n of each device's own images, in double precision."""
    federation = TASK.load(1, WORLD.data_sizes)
    rng = np.random.default_rng(0)
    w = 0.1 * torch.randn(federation.model.parameters, generator=torch.manual_seed(0))
    own = w + 0.1 * torch.from_numpy(rng.normal(size=(5, len(w))).astype(np.float32))
    found = reports(federation, w, own, np.arange(5))
    owner = np.repeat(np.arange(5), federation.held)
    image = np.concatenate([federation.x.numpy(), np.ones((len(owner), 1))], axis=1)

    def at(weights: Any, k: int) -> tuple[float, Any]:
        x, y = image[owner == k], federation.y.numpy()[owner == k]
        flat = np.asarray(weights, dtype=float)
        pixels = x.shape[1] - 1
        matrix = _matrix(federation, flat, pixels)
        z = x @ matrix
        z -= z.max(axis=1, keepdims=True)
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        loss = float(-np.log(p[np.arange(len(y)), y]).mean())
        p[np.arange(len(y)), y] -= 1.0
        return loss, x.T @ p / len(y)

    global_gradients = []
    for k in range(5):
        (here, there), (slope, local) = zip(at(w, k), at(own[k], k), strict=True)
        moved = float((own[k] - w).double().norm())
        assert found.rho[k] == pytest.approx(abs(there - here) / moved, rel=1e-3)
        assert found.beta[k] == pytest.approx(np.linalg.norm(local - slope) / moved, rel=1e-3)
        global_gradients.append(slope)
    mean = np.average(global_gradients, axis=0, weights=federation.samples)
    for k in range(5):
        apart = np.linalg.norm(global_gradients[k] - mean)
        assert found.delta[k] == pytest.approx(apart, rel=1e-4)


def _matrix(federation: Any, flat: Any, pixels: int) -> Any:
    """(pixels + 1, classes) of the model's flat vector, told by its own outputs."""
    weights = torch.from_numpy(flat.astype(np.float32))
    eye = torch.cat([torch.eye(pixels), torch.zeros(1, pixels)])
    out = federation.model.logits(weights, eye).double().numpy()
    return np.concatenate([out[:-1] - out[-1], out[-1:]])


def test_a_report_travels_with_the_next_update() -> None:
    federation = TASK.load(1, WORLD.data_sizes)
    method = EstimatingFedAvg(**ALL)
    state = method.start(federation, np.random.default_rng(0))
    there, zero = np.ones(5, dtype=bool), np.zeros(5)
    without = np.array([True, True, True, True, False])
    seen = []
    for arrived in (there, there, without, there):
        outcome = Outcome(arrived, arrived, zero, zero, 1.0)
        before = state
        state = method.learn(
            federation, state, Allocation.none(5), outcome, np.random.default_rng(0)
        )
        assert isinstance(before, type(state))
        seen.append((before, state))
    assert np.isnan(method.observe(seen[0][1])["beta"]).all()
    for name in ("rho", "beta", "delta"):
        known = method.observe(seen[1][1])[name]
        np.testing.assert_array_equal(known, getattr(seen[0][1].due, name))
        assert (known > 0.0).all()
        # who does not arrive does not report; the server keeps what it had
        assert getattr(seen[2][1], name)[4] == known[4]
        assert getattr(seen[2][1], name)[0] != known[0]
    assert np.isnan(seen[2][1].due.beta[4])


def test_but_for_reports_it_is_fedavg_to_the_bit() -> None:
    mine, plain = (
        simulate(WORLD, Arm(AdaptiveSteps(1e9, 0.1, 4, steps_max=1), kind(**ALL)), TASK, 4)
        if kind is EstimatingFedAvg
        else simulate(WORLD, Arm(_OneStep(), kind(**ALL)), TASK, 4)
        for kind in (EstimatingFedAvg, FedAvg)
    )
    np.testing.assert_array_equal(mine.loss, plain.loss)
    np.testing.assert_array_equal(mine.accuracy, plain.accuracy)


class _OneStep:
    def start(self, size: int, rng: np.random.Generator) -> None:
        pass

    def decide(self, round: Round, memory: None) -> tuple[Allocation, None]:
        from fl_opt import StepCount

        return StepCount(1, 4).to_round(round.network), None


def test_what_a_report_costs() -> None:
    federation = TASK.load(1, WORLD.data_sizes)
    plain = FedAvg(**ALL).workload(federation)
    mine = EstimatingFedAvg(**ALL).workload(federation)
    per_step = federation.cycles_per_sample * federation.samples
    np.testing.assert_allclose(mine.cycles - plain.cycles, per_step, rtol=1e-12)
    more = mine.upload_bit - plain.upload_bit
    np.testing.assert_array_equal(more, 32.0 * (federation.model.parameters + 3))
    stochastic = EstimatingFedAvg(4, batch=8).workload(federation).cycles
    few = FedAvg(4, batch=8).workload(federation).cycles
    np.testing.assert_allclose(stochastic - few, 2.0 * per_step, rtol=1e-12)


# the rule


def told(rho: float, beta: float, delta: float, size: int = 4) -> dict[str, Any]:
    values = {"rho": rho, "beta": beta, "delta": delta}
    return {name: np.full(size, value) for name, value in values.items()}


def decide(policy: AdaptiveSteps, signals: Any, memory: Spending, last: Any = None) -> Any:
    rng = np.random.default_rng(0)
    return policy.decide(Round(network(), 1, rng, last, signals), memory)


def test_it_begins_with_one_step() -> None:
    unknown = told(math.nan, math.nan, math.nan)
    allocation, memory = decide(AdaptiveSteps(100.0, 0.01), unknown, Spending())
    assert memory.steps == 1
    assert (allocation.local_steps == 1).all()
    np.testing.assert_allclose(allocation.cycles, 2e8 * 2.0 / 11.0)


def test_devices_that_do_not_differ_take_as_many_steps_as_they_may() -> None:
    policy, steps = AdaptiveSteps(1e6, 0.01, steps_max=70), []
    memory = Spending()
    for _ in range(3):
        allocation, memory = decide(policy, told(1.0, 3.0, 0.0), memory)
        steps.append(memory.steps)
        memory = dataclasses.replace(memory, steps=0, last_steps=memory.steps)
        assert (allocation.local_steps == steps[-1]).all()
    assert steps == [10, 70, 70]


@settings(deadline=None, max_examples=30)
@given(st.floats(0.01, 10.0), st.floats(0.01, 10.0), st.floats(0.01, 10.0))
def test_it_solves_local_steps(rho: float, beta: float, delta: float) -> None:
    policy = AdaptiveSteps(30.0, 0.01, nominal_steps=10)
    _, memory = decide(policy, told(rho, beta, delta), Spending(last_steps=10))
    step_s = 0.1 / 11.0
    airtime_s = 3e5 / (1e6 * math.log2(1.0 + 0.2 * 1e-10 / (network().noise_w_hz[0] * 1e6)))
    problem = LocalSteps(30.0, step_s, airtime_s + step_s, 0.01, rho, beta, delta)
    best = solve(problem).allocation.steps
    assert float(problem.loss(memory.steps)) == pytest.approx(float(problem.loss(best)), rel=1e-9)


def test_reports_are_averaged_by_samples() -> None:
    found = Reports(
        np.array([1.0, 4.0, np.nan]), np.array([2.0, 5.0, np.nan]), np.array([3.0, 6.0, 9.0])
    )
    mean = found.mean([2.0, 1.0, 1.0])
    assert mean is not None
    assert (mean.rho, mean.beta) == (2.0, 3.0)
    assert mean.delta == pytest.approx(21.0 / 4.0)
    assert found.mean([0.0, 0.0, 0.0]) is None


@pytest.mark.parametrize("budget_s", [0.0, 0.05, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("split", ["iid", "shards:2"])
def test_the_budget_is_used_and_not_more(split: str, budget_s: float) -> None:
    task = dataclasses.replace(TASK, partition=split)
    federation = task.load(0, WORLD.data_sizes)
    scale = 0.01 * 2e9 / (federation.cycles_per_sample * float(federation.held.max()))
    task = dataclasses.replace(task, cycles_per_operation=scale)
    policy = AdaptiveSteps(budget_s, 0.1, 4)
    trace = simulate(WORLD, Arm(policy, EstimatingFedAvg(**ALL)), task, 60, idle_s=0.0)
    assert trace.time_s[-1] <= budget_s * (1.0 + 1e-12)
    active = trace.selected > 0
    shortest = 2.0 * 0.01 + float(trace.airtime_s[active][0]) + 0.01 if active.any() else 0.05
    if active.sum() < 60:
        assert trace.time_s[-1] >= budget_s - shortest * (1.0 + 1e-9)
    assert not np.any(np.diff(active.astype(int)) > 0)


def test_dead_links_leave_the_rest_and_nobody_waits_for_them() -> None:
    gain = np.array([1e-10, 0.0, 1e-10, 1e-10])
    rng = np.random.default_rng(0)
    signals = told(1.0, 3.0, 0.5)
    some, _ = AdaptiveSteps(100.0, 0.01).decide(
        Round(network(gain=gain), 0, rng, None, signals), Spending()
    )
    assert some.selected.tolist() == [True, False, True, True]
    none, _ = AdaptiveSteps(100.0, 0.01).decide(
        Round(network(gain=0.0 * gain), 0, rng, None, signals), Spending()
    )
    assert not none.selected.any()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"budget_s": -1.0}, "AdaptiveSteps.budget_s is -1"),
        ({"rate": 0.0}, "AdaptiveSteps.rate is 0"),
        ({"phi": 0.0}, "AdaptiveSteps.phi is 0"),
        ({"growth": 0.5}, "AdaptiveSteps.growth is 0.5"),
        ({"steps_max": 0}, "AdaptiveSteps.steps_max is 0"),
        ({"nominal_steps": 0}, "AdaptiveSteps.nominal_steps is 0"),
    ],
)
def test_refusals(arguments: dict[str, Any], text: str) -> None:
    good: dict[str, Any] = {"budget_s": 1.0, "rate": 0.01}
    with pytest.raises(InvalidInput, match=text):
        AdaptiveSteps(**(good | arguments))
    with pytest.raises(InvalidInput, match="beta, delta, rho"):
        Arm(AdaptiveSteps(**good), FedAvg())
