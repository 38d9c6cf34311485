"""Every formulation has a law of random instances, and a law gives what the benchmark needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fl_opt
from benchmarks.formulations import REFERENCES, Tally, reference_of, solved_anew
from benchmarks.laws import LAWS
from fl_opt.catalogue import formulations, solvers_of

ROOT = Path(__file__).resolve().parent.parent


def test_every_formulation_has_a_law() -> None:
    assert set(LAWS) == set(formulations())


@pytest.mark.parametrize("name", sorted(LAWS))
def test_a_drawn_instance_is_solved_and_verified(name: str) -> None:
    law = LAWS[name]
    size = max(4, law.few[0])
    _, solution, seed = solved_anew(law, size, 0)
    problem: Any = law.draw(size, np.random.default_rng((seed, size)))
    assert type(problem).__name__ == name
    proof = solution.certificate
    judged = fl_opt.verify(problem, solution.allocation)
    assert judged.feasible
    assert judged.cost == proof.cost
    assert -np.inf < proof.bound <= proof.cost + 1e-12 * abs(proof.cost)
    assert set(law.without) | set(law.idle) <= set(problem.excess(solution.allocation))
    assert not set(law.without) & set(law.idle)


@pytest.mark.parametrize("name", sorted(LAWS))
def test_sizes_rise_and_a_reference_has_a_ladder(name: str) -> None:
    law = LAWS[name]
    assert list(law.sizes) == sorted(set(law.sizes))
    assert list(law.ladder) == sorted(set(law.ladder))
    assert law.few[0] <= law.few[1]
    others = solvers_of(formulations()[name])[1:]
    assert bool(law.ladder) == any(other in REFERENCES for other in others)
    if law.ladder:
        problem = law.draw(law.ladder[0], np.random.default_rng(0))
        assert reference_of(problem) in others


@pytest.mark.parametrize("name", sorted(LAWS))
def test_the_guide_to_choosing_knows_the_formulation(name: str) -> None:
    page = formulations()[name].__module__.rsplit(".", 1)[1]
    guide = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
    assert f"[{name}](formulations/{page}.md)" in guide


def test_a_false_bound_and_a_violation_are_failures() -> None:
    law = LAWS["OverTheAirPower"]
    problem = law.draw(4, np.random.default_rng(0))
    solution = fl_opt.solve(problem)
    cost = solution.certificate.cost
    tally = Tally()
    tally.add(law, solution)
    assert not tally.failures
    certificate = fl_opt.verify(problem, solution.allocation, bound=cost * 1.001, proof="dual")
    tally.add(law, fl_opt.Solution(solution.allocation, certificate, {}, "closed", 0.0))
    assert tally.failures == ["bound above its own cost"]
