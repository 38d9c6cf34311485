from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fl_opt import Allocation, Arm, FedAvg, InvalidInput, Network, Scenario, Task, Trace, Workload
from fl_opt import compare as public_compare
from fl_opt.comparison import (
    MEASURES,
    Interrupted,
    Interval,
    Report,
    compare,
    regime_map,
    trained_map,
)
from fl_opt.comparison.environment import describe
from fl_opt.comparison.measures import Measure, yardstick
from fl_opt.comparison.plain import plain
from fl_opt.comparison.regime import QUANTITIES
from fl_opt.comparison.rows import PairRow
from fl_opt.comparison.runs import side_by_side
from fl_opt.comparison.statistics import bootstrap_interval, coverage_limit, half_reached
from fl_opt.policies import BestChannel, BestUpdateNorm, Everyone, Optimised, Random
from fl_opt.problems.min_energy import MinEnergy

SMALL = Scenario.named("urban").replace(devices=5)
TASK = Task("digits", "softmax", samples=200, test_samples=100)


def trace_of(
    arm: str,
    seed: int,
    accuracy: Any,
    *,
    round_s: Any = 1.0,
    energy_j: Any = 2.0,
    claimed_s: Any = 1.0,
) -> Trace:
    """A run with invented series over two devices."""
    series = np.asarray(accuracy, dtype=float)
    rounds = series.size
    lengths, joules, claims = (
        np.broadcast_to(np.asarray(value, dtype=float), (rounds,))
        for value in (round_s, energy_j, claimed_s)
    )
    there = np.ones((rounds, 2), dtype=bool)
    network = Network(
        gain=[1e-10, 1e-11],
        power_max_w=0.2,
        cpu_min_hz=1e8,
        cpu_max_hz=1e9,
        capacitance=1e-28,
        cycles=1e8,
        upload_bit=1e5,
        samples=10,
        band_hz=1e6,
    )
    known: dict[str, Any] = {
        "arm": arm,
        "seed": seed,
        "time_s": np.cumsum(lengths),
        "round_s": lengths,
        "energy_j": joules,
        "accuracy": series,
        "loss": 1.0 - series,
        "selected": np.full(rounds, 2),
        "arrived": np.full(rounds, 2),
        "jain": np.ones(rounds),
        "claimed_s": claims,
        "claimed_j": joules,
        "training_s": lengths,
        "airtime_s": lengths,
        "training_j": joules,
        "upload_j": joules,
        "participation": there,
        "bandwidth_hz": there * 5e5,
        "device_energy_j": there * joules[:, None] / 2,
        "first_network": network,
        "first_allocation": Allocation.none(2),
        "first_solution": None,
        "positions_m": np.zeros((2, 2)),
        "notes": (),
    }
    # what a comparison does not read is left empty
    return Trace(**{item.name: None for item in fields(Trace)} | known)


def report_of(*traces: Trace, **options: Any) -> Report:
    arms = tuple(dict.fromkeys(trace.arm for trace in traces))
    seeds = tuple(dict.fromkeys(trace.seed for trace in traces))
    return Report(
        traces=traces,
        arms=arms,
        seeds=seeds,
        rounds=traces[0].rounds,
        scenario={"name": "invented"},
        task={},
        **options,
    )


def pair_of(report: Report, name: str) -> PairRow:
    (row,) = (row for row in report.paired_rows() if row.measure.name == name)
    return row


def value_of(report: Report, arm: str, name: str) -> float:
    (row,) = (r for r in report.arm_rows() if r.measure.name == name and r.arm == arm)
    return row.interval.value


# intervals: against an independent way, and against the truth


def test_the_bootstrap_of_few_values_is_that_of_all_resamples() -> None:
    sample = np.array([0.3, 1.0, 2.5, 2.6, 4.0])
    from scipy.stats import norm, t

    means = [np.mean(draw) for draw in itertools.product(sample, repeat=5)]
    tail = norm.cdf(-math.sqrt(5 / 4) * t.ppf(0.9, 4))
    interval = bootstrap_interval(sample, level=0.8, resamples=200_000)
    low, high = np.quantile(means, [tail, 1.0 - tail])
    assert interval.low == pytest.approx(low, abs=0.02)
    assert interval.high == pytest.approx(high, abs=0.02)


