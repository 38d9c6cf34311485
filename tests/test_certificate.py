"""The judge: costs and violations against 50 digits, and what a certificate says of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import exact

import fl_opt
from benchmarks.instances import draw
from fl_opt import Allocation, MinEnergy, MinRoundTime, Network, verify
from fl_opt.certificate import FEASIBLE, Certificate, Excess, Solution

NETWORK = Network(
    gain=[1e-10, 4e-11, 9e-12],
    power_max_w=0.2,
    cpu_min_hz=1e8,
    cpu_max_hz=2e9,
    capacitance=1e-28,
    cycles=2e8,
    upload_bit=3e5,
    energy_j=0.5,
    samples=1,
    band_hz=2e6,
)
PROBLEM = MinEnergy(NETWORK, 1.0)


def decision(**changes: Any) -> Allocation:
    values: dict[str, Any] = {
        "selected": [True] * 3,
        "bandwidth_hz": 6e5,
        "power_w": 0.2,
        "cpu_hz": 2e9,
    }
    return Allocation(**values | changes)


# an independent computation


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_verify_in_fifty_digits(seed: int, size: int) -> None:
    instance = draw(seed, size)
    network, rng = instance.network, np.random.default_rng(seed)
    allocation = Allocation(
        selected=np.ones(size, dtype=bool),
        bandwidth_hz=network.band_hz / size * rng.uniform(0.2, 1.3, size),
        power_w=network.power_max_w * rng.uniform(0.1, 1.2, size),
        cpu_hz=network.cpu_max_hz * rng.uniform(0.3, 1.1, size),
    )
    problem = MinEnergy(network, instance.deadline_s)
    found, judged = problem.excess(allocation), verify(problem, allocation)
    over = exact.excess(network, allocation, instance.deadline_s)
    for name, amounts in over.items():
        limit = found[name].limit
        for k, amount in enumerate(amounts):
            if math.isinf(limit[k]):
                continue
            scale = max(abs(limit[k]), abs(float(found[name].used[k])))
            assert abs(found[name].amount[k] - float(amount)) <= 4e-15 * scale, name
        finite = [(float(x), abs(y)) for x, y in zip(amounts, limit, strict=True) if y < math.inf]
        worst = max((x / y for x, y in finite), default=-math.inf)
        if abs(worst - FEASIBLE) > 1e-14:
            assert (name in judged.violation) == (worst > FEASIBLE), name
    energy = sum(exact.energy_j(network, allocation))
    assert judged.cost == pytest.approx(float(energy), rel=2e-15)
    finish = max(exact.finish_s(network, allocation))
    assert verify(MinRoundTime(network), allocation).cost == pytest.approx(float(finish), rel=2e-15)


# what a certificate says


def test_a_violation_has_its_worst_device_amount_and_text() -> None:
    late = verify(PROBLEM, decision(cpu_hz=[2e9, 1.9e8, 1.95e8], power_w=[0.2, 0.2, 0.3]))
    assert not late.feasible
    assert set(late.violation) == {"deadline", "power_max"}
    worst = late.violation["deadline"]
    assert worst.device == 1
    assert worst.count == 2
    assert str(late.violation["power_max"]) == "power_max at device 2: 100 mW over 200 mW"
    assert str(worst).startswith("deadline at device 1: ")
    assert str(worst).endswith("over 1 s (2 devices in all)")


def test_a_lower_limit_is_undercut() -> None:
    slow = verify(MinRoundTime(NETWORK), decision(cpu_hz=[2e9, 2e9, 0.9e8]))
    assert str(slow.violation["cpu_min"]) == "cpu_min at device 2: 10 MHz below 100 MHz"


def test_a_limit_is_met_up_to_its_last_digits() -> None:
    share = NETWORK.band_hz / 3.0
    assert verify(PROBLEM, decision(bandwidth_hz=share * (1.0 + 0.5 * FEASIBLE))).feasible
    over = verify(PROBLEM, decision(bandwidth_hz=share * (1.0 + 4.0 * FEASIBLE)))
    assert list(over.violation) == ["band"]
    assert over.violation["band"].device is None


def test_a_claimed_airtime_that_carries_too_little_is_no_way_out() -> None:
    short = verify(PROBLEM, decision(upload_s=1e-6))
    assert "payload" in short.violation
    honest = decision()
    airtime = fl_opt.allocation.use(NETWORK, honest).airtime_s
    assert verify(PROBLEM, honest.replace(upload_s=airtime)).feasible


def test_overrides_of_the_workload_do_not_count() -> None:
    assert not verify(PROBLEM, decision(bandwidth_hz=1e3)).feasible
    cheat = decision(bandwidth_hz=1e3, upload_bit=1.0, cycles=1.0)
    assert "deadline" in verify(PROBLEM, cheat).violation


def test_who_is_left_out_is_missed() -> None:
    assert "selected" in verify(PROBLEM, decision(selected=[True, False, True])).violation


def test_nan_is_a_violation_and_an_infinite_limit_is_none() -> None:
    excess = Excess([math.nan, 1e300, 1.0], [1.0, math.inf, 1.0], "J")
    np.testing.assert_array_equal(excess.violated, [True, False, False])
    np.testing.assert_array_equal(excess.amount, [math.inf, -math.inf, 0.0])
    assert "power_max" in verify(PROBLEM, decision(power_w=math.inf)).violation


def test_a_zero_limit_is_judged_by_its_scale() -> None:
    excess = Excess(1e-13, 0.0, "", scale=1.0)
    assert not excess.violated.any()
    assert Excess(1e-13, 0.0, "").violated.all()


@pytest.mark.parametrize(
    ("cost", "bound", "gap"),
    [
        (2.0, 1.0, 0.5),
        (-1.0, -2.0, 0.5),
        (0.0, 0.0, 0.0),
        (1.0, 1.0 + 1e-16, 0.0),
        (1.0, -math.inf, math.inf),
        (math.inf, 1.0, math.inf),
        (1e-310, 0.0, 1e-310 / float(np.finfo(float).tiny)),
    ],
)
def test_gap(cost: float, bound: float, gap: float) -> None:
    assert Certificate(cost, bound, "dual").gap == pytest.approx(gap)


def test_without_a_bound_a_certificate_claims_none() -> None:
    proof = verify(PROBLEM, decision())
    assert proof.feasible
    assert proof.proof == "none"
    assert proof.bound == -math.inf
    assert proof.gap == math.inf


def test_a_solution_reads_as_a_person_would_ask() -> None:
    prices: Mapping[str, Any] = {"band": 2.5e-9, "deadline": np.array([1.0, 2.0, 3.0])}
    proof = verify(PROBLEM, decision(cpu_hz=[2e9, 2e9, 3e9]), bound=0.1, proof="dual")
    solution = Solution(decision(), proof, prices, "price", 0.0123)
    lines = str(solution).splitlines()
    assert lines[0].startswith("cost   ")
    assert lines[0].endswith(" J")
    assert lines[1].startswith("bound  0.1 J (dual), gap ")
    assert lines[2] == "solver price, 12.3 ms"
    assert "takes part: 3 of 3 devices" in lines
    assert "price of band: 2.5e-09 J/Hz" in lines
    assert "violated cpu_max at device 2: 1 GHz over 2 GHz" in lines
    frame = solution.to_frame()
    np.testing.assert_array_equal(frame["price_deadline"], [1.0, 2.0, 3.0])


# a law: the order of the devices does not matter


def test_permuting_devices_permutes_the_verdict() -> None:
    order = np.array([2, 0, 1])
    one = decision(cpu_hz=[2e9, 2.1e8, 3e9], bandwidth_hz=[1e6, 9e5, 8e5])
    two = decision(cpu_hz=one.cpu_hz[order], bandwidth_hz=one.bandwidth_hz[order])
    first, second = verify(PROBLEM, one), verify(MinEnergy(NETWORK[order], 1.0), two)
    assert first.cost == pytest.approx(second.cost, rel=1e-15)
    assert first.violation.keys() == second.violation.keys()
    for name, violation in first.violation.items():
        other = second.violation[name]
        if violation.device is not None:
            assert other.device is not None
            assert order[other.device] == violation.device
