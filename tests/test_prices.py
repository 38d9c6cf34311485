"""The two-price method and outer approximation on a toy whose answer is a plain knapsack.

A candidate that gets b of the first resource needs a^2/b of the second. The least need of a set is
(sum a)^2/B, so that it is possible iff sum a <= sqrt(B E).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fl_opt.certificate import Excess
from fl_opt.solvers import binary
from fl_opt.solvers.exchange import cheapest
from fl_opt.solvers.outer import OuterApproximation
from fl_opt.solvers.prices import TwoPrices
from fl_opt.structure import Choice, Cut, Weighing
from fl_opt.units import Floats

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Amounts:
    first: Floats
    demand: float
    slope: float


@dataclass(frozen=True, eq=False)
class Rest:
    """Least sum a^2/b within the supply."""

    a: Floats
    supply: float
    shared = "first"

    def cost(self, decision: Amounts) -> float:
        return float((self.a**2 / decision.first).sum())

    def excess(self, decision: Amounts) -> dict[str, Excess]:
        return {"first": Excess(decision.first.sum(), self.supply, "")}

    def price_guess(self) -> float:
        return 1.0

    def respond(self, price: float, start: Amounts | None = None) -> Amounts:
        first = self.a / math.sqrt(price)
        return Amounts(first, float(first.sum()), -0.5 * float(first.sum()))

    def settle(self, response: Amounts) -> Amounts:
        share = self.supply / response.demand * (1.0 - 1e-15)
        return Amounts(response.first * share, self.supply, 0.0)

    def dual(
        self, price: float, response: Amounts
    ) -> tuple[float, Mapping[str, float | Floats | None]]:
        value = 2.0 * math.sqrt(price) * float(self.a.sum()) - price * self.supply
        return value * (1.0 - 1e-14), {"first": price}


@dataclass(frozen=True, eq=False)
class Toy:
    """Choose who shares both resources; a decision is a pair of a mask and amounts."""

    value: Floats
    a: Floats
    supply: float
    budget: float
    charge: float = 0.0

    def cost(self, decision: tuple[Mask, Floats]) -> float:
        taken, first = decision
        need = float((self.a[taken] ** 2 / first).sum()) if taken.any() else 0.0
        return self.charge * need - float(self.value[taken].sum())

    def excess(self, decision: tuple[Mask, Floats]) -> dict[str, Excess]:
        taken, first = decision
        need = (self.a[taken] ** 2 / first).sum() if taken.any() else 0.0
        used = first.sum() if taken.any() else 0.0
        return {"first": Excess(used, self.supply, ""), "second": Excess(need, self.budget, "")}

    @property
    def choice(self) -> Choice:
        zero = np.zeros(self.a.size)
        return Choice(self.value, zero, zero, self.supply, self.budget, self.charge)

    def rest(self, taken: Mask) -> Rest:
        return Rest(self.a[taken], self.supply)

    def join(self, taken: Mask, decision: Amounts | None) -> tuple[Mask, Floats]:
        return taken, np.zeros(0) if decision is None else decision.first

    def recall(self, decision: tuple[Mask, Floats]) -> Mask:
        return decision[0]

    def first(self, decision: Amounts) -> Floats:
        return decision.first

    def tangents(self, taken: Mask, first: Floats) -> Cut:
        at = np.maximum(first, 1e-3 * self.supply)
        a = self.a[taken]
        return Cut(np.flatnonzero(taken), at, a**2 / at, -((a / at) ** 2))

    def weigh(self, price: float, start: Weighing | None = None) -> Weighing:
        if price == math.inf:
            return Weighing(price, 0.0 * self.a, 0.0 * self.a, np.full(self.a.size, math.inf))
        root = math.sqrt(price)
        weight = 2.0 * root * self.a * (1.0 - 1e-15)
        return Weighing(price, weight, self.a / root, self.a * root)


@dataclass(frozen=True, eq=False)
class Vague(Toy):
    """Floating point does not tell whether candidate 0 fits; to be sure it needs too much."""

    @property
    def choice(self) -> Choice:
        least = np.where(np.arange(self.a.size) == 0, 2.0 * self.supply, 0.0)
        return dataclasses.replace(super().choice, least=least)


def toy(seed: int, size: int, charge: float = 0.0) -> Toy:
    rng = np.random.default_rng(seed)
    a = rng.uniform(0.5, 2.0, size)
    supply = rng.uniform(0.5, 2.0)
    budget = (rng.uniform(0.2, 0.8) * float(a.sum())) ** 2 / supply
    return Toy(rng.uniform(1.0, 2.0, size), a, supply, budget, charge)


def best_value(problem: Toy) -> float:
    """By trying all sets."""
    size = problem.a.size
    sets = (np.arange(2**size)[:, None] >> np.arange(size)) % 2 == 1
    need = (sets @ problem.a) ** 2 / problem.supply
    worth = sets @ problem.value - problem.charge * need
    return float(worth[need <= problem.budget].max())


@pytest.mark.parametrize("charge", [0.0, 0.05])
@pytest.mark.parametrize("seed", range(6))
def test_both_solvers_find_the_knapsack(seed: int, charge: float) -> None:
    problem = toy(seed, 12, charge)
    best = best_value(problem)
    for solver in (TwoPrices(), OuterApproximation()):
        certificate = solver(problem).certificate
        assert certificate.feasible
        assert certificate.cost == pytest.approx(-best, rel=1e-9)
        assert certificate.bound <= -best
        assert certificate.gap <= 1e-8


def test_the_best_rate_is_that_of_the_limits() -> None:
    problem = toy(0, 200)
    ample = problem.weigh(math.inf)
    found = cheapest(problem, ample, np.zeros(200, dtype=np.int8), 1e-12, ample)
    assert found.weighing.price == pytest.approx(problem.budget / problem.supply, rel=1e-4)
    order = np.argsort(-problem.value / problem.a)
    heap = np.cumsum(problem.a[order])
    room = math.sqrt(problem.supply * problem.budget)
    whole = int(np.searchsorted(heap, room))
    split = order[whole]
    part = (room - heap[whole - 1]) / problem.a[split]
    relaxed = problem.value[order[:whole]].sum() + part * problem.value[split]
    assert found.upper == pytest.approx(relaxed, rel=1e-8)
    assert found.split == split


def test_branches_bound_what_they_allow() -> None:
    problem = toy(1, 10)
    ample = problem.weigh(math.inf)
    size = problem.a.size
    sets = (np.arange(2**size)[:, None] >> np.arange(size)) % 2 == 1
    possible = (sets @ problem.a) ** 2 / problem.supply <= problem.budget
    rng = np.random.default_rng(1)
    for _ in range(20):
        sides = rng.integers(-1, 2, size).astype(np.int8)
        inside = possible & ((sets >= (sides > 0)) & (sets <= (sides >= 0))).all(axis=1)
        best = float((sets[inside] @ problem.value).max(initial=-math.inf))
        assert cheapest(problem, ample, sides, 1e-9, ample).upper >= best


@pytest.mark.parametrize("seed", range(3))
def test_one_candidate_too_large_for_its_price_is_branched_on(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = np.append(rng.uniform(0.5, 2.0, 400), 300.0)
    value = np.append(a[:400] * rng.uniform(1.0, 1.2, 400), 330.0)
    problem = Toy(value, a, 1.0, (0.5 * float(a[:400].sum()) + 150.0) ** 2)
    certificate = TwoPrices()(problem).certificate
    assert certificate.feasible
    assert certificate.gap <= 1e-8
    assert TwoPrices(core=0)(problem).certificate.gap > 1e-3


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [1, 2, 10, 200])
def test_a_vague_candidate_stays_out_but_in_the_bound(seed: int, size: int) -> None:
    sure = toy(seed, size)
    problem = Vague(sure.value, sure.a, sure.supply, sure.budget)
    others = Toy(sure.value[1:], sure.a[1:], sure.supply, sure.budget)
    certificate = TwoPrices()(problem).certificate
    assert certificate.feasible
    assert certificate.bound <= TwoPrices()(sure).certificate.cost
    best = TwoPrices()(others).certificate.cost if size > 1 else 0.0
    assert certificate.cost == pytest.approx(best, rel=1e-8)


@pytest.mark.parametrize("seed", range(8))
def test_small_programs_equal_enumeration(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size, charge = 9, float(rng.choice([0.0, 0.4]))
    value, rows = rng.uniform(1.0, 2.0, size), rng.uniform(0.0, 1.0, (2, size))
    limits, eased = np.array([2.0, 0.3]), np.array([False, charge > 0.0])
    sets = (np.arange(2**size)[:, None] >> np.arange(size)) % 2 == 1
    over = np.maximum(sets @ rows[1] - limits[1], 0.0)
    possible = (sets @ rows[0] <= limits[0]) & (over <= (5.0 if charge else 0.0))
    worth = np.where(possible, sets @ value - charge * over, -math.inf)
    arguments: dict[str, Any] = {
        "eased": eased,
        "charge": charge,
        "most": 5.0,
        "gap": 0.0,
        "nodes": 1000,
        "time_limit_s": 60.0,
    }
    best = float(worth.max())
    found = binary.maximise(value, rows, limits, target=0.0, **arguments)
    assert found.whole
    assert found.upper == pytest.approx(best, abs=1e-8)
    assert found.upper >= best
    assert found.chosen is not None
    assert worth[(sets == found.chosen).all(axis=1)] == pytest.approx(best, abs=1e-8)
    none = binary.maximise(value, rows, limits, target=best + 0.01, **arguments)
    assert none.chosen is None
    assert none.whole
    assert none.upper == pytest.approx(best + 0.01, abs=1e-8)
