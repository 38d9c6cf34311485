"""Uploads in turn: each device trains, waits for the band, and has it whole, at full power."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fl_opt import physics
from fl_opt.allocation import Allocation
from fl_opt.network import Network
from fl_opt.units import Floats

Mask = NDArray[np.bool_]


def clock_hz(network: Network, bandwidth_hz: Floats, deadline_s: float) -> tuple[Floats, Mask]:
    """CPU clock (K,) at full power over `bandwidth_hz`, and who can take part with it.

    The slowest clock that keeps a finite deadline; else the fastest that the battery pays. It is
    of no meaning for devices that can't.
    """
    power, work = network.power_max_w, network.cycles
    rate = physics.rate_bit_s(bandwidth_hz, power, network.gain, network.noise_w_hz)
    airtime = physics.airtime_s(network.upload_bit, rate)
    busy = work > 0.0
    heat = network.capacitance * work
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rest = network.energy_j - physics.upload_energy_j(power, airtime)
        payable = np.where(heat > 0.0, np.sqrt(np.maximum(rest, 0.0) / heat), math.inf)
        needed = np.where(busy, work / (deadline_s - airtime), 0.0)
    slow = np.maximum(network.cpu_min_hz, needed)
    fast = np.minimum(network.cpu_max_hz, payable)
    radio = np.isfinite(airtime) & (np.isfinite(power) | (network.upload_bit == 0.0))
    able = radio & (rest >= 0.0) & (airtime <= deadline_s) & (needed >= 0.0) & (slow <= fast)
    able &= (fast > 0.0) | ~busy
    return np.where(math.isfinite(deadline_s), np.minimum(slow, fast), fast), able


@dataclass(frozen=True, eq=False)
class InTurn:
    """Times of devices that send at full power over the whole band, one after another.

    The clock is the fastest that the energy pays once the upload is paid.
    """

    network: Network

    @cached_property
    def _clock(self) -> tuple[Floats, Mask]:
        return clock_hz(self.network, self._band, math.inf)

    @property
    def _band(self) -> Floats:
        return np.full(self.network.size, self.network.band_hz)

    @cached_property
    def trained_s(self) -> Floats:
        """(K,) when training ends [s]; infinite for those who cannot take part."""
        clock, able = self._clock
        return np.where(able, physics.training_s(self.network.cycles, clock), np.inf)

    @cached_property
    def upload_s(self) -> Floats:
        """(K,) airtime over the whole band [s]; infinite for those who cannot take part."""
        net = self.network
        rate = physics.rate_bit_s(self._band, net.power_max_w, net.gain, net.noise_w_hz)
        return np.where(self._clock[1], physics.airtime_s(net.upload_bit, rate), np.inf)

    def allocation(self, line: NDArray[np.int_], deadline_s: float) -> Allocation:
        """The round in which the devices of a line, first to last, send in that order."""
        net = self.network
        selected = np.zeros(net.size, dtype=bool)
        selected[line] = True
        begin = np.zeros(net.size)
        free = 0.0
        for k in line:
            begin[k] = max(free, float(self.trained_s[k]))
            free = begin[k] + float(self.upload_s[k])
        return Allocation(
            selected=selected,
            bandwidth_hz=np.where(selected, net.band_hz, 0.0),
            power_w=np.where(selected & (net.upload_bit > 0.0), net.power_max_w, 0.0),
            cpu_hz=np.where(selected, self._clock[0], 0.0),
            start_s=begin,
            access="sequential",
            deadline_s=deadline_s,
        )
