"""Laws of least energy by a deadline, what its prices mean, and what cures the impossible."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
import pytest
from fdma_rounds import cell, feasible, mixed, published
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fl_opt import Infeasible, InvalidInput, MinEnergy, solve
from fl_opt.errors import SolverFailure

seeds = st.integers(0, 10**6)

# laws


@settings(max_examples=25, deadline=None)
@given(seeds, st.permutations(range(6)))
def test_permuting_devices_permutes_the_answer(seed: int, order: list[int]) -> None:
    problem = feasible(seed, 6)
    ends = np.broadcast_to(problem.deadline_s, 6)
    one = solve(problem)
    two = solve(MinEnergy(problem.network[order], ends[order]))
    assert two.certificate.cost == pytest.approx(one.certificate.cost, rel=1e-10)
    np.testing.assert_allclose(
        two.allocation.bandwidth_hz, one.allocation.bandwidth_hz[order], rtol=1e-6
    )


@settings(max_examples=25, deadline=None)
@given(seeds, st.floats(1.0, 5.0))
def test_more_of_anything_never_hurts(seed: int, more: float) -> None:
    problem = feasible(seed, 4)
    network, ends = problem.network, np.asarray(problem.deadline_s)
    least = solve(problem).certificate
    for better in (
        MinEnergy(network.replace(band_hz=network.band_hz * more), ends),
        MinEnergy(network.replace(energy_j=network.energy_j * more), ends),
        MinEnergy(network.replace(power_max_w=network.power_max_w * more), ends),
        MinEnergy(network.replace(cpu_max_hz=network.cpu_max_hz * more), ends),
        MinEnergy(network.replace(cpu_min_hz=network.cpu_min_hz / more), ends),
        MinEnergy(network, ends * more),
    ):
        assert solve(better).certificate.bound <= least.cost


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(-6, 6), st.integers(-6, 6), st.integers(-6, 6))
def test_units_do_not_matter(seed: int, bits: int, seconds: int, joules: int) -> None:
    """Powers of two change no digit: measure data in other bits, time and energy in others."""
    problem = feasible(seed, 3)
    network, ends = problem.network, np.asarray(problem.deadline_s)
    s, t, e = 2.0**bits, 2.0**seconds, 2.0**joules
    # a symbol carries bits: more of them in the same time need more band
    other = network.replace(
        band_hz=network.band_hz * s / t,
        upload_bit=network.upload_bit * s,
        noise_w_hz=network.noise_w_hz * e / s,
        power_max_w=network.power_max_w * e / t,
        energy_j=network.energy_j * e,
        cpu_min_hz=network.cpu_min_hz / t,
        cpu_max_hz=network.cpu_max_hz / t,
        capacitance=network.capacitance * e * t * t,
    )
    one, two = solve(problem).certificate, solve(MinEnergy(other, ends * t)).certificate
    assert two.feasible
    assert two.cost == pytest.approx(one.cost * e, rel=1e-11)
    assert two.bound == pytest.approx(one.bound * e, rel=1e-9)


def moved(problem: MinEnergy, name: str, k: int, factor: float) -> MinEnergy:
    network, ends = problem.network, np.array(np.broadcast_to(problem.deadline_s, 3))
    if name == "deadline":
        ends[k] *= factor
        return MinEnergy(network, ends)
    if name == "band":
        return MinEnergy(network.replace(band_hz=network.band_hz * factor), ends)
    fields = {
        "energy": "energy_j",
        "power_max": "power_max_w",
        "cpu_max": "cpu_max_hz",
        "cpu_min": "cpu_min_hz",
    }
    values = np.array(getattr(network, fields[name]))
    values[k] *= factor
    return MinEnergy(network.replace(**{fields[name]: values}), ends)


def limit_of(problem: MinEnergy, name: str, k: int) -> float:
    network = problem.network
    limits: dict[str, float] = {
        "band": network.band_hz,
        "deadline": float(np.broadcast_to(problem.deadline_s, 3)[k]),
        "energy": float(network.energy_j[k]),
        "power_max": float(network.power_max_w[k]),
        "cpu_max": float(network.cpu_max_hz[k]),
        "cpu_min": -float(network.cpu_min_hz[k]),
    }
    return limits[name]


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_a_price_is_what_a_further_unit_saves(seed: int) -> None:
    """Between the savings of a unit more and of a unit less, which differ at a kink."""
    problem = feasible(seed, 3)
    solution = solve(problem)
    cost, step = solution.certificate.cost, 1e-5
    for name, price in solution.prices.items():
        for k in range(1 if name == "band" else 3):
            limit = limit_of(problem, name, k)
            if limit == 0.0 or math.isinf(limit):
                continue
            more, less = (1.0 + step, 1.0 - step) if limit > 0.0 else (1.0 - step, 1.0 + step)
            paid = float(np.broadcast_to(np.asarray(price, dtype=float), 3)[k]) * abs(limit) * step
            noise = 1e-3 * paid + 2e-9 * cost
            saved = cost - solve(moved(problem, name, k, more)).certificate.cost
            assert saved <= paid + noise, name
            try:
                lost = solve(moved(problem, name, k, less)).certificate.cost - cost
            except (Infeasible, InvalidInput):
                continue
            assert lost >= paid - noise, name


def test_an_earlier_solution_is_a_start() -> None:
    problem = published(7, 200)
    network, first = problem.network, solve(problem)
    nearby = MinEnergy(network.replace(band_hz=network.band_hz * 1.01), problem.deadline_s)
    again, cold = solve(nearby, start=first), solve(nearby)
    assert again.certificate.gap <= 1e-9
    assert again.certificate.cost == pytest.approx(cold.certificate.cost, rel=1e-10)


# refusals with their cures


def bare(problem: MinEnergy, name: str, value: float) -> MinEnergy:
    network, ends = problem.network, np.asarray(problem.deadline_s)
    if name == "band_hz":
        return MinEnergy(network.replace(band_hz=value), ends)
    if name == "deadline_s":
        return MinEnergy(network, np.maximum(ends, value))
    raised = np.maximum(getattr(network, name), value)
    return MinEnergy(network.replace(**{name: raised}), ends)


@settings(max_examples=15, deadline=None)
@given(seeds, st.integers(1, 4))
def test_every_cure_cures_and_a_thousandth_less_does_not(seed: int, size: int) -> None:
    network, ends = mixed(seed, size)
    problem = MinEnergy(network.replace(band_hz=network.band_hz * 0.3), ends * 0.8)
    with contextlib.suppress(Infeasible):
        solve(problem)
        assume(False)
    with pytest.raises(Infeasible) as answer:
        solve(problem)
    assert answer.value.devices.size
    for name, value in answer.value.relaxations.items():
        if value is None:
            continue
        assert solve(bare(problem, name, value)).certificate.feasible
        with pytest.raises(Infeasible):
            solve(bare(problem, name, 0.999 * value))


@pytest.mark.parametrize(
    ("changes", "deadline", "constraint", "devices", "text"),
    [
        (
            {"cycles": [2e8, 4e9, 5e9]},
            1.5,
            "deadline",
            [1, 2],
            r"device 1 trains for 2 s at its fastest clock; deadline_s is 1\.5 s "
            r"\(too slow: devices 1, 2\); cured by ",
        ),
        (
            {"gain": [1e-10, 1e-16, 9e-12]},
            1.0,
            "power_max",
            [1],
            r"device 1 needs more than .* s for its upload even with unlimited band; 900 ms",
        ),
        ({"gain": [1e-10, 0.0, 9e-12]}, 1.0, "power_max", [1], "device 1 has gain 0"),
        ({"power_max_w": [0.2, 0.2, 0.0]}, 1.0, "power_max", [2], "device 2 has power_max_w 0"),
        (
            {"energy_j": [1.0, 1e-5, 1.0]},
            1.0,
            "energy",
            [1],
            r"device 1 cannot train and upload within energy_j = 10 uJ",
        ),
        (
            {"band_hz": 1e4},
            1.0,
            "band",
            [0, 1, 2],
            r"the devices need at least .* kHz together, device 2 alone .* kHz; band_hz is 10 kHz; "
            r"cured by band_hz = ",
        ),
        ({"band_hz": 0.0}, 1.0, "band", [0, 1, 2], "band_hz is 0 Hz"),
    ],
)
def test_impossible_is_an_answer(
    changes: dict[str, Any], deadline: float, constraint: str, devices: list[int], text: str
) -> None:
    with pytest.raises(Infeasible, match=text) as answer:
        solve(MinEnergy(cell(**changes), deadline))
    assert answer.value.constraint == constraint
    np.testing.assert_array_equal(answer.value.devices, devices)
    with pytest.raises((Infeasible, SolverFailure)):
        solve(MinEnergy(cell(**changes), deadline), "cvxpy")


@pytest.mark.parametrize("deadline", [0.0, -1.0, math.nan, math.inf, [1.0, 2.0]])
def test_refuses_what_is_no_deadline(deadline: Any) -> None:
    with pytest.raises(InvalidInput, match="deadline_s"):
        solve(MinEnergy(cell(), deadline))
