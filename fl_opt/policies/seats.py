"""Seats: how many of a line of devices take part in a round, and with which resources.

A classical rule says who comes first; what remains is the same for all of them and stands here.

``equal_share``   a fixed number of seats, each with the same part of the band
``fill_band``     as many as fit by a deadline, each with the least band that keeps it

Devices send at full power. The clock is the slowest that keeps the deadline, or, where there is
none, the fastest that the battery pays. Who can't take part by himself is passed over: a dead
link, a battery that does not pay, a deadline too near.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fl_opt.allocation import Allocation
from fl_opt.network import Network
from fl_opt.problems.in_turn import clock_hz
from fl_opt.problems.uplink import Uplink
from fl_opt.units import Floats

Order = NDArray[np.int_]
"""Device numbers, who comes first at the front."""
Mask = NDArray[np.bool_]


def equal_share(
    network: Network, order: Order, count: int, deadline_s: float = math.inf
) -> Allocation:
    """The first `count` devices in line that can take part with a `count`-th of the band.

    Where fewer can, those share the whole band. O(K).
    """
    share = np.full(network.size, network.band_hz / min(count, network.size))
    _, able = clock_hz(network, share, deadline_s)
    seated = order[able[order]][:count]
    if not seated.size:
        return Allocation.none(network.size, deadline_s)
    selected = np.zeros(network.size, dtype=bool)
    selected[seated] = True
    share[:] = network.band_hz / seated.size
    return _allocation(network, selected, share, deadline_s)


def fill_band(
    network: Network, order: Order, deadline_s: float, count: int | None = None
) -> Allocation:
    """Devices in line, each that still fits with the least band by which it keeps the deadline.

    The least band is that of ``MaxParticipation``, the battery included. A device that does not
    fit is passed over, and the next may. At most `count` are seated. What is left of the band is
    shared in proportion, which lets all of them train more slowly, so with less energy. A device
    that can't pay full power splits time and energy at its best instead. O(K log K) as a rule.
    """
    least = Uplink(network, deadline_s).least_hz
    selected = _first_fit(least, order, network.band_hz, count or network.size)
    if not selected.any():
        return Allocation.none(network.size, deadline_s)
    band = np.where(selected, least, 0.0)
    total = band.sum()
    if total > 0.0:
        band *= max(network.band_hz / total, 1.0)
    allocation = _allocation(network, selected, band, deadline_s)
    _, able = clock_hz(network, band, deadline_s)
    poor = np.flatnonzero(selected & ~able)
    if not poor.size:
        return allocation
    uplink = Uplink(network[poor], deadline_s)
    point, _, _ = uplink.at(band[poor][uplink.sending])
    best = uplink.allocation(point)
    power, clock = np.array(allocation.power_w), np.array(allocation.cpu_hz)
    power[poor], clock[poor] = best.power_w, best.cpu_hz
    return allocation.replace(power_w=power, cpu_hz=clock)


def _first_fit(size: Floats, line: Order, room: float, count: int) -> Mask:
    """Who is seated when everybody in line takes his `size` of what `room` is left."""
    seated = np.zeros(size.size, dtype=bool)
    line = line[size[line] <= room]
    while line.size and count:
        total = np.cumsum(size[line])
        fit = min(int(np.searchsorted(total, room, side="right")), count)
        seated[line[:fit]] = True
        count -= fit
        room -= total[fit - 1] if fit else 0.0
        line = line[fit:]
        line = line[size[line] <= room]
    return seated


def _allocation(
    network: Network, selected: Mask, bandwidth_hz: Floats, deadline_s: float
) -> Allocation:
    clock, _ = clock_hz(network, bandwidth_hz, deadline_s)
    return Allocation(
        selected=selected,
        bandwidth_hz=np.where(selected, bandwidth_hz, 0.0),
        power_w=np.where(selected & (network.upload_bit > 0.0), network.power_max_w, 0.0),
        cpu_hz=np.where(selected, clock, 0.0),
        deadline_s=deadline_s,
    )