@pytest.mark.parametrize(("count", "low", "high"), [(3, 0.69, 0.81), (10, 0.90, 0.98)])
def test_the_interval_covers_the_truth_as_often_as_is_said(
    count: int, low: float, high: float
) -> None:
    rng = np.random.default_rng(1)
    draws = rng.standard_normal((400, count))
    intervals = [bootstrap_interval(draw, resamples=1000) for draw in draws]
    covered = np.mean([interval.low <= 0.0 <= interval.high for interval in intervals])
    assert low <= covered <= high
    assert covered <= coverage_limit(count) + 0.05


def test_of_one_value_nothing_is_claimed() -> None:
    interval = bootstrap_interval([2.0])
    assert interval.value == 2.0
    assert math.isnan(interval.low)
    assert not interval.excludes_zero
    assert bootstrap_interval([]).count == 0


@pytest.mark.parametrize(("count", "sure"), [(5, False), (6, True)])
def test_a_difference_is_sure_only_from_six_values_on(count: int, sure: bool) -> None:
    assert bootstrap_interval(np.linspace(1.0, 2.0, count)).excludes_zero is sure
    assert (coverage_limit(count) >= 0.95) is sure


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12),
    st.floats(-1e3, 1e3),
    st.floats(1e-2, 1e2),
)
@settings(max_examples=30, deadline=None)
def test_moving_and_scaling_a_sample_moves_and_scales_its_interval(
    sample: list[float], shift: float, scale: float
) -> None:
    one = bootstrap_interval(sample, resamples=500)
    two = bootstrap_interval(np.array(sample) * scale + shift, resamples=500)
    assert two.low == pytest.approx(one.low * scale + shift, rel=1e-9, abs=1e-6)
    assert two.high == pytest.approx(one.high * scale + shift, rel=1e-9, abs=1e-6)


def test_half_of_the_runs_had_got_there() -> None:
    assert half_reached([3.0, 1.0, 2.0]) == 2.0
    assert half_reached([3.0, math.nan]) == 3.0
    assert half_reached([3.0, math.nan, math.nan]) == math.inf
    assert math.isnan(half_reached([]))


# what is read off a run


def test_measures_of_a_run_by_hand() -> None:
    run = trace_of("a", 0, [0.2, math.nan, 0.8, 0.7], round_s=[1, 2, 3, 4], energy_j=[1, 1, 1, 5])
    yard = yardstick([run], accuracy=0.75)
    found = {measure.name: measure.read(run, yard) for measure in MEASURES}
    assert found["final_accuracy"] == 0.7
    assert found["time_to_target_s"] == 6.0
    assert found["energy_to_target_j"] == 3.0
    assert found["time_s"] == 10.0
    assert found["energy_j"] == 8.0
    assert found["arrived_per_round"] == 2.0
    assert found["lost_share"] == 0.0
    assert found["time_over_claim"] == 10.0 / 4.0
    assert found["energy_over_claim"] == 1.0


def test_the_target_favours_no_arm_and_says_its_rule() -> None:
    runs = [trace_of("a", 0, [0.9]), trace_of("b", 0, [0.5]), trace_of("b", 1, [0.6])]
    for order in itertools.permutations(runs):
        assert yardstick(order).accuracy == pytest.approx(0.95 * 0.6)
    assert yardstick(runs).rule == "95% of the median final accuracy of all 3 runs"
    assert yardstick(runs, 0.7).rule == "given"
    assert math.isnan(yardstick([trace_of("a", 0, [math.nan])]).accuracy)


