"""Small 0/1 programs: nothing better than what is found, where HiGHS alone would err."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fl_opt.solvers import binary
from fl_opt.units import Floats


def maximise(value: Floats, rows: Floats, limits: Floats, target: float) -> binary.Found:
    limited: dict[str, Any] = {"nodes": 10_000, "time_limit_s": 60.0, "gap": 0.0}
    eased = np.zeros(limits.size, dtype=bool)
    return binary.maximise(
        value, rows, limits, eased=eased, charge=0.0, most=1.0, target=target, **limited
    )


def test_what_presolve_calls_infeasible_is_found() -> None:
    # HiGHS 1.15.1 with presolve and tolerances of 1e-10 finds nothing above the target here
    value = np.array([1.0826210450284737, 0.35658721341018407, 1.8607917415613422])
    rows = np.array(
        [
            [7160.4721950271251, 1869.7804372487001, 12831.091263995908],
            [0.082356195789969652, 0.028242425539869019, 0.071662841389732279],
        ]
    )
    limits = np.array([22050.51976720369, 0.1109959687537638])
    found = maximise(value, rows, limits, 1.860791742491738)
    assert found.chosen is not None
    assert found.chosen.tolist() == [False, True, True]
    assert found.upper >= value[1:].sum()


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_values_nearly_proportional_to_a_row_equal_enumeration(first: int) -> None:
    for seed in range(first, first + 50):
        rng = np.random.default_rng(seed)
        size, count = int(rng.integers(2, 11)), int(rng.integers(1, 5))
        base = rng.lognormal(0.0, 0.5, size)
        rows = base * rng.uniform(0.8, 1.2, (count, size)) * 10.0 ** rng.uniform(-6, 4, (count, 1))
        limits = rows.sum(axis=1) * rng.uniform(0.2, 0.8) * rng.uniform(0.95, 1.05, count)
        value = base / base.mean() + 0.1
        sets = (np.arange(2**size)[:, None] >> np.arange(size)) % 2
        worth = np.sort((sets @ value)[(sets @ rows.T <= limits).all(axis=1)])
        for target in (0.0, float(worth[max(worth.size - 2, 0)])):
            found = maximise(value, rows, limits, target)
            assert found.whole
            assert found.upper >= worth[-1]
            assert math.isclose(found.upper, max(worth[-1], target), rel_tol=1e-7, abs_tol=1e-7)
            if worth[-1] > target * (1.0 + 1e-7):
                assert found.chosen is not None
                assert value[found.chosen].sum() == pytest.approx(worth[-1], rel=1e-7)
