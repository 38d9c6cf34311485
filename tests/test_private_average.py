"""Private averaging: the account, the noise of the mean, the limit without noise, clipping."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from still_world import Equal, StillWorld, network

from fl_opt import (
    Arm,
    InvalidInput,
    Optimised,
    OverTheAir,
    PrivateAverage,
    PrivatePower,
    Round,
    Superposed,
    Task,
    simulate,
)
from fl_opt.problems.privacy import epsilon_of
from fl_opt.validation import measure

TASK = Task(samples=400)
FAST: dict[str, Any] = {"local_steps": 3, "batch": 8, "rate": 0.2}


def learned(
    method: PrivateAverage, policy: Any, rounds: int, gain: float, **changes: Any
) -> tuple[Any, Any]:
    """Federation and states after some rounds of five devices."""
    world = StillWorld(network(5, gain=np.full(5, gain), **changes))
    group = TASK.load(np.random.default_rng(0), world.data_sizes)
    net = next(world.rounds(np.random.default_rng(0), method.workload(group)))
    state, states = method.start(group, np.random.default_rng(1)), []
    memory = policy.start(5, np.random.default_rng(0))
    for index in range(rounds):
        rng = np.random.default_rng(index)
        allocation, memory = policy.decide(Round(net, index, rng), memory)
        outcome = measure(net, allocation, np.random.default_rng(0))
        state = method.learn(group, state, allocation, outcome, rng)
        states.append(state)
    return group, states


@pytest.mark.parametrize("epsilon", [0.5, 3.0, 20.0])
def test_a_budget_over_rounds_is_spent_to_the_last_digit_and_no_more(epsilon: float) -> None:
    formulate = partial(PrivatePower.from_network, epsilon=epsilon, delta=1e-5, rounds=7, clip=0.3)
    method = PrivateAverage(clip=0.3, **FAST)
    _, states = learned(method, Optimised(formulate), 7, gain=1e-4)
    spent = [epsilon_of(float(state.rho.max()), 1e-5) for state in states]
    assert spent[-1] == pytest.approx(epsilon, rel=1e-9)
    assert np.all(np.diff(spent) > 0.0)


def test_where_power_is_short_privacy_is_free() -> None:
    formulate = partial(PrivatePower.from_network, epsilon=1e6, delta=1e-5, clip=0.3)
    _, states = learned(PrivateAverage(clip=0.3, **FAST), Optimised(formulate), 1, gain=1e-14)
    assert epsilon_of(float(states[0].rho.max()), 1e-5) < 1e6


@pytest.mark.parametrize(("access", "noises"), [("superposed", 1), ("orthogonal", 5)])
def test_the_noise_of_the_mean_is_that_of_one_receiver_or_of_each_device(
    access: Any, noises: int
) -> None:
    noisy: dict[str, Any] = {"gain": 1e-12, "noise_w_hz": 1e-18}
    quiet = {"gain": 1e-12, "noise_w_hz": 1e-40}
    method = PrivateAverage(clip=0.3, access=access, **FAST)
    (group, loud), (_, clean) = (learned(method, Superposed(), 1, **net) for net in (noisy, quiet))
    error = float((loud[0].weights - clean[0].weights).double().square().sum())
    signal_w, noise_w = 1e-12 * 0.2, 1e-18 * 4e6
    expected = noises * (0.3 / 5) ** 2 * noise_w / signal_w
    # a chi-square of 650 degrees of freedom
    assert error == pytest.approx(expected, rel=0.2)
    assert group.model.parameters == 650


def test_without_noise_or_clipping_it_is_averaging_over_the_air() -> None:
    world = StillWorld(network(5, gain=np.full(5, 1e6)))
    ours = simulate(world, Arm(Superposed(), PrivateAverage(clip=1e3, **FAST)), TASK, 4, seed=2)
    plain = simulate(world, Arm(Superposed(), OverTheAir(**FAST)), TASK, 4, seed=2)
    # 400 samples over five devices: all weights are alike
    np.testing.assert_allclose(ours.loss, plain.loss, rtol=1e-4)


def test_no_update_is_longer_than_the_clip() -> None:
    _, states = learned(PrivateAverage(clip=1e-3, **FAST), Superposed(), 1, gain=1e6)
    group, fresh = learned(PrivateAverage(clip=1e-3, **FAST), Superposed(), 0, gain=1e6)
    assert not fresh
    start = PrivateAverage().start(group, np.random.default_rng(1)).weights
    moved = float((states[0].weights - start).norm())
    assert 0.0 < moved <= 1e-3 * (1.0 + 1e-4)
    # the signal tells the length before clipping, for policies
    assert states[0].update_norm.min() > 1e-3


def test_orthogonal_bandwidths_and_bad_settings_are_refused() -> None:
    with pytest.raises(InvalidInput, match="superposed"):
        simulate(StillWorld(network()), Arm(Equal(), PrivateAverage(**FAST)), TASK, 1)
    with pytest.raises(InvalidInput, match=r"PrivateAverage\.clip"):
        PrivateAverage(clip=0.0)
    both: Any = "both"
    with pytest.raises(InvalidInput, match=r"PrivateAverage\.access"):
        PrivateAverage(access=both)
