"""What a network asks of device, channel and server when it is split after each of its layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.checks import vector
from fl_opt.errors import InvalidInput
from fl_opt.units import Floats

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False, init=False)
class SplitProfile:
    """Work and payload of each place to split, arrays (J,), or (K, J) where devices differ.

    Parameters
    ----------
    device_cycles
        What the device computes before it sends [cycle].
    upload_bit
        What it sends [bit].
    server_cycles
        What is left for the server [cycle].

    Place 0 sends the input, the last place computes everything on the device; see ``from_layers``.
    """

    device_cycles: Floats
    upload_bit: Floats
    server_cycles: Floats

    def __init__(
        self, device_cycles: ArrayLike, upload_bit: ArrayLike, server_cycles: ArrayLike
    ) -> None:
        given = {
            "device_cycles": device_cycles,
            "upload_bit": upload_bit,
            "server_cycles": server_cycles,
        }
        shape = np.broadcast_shapes(*(np.shape(value) for value in given.values()))
        if len(shape) not in (1, 2) or 0 in shape:
            raise InvalidInput("SplitProfile", f"shape {shape}", "(J,) or (K, J), a place at least")
        for name, value in given.items():
            flat = np.broadcast_to(np.asarray(value, dtype=float), shape).ravel()
            checked = vector(name, flat, flat.size).reshape(shape)
            object.__setattr__(self, name, checked)

    @classmethod
    def from_layers(
        cls,
        layer_cycles: ArrayLike,
        activation_bit: ArrayLike,
        result_bit: float = 0.0,
        server_ratio: float = 1.0,
    ) -> SplitProfile:
        """The places to split a chain of layers.

        Parameters
        ----------
        layer_cycles
            (L,) work of each layer on a device [cycle].
        activation_bit
            (L,) size of what goes into each layer, the input first [bit].
        result_bit
            What the device sends when it computes everything itself [bit].
        server_ratio
            Cycles that the server takes for one of the device's.

        >>> profile = SplitProfile.from_layers([4e6, 2e6], [6e3, 1e3])
        >>> profile.device_cycles.tolist(), profile.upload_bit.tolist()
        ([0.0, 4000000.0, 6000000.0], [6000.0, 1000.0, 0.0])
        """
        cycles = vector("layer_cycles", layer_cycles, np.size(layer_cycles))
        before = np.append(0.0, np.cumsum(cycles))
        sent = vector("activation_bit", activation_bit, cycles.size)
        # summed from behind: nothing is left after the last layer, to the last digit
        left = np.append(np.cumsum(cycles[::-1])[::-1], 0.0) * server_ratio
        return cls(before, np.append(sent, result_bit), left)

    @property
    def places(self) -> int:
        """Number of places J."""
        return int(self.upload_bit.shape[-1])

    def for_devices(self, size: int) -> tuple[Floats, Floats, Floats]:
        """(K, J) device cycles, payloads and server cycles."""
        columns = (self.device_cycles, self.upload_bit, self.server_cycles)
        if self.upload_bit.ndim == 2 and self.upload_bit.shape[0] != size:
            raise InvalidInput("profile", self.upload_bit.shape, f"({size}, J), a row per device")
        first, second, third = (np.broadcast_to(each, (size, self.places)) for each in columns)
        return first, second, third


@dataclass(frozen=True, eq=False, init=False)
class SplitPlan:
    """Where each device's network is split, and what it gets: arrays (K,).

    `place` counts from 0, `bandwidth_hz` [Hz], `server_hz` is its share of the server [cycle/s].
    """

    place: NDArray[np.int_]
    bandwidth_hz: Floats
    server_hz: Floats

    def __init__(self, place: ArrayLike, bandwidth_hz: ArrayLike, server_hz: ArrayLike) -> None:
        given = np.array(place)
        if given.ndim != 1 or given.dtype.kind not in "iu" or (given < 0).any():
            raise InvalidInput("place", place, "whole numbers (K,) from 0")
        object.__setattr__(self, "place", given)
        for name, value in (("bandwidth_hz", bandwidth_hz), ("server_hz", server_hz)):
            object.__setattr__(self, name, vector(name, value, given.size, finite=False))

    @property
    def size(self) -> int:
        """Number of devices K."""
        return int(self.place.size)

    def to_frame(self) -> pandas.DataFrame:
        """A row per device."""
        import pandas

        names = ("place", "bandwidth_hz", "server_hz")
        index = pandas.RangeIndex(self.size, name="device")
        return pandas.DataFrame({name: getattr(self, name) for name in names}, index=index)
