r"""Personalised federated averaging: a model that is good after a step on a device's own data.

    adapted_k(w) = w - alpha grad f_k(w)                            what device k will use
    minimise     mean_k f_k(adapted_k(w))                           instead of mean_k f_k(w)

    Its gradient by w is (I - alpha H_k(w)) g,  g = grad f_k(adapted_k(w)),  H_k the Hessian; a
    local step moves w_k by -rate times

    first-order     g
    Hessian-free    g - alpha (grad f_k(w + delta g) - grad f_k(w - delta g)) / (2 delta)

with independent batches for the inner gradient, for g and for the difference. Updates are averaged
as in federated averaging.

Source: Fallah, Mokhtari, Ozdaglar, Personalized federated learning with theoretical guarantees,
NeurIPS 2020, arXiv 2002.07948.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.checks import number
from fl_opt.policy import Outcome
from fl_opt.units import Floats
from fl_opt.validation.data import Ints
from fl_opt.validation.fedavg import FedAvg
from fl_opt.validation.fine_tuned import FineTuned
from fl_opt.validation.global_model import State, numbers

if TYPE_CHECKING:
    from torch import Tensor

    from fl_opt.validation.federation import Federation
    from fl_opt.validation.model import Batches


@dataclass(frozen=True, eq=False)
class Meta(State):
    """What the server keeps of meta-learning.

    `gradient_norm` (K,) is the norm of a device's mean meta-gradient in the last round in which it
    took part; before, of that on all its samples at the start, which it reports when it joins.
    """

    gradient_norm: Floats


@dataclass(frozen=True)
class PerFedAvg(FineTuned):
    """Personalised federated averaging: learns a model that one step makes a device's own.

    Parameters
    ----------
    local_steps, batch, rate, bits, waterfall
        As of ``FedAvg``; a local step draws two batches, three if Hessian-free.
    tune_steps
        Steps before use, as of ``FineTuned``; training is for one.
    tune_rate
        Size alpha of the step, in training and before use.
    hessian_free
        Whether to follow the second derivative too, by a difference of gradients.
    difference
        Length delta ||g|| of the step of this difference [-].

    A step takes two gradients, four if Hessian-free, and as many times the cycles. The signal
    "gradient_norm" is known from the start, as ``MetaSelection`` asks. ``State.loss`` is that of
    the adapted model.
    """

    hessian_free: bool = False
    difference: float = 0.01

    signals: ClassVar[tuple[str, ...]] = (*FedAvg.signals, "gradient_norm")

    def __post_init__(self) -> None:
        super().__post_init__()
        number("PerFedAvg.difference", self.difference, open_low=True)

    @property
    def _lots(self) -> int:
        """Batches of a local step."""
        return 3 if self.hessian_free else 2

    def cycles(self, federation: Federation) -> Floats:
        return super().cycles(federation) * (4.0 if self.hessian_free else 2.0)

    def start(self, federation: Federation, rng: np.random.Generator) -> Meta:
        fresh = super().start(federation, rng)
        everything = [federation.everything(np.arange(federation.size))] * self._lots
        gradient, _ = self.meta_gradient(federation, fresh.weights, everything)
        return Meta(**vars(fresh), gradient_norm=numbers(gradient.norm(dim=1)))

    def learn(
        self,
        federation: Federation,
        state: State,
        allocation: Allocation,
        outcome: Outcome,
        rng: np.random.Generator,
    ) -> State:
        after = super().learn(federation, state, allocation, outcome, rng)
        assert isinstance(after, Meta)
        walked = self.rate * np.maximum(1, self.steps(federation.size, allocation))
        norm = np.where(outcome.arrived, after.update_norm / walked, after.gradient_norm)
        return dataclasses.replace(after, gradient_norm=norm)

    def updates(
        self,
        federation: Federation,
        weights: Tensor,
        devices: Ints,
        allocation: Allocation,
        rng: np.random.Generator,
        targets: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Updates (n, P) of some devices (n,), and the mean losses (n,) of their adapted models."""
        import torch

        steps = self.steps(federation.size, allocation)[devices]
        batches = federation.batches(devices, self._lots * steps, self.batch, rng, targets)
        moved = weights.expand(len(devices), -1).clone()
        losses = moved.new_zeros(len(devices))
        for first in range(0, batches.steps, self._lots):
            lots = [batches.step(first + lot) for lot in range(self._lots)]
            gradient, loss = self.meta_gradient(federation, moved, lots)
            # a device that rests has no loss, and no gradient either
            moved -= self.rate * gradient
            losses += loss
        return moved - weights, losses / torch.from_numpy(np.maximum(1, steps))

    def meta_gradient(
        self, federation: Federation, weights: Tensor, lots: Sequence[Batches]
    ) -> tuple[Tensor, Tensor]:
        """Meta-gradients (n, P) at `weights`, (P,) or (n, P), and losses (n,) once adapted.

        `lots` are one step each, of n devices: for the inner gradient, the outer one, and the
        difference.
        """

        def slope(point: Tensor, batches: Batches) -> tuple[Tensor, Tensor]:
            return federation.model.gradient(point, federation.x, federation.y, batches)

        inner, outer, *third = lots
        adapted = weights - self.tune_rate * slope(weights, inner)[0]
        gradient, loss = slope(adapted, outer)
        for batches in third:
            delta = self.difference / gradient.norm(dim=1, keepdim=True).clamp(min=1e-30)
            ahead, behind = (
                slope(weights + side * delta * gradient, batches)[0] for side in (1.0, -1.0)
            )
            gradient = gradient - self.tune_rate * (ahead - behind) / (2.0 * delta)
        return gradient, loss
