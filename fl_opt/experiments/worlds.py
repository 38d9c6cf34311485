"""Small worlds whose chances are known in closed form, for experiments that check a formula."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from fl_opt.network import Network
from fl_opt.units import Floats
from fl_opt.workload import Workload

POWER_MAX_W = 1.0
CYCLES_PER_S = 1e9


class Laboratory(ABC):
    """Base of worlds in which only the uplink counts: nobody runs out, and places stay."""

    @property
    @abstractmethod
    def positions_m(self) -> Floats:
        """(K, 2) places [m]."""

    @property
    def battery_j(self) -> None:
        """Nobody runs out."""
        return None

    @property
    def data_sizes(self) -> Floats:
        """(K,) equal holdings; the task deals out what it has [-]."""
        return np.full(len(self.positions_m), 1e9)

    def layout(self, rng: np.random.Generator) -> Self:
        """The same in every run."""
        return self

    def downlink_s(self, model_bit: float, network: Network) -> float:
        """The broadcast is not counted."""
        return 0.0


@dataclass(frozen=True)
class Still(Laboratory):
    """Devices that are all alike, on channels that stay: time and energy in closed form.

    Parameters
    ----------
    size
        Number of devices K.
    gain
        Channel power gain [-].
    power_max_w
        Transmit power [W].
    noise_w_hz
        Noise density [W/Hz].
    band_hz
        Bandwidth for each device [Hz].
    """

    size: int
    gain: float
    power_max_w: float
    noise_w_hz: float
    band_hz: float

    @property
    def positions_m(self) -> Floats:
        """(K, 2) all at the base station [m]."""
        return np.zeros((self.size, 2))

    def rounds(self, rng: np.random.Generator, workload: Workload) -> Iterator[Network]:
        """The same network in every round."""
        network = Network(
            gain=np.full(self.size, self.gain),
            power_max_w=self.power_max_w,
            cpu_min_hz=CYCLES_PER_S,
            cpu_max_hz=CYCLES_PER_S,
            capacitance=1e-28,
            cycles=workload.cycles,
            upload_bit=workload.upload_bit,
            samples=workload.samples,
            band_hz=self.size * self.band_hz,
            noise_w_hz=self.noise_w_hz,
        )
        while True:
            yield network


@dataclass(frozen=True)
class Rayleigh(Laboratory):
    """Devices at equal distance under Rayleigh fading, drawn anew in every round.

    Parameters
    ----------
    size
        Number of devices K.
    snr_db
        Mean signal-to-noise ratio of a device at full power over the whole band [dB].
    band_hz
        Bandwidth [Hz].
    """

    size: int
    snr_db: float
    band_hz: float = 1e6

    @property
    def positions_m(self) -> Floats:
        """(K, 2) all at the base station: only fading tells devices apart [m]."""
        return np.zeros((self.size, 2))

    @property
    def noise_w(self) -> float:
        """Noise over the whole band [W]."""
        return POWER_MAX_W / float(10.0 ** (self.snr_db / 10.0))

    def rounds(self, rng: np.random.Generator, workload: Workload) -> Iterator[Network]:
        """A network of fresh gains of mean 1 for every round."""
        while True:
            yield Network(
                gain=rng.exponential(1.0, self.size),
                power_max_w=POWER_MAX_W,
                cpu_min_hz=CYCLES_PER_S,
                cpu_max_hz=CYCLES_PER_S,
                capacitance=1e-28,
                cycles=workload.cycles,
                upload_bit=workload.upload_bit,
                samples=workload.samples,
                band_hz=self.band_hz,
                noise_w_hz=self.noise_w / self.band_hz,
            )
