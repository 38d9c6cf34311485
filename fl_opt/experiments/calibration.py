"""Convergence models put to the test: fitted to five pilot runs, then asked to choose.

Ten devices share a megahertz; classes are dealt out unevenly (Dirichlet, 0.5). How many of them to
draw in a round, and how many local steps to take, is chosen by models: rounds to the target in the
shape of the bound of Li et al., fitted to pilot runs at two, five and ten devices and at three,
ten and fifty steps, goes into BudgetedTraining; the bound of Wang et al. (LocalSteps) takes
constants that are estimated in one round. Every choice that could have been made is run as well, so
that the prediction error and the regret against the best fixed choice can be said. Packet loss is
predicted from runs without any. Pilots and horizon were set with an eye on seed 0, which is not
among those reported.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

import numpy as np

from fl_opt.allocation import use
from fl_opt.comparison.statistics import Interval
from fl_opt.experiments.experiment import Cell, Data, Experiment, Results, Row
from fl_opt.experiments.worlds import Still
from fl_opt.network import Network
from fl_opt.policies import Random
from fl_opt.policies.seats import equal_share
from fl_opt.problems import BudgetedTraining, LocalSteps
from fl_opt.problems.local_steps import Constants
from fl_opt.solving import solve
from fl_opt.units import Floats
from fl_opt.validation import Arm, FedAvg, Task, simulate
from fl_opt.validation.calibration import TERMS, Calibration, calibrate, constants
from fl_opt.workload import Workload

if TYPE_CHECKING:
    from fl_opt.report.ink import Picture

STEPS = (1, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100)
"""Numbers of local steps that a fixed choice may take."""
NOMINAL = 10
LOSSES = (0.2, 0.5)
WANG = "steps of Wang's bound"
STEP_CYCLES = 2.4e7
"""CPU cycles of a local step, 24 ms at 1 GHz [cycle]."""
GAIN, POWER_W, NOISE_W_HZ, BAND_HZ = 1e-8, 0.5, 1e-16, 1e6
LAST = 5
"""The target is reached when the mean accuracy of so many rounds is."""


class Choice(NamedTuple):
    """Devices drawn in a round, local steps, probability that a packet is lost."""

    devices: int
    steps: int = NOMINAL
    loss: float = 0.0

    @property
    def arm(self) -> str:
        """Its name."""
        lost = f", {self.loss:.0%} lost" if self.loss else ""
        return f"{self.devices} devices, {self.steps} steps{lost}"

    @property
    def updates(self) -> float:
        """Updates that get through in a round on average."""
        return self.devices * (1.0 - self.loss)


@dataclass(frozen=True)
class CalibrationExperiment(Experiment):
    """Convergence models fitted to pilot runs, and what their choices cost."""

    name: ClassVar[str] = "calibration"
    source: ClassVar[str] = (
        "Li, Huang, Yang, Wang, Zhang, ICLR 2020, arXiv 1907.02189; "
        "Wang et al., IEEE JSAC 2019, arXiv 1804.05271"
    )
    first_seed: ClassVar[int] = 1

    dataset: str = "mnist"
    devices: int = 10
    horizon_s: float = 200.0
    rate: float = 0.05
    samples: int = 10_000
    test_samples: int = 1_000
    target: float = 0.80

    @property
    def arms(self) -> Sequence[str]:
        """All that is run."""
        return [*self._choices, WANG]

    @cached_property
    def _choices(self) -> dict[str, Choice]:
        most = self.devices
        every = [
            *(Choice(n) for n in range(1, most + 1)),
            *(Choice(most, tau) for tau in STEPS),
            *(Choice(most, NOMINAL, loss) for loss in LOSSES),
        ]
        return {choice.arm: choice for choice in every}

    @property
    def pilots(self) -> list[Choice]:
        """The runs that models are fitted to."""
        most = self.devices
        some = [Choice(max(most // 5, 1)), Choice(most // 2), Choice(most)]
        return [*some, Choice(most, 3), Choice(most, 50)]

    def quick(self) -> Self:
        """Few devices and little time."""
        return dataclasses.replace(
            self,
            dataset="digits",
            devices=4,
            horizon_s=15.0,
            samples=600,
            test_samples=200,
            seeds=2,
            target=0.3,
        )

    @property
    def _world(self) -> Still:
        return Still(self.devices, GAIN, POWER_W, NOISE_W_HZ, BAND_HZ / self.devices)

    @cached_property
    def _task(self) -> Task:
        """The task, with steps that take as long as said."""
        task = Task(
            self.dataset,
            "mlp",
            "dirichlet:0.5",
            samples=self.samples,
            test_samples=self.test_samples,
        )
        federation = task.load(0, self._world.data_sizes)
        scale = STEP_CYCLES / (32.0 * federation.cycles_per_sample)
        return dataclasses.replace(task, cycles_per_operation=scale)

    def _network(self, upload_bit: float, steps: int = NOMINAL) -> Network:
        """The round that devices meet."""
        workload = Workload(steps * STEP_CYCLES, upload_bit, 1.0)
        return next(self._world.rounds(np.random.default_rng(0), workload))

    def run(self, cell: Cell) -> Data:
        """Train with one choice up to the horizon."""
        federation = self._task.load(0, self._world.data_sizes)
        found: Data = {"upload_bit": float(FedAvg().workload(federation).upload_bit[0])}
        if cell.arm == WANG:
            estimated = self._constants(cell.seed)
            problem = LocalSteps.from_network(
                self._network(found["upload_bit"]),
                self.horizon_s,
                self.rate,
                estimated,
                nominal_steps=NOMINAL,
            )
            choice = Choice(self.devices, solve(problem).allocation.steps)
            found |= dataclasses.asdict(estimated)
        else:
            choice = self._choices[cell.arm]
        # the waterfall at which a packet is lost with that probability
        band_hz = BAND_HZ / choice.devices
        waterfall = -math.log1p(-choice.loss) * POWER_W * GAIN / (NOISE_W_HZ * band_hz)
        method = FedAvg(choice.steps, rate=self.rate, waterfall=waterfall)
        arm = Arm(Random(count=choice.devices), method)
        network = self._network(found["upload_bit"], choice.steps)
        share = equal_share(network, np.arange(network.size), choice.devices)
        rounds = math.floor(self.horizon_s / float(use(network, share).finish_s.max()))
        trace = simulate(self._world, arm, self._task, max(rounds, LAST), cell.seed)
        mean = np.convolve(trace.accuracy, np.full(LAST, 1.0 / LAST), mode="valid")
        reached = np.flatnonzero(mean >= self.target)
        return found | {
            "steps": choice.steps,
            "rounds": int(reached[0]) + LAST if reached.size else None,
            "round_s": float(trace.round_s[0]),
            "loss": float(trace.loss[-LAST:].mean()),
            "accuracy": float(mean[-1]),
        }

    def _constants(self, seed: int) -> Constants:
        """What devices estimate in a first round."""
        deal, start, batches = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(3))
        federation = self._task.load(deal, self._world.data_sizes)
        weights = federation.model.initial(start)
        return constants(federation, FedAvg(NOMINAL, rate=self.rate), weights, batches)

    def rows(self, results: Results) -> Sequence[Row]:
        """The fit, how far off it is on runs that it has not seen, and what choices by it cost."""
        seeds = sorted(results[WANG])
        fits = {seed: self._fit(results, [seed]) for seed in seeds}
        pooled = self._fit(results, seeds)
        rows = []
        for name in TERMS:
            value, error = getattr(pooled.model, name), pooled.error[name]
            interval = Interval(value, value - 2.0 * error, value + 2.0 * error, len(pooled.refits))
            rows.append(Row(f"fitted: {name}, plus and minus two standard errors", interval))
        rows.append(Row.measured("scatter of the runs fitted to", [pooled.scatter], unit="%"))
        for what, choices in self._held_out().items():
            off = [
                [found for c in choices if (found := self._off(results, fits[s], c, s)) is not None]
                for s in seeds
            ]
            if all(off):
                means = [float(np.mean(np.abs(found))) for found in off]
                rows.append(Row.measured(f"rounds predicted, off by: {what}", means, unit="%"))
        for loss in LOSSES:
            choice = Choice(self.devices, NOMINAL, loss)
            signed = [self._off(results, fits[s], choice, s) for s in seeds]
            known = [value for value in signed if value is not None]
            if known:
                what = f"rounds realised over predicted, {loss:.0%} of packets lost"
                rows.append(Row.measured(what, [1.0 + value for value in known]))
        return [*rows, *self._chosen(results, fits)]

    def _held_out(self) -> dict[str, list[Choice]]:
        """Runs that no model was fitted to, lossless."""
        unseen = [c for c in self._choices.values() if c not in self.pilots and not c.loss]
        fewest = min(pilot.devices for pilot in self.pilots)
        inner = {
            "numbers of devices between pilots": [
                c for c in unseen if fewest < c.devices < self.devices
            ],
            "local steps between pilots": [
                c for c in unseen if c.devices == self.devices and 3 <= c.steps <= 50
            ],
        }
        outer = {
            "one device": [c for c in unseen if c.devices == 1],
            "one or two local steps": [c for c in unseen if c.steps <= 2],
            "70 or 100 local steps": [c for c in unseen if c.steps > 50],
        }
        return {what: choices for what, choices in (inner | outer).items() if choices}

    def _fit(self, results: Results, seeds: Sequence[int]) -> Calibration:
        """The model of the pilots of some seeds; those that never arrive are left out."""
        runs = [
            (pilot.updates, pilot.steps, rounds)
            for pilot in self.pilots
            for seed in seeds
            if (rounds := results[pilot.arm][seed]["rounds"]) is not None
        ]
        return calibrate(*np.array(runs, dtype=float).T)

    @staticmethod
    def _off(results: Results, fit: Calibration, choice: Choice, seed: int) -> float | None:
        """Relative error of realised rounds to predicted ones; None where the target was missed."""
        rounds = results[choice.arm][seed]["rounds"]
        predicted = float(fit.model.rounds(choice.updates, choice.steps))
        return None if rounds is None else rounds / predicted - 1.0

    def _times(self, results: Results, arms: Sequence[str]) -> Floats:
        """Time to the target, of an arm for each seed; the horizon where it was missed [s]."""
        runs = [results[arm][seed] for arm, seed in zip(arms, sorted(results[WANG]), strict=True)]
        took = [run["rounds"] and run["rounds"] * run["round_s"] for run in runs]
        return np.array([self.horizon_s if one is None else one for one in took])

    def _regret(self, results: Results, arms: Sequence[str], among: Sequence[Choice]) -> Row:
        """Time of an arm for each seed over that of the fixed choice of least mean time."""
        every = {c.arm: self._times(results, [c.arm] * len(arms)) for c in among}
        best = min(every, key=lambda arm: float(every[arm].mean()))
        sample = self._times(results, arms) / every[best] - 1.0
        return Row.measured(f"regret in time against the best fixed, {best}", sample, unit="%")

    def _chosen(self, results: Results, fits: dict[int, Calibration]) -> list[Row]:
        """What was chosen, what was promised, what came, and the regret."""
        seeds = sorted(fits)
        network = self._network(results[WANG][seeds[0]]["upload_bit"])
        plans = {
            seed: solve(BudgetedTraining(network, fit.model.at(NOMINAL), 1.0))
            for seed, fit in fits.items()
        }
        drawn = [Choice(int(plans[s].allocation.selected.sum())) for s in seeds]
        promised = np.array([plans[s].certificate.cost for s in seeds])
        planned = [
            float(fits[s].model.rounds(c.devices, c.steps)) * results[c.arm][s]["round_s"]
            for s, c in zip(seeds, drawn, strict=True)
        ]
        by_steps = [Choice(self.devices, tau) for tau in STEPS]
        stepped = [
            min(
                (float(fits[s].model.rounds(c.devices, c.steps)) * results[c.arm][s]["round_s"], c)
                for c in by_steps
            )[1]
            for s in seeds
        ]
        arms = [choice.arm for choice in drawn]
        loss = {c.arm: np.array([results[c.arm][s]["loss"] for s in seeds]) for c in by_steps}
        lowest = min(loss, key=lambda arm: float(loss[arm].mean()))
        wang = {
            key: np.array([results[WANG][s][key] for s in seeds])
            for key in ("rho", "beta", "delta", "steps", "loss")
        }
        one_by_one = [Choice(n) for n in range(1, self.devices + 1)]
        regrets = [
            ("BudgetedTraining", self._regret(results, arms, one_by_one)),
            ("fitted model", self._regret(results, [c.arm for c in stepped], by_steps)),
            ("LocalSteps", self._regret(results, [WANG] * len(seeds), by_steps)),
        ]
        return [
            Row.measured(
                "BudgetedTraining: its time off rounds by the length measured",
                np.abs(promised / planned - 1.0),
                at_most=1e-9,
            ),
            Row.measured("BudgetedTraining: devices a round", [c.devices for c in drawn]),
            Row.measured(
                "BudgetedTraining: time realised over predicted",
                self._times(results, arms) / promised,
            ),
            Row.measured("fitted model: local steps", [c.steps for c in stepped]),
            *(Row.measured(f"LocalSteps: {key}", wang[key]) for key in list(wang)[:4]),
            Row.measured(
                f"LocalSteps: loss after {self.horizon_s:g} s above the least, {lowest}",
                wang["loss"] - loss[lowest],
                unit="nat",
            ),
            *(dataclasses.replace(row, what=f"{name}: {row.what}") for name, row in regrets),
        ]

    def figures(self, results: Results) -> Sequence[Picture]:
        """Rounds realised against those predicted by the model of all seeds."""
        from fl_opt.report import figures
        from fl_opt.report.ink import look

        seeds = sorted(results[WANG])
        fit = self._fit(results, seeds)
        rows = []
        for index, (name, seen) in enumerate({"pilot runs": True, "unseen runs": False}.items()):
            pairs = [
                (float(fit.model.rounds(choice.updates, choice.steps)), float(rounds))
                for choice in self._choices.values()
                for seed in seeds
                if (choice in self.pilots) == seen
                and (rounds := results[choice.arm][seed]["rounds"]) is not None
            ]
            claimed, realised = np.array(pairs).reshape(-1, 2).T
            rows.append(figures.Rounds(name, look(index), claimed, realised))
        return [
            figures.agreement(
                "rounds",
                "Rounds to the target, predicted and realised",
                rows,
                what="rounds",
                unit="",
                caption="Each mark is a run; the model is that of the pilots of all seeds.",
            )
        ]


EXPERIMENT = CalibrationExperiment()
