r"""Split inference: a device computes the first layers, a server the rest, a channel lies between.

    z = encode(x),  mean z_i^2 = 1          `values` numbers, one symbol each
    y = z + noise,  noise power 10^(-SNR/10) in each symbol
    class = argmax decode(y)

Encoder and decoder are trained together through the noise of the channel that they will meet, so
that they learn by themselves how to protect what matters (joint source-channel coding, with
features for a source). Against it stands the digital way: the same features, rounded to some bits
each and sent in the same symbols by a code that holds or does not. Over Rayleigh fading, R bits per
symbol fail with probability 1 - exp(-(4^R - 1)/snr), and nothing of a failed image is known.

Source: Kang et al., Neurosurgeon, ASPLOS 2017, for the split; Jankowski, Gündüz, Mikolajczyk,
Wireless image retrieval at the edge, IEEE JSAC 2021, arXiv 2007.10915, for features over a noisy
channel (recalled); the survey asks for both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from fl_opt.checks import number, whole
from fl_opt.errors import InvalidInput
from fl_opt.problems.split_profile import SplitProfile
from fl_opt.units import Floats, ratio_from_db


class SplitNetwork(nn.Module):
    """A small convolutional classifier with a bottleneck.

    Parameters
    ----------
    shape
        Height and width of an image [pixel], multiples of four.
    classes
        Number of classes.
    values
        Numbers that cross the channel for an image; None: no bottleneck, all features cross.
    channels
        Channels of the first convolution; the second has twice as many.
    """

    def __init__(
        self, shape: tuple[int, int], classes: int, values: int | None, channels: int = 8
    ) -> None:
        super().__init__()
        if shape[0] % 4 or shape[1] % 4:
            raise InvalidInput("shape", shape, "multiples of 4: two poolings halve it twice")
        features = 2 * channels * (shape[0] // 4) * (shape[1] // 4)
        if values is not None:
            whole("values", values, 1, features)
        self.shape = shape
        self.layers = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.squeeze = nn.Identity() if values is None else nn.Linear(features, values)
        crossing = features if values is None else values
        self.head = nn.Sequential(nn.Linear(crossing, 64), nn.ReLU(), nn.Linear(64, classes))

    def encode(self, x: Tensor) -> Tensor:
        """(N, values) symbols of unit mean power for images (N, pixels)."""
        z: Tensor = self.squeeze(self.layers(x.view(-1, 1, *self.shape)))
        return z / z.square().mean(dim=1, keepdim=True).clamp(min=1e-12).sqrt()

    def decode(self, y: Tensor) -> Tensor:
        """(N, classes) outputs for what was received."""
        answer: Tensor = self.head(y)
        return answer

    def profile(
        self, cycles: float, *, pixel_bit: float = 8.0, value_bit: float = 32.0
    ) -> SplitProfile:
        """The places to split: before each layer that has weights, and after the last.

        Parameters
        ----------
        cycles
            Cycles of a multiply-add, on device and server alike; poolings are not counted [cycle].
        pixel_bit, value_bit
            Size of a pixel, and of a number inside the network [bit].
        """
        work: list[float] = []
        payload: list[float] = []

        def note(layer: nn.Module, given: tuple[Tensor, ...], answer: Tensor) -> None:
            # a convolution uses its weights once for each place of the picture
            uses = answer[0, 0].numel() if isinstance(layer, nn.Conv2d) else 1
            work.append(cycles * uses * sum(p.numel() for p in layer.parameters() if p.dim() > 1))
            payload.append(given[0].numel() * (value_bit if payload else pixel_bit))

        weighted = (nn.Conv2d, nn.Linear)
        hooks = [m.register_forward_hook(note) for m in self.modules() if isinstance(m, weighted)]
        with torch.no_grad():
            self.decode(self.encode(torch.zeros(1, self.shape[0] * self.shape[1])))
        for hook in hooks:
            hook.remove()
        return SplitProfile.from_layers(work, payload)


@dataclass(frozen=True)
class Images:
    """Images (N, pixels) in [0, 1] of height and width `shape`, and their classes (N,)."""

    x: Tensor
    y: Tensor
    shape: tuple[int, int]
    classes: int

    @classmethod
    def of(cls, dataset: str, samples: int | None = None, part: str = "train") -> Images:
        """The first `samples` of a data set's training or test images.

        See ``fl_opt.validation.data.dataset`` for the names.
        """
        from fl_opt.validation.data import dataset as load

        data = load(dataset)
        x, y = (data.train_x, data.train_y) if part == "train" else (data.test_x, data.test_y)
        images = torch.from_numpy(x[:samples].copy()).float() / data.depth
        return cls(images, torch.from_numpy(y[:samples].copy()), data.shape, data.classes)


def trained(
    images: Images,
    values: int | None,
    snr_db: float,
    *,
    epochs: int = 4,
    batch: int = 64,
    rate: float = 1e-3,
    seed: int = 0,
) -> SplitNetwork:
    """A network trained by Adam through the noise of a channel of `snr_db`; infinite is none."""
    generator = torch.Generator().manual_seed(seed)
    # layers draw from torch's own stream: give them the seed's, and put the old one back
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SplitNetwork(images.shape, images.classes, values)
    step = torch.optim.Adam(network.parameters(), lr=number("rate", rate, open_low=True))
    for _ in range(whole("epochs", epochs, 1)):
        order = torch.randperm(len(images.y), generator=generator)
        for begin in range(0, len(order), batch):
            rows = order[begin : begin + batch]
            received = _noisy(network.encode(images.x[rows]), snr_db, generator)
            loss = nn.functional.cross_entropy(network.decode(received), images.y[rows])
            step.zero_grad()
            torch.autograd.backward(loss)
            step.step()
    return network.eval()


def accuracy(
    network: SplitNetwork, images: Images, snr_db: float, *, fading: bool = False, seed: int = 0
) -> float:
    """Share of images recognised through a channel of `snr_db`; infinite is no noise.

    With `fading` the power of each image's channel is exponential of mean 1; the receiver divides
    by the amplitude, so that noise grows in a fade.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        z = network.encode(images.x)
        gain = torch.ones(len(z), 1)
        if fading:
            gain = torch.empty(len(z), 1).exponential_(generator=generator)
        answer = network.decode(_noisy(z, snr_db, generator, gain)).argmax(1)
    return float((answer == images.y).double().mean())


