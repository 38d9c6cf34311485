"""Most clients with uploads in turn: Moore and Hodgson against enumeration, a MIP and greed."""

from __future__ import annotations

import itertools
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
from fl_opt import FedCS, FedCSGreedy, InvalidInput, Network
from fl_opt.allocation import use
from fl_opt.problem_file import read_problem
from fl_opt.problems.fedcs import most_on_time
from fl_opt.testing import check_policy
from fl_opt.validation import measure


def cell(seed: int, size: int) -> Network:
    """Weak links, slow clocks, dead links, empty payloads and tight batteries."""
    rng = np.random.default_rng(seed)
    return network(
        size,
        gain=1e-10 * rng.exponential(1.0, size) * (rng.random(size) > 0.05),
        cycles=rng.uniform(0.0, 1.5e9, size),
        upload_bit=rng.uniform(1e5, 2e6, size) * (rng.random(size) > 0.05),
        energy_j=np.where(rng.random(size) < 0.3, rng.uniform(0.01, 0.5, size), math.inf),
    )


def problem(seed: int, size: int) -> FedCS:
    """Every other one with a multicast that waits for the worst channel."""
    rng = np.random.default_rng(seed + 10**6)
    wait = rng.uniform(0.0, 0.3, size) * (seed % 2)
    return FedCS(cell(seed, size), float(rng.uniform(0.1, 1.2)), wait)


@pytest.mark.parametrize("size", [1, 2, 5, 8, 12])
def test_equals_enumeration(size: int) -> None:
    counts = []
    for seed in range(60):
        stated = problem(seed, size)
        exact = fl_opt.solve(stated)
        tried = fl_opt.solve(stated, solver="enumerate")
        assert exact.solver == "closed"
        assert exact.certificate.feasible
        assert exact.certificate.cost == tried.certificate.cost == exact.certificate.bound
        counts.append(int(exact.allocation.selected.sum()))
    assert len(set(counts)) > 1


@pytest.mark.parametrize("seed", range(40))
def test_equals_every_order_of_every_set(seed: int) -> None:
    stated = problem(seed, 5)
    trained, upload = stated.in_turn.trained_s, stated.in_turn.upload_s
    most = 0
    for count in range(1, 6):
        for order in itertools.permutations(range(5), count):
            theta = 0.0
            for k in order:
                theta = max(theta, trained[k]) + upload[k]
            if theta + max(stated.downlink_s[list(order)]) <= stated.deadline_s:
                most = count
    assert fl_opt.solve(stated).certificate.cost == -most


@pytest.mark.parametrize("seed", range(12))
def test_equals_the_mixed_integer_program(seed: int) -> None:
    stated = problem(seed, 30)
    exact, reference = fl_opt.solve(stated), fl_opt.solve(stated, solver="mip")
    assert reference.certificate.feasible
    assert reference.certificate.cost == exact.certificate.cost
    assert exact.certificate.gap == 0.0


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_the_proof_is_tight_and_the_round_keeps_every_limit(seed: int, size: int) -> None:
    solution = fl_opt.solve(problem(seed, size))
    assert solution.certificate.feasible
    assert solution.certificate.proof == "combinatorial"
    assert solution.certificate.gap == 0.0


@pytest.mark.parametrize("seed", range(20))
def test_jobs_on_time_equal_a_recursion_over_their_number(seed: int) -> None:
    """least[n] is the least total length of n jobs on time, job after job by due date."""
    rng = np.random.default_rng(seed)
    size = 60
    due, length = rng.random(size), rng.exponential(0.05, size)
    least = np.full(size + 1, np.inf)
    least[0] = 0.0
    for k in np.argsort(due):
        longer = least[:-1] + length[k]
        longer[longer > due[k]] = np.inf
        least[1:] = np.minimum(least[1:], longer)
    chosen = most_on_time(due, length)
    assert chosen.size == np.flatnonzero(np.isfinite(least)).max()
    assert length[chosen].sum() == pytest.approx(least[chosen.size], rel=1e-12)


@pytest.mark.parametrize("seed", range(30))
def test_no_client_can_be_added_and_they_send_in_the_order_of_training(seed: int) -> None:
    stated = FedCS(cell(seed, 25), 0.8)
    solution = fl_opt.solve(stated)
    sending = stated.network.upload_bit > 0.0
    members = np.flatnonzero(solution.allocation.selected & sending)
    begin = use(stated.network, solution.allocation).begin_s[members]
    assert np.all(np.diff(stated.in_turn.trained_s[members][np.argsort(begin)]) >= 0.0)
    for k in np.flatnonzero(~solution.allocation.selected & np.isfinite(stated.in_turn.upload_s)):
        grown = solution.allocation.selected.copy()
        grown[k] = True
        assert not fl_opt.verify(stated, stated.pack(grown)).feasible


def test_without_training_the_shortest_uploads_are_taken() -> None:
    net = cell(3, 40).replace(cycles=0.0)
    stated = FedCS(net, 0.7)
    fit = np.cumsum(np.sort(stated.in_turn.upload_s)) <= 0.7
    assert fl_opt.solve(stated).certificate.cost == -np.count_nonzero(fit)


def test_identical_clients_queue_up() -> None:
    net = network(50)
    upload = FedCS(net, 1.0).in_turn.upload_s[0]
    for count in (0, 1, 7, 50):
        stated = FedCS(net, 0.1 + (count + 0.5) * upload)
        assert fl_opt.solve(stated).certificate.cost == -count


