"""What holds of a round however long it lasts and however wide its band is."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt import physics
from fl_opt.errors import Infeasible, device_list
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.units import Floats, quantity

_DIGITS = 1e-9
_LITTLE = 1e-100
"""Stands for any number > 0; rounds of which it is the band or the power still end in doubles."""


def _least_energies(network: Network) -> tuple[Floats, Floats]:
    """(K,) energy of training at the slowest clock, and the infimum of the upload's [J]."""
    heat = physics.training_energy_j(network.capacitance, network.cycles, network.cpu_min_hz)
    floor = physics.least_upload_energy_j(network.upload_bit, network.gain, network.noise_w_hz)
    return heat, floor


def alone_s(network: Network) -> Floats:
    """(K,) proven lower bounds of every round: a device has the whole spectrum to itself [s]."""
    _, floor = _least_energies(network)
    with np.errstate(divide="ignore", invalid="ignore"):
        # what the upload leaves of the energy limits the clock
        clock = np.sqrt((network.energy_j - floor) / (network.capacitance * network.cycles))
        clock = np.fmin(clock, network.cpu_max_hz)
        upload = np.where(floor > 0.0, floor / network.power_max_w, 0.0)
    return (physics.training_s(network.cycles, clock) + upload) * (1.0 - 32.0 * EPS)


def shortest_s(network: Network) -> float:
    """A proven lower bound of every round in which all take part [s]."""
    return float(np.max(alone_s(network)))


def span_s(network: Network) -> tuple[float, float]:
    """A proven lower bound of every round, and a longer round > 0 to try first [s].

    Raises ``Infeasible`` for devices that no round is long enough for.
    """
    require_possible(network)
    low = shortest_s(network)
    return low, max(2.0 * low, _LITTLE)


@dataclass(frozen=True, eq=False)
class _Obstacle:
    """A constraint that no length of the round meets, whom it stops, and why."""

    constraint: str
    devices: NDArray[np.int_]
    reason: str


def _stopped(network: Network) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(K,) masks of the devices that no round is long enough for: by their link, by energy."""
    sends = network.upload_bit > 0.0
    heat, floor = _least_energies(network)
    dead = sends & ((network.gain == 0.0) | (network.power_max_w == 0.0))
    poor = np.where(sends, network.energy_j <= heat + floor, network.energy_j < heat)
    return dead, poor


def able(network: Network) -> NDArray[np.bool_]:
    """(K,) devices that can take part in a round, if it is long enough."""
    dead, poor = _stopped(network)
    heard: NDArray[np.bool_] = (network.upload_bit == 0.0) | (network.band_hz > 0.0)
    possible: NDArray[np.bool_] = ~dead & ~poor & heard
    return possible


def _obstacle(network: Network) -> _Obstacle | None:
    sends = network.upload_bit > 0.0
    heat, floor = _least_energies(network)
    dead, poor = (np.flatnonzero(mask) for mask in _stopped(network))
    if dead.size:
        k = dead[0]
        what = "gain" if network.gain[k] == 0.0 else "power_max_w"
        reason = (
            f"device {k} has {what} 0 and cannot upload, however long the round "
            f"({device_list(dead)})"
        )
        return _Obstacle("power_max", dead, reason)
    if poor.size:
        k = poor[0]
        reason = (
            f"device {k} needs more than {quantity((heat + floor)[k], 'J')} to train at its "
            f"slowest clock and upload, however long the round; energy_j is "
            f"{quantity(network.energy_j[k], 'J')} ({device_list(poor)})"
        )
        return _Obstacle("energy", poor, reason)
    if network.band_hz == 0.0 and sends.any():
        reason = "band_hz is 0 Hz and nothing can be uploaded; any band cures that"
        return _Obstacle("band", np.flatnonzero(sends), reason)
    return None


def require_possible(network: Network) -> None:
    """Raise ``Infeasible`` for devices that no round is long enough for."""
    found = _obstacle(network)
    if found is not None:
        raise Infeasible(
            found.reason,
            constraint=found.constraint,
            devices=found.devices,
            relaxations=functools.partial(_cures, network),
        )


def _cures(network: Network) -> dict[str, float | None]:
    """For each limit alone: the common value that cures, for the devices beyond it; or None."""
    heat, floor = _least_energies(network)
    poor = network.energy_j <= heat + floor
    energy = float(np.max(heat + floor, where=poor, initial=0.0)) * (1.0 + _DIGITS)
    with np.errstate(divide="ignore", invalid="ignore"):
        clock = np.sqrt((network.energy_j - floor) / (network.capacitance * network.cycles))
    # NaN where the upload alone takes too much: then no clock cures
    slow = float(np.min(clock[poor], initial=np.inf)) * (1.0 - _DIGITS)
    moves: dict[str, tuple[float, ArrayLike]] = {
        "band_hz": (_LITTLE, max(network.band_hz, _LITTLE)),
        "energy_j": (energy, np.maximum(network.energy_j, energy)),
        "power_max_w": (_LITTLE, np.maximum(network.power_max_w, _LITTLE)),
        "cpu_min_hz": (slow, np.minimum(network.cpu_min_hz, np.nan_to_num(slow, posinf=np.inf))),
    }
    return {
        name: value if _obstacle(network.replace(**{name: moved})) is None else None
        for name, (value, moved) in moves.items()
    }
