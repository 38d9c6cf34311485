"""Coursework that marks itself: an answer is judged by its violations and its gap to a bound.

No solution is shipped. The exercise states a problem; the bound is proven anew whenever an answer
is graded, so that two different answers of equal cost earn the same, and none can be copied.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.certificate import Certificate, verify
from fl_opt.checks import number
from fl_opt.errors import InvalidInput
from fl_opt.problem_file import Stated, read_toml, state
from fl_opt.solving import solve

REQUIRED = ("bandwidth_hz", "power_w", "cpu_hz")
OPTIONAL = ("selected",)
KEYS = {"title", "tolerance", "pass_points", "problem", "marks"}


@dataclass(frozen=True)
class Mark:
    """Points for a feasible answer whose gap is at most `gap` (infinite: for being feasible)."""

    points: float
    gap: float


@dataclass(frozen=True, eq=False)
class Exercise:
    """A problem and what an answer to it is worth.

    Attributes
    ----------
    tolerance
        Share of a limit by which an answer may exceed it: room for the tolerance of numerical
        solvers [-].
    pass_points
        Points from which on the exercise counts as passed.
    """

    title: str
    stated: Stated
    tolerance: float
    pass_points: float
    marks: tuple[Mark, ...]

    @property
    def total(self) -> float:
        """All points that can be had."""
        return sum(mark.points for mark in self.marks)


@dataclass(frozen=True, eq=False)
class Grade:
    """What an answer earned, and why."""

    points: float
    total: float
    passed: bool
    feasible: bool
    certificate: Certificate
    remarks: tuple[str, ...]

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "not passed"
        return "\n".join(
            [f"{self.points:g} of {self.total:g} points, {verdict}"]
            + [f"  {remark}" for remark in self.remarks]
        )


def read_exercise(path: str | Path) -> Exercise:
    """Read an exercise from its folder, or from its ``exercise.toml``.

    .. code-block:: toml

        title = "Share the band"
        tolerance = 1e-6
        pass_points = 5

        [problem]                  # as in a problem file
        problem = "MinEnergy"
        network = "network.csv"
        deadline_s = 1.5

        [[marks]]
        points = 2
        gap = inf                  # for being feasible

        [[marks]]
        points = 8
        gap = 0.01

    Raises ``InvalidInput`` naming the file and the key.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "exercise.toml"
    data = read_toml(path)
    for name in sorted(KEYS ^ data.keys()):
        fault = "missing" if name in KEYS else "unknown"
        raise InvalidInput(f"{path}: {name}", fault, f"the keys {', '.join(sorted(KEYS))}")
    if not isinstance(data["problem"], dict) or not isinstance(data["marks"], list):
        raise InvalidInput(str(path), "of another form", "a [problem] and several [[marks]]")
    marks = tuple(
        Mark(
            number(f"{path}: marks[{index}].points", entry.get("points"), open_low=True),
            number(f"{path}: marks[{index}].gap", entry.get("gap"), finite=False),
        )
        for index, entry in enumerate(data["marks"])
    )
    return Exercise(
        str(data["title"]),
        state(data["problem"], str(path), path.parent),
        number(f"{path}: tolerance", data["tolerance"]),
        number(f"{path}: pass_points", data["pass_points"]),
        tuple(sorted(marks, key=lambda mark: -mark.gap)),
    )


def read_answer(path: str | Path, size: int) -> Allocation:
    """Read an answer for `size` devices from JSON.

    An object of arrays, a number per device in the order of the network's rows: `bandwidth_hz`,
    `power_w`, `cpu_hz`, and `selected` (true or false) where not everybody takes part.

    Raises ``InvalidInput`` naming the file, the key and the device.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(str(path), f"not JSON ({error})", "an object of arrays") from None
    keys = f"the arrays {', '.join(REQUIRED)}, and selected where not all take part"
    if not isinstance(data, dict):
        raise InvalidInput(str(path), f"a {type(data).__name__}", keys)
    for name in data.keys() - {*REQUIRED, *OPTIONAL}:
        raise InvalidInput(f"{path}: {name}", "unknown", keys)
    for name in REQUIRED:
        if name not in data:
            raise InvalidInput(f"{path}: {name}", "missing", keys)
    selected = _selected(data.get("selected", [True] * size), size, f"{path}: selected")
    bandwidth, power, clock = (_numbers(data[name], size, f"{path}: {name}") for name in REQUIRED)
    return Allocation(selected=selected, bandwidth_hz=bandwidth, power_w=power, cpu_hz=clock)


def _entries(value: Any, size: int, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidInput(where, repr(value)[:40], f"an array of {size} entries, one per device")
    if len(value) != size:
        raise InvalidInput(where, f"{len(value)} entries long", f"{size}, one per device")
    return value


def _selected(value: Any, size: int, where: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    for device, entry in enumerate(_entries(value, size, where)):
        if entry not in (True, False):  # 0 and 1 are equal to them
            raise InvalidInput(f"{where}[{device}]", repr(entry), "true or false")
    return np.array(value, dtype=bool)


def _numbers(value: Any, size: int, where: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(
        [
            number(f"{where}[{device}]", entry)
            for device, entry in enumerate(_entries(value, size, where))
        ]
    )


def grade(exercise: Exercise, answer: Allocation) -> Grade:
    """Judge an answer: `verify` it, prove a bound, compare.

    A violated limit costs all points; otherwise each mark is earned whose gap is reached.
    """
    problem = exercise.stated.problem
    best = solve(problem, exercise.stated.solver, exercise.stated.time_limit_s).certificate
    judged = verify(problem, answer, bound=best.bound, proof=best.proof)
    remarks = []
    for violation in judged.violation.values():
        if violation.amount > exercise.tolerance * abs(violation.limit):
            remarks.append(f"exceeds {violation}")
    feasible = not remarks
    reached = [mark for mark in exercise.marks if feasible and judged.gap <= mark.gap]
    missed = [mark for mark in exercise.marks if mark not in reached]
    if feasible:
        remarks.append("meets every limit")
        if math.isfinite(judged.gap):
            remarks.append(
                f"cost {judged.cost:.6g}, no answer is below {judged.bound:.6g} "
                f"({judged.proof}): gap {judged.gap:.2g}"
            )
        if missed:
            remarks.append(f"{missed[0].points:g} more points from a gap of {missed[0].gap:g} on")
    points = sum(mark.points for mark in reached)
    return Grade(
        points,
        exercise.total,
        points >= exercise.pass_points,
        feasible,
        judged,
        tuple(remarks),
    )
