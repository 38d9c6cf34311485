"""A rough answer of an FDMA round on a coarse grid, for the units of the reference model.

Nothing here is shared with the engine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_opt.errors import Infeasible, device_list
from fl_opt.network import Network
from fl_opt.units import Floats

_GRID_Q = np.geomspace(1e-3, 40.0, 40)
_ENDS = np.array([0.0, 1e-4, 1e-3, 4e-3, 0.015, 0.05, 0.13, 0.25, 0.4])
_GRID_SPLIT = np.concatenate([_ENDS, [0.5], 1.0 - _ENDS[::-1]])


@dataclass(frozen=True, eq=False)
class Letters:
    """A network in the letters of the page, (K,); what an upload needs, (n,) over `sends`."""

    sends: NDArray[np.int_]
    nats: Floats
    noise: Floats
    power: Floats
    energy: Floats
    train: Floats
    fastest: Floats
    slowest: Floats
    band: float

    @classmethod
    def of(cls, network: Network) -> Letters:
        sends = np.flatnonzero(network.upload_bit > 0.0)
        power, gain = network.power_max_w[sends], network.gain[sends]
        mute = sends[(gain == 0.0) | (power == 0.0) | (network.band_hz == 0.0)]
        if mute.size:
            raise Infeasible(
                f"no band, gain or power to upload with ({device_list(mute)})",
                constraint="power_max" if network.band_hz else "band",
                devices=mute,
            )
        joins = (network.upload_bit > 0.0) | (network.capacitance * network.cycles > 0.0)
        poor = np.flatnonzero(joins & (network.energy_j == 0.0))
        if poor.size:
            raise Infeasible(
                f"no energy to take part ({device_list(poor)})", constraint="energy", devices=poor
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            slowest = np.where(network.cycles > 0.0, network.cycles / network.cpu_min_hz, 0.0)
        return cls(
            sends=sends,
            nats=network.upload_bit[sends] * math.log(2.0),
            noise=network.noise_w_hz[sends] / gain,
            power=power,
            energy=network.energy_j,
            train=network.capacitance * network.cycles**3,
            fastest=network.cycles / network.cpu_max_hz,
            slowest=slowest,
            band=network.band_hz,
        )

    def require_time(self, deadline: Floats) -> None:
        """Raise ``Infeasible`` where training alone takes until the deadline (K,) [s]."""
        late = self.fastest > deadline
        late[self.sends] |= self.fastest[self.sends] >= deadline[self.sends]
        if late.any():
            devices = np.flatnonzero(late)
            raise Infeasible(
                f"no time is left after training ({device_list(devices)})",
                constraint="deadline",
                devices=devices,
            )

    def heat(self, u: Floats) -> Floats:
        """(K, ...) energy of training [J] for u (K, ...) seconds."""
        train = self.train.reshape((-1,) + (1,) * (u.ndim - 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            joule: Floats = np.where(train > 0.0, train / (u * u), 0.0)
        return joule

    def upload(self, t: Floats, b: Floats) -> Floats:
        """(n,) energy of an upload [J]."""
        with np.errstate(all="ignore"):
            joule: Floats = t * b * self.noise * np.expm1(self.nats / (t * b))
        return joule


@dataclass(frozen=True, eq=False)
class Point:
    """A rough or a final answer: t, b (n,), u (K,), end of the round (K,)."""

    t: Floats
    b: Floats
    u: Floats
    horizon: Floats


class _Menu:
    """Splits of time and nats per symbol on a coarse grid (n, G), for a rough answer."""

    def __init__(self, data: Letters, horizon: Floats) -> None:
        self.data, self.horizon = data, horizon
        longest = np.maximum(np.minimum(data.slowest, horizon), data.fastest)
        self.u = data.fastest[:, None] + (longest - data.fastest)[:, None] * _GRID_SPLIT
        heat, some = data.heat(self.u), data.sends
        t = np.maximum(horizon[:, None] - self.u, 0.0)[some]
        with np.errstate(all="ignore"):
            b = (data.nats[:, None] / t)[:, :, None] / _GRID_Q
            power = b * data.noise[:, None, None] * np.expm1(_GRID_Q)
            spent = heat[some][:, :, None] + power * t[:, :, None]
            over = np.fmax(
                power / data.power[:, None, None], spent / data.energy[some][:, None, None]
            )
        shape = some.size, _GRID_SPLIT.size * _GRID_Q.size
        over = np.where(t[:, :, None] > 0.0, over, np.inf).reshape(shape)
        worst = over.min(axis=1, initial=np.inf, keepdims=True)
        coolest = heat.min(axis=1)
        coolest[some] = 0.0
        self.legal = bool((worst <= 1.0).all() and (coolest <= data.energy).all())
        # nobody is left without an entry: the least bad one is enough for a scale
        legal = over <= np.maximum(worst, 1.0)
        self.t = np.broadcast_to(t[:, :, None], b.shape).reshape(shape)
        self.b = np.where(legal, b.reshape(shape), np.inf)
        self.spent = np.where(legal, spent.reshape(shape), np.inf)

    def at(self, price: float) -> Point:
        """The best entry of every device at a price of band; at inf the least band."""
        with np.errstate(invalid="ignore"):
            value = self.b if math.isinf(price) else self.spent + price * self.b
        row, best = np.arange(value.shape[0]), np.argmin(value, axis=1)
        split = best // _GRID_Q.size
        u = np.minimum(np.maximum(self.horizon, self.data.fastest), self.data.slowest)
        u[self.data.sends] = self.u[self.data.sends, split]
        return Point(self.t[row, best], self.b[row, best], u, self.horizon)

    def cheapest(self) -> Point:
        """About the least energy within the band."""
        if not self.data.sends.size:
            return self.at(math.inf)
        scale = float(np.sum(self.spent.min(axis=1))) / self.data.band
        low, high = math.log(scale) - 25.0, math.log(scale) + 25.0
        for _ in range(24):
            middle = 0.5 * (low + high)
            fits = float(self.at(math.exp(middle)).b.sum()) <= self.data.band
            low, high = (low, middle) if fits else (middle, high)
        return self.at(math.exp(high) if high < math.log(scale) + 24.9 else math.inf)


def rough(data: Letters, deadline: Floats | None, joule_per_s: float | None) -> Point:
    """A rough answer, good enough for units; its horizon is about the best one."""
    if deadline is not None:
        return _Menu(data, deadline).cheapest()
    everyone = np.ones(data.fastest.size)

    def least(log_s: float) -> tuple[bool, Point]:
        menu = _Menu(data, everyone * math.exp(log_s))
        point = menu.at(math.inf)
        in_time = bool((data.fastest <= point.horizon).all())
        return menu.legal and in_time and float(point.b.sum()) <= data.band, point

    low = math.log(max(float(data.fastest.max()), 1e-12))
    high, step = low, 0.7
    while not least(high)[0]:
        low, high, step = high, high + step, 1.5 * step
        if high > 120.0:
            raise Infeasible("no round is long enough", constraint="energy")
    for _ in range(12):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if least(middle)[0] else (middle, high)
    if joule_per_s is None:
        return least(high)[1]

    def worth(log_s: float) -> tuple[float, Point]:
        point = _Menu(data, everyone * math.exp(log_s)).cheapest()
        spent = float(data.heat(point.u).sum() + data.upload(point.t, point.b).sum())
        return spent + joule_per_s * math.exp(log_s), point

    # convex: walk in steps that shrink
    best, step = worth(high), 1.6
    while step > 0.05:
        after, before = worth(high + step), worth(max(high - step, low))
        if min(after[0], before[0]) >= best[0]:
            step *= 0.4
        elif after[0] <= before[0]:
            best, high = after, high + step
        else:
            best, high = before, max(high - step, low)
    return best[1]


def most_nats(data: Letters, energy: Floats) -> Floats:
    """(n,) nats per symbol at which an upload takes `energy` (n,): ln(expm1(q)/q) = level."""
    with np.errstate(divide="ignore"):
        level = np.log(np.maximum(energy / (data.noise * data.nats), 1.0))
    low, high = np.zeros_like(level), 2.0 * level + 2.0
    for _ in range(60):
        q = 0.5 * (low + high)
        below = q + np.log(-np.expm1(-q) / q) < level
        low, high = np.where(below, q, low), np.where(below, high, q)
    return high
