"""What is decided for one round: who takes part, with which resources, and when."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt import physics
from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.kernels import chunks
from fl_opt.network import Network
from fl_opt.units import Floats

if TYPE_CHECKING:
    import pandas

Access = Literal["fdma", "tdma", "sequential", "superposed"]
_REAL = ("bandwidth_hz", "power_w", "cpu_hz", "start_s", "upload_s", "upload_bit", "cycles")
_WHOLE = ("block", "level", "local_steps")


@dataclass(frozen=True, eq=False, init=False)
class Allocation:
    """The decision of one round, arrays (K,) over the devices of a network.

    Parameters
    ----------
    selected
        Who takes part [bool]. The other entries of a device that does not are ignored.
    bandwidth_hz, power_w, cpu_hz
        Bandwidth [Hz], transmit power [W] and CPU clock [cycle/s].
    upload_s
        Airtime that the decision claims [s]; None: what the rate gives.
    start_s
        Begin of the upload, counted from the begin of the round [s]; None: when training ends.
    access
        "fdma": own band for each device, all at once; "tdma" and "sequential": the whole band one
        after another (sequential: in the order of `start_s`, as soon as the band is free);
        "superposed": all at once on one band, summed over the air.
    block, level
        Index of the resource block or of the level (compression, power ...) used; -1 is none.
    upload_bit, cycles, local_steps
        Overrides where the decision changes the workload; None is nominal.
    deadline_s
        The server closes the round then [s]; later updates are lost. Default infinite: it waits.
    """

    selected: NDArray[np.bool_]
    bandwidth_hz: Floats
    power_w: Floats
    cpu_hz: Floats
    upload_s: Floats | None
    start_s: Floats | None
    access: Access
    block: NDArray[np.int_] | None
    level: NDArray[np.int_] | None
    upload_bit: Floats | None
    cycles: Floats | None
    local_steps: NDArray[np.int_] | None
    deadline_s: float

    def __init__(
        self,
        *,
        selected: ArrayLike,
        bandwidth_hz: ArrayLike,
        power_w: ArrayLike,
        cpu_hz: ArrayLike,
        upload_s: ArrayLike | None = None,
        start_s: ArrayLike | None = None,
        access: Access = "fdma",
        block: ArrayLike | None = None,
        level: ArrayLike | None = None,
        upload_bit: ArrayLike | None = None,
        cycles: ArrayLike | None = None,
        local_steps: ArrayLike | None = None,
        deadline_s: float = math.inf,
    ) -> None:
        chosen = np.array(selected)
        if chosen.dtype != bool or chosen.ndim != 1:
            raise InvalidInput("selected", f"{chosen.dtype} {chosen.shape}", "a mask (K,) of bool")
        chosen.flags.writeable = False
        if access not in get_args(Access):
            raise InvalidInput("access", repr(access), f"one of {get_args(Access)}")
        real: dict[str, ArrayLike | None] = {
            "bandwidth_hz": bandwidth_hz,
            "power_w": power_w,
            "cpu_hz": cpu_hz,
            "start_s": start_s,
            "upload_s": upload_s,
            "upload_bit": upload_bit,
            "cycles": cycles,
        }
        whole: dict[str, ArrayLike | None] = {
            "block": block,
            "level": level,
            "local_steps": local_steps,
        }
        put = object.__setattr__
        put(self, "selected", chosen)
        put(self, "access", access)
        put(self, "deadline_s", number("deadline_s", deadline_s, finite=False))
        for name, value in real.items():
            given = None if value is None else vector(name, value, chosen.size, finite=False)
            put(self, name, given)
        for name, indices in whole.items():
            put(self, name, None if indices is None else _whole(name, indices, chosen.size))

    @property
    def size(self) -> int:
        """Number of devices K, selected or not."""
        return int(self.selected.size)

    def replace(self, **changes: Any) -> Allocation:
        """A copy with some fields changed, checked anew."""
        return dataclasses.replace(self, **changes)

    def to_round(self, network: Network) -> Allocation:
        """Itself: this decision is already one that a round can use."""
        return self

    def __repr__(self) -> str:
        return f"Allocation(size={self.size}, selected={int(self.selected.sum())})"

    def to_frame(self) -> pandas.DataFrame:
        """A row per device, a column per array that is set."""
        import pandas

        names = ("selected", *_REAL, *_WHOLE)
        columns = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return pandas.DataFrame(columns, index=pandas.RangeIndex(self.size, name="device"))

    @classmethod
    def none(cls, size: int, deadline_s: float = math.inf) -> Allocation:
        """Nobody takes part."""
        nobody = np.zeros(size, dtype=bool)
        return cls(
            selected=nobody, bandwidth_hz=0.0, power_w=0.0, cpu_hz=0.0, deadline_s=deadline_s
        )


def _whole(name: str, value: ArrayLike, size: int) -> NDArray[np.int_]:
    array = np.array(np.broadcast_to(np.asarray(value), (size,)))
    if array.dtype.kind not in "iu":
        raise InvalidInput(name, array.dtype, "whole numbers (K,)")
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class Use:
    """What an allocation asks of the devices, by the physics; zero where not selected.

    `training_s`, `begin_s` (of the upload), `airtime_s`, `finish_s` [s], `training_j`, `upload_j`
    [J], all (K,). Airtime is what the rate takes for the payload; a device whose link carries
    nothing has infinite airtime and spends its power until told otherwise. `rate_bit_s` (K,) is
    the rate at the allocated bandwidth and power, selected or not.
    """

    training_s: Floats
    begin_s: Floats
    airtime_s: Floats
    finish_s: Floats
    training_j: Floats
    upload_j: Floats
    rate_bit_s: Floats

    @cached_property
    def energy_j(self) -> Floats:
        """(K,) training and upload together [J]."""
        return self.training_j + self.upload_j


def upload_begin_s(allocation: Allocation, training_s: Floats, airtime_s: Floats) -> Floats:
    """(K,) when uploads of the given airtimes begin [s]; 0 where not selected. See ``use``."""
    on, start = allocation.selected, allocation.start_s
    begin = np.where(on, training_s if start is None else np.maximum(training_s, start), 0.0)
    if allocation.access in ("tdma", "sequential"):
        free = 0.0
        for k in np.lexsort((np.arange(on.size), begin)):
            if on[k]:
                begin[k] = max(free, begin[k])
                free = begin[k] + airtime_s[k]
    if allocation.access == "superposed":
        begin[on] = begin[on].max(initial=0.0)
    return begin


def use(network: Network, allocation: Allocation) -> Use:
    """What `allocation` does in `network`, recomputed from bandwidth, power and clock alone.

    FDMA: each device on its own. TDMA and sequential access: uploads are sent in the order of
    `start_s` (of the end of training where it is None), each as soon as its device is ready and
    the band is free. Superposed access: analog symbols, one per parameter, and all begin together
    when the last device is ready; a sum needs no rate.

    Raises ``InvalidInput`` where the sizes differ.
    """
    if allocation.size != network.size:
        raise InvalidInput("allocation.size", allocation.size, f"{network.size}, as the network")
    known: tuple[Network, Use] | None = allocation.__dict__.get("_known_use")
    if known is None or known[0] is not network:
        known = network, _use(network, allocation)
        # both are frozen, so the answer stands; cost and every limit ask for it
        object.__setattr__(allocation, "_known_use", known)
    return known[1]


def _use(network: Network, allocation: Allocation) -> Use:
    cycles = network.cycles if allocation.cycles is None else allocation.cycles
    payload = network.upload_bit if allocation.upload_bit is None else allocation.upload_bit
    training, heat, rate, airtime, spent = (np.empty(network.size) for _ in range(5))
    for k in chunks(network.size):
        on, clock, power = allocation.selected[k], allocation.cpu_hz[k], allocation.power_w[k]
        training[k] = np.where(on, physics.training_s(cycles[k], clock), 0.0)
        joule = physics.training_energy_j(network.capacitance[k], cycles[k], clock)
        heat[k] = np.where(on, joule, 0.0)
        rate[k] = physics.rate_bit_s(
            allocation.bandwidth_hz[k], power, network.gain[k], network.noise_w_hz[k]
        )
        if allocation.access == "superposed":
            seconds = physics.analog_airtime_s(payload[k], allocation.bandwidth_hz[k])
        else:
            seconds = physics.airtime_s(payload[k], rate[k])
        airtime[k] = np.where(on, seconds, 0.0)
        spent[k] = np.where(on, physics.upload_energy_j(power, airtime[k]), 0.0)
    begin = upload_begin_s(allocation, training, airtime)
    finish = np.where(allocation.selected, begin + airtime, 0.0)
    return Use(training, begin, airtime, finish, heat, spent, rate)
