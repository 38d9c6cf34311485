"""Newton along the barrier path of several prices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest

import fl_opt
from fl_opt import InvalidInput
from fl_opt.certificate import Excess
from fl_opt.solvers.multipliers import Multipliers
from fl_opt.structure import DualPoint, SmoothDual
from fl_opt.units import Floats


@dataclass(frozen=True, eq=False)
class Nearest:
    """minimise |x - target|^2 with A x <= b: the point of a polyhedron that is nearest."""

    target: Floats
    rows: Floats
    limit: Floats

    def cost(self, decision: Floats) -> float:
        return float(np.sum((decision - self.target) ** 2))

    def excess(self, decision: Floats) -> Mapping[str, Excess]:
        return {"rows": Excess(self.rows @ decision, self.limit, "", scale=1e3)}

    def price_guess(self) -> Floats:
        return np.ones(self.limit.size)

    def _at(self, prices: Floats) -> Floats:
        return np.asarray(self.target - 0.5 * self.rows.T @ prices)

    def dual(self, prices: Floats) -> DualPoint:
        x = self._at(prices)
        slope = self.rows @ x - self.limit
        return DualPoint(
            self.cost(x) + float(prices @ slope), slope, -0.5 * self.rows @ self.rows.T
        )

    def settle(self, prices: Floats) -> Floats:
        return self._at(prices)

    def bound(self, prices: Floats) -> tuple[float, Mapping[str, float | Floats | None]]:
        return self.dual(prices).value - 1e-13, {"rows": prices}


@pytest.mark.parametrize("seed", range(30))
def test_equals_an_active_set_method(seed: int) -> None:
    from scipy.optimize import nnls

    rng = np.random.default_rng(seed)
    limits, size = int(rng.integers(1, 7)), int(rng.integers(1, 7))
    rows, target = rng.normal(size=(limits, size)), rng.normal(size=size)
    limit = rows @ rng.normal(size=size) + rng.exponential(0.3, limits)
    problem = Nearest(target, rows, limit)
    assert isinstance(problem, SmoothDual)
    solution = Multipliers()(problem)
    assert solution.certificate.feasible
    assert solution.certificate.bound <= solution.certificate.cost
    # least distance as a nonnegative least-squares problem (Lawson, Hanson, chapter 23)
    stacked = np.vstack([rows.T, (rows @ target - limit)[None, :]])
    goal = np.append(np.zeros(size), 1.0)
    _, residual = nnls(-stacked, -goal)
    y, _ = nnls(-stacked, -goal)
    left = -stacked @ y + goal
    distance = float(np.sum((left[:-1] / left[-1]) ** 2)) if residual > 1e-12 else math.inf
    assert solution.certificate.cost == pytest.approx(distance, rel=1e-6, abs=1e-9)


def test_a_limit_that_does_not_bind_has_no_price() -> None:
    problem = Nearest(np.array([2.0, 0.0]), np.eye(2), np.array([1.0, 1.0]))
    solution = Multipliers()(problem)
    assert solution.allocation == pytest.approx([1.0, 0.0], abs=1e-9)
    assert solution.prices["rows"] == pytest.approx([2.0, 0.0], abs=1e-9)
    assert solution.certificate.gap <= 1e-10


def test_stops_at_a_time_limit_with_what_it_can_prove() -> None:
    rng = np.random.default_rng(0)
    stated = fl_opt.OverTheAirFading(1e-10 * rng.exponential(1.0, (50, 10)), 0.1, 1e-11)
    early = Multipliers()(stated, time_limit_s=1e-9)
    assert early.certificate.feasible
    assert early.certificate.bound <= fl_opt.solve(stated).certificate.cost
    assert early.certificate.gap > 1e-3


def test_refuses_a_tolerance_that_proves_nothing() -> None:
    with pytest.raises(InvalidInput, match=r"tolerance is 1; expected a number > 0, <= 0.01"):
        Multipliers(tolerance=1.0)
