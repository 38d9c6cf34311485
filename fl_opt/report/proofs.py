"""Certificates of the problems that arms solve, and prices of the first round's, as tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fl_opt.report.page import Cell, Table
from fl_opt.report.scales import sci
from fl_opt.units import quantity

if TYPE_CHECKING:
    from fl_opt.comparison import Report


def certificates(report: Report) -> Table | None:
    """What is proven of all rounds of the arms that solve a problem; None where no arm does."""
    rows = []
    for arm in report.arms:
        traces = report.runs(arm).values()
        gaps = np.concatenate([np.empty(0), *(trace.gap for trace in traces)])
        solved = gaps[~np.isnan(gaps)]
        if not solved.size:
            continue
        first = [t.first_solution for t in traces if t.first_solution is not None]
        rows.append(
            (
                arm,
                [
                    Cell(f"{solved.size} of {gaps.size}"),
                    Cell(_gap(float(np.median(solved)))),
                    Cell(_gap(float(solved.max()))),
                    Cell(_each(proof for trace in traces for proof in trace.proofs)),
                    Cell(_each(one.solver for one in first)),
                    Cell(quantity(float(np.median([one.seconds for one in first])), "s", 2))
                    if first
                    else Cell("–"),
                ],
            )
        )
    if not rows:
        return None
    return Table(
        "Certificates over all rounds and seeds, judged by the physics and not by the solver",
        "arm",
        ("rounds solved", "median gap", "worst gap", "proof", "solver", "time to solve"),
        rows,
        "The gap is the part of the cost by which a decision can be worse than the best there is; "
        "without a bound nothing is known. Rounds without a solution had nobody to serve or were "
        "infeasible, and are listed below. The time to solve is the median of the first rounds, "
        "wall clock.",
    )


def _gap(gap: float) -> str:
    return sci(gap, 2) if math.isfinite(gap) else "no bound"


def prices(report: Report) -> Table | None:
    """What the first round's limits cost, in the first seed that has a solution."""
    found: dict[str, Mapping[str, Any]] = {}
    for trace in report.traces:
        if trace.first_solution is not None:
            found.setdefault(trace.arm, trace.first_solution.prices)
    names = list(dict.fromkeys(name for one in found.values() for name in one))
    if not names:
        return None
    return Table(
        "Shadow prices in the first round: what one more unit of a limit would save",
        "arm",
        [name.replace("_", " ") for name in names],
        [(arm, [_price(one.get(name)) for name in names]) for arm, one in found.items()],
        "In units of the arm's cost per unit of the limit. Zero: the limit does not bind. A limit "
        "of integer choices has no price.",
    )


def _price(price: Any) -> Cell:
    if price is None:
        return Cell("–")
    if np.ndim(price) == 0:
        return Cell(sci(float(price), 3))
    binding = np.asarray(price)[np.asarray(price) > 0.0]
    if not binding.size:
        return Cell("0", f"{np.size(price)} devices")
    span = f"{sci(float(binding.min()), 3)} to {sci(float(binding.max()), 3)}"
    return Cell(span, f"binds at {binding.size} of {np.size(price)} devices")


def _each(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names)) or "–"
