"""Random numbers that stay in place when an experiment turns a knob.

Every quantity has a stream of its own for every round (or leg of a walk), found by name and number
instead of by the order of calls. So the same seed gives the same world whatever band, power, speed
or workload is asked for, and device k meets the same luck whether 10 or 10,000 devices take part:
the arrays of a smaller cell are the first entries of those of a larger one.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from fl_opt.units import Floats

ENTROPY_WORDS = 4


@dataclass(frozen=True)
class Streams:
    """Independent streams of random numbers, addressed by quantity and index."""

    entropy: tuple[int, ...]

    @classmethod
    def of(cls, rng: np.random.Generator) -> Streams:
        """Streams seeded by `rng`, of which a fixed amount is consumed whatever is drawn later."""
        words = rng.integers(0, 2**32, size=ENTROPY_WORDS, dtype=np.uint32)
        return cls(tuple(int(word) for word in words))

    def _generator(self, quantity: str, index: int) -> np.random.Generator:
        key = (zlib.crc32(quantity.encode()), index)
        return np.random.default_rng(np.random.SeedSequence(self.entropy, spawn_key=key))

    def uniform(self, quantity: str, index: int, size: int) -> Floats:
        """(size,) uniform in [0, 1)."""
        return self._generator(quantity, index).random(size)

    def normal(self, quantity: str, index: int, size: int) -> Floats:
        """(size,) standard normal."""
        return self._generator(quantity, index).standard_normal(size)
