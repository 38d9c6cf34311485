"""Two bands: all assignments, a mixed-integer model, prices that never lie, laws, corners."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fl_opt
from benchmarks.laws.contested import cell
from fl_opt import BandChoice, BandSelection, InvalidInput, MaxParticipation, Network
from fl_opt.problems.uplink import Uplink
from fl_opt.solvers.branch import Branch
from fl_opt.structure import Relaxed


def instance(seed: int, size: int) -> BandSelection:
    """Both bands hold a tenth to four tenths of what all would use; chains cost some energy."""
    rng = np.random.default_rng((seed, size))
    low, deadline = cell(rng, size), 10.0 ** rng.uniform(-0.3, 0.7, size)
    high = low.replace(gain=low.gain * 10.0 ** rng.uniform(-2.0, 1.0, size))
    bands = []
    for network in (low, high):
        least = Uplink(network, deadline).least_hz
        needed = float(least[np.isfinite(least)].sum()) or 1.0
        bands.append(network.replace(band_hz=needed * rng.uniform(0.1, 0.4)))
    return BandSelection(
        *bands,
        deadline,
        blockage_sub6=rng.uniform(0.0, 0.1, size),
        blockage_mmwave=rng.uniform(0.0, 0.6, size),
        chain_mmwave_j=rng.uniform(0.0, 0.02, size),
    )


def pair(size: int, **changes: Any) -> tuple[Network, Network]:
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
    network = Network(**(fields | changes))
    return network, network.replace(gain=0.1 * network.gain, band_hz=1e7)


def worth(problem: BandSelection) -> Any:
    samples = problem.sub6.samples
    return np.array(
        [
            samples * (1.0 - np.asarray(problem.blockage_sub6)),
            samples * (1.0 - np.asarray(problem.blockage_mmwave)),
        ]
    )


# independent methods agree


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_the_tree_finds_the_best_of_all_assignments(seed: int, size: int) -> None:
    problem = instance(seed, size)
    ours, every = fl_opt.solve(problem), fl_opt.solve(problem, "enumerate").certificate
    assert ours.solver == "branch"
    assert ours.certificate.feasible
    assert every.feasible
    assert every.gap <= 1e-12
    assert ours.certificate.gap <= 1e-9
    assert ours.certificate.bound <= every.cost
    assert ours.certificate.cost == pytest.approx(every.cost, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_the_mixed_integer_model_finds_what_all_assignments_find(seed: int) -> None:
    problem = instance(seed, 6)
    tree, every = (fl_opt.solve(problem, name).certificate for name in ("mip", "enumerate"))
    assert tree.feasible
    assert tree.cost == pytest.approx(every.cost, rel=1e-9)


@pytest.mark.parametrize("seed", range(2))
def test_the_mixed_integer_model_finds_what_the_tree_finds(seed: int) -> None:
    problem = instance(seed, 30)
    ours = fl_opt.solve(problem).certificate
    theirs = fl_opt.solve(problem, "mip", time_limit_s=20.0).certificate
    assert ours.gap <= 1e-9
    assert ours.bound <= theirs.cost
    assert ours.cost <= (1.0 - 1e-9) * theirs.cost


# the proof


def best_of(problem: BandSelection, allowed: Any) -> float:
    """Least cost of the assignments that a mask (K, 3) allows, by all of them."""
    options = [np.flatnonzero(row) - 1 for row in allowed]
    rounds = (problem.join(np.array(bands)) for bands in itertools.product(*options))
    judged = (fl_opt.verify(problem, decision) for decision in rounds)
    return min((each.cost for each in judged if each.feasible), default=np.inf)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.floats(-6.0, 3.0), st.floats(-6.0, 3.0))
def test_no_prices_give_a_false_bound(seed: int, one: float, two: float) -> None:
    problem = instance(seed, 4)
    allowed = problem.options()
    best = best_of(problem, allowed)
    price = 10.0 ** np.array([one, two]) * worth(problem).max()
    start = Relaxed(0.0, np.zeros(4, dtype=int), -1, price)
    # anything is enough: the bound is that of the prices at the start
    assert problem.relax(allowed, -np.inf, start).bound <= best
    assert problem.relax(allowed, np.inf).bound <= best


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_neither_fewer_options_nor_the_rise_of_one_prove_too_much(seed: int) -> None:
    problem = instance(seed, 4)
    rng = np.random.default_rng(seed)
    allowed = problem.options() & (rng.random((4, 3)) < 0.8)
    allowed[~allowed.any(axis=1), 0] = True
    relaxed = problem.relax(allowed, np.inf)
    assert relaxed.bound <= best_of(problem, allowed)
    if relaxed.rise is None:
        return
    for k, option in np.argwhere(allowed):
        only = allowed.copy()
        only[k] = False
        only[k, option] = True
        assert relaxed.bound + relaxed.rise[k, option] <= best_of(problem, only)


def test_prices_alone_leave_less_the_more_devices_there_are() -> None:
    gaps = []
    for size in (20, 200, 2000):
        found = Branch(nodes=1)(instance(0, size)).certificate
        assert found.cost - found.bound <= 2.0 * worth(instance(0, size)).max()
        gaps.append(found.gap)
    assert gaps[2] <= 1e-3 <= gaps[0]


# shape, laws, closed forms


def test_a_band_of_nothing_leaves_max_participation_in_the_other() -> None:
    for seed in range(4):
        problem = instance(seed, 12)
        problem = dataclasses.replace(
            problem, mmwave=problem.mmwave.replace(gain=0.0, upload_bit=problem.sub6.upload_bit)
        )
        sends = problem.sub6.upload_bit > 0.0
        if not sends.all():
            continue
        known = MaxParticipation(problem.sub6, problem.deadline_s, worth(problem)[0])
        best = fl_opt.solve(known).certificate.cost
        assert fl_opt.solve(problem, "mip").certificate.cost == pytest.approx(best, rel=1e-9)
        assert fl_opt.solve(problem).certificate.bound <= best


def test_two_alike_take_a_band_each_where_each_holds_one() -> None:
    low, high = pair(2)
    low = low.replace(band_hz=1.5 * Uplink(low, 1.0).least_hz[0])
    high = high.replace(band_hz=1.5 * Uplink(high, 1.0).least_hz[0])
    found = fl_opt.solve(BandSelection(low, high, 1.0)).allocation
    assert found.selected.all()
    assert found.sub6.selected.sum() == found.mmwave.selected.sum() == 1
    frame = found.to_frame()
    assert sorted(frame["band"]) == ["mmwave", "sub6"]
    assert np.all(frame["bandwidth_hz"] > 0.0)


def test_who_may_fit_by_the_bound_and_does_not_leaves_the_gap_open() -> None:
    # energy for the training and next to nothing more: no bandwidth is refuted, none suffices
    cycles = np.array([1838824576.13958, 2e8, 2e8])
    deadline = 1.6926259483268007
    just = 1e-28 * cycles[0] ** 3 / deadline**2 * (1.0 + 1e-9)
    low, _ = pair(
        3, gain=[1e-7, 1e-10, 1e-10], cpu_min_hz=1e3, cycles=cycles, samples=[500, 400, 300],
        upload_bit=[2706, 3e5, 3e5], energy_j=[just, np.inf, np.inf], band_hz=2e5,
    )  # fmt: skip
    found = fl_opt.solve(BandSelection(low, low, deadline)).certificate
    assert found.cost == -700.0
    assert found.bound == pytest.approx(-1200.0)


def test_a_band_between_what_suffices_and_what_is_refuted() -> None:
    low, _ = pair(1, cycles=0.0, upload_bit=1e6)
    floor = float(low.noise_w_hz[0]) * 1e6 * np.log(2.0) / 0.2
    low = low.replace(gain=floor * np.exp(1e-3))
    uplink = Uplink(low, 1.0)
    least, proven = float(uplink.least_hz[0]), float(uplink.least_low_hz[0])
    assert proven < least
    low = low.replace(band_hz=0.5 * (least + proven))
    found = fl_opt.solve(BandSelection(low, low, 1.0)).certificate
    assert found.feasible
    assert found.bound <= -500.0 <= found.cost


def test_blockage_and_chain_energy_drive_devices_to_the_other_band() -> None:
    low, high = pair(4, band_hz=1e7, energy_j=0.5)
    clear = fl_opt.solve(BandSelection(low, high, 1.0, blockage_mmwave=0.3)).allocation
    assert clear.sub6.selected.all()
    away = fl_opt.solve(BandSelection(low, high, 1.0, 0.6, 0.3)).allocation
    assert away.mmwave.selected.all()
    dear = BandSelection(low, high, 1.0, 0.6, 0.3, chain_mmwave_j=0.6)
    found = fl_opt.solve(dear)
    assert found.allocation.sub6.selected.all()
    assert found.certificate.cost == pytest.approx(-4 * 500 * 0.4, rel=1e-12)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 10**6))
def test_more_band_and_renumbering(seed: int) -> None:
    problem = instance(seed, 5)
    base = fl_opt.solve(problem, "enumerate").certificate.cost
    wider = dataclasses.replace(
        problem, mmwave=problem.mmwave.replace(band_hz=1.5 * problem.mmwave.band_hz)
    )
    assert fl_opt.solve(wider, "enumerate").certificate.cost <= base
    order = np.random.default_rng(seed).permutation(5)
    moved = BandSelection(
        problem.sub6[order],
        problem.mmwave[order],
        *(
            np.asarray(getattr(problem, name))[order]
            for name in ("deadline_s", "blockage_sub6", "blockage_mmwave")
        ),
        chain_mmwave_j=np.asarray(problem.chain_mmwave_j)[order],
    )
    again = fl_opt.solve(moved, "enumerate").certificate.cost
    assert again == pytest.approx(base, rel=1e-12)


# corners


@pytest.mark.parametrize(
    ("changes", "options", "expected"),
    [
        ({}, {}, 3),
        ({"gain": [1e-10, 0.0, 1e-10]}, {}, 2),
        ({"samples": 0.0}, {}, 0),
        ({"upload_bit": 0.0}, {}, 3),
        ({"energy_j": [0.0, 1.0, 1.0]}, {}, 2),
        ({"energy_j": 1.0}, {"chain_sub6_j": 2.0, "chain_mmwave_j": 2.0}, 0),
        ({}, {"blockage_sub6": 1.0, "blockage_mmwave": 1.0}, 0),
        ({}, {"utility": [1.0, -1.0, 0.0]}, 1),
        ({"gain": 0.0}, {}, 0),
    ],
)
@pytest.mark.parametrize("solver", ["branch", "mip", "enumerate"])
def test_corners(changes: dict[str, Any], options: Any, expected: int, solver: str) -> None:
    answer = fl_opt.solve(BandSelection(*pair(3, **changes), 1.0, **options), solver)
    assert answer.allocation.selected.sum() == expected
    assert answer.certificate.feasible
    assert answer.certificate.cost - answer.certificate.bound <= 1e-9 * max(500 * expected, 1)


def test_a_device_in_both_bands_and_one_with_too_little_energy_are_violations() -> None:
    low, high = pair(2, energy_j=0.1)
    problem = BandSelection(low, high, 1.0, chain_sub6_j=0.0)
    found = problem.join(np.array([0, 0]))
    both = BandChoice(found.sub6, found.sub6)
    assert "one_band" in fl_opt.verify(problem, both).violation
    hot = dataclasses.replace(problem, chain_sub6_j=0.2)
    assert "energy_sub6" in fl_opt.verify(hot, found).violation


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"blockage_mmwave": 1.5}, r"blockage_mmwave is 1.5"),
        ({"chain_sub6_j": [0.0, -1.0]}, r"chain_sub6_j\[1\] is -1 J"),
        ({"deadline_s": 0.0}, r"deadline_s is 0 s"),
        ({"utility": [1.0, np.nan]}, r"utility\[1\] is nan"),
    ],
)
def test_refusals(options: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        BandSelection(*pair(2), **({"deadline_s": 1.0} | options))


def test_refuses_bands_of_different_devices() -> None:
    low, high = pair(2)
    with pytest.raises(InvalidInput, match=r"mmwave.cycles is different; expected sub6.cycles"):
        BandSelection(low, high.replace(cycles=1e8), 1.0)
    with pytest.raises(InvalidInput, match=r"mmwave.energy_j is different"):
        BandSelection(low, pair(3)[1], 1.0)
    with pytest.raises(InvalidInput, match=r'at most 10; solve with solver="mip"'):
        fl_opt.solve(BandSelection(*pair(12), 1.0), "enumerate")
