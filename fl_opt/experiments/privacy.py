"""Privacy over the air: what superposition hides, what a budget costs, what sparse updates betray.

Leakage per round against the number of devices, when each adds noise of its own, superposed and
with orthogonal access; accuracy against epsilon at delta = 1e-5 over all rounds, both ways; and the
images that a gradient inversion rebuilds from one sample's gradient, the sparser the worse.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from fl_opt.experiments.experiment import Cell, Data, Experiment, Results, Row, over_seeds
from fl_opt.experiments.worlds import Rayleigh
from fl_opt.policies import Optimised
from fl_opt.problems import PrivatePower
from fl_opt.problems.privacy import Access, epsilon_of, leakage
from fl_opt.validation import Arm, PrivateAverage, Task, simulate

if TYPE_CHECKING:
    from fl_opt.report.ink import Picture

DELTA = 1e-5
EPSILONS = (1.0, 3.0, 10.0, 30.0, math.inf)
SIZES = (10, 20, 40, 80, 160, 320)
KEPT = (1.0, 0.1, 0.01, 0.001)
ACCESSES: tuple[Access, ...] = ("superposed", "orthogonal")
LEAKAGE, INVERSION = "leakage", "inversion"


@dataclass(frozen=True)
class Privacy(Experiment):
    """Privacy over the air: superposition, the cost of a budget, what sparse updates betray."""

    name: ClassVar[str] = "privacy"
    source: ClassVar[str] = (
        "Seif, Tandon, Li, IEEE ISIT 2020, arXiv 2002.05151; "
        "Liu, Simeone, IEEE JSAC 2021, arXiv 2006.05459"
    )

    dataset: str = "mnist"
    devices: int = 100
    rounds: int = 60
    samples: int = 20_000
    test_samples: int = 4_000
    clip: float = 0.5
    snr_db: float = 40.0
    images: int = 100

    @property
    def arms(self) -> Sequence[str]:
        """Formulas, the attack, then training by access and budget."""
        trained = [self._arm(access, epsilon) for access in ACCESSES for epsilon in EPSILONS]
        return [LEAKAGE, INVERSION, *trained]

    def quick(self) -> Self:
        """Few devices and rounds."""
        return dataclasses.replace(
            self,
            dataset="digits",
            devices=8,
            rounds=3,
            samples=400,
            test_samples=200,
            images=10,
            seeds=2,
        )

    @staticmethod
    def _arm(access: str, epsilon: float) -> str:
        return f"{access}, ε = {epsilon:g}"

    def run(self, cell: Cell) -> Data:
        """One of the arms above."""
        if cell.arm == LEAKAGE:
            return self._leakage(cell.seed)
        if cell.arm == INVERSION:
            return self._inversion(cell.seed)
        access, _, text = cell.arm.partition(", ε = ")
        epsilon = float(text)
        assert access in ACCESSES
        method = PrivateAverage(rate=0.1, clip=self.clip, access=access)
        formulate = partial(
            PrivatePower.from_network,
            epsilon=epsilon,
            delta=DELTA,
            rounds=self.rounds,
            clip=self.clip,
        )
        world = Rayleigh(self.devices, self.snr_db)
        trace = simulate(
            world, Arm(Optimised(formulate), method), self._task, self.rounds, cell.seed
        )
        return {
            "accuracy": float(trace.accuracy[-1]),
            "curve": [float(value) for value in trace.accuracy],
            "time_s": [float(f"{value:.6g}") for value in trace.time_s],
        }

    @property
    def _task(self) -> Task:
        return Task(self.dataset, "softmax", samples=self.samples, test_samples=self.test_samples)

    def _leakage(self, seed: int) -> Data:
        """Epsilon of a round against the number of devices, each adding noise of its own."""
        own = float(np.random.default_rng(seed).uniform(0.5, 2.0))
        found = {
            access: [
                # the receiver itself is quiet: what hides is the noise that devices add
                epsilon_of(float(leakage(0.05, 1.0, 1e-6, np.full(k, own), access).max()), DELTA)
                for k in SIZES
            ]
            for access in ACCESSES
        }
        slope = {
            access: float(np.polyfit(np.log(SIZES), np.log(found[access]), 1)[0])
            for access in ACCESSES
        }
        return {"epsilon": found, "slope": slope}

    def _inversion(self, seed: int) -> Data:
        """Distance of rebuilt images to the true ones, over their norm."""
        import torch

        from fl_opt.validation.compressors import top_k
        from fl_opt.validation.inversion import miss, rebuilt
        from fl_opt.validation.model import Batches

        task = dataclasses.replace(self._task, model="mlp")
        federation = task.load(seed, Rayleigh(self.devices, self.snr_db).data_sizes)
        rng = np.random.default_rng(seed)
        weights = federation.model.initial(rng)
        rows = torch.from_numpy(rng.permutation(len(federation.x))[: self.images])
        batches = Batches(rows.view(-1, 1, 1), torch.ones(1, 1, 1))
        exact, _ = federation.model.gradient(weights, federation.x, federation.y, batches)
        lots = [np.random.default_rng([seed, k]) for k in range(self.images)]
        missed = {}
        for share in KEPT:
            kept = np.full(self.images, max(round(share * exact.shape[1]), 1))
            found = rebuilt(federation.model, top_k(exact, kept, lots))
            missed[f"{share:g}"] = float(miss(federation.x[rows], found).mean())
        return {"missed": missed}

    def rows(self, results: Results) -> Sequence[Row]:
        """Slopes, accuracies, what is rebuilt."""
        seeds = self.drawn
        rows = [
            Row.measured(
                f"slope of ln ε of a round over ln K, {access}",
                [results[LEAKAGE][s]["slope"][access] for s in seeds],
                source=source,
                at_least=low,
                at_most=high,
            )
            for access, source, low, high in (
                ("superposed", "1/√K", -0.52, -0.48),
                ("orthogonal", "constant", -0.02, 0.02),
            )
        ]
        free = np.array(over_seeds(results, self._arm("superposed", math.inf), "accuracy"))
        for access in ACCESSES:
            for epsilon in EPSILONS:
                sample = np.array(over_seeds(results, self._arm(access, epsilon), "accuracy"))
                rows.append(Row.measured(f"accuracy, {access}, ε = {epsilon:g}", sample, unit="%"))
        for epsilon in EPSILONS[:-1]:
            one, other = (
                np.array(over_seeds(results, self._arm(access, epsilon), "accuracy"))
                for access in ACCESSES
            )
            rows += [
                Row.measured(
                    f"superposed minus orthogonal, ε = {epsilon:g}", one - other, unit="%"
                ),
                Row.measured(
                    f"cost of the budget, superposed, ε = {epsilon:g}", free - one, unit="%"
                ),
            ]
        rows += [
            Row.measured(
                f"error of the rebuilt image over its norm, {100 * share:g} % of the gradient kept",
                [results[INVERSION][s]["missed"][f"{share:g}"] for s in seeds],
            )
            for share in KEPT
        ]
        return rows

    def figures(self, results: Results) -> Sequence[Picture]:
        """Accuracy over time, by budget, for both accesses."""
        from fl_opt.report import figures
        from fl_opt.report.ink import look

        pictures = []
        for access in ACCESSES:
            series = []
            for index, epsilon in enumerate(EPSILONS):
                runs = list(results[self._arm(access, epsilon)].values())
                curves = np.array([run["curve"] for run in runs])
                series.append(
                    figures.Series(
                        f"ε = {epsilon:g}",
                        look(index),
                        np.arange(1.0, curves.shape[1] + 1.0),
                        curves.mean(axis=0),
                        curves.min(axis=0),
                        curves.max(axis=0),
                    )
                )
            pictures.append(
                figures.curves(
                    f"privacy-{access}",
                    f"Accuracy under a budget of privacy, {access} access",
                    series,
                    x_name="rounds",
                    x_unit="",
                    y_name="accuracy",
                    caption="ε at δ = 1e-5 over all rounds. Mean of the seeds with the band from "
                    "least to largest.",
                )
            )
        return pictures


EXPERIMENT = Privacy()
