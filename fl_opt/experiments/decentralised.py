"""Without a server: how fast neighbours agree, and what that is worth.

Devices of two classes each mix their models over a complete graph, a torus and a ring with
Metropolis weights, and over a random geometric graph with Metropolis weights, with the weights that
contract fastest, and with half of the link time by chosen and by equal probabilities of matchings.
Contraction is measured on random models without training and compared with the eigenvalue.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from fl_opt.experiments.experiment import Cell, Data, Experiment, Results, Row, over_seeds
from fl_opt.experiments.worlds import Still
from fl_opt.policies import Everyone
from fl_opt.problems import Graph, LinkActivation, MixingStep, MixingWeights
from fl_opt.problems.activation import Activation
from fl_opt.problems.matchings import matchings
from fl_opt.problems.mixing_weights import Mixing
from fl_opt.solving import solve
from fl_opt.validation import Arm, Gossip, Task, simulate

if TYPE_CHECKING:
    from fl_opt.report.ink import Picture

SIDE = 4
NAMED = ("complete", "torus", "ring")
METROPOLIS, FASTEST = "random graph, Metropolis weights", "random graph, fastest weights"
CHOSEN, EVEN = "half the link time, chosen matchings", "half the link time, equal probabilities"
CONTRACTION = "contraction"
EXCHANGE_S = 1.0
"""Time in which the links of a matching are used once [s]."""


@dataclass(frozen=True)
class Decentralised(Experiment):
    """Without a server: how fast neighbours agree, and what that is worth."""

    name: ClassVar[str] = "decentralised"
    source: ClassVar[str] = (
        "Xiao, Boyd, Systems & Control Letters 2004; Wang, Sahu, Yang, Joshi, Kar, arXiv 1905.09435"
    )

    dataset: str = "mnist"
    rounds: int = 40
    samples: int = 4_800
    test_samples: int = 2_000

    @property
    def devices(self) -> int:
        """Number of devices: as many as the torus has."""
        return SIDE * SIDE

    @property
    def arms(self) -> Sequence[str]:
        """Named graphs, then the ways to use a random one."""
        return [CONTRACTION, *NAMED, METROPOLIS, FASTEST, CHOSEN, EVEN]

    def quick(self) -> Self:
        """Few rounds and samples."""
        return dataclasses.replace(
            self, dataset="digits", rounds=3, samples=480, test_samples=200, seeds=2
        )

    def graph(self, seed: int) -> Graph:
        """A connected random geometric graph of the seed."""
        rng = np.random.default_rng(seed)
        while True:
            graph = Graph.within(rng.uniform(0.0, 1.0, (self.devices, 2)), 0.38)
            if graph.connected:
                return graph

    def mixing(self, arm: str, seed: int) -> Mixing | Activation:
        """How the links of an arm are weighted and used."""
        if arm == "torus":
            return MixingWeights(Graph.torus(SIDE, SIDE)).metropolis()
        if arm in NAMED:
            graph = Graph.ring(self.devices) if arm == "ring" else Graph.complete(self.devices)
            return MixingWeights(graph).metropolis()
        graph = self.graph(seed)
        if arm == METROPOLIS:
            return MixingWeights(graph).metropolis()
        if arm == FASTEST:
            fastest: Mixing = solve(MixingWeights(graph)).allocation
            return fastest
        groups = matchings(graph)
        count = int(groups.max()) + 1
        if arm == CHOSEN:
            chosen: Activation = solve(LinkActivation(graph, matchings_max=count / 2)).allocation
            return chosen
        even = Activation(graph, groups, np.full(count, 0.5))
        found: Activation = solve(MixingStep(even)).allocation
        return found

    def run(self, cell: Cell) -> Data:
        """Contract random models, or train."""
        if cell.arm == CONTRACTION:
            return self._contraction(cell.seed)
        mixing = self.mixing(cell.arm, cell.seed)
        method = Gossip(rate=0.1, mixing=mixing, exchange_s=EXCHANGE_S)
        task = Task(
            self.dataset,
            "mlp",
            "shards:2",
            samples=self.samples,
            test_samples=self.test_samples,
        )
        world = Still(self.devices, 1e-8, 0.5, 1e-16, 1e6)
        trace = simulate(world, Arm(Everyone(), method), task, self.rounds, cell.seed)
        return {
            "accuracy": float(trace.accuracy[-1]),
            "curve": [float(value) for value in trace.accuracy],
            "time_s": float(trace.time_s[-1]),
        }

    def _contraction(self, seed: int) -> Data:
        """What a step leaves of the squared distance to the mean, measured and predicted."""
        left: dict[str, list[float]] = {}
        for arm in (*NAMED, METROPOLIS, FASTEST):
            mixing = self.mixing(arm, seed)
            assert isinstance(mixing, Mixing)
            x = np.random.default_rng(seed).standard_normal((self.devices, 2000))
            x -= x.mean(axis=0)
            x /= np.sqrt((x * x).sum())
            squares = []
            # by then the slowest mode is all that is left; renewed, so that nothing underflows
            for _ in range(400):
                x = mixing.matrix @ x
                x -= x.mean(axis=0)
                squares.append(float((x * x).sum()))
                if squares[-1] == 0.0:
                    break
                x /= np.sqrt(squares[-1])
            left[arm] = [squares[0], squares[-1], mixing.contraction**2]
        return {"left": left}

    def rows(self, results: Results) -> Sequence[Row]:
        """Contraction, then accuracies and their differences."""
        left = [run["left"] for run in results[CONTRACTION].values()]
        rows = [
            Row.measured(
                f"measured over predicted contraction of a step, {arm}",
                [run[arm][1] / run[arm][2] for run in left],
                at_least=0.95,
                at_most=1.05,
            )
            for arm in (*NAMED[1:], METROPOLIS, FASTEST)
        ]
        rows.append(
            Row.measured(
                "what the first step leaves of the squared distance to the mean, complete",
                [run[NAMED[0]][0] for run in left],
                at_most=1e-20,
            )
        )
        rows += [
            Row.measured(f"accuracy, {arm}", over_seeds(results, arm, "accuracy"), unit="%")
            for arm in self.arms[1:]
        ]
        pairs = [
            ("complete", "torus", 0.0),
            ("torus", "ring", 0.0),
            (FASTEST, METROPOLIS, None),
            (CHOSEN, EVEN, None),
            (METROPOLIS, CHOSEN, None),
        ]
        for one, other, promised in pairs:
            ours, theirs = (np.array(over_seeds(results, arm, "accuracy")) for arm in (one, other))
            rows.append(
                Row.measured(
                    f"accuracy of {one} minus {other}",
                    ours - theirs,
                    unit="%",
                    at_least=-np.inf if promised is None else promised,
                )
            )
        rows += [
            Row.measured(
                f"link time over that of all links, {arm}",
                np.array(over_seeds(results, arm, "time_s"))
                / np.array(over_seeds(results, METROPOLIS, "time_s")),
            )
            for arm in (CHOSEN, EVEN)
        ]
        return rows

    def figures(self, results: Results) -> Sequence[Picture]:
        """Accuracy over rounds, named graphs and the random one."""
        from fl_opt.report import figures
        from fl_opt.report.ink import look

        pictures = []
        for name, title, arms in (
            ("decentralised-graphs", "Graphs with Metropolis weights", NAMED),
            (
                "decentralised-weights",
                "Ways to use the links of a random graph",
                (METROPOLIS, FASTEST, CHOSEN, EVEN),
            ),
        ):
            series = []
            for index, arm in enumerate(arms):
                curves = np.array([run["curve"] for run in results[arm].values()])
                series.append(
                    figures.Series(
                        arm,
                        look(index),
                        np.arange(1.0, curves.shape[1] + 1.0),
                        curves.mean(axis=0),
                        curves.min(axis=0),
                        curves.max(axis=0),
                    )
                )
            pictures.append(
                figures.curves(
                    name,
                    title,
                    series,
                    x_name="rounds",
                    x_unit="",
                    y_name="mean accuracy of the devices",
                    caption="Mean of the seeds with the band from least to largest.",
                )
            )
        return pictures


EXPERIMENT = Decentralised()
