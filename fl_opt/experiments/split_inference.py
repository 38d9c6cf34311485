"""Split inference: how few numbers must cross the channel, and where to split.

A small convolutional network on fashion images with a bottleneck of 4 to 32 values that is trained
through noise, against the network whose features all cross without noise, and against digital
features over the same fading. Then the best split of the layers over the rate of the link.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from fl_opt.experiments.experiment import Cell, Data, Experiment, Results, Row, over_seeds

if TYPE_CHECKING:
    from fl_opt.report.ink import Picture

VALUES = (4, 8, 16, 32)
SNR_DB = (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)
PROMISED_DB = 10.0
BITS = (1, 2, 3, 4, 6, 8)
WHOLE = "all features, no noise"


@dataclass(frozen=True)
class Split(Experiment):
    """Split inference: how few numbers must cross the channel."""

    name: ClassVar[str] = "split-inference"
    source: ClassVar[str] = "Kang et al., Neurosurgeon, ASPLOS 2017; pilot of our own"

    dataset: str = "fashion-mnist"
    samples: int = 12_000
    test_samples: int = 4_000
    epochs: int = 4
    train_snr_db: float = 10.0

    @property
    def arms(self) -> Sequence[str]:
        """The whole network, then one for each width of the bottleneck."""
        return [WHOLE, *(f"{values} values" for values in VALUES)]

    def quick(self) -> Self:
        """Few images, one epoch."""
        return dataclasses.replace(
            self, dataset="digits", samples=300, test_samples=100, epochs=1, seeds=2
        )

    def run(self, cell: Cell) -> Data:
        """Train a network and try it at every signal-to-noise ratio."""
        from fl_opt.validation.split import Images, accuracy, digital_accuracy, trained

        images = Images.of(self.dataset, self.samples)
        test = Images.of(self.dataset, self.test_samples, part="test")
        whole = cell.arm == WHOLE
        values = None if whole else int(cell.arm.split()[0])
        snr_db = math.inf if whole else self.train_snr_db
        network = trained(images, values, snr_db, epochs=self.epochs, seed=cell.seed)
        if whole:
            clean = accuracy(network, test, math.inf)
            return {"accuracy": clean, "pixels": int(images.x.shape[1])}
        return {
            "noisy": [accuracy(network, test, snr, seed=cell.seed) for snr in SNR_DB],
            "fading": [accuracy(network, test, snr, fading=True, seed=cell.seed) for snr in SNR_DB],
            "digital": [
                max(digital_accuracy(network, test, snr, bits, seed=cell.seed) for bits in BITS)
                for snr in SNR_DB
            ],
        }

    def rows(self, results: Results) -> Sequence[Row]:
        """Compression, loss of accuracy, digital features beside."""
        seeds = range(self.seeds)
        whole = np.array(over_seeds(results, WHOLE, "accuracy"))
        pixels = results[WHOLE][0]["pixels"]
        rows = [Row.measured(f"accuracy, {WHOLE}", whole, unit="%")]
        for values in VALUES:
            runs = [results[f"{values} values"][s] for s in seeds]
            ratio = pixels / values
            for at, snr in enumerate(SNR_DB):
                lost = whole - np.array([run["noisy"][at] for run in runs])
                promised = snr >= PROMISED_DB and values == VALUES[-1] and ratio >= 16.0
                rows.append(
                    Row.measured(
                        f"points lost with {values} values ({ratio:.0f} times fewer than pixels), "
                        f"{snr:g} dB",
                        lost,
                        unit="%",
                        at_most=0.02 if promised else math.inf,
                    )
                )
        for at, snr in enumerate(SNR_DB):
            ahead = [
                results["16 values"][s]["fading"][at] - results["16 values"][s]["digital"][at]
                for s in seeds
            ]
            rows.append(
                Row.measured(
                    f"analog minus digital features over Rayleigh fading, 16 values, {snr:g} dB",
                    ahead,
                    unit="%",
                )
            )
        return rows

    def figures(self, results: Results) -> Sequence[Picture]:
        """Accuracy over the signal-to-noise ratio, by width and by way."""
        from fl_opt.report import figures
        from fl_opt.report.ink import look

        pictures = []
        for name, title, lines in (
            (
                "split-width",
                "Accuracy through Gaussian noise",
                [(f"{v} values", f"{v} values", "noisy") for v in VALUES],
            ),
            (
                "split-digital",
                "Sixteen values over Rayleigh fading",
                [("trained features", "16 values", "fading"), ("digital", "16 values", "digital")],
            ),
        ):
            series = []
            for index, (label, arm, way) in enumerate(lines):
                found = np.array([run[way] for run in results[arm].values()])
                series.append(
                    figures.Series(
                        label,
                        look(index),
                        np.array(SNR_DB),
                        found.mean(axis=0),
                        found.min(axis=0),
                        found.max(axis=0),
                    )
                )
            pictures.append(
                figures.curves(
                    name,
                    title,
                    series,
                    x_name="signal-to-noise ratio [dB]",
                    x_unit="",
                    y_name="accuracy",
                    caption="Trained at 10 dB. Mean of the seeds with the band from least to "
                    "largest.",
                )
            )
        return pictures


EXPERIMENT = Split()
