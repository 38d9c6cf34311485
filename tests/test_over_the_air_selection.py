"""Selection through one beam: enumeration against a grid of beams, closed forms, and the bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from still_world import network

import fl_opt
from fl_opt import Antennas, InvalidInput, OverTheAirSelection
from fl_opt.problem_file import read_problem
from fl_opt.units import Floats


def problem(seed: int, size: int = 0, antennas: int = 0) -> OverTheAirSelection:
    """Rayleigh channels of unequal strength, an error that about half of the devices meet."""
    rng = np.random.default_rng(seed)
    size, antennas = size or int(rng.integers(2, 8)), antennas or int(rng.integers(1, 5))
    channels = Antennas.rayleigh(1e-10 * rng.exponential(1.0, size), antennas, rng)
    return OverTheAirSelection(channels, 0.1, 1e-12, 10.0 ** rng.uniform(-1.5, 0.0))


def through_many_beams(stated: OverTheAirSelection) -> int:
    """Most devices that a beam of two antennas on a fine grid hears, from the definition."""
    angle = np.linspace(0.0, np.pi / 2, 181)[:, None]
    phase = np.exp(1j * np.linspace(0.0, 2 * np.pi, 361))[None, :]
    beams = np.stack([np.cos(angle) * np.ones_like(phase), np.sin(angle) * phase], axis=-1)
    received = np.abs(beams @ stated.antennas.channel.conj().T) ** 2 * stated.power_max_w
    return int(np.sum(stated.noise_w / received <= stated.error_max, axis=-1).max())


@pytest.mark.parametrize("seed", range(25))
def test_no_beam_on_a_grid_hears_more(seed: int) -> None:
    stated = problem(seed, antennas=2)
    grid = through_many_beams(stated)
    exact = fl_opt.solve(stated, solver="enumerate").certificate
    assert exact.feasible
    assert exact.proof == "enumeration"
    assert -exact.bound >= -exact.cost >= grid
    assert -exact.cost <= grid + 1
    assert -fl_opt.solve(stated).certificate.bound >= grid


@pytest.mark.parametrize("seed", range(25))
def test_the_tree_agrees_with_all_sets(seed: int) -> None:
    stated = problem(100 + seed)
    found, exact = fl_opt.solve(stated), fl_opt.solve(stated, solver="enumerate")
    assert found.solver == "branch"
    assert found.certificate.feasible
    assert found.certificate.bound <= exact.certificate.cost
    assert exact.certificate.bound <= found.certificate.cost
    assert found.certificate.cost == exact.certificate.cost or exact.certificate.gap > 0.0


@pytest.mark.parametrize("seed", range(8))
def test_the_tree_closes_most_rounds_of_twenty(seed: int) -> None:
    proof = fl_opt.solve(problem(200 + seed, size=20, antennas=3)).certificate
    assert proof.feasible
    assert proof.cost - proof.bound <= 1.0


@pytest.mark.parametrize("seed", range(12))
def test_no_branch_is_bounded_too_high(seed: int) -> None:
    # beams at random are decisions of some branch, which may not be refuted
    rng = np.random.default_rng(seed)
    stated = problem(300 + seed, size=6, antennas=2)
    for _ in range(6):
        parts = rng.normal(size=(2, 2))
        inside = stated.through(parts[0] + 1j * parts[1]).selected
        allowed = stated.options()
        settled = rng.random(6) < 0.6
        allowed[settled & inside, 0] = False
        allowed[settled & ~inside, 1] = False
        assert stated.relax(allowed, np.inf).bound <= -np.count_nonzero(inside)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_no_multipliers_pass_any_beam(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stated = problem(seed)
    able = stated._able
    least = 0.0
    if able.size:
        multiplier = rng.exponential(1.0, able.size)
        least = stated._relaxed.shortage(multiplier, np.ones(able.size))
    for _ in range(10):
        parts = rng.normal(size=(2, stated.antennas.antennas))
        decision = stated.through(parts[0] + 1j * parts[1])
        assert fl_opt.verify(stated, decision).feasible
        assert able.size - np.count_nonzero(decision.selected) >= least


@pytest.mark.parametrize("seed", range(15))
def test_orthogonal_channels_share_the_beam(seed: int) -> None:
    # with orthonormal directions, S fits exactly if the sum of 1/|g_k|^2 is at most 1
    rng = np.random.default_rng(seed)
    size = int(rng.integers(2, 7))
    basis = np.linalg.qr(rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size)))[0]
    strength = 1.0 / rng.uniform(0.05, 0.7, size)
    stated = OverTheAirSelection(Antennas(np.sqrt(strength)[:, None] * basis), 1.0, 1.0, 1.0)
    most = int(np.sum(np.cumsum(np.sort(1.0 / strength)) <= 1.0))
    solution = fl_opt.solve(stated, solver="enumerate")
    assert solution.certificate.cost == -most
    assert solution.certificate.gap == 0.0


@pytest.mark.parametrize("seed", range(10))
def test_a_single_antenna_hears_whoever_is_loud_enough(seed: int) -> None:
    stated = problem(seed, size=20, antennas=1)
    loud = stated.noise_w / (0.1 * np.abs(stated.antennas.channel[:, 0]) ** 2) <= stated.error_max
    solution = fl_opt.solve(stated)
    assert solution.allocation.selected.tolist() == loud.tolist()
    assert solution.certificate.gap == 0.0


def one_channel(gain: float, size: int) -> Antennas:
    return Antennas(np.full((size, 3), np.sqrt(gain / 3.0)))


@pytest.mark.parametrize("solver", ["branch", "enumerate"])
@pytest.mark.parametrize(
    ("antennas", "power", "count"),
    [
        (one_channel(2.0, 6), 1.0, 6),
        (one_channel(0.5, 6), 1.0, 0),
        (one_channel(2.0, 1), 1.0, 1),
        (one_channel(2.0, 6), 0.0, 0),
        (one_channel(2.0, 3), [1.0, 0.1, 1.0], 2),
        (Antennas([[3.0, 0.0], [0.0, 0.0], [0.0, 3.0]]), 1.0, 2),
        (Antennas(1e6 * np.eye(4)), 1.0, 4),
    ],
)
def test_corner_cases(antennas: Antennas, power: Any, count: int, solver: str) -> None:
    solution = fl_opt.solve(OverTheAirSelection(antennas, power, 1.0, 1.0), solver=solver)
    assert solution.certificate.feasible
    assert (solution.certificate.cost, solution.certificate.gap) == (-count, 0.0)


def test_a_beam_that_is_not_exhibited_leaves_the_gap_open() -> None:
    # all six have a relaxation; no beam is known for more than five
    rng = np.random.default_rng(0)
    opened = 0
    for _ in range(60):
        channels = Antennas.rayleigh(1e-10 * rng.exponential(1.0, 8), 2, rng)
        stated = OverTheAirSelection(channels, 0.1, 1e-12, 0.15)
        proof = fl_opt.solve(stated, solver="enumerate").certificate
        assert -proof.cost <= -proof.bound <= -proof.cost + 1.0
        opened += proof.gap > 0.0
    assert opened <= 6


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_order_rotation_and_units_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stated = problem(seed, size=5)
    channel, antennas = stated.antennas.channel, stated.antennas.antennas
    normal = rng.normal(size=(2, antennas, antennas))
    rotation = np.linalg.qr(normal[0] + 1j * normal[1])[0]

    def bound(turned: Any, power: float, noise: float) -> float:
        other = OverTheAirSelection(Antennas(turned), power, noise, stated.error_max)
        return fl_opt.solve(other).certificate.bound

    base = fl_opt.solve(stated).certificate.bound
    assert bound(channel[rng.permutation(5)], 0.1, 1e-12) == base
    assert bound(channel @ rotation, 0.1, 1e-12) == base
    assert bound(channel, 0.8, 8e-12) == base
    looser = OverTheAirSelection(stated.antennas, 0.1, 1e-12, 2.0 * stated.error_max)
    assert fl_opt.solve(looser).certificate.bound <= base


def test_everybody_selected_is_received_alike() -> None:
    stated = problem(3, size=7, antennas=3)
    decision = fl_opt.solve(stated).allocation
    on = decision.selected
    assert on.any()
    received = decision.power_w * np.abs(stated.antennas.channel @ decision.beam.conj()) ** 2
    assert received[on] == pytest.approx(decision.eta_w)
    assert stated.noise_w / decision.eta_w <= stated.error_max
    assert (decision.power_w[on].max()) == pytest.approx(0.1)
    louder: Floats = np.where(on, 0.2, 0.0)
    wrong = type(decision)(on, decision.beam, louder, decision.eta_w)
    assert set(fl_opt.verify(stated, wrong).violation) == {"power_max"}
    allocation = decision.to_round(network(7))
    assert allocation.access == "superposed"
    assert allocation.selected.tolist() == on.tolist()


def test_reads_channels_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "problem.toml"
    path.write_text(
        'problem = "OverTheAirSelection"\npower_max_w = 1\nnoise_w = 1\nerror_max = 1\n'
        "antennas = {channel = [[[2, 0], [0, 1]], [[0, 1], [0.1, 0]]]}\n",
        encoding="utf-8",
    )
    stated = read_problem(path).problem
    assert stated.antennas.channel.tolist() == [[2.0, 1j], [1j, 0.1]]
    assert fl_opt.solve(stated).certificate.cost == -2.0


@pytest.mark.parametrize(
    ("channel", "text"),
    [
        ([1.0, 2.0], r"channel.shape is \(2,\); expected \(K, M\)"),
        ([[1.0, np.nan]], r"channel\[0, 1\] is .*; expected a finite number"),
        ([[1.0], [1.0, 2.0]], "expected complex numbers"),
    ],
)
def test_refuses_what_are_no_channels(channel: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        Antennas(channel)


def test_refuses_limits_that_are_none_and_too_many_sets() -> None:
    with pytest.raises(InvalidInput, match=r"noise_w is 0 W; expected a number > 0"):
        OverTheAirSelection(one_channel(1.0, 2), 1.0, 0.0, 1.0)
    with pytest.raises(InvalidInput, match="antennas is list"):
        OverTheAirSelection([[1.0]], 1.0, 1.0, 1.0)
    many = OverTheAirSelection(one_channel(2.0, 11), 1.0, 1.0, 1.0)
    with pytest.raises(InvalidInput, match=r"is 11; expected at most 10 .* solver=\"branch\""):
        fl_opt.solve(many, solver="enumerate")
