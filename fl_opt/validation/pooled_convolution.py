"""A convolution with pooling and ReLU, forward and backward: matrix products and a few passes.

Images are (channels, height, width, B), the samples innermost: whatever is shifted, paired or added
lies in runs of at least B numbers. Everything is written into memory that is there already.
"""

from __future__ import annotations

import torch
from torch import Tensor


class PooledConvolution:
    """A 3 x 3 convolution with padding, 2 x 2 max-pooling and ReLU for B images at a time.

    Write the images into `images`, then go ``forward``, then ``backward``. Of equal values in a
    window the first counts, row by row, as in torch. A last odd row or column is not pooled.

    Parameters
    ----------
    inputs, outputs
        Channels before and after.
    height, width
        Of the images before [pixels]; half of it, rounded down, after.
    size
        Images B.
    """

    def __init__(
        self, inputs: int, outputs: int, height: int, width: int, size: int, dtype: torch.dtype
    ) -> None:
        padded = torch.zeros(inputs, height + 2, width + 2, size, dtype=dtype)
        self.images = padded[:, 1:-1, 1:-1]
        self._windows = padded.unfold(1, 3, 1).unfold(2, 3, 1).permute(0, 4, 5, 1, 2, 3)
        self._patches = torch.empty(self._windows.shape, dtype=dtype)
        self._columns = self._patches.flatten(3).flatten(0, 2)

        self._map = torch.empty(outputs, height, width, size, dtype=dtype)
        even = self._map[:, : height // 2 * 2, : width // 2 * 2]
        self._odd = self._map[:, even.shape[1] :], self._map[:, :, even.shape[2] :]
        # the larger of left and right first, then the larger of upper and lower
        self._across = even[:, :, 0::2], even[:, :, 1::2]
        self._rows = torch.empty(self._across[0].shape, dtype=dtype)
        self._down = self._rows[:, 0::2], self._rows[:, 1::2]

        self._shifted = torch.empty(inputs, 3, height, width, size, dtype=dtype)

    def forward(self, kernel: Tensor, bias: Tensor, out: Tensor) -> None:
        """Images after pooling and ReLU into `out`."""
        self._patches.copy_(self._windows)
        torch.mm(kernel.flatten(1), self._columns, out=self._map.flatten(1))
        torch.maximum(*self._across, out=self._rows)
        torch.maximum(*self._down, out=out)
        # both commute with the maximum: a quarter of the work
        out.add_(bias.view(-1, 1, 1, 1)).relu_()

    def backward(self, out: Tensor, delta: Tensor, kernel: Tensor, bias: Tensor) -> None:
        """Add to the gradients `kernel` and `bias`, given the derivative `delta` by `out`.

        Once after a ``forward``: `out` is what that gave. Overwrites `out` and `delta`.
        """
        delta.mul_(out.gt_(0))
        bias += delta.flatten(1).sum(1)
        _to_the_larger(*self._down, delta)
        _to_the_larger(*self._across, self._rows)
        for left_over in self._odd:
            left_over.zero_()
        kernel.flatten(1).addmm_(self._map.flatten(1), self._columns.T)

    def below(self, kernel: Tensor) -> Tensor:
        """Derivative by the images, after ``backward``.

        One product for each row of the kernel, whose three columns are added up afterwards: a third
        of the numbers that one product for all of the kernel would make.
        """
        upper, middle, lower = (row.flatten(1).T for row in kernel.unbind(2))
        ahead, columns = self._map, self._shifted.flatten(0, 1)
        torch.mm(middle, ahead.flatten(1), out=columns.flatten(1))
        columns[:, :-1].flatten(1).addmm_(upper, ahead[:, 1:].flatten(1))
        columns[:, 1:].flatten(1).addmm_(lower, ahead[:, :-1].flatten(1))
        left, found, right = self._shifted.unbind(1)
        found[:, :, :-1] += left[:, :, 1:]
        found[:, :, 1:] += right[:, :, :-1]
        return found


def _to_the_larger(first: Tensor, second: Tensor, delta: Tensor) -> None:
    """Overwrite two values by the derivatives by them, given that by the larger of the two."""
    second.gt_(first).mul_(delta)
    torch.sub(delta, second, out=first)
