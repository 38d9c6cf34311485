"""Models of one's own: alone, averaged, fine-tuned, meta-learned, related to each other.

Fifty devices with forty samples each, all of them in every round. In (A) each holds two of the ten
classes; in (B) all hold all, but half of them call every class by the name of another. The accuracy
is the mean over the devices of their own models on test images such as they meet.

Steps, rate, step of adaptation and couplings were set on a few rounds of seed 0, which is not among
those reported, and are the same in (A) and (B). Fine-tuning is tried at two step sizes, and what is
compared with it is compared with the better of the two.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.experiments.experiment import Cell, Data, Experiment, Results, Row
from fl_opt.experiments.worlds import Rayleigh
from fl_opt.policies import Optimised, Random
from fl_opt.policy import Outcome, Policy
from fl_opt.problems import MetaSelection
from fl_opt.units import Floats
from fl_opt.validation import Arm, FineTuned, LocalTraining, MultiTask, PerFedAvg, Task, simulate

if TYPE_CHECKING:
    from torch import Tensor

    from fl_opt.report.ink import Picture
    from fl_opt.validation.federation import Federation

_Learner: TypeAlias = LocalTraining | FineTuned | MultiTask
PARTITIONS = {"A": "shards:2", "B": "rotated:2"}
AVERAGED = "averaging"
PILOT = {
    "alone": (".956", ".565"),
    "averaging": (".880", ".451"),
    "averaging + 1": (".941", ".590"),
    "averaging + 20": (".962", ".725"),
    "meta + 1": (".935", ".703"),
    "mean-regularised": (".965", ".663"),
}
"""Accuracies of an earlier trial of ours in (A) and (B), with other steps and rates."""
PERSONAL = ("averaging + 1", "averaging + 20", "meta + 1", "Hessian-free + 1")
RELATED = ("mean-regularised", "related")
TUNE = (1, 20)
SELECTIONS = ("by contribution", "by lot")


@dataclass(frozen=True)
class PersonalisedExperiment(Experiment):
    """Models of one's own: alone, averaged, fine-tuned, meta-learned, related to each other."""

    name: ClassVar[str] = "personalised"
    source: ClassVar[str] = (
        "Smith, Chiang, Sanjabi, Talwalkar, NeurIPS 2017, arXiv 1705.10467; "
        "Fallah, Mokhtari, Ozdaglar, NeurIPS 2020, arXiv 2002.07948"
    )

    first_seed: ClassVar[int] = 1

    dataset: str = "mnist"
    devices: int = 50
    samples: int = 2000
    test_samples: int = 1000
    rounds: int = 60
    marks: int = 6
    local_steps: int = 10
    batch: int = 10
    rate: float = 0.05
    tune_rates: tuple[float, float] = (0.1, 0.5)
    mean_coupling: float = 0.1
    coupling: float = 0.001
    participants: int = 10
    deadline_s: float = 5.0

    @property
    def arms(self) -> Sequence[str]:
        """Ways to train in (A) and (B), then two ways to choose who takes part."""
        trained = [f"{name}, {mix}" for mix in PARTITIONS for name in self._methods]
        return [*trained, *(f"{name}, B" for name in SELECTIONS)]

    @property
    def _methods(self) -> dict[str, _Learner]:
        steps: dict[str, Any] = {
            "local_steps": self.local_steps,
            "batch": self.batch,
            "rate": self.rate,
        }
        meta = functools.partial(PerFedAvg, tune_rate=self.tune_rates[-1], **steps)
        return {
            "alone": LocalTraining(**steps),
            AVERAGED: FineTuned(**steps),
            "meta + 1": meta(),
            "Hessian-free + 1": meta(hessian_free=True),
            "mean-regularised": MultiTask(relation="mean", coupling=self.mean_coupling, **steps),
            "related": MultiTask(coupling=self.coupling, **steps),
        }

    def quick(self) -> Self:
        """Few devices and rounds."""
        return dataclasses.replace(
            self,
            dataset="digits",
            devices=6,
            samples=240,
            test_samples=200,
            rounds=4,
            marks=2,
            participants=3,
            seeds=2,
        )

    def run(self, cell: Cell) -> Data:
        """Train one method; federated averaging is scored with several adaptations."""
        name, _, mix = cell.arm.partition(", ")
        if name in SELECTIONS:
            return self._select(name, cell.seed)
        method = self._methods[name]
        rng = np.random.default_rng(cell.seed)
        federation = self._task(mix).load(rng, np.full(self.devices, float(self.samples)))
        everybody, nothing = np.ones(self.devices, dtype=bool), np.zeros(self.devices)
        allocation = Allocation(selected=everybody, bandwidth_hz=1.0, power_w=1.0, cpu_hz=1.0)
        outcome = Outcome(everybody, everybody, nothing, nothing, 1.0)
        state: Any = method.start(federation, rng)
        marks = np.linspace(0, self.rounds, self.marks + 1).astype(int)[1:]
        found: dict[str, list[Floats]] = {}
        for index in range(1, self.rounds + 1):
            # a stream for each round: all methods draw the same batches of plain steps
            lots = np.random.default_rng([cell.seed, index])
            state = method.learn(federation, state, allocation, outcome, lots)
            if index in marks:
                for title, models in self._own(name, method, federation, state.weights).items():
                    found.setdefault(title, []).append(federation.own_accuracy(models))
        return {
            "rounds": marks.tolist(),
            "curves": {k: [round(float(one.mean()), 4) for one in v] for k, v in found.items()},
            "accuracy": {k: float(v[-1].mean()) for k, v in found.items()},
            "worst": {k: float(np.quantile(v[-1], 0.1)) for k, v in found.items()},
        }

    def _task(self, mix: str) -> Task:
        return Task(
            self.dataset,
            "mlp",
            PARTITIONS[mix],
            samples=self.samples,
            test_samples=self.test_samples,
        )

    def _own(
        self, name: str, method: _Learner, federation: Federation, weights: Tensor
    ) -> dict[str, Tensor]:
        """The models (K, P) that devices use, by what is done to get them."""
        if name != AVERAGED:
            own = method.own(federation, weights) if isinstance(method, FineTuned) else weights
            return {name: own}
        found = {AVERAGED: weights}
        for rate in self.tune_rates:
            for steps in TUNE:
                tuner = FineTuned(tune_steps=steps, tune_rate=rate)
                found[f"{AVERAGED} + {steps}, step {rate:g}"] = tuner.own(federation, weights)
        return found

    def _select(self, name: str, seed: int) -> Data:
        """Meta-learning with few participants in a round, over a fading channel."""
        policy: Policy = Random(count=self.participants, deadline_s=self.deadline_s)
        if name == SELECTIONS[0]:
            policy = Optimised(
                functools.partial(
                    MetaSelection, participants=self.participants, deadline_s=self.deadline_s
                ),
                signals={"gradient_norm": "gradient_norm"},
            )
        arm = Arm(policy, self._methods["meta + 1"])
        trace = simulate(Rayleigh(self.devices, 10.0), arm, self._task("B"), self.rounds, seed)
        return {
            "accuracy": float(trace.accuracy[-1]),
            "arrived": float(trace.arrived.mean()),
            "curve": [round(float(value), 4) for value in trace.accuracy],
        }

    def rows(self, results: Results) -> Sequence[Row]:
        """Orderings with their thresholds, accuracies, the worst served."""
        one, two = (_scores(results, mix, "accuracy") for mix in PARTITIONS)
        best = np.max([one[name] for name in (*PERSONAL, *RELATED)], axis=0)
        related = np.max([two[name] for name in RELATED], axis=0)
        rows = [
            _ahead("(B) related, learned relation − alone", two["related"] - two["alone"], 0.0),
            _ahead("(B) the better related − alone", related - two["alone"], 0.0),
            _ahead("(B) alone − averaging", two["alone"] - two[AVERAGED], 0.0),
            _ahead("(A) best personalised − averaging", best - one[AVERAGED], 0.05),
            _ahead("(B) meta + 1 − averaging + 1", two["meta + 1"] - two["averaging + 1"], 0.0),
        ]
        for mix, score in (("A", one), ("B", two)):
            tuned = score["averaging + 20"] - score["meta + 1"]
            rows.append(_ahead(f"({mix}) averaging + 20 − meta + 1", tuned))
            order = score["Hessian-free + 1"] - score["meta + 1"]
            rows.append(_ahead(f"({mix}) Hessian-free + 1 − meta + 1", order))
        for mix, score in (("A", one), ("B", two)):
            trial = "AB".index(mix)
            for name, sample in score.items():
                pilot = PILOT[name][trial] if name in PILOT else ""
                rows.append(
                    Row.measured(f"({mix}) accuracy, {name}", sample, unit="%", source=pilot)
                )
        for mix in PARTITIONS:
            for name, sample in _scores(results, mix, "worst").items():
                rows.append(
                    Row.measured(f"({mix}) accuracy of the worst tenth, {name}", sample, unit="%")
                )
        chosen, lot = (results[f"{name}, B"] for name in SELECTIONS)
        seeds = sorted(chosen)
        gain = [chosen[s]["accuracy"] - lot[s]["accuracy"] for s in seeds]
        rows.append(_ahead(f"(B) meta + 1, {SELECTIONS[0]} − {SELECTIONS[1]}", gain))
        for name, runs in zip(SELECTIONS, (chosen, lot), strict=True):
            rows.append(
                Row.measured(f"devices in a round, {name}", [runs[s]["arrived"] for s in seeds])
            )
        return rows

    def figures(self, results: Results) -> Sequence[Picture]:
        """Accuracy over rounds in (A) and in (B)."""
        from fl_opt.report import figures
        from fl_opt.report.ink import look

        pictures = []
        for mix, title in (("A", "Two classes for each"), ("B", "Names of classes turned")):
            series: list[figures.Series] = []
            for name in self._methods:
                runs = results[f"{name}, {mix}"].values()
                rounds = np.array(next(iter(runs))["rounds"], dtype=float)
                for label in _drawn(next(iter(runs))["curves"], self.tune_rates[0]):
                    band = np.array([run["curves"][label] for run in runs])
                    lines = rounds, band.mean(axis=0), band.min(axis=0), band.max(axis=0)
                    series.append(figures.Series(label, look(len(series)), *lines))
            pictures.append(
                figures.curves(
                    f"personalised-{mix.lower()}",
                    f"({mix}) {title}",
                    series,
                    x_name="rounds",
                    x_unit="",
                    y_name="accuracy of own models",
                    caption="Mean of the seeds with the band from least to largest.",
                )
            )
        return pictures


def _drawn(curves: dict[str, Any], rate: float) -> list[str]:
    """What is drawn of a method: of the adaptations those of one step size."""
    return [name for name in curves if "step" not in name or name.endswith(f"step {rate:g}")]


def _ahead(what: str, sample: Any, at_least: float = -np.inf) -> Row:
    return Row.measured(what, sample, unit="%", at_least=at_least)


def _scores(results: Results, mix: str, key: str) -> dict[str, Floats]:
    """Numbers over the seeds by what devices use; of adaptations the better step, seed by seed."""
    found: dict[str, Floats] = {}
    for arm, runs in results.items():
        name, _, where = arm.partition(", ")
        if where != mix or name in SELECTIONS:
            continue
        for title in next(iter(runs.values()))[key]:
            sample = np.array([runs[seed][key][title] for seed in sorted(runs)])
            plain = title.partition(", step")[0]
            found[plain] = np.maximum(sample, found[plain]) if plain in found else sample
    return found


EXPERIMENT = PersonalisedExperiment()
