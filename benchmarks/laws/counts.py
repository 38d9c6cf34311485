"""Random problems in whole numbers and bits: steps, periods, tasks, depths."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.laws.law import Law, limitless
from fl_opt import (
    AsyncTiers,
    BitAllocation,
    HierarchicalPeriods,
    LocalSteps,
    WholeBitAllocation,
    WorkloadSharing,
)


def _constants(rng: np.random.Generator, names: tuple[str, ...]) -> dict[str, Any]:
    """Constants of convergence over decades, some of them zero."""
    drawn = 10.0 ** rng.uniform(-3, 2, len(names)) * (rng.random(len(names)) > 0.1)
    return {"rate": 10.0 ** rng.uniform(-4, -1), **dict(zip(names, drawn, strict=True))}


def _steps(size: int, rng: np.random.Generator) -> LocalSteps:
    """Budgets of two resources."""
    step, aggregation = 10.0 ** rng.uniform(-3, 0, 2), 10.0 ** rng.uniform(-3, 1, 2)
    return LocalSteps(
        budget=(step + aggregation) * 10.0 ** rng.uniform(0.01, 4, 2),
        step_cost=step,
        round_cost=aggregation,
        steps_max=size,
        **_constants(rng, ("rho", "beta", "delta")),
    )


def _periods(size: int, rng: np.random.Generator) -> HierarchicalPeriods:
    """Budgets of two resources; as many edge rounds as local steps at most."""
    step, edge, cloud = 10.0 ** rng.uniform([[-3], [-3], [-2]], [[0], [0], [2]], (3, 2))
    return HierarchicalPeriods(
        budget=(step + edge + cloud) * 10.0 ** rng.uniform(0.01, 4, 2),
        step_cost=step,
        edge_cost=edge,
        cloud_cost=cloud,
        local_max=size,
        edge_max=size,
        **_constants(rng, ("rho", "beta", "delta", "edge_delta")),
    )


def _tiers(size: int, rng: np.random.Generator) -> AsyncTiers:
    """Devices up to ten times slower than others; the server keeps a least period at times."""
    times = 10.0 ** rng.uniform(0.0, 1.0, size)
    return AsyncTiers(times, rng.uniform(0.5, 3.0, size), 1.0, float(rng.choice([0.0, 2.0, 20.0])))


def _bits(size: int, rng: np.random.Generator) -> BitAllocation:
    """Deviations over four decades, caps on half of the devices, budgets from scarce to ample."""
    coordinates = rng.integers(1, 1000, size)
    cap = rng.choice([2.5, 4.0, 8.0, np.inf], size, p=[0.2, 0.2, 0.1, 0.5])
    budget = float(coordinates.sum()) * 10.0 ** rng.uniform(-2.0, 1.0)
    return BitAllocation(
        rng.random(size), 10.0 ** rng.uniform(-2, 2, size), coordinates, budget, cap
    )


def _whole(size: int, rng: np.random.Generator) -> WholeBitAllocation:
    return WholeBitAllocation(
        rng.random(size),
        10.0 ** rng.uniform(-1, 1, size),
        10,
        float(rng.integers(0, 60 * size)),
        rng.integers(1, 9, size),
    )


def _tasks(size: int, rng: np.random.Generator) -> WorkloadSharing:
    """Tables of 20 tasks that rise straight, convexly, concavely or anyhow, within limits."""
    steps = rng.exponential(1.0, (size, 20))
    kind = int(rng.integers(4))
    if kind == 0:
        steps = np.repeat(rng.random((size, 1)), 20, axis=1)
    elif kind < 3:
        steps = np.sort(steps, axis=1)[:, :: 3 - 2 * kind]
    energy = np.hstack([np.zeros((size, 1)), np.cumsum(steps, axis=1)])
    lower = rng.integers(0, 11, size)
    upper = rng.integers(lower, 21)
    tasks = int(rng.integers(lower.sum(), upper.sum() + 1))
    return WorkloadSharing(energy, tasks, lower, upper)


BUDGET = {"budget": limitless(budget_bit=1e12)}

LAWS = {
    "LocalSteps": Law(
        _steps, (1, 200), (1_000, 10_000, 100_000), (100, 1_000, 10_000, 100_000), "steps"
    ),
    "HierarchicalPeriods": Law(
        _periods, (1, 100), (1_000, 10_000, 100_000), (30, 100, 200), "steps and edge rounds"
    ),
    "AsyncTiers": Law(_tiers, (1, 50), (100, 300, 1_000), (30, 100, 300, 1_000)),
    "BitAllocation": Law(_bits, (1, 100), (1_000, 10_000, 100_000), (30, 300, 3_000, 30_000)),
    "WholeBitAllocation": Law(
        _whole, (1, 100), (1_000, 10_000, 100_000), (10, 100, 1_000), without=BUDGET
    ),
    "WorkloadSharing": Law(_tasks, (1, 30), (10, 100, 1_000), (5, 20, 40, 100)),
}
