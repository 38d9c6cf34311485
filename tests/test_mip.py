"""Mixed-integer programs by HiGHS: the optimum, its bound, and how it fails."""

from __future__ import annotations

import itertools
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from fl_opt.certificate import Excess
from fl_opt.errors import Infeasible, InvalidInput, SolverFailure
from fl_opt.solvers.mip import Mip
from fl_opt.structure import Mixed, Program
from fl_opt.units import Floats

Whole = NDArray[np.int_]


@dataclass(frozen=True, eq=False)
class Cover:
    """Cheapest choice of columns that covers every row; `unit` scales the model's objective."""

    price: Floats
    rows: NDArray[np.bool_]
    unit: float = 1.0
    needed: float = 1.0

    def cost(self, decision: Whole) -> float:
        return float(self.price @ decision)

    def excess(self, decision: Whole) -> dict[str, Excess]:
        return {"cover": Excess(-(self.rows @ decision), -self.needed, "")}

    def program(self) -> Program[Whole]:
        import pyomo.environ as pyo

        columns = range(self.price.size)
        model = pyo.ConcreteModel()
        model.take = pyo.Var(columns, domain=pyo.Binary)
        model.cost = pyo.Objective(
            expr=sum(float(self.price[j] / self.unit) * model.take[j] for j in columns)
        )
        model.cover = pyo.Constraint(
            range(len(self.rows)),
            rule=lambda m, i: sum(m.take[j] for j in columns if self.rows[i, j]) >= self.needed,
        )
        return Program(
            model, lambda: np.array([round(model.take[j].value) for j in columns]), self.unit
        )


def cover(seed: int, size: int = 10) -> Cover:
    rng = np.random.default_rng(seed)
    rows = rng.random((8, size)) < 0.35
    rows[np.arange(8), rng.integers(0, size, 8)] = True
    return Cover(rng.uniform(1.0, 2.0, size) * 10.0 ** rng.integers(-3, 4), rows)


@pytest.mark.parametrize("seed", range(6))
def test_equals_enumeration_and_its_bound_is_true(seed: int) -> None:
    problem = cover(seed)
    solution = Mip()(problem)
    choices = (np.array(bits) for bits in itertools.product((0, 1), repeat=problem.price.size))
    best = min(problem.cost(x) for x in choices if (problem.rows @ x >= 1).all())
    assert solution.certificate.feasible
    assert solution.certificate.cost == pytest.approx(best, rel=1e-12)
    assert solution.certificate.bound <= best
    assert best - solution.certificate.bound <= 2e-9 * max(best, 1.0)
    assert solution.certificate.proof == "tree"
    assert solution.solver == "mip"


def test_the_unit_of_the_model_changes_nothing() -> None:
    plain = cover(3)
    scaled = Cover(plain.price, plain.rows, unit=1e-3)
    assert Mip()(scaled).certificate.cost == Mip()(plain).certificate.cost
    assert Mip()(scaled).certificate.bound == pytest.approx(Mip()(plain).certificate.bound)


def test_offers_its_structure() -> None:
    assert isinstance(cover(0), Mixed)


def test_infeasible_is_an_answer() -> None:
    problem = cover(0)
    with pytest.raises(Infeasible, match="HiGHS proves that no decision meets every limit"):
        Mip()(Cover(problem.price, problem.rows, needed=11.0))


def steiner(order: int) -> Cover:
    """Covering the triples x + y + z = 0 of a power of Z_3: small and hard for a tree."""
    points = list(itertools.product(range(3), repeat=order))
    index = {point: k for k, point in enumerate(points)}
    triples = set()
    for a, b in itertools.combinations(points, 2):
        third = tuple((-x - y) % 3 for x, y in zip(a, b, strict=True))
        triples.add(frozenset((index[a], index[b], index[third])))
    rows = np.zeros((len(triples), len(points)), dtype=bool)
    for row, triple in enumerate(sorted(map(sorted, triples))):
        rows[row, triple] = True
    return Cover(np.ones(len(points)), rows)


def test_a_time_limit_leaves_an_incumbent_and_a_bound() -> None:
    solution = Mip()(steiner(4), time_limit_s=0.5)
    assert solution.certificate.feasible
    assert solution.certificate.cost >= 61.0
    assert 27.0 - 1e-6 <= solution.certificate.bound <= 61.0


@dataclass(frozen=True, eq=False)
class Split:
    """Halve every row of a table by the same choice of columns: rarely possible, hard to refute."""

    table: Floats

    def cost(self, decision: Whole) -> float:
        return 0.0

    def excess(self, decision: Whole) -> dict[str, Excess]:
        half = self.table.sum(axis=1) // 2
        return {"half": Excess(np.abs(self.table @ decision - half), 0.0, "", scale=half)}

    def program(self) -> Program[Whole]:
        import pyomo.environ as pyo

        columns = range(self.table.shape[1])
        model = pyo.ConcreteModel()
        model.take = pyo.Var(columns, domain=pyo.Binary)
        model.nothing = pyo.Objective(expr=0.0 * model.take[0])
        model.half = pyo.Constraint(
            range(len(self.table)),
            rule=lambda m, i: (
                sum(float(self.table[i, j]) * m.take[j] for j in columns)
                == float(self.table[i].sum() // 2)
            ),
        )
        return Program(model, lambda: np.array([round(model.take[j].value) for j in columns]))


def test_no_decision_in_time_is_a_failure_with_a_cure() -> None:
    table = np.random.default_rng(0).integers(0, 100, (5, 40)).astype(float)
    with pytest.raises(SolverFailure, match=r"mip gave no answer: .*; allow more time") as caught:
        Mip()(Split(table), time_limit_s=0.3)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


def test_refuses_a_tolerance_that_highs_does_not_know() -> None:
    with pytest.raises(InvalidInput, match="tolerance is 0; expected"):
        Mip(tolerance=0.0)
