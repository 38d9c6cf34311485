"""Edges below a cloud: which edge a device should use, and how its band is shared.

Thirty devices anywhere in a square kilometre, five edges with 3 to 10 MHz of their own, path loss
128.1 + 37.6 log10 d[km] with 8 dB of shadowing, processors of 0.5 to 2 GHz; channels stay. Usual is
the edge that a device hears best, its band in equal parts, full power and full clock. Against that
the same association with band, power and clock at their optimum; equal numbers; edges by lot; and
the association by EdgeAssociation, where a second is worth what the usual round spends in it.

The clock waits for the slowest edge in every round, hence rounds="max"; on channels that stay,
edges that go on by themselves would reach the cloud no sooner. Classes live anywhere ("mixed"), or
devices of alike classes are neighbours ("by place"): the same places, gains and processors, with
other data in them. Rates, numbers and target were set on seeds that are not among those reported:
the step size was doubled and the target lowered from 0.85 to 0.80 since (60, 1) did not arrive,
when it was known already how the associations compare there.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from fl_opt.allocation import use
from fl_opt.certificate import Solution
from fl_opt.experiments.edges import (
    Area,
    Attached,
    Edges,
    Planned,
    balanced,
    by_classes,
    dealing,
    equal_parts,
    kept_to,
    nearest,
    skew,
)
from fl_opt.experiments.experiment import Cell, Data, Experiment, Results, Row, over_seeds
from fl_opt.problems import EdgeAllocation, EdgeAssociation
from fl_opt.solving import solve
from fl_opt.validation import Arm, HierFAVG, Task, simulate

if TYPE_CHECKING:
    from fl_opt.report.ink import Picture

STEPS = 60
"""Local steps from one average of the cloud to the next."""
STEP_CYCLES = 2.4e7
"""CPU cycles of a local step: 24 ms at 1 GHz [cycle]."""
CLOUD = 10.0
"""Time to the cloud and back, in uploads of the usual round as they are in the middle."""
MIXES = ("mixed", "by place")
SELDOM, OFTEN = 1, 10
"""Rounds from one average of the cloud to the next."""
USUAL, NEAREST, BALANCED, LOT, BEST = (
    "nearest, equal parts",
    "nearest, shared best",
    "equal numbers, shared best",
    "by lot, shared best",
    "EdgeAssociation",
)

WAYS = {
    (MIXES[0], SELDOM): (USUAL, NEAREST, BEST),
    (MIXES[0], OFTEN): (USUAL, NEAREST, BALANCED, LOT, BEST),
    (MIXES[1], OFTEN): (USUAL, NEAREST, LOT, BEST),
}
"""What is tried. Where the cloud averages in every round, an association changes time and energy
alone."""


@dataclass(frozen=True)
class EdgesChosen(Experiment):
    """Edges below a cloud: which edge a device should use."""

    name: ClassVar[str] = "edge-association"
    source: ClassVar[str] = "Luo, Chen, Wu, Zhou, Yu, HFEL, IEEE TWC 2020, arXiv 2002.11343"
    first_seed: ClassVar[int] = 3

    dataset: str = "mnist"
    devices: int = 30
    edges: int = 5
    averages: int = 20
    samples: int = 10_000
    test_samples: int = 2_000
    target: float = 0.80

    @property
    def _parts(self) -> dict[str, tuple[str, int, str]]:
        """What is put together in the arm of a name."""
        return {
            self._arm(mix, period, way): (mix, period, way)
            for (mix, period), ways in WAYS.items()
            for way in ways
        }

    @property
    def arms(self) -> Sequence[str]:
        """Ways to associate, where classes live and how often the cloud averages."""
        return list(self._parts)

    def quick(self) -> Self:
        """Few devices and averages."""
        return dataclasses.replace(
            self,
            dataset="digits",
            devices=5,
            edges=2,
            averages=3,
            samples=400,
            test_samples=200,
            seeds=2,
            target=0.3,
        )

    @staticmethod
    def _arm(mix: str, period: int, way: str) -> str:
        return f"{mix} ({STEPS // period}, {period}): {way}"

    def run(self, cell: Cell) -> Data:
        """Train with one way to associate."""
        mix, period, way = self._parts[cell.arm]
        task = Task(
            self.dataset,
            "mlp",
            "shards:2",
            samples=self.samples,
            test_samples=self.test_samples,
        )
        federation = task.load(dealing(cell.seed), np.full(self.devices, 1e9))
        scale = STEP_CYCLES / (20.0 * federation.cycles_per_sample)
        task = dataclasses.replace(task, cycles_per_operation=scale)
        federation = task.load(dealing(cell.seed), np.full(self.devices, 1e9))
        area = Area.draw(self.devices, self.edges, np.random.default_rng([cell.seed, 1]))
        lot = np.random.default_rng([cell.seed, 2]).integers(self.edges, size=self.devices)
        place = np.arange(self.devices)
        if mix == MIXES[1]:
            place[by_classes(federation)] = area.by_place()
        area, lot = area.at(place), lot[place]
        method = HierFAVG(STEPS // period, batch=20, rate=0.1, cloud_every=period)
        network = area.network(method.workload(federation))
        usual = equal_parts(network, nearest(network))
        spent = use(network.under(usual.edge), usual.allocation)
        problem = EdgeAssociation(
            network, float(spent.energy_j.sum() / spent.finish_s.max()), rounds="max"
        )
        decision, solution = _decide(way, problem, usual, lot)
        method = dataclasses.replace(
            method,
            association=tuple(int(e) for e in decision.edge),
            cloud_s=CLOUD * float(np.median(spent.airtime_s)),
        )
        world = Attached(area, decision.edge)
        arm = Arm(Planned(decision, solution), method)
        trace = simulate(world, arm, task, self.averages * period, cell.seed)
        accuracy = trace.accuracy[period - 1 :: period]
        reached = np.flatnonzero(accuracy >= self.target)
        end = (int(reached[0]) + 1 if reached.size else accuracy.size) * period
        at_edges_s = trace.round_s.copy()
        at_edges_s[period - 1 :: period] -= method.cloud_s
        band = problem.excess(decision)["band"]
        return {
            "accuracy": float(accuracy[-1]),
            "curve": [float(value) for value in accuracy],
            "curve_s": [float(f"{value:.6g}") for value in trace.time_s[period - 1 :: period]],
            "reached": bool(reached.size),
            "averages": end // period,
            "time_s": float(trace.time_s[end - 1]),
            "energy_j": float(trace.energy_j[:end].sum()) / self.devices,
            "round_s": float(at_edges_s.mean()),
            "round_j": float(trace.energy_j.mean()),
            "worth_j_s": problem.joule_per_s,
            "cost_j": solution.certificate.cost if solution else problem.cost(decision),
            "gap": solution.certificate.gap if solution else None,
            "band": float((np.asarray(band.used) / band.limit).max()),
            "skew": skew(federation, decision.edge),
            "edges": [int(n) for n in np.bincount(decision.edge, minlength=network.edges)],
            "moved": float((decision.edge != usual.edge).mean()),
        }

    def rows(self, results: Results) -> Sequence[Row]:
        """Whether the clock keeps what was certified; then time and energy to the target."""
        rows = self._kept(results)
        for (mix, period), ways in WAYS.items():
            arms = {way: self._arm(mix, period, way) for way in ways}
            if mix == MIXES[0]:
                # by place the rounds are the same
                rows += self._round(results, arms)
            for way in ways:
                promised = way == BEST and mix == MIXES[0]
                rows += self._spent(results, arms[USUAL], arms[way], promised=promised)
            # what is learned hangs on the association alone
            for way in [way for way in ways if way != NEAREST and period == OFTEN]:
                for key, what in _LEARNED.items():
                    sample = over_seeds(results, arms[way], key)
                    rows.append(Row.measured(f"{arms[way]}: {what}", sample))
        return rows

    def _kept(self, results: Results) -> list[Row]:
        """What must hold in every run."""
        first, *others = (self._arm(MIXES[0], SELDOM, way) for way in WAYS[MIXES[0], SELDOM])
        apart = [
            abs(a - b)
            for arm in others
            for s, run in results[arm].items()
            for a, b in zip(run["curve"], results[first][s]["curve"], strict=True)
        ]
        runs = [run for arm in self.arms for run in results[arm].values()]
        off = [
            abs(run["round_j"] + run["worth_j_s"] * run["round_s"] - run["cost_j"]) / run["cost_j"]
            for run in runs
        ]
        given = max(run["band"] for run in runs)
        return [
            Row.exact("(60, 1): associations apart in accuracy", max(apart), 0.0),
            Row.measured(
                "cost of a round: simulated apart from certified", [max(off)], at_most=1e-9
            ),
            Row.measured(
                "largest part of its band that an edge gives away", [given], at_most=1.0 + 1e-9
            ),
        ]

    @staticmethod
    def _round(results: Results, arms: Mapping[str, str]) -> list[Row]:
        """How good the round of the association is, and how long the rounds of all are."""
        best = arms[BEST]
        cost = np.array(over_seeds(results, best, "cost_j"))
        rows = [
            Row.measured(
                f"{best}: cost of a round over {way}",
                cost / over_seeds(results, arms[way], "cost_j"),
                at_most=1.0 + 1e-6,
            )
            for way in (USUAL, NEAREST)
        ]
        for arm in arms.values():
            sample = over_seeds(results, arm, "round_s")
            rows.append(Row.measured(f"{arm}: a round at the edges", sample, unit="s"))
        period_s = {
            way: np.array(over_seeds(results, arm, "time_s")) / over_seeds(results, arm, "averages")
            for way, arm in arms.items()
        }
        for way, arm in arms.items():
            if way != USUAL:
                shorter = period_s[USUAL] / period_s[way]
                rows.append(
                    Row.measured(f"{arm}: times shorter from cloud to cloud than usual", shorter)
                )
        for key, what in (("gap", "gap of the round"), ("moved", "devices not with the nearest")):
            rows.append(Row.measured(f"{best}: {what}", over_seeds(results, best, key), unit="%"))
        return rows

    def _spent(self, results: Results, usual: str, arm: str, promised: bool) -> list[Row]:
        """Time and energy, as such and against what is usual."""
        got = sum(run["reached"] for run in results[arm].values())
        to = f"to {self.target:.2f}"
        if got < self.seeds:
            to += f" (reached by {got} of {self.seeds}; else to the end)"
        ours, theirs = (
            {key: np.array(over_seeds(results, one, key)) for key in _SPENT} for one in (arm, usual)
        )
        if arm == usual:
            return [
                Row.measured(f"{arm}: time {to}", ours["time_s"], unit="s"),
                Row.measured(f"{arm}: energy of a device {to}", ours["energy_j"], unit="J"),
            ]
        return [
            Row.measured(
                f"{arm}: times sooner {to} than usual",
                theirs["time_s"] / ours["time_s"],
                at_least=1.0 if promised else -math.inf,
            ),
            Row.measured(f"{arm}: energy {to} over usual", ours["energy_j"] / theirs["energy_j"]),
        ]

    def figures(self, results: Results) -> Sequence[Picture]:
        """Accuracy over simulated time, a picture for each mix of classes."""
        from fl_opt.report import figures
        from fl_opt.report.ink import look

        pictures = []
        for mix in MIXES:
            arms = {way: self._arm(mix, OFTEN, way) for way in WAYS[mix, OFTEN]}
            ends = [run["curve_s"][-1] for arm in arms.values() for run in results[arm].values()]
            grid_s = np.linspace(0.0, min(ends), 81)
            series = []
            for way, arm in arms.items():
                curves = np.array(
                    [
                        np.append(0.1, run["curve"])[
                            np.searchsorted(run["curve_s"], grid_s, "right")
                        ]
                        for run in results[arm].values()
                    ]
                )
                series.append(
                    figures.Series(
                        way,
                        look(WAYS[MIXES[0], OFTEN].index(way)),
                        grid_s,
                        curves.mean(axis=0),
                        curves.min(axis=0),
                        curves.max(axis=0),
                    )
                )
            pictures.append(
                figures.curves(
                    f"edges-{mix.replace(' ', '-')}",
                    f"Accuracy of the cloud's model, classes {mix}",
                    series,
                    x_name="simulated time",
                    x_unit="s",
                    y_name="accuracy",
                    target=self.target,
                    caption=f"{STEPS // OFTEN} local steps a round, the cloud in every {OFTEN}th. "
                    "Mean of the seeds with the band from least to largest, up to the end of the "
                    "run that ends first.",
                )
            )
        return pictures


def _decide(
    way: str, problem: EdgeAssociation, usual: EdgeAllocation, lot: Edges
) -> tuple[EdgeAllocation, Solution[Any] | None]:
    """The decision of an arm, and its certificate where it has one."""
    if way == USUAL:
        return usual, None
    network = problem.network
    if way != BEST:
        edge = {NEAREST: usual.edge, BALANCED: balanced(network), LOT: lot}[way]
        network = kept_to(network, edge)
    solution = solve(EdgeAssociation(network, problem.joule_per_s, problem.rounds))
    return solution.allocation, solution


_SPENT = ("time_s", "energy_j")
_LEARNED = {
    "averages": "visits to the cloud until the target",
    "skew": "how unlike the classes of edges are, 0 to 1",
}

EXPERIMENT = EdgesChosen()
