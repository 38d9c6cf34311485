"""Private power: closed form against a cone program, a search and 50 digits; laws of privacy."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from still_world import network

import fl_opt
from fl_opt import Infeasible, InvalidInput, PrivateAlignment, PrivatePower, solve, verify
from fl_opt.allocation import use
from fl_opt.problems.privacy import classical_rho, epsilon_of, leakage, rho_of
from fl_opt.testing import check_policy


def problem(seed: int, rounds: int = 0, size: int = 0) -> PrivatePower:
    """Fading rounds, from privacy that rules all of them to privacy that is free."""
    rng = np.random.default_rng(seed)
    rounds, size = rounds or int(rng.integers(1, 12)), size or int(rng.integers(1, 10))
    return PrivatePower(
        rng.exponential(1.0, (rounds, size)) * 10.0 ** rng.uniform(-12, -9),
        rng.uniform(0.01, 0.5, size), 10.0 ** rng.uniform(-14, -9), 10.0 ** rng.uniform(-2, 2),
        10.0 ** rng.uniform(-9, -2), rng.uniform(0.1, 10.0), int(rng.integers(1, 10_000)),
        rng.uniform(0.2, 5.0, rounds),
    )  # fmt: skip


# independent methods agree, and the proof is tight and never false


@pytest.mark.parametrize("seed", range(15))
def test_equals_the_cone_program(seed: int) -> None:
    stated = problem(seed)
    exact, reference = solve(stated), solve(stated, "cvxpy")
    assert exact.solver == "closed"
    assert reference.certificate.feasible
    assert reference.certificate.cost == pytest.approx(exact.certificate.cost, rel=1e-8)
    assert exact.certificate.bound <= reference.certificate.cost
    assert reference.certificate.bound <= exact.certificate.cost
    assert reference.certificate.gap <= 1e-6


@pytest.mark.parametrize("seed", range(50))
def test_equals_a_search_for_the_price_and_holds_in_50_digits(seed: int) -> None:
    stated = problem(seed)
    proof = solve(stated).certificate
    assert proof.feasible
    assert proof.gap <= 1e-13
    assert proof.proof == "dual"
    with mpmath.workdps(50):
        mp = mpmath.mpf
        noise, weight = mp(stated.noise_w), [mp(float(w)) for w in stated.importance]
        most = [
            stated.symbols
            * min(mp(float(g)) * mp(float(p)) for g, p in zip(row, stated.power_max_w, strict=True))
            / noise
            for row in stated.gain
        ]
        share = mpmath.log(1 / mp(stated.delta))
        budget = (mpmath.sqrt(stated.epsilon + share) - mpmath.sqrt(share)) ** 2 / 2

        def signals(level: Any) -> list[Any]:
            return [min(x, mpmath.sqrt(w) * level) for x, w in zip(most, weight, strict=True)]

        low, high = mp(0), max(x / mpmath.sqrt(w) for x, w in zip(most, weight, strict=True))
        if mpmath.fsum(signals(high)) > budget:
            for _ in range(170):
                middle = (low + high) / 2
                over = mpmath.fsum(signals(middle)) > budget
                low, high = (low, middle) if over else (middle, high)
        size = stated.gain.shape[1]
        unit = stated.symbols * (mp(stated.clip) / size) ** 2
        # the best signals use the budget in full: `high` uses no less
        least = unit * mpmath.fsum(w / x for w, x in zip(weight, signals(high), strict=True))
        assert mp(proof.bound) <= least
        assert abs(mp(proof.cost) / least - 1) <= 1e-12


@given(st.integers(0, 2**32 - 1), st.floats(-6.0, 6.0))
@settings(max_examples=50, deadline=None)
def test_any_price_gives_a_bound(seed: int, decades: float) -> None:
    stated = problem(seed)
    best = solve(stated)
    near = float(stated.importance[0] / stated.signal_max[0] ** 2)
    for price in (0.0, near * 10.0**decades):
        assert stated.lower_bound(price) <= best.certificate.cost


# closed forms and the shape of the optimum


@pytest.mark.parametrize("composition", ["zcdp", "classical"])
@pytest.mark.parametrize("noise_w", [1e-14, 1e-9])
def test_one_round_takes_the_lesser_of_power_and_privacy(composition: Any, noise_w: float) -> None:
    gain, power, clip, epsilon, delta = np.array([1e-10, 4e-11]), 0.1, 2.0, 0.5, 1e-5
    stated = PrivatePower(
        gain, power, noise_w, epsilon, delta, clip=clip, composition=composition
    )  # fmt: skip
    by_power = math.sqrt(4e-11 * power) / clip
    rule = math.sqrt(2.0 * math.log(1.25 / delta))
    sigma = math.sqrt(noise_w)
    by_privacy = {
        "classical": epsilon * sigma / (2.0 * clip * rule),
        "zcdp": sigma * math.sqrt(rho_of(epsilon, delta) / 2.0) / clip,
    }[composition]
    solution = solve(stated)
    assert solution.allocation.amplitude == pytest.approx(min(by_power, by_privacy), rel=1e-14)
    error = noise_w / (2.0 * min(by_power, by_privacy)) ** 2
    assert solution.certificate.cost == pytest.approx(error, rel=1e-13)


@pytest.mark.parametrize("seed", range(40))
def test_weak_rounds_are_at_their_power_and_the_others_alike(seed: int) -> None:
    stated = problem(seed, rounds=15)
    solution = solve(stated)
    signal = (solution.allocation.amplitude * stated.clip) ** 2 / stated.noise_w
    full = signal >= stated.signal_max * (1.0 - 1e-12)
    level = signal / np.sqrt(stated.importance)
    free = level[~full]
    assert free == pytest.approx(free.mean() if free.size else 0.0, rel=1e-12)
    assert level[full].max(initial=0.0) <= free.min(initial=math.inf) * (1.0 + 1e-12)
    if free.size:
        assert stated.rho(solution.allocation).sum() == pytest.approx(stated.rho_max, rel=1e-12)


def test_privacy_is_free_where_power_rules() -> None:
    stated = problem(3, rounds=4)
    loud = dataclasses.replace(stated, epsilon=math.inf)
    least = float(rho_needed(stated))
    free = dataclasses.replace(stated, epsilon=epsilon_of(least * 1.001, stated.delta))
    tight = dataclasses.replace(stated, epsilon=epsilon_of(least * 0.99, stated.delta))
    assert solve(free).certificate.cost == solve(loud).certificate.cost
    assert solve(free).prices["privacy"] == 0.0
    assert solve(tight).certificate.cost > solve(loud).certificate.cost
    price = solve(tight).prices["privacy"]
    assert isinstance(price, float)
    assert price > 0.0


def rho_needed(stated: PrivatePower) -> float:
    return 2.0 * float(stated.signal_max.sum())


def test_equal_rounds_share_the_budget_equally() -> None:
    gain = np.full((5, 3), 1e-9)
    signal = solve(PrivatePower(gain, 1.0, 1e-12, 1.0, 1e-5)).allocation.amplitude
    assert signal == pytest.approx(signal[0], rel=1e-15)
    once = solve(PrivatePower(gain[0], 1.0, 1e-12, 1.0, 1e-5)).allocation.amplitude
    assert signal[0] == pytest.approx(once[0] / math.sqrt(5.0), rel=1e-13)


@pytest.mark.parametrize("seed", range(15))
def test_prices_are_derivatives(seed: int) -> None:
    stated = problem(seed, rounds=5, size=3)
    solution = solve(stated)
    step = 1e-6

    def cost(**change: Any) -> float:
        return solve(dataclasses.replace(stated, **change)).certificate.cost

    up, down = (
        cost(epsilon=epsilon_of(stated.rho_max * (1.0 + sign * step), stated.delta))
        for sign in (1.0, -1.0)
    )
    slope = (down - up) / (2.0 * step * stated.rho_max)
    scale = solution.certificate.cost / stated.rho_max
    assert solution.prices["privacy"] == pytest.approx(slope, rel=1e-4, abs=1e-6 * scale)
    prices = np.asarray(solution.prices["power_max"])
    for k in range(3):
        change = np.zeros(3)
        change[k] = step * stated.power_max_w[k]
        up, down = (cost(power_max_w=stated.power_max_w + sign * change) for sign in (1.0, -1.0))
        slope = (down - up) / (2.0 * change[k])
        scale = solution.certificate.cost / stated.power_max_w[k]
        assert prices[k] == pytest.approx(slope, rel=1e-4, abs=1e-6 * scale)


# laws


@given(st.integers(0, 2**32 - 1), st.floats(1.0, 3.0))
@settings(max_examples=50, deadline=None)
def test_more_power_privacy_and_noise(seed: int, factor: float) -> None:
    stated = problem(seed)
    base = solve(stated).certificate
    for change in (
        {"power_max_w": factor * stated.power_max_w},
        {"epsilon": factor * stated.epsilon},
        {"gain": factor * stated.gain},
        {"noise_w": stated.noise_w / factor},
    ):
        assert solve(dataclasses.replace(stated, **change)).certificate.bound <= base.cost
    order = np.random.default_rng(seed).permutation(stated.gain.shape[1])
    mixed = dataclasses.replace(
        stated, gain=stated.gain[:, order], power_max_w=stated.power_max_w[order]
    )
    assert solve(mixed).certificate.cost == pytest.approx(base.cost, rel=1e-13)
    # the unit of power changes nothing
    scaled = dataclasses.replace(
        stated, power_max_w=8.0 * stated.power_max_w, noise_w=8.0 * stated.noise_w
    )
    assert solve(scaled).certificate.cost == pytest.approx(base.cost, rel=1e-13)


@given(st.floats(1e-3, 100.0), st.floats(1e-12, 0.1))
@settings(max_examples=50, deadline=None)
def test_rho_and_epsilon_are_inverse(epsilon: float, delta: float) -> None:
    rho = rho_of(epsilon, delta)
    assert epsilon_of(rho, delta) == pytest.approx(epsilon, rel=1e-13)
    root = brentq(lambda x: epsilon_of(x, delta) - epsilon, 0.0, epsilon, xtol=1e-300, rtol=1e-14)
    assert rho == pytest.approx(root, rel=1e-10)


def test_the_classical_rule_is_stricter_for_small_epsilon() -> None:
    for epsilon in (0.01, 0.1, 0.4):
        assert classical_rho(epsilon, 1e-5) < rho_of(epsilon, 1e-5)


def test_superposition_hides_in_the_noise_of_others() -> None:
    """Per device epsilon falls like 1/sqrt(K) where all add noise, and stays without a sum."""
    together, apart = [], []
    for size in (4, 16, 64, 256):
        noise = np.full(size, 1e-11)
        together.append(math.sqrt(leakage(1e-6, 1.0, 1e-13, noise)[0]))
        apart.append(math.sqrt(leakage(1e-6, 1.0, 1e-13, noise, "orthogonal")[0]))
    assert np.ptp(apart) == 0.0
    slope = np.polyfit(np.log([4, 16, 64, 256]), np.log(together), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.01)


def test_leakage_of_a_decision_is_that_of_its_rounds() -> None:
    stated = problem(7)
    decision = solve(stated).allocation
    rounds = [leakage(float(c), stated.clip, stated.noise_w)[0] for c in decision.amplitude]
    np.testing.assert_allclose(stated.rho(decision), rounds, rtol=1e-14)
    assert leakage(0.0, 1.0, 0.0)[0] == 0.0
    assert leakage(1.0, 1.0, 0.0)[0] == math.inf


def test_an_adversary_sees_what_the_budget_allows() -> None:
    """The two Gaussians that an adversary tells apart have a divergence of rho, drawn at random."""
    stated = problem(11, rounds=1)
    c, sigma = float(solve(stated).allocation.amplitude[0]), math.sqrt(stated.noise_w)
    rng = np.random.default_rng(0)
    shift = 2.0 * c * stated.clip / sigma
    draws = rng.standard_normal(400_000)
    # log-likelihood ratio of N(0, 1) against N(shift, 1): its mean is the KL divergence
    ratio = 0.5 * (draws - shift) ** 2 - 0.5 * draws**2
    spread = ratio.std() / math.sqrt(draws.size)
    rho = float(stated.rho(solve(stated).allocation)[0])
    assert abs(ratio.mean() - rho) <= 5.0 * spread + 1e-12


# rounds


def test_a_round_is_heard_equally_loud_within_power() -> None:
    net = network(3, gain=[1e-10, 2e-11, 5e-11], energy_j=np.inf)
    stated = PrivatePower.from_network(net, 5.0, 1e-5, rounds=10)
    decision = solve(stated).allocation
    heard = decision.at(0, net.gain, stated.noise_w)
    assert heard.alignment(net.gain).tolist() == [1.0, 1.0, 1.0]
    assert (heard.power_w <= net.power_max_w * (1.0 + 1e-12)).all()
    allocation = decision.to_round(net)
    assert allocation.access == "superposed"
    assert allocation.selected.all()
    assert use(net, allocation).airtime_s[0] > 0.0
    whole = PrivatePower.from_network(net, 5.0, 1e-5)
    assert stated.rho_max == pytest.approx(whole.rho_max / 10.0, rel=1e-13)
    silent = PrivateAlignment([0.0], 1.0).at(0, net.gain, 1e-13)
    assert not silent.power_w.any()


def test_is_a_policy() -> None:
    net = network(4, gain=[1e-10, 2e-11, 3e-12, 1e-11])
    policy = fl_opt.Optimised(
        partial(PrivatePower.from_network, epsilon=2.0, delta=1e-5, rounds=20)
    )
    rng = np.random.default_rng(0)
    allocation, memory = policy.decide(fl_opt.Round(net, 0, rng, None, {}), policy.start(4, rng))
    assert allocation.access == "superposed"
    assert memory.solution.certificate.gap <= 1e-13
    check_policy(policy)


# refusals


def test_a_device_that_cannot_be_heard_silences_all() -> None:
    stated = PrivatePower([[1e-10, 1e-10], [1e-10, 0.0]], 0.1, 1e-12, 1.0, 1e-5)
    with pytest.raises(Infeasible, match="device 1 cannot be heard in every round") as refused:
        solve(stated)
    assert refused.value.constraint == "power_max"
    np.testing.assert_array_equal(refused.value.devices, [1])


def test_without_noise_nothing_is_hidden() -> None:
    stated = PrivatePower([1e-10, 4e-11], 0.1, 0.0, 1.0, 1e-5)
    for solver in ("closed", "cvxpy"):
        with pytest.raises(Infeasible, match="no noise hides") as refused:
            solve(stated, solver)
        assert refused.value.constraint == "privacy"
        assert refused.value.relaxations == {"epsilon": math.inf}
    for solver in ("closed", "cvxpy"):
        open_door = solve(dataclasses.replace(stated, epsilon=math.inf), solver)
        assert open_door.certificate.feasible
        assert open_door.certificate.cost == open_door.certificate.gap == 0.0
        assert open_door.allocation.amplitude[0] == pytest.approx(math.sqrt(4e-12), rel=1e-14)


def test_what_a_wrong_decision_breaks() -> None:
    stated = dataclasses.replace(problem(2, rounds=3), epsilon=1e-2)
    best = solve(stated).allocation
    louder = PrivateAlignment(2.0 * best.amplitude, stated.clip, stated.symbols)
    assert set(verify(stated, louder).violation) == {"privacy"}
    free = dataclasses.replace(stated, epsilon=math.inf)
    loudest = solve(free).allocation.amplitude
    broken = verify(free, PrivateAlignment(1.1 * loudest, stated.clip, stated.symbols))
    assert set(broken.violation) == {"power_max"}
    assert verify(stated, PrivateAlignment(np.zeros(3), 1.0)).cost == math.inf
    with pytest.raises(InvalidInput, match=r"decision.amplitude.shape is \(2,\)"):
        verify(stated, PrivateAlignment([0.0, 0.0], 1.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise_w": -1.0}, "noise_w is -1 W; expected a number >= 0"),
        ({"epsilon": 0.0}, "epsilon is 0; expected a number > 0"),
        ({"delta": 0.0}, "delta is 0"),
        ({"clip": -1.0}, "clip is -1"),
        ({"symbols": 1.5}, "symbols is 1.5; expected a whole number"),
        ({"importance": [1.0, 0.0]}, r"importance\[1\] is 0"),
        ({"gain": [[1.0, -1.0], [1.0, 1.0]]}, r"gain\[1\] is -1"),
        ({"gain": []}, r"gain.shape is"),
        ({"composition": "rdp"}, "composition is 'rdp'"),
        ({"composition": "classical"}, "composition is 'classical'; expected 'zcdp'"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        dataclasses.replace(problem(1, rounds=2, size=2), **change)


def test_the_classical_rule_needs_a_small_epsilon() -> None:
    with pytest.raises(InvalidInput, match="epsilon is 1; expected a number < 1; use composition"):
        PrivatePower(1e-10, 0.1, 1e-12, 1.0, 1e-5, composition="classical")
