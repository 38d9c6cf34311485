"""The uplink of a whole network: `device` for all its devices, in chunks that fit the cache."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt import physics
from fl_opt.allocation import Allocation
from fl_opt.checks import vector
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS, chunks
from fl_opt.network import Network
from fl_opt.problems import device
from fl_opt.problems.device import Point, Slice
from fl_opt.problems.least import least, least_bound, least_by_energy
from fl_opt.problems.tangent import Multipliers, bare_tangent, own_price, tangent
from fl_opt.units import Floats


@dataclass(frozen=True, eq=False)
class Response:
    """What the devices with a payload ask for at a price of bandwidth.

    `point` (n,), their total `demand` [Hz], its derivative `slope` to ln price [Hz], and what a
    search at a near price can start from: that `price` and the roots there, see `device.respond`.
    """

    point: Point
    demand: float
    slope: float
    price: float
    warm: Floats


def total(values: Floats) -> float:
    """Sum with an error of a few units in the last place, whatever the length."""
    return math.fsum(float(values[part].sum()) for part in chunks(values.size))


@dataclass(frozen=True, eq=False)
class Uplink:
    """All devices of `network` under `deadline_s`, a scalar or (K,) [s].

    Raises ``InvalidInput`` for a deadline that is not positive and finite.
    """

    network: Network
    deadline_s: Floats

    def __init__(self, network: Network, deadline_s: ArrayLike) -> None:
        if not isinstance(network, Network):
            raise InvalidInput("network", type(network).__name__, "a fl_opt.Network")
        object.__setattr__(self, "network", network)
        checked = vector("deadline_s", deadline_s, network.size, open_low=True)
        object.__setattr__(self, "deadline_s", checked)

    @cached_property
    def sending(self) -> NDArray[np.bool_]:
        """(K,) devices with a payload; the others need no band."""
        mask: NDArray[np.bool_] = self.network.upload_bit > 0.0
        return mask

    def _of(self, values: Floats) -> Floats:
        return values if self.sending.all() else values[self.sending]

    def spread(self, values: Floats, others: ArrayLike) -> Floats:
        """(K,) from (n,) values of the devices with a payload; `others` for the rest."""
        if self.sending.all():
            return values
        full = np.array(np.broadcast_to(others, self.sending.shape), dtype=float)
        full[self.sending] = values
        return full

    @cached_property
    def part(self) -> Slice:
        """Constants of the devices with a payload."""
        network = self.network
        cycles, capacitance = self._of(network.cycles), self._of(network.capacitance)
        with np.errstate(divide="ignore", invalid="ignore"):
            noise = self._of(network.noise_w_hz) / self._of(network.gain)
            slowest = np.where(cycles > 0.0, cycles / self._of(network.cpu_min_hz), 0.0)
        return Slice(
            nats=self._of(network.upload_bit) * physics.LN2,
            noise=noise,
            power=self._of(network.power_max_w),
            energy=self._of(network.energy_j),
            deadline=self._of(self.deadline_s),
            train=2.0 * capacitance * cycles * cycles * cycles,
            train_low=cycles / self._of(network.cpu_max_hz),
            train_high=slowest,
        )

    def _map(
        self,
        function: Callable[[slice], tuple[Floats, ...]],
        width: int,
        columns: Sequence[Floats] | None = None,
    ) -> list[Floats]:
        """`width` arrays (n,) filled chunk by chunk, in place where `columns` are given."""
        size = self.part.nats.size
        filled = [np.empty(size) for _ in range(width)] if columns is None else list(columns)
        for index in chunks(size):
            for column, values in zip(filled, function(index), strict=True):
                column[index] = values
        return filled

    @cached_property
    def floor(self) -> Point:
        """(n,) least bandwidth, and its split of time, of the devices with a payload."""

        def answer(index: slice) -> tuple[Floats, ...]:
            point, tight = least(self.part[index])
            return point.t, point.u, point.b, tight.astype(float)

        t, u, b, tight = self._map(answer, 4)
        hungry = np.flatnonzero(tight)
        for some in chunks(hungry.size):
            index = hungry[some]
            point = least_by_energy(self.part[index])
            t[index], u[index], b[index] = point.t, point.u, point.b
        return Point(t, u, b)

    @cached_property
    def idle_clock_hz(self) -> Floats:
        """(K,) clock of a device without payload: the slowest that meets the deadline [Hz]."""
        return np.maximum(self.network.cpu_min_hz, self.network.cycles / self.deadline_s)

    def _with_idle(self, least: Floats) -> Floats:
        if self.sending.all():
            return least
        network = self.network
        heat = physics.training_energy_j(network.capacitance, network.cycles, self.idle_clock_hz)
        on_time = self.idle_clock_hz <= network.cpu_max_hz * (1.0 + 4.0 * EPS)
        able = on_time & (heat <= network.energy_j * (1.0 + 4.0 * EPS))
        return self.spread(least, np.where(able, 0.0, np.inf))

    @cached_property
    def least_hz(self) -> Floats:
        """(K,) least bandwidth to take part, b_k(T, E_k) [Hz]; inf where none suffices."""
        return self._with_idle(self.floor.b)

    @cached_property
    def least_low_hz(self) -> Floats:
        """(K,) proven lower bound of `least_hz`, true in floating point [Hz]."""
        (low,) = self._map(lambda k: (least_bound(self.part[k], self.floor[k]),), 1)
        return self._with_idle(low)

    def price_guess(self, band_hz: float) -> float:
        """A price of bandwidth of the right order [J/Hz].

        Where everybody has the least and a part of the rest that goes with his payload, band is
        worth w_k to device k; the demand at a price goes about with its inverse root, so that it
        meets the band at the square of the mean of sqrt w_k. For many devices, that of a few
        thousand of them, and then the price that clears their market.
        """
        size = self.part.nats.size
        if size == 0:
            return 1.0
        index = np.arange(0, size, max(size // 4096, 1))
        part, floor = self.part[index], self.floor[index]
        band_hz *= index.size / size
        rest = max(band_hz - float(floor.b.sum()), 1e-3 * band_hz)
        share = floor.b + rest * part.nats / part.nats.sum()
        with np.errstate(all="ignore"):
            # a guess: the split of time need not be fine
            _, _, slope = device.at(part, share, 0.1)
            worth = np.where(np.isfinite(slope), np.sqrt(-slope), 0.0)
        price = float(share @ worth / share.sum()) ** 2
        if not 0.0 < price < math.inf:
            return 1.0
        warm = np.full((2, 4, index.size), np.nan)
        for _ in range(2 if size > index.size else 0):
            point, change = device.respond(part, price, floor, warm)
            demand, gain = float(point.b.sum()), float(change @ point.b)
            if gain < 0.0:
                price *= math.exp(min(max(math.log(band_hz / demand) * demand / gain, -3.0), 3.0))
        return price

    def respond(self, price: float, start: Response | None = None) -> Response:
        """Best time split and bandwidth of every device with a payload at `price` [J/Hz].

        Every device must be able to take part. `start` is used up: its arrays are filled anew.
        """
        part, floor = self.part, self.floor
        # no price is near to 0
        if start is None or min(price, start.price) == 0.0:
            warm, ahead = np.full((2, 4, part.nats.size), np.nan), 0.0
        else:
            warm, ahead = start.warm, math.log(price) - math.log(start.price)
        demand, slope = [], []

        def answer(index: slice) -> tuple[Floats, ...]:
            some, low, start = part[index], floor[index], warm[..., index]
            point, change = device.respond(some, price, low, start, ahead)
            demand.append(float(point.b.sum()))
            slope.append(float(change @ point.b))
            return point.t, point.u, point.b

        used = None if start is None else (start.point.t, start.point.u, start.point.b)
        point = Point(*self._map(answer, 3, used))
        return Response(point, math.fsum(demand), math.fsum(slope), price, warm)

    def at(self, bandwidth_hz: ArrayLike) -> tuple[Point, Floats, Floats]:
        """Least energy of every device with a payload at given bandwidths (n,) [Hz].

        Returns the point, the energies [J] and their derivatives to bandwidth [J/Hz].
        """
        given = np.broadcast_to(np.asarray(bandwidth_hz, dtype=float), self.part.nats.shape)

        def answer(index: slice) -> tuple[Floats, ...]:
            point, energy, slope = device.at(self.part[index], given[index])
            return point.t, point.u, energy, slope

        t, u, energy, slope = self._map(answer, 4)
        return Point(t, u, np.array(given)), energy, slope

    def shifted(self, point: Point, band_hz: float) -> Point:
        """`point` with `band_hz` of bandwidth in all, down to the least, still within limits.

        As few chunks as give way by less than 1e-5 of what they hold above the least carry the
        change: the cost of moving off the optimum is of second order.
        """
        t, u, b = (values.copy() for values in (point.t, point.u, point.b))
        change, parts = band_hz - total(b), chunks(b.size)
        carriers, room = [], 0.0
        for index in parts:
            held = device.held(self.part[index], point[index], self.floor[index])
            carriers.append((index, held))
            room += float((b[index] - held).sum())
            if room * 1e-5 > abs(change):
                break
        if room < -change:
            # far from the right price: everyone gives way
            carriers = [(index, self.floor.b[index]) for index in parts]
            room = math.fsum(float((b[index] - held).sum()) for index, held in carriers)
        # not from the change: the digits of a demand far above the band are lost there
        fixed = math.fsum(
            [float(held.sum()) for _, held in carriers]
            + [float(b[index].sum()) for index in parts[len(carriers) :]]
        )
        share = max((band_hz - fixed) / room, 0.0) if room > 0.0 else 0.0
        for index, held in carriers:
            moved = held + share * (b[index] - held)
            here, floor = point[index], self.floor[index]
            there = device.shifted(self.part[index], here, floor, moved)
            t[index], u[index], b[index] = there.t, there.u, there.b
        return Point(t, u, b)

    def multipliers(
        self, price: float, point: Point, weight: float = 1.0, latest_s: float | None = None
    ) -> Multipliers:
        """Tangent-plane bounds of min weight x energy + price x bandwidth, device by device.

        With `latest_s` they hold, sloping by their `time`, for every common deadline up to that.
        """

        def answer(index: slice) -> tuple[Floats, ...]:
            part, here = self.part[index], point[index]
            found, rounding = tangent(part, here, price, weight, latest_s)
            k = np.flatnonzero(~(rounding <= 1e-12 * np.abs(found.value)))
            if k.size and weight == 1.0 and latest_s is None:
                low = least_bound(part[k], self.floor[index][k])
                value, own = bare_tangent(part[k], here[k], price, low)
                found.value[k] = np.maximum(found.value[k], value)
                found.own[k] = np.maximum(found.own[k], own)
            return found.value, found.own, found.energy, found.power, found.time, found.pull

        return Multipliers(*self._map(answer, 6))

    def own_price(self, point: Point) -> Floats:
        """(n,) energy that one more hertz would save each device [J/Hz]."""
        (price,) = self._map(lambda index: (own_price(self.part[index], point[index]),), 1)
        return price

    def best_reply(self, price: float) -> tuple[Point, float]:
        """The best point at `price` and a price at which tangent planes there slope upward.

        At an infinite price everybody has the least bandwidth.
        """
        if math.isinf(price):
            point = self.floor
            price = float(-self.at(point.b)[2].min())
        else:
            point = self.respond(price).point
        return point, max(price, float(self.own_price(point).max()) * (1.0 + 32.0 * EPS))

    def limit_prices(self, point: Point, found: Multipliers) -> dict[str, Floats]:
        """(K,) shadow prices of each device's own limits, from its multipliers at `point`."""
        cycles = self._of(self.network.cycles)

        def answer(k: slice) -> tuple[Floats, ...]:
            part, u, pull = self.part[k], point.u[k], found.pull[k]
            with np.errstate(divide="ignore", invalid="ignore"):
                per_clock = np.where(part.train_low > 0.0, u * u / cycles[k], 0.0)
            # u may miss the end of its box by a rounding
            fast = np.where(u <= part.train_low * (1.0 + 1e-9), np.maximum(-pull, 0.0), 0.0)
            slow = np.where(u >= part.train_high * (1.0 - 1e-9), np.maximum(pull, 0.0), 0.0)
            return fast * per_clock, slow * per_clock

        fast, slow = self._map(answer, 2)
        prices = {
            "deadline": found.time,
            "energy": found.energy,
            "power_max": found.power,
            "cpu_max": fast,
            "cpu_min": slow,
        }
        idle = {} if self.sending.all() else self.idle_prices
        return {name: self.spread(values, idle.get(name, 0.0)) for name, values in prices.items()}

    @cached_property
    def idle_prices(self) -> dict[str, Floats]:
        """(K,) what devices without payload would save, 0 for the others.

        Per second of "deadline" [J/s], and per hertz of "cpu_min" [J/Hz].
        """
        network, clock = self.network, self.idle_clock_hz
        heat = physics.training_energy_j(network.capacitance, network.cycles, clock)
        twice = np.where(self.sending, 0.0, 2.0 * heat)
        held = clock <= network.cpu_min_hz
        with np.errstate(divide="ignore", invalid="ignore"):
            by_clock = np.where(held & (clock > 0.0), twice / clock, 0.0)
        return {"deadline": np.where(held, 0.0, twice / self.deadline_s), "cpu_min": by_clock}

    @cached_property
    def idle_energy_j(self) -> float:
        """Energy of the devices without payload, training only [J]."""
        if self.sending.all():
            return 0.0
        network = self.network
        heat = physics.training_energy_j(network.capacitance, network.cycles, self.idle_clock_hz)
        return total(heat[~self.sending])

    def allocation(self, point: Point, selected: NDArray[np.bool_] | None = None) -> Allocation:
        """The allocation that `point` (n,) describes; all take part unless a mask (K,) is given.

        A device that does not take part gets nothing.
        """
        network = self.network
        cycles, payload = self._of(network.cycles), self._of(network.upload_bit)
        slow, fast = self._of(network.cpu_min_hz), self._of(network.cpu_max_hz)
        gain, noise = self._of(network.gain), self._of(network.noise_w_hz)

        def answer(k: slice) -> tuple[Floats, ...]:
            t, u, b = point.t[k], point.u[k], point.b[k]
            clock = physics.cpu_hz(cycles[k], u)
            power = physics.upload_power_w(payload[k], t, b, gain[k], noise[k])
            clock = np.minimum(np.maximum(clock, slow[k]), fast[k])
            return clock, np.minimum(power, self.part.power[k])

        def among(values: Floats) -> Floats:
            return values if selected is None else np.where(selected, values, 0.0)

        clock, power = self._map(answer, 2)
        for column in (clock, power, point.t, point.b):
            column.flags.writeable = False  # so that the allocation need not copy
        deadline = float(self.deadline_s.max())
        return Allocation(
            selected=np.ones(network.size, dtype=bool) if selected is None else selected,
            bandwidth_hz=among(self.spread(point.b, 0.0)),
            power_w=among(self.spread(power, 0.0)),
            cpu_hz=among(self.spread(clock, self.idle_clock_hz)),
            upload_s=among(self.spread(point.t, 0.0)),
            deadline_s=deadline,
        )
