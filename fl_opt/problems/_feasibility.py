"""Why a round in which all devices must take part is impossible, and what would cure it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import FEASIBLE
from fl_opt.errors import Infeasible, device_list
from fl_opt.network import Network
from fl_opt.problems.uplink import Uplink, total
from fl_opt.units import Floats, quantity

_DIGITS = 1e-9


def shortage(uplink: Uplink) -> float:
    """How far the least bandwidths of all devices exceed the band, relative to it; <= 0 fits."""
    needed = total(uplink.least_hz)
    band = uplink.network.band_hz
    if needed == 0.0:
        return -1.0
    return needed / band - 1.0 if band > 0.0 else math.inf


def blocked(uplink: Uplink) -> dict[str, NDArray[np.bool_]]:
    """(K,) devices that no bandwidth helps, by the limit that stops them first."""
    network = uplink.network
    stuck = np.isinf(uplink.least_hz)
    fastest = network.cycles / network.cpu_max_hz
    late = stuck & (
        (fastest > uplink.deadline_s) | (uplink.sending & (fastest >= uplink.deadline_s))
    )
    freed = Uplink(network.replace(energy_j=math.inf), uplink.deadline_s)
    weak = stuck & ~late & np.isinf(freed.least_hz)
    return {"deadline": late, "power_max": weak, "energy": stuck & ~late & ~weak}


def require_feasible(uplink: Uplink) -> None:
    """Raise ``Infeasible`` unless all devices fit the band within their own limits."""
    if shortage(uplink) <= FEASIBLE:
        return
    network, needs = uplink.network, uplink.least_hz
    for constraint, mask in blocked(uplink).items():
        devices = np.flatnonzero(mask)
        if devices.size:
            reason = _REASONS[constraint](uplink, devices)
            break
    else:
        constraint, devices = "band", np.arange(network.size)
        greedy = int(np.argmax(needs))
        reason = (
            f"the devices need at least {quantity(total(needs), 'Hz')} together, device {greedy} "
            f"alone {quantity(float(needs[greedy]), 'Hz')}; band_hz is "
            f"{quantity(network.band_hz, 'Hz')}"
        )
    raise Infeasible(
        reason,
        constraint=constraint,
        devices=devices,
        relaxations=functools.partial(relaxations, uplink),
    )


def _late(uplink: Uplink, devices: NDArray[np.int_]) -> str:
    network, k = uplink.network, devices[0]
    training = network.cycles[k] / network.cpu_max_hz[k]
    return (
        f"device {k} trains for {quantity(training, 's')} at its fastest clock; deadline_s is "
        f"{quantity(uplink.deadline_s[k], 's')} (too slow: {device_list(devices)})"
    )


def _weak(uplink: Uplink, devices: NDArray[np.int_]) -> str:
    network, k = uplink.network, devices[0]
    left = uplink.deadline_s[k] - network.cycles[k] / network.cpu_max_hz[k]
    if network.gain[k] == 0.0 or network.power_max_w[k] == 0.0:
        what = "gain" if network.gain[k] == 0.0 else "power_max_w"
        return f"device {k} has {what} 0 and cannot upload ({device_list(devices)})"
    part = uplink.part[np.flatnonzero(uplink.sending) == k]
    needed = float((part.nats * part.noise / part.power)[0])
    return (
        f"device {k} needs more than {quantity(needed, 's')} for its upload even with unlimited "
        f"band; {quantity(left, 's')} are left after training (too weak: {device_list(devices)})"
    )


def _hungry(uplink: Uplink, devices: NDArray[np.int_]) -> str:
    network, k = uplink.network, devices[0]
    return (
        f"device {k} cannot train and upload within energy_j = "
        f"{quantity(network.energy_j[k], 'J')} even with unlimited band "
        f"(too little energy: {device_list(devices)})"
    )


_REASONS: dict[str, Callable[[Uplink, NDArray[np.int_]], str]] = {
    "deadline": _late,
    "power_max": _weak,
    "energy": _hungry,
}


_Move = Callable[[Network, Floats, float], tuple[Network, Floats]]


def _raised(name: str) -> _Move:
    def move(network: Network, deadline: Floats, value: float) -> tuple[Network, Floats]:
        return network.replace(**{name: np.maximum(getattr(network, name), value)}), deadline

    return move


def _slower(network: Network, deadline: Floats, ease: float) -> tuple[Network, Floats]:
    """Devices may train at 1/ease hertz; the search wants a number that grows."""
    return network.replace(cpu_min_hz=np.minimum(network.cpu_min_hz, 1.0 / ease)), deadline


def _longer(network: Network, deadline: Floats, value: float) -> tuple[Network, Floats]:
    return network, np.maximum(deadline, value)


_LIMITS: dict[str, _Move] = {
    "deadline_s": _longer,
    "energy_j": _raised("energy_j"),
    "power_max_w": _raised("power_max_w"),
    "cpu_max_hz": _raised("cpu_max_hz"),
}


def relaxations(uplink: Uplink) -> dict[str, float | None]:
    """For each limit alone: the nearest common value for those beyond it that cures; or None.

    Found by bisection of the logarithm to nine digits and rounded to the feasible side.
    """
    network, deadline = uplink.network, uplink.deadline_s
    start = {
        "deadline_s": float(deadline.min()),
        "energy_j": float(np.min(network.energy_j)),
        "power_max_w": float(np.min(network.power_max_w)),
        "cpu_max_hz": float(network.cpu_max_hz.min()),
    }
    needed = total(uplink.least_hz)
    cures: dict[str, float | None] = {
        "band_hz": needed * (1.0 + _DIGITS) if math.isfinite(needed) else None
    }

    def cured(move: _Move, value: float) -> bool:
        return shortage(Uplink(*move(network, deadline, value))) <= FEASIBLE

    for name, move in _LIMITS.items():
        low = max(start[name], 1e-12)
        cures[name] = _least(functools.partial(cured, move), low) if low < math.inf else None
    fastest = float(network.cpu_min_hz.max())
    slower = functools.partial(cured, _slower)
    ease = _least(slower, 1.0 / fastest) if fastest > 0.0 else None
    cures["cpu_min_hz"] = None if ease is None else 1.0 / ease
    return cures


def _least(cured: Callable[[float], bool], low: float) -> float | None:
    high, step = low, 4.0
    while not cured(high):
        low, high, step = high, high * step, step * step
        if high > 1e30:
            return None
    while high > low * (1.0 + _DIGITS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if cured(middle) else (middle, high)
    return high
