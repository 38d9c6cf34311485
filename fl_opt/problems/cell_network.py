"""One round of cells that share the band: every transmitter disturbs every receiver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from fl_opt import physics
from fl_opt.allocation import Allocation
from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.network import Network
from fl_opt.units import THERMAL_NOISE_W_HZ, Floats

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False, init=False)
class CellNetwork:
    """Frozen arrays of N cells, one device of each on the air at a time, SI units.

    Parameters
    ----------
    gain
        (N, N) power gain from the device of cell j (column) to the receiver of cell i (row) [-].
        The diagonal carries updates, the rest is interference.
    power_max_w
        Largest transmit power (N,) [W].
    upload_bit
        Size of the update (N,) [bit].
    band_hz
        The band that all cells use [Hz].
    ready_s
        When each device has trained and begins to send (N,) [s]; default 0.
    noise_w_hz
        Noise density at the receivers (N,) [W/Hz], > 0; default -174 dBm/Hz.

    Scalars broadcast. Raises ``InvalidInput`` for NaN, a wrong shape or sign, or infinity.

    >>> import fl_opt
    >>> cells = fl_opt.CellNetwork(
    ...     gain=[[1e-9, 1e-11], [2e-11, 5e-10]], power_max_w=0.2, upload_bit=3e5, band_hz=1e6)
    >>> cells
    CellNetwork(size=2, band_hz=1e+06)
    """

    gain: Floats
    power_max_w: Floats
    upload_bit: Floats
    ready_s: Floats
    noise_w_hz: Floats
    band_hz: float

    def __init__(
        self,
        *,
        gain: ArrayLike,
        power_max_w: ArrayLike,
        upload_bit: ArrayLike,
        band_hz: float,
        ready_s: ArrayLike = 0.0,
        noise_w_hz: ArrayLike = THERMAL_NOISE_W_HZ,
    ) -> None:
        put = object.__setattr__
        put(self, "gain", _square(gain))
        size = self.gain.shape[0]
        put(self, "power_max_w", vector("power_max_w", power_max_w, size))
        put(self, "upload_bit", vector("upload_bit", upload_bit, size))
        put(self, "ready_s", vector("ready_s", ready_s, size))
        put(self, "noise_w_hz", vector("noise_w_hz", noise_w_hz, size, open_low=True))
        put(self, "band_hz", number("band_hz", band_hz))

    @classmethod
    def from_network(cls, network: Network, leak: ArrayLike) -> CellNetwork:
        """The devices of a round, each in a cell of its own with the whole band.

        `leak` (K, K), or a scalar, is how much of a device's gain reaches another cell [-]; the
        diagonal is not used. Devices train at their fastest clock before they send.
        """
        part = np.array(np.broadcast_to(np.asarray(leak, dtype=float), (network.size,) * 2))
        np.fill_diagonal(part, 1.0)
        return cls(
            gain=part * network.gain,
            power_max_w=network.power_max_w,
            upload_bit=network.upload_bit,
            band_hz=network.band_hz,
            ready_s=physics.training_s(network.cycles, network.cpu_max_hz),
            noise_w_hz=network.noise_w_hz,
        )

    @property
    def size(self) -> int:
        """Number of cells N."""
        return int(self.gain.shape[0])

    def __repr__(self) -> str:
        return f"CellNetwork(size={self.size}, band_hz={self.band_hz:g})"

    def disturbance_w(self, power_w: ArrayLike) -> Floats:
        """Noise and interference at each receiver (N,) when the devices send with `power_w` [W]."""
        power = vector("power_w", power_w, self.size)
        others = self.gain * power
        np.fill_diagonal(others, 0.0)
        return np.asarray(self.noise_w_hz * self.band_hz + others.sum(axis=1))

    def airtime_s(self, power_w: ArrayLike) -> Floats:
        """Time of each upload (N,), interference counted as noise for all of it [s]."""
        power = vector("power_w", power_w, self.size)
        if self.band_hz == 0.0:
            return physics.airtime_s(self.upload_bit, 0.0)
        density = self.disturbance_w(power) / self.band_hz
        rate = physics.rate_bit_s(self.band_hz, power, np.diag(self.gain), density)
        return physics.airtime_s(self.upload_bit, rate)


@dataclass(frozen=True, eq=False)
class CellPowers:
    """What is decided: the power (N,) of the device of every cell [W]."""

    power_w: Floats

    def to_round(self, network: Network) -> Allocation:
        """All devices at their fastest clock, with the K-th part of the network's band each.

        For a network whose noise counts the interference and whose band counts once per cell.
        """
        if network.size != self.power_w.size:
            raise InvalidInput(
                "network.size", network.size, f"{self.power_w.size}, as the decision"
            )
        return Allocation(
            selected=np.ones(network.size, dtype=bool),
            bandwidth_hz=network.band_hz / network.size,
            power_w=self.power_w,
            cpu_hz=network.cpu_max_hz,
        )

    def to_frame(self) -> pandas.DataFrame:
        """A row per cell."""
        import pandas

        index = pandas.RangeIndex(self.power_w.size, name="cell")
        return pandas.DataFrame({"power_w": self.power_w}, index=index)


def _square(gain: ArrayLike) -> Floats:
    try:
        array = np.array(gain, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput("gain", repr(gain)[:80], "numbers") from None
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not array.size:
        raise InvalidInput("gain.shape", np.shape(gain), "(N, N), receivers by transmitters")
    bad = np.argwhere(~(np.isfinite(array) & (array >= 0.0)))
    if bad.size:
        i, j = bad[0]
        raise InvalidInput(f"gain[{i}, {j}]", array[i, j], "a number >= 0, finite")
    array.flags.writeable = False
    return array
