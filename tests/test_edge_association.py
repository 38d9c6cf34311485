"""Association of devices to edges: cuts and moves against every association, and other sharing."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from still_world import network

import fl_opt
from fl_opt import (
    EdgeAllocation,
    EdgeAssociation,
    EdgeNetwork,
    Infeasible,
    InvalidInput,
    TimeEnergyTradeoff,
)
from fl_opt.problem_file import read_problem
from fl_opt.solvers.grouping import Grouping, PartSearch


def edges(seed: int, size: int, count: int, **changes: Any) -> EdgeNetwork:
    """Devices and edges in a square kilometre, with fading."""
    rng = np.random.default_rng(seed)
    devices, servers = rng.uniform(0, 1000, (size, 2)), rng.uniform(0, 1000, (count, 2))
    distance = np.linalg.norm(devices[:, None] - servers, axis=2) + 10.0
    fields: dict[str, Any] = {
        "gain": 10.0**-3.5 * distance**-3.0 * rng.exponential(size=(size, count)),
        "edge_band_hz": rng.uniform(5e5, 2e6, count),
        "power_max_w": 0.2,
        "cpu_min_hz": 1e8,
        "cpu_max_hz": rng.uniform(1e9, 3e9, size),
        "capacitance": 1e-28,
        "cycles": rng.uniform(1e8, 1e9, size),
        "upload_bit": rng.uniform(2e5, 2e6, size),
    }
    return EdgeNetwork(**(fields | changes))


def agrees(problem: EdgeAssociation) -> None:
    """Moves, cuts and master against conic programs of every association."""
    found, reference = fl_opt.solve(problem), fl_opt.solve(problem, "enumerate").certificate
    ours = found.certificate
    assert (ours.feasible, ours.gap <= 1e-8) == (True, True)
    assert (reference.feasible, reference.proof) == (True, "enumeration")
    assert reference.gap <= 1e-7
    assert ours.cost == pytest.approx(reference.cost, rel=1e-8)
    assert ours.bound <= reference.cost
    assert reference.bound <= ours.cost


@pytest.mark.parametrize("rounds", ["sum", "max"])
@pytest.mark.parametrize(
    ("seed", "worth", "size"),
    [
        (0, 0.02, 3),
        *(pytest.param(seed, 10.0 ** (seed - 3), 4, marks=pytest.mark.slow) for seed in range(6)),
    ],
)
def test_equals_conic_programs_of_all_associations(
    seed: int, worth: float, size: int, rounds: Any
) -> None:
    agrees(EdgeAssociation(edges(seed, size, 2), worth, rounds))


def test_all_associations_of_many_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at most 10,000 to try them all"):
        fl_opt.solve(EdgeAssociation(edges(0, 14, 2), 0.1), "enumerate")


def check_cuts(seed: int, worth: float, rounds: Any, others: int) -> None:
    """Each cut meets the cost of its own part, and is above no part of another association."""
    rng = np.random.default_rng(seed)
    changes = {"upload_bit": rng.uniform(2e5, 2e6, 4) * (rng.random(4) > 0.2)}
    problem = EdgeAssociation(edges(seed, 4, 2, **changes), 10.0**worth, rounds)
    solve = PartSearch()
    groups = [problem.start(), *rng.integers(0, 2, (others, 4))]
    solved = [{key: solve(problem.part(key)) for key in problem.keys(group)} for group in groups]
    costs = [math.fsum(part.certificate.cost for part in parts.values()) for parts in solved]
    rows = np.arange(4)
    for one, parts in zip(groups, solved, strict=True):
        for key, part in parts.items():
            cut = problem.cut(key, part, max(costs))
            mine = rows if rounds == "max" else np.flatnonzero(one == key[0])
            own = cut.constant + cut.coefficient[mine, one[mine]].sum()
            assert own == pytest.approx(part.certificate.cost, rel=1e-7)
            for other, theirs in zip(groups, solved, strict=True):
                low = cut.constant + cut.coefficient[rows, other].sum()
                true = sum(each.certificate.cost for k, each in theirs.items() if k[0] == key[0])
                assert low <= true + 1e-12 * max(costs)


@pytest.mark.parametrize(("seed", "worth", "rounds"), [(2, 1.0, "sum"), (4, -2.0, "max")])
def test_a_cut_meets_its_own_cost_and_bounds_the_others(
    seed: int, worth: float, rounds: Any
) -> None:
    check_cuts(seed, worth, rounds, others=1)


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**32 - 1),
    worth=st.floats(-3.0, 2.5),
    rounds=st.sampled_from(["sum", "max"]),
)
@settings(max_examples=50, deadline=None)
def test_cuts_of_many_rounds(seed: int, worth: float, rounds: Any) -> None:
    check_cuts(seed, worth, rounds, others=3)


@pytest.mark.parametrize("rounds", ["sum", pytest.param("max", marks=pytest.mark.slow)])
def test_at_the_end_no_move_is_better(rounds: Any) -> None:
    problem = EdgeAssociation(edges(7, 4, 2), 0.05, rounds)
    # moves alone: no trees
    found = Grouping(pairs=0)(problem)
    assert found.certificate.proof == "dual"
    best, solve = found.allocation.edge, PartSearch()

    def cost(group: Any) -> float:
        return sum(solve(problem.part(key)).certificate.cost for key in problem.keys(group))

    moves = []
    for k in range(4):
        moves.append(best.copy())
        moves[-1][k] = 1 - best[k]
    for k, j in itertools.combinations(range(4), 2):
        if best[k] != best[j]:
            moves.append(best.copy())
            moves[-1][[k, j]] = best[[j, k]]
    assert min(map(cost, moves)) >= found.certificate.cost * (1.0 - 1e-8)
    assert found.certificate.bound <= found.certificate.cost


@pytest.mark.slow
def test_at_scale_the_bound_of_the_longest_round_is_near() -> None:
    found = fl_opt.solve(EdgeAssociation(edges(3, 24, 3), 0.02, "max")).certificate
    assert found.feasible
    assert (found.proof, found.gap < 0.02) == ("dual", True)


def test_one_edge_is_the_trade_off_and_one_device_takes_the_best_edge() -> None:
    for rounds in ("sum", "max"):
        only = EdgeAssociation(edges(1, 3, 1), 0.1, rounds)
        flat = TimeEnergyTradeoff(only.network.at(0, np.arange(3)), 0.1)
        cost = fl_opt.solve(flat).certificate.cost
        assert fl_opt.solve(only).certificate.cost == pytest.approx(cost, rel=1e-8)
        lone = EdgeAssociation(edges(2, 1, 3), 0.1, rounds)
        costs = [
            fl_opt.solve(TimeEnergyTradeoff(lone.network.at(e, np.arange(1)), 0.1)).certificate.cost
            for e in range(3)
        ]
        found = fl_opt.solve(lone)
        assert found.allocation.edge.tolist() == [int(np.argmin(costs))]
        assert found.certificate.cost == pytest.approx(min(costs), rel=1e-8)


def test_two_villages_go_to_their_own_edges_unless_time_is_counted_twice() -> None:
    near, far = 1e-9, 1e-13
    gain = [[near, far]] * 2 + [[far, near]] * 2
    village = edges(0, 4, 2, gain=gain, edge_band_hz=1e6, cycles=2e8, upload_bit=3e5)
    for rounds in ("sum", "max"):
        found = fl_opt.solve(EdgeAssociation(village, 0.01, rounds))
        assert found.allocation.edge.tolist() == [0, 0, 1, 1]
    alike = edges(0, 3, 2, gain=1e-10 * np.ones((3, 2)), edge_band_hz=1e6, upload_bit=3e5)
    split = fl_opt.solve(EdgeAssociation(alike, 0.1, "max")).allocation.edge
    assert np.bincount(split, minlength=2).min() >= 1
    joined = fl_opt.solve(EdgeAssociation(alike, 0.1, "sum")).allocation.edge
    assert len(set(joined.tolist())) == 1


@pytest.mark.parametrize("rounds", [pytest.param("sum", marks=pytest.mark.slow), "max"])
def test_laws_of_order_units_and_band(rounds: Any) -> None:
    base = edges(11, 3, 2)
    cost = fl_opt.solve(EdgeAssociation(base, 0.05, rounds)).certificate.cost

    def again(network: EdgeNetwork, worth: float = 0.05) -> float:
        return fl_opt.solve(EdgeAssociation(network, worth, rounds)).certificate.cost

    turn = np.array([2, 0, 1])
    turned = EdgeNetwork.from_network(
        base.devices[turn], base.gain[turn][:, ::-1], base.edge_band_hz[::-1]
    )
    assert again(turned) == pytest.approx(cost, rel=2e-8)
    wide = EdgeNetwork.from_network(base.devices, base.gain, 1.5 * base.edge_band_hz)
    assert again(wide) <= cost * (1.0 + 1e-8)
    third = np.column_stack([base.gain, base.gain[:, 0]])
    more = EdgeNetwork.from_network(base.devices, third, [*base.edge_band_hz, 1e6])
    assert again(more) <= cost * (1.0 + 1e-8)
    assert again(base, 0.1) >= cost * (1.0 - 1e-8)


def test_whoever_reaches_no_edge_is_named() -> None:
    gain = np.full((3, 2), 1e-10)
    gain[1] = 0.0
    with pytest.raises(Infeasible, match="device 1 reaches no edge") as caught:
        fl_opt.solve(EdgeAssociation(edges(0, 3, 2, gain=gain), 0.1))
    assert caught.value.devices.tolist() == [1]
    assert not any(caught.value.relaxations.values())
    # a dead link to one edge alone is no matter
    gain[1, 1] = 1e-10
    half = fl_opt.solve(EdgeAssociation(edges(0, 3, 2, gain=gain), 0.1))
    assert half.allocation.edge[1] == 1
    with pytest.raises(Infeasible, match=r"device 0 needs more than .* at any edge") as caught:
        fl_opt.solve(EdgeAssociation(edges(0, 3, 2, energy_j=[1e-9, 1.0, 1.0]), 0.1))
    cure = caught.value.relaxations["energy_j"]
    cured = edges(0, 3, 2, energy_j=[cure, 1.0, 1.0])
    assert fl_opt.solve(EdgeAssociation(cured, 0.1)).certificate.feasible
    with pytest.raises(Infeasible) as caught:
        fl_opt.solve(EdgeAssociation(edges(0, 3, 2, edge_band_hz=0.0), 0.1))
    assert caught.value.relaxations["edge_band_hz"] is not None


def test_nothing_to_send() -> None:
    idle = edges(0, 3, 2, upload_bit=0.0)
    for rounds in ("sum", "max"):
        found = fl_opt.solve(EdgeAssociation(idle, 0.1, rounds))
        assert found.certificate.feasible
        assert found.certificate.gap <= 1e-8


def test_judges_anybody() -> None:
    problem = EdgeAssociation(edges(0, 2, 2), 0.1)
    found = fl_opt.solve(problem).allocation
    greedy = EdgeAllocation(found.edge, found.allocation.replace(bandwidth_hz=3e6))
    assert "band" in fl_opt.verify(problem, greedy).violation
    lazy = EdgeAllocation(found.edge, found.allocation.replace(selected=np.zeros(2, dtype=bool)))
    assert "selected" in fl_opt.verify(problem, lazy).violation


def test_a_policy_and_a_file(tmp_path: Path) -> None:
    net = network(3, gain=[1e-10, 2e-11, 3e-11])
    gain = np.array([[1e-10, 1e-12], [2e-11, 3e-11], [1e-12, 3e-11]])
    policy = fl_opt.Optimised(lambda net: EdgeAssociation(EdgeNetwork.from_network(net, gain), 0.1))
    rng = np.random.default_rng(0)
    allocation, memory = policy.decide(fl_opt.Round(net, 0, rng, None, {}), policy.start(3, rng))
    assert allocation.selected.all()
    assert memory.solution.to_frame()["edge"].tolist() == memory.solution.allocation.edge.tolist()
    (tmp_path / "edges.toml").write_text(
        'problem = "EdgeAssociation"\njoule_per_s = 0.1\nrounds = "max"\n[network]\n'
        "gain = [[1e-10, 1e-12], [2e-12, 1e-11]]\nedge_band_hz = [1e6, 2e6]\npower_max_w = 0.2\n"
        "cpu_min_hz = 1e8\ncpu_max_hz = 2e9\ncapacitance = 1e-28\ncycles = 2e8\nupload_bit = 3e5\n"
    )
    told = fl_opt.solve(read_problem(tmp_path / "edges.toml").problem)
    assert told.allocation.edge.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"gain": [1.0, 2.0]}, r"gain\.shape is \(2,\); expected \(K, E\)"),
        ({"gain": [[1.0, math.nan]]}, r"gain\[0, 1\] is nan"),
        ({"edge_band_hz": [1.0, 2.0, 3.0]}, r"edge_band_hz\.shape"),
        ({"cpu_max_hz": 0.0}, "cpu_max_hz"),
    ],
)
def test_refuses_what_are_no_edges(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        edges(0, 2, 2, **changes)


def test_refuses_other_words() -> None:
    with pytest.raises(InvalidInput, match="rounds is 'mean'"):
        EdgeAssociation(edges(0, 2, 2), 0.1, "mean")
    with pytest.raises(InvalidInput, match="joule_per_s is 0 J/s"):
        EdgeAssociation(edges(0, 2, 2), 0.0)
