"""Which communication factor moves which learning metric, and by how much.

The table of the survey (Chen, Gunduz, Huang, Saad, Bennis, Feljan, Poor, Distributed learning in
wireless networks: recent progress and future challenges, IEEE JSAC 2021, arXiv 2104.02151) ticks
effects by argument. Here each cell is measured: the elasticity d ln metric / d ln factor, from
runs at a low and a high level of the factor that share seed, places, fading and batches, with a
Student interval over the seeds. A tick is an elasticity whose interval excludes zero.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.checks import number
from fl_opt.errors import InvalidInput
from fl_opt.network import Network
from fl_opt.units import Floats
from fl_opt.validation.clock import Measured
from fl_opt.validation.method import Method
from fl_opt.validation.simulation import Arm, simulate
from fl_opt.validation.task import Task
from fl_opt.validation.trace import Trace
from fl_opt.validation.under_way import Tick
from fl_opt.workload import Workload

if TYPE_CHECKING:
    import pandas

    from fl_opt.scenario import Scenario
    from fl_opt.validation.federation import Federation, Score

NOTHING = 1e-6
"""Elasticities below this are rounding."""
TARGET_SHARE = 0.9


@dataclass(frozen=True)
class Effect:
    """Mean elasticity [-] over `count` seeds, with its interval; NaN where there is none."""

    elasticity: float
    low: float
    high: float
    count: int

    @property
    def tick(self) -> bool:
        """Whether the interval excludes zero."""
        return (self.low > 0.0 or self.high < 0.0) and abs(self.elasticity) > NOTHING


UNKNOWN = Effect(math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True, eq=False)
class Setting:
    """What a run is given, and the level of the factor in it, relative to the original."""

    scenario: Scenario
    arm: Arm
    task: Task
    level: float


@dataclass(frozen=True)
class _Payload:
    """A method whose updates count as `factor` times their size; all else is the method's."""

    method: Method
    factor: float

    @property
    def signals(self) -> tuple[str, ...]:
        return self.method.signals

    @property
    def tick(self) -> Tick:
        return self.method.tick

    def workload(self, federation: Federation) -> Workload:
        work = self.method.workload(federation)
        return Workload(work.cycles, self.factor * work.upload_bit, work.samples)

    def broadcast_bit(self, federation: Federation) -> float:
        return self.factor * self.method.broadcast_bit(federation)

    def packet_error(self, network: Network, allocation: Allocation) -> Floats:
        return self.method.packet_error(network, allocation)

    def server_s(self, state: Any) -> float:
        return self.method.server_s(state)

    def start(self, federation: Federation, rng: np.random.Generator) -> Any:
        return self.method.start(federation, rng)

    def observe(self, state: Any) -> Mapping[str, Floats]:
        return self.method.observe(state)

    def learn(
        self,
        federation: Federation,
        state: Any,
        allocation: Allocation,
        outcome: Measured,
        rng: np.random.Generator,
    ) -> Any:
        return self.method.learn(federation, state, allocation, outcome, rng)

    def evaluate(self, federation: Federation, state: Any) -> Score:
        return self.method.evaluate(federation, state)


def _scaled(*keys: str) -> Callable[[Setting, float], Setting]:
    def vary(base: Setting, level: float) -> Setting:
        scenario = base.scenario.scale(**dict.fromkeys(keys, level))
        return dataclasses.replace(base, scenario=scenario, level=level)

    return vary


def _devices(base: Setting, level: float) -> Setting:
    """Fewer devices, each with as many samples as before."""
    size = max(1, round(level * base.scenario.size))
    level = size / base.scenario.size
    whole = base.task.load(0, base.scenario.data_sizes).samples.sum()
    task = dataclasses.replace(base.task, devices=None, samples=round(level * whole))
    return dataclasses.replace(
        base, scenario=base.scenario.replace(devices=size), task=task, level=level
    )


def _trained(base: Setting, level: float) -> Setting | None:
    """A narrower model whose update counts as large as the original's."""
    if base.task.model == "softmax":
        return None
    from fl_opt.validation.models import MODELS

    width = base.task.width or MODELS[base.task.model]
    task = dataclasses.replace(base.task, width=max(1, round(level * width)))
    sizes = base.scenario.data_sizes
    before, after = (item.load(0, sizes).model.parameters for item in (base.task, task))
    method = _Payload(base.arm.method, before / after)
    arm = dataclasses.replace(base.arm, method=method)
    return dataclasses.replace(base, arm=arm, task=task, level=after / before)


