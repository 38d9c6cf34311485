"""Mixing without a server: what stays, what contracts, the limits, the clock of links."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from still_world import Equal, StillWorld, network

from fl_opt import (
    Allocation,
    Arm,
    FedAvg,
    Gossip,
    Graph,
    InvalidInput,
    MixingWeights,
    Outcome,
    Task,
    simulate,
    solve,
)
from fl_opt.problems.activation import Activation
from fl_opt.problems.matchings import matchings
from fl_opt.validation.gossip import Crowd

TASK = Task(samples=400)
FAST: dict[str, Any] = {"local_steps": 3, "batch": 8, "rate": 0.2}
SIZE = 9


def federation() -> Any:
    return TASK.load(np.random.default_rng(0), np.full(SIZE, 40.0))


def apart(state: Crowd) -> float:
    return float((state.models.double() - state.models.double().mean(dim=0)).norm())


def silent() -> tuple[Allocation, Outcome]:
    """A round in which all are there, but take no step."""
    there = np.ones(SIZE, dtype=bool)
    allocation = Allocation(
        selected=there,
        bandwidth_hz=1.0,
        power_w=0.0,
        cpu_hz=1e9,
        local_steps=np.zeros(SIZE, dtype=int),
    )
    return allocation, Outcome(there, there, np.zeros(SIZE), np.zeros(SIZE), 1.0)


def scattered(method: Gossip, seed: int) -> tuple[Any, Crowd]:
    """Devices whose models are unlike each other."""
    group = federation()
    state = method.start(group, np.random.default_rng(seed))
    lot = torch.from_numpy(np.random.default_rng(seed).standard_normal(state.models.shape)).float()
    return group, dataclasses.replace(state, models=lot)


@pytest.mark.parametrize("graph", ["ring", "complete", "path", "star", "torus"])
def test_mixing_keeps_the_mean_and_contracts_as_the_matrix_says(graph: str) -> None:
    method = Gossip(graph=graph, **FAST)
    group, state = scattered(method, 1)
    allocation, outcome = silent()
    mixing = MixingWeights(method.web(SIZE).graph).metropolis()
    before, ratio = state, []
    for index in range(12):
        after = method.learn(group, before, allocation, outcome, np.random.default_rng(index))
        torch.testing.assert_close(after.mean, before.mean, rtol=1e-5, atol=1e-6)
        if apart(after) > 1e-4 * apart(state):
            ratio.append(apart(after) / apart(before))
            assert ratio[-1] <= mixing.contraction * (1.0 + 1e-5)
        before = after
    if mixing.contraction > 0.5:  # what is left in the end is the slowest mode
        assert ratio[-1] == pytest.approx(mixing.contraction, rel=0.05)


def test_optimised_weights_contract_faster_than_metropolis() -> None:
    graph = Graph.path(SIZE)
    best = solve(MixingWeights(graph)).allocation
    left = []
    for mixing in (best, MixingWeights(graph).metropolis()):
        method = Gossip(mixing=mixing, **FAST)
        group, state = scattered(method, 2)
        for index in range(20):
            state = method.learn(group, state, *silent(), np.random.default_rng(index))
        left.append(apart(state))
    assert left[0] < left[1]


def test_random_matchings_contract_in_the_mean_square_as_the_activation_says() -> None:
    graph = Graph.ring(SIZE)
    groups = matchings(graph)
    activation = Activation(graph, groups, np.full(groups.max() + 1, 0.5), 0.3)
    method = Gossip(mixing=activation, **FAST)
    group, state = scattered(method, 3)
    shrunk = []
    for index in range(150):
        used = state.web.draw(1, np.random.default_rng(index))
        lucky = dataclasses.replace(state, used=used)
        after = method.learn(group, lucky, *silent(), np.random.default_rng(0))
        shrunk.append((apart(after) / apart(state)) ** 2)
    assert np.mean(shrunk) <= activation.contraction(0.3) * 1.05


def test_everybody_linked_to_everybody_is_fedavg_with_equal_shares() -> None:
    world = StillWorld(network(SIZE))
    constant = MixingWeights(Graph.complete(SIZE)).best_constant()
    mixed = simulate(world, Arm(Equal(), Gossip(mixing=constant, **FAST)), TASK, 5, seed=1)
    averaged = simulate(world, Arm(Equal(), FedAvg(**FAST)), TASK, 5, seed=1)
    # 400 samples are no multiple of nine devices: FedAvg weighs them a little differently
    np.testing.assert_allclose(mixed.loss, averaged.loss, rtol=2e-2)
    assert mixed.loss[-1] < mixed.loss[0]


def test_who_is_away_keeps_the_model_and_rests_its_links() -> None:
    method = Gossip(**FAST)
    group, state = scattered(method, 4)
    allocation, outcome = silent()
    there = np.arange(SIZE) != 3
    away = Outcome(there, there, outcome.finish_s, outcome.energy_j, 1.0)
    after = method.learn(group, state, allocation, away, np.random.default_rng(0))
    torch.testing.assert_close(after.models[3], state.models[3])
    torch.testing.assert_close(after.mean, state.mean, rtol=1e-5, atol=1e-6)


def test_matchings_take_turns() -> None:
    world = StillWorld(network(SIZE))
    plain, slow = (
        simulate(world, Arm(Equal(), Gossip(exchange_s=one, mixing_steps=2)), TASK, 2)
        for one in (0.0, 0.5)
    )
    # an odd ring has three matchings, in each of two mixing steps
    np.testing.assert_allclose(slow.round_s - plain.round_s, 0.5 * 3 * 2)


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"graph": "circle"}, "Gossip.graph"),
        ({"mixing": "even"}, "Gossip.mixing"),
        ({"mixing_steps": 0}, "Gossip.mixing_steps"),
        ({"exchange_s": -1.0}, "Gossip.exchange_s"),
    ],
)
def test_bad_settings_are_named(options: dict[str, Any], where: str) -> None:
    with pytest.raises(InvalidInput, match=where):
        Gossip(**options)


def test_a_mixing_of_other_devices_is_refused() -> None:
    method = Gossip(mixing=MixingWeights(Graph.ring(5)).metropolis())
    with pytest.raises(InvalidInput, match="of 5 devices"):
        method.start(federation(), np.random.default_rng(0))
    with pytest.raises(InvalidInput, match="torus of 7"):
        Gossip(graph="torus").web(7)
