"""Meta-learning and fine-tuning: meta-gradients, limits, costs, signals."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from personal import begun, group, learned
from still_world import Equal, StillWorld, network
from torch import Tensor, nn

from fl_opt import (
    Arm,
    FedAvg,
    FineTuned,
    InvalidInput,
    MetaSelection,
    Optimised,
    PerFedAvg,
    Random,
    Task,
    simulate,
)
from fl_opt.validation.federation import Federation
from fl_opt.validation.model import Batches

FAST: dict[str, Any] = {"local_steps": 3, "batch": 8, "rate": 0.2}


def loss_of(federation: Federation, point: Tensor, lots: Batches, device: int) -> Tensor:
    """Mean loss of a device's samples in a batch."""
    rows = lots.index[device, 0]
    logits = federation.model.logits(point, federation.x[rows])
    each = nn.functional.cross_entropy(logits, federation.y[rows], reduction="none")
    return (each * lots.weight.expand(lots.index.shape)[device, 0]).sum()


def exact(
    federation: Federation, start: Tensor, lots: list[Batches], rate: float, k: int
) -> Tensor:
    """Gradient of a device's loss after one step, through the step, by autograd twice."""
    inner, outer, third = lots
    point = start.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(loss_of(federation, point, inner, k), point)
    adapted = (start - rate * slope).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss_of(federation, adapted, outer, k), adapted)
    (other,) = torch.autograd.grad(loss_of(federation, point, third, k), point, create_graph=True)
    (turned,) = torch.autograd.grad(other, point, gradient)
    return gradient - rate * turned