def test_accuracy_at_equal_time_looks_no_further_than_all_runs_reach() -> None:
    slow = trace_of("slow", 0, [0.1, 0.2, 0.9], round_s=10.0)
    fast = trace_of("fast", 0, [0.1, 0.3, 0.4], round_s=4.0)
    report = report_of(slow, fast)
    assert report.yardstick.time_s == 12.0
    assert value_of(report, "slow", "accuracy_at_time") == 0.1
    assert value_of(report, "fast", "accuracy_at_time") == 0.4


# pairs, and runs that never get there


def test_differences_are_taken_seed_by_seed() -> None:
    runs = [trace_of("base", s, [0.5 + 0.1 * s]) for s in range(4)]
    runs += [trace_of("new", s, [0.52 + 0.1 * s]) for s in range(4)]
    row = pair_of(report_of(*runs), "final_accuracy")
    assert row.interval.value == pytest.approx(0.02)
    assert row.interval.high - row.interval.low < 1e-12
    assert (row.better, row.worse, row.undecided) == (4, 0, 0)


def test_a_seed_that_only_one_arm_finished_is_left_out() -> None:
    runs = [trace_of("base", s, [0.5]) for s in range(3)] + [trace_of("new", 0, [0.9])]
    report = report_of(*runs)
    assert not report.complete
    assert pair_of(report, "final_accuracy").interval.count == 1


def test_a_run_that_never_gets_there_is_neither_dropped_nor_guessed() -> None:
    never = [0.1, 0.2, 0.3]
    runs = [
        # both get there: 2 against 1
        trace_of("base", 0, [0.1, 0.9, 0.9]),
        trace_of("new", 0, [0.9, 0.9, 0.9]),
        # only the arm does, while the other was still watched
        trace_of("base", 1, never),
        trace_of("new", 1, [0.1, 0.1, 0.9]),
        # only the arm does, but the other was not watched so long: it cannot be told
        trace_of("base", 2, never, round_s=0.5),
        trace_of("new", 2, [0.1, 0.1, 0.9]),
        # neither does
        trace_of("base", 3, never),
        trace_of("new", 3, never),
    ]
    report = report_of(*runs, target_accuracy=0.8)
    row = pair_of(report, "time_to_target_s")
    assert (row.better, row.worse, row.undecided) == (2, 0, 2)
    assert row.horizon == 1.5  # all eight runs were watched that long
    # restricted to 1.5: (1 - 1.5), (1.5 - 1.5), (1.5 - 1.5), (1.5 - 1.5)
    assert row.interval.value == pytest.approx(-0.5 / 4)
    assert row.interval.count == 4
    reached = {r.arm: r.reached for r in report.arm_rows() if r.measure.name == "time_to_target_s"}
    assert reached == {"base": 1, "new": 3}
    assert value_of(report, "base", "time_to_target_s") == math.inf


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_swapping_arm_and_baseline_turns_every_sign(seed: int) -> None:
    rng = np.random.default_rng(seed)
    runs = [
        trace_of(arm, s, np.sort(rng.random(4)), round_s=rng.uniform(0.5, 2.0))
        for s in range(3)
        for arm in ("a", "b")
    ]
    report = report_of(*runs)
    for one, two in zip(report.paired_rows("a"), report.paired_rows("b"), strict=True):
        assert (one.better, one.worse, one.undecided) == (two.worse, two.better, two.undecided)
        if not math.isnan(one.interval.value):
            assert one.interval.value == pytest.approx(-two.interval.value)


def test_the_method_says_what_few_seeds_cannot() -> None:
    few = report_of(*(trace_of("a", s, [0.5]) for s in range(3)))
    assert "3 seeds cannot support more than 75.0%" in few.method()
    many = report_of(*(trace_of("a", s, [0.5]) for s in range(6)))
    assert "cannot" not in many.method()
    assert "one seed has no spread" in report_of(trace_of("a", 0, [0.5])).method()


# a report on paper