def test_a_deadline_that_is_met_exactly_counts_whatever_the_rounding() -> None:
    # 10 x 0.1 is above 1 in binary, 3 x 0.1 above 0.3
    net = network(20, cycles=0.0)
    rate = 3e5 / FedCS(net, 1.0).in_turn.upload_s[0]
    net = net.replace(upload_bit=0.1 * rate)
    for count, deadline in ((3, 0.3), (10, 1.0)):
        solution = fl_opt.solve(FedCS(net, deadline))
        assert solution.certificate.cost == -count
        assert solution.certificate.feasible
        arrived = measure(net, solution.allocation, np.random.default_rng(0)).arrived
        assert np.count_nonzero(arrived) == count


def test_one_far_client_is_not_worth_the_wait_for_him() -> None:
    net = network(4, cycles=0.0)
    upload = FedCS(net, 1.0).in_turn.upload_s[0]
    far = FedCS(net, 4.5 * upload, downlink_s=[0.0, 0.0, 0.0, 2.0 * upload])
    solution = fl_opt.solve(far)
    assert solution.allocation.selected.tolist() == [True, True, True, False]
    assert solution.allocation.deadline_s == pytest.approx(4.5 * upload)
    everyone = fl_opt.verify(far, far.pack(np.ones(4, dtype=bool)))
    assert set(everyone.violation) == {"deadline"}


def test_greed_never_wins_and_sometimes_loses() -> None:
    missed = 0
    rng = np.random.default_rng(0)
    for seed in range(60):
        net = cell(seed, 20)
        policy = FedCSGreedy(0.8)
        greedy, _ = policy.decide(fl_opt.Round(net, 0, rng, None, {}), None)
        stated = FedCS(net, 0.8)
        assert fl_opt.verify(stated, greedy).feasible
        best = fl_opt.solve(stated).certificate.cost
        assert stated.cost(greedy) >= best
        missed += stated.cost(greedy) > best
    assert missed > 5


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_laws_of_time_order_and_units(seed: int, size: int) -> None:
    stated = problem(seed, size)
    base = fl_opt.solve(stated).certificate.cost
    net, wait, time = stated.network, stated.downlink_s, stated.deadline_s

    def cost(*fields: Any) -> float:
        return fl_opt.solve(FedCS(*fields)).certificate.cost

    assert cost(net, 1.3 * time, wait) <= base
    assert cost(net, time, wait + 0.01) >= base
    order = np.random.default_rng(seed).permutation(size)
    assert cost(net[order], time, wait[order]) == base
    slower = net.replace(
        cycles=4.0 * net.cycles, upload_bit=4.0 * net.upload_bit, energy_j=4.0 * net.energy_j
    )
    assert cost(slower, 4.0 * time, 4.0 * wait) == base


@pytest.mark.parametrize(
    ("changes", "deadline", "expected"),
    [
        ({"gain": 0.0}, 1.0, 0),
        ({"energy_j": 0.0}, 1.0, 0),
        ({"band_hz": 0.0}, 1.0, 0),
        ({"upload_bit": 0.0}, 0.1, 3),
        ({"upload_bit": 0.0, "cycles": 0.0}, 1e-9, 3),
        ({}, 0.1, 0),
        ({}, 1e9, 3),
        ({"gain": [1e-10, 0.0, 1e-10]}, 1e3, 2),
        ({"power_max_w": math.inf, "energy_j": 1.0}, 1.0, 0),
    ],
)
def test_corner_cases(changes: dict[str, Any], deadline: float, expected: int) -> None:
    stated = FedCS(network(3, **changes), deadline)
    solution = fl_opt.solve(stated)
    assert solution.certificate.feasible
    assert solution.certificate.cost == -expected
    assert fl_opt.solve(stated, solver="mip").certificate.cost == -expected
    assert fl_opt.solve(stated, solver="enumerate").certificate.cost == -expected


def test_judges_uploads_in_turn_and_at_full_power() -> None:
    net = network(3)
    stated = FedCS(net, 0.2)
    best = fl_opt.solve(stated).allocation
    at_once = best.replace(access="fdma", start_s=None)
    assert fl_opt.verify(stated, at_once).feasible
    assert "power_min" in fl_opt.verify(stated, best.replace(power_w=0.1)).violation
    assert "band" in fl_opt.verify(stated, best.replace(bandwidth_hz=5e6)).violation
    late = FedCS(net, 0.2, downlink_s=0.19)
    assert "deadline" in fl_opt.verify(late, best).violation


def test_is_a_policy_and_can_be_stated_in_a_file(tmp_path: Path) -> None:
    net = cell(1, 6)
    policy = fl_opt.Optimised(partial(FedCS, deadline_s=0.8))
    rng = np.random.default_rng(0)
    allocation, memory = policy.decide(fl_opt.Round(net, 0, rng, None, {}), policy.start(6, rng))
    check_policy(policy)
    assert allocation.access == "sequential"
    assert memory.solution.certificate.gap == 0.0
    net.to_csv(tmp_path / "cell.csv")
    text = 'problem = "FedCS"\nnetwork = "cell.csv"\ndeadline_s = 0.8\ndownlink_s = 0.05\n'
    (tmp_path / "round.toml").write_text(text)
    stated = read_problem(tmp_path / "round.toml").problem
    assert fl_opt.solve(stated).certificate.cost >= stated.cost(allocation)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((network(2), 0.0), r"deadline_s is 0 s; expected a number > 0"),
        ((network(2), math.inf), r"deadline_s is inf"),
        ((network(2), 1.0, [0.1, -0.1]), r"downlink_s\[1\] is -100 ms"),
        (("cell", 1.0), "network is str"),
    ],
)
def test_refuses_what_is_no_round(arguments: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        FedCS(*arguments)


def test_refuses_to_enumerate_many() -> None:
    with pytest.raises(InvalidInput, match="at most 16 to try all their sets"):
        fl_opt.solve(FedCS(network(17), 10.0), solver="enumerate")
