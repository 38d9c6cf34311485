"""Where problems and solvers meet."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

from fl_opt import structure
from fl_opt.certificate import Problem, Solution
from fl_opt.checks import number
from fl_opt.errors import InvalidInput

D = TypeVar("D")


class Solver(Protocol):
    """A frozen algorithm, called on a problem that offers its structure."""

    def __call__(
        self, problem: Any, *, time_limit_s: float | None = None, start: Solution[Any] | None = None
    ) -> Solution[Any]:
        """Solve; raise ``Infeasible`` where there is nothing to find."""


@dataclass(frozen=True)
class Entry:
    """A solver by name: where it lives and which structure it needs."""

    module: str
    attribute: str
    needs: type

    def load(self) -> Solver:
        """The solver with its default options."""
        solver: Solver = getattr(importlib.import_module(self.module), self.attribute)()
        return solver

    @cached_property
    def members(self) -> frozenset[str]:
        """What the structure asks for, its bases included: methods and annotated attributes."""
        names: set[str] = set()
        for base in self.needs.__mro__:
            if base.__module__ != "typing":
                names |= {*vars(base), *vars(base).get("__annotations__", {})}
        return frozenset(name for name in names if not name.startswith("_"))

    def fits(self, problem: object) -> bool:
        """Whether `problem` offers the structure: ``isinstance``, asked in less time."""
        return all(hasattr(problem, name) for name in self.members)


SOLVERS: dict[str, Entry] = {
    "closed": Entry("fl_opt.solvers.closed", "Closed", structure.ClosedForm),
    "price": Entry("fl_opt.solvers.price", "Price", structure.Priced),
    "multipliers": Entry("fl_opt.solvers.multipliers", "Multipliers", structure.SmoothDual),
    "bisection": Entry("fl_opt.solvers.bisection", "Bisection", structure.Attainable),
    "nested": Entry("fl_opt.solvers.nested", "NestedSearch", structure.Nested),
    "assignment": Entry("fl_opt.solvers.assignment", "Assignment", structure.Matching),
    "budgeted": Entry("fl_opt.solvers.budgeted", "Budgeted", structure.BudgetedMatching),
    "core": Entry("fl_opt.solvers.core", "Core", structure.Knapsack),
    "prices": Entry("fl_opt.solvers.prices", "TwoPrices", structure.PricedChoice),
    "outer": Entry("fl_opt.solvers.outer", "OuterApproximation", structure.MixedConvex),
    "crossed": Entry("fl_opt.solvers.crossed", "CrossedOuter", structure.Crossed),
    "grouping": Entry("fl_opt.solvers.grouping", "Grouping", structure.Grouped),
    "steps": Entry("fl_opt.solvers.steps", "Steps", structure.Stepped),
    "branch": Entry("fl_opt.solvers.branch", "Branch", structure.Branched),
    "search": Entry("fl_opt.solvers.search", "Search", structure.Searched),
    "cvxpy": Entry("fl_opt.solvers.conic", "Conic", structure.Convex),
    "mip": Entry("fl_opt.solvers.mip", "Mip", structure.Mixed),
    "enumerate": Entry("fl_opt.solvers.enumeration", "Enumeration", structure.Enumerable),
}
"""All solvers, the fastest exact one first: ``solver="auto"`` takes the first that fits."""


def solvers_for(problem: Problem[Any]) -> list[str]:
    """Names of the solvers whose structure `problem` offers, the preferred one first."""
    return [name for name, entry in SOLVERS.items() if entry.fits(problem)]


def solve(
    problem: Problem[D],
    solver: str | Solver = "auto",
    time_limit_s: float | None = None,
    start: Solution[D] | None = None,
) -> Solution[D]:
    """Solve `problem` and certify the answer.

    Parameters
    ----------
    problem
        Any formulation of ``fl_opt.problems``, or your own that offers a structure.
    solver
        A name from ``fl_opt.SOLVERS``, a solver with options, or "auto": the fastest exact one.
    time_limit_s
        Wall-clock limit [s] for solvers that search a tree. When it strikes, the best decision
        found is returned with the bound proven so far.
    start
        An earlier solution of a like problem, to start from.

    Raises
    ------
    Infeasible
        No decision meets the constraints; the error says why and what would cure it.
    InvalidInput
        Unknown solver, or one whose structure the problem does not offer.
    """
    if time_limit_s is not None:
        number("time_limit_s", time_limit_s, open_low=True, finite=False)
    if not isinstance(solver, str):
        return solver(problem, time_limit_s=time_limit_s, start=start)
    # to ask for a structure takes a while: not for more than needed
    asked = SOLVERS.items() if solver == "auto" else [(solver, SOLVERS.get(solver))]
    for _, entry in asked:
        if entry is not None and entry.fits(problem):
            return entry.load()(problem, time_limit_s=time_limit_s, start=start)
    name, fitting = type(problem).__name__, ", ".join(solvers_for(problem)) or "none does"
    raise InvalidInput("solver", repr(solver), f"one that solves {name}: {fitting}")
