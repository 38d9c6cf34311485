"""What an association to edges leaves to be shared, and what its prices say of all others."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_opt import physics
from fl_opt.allocation import Allocation
from fl_opt.certificate import Excess, Solution
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems.min_energy import MinEnergy
from fl_opt.problems.time_energy import TimeEnergyTradeoff
from fl_opt.problems.uplink import Uplink
from fl_opt.structure import Line
from fl_opt.units import Floats

Rounds = tuple[Allocation, ...]


@dataclass(frozen=True, eq=False)
class Deadlines:
    """Least energy of several rounds by a common deadline; structure: Apart."""

    parts: Sequence[MinEnergy]


@dataclass(frozen=True, eq=False)
class Together:
    """Least energy of several rounds plus the worth of the longest; structure: Nested.

    Each edge counts its part of the worth of a second, so that its lines add up to those of all.
    """

    edges: Sequence[TimeEnergyTradeoff]

    @classmethod
    def of(cls, networks: Sequence[Network], joule_per_s: float) -> Together:
        """Rounds that end together for `joule_per_s` in all."""
        share = joule_per_s / len(networks)
        return cls([TimeEnergyTradeoff(network, share) for network in networks])

    def cost(self, decision: Rounds) -> float:
        """Energy of all and the worth of the longest [J]."""
        longest, spent = 0.0, []
        for edge, part in zip(self.edges, decision, strict=True):
            energy = MinEnergy(edge.network, 1.0).cost(part)
            spent.append(energy)
            longest = max(longest, (edge.cost(part) - energy) / edge.joule_per_s)
        return math.fsum(spent) + longest * sum(edge.joule_per_s for edge in self.edges)

    def excess(self, decision: Rounds) -> dict[str, Excess]:
        """The limits of every edge."""
        found: dict[str, Excess] = {}
        for index, (edge, part) in enumerate(zip(self.edges, decision, strict=True)):
            limits = edge.excess(part)
            found |= {f"{name} at edge {index}": limit for name, limit in limits.items()}
        return found

    def span(self) -> tuple[float, float]:
        """Of the edge that takes longest."""
        spans = [edge.span() for edge in self.edges]
        return max(low for low, _ in spans), max(first for _, first in spans)

    def inner(self, x: float) -> Any:
        """All edges by the deadline `x` [s]."""
        return Deadlines([edge.inner(x) for edge in self.edges])

    def refuted(self, x: float) -> bool:
        """Whether some edge has no round of `x` seconds."""
        return any(edge.refuted(x) for edge in self.edges)

    def reach(self, cost: float) -> float:
        """The longest duration that is worth at most `cost` [s]."""
        whole = sum(edge.joule_per_s for edge in self.edges)
        shortest = max(edge.span()[0] for edge in self.edges)
        return max(cost / whole * (1.0 + 4.0 * EPS), shortest)

    def line(self, x: float, solution: Solution[Rounds], reach: float) -> Line:
        """The sum of the lines of the edges."""
        prices = bands(solution)
        lines = [
            edge.line(x, Solution(part, solution.certificate, {"band": price}, "", 0.0), reach)
            for edge, part, price in zip(self.edges, solution.allocation, prices, strict=True)
        ]
        value = math.fsum(line.value for line in lines)
        size = math.fsum(abs(line.value) for line in lines)
        return Line(x, value - 8.0 * EPS * size, math.fsum(line.slope for line in lines))

    def prices(self, x: float, solution: Solution[Rounds]) -> Mapping[str, float | Floats | None]:
        """The prices of the bands."""
        return solution.prices


def bands(solution: Solution[Any]) -> list[float]:
    """The prices of the bands [J/Hz]."""
    price = solution.prices["band"]
    return [float(value) for value in np.atleast_1d(np.asarray(price, dtype=float))]


@dataclass(frozen=True, eq=False)
class Worth:
    """Lower bounds of the cost that devices bring to an edge, of the form value - slope (T - x).

    They hold at the band price `price` [J/Hz] or above, for rounds of up to `reach` seconds.
    """

    value: Floats
    slope: Floats
    price: float


def worth(network: Network, price: float, x: float, reach: float) -> Worth:
    """Of all devices of a network at a band price, around the duration `x` [s]."""
    uplink = Uplink(network, x)
    heat = physics.training_energy_j(network.capacitance, network.cycles, uplink.idle_clock_hz)
    value = np.where(uplink.sending, 0.0, heat * (1.0 - 32.0 * EPS))
    slope = np.array(uplink.idle_prices["deadline"])
    if uplink.sending.any():
        point, price = uplink.best_reply(price)
        found = uplink.multipliers(price, point, latest_s=reach)
        price = max(price, float(found.own.max()) * (1.0 + 32.0 * EPS))
        value = uplink.spread(found.value, value)
        slope = uplink.spread(found.time, slope)
    return Worth(value, slope, price)


def bare_worth(network: Network, price: float, x: float) -> Floats:
    """(K,) least that each device brings at exactly `price` in rounds of up to `x` seconds [J]."""
    clock = np.maximum(network.cpu_min_hz, network.cycles / x)
    heat = physics.training_energy_j(network.capacitance, network.cycles, clock)
    bare = physics.least_upload_energy_j(network.upload_bit, network.gain, network.noise_w_hz)
    value = (heat + bare) * (1.0 - 32.0 * EPS)
    uplink = Uplink(network, x)
    if price == 0.0 or not uplink.sending.any():
        return value
    value = value + price * uplink.least_low_hz * (1.0 - 8.0 * EPS)
    found = uplink.multipliers(price, uplink.respond(price).point)
    # a plane that slopes upward only at a higher price loses what the whole band is worth
    lost = np.maximum(found.own * (1.0 + 32.0 * EPS) - price, 0.0) * network.band_hz
    return np.maximum(value, uplink.spread(found.value - lost, 0.0))


@dataclass(frozen=True, eq=False)
class Dual:
    """The worth of the devices of some edges, around a duration `x` [s]."""

    edges: Sequence[tuple[Network, float]]
    bounds: Sequence[Worth]
    x: float

    @property
    def spent(self) -> float:
        """What a second is worth to all devices together [J/s]."""
        return math.fsum(float(bound.slope.sum()) for bound in self.bounds)

    @cached_property
    def alone_s(self) -> float:
        """Time that no device pays for lasts at least as long as the slowest of them [s]."""
        return max(float(alone_s(network).max()) for network, _ in self.edges)

    def value(self, joule_per_s: float, reach: float) -> float:
        """The bound of the cost that it gives [J]."""
        short = joule_per_s - self.spent
        paid = (
            bound.price * network.band_hz
            for (network, _), bound in zip(self.edges, self.bounds, strict=True)
        )
        devices = math.fsum(
            float((bound.value + bound.slope * self.x).sum()) for bound in self.bounds
        )
        return devices - math.fsum(paid) + short * (self.alone_s if short > 0.0 else reach)


def balanced(
    edges: Sequence[tuple[Network, float]], x: float, joule_per_s: float, reach: float
) -> Dual:
    """The dual at given band prices where time is worth `joule_per_s` to all together.

    A search leaves prices and duration a little off each other, and the bound pays for that in
    first order. So the duration moves, at the same prices, until the slopes add up; or, where the
    duration cannot move since a band is nearly tight, the price of that band does. Whichever bound
    is higher counts; all are true.
    """
    found = Dual(edges, [worth(network, price, x, reach) for network, price in edges], x)
    prices = [bound.price for bound in found.bounds]
    filled = [float(Uplink(net, x).least_hz.sum()) / max(net.band_hz, 1e-300) for net, _ in edges]
    tight = int(np.argmax(filled))

    def later(scale: float) -> Dual | None:
        return _dual(edges, prices, min(x / scale, reach), reach)

    def dearer(scale: float) -> Dual | None:
        moved = [price * scale if i == tight else price for i, price in enumerate(prices)]
        return _dual(edges, moved, x, reach)

    ends = [found, *(_level(found, move, joule_per_s) for move in (later, dearer))]
    return max(ends, key=lambda dual: dual.value(joule_per_s, reach))


def _dual(
    edges: Sequence[tuple[Network, float]], prices: Sequence[float], x: float, reach: float
) -> Dual | None:
    """The dual at prices and a duration; None where some device cannot take part."""
    if not all(np.isfinite(Uplink(network, x).least_hz).all() for network, _ in edges):
        return None
    pairs = zip(edges, prices, strict=True)
    return Dual(edges, [worth(network, price, x, reach) for (network, _), price in pairs], x)


def _level(first: Dual, move: Callable[[float], Dual | None], joule_per_s: float) -> Dual:
    """Secant on ln(spent/joule_per_s) against the logarithm of what `move` scales by.

    Where the slope jumps over the worth of a second, as at the slowest clock, both sides are mixed.
    """

    def off(dual: Dual) -> float:
        return math.log(dual.spent / joule_per_s) if dual.spent > 0.0 else -math.inf

    # by the sign of what is spent too much, the point nearest to the root
    sides: dict[bool, tuple[float, Dual]] = {off(first) > 0.0: (0.0, first)}
    best, last, at, step = first, off(first), 0.0, math.nan
    for turn in range(60):
        if abs(off(best)) <= 4.0 * EPS:
            return best
        if len(sides) == 2:
            low, high = sides[False][0], sides[True][0]
            if abs(high - low) <= 1e-12:
                break
            if turn > 16 or not min(low, high) < at + step < max(low, high):
                step = 0.5 * (low + high) - at
        elif not abs(step) < 2.0:
            step = math.copysign(2.0 if turn else min(abs(last) / 3.0, 2.0), -last)
        dual = move(math.exp(at + step))
        if dual is None:
            break
        rise = (off(dual) - last) / step if step else 0.0
        at, last = at + step, off(dual)
        sides[last > 0.0] = at, dual
        if abs(last) < abs(off(best)):
            best = dual
        step = -last / rise if rise > 0.0 else math.nan
    return best if len(sides) < 2 else _mixed(sides[True][1], sides[False][1], joule_per_s)


def _mixed(over: Dual, under: Dual, joule_per_s: float) -> Dual:
    """The average of two true bounds in which the slopes add up to the worth of a second."""
    part = (joule_per_s - under.spent) / (over.spent - under.spent)

    def of(one: Worth, two: Worth) -> Worth:
        slope = part * one.slope + (1.0 - part) * two.slope
        at_zero = part * (one.value + one.slope * over.x)
        at_zero += (1.0 - part) * (two.value + two.slope * under.x)
        price = part * one.price + (1.0 - part) * two.price
        return Worth(at_zero - slope * over.x, slope, price)

    return Dual(
        over.edges, [of(*pair) for pair in zip(over.bounds, under.bounds, strict=True)], over.x
    )


def alone_s(network: Network) -> Floats:
    """(K,) a proven lower bound of every round that a device is in [s]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        bare = physics.least_upload_energy_j(network.upload_bit, network.gain, network.noise_w_hz)
        upload = np.where(bare > 0.0, bare / network.power_max_w, 0.0)
    return (physics.training_s(network.cycles, network.cpu_max_hz) + upload) * (1.0 - 32.0 * EPS)


def members_of(group: NDArray[np.int_], edge: int) -> NDArray[np.int_]:
    """Devices that are with an edge."""
    return np.flatnonzero(group == edge)
