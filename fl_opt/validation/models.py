"""Small classifiers, and stochastic gradient descent of many devices at once.

A model is a shape; its parameters are one flat vector (P,) of float32, so that whatever is sent,
compressed, averaged or attacked is a row of a matrix (n, P).

Softmax regression and the multilayer perceptron train all devices in one batched matrix product
per layer, with gradients written out: the backward product of a layer lands in the parameters
themselves (``W -= x' d``, one ``baddbmm_``), so that no gradient is ever stored. The small CNN
trains device by device under autograd, because grouped convolutions are slower on a CPU.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fl_opt.errors import InvalidInput

GROUP_BYTES = 1 << 21
"""Parameters of the devices that take their steps together: they then stay in the cache."""


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
    """

    index: Tensor
    weight: Tensor


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


def _normal(shape: tuple[int, ...], fan_in: int, gain: float, rng: np.random.Generator) -> Tensor:
    values = rng.standard_normal(math.prod(shape)) * math.sqrt(gain / fan_in)
    return torch.from_numpy(values.astype(np.float32))


def _steps(batches: Batches) -> Tensor:
    """(n,) number of steps that a device takes, at least 1 so that it can divide."""
    taken = batches.weight.expand(batches.index.shape).sum(2) > 0
    return taken.sum(1).clamp(min=1)


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
            pieces += [_normal((a, b), a, gain, rng), torch.zeros(b)]
        return torch.cat(pieces)

    def _views(self, weights: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Matrices (n, a, b) and biases (n, 1, b) of each layer, as windows into (n, P)."""
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
        devices = len(batches.index)
        starts = weights.expand(devices, -1)
        weight = batches.weight.expand(batches.index.shape)
        together = max(1, GROUP_BYTES // (self.parameters * weights.element_size()))
        groups = [slice(at, at + together) for at in range(0, devices, together)]
        trained, losses = zip(
            *(
                self._train(starts[group], x, y, Batches(batches.index[group], weight[group]), rate)
                for group in groups
            ),
            strict=True,
        )
        return torch.cat(trained), torch.cat(losses) / _steps(batches)

    def _train(
        self, starts: Tensor, x: Tensor, y: Tensor, batches: Batches, rate: float
    ) -> tuple[Tensor, Tensor]:
        """Parameters (n, P) of one group of devices, and the sums (n,) of their batch losses."""
        devices, steps, size = batches.index.shape
        # layers apart from each other: windows into (n, P) would slow the products down
        layers = [
            (matrix.clone(memory_format=torch.contiguous_format), bias.clone())
            for matrix, bias in self._views(starts)
        ]
        loss = torch.zeros(devices, dtype=starts.dtype)
        images = x.new_empty(devices * size, x.shape[1])
        for step in range(steps):
            rows = batches.index[:, step]
            torch.index_select(x, 0, rows.reshape(-1), out=images)
            inputs = [images.view(devices, size, -1)]
            for matrix, bias in layers[:-1]:
                inputs.append(torch.baddbmm(bias, inputs[-1], matrix).relu_())
            matrix, bias = layers[-1]
            delta = torch.log_softmax(torch.baddbmm(bias, inputs[-1], matrix), 2)
            label = y[rows].unsqueeze(2)
            share = batches.weight[:, step]
            loss -= (delta.gather(2, label).squeeze(2) * share).sum(1)
            delta.exp_().scatter_add_(2, label, delta.new_full((), -1.0).expand(label.shape))
            delta *= (rate * share).unsqueeze(2)
            for (matrix, bias), value in zip(reversed(layers), reversed(inputs), strict=True):
                ahead = delta
                if value is not inputs[0]:
                    delta = torch.bmm(ahead, matrix.transpose(1, 2)).mul_(value > 0)
                matrix.baddbmm_(value.transpose(1, 2), ahead, alpha=-1)
                bias -= ahead.sum(1, keepdim=True)
        flat = [part.reshape(devices, -1) for layer in layers for part in layer]
        return torch.cat(flat, dim=1), loss


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
            pieces += [_normal(size, math.prod(size[1:]), gain, rng), torch.zeros(size[0])]
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
                current.requires_grad_(True)
                each = functional.cross_entropy(
                    self.logits(current, x[rows]), y[rows], reduction="none"
                )
                loss = (each * weight[k, step]).sum()
                (gradient,) = torch.autograd.grad(loss, current)
                current = current.detach().sub_(gradient, alpha=rate)
                losses[k] += loss.detach()
            final[k] = current
        return final, losses / _steps(batches)


MODELS = {"softmax": 0, "mlp": 64, "cnn": 8}
"""Models by name, with the width they have unless told otherwise: hidden units, channels."""


def build(name: str, shape: tuple[int, int], classes: int, width: int | None = None) -> Model:
    """A model by name for images of `shape`.

    "softmax"; "mlp", one hidden layer of `width` units; "cnn", `width` and 2 `width` channels.
    Raises ``InvalidInput`` for an unknown name, or a width where there is none.
    """
    if name not in MODELS:
        raise InvalidInput("model", repr(name), f"one of {', '.join(MODELS)}")
    if name == "softmax" and width is not None:
        raise InvalidInput("width", width, "None, softmax regression has no hidden layer")
    units = MODELS[name] if width is None else width
    if name != "softmax" and units < 1:
        raise InvalidInput("width", units, "at least 1")
    if name == "cnn":
        return Convolutional(shape, units, classes)
    pixels = shape[0] * shape[1]
    return Perceptron((pixels, units, classes) if units else (pixels, classes))


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Run torch with `count` threads, and restore the number that was set before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
