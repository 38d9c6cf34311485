"""Federated distillation: exact bits, leave-one-out answers, the limit that is training alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from still_world import Equal, StillWorld, network

from fl_opt import Arm, Distillation, InvalidInput, Random, Task, simulate
from fl_opt.validation.distillation import answers

TASK = Task(samples=400)
FAST: dict[str, Any] = {"local_steps": 3, "batch": 8, "rate": 0.2}
WORLD = StillWorld(network(5))


def federation(partition: str = "iid") -> Any:
    return Task(samples=400, partition=partition).load(np.random.default_rng(0), np.full(5, 80.0))


# exact bits


def test_the_payload_is_a_distribution_per_label() -> None:
    group, method = federation(), Distillation()
    assert method.workload(group).upload_bit[0] == 32 * 10 * 10
    # up and down over 16 rounds, as the source counts
    assert 16 * (method.workload(group).upload_bit[0] + method.broadcast_bit(group)) == 102_400


# what is exchanged


def test_answers_are_means_by_label_of_the_device_alone() -> None:
    group = federation("shards:2")
    model = group.model.initial(np.random.default_rng(1))
    owner = np.repeat(np.arange(5), group.held)
    for k in range(5):
        table = answers(group, k, model)
        label = group.y.numpy()
        for c in range(10):
            mine = np.flatnonzero((owner == k) & (label == c))
            if not mine.size:
                assert np.isnan(table[c]).all()
                continue
            mean = group.model.logits(model, group.x[mine]).softmax(1).double().mean(0).numpy()
            np.testing.assert_allclose(table[c], mean, rtol=1e-5)


def test_a_device_learns_from_the_others_and_not_from_itself() -> None:
    method = Distillation(gamma=2.0)
    tables = np.full((3, 2, 2), np.nan)
    tables[0], tables[1] = [[0.9, 0.1], [0.2, 0.8]], [[0.7, 0.3], [np.nan, np.nan]]
    wanted = method._wanted(tables)
    np.testing.assert_allclose(wanted[0], [[1 + 2 * 0.7, 2 * 0.3], [0.0, 1.0]])
    np.testing.assert_allclose(wanted[1], [[1 + 2 * 0.9, 2 * 0.1], [2 * 0.2, 1 + 2 * 0.8]])
    np.testing.assert_allclose(wanted[2], [[1 + 2 * 0.8, 2 * 0.2], [2 * 0.2, 1 + 2 * 0.8]])


def test_without_weight_for_the_others_it_is_training_alone() -> None:
    """The limit gamma = 0, against local descent written out."""
    alone = simulate(WORLD, Arm(Equal(), Distillation(gamma=0.0, **FAST)), TASK, 4, seed=1)
    lonely = simulate(WORLD, Arm(Equal(only=(0,)), Distillation(**FAST)), TASK, 4, seed=1)
    # one device that nobody answers trains as without distillation
    both = simulate(WORLD, Arm(Equal(only=(0,)), Distillation(gamma=0.0, **FAST)), TASK, 4, seed=1)
    np.testing.assert_array_equal(lonely.loss, both.loss)
    assert alone.loss[-1] < alone.loss[0]


def test_what_others_know_helps_where_labels_are_scarce() -> None:
    task = Task(samples=1000, partition="scarce:3")
    scores = [
        simulate(WORLD, Arm(Equal(), Distillation(gamma=gamma, rate=0.5)), task, 12, seed=2)
        for gamma in (0.0, 1.0)
    ]
    assert scores[1].loss[-1] != scores[0].loss[-1]
    assert all(trace.accuracy[-1] > 0.5 for trace in scores)


@pytest.mark.parametrize("policy", [Random(count=2), Equal(deadline_s=0.2)], ids=str)
def test_it_works_with_any_policy_and_repeats_itself(policy: Any) -> None:
    one, two = (
        simulate(WORLD, Arm(policy, Distillation(**FAST)), TASK, 4, seed=3) for _ in range(2)
    )
    np.testing.assert_array_equal(one.loss, two.loss)


def test_who_trained_keeps_what_it_learned_though_its_answers_are_late() -> None:
    """The deadline strikes during the upload: nothing arrives, the models move all the same."""
    slow = StillWorld(network(5, band_hz=1e3))
    trace = simulate(slow, Arm(Equal(deadline_s=0.5), Distillation(**FAST)), TASK, 3, seed=3)
    assert trace.arrived.sum() == 0
    assert trace.loss[-1] < trace.loss[0]


def test_scarce_classes_keep_five_samples() -> None:
    group = federation("scarce:3")
    owner, label = np.repeat(np.arange(5), group.held), group.y.numpy()
    held = np.zeros((5, 10), dtype=int)
    np.add.at(held, (owner, label), 1)
    full = federation()
    was = np.zeros((5, 10), dtype=int)
    np.add.at(was, (np.repeat(np.arange(5), full.held), full.y.numpy()), 1)
    assert ((held < was).sum(axis=1) <= 3).all()
    assert (held[held < was] == 5).all()
    assert (np.minimum(was, 5) <= held).all()


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"Distillation\.gamma"):
        Distillation(gamma=-1.0)
