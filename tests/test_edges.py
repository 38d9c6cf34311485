"""Edges among devices: the world, associations, and a clock that keeps what was certified."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import numpy as np
import pytest

from fl_opt import Arm, EdgeAssociation, Everyone, FedAvg, HierFAVG, Task, Workload, simulate, solve
from fl_opt.allocation import use
from fl_opt.experiments.edges import (
    EDGE_BAND_HZ,
    Area,
    Attached,
    Planned,
    balanced,
    by_classes,
    class_counts,
    dealing,
    equal_parts,
    kept_to,
    nearest,
    skew,
)

SIZE = 7
AREA = Area.draw(SIZE, 3, np.random.default_rng(5))
WORK = Workload(cycles=2e8, upload_bit=1e6, samples=np.full(SIZE, 40.0))
NETWORK = AREA.network(WORK)
TASK = Task(partition="shards:2", samples=280)


def test_gains_are_path_loss_with_shadowing_of_eight_decibels() -> None:
    area = Area.draw(20_000, 2, np.random.default_rng(0))
    distance_m = np.hypot(*area.positions_m.T)
    mean_db = -(128.1 + 37.6 * np.log10(np.maximum(distance_m, 10.0) / 1000.0))
    shadow = 10.0 * np.log10(area.gain[:, 0]) - mean_db
    assert abs(shadow.mean()) < 5.0 * 8.0 / np.sqrt(20_000)
    assert shadow.std() == pytest.approx(8.0, rel=0.03)
    assert np.abs(area.positions_m).max() <= 500.0


def test_places_in_another_order_are_the_same_round() -> None:
    order = np.random.default_rng(1).permutation(SIZE)
    moved = AREA.at(order).network(WORK)
    np.testing.assert_array_equal(moved.gain, NETWORK.gain[order])
    np.testing.assert_array_equal(nearest(moved), nearest(NETWORK)[order])
    one, two = (
        use(net.under(nearest(net)), equal_parts(net, nearest(net)).allocation)
        for net in (NETWORK, moved)
    )
    np.testing.assert_array_equal(two.finish_s, one.finish_s[order])
    np.testing.assert_array_equal(two.energy_j, one.energy_j[order])


def test_equal_parts_use_every_band_that_somebody_is_at() -> None:
    edge = nearest(NETWORK)
    decision = equal_parts(NETWORK, edge)
    band = np.bincount(edge, decision.allocation.bandwidth_hz, minlength=3)
    np.testing.assert_allclose(band, np.where(np.bincount(edge, minlength=3), EDGE_BAND_HZ[:3], 0))
    limits = EdgeAssociation(NETWORK, 1.0, "max").excess(decision)
    assert all((limit.amount <= 1e-9 * np.abs(limit.limit)).all() for limit in limits.values())


@pytest.mark.parametrize("rounds", ["sum", "max"])
def test_a_given_association_is_kept_and_shared_best(rounds: Literal["sum", "max"]) -> None:
    edge = nearest(NETWORK)
    shared = solve(EdgeAssociation(kept_to(NETWORK, edge), 1.0, rounds))
    np.testing.assert_array_equal(shared.allocation.edge, edge)
    assert shared.certificate.gap < 1e-8
    whole = EdgeAssociation(NETWORK, 1.0, rounds)
    assert whole.cost(shared.allocation) == pytest.approx(shared.certificate.cost, rel=1e-12)
    assert shared.certificate.cost < whole.cost(equal_parts(NETWORK, edge))


def test_equal_numbers_have_the_largest_product_of_gains() -> None:
    network = Area.draw(6, 3, np.random.default_rng(2)).network(Workload(2e8, 1e6, np.ones(6)))
    edge = balanced(network)
    np.testing.assert_array_equal(np.bincount(edge, minlength=3), [2, 2, 2])
    worth = {
        pick: float(np.log(network.gain[np.arange(6), pick]).sum())
        for pick in itertools.product(range(3), repeat=6)
        if all(pick.count(e) == 2 for e in range(3))
    }
    assert tuple(edge) == max(worth, key=worth.__getitem__)


def test_clock_and_battery_charge_what_was_certified() -> None:
    """What a device gets at its own edge, and the wait for the slowest edge, in every round."""
    method = HierFAVG(2, batch=4, cloud_every=2, cloud_s=3.0)
    federation = TASK.load(dealing(4), np.full(SIZE, 1e9))
    network = AREA.network(method.workload(federation))
    solution = solve(EdgeAssociation(kept_to(network, nearest(network)), 0.7, "max"))
    edge = solution.allocation.edge
    arm = Arm(
        Planned(solution.allocation, solution),
        HierFAVG(2, batch=4, cloud_every=2, association=tuple(edge.tolist()), cloud_s=3.0),
    )
    trace = simulate(Attached(AREA, edge), arm, TASK, 4, seed=4)
    assert trace.participation.all()
    at_edges_s = trace.round_s - np.array([0.0, 3.0, 0.0, 3.0])
    cost = trace.energy_j + 0.7 * at_edges_s
    np.testing.assert_allclose(cost, solution.certificate.cost, rtol=1e-9)
    np.testing.assert_allclose(trace.claimed_s, trace.round_s, rtol=1e-9)
    np.testing.assert_array_equal(trace.gap, solution.certificate.gap)
    ends = use(network.under(edge), solution.allocation.allocation).finish_s
    slowest = max(ends[edge == e].max() for e in np.unique(edge))
    np.testing.assert_allclose(at_edges_s, slowest, rtol=1e-9)


def test_data_are_dealt_as_the_simulation_deals_them() -> None:
    seen: list[Any] = []

    class Spy(FedAvg):
        def start(self, federation: Any, rng: np.random.Generator) -> Any:
            seen.append(federation)
            return super().start(federation, rng)

    world = Attached(AREA, nearest(NETWORK))
    simulate(world, Arm(Everyone(), Spy(1, batch=2)), TASK, 1, seed=7)
    expected = TASK.load(dealing(7), np.full(SIZE, 1e9))
    np.testing.assert_array_equal(class_counts(seen[0]), class_counts(expected))
    assert class_counts(expected).sum() == 280


def test_alike_devices_at_an_edge_make_edges_unlike() -> None:
    """Twenty devices of about one class each: half of the classes at an edge, or all at both."""
    federation = Task(partition="shards:1", samples=400).load(dealing(7), np.full(20, 1e9))
    rank = np.empty(20, dtype=int)
    rank[by_classes(federation)] = np.arange(20)
    assert skew(federation, np.zeros(20, dtype=int)) == 0.0
    assert skew(federation, rank // 10) > 0.4
    assert skew(federation, rank % 2) < 0.15
