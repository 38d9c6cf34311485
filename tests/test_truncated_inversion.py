"""Truncated channel inversion: the root against quadrature, thirty digits and drawn fades."""

from __future__ import annotations

import dataclasses
import itertools
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
from fl_opt import Infeasible, InvalidInput, TruncatedInversion
from fl_opt.problem_file import read_problem


def stated(seed: int, **changes: Any) -> TruncatedInversion:
    """One to ten thousand devices, from hardly heard to loud."""
    rng = np.random.default_rng(seed)
    given: dict[str, Any] = {
        "devices": int(10.0 ** rng.uniform(0, 4)),
        "power_w": 10.0 ** rng.uniform(-3, 0),
        "noise_w": 10.0 ** rng.uniform(-16, -10),
        "gain": 10.0 ** rng.uniform(-13, -9),
        "symbols": int(10.0 ** rng.uniform(0, 3)),
        "participation_min": float(rng.choice([0.0, 0.5, 0.8, 0.99])),
        "unbiased": bool(rng.random() < 0.5),
    }
    return TruncatedInversion(**(given | changes))


def exact_error(problem: TruncatedInversion, g: mpmath.mpf, size: mpmath.mpf) -> mpmath.mpf:
    """Error of the sum by integration over the fades, symbols received `size` times as large."""
    often = mpmath.quad(lambda x: mpmath.exp(-x), [g, g + 1, g + 10, mpmath.inf])
    inverse = mpmath.quad(
        lambda x: mpmath.exp(-mpmath.exp(x)), [mpmath.log(g), 0, 2, 4, 6] if g < 1 else [0, 2, 6]
    )
    received = mpmath.mpf(problem.power_w) * problem.gain / (problem.symbols * inverse)
    noise = problem.noise_w * size**2 / received
    return problem.devices * (often * (size - 1) ** 2 + 1 - often) + noise


def least_error(problem: TruncatedInversion) -> mpmath.mpf:
    """The optimum in the digits of the context, from the derivative of the error."""
    snr = mpmath.mpf(problem.power_w) * problem.gain
    snr /= mpmath.mpf(problem.symbols) * mpmath.mpf(problem.noise_w)

    def slope(log_g: mpmath.mpf) -> mpmath.mpf:
        g = mpmath.exp(log_g)
        return 1 - g * (2 * mpmath.exp(g) * mpmath.e1(g) + problem.devices * snr)

    root = mpmath.findroot(slope, (-80, 0), solver="bisect", maxsteps=150, verify=False)
    g = mpmath.exp(root)
    if problem.participation_min > 0:
        g = min(g, -mpmath.log(problem.participation_min))
    phi = problem.devices * mpmath.exp(g) + mpmath.exp(2 * g) * mpmath.e1(g) / snr
    k = mpmath.mpf(problem.devices)
    return phi - k if problem.unbiased else k - k * k / phi


@pytest.mark.parametrize("seed", range(40))
def test_equals_thirty_digits_and_integration(seed: int) -> None:
    problem = stated(seed)
    found = fl_opt.solve(problem)
    proof, decision = found.certificate, found.allocation
    assert (found.solver, proof.proof) == ("closed", "dual")
    assert proof.feasible
    assert proof.gap <= 1e-12
    with mpmath.workdps(40):
        least = least_error(problem)
        assert mpmath.mpf(proof.bound) <= least
        assert abs(mpmath.mpf(proof.cost) / least - 1) <= 1e-12
    with mpmath.workdps(20):
        size = mpmath.sqrt(decision.received_w / decision.eta_w)
        measured = exact_error(problem, mpmath.mpf(decision.threshold), size)
        assert abs(mpmath.mpf(proof.cost) / measured - 1) <= 1e-11


@pytest.mark.parametrize("seed", range(12))
def test_equals_the_sum_of_exponentials(seed: int) -> None:
    problem = stated(seed, noise_w=1e-12, gain=1e-10, devices=20)
    found = fl_opt.solve(problem).certificate
    reference = fl_opt.solve(problem, solver="cvxpy").certificate
    assert reference.cost == pytest.approx(found.cost, rel=1e-7)
    assert reference.cost >= found.bound


@given(seed=st.integers(0, 2**32 - 1), where=st.floats(-8.0, 1.0), off=st.floats(0.5, 2.0))
@settings(max_examples=50, deadline=None)
def test_no_threshold_and_no_receiver_beat_the_bound(seed: int, where: float, off: float) -> None:
    problem = stated(seed)
    found = fl_opt.solve(problem)
    assert found.certificate.gap <= 1e-12
    other = problem.at(math.exp(where))
    louder = dataclasses.replace(other, eta_w=other.eta_w * off)
    for decision in (other, louder):
        judged = fl_opt.verify(problem, decision)
        assert not judged.feasible or judged.cost >= found.certificate.bound


def test_with_and_without_bias_the_threshold_is_the_same() -> None:
    """It depends on K s alone, falls with it, and stays below 0.62."""
    found = []
    for k_s in (1e-9, 1e-2, 1.0, 1e2, 1e6):
        one = fl_opt.solve(TruncatedInversion(1, k_s, 1.0)).allocation.threshold
        many = fl_opt.solve(TruncatedInversion(100, k_s / 100, 1.0, unbiased=True))
        assert many.allocation.threshold == pytest.approx(one, rel=1e-12)
        found.append(one)
    assert found == sorted(found, reverse=True)
    assert 0.61 < found[0] < 0.62
    assert found[-1] == pytest.approx(1e-6, rel=1e-3)