def _transmitted(base: Setting, level: float) -> Setting | None:
    """Shorter numbers in the update."""
    bits = getattr(base.arm.method, "bits", None)
    if bits is None:
        return None
    shorter = round(level * bits)
    method: Any = base.arm.method
    arm = dataclasses.replace(base.arm, method=dataclasses.replace(method, bits=shorter))
    return dataclasses.replace(base, arm=arm, level=shorter / bits)


FACTORS: dict[str, tuple[Callable[[Setting, float], Setting | None], bool]] = {
    "spectrum": (_scaled("band_hz"), True),
    "computation capacity": (_scaled("cpu_min_hz", "cpu_max_hz"), True),
    "transmit power": (_scaled("power_max_w"), True),
    "channel": (_scaled("gain"), True),
    "number of devices": (_devices, False),
    "size of trained parameters": (_trained, False),
    "size of transmitted parameters": (_transmitted, False),
}
"""Factors by name: how to set one to a level, and whether it is moved up as well as down.

The last three go from one half to one: data do not suffice for more devices, and the original
number format is the longest.
"""


def _reached(trace: Trace, target: float) -> float:
    rounds = np.flatnonzero(trace.accuracy >= target)
    return float(rounds[0] + 1) if rounds.size else math.nan


def _reliability(trace: Trace, _: float) -> float:
    asked = int(trace.selected.sum())
    return int(trace.arrived.sum()) / asked if asked else math.nan


def _mean_of(name: str) -> Callable[[Trace, float], float]:
    def read(trace: Trace, _: float) -> float:
        values = np.asarray(getattr(trace, name))
        known = values[np.isfinite(values)]
        return float(known.mean()) if known.size else math.nan

    return read


