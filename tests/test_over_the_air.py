"""Averaging over the air: the error that the formula says, the limits, the refusals."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from still_world import Equal, StillWorld, network

from fl_opt import (
    Arm,
    FedAvg,
    InvalidInput,
    Optimised,
    OverTheAir,
    OverTheAirPower,
    Random,
    Superposed,
    Task,
    simulate,
)
from fl_opt.problems.superposition import Superposition
from fl_opt.validation.over_the_air import superpose

TASK = Task(samples=400)
FAST: dict[str, Any] = {"local_steps": 3, "batch": 8, "rate": 0.2}


def updates(devices: int = 6, parameters: int = 500, seed: int = 0) -> torch.Tensor:
    """Updates that resemble each other, of unlike lengths."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(parameters)
    own = rng.standard_normal((devices, parameters)) + common
    return torch.from_numpy(own * rng.uniform(0.2, 1.0, (devices, 1)))


# the error


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.sampled_from(["least-error", "unbiased"]))
def test_the_measured_error_is_the_expected_one(seed: int, devices: int, receiver: Any) -> None:
    rng = np.random.default_rng(seed)
    sent, amplitude = updates(devices, 400, seed), rng.uniform(0.1, 1.0, devices)
    noise_w = float(10.0 ** rng.uniform(-4.0, 1.0))
    heard = [superpose(sent, amplitude, noise_w, rng, receiver) for _ in range(60)]
    errors = np.array([float((one.mean - one.ideal).square().sum()) for one in heard])
    spread = errors.std(ddof=1) / math.sqrt(errors.size)
    # five standard errors: a false alarm in a million
    assert abs(errors.mean() - heard[0].error) <= 5.0 * spread + 1e-12 * heard[0].error


def test_symbols_of_unit_variance_err_as_the_formulation_says() -> None:
    """Independent symbols: the expectation over them is the cost of OverTheAirPower."""
    rng = np.random.default_rng(3)
    gain, noise_w, parameters = rng.exponential(1.0, 8), 0.3, 200_000
    problem = OverTheAirPower(gain, 1.0, noise_w)
    decision = problem.optimum().decision
    sent = torch.from_numpy(rng.standard_normal((8, parameters)))
    sent /= sent.norm(dim=1, keepdim=True) / math.sqrt(parameters)
    heard = superpose(sent, np.sqrt(gain * decision.power_w), noise_w, rng)
    per_symbol = float((heard.mean - heard.ideal).square().mean()) * 8**2
    assert per_symbol == pytest.approx(problem.cost(decision), rel=0.02)


def test_the_best_receiver_errs_least_and_finds_the_factor_of_the_optimum() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        gain, noise_w = rng.exponential(1.0, 5), float(rng.uniform(0.01, 1.0))
        problem = OverTheAirPower(gain, 1.0, noise_w)
        best = problem.optimum().decision
        a = np.sqrt(gain * best.power_w)
        assert a.sum() / (noise_w + (a * a).sum()) == pytest.approx(
            1.0 / math.sqrt(best.eta_w), rel=1e-9
        )
        for other in (problem.full_power(), problem.full_inversion()):
            assert problem.cost(best) <= problem.cost(other) * (1.0 + 1e-12)


# the limits


def test_without_noise_and_aligned_it_is_the_mean() -> None:
    sent = updates()
    for receiver in ("least-error", "unbiased"):
        heard = superpose(sent, np.full(6, 0.3), 0.0, np.random.default_rng(0), receiver)
        torch.testing.assert_close(heard.mean, sent.mean(dim=0))
        assert heard.error < 1e-20


def test_nobody_sends_more_than_its_power() -> None:
    """Symbols are scaled by the loudest device: the others stay below."""
    sent = updates()
    scale = float(sent.norm(dim=1).max()) / sent.shape[1] ** 0.5
    power = (sent / scale).square().mean(dim=1)
    assert float(power.max()) == pytest.approx(1.0)


def test_in_a_loud_channel_it_is_federated_averaging() -> None:
    world = StillWorld(network(gain=np.full(4, 1e6)))
    air = simulate(world, Arm(Superposed(), OverTheAir(**FAST)), TASK, 6, seed=3)
    digital = simulate(world, Arm(Equal(), FedAvg(**FAST)), TASK, 6, seed=3)
    np.testing.assert_allclose(air.loss, digital.loss, rtol=1e-5)


def test_airtime_does_not_grow_with_the_devices() -> None:
    times = []
    for size in (2, 8):
        world = StillWorld(network(size))
        trace = simulate(world, Arm(Superposed(), OverTheAir(**FAST)), TASK, 1)
        times.append(trace.airtime_s[0])
    assert times[0] == pytest.approx(times[1])
    # a symbol per parameter: 650 of them over 4 MHz
    assert times[0] == pytest.approx(650 / 4e6)


@pytest.mark.parametrize(
    "policy",
    [
        Superposed(),
        Superposed("full"),
        Superposed(gain_min=5e-11, among=Random(count=2)),
        Optimised(OverTheAirPower.from_network),
        Optimised(OverTheAirPower.from_network, among=Random(count=2)),
    ],
    ids=str,
)
def test_every_power_rule_trains(policy: Any) -> None:
    world = StillWorld(network(gain=[1e-10, 3e-11, 6e-11, 1e-11]))
    trace = simulate(world, Arm(policy, OverTheAir(**FAST)), TASK, 3)
    again = simulate(world, Arm(policy, OverTheAir(**FAST)), TASK, 3)
    assert (trace.arrived > 0).any()
    np.testing.assert_array_equal(trace.accuracy, again.accuracy)
    np.testing.assert_array_equal(trace.loss, again.loss)


def test_truncation_silences_the_weak() -> None:
    world = StillWorld(network(gain=[1e-10, 3e-11, 6e-11, 1e-12]))
    trace = simulate(world, Arm(Superposed(gain_min=2e-11), OverTheAir(**FAST)), TASK, 1)
    assert trace.participation[0].tolist() == [True, True, True, False]


def test_inversion_is_heard_equally_loud_and_no_louder_than_the_weakest_can() -> None:
    net = network(gain=[1e-10, 3e-11, 6e-11, 1e-11])
    problem = OverTheAirPower.from_network(net)
    found: Superposition = problem.full_inversion()
    np.testing.assert_allclose(net.gain * found.power_w, 1e-11 * 0.2)


# refusals


def test_an_allocation_of_bandwidths_is_refused_with_its_cure() -> None:
    with pytest.raises(InvalidInput, match="Superposed"):
        simulate(StillWorld(network()), Arm(Equal(), OverTheAir(**FAST)), TASK, 1)


@pytest.mark.parametrize(
    ("build", "where"),
    [
        (partial(OverTheAir, receiver="loud"), "OverTheAir.receiver"),
        (partial(OverTheAir, local_steps=0), "OverTheAir.local_steps"),
        (partial(OverTheAir, rate=0.0), "OverTheAir.rate"),
        (partial(Superposed, "half"), "Superposed.power"),
        (partial(Superposed, gain_min=-1.0), "Superposed.gain_min"),
    ],
)
def test_bad_settings_are_named(build: Any, where: str) -> None:
    with pytest.raises(InvalidInput, match=where):
        build()
