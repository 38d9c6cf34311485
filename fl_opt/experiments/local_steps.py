"""Local steps set anew in every round, against each fixed number of them.

Five devices train a softmax regression, which is convex, by descents on all their data; a step
takes 13 ms, and an upload of the model 0.13 s, about as long as in the source. All runs have the
same 15 seconds. Adaptive runs begin with one step a round and then take what the bound of the
source says with the constants that devices report; a report is a gradient more to send and one more
to compute, which counts. Fixed runs report nothing. The best fixed number is known afterwards only,
and picked by the mean over seeds. The control parameter is that of the source, 0.025. After a trial
on a seed that is not reported, half the samples and one partition less were taken, to save time.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from fl_opt.allocation import use
from fl_opt.experiments.experiment import Cell, Data, Experiment, Results, Row, over_seeds
from fl_opt.experiments.worlds import CYCLES_PER_S, Still
from fl_opt.policies import AdaptiveSteps, Everyone
from fl_opt.policies.seats import equal_share
from fl_opt.validation import Arm, EstimatingFedAvg, FedAvg, Task, simulate

if TYPE_CHECKING:
    from fl_opt.report.ink import Picture

STEPS = (1, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100)
"""Numbers of local steps that a fixed run may take."""
SHOWN = (1, 10, 100)
SPLITS = ("iid", "shards:2")
ADAPTIVE = "adaptive"
STEP_S = 0.013
"""Time of a step, on all data of a device [s]."""
NOMINAL = 10
GAIN, POWER_W, NOISE_W_HZ, BAND_HZ = 1e-8, 0.5, 1e-16, 2.5e5
GRID = 30
"""Moments at which a run's accuracy is kept."""
MARGIN = 0.02
"""Accuracy that adaptive runs may lose against the best fixed number [-]."""


