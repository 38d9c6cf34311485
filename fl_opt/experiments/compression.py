"""Compression: how little may go up, and what it costs to forget the rest.

Ten devices take one step each on a batch of their own, compress, and send; the server averages.
Each way to compress meets the same data, first model and batches. Payloads are counted in bits,
after the laws of fl_opt.compression_laws; the broadcast is never compressed, and stated apart.
Accuracy lost is taken seed by seed from the run without compression, on the whole test set.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.experiments.experiment import Cell, Data, Experiment, Results, Row, over_seeds
from fl_opt.policy import Outcome
from fl_opt.validation import Compressed, Task

if TYPE_CHECKING:
    from fl_opt.report.ink import Picture

NONE, FORGETFUL, PERMILLE_SIGN = (
    "no compression",
    "top 0.1 % signs, forgotten",
    "top 0.1 % signs, fed back",
)
WAYS: dict[str, Compressed] = {
    NONE: Compressed(compressor="none", error_feedback=False),
    "top 1 %, fed back": Compressed(compressor="top-k", share=0.01),
    "top 0.1 %, fed back": Compressed(compressor="top-k", share=0.001),
    PERMILLE_SIGN: Compressed(compressor="top-k-sign", share=0.001),
    FORGETFUL: Compressed(compressor="top-k-sign", share=0.001, error_feedback=False),
    "random 1 %, fed back": Compressed(compressor="random-k", share=0.01),
    "QSGD, 16 levels": Compressed(compressor="qsgd", levels=16, error_feedback=False),
    "sign, fed back": Compressed(compressor="sign"),
    "majority vote": Compressed(compressor="vote", error_feedback=False),
}
"""Arms. Neither the step size nor the step of the vote is tuned to any of them."""

LIMITS = {
    "top 1 %, fed back": (65.0, 0.5, "pilot 67 x", "pilot 0.2 points"),
    "top 0.1 %, fed back": (650.0, 1.5, "pilot 679 x", "pilot 0.7 points"),
    PERMILLE_SIGN: (1840.0, 3.0, "pilot 1 846 x", "pilot 0.7 points"),
}
"""Arm: least factor of compression, most points of accuracy lost; both as a pilot run had them."""


@dataclass(frozen=True)
class CompressionExperiment(Experiment):
    """Compression: how little may go up, and what it costs to forget the rest.

    Parameters
    ----------
    devices, steps, batch, rate
        K devices take this many steps in common, one a round, with batches of this size.
    every
        Steps between two looks at the test set.
    """

    name: ClassVar[str] = "compression"
    source: ClassVar[str] = (
        "pilot runs; Stich, Cordonnier, Jaggi, NeurIPS 2018, arXiv 1809.07599; Karimireddy, "
        "Rebjock, Stich, Jaggi, ICML 2019, arXiv 1901.09847; Bernstein, Zhao, Azizzadenesheli, "
        "Anandkumar, ICLR 2019, arXiv 1810.05291"
    )

    dataset: str = "mnist"
    devices: int = 10
    steps: int = 1500
    every: int = 50
    batch: int = 32
    rate: float = 0.1

    @property
    def arms(self) -> Sequence[str]:
        return list(WAYS)

    def quick(self) -> Self:
        return dataclasses.replace(self, dataset="digits", steps=20, every=10, seeds=2)

    def _method(self, arm: str) -> Compressed:
        return dataclasses.replace(WAYS[arm], local_steps=1, batch=self.batch, rate=self.rate)

    def run(self, cell: Cell) -> Data:
        """Accuracy on the way, and bits that a device sends and gets in a round."""
        data, start, luck = map(np.random.default_rng, np.random.SeedSequence(cell.seed).spawn(3))
        federation = Task(self.dataset, "mlp", devices=self.devices).load(data)
        method, everyone = self._method(cell.arm), np.ones(self.devices, dtype=bool)
        state = method.start(federation, start)
        allocation = Allocation(selected=everyone, bandwidth_hz=0.0, power_w=0.0, cpu_hz=0.0)
        nothing = np.zeros(self.devices)
        outcome = Outcome(everyone, everyone, nothing, nothing, 0.0)
        step, accuracy = [], []
        for index in range(1, self.steps + 1):
            (lot,) = luck.spawn(1)
            state = method.learn(federation, state, allocation, outcome, lot)
            if index % self.every == 0:
                step.append(index)
                accuracy.append(method.evaluate(federation, state).accuracy)
        size = federation.model.parameters
        return {
            "parameters": size,
            "upload_bit": method.level(size).upload_bit,
            "broadcast_bit": method.broadcast_bit(federation),
            "step": step,
            "curve": accuracy,
            "accuracy": accuracy[-1],
        }

    def rows(self, results: Results) -> Sequence[Row]:
        accuracy = {arm: np.array(over_seeds(results, arm, "accuracy")) for arm in self.arms}
        bit = {arm: over_seeds(results, arm, "upload_bit")[0] for arm in self.arms}
        lost = {arm: 100.0 * (accuracy[NONE] - accuracy[arm]) for arm in self.arms}
        rows = []
        for arm, (factor, most, pilot_factor, pilot_lost) in LIMITS.items():
            ratio = [bit[NONE] / bit[arm]]
            rows += [
                Row.measured(
                    f"compression, {arm}", ratio, unit="x", source=pilot_factor, at_least=factor
                ),
                Row.measured(
                    f"accuracy lost, {arm}",
                    lost[arm],
                    unit="points",
                    source=pilot_lost,
                    at_most=most,
                ),
            ]
        rows += [
            Row.measured(
                "accuracy lost by leaving the error feedback out, top 0.1 % signs",
                lost[FORGETFUL] - lost[PERMILLE_SIGN],
                unit="points",
                source="pilot 7.1 points",
                at_least=4.0,
            ),
            Row.measured(
                "accuracy without compression", accuracy[NONE], unit="%", source="pilot 95.5 %"
            ),
        ]
        for arm in self.arms:
            if arm not in (NONE, *LIMITS):
                source = {"majority vote": "pilot 3.8 points", FORGETFUL: "pilot 7.8 points"}.get(
                    arm, ""
                )
                rows += [
                    Row.measured(f"compression, {arm}", [bit[NONE] / bit[arm]], unit="x"),
                    Row.measured(f"accuracy lost, {arm}", lost[arm], unit="points", source=source),
                ]
        down = over_seeds(results, NONE, "broadcast_bit")[0]
        return [*rows, Row.measured("broadcast of every arm, each round", [down], unit="bit")]

    def figures(self, results: Results) -> Sequence[Picture]:
        from fl_opt.report.figures import Series, curves
        from fl_opt.report.ink import look

        by_step, by_bit = [], []
        for index, arm in enumerate(self.arms):
            runs = list(results[arm].values())
            accuracy = np.array([run["curve"] for run in runs])
            step = np.array(runs[0]["step"], dtype=float)
            band = accuracy.mean(axis=0), accuracy.min(axis=0), accuracy.max(axis=0)
            by_step.append(Series(arm, look(index), step, *band))
            by_bit.append(Series(arm, look(index), step * runs[0]["upload_bit"], *band))
        band_text = "The line is the mean over the seeds, the band from the least to the largest."
        return [
            curves(
                "bits",
                "Accuracy for what a device has sent",
                by_bit,
                x_name="sent by each device",
                x_unit="bit",
                y_name="test accuracy",
                caption=f"{band_text} The axis of bits is logarithmic.",
            ),
            curves(
                "steps",
                "Accuracy for what a device has computed",
                by_step,
                x_name="steps",
                x_unit="",
                y_name="test accuracy",
                caption=band_text,
            ),
        ]


EXPERIMENT = CompressionExperiment()
