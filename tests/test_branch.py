"""Branch and bound over options of groups: finds the best choice, and never proves too much."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fl_opt.certificate import Excess
from fl_opt.errors import Infeasible, InvalidInput, SolverFailure
from fl_opt.solvers.branch import Branch
from fl_opt.structure import Attempt, Branched, Relaxed
from fl_opt.units import Floats

Choice = NDArray[np.int_]


@dataclass(frozen=True, eq=False)
class Toy:
    """Prices of options, and a surcharge of pairs that the relaxation does not see.

    A choice is feasible if the sum of its options' numbers is at most `most`. With `told`, the
    relaxation says what each option costs more.
    """

    price: Floats
    surcharge: Floats
    most: int = 1000
    told: bool = False

    def cost(self, decision: Choice) -> float:
        rows = np.arange(decision.size)
        extra = sum(
            self.surcharge[i, j]
            for i, j in itertools.combinations(range(decision.size), 2)
            if decision[i] == decision[j]
        )
        return float(self.price[rows, decision].sum() + extra)

    def excess(self, decision: Choice) -> Mapping[str, Excess]:
        return {"most": Excess(float(decision.sum()), self.most, "", scale=1.0)}

    def options(self) -> NDArray[np.bool_]:
        return np.isfinite(self.price)

    def relax(
        self, allowed: NDArray[np.bool_], enough: float, start: Relaxed | None = None
    ) -> Relaxed:
        value = np.where(allowed, self.price, np.inf)
        choice = value.argmin(axis=1)
        bound = float(value.min(axis=1).sum())
        if np.where(allowed, np.arange(value.shape[1]), 10**6).min(axis=1).sum() > self.most:
            bound = np.inf
        if (allowed.sum(axis=1) == 1).all():
            bound = self.cost(choice) if choice.sum() <= self.most else np.inf
        several = allowed.sum(axis=1) > 1
        doubt = int(np.argmax(several)) if several.any() else -1
        rise = value - value.min(axis=1, keepdims=True) if self.told and doubt >= 0 else None
        return Relaxed(bound, choice, doubt, np.ones(1), rise)

    def fixed(self, choice: Choice, near: Relaxed) -> Fixed:
        return Fixed(self, choice)

    def refusal(self) -> Infeasible:
        return Infeasible("the numbers are too large", constraint="most")


@dataclass(frozen=True, eq=False)
class Fixed:
    """One choice: it has its cost."""

    whole: Toy
    choice: Choice

    def cost(self, decision: Choice) -> float:
        return self.whole.cost(decision)

    def excess(self, decision: Choice) -> Mapping[str, Excess]:
        return self.whole.excess(decision)

    def bracket(self) -> tuple[float, float]:
        cost = self.whole.cost(self.choice)
        return cost, cost

    def attain(self, cost: float) -> Attempt[Choice]:
        return Attempt(self.choice, 0.0, False)

    def prices(self, cost: float) -> Mapping[str, float | Floats | None]:
        return {}


def toy(seed: int) -> Toy:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 5)), int(rng.integers(1, 4)))
    price = rng.uniform(0.1, 1.0, shape)
    price[:, 1:][rng.random((shape[0], shape[1] - 1)) < 0.2] = np.inf
    most = int(rng.integers(0, 6)) if rng.random() < 0.5 else 1000
    surcharge = rng.uniform(0.0, 0.3, (shape[0], shape[0]))
    return Toy(price, surcharge, most, told=bool(rng.random() < 0.5))


def best_of(problem: Toy) -> float:
    best = np.inf
    for choice in itertools.product(range(problem.price.shape[1]), repeat=problem.price.shape[0]):
        if sum(choice) <= problem.most:
            best = min(best, problem.cost(np.array(choice)))
    return float(best)


@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_equals_all_choices(seed: int) -> None:
    problem = toy(seed)
    solution = Branch()(problem)
    assert solution.certificate.cost == pytest.approx(best_of(problem), rel=1e-12)
    assert solution.certificate.bound <= best_of(problem)
    assert solution.certificate.gap <= 1e-9


@given(st.integers(0, 2**32), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_what_is_proven_when_nodes_run_out_is_true(seed: int, nodes: int) -> None:
    problem = toy(seed)
    try:
        certificate = Branch(nodes=nodes)(problem).certificate
    except SolverFailure:
        return
    assert certificate.feasible
    assert certificate.bound <= best_of(problem)


def test_says_whether_it_branched() -> None:
    plain = Toy(np.array([[1.0, 2.0], [3.0, 1.0]]), np.zeros((2, 2)))
    assert Branch()(plain).certificate.proof == "dual"
    same = Toy(np.array([[1.0, 1.1], [1.0, 1.1]]), np.ones((2, 2)))
    solution = Branch()(same)
    assert solution.certificate.proof == "dual + tree"
    assert sorted(solution.allocation.tolist()) == [0, 1]


def test_nothing_feasible_is_said_by_the_problem() -> None:
    heavy = Toy(np.array([[np.inf, 1.0], [np.inf, 1.0]]), np.zeros((2, 2)), most=1)
    with pytest.raises(Infeasible, match="the numbers are too large"):
        Branch()(heavy)


class Vague(Toy):
    """Its bounds know nothing of `most`."""

    def relax(
        self, allowed: NDArray[np.bool_], enough: float, start: Relaxed | None = None
    ) -> Relaxed:
        return Toy(self.price, self.surcharge).relax(allowed, enough, start)


def test_what_is_not_refuted_is_not_called_infeasible() -> None:
    heavy = Vague(np.array([[np.inf, 1.0], [np.inf, 1.0]]), np.zeros((2, 2)), most=1)
    with pytest.raises(SolverFailure, match="no feasible choice"):
        Branch()(heavy)


def test_a_time_limit_leaves_a_true_bound() -> None:
    rng = np.random.default_rng(0)
    problem = Toy(rng.uniform(0.5, 1.0, (5, 4)), np.full((5, 5), 0.5))
    certificate = Branch()(problem, time_limit_s=1e-9).certificate
    assert certificate.bound <= best_of(problem)


def test_offers_its_structure() -> None:
    assert isinstance(toy(0), Branched)


@pytest.mark.parametrize(
    ("options", "text"), [({"gap": -1.0}, "gap is -1"), ({"nodes": 0}, "nodes is 0")]
)
def test_refuses_senseless_options(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        Branch(**options)
