"""What a model is: a classifier whose parameters are one flat vector, trained on many devices.

The vector (P,) is of float32, so that whatever is sent, compressed, averaged or attacked is a row
of a matrix (n, P).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Batches:
    """Which samples each of n devices uses in each of S steps, up to B at a time.

    Attributes
    ----------
    index
        (n, S, B) rows of the training set.
    weight
        (n, S, B), or broadcastable to it: a step descends along sum_b weight_b grad loss_b. Usually
        1/B; 0 for the padding of a short batch and for all of a step that a device leaves out.
    targets
        (n, classes, classes) what each device wants as the answer to a sample, by the sample's
        label: a row q makes its loss the cross-entropy -sum_c q_c ln p_c, q >= 0. Rows need not sum
        to one: e_y + g q' is the usual loss and g times that of a distilled answer q'. None: the
        label itself.
    """

    index: Tensor
    weight: Tensor
    targets: Tensor | None = None

    def __getitem__(self, devices: slice) -> Batches:
        """The batches of some devices."""
        targets = None if self.targets is None else self.targets[devices]
        weight = self.weight.expand(self.index.shape)
        return Batches(self.index[devices], weight[devices], targets)

    @property
    def steps(self) -> int:
        """Number of steps S."""
        return int(self.index.shape[1])

    def step(self, number: int) -> Batches:
        """One step of all devices."""
        weight = self.weight.expand(self.index.shape)
        one = slice(number, number + 1)
        return Batches(self.index[:, one], weight[:, one], self.targets)

    def as_one_step(self) -> Batches:
        """All samples of all steps as those of one step."""
        weight = self.weight.expand(self.index.shape)
        return Batches(self.index.flatten(1)[:, None], weight.flatten(1)[:, None], self.targets)

    def working(self, number: int) -> Tensor:
        """(n, 1) whether a device takes this step [bool]."""
        return (self.weight.expand(self.index.shape)[:, number] > 0).any(1, keepdim=True)


class Model(Protocol):
    """A classifier whose parameters are a flat vector."""

    @property
    def parameters(self) -> int:
        """Number of parameters P."""

    @property
    def operations(self) -> int:
        """Multiply-adds of one sample forward."""

    def initial(self, rng: np.random.Generator) -> Tensor:
        """(P,) random start, float32."""

    def logits(self, weights: Tensor, x: Tensor) -> Tensor:
        """(N, classes) outputs of one model (P,) for images (N, pixels)."""

    def train(
        self, weights: Tensor, x: Tensor, y: Tensor, batches: Batches, rate: float
    ) -> tuple[Tensor, Tensor]:
        """Stochastic gradient descent on the cross-entropy, n devices from one start.

        Parameters
        ----------
        weights
            (P,) common start, or (n, P) an own start for each device. Not changed.
        x, y
            (N, pixels) images and (N,) classes that `batches` refers to.

        Returns
        -------
        tuple
            (n, P) final parameters; (n,) mean over a device's steps of its weighted batch loss.
        """

    def gradient(
        self, weights: Tensor, x: Tensor, y: Tensor, batches: Batches
    ) -> tuple[Tensor, Tensor]:
        """Gradients at one point each, without a step.

        Parameters as of ``train``; the loss of a device is the weighted sum over all samples of all
        steps of its batches.

        Returns
        -------
        tuple
            (n, P) gradients; (n,) losses.
        """


def normal(shape: tuple[int, ...], fan_in: int, gain: float, rng: np.random.Generator) -> Tensor:
    """Random parameters of variance `gain` / `fan_in`."""
    values = rng.standard_normal(math.prod(shape)) * math.sqrt(gain / fan_in)
    return torch.from_numpy(values.astype(np.float32))


def steps_taken(batches: Batches) -> Tensor:
    """(n,) number of steps that a device takes, at least 1 so that it can divide."""
    taken = batches.weight.expand(batches.index.shape).sum(2) > 0
    return taken.sum(1).clamp(min=1)


def error(logits: Tensor, labels: Tensor, targets: Tensor | None) -> tuple[Tensor, Tensor]:
    """Derivative of each sample's loss by its logits (n, B, classes), and the losses (n, B).

    `targets` are those of the batches of these n devices.
    """
    log_p = torch.log_softmax(logits, 2)
    if targets is None:
        label = labels.unsqueeze(2)
        loss = -log_p.gather(2, label).squeeze(2)
        return log_p.exp_().scatter_add_(
            2, label, log_p.new_full((), -1.0).expand(label.shape)
        ), loss
    wanted = targets[torch.arange(len(labels)).unsqueeze(1), labels]
    loss = -(log_p * wanted).sum(2)
    return log_p.exp_().mul_(wanted.sum(2, keepdim=True)).sub_(wanted), loss