def test_json_is_strict_and_complete(tmp_path: Path) -> None:
    runs = [trace_of(arm, s, [math.nan, 0.1]) for s in range(2) for arm in ("a", "b")]
    report = report_of(*runs, target_accuracy=0.8)
    report.to_json(tmp_path / "report.json")

    def refuse(constant: str) -> float:
        raise AssertionError(constant)

    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    data = json.loads(text, parse_constant=refuse)
    assert data["traces"][0]["accuracy"] == [None, 0.1]
    assert data["traces"][0]["first_network"]["energy_j"] == ["inf", "inf"]
    assert {row["measure"] for row in data["paired_table"]} == {m.name for m in MEASURES}
    assert data["environment"]["numpy"] == np.__version__
    assert data["complete"] is True
    names = {"arms", "seeds", "rounds", "scenario", "task", "setup", "level", "yardstick"}
    assert names <= data.keys()


def test_tables_and_csv_have_a_row_for_everything(tmp_path: Path) -> None:
    runs = [trace_of(arm, s, [0.1, 0.2]) for s in range(2) for arm in ("a", "b", "c")]
    report = report_of(*runs)
    assert len(report.arms_table()) == 3 * len(MEASURES)
    assert len(report.paired_table("b")) == 2 * len(MEASURES)
    report.to_csv(tmp_path / "rounds.csv")
    assert len((tmp_path / "rounds.csv").read_text().splitlines()) == 1 + 6 * 2


def test_plain_data_of_odd_values() -> None:
    odd = {"a": np.float64("nan"), "b": (-math.inf, np.int64(3)), "c": np.array([True]), "d": None}
    assert plain(odd) == {"a": None, "b": ["-inf", 3], "c": [True], "d": None}
    assert plain(Interval(1.0, math.nan, math.inf, 2))["high"] == "inf"
    assert plain(3 + 4j) == "(3+4j)"


def test_the_environment_names_what_computed_it() -> None:
    found = describe()
    assert {"fl_opt", "python", "numpy", "platform", "cores", "command", "time"} <= found.keys()
    assert all(isinstance(text, str) for text in found.values())


# real runs


@pytest.fixture(scope="module")
def small() -> Report:
    arms = [Arm(Everyone()), Arm(Random(count=2)), Arm(Everyone(), name="again")]
    return compare(arms, SMALL, TASK, rounds=3, seeds=[4, 7])


def test_all_arms_of_a_seed_meet_the_same_world(small: Report) -> None:
    assert public_compare is compare
    assert small.complete
    for seed in (4, 7):
        gains = [small.runs(arm)[seed].first_network.gain for arm in small.arms]
        assert np.array_equal(gains[0], gains[1])
    for row in small.paired_rows("again"):
        if row.arm == "Everyone" and not math.isnan(row.interval.value):
            assert row.interval.value == 0.0
            assert row.better == row.worse == 0
    other = small.runs("Everyone")
    assert not np.array_equal(other[4].first_network.gain, other[7].first_network.gain)


def test_what_is_stored_is_not_repeated(small: Report) -> None:
    store = {(trace.arm, trace.seed): trace for trace in small.traces}
    told: list[tuple[int, int]] = []
    report = compare(
        [Arm(Everyone()), Arm(Random(count=3), name="more")],
        SMALL,
        TASK,
        rounds=3,
        seeds=[4],
        store=store,
        progress=lambda done, total: told.append((done, total)),
    )
    assert report.traces[0] is store["Everyone", 4]
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert ("more", 4) in store


def test_ctrl_c_leaves_what_is_finished() -> None:
    def impatient(done: int, total: int) -> None:
        if done == 7:  # in the third run of three rounds
            raise KeyboardInterrupt

    arms = [Arm(Everyone()), Arm(Random(count=2))]
    with pytest.raises(Interrupted) as caught:
        compare(arms, SMALL, TASK, rounds=3, seeds=2, progress=impatient)
    report = caught.value.report
    assert [(trace.arm, trace.seed) for trace in report.traces] == [("Everyone", 0), ("Random", 0)]
    assert not report.complete
    assert isinstance(caught.value, KeyboardInterrupt)


