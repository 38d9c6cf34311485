"""A problem's own heuristic, judged beside the problem's own bound."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from fl_opt.certificate import Excess
from fl_opt.errors import SolverFailure
from fl_opt.solvers.search import Search
from fl_opt.structure import Searched


@dataclass(frozen=True, eq=False)
class Listed:
    """Least of some numbers, offered in turn, of which those of at least one are feasible."""

    offers: tuple[float, ...]
    least: float
    pause_s: float = 0.0
    asked: list[float] = field(default_factory=list)

    def cost(self, decision: float) -> float:
        return decision

    def excess(self, decision: float) -> Mapping[str, Excess]:
        return {"low": Excess(-decision, -1.0, "")}

    def search(self) -> Iterator[float]:
        for offer in self.offers:
            time.sleep(self.pause_s)
            self.asked.append(offer)
            yield offer

    def floor(self) -> float:
        return self.least


def test_takes_the_best_feasible_offer_and_shows_the_gap() -> None:
    problem = Listed((5.0, 0.5, 2.0, 3.0), least=1.0)
    assert isinstance(problem, Searched)
    solution = Search()(problem)
    assert solution.allocation == 2.0
    assert (solution.certificate.bound, solution.certificate.proof) == (1.0, "dual")
    assert solution.certificate.gap == 0.5


def test_ends_where_the_bound_is_met() -> None:
    problem = Listed((4.0, 2.0, 3.0), least=2.0)
    assert Search()(problem).certificate.gap == 0.0
    assert problem.asked == [4.0, 2.0]


def test_ends_at_the_time_limit_with_what_there_is() -> None:
    problem = Listed((4.0, 3.0, 2.0, 1.0), least=0.0, pause_s=0.02)
    assert Search()(problem, time_limit_s=1e-9).allocation == 4.0
    assert problem.asked == [4.0]


def test_says_so_where_nothing_is_feasible() -> None:
    with pytest.raises(SolverFailure, match="the heuristic finds nothing feasible"):
        Search()(Listed((0.5, 0.1), least=0.0))
