"""The radio of one round in which the band is cut into blocks, each with its own interference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt import physics
from fl_opt.allocation import Allocation
from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.network import Network
from fl_opt.units import THERMAL_NOISE_W_HZ, Floats


@dataclass(frozen=True, eq=False, init=False)
class BlockNetwork:
    """Frozen arrays of one round of K devices and N blocks, SI units.

    Parameters
    ----------
    gain
        Channel power gain (K, N), or (K,) where it is the same on all blocks [-].
    interference_w
        Interference power at the base station on each block (N,) [W].
    power_max_w
        Largest transmit power (K,) [W].
    upload_bit
        Size of the update (K,) [bit].
    samples
        Training samples held (K,) [-].
    band_hz
        Bandwidth of one block [Hz].
    noise_w_hz
        Noise density at the base station (K,) [W/Hz]; default -174 dBm/Hz.
    waterfall
        Threshold m of the packet error 1 - exp(-m (I + N0 B)/(p h)) [-].
    downlink_bit
        Size of the model that is broadcast (K,) [bit]; default 0, no downlink.
    downlink_power_w, downlink_band_hz, downlink_interference_w
        Power and bandwidth of the base station, interference at the devices, scalars.
    downlink_gain
        Gain of the downlink (K,) [-]; default the mean over the blocks.
    cycles, cpu_hz, capacitance
        Local training (K,): cycles of a round, default 0, at a fixed clock; energy is
        capacitance x cycles x cpu_hz^2.

    Scalars broadcast. Raises ``InvalidInput`` for NaN, a wrong shape or sign, or infinity.
    """

    gain: Floats
    interference_w: Floats
    power_max_w: Floats
    upload_bit: Floats
    samples: Floats
    noise_w_hz: Floats
    downlink_bit: Floats
    downlink_gain: Floats
    cycles: Floats
    cpu_hz: Floats
    capacitance: Floats
    band_hz: float
    waterfall: float
    downlink_power_w: float
    downlink_band_hz: float
    downlink_interference_w: float

    def __init__(
        self,
        *,
        gain: ArrayLike,
        interference_w: ArrayLike,
        power_max_w: ArrayLike,
        upload_bit: ArrayLike,
        samples: ArrayLike,
        band_hz: float,
        noise_w_hz: ArrayLike = THERMAL_NOISE_W_HZ,
        waterfall: float = 1.08,
        downlink_bit: ArrayLike = 0.0,
        downlink_power_w: float = 1.0,
        downlink_band_hz: float = 20e6,
        downlink_interference_w: float = 0.0,
        downlink_gain: ArrayLike | None = None,
        cycles: ArrayLike = 0.0,
        cpu_hz: ArrayLike = 1e9,
        capacitance: ArrayLike = 0.0,
    ) -> None:
        put = object.__setattr__
        blocks = np.size(interference_w)
        put(self, "interference_w", vector("interference_w", interference_w, blocks))
        put(self, "gain", _gain(gain, blocks))
        size = self.gain.shape[0]
        if downlink_gain is None:
            downlink_gain = self.gain.mean(axis=1)
        arrays: dict[str, ArrayLike] = {
            "power_max_w": power_max_w,
            "upload_bit": upload_bit,
            "samples": samples,
            "downlink_bit": downlink_bit,
            "downlink_gain": downlink_gain,
            "cycles": cycles,
            "capacitance": capacitance,
        }
        for name, value in arrays.items():
            put(self, name, vector(name, value, size))
        put(self, "noise_w_hz", vector("noise_w_hz", noise_w_hz, size, open_low=True))
        put(self, "cpu_hz", vector("cpu_hz", cpu_hz, size, open_low=True))
        put(self, "band_hz", number("band_hz", band_hz, open_low=True))
        put(self, "downlink_band_hz", number("downlink_band_hz", downlink_band_hz, open_low=True))
        scalars = {
            "waterfall": waterfall,
            "downlink_power_w": downlink_power_w,
            "downlink_interference_w": downlink_interference_w,
        }
        for name, level in scalars.items():
            put(self, name, number(name, level))

    @classmethod
    def from_distance(
        cls, distance_m: ArrayLike, *, exponent: float = 2.0, **fields: Any
    ) -> BlockNetwork:
        """Gains ``distance^-exponent`` on all blocks; `fields` are the other parameters."""
        size = max(np.size(distance_m), 1)
        distance = vector("distance_m", distance_m, size, open_low=True)
        return cls(gain=distance ** -number("exponent", exponent), **fields)

    @classmethod
    def from_network(
        cls, network: Network, interference_w: ArrayLike, **fields: Any
    ) -> BlockNetwork:
        """The devices of a round on blocks that share its band equally, at full clocks."""
        own: dict[str, Any] = {
            "gain": network.gain,
            "interference_w": interference_w,
            "power_max_w": network.power_max_w,
            "upload_bit": network.upload_bit,
            "samples": network.samples,
            "band_hz": network.band_hz / max(np.size(interference_w), 1),
            "noise_w_hz": network.noise_w_hz,
            "cycles": network.cycles,
            "cpu_hz": network.cpu_max_hz,
            "capacitance": network.capacitance,
        }
        return cls(**(own | fields))

    @property
    def size(self) -> int:
        """Number of devices K."""
        return int(self.gain.shape[0])

    @property
    def blocks(self) -> int:
        """Number of blocks N."""
        return int(self.interference_w.size)

    def __repr__(self) -> str:
        return f"BlockNetwork(size={self.size}, blocks={self.blocks}, band_hz={self.band_hz:g})"

    def disturbance_w(self) -> Floats:
        """Interference and noise of every device on every block (K, N) [W]."""
        return self.interference_w[None, :] + (self.noise_w_hz * self.band_hz)[:, None]

    def downlink_s(self) -> Floats:
        """Time in which each device has received the model (K,) [s]."""
        disturbed = self.noise_w_hz + self.downlink_interference_w / self.downlink_band_hz
        rate = physics.rate_bit_s(
            self.downlink_band_hz, self.downlink_power_w, self.downlink_gain, disturbed
        )
        return physics.airtime_s(self.downlink_bit, rate)

    def blocks_of(self, decision: Allocation) -> tuple[NDArray[np.bool_], NDArray[np.int_]]:
        """Who takes part, and the block of each device, 0 where it takes no part."""
        if decision.size != self.size:
            raise InvalidInput("decision.size", decision.size, f"{self.size}")
        on, block = decision.selected, decision.block
        if block is None:
            raise InvalidInput("decision.block", None, "the block of each device, -1 is none")
        wrong = np.flatnonzero(on & ((block < 0) | (block >= self.blocks)))
        if wrong.size:
            where = f"decision.block[{wrong[0]}]"
            raise InvalidInput(where, block[wrong[0]], f"0 to {self.blocks - 1}")
        return on, np.where(on, block, 0)

    def to_network(self, block: ArrayLike) -> Network:
        """The same devices as a `Network`, interference counted as noise.

        `block` (K,) is the block of each device; without one, -1, it sees no interference.
        """
        index = np.asarray(block)
        heard = np.where(index >= 0, self.interference_w[index], 0.0)
        return Network(
            gain=self.gain[np.arange(self.size), np.maximum(index, 0)],
            power_max_w=self.power_max_w,
            cpu_min_hz=self.cpu_hz,
            cpu_max_hz=self.cpu_hz,
            capacitance=self.capacitance,
            cycles=self.cycles,
            upload_bit=self.upload_bit,
            samples=self.samples,
            band_hz=self.band_hz * self.blocks,
            noise_w_hz=self.noise_w_hz + heard / self.band_hz,
        )


def _gain(gain: ArrayLike, blocks: int) -> Floats:
    """Gains as a read-only array (K, N)."""
    try:
        array = np.array(gain, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput("gain", repr(gain)[:80], "numbers") from None
    if array.ndim == 1:
        array = np.repeat(array[:, None], blocks, axis=1)
    if array.ndim != 2 or array.shape[1] != blocks or not array.size:
        expected = f"(K, {blocks}), a value per device and block, or (K,)"
        raise InvalidInput("gain.shape", np.shape(gain), expected)
    bad = np.argwhere(~(np.isfinite(array) & (array >= 0.0)))
    if bad.size:
        k, n = bad[0]
        raise InvalidInput(f"gain[{k}, {n}]", array[k, n], "a number >= 0, finite")
    array.flags.writeable = False
    return array
