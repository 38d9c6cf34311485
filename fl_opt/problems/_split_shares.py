r"""How a device at a split divides its time between air and server, at prices of both.

    minimise over t   p t + mu b(t) + nu C/(D - t)        t_low < t < D

D is what the deadline leaves after the device's own layers, b(t) the least bandwidth that carries
the payload in t seconds at power p, C/(D - t) the server share that computes the rest in time. With
b = a/(t v), growth(v) = ln(t/t_low), t_low = N0 a/(p h), a = s ln2: b is convex and decreasing,

    b' = -(b/t)(1 + q),   q = 1/(v growth'(v)),

so that the condition p + nu C/(D - t)^2 = -mu b'(t) has one root, in ln((t - t_low)/(D - t)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_opt.kernels import EPS, growth_inverse, growth_slope, increasing_root
from fl_opt.units import Floats

Index = NDArray[np.int_]
_END = 40.0


@dataclass(frozen=True, eq=False)
class Shares:
    """Options of devices, arrays (n,).

    `left` D [s], `nats` a, `least` t_low [s], `power` p [W], `cycles` C of the server [cycle].
    """

    left: Floats
    nats: Floats
    least: Floats
    power: Floats
    cycles: Floats

    def __getitem__(self, index: Index | NDArray[np.bool_]) -> Shares:
        return Shares(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    @property
    def able(self) -> NDArray[np.bool_]:
        """Whether any bandwidth and server share meet the deadline."""
        sends, serves = self.nats > 0.0, self.cycles > 0.0
        spare = np.where(sends, self.left > self.least, self.left > 0.0)
        mask: NDArray[np.bool_] = np.where(sends | serves, spare, self.left >= 0.0)
        return mask


@dataclass(frozen=True, eq=False)
class Split:
    """The best division at prices, (n,): airtime and server time [s], bandwidth, server share.

    `term` is the minimum, `low` a proven lower bound of it; `band_slope`, `server_slope` and `bend`
    are b', (C/(D - t))' and the second derivative of what is minimised, to t; `bend` is infinite
    where t does not move.
    """

    air_s: Floats
    server_s: Floats
    band_hz: Floats
    server_hz: Floats
    term: Floats
    low: Floats
    band_slope: Floats
    server_slope: Floats
    bend: Floats


def divide(part: Shares, band_price: float, server_price: float, air_worth: float = 1.0) -> Split:
    """Best division of every option; all must be able. Airtime costs `air_worth` times the power.

    `band_price` > 0 in J/Hz, `server_price` >= 0 in J s/cycle.
    """
    size = part.left.size
    air, server = np.zeros(size), part.left.copy()
    band, band_slope, bend = np.zeros(size), np.zeros(size), np.full(size, np.inf)
    doubt = np.zeros(size)
    some = np.flatnonzero(part.nats > 0.0)
    if some.size:
        air[some], server[some], band[some], band_slope[some], bend[some], doubt[some] = _on_air(
            part[some], band_price, server_price, air_worth
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(part.cycles > 0.0, part.cycles / server, 0.0)
        steep = np.where(part.cycles > 0.0, share / server, 0.0)
    term = air_worth * part.power * air + band_price * band + server_price * share
    low = np.maximum(term * (1.0 - 16.0 * EPS) - doubt, 0.0)
    return Split(air, server, band, share, term, low, band_slope, steep, bend)


def _on_air(
    part: Shares, band_price: float, server_price: float, air_worth: float
) -> tuple[Floats, ...]:
    """Airtime, server time, bandwidth and its slope, bend, and how far off the minimum is."""
    width, priced = part.left - part.least, server_price * part.cycles
    air_cost = air_worth * part.power

    def conditions(z: Floats, at: Index) -> tuple[Floats, ...]:
        some, w = part[at], width[at]
        gone, rest = w / (1.0 + np.exp(-z)), w / (1.0 + np.exp(z))
        t = some.least + gone
        v = growth_inverse(np.log1p(gone / some.least))
        s = growth_slope(v)
        q = 1.0 / (v * s)
        b = some.nats / (t * v)
        fall = b / t * (1.0 + q)
        push = air_cost[at] + priced[at] / (rest * rest)
        curve = np.where(v < 1e-2, 1.0 / 12.0, 1.0 / v**2 - 0.25 / np.sinh(0.5 * v) ** 2)
        # logarithmic derivatives of `push` and `fall` to t
        up = 2.0 * priced[at] / rest**3 / push
        down = (2.0 + q + (s + v * curve) * q * q / (s * (1.0 + q))) / t
        return gone, rest, b, fall, push, up, down

    def late(z: Floats, at: Index) -> tuple[Floats, Floats]:
        gone, rest, _, fall, push, up, down = conditions(z, at)
        value = np.log(push) - np.log(band_price) - np.log(fall)
        return value, (up + down) * gone * rest / (gone + rest)

    end = np.full(width.size, _END)
    everyone = np.arange(width.size)
    with np.errstate(all="ignore"):
        z = increasing_root(late, -end, end, np.zeros(width.size))
        gone, rest, b, fall, push, up, down = conditions(z, everyone)
        slope = push - band_price * fall
        moves = np.abs(z) < _END
        bend = np.where(moves, push * up + band_price * fall * down, np.inf)
        doubt = np.maximum(slope * gone, -slope * rest)
        doubt = np.maximum(doubt, 0.0) + 16.0 * EPS * (push + band_price * fall) * (gone + rest)
    return part.least + gone, rest, b, -fall, bend, doubt
