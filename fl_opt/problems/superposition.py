"""What a round of analog aggregation decides: how loud everybody sends, how loud it is heard."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from fl_opt import physics
from fl_opt.allocation import Allocation
from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.network import Network
from fl_opt.units import Floats

if TYPE_CHECKING:
    import pandas

ALIGNED = 4.0 * float(np.finfo(float).eps)
"""Alignments this near to 1 are 1: a power in float64 cannot be told to more digits."""


@dataclass(frozen=True, eq=False, init=False)
class Superposition:
    """Powers of the devices and the denoising factor of the receiver.

    The devices send symbols of unit variance at once; the server divides the sum that it hears by
    sqrt(eta).

    Parameters
    ----------
    power_w
        (K,) transmit power p [W].
    eta_w
        Denoising factor eta [W], > 0; infinite: the receiver does not listen.
    mse
        Mean squared error of the sum that the decision claims, in variances of a symbol [-].
    """

    power_w: Floats
    eta_w: float
    mse: float

    def __init__(self, power_w: ArrayLike, eta_w: float, mse: float) -> None:
        object.__setattr__(self, "power_w", vector("power_w", power_w, np.size(power_w)))
        eta = number("eta_w", eta_w, open_low=True, finite=False)
        object.__setattr__(self, "eta_w", eta)
        object.__setattr__(self, "mse", number("mse", mse))

    @property
    def size(self) -> int:
        """Number of devices K."""
        return int(self.power_w.size)

    def alignment(self, gain: ArrayLike) -> Floats:
        """(K,) factor sqrt(gain p/eta) with which each symbol enters the sum; 1 is ideal."""
        received = vector("gain", gain, self.size) * self.power_w / self.eta_w
        near = np.abs(received - 1.0) <= 2.0 * ALIGNED
        return np.where(near, 1.0, np.sqrt(received))

    def error(self, gain: ArrayLike, noise_w: float) -> float:
        """Mean squared error of the sum, misalignment and noise, in variances of a symbol [-]."""
        off = self.alignment(gain) - 1.0
        return math.fsum((off * off).tolist()) + noise_w / self.eta_w

    def to_round(self, network: Network) -> Allocation:
        """One superposed upload over the whole band, after training at the fastest clocks.

        Devices of zero power stay out.
        """
        if network.size != self.size:
            raise InvalidInput("network.size", network.size, f"{self.size}, as the decision")
        return Allocation(
            selected=self.power_w > 0.0,
            bandwidth_hz=network.band_hz,
            power_w=self.power_w,
            cpu_hz=network.cpu_max_hz,
            access="superposed",
        )

    def to_frame(self) -> pandas.DataFrame:
        """A row per device."""
        import pandas

        index = pandas.RangeIndex(self.size, name="device")
        return pandas.DataFrame({"power_w": self.power_w, "eta_w": self.eta_w}, index=index)


def receiver_noise_w(network: Network) -> float:
    """Noise power over the whole band at the one receiver of a superposed upload [W].

    Raises ``InvalidInput`` where the devices see different noise.
    """
    density = network.noise_w_hz
    if density.min() != density.max():
        raise InvalidInput(
            "noise_w_hz",
            f"{density.min():g} to {density.max():g} W/Hz",
            "one value",
            "a superposed upload has one receiver; put the difference into the gains",
        )
    return float(density[0]) * network.band_hz


def affordable_w(network: Network) -> Floats:
    """(K,) largest power over a superposed upload that the energy of a round allows [W].

    Training runs at the fastest clock. Nothing to send, or no band to send in, asks for no power.
    """
    heat = physics.training_energy_j(network.capacitance, network.cycles, network.cpu_max_hz)
    airtime = physics.analog_airtime_s(network.upload_bit, network.band_hz)
    left = np.maximum(network.energy_j - heat, 0.0)
    sends = (airtime > 0.0) & np.isfinite(airtime)
    return np.where(
        sends, np.minimum(network.power_max_w, left / np.where(sends, airtime, 1.0)), 0.0
    )
