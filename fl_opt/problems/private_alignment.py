"""What private rounds over the air decide: how loud updates arrive in each of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.allocation import Allocation
from fl_opt.checks import number, vector
from fl_opt.network import Network
from fl_opt.problems.superposition import Superposition, receiver_noise_w
from fl_opt.units import Floats

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False, init=False)
class PrivateAlignment:
    """What `PrivatePower` decides: how loud updates arrive in each round.

    Parameters
    ----------
    amplitude
        (T,) factor c of an update on its way to the receiver [sqrt(W)], >= 0.
    clip
        Norm to which devices clip their updates L [-].
    symbols
        Symbols of an update d [-].
    """

    amplitude: Floats
    clip: float
    symbols: int

    def __init__(self, amplitude: ArrayLike, clip: float, symbols: int = 1) -> None:
        checked = vector("amplitude", amplitude, np.size(amplitude))
        object.__setattr__(self, "amplitude", checked)
        object.__setattr__(self, "clip", number("clip", clip, open_low=True))
        object.__setattr__(self, "symbols", int(number("symbols", symbols, low=1.0)))

    @property
    def heard_w(self) -> Floats:
        """(T,) power at which a symbol of a clipped update arrives [W]."""
        return (self.amplitude * self.clip) ** 2 / self.symbols

    def at(self, round: int, gain: ArrayLike, noise_w: float) -> Superposition:
        """Powers of a round whose gains are (K,): all arrive equally loud.

        Symbols are those of an update over clip/sqrt(symbols): of unit power where it is clipped.
        """
        eta = float(self.heard_w[round])
        reach = vector("gain", gain, np.size(gain), open_low=True)
        if eta == 0.0:
            return Superposition(np.zeros(reach.size), math.inf, float(reach.size))
        return Superposition(eta / reach, eta, number("noise_w", noise_w) / eta)

    def to_round(self, network: Network) -> Allocation:
        """The first round, as one superposed upload."""
        return self.at(0, network.gain, receiver_noise_w(network)).to_round(network)

    def to_frame(self) -> pandas.DataFrame:
        """A row per round."""
        import pandas

        index = pandas.RangeIndex(self.amplitude.size, name="round")
        columns = {"amplitude": self.amplitude, "heard_w": self.heard_w}
        return pandas.DataFrame(columns, index=index)
