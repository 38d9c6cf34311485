r"""Federated averaging in two storeys: edges average often, the cloud averages the edges seldom.

    v_e <- v_e + sum_k n_k (w_k - v_e) / sum_k n_k      every round, over the devices of edge e
    w   <- w + sum_e N_e (v_e - w)/N + mean of what arrived now     every `cloud_every` rounds
    v_e <- w                                            then, for every edge

w_k comes from local steps that begin at v_e of the device's edge. N_e are the samples that the
devices of edge e hold, N all of them, and v_e is taken before the last round of a period: what
arrives in that round is averaged over all edges at once. With ``cloud_every=1`` this is federated
averaging, to the last bit.

Source: Liu, Zhang, Song, Letaief, Client-edge-cloud hierarchical federated learning, ICC 2020,
arXiv 1905.06641, with kappa_1 = `local_steps` and kappa_2 = `cloud_every`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.checks import number, whole
from fl_opt.errors import InvalidInput
from fl_opt.policy import Outcome
from fl_opt.validation.data import Ints
from fl_opt.validation.global_model import FLOAT_BIT, GlobalModel, State, numbers, weighted_mean
from fl_opt.workload import Workload

if TYPE_CHECKING:
    from torch import Tensor

    from fl_opt.validation.federation import Federation


@dataclass(frozen=True, eq=False)
class EdgeState(State):
    """What cloud and edges keep.

    Attributes
    ----------
    ahead
        (E, P) how far the model of each edge is from the cloud's, `weights`.
    since
        Rounds since the cloud averaged.
    """

    ahead: Tensor
    since: int


@dataclass(frozen=True)
class HierFAVG(GlobalModel):
    """Hierarchical federated averaging: devices, edges, a cloud.

    Parameters
    ----------
    local_steps
        Steps of gradient descent on a device in a round; an allocation may override it.
    batch
        Samples per step, drawn with replacement; None: all that the device holds.
    rate
        Step size.
    cloud_every
        Rounds from one average of the cloud to the next.
    edges
        Number of edges; device k belongs to edge k modulo their number.
    association
        The edge of each device instead, a number per device.
    cloud_s
        Time from the edges to the cloud and back, in rounds in which the cloud averages [s].

    The score is that of the cloud's model, which moves every `cloud_every` rounds. Raises
    ``InvalidInput`` where `association` has not a number per device.
    """

    cloud_every: int = 1
    edges: int = 5
    association: Sequence[int] | None = None
    cloud_s: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("HierFAVG.cloud_every", self.cloud_every, 1)
        whole("HierFAVG.edges", self.edges, 1)
        number("HierFAVG.cloud_s", self.cloud_s)
        for k, edge in enumerate(self.association or ()):
            whole(f"HierFAVG.association[{k}]", edge)

    def workload(self, federation: Federation) -> Workload:
        return Workload(
            cycles=self.cycles(federation),
            upload_bit=FLOAT_BIT * federation.model.parameters,
            samples=federation.samples,
        )

    def server_s(self, state: EdgeState) -> float:
        return self.cloud_s if self._last(state) else 0.0

    def edge_of(self, size: int) -> Ints:
        """(K,) edge of each of `size` devices."""
        if self.association is None:
            return np.arange(size) % self.edges
        if len(self.association) != size:
            raise InvalidInput(
                "HierFAVG.association", f"{len(self.association)} numbers", f"{size}, one a device"
            )
        return np.asarray(self.association, dtype=np.int64)

    def start(self, federation: Federation, rng: np.random.Generator) -> EdgeState:
        fresh = super().start(federation, rng)
        edges = int(self.edge_of(federation.size).max()) + 1
        return EdgeState(**vars(fresh), ahead=_zeros(fresh.weights, edges), since=0)

    def learn(
        self,
        federation: Federation,
        state: EdgeState,
        allocation: Allocation,
        outcome: Outcome,
        rng: np.random.Generator,
    ) -> EdgeState:
        here = np.flatnonzero(outcome.arrived)
        edge = self.edge_of(federation.size)
        norm = loss = np.empty(0)
        ahead, news = state.ahead.clone(), _zeros(state.weights, 1)[0]
        if here.size:
            starts = state.weights + state.ahead[edge[here]]
            updates, losses = self.updates(federation, starts, here, allocation, rng)
            norm, loss = numbers(updates.norm(dim=1)), numbers(losses)
            if self._last(state):
                news = weighted_mean(federation, here, updates)
            else:
                for e in np.unique(edge[here]):
                    mine = edge[here] == e
                    ahead[e] += weighted_mean(federation, here[mine], updates[mine])
        after = state.noted(here, norm, loss)
        if not self._last(state):
            return dataclasses.replace(after, ahead=ahead, since=state.since + 1)
        weights = state.weights + _between(federation, edge, ahead) + news
        return dataclasses.replace(after, weights=weights, ahead=ahead.zero_(), since=0)

    def _last(self, state: EdgeState) -> bool:
        """Whether the cloud averages at the end of the coming round."""
        return state.since + 1 >= self.cloud_every


def _zeros(like: Tensor, rows: int) -> Tensor:
    return like.new_zeros((rows, like.numel()))


def _between(federation: Federation, edge: Ints, ahead: Tensor) -> Tensor:
    """Mean (P,) over edges of what they are ahead, weighted by the samples of their devices."""
    import torch

    held = np.bincount(edge, weights=federation.samples, minlength=len(ahead))
    return torch.from_numpy(held / held.sum()).to(ahead.dtype) @ ahead
