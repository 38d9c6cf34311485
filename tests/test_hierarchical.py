"""Two storeys of averaging: the limit that is FedAvg, the algebra of the cloud, the clock."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from still_world import Equal, StillWorld, network

from fl_opt import Arm, FedAvg, HierFAVG, InvalidInput, Random, Task, Trace, simulate

TASK = Task(samples=400)
FAST: dict[str, Any] = {"local_steps": 3, "batch": 8, "rate": 0.2}
WORLD = StillWorld(network(6))


def run(method: Any, rounds: int = 6, policy: Any = None, seed: int = 1) -> Trace:
    return simulate(WORLD, Arm(policy or Equal(), method), TASK, rounds, seed)


@pytest.mark.parametrize("policy", [Equal(), Random(count=3)], ids=str)
@pytest.mark.parametrize("model", ["softmax", "mlp", "cnn"])
def test_a_cloud_in_every_round_is_fedavg_to_the_bit(policy: Any, model: str) -> None:
    task = Task(samples=400, model=model)
    two, one = (
        simulate(WORLD, Arm(policy, method), task, 3, seed=2)
        for method in (HierFAVG(**FAST, cloud_every=1, edges=3), FedAvg(**FAST))
    )
    for name in ("accuracy", "loss", "time_s", "energy_j"):
        np.testing.assert_array_equal(getattr(two, name), getattr(one, name))


def learned(method: HierFAVG, rounds: int) -> Any:
    """States after each round, everybody arriving."""
    federation = TASK.load(np.random.default_rng(0), WORLD.data_sizes)
    net = next(WORLD.rounds(np.random.default_rng(0), method.workload(federation)))
    allocation, _ = Equal().decide(_round(net), None)
    outcome = _arrive(federation.size)
    state = method.start(federation, np.random.default_rng(4))
    states = [state]
    for index in range(rounds):
        rng = np.random.default_rng(index)
        state = method.learn(federation, state, allocation, outcome, rng)
        states.append(state)
    return federation, states


def _round(net: Any) -> Any:
    from fl_opt import Round

    return Round(net, 0, np.random.default_rng(0))


def _arrive(size: int) -> Any:
    from fl_opt import Outcome

    there = np.ones(size, dtype=bool)
    return Outcome(there, there, np.zeros(size), np.zeros(size), 1.0)


def test_the_cloud_rests_between_and_all_edges_follow_it() -> None:
    _, states = learned(HierFAVG(**FAST, cloud_every=3, edges=2), 6)
    for before, after, moves in zip(states, states[1:], [0, 0, 1, 0, 0, 1], strict=False):
        assert torch.equal(before.weights, after.weights) != bool(moves)
        assert (float(after.ahead.abs().max()) == 0.0) == bool(moves)


def test_one_edge_is_fedavg_however_seldom_the_cloud_looks() -> None:
    """With a single edge the cloud's model is the edge's, to rounding."""
    _, two = learned(HierFAVG(**FAST, cloud_every=3, edges=1), 6)
    _, one = learned(HierFAVG(**FAST, cloud_every=1, edges=1), 6)
    for at in (3, 6):
        torch.testing.assert_close(two[at].weights, one[at].weights, rtol=1e-4, atol=1e-6)


def test_edges_are_weighted_by_their_samples() -> None:
    """One device per edge: the cloud averages devices that walked apart for a whole period."""
    federation, states = learned(HierFAVG(**FAST, cloud_every=2, edges=6), 2)
    method = FedAvg(**FAST)
    allocation, _ = Equal().decide(_round(WORLD.network), None)
    walked = states[0].weights.repeat(6, 1)
    devices = np.arange(6)
    for index in range(2):
        step, _ = method.updates(
            federation, walked, devices, allocation, np.random.default_rng(index)
        )
        walked = walked + step
    share = torch.from_numpy(federation.samples / federation.samples.sum()).float()
    torch.testing.assert_close(states[2].weights, share @ walked, rtol=1e-4, atol=1e-6)


def test_the_way_to_the_cloud_takes_its_time() -> None:
    near = run(HierFAVG(**FAST, cloud_every=3))
    far = run(HierFAVG(**FAST, cloud_every=3, cloud_s=2.0))
    np.testing.assert_allclose(far.round_s - near.round_s, [0, 0, 2, 0, 0, 2], atol=1e-12)


def test_devices_belong_where_they_are_told() -> None:
    method = HierFAVG(association=(0, 0, 1, 1, 2, 2))
    np.testing.assert_array_equal(method.edge_of(6), [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(HierFAVG(edges=2).edge_of(5), [0, 1, 0, 1, 0])
    with pytest.raises(InvalidInput, match="one a device"):
        method.edge_of(5)


@pytest.mark.parametrize(
    ("field", "value"), [("cloud_every", 0), ("edges", 0), ("cloud_s", -1.0), ("association", [-1])]
)
def test_bad_settings_are_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=f"HierFAVG.{field}"):
        HierFAVG(**{field: value})
