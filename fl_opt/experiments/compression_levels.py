"""Own levels of compression against one level for all, at equal band, deadline and energy.

Twenty devices of the macro cell, two classes of images each, with error feedback. In every round
CompressionLevels gives each device its own share of top-k, or silence, to the least bound on the
error of the mean; the other arm solves the same problem with a single level on the menu, for each
level, and takes the best; the third may only send all or nothing. What each level leaves out is
measured on rounds before the run, not taken from the law of the worst case.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.compression_laws import Level, full, top_k
from fl_opt.experiments.experiment import Cell, Data, Experiment, Results, Row, over_seeds
from fl_opt.network import Network
from fl_opt.policies import Optimised
from fl_opt.policy import Outcome
from fl_opt.problems import CompressionLevels
from fl_opt.scenario import Scenario
from fl_opt.solving import solve
from fl_opt.units import Floats
from fl_opt.validation import Arm, Compressed, Task, simulate

if TYPE_CHECKING:
    from fl_opt.report.ink import Picture
    from fl_opt.validation.federation import Federation

SHARES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
"""Menu of top-k; sending all is its last level."""
DEADLINES_S = (0.2, 0.5, 1.0)
OWN, ONE, WHOLE, BOUNDS = "own levels", "one level", "all or nothing", "bounds"


def own_levels(
    network: Network, update_norm: Floats, deadline_s: float, menu: Sequence[Level]
) -> CompressionLevels:
    """The problem of a round; a norm that is not known yet counts as the mean of the others."""
    known = np.isfinite(update_norm)
    mean = float(update_norm[known].mean()) if known.any() else 1.0
    norm = np.where(known, update_norm, mean)
    return CompressionLevels.from_levels(network, deadline_s, menu, norm)


def one_level(
    network: Network, update_norm: Floats, deadline_s: float, menu: Sequence[Level]
) -> CompressionLevels:
    """The problem with the one level that is best for all, others being off the menu."""
    problems = [own_levels(network, update_norm, deadline_s, [level]) for level in menu]
    costs = [problem.cost(solve(problem).allocation) for problem in problems]
    return problems[int(np.argmin(costs))]


def all_or_nothing(
    network: Network, update_norm: Floats, deadline_s: float, menu: Sequence[Level]
) -> CompressionLevels:
    """The problem without compression."""
    return own_levels(network, update_norm, deadline_s, menu[-1:])


RULES = {OWN: own_levels, ONE: one_level, WHOLE: all_or_nothing}


@dataclass(frozen=True)
class CompressionLevelsExperiment(Experiment):
    """Own levels of compression against one level for all, at equal band, deadline and energy.

    Parameters
    ----------
    devices, rounds, rate, partition
        K devices, rounds of a run, step size, who holds which classes.
    draws
        Networks on which bounds are compared.
    pilot
        Rounds before the run in which the errors of the levels are measured.
    """

    name: ClassVar[str] = "compression-levels"
    source: ClassVar[str] = (
        "an open problem of Chen, Gunduz, Huang, Saad, Bennis, Feljan, Poor, IEEE JSAC 2021, "
        "arXiv 2104.02151; there is no figure to compare with"
    )

    dataset: str = "mnist"
    devices: int = 20
    rounds: int = 60
    rate: float = 0.1
    partition: str = "shards:2"
    draws: int = 40
    pilot: int = 6

    @property
    def arms(self) -> Sequence[str]:
        """Bounds over draws, then training by each rule at each deadline."""
        return [BOUNDS, *(_arm(rule, deadline) for deadline in DEADLINES_S for rule in RULES)]

    def quick(self) -> Self:
        return dataclasses.replace(
            self, dataset="digits", devices=6, rounds=3, draws=2, pilot=2, seeds=2
        )

    @property
    def _world(self) -> Scenario:
        return Scenario.named("macro").replace(devices=self.devices)

    def _method(self, share: float) -> Compressed:
        return Compressed(compressor="top-k", share=share, rate=self.rate)

    def run(self, cell: Cell) -> Data:
        task = Task(self.dataset, "mlp", self.partition)
        menu = self._menu(task.load(cell.seed, self._world.data_sizes), cell.seed)
        if cell.arm == BOUNDS:
            return self._bounds(menu, task, cell.seed)
        rule, _, deadline = cell.arm.removesuffix(" s").rpartition(", ")
        problem = functools.partial(RULES[rule], deadline_s=float(deadline), menu=menu)
        policy = Optimised(problem, signals={"update_norm": "update_norm"})
        arm = Arm(policy, self._method(SHARES[-1]))
        trace = simulate(self._world, arm, task, self.rounds, cell.seed)
        return {
            "accuracy": float(trace.accuracy[-1]),
            "arrived": float(trace.arrived.mean()),
            "energy_j": float(trace.energy_j.sum()),
            "curve": [round(float(value), 4) for value in trace.accuracy],
            "time_s": [float(f"{value:.6g}") for value in trace.time_s],
        }

    def _menu(self, federation: Federation, seed: int) -> list[Level]:
        """The levels, with the share of the squared norm that each leaves out in a pilot run."""
        size, everyone = federation.model.parameters, np.ones(self.devices, dtype=bool)
        allocation = Allocation(selected=everyone, bandwidth_hz=0.0, power_w=0.0, cpu_hz=0.0)
        nothing = np.zeros(self.devices)
        outcome = Outcome(everyone, everyone, nothing, nothing, 0.0)
        menu = []
        for share in SHARES:
            method, rng = self._method(share), np.random.default_rng([seed, 1])
            state = method.start(federation, rng)
            for _ in range(self.pilot):
                state = method.learn(federation, state, allocation, outcome, rng.spawn(1)[0])
            assert state.owed is not None
            owed = state.owed.double().norm(dim=1).numpy()
            left_out = float(np.mean((owed / state.update_norm) ** 2))
            law = top_k(size, method.amount(size))
            menu.append(dataclasses.replace(law, error=left_out))
        return [*menu, full(size)]

    def _bounds(self, menu: Sequence[Level], task: Task, seed: int) -> Data:
        """Bound on the error by own levels over that by one, on the same networks."""
        world, unknown = self._world, np.full(self.devices, np.nan)
        federation = task.load(seed, world.data_sizes)
        workload = self._method(SHARES[-1]).workload(federation)
        ratios: dict[str, list[float]] = {f"{deadline:g}": [] for deadline in DEADLINES_S}
        for draw in range(self.draws):
            nature = np.random.default_rng([seed, 2, draw])
            network = next(iter(world.rounds(nature, workload)))
            for deadline in DEADLINES_S:
                costs = []
                for rule in (own_levels, one_level):
                    problem = rule(network, unknown, deadline, menu)
                    costs.append(problem.cost(solve(problem).allocation))
                ratios[f"{deadline:g}"].append(costs[0] / costs[1] if costs[1] else 1.0)
        return {
            "error": [level.error for level in menu],
            "mean": {name: float(np.mean(values)) for name, values in ratios.items()},
            "largest": float(np.max(list(ratios.values()))),
        }

    def rows(self, results: Results) -> Sequence[Row]:
        rows = [
            Row.measured(
                "error bound of own levels over that of one level, largest of all draws",
                over_seeds(results, BOUNDS, "largest"),
                at_most=1.0 + 1e-9,
            )
        ]
        for deadline in DEADLINES_S:
            mean = [run["mean"][f"{deadline:g}"] for run in _runs(results, BOUNDS)]
            rows.append(
                Row.measured(f"the same, mean over the draws, deadline {deadline:g} s", mean)
            )
        for deadline in DEADLINES_S:
            for rule in (ONE, WHOLE):
                pair = _arm(OWN, deadline), _arm(rule, deadline)
                after = f"own levels against {rule}, deadline {deadline:g} s"
                gain, timed = (_gain(results, *pair, at_equal_time=same) for same in (False, True))
                spent = np.array(over_seeds(results, pair[0], "energy_j"))
                spent = spent / np.array(over_seeds(results, pair[1], "energy_j"))
                rows += [
                    Row.measured(f"accuracy gained in equal rounds, {after}", gain, unit="points"),
                    Row.measured(f"accuracy gained in equal time, {after}", timed, unit="points"),
                    Row.measured(f"energy over that of the other, {after}", spent),
                ]
        rows += [
            Row.measured(f"devices heard in a round, {arm}", over_seeds(results, arm, "arrived"))
            for arm in self.arms
            if arm != BOUNDS
        ]
        return rows

    def figures(self, results: Results) -> Sequence[Picture]:
        from fl_opt.report.figures import Series, curves
        from fl_opt.report.ink import look

        pictures = []
        for deadline in DEADLINES_S:
            series = []
            for index, rule in enumerate(RULES):
                runs = _runs(results, _arm(rule, deadline))
                end = min(run["time_s"][-1] for run in runs)
                time = np.linspace(0.0, end, 61)[1:]
                accuracy = np.array([[_at(run, moment) for moment in time] for run in runs])
                series.append(
                    Series(
                        rule,
                        look(index),
                        time,
                        accuracy.mean(axis=0),
                        accuracy.min(axis=0),
                        accuracy.max(axis=0),
                    )
                )
            pictures.append(
                curves(
                    f"time-{deadline:g}".replace(".", "-"),
                    f"Accuracy over time, deadline {deadline:g} s",
                    series,
                    x_name="simulated time",
                    x_unit="s",
                    y_name="test accuracy",
                    caption="The line is the mean over the seeds, the band from the least to the "
                    "largest.",
                )
            )
        return pictures


def _arm(rule: str, deadline_s: float) -> str:
    return f"{rule}, {deadline_s:g} s"


def _runs(results: Results, arm: str) -> list[Data]:
    return [results[arm][seed] for seed in sorted(results[arm])]


def _at(run: Data, moment: float) -> float:
    """Accuracy of the model that there is at a moment; NaN before the first."""
    index = int(np.searchsorted(run["time_s"], moment, side="right")) - 1
    return float(run["curve"][index]) if index >= 0 else float("nan")


def _gain(results: Results, ours: str, other: str, *, at_equal_time: bool) -> list[float]:
    """Points of accuracy between two arms, seed by seed."""
    pairs = zip(_runs(results, ours), _runs(results, other), strict=True)
    if not at_equal_time:
        return [100.0 * (a["accuracy"] - b["accuracy"]) for a, b in pairs]
    gains = []
    for a, b in pairs:
        moment = min(a["time_s"][-1], b["time_s"][-1])
        gains.append(100.0 * (_at(a, moment) - _at(b, moment)))
    return gains


EXPERIMENT = CompressionLevelsExperiment()