def test_ctrl_c_before_anything_is_finished_is_plain() -> None:
    def at_once(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        compare([Arm(Everyone())], SMALL, TASK, rounds=2, seeds=1, progress=at_once)
    assert not isinstance(caught.value, Interrupted)


@dataclass(frozen=True)
class Stub:
    """Stands for a run that takes no time."""

    seed: int
    rounds: int = 3

    def __call__(self) -> Any:
        return self.seed, os.getpid()


def test_workers_answer_all_and_are_others() -> None:
    told: list[int] = []
    stubs: Any = [Stub(seed) for seed in range(5)]
    answers: Any = list(side_by_side(stubs, 2, told.append))
    assert sorted(seed for seed, _ in answers) == [0, 1, 2, 3, 4]
    assert os.getpid() not in {process for _, process in answers}
    assert told == [3, 6, 9, 12, 15]


@pytest.mark.slow
def test_workers_change_nothing(small: Report) -> None:
    arms = [Arm(Everyone()), Arm(Random(count=2)), Arm(Everyone(), name="again")]
    report = compare(arms, SMALL, TASK, rounds=3, seeds=[4, 7], workers=2)
    assert report.to_frame().equals(small.to_frame())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(how: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(
        textwrap.dedent("""
            import os, time
            from dataclasses import dataclass, fields
            from pathlib import Path
            from fl_opt.comparison.runs import side_by_side

            @dataclass
            class Endless:
                rounds: int = 1
                def __call__(self):
                    Path(f"{os.getpid()}.pid").touch()
                    time.sleep(600)

            if __name__ == "__main__":
                list(side_by_side([Endless(), Endless()], 2, print))
        """)
    )
    path = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    parent = subprocess.Popen(
        [sys.executable, "parent.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.DEVNULL,
    )
    try:
        workers = wait_for(lambda: sorted(tmp_path.glob("*.pid")), 2)
        parent.send_signal(how)
        parent.wait(timeout=30)
        gone = [int(worker.stem) for worker in workers]
        wait_for(lambda: [pid for pid in gone if not Path(f"/proc/{pid}/cmdline").exists()], 2)
    finally:
        parent.kill()


def wait_for(look: Any, count: int) -> Any:
    for _ in range(600):
        found = look()
        if len(found) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {count}, found {found}")


# where it is worth anything


def best(deadline_s: float) -> BestChannel:
    return BestChannel(deadline_s=deadline_s)


def saving(deadline_s: float) -> Optimised:
    return Optimised(partial(MinEnergy, deadline_s=deadline_s), among=best(deadline_s))


WORKLOAD = Workload(cycles=2e8, upload_bit=2e5, samples=SMALL.data_sizes)


def test_the_map_finds_the_known_regimes() -> None:
    found = regime_map(
        Scenario.named("macro").replace(devices=12),
        {"equal": Everyone, "best": best, "same": Everyone},
        Workload(cycles=5e7, upload_bit=2e5, samples=1.0),
        deadlines_s=[5.0, 0.6],
        bands_hz=[3e5, 1e9],
        rounds=3,
        seeds=6,
    )
    verdict = {(c.policy, c.deadline_s, c.band_hz): c.verdict for c in found.cells}
    assert {key[0]: value for key, value in verdict.items() if key[0] == "same"} == {
        "same": "nothing"
    }
    assert verdict["best", 0.6, 3e5] == "better"
    assert len(found.to_frame()) == 8
    assert str(found).count("+") >= 2  # the legend and a cell


def test_serving_the_same_devices_with_less_energy_shows_in_energy_alone() -> None:
    maps = {
        quantity: regime_map(
            SMALL,
            {"best": best, "saving": saving},
            WORKLOAD,
            deadlines_s=[1.0],
            bands_hz=[2e6],
            quantity=quantity,
            rounds=3,
            seeds=6,
        )
        for quantity in ("arrived_per_round", "energy_per_update_j")
    }
    assert maps["arrived_per_round"].cells[0].verdict == "nothing"
    assert maps["energy_per_update_j"].cells[0].verdict == "better"


def test_a_policy_never_costs_less_energy_than_the_optimum_for_its_devices() -> None:
    found = regime_map(
        SMALL,
        {"best": best, "saving": saving},
        WORKLOAD,
        deadlines_s=[0.5, 1.0, 2.0],
        bands_hz=[1e6, 4e6],
        quantity="energy_per_update_j",
        rounds=2,
        seeds=4,
    )
    both = np.isfinite(found.values).all(axis=0)
    assert both.any()
    assert np.all(found.values[1][both] <= found.values[0][both] * (1.0 + 1e-9))


@pytest.mark.slow
def test_the_trained_map_is_a_comparison_per_cell() -> None:
    found = trained_map(
        SMALL,
        {"equal": Everyone, "best": best},
        TASK,
        deadlines_s=[1.0],
        bands_hz=[2e6],
        rounds=2,
        seeds=2,
        measure="final_accuracy",
    )
    arms = [Arm(Everyone(1.0), FedAvg(), "equal"), Arm(best(1.0), FedAvg(), "best")]
    report = compare(arms, SMALL.replace(band_hz=2e6), TASK, rounds=2, seeds=2)
    for p, name in enumerate(("equal", "best")):
        for seed, trace in report.runs(name).items():
            assert found.values[p, 0, 0, seed] == trace.accuracy[-1]


# refusals


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"arms": []}, "arms is empty"),
        ({"arms": [Arm(Everyone()), Arm(Everyone())]}, "expected arms of different names"),
        ({"seeds": []}, "seeds is"),
        ({"seeds": [1, 1]}, "expected a number >= 1, or different numbers"),
        ({"workers": 0}, "workers is 0"),
        ({"rounds": 0}, "rounds is 0"),
        ({"level": 1.2}, "level is 1.2"),
    ],
)
def test_what_is_no_comparison_is_refused(change: dict[str, Any], words: str) -> None:
    options: dict[str, Any] = {"arms": [Arm(Everyone())], "rounds": 1, "seeds": 1} | change
    with pytest.raises(InvalidInput, match=words):
        compare(options.pop("arms"), SMALL, TASK, **options)


