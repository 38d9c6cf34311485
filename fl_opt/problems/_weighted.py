"""Joules that do not count alike: a network in which each device's energy is weighted.

A device whose capacitance, noise density, largest power and energy limit are all multiplied by a
has the same rates, times and limits, at a times the power, and spends a times the energy. So a sum
of weighted energies is the plain energy of another network, and every kernel serves it unchanged.
Energy of weight zero has no such network: a device for which it counts nothing takes its least
bandwidth, and stands in the other network as one that neither trains nor sends.
"""

from __future__ import annotations

import numpy as np

from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.units import Floats

FREE = 1e-15
"""Weights up to this part of the largest count as zero; the certificate tells the difference."""


def weighted(network: Network, weight: Floats, relaxed: bool = False) -> Network:
    """The network in which joules of device k count `weight[k]`, (K,) >= 0.

    Products are rounded; with `relaxed` in favour of the devices, so that no round costs more in
    it than `weight` says.
    """
    free = weight == 0.0
    slack = 4.0 * EPS if relaxed else 0.0

    def times(values: Floats, loosened: float) -> Floats:
        with np.errstate(invalid="ignore"):
            scaled = values * weight * (1.0 + loosened)
        return np.where(free, values, scaled)

    return network.replace(
        capacitance=times(network.capacitance, -slack),
        noise_w_hz=times(network.noise_w_hz, -slack),
        power_max_w=times(network.power_max_w, slack),
        energy_j=times(network.energy_j, slack),
        cycles=np.where(free, 0.0, network.cycles),
        upload_bit=np.where(free, 0.0, network.upload_bit),
    )
