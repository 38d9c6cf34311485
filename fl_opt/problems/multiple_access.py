r"""A channel that all devices use at once, each decoded with the others known or as noise.

Rates R_k can be had, in bits per use of the channel, exactly when for every set S of devices

    sum_{k in S} R_k <= f(S) = log2(1 + sum_{k in S} P_k h_k/N)

(the capacity region of the Gaussian multiple-access channel). f is submodular, so the region is a
polymatroid. Since f is concave in a sum over S, two things are quick that are hard in general:

- the set that is violated most is {k: R_k/(P_k h_k) > theta} for some theta, one of K prefixes of
  the order by R_k/(P_k h_k): f(S) is the least of its tangents, linear in sum P_k h_k, and for each
  the best S is such a set. The same S also violate most relative to f(S).
- once some devices A have their full rate f(A), what is left for the others is the same region,
  with A as noise: f(S + A) - f(A) = log2(1 + sum_S P_k h_k/(N + sum_A P_k h_k)).

Source: Tse, Hanly, "Multiaccess fading channels, part I", IEEE Trans. Information Theory 44, 1998.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.certificate import Excess
from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.physics import LN2
from fl_opt.units import Floats

if TYPE_CHECKING:
    import pandas

Index = NDArray[np.int_]

SUBSETS = 8
"""Most devices whose sets are all written out."""


@dataclass(frozen=True, eq=False, init=False)
class MultipleAccess:
    """Devices on one channel.

    Parameters
    ----------
    power_w
        Transmit power, a scalar or (K,) [W].
    gain
        Channel power gain, a scalar or (K,) [-].
    noise_w
        Noise power at the receiver, over the whole band [W].
    """

    power_w: Floats
    gain: Floats
    noise_w: float

    def __init__(self, power_w: ArrayLike, gain: ArrayLike, noise_w: float) -> None:
        size = max(np.size(power_w), np.size(gain))
        if min(np.size(power_w), np.size(gain)) == 0:
            raise InvalidInput("MultipleAccess", "empty", "at least one device")
        object.__setattr__(self, "power_w", vector("power_w", power_w, size))
        object.__setattr__(self, "gain", vector("gain", gain, size))
        object.__setattr__(self, "noise_w", number("noise_w", noise_w, open_low=True))

    @classmethod
    def from_network(cls, network: Network) -> MultipleAccess:
        """All devices at full power over the whole band; the largest noise density counts."""
        density = float(network.noise_w_hz.max())
        return cls(network.power_max_w, network.gain, density * network.band_hz)

    @property
    def size(self) -> int:
        """Number of devices K."""
        return int(self.gain.size)

    @cached_property
    def snr(self) -> Floats:
        """(K,) P h/N, what each device's signal is to the noise [-]."""
        return self.power_w * self.gain / self.noise_w

    @property
    def alone(self) -> Floats:
        """(K,) rates of devices that have the channel for themselves [bit]."""
        return np.log1p(self.snr) / LN2

    @property
    def rounding(self) -> float:
        """Relative error of sums over prefixes and of what follows from them."""
        return 32.0 * EPS + 4.0 * self.size * float(np.finfo(np.longdouble).eps)

    def in_order(self, order: Index) -> Floats:
        """Rates (K,) that a decoding order of some devices gives, each at most; 0 for the others.

        The first is decoded last, with all others known; each later one has those before it as
        noise.
        """
        snr = self.snr[order]
        before = np.append(0.0, sums(snr)[:-1])[: order.size]
        rate = np.zeros(self.size)
        rate[order] = np.log1p(snr / (1.0 + before)) / LN2
        return rate

    def support(self, price: Floats) -> float:
        """The most that rates can be worth at prices (K,) >= 0 of a bit; up to `rounding`.

        The greedy algorithm on a polymatroid: the dearest first (Edmonds 1970).
        """
        order = np.argsort(-price, kind="stable")
        return float(price @ self.in_order(order))

    def tightest(self, rate: Floats, noise: float, among: Index) -> tuple[Index, Floats, Floats]:
        """The order of `among` whose prefixes are the sets to look at.

        With it the rates that the prefixes use, and what they may, with `noise` times the noise.
        """
        snr, used = self.snr[among], rate[among]
        with np.errstate(divide="ignore", invalid="ignore"):
            key = np.where(used > 0.0, used / snr, 0.0)
        order = np.argsort(-key, kind="stable")
        allowed = np.log1p(sums(snr[order]) / noise) / LN2
        return among[order], sums(used[order]), allowed

    def excess(self, decision: UplinkRates) -> dict[str, Excess]:
        """The sets that could be violated most, (K,) under the name "polymatroid" [bit]."""
        if decision.size != self.size:
            raise InvalidInput("decision.size", decision.size, f"{self.size}, as the channel")
        _, used, allowed = self.tightest(decision.rate_bit, 1.0, np.arange(self.size))
        return {"polymatroid": Excess(used, allowed, "bit")}

    def shrunk(self, rate: Floats) -> Floats:
        """Rates (K,) scaled down by what rounding lets them exceed."""
        _, used, allowed = self.tightest(rate, 1.0, np.arange(self.size))
        over = np.divide(used, allowed, out=np.zeros_like(used), where=allowed > 0.0)
        return rate / max(float(over.max()), 1.0)

    def subsets(self) -> tuple[Floats, Floats]:
        """(2^K - 1, K) members of every set of devices, and what it may use [bit].

        Raises ``InvalidInput`` for more than 8 devices.
        """
        if self.size > SUBSETS:
            raise InvalidInput(
                "devices", self.size, f"at most {SUBSETS} to list all sets", 'use solver="closed"'
            )
        number_ = np.arange(1, 2**self.size)
        member = ((number_[:, None] >> np.arange(self.size)) % 2).astype(float)
        return member, np.log1p(member @ self.snr) / LN2


def sums(values: Floats) -> Floats:
    """Sums of all prefixes, kept in longer floats on the way."""
    return np.cumsum(values, dtype=np.longdouble).astype(float)


@dataclass(frozen=True, eq=False, init=False)
class UplinkRates:
    """What is decided on a channel for all: `rate_bit` (K,), bits per use of the channel."""

    rate_bit: Floats

    def __init__(self, rate_bit: ArrayLike) -> None:
        object.__setattr__(self, "rate_bit", vector("rate_bit", rate_bit, np.size(rate_bit)))

    @property
    def size(self) -> int:
        """Number of devices K."""
        return int(self.rate_bit.size)

    def to_frame(self) -> pandas.DataFrame:
        """A row per device."""
        import pandas

        index = pandas.RangeIndex(self.size, name="device")
        return pandas.DataFrame({"rate_bit": self.rate_bit}, index=index)
