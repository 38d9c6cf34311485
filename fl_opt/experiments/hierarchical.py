"""Edges below a cloud: how often the cloud should average.

Fifty devices of two classes each, five edges; between two averages of the cloud a device always
takes 60 steps, in one round or in up to ten. Radio, processors and the way to the cloud, ten times
as long as an upload, are those of the source; the model is a perceptron on our data, so figures
are compared in shape. Edges hold all classes ("edge-iid") or a few of their own ("edge-non-iid").
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from fl_opt import physics
from fl_opt.experiments.edges import by_classes, dealing
from fl_opt.experiments.experiment import Cell, Data, Experiment, Results, Row, over_seeds
from fl_opt.experiments.worlds import Still
from fl_opt.policies import Everyone
from fl_opt.validation import Arm, FedAvg, HierFAVG, Method, Task, simulate

if TYPE_CHECKING:
    from fl_opt.report.ink import Picture
    from fl_opt.validation.federation import Federation

STEPS = 60
"""Local steps from one average of the cloud to the next."""
PERIODS = (1, 2, 5, 10)
"""Rounds from one average of the cloud to the next."""
MIXES = ("edge-iid", "edge-non-iid")
EXACT = "FedAvg, five periods"
STEP_CYCLES = 2.4e7
"""CPU cycles of a local step of the source: 24 ms at 1 GHz [cycle]."""
GAIN, POWER_W, NOISE_W_HZ, BAND_HZ = 1e-8, 0.5, 1e-16, 1e6
PAPER_BIT = 21_840 * 32


@dataclass(frozen=True)
class Hierarchical(Experiment):
    """Edges below a cloud: how often the cloud should average."""

    name: ClassVar[str] = "hierarchical"
    source: ClassVar[str] = "Liu, Zhang, Song, Letaief, ICC 2020, arXiv 1905.06641"

    dataset: str = "mnist"
    devices: int = 50
    edges: int = 5
    averages: int = 45
    samples: int = 20_000
    target: float = 0.85

    @property
    def arms(self) -> Sequence[str]:
        """The limit that is FedAvg, then mixes of classes by periods."""
        return [EXACT, *(self._arm(mix, period) for mix in MIXES for period in PERIODS)]

    def quick(self) -> Self:
        """Few devices and averages."""
        return dataclasses.replace(
            self, dataset="digits", devices=10, averages=5, samples=800, seeds=2, target=0.5
        )

    @staticmethod
    def _arm(mix: str, period: int) -> str:
        return f"{mix}, ({STEPS // period}, {period})"

    def run(self, cell: Cell) -> Data:
        """Train one pair of periods."""
        task = Task(self.dataset, "mlp", "shards:2", samples=self.samples, cycles_per_operation=1.0)
        world = Still(self.devices, GAIN, POWER_W, NOISE_W_HZ, BAND_HZ)
        federation = task.load(dealing(cell.seed), world.data_sizes)
        # a step of 20 samples takes what it takes in the source
        scale = STEP_CYCLES / (20.0 * federation.cycles_per_sample)
        task = dataclasses.replace(task, cycles_per_operation=scale)
        method: Method
        if cell.arm == EXACT:
            method, period = FedAvg(local_steps=STEPS, batch=20, rate=0.05), 1
            rounds = min(5, self.averages)
        else:
            mix, _, pair = cell.arm.partition(", ")
            period = int(pair.strip("()").split(", ")[1])
            airtime = 32.0 * federation.model.parameters / _rate_bit_s()
            method = HierFAVG(
                local_steps=STEPS // period,
                batch=20,
                rate=0.05,
                cloud_every=period,
                association=self._association(federation, mix),
                cloud_s=10.0 * airtime,
            )
            rounds = self.averages * period
        trace = simulate(world, Arm(Everyone(), method), task, rounds, cell.seed)
        accuracy = trace.accuracy[period - 1 :: period]
        reached = np.flatnonzero(accuracy >= self.target)
        end = (int(reached[0]) + 1 if reached.size else accuracy.size) * period
        return {
            "accuracy": float(accuracy[-1]),
            "curve": [float(value) for value in accuracy],
            "curve_s": [float(f"{value:.6g}") for value in trace.time_s[period - 1 :: period]],
            "reached": bool(reached.size),
            "time_s": float(trace.time_s[end - 1]),
            "energy_j": float(trace.energy_j[:end].sum()) / self.devices,
        }

    def _association(self, federation: Federation, mix: str) -> tuple[int, ...]:
        """Edges by the classes that devices hold: mixed, or alike together."""
        order = by_classes(federation)
        rank = np.empty(self.devices, dtype=int)
        rank[order] = np.arange(self.devices)
        edge = rank % self.edges if mix == MIXES[0] else rank * self.edges // self.devices
        return tuple(int(e) for e in edge)

    def rows(self, results: Results) -> Sequence[Row]:
        """Constants of the source, the limit, then time and energy to the target."""
        airtime = PAPER_BIT / _rate_bit_s()
        exact = [
            max(
                abs(a - b)
                for a, b in zip(
                    results[EXACT][s]["curve"],
                    results[self._arm(MIXES[0], 1)][s]["curve"],
                    strict=False,
                )
            )
            for s in sorted(results[EXACT])
        ]
        rows = [
            Row.exact("upload of 21 840 numbers [s], to four digits", round(airtime, 4), 0.1232),
            Row.exact("its energy [J], to four digits", round(POWER_W * airtime, 4), 0.0616),
            Row.exact("(60, 1) apart from FedAvg in accuracy", max(exact), 0.0),
        ]
        for mix in MIXES:
            arms = {period: self._arm(mix, period) for period in PERIODS}
            first = {key: np.array(over_seeds(results, arms[1], key)) for key in _SPENT}
            for period, arm in arms.items():
                got = sum(run["reached"] for run in results[arm].values())
                for key, unit in _SPENT.items():
                    spent = np.array(over_seeds(results, arm, key))
                    what = f"{arm}: {_WORDS[key]} to {self.target:.2f}"
                    if got < len(spent):
                        what += f" (reached by {got} of {len(spent)}; else to the end)"
                    rows.append(Row.measured(what, spent, unit=unit))
                if period == PERIODS[-1]:
                    times = first["time_s"] / np.array(over_seeds(results, arm, "time_s"))
                    joules = np.array(over_seeds(results, arm, "energy_j")) / first["energy_j"]
                    rows += [
                        Row.measured(
                            f"{mix}: times sooner with {arm.partition(', ')[2]} than with (60, 1)",
                            times,
                            at_least=1.0 if mix == MIXES[0] else -math.inf,
                        ),
                        Row.measured(f"{mix}: energy of the same over (60, 1)", joules),
                    ]
        return rows

    def figures(self, results: Results) -> Sequence[Picture]:
        """Accuracy over simulated time, a picture for each mix of classes."""
        from fl_opt.report import figures
        from fl_opt.report.ink import look

        pictures = []
        for mix in MIXES:
            series = []
            for index, period in enumerate(PERIODS):
                runs = list(results[self._arm(mix, period)].values())
                curves = np.array([run["curve"] for run in runs])
                series.append(
                    figures.Series(
                        f"({STEPS // period}, {period})",
                        look(index),
                        np.array(runs[0]["curve_s"]),
                        curves.mean(axis=0),
                        curves.min(axis=0),
                        curves.max(axis=0),
                    )
                )
            pictures.append(
                figures.curves(
                    f"hierarchical-{mix}",
                    f"Accuracy of the cloud's model, {mix}",
                    series,
                    x_name="simulated time",
                    x_unit="s",
                    y_name="accuracy",
                    target=self.target,
                    caption="(local steps, rounds from one average of the cloud to the next). "
                    "Mean of the seeds with the band from least to largest.",
                )
            )
        return pictures


_SPENT = {"time_s": "s", "energy_j": "J"}
_WORDS = {"time_s": "time", "energy_j": "energy of a device"}


def _rate_bit_s() -> float:
    return float(physics.rate_bit_s(BAND_HZ, POWER_W, GAIN, NOISE_W_HZ))


EXPERIMENT = Hierarchical()