def test_an_arm_that_no_worker_can_be_told_is_refused() -> None:
    local = Optimised(lambda network: MinEnergy(network, deadline_s=1.0))
    with pytest.raises(InvalidInput, match=r"replace a lambda by functools\.partial"):
        compare([Arm(local), Arm(Everyone())], SMALL, TASK, rounds=1, seeds=1, workers=2)


def test_a_map_refuses_what_it_cannot_draw() -> None:
    def normed(deadline_s: float) -> BestUpdateNorm:
        return BestUpdateNorm(deadline_s=deadline_s)

    axes: dict[str, Any] = {"deadlines_s": [1.0], "bands_hz": [1e6]}
    with pytest.raises(InvalidInput, match="needs update_norm"):
        regime_map(SMALL, {"equal": Everyone, "norm": normed}, WORKLOAD, **axes)
    with pytest.raises(InvalidInput, match=f"one of {', '.join(QUANTITIES)}"):
        regime_map(SMALL, {"equal": Everyone}, WORKLOAD, quantity="joy", **axes)
    with pytest.raises(InvalidInput, match="measure is 'time_to_target_s'"):
        trained_map(SMALL, {"equal": Everyone}, TASK, measure="time_to_target_s", **axes)
    with pytest.raises(InvalidInput, match=r"deadlines_s\[0\]"):
        regime_map(SMALL, {"equal": Everyone}, WORKLOAD, deadlines_s=[-1.0], bands_hz=[1e6])


def test_a_baseline_must_be_an_arm() -> None:
    with pytest.raises(InvalidInput, match="one of a"):
        report_of(trace_of("a", 0, [0.5])).paired_rows("b")


def test_measures_have_names_with_their_units() -> None:
    from fl_opt.units import unit_of

    assert len({measure.name for measure in MEASURES}) == len(MEASURES)
    assert all(isinstance(m, Measure) and unit_of(m.name) == m.unit for m in MEASURES)
