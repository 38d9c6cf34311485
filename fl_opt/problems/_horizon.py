"""What holds of a round however long it lasts and however wide its band is."""

from __future__ import annotations

import numpy as np

from fl_opt import physics
from fl_opt.errors import Infeasible, device_list
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.units import Floats, quantity


def _least_energies(network: Network) -> tuple[Floats, Floats]:
    """(K,) energy of training at the slowest clock, and the infimum of the upload's [J]."""
    heat = physics.training_energy_j(network.capacitance, network.cycles, network.cpu_min_hz)
    floor = physics.least_upload_energy_j(network.upload_bit, network.gain, network.noise_w_hz)
    return heat, floor


def shortest_s(network: Network) -> float:
    """A proven lower bound > 0 of every round: each device has the whole spectrum to itself [s]."""
    _, floor = _least_energies(network)
    with np.errstate(divide="ignore", invalid="ignore"):
        # what the upload leaves of the energy limits the clock
        clock = np.sqrt((network.energy_j - floor) / (network.capacitance * network.cycles))
        clock = np.fmin(clock, network.cpu_max_hz)
        upload = np.where(floor > 0.0, floor / network.power_max_w, 0.0)
    alone = float(np.max(physics.training_s(network.cycles, clock) + upload))
    return max(alone * (1.0 - 32.0 * EPS), 1e-300)


def require_possible(network: Network) -> None:
    """Raise ``Infeasible`` for devices that no round is long enough for."""
    sends = network.upload_bit > 0.0
    heat, floor = _least_energies(network)
    dead = sends & ((network.gain == 0.0) | (network.power_max_w == 0.0))
    poor = np.where(sends, network.energy_j <= heat + floor, network.energy_j < heat)
    if dead.any():
        devices = np.flatnonzero(dead)
        k = devices[0]
        what = "gain" if network.gain[k] == 0.0 else "power_max_w"
        raise Infeasible(
            f"device {k} has {what} 0 and cannot upload, however long the round "
            f"({device_list(devices)})",
            constraint="power_max",
            devices=devices,
            relaxations={"band_hz": None, "energy_j": None},
        )
    if poor.any():
        devices = np.flatnonzero(poor)
        k = devices[0]
        raise Infeasible(
            f"device {k} needs more than {quantity((heat + floor)[k], 'J')} to train at its "
            f"slowest clock and upload, however long the round; energy_j is "
            f"{quantity(network.energy_j[k], 'J')} ({device_list(devices)})",
            constraint="energy",
            devices=devices,
            relaxations={
                "band_hz": None,
                "energy_j": float(np.max((heat + floor)[poor])) * (1.0 + 1e-9),
                "power_max_w": None,
            },
        )
    if network.band_hz == 0.0 and sends.any():
        raise Infeasible(
            "band_hz is 0 Hz and nothing can be uploaded; any band cures that",
            constraint="band",
            devices=np.flatnonzero(sends),
            relaxations={"band_hz": float(np.finfo(float).tiny), "energy_j": None},
        )
