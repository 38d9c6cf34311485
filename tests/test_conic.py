"""Convex programs by Clarabel: judged by the physics, never by their status."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cvxpy
import numpy as np
import pytest

from fl_opt.certificate import Excess
from fl_opt.errors import Infeasible, SolverFailure
from fl_opt.solvers.conic import Conic
from fl_opt.structure import Convex, Model
from fl_opt.units import Floats


@dataclass(frozen=True, eq=False)
class Sharing:
    """Water-filling: maximise sum ln(noise + x) with sum x <= supply, x >= 0."""

    noise: Floats
    supply: float
    off: float = 1.0

    def cost(self, decision: Floats) -> float:
        return -float(np.log(self.noise + decision).sum())

    def excess(self, decision: Floats) -> dict[str, Excess]:
        used = Excess(decision.sum(), self.supply, "W")
        return {"supply": used, "sign": Excess(-decision, 0.0, "W", scale=1.0)}

    def model(self) -> Model[Floats]:
        x = cvxpy.Variable(self.noise.size, bounds=[0.0, 1e3])
        supply = cvxpy.sum(x) <= self.supply
        program = cvxpy.Problem(cvxpy.Minimize(-cvxpy.sum(cvxpy.log(self.noise + x))), [supply])

        def decision() -> Floats:
            share = np.maximum(x.value, 0.0)
            return np.asarray(share * self.off * min(1.0, self.supply / share.sum()))

        def bound() -> float:
            price = float(supply.dual_value)
            best = np.maximum(1.0 / price - self.noise, 0.0)
            value = -np.log(self.noise + best).sum() + price * best.sum() - price * self.supply
            return float(value) - 1e-12

        return Model(program, decision, bound)


NOISE = np.array([0.5, 1.0, 3.0])


def test_meets_the_closed_form_with_a_tight_bound() -> None:
    solution = Conic()(Sharing(NOISE, 1.5))
    level = (0.5 + 1.0 + 1.5) / 2.0
    assert solution.allocation == pytest.approx([level - 0.5, level - 1.0, 0.0], abs=1e-5)
    assert solution.certificate.feasible
    assert solution.certificate.proof == "dual"
    assert solution.certificate.gap <= 1e-9
    assert solution.solver == "cvxpy"


def test_offers_its_structure() -> None:
    assert isinstance(Sharing(NOISE, 1.0), Convex)


def test_a_wrong_decision_is_found_out_whatever_the_status() -> None:
    solution = Conic()(Sharing(NOISE, 1.5, off=1.01))
    assert not solution.certificate.feasible
    assert solution.certificate.violation["supply"].amount == pytest.approx(0.015)


def test_a_model_without_a_bound_proves_nothing() -> None:
    @dataclass(frozen=True, eq=False)
    class Unproven(Sharing):
        def model(self) -> Model[Floats]:
            full = super().model()
            return Model(full.program, full.decision)

    solution = Conic()(Unproven(NOISE, 1.5))
    assert solution.certificate.proof == "none"
    assert solution.certificate.gap == math.inf


def test_infeasible_is_an_answer() -> None:
    with pytest.raises(Infeasible, match="Clarabel proves that no decision meets every limit"):
        Conic()(Sharing(NOISE, -1.0))


def test_a_failure_says_what_to_do() -> None:
    @dataclass(frozen=True, eq=False)
    class Endless(Sharing):
        def model(self) -> Model[Floats]:
            x = cvxpy.Variable()
            return Model(cvxpy.Problem(cvxpy.Minimize(x)), lambda: self.noise)

    text = r"cvxpy gave no answer: Clarabel ended with unbounded; solve with another solver"
    with pytest.raises(SolverFailure, match=text):
        Conic()(Endless(NOISE, 1.0))


def test_a_time_limit_is_kept() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(SolverFailure, match="cvxpy gave no answer"):
        Conic()(Sharing(rng.uniform(0.1, 3.0, 2000), 100.0), time_limit_s=1e-9)