def digital_accuracy(
    network: SplitNetwork, images: Images, snr_db: float, bits: int, *, seed: int = 0
) -> float:
    """Share recognised where the features are rounded to `bits` and sent over Rayleigh fading.

    In as many symbols as there are features; an image whose code fails is guessed.
    """
    whole("bits", bits, 1)
    with torch.no_grad():
        z = network.encode(images.x)
        step = 2.0 * float(z.abs().max()) / 2**bits
        answer = network.decode((z / step).round() * step).argmax(1)
    right = (answer == images.y).numpy()
    held = np.random.default_rng(seed).random(right.size) >= outage(bits, snr_db)
    guessed = 1.0 / images.classes
    return float(np.mean(np.where(held, right, guessed)))


def outage(bits_per_symbol: ArrayLike, snr_db: float) -> Floats:
    """Probability that Rayleigh fading does not carry so many bits in a real symbol [-]."""
    rate = np.asarray(bits_per_symbol, dtype=float)
    with np.errstate(over="ignore"):
        failed: Floats = -np.expm1(-np.expm1(rate * np.log(4.0)) / ratio_from_db(snr_db))
    return failed


def _noisy(
    z: Tensor, snr_db: float, generator: torch.Generator, gain: Tensor | None = None
) -> Tensor:
    if snr_db == math.inf:
        return z
    noise = torch.randn(z.shape, generator=generator) / float(ratio_from_db(snr_db)) ** 0.5
    received: Tensor = z + (noise if gain is None else noise / gain.sqrt())
    return received
