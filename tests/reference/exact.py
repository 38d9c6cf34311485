"""Physics and optima of FDMA rounds in 50 decimal digits.

Bandwidth at a power or an energy comes from Newton's method, the best bandwidth at a price from
Lambert's function, the best split of time from golden sections, the price from regula falsi. All
of it is slow and plain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpmath import MPContext
from numpy.typing import ArrayLike

from fl_opt import Allocation, Network

mp = MPContext()
mp.dps = 50
Number = Any
"""A number of ``mpmath``."""

SPLIT = mp.mpf(10) ** -16
"""Relative width at which golden sections stop: their values are good to its square."""
_GOLDEN = (mp.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Device:
    """A device of a round, in SI units; `nats` s ln2, `noise` N0/h [W/Hz], `train` kappa C^3."""

    nats: Number
    noise: Number
    power: Number
    energy: Number
    cycles: Number
    train: Number
    fastest: Number
    slowest: Number

    def heat(self, u: Number) -> Number:
        """Energy of training for u seconds [J]."""
        return self.train / u**2 if self.train else mp.mpf(0)

    def upload(self, t: Number, b: Number) -> Number:
        """Energy of an upload in t seconds over b hertz [J]."""
        return t * b * self.noise * mp.expm1(self.nats / (t * b)) if self.nats else mp.mpf(0)

    def bandwidth_by_energy(self, t: Number, energy: Number) -> Number:
        """The bandwidth at which an upload in t seconds takes `energy` [Hz]; inf where none."""
        if t <= 0 or energy <= self.noise * self.nats:
            return mp.inf
        if energy == mp.inf:
            return mp.mpf(0)
        return self.nats / (t * _nats(mp.log(energy / (self.noise * self.nats))))

    def least_at(self, t: Number, u: Number) -> Number:
        """Least bandwidth for a split of time, by the limits on power and energy [Hz]."""
        budget = min(self.power * t, self.energy - self.heat(u))
        return self.bandwidth_by_energy(t, budget)

    def uploads(self, horizon: Number) -> tuple[Number, Number] | None:
        """Shortest and longest upload in a round [s]; None where there is none."""
        fastest = self.fastest
        rest = self.energy - self.noise * self.nats
        if rest <= 0:
            return None
        if self.train and rest != mp.inf:
            fastest = max(fastest, mp.sqrt(self.train / rest))
        low = max(horizon - self.slowest, self.noise * self.nats / self.power, mp.mpf(0))
        high = horizon - fastest
        return (low, high) if low <= high and high > 0 else None

    def least_hz(self, horizon: Number) -> Number:
        """Least bandwidth to take part in a round of `horizon` seconds [Hz]."""
        if not self.nats:
            idle = max(self.cycles and min(self.slowest, horizon), self.fastest)
            return mp.mpf(0) if idle <= horizon and self.heat(idle) <= self.energy else mp.inf
        ends = self.uploads(horizon)
        if ends is None:
            return mp.inf
        return _least(lambda t: self.least_at(t, horizon - t), *ends)[1]

    def best(self, horizon: Number, price: Number) -> tuple[Number, Number]:
        """Bandwidth [Hz] and energy plus price times bandwidth [J] of the best reply."""
        if not self.nats:
            u = max(min(self.slowest, horizon), self.fastest)
            return mp.mpf(0), self.heat(u) if self.cycles else mp.mpf(0)
        ends = self.uploads(horizon)
        assert ends is not None, "the round is infeasible"

        def bandwidth(t: Number) -> Number:
            if t == 0:
                return mp.inf
            level = price / (self.noise * t)
            x = 1 + mp.lambertw((level - 1) / mp.e).real
            return max(self.nats / (t * x), self.least_at(t, horizon - t))

        def value(t: Number) -> Number:
            b = bandwidth(t)
            if b == mp.inf:
                return mp.inf
            return self.heat(horizon - t) + self.upload(t, b) + price * b

        t, worth = _least(value, *ends)
        return bandwidth(t), worth


def devices(network: Network) -> list[Device]:
    """The devices of a network, their numbers taken as exact."""
    ln2 = mp.log(2)
    found = []
    for k in range(network.size):

        def of(name: str, k: int = k) -> Number:
            return mp.mpf(float(getattr(network, name)[k]))

        cycles = of("cycles")
        found.append(
            Device(
                nats=of("upload_bit") * ln2,
                noise=of("noise_w_hz") / of("gain") if of("gain") else mp.inf,
                power=of("power_max_w"),
                energy=of("energy_j"),
                cycles=cycles,
                train=of("capacitance") * cycles**3,
                fastest=cycles / of("cpu_max_hz"),
                slowest=(cycles / of("cpu_min_hz") if of("cpu_min_hz") else mp.inf)
                if cycles
                else mp.mpf(0),
            )
        )
    return found


def horizons(network: Network, deadline_s: Any) -> list[Number]:
    """The deadline of every device [s]; one common ``mpmath`` number is taken as it is."""
    if isinstance(deadline_s, mp.mpf):
        return [deadline_s] * network.size
    return [mp.mpf(float(s)) for s in np.broadcast_to(deadline_s, (network.size,))]


def least_hz(network: Network, deadline_s: Any) -> list[Number]:
    """Least bandwidth of every device to take part [Hz]; inf where there is none."""
    pairs = zip(devices(network), horizons(network, deadline_s), strict=True)
    return [device.least_hz(end) for device, end in pairs]


def least_energy_j(network: Network, deadline_s: Any, around_price: float | None = None) -> Number:
    """The optimum of least energy by a deadline [J], for feasible rounds.

    The Lagrangian at a price that is 1e-13 off at most: below the optimum, by the square of that.
    The search is shorter with a price to start from.
    """
    pairs = list(zip(devices(network), horizons(network, deadline_s), strict=True))
    band = mp.mpf(network.band_hz)
    if not any(device.nats for device, _ in pairs):
        return sum(device.best(end, mp.mpf(0))[1] for device, end in pairs)

    def spare(log_price: Number) -> Number:
        price = mp.exp(log_price)
        return -mp.log(sum(device.best(end, price)[0] for device, end in pairs) / band)

    known = around_price is not None and 0.0 < around_price < np.inf
    start = mp.log(mp.mpf(around_price)) if known else mp.mpf(-20)
    step = mp.mpf("1e-6") if known else mp.mpf(1)
    price = mp.exp(_zero(spare, start, mp.mpf(10) ** -13, step))
    return sum(device.best(end, price)[1] for device, end in pairs) - price * band


def shortest_round_s(network: Network, around_s: float) -> Number:
    """The optimum of the shortest synchronous round [s], good to 20 digits, sought near a time."""
    everyone, band = devices(network), mp.mpf(network.band_hz)

    def spare(log_s: Number) -> Number:
        needed = sum(device.least_hz(mp.exp(log_s)) for device in everyone)
        return -mp.log(needed / band) if needed else mp.inf

    return mp.exp(_zero(spare, mp.log(mp.mpf(around_s)), mp.mpf(10) ** -20, step=mp.mpf("1e-6")))


def near_tradeoff_j(
    network: Network, joule_per_s: float, around_s: float, around_price: float
) -> Number:
    """The least energy plus `joule_per_s` times duration [J] for three durations, 1e-6 apart.

    That can be had, and is above the optimum by the square of the distance to its duration.
    """
    ends = [mp.mpf(around_s) * (1 + mp.mpf(shift) * mp.mpf("1e-6")) for shift in (-1, 0, 1)]
    worth = mp.mpf(joule_per_s)
    return min(least_energy_j(network, end, around_price) + worth * end for end in ends)


def energy_j(network: Network, allocation: Allocation) -> list[Number]:
    """Energy of every device under an allocation, training and upload [J]."""
    return [use.heat + use.power * use.airtime for use in _uses(network, allocation)]


def finish_s(network: Network, allocation: Allocation) -> list[Number]:
    """When every device is done under an allocation [s]."""
    return [use.training + use.airtime for use in _uses(network, allocation)]


def excess(
    network: Network, allocation: Allocation, deadline_s: ArrayLike
) -> dict[str, list[Number]]:
    """Used minus limit of every constraint of an FDMA round, by name."""
    uses = _uses(network, allocation)
    band = sum(mp.mpf(float(b)) for b in allocation.bandwidth_hz) - mp.mpf(network.band_hz)
    ends = horizons(network, deadline_s)

    def over(used: list[Number], limit: Any) -> list[Number]:
        return [u - mp.mpf(float(most)) for u, most in zip(used, limit, strict=True)]

    return {
        "band": [band],
        "deadline": [use.training + use.airtime - end for use, end in zip(uses, ends, strict=True)],
        "energy": over(energy_j(network, allocation), network.energy_j),
        "power_max": over([use.power for use in uses], network.power_max_w),
        "cpu_max": over([use.clock for use in uses], network.cpu_max_hz),
        "cpu_min": [-x for x in over([use.clock for use in uses], network.cpu_min_hz)],
    }


@dataclass(frozen=True)
class _Use:
    clock: Number
    power: Number
    training: Number
    heat: Number
    airtime: Number


def _uses(network: Network, allocation: Allocation) -> list[_Use]:
    found = []
    for k, device in enumerate(devices(network)):
        clock, power, b = (
            mp.mpf(float(getattr(allocation, name)[k]))
            for name in ("cpu_hz", "power_w", "bandwidth_hz")
        )
        airtime = mp.mpf(0)
        if device.nats:
            airtime = device.nats / (b * mp.log1p(power / (device.noise * b)))
        training = device.cycles / clock if device.cycles else mp.mpf(0)
        capacitance = mp.mpf(float(network.capacitance[k]))
        heat = capacitance * device.cycles * clock**2
        found.append(_Use(clock, power, training, heat, airtime))
    return found


def _nats(level: Number) -> Number:
    """The x with ln((e^x - 1)/x) = level > 0, by Newton from above."""
    x = 2 * level + mp.log1p(level)
    for _ in range(60):
        value = mp.log(mp.expm1(x) / x) - level
        step = value / (1 / -mp.expm1(-x) - 1 / x)
        x -= step
        if abs(step) < abs(x) * mp.mpf(10) ** -30:
            break
    return x


def _least(
    function: Callable[[Number], Number], low: Number, high: Number, width: Number = SPLIT
) -> tuple[Number, Number]:
    """Where a convex function, infinite at most at the ends, is least, and its value."""
    one, two = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_one, at_two = function(one), function(two)
    best = min((value, x) for value, x in ((function(low), low), (function(high), high)))
    while high - low > width * high:
        if at_one <= at_two:
            high, two, at_two = two, one, at_one
            one = high - _GOLDEN * (high - low)
            at_one = function(one)
        else:
            low, one, at_one = one, two, at_two
            two = low + _GOLDEN * (high - low)
            at_two = function(two)
    value, x = min(best, (at_one, one), (at_two, two))
    return x, value


def _zero(
    function: Callable[[Number], Number], start: Number, width: Number, step: Number
) -> Number:
    """Zero of an increasing function: widening steps from `start`, then regula falsi."""
    x, value = start, function(start)
    rising = value < 0
    while True:
        after = x + step if rising else x - step
        at_after = function(after)
        if (at_after < 0) != rising:
            break
        x, value, step = after, at_after, 2 * step
    low, high = (x, after) if rising else (after, x)
    f_low, f_high = (value, at_after) if rising else (at_after, value)
    kept = 0
    while high - low > width:
        x = (low + high) / 2
        if f_low > -mp.inf and f_high < mp.inf and f_high > f_low and abs(kept) < 4:
            x = low - f_low * (high - low) / (f_high - f_low)
            x = min(max(x, low + width / 4), high - width / 4)
        value = function(x)
        if value < 0:
            low, f_low = x, value
            kept = kept - 1 if kept < 0 else -1
            f_high = f_high / 2 if kept < -1 else f_high
        else:
            high, f_high = x, value
            kept = kept + 1 if kept > 0 else 1
            f_low = f_low / 2 if kept > 1 else f_low
    return high
