"""Supporting lines over the number of rounds, from tangent planes of the devices' Lagrangians.

With a price mu of the band, the least of weight x energy + mu x bandwidth of device k is jointly
convex in the duration tau of the round and the work L in it. A tangent plane below it is

    v_k - P_k (tau - tau_0) + W_k (L/L_0 - 1)

For m rounds in a total time T, tau = T/m and m L = g(m), a convex decreasing function; times m and
summed up, less what the band is worth, it is linear in m but for W g(m)/L_0, and that lies above
its own tangent where W >= 0. So the whole lies above a line in m, which holds for all m.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_opt import physics
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems.accuracy_plan import Accuracy, alone_s
from fl_opt.problems.device import Point
from fl_opt.problems.uplink import Uplink, total
from fl_opt.structure import Line


@dataclass(frozen=True)
class Share:
    """Sums over all devices at a duration and an amount of work.

    `value` v is a bound of the Lagrangian less `paid`, what the band is worth; `time` P and `work`
    W >= 0 are its derivatives to the duration, and to the logarithm of the work; `size` is the sum
    of all magnitudes in `value`, by which its rounding is judged.
    """

    value: float
    time: float
    work: float
    size: float

    def line(self, at: Accuracy, length_s: float, reach: float) -> Line:
        """The line over the rounds beyond the least, up to `reach`, in a total m `length_s`."""
        relieved = self.work * at.relief
        slope = self.value + self.time * length_s - relieved
        spread = self.size + self.time * length_s + self.work
        far = max(at.spare, reach - at.spare)
        doubt = 64.0 * at.rounds * spread + 256.0 * far * (spread + relieved)
        return Line(at.spare, at.rounds * self.value - EPS * doubt, slope)


def share_of(uplink: Uplink, price: float, point: Point, weight: float, latest_s: float) -> Share:
    """Tangent planes at `point` at a price, true for all durations up to `latest_s`."""
    part = uplink.part
    found = uplink.multipliers(price, point, weight, latest_s)
    price = max(price, float(found.own.max(initial=0.0)) * (1.0 + 32.0 * EPS))
    trained = 3.0 * (weight + found.energy) * part.heat(point.u)
    # the ends of the box of the training time grow with the work, the duration does not
    slow = (found.pull > 0.0) & (part.train_high < np.maximum(part.deadline, latest_s))
    with np.errstate(invalid="ignore"):
        tied = slow & (found.pull * part.train_high <= trained)
        edge = np.where(found.pull > 0.0, np.where(tied, part.train_high, 0.0), part.train_low)
        # a pull by rounding alone at a clock far from the slowest: the duration is the limit then
        loose = np.where(slow & ~tied, found.pull * (latest_s - part.train_high), 0.0)
    idle_time = weight * total(uplink.idle_prices["deadline"])
    heat = weight * uplink.idle_energy_j
    network = uplink.network
    idle = physics.training_energy_j(network.capacitance, network.cycles, uplink.idle_clock_hz)
    idle = np.where(uplink.sending, 0.0, weight * idle)
    held = uplink.idle_clock_hz <= network.cpu_min_hz
    paid = price * network.band_hz
    return Share(
        value=total(found.value - loose) + heat - paid,
        time=total(found.time) + idle_time,
        work=total(trained - found.pull * edge) + total(np.where(held, 1.0, 3.0) * idle),
        size=total(np.abs(found.value)) + total(np.abs(found.pull) * edge) + heat + paid,
    )


def alone_line(
    network: Network, devices: NDArray[np.bool_], at: Accuracy, reach: float
) -> Line | None:
    """Line of the total time that the slowest of some devices trains, alone; None of nobody."""
    if not devices.any():
        return None
    seconds, elastic = alone_s(network)
    k = int(np.argmax(np.where(devices, seconds, -np.inf)))
    length, bend = float(seconds[k]), float(elastic[k])
    far = max(at.spare, reach - at.spare)
    doubt = EPS * length * (64.0 * at.rounds + 64.0 * far * (1.0 + bend * at.relief))
    slope = length * (1.0 - bend * at.relief)
    return Line(at.spare, at.rounds * length - doubt, slope) if math.isfinite(length) else None
