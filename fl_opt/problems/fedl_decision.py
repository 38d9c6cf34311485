"""What FEDL decides: a round of training and uploads in turn, and how exactly to train."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.allocation import Allocation
from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.network import Network
from fl_opt.units import Floats

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False, init=False)
class FEDLDecision:
    """What `FEDL` decides: clocks, airtimes and powers (K,), two durations, one accuracy.

    Parameters
    ----------
    cpu_hz, upload_s, power_w
        (K,) clock f [cycle/s], airtime tau [s] and power p [W].
    round_training_s, round_upload_s
        Duration T_cmp of one pass of training, and T_com of all uploads [s].
    local_accuracy
        Theta in (0, 1): how far from solved a device may leave its local problem [-].
    """

    cpu_hz: Floats
    upload_s: Floats
    power_w: Floats
    round_training_s: float
    round_upload_s: float
    local_accuracy: float

    def __init__(
        self,
        *,
        cpu_hz: ArrayLike,
        upload_s: ArrayLike,
        power_w: ArrayLike,
        round_training_s: float,
        round_upload_s: float,
        local_accuracy: float,
    ) -> None:
        given = {"cpu_hz": cpu_hz, "upload_s": upload_s, "power_w": power_w}
        size = max(np.size(value) for value in given.values())
        for name, value in given.items():
            object.__setattr__(self, name, vector(name, value, size))
        for name, value in (
            ("round_training_s", round_training_s),
            ("round_upload_s", round_upload_s),
        ):
            object.__setattr__(self, name, number(name, value))
        accuracy = number("local_accuracy", local_accuracy, high=1.0, open_low=True)
        if accuracy == 1.0:
            raise InvalidInput("local_accuracy", "1", "a number < 1", "at 1 no round gains a thing")
        object.__setattr__(self, "local_accuracy", accuracy)

    @property
    def size(self) -> int:
        """Number of devices K."""
        return int(self.cpu_hz.size)

    @property
    def passes(self) -> float:
        """Passes of local training in a round, ln(1/Theta)."""
        return -math.log(self.local_accuracy)

    def to_round(self, network: Network) -> Allocation:
        """One round: all train together, then upload one after another over the whole band.

        `network.cycles` is one pass of local training; the round has ``ln(1/Theta)`` of them.
        """
        trained = self.passes * self.round_training_s
        return Allocation(
            selected=np.ones(self.size, dtype=bool),
            bandwidth_hz=network.band_hz,
            power_w=self.power_w,
            cpu_hz=self.cpu_hz,
            upload_s=self.upload_s,
            start_s=trained + np.cumsum(self.upload_s) - self.upload_s,
            access="tdma",
            cycles=self.passes * network.cycles,
        )

    def to_frame(self) -> pandas.DataFrame:
        """A row per device."""
        import pandas

        columns = {"cpu_hz": self.cpu_hz, "upload_s": self.upload_s, "power_w": self.power_w}
        return pandas.DataFrame(columns, index=pandas.RangeIndex(self.size, name="device"))
