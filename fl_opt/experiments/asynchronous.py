"""Going on without the slow: asynchronous training against rounds that wait, by simulated time.

Twenty devices whose processors differ up to tenfold train on MNIST, each on its own part of the
band. The synchronous server waits for the slowest; FedAsync mixes in every update as it comes,
FedBuff averages five at a time, tiers average after every period that AsyncTiers finds. Step sizes
and staleness exponents are the same for all and none is tuned. Images are dealt
out by lot, or so that every device has two classes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from fl_opt.experiments.experiment import Cell, Data, Experiment, Results, Row, over_seeds
from fl_opt.experiments.worlds import Still
from fl_opt.network import Network
from fl_opt.policies import Everyone
from fl_opt.problems import AsyncTiers
from fl_opt.solving import solve
from fl_opt.units import Floats
from fl_opt.validation import Arm, FedAsync, FedAvg, FedBuff, Method, Task, TieredAverage, simulate
from fl_opt.workload import Workload

if TYPE_CHECKING:
    from fl_opt.report.ink import Picture

MIXES = {"iid": "iid", "two classes": "shards:2"}
METHODS = ("FedAvg", "FedAsync", "FedBuff", "tiers")
ALL = "FedBuff, all in the buffer"
EXACT_ROUNDS = 5
FASTEST_S = 1.0
"""Time of the local steps on the fastest device [s]."""
SPREAD = 10.0
"""How many times as long the slowest takes."""


@dataclass(frozen=True)
class Uneven(Still):
    """Devices on equal channels with processors of different speed, the first the fastest."""

    def rounds(self, rng: np.random.Generator, workload: Workload) -> Iterator[Network]:
        """The same network in every round."""
        for network in super().rounds(rng, workload):
            clock = network.cpu_max_hz / np.geomspace(1.0, SPREAD, self.size)
            yield network.replace(cpu_min_hz=clock, cpu_max_hz=clock)


@dataclass(frozen=True)
class Asynchronous(Experiment):
    """Asynchronous training against rounds that wait, by simulated time."""

    name: ClassVar[str] = "asynchronous"
    source: ClassVar[str] = (
        "Xie, Koyejo, Gupta, arXiv 1903.03934; Nguyen et al., AISTATS 2022, arXiv 2106.06639"
    )

    dataset: str = "mnist"
    devices: int = 20
    horizon_s: float = 200.0
    local_steps: int = 10
    rate: float = 0.05
    buffer: int = 5
    samples: int = 10_000
    test_samples: int = 1_000
    target: float = 0.80

    @property
    def arms(self) -> Sequence[str]:
        """The limit that is FedAvg, then methods by mixes of classes."""
        return [ALL, *(f"{method}, {mix}" for mix in MIXES for method in METHODS)]

    def quick(self) -> Self:
        """Few devices and little time."""
        return dataclasses.replace(
            self,
            dataset="digits",
            devices=6,
            horizon_s=30.0,
            buffer=2,
            samples=600,
            test_samples=200,
            seeds=2,
            target=0.3,
        )

    def run(self, cell: Cell) -> Data:
        """Train one method up to the horizon."""
        name, _, mix = cell.arm.partition(", ")
        task = Task(
            self.dataset,
            "mlp",
            MIXES.get(mix, "iid"),
            samples=self.samples,
            test_samples=self.test_samples,
        )
        world = Uneven(self.devices, 1e-8, 0.5, 1e-16, 1e6)
        federation = task.load(0, world.data_sizes)
        plain = FedAvg(self.local_steps, rate=self.rate)
        cycles = FASTEST_S * 1e9 / float(plain.cycles(federation).max())
        task = dataclasses.replace(task, cycles_per_operation=cycles)
        federation = task.load(0, world.data_sizes)
        network = next(world.rounds(np.random.default_rng(0), plain.workload(federation)))
        tiers = AsyncTiers.from_network(network)
        period_s = solve(tiers).allocation.period_s
        methods: dict[str, tuple[Method, float]] = {
            "FedAvg": (plain, float(tiers.time_s.max())),
            "FedAsync": (
                FedAsync(self.local_steps, rate=self.rate),
                1.0 / float((1.0 / tiers.time_s).sum()),
            ),
            "FedBuff": (
                FedBuff(self.local_steps, rate=self.rate, buffer=self.buffer),
                self.buffer / float((1.0 / tiers.time_s).sum()),
            ),
            "tiers": (
                TieredAverage(self.local_steps, rate=self.rate, period_s=period_s),
                period_s,
            ),
        }
        if cell.arm == ALL:
            buffer = FedBuff(self.local_steps, rate=self.rate, buffer=self.devices)
            waiting = (
                simulate(world, Arm(Everyone(), method), task, EXACT_ROUNDS, cell.seed)
                for method in (buffer, plain)
            )
            ours, theirs = (trace.loss for trace in waiting)
            return {"apart": float(np.abs(ours - theirs).max())}
        method, shortest_s = methods[name]
        # rounds are no shorter than that on average, so that so many reach the horizon
        rounds = math.ceil(self.horizon_s / shortest_s) + 1
        trace = simulate(world, Arm(Everyone(), method), task, rounds, cell.seed)
        within = trace.time_s <= self.horizon_s * (1.0 + 1e-9)
        accuracy, time_s = trace.accuracy[within], trace.time_s[within]
        reached = np.flatnonzero(accuracy >= self.target)
        end = int(reached[0]) if reached.size else accuracy.size - 1
        known = np.searchsorted(time_s, self.grid_s, side="right")
        return {
            "accuracy": float(accuracy[-1]),
            "curve": [float(value) for value in np.append(0.1, accuracy)[known]],
            "time_s": float(time_s[reached[0]]) if reached.size else None,
            "round_s": float(trace.round_s[within].mean()),
            "updates": int(trace.arrived[within].sum()),
            "slowest": int(trace.participation[within, -1].sum()),
            "energy_j": float(trace.energy_j[within].sum()),
            "to_target_j": float(trace.energy_j[: end + 1].sum()),
        }

    @property
    def grid_s(self) -> Floats:
        """Moments at which the curves are kept [s]."""
        return np.linspace(0.0, self.horizon_s, 81)

    def rows(self, results: Results) -> Sequence[Row]:
        """The limit; time to the target against FedAvg; accuracy and updates at the end."""
        rows = [
            Row.exact(
                "FedBuff apart from FedAvg in loss, buffer for all",
                max(over_seeds(results, ALL, "apart")),
                0.0,
            )
        ]
        for mix in MIXES:
            waits = self._times(results, f"FedAvg, {mix}")
            missed = sum(run["time_s"] is None for run in results[f"FedAvg, {mix}"].values())
            than = f"FedAvg (in {missed} not there at the end: at least)" if missed else "FedAvg"
            for method in METHODS[1:]:
                times = self._times(results, f"{method}, {mix}")
                late = sum(run["time_s"] is None for run in results[f"{method}, {mix}"].values())
                never = f" (not reached by {late}; counted at the end)" if late else ""
                rows.append(
                    Row.measured(
                        f"{mix}: times sooner at {self.target:.2f} than {than}, {method}{never}",
                        waits / times,
                        at_least=1.0 if (mix, method) == ("iid", "FedBuff") else -math.inf,
                    )
                )
        for mix in MIXES:
            for method in METHODS:
                arm = f"{method}, {mix}"
                sample = over_seeds(results, arm, "accuracy")
                rows.append(
                    Row.measured(f"{arm}: accuracy after {self.horizon_s:g} s", sample, unit="%")
                )
                joules = over_seeds(results, arm, "to_target_j")
                late = sum(run["time_s"] is None for run in results[arm].values())
                what = f"{arm}: energy to {self.target:.2f}"
                if late:
                    what += f" (not reached by {late}; counted to the end)"
                rows.append(Row.measured(what, joules, unit="J"))
        for method in METHODS:
            arm = f"{method}, iid"
            for key, (what, unit) in _COUNTS.items():
                rows.append(
                    Row.measured(f"{method}: {what}", over_seeds(results, arm, key), unit=unit)
                )
        return rows

    def _times(self, results: Results, arm: str) -> Floats:
        """Time to the target of each seed; the horizon where it was not reached [s]."""
        runs = results[arm]
        return np.array([runs[seed]["time_s"] or self.horizon_s for seed in sorted(runs)])

    def figures(self, results: Results) -> Sequence[Picture]:
        """Accuracy over simulated time, a picture for each mix of classes."""
        from fl_opt.report import figures
        from fl_opt.report.ink import look

        pictures = []
        for mix in MIXES:
            series = []
            for index, method in enumerate(METHODS):
                runs = results[f"{method}, {mix}"].values()
                curves = np.array([run["curve"] for run in runs])
                series.append(
                    figures.Series(
                        method,
                        look(index),
                        self.grid_s,
                        curves.mean(axis=0),
                        curves.min(axis=0),
                        curves.max(axis=0),
                    )
                )
            pictures.append(
                figures.curves(
                    mix.replace(" ", "-"),
                    f"Accuracy over time, {mix}",
                    series,
                    x_name="simulated time",
                    x_unit="s",
                    y_name="accuracy",
                    target=self.target,
                    caption="Mean of the seeds with the band from least to largest.",
                )
            )
        return pictures


_COUNTS = {
    "round_s": ("mean length of a round", "s"),
    "updates": ("updates that arrived", ""),
    "slowest": ("of them from the slowest device", ""),
    "energy_j": ("energy of all devices", "J"),
}

EXPERIMENT = Asynchronous()
