r"""Decentralised averaging: no server, neighbours mix their models after local descent.

    x_k <- x_k - rate sum_steps grad f_k(batch)      on every device that takes part
    x_k <- sum_j W_kj x_j                            `mixing_steps` times, over the links in use

W is symmetric and its rows sum to one, so that mixing keeps the mean and pulls all towards it. A
device that did not take part, or not in time, keeps its model, and its links rest in this round.

Source: Lian et al., Can decentralized algorithms outperform centralized algorithms?, NeurIPS 2017,
arXiv 1705.09056; random matchings: Wang, Sahu, Yang, Joshi, Kar, MATCHA, arXiv 1905.09435.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from fl_opt.allocation import Allocation
from fl_opt.checks import number, whole
from fl_opt.errors import InvalidInput
from fl_opt.policy import Outcome
from fl_opt.problems.activation import Activation
from fl_opt.problems.graph import Graph
from fl_opt.problems.matchings import matchings
from fl_opt.problems.mixing_weights import Mixing, MixingWeights
from fl_opt.units import Floats
from fl_opt.validation.global_model import LocalDescent, numbers
from fl_opt.workload import Workload

if TYPE_CHECKING:
    from torch import Tensor

    from fl_opt.validation.federation import Federation, Score


def _torus(nodes: int) -> Graph:
    """The torus of this many nodes that is nearest to a square."""
    sides = [a for a in range(3, math.isqrt(nodes) + 1) if nodes % a == 0 and nodes // a >= 3]
    if not sides:
        raise InvalidInput("Gossip.graph", f"torus of {nodes} devices", "a product of sides >= 3")
    return Graph.torus(sides[-1], nodes // sides[-1])


GRAPHS: dict[str, Callable[[int], Graph]] = {
    "ring": Graph.ring,
    "complete": Graph.complete,
    "path": Graph.path,
    "star": Graph.star,
    "torus": _torus,
}
"""Graphs by name, for any number of devices."""


@dataclass(frozen=True, eq=False)
class Web:
    """Links (E,) of a graph: their weights, the matching of each, (J,) how often each is used."""

    graph: Graph
    weight: Floats
    matching: NDArray[np.int_]
    probability: Floats

    @classmethod
    def of(cls, mixing: Mixing | Activation) -> Web:
        """The links of fixed weights, always used, or of random matchings."""
        if isinstance(mixing, Activation):
            weight = np.full(mixing.graph.links, mixing.weight)
            return cls(mixing.graph, weight, mixing.matching, mixing.probability)
        groups = matchings(mixing.graph)
        always = np.ones(int(groups.max(initial=-1)) + 1)
        return cls(mixing.graph, mixing.weight, groups, always)

    def draw(self, steps: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """(S, J) whether each matching is used in each of some mixing steps."""
        used: NDArray[np.bool_] = rng.random((steps, self.probability.size)) < self.probability
        return used

    def matrix(self, used: NDArray[np.bool_], awake: NDArray[np.bool_]) -> Floats:
        """(K, K) mixing matrix of the matchings `used` (J,) between devices `awake` (K,)."""
        able = awake[self.graph.edges].all(axis=1) & used[self.matching]
        return np.eye(self.graph.nodes) - self.graph.laplacian(self.weight * able)


@dataclass(frozen=True, eq=False)
class Crowd:
    """What the devices hold.

    Attributes
    ----------
    web
        Who mixes with whom.
    models
        (K, P) model of each device.
    used
        (S, J) whether each of J matchings is used in each mixing step of the coming round [bool].
    update_norm, loss, disagreement
        (K,) norm of the last local update, its mean loss [nat], and the distance of a device's
        model to the mean of all; NaN before the first.
    """

    web: Web
    models: Tensor
    used: NDArray[np.bool_]
    update_norm: Floats
    loss: Floats
    disagreement: Floats

    @property
    def mean(self) -> Tensor:
        """(P,) mean of all models."""
        return self.models.mean(dim=0)


@dataclass(frozen=True)
class Gossip(LocalDescent):
    """Decentralised averaging over the links of a graph.

    Parameters
    ----------
    local_steps
        Steps of gradient descent on a device in a round; an allocation may override it.
    batch
        Samples per step, drawn with replacement; None: all that the device holds.
    rate
        Step size.
    graph
        "ring", "complete", "path", "star" or "torus", with Metropolis weights.
    mixing
        Weights of one's own instead: a ``Mixing``, such as ``solve(MixingWeights(graph))`` finds,
        or an ``Activation`` of random matchings, as of ``LinkActivation`` and ``MixingStep``.
    mixing_steps
        How often neighbours mix in a round.
    exchange_s
        Time in which two neighbours exchange their models; a matching takes as long as one link,
        matchings take turns [s].

    Nothing goes to a base station: the payload of a round is 0, and what the links take is time,
    ``exchange_s`` for each matching that is used. The score is the mean of the devices' own.
    """

    graph: str = "ring"
    mixing: Mixing | Activation | None = None
    mixing_steps: int = 1
    exchange_s: float = 0.0

    signals: ClassVar[tuple[str, ...]] = ("update_norm", "loss", "disagreement")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.graph not in GRAPHS:
            raise InvalidInput("Gossip.graph", repr(self.graph), f"one of {', '.join(GRAPHS)}")
        if not isinstance(self.mixing, Mixing | Activation | None):
            raise InvalidInput("Gossip.mixing", repr(self.mixing), "a Mixing or an Activation")
        whole("Gossip.mixing_steps", self.mixing_steps, 1)
        number("Gossip.exchange_s", self.exchange_s)

    def web(self, size: int) -> Web:
        """The links among `size` devices."""
        mixing = self.mixing
        if mixing is None:
            mixing = MixingWeights(GRAPHS[self.graph](size)).metropolis()
        if mixing.graph.nodes != size:
            raise InvalidInput("Gossip.mixing", f"of {mixing.graph.nodes} devices", f"{size}")
        return Web.of(mixing)

    def workload(self, federation: Federation) -> Workload:
        return Workload(cycles=self.cycles(federation), upload_bit=0.0, samples=federation.samples)

    def broadcast_bit(self, federation: Federation) -> float:
        return 0.0

    def server_s(self, state: Crowd) -> float:
        return self.exchange_s * int(state.used.sum())

    def start(self, federation: Federation, rng: np.random.Generator) -> Crowd:
        web, unknown = self.web(federation.size), np.full(federation.size, np.nan)
        models = federation.model.initial(rng).repeat(federation.size, 1)
        return Crowd(web, models, web.draw(self.mixing_steps, rng), unknown, unknown, unknown)

    def observe(self, state: Crowd) -> Mapping[str, Floats]:
        return {name: getattr(state, name) for name in self.signals}

    def learn(
        self,
        federation: Federation,
        state: Crowd,
        allocation: Allocation,
        outcome: Outcome,
        rng: np.random.Generator,
    ) -> Crowd:
        import torch

        here = np.flatnonzero(outcome.arrived)
        models = state.models.clone()
        norm, loss = state.update_norm.copy(), state.loss.copy()
        (links,) = rng.spawn(1)
        if here.size:
            updates, losses = self.updates(federation, models[here], here, allocation, rng)
            models[here] += updates
            norm[here], loss[here] = numbers(updates.norm(dim=1)), numbers(losses)
        for used in state.used:
            matrix = state.web.matrix(used, outcome.arrived)
            models = torch.from_numpy(matrix).to(models.dtype) @ models
        apart = numbers((models - models.mean(dim=0)).norm(dim=1))
        return Crowd(state.web, models, state.web.draw(self.mixing_steps, links), norm, loss, apart)

    def evaluate(self, federation: Federation, state: Crowd) -> Score:
        from fl_opt.validation.federation import Score

        scores = np.array([federation.score(model) for model in state.models])
        return Score(*map(float, scores.mean(axis=0)))