def test_drawn_fades_have_the_error_and_the_power_that_were_told() -> None:
    problem = TruncatedInversion(devices=5, power_w=0.1, noise_w=1e-12, gain=3e-11, symbols=4)
    found = fl_opt.solve(problem)
    decision, rng = found.allocation, np.random.default_rng(0)
    draws = 400_000
    fade = rng.exponential(size=(draws, 5))
    sent = fade >= decision.threshold
    power = np.where(sent, decision.received_w / (problem.gain * fade), 0.0)
    assert 4 * power.mean() == pytest.approx(0.1, rel=0.01)
    symbol = rng.normal(size=(draws, 5))
    heard = np.where(sent, math.sqrt(decision.received_w), 0.0) * symbol
    noise = math.sqrt(problem.noise_w) * rng.normal(size=draws)
    estimate = (heard.sum(axis=1) + noise) / math.sqrt(decision.eta_w)
    error = np.mean((estimate - symbol.sum(axis=1)) ** 2)
    assert error == pytest.approx(found.certificate.cost, rel=0.01)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_laws_of_power_participation_bias_and_units(seed: int) -> None:
    problem = stated(seed)
    cost = fl_opt.solve(problem).certificate.cost

    def again(**changes: Any) -> float:
        return fl_opt.solve(dataclasses.replace(problem, **changes)).certificate.cost

    assert again(power_w=2.0 * problem.power_w) <= cost * (1.0 + 1e-12)
    assert again(participation_min=0.995) >= cost * (1.0 - 1e-12)
    assert again(unbiased=True) >= again(unbiased=False) * (1.0 - 1e-12)
    assert again(unbiased=False) <= problem.devices
    same = again(power_w=1024.0 * problem.power_w, gain=problem.gain / 1024.0)
    assert same == pytest.approx(cost, rel=1e-13)


@pytest.mark.parametrize("unbiased", [False, True])
def test_the_price_is_the_slope(unbiased: bool) -> None:
    def solved(least: float) -> fl_opt.Solution[Any]:
        return fl_opt.solve(
            TruncatedInversion(20, 1.0, 1.0, participation_min=least, unbiased=unbiased)
        )

    found, step = solved(0.99), 1e-6
    assert found.allocation.participation == pytest.approx(0.99, rel=1e-14)
    slope = (solved(0.99 + step).certificate.cost - solved(0.99 - step).certificate.cost) / (
        2.0 * step
    )
    assert found.prices["participation"] == pytest.approx(slope, rel=1e-6)
    assert solved(0.5).prices["participation"] == 0.0


def test_latency_of_orthogonal_access_grows_almost_with_the_devices() -> None:
    ratios = []
    for devices in (10, 100, 1000):
        problem = TruncatedInversion(devices, 0.1, 1e-12, 1e-10)
        ratios.append(problem.latency_ratio(problem.at(0.1)))
    for small, large in itertools.pairwise(ratios):
        assert 6.0 < large / small < 10.0
    alone = TruncatedInversion(1, 0.1, 1e-12, 1e-10)
    decision = alone.at(0.1)
    rate = math.log2(1.0 + decision.received_w / 1e-12)
    assert alone.latency_ratio(decision) == pytest.approx(32.0 / rate, rel=1e-14)


def test_nothing_received() -> None:
    deaf = fl_opt.solve(TruncatedInversion(7, 0.0, 1e-12))
    assert deaf.certificate.cost == 7.0
    assert math.isinf(deaf.allocation.eta_w)
    assert deaf.certificate.gap <= 1e-11
    with pytest.raises(Infeasible, match="power_w is 0: nothing is received") as caught:
        fl_opt.solve(TruncatedInversion(7, 0.0, 1e-12, unbiased=True))
    cured = TruncatedInversion(7, caught.value.relaxations["power_w"] or 0.0, 1.0, unbiased=True)
    assert math.isfinite(fl_opt.solve(cured).certificate.cost)
    with pytest.raises(Infeasible, match="gain is 0") as caught:
        fl_opt.solve(TruncatedInversion(7, 0.1, 1e-12, gain=0.0, unbiased=True))
    assert caught.value.relaxations["power_w"] is None


def test_a_round_a_policy_and_a_file(tmp_path: Path) -> None:
    net = network(4, gain=[1e-10, 2e-11, 3e-13, 1e-11])
    policy = fl_opt.Optimised(partial(TruncatedInversion.from_network, mean_gain=3e-11))
    rng = np.random.default_rng(0)
    allocation, memory = policy.decide(fl_opt.Round(net, 0, rng, None, {}), policy.start(4, rng))
    decision = memory.solution.allocation
    assert allocation.selected.tolist() == (net.gain >= decision.gain_min).tolist()
    assert (allocation.power_w <= net.power_max_w).all()
    (tmp_path / "threshold.toml").write_text(
        'problem = "TruncatedInversion"\ndevices = 20\npower_w = 0.1\nnoise_w = 1e-12\n'
        "gain = 1e-11\nparticipation_min = 0.9\n"
    )
    told = fl_opt.solve(read_problem(tmp_path / "threshold.toml").problem).allocation
    assert told.participation >= 0.9 * (1.0 - 1e-15)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"devices": 2.5}, "devices is 2.5; expected a whole number"),
        ({"devices": 0}, "devices is 0"),
        ({"noise_w": 0.0}, "noise_w is 0 W; expected a number > 0"),
        ({"participation_min": 1.0}, "participation_min is 1; expected a number below 1"),
        ({"gain": -1.0}, "gain is -1"),
    ],
)
def test_refuses_what_is_no_round(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        stated(0, **changes)
