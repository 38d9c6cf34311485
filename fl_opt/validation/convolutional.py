"""A small convolutional network, device by device, with its gradients written out.

What a few images of one device make on their way through the layers just fits into the cache; the
devices together would not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fl_opt.validation.model import Batches, error, normal, steps_taken
from fl_opt.validation.pooled_convolution import PooledConvolution

PATCH_BYTES = 6 << 20
"""Patches under the kernels of the images that go through the layers together."""


@dataclass(frozen=True)
class Convolutional:
    """Two 3 x 3 convolutions with ReLU and 2 x 2 max-pooling, then one dense layer.

    The second convolution has twice the `channels` of the first.
    """

    shape: tuple[int, int]
    channels: int
    classes: int

    @cached_property
    def _sizes(self) -> tuple[tuple[int, ...], ...]:
        a, b = self.channels, 2 * self.channels
        pixels = (self.shape[0] // 4) * (self.shape[1] // 4)
        return ((a, 1, 3, 3), (a,), (b, a, 3, 3), (b,), (self.classes, b * pixels), (self.classes,))

    @cached_property
    def parameters(self) -> int:
        return sum(math.prod(size) for size in self._sizes)

    @cached_property
    def operations(self) -> int:
        height, width = self.shape
        first, _, second, _, dense, _ = (math.prod(size) for size in self._sizes)
        return first * height * width + second * (height // 2) * (width // 2) + dense

    def initial(self, rng: np.random.Generator) -> Tensor:
        pieces = []
        for depth, size in enumerate(self._sizes[::2]):
            gain = 2.0 if depth < 2 else 0.01
            pieces += [normal(size, math.prod(size[1:]), gain, rng), torch.zeros(size[0])]
        return torch.cat(pieces)

    def logits(self, weights: Tensor, x: Tensor) -> Tensor:
        first, a, second, b, dense, c = self.pieces(weights)
        image = x.view(-1, 1, *self.shape).contiguous(memory_format=torch.channels_last)
        # pooling first leaves ReLU a quarter of the work; the two commute
        for kernel, shift in ((first, a), (second, b)):
            kernel = kernel.contiguous(memory_format=torch.channels_last)
            image = functional.conv2d(image, kernel, shift, padding=1)
            image = functional.max_pool2d(image, 2).relu()
        return functional.linear(image.flatten(1), dense, c)

    def train(
        self, weights: Tensor, x: Tensor, y: Tensor, batches: Batches, rate: float
    ) -> tuple[Tensor, Tensor]:
        trained = weights.expand(len(batches.index), -1).clone(
            memory_format=torch.contiguous_format
        )
        losses = torch.zeros(len(trained), dtype=weights.dtype)
        slope = _Slope(self, x, y, batches)
        for k, point in enumerate(trained):
            layers = self.pieces(point)
            for step in range(batches.steps):
                losses[k] += slope.find(layers, k, step)
                point.sub_(slope.gradient, alpha=rate)
        return trained, losses / steps_taken(batches)

    def gradient(
        self, weights: Tensor, x: Tensor, y: Tensor, batches: Batches
    ) -> tuple[Tensor, Tensor]:
        starts = weights.expand(len(batches.index), -1)
        found, losses = starts.new_empty(starts.shape), starts.new_empty(len(starts))
        slope = _Slope(self, x, y, batches.as_one_step())
        for k, point in enumerate(starts):
            losses[k] = slope.find(self.pieces(point), k, 0)
            found[k] = slope.gradient
        return found, losses

    def pieces(self, weights: Tensor) -> list[Tensor]:
        """Kernel, bias, kernel, bias, matrix and bias, as windows into a model (P,)."""
        pieces = torch.split(weights, [math.prod(size) for size in self._sizes])
        return [piece.view(size) for piece, size in zip(pieces, self._sizes, strict=True)]


class _Slope:
    """Gradients of the loss of devices' batches, and the memory that they are found in."""

    def __init__(self, model: Convolutional, x: Tensor, y: Tensor, batches: Batches) -> None:
        self._x, self._y, self._targets = x, y, batches.targets
        (height, width), channels = model.shape, model.channels
        patches = 9 * (height * width + channels * (height // 2) * (width // 2))
        self._index, self._weight = _parts(batches, PATCH_BYTES // (patches * x.element_size()))
        self._matters = self._weight.any(3).tolist()
        size = self._index.shape[3]
        self._rows = x.new_empty(size, height * width)
        self._images = self._rows.T.view(1, height, width, size)
        self._first = PooledConvolution(1, channels, height, width, size, x.dtype)
        height, width = height // 2, width // 2
        self._second = PooledConvolution(channels, 2 * channels, height, width, size, x.dtype)
        self._out = x.new_empty(2 * channels, height // 2, width // 2, size)
        self._delta = torch.empty_like(self._out)
        self.gradient = x.new_empty(model.parameters)
        self._slopes = model.pieces(self.gradient)

    def find(self, layers: Sequence[Tensor], device: int, step: int) -> Tensor:
        """The loss () of a device's step at `layers`; afterwards `gradient` (P,) is that of it."""
        self.gradient.zero_()
        loss = self.gradient.new_zeros(())
        for part, matters in enumerate(self._matters[device][step]):
            if matters:
                loss += self._add(layers, device, (device, step, part))
        return loss

    def _add(self, layers: Sequence[Tensor], device: int, part: tuple[int, int, int]) -> Tensor:
        """Add the gradient of some of a device's images; their loss ()."""
        first, a, second, b, dense, c = layers
        to_first, to_a, to_second, to_b, to_dense, to_c = self._slopes
        rows, share = self._index[part], self._weight[part]
        torch.index_select(self._x, 0, rows, out=self._rows)
        self._first.images.copy_(self._images)
        self._first.forward(first, a, self._second.images)
        self._second.forward(second, b, self._out)
        features = self._out.flatten(0, 2)
        logits = torch.addmm(c.unsqueeze(1), dense, features).T
        targets = None if self._targets is None else self._targets[device : device + 1]
        delta, each = error(logits.unsqueeze(0), self._y[rows].unsqueeze(0), targets)
        ahead = delta[0].T.mul_(share)
        to_dense.addmm_(ahead, features.T)
        to_c += ahead.sum(1)
        torch.mm(dense.T, ahead, out=self._delta.flatten(0, 2))
        self._second.backward(self._out, self._delta, to_second, to_b)
        self._first.backward(self._second.images, self._second.below(second), to_first, to_a)
        return each[0] @ share


def _parts(batches: Batches, largest: int) -> tuple[Tensor, Tensor]:
    """Rows and weights (n, S, parts, images), cut into equal parts, with padding of weight 0."""
    size = batches.index.shape[2]
    parts = max(1, math.ceil(size / max(1, largest)))
    images = math.ceil(size / parts)
    weight = batches.weight.expand(batches.index.shape)
    padding, shape = (0, parts * images - size), (*weight.shape[:2], parts, images)
    index, weight = (functional.pad(given, padding) for given in (batches.index, weight))
    return index.view(shape), weight.view(shape)
