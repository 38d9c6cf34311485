"""A small convolutional network, trained device by device under autograd.

Grouped convolutions, all devices at once, are slower on a CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fl_opt.validation.model import Batches, normal, steps_taken


@dataclass(frozen=True)
class Convolutional:
    """Two 3 x 3 convolutions with ReLU and 2 x 2 max-pooling, then one dense layer.

    The second convolution has twice the `channels` of the first. Trains in a loop over devices.
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
        pieces = torch.split(weights, [math.prod(size) for size in self._sizes])
        first, a, second, b, dense, c = (
            piece.view(size) for piece, size in zip(pieces, self._sizes, strict=True)
        )
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
        devices, steps, size = batches.index.shape
        weight = batches.weight.expand(devices, steps, size)
        starts = weights.expand(devices, -1)
        final = torch.empty_like(starts, memory_format=torch.contiguous_format)
        losses = torch.zeros(devices, dtype=weights.dtype)
        for k in range(devices):
            current = starts[k].clone()
            for step in range(steps):
                rows = batches.index[k, step]
                gradient, loss = self._slope(current, x[rows], y[rows], weight[k, step], batches, k)
                current = current.sub(gradient, alpha=rate)
                losses[k] += loss
            final[k] = current
        return final, losses / steps_taken(batches)

    def gradient(
        self, weights: Tensor, x: Tensor, y: Tensor, batches: Batches
    ) -> tuple[Tensor, Tensor]:
        starts = weights.expand(len(batches.index), -1)
        index = batches.index.flatten(1)
        weight = batches.weight.expand(batches.index.shape).flatten(1)
        found = [
            self._slope(start, x[rows], y[rows], share, batches, k)
            for k, (start, rows, share) in enumerate(zip(starts, index, weight, strict=True))
        ]
        gradients, losses = zip(*found, strict=True)
        return torch.stack(gradients), torch.stack(losses)

    def _slope(
        self, weights: Tensor, x: Tensor, y: Tensor, weight: Tensor, batches: Batches, device: int
    ) -> tuple[Tensor, Tensor]:
        """Gradient (P,) and value () of the weighted loss of one device's samples."""
        point = weights.detach().requires_grad_(True)
        wanted = y if batches.targets is None else batches.targets[device, y]
        each = functional.cross_entropy(self.logits(point, x), wanted, reduction="none")
        loss = (each * weight).sum()
        (gradient,) = torch.autograd.grad(loss, point)
        return gradient, loss.detach()
