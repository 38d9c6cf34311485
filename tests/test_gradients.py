"""Gradients at one point, targets by label, and scores of models of one's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fl_opt import InvalidInput, Task
from fl_opt.validation import perceptron
from fl_opt.validation.convolutional import Convolutional
from fl_opt.validation.model import Batches, Model
from fl_opt.validation.models import threads
from fl_opt.validation.perceptron import Perceptron

MODELS: list[Model] = [
    Perceptron((9, 4)),
    Perceptron((9, 5, 4)),
    Perceptron((9, 6, 5, 4)),
    Convolutional((8, 8), 2, 4),
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads(1):
        yield


def drawn(
    model: Model, devices: int, steps: int, size: int, seed: int, soft: bool
) -> tuple[Tensor, Tensor, Tensor, Batches]:
    rng = np.random.default_rng(seed)
    pixels = model.layers[0] if isinstance(model, Perceptron) else 64
    x = torch.from_numpy(rng.random((30, pixels)))
    y = torch.from_numpy(rng.integers(0, 4, 30))
    starts = torch.from_numpy(rng.normal(size=(devices, model.parameters)) * 0.5)
    weight = rng.random((devices, steps, size)) * (rng.random((devices, steps, size)) < 0.8)
    index = torch.from_numpy(rng.integers(0, 30, (devices, steps, size)))
    targets = torch.from_numpy(rng.random((devices, 4, 4))) if soft else None
    return starts, x, y, Batches(index, torch.from_numpy(weight), targets)


def loss_of(
    model: Model, point: Tensor, x: Tensor, y: Tensor, batches: Batches, device: int
) -> Tensor:
    """Weighted loss of one device, from logarithms of softmax and the definition."""
    rows = batches.index[device].reshape(-1)
    log_p = model.logits(point, x[rows]).log_softmax(1)
    wanted = nn.functional.one_hot(y[rows], 4).to(log_p.dtype)
    if batches.targets is not None:
        wanted = torch.stack([batches.targets[device, int(label)] for label in y[rows]])
    return -((wanted * log_p).sum(1) * batches.weight[device].reshape(-1)).sum()


@pytest.mark.parametrize("model", MODELS, ids=str)
@settings(max_examples=8, deadline=None)
@given(
    devices=st.integers(1, 4),
    steps=st.integers(1, 3),
    size=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
    soft=st.booleans(),
)
def test_gradients_are_those_of_autograd(
    model: Model, devices: int, steps: int, size: int, seed: int, soft: bool
) -> None:
    starts, x, y, batches = drawn(model, devices, steps, size, seed, soft)
    found, losses = model.gradient(starts, x, y, batches)
    for k in range(devices):
        point = starts[k].clone().requires_grad_(True)
        loss = loss_of(model, point, x, y, batches, k)
        (expected,) = torch.autograd.grad(loss, point)
        torch.testing.assert_close(found[k], expected, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(losses[k], loss.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_a_step_of_training_is_a_step_along_the_gradient(model: Model, soft: bool) -> None:
    starts, x, y, batches = drawn(model, 3, 1, 4, 1, soft)
    gradients, losses = model.gradient(starts, x, y, batches)
    trained, loss = model.train(starts, x, y, batches, 0.2)
    torch.testing.assert_close(trained, starts - 0.2 * gradients, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(loss, losses, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_targets_that_are_the_labels_change_nothing(model: Model) -> None:
    starts, x, y, batches = drawn(model, 3, 3, 4, 2, False)
    labels = torch.eye(4, dtype=starts.dtype).expand(3, 4, 4)
    plain, loss = model.train(starts, x, y, batches, 0.2)
    same, other = model.train(starts, x, y, dataclasses.replace(batches, targets=labels), 0.2)
    torch.testing.assert_close(same, plain, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(other, loss, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("soft", [False, True])
def test_groups_change_nothing(soft: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODELS[1]
    starts, x, y, batches = drawn(model, 5, 2, 4, 3, soft)
    whole, trained = model.gradient(starts, x, y, batches), model.train(starts, x, y, batches, 0.1)
    monkeypatch.setattr(perceptron, "GROUP_BYTES", 2 * model.parameters * 8)
    parts, again = model.gradient(starts, x, y, batches), model.train(starts, x, y, batches, 0.1)
    for one, other in zip((*whole, *trained), (*parts, *again), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def test_own_models_are_asked_for_what_their_devices_hold() -> None:
    federation = Task("digits", "softmax", "shards:2", devices=5, samples=300).load(seed=1)
    np.testing.assert_allclose(federation.mix.sum(axis=1), 1.0)
    assert ((federation.mix > 0).sum(axis=1) == 2).all()
    # a model that always answers the larger of a device's two classes
    models = torch.zeros(5, federation.model.parameters)
    for k, mix in enumerate(federation.mix):
        models[k, 640 + int(np.flatnonzero(mix)[-1])] = 1.0
    expected = [mix[np.flatnonzero(mix)[-1]] for mix in federation.mix]
    np.testing.assert_allclose(federation.own_accuracy(models), expected, rtol=1e-12)


def test_own_models_answer_with_their_own_labels() -> None:
    federation = Task("digits", "softmax", "rotated:2", devices=4, samples=800).load(seed=1)
    steps = np.full(4, 200)
    batches = federation.batches(np.arange(4), steps, 32, np.random.default_rng(0))
    start = torch.zeros(federation.model.parameters)
    models, _ = federation.model.train(start, federation.x, federation.y, batches, 0.3)
    assert federation.own_accuracy(models).min() > 0.8
    assert federation.own_accuracy(models[[1, 0, 3, 2]]).max() < 0.2


def test_one_model_for_all_scores_alike_both_ways_where_all_hold_the_same() -> None:
    federation = Task("digits", "softmax", "iid", devices=2).load(seed=0)
    rng = np.random.default_rng(0)
    weights = federation.model.initial(rng)
    own = federation.own_accuracy(weights)
    assert own == pytest.approx(federation.score(weights).accuracy, abs=0.02)
    everything = federation.x.double(), federation.y
    logits = federation.model.logits(weights.double(), everything[0])
    expected = [
        float(nn.functional.cross_entropy(logits[part], everything[1][part]))
        for part in (slice(0, int(federation.held[0])), slice(int(federation.held[0]), None))
    ]
    assert federation.own_score(weights).loss == pytest.approx(np.mean(expected), rel=1e-5)


def test_a_device_without_any_test_image_is_named() -> None:
    task = Task("digits", "softmax", "shards:1", devices=10, test_samples=1)
    federation = task.load(seed=0)
    with pytest.raises(InvalidInput, match="test_samples is 1; expected some of a class"):
        federation.own_score(torch.zeros(federation.model.parameters))
