"""Work that goes on when the server moves on: who is busy, for how long, at what cost so far.

A device that begins a piece of work has what the allocation of that round gave it, until it falls
silent: its part of the band, power and clock are not given away before. ``clock.measure`` says in
advance what the work takes; ``UnderWay`` keeps it and cuts rounds out of it, each with the energy
that was spent in it. Where the server waits for all, a round is what ``measure`` said, to the bit.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_opt.allocation import Allocation
from fl_opt.checks import number, whole
from fl_opt.network import Network
from fl_opt.units import Floats
from fl_opt.validation.clock import SLACK, Measured


@dataclass(frozen=True)
class Tick:
    """When a round of the server ends.

    Parameters
    ----------
    arrivals
        With that many updates; or, where fewer are to come, when the last device falls silent.
        None: it waits for all.
    period_s
        After that long at the latest, and with `arrivals` None exactly then [s].
    """

    arrivals: int | None = None
    period_s: float = math.inf

    def __post_init__(self) -> None:
        if self.arrivals is not None:
            whole("arrivals", self.arrivals, 1)
        number("period_s", self.period_s, open_low=True, finite=False)

    def seconds(self, left_s: Floats, arrives: NDArray[np.bool_]) -> float:
        """Length of a round in which devices (n,), at least one, end after `left_s` [s]."""
        if self.arrivals is None:
            return self.period_s if math.isfinite(self.period_s) else float(left_s.max())
        useful = np.sort(left_s[arrives])
        enough = useful.size >= self.arrivals
        end = useful[self.arrivals - 1] if enough else left_s.max()
        return min(float(end), self.period_s)


WAIT = Tick()
"""The synchronous round."""


@dataclass(frozen=True, eq=False)
class UnderWay:
    """What devices are at, (K,) each.

    Attributes
    ----------
    work
        What each does from reception to silence; `selected` are those that are at it.
    bandwidth_hz
        Part of the band that each holds [Hz]; 0 for the idle.
    left_s
        Time until each falls silent, from the begin of the round on [s].
    training_j, upload_j
        What each had spent on the work before the round began [J].
    """

    work: Measured
    bandwidth_hz: Floats
    left_s: Floats
    training_j: Floats
    upload_j: Floats

    @classmethod
    def idle(cls, size: int) -> UnderWay:
        """Nobody is at work."""
        zero, nobody = np.zeros(size), np.zeros(size, dtype=bool)
        work = Measured(nobody, nobody, zero, zero, 0.0, *[zero] * 6)
        return cls(work, zero, zero, zero, zero)

    def offer(self, network: Network) -> Network:
        """What there is to give away: the band that nobody holds, no energy of the busy."""
        busy = self.work.selected
        if not busy.any():
            return network
        free_hz = network.band_hz - float(self.bandwidth_hz.sum())
        return network.replace(
            # what subtraction leaves of a band that is given away whole is none
            band_hz=free_hz if free_hz > SLACK * network.band_hz else 0.0,
            energy_j=np.where(busy, 0.0, network.energy_j),
        )

    def idle_among(self, allocation: Allocation) -> Allocation:
        """The allocation without those that are at work."""
        busy = self.work.selected & allocation.selected
        return (
            allocation.replace(selected=allocation.selected & ~busy) if busy.any() else allocation
        )

    def joined(self, begun: Measured, allocation: Allocation, wait_s: float) -> UnderWay:
        """With the work that begins after `wait_s`, when the model has come [s]."""
        new = begun.selected
        work = dataclasses.replace(
            begun,
            **{
                name: np.where(new, getattr(begun, name), getattr(self.work, name))
                for name in _ARRAYS
            },
        )
        return UnderWay(
            dataclasses.replace(work, selected=new | self.work.selected),
            np.where(new, allocation.bandwidth_hz, self.bandwidth_hz),
            np.where(new, wait_s + begun.finish_s, self.left_s),
            np.where(new, 0.0, self.training_j),
            np.where(new, 0.0, self.upload_j),
        )

    def until(self, tick: Tick) -> tuple[Measured, UnderWay]:
        """The round up to the next tick, and what is under way after it.

        In the round, `selected` are those whose work ended, the energies are all that was spent.
        """
        work, busy = self.work, self.work.selected
        seconds = work.seconds
        if busy.any():
            seconds = tick.seconds(self.left_s[busy], work.arrived[busy])
        elif math.isfinite(tick.period_s):
            seconds = tick.period_s
        done = busy & (self.left_s <= seconds * (1.0 + SLACK))
        training_j, upload_j = self._spent(done, seconds)
        energy_j = np.where(done, work.energy_j, training_j + upload_j)
        ended = {
            name: np.where(done, getattr(work, name), np.zeros_like(getattr(work, name)))
            for name in _ARRAYS
        }
        ended |= {
            "energy_j": np.maximum(energy_j - self.training_j - self.upload_j, 0.0),
            "training_j": training_j - self.training_j,
            "upload_j": upload_j - self.upload_j,
        }
        after = UnderWay(
            dataclasses.replace(work, selected=busy & ~done),
            np.where(done, 0.0, self.bandwidth_hz),
            np.where(done, 0.0, self.left_s - seconds),
            np.where(done, 0.0, training_j),
            np.where(done, 0.0, upload_j),
        )
        return dataclasses.replace(work, **ended, selected=done, seconds=seconds), after

    def _spent(self, done: NDArray[np.bool_], seconds: float) -> tuple[Floats, Floats]:
        """Energy for training and for sending, since each began, at the end of the round [J]."""
        work = self.work
        at_s = work.finish_s - (self.left_s - seconds)
        sent_s = at_s - (work.finish_s - work.airtime_s)
        with np.errstate(divide="ignore", invalid="ignore"):
            trained = np.where(work.training_s > 0.0, at_s / work.training_s, 1.0)
            sent = np.where(work.airtime_s > 0.0, sent_s / work.airtime_s, 0.0)
        on = work.selected
        return (
            np.where(on, work.training_j * np.where(done, 1.0, np.clip(trained, 0.0, 1.0)), 0.0),
            np.where(on, work.upload_j * np.where(done, 1.0, np.clip(sent, 0.0, 1.0)), 0.0),
        )


_ARRAYS = tuple(
    item.name for item in dataclasses.fields(Measured) if item.name not in ("selected", "seconds")
)
