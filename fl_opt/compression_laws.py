r"""What compressing an update of d coordinates costs in bits and in error, as pure functions.

Each way to compress is a `Level`: its payload s, and its error v relative to ``||x||^2``,

    way                      payload s [bit]             E||C(x) - x||^2 <= v ||x||^2        mean
    full                     32 d                        0                                   x
    QSGD, s levels           32 + d ceil(log2(2 s + 1))  min(d/s^2, sqrt(d)/s)               x
    random-k, scaled d/k     32 k                        d/k - 1                             x
    top-k                    k (32 + ceil(log2 d))       1 - k/d                             biased
    sign, scaled             d + 32                      1 - phi                             biased
    top-k + sign, scaled     k (1 + ceil(log2 d)) + 32   1 - max(k phi, 1)/d                 biased

where ``phi = ||x||_1^2/(d ||x||^2)`` says how flat x is: 1/d for one spike, 2/pi for Gaussian
entries, 1 where all are equally large. The scale of sign is the mean size of what is sent, so that
``||C(x) - x||^2 = ||x||^2 - ||x_S||_1^2/|S|``; the mean over the k largest is at least that over
all, and ``||x_S||_1 >= ||x_S||``, which gives the last row. The server draws the coordinates of
random-k from the seed that the device draws from: no index is sent.

Sources: QSGD, Alistarh, Grubic, Li, Tomioka, Vojnovic, NeurIPS 2017, arXiv 1610.02132; top-k and
random-k, Stich, Cordonnier, Jaggi, NeurIPS 2018, arXiv 1809.07599; sign with a scale, Karimireddy,
Rebjock, Stich, Jaggi, ICML 2019, arXiv 1901.09847; top-k with sign, Basu, Data, Karakus, Diggavi,
NeurIPS 2019, arXiv 1906.02367.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fl_opt.checks import number, whole
from fl_opt.physics import PARAMETER_BIT

GAUSSIAN = 2.0 / math.pi
"""Flatness phi of an update whose entries are Gaussian."""


@dataclass(frozen=True)
class Level:
    """One way to send an update.

    Parameters
    ----------
    name
        For people, such as ``"top-100"``.
    upload_bit
        Payload s [bit].
    error
        Bound v of the squared error relative to the squared norm of the update [-].
    unbiased
        Whether the compressed update has the update as its mean, by randomness of its own.
    """

    name: str
    upload_bit: float
    error: float
    unbiased: bool

    def __post_init__(self) -> None:
        number("upload_bit", self.upload_bit)
        number("error", self.error)


def index_bit(size: int) -> int:
    """Bits that name one of d coordinates, ceil(log2 d)."""
    return (whole("size", size, 1) - 1).bit_length()


def full(size: int) -> Level:
    """All d coordinates as they are."""
    return Level("full", PARAMETER_BIT * whole("size", size, 1), 0.0, True)


def qsgd(size: int, levels: int) -> Level:
    """Each coordinate rounded at random to one of s levels of its sign, and the norm."""
    d, s = whole("size", size, 1), whole("levels", levels, 1)
    bit = PARAMETER_BIT + d * (2 * s).bit_length()
    return Level(f"qsgd-{s}", bit, min(d / s**2, math.sqrt(d) / s), True)


def random_k(size: int, kept: int) -> Level:
    """Random k coordinates, times d/k."""
    d = whole("size", size, 1)
    k = whole("kept", kept, 1, d)
    return Level(f"random-{k}", PARAMETER_BIT * k, (d - k) / k, True)


def top_k(size: int, kept: int) -> Level:
    """The k largest coordinates with their indices."""
    d = whole("size", size, 1)
    k = whole("kept", kept, 1, d)
    return Level(f"top-{k}", k * (PARAMETER_BIT + index_bit(d)), (d - k) / d, False)


def sign_bit(size: int, scaled: bool = True) -> int:
    """Payload of signs [bit], with or without their mean size: a majority vote needs none."""
    return whole("size", size, 1) + PARAMETER_BIT * scaled


def sign(size: int, flatness: float | None = None) -> Level:
    """The sign of each coordinate, and their mean size; `flatness` is phi, at worst 1/d."""
    return Level("sign", sign_bit(size), 1.0 - _flat(size, flatness), False)


def top_k_sign(size: int, kept: int, flatness: float | None = None) -> Level:
    """Index and sign of the k largest coordinates, and their mean size."""
    d = whole("size", size, 1)
    k = whole("kept", kept, 1, d)
    kept_share = max(k * _flat(d, flatness), 1.0) / d
    bit = k * (1 + index_bit(d)) + PARAMETER_BIT
    return Level(f"top-{k}-sign", bit, 1.0 - kept_share, False)


def _flat(size: int, flatness: float | None) -> float:
    if flatness is None:
        return 1.0 / size
    return number("flatness", flatness, low=1.0 / size, high=1.0)
