"""Power control of cells on one band, against a geometric program and Yates' iteration."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from still_world import network

import fl_opt
from fl_opt import CellNetwork, CellPowers, Infeasible, InvalidInput, MultiCellPower
from fl_opt.problem_file import read_problem
from fl_opt.solvers.conic import Conic


def fields(seed: int, size: int | None = None) -> dict[str, Any]:
    """Cells that disturb each other from hardly to badly, with noise over eight decades."""
    rng = np.random.default_rng(seed)
    n = size or int(rng.integers(1, 7))
    leak = np.where(np.eye(n) > 0.0, 1.0, 10.0 ** rng.uniform(-3, 0, (n, n)))
    leak *= (rng.random((n, n)) > 0.2) | (np.eye(n) > 0.0)
    return {
        "gain": 1e-9 * 10.0 ** rng.uniform(-1, 1, (n, n)) * leak,
        "power_max_w": rng.uniform(0.05, 0.3, n),
        "upload_bit": 3e5 * rng.uniform(0.2, 2, n) * (rng.random(n) > 0.1),
        "band_hz": 1e6,
        "ready_s": rng.uniform(0, 0.3, n),
        "noise_w_hz": 4e-21 * 10.0 ** rng.uniform(0, 8),
    }


def stated(seed: int, size: int | None = None, **changes: Any) -> MultiCellPower:
    return MultiCellPower(CellNetwork(**(fields(seed, size) | changes)))


def radius(problem: MultiCellPower, end_s: float) -> float:
    """Largest spectral radius of ``diag(gamma) (F + n e_j/P_j)``; powers exist exactly up to 1."""
    cells = problem.cells
    on = cells.upload_bit > 0.0
    if not on.any():
        return 0.0
    time = end_s - cells.ready_s[on]
    if (time <= 0.0).any():
        return math.inf
    bits = cells.upload_bit[on] / (cells.band_hz * time)
    if bits.max() > 500.0:
        return math.inf
    own = np.diag(cells.gain)[on]
    leak = cells.gain[np.ix_(on, on)] / own[:, None] * (1.0 - np.eye(own.size))
    noise = cells.noise_w_hz[on] * cells.band_hz / own
    found = 0.0
    for j in range(own.size):
        matrix = leak.copy()
        matrix[:, j] += noise / cells.power_max_w[on][j]
        matrix *= (2.0**bits - 1.0)[:, None]
        found = max(found, float(np.abs(np.linalg.eigvals(matrix)).max()))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_equals_a_geometric_program(seed: int) -> None:
    problem = stated(seed)
    found = fl_opt.solve(problem)
    assert (found.solver, found.certificate.proof) == ("bisection", "bracket")
    assert found.certificate.feasible
    assert found.certificate.gap <= 1e-11
    if not problem.cells.upload_bit.any():
        return
    reference = fl_opt.solve(problem, solver=Conic(tolerance=1e-8)).certificate
    assert reference.feasible
    assert reference.cost == pytest.approx(found.certificate.cost, rel=2e-5)
    assert found.certificate.bound <= reference.cost


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_the_spectral_radius_is_one_at_the_optimum(seed: int) -> None:
    problem = stated(seed)
    found = fl_opt.solve(problem).certificate
    assert found.gap <= 1e-11
    assert radius(problem, found.cost * (1.0 + 1e-6)) <= 1.0
    trained = problem.cells.ready_s.max()
    assert found.bound <= trained or radius(problem, found.bound * (1.0 - 1e-6)) > 1.0


@pytest.mark.parametrize("seed", range(20))
def test_the_iteration_of_foschini_and_miljanic_climbs_to_the_least_powers(seed: int) -> None:
    problem = stated(seed, noise_w_hz=4e-15)
    cells, end = problem.cells, 1.5 * fl_opt.solve(problem).certificate.cost
    target = 2.0 ** (cells.upload_bit / (cells.band_hz * (end - cells.ready_s))) - 1.0
    power = np.zeros(cells.size)
    for _ in range(3000):
        following = target * cells.disturbance_w(power) / np.diag(cells.gain)
        assert (following >= power * (1.0 - 1e-13)).all()
        power = following
    least = problem.targets(end).least()
    assert least is not None
    sending = cells.upload_bit > 0.0
    assert least * cells.power_max_w[sending] == pytest.approx(power[sending], rel=1e-9)


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.0, 1.0))
@settings(max_examples=40, deadline=None)
def test_no_powers_beat_the_bound(seed: int, share: float) -> None:
    problem = stated(seed)
    found = fl_opt.solve(problem)
    rng = np.random.default_rng(seed)
    others = found.allocation.power_w * rng.uniform(share, 1.0, problem.cells.size)
    mixed = (1.0 - share) * problem.cells.power_max_w + share * others
    for power in (others, mixed):
        judged = fl_opt.verify(problem, CellPowers(power))
        assert judged.feasible
        assert judged.cost >= found.certificate.bound


def test_everybody_ends_together_and_somebody_shouts() -> None:
    for seed in range(20):
        problem = stated(seed, 5, upload_bit=3e5, ready_s=0.0)
        cells, power = problem.cells, fl_opt.solve(problem).allocation.power_w
        assert np.max(power / cells.power_max_w) == pytest.approx(1.0, rel=1e-9)
        # where every cell hears every other, no cell can be better off than the worst
        full = cells.gain + 1e-12
        problem = stated(seed, 5, upload_bit=3e5, ready_s=0.0, gain=full)
        times = problem.cells.airtime_s(fl_opt.solve(problem).allocation.power_w)
        assert times == pytest.approx(times[0], rel=1e-6)


def test_alike_cells_all_shout() -> None:
    """N cells, gain g, leak l: SINR = P g/((N - 1) P l + N0 B)."""
    gain = np.full((4, 4), 2e-11) + np.eye(4) * 8e-11
    cells = CellNetwork(gain=gain, power_max_w=0.1, upload_bit=1e6, band_hz=2e6, noise_w_hz=1e-19)
    found = fl_opt.solve(MultiCellPower(cells))
    sinr = 0.1 * 1e-10 / (3 * 0.1 * 2e-11 + 1e-19 * 2e6)
    assert found.certificate.cost == pytest.approx(1e6 / (2e6 * math.log2(1.0 + sinr)), rel=1e-11)
    assert found.allocation.power_w == pytest.approx(0.1, rel=1e-9)


def test_two_cells_without_noise_to_speak_of() -> None:
    """SINRs of two cells at the common best are 1/sqrt(F12 F21), the Perron root."""
    gain = [[1e-9, 4e-11], [9e-11, 2e-9]]
    cells = CellNetwork(gain=gain, power_max_w=1.0, upload_bit=1e6, band_hz=1e6, noise_w_hz=1e-30)
    sinr = 1.0 / math.sqrt((4e-11 / 1e-9) * (9e-11 / 2e-9))
    cost = fl_opt.solve(MultiCellPower(cells)).certificate.cost
    assert cost == pytest.approx(1.0 / math.log2(1.0 + sinr), rel=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_the_price_is_the_slope(seed: int) -> None:
    problem = stated(seed, 4, upload_bit=3e5)
    price = fl_opt.solve(problem).prices["power_max"]
    assert isinstance(price, np.ndarray)
    assert np.count_nonzero(price) <= 1
    k, step = int(np.argmax(price)), 1e-4
    ends = []
    for sign in (-1.0, 1.0):
        power = problem.cells.power_max_w.copy()
        power[k] *= 1.0 + sign * step
        ends.append(fl_opt.solve(stated(seed, 4, upload_bit=3e5, power_max_w=power)))
    slope = (ends[0].certificate.cost - ends[1].certificate.cost) / (
        2.0 * step * problem.cells.power_max_w[k]
    )
    # noise may hardly count; then the slope drowns in the brackets
    resolved = 4e-12 * ends[0].certificate.cost / (step * problem.cells.power_max_w[k])
    assert price[k] == pytest.approx(slope, rel=1e-3, abs=resolved)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_laws_of_order_units_power_and_interference(seed: int) -> None:
    base = fields(seed)
    cost = fl_opt.solve(MultiCellPower(CellNetwork(**base))).certificate.cost

    def again(**changes: Any) -> float:
        cells = CellNetwork(**(base | changes))
        return fl_opt.solve(MultiCellPower(cells)).certificate.cost

    n = len(base["gain"])
    turn = np.random.default_rng(seed).permutation(n)
    names = ("power_max_w", "upload_bit", "ready_s")
    turned = {name: base[name][turn] for name in names}
    assert again(gain=base["gain"][np.ix_(turn, turn)], **turned) == pytest.approx(cost, rel=1e-10)
    louder = again(power_max_w=1.5 * base["power_max_w"])
    assert louder <= cost * (1.0 + 1e-11)
    assert again(gain=base["gain"] + 1e-10 * (1.0 - np.eye(n))) >= cost * (1.0 - 1e-11)
    same = again(gain=1024.0 * base["gain"], power_max_w=base["power_max_w"] / 1024.0)
    assert same == pytest.approx(cost, rel=1e-10)


def test_one_cell_silent_cells_and_nobody() -> None:
    alone = fl_opt.solve(stated(3, 1, upload_bit=3e5)).certificate
    assert alone.gap <= 1e-11
    quiet = fl_opt.solve(stated(3, 4, upload_bit=[0.0, 3e5, 0.0, 0.0]))
    assert np.flatnonzero(quiet.allocation.power_w).tolist() == [1]
    nobody = fl_opt.solve(stated(3, 4, upload_bit=0.0, ready_s=0.0))
    assert nobody.certificate.cost == 0.0
    trained = fl_opt.solve(stated(3, 3, upload_bit=0.0, ready_s=[0.1, 0.4, 0.2]))
    assert trained.certificate.cost == 0.4
    # a dead device without payload disturbs nobody
    gain = np.diag([1e-9, 0.0])
    assert fl_opt.solve(stated(3, 2, gain=gain, upload_bit=[3e5, 0.0])).certificate.feasible


def test_what_cannot_be_heard_is_infeasible() -> None:
    with pytest.raises(Infeasible, match="device 1 has gain 0 and cannot upload") as caught:
        fl_opt.solve(stated(3, 2, gain=np.diag([1e-9, 0.0]), upload_bit=3e5))
    assert caught.value.devices.tolist() == [1]
    assert not any(caught.value.relaxations.values())
    with pytest.raises(Infeasible, match="device 0 has power_max_w 0") as caught:
        fl_opt.solve(stated(3, 2, power_max_w=[0.0, 0.1], upload_bit=3e5))
    cure = caught.value.relaxations["power_max_w"]
    cured = stated(3, 2, power_max_w=[cure, 0.1], upload_bit=3e5)
    assert math.isfinite(fl_opt.solve(cured).certificate.cost)
    with pytest.raises(Infeasible, match="band_hz is 0 Hz") as caught:
        fl_opt.solve(stated(3, 2, band_hz=0.0, upload_bit=3e5))
    cured = stated(3, 2, band_hz=caught.value.relaxations["band_hz"], upload_bit=3e5)
    assert math.isfinite(fl_opt.solve(cured).certificate.cost)


def test_a_policy_and_a_file(tmp_path: Path) -> None:
    def formulate(net: fl_opt.Network) -> MultiCellPower:
        return MultiCellPower(CellNetwork.from_network(net, leak=0.01))

    net = network(4, gain=[1e-10, 2e-11, 3e-12, 1e-11])
    policy = fl_opt.Optimised(formulate)
    rng = np.random.default_rng(0)
    allocation, memory = policy.decide(fl_opt.Round(net, 0, rng, None, {}), policy.start(4, rng))
    assert np.array_equal(allocation.power_w, memory.solution.allocation.power_w)
    (tmp_path / "cells.toml").write_text(
        'problem = "MultiCellPower"\n[cells]\ngain = [[1e-9, 1e-11], [2e-11, 1e-9]]\n'
        "power_max_w = 0.1\nupload_bit = 1e6\nband_hz = 1e6\n"
    )
    assert fl_opt.solve(read_problem(tmp_path / "cells.toml").problem).certificate.gap <= 1e-11


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"gain": [1.0, 2.0]}, r"gain\.shape is \(2,\); expected \(N, N\)"),
        ({"gain": [[1.0, -1.0], [0.0, 1.0]]}, r"gain\[0, 1\] is -1"),
        ({"noise_w_hz": 0.0}, "noise_w_hz is 0"),
        ({"power_max_w": math.inf}, "power_max_w is inf"),
        ({"ready_s": -1.0}, "ready_s is -1 s"),
    ],
)
def test_refuses_what_are_no_cells(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        CellNetwork(**(fields(0, 2) | changes))
    with pytest.raises(InvalidInput, match="cells is dict; expected a CellNetwork"):
        MultiCellPower(fields(0, 2))


def test_other_sizes_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"network\.size is 4; expected 2, as the decision"):
        partial(CellPowers(np.ones(2)).to_round, network(4))()
