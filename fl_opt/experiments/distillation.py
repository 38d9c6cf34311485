"""Mean answers against parameters: accuracy, payload, and the band at which averaging overtakes.

Ten devices with 2,000 samples each, iid or with three scarce classes per device; federated
averaging, distillation, and each device alone. Payloads are counted for the convolutional network
of the source; training uses a perceptron, so accuracies are compared in shape.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from fl_opt import physics
from fl_opt.experiments.experiment import Cell, Data, Experiment, Results, Row, over_seeds
from fl_opt.experiments.worlds import Still
from fl_opt.policies import Everyone
from fl_opt.units import Floats
from fl_opt.validation import Arm, Distillation, FedAvg, Method, Task, simulate
from fl_opt.validation.distillation import table_bit

if TYPE_CHECKING:
    from fl_opt.report.ink import Picture

PARTITIONS = {"iid": "iid", "non-iid": "scarce:3"}
METHODS = ("averaging", "distillation", "alone")
ROUNDS_OF_SOURCE = 16
CNN_PARAMETERS = 32 * 9 + 64 * 32 * 9 + 64 * 12 * 12 * 128 + 128 * 10
"""Convolutions of 32 and 64 kernels of 3 x 3, pooling, 128 and 10 units; biases not counted."""
SEED_BIT = 15 * 28 * 28 * 8
"""Three target labels times five images of a byte per pixel, sent once for augmentation."""
GENERATOR_PARAMETERS = 1_493_520
"""What the augmented totals of the source leave for the generator that comes back."""
GAIN, POWER_W, NOISE_W_HZ = 1e-8, 0.5, 1e-16
BANDS_HZ = np.geomspace(1e2, 1e7, 51)
"""Bandwidth of each device [Hz]."""


@dataclass(frozen=True)
class DistillationExperiment(Experiment):
    """Mean answers against parameters: accuracy, payload, the band where averaging overtakes."""

    name: ClassVar[str] = "distillation"
    source: ClassVar[str] = "Jeong, Oh, Kim, Park, Bennis, Kim, 2018, arXiv 1811.11479"

    dataset: str = "mnist"
    devices: int = 10
    rounds: int = 80
    local_steps: int = 20
    samples: int = 20_000
    test_samples: int = 4_000
    rate: float = 0.1

    @property
    def arms(self) -> Sequence[str]:
        """Methods by partition."""
        return [f"{method}, {mix}" for mix in PARTITIONS for method in METHODS]

    def quick(self) -> Self:
        """Few rounds and samples."""
        return dataclasses.replace(
            self, dataset="digits", rounds=4, samples=1_000, test_samples=200, seeds=2
        )

    def run(self, cell: Cell) -> Data:
        """Train one method."""
        name, _, mix = cell.arm.partition(", ")
        method: Method = Distillation(
            self.local_steps, rate=self.rate, gamma=float(name == "distillation")
        )
        if name == "averaging":
            method = FedAvg(self.local_steps, rate=self.rate)
        task = Task(
            self.dataset,
            "mlp",
            PARTITIONS[mix],
            samples=self.samples,
            test_samples=self.test_samples,
        )
        world = Still(self.devices, GAIN, POWER_W, NOISE_W_HZ, 1e6)
        trace = simulate(world, Arm(Everyone(), method), task, self.rounds, cell.seed)
        federation = task.load(0, world.data_sizes)
        return {
            "accuracy": float(trace.accuracy[-1]),
            "curve": [float(value) for value in trace.accuracy],
            "training_s": float(trace.training_s[0]),
            "upload_bit": float(method.workload(federation).upload_bit[0]),
        }

    def rows(self, results: Results) -> Sequence[Row]:
        """Payloads, ratios of accuracy, differences, the band of the crossing."""
        averaging = 2 * ROUNDS_OF_SOURCE * 32 * CNN_PARAMETERS
        distilling = 2 * ROUNDS_OF_SOURCE * int(table_bit(10))
        augmenting = 32 * GENERATOR_PARAMETERS + SEED_BIT
        rows = [
            Row.exact("parameters of the network of the source", CNN_PARAMETERS, 1_199_648),
            Row.exact("payload, distillation", distilling, 102_400, unit="bit"),
            Row.exact("payload, averaging", averaging, 1_228_439_552, unit="bit"),
            Row.exact(
                "payload, distillation + augmentation",
                distilling + augmenting,
                47_989_120,
                unit="bit",
            ),
            Row.exact(
                "payload, averaging + augmentation",
                averaging + augmenting,
                1_276_326_272,
                unit="bit",
            ),
        ]
        pilot = {
            "iid": {"averaging": ".944", "distillation": ".920", "alone": ".907"},
            "non-iid": {"averaging": ".935", "distillation": ".735", "alone": ".720"},
        }
        limits = {"iid": (0.95, 1.0), "non-iid": (0.70, 0.90)}
        for mix in PARTITIONS:
            fl, fd, alone = (
                np.array(over_seeds(results, f"{method}, {mix}", "accuracy")) for method in METHODS
            )
            rows += [
                Row.measured(
                    f"accuracy, {method}, {mix}", sample, unit="%", source=pilot[mix][method]
                )
                for method, sample in zip(METHODS, (fl, fd, alone), strict=True)
            ]
            low, high = limits[mix]
            rows += [
                Row.measured(
                    f"accuracy of distillation over averaging, {mix}",
                    fd / fl,
                    at_least=low,
                    at_most=high,
                ),
                Row.measured(
                    f"averaging minus distillation, {mix}",
                    fl - fd,
                    unit="%",
                    at_least=0.02 if mix == "non-iid" else -math.inf,
                ),
                Row.measured(f"distillation minus alone, {mix}", fd - alone, unit="%"),
                Row.measured(
                    f"band of a device at which averaging overtakes within the time of "
                    f"{self.rounds} rounds of distillation, {mix}",
                    [self._crossing(results, mix, seed) for seed in self.drawn],
                    unit="Hz",
                ),
            ]
        return rows

    def figures(self, results: Results) -> Sequence[Picture]:
        """Accuracy within a time over the band of a device."""
        from fl_opt.report import figures
        from fl_opt.report.ink import look

        pictures = []
        for mix in PARTITIONS:
            series = []
            for index, method in enumerate(METHODS):
                found = np.array([self._within(results, mix, method, seed) for seed in self.drawn])
                series.append(
                    figures.Series(
                        method,
                        look(index),
                        BANDS_HZ,
                        found.mean(axis=0),
                        found.min(axis=0),
                        found.max(axis=0),
                    )
                )
            pictures.append(
                figures.curves(
                    f"distillation-{mix}",
                    f"Accuracy in equal time, {mix}",
                    series,
                    x_name="bandwidth of a device",
                    x_unit="Hz",
                    y_name="accuracy",
                    caption=f"Within the time of {self.rounds} rounds of distillation at that "
                    "band. Mean of the seeds with the band from least to largest.",
                )
            )
        return pictures

    def _within(self, results: Results, mix: str, method: str, seed: int) -> Floats:
        """Accuracy that a method has, at each band, when distillation ends its rounds."""
        ours = results[f"{method}, {mix}"][seed]
        teacher = results[f"distillation, {mix}"][seed]
        rate = physics.rate_bit_s(BANDS_HZ, POWER_W, GAIN, NOISE_W_HZ)
        # a device that teaches itself alone sends nothing
        bits = 0.0 if method == "alone" else ours["upload_bit"]
        end_s = self.rounds * (teacher["training_s"] + teacher["upload_bit"] / rate)
        rounds = end_s / (ours["training_s"] + bits / rate) * (1.0 + 1e-12)
        done = np.minimum(rounds.astype(int), self.rounds)
        curve = np.array([0.1, *ours["curve"]])
        return np.asarray(curve[done])

    def _crossing(self, results: Results, mix: str, seed: int) -> float:
        """Least band of the grid from which on averaging is at least as good."""
        behind = self._within(results, mix, "averaging", seed) < self._within(
            results, mix, "distillation", seed
        )
        last = np.flatnonzero(behind)
        return float(BANDS_HZ[min(int(last[-1]) + 1 if last.size else 0, BANDS_HZ.size - 1)])


EXPERIMENT = DistillationExperiment()
