"""Power over the air: closed form against a scalar search and a quadratic program, and its laws."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from still_world import network

import fl_opt
from fl_opt import InvalidInput, OverTheAirPower
from fl_opt.allocation import use
from fl_opt.problems.over_the_air_power import received_power_w, truncation_probability
from fl_opt.problems.superposition import Superposition
from fl_opt.testing import check_policy
from fl_opt.validation import measure

THOUSAND = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(10_000, 11_000)]


def problem(seed: int, size: int = 0) -> OverTheAirPower:
    """Fading cells with dead links, from drowning in noise to hardly any."""
    rng = np.random.default_rng(seed)
    size = size or int(rng.integers(1, 30))
    gain = rng.exponential(1.0, size) * 10.0 ** rng.uniform(-13, -8, size)
    gain[rng.random(size) < 0.1] = 0.0
    return OverTheAirPower(gain, rng.uniform(0.01, 1.0, size), 10.0 ** rng.uniform(-20, -6))


def error_at(stated: OverTheAirPower, scale: float) -> float:
    """Error where everybody aligns as far as the power goes, straight from the definition."""
    reach = np.sqrt(stated.gain * stated.power_max_w)
    return float(np.sum(np.maximum(1.0 - scale * reach, 0.0) ** 2) + stated.noise_w * scale**2)


@pytest.mark.parametrize("seed", range(100))
def test_equals_a_search_for_the_denoising_factor(seed: int) -> None:
    stated = problem(seed)
    solution = fl_opt.solve(stated)
    assert solution.solver == "closed"
    reach = np.sqrt(stated.gain * stated.power_max_w)
    if not reach.any():
        assert solution.certificate.cost == stated.size
        return
    most = 1.0 / reach[reach > 0.0].min()
    found = min(
        minimize_scalar(
            lambda z: error_at(stated, math.exp(z)), bounds=span, method="bounded",
            options={"xatol": 1e-12},
        ).fun
        for span in ((math.log(most) - 40.0, math.log(most)), (math.log(most) - 5, math.log(most)))
    )  # fmt: skip
    cost = solution.certificate.cost
    assert cost <= found * (1.0 + 1e-12)
    assert cost == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize("seed", range(30))
def test_equals_the_quadratic_program(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 12))
    gain = 1e-10 * rng.exponential(1.0, size) * (rng.random(size) > 0.1)
    noise = 10.0 ** rng.uniform(-13, -9)
    stated = OverTheAirPower(gain, rng.uniform(0.05, 0.5, size), noise)
    exact, reference = fl_opt.solve(stated), fl_opt.solve(stated, solver="cvxpy")
    assert reference.certificate.feasible
    assert reference.certificate.bound <= exact.certificate.cost
    assert reference.certificate.cost == pytest.approx(exact.certificate.cost, rel=1e-8)
    assert reference.certificate.gap <= 1e-7


@pytest.mark.parametrize("seed", [*range(200), *THOUSAND])
def test_the_bound_is_tight_and_true_in_fifty_digits(seed: int) -> None:
    stated = problem(seed)
    proof = fl_opt.solve(stated).certificate
    assert proof.feasible
    assert proof.gap <= 1e-13
    assert proof.proof == "dual"
    with mpmath.workdps(50):
        reach = sorted(
            mpmath.sqrt(mpmath.mpf(float(g)) * mpmath.mpf(float(p)))
            for g, p in zip(stated.gain, stated.power_max_w, strict=True)
            if g > 0.0
        )
        noise = mpmath.mpf(stated.noise_w)
        best = mpmath.mpf(0)
        for j in range(len(reach)):
            weak = reach[: j + 1]
            best = max(best, mpmath.fsum(weak) / (noise + mpmath.fsum(a * a for a in weak)))
        least = stated.size - len(reach) + noise * best**2
        least += mpmath.fsum(max(1 - best * a, 0) ** 2 for a in reach)
        assert mpmath.mpf(proof.bound) <= least
        assert abs(mpmath.mpf(proof.cost) / least - 1) <= 1e-13


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_any_multipliers_give_a_bound(seed: int) -> None:
    stated = problem(seed)
    y = np.random.default_rng(seed).random(stated.size)
    assert stated.lower_bound(y) <= fl_opt.solve(stated).certificate.cost


@pytest.mark.parametrize("seed", range(50))
def test_the_weak_shout_and_the_strong_invert(seed: int) -> None:
    stated = problem(seed, size=20)
    decision = fl_opt.solve(stated).allocation
    reach = stated.gain * stated.power_max_w
    weak = (reach < decision.eta_w) & (reach > 0.0)
    assert decision.power_w[weak] == pytest.approx(stated.power_max_w[weak])
    strong = reach > decision.eta_w
    assert decision.alignment(stated.gain)[strong] == pytest.approx(1.0, abs=0.0)
    assert (decision.power_w[strong] < stated.power_max_w[strong]).all()
    assert not decision.power_w[stated.gain == 0.0].any()


@pytest.mark.parametrize("seed", range(200))
def test_no_baseline_is_better_on_any_draw(seed: int) -> None:
    stated = problem(seed)
    least = fl_opt.solve(stated).certificate.bound
    median = float(np.median(stated.gain))
    for baseline in (
        stated.full_power(),
        stated.full_inversion(),
        stated.truncated_inversion(median),
    ):
        judged = fl_opt.verify(stated, baseline)
        assert judged.feasible
        assert judged.cost >= least
        assert judged.cost == baseline.mse


def test_two_devices_in_closed_form() -> None:
    # sigma^2 = 1, a = (1, 3): u_1 = 1/2, u_2 = 4/11; at u = 1/2 the error is 1/4 + 0 + 1/4
    solution = fl_opt.solve(OverTheAirPower([1.0, 9.0], 1.0, 1.0))
    assert solution.certificate.cost == pytest.approx(0.5, rel=1e-15)
    assert solution.allocation.eta_w == 4.0
    assert solution.allocation.power_w == pytest.approx([1.0, 4.0 / 9.0])


def test_a_single_device_stops_short_of_alignment() -> None:
    # alone, the least error is sigma^2/(sigma^2 + a^2), that of the best linear estimate
    solution = fl_opt.solve(OverTheAirPower(2.0, 0.5, 0.25))
    assert solution.certificate.cost == pytest.approx(0.25 / 1.25, rel=1e-15)


@pytest.mark.parametrize(
    ("gain", "noise_w", "cost"),
    [
        ([1e-10, 3e-12, 7e-11], 0.0, 0.0),
        ([1e-10, 0.0, 7e-11], 0.0, 1.0),
        ([0.0, 0.0], 1e-13, 2.0),
        ([0.0, 0.0], 0.0, 2.0),
    ],
)
def test_without_noise_only_those_never_heard_cost(gain: Any, noise_w: float, cost: float) -> None:
    stated = OverTheAirPower(gain, 0.2, noise_w)
    solution = fl_opt.solve(stated)
    assert (solution.certificate.cost, solution.certificate.gap) == (cost, 0.0)
    heard = stated.gain * 0.2
    expected = heard[heard > 0.0].min() if heard.any() else math.inf
    assert solution.allocation.eta_w == pytest.approx(expected)


def test_identical_devices_and_no_power() -> None:
    same = fl_opt.solve(OverTheAirPower(np.full(7, 1e-10), 0.1, 1e-11))
    # all at full power: 1 - 7/(7 + 1) each, and the noise
    assert same.certificate.cost == pytest.approx(7 / 64 + 49 / 64, rel=1e-14)
    mute = fl_opt.solve(OverTheAirPower([1e-10, 1e-10], [0.1, 0.0], 1e-12))
    assert mute.certificate.feasible
    assert mute.allocation.power_w[1] == 0.0
    assert mute.prices["power_max"][1] == math.inf  # type: ignore[index]


@pytest.mark.parametrize("seed", range(20))
def test_the_price_is_the_derivative(seed: int) -> None:
    rng = np.random.default_rng(seed)
    power = rng.uniform(0.05, 0.5, 6)
    stated = OverTheAirPower(1e-10 * rng.exponential(1.0, 6), power, 1e-11)
    price = np.asarray(fl_opt.solve(stated).prices["power_max"])
    for k in range(6):
        step = np.zeros(6)
        step[k] = 1e-5 * power[k]
        up, down = (
            fl_opt.solve(OverTheAirPower(stated.gain, power + sign * step, 1e-11)).certificate.cost
            for sign in (1.0, -1.0)
        )
        assert price[k] == pytest.approx((down - up) / (2.0 * step[k]), rel=1e-4, abs=1e-5)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_laws_of_power_noise_order_and_units(seed: int) -> None:
    stated = problem(seed)
    rng = np.random.default_rng(seed)
    base = fl_opt.solve(stated).certificate.cost
    gain, power, noise = stated.gain, stated.power_max_w, stated.noise_w

    def cost(*fields: Any) -> float:
        return fl_opt.solve(OverTheAirPower(*fields)).certificate.cost

    assert cost(gain, 1.5 * power, noise) <= base * (1.0 + 1e-13)
    assert cost(gain, power, 1.5 * noise) >= base * (1.0 - 1e-13)
    order = rng.permutation(stated.size)
    assert cost(gain[order], power[order], noise) == pytest.approx(base, rel=1e-13)
    assert cost(gain, 8.0 * power, 8.0 * noise) == pytest.approx(base, rel=1e-13)


def test_truncation_trades_who_arrives_for_how_loud() -> None:
    rng = np.random.default_rng(0)
    draws = rng.exponential(1.0, 400_000)
    for g in (0.05, 0.3, 1.0):
        silent = np.mean(draws < g)
        assert truncation_probability(g) == pytest.approx(silent, abs=4e-3)
        spent = np.where(draws >= g, received_power_w(0.4, 8, g) / draws, 0.0)
        assert 8 * spent.mean() == pytest.approx(0.4, rel=2e-2)


def test_a_round_sends_one_symbol_a_parameter_all_at_once() -> None:
    net = network(3, gain=[1e-10, 0.0, 1e-11], cycles=[1e8, 2e8, 3e8], upload_bit=32e4, band_hz=1e6)
    solution = fl_opt.solve(OverTheAirPower.from_network(net))
    allocation = solution.allocation.to_round(net)
    used = use(net, allocation)
    assert allocation.access == "superposed"
    assert allocation.selected.tolist() == [True, False, True]
    assert used.airtime_s[0] == pytest.approx(0.01)
    last = 3e8 / net.cpu_max_hz[2]
    assert used.finish_s[[0, 2]] == pytest.approx(last + 0.01)
    measured = measure(net, allocation, np.random.default_rng(0))
    assert measured.arrived.tolist() == [True, False, True]


def test_is_a_policy() -> None:
    net = network(4, gain=[1e-10, 2e-11, 3e-12, 1e-11])
    policy = fl_opt.Optimised(OverTheAirPower.from_network)
    rng = np.random.default_rng(0)
    allocation, memory = policy.decide(fl_opt.Round(net, 0, rng, None, {}), policy.start(4, rng))
    assert allocation.access == "superposed"
    assert memory.solution.certificate.gap <= 1e-13
    check_policy(policy)


def test_no_device_spends_more_than_training_leaves_of_its_energy() -> None:
    net = network(3, energy_j=[np.inf, 6e-4, 1e-9], cycles=1e6, capacitance=1e-28)
    stated = OverTheAirPower.from_network(net)
    heat = 1e-28 * 1e6 * net.cpu_max_hz[0] ** 2
    airtime = net.upload_bit[0] / 32.0 / net.band_hz
    poor = (6e-4 - heat) / airtime
    assert 0.0 < poor < 0.2
    assert stated.power_max_w == pytest.approx([0.2, poor, 0.0])
    allocation = fl_opt.solve(stated).allocation.to_round(net)
    assert not allocation.selected[2]
    assert (use(net, allocation).energy_j <= net.energy_j * (1.0 + 1e-12)).all()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([1e-10, -1.0], 0.2, 1e-13), r"gain\[1\] is -1; expected a number >= 0"),
        ((1e-10, math.inf, 1e-13), "power_max_w is inf"),
        ((1e-10, 0.2, math.nan), "noise_w is nan"),
        (([], 0.2, 0.0), "OverTheAirPower is empty"),
    ],
)
def test_refuses_what_is_no_radio(arguments: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        OverTheAirPower(*arguments)


def test_refuses_two_receivers_and_a_round_of_others() -> None:
    net = network(2, noise_w_hz=[4e-21, 8e-21])
    with pytest.raises(
        InvalidInput, match=r"noise_w_hz is .* a superposed upload has one receiver"
    ):
        OverTheAirPower.from_network(net)
    with pytest.raises(InvalidInput, match=r"network\.size is 2; expected 3"):
        Superposition([0.1, 0.1, 0.1], 1e-12, 0.0).to_round(net)
