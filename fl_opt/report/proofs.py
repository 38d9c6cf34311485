"""Certificates and prices of the first round's problems, as tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fl_opt.report.page import Cell, Table
from fl_opt.units import quantity

if TYPE_CHECKING:
    from fl_opt.certificate import Solution
    from fl_opt.comparison import Report


def solutions(report: Report) -> dict[str, list[Solution[Any]]]:
    """First-round solutions of every arm that solves a problem, by seed."""
    found = {
        arm: [
            trace.first_solution
            for trace in report.runs(arm).values()
            if trace.first_solution is not None
        ]
        for arm in report.arms
    }
    return {arm: some for arm, some in found.items() if some}


def certificates(report: Report) -> Table | None:
    """What is proven of the first rounds: worst gap, kind of proof, violations, solver."""
    rows = []
    for arm, some in solutions(report).items():
        gaps = np.array([one.certificate.gap for one in some])
        violated = [one for one in some if not one.certificate.feasible]
        worst = float(gaps.max())
        rows.append(
            (
                arm,
                [
                    Cell(f"{worst:.1e}" if math.isfinite(worst) else "no bound"),
                    Cell(_each(one.certificate.proof for one in some)),
                    Cell(f"{len(violated)} of {len(some)}"),
                    Cell(_each(one.solver for one in some)),
                    Cell(quantity(float(np.median([one.seconds for one in some])), "s", 2)),
                ],
            )
        )
    if not rows:
        return None
    return Table(
        "First round of every seed, judged by the physics and not by the solver",
        "arm",
        ("worst gap", "proof", "violated", "solver", "time to solve"),
        rows,
        "The gap is the part of the cost by which the decision can be worse than the best there "
        "is. A gap of 1e-9 leaves nothing to gain; without a bound nothing is known.",
    )


def prices(report: Report) -> Table | None:
    """What the first round's limits cost, in the first seed that has a solution."""
    found = {arm: some[0].prices for arm, some in solutions(report).items()}
    names = list(dict.fromkeys(name for one in found.values() for name in one))
    if not names:
        return None
    return Table(
        "Shadow prices in the first round: what one more unit of a limit would save",
        "arm",
        names,
        [(arm, [_price(one.get(name)) for name in names]) for arm, one in found.items()],
        "In units of the arm's cost per unit of the limit. Zero: the limit does not bind. A limit "
        "of integer choices has no price.",
    )


def _price(price: Any) -> Cell:
    if price is None:
        return Cell("–")
    if np.ndim(price) == 0:
        return Cell(f"{float(price):.4g}")
    binding = np.asarray(price)[np.asarray(price) > 0.0]
    if not binding.size:
        return Cell("0", f"{np.size(price)} devices")
    span = f"{binding.min():.3g} to {binding.max():.3g}"
    return Cell(span, f"binds at {binding.size} of {np.size(price)} devices")


def _each(names: Any) -> str:
    return ", ".join(dict.fromkeys(str(name) for name in names))
