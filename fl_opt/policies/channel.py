"""Rules that look at the channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fl_opt.policies.ordered import Ordered
from fl_opt.policy import Round
from fl_opt.units import Floats


@dataclass(frozen=True)
class BestChannel(Ordered):
    """The devices with the largest channel gain over noise.

    The rule called BC by Amiri, Gunduz, Kulkarni, Poor (Convergence of update aware device
    scheduling for federated learning at the wireless edge, IEEE TWC 2021, arXiv 2001.10402).
    """

    def scores(self, round: Round, memory: None) -> Floats:
        """Gain over noise density."""
        return round.network.gain / round.network.noise_w_hz


@dataclass(frozen=True, eq=False)
class Average:
    """Running mean (K,) of a quantity over `rounds` rounds."""

    mean: Floats
    rounds: int

    def including(self, value: Floats) -> Average:
        """The mean over one more round."""
        return Average(self.mean + (value - self.mean) / (self.rounds + 1), self.rounds + 1)


@dataclass(frozen=True)
class ProportionalFair(Ordered):
    """The devices whose channel is best compared with their own average.

    The score is the signal-to-noise ratio of the round over its mean of all rounds so far, this
    one included. In the first round all scores are 1 and the better channel decides.

    Source: Yang, Liu, Quek, Poor, Scheduling policies for federated learning in wireless
    networks, IEEE TCOM 2020, arXiv 1908.06287 (there with subchannels of equal width: `count`).
    """

    def start(self, size: int, rng: np.random.Generator) -> Average:
        """No round seen yet."""
        return Average(np.zeros(size), 0)

    def update(self, round: Round, memory: Average) -> Average:
        """Average the gain; power and noise cancel in the ratio."""
        return memory.including(round.network.gain)

    def scores(self, round: Round, memory: Average) -> Floats:
        """Gain over its mean; 0 for a link that was always dead."""
        gain = round.network.gain
        return np.divide(gain, memory.mean, out=np.zeros(gain.size), where=memory.mean > 0.0)
