"""Softmax regression and the multilayer perceptron, all devices in one batched product per layer.

Gradients are written out. In training the backward product of a layer lands in the parameters
themselves (``W -= x' d``, one ``baddbmm_``), so that no gradient is ever stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from fl_opt.validation.model import Batches, error, normal, steps_taken

GROUP_BYTES = 1 << 21
"""Parameters of the devices that take their steps together: they then stay in the cache."""

Layer: TypeAlias = tuple[Tensor, Tensor]
"""Matrices (n, a, b) and biases (n, 1, b) of n devices."""


@dataclass(frozen=True)
class Perceptron:
    """Dense layers with ReLU between them; without a hidden layer it is softmax regression.

    `layers` are the widths from the pixels to the classes.
    """

    layers: tuple[int, ...]

    @cached_property
    def parameters(self) -> int:
        return sum((a + 1) * b for a, b in self._pairs)

    @cached_property
    def operations(self) -> int:
        return sum(a * b for a, b in self._pairs)

    @property
    def _pairs(self) -> list[tuple[int, int]]:
        return list(zip(self.layers[:-1], self.layers[1:], strict=True))

    def initial(self, rng: np.random.Generator) -> Tensor:
        pieces = []
        for depth, (a, b) in enumerate(self._pairs):
            # He's scale before a ReLU; the last layer starts small so that no class is preferred
            gain = 2.0 if depth < len(self.layers) - 2 else 0.01
            pieces += [normal((a, b), a, gain, rng), torch.zeros(b)]
        return torch.cat(pieces)

    def _views(self, weights: Tensor) -> list[Layer]:
        """The layers of models (n, P), as windows into them."""
        views, at = [], 0
        for a, b in self._pairs:
            matrix = weights[:, at : at + a * b].view(-1, a, b)
            at += a * b
            views.append((matrix, weights[:, at : at + b].unsqueeze(1)))
            at += b
        return views

    def logits(self, weights: Tensor, x: Tensor) -> Tensor:
        *hidden, (matrix, bias) = self._views(weights.unsqueeze(0))
        for inner, shift in hidden:
            x = torch.addmm(shift[0], x, inner[0]).relu_()
        return torch.addmm(bias[0], x, matrix[0])

    def train(
        self, weights: Tensor, x: Tensor, y: Tensor, batches: Batches, rate: float
    ) -> tuple[Tensor, Tensor]:
        starts, trained = self._paired(weights, batches)
        losses = [
            self._train(starts[group], x, y, batches[group], rate, out=trained[group])
            for group in self._groups(starts)
        ]
        return trained, torch.cat(losses) / steps_taken(batches)

    def gradient(
        self, weights: Tensor, x: Tensor, y: Tensor, batches: Batches
    ) -> tuple[Tensor, Tensor]:
        starts, found = self._paired(weights, batches)
        losses = [
            self._gradient(starts[group], x, y, batches[group], out=found[group])
            for group in self._groups(starts)
        ]
        return found, torch.cat(losses)

    def _paired(self, weights: Tensor, batches: Batches) -> tuple[Tensor, Tensor]:
        """Where each device starts (n, P), and room for what it finds."""
        starts = weights.expand(len(batches.index), -1)
        return starts, torch.empty_like(starts, memory_format=torch.contiguous_format)

    def _groups(self, starts: Tensor) -> list[slice]:
        """The devices, as many at a time as fit into the cache."""
        together = max(1, GROUP_BYTES // (self.parameters * starts.element_size()))
        return [slice(at, at + together) for at in range(0, len(starts), together)]

    def _train(
        self, starts: Tensor, x: Tensor, y: Tensor, batches: Batches, rate: float, out: Tensor
    ) -> Tensor:
        """Train one group of devices into `out` (n, P); the sums (n,) of their batch losses."""
        devices, steps, size = batches.index.shape
        layers = self._apart(starts)
        loss = torch.zeros(devices, dtype=starts.dtype)
        images = x.new_empty(devices * size, x.shape[1])
        for step in range(steps):
            rows = batches.index[:, step]
            torch.index_select(x, 0, rows.reshape(-1), out=images)
            inputs = _forward(layers, images.view(devices, size, -1))
            delta, each = error(inputs.pop(), y[rows], batches.targets)
            share = batches.weight[:, step]
            loss += (each * share).sum(1)
            delta *= (rate * share).unsqueeze(2)
            for (matrix, bias), value, ahead in _backward(layers, inputs, delta):
                matrix.baddbmm_(value.transpose(1, 2), ahead, alpha=-1)
                bias -= ahead.sum(1, keepdim=True)
        _flatten(layers, out)
        return loss

    def _gradient(
        self, starts: Tensor, x: Tensor, y: Tensor, batches: Batches, out: Tensor
    ) -> Tensor:
        """Gradients of one group of devices into `out` (n, P); their losses (n,)."""
        layers = self._apart(starts)
        rows, share = batches.index.flatten(1), batches.weight.flatten(1)
        inputs = _forward(layers, x[rows])
        delta, each = error(inputs.pop(), y[rows], batches.targets)
        delta *= share.unsqueeze(2)
        found = [
            (torch.bmm(value.transpose(1, 2), ahead), ahead.sum(1, keepdim=True))
            for _, value, ahead in _backward(layers, inputs, delta)
        ]
        _flatten(found[::-1], out)
        return (each * share).sum(1)

    def _apart(self, starts: Tensor) -> list[Layer]:
        """The layers, apart from each other: windows into (n, P) would slow the products down."""
        return [
            (matrix.clone(memory_format=torch.contiguous_format), bias.clone())
            for matrix, bias in self._views(starts)
        ]


def _flatten(layers: Sequence[Layer], out: Tensor) -> None:
    """Write the layers side by side into `out` (n, P)."""
    torch.cat([part.flatten(1) for layer in layers for part in layer], dim=1, out=out)


def _forward(layers: Sequence[Layer], images: Tensor) -> list[Tensor]:
    """What enters each layer, (n, B, a) each, and the logits (n, B, classes) in the end."""
    values = [images]
    for depth, (matrix, bias) in enumerate(layers, start=1):
        values.append(torch.baddbmm(bias, values[-1], matrix))
        if depth < len(layers):
            values[-1].relu_()
    return values


def _backward(
    layers: Sequence[Layer], inputs: Sequence[Tensor], delta: Tensor
) -> Iterator[tuple[Layer, Tensor, Tensor]]:
    """From the last layer to the first: the layer, what entered it, the derivative by its output.

    A layer may be changed as soon as it is told: what goes on below is known by then.
    """
    for layer, value in zip(reversed(layers), reversed(inputs), strict=True):
        ahead = delta
        if value is not inputs[0]:
            delta = torch.bmm(ahead, layer[0].transpose(1, 2)).masked_fill_(value == 0, 0.0)
        yield layer, value, ahead
