"""Every device on every block: power, airtime, delay and energy, and the limits they meet.

Power first. The delay falls with the power p and the energy p l(p) rises with it from its infimum
s I ln2/(B h), I the disturbance. So the best power of a pair is the largest allowed one,
min(P, root of the energy limit), a closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt import physics
from fl_opt.allocation import Allocation
from fl_opt.certificate import FEASIBLE, Excess
from fl_opt.checks import vector
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS, growth_inverse
from fl_opt.problems.block_network import BlockNetwork
from fl_opt.units import Floats

Power = Literal["max", "chosen"]
Counted = Literal["neither", "energy", "both"]


@dataclass(frozen=True, eq=False, init=False)
class BlockLinks:
    """The pairs of device and block of a round, each at its best power.

    `energy_j` (K,) limits what a device spends, `power` is how its power is found ("max": all of
    it), `training` whether training counts in neither delay nor energy, in the "energy", or in
    both.
    """

    network: BlockNetwork
    energy_j: Floats
    power: Power
    training: Counted

    def __init__(
        self, network: BlockNetwork, energy_j: ArrayLike, power: Power, training: Counted
    ) -> None:
        put = object.__setattr__
        put(self, "network", network)
        put(self, "energy_j", vector("energy_j", energy_j, network.size, finite=False))
        if power not in get_args(Power):
            raise InvalidInput("power", repr(power), "'max' or 'chosen'")
        if training not in get_args(Counted):
            raise InvalidInput("training", repr(training), f"one of {get_args(Counted)}")
        put(self, "power", power)
        put(self, "training", training)

    @cached_property
    def overhead_s(self) -> Floats:
        """(K,) delay besides the upload [s]."""
        network = self.network
        waited = network.downlink_s()
        if self.training == "both":
            waited = waited + physics.training_s(network.cycles, network.cpu_hz)
        return waited

    @cached_property
    def overhead_j(self) -> Floats:
        """(K,) energy besides the upload [J]."""
        network = self.network
        if self.training == "neither":
            return np.zeros(network.size)
        return physics.training_energy_j(network.capacitance, network.cycles, network.cpu_hz)

    @cached_property
    def _powers(self) -> tuple[Floats, Floats]:
        network = self.network
        shape = network.gain.shape
        full = np.broadcast_to(network.power_max_w[:, None], shape)
        if self.power == "max":
            return full, np.zeros(shape)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            snr_w = network.gain / network.disturbance_w()
            left = (self.energy_j - self.overhead_j)[:, None]
            # p l(p) = E is expm1(v)/v = E B (h/I)/(s ln2) in v = ln(1 + p h/I)
            payload = (network.upload_bit * physics.LN2)[:, None]
            level = np.log(left * network.band_hz * snr_w / payload)
            able = level > 0.0
            root = np.expm1(growth_inverse(np.where(able, level, 1.0))) / snr_w
            root = np.where(able, root * (1.0 - 4.0 * EPS), 0.0)
            error = np.where(able, EPS * (16.0 + 8.0 / level), 0.0)
        free = (network.upload_bit == 0.0)[:, None] & (left >= 0.0)
        return np.where(free, full, np.minimum(root, full)), np.where(root < full, error, 0.0)

    @property
    def power_w(self) -> Floats:
        """(K, N) power of each pair [W], 0 where no power meets the energy limit."""
        return self._powers[0]

    @property
    def power_error(self) -> Floats:
        """(K, N) how far `power_w` may be below the best power, relative."""
        return self._powers[1]

    @cached_property
    def airtime_s(self) -> Floats:
        """(K, N) time of the upload [s]."""
        network = self.network
        density = network.disturbance_w() / network.band_hz
        rate = physics.rate_bit_s(network.band_hz, self.power_w, network.gain, density)
        return physics.airtime_s(network.upload_bit[:, None], rate)

    @cached_property
    def delay_s(self) -> Floats:
        """(K, N) when the upload ends [s]; infinite where the pair may not be used."""
        energy = self.overhead_j[:, None] + physics.upload_energy_j(self.power_w, self.airtime_s)
        # as `verify` judges, so that no decision that it accepts was left out
        affordable = energy <= self.energy_j[:, None] * (1.0 + FEASIBLE)
        return np.where(affordable, self.overhead_s[:, None] + self.airtime_s, np.inf)

    def used(self, decision: Allocation) -> tuple[Floats, Floats]:
        """(K,) delay [s] and energy [J] of a decision by the physics, 0 where not selected."""
        on, block = self.network.blocks_of(decision)
        network, device = self.network, np.arange(self.network.size)
        density = network.disturbance_w()[device, block] / network.band_hz
        rate = physics.rate_bit_s(
            decision.bandwidth_hz, decision.power_w, network.gain[device, block], density
        )
        airtime = physics.airtime_s(network.upload_bit, rate)
        energy = self.overhead_j + physics.upload_energy_j(decision.power_w, airtime)
        return np.where(on, self.overhead_s + airtime, 0.0), np.where(on, energy, 0.0)

    def excess(self, decision: Allocation) -> dict[str, Excess]:
        """The limits of blocks, band, energy and power, by name."""
        on, block = self.network.blocks_of(decision)
        network = self.network
        served = np.bincount(block[on], minlength=network.blocks)
        excess = {
            "block": Excess(served, 1.0, ""),
            "band": Excess(np.where(on, decision.bandwidth_hz, 0.0), network.band_hz, "Hz"),
            "energy": Excess(self.used(decision)[1], self.energy_j, "J"),
            "power_max": Excess(np.where(on, decision.power_w, 0.0), network.power_max_w, "W"),
        }
        if self.power == "max":
            sent = np.where(on, decision.power_w, np.inf)
            excess["power_min"] = Excess(-sent, -network.power_max_w, "W")
        return excess

    def match(self, column: NDArray[np.int_], worthy: NDArray[np.bool_]) -> Allocation:
        """Device i on block column[i], -1 is none; pairs that are not `worthy` (K, N) stay out."""
        network = self.network
        device, block = np.arange(network.size), np.maximum(column, 0)
        on = (column >= 0) & worthy[device, block]
        return Allocation(
            selected=on,
            bandwidth_hz=np.where(on, network.band_hz, 0.0),
            power_w=np.where(on, self.power_w[device, block], 0.0),
            cpu_hz=np.where(on, network.cpu_hz, 0.0),
            upload_s=np.where(on, self.airtime_s[device, block], 0.0),
            block=np.where(on, column, -1),
        )
