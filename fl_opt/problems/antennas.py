"""Channels of devices to a base station with several antennas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput

Complex = NDArray[np.complex128]


@dataclass(frozen=True, eq=False, init=False)
class Antennas:
    """Complex channels of one round.

    Parameters
    ----------
    channel
        (K, M) amplitude from device k to antenna m [-]; its squared modulus is a power gain. From
        a file: (K, M, 2), pairs of real and imaginary part.

    >>> import fl_opt
    >>> fl_opt.Antennas([[1e-5, 2e-5j], [0.0, 1e-6]]).size
    2
    """

    channel: Complex

    def __init__(self, channel: ArrayLike) -> None:
        try:
            given = np.array(channel, dtype=complex)
        except (TypeError, ValueError):
            raise InvalidInput("channel", repr(channel)[:80], "complex numbers") from None
        if given.ndim == 3 and given.shape[2] == 2 and not given.imag.any():
            given = given[..., 0] + 1j * given[..., 1]
        if given.ndim != 2 or given.size == 0:
            raise InvalidInput("channel.shape", given.shape, "(K, M), a row per device")
        wrong = np.argwhere(~np.isfinite(given))
        if wrong.size:
            k, m = wrong[0]
            raise InvalidInput(f"channel[{k}, {m}]", given[k, m], "a finite number")
        given.flags.writeable = False
        object.__setattr__(self, "channel", given)

    @classmethod
    def rayleigh(cls, gain: ArrayLike, antennas: int, rng: np.random.Generator) -> Antennas:
        """Independent Rayleigh fading at each antenna around mean power gains (K,) [-]."""
        mean = vector("gain", gain, np.size(gain))
        shape = (mean.size, int(number("antennas", antennas, low=1.0)))
        parts = rng.normal(size=(2, *shape)) * np.sqrt(0.5 * mean)[:, None]
        return cls(parts[0] + 1j * parts[1])

    @property
    def size(self) -> int:
        """Number of devices K."""
        return int(self.channel.shape[0])

    @property
    def antennas(self) -> int:
        """Number of antennas M."""
        return int(self.channel.shape[1])

    def __repr__(self) -> str:
        return f"Antennas(size={self.size}, antennas={self.antennas})"
