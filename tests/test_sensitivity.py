"""The table of factors against metrics."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from still_world import Equal

from fl_opt import Arm, FedAvg, InvalidInput, Scenario, Task
from fl_opt.validation.sensitivity import (
    FACTORS,
    METRICS,
    UNKNOWN,
    Interrupted,
    Sensitivity,
    _effect,
    sensitivity,
)

CELL = Scenario.named("urban").replace(devices=6)
TASK = Task(model="mlp", samples=300)


@pytest.fixture(scope="module")
def table() -> Sensitivity:
    """A server that waits, full clocks and powers: laws that hold to the last digit."""
    arm = Arm(Equal(), FedAvg(local_steps=3, batch=8, rate=0.2))
    return sensitivity(CELL, arm, TASK, 6, (0, 1, 2))


def test_an_interval_is_that_of_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    low, high = np.exp(rng.normal(size=(2, 7)))
    effect = _effect(low, high, 2.25, 0.9)
    test = stats.ttest_rel(np.log(high), np.log(low))
    expected = test.confidence_interval(0.9)
    assert effect.elasticity == pytest.approx(np.log(high / low).mean() / math.log(2.25))
    assert effect.low == pytest.approx(expected.low / math.log(2.25))
    assert effect.high == pytest.approx(expected.high / math.log(2.25))
    assert effect.tick == (test.pvalue < 0.1)


def test_seeds_without_the_metric_do_not_count() -> None:
    low, high = np.array([1.0, math.nan, 2.0, 0.0]), np.array([2.0, 1.0, 4.0, 1.0])
    effect = _effect(low, high, 2.0, 0.95)
    assert effect.count == 2
    assert effect.elasticity == pytest.approx(1.0)
    assert _effect(low[:2], high[:2], 2.0, 0.95).count == 1
    assert not _effect(low[:2], high[:2], 2.0, 0.95).tick
    assert math.isnan(_effect(low[1:2], high[1:2], 2.0, 0.95).elasticity)


@pytest.mark.parametrize(
    ("factor", "metric", "elasticity"),
    [
        ("computation capacity", "T_C", -1.0),
        ("computation capacity", "E_C", 2.0),
        ("size of transmitted parameters", "T_T", 1.0),
        ("size of transmitted parameters", "E_T", 1.0),
        ("size of trained parameters", "T_T", 0.0),
        ("spectrum", "T_C", 0.0),
        ("spectrum", "loss", 0.0),
        ("channel", "E_C", 0.0),
        ("transmit power", "reliability", 0.0),
    ],
)
def test_laws_of_the_physics_come_out(
    table: Sensitivity, factor: str, metric: str, elasticity: float
) -> None:
    effect = table.effects[factor, metric]
    assert effect.elasticity == pytest.approx(elasticity, abs=1e-6)
    assert effect.tick == (elasticity != 0.0)
    assert effect.count == 3


def test_effects_have_the_sign_that_the_physics_gives_them(table: Sensitivity) -> None:
    for factor in ("spectrum", "channel", "transmit power"):
        assert -1.0 < table.effects[factor, "T_T"].elasticity < 0.0
    # airtime falls more slowly than power grows
    assert table.effects["transmit power", "E_T"].elasticity > 0.0
    assert table.effects["number of devices", "E_C"].elasticity > 0.5
    # a model and its work grow together, up to the biases
    assert table.effects["size of trained parameters", "E_C"].elasticity == pytest.approx(
        1, abs=0.1
    )


def test_a_deadline_lets_the_channel_move_the_learning() -> None:
    arm = Arm(Equal(deadline_s=0.1), FedAvg(local_steps=3, batch=8, rate=0.2))
    weak = CELL.scale(gain=1e-4)
    found = sensitivity(weak, arm, TASK, 15, (0, 1, 2, 3), step=3.0)
    assert found.effects["channel", "reliability"].elasticity > 0.05
    assert found.effects["channel", "loss"].elasticity < -0.02


def test_the_table_can_be_read(table: Sensitivity) -> None:
    frame = table.to_frame()
    assert list(frame.columns) == ["factor", "metric", "elasticity", "low", "high", "count", "tick"]
    assert len(frame) == len(FACTORS) * len(METRICS)
    text = str(table).splitlines()
    assert text[0].split() == list(METRICS)
    assert [line[:30].strip() for line in text[1:8]] == list(FACTORS)
    assert "-1.00*" in text[2]
    assert "95%" in text[9]


def test_what_a_model_or_a_method_lacks_is_left_open() -> None:
    done: list[tuple[int, int]] = []
    found = sensitivity(
        CELL,
        Arm(Equal(), FedAvg(local_steps=1)),
        Task(samples=300),
        1,
        (0, 1),
        progress=lambda at, total: done.append((at, total)),
    )
    assert all(found.effects["size of trained parameters", metric].count == 0 for metric in METRICS)
    assert str(found).splitlines()[6].split()[4:] == ["-"] * len(METRICS)
    assert done == [(run, 22) for run in range(1, 23)]


def test_ctrl_c_keeps_the_factors_that_are_finished(table: Sensitivity) -> None:
    arm = Arm(Equal(), FedAvg(local_steps=3, batch=8, rate=0.2))

    def stop_after(runs: int) -> Callable[[int, int], None]:
        def stop(done: int, total: int) -> None:
            if done == runs:
                raise KeyboardInterrupt

        return stop

    with pytest.raises(Interrupted) as stopped:  # base, both levels of the first factor, one more
        sensitivity(CELL, arm, TASK, 6, (0, 1, 2), progress=stop_after(10))
    for (factor, metric), effect in stopped.value.table.effects.items():
        expected = table.effects[factor, metric] if factor == "spectrum" else UNKNOWN
        assert repr(effect) == repr(expected)
    with pytest.raises(KeyboardInterrupt) as nothing:
        sensitivity(CELL, arm, TASK, 6, (0, 1, 2), progress=stop_after(2))
    assert nothing.type is KeyboardInterrupt


def test_what_makes_no_table_is_refused() -> None:
    arm = Arm(Equal())
    with pytest.raises(InvalidInput, match="at least two different seeds"):
        sensitivity(CELL, arm, TASK, 3, (0,))
    with pytest.raises(InvalidInput, match="at least two different seeds"):
        sensitivity(CELL, arm, TASK, 3, (0, 0))
    with pytest.raises(InvalidInput, match="step is 1; expected a number > 1"):
        sensitivity(CELL, arm, TASK, 3, step=1.0)