@pytest.mark.parametrize("model", ["softmax", "mlp"])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rate=st.floats(0.0, 1.0))
def test_meta_gradients_are_those_of_autograd(model: str, seed: int, rate: float) -> None:
    federation = group(3, model=model, width=None if model == "softmax" else 6)
    rng = np.random.default_rng(seed)
    starts = torch.from_numpy(rng.normal(size=(3, federation.model.parameters)) * 0.3)
    drawn = federation.batches(np.arange(3), np.full(3, 3), 6, rng)
    lots = [drawn.step(s) for s in range(3)]
    # so short a difference that no unit of the perceptron switches within it
    method = PerFedAvg(tune_rate=rate, hessian_free=True, difference=1e-7)
    found, _ = method.meta_gradient(federation, starts, lots)
    first, loss = PerFedAvg(tune_rate=rate).meta_gradient(federation, starts, lots[:2])
    for k in range(3):
        expected = exact(federation, starts[k], lots, rate, k)
        scale = float(expected.abs().max())
        torch.testing.assert_close(found[k], expected, rtol=0.0, atol=1e-5 * scale + 1e-9)
        point = starts[k].clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(loss_of(federation, point, lots[0], k), point)
        adapted = (starts[k] - rate * slope).requires_grad_(True)
        value = loss_of(federation, adapted, lots[1], k)
        (gradient,) = torch.autograd.grad(value, adapted)
        torch.testing.assert_close(first[k], gradient, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(loss[k], value.detach(), rtol=1e-9, atol=1e-12)


def test_on_all_samples_it_is_the_gradient_of_the_adapted_loss() -> None:
    federation = group(2, model="softmax")
    everything = federation.everything(np.arange(2))
    method = PerFedAvg(tune_rate=0.5, hessian_free=True, difference=1e-4)
    start = begun(method, federation).weights
    found, _ = method.meta_gradient(federation, start, [everything] * 3)
    rng = np.random.default_rng(0)
    for _ in range(3):
        way = torch.from_numpy(rng.normal(size=start.shape))
        ahead, behind = (
            method.meta_gradient(federation, start + side * 1e-5 * way, [everything] * 3)[1]
            for side in (1.0, -1.0)
        )
        torch.testing.assert_close(found @ way, (ahead - behind) / 2e-5, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("hessian_free", [False, True])
def test_with_no_inner_step_it_is_fedavg(hessian_free: bool) -> None:
    federation = group(4, "shards:3", model="mlp")
    settings: dict[str, Any] = {"local_steps": 3, "batch": None, "rate": 0.3}
    method = PerFedAvg(tune_rate=0.0, hessian_free=hessian_free, **settings)
    there, lazy = [True, True, False, True], [3, 1, 2, 0]
    meta, plain = (
        learned(one, federation, 3, there, local_steps=lazy) for one in (method, FedAvg(**settings))
    )
    torch.testing.assert_close(meta.weights, plain.weights, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(meta.loss, plain.loss, rtol=1e-5)


def test_fine_tuning_trains_as_fedavg_to_the_bit() -> None:
    federation = group(4, "shards:2")
    tuned, plain = (learned(one, federation, 3) for one in (FineTuned(**FAST), FedAvg(**FAST)))
    assert torch.equal(tuned.weights, plain.weights)
    as_it_is = FineTuned(tune_steps=0).evaluate(federation, plain)
    assert as_it_is == federation.own_score(plain.weights)


def test_tuning_is_gradient_descent_on_all_of_a_devices_samples() -> None:
    federation = group(3, "shards:2")
    weights = begun(FedAvg(), federation).weights
    expected = weights.repeat(3, 1)
    for _ in range(4):
        gradient, _ = federation.model.gradient(
            expected, federation.x, federation.y, federation.everything(np.arange(3))
        )
        expected = expected - 0.3 * gradient
    own = FineTuned(tune_steps=4, tune_rate=0.3).own(federation, weights)
    torch.testing.assert_close(own, expected, rtol=1e-9, atol=1e-12)


def test_every_round_lowers_the_loss_after_one_step() -> None:
    federation = group(1, samples=60)
    method = PerFedAvg(
        local_steps=2, batch=None, rate=0.05, tune_rate=0.5, hessian_free=True, difference=1e-4
    )
    state, loss = begun(method, federation), []
    for _ in range(10):
        loss.append(method.evaluate(federation, state).loss)
        state = learned(method, federation, 1, state=state)
    assert np.all(np.diff(loss) < 0.0)


def test_costs_are_exact() -> None:
    federation = group(3)
    plain = FedAvg(**FAST).workload(federation)
    for method, factor in (
        (FineTuned(**FAST), 1.0),
        (PerFedAvg(**FAST), 2.0),
        (PerFedAvg(**FAST, hessian_free=True), 4.0),
    ):
        work = method.workload(federation)
        np.testing.assert_array_equal(work.cycles, factor * plain.cycles)
        np.testing.assert_array_equal(work.upload_bit, plain.upload_bit)
        assert method.broadcast_bit(federation) == FedAvg().broadcast_bit(federation)


def test_norms_of_meta_gradients_are_known_from_the_start() -> None:
    federation = group(4, "shards:2")
    method = PerFedAvg(**FAST)
    state = begun(method, federation)
    everything = [federation.everything(np.arange(4))] * 2
    gradient, _ = method.meta_gradient(federation, state.weights, everything)
    known = method.observe(state)["gradient_norm"]
    np.testing.assert_allclose(known, gradient.norm(dim=1), rtol=1e-4)
    after = learned(method, federation, 1, [True, False, True, True], local_steps=[3, 3, 1, 0])
    norm = method.observe(after)["gradient_norm"]
    walked = after.update_norm[[0, 2]] / (0.2 * np.array([3, 1]))
    np.testing.assert_allclose(norm[[0, 2]], walked, rtol=1e-12)
    assert norm[1] == pytest.approx(known[1], rel=1e-4)
    assert norm[3] == 0.0


def test_meta_selection_serves_those_who_contribute_most() -> None:
    select = functools.partial(MetaSelection, participants=2, deadline_s=30.0)
    policy = Optimised(select, signals={"gradient_norm": "gradient_norm"})
    world, task = StillWorld(network(5)), Task(partition="shards:2", samples=200)
    trace = simulate(world, Arm(policy, PerFedAvg(**FAST)), task, 3, seed=1)
    assert trace.notes == ()
    np.testing.assert_array_equal(trace.arrived, 2)
    federation = task.load(np.random.default_rng(0), world.data_sizes)
    assert federation.size == 5
    with pytest.raises(InvalidInput, match="needs the signals gradient_norm"):
        Arm(policy, FedAvg())


@pytest.mark.parametrize("policy", [Equal(), Random(count=2)], ids=str)
@pytest.mark.parametrize("method", [FineTuned(**FAST), PerFedAvg(**FAST)], ids=str)
def test_every_policy_chooses_who_learns(policy: Any, method: Any) -> None:
    world, task = StillWorld(network(4)), Task(partition="shards:2", samples=200)
    one, two = (simulate(world, Arm(policy, method), task, 6, seed=1) for _ in range(2))
    np.testing.assert_array_equal(one.loss, two.loss)
    assert one.loss[-1] < one.loss[0]


def test_lost_packets_and_short_numbers_are_those_of_fedavg() -> None:
    world, task = StillWorld(network(4)), Task(samples=200)
    noisy = world.network.replace(gain=np.array([1e-10, 1e-10, 1e-15, 1e-10]))
    method = PerFedAvg(waterfall=1.0, bits=16, **FAST)
    trace = simulate(dataclasses.replace(world, network=noisy), Arm(Equal(), method), task, 3)
    assert not trace.participation[:, 2].any()
    np.testing.assert_array_equal(
        method.workload(group(4)).upload_bit, FedAvg(bits=16).workload(group(4)).upload_bit
    )


def test_one_device_is_no_special_case() -> None:
    federation = group(1)
    for method in (FineTuned(**FAST), PerFedAvg(**FAST), PerFedAvg(**FAST, hessian_free=True)):
        state = learned(method, federation, 5)
        assert method.evaluate(federation, state).accuracy > 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tune_steps": -1}, "PerFedAvg.tune_steps is -1"),
        ({"tune_rate": -0.1}, "PerFedAvg.tune_rate"),
        ({"difference": 0.0}, "PerFedAvg.difference"),
    ],
)
def test_bad_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        PerFedAvg(**options)
