"""Who takes part: the knapsack against enumeration and HiGHS, its corner cases and its laws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import fl_opt
from benchmarks.participation import instance
from fl_opt import InvalidInput, MaxParticipation, Network, physics
from fl_opt.problems._reference import least_bandwidth_hz
from fl_opt.problems.uplink import Uplink
from fl_opt.units import Floats


def network(rng: np.random.Generator, size: int, load: float = 2.5) -> Network:
    """A cell in which about one in `load` devices fits; each limit binds for some."""
    distance_km = rng.uniform(0.02, 1.0, size)
    shadowing_db = rng.normal(0.0, 8.0, size)
    loss_db = 128.1 + 37.6 * np.log10(distance_km) + shadowing_db
    cell = Network(
        gain=10.0 ** (-loss_db / 10.0) * rng.exponential(1.0, size),
        power_max_w=rng.choice([0.05, 0.2, 1.0], size),
        cpu_min_hz=rng.choice([0.0, 1e8, 5e8], size),
        cpu_max_hz=rng.uniform(1e9, 3e9, size),
        capacitance=1e-28 * rng.uniform(0.5, 2.0, size),
        cycles=rng.uniform(0.0, 1e9, size),
        upload_bit=rng.choice([0.0, 1e5, 3e5, 1e6], size, p=[0.05, 0.3, 0.35, 0.3]),
        energy_j=np.where(rng.random(size) < 0.5, np.inf, 10.0 ** rng.uniform(-3.0, 0.0, size)),
        samples=rng.integers(10, 1000, size),
        band_hz=1.0,
    )
    needed = Uplink(cell, 1.0).least_hz
    return cell.replace(band_hz=max(float(needed[np.isfinite(needed)].sum()) / load, 1.0))


def utilities(rng: np.random.Generator, cell: Network) -> Floats | None:
    kind = rng.integers(4)
    if kind == 0:
        return None
    if kind == 1:
        return rng.exponential(1.0, cell.size)
    if kind == 2:
        return np.ones(cell.size)
    needed = np.minimum(Uplink(cell, 1.0).least_hz, 1e9)
    return np.asarray(needed / 1e5 + 1.0)


def best_by_enumeration(weight: Floats, value: Floats, band_hz: float) -> float:
    """Greatest total value of the sets that fit, all tried at once."""
    able = np.flatnonzero((weight <= band_hz) & (value > 0.0))
    sets = (np.arange(2**able.size)[:, None] >> np.arange(able.size)) % 2 == 1
    return float(np.max(sets @ value[able], where=sets @ weight[able] <= band_hz, initial=0.0))


def check_against_enumeration(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cell = network(rng, int(rng.integers(1, 15)), load=rng.uniform(1.1, 6.0))
    deadline_s = rng.uniform(0.4, 2.0, cell.size) if rng.random() < 0.5 else rng.uniform(0.4, 2.0)
    problem = MaxParticipation(cell, deadline_s, utilities(rng, cell))
    solution = fl_opt.solve(problem)
    value = cell.samples if problem.utility is None else np.asarray(problem.utility)
    best = best_by_enumeration(least_bandwidth_hz(cell, deadline_s), value, cell.band_hz)
    assert solution.certificate.cost == pytest.approx(-best, rel=1e-9, abs=1e-12)
    assert solution.certificate.feasible
    assert solution.certificate.bound <= -best * (1.0 - 1e-12)
    assert solution.certificate.gap <= 1e-9


@pytest.mark.parametrize("seed", range(40))
def test_equals_enumeration_with_reference_bandwidths(seed: int) -> None:
    check_against_enumeration(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 2000))
def test_equals_enumeration_on_a_thousand(seed: int) -> None:
    check_against_enumeration(seed)


@pytest.mark.parametrize(
    ("size", "seed"),
    [
        (40, 0),
        (40, 1),
        (40, 2),
        *(pytest.param(k, s, marks=pytest.mark.slow) for k in (100, 200) for s in range(5)),
    ],
)
def test_equals_highs_on_the_full_model(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cell = network(rng, size)
    problem = MaxParticipation(cell, 1.0, rng.exponential(1.0, size) if seed % 2 else None)
    exact, full = fl_opt.solve(problem), fl_opt.solve(problem, solver="mip")
    assert exact.solver == "core"
    assert exact.certificate.cost == pytest.approx(full.certificate.cost, rel=1e-8)
    assert full.certificate.bound <= exact.certificate.cost
    assert full.certificate.feasible
    assert full.certificate.gap <= 1e-8


@pytest.mark.parametrize("seed", range(8))
def test_enumerate_solver_agrees(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cell = network(rng, 12)
    problem = MaxParticipation(cell, 1.0, utilities(rng, cell))
    core, listed = fl_opt.solve(problem), fl_opt.solve(problem, solver="enumerate")
    assert core.certificate.cost == pytest.approx(listed.certificate.cost, rel=1e-9)
    assert listed.certificate.gap <= 1e-12


@pytest.mark.parametrize("seed", range(4))
def test_least_bandwidths_match_the_reference(seed: int) -> None:
    cell = network(np.random.default_rng(seed), 25)
    reference = least_bandwidth_hz(cell, 0.8)
    items = MaxParticipation(cell, 0.8).items()
    assert np.array_equal(np.isfinite(items.weight), np.isfinite(reference))
    finite = np.isfinite(reference)
    assert items.weight[finite] == pytest.approx(reference[finite], rel=1e-9)
    assert np.all(items.weight_low <= items.weight)


def test_training_may_take_so_little_that_its_energy_is_lost_in_rounding() -> None:
    slow = Network(
        gain=[1e-16], power_max_w=0.6, cpu_min_hz=1e3, cpu_max_hz=3e9, capacitance=7e-30,
        cycles=6e5, upload_bit=4e6, energy_j=2e3, samples=1, band_hz=1.0,
    )  # fmt: skip
    deadline_s = np.geomspace(1e6, 1e9, 60)
    found = np.array([Uplink(slow, each).least_hz[0] for each in deadline_s])
    # all of the energy goes to the upload, nearly as long as the deadline
    assert found * deadline_s == pytest.approx(found[0] * 1e6, rel=1e-6)
    assert found[0] == pytest.approx(least_bandwidth_hz(slow, 1e6)[0], rel=1e-6)


def test_what_is_packed_meets_every_limit_and_needs_all_its_band() -> None:
    cell = network(np.random.default_rng(7), 300)
    problem = MaxParticipation(cell, 1.0)
    decision = fl_opt.solve(problem).allocation
    on = decision.selected
    assert set(problem.excess(decision)) == {
        "band",
        "deadline",
        "energy",
        "power_max",
        "cpu_min",
        "cpu_max",
        "payload",
    }
    assert not decision.bandwidth_hz[~on].any()
    slimmer = decision.replace(bandwidth_hz=decision.bandwidth_hz * (1.0 - 1e-6))
    violated = fl_opt.verify(problem, slimmer).violation
    assert violated["payload"].count == np.count_nonzero(on & (cell.upload_bit > 0.0))


def still(size: int, **changes: Any) -> Network:
    fields: dict[str, Any] = {
        "gain": np.full(size, 1e-10),
        "power_max_w": 0.2,
        "cpu_min_hz": 1e8,
        "cpu_max_hz": 2e9,
        "capacitance": 1e-28,
        "cycles": 2e8,
        "upload_bit": 3e5,
        "samples": 500.0,
        "band_hz": 1e6,
    }
    return Network(**(fields | changes))


def chosen(problem: MaxParticipation) -> NDArray[np.bool_]:
    solution = fl_opt.solve(problem)
    assert solution.certificate.feasible
    assert solution.certificate.gap <= 1e-9
    selected: NDArray[np.bool_] = solution.allocation.selected
    return selected


def test_equal_utilities_take_the_least_bandwidth_first() -> None:
    cell = network(np.random.default_rng(11), 200)
    problem = MaxParticipation(cell, 1.0, utility=0.3)
    taken, needed = chosen(problem), problem.items().weight
    fit = np.searchsorted(np.cumsum(np.sort(needed)), cell.band_hz, side="right")
    assert np.count_nonzero(taken) == fit


def test_identical_devices_take_part_up_to_the_band() -> None:
    cell = still(1000)
    needed = physics.least_bandwidth_hz(3e5, 0.9, 0.2, 1e-10, cell.noise_w_hz[0])
    problem = MaxParticipation(cell.replace(band_hz=float(37.5 * needed)), 1.0)
    assert np.count_nonzero(chosen(problem)) == 37


@pytest.mark.parametrize(("size", "seed"), [(75, 1055), (136, 1027), (110, 1075)])
def test_a_utility_of_need_plus_a_constant_is_certified_to_a_billionth(
    size: int, seed: int
) -> None:
    """Nearly every set is as good as its band is full: the hardest instances of the benchmark."""
    proof = fl_opt.solve(instance(size, seed), "core").certificate
    assert proof.feasible
    assert proof.gap <= 1e-9


def test_whole_utilities_are_proven_to_gap_zero() -> None:
    cell = network(np.random.default_rng(13), 500)
    for utility in (None, 100.0 * np.arange(1, 501)):
        assert fl_opt.solve(MaxParticipation(cell, 1.0, utility)).certificate.gap == 0.0


@pytest.mark.parametrize(
    ("cell", "deadline_s", "utility", "expected"),
    [
        (still(1), 1.0, None, [True]),
        (still(1, band_hz=1.0), 1.0, None, [False]),
        (still(2, upload_bit=[0.0, 3e5], band_hz=0.0), 1.0, None, [True, False]),
        (still(2, upload_bit=0.0), 1.0, [0.0, -1.0], [False, False]),
        (still(2, gain=[0.0, 1e-10]), 1.0, None, [False, True]),
        (still(2, energy_j=[1e-9, 1.0]), 1.0, None, [False, True]),
        (still(2), [0.05, 1.0], None, [False, True]),
        (still(2, upload_bit=0.0, energy_j=[1e-9, 1.0]), 1.0, None, [False, True]),
        (still(2, power_max_w=[np.inf, 0.2], energy_j=[1e-2, np.inf]), 1.0, None, [True, True]),
    ],
)
def test_corner_cases(cell: Network, deadline_s: Any, utility: Any, expected: list[bool]) -> None:
    assert chosen(MaxParticipation(cell, deadline_s, utility)).tolist() == expected


def test_a_device_between_possible_and_impossible_breaks_nothing() -> None:
    signal = 0.2 * 1e-10 / (3e5 * math.log(2.0))
    needed_w_hz = signal * 0.9
    cell = still(3, noise_w_hz=needed_w_hz * np.array([1.0, 1.0 - 1e-12, 1.0 + 1e-12]))
    solution = fl_opt.solve(MaxParticipation(cell.replace(band_hz=1e30), 1.0))
    assert solution.certificate.feasible
    assert solution.certificate.bound <= solution.certificate.cost


@given(st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_more_band_and_more_time_never_hurt(seed: int) -> None:
    cell = network(np.random.default_rng(seed), 20)
    base = fl_opt.solve(MaxParticipation(cell, 1.0)).certificate.cost
    wider = cell.replace(band_hz=1.3 * cell.band_hz)
    assert fl_opt.solve(MaxParticipation(wider, 1.0)).certificate.cost <= base
    assert fl_opt.solve(MaxParticipation(cell, 1.3)).certificate.cost <= base


@given(st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_order_of_devices_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cell = network(rng, 60)
    order = rng.permutation(60)
    one = fl_opt.solve(MaxParticipation(cell, 1.0)).certificate.cost
    assert fl_opt.solve(MaxParticipation(cell[order], 1.0)).certificate.cost == one


def test_a_round_of_many_is_certified() -> None:
    cell = network(np.random.default_rng(17), 50_000)
    utility = np.random.default_rng(1).exponential(1.0, 50_000)
    solution = fl_opt.solve(MaxParticipation(cell, 1.0, utility))
    assert solution.certificate.feasible
    assert solution.certificate.gap <= 1e-9


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"deadline_s": 0.0}, r"deadline_s is 0 s; expected a number > 0"),
        ({"deadline_s": math.inf}, "deadline_s is inf"),
        ({"deadline_s": [1.0, 2.0, 3.0]}, r"deadline_s.shape is \(3,\)"),
        ({"deadline_s": 1.0, "utility": [1.0, math.nan]}, r"utility\[1\] is nan"),
    ],
)
def test_refuses_what_is_no_round(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        MaxParticipation(still(2), **arguments)


def test_refuses_a_device_without_any_limit() -> None:
    cell = still(2, power_max_w=[0.2, np.inf])
    with pytest.raises(InvalidInput, match=r"power_max_w\[1\] is inf W without a limit on energy"):
        MaxParticipation(cell, 1.0)


def test_enumeration_refuses_many_devices() -> None:
    with pytest.raises(InvalidInput, match=r"is 30; expected at most 20 .* solver=\"core\""):
        fl_opt.solve(MaxParticipation(still(30), 1.0), solver="enumerate")