@dataclass(frozen=True)
class LocalStepsExperiment(Experiment):
    """Adaptive local steps against each fixed number of them."""

    name: ClassVar[str] = "local-steps"
    source: ClassVar[str] = (
        "Wang, Tuor, Salonidis, Leung, Makaya, He, Chan, IEEE JSAC 2019, arXiv 1804.05271"
    )

    dataset: str = "mnist"
    devices: int = 5
    horizon_s: float = 15.0
    rate: float = 0.01
    samples: int = 1_000
    test_samples: int = 2_000

    @property
    def arms(self) -> Sequence[str]:
        """Splits by fixed numbers, and adaptive."""
        ways = [*map(_way, STEPS), ADAPTIVE]
        return [f"{split}, {way}" for split in SPLITS for way in ways]

    def quick(self) -> Self:
        """Few devices and little time."""
        return dataclasses.replace(
            self, dataset="digits", devices=4, horizon_s=3.0, samples=400, seeds=2, test_samples=200
        )

    def run(self, cell: Cell) -> Data:
        """Train until the time is up."""
        split, _, way = cell.arm.rpartition(", ")
        world = Still(self.devices, GAIN, POWER_W, NOISE_W_HZ, BAND_HZ)
        task = Task(
            self.dataset,
            "softmax",
            split,
            samples=self.samples,
            test_samples=self.test_samples,
        )
        federation = task.load(0, world.data_sizes)
        scale = STEP_S * CYCLES_PER_S / (federation.cycles_per_sample * federation.held.max())
        task = dataclasses.replace(task, cycles_per_operation=scale)
        adaptive = way == ADAPTIVE
        tau = NOMINAL if adaptive else int(way.split()[0])
        kind = EstimatingFedAvg if adaptive else FedAvg
        method = kind(tau, batch=None, rate=self.rate)
        federation = dataclasses.replace(
            federation, cycles_per_sample=federation.cycles_per_sample * scale
        )
        workload = method.workload(federation)
        network = next(world.rounds(np.random.default_rng(0), workload))
        used = use(network, equal_share(network, np.arange(self.devices), self.devices))
        airtime_s = float(used.airtime_s.max())
        # a round of the adaptive runs takes one step at least, and one for the report
        round_s = 2.0 * STEP_S + airtime_s if adaptive else float(used.finish_s.max())
        rounds = math.floor(self.horizon_s / round_s * (1.0 + 1e-12))
        policy = AdaptiveSteps(self.horizon_s, self.rate, NOMINAL) if adaptive else Everyone()
        trace = simulate(world, Arm(policy, method), task, rounds, cell.seed, idle_s=0.0)
        active = trace.selected > 0
        extra = 1.0 if adaptive else 0.0
        steps = np.rint(trace.training_s[active] / STEP_S - extra)
        seen = np.searchsorted(
            trace.time_s, np.linspace(0.0, self.horizon_s, GRID + 1)[1:], "right"
        )
        return {
            "loss": float(trace.loss[-1]),
            "accuracy": float(trace.accuracy[-1]),
            "used_s": float(trace.time_s[-1]),
            "rounds": int(active.sum()),
            "steps": [int(tau) for tau in steps] if adaptive else [int(steps[0])],
            # before the first round has ended there is no model to speak of
            "curve": [float(f"{trace.accuracy[i - 1]:.5g}") if i else None for i in seen],
        }

    def _best(self, results: Results, split: str) -> str:
        """The fixed arm of the least mean loss."""
        arms = [f"{split}, {_way(tau)}" for tau in STEPS]
        return min(arms, key=lambda arm: float(np.mean(over_seeds(results, arm, "loss"))))

    @staticmethod
    def _later(run: Data) -> float:
        """Mean steps of a run once reports are known."""
        return float(np.mean(run["steps"][2:] or run["steps"]))

    def rows(self, results: Results) -> Sequence[Row]:
        """The margin to the best fixed number, then what each did."""
        rows = []
        for split in SPLITS:
            mine, best = f"{split}, {ADAPTIVE}", self._best(results, split)
            usual = float(np.mean([self._later(run) for run in results[mine].values()]))
            near = f"{split}, {_way(_nearest(usual))}"
            gain, more, above = (
                np.array(over_seeds(results, mine, key)) - over_seeds(results, arm, key)
                for arm, key in ((best, "accuracy"), (best, "loss"), (near, "loss"))
            )
            said = best.rpartition(", ")[2]
            rows += [
                Row.measured(
                    f"{split}: accuracy over that of the best fixed, {said}",
                    gain,
                    at_least=-MARGIN,
                ),
                Row.measured(
                    f"{split}: loss over that of the best fixed, {said}", more, unit="nat"
                ),
                Row.measured(
                    f"{split}: the same over fixed steps near its mean, {near.rpartition(', ')[2]}",
                    above,
                    unit="nat",
                ),
            ]
        for split in SPLITS:
            runs = [run for _, run in sorted(results[f"{split}, {ADAPTIVE}"].items())]
            later = [self._later(run) for run in runs]
            rows.append(Row.measured(f"{split}, adaptive: mean steps after two rounds", later))
            spent = np.array([run["used_s"] for run in runs]) / self.horizon_s
            rows.append(
                Row.measured(f"{split}, adaptive: part of the time used", spent, at_most=1.0)
            )
        for arm in self.arms:
            rows.append(Row.measured(f"{arm}: loss", over_seeds(results, arm, "loss"), unit="nat"))
        return rows

    def figures(self, results: Results) -> Sequence[Picture]:
        """Accuracy over simulated time, a picture for each split."""
        from fl_opt.report import figures
        from fl_opt.report.ink import look

        moments = np.linspace(0.0, self.horizon_s, GRID + 1)[1:]
        pictures = []
        for split in SPLITS:
            series = []
            for index, way in enumerate([*map(_way, SHOWN), ADAPTIVE]):
                runs = results[f"{split}, {way}"].values()
                curves = np.array([run["curve"] for run in runs], dtype=float)
                low, high = curves.min(axis=0), curves.max(axis=0)
                mean = curves.mean(axis=0)
                series.append(figures.Series(way, look(index), moments, mean, low, high))
            pictures.append(
                figures.curves(
                    f"local-steps-{split.replace(':', '-').replace('.', '-')}",
                    f"Accuracy with fixed and adaptive local steps, {split}",
                    series,
                    x_name="simulated time",
                    x_unit="s",
                    y_name="accuracy",
                    caption="Mean of the seeds with the band from least to largest.",
                )
            )
        return pictures


def _way(tau: int) -> str:
    return "1 step" if tau == 1 else f"{tau} steps"


def _nearest(steps: float) -> int:
    """The fixed number whose ratio to `steps` is nearest to one."""
    return min(STEPS, key=lambda tau: abs(math.log(tau / steps)))


EXPERIMENT = LocalStepsExperiment()
