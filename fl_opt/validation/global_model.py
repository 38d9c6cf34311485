"""What methods share: local descent, one global model, and what the server notes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.checks import number, whole
from fl_opt.network import Network
from fl_opt.units import Floats
from fl_opt.validation.data import Ints
from fl_opt.validation.under_way import WAIT, Tick

if TYPE_CHECKING:
    from torch import Tensor

    from fl_opt.validation.federation import Federation, Score

FLOAT_BIT = 32
"""Length of a number of the model that the server broadcasts [bit]."""


@dataclass(frozen=True, eq=False)
class State:
    """What the server keeps.

    Attributes
    ----------
    weights
        (P,) global model.
    update_norm, loss
        (K,) Euclidean norm of a device's last update and its mean loss while it was computed
        [nat]; NaN before the first.
    age
        (K,) rounds since the device's last update arrived, or since the start.
    """

    weights: Tensor
    update_norm: Floats
    loss: Floats
    age: Floats

    @classmethod
    def fresh(cls, weights: Tensor, size: int) -> State:
        """Nothing is known yet of `size` devices."""
        unknown = np.full(size, np.nan)
        return cls(weights, unknown, unknown, np.zeros(size))

    def noted(self, devices: Ints, update_norm: Floats, loss: Floats) -> Self:
        """One round later, in which the updates of `devices` (n,) arrived."""
        norms, losses, age = self.update_norm.copy(), self.loss.copy(), self.age + 1.0
        norms[devices], losses[devices], age[devices] = update_norm, loss, 0.0
        return dataclasses.replace(self, update_norm=norms, loss=losses, age=age)

    def moved(self, weights: Tensor) -> Self:
        """The same knowledge about another global model (P,)."""
        return dataclasses.replace(self, weights=weights)


@dataclass(frozen=True)
class LocalDescent:
    """Base of the methods in which devices descend by themselves between two exchanges.

    Parameters
    ----------
    local_steps
        Steps of gradient descent on a device in a round; an allocation may override it.
    batch
        Samples per step, drawn with replacement; None: all that the device holds.
    rate
        Step size.
    """

    local_steps: int = 10
    batch: int | None = 32
    rate: float = 0.05

    def __post_init__(self) -> None:
        where = type(self).__name__
        whole(f"{where}.local_steps", self.local_steps, 1)
        if self.batch is not None:
            whole(f"{where}.batch", self.batch, 1)
        number(f"{where}.rate", self.rate, open_low=True)

    def cycles(self, federation: Federation) -> Floats:
        """(K,) CPU cycles of the local steps of a round [cycle]."""
        per_step = federation.samples if self.batch is None else float(self.batch)
        return federation.cycles_per_sample * self.local_steps * per_step * np.ones(federation.size)

    def packet_error(self, network: Network, allocation: Allocation) -> Floats:
        return np.zeros(network.size)

    def server_s(self, state: Any) -> float:
        return 0.0

    @property
    def tick(self) -> Tick:
        return WAIT

    def steps(self, size: int, allocation: Allocation) -> Ints:
        """(K,) local steps of each of `size` devices in a round."""
        if allocation.local_steps is None:
            return np.full(size, self.local_steps)
        return np.asarray(allocation.local_steps, dtype=np.int64)

    def updates(
        self,
        federation: Federation,
        weights: Tensor,
        devices: Ints,
        allocation: Allocation,
        rng: np.random.Generator,
        targets: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Updates (n, P) of some devices (n,) from `weights`, and their mean losses (n,).

        `weights` is one model (P,), or one for each device (n, P); `targets` (n, classes, classes)
        as in ``Batches``.
        """
        steps = self.steps(federation.size, allocation)[devices]
        batches = federation.batches(devices, steps, self.batch, rng, targets)
        trained, loss = federation.model.train(
            weights, federation.x, federation.y, batches, self.rate
        )
        return trained.sub_(weights), loss


@dataclass(frozen=True)
class GlobalModel(LocalDescent):
    """Base of the methods in which devices descend from one model that a server keeps."""

    signals: ClassVar[tuple[str, ...]] = ("update_norm", "loss", "age")

    def broadcast_bit(self, federation: Federation) -> float:
        return float(FLOAT_BIT * federation.model.parameters)

    def start(self, federation: Federation, rng: np.random.Generator) -> State:
        return State.fresh(federation.model.initial(rng), federation.size)

    def observe(self, state: State) -> Mapping[str, Floats]:
        return {name: getattr(state, name) for name in self.signals}

    def evaluate(self, federation: Federation, state: State) -> Score:
        return federation.score(state.weights)


def weighted_mean(federation: Federation, devices: Ints, updates: Tensor) -> Tensor:
    """Mean (P,) of the updates (n, P) of `devices` (n,), weighted by the samples they hold."""
    import torch

    share = federation.samples[devices] / federation.samples[devices].sum()
    return torch.from_numpy(share).to(updates.dtype) @ updates


def numbers(values: Tensor) -> Floats:
    """A tensor as an array of double precision."""
    array: Floats = values.double().numpy()
    return array
