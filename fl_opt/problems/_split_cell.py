"""Devices that split a network's layers with a server: what all objectives of it share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt import physics
from fl_opt.certificate import Excess
from fl_opt.checks import number, vector
from fl_opt.errors import Infeasible, InvalidInput, device_list
from fl_opt.network import Network
from fl_opt.problems._split_shares import Shares
from fl_opt.problems.split_profile import SplitPlan, SplitProfile
from fl_opt.problems.uplink import total
from fl_opt.units import Floats, quantity

Mask = NDArray[np.bool_]
Places = NDArray[np.int_]

_ENUMERABLE = 2000


def alone(place: Places, like: Mask) -> Mask:
    """The mask (K, J) of one choice."""
    mask = np.zeros_like(like)
    mask[np.arange(place.size), place] = True
    return mask


@dataclass(frozen=True, eq=False, init=False)
class SplitCell:
    """A network's devices at their fastest clock and full power, a profile, and a server.

    `server_hz` is the server's speed, shared by all [cycle/s].
    """

    network: Network
    server_hz: float
    device_cycles: Floats
    upload_bit: Floats
    server_cycles: Floats

    def __init__(self, network: Network, profile: SplitProfile, server_hz: float) -> None:
        if not isinstance(network, Network):
            raise InvalidInput("network", type(network).__name__, "a fl_opt.Network")
        if not isinstance(profile, SplitProfile):
            raise InvalidInput("profile", type(profile).__name__, "a fl_opt.SplitProfile")
        power = network.power_max_w
        if np.isinf(power).any():
            k = int(np.flatnonzero(np.isinf(power))[0])
            raise InvalidInput(f"power_max_w[{k}]", "inf W", "a finite power, at which it sends")
        put = object.__setattr__
        put(self, "network", network)
        put(self, "server_hz", number("server_hz", server_hz))
        names = ("device_cycles", "upload_bit", "server_cycles")
        for name, table in zip(names, profile.for_devices(network.size), strict=True):
            put(self, name, table)

    @cached_property
    def device_s(self) -> Floats:
        """(K, J) time on the device [s]."""
        return physics.training_s(self.device_cycles, self.network.cpu_max_hz[:, None])

    @cached_property
    def device_j(self) -> Floats:
        """(K, J) energy of the device's own layers [J]."""
        network = self.network
        clock, capacitance = network.cpu_max_hz[:, None], network.capacitance[:, None]
        return physics.training_energy_j(capacitance, self.device_cycles, clock)

    def shares(self, end_s: Floats) -> Shares:
        """(K J,) options that must end at (K,) times, row by row."""
        network, shape = self.network, self.device_s.shape
        nats = self.upload_bit * physics.LN2
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = network.noise_w_hz / (network.power_max_w * network.gain)
            least = np.where(nats > 0.0, reach[:, None] * nats, 0.0)
        power = np.broadcast_to(network.power_max_w[:, None], shape)
        columns = (end_s[:, None] - self.device_s, nats, least, power, self.server_cycles)
        return Shares(*(np.ascontiguousarray(each).ravel() for each in columns))

    def possible(self, shares: Shares) -> Mask:
        """(K, J) options that some band and some server allow."""
        able = shares.able.reshape(self.device_s.shape)
        if self.network.band_hz == 0.0:
            able = able & (self.upload_bit == 0.0)
        if self.server_hz == 0.0:
            able = able & (self.server_cycles == 0.0)
        return able

    def taken(self, plan: SplitPlan) -> tuple[Floats, Floats, Floats, Floats]:
        """(K,) energy, and times on the device, on air and on the server, by the physics."""
        if plan.size != self.network.size:
            raise InvalidInput("plan.size", plan.size, f"{self.network.size}, as the network")
        if (plan.place >= self.device_s.shape[1]).any():
            raise InvalidInput("plan.place", plan.place.max(), f"below {self.device_s.shape[1]}")
        network, at = self.network, (np.arange(plan.size), plan.place)
        rate = physics.rate_bit_s(
            plan.bandwidth_hz, network.power_max_w, network.gain, network.noise_w_hz
        )
        air = physics.airtime_s(self.upload_bit[at], rate)
        server = physics.training_s(self.server_cycles[at], plan.server_hz)
        energy = self.device_j[at] + physics.upload_energy_j(network.power_max_w, air)
        return energy, self.device_s[at], air, server

    def excess(self, plan: SplitPlan, end_s: Floats) -> dict[str, Excess]:
        """Band, server and the end of each device."""
        _, device, air, server = self.taken(plan)
        return {
            "band": Excess(total(plan.bandwidth_hz), self.network.band_hz, "Hz"),
            "server": Excess(total(plan.server_hz), self.server_hz, "cycle/s"),
            "deadline": Excess(device + air + server, end_s, "s"),
        }

    def choices(self, options: Mask) -> Iterator[Places]:
        """All choices of places (K,) among those that there are.

        Raises ``InvalidInput`` for more than 2,000 of them.
        """
        each = [np.flatnonzero(row).tolist() for row in options]
        ways = math.prod(len(places) for places in each)
        if ways > _ENUMERABLE:
            raise InvalidInput(
                "ways to split", ways, f"at most {_ENUMERABLE}", 'solve with solver="branch"'
            )
        for choice in itertools.product(*each):
            yield np.array(choice, dtype=int)

    def refusal(self, deadline_s: Floats) -> Infeasible:
        """Why nothing is feasible by the deadlines."""
        able = self.possible(self.shares(deadline_s))
        stuck = np.flatnonzero(~able.any(axis=1))
        if stuck.size:
            k = int(stuck[0])
            least = self.shares(np.zeros(able.shape[0]))
            needed = np.where(
                self.possible(self.shares(np.full(able.shape[0], 1e300))),
                (least.least - least.left).reshape(able.shape),
                np.inf,
            ).min(axis=1)
            cure = float(needed[stuck].max()) * (1.0 + 1e-9)
            return Infeasible(
                f"device {k} needs {quantity(float(needed[k]), 's')} even with all band and server "
                f"it could use; deadline_s is {quantity(float(deadline_s[k]), 's')} (too slow: "
                f"{device_list(stuck)})",
                constraint="deadline",
                devices=stuck,
                relaxations={"deadline_s": cure if np.isfinite(cure) else None},
            )
        return Infeasible(
            f"at no places do the devices fit {quantity(self.network.band_hz, 'Hz')} of band and "
            f"{quantity(self.server_hz, 'cycle/s')} of server together",
            constraint="band, server",
            devices=np.arange(able.shape[0]),
        )


def deadlines(deadline_s: ArrayLike, size: int) -> Floats:
    """(K,) deadlines."""
    return vector("deadline_s", deadline_s, size, open_low=True)