METRICS: dict[str, Callable[[Trace, float], float]] = {
    "loss": lambda trace, _: float(trace.loss[-1]),
    "T_T": _mean_of("airtime_s"),
    "E_T": _mean_of("upload_j"),
    "T_C": _mean_of("training_s"),
    "E_C": _mean_of("training_j"),
    "N_T": _reached,
    "reliability": _reliability,
}
"""Metrics by name: training loss after the last round; time of transmission of a device, energy of
transmission of all, time and energy of computation likewise, means over rounds; rounds to the
target accuracy; share of the selected updates that arrive."""


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """The table.

    Attributes
    ----------
    effects
        By (factor, metric), in the order of ``FACTORS`` and ``METRICS``.
    target_accuracy
        What N_T counts the rounds to.
    level
        Confidence level of the intervals.
    """

    effects: Mapping[tuple[str, str], Effect]
    target_accuracy: float
    level: float

    def to_frame(self) -> pandas.DataFrame:
        """A row per cell: factor, metric, elasticity, low, high, count, tick."""
        import pandas

        rows = [
            {"factor": factor, "metric": metric}
            | dataclasses.asdict(effect)
            | {"tick": effect.tick}
            for (factor, metric), effect in self.effects.items()
        ]
        return pandas.DataFrame(rows)

    def __str__(self) -> str:
        width = max(map(len, FACTORS))
        lines = [" " * width + "".join(f"{metric:>13}" for metric in METRICS)]
        for factor in FACTORS:
            cells = [_cell(self.effects[factor, metric]) for metric in METRICS]
            lines.append(f"{factor:<{width}}" + "".join(f"{cell:>13}" for cell in cells))
        noisy = sum(effect.high > effect.low for effect in self.effects.values())
        return "\n".join(
            [
                *lines,
                "",
                "elasticity d ln metric / d ln factor; * marks an interval that excludes 0 "
                f"({self.level:.0%}; of {noisy} cells with a spread about "
                f"{(1 - self.level) * noisy:.1g} would be marked by chance); - is not measurable",
                f"N_T: rounds to accuracy {self.target_accuracy:.3f}",
            ]
        )


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a measurement; `table` has the factors whose runs were finished until then."""

    def __init__(self, table: Sensitivity) -> None:
        self.table = table
        super().__init__("the factors that are finished are in .table")


def _cell(effect: Effect) -> str:
    if math.isnan(effect.elasticity):
        return "- "
    value = effect.elasticity if abs(effect.elasticity) > NOTHING else 0.0
    return f"{value:+.2f}{'*' if effect.tick else ' '}"


def sensitivity(
    scenario: Scenario,
    arm: Arm,
    task: Task,
    rounds: int = 30,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    *,
    step: float = 1.5,
    target_accuracy: float | None = None,
    level: float = 0.95,
    progress: Callable[[int, int], None] | None = None,
) -> Sensitivity:
    """Measure the table for a scenario, an arm and a task.

    Parameters
    ----------
    rounds, seeds
        Length and seeds of the runs: 12 runs per seed, at least two seeds.
    step
        Spectrum, computation, power and channel are moved to 1/step and step times the original.
    target_accuracy
        What N_T counts rounds to; None: 0.9 times the mean final accuracy of the original.
    level
        Confidence level.
    progress
        Called after each run with the number of runs done and their total.

    Raises ``Interrupted`` after Ctrl-C, with the factors that are finished, ``InvalidInput`` for
    fewer than two different seeds.

    A seed for which a metric is zero or missing at one of the levels (the target not reached,
    nobody selected) does not count for that cell; see ``Effect.count``.
    """
    number("step", step, low=1.0, open_low=True)
    level = number("level", level, high=1.0)
    if len(set(seeds)) < 2 or len(set(seeds)) != len(seeds):
        raise InvalidInput("seeds", list(seeds), "at least two different seeds")
    base = Setting(scenario, arm, task, 1.0)
    pairs: dict[str, tuple[Setting, Setting]] = {}
    for name, (vary, both) in FACTORS.items():
        low, high = vary(base, 1.0 / step if both else 0.5), vary(base, step) if both else base
        if low is not None and high is not None:
            pairs[name] = (low, high)
    settings = list(dict.fromkeys([base, *(item for pair in pairs.values() for item in pair)]))
    runs: dict[Setting, list[Trace]] = {}
    try:
        for number_done, setting in enumerate(settings):
            traces = []
            for at, seed in enumerate(seeds, 1):
                traces.append(simulate(setting.scenario, setting.arm, setting.task, rounds, seed))
                if progress is not None:
                    progress(number_done * len(seeds) + at, len(settings) * len(seeds))
            runs[setting] = traces
    except KeyboardInterrupt:
        if base not in runs:
            raise
        raise Interrupted(_table(pairs, runs, base, target_accuracy, level)) from None
    return _table(pairs, runs, base, target_accuracy, level)


def _table(
    pairs: Mapping[str, tuple[Setting, Setting]],
    runs: Mapping[Setting, Sequence[Trace]],
    base: Setting,
    target_accuracy: float | None,
    level: float,
) -> Sensitivity:
    """The table of the factors whose runs are there."""
    target = target_accuracy
    if target is None:
        target = TARGET_SHARE * float(np.mean([trace.accuracy[-1] for trace in runs[base]]))
    effects = dict.fromkeys(itertools.product(FACTORS, METRICS), UNKNOWN)
    for name, (low, high) in pairs.items():
        if low in runs and high in runs:
            for metric, read in METRICS.items():
                below, above = (
                    np.array([read(trace, target) for trace in runs[item]]) for item in (low, high)
                )
                effects[name, metric] = _effect(below, above, high.level / low.level, level)
    return Sensitivity(effects, target, level)


def _effect(low: Floats, high: Floats, ratio: float, level: float) -> Effect:
    """Elasticity from the metric of each seed at a low and a high level, `ratio` apart."""
    from scipy.special import stdtrit

    known = (low > 0.0) & (high > 0.0)
    slopes = np.log(high[known] / low[known]) / math.log(ratio)
    count = slopes.size
    if count < 2:
        return Effect(float(slopes[0]) if count else math.nan, math.nan, math.nan, count)
    mean = float(slopes.mean())
    half = float(stdtrit(count - 1, 0.5 + level / 2.0) * slopes.std(ddof=1) / math.sqrt(count))
    return Effect(mean, mean - half, mean + half, count)
