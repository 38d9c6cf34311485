"""What can go wrong is an answer: it names place, value and cure, and survives a process."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest

from fl_opt.checks import number, vector
from fl_opt.errors import Infeasible, InvalidInput, SolverFailure, device_list


def test_invalid_input_says_place_value_expectation_and_cure() -> None:
    error = InvalidInput("gain[3]", "nan", "a number >= 0", "measure it again")
    assert str(error) == "gain[3] is nan; expected a number >= 0; measure it again"
    assert isinstance(error, ValueError)
    assert str(InvalidInput("K", 0, "at least 1")) == "K is 0; expected at least 1"


def test_infeasible_tells_its_cures_with_units() -> None:
    answer = Infeasible(
        "too much is asked",
        constraint="band",
        devices=[0, 2],
        relaxations={"band_hz": 2.5e6, "deadline_s": 1.25, "energy_j": None},
    )
    assert str(answer) == "too much is asked; cured by band_hz = 2.5 MHz or deadline_s = 1.25 s"
    assert answer.constraint == "band"
    np.testing.assert_array_equal(answer.devices, [0, 2])
    assert not isinstance(answer, ValueError)


def test_infeasible_without_a_single_cure_says_so() -> None:
    stuck = Infeasible("no", constraint="band", relaxations={"band_hz": None})
    assert str(stuck) == "no; moving one limit alone does not cure it"
    assert str(Infeasible("no", constraint="band")) == "no"


def test_cures_are_computed_when_somebody_asks_and_once() -> None:
    calls = []

    def cures() -> dict[str, float | None]:
        calls.append(1)
        return {"band_hz": 3.0}

    answer = Infeasible("no", constraint="band", relaxations=cures)
    assert not calls
    assert answer.relaxations["band_hz"] == 3.0
    assert str(answer) == "no; cured by band_hz = 3 Hz"
    assert len(calls) == 1


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("gain", -1.0, ">= 0", "turn it"),
        Infeasible("no", constraint="band", devices=[1], relaxations={"band_hz": 3.0}),
        SolverFailure("cvxpy", "it stalled", "try another"),
    ],
)
def test_errors_survive_a_process(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)


def test_an_infeasible_answer_takes_its_cures_along() -> None:
    answer = Infeasible("no", constraint="band", devices=[1], relaxations=lambda: {"band_hz": 3.0})
    # a closure cannot travel; what it says can
    copy = pickle.loads(pickle.dumps(answer))
    assert copy.relaxations == {"band_hz": 3.0}
    np.testing.assert_array_equal(copy.devices, [1])


@pytest.mark.parametrize(
    ("devices", "text"),
    [
        ([7], "device 7"),
        ([1, 2], "devices 1, 2"),
        (range(5), "devices 0, 1, 2, 3, 4"),
        (range(45), "devices 0, 1, 2, 3, 4 and 40 more"),
    ],
)
def test_many_devices_are_told_shortly(devices: Any, text: str) -> None:
    assert device_list(devices) == text


# checks of input


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1.0), np.array(1.0), "1"])
def test_a_number_in_any_dress(value: object) -> None:
    assert number("x", value) == 1.0


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        (-1.0, {}, "band_hz is -1 Hz; expected a number >= 0, finite [Hz]"),
        (0.0, {"open_low": True}, "band_hz is 0 Hz; expected a number > 0, finite [Hz]"),
        (2.0, {"high": 1.0}, "band_hz is 2 Hz; expected a number >= 0, <= 1, finite [Hz]"),
        (math.inf, {}, "band_hz is inf Hz; expected a number >= 0, finite [Hz]"),
        (math.nan, {"finite": False}, "band_hz is nan Hz; expected a number >= 0 [Hz]"),
        ("wide", {}, "band_hz is 'wide'; expected a number >= 0, finite [Hz]"),
        (None, {}, "band_hz is None; expected a number >= 0, finite [Hz]"),
    ],
)
def test_a_number_out_of_range_is_told_with_its_range(
    value: object, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput) as error:
        number("band_hz", value, **options)
    assert str(error.value) == message


def test_a_vector_is_shared_only_where_nobody_can_write() -> None:
    given = np.array([1.0, 2.0])
    checked = vector("x", given, 2)
    given[0] = 9.0
    assert checked[0] == 1.0
    assert not checked.flags.writeable
    np.testing.assert_array_equal(vector("x", 3.0, 4), np.full(4, 3.0))
