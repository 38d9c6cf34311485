"""Which devices can take part at which edges, and why some can take part at none."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fl_opt import physics
from fl_opt.errors import Infeasible, device_list
from fl_opt.problems.edge_network import EdgeNetwork
from fl_opt.units import Floats, quantity

_LITTLE = 1e-100


def require_able(network: EdgeNetwork) -> None:
    """Raise ``Infeasible`` for devices that can take part at no edge."""
    stuck = np.flatnonzero(~able(network).any(axis=1))
    if not stuck.size:
        return
    devices, k = network.devices, stuck[0]
    heat, floor = least_energy(network)
    needed = (heat[:, None] + floor).min(axis=1)
    energy = float(np.max(needed[stuck])) * (1.0 + 1e-9)
    moves: dict[str, tuple[float, EdgeNetwork]] = {}
    if math.isfinite(energy):
        more = np.maximum(devices.energy_j, energy)
        moves["energy_j"] = (
            energy,
            EdgeNetwork.from_network(
                devices.replace(energy_j=more), network.gain, network.edge_band_hz
            ),
        )
    moves["power_max_w"] = (
        _LITTLE,
        EdgeNetwork.from_network(
            devices.replace(power_max_w=np.maximum(devices.power_max_w, _LITTLE)),
            network.gain,
            network.edge_band_hz,
        ),
    )
    moves["edge_band_hz"] = (
        _LITTLE,
        EdgeNetwork.from_network(devices, network.gain, np.maximum(network.edge_band_hz, _LITTLE)),
    )
    poor = math.isfinite(needed[k]) and devices.power_max_w[k] > 0.0
    why = (
        f"needs more than {quantity(float(needed[k]), 'J')} at any edge; energy_j is "
        f"{quantity(float(devices.energy_j[k]), 'J')}"
        if poor and needed[k] >= devices.energy_j[k]
        else "reaches no edge"
    )
    raise Infeasible(
        f"device {k} {why}, however long the round ({device_list(stuck)})",
        constraint="energy" if why.startswith("needs") else "power_max",
        devices=stuck,
        relaxations={
            name: value if able(moved).any(axis=1).all() else None
            for name, (value, moved) in moves.items()
        },
    )


def least_energy(network: EdgeNetwork) -> tuple[Floats, Floats]:
    """(K,) energy of training at the slowest clock, (K, E) infimum of the upload's [J]."""
    devices = network.devices
    heat = physics.training_energy_j(devices.capacitance, devices.cycles, devices.cpu_min_hz)
    floor = physics.least_upload_energy_j(
        devices.upload_bit[:, None], network.gain, devices.noise_w_hz[:, None]
    )
    return heat, floor


def able(network: EdgeNetwork) -> NDArray[np.bool_]:
    """(K, E) whether a device can take part at an edge in a round that is long enough."""
    devices = network.devices
    heat, floor = least_energy(network)
    spare = (devices.energy_j - heat)[:, None]
    sends = (devices.upload_bit > 0.0)[:, None]
    heard = (network.gain > 0.0) & (devices.power_max_w > 0.0)[:, None]
    heard = heard & (network.edge_band_hz > 0.0)
    return np.where(sends, heard & (spare > floor), spare >= 0.0)
