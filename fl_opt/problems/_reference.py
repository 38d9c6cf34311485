"""The least bandwidth of a device computed another way, device by device, for reference models.

Nothing here is shared with the engine: rate, energy and time are written out anew, in scalars.
For a split of time the bandwidth is a root of the rate law in ln b, found by Brent's method; the
best split is the least of a convex function, found by golden sections.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.checks import vector
from fl_opt.network import Network
from fl_opt.units import Floats

_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
_LEAST_HZ, _MOST_HZ = 1e-9, 1e21


def least_bandwidth_hz(network: Network, deadline_s: ArrayLike) -> Floats:
    """(K,) least bandwidth to take part by the deadline [Hz]; inf where none suffices.

    Good to about 1e-10 where it lies between 1e-9 and 1e21 Hz; takes milliseconds a device.
    """
    deadline = vector("deadline_s", deadline_s, network.size, open_low=True)
    return np.array([_least_of(network, k, float(deadline[k])) for k in range(network.size)])


def _least_of(network: Network, k: int, deadline_s: float) -> float:
    cycles, payload = float(network.cycles[k]), float(network.upload_bit[k])
    clock_min, clock_max = float(network.cpu_min_hz[k]), float(network.cpu_max_hz[k])
    snr_hz_w = float(network.gain[k]) / float(network.noise_w_hz[k])
    power_max, budget = float(network.power_max_w[k]), float(network.energy_j[k])

    def heat(clock: float) -> float:
        return float(network.capacitance[k]) * cycles * clock * clock

    longest = deadline_s - cycles / clock_max
    if payload == 0.0:
        slowest = max(clock_min, cycles / deadline_s)
        return 0.0 if longest >= 0.0 and heat(slowest) <= budget else math.inf
    if longest <= 0.0 or snr_hz_w == 0.0:
        return math.inf

    def log_bandwidth(upload_s: float) -> float:
        training_s = deadline_s - upload_s
        clock = max(clock_min, cycles / training_s if cycles else 0.0)
        power = min(power_max, (budget - heat(clock)) / upload_s)
        return _log_root(payload / upload_s, power * snr_hz_w)

    shortest = max(deadline_s - cycles / clock_min, 0.0) if clock_min else 0.0
    log_b = _least_value(log_bandwidth, min(shortest, longest), longest)
    return math.exp(log_b) if log_b < math.inf else math.inf


def _log_root(rate_bit_s: float, snr_hz: float) -> float:
    """The ln b with b log2(1 + snr/b) = rate; inf where no bandwidth reaches the rate."""
    from scipy.optimize import brentq

    if snr_hz <= rate_bit_s * math.log(2.0):
        return math.inf

    def short(log_b: float) -> float:
        b = math.exp(log_b)
        return math.log(b * math.log1p(snr_hz / b) / (rate_bit_s * math.log(2.0)))

    low, high = math.log(_LEAST_HZ), math.log(_MOST_HZ)
    if short(high) <= 0.0:
        return math.inf
    if short(low) >= 0.0:
        return low
    return float(brentq(short, low, high, xtol=1e-15, rtol=1e-14))


def _least_value(function: Callable[[float], float], low: float, high: float) -> float:
    """Least value of a convex function that may be infinite at both ends."""
    grid = np.unique(np.concatenate([[high], low + (high - low) * np.linspace(0.0, 1.0, 65)[1:]]))
    values = [function(float(t)) for t in grid]
    best = int(np.argmin(values))
    left = float(grid[best - 1]) if best else low
    right = float(grid[min(best + 1, grid.size - 1)])
    one, two = right - _GOLDEN * (right - left), left + _GOLDEN * (right - left)
    at_one, at_two = function(one), function(two)
    least = min(values[best], at_one, at_two)
    while right - left > 1e-14 * high:
        if at_one <= at_two:
            right, two, at_two = two, one, at_one
            one = right - _GOLDEN * (right - left)
            at_one = function(one) if one > left else at_one
        else:
            left, one, at_one = one, two, at_two
            two = left + _GOLDEN * (right - left)
            at_two = function(two) if two < right else at_two
        least = min(least, at_one, at_two)
        if not left < one < two < right:
            break
    return least
