"""The enumerating solver: the best feasible candidate, the least bound of all."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from fl_opt.certificate import Excess
from fl_opt.errors import Infeasible, SolverFailure
from fl_opt.solvers.enumeration import Enumeration
from fl_opt.structure import Enumerable


@dataclass(frozen=True, eq=False)
class Tour:
    """The shortest closed walk through all places that starts at the first, of bounded length."""

    places: tuple[complex, ...]
    most_m: float = math.inf
    pause_s: float = 0.0

    def cost(self, decision: tuple[int, ...]) -> float:
        stops = [self.places[i] for i in (*decision, decision[0])]
        return math.fsum(abs(b - a) for a, b in itertools.pairwise(stops))

    def excess(self, decision: tuple[int, ...]) -> dict[str, Excess]:
        return {"length": Excess(self.cost(decision), self.most_m, "m")}

    def candidates(self) -> Iterator[tuple[tuple[int, ...], float]]:
        for rest in itertools.permutations(range(1, len(self.places))):
            time.sleep(self.pause_s)
            yield (0, *rest), self.cost((0, *rest))


SQUARE = (0j, 1 + 1j, 1 + 0j, 1j)


def test_takes_the_best_with_proof() -> None:
    solution = Enumeration()(Tour(SQUARE))
    assert solution.certificate.cost == pytest.approx(4.0)
    assert solution.certificate.gap == 0.0
    assert solution.certificate.proof == "enumeration"
    assert solution.solver == "enumerate"


def test_offers_its_structure() -> None:
    assert isinstance(Tour(SQUARE), Enumerable)


def test_takes_no_candidate_that_breaks_a_limit() -> None:
    with pytest.raises(Infeasible, match="none of 6 candidates meets length") as caught:
        Enumeration()(Tour(SQUARE, most_m=3.9))
    assert caught.value.constraint == "length"


def test_a_time_limit_leaves_the_best_so_far_without_a_bound() -> None:
    solution = Enumeration()(Tour(SQUARE, pause_s=0.01), time_limit_s=1e-9)
    assert solution.certificate.feasible
    assert solution.certificate.gap == math.inf
    assert solution.certificate.proof == "none"


def test_a_time_limit_before_any_feasible_candidate_is_a_failure() -> None:
    with pytest.raises(SolverFailure, match="enumerate gave no answer: none of the first 1 cand"):
        Enumeration()(Tour(SQUARE, most_m=1.0, pause_s=0.01), time_limit_s=1e-9)
