"""Coursework: graded by what the physics says of an answer, never by a solution on file."""

from __future__ import annotations

import json
import runpy
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fl_opt
from fl_opt.grading import grade, read_answer, read_exercise

COURSEWORK = Path(__file__).resolve().parent.parent / "coursework"
EXERCISES = sorted(path.parent for path in COURSEWORK.glob("*/exercise.toml"))


def answer_of(allocation: fl_opt.Allocation) -> dict[str, Any]:
    names = ("selected", "bandwidth_hz", "power_w", "cpu_hz")
    return {name: getattr(allocation, name).tolist() for name in names}


def write(folder: Path, answer: object) -> Path:
    path = folder / "answer.json"
    path.write_text(json.dumps(answer), encoding="utf-8")
    return path


@pytest.fixture
def good() -> dict[str, Any]:
    return answer_of(fl_opt.solve(read_exercise(EXERCISES[0]).stated.problem).allocation)


@pytest.mark.parametrize("folder", EXERCISES, ids=lambda folder: folder.name)
def test_the_best_answer_earns_all_points(folder: Path, tmp_path: Path) -> None:
    exercise = read_exercise(folder)
    allocation = fl_opt.solve(exercise.stated.problem).allocation
    answer = read_answer(write(tmp_path, answer_of(allocation)), allocation.size)
    result = grade(exercise, answer)
    assert result.points == exercise.total
    assert result.passed
    assert "meets every limit" in str(result)


@pytest.mark.parametrize("folder", EXERCISES, ids=lambda folder: folder.name)
def test_an_easy_answer_is_feasible_and_does_not_pass(folder: Path) -> None:
    exercise = read_exercise(folder)
    network = exercise.stated.problem.network
    best = fl_opt.solve(exercise.stated.problem).allocation
    if best.selected.all():  # a fifth of the energy: equal shares, everything at full speed
        easy = best.replace(
            bandwidth_hz=network.band_hz / network.size,
            power_w=network.power_max_w,
            cpu_hz=network.cpu_max_hz,
            upload_s=None,
        )
    else:
        easy = fl_opt.Allocation.none(network.size)
    result = grade(exercise, easy)
    assert result.feasible
    assert not result.passed
    assert "more points from a gap of" in str(result)


@pytest.mark.parametrize("folder", EXERCISES, ids=lambda folder: folder.name)
def test_the_data_come_from_their_seed(folder: Path) -> None:
    draw = runpy.run_path(str(COURSEWORK / "cell.py"))["draw"]
    cell = tomllib.loads((folder / "cell.toml").read_text(encoding="utf-8"))
    drawn, shipped = draw(**cell), fl_opt.Network.from_csv(folder / "network.csv")
    assert drawn.to_dict() == shipped.to_dict()


def test_points_fall_with_the_gap(good: dict[str, Any], tmp_path: Path) -> None:
    exercise = read_exercise(EXERCISES[0])
    size = len(good["cpu_hz"])
    points = []
    for faster in (1.0, 1.001, 1.02, 1.15, 1.5):  # a clock too fast only wastes energy
        answer = good | {"cpu_hz": [faster * clock for clock in good["cpu_hz"]]}
        points.append(grade(exercise, read_answer(write(tmp_path, answer), size)).points)
    assert points == sorted(points, reverse=True)
    assert len(set(points)) > 3


def test_a_violated_limit_costs_everything_and_is_named(
    good: dict[str, Any], tmp_path: Path
) -> None:
    exercise = read_exercise(EXERCISES[0])
    size = len(good["cpu_hz"])
    wide = good | {"bandwidth_hz": [1.1 * band for band in good["bandwidth_hz"]]}
    result = grade(exercise, read_answer(write(tmp_path, wide), size))
    assert result.points == 0
    assert not result.feasible
    assert "exceeds band: 500 kHz over 5 MHz" in str(result)


def test_rounding_of_a_numerical_solver_is_forgiven(good: dict[str, Any], tmp_path: Path) -> None:
    exercise = read_exercise(EXERCISES[0])
    size = len(good["cpu_hz"])
    for excess, forgiven in ((0.9, True), (1.1, False)):
        factor = 1.0 + excess * exercise.tolerance
        wide = good | {"bandwidth_hz": [factor * band for band in good["bandwidth_hz"]]}
        assert grade(exercise, read_answer(write(tmp_path, wide), size)).feasible == forgiven


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"power_w": None}, r"power_w is None; expected an array of 16"),
        ({"power_w": [0.1] * 15}, r"power_w is 15 entries long; expected 16"),
        ({"power_w": [0.1] * 15 + ["much"]}, r"power_w\[15\] is 'much'"),
        ({"power_w": [0.1] * 15 + [float("nan")]}, r"power_w\[15\] is nan"),
        ({"power_w": [-0.1] * 16}, r"power_w\[0\] is -"),
        ({"power": [0.1] * 16}, r"power is unknown"),
        ({"selected": ["yes"] * 16}, r"selected\[0\] is 'yes'; expected true or false"),
    ],
)
def test_a_malformed_answer_is_told_what_is_wrong(
    good: dict[str, Any], tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(fl_opt.InvalidInput, match=says):
        read_answer(write(tmp_path, good | change), 16)


def test_an_answer_that_is_no_object(tmp_path: Path) -> None:
    with pytest.raises(fl_opt.InvalidInput, match="is a list; expected the arrays"):
        read_answer(write(tmp_path, [1, 2]), 2)
    (tmp_path / "answer.json").write_text("{")
    with pytest.raises(fl_opt.InvalidInput, match="not JSON"):
        read_answer(tmp_path / "answer.json", 2)
    with pytest.raises(fl_opt.InvalidInput, match="cpu_hz is missing"):
        read_answer(write(tmp_path, {"bandwidth_hz": [1], "power_w": [1]}), 1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("tolerance", "tolerence"), "tolerance is missing|tolerence is unknown"),
        (("[problem]", "[prob]"), "is missing|is unknown"),
        (("gap = 0.2", "gap = -0.2"), r"marks\[1\].gap is -0.2"),
        (('"MinEnergy"', '"MinEnergi"'), "did you mean MinEnergy"),
    ],
)
def test_a_malformed_exercise_is_told_what_is_wrong(
    tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    text = (EXERCISES[0] / "exercise.toml").read_text(encoding="utf-8")
    (tmp_path / "network.csv").write_bytes((EXERCISES[0] / "network.csv").read_bytes())
    (tmp_path / "exercise.toml").write_text(text.replace(*change), encoding="utf-8")
    with pytest.raises(fl_opt.InvalidInput, match=says):
        read_exercise(tmp_path)


def test_the_statement_says_what_the_grader_does() -> None:
    for folder in EXERCISES:
        exercise = read_exercise(folder)
        words = (folder / "statement.md").read_text(encoding="utf-8")
        assert f"{exercise.pass_points:g} points pass" in words
        for mark in exercise.marks:
            assert not np.isfinite(mark.gap) or f"{100 * mark.gap:g} %" in words
