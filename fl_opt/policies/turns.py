"""Rules that spread the turns: all at once, by lot, one after another, the longest waiting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_opt.allocation import Allocation
from fl_opt.checks import number
from fl_opt.policies.ordered import Ordered
from fl_opt.policies.seats import Order, equal_share
from fl_opt.policy import Round
from fl_opt.units import Floats


@dataclass(frozen=True)
class Everyone:
    """All devices share the band equally; the plain baseline.

    Parameters
    ----------
    deadline_s
        The server closes the round then [s], and devices that an equal part of the band does not
        bring there in time are left out from the start. None: it waits for the last.
    """

    deadline_s: float | None = None

    def __post_init__(self) -> None:
        if self.deadline_s is not None:
            number("Everyone.deadline_s", self.deadline_s, open_low=True)

    def start(self, size: int, rng: np.random.Generator) -> None:
        """Nothing to remember."""

    def decide(self, round: Round, memory: None) -> tuple[Allocation, None]:
        """Give every device the same part of the band."""
        network = round.network
        line = np.arange(network.size)
        deadline_s = np.inf if self.deadline_s is None else self.deadline_s
        return equal_share(network, line, network.size, deadline_s), None


@dataclass(frozen=True)
class Random(Ordered):
    """Devices by lot, each as likely as any other.

    Source: the sampling of McMahan, Moore, Ramage, Hampson, Aguera y Arcas (AISTATS 2017, arXiv
    1602.05629); as a scheduling policy in arXiv 1908.06287.
    """

    def scores(self, round: Round, memory: None) -> Floats:
        """A lot for each device."""
        return round.rng.random(round.network.size)


@dataclass(frozen=True)
class RoundRobin(Ordered):
    """Devices in turn: who was served goes to the end of the queue, who was passed over does not.

    The queue starts in the order of the device numbers. With `count` and no dead device these are
    the consecutive groups of arXiv 1908.06287.
    """

    def start(self, size: int, rng: np.random.Generator) -> Order:
        """The queue."""
        return np.arange(size)

    def scores(self, round: Round, memory: Order) -> Floats:
        """Minus the place in the queue."""
        place = np.empty(memory.size)
        place[memory] = np.arange(memory.size)
        return -place

    def decide(self, round: Round, memory: Order) -> tuple[Allocation, Order]:
        """Serve the head of the queue."""
        allocation, queue = super().decide(round, memory)
        served = allocation.selected[queue]
        return allocation, np.concatenate((queue[~served], queue[served]))


@dataclass(frozen=True)
class LargestAge(Ordered):
    """The devices whose last update is the longest ago.

    The age of update counts the rounds since an update of the device arrived; one that was sent
    and lost does not count. Of equal ages the better channel comes first.

    Source: Yang, Arafa, Quek, Poor, Age-based scheduling policy for federated learning in mobile
    edge networks, ICASSP 2020, arXiv 1910.14648, which weighs a function of the age against the
    subchannels that a device needs; here the age alone puts the devices in line.
    """

    def start(self, size: int, rng: np.random.Generator) -> NDArray[np.int_]:
        """Everybody is equally old."""
        return np.zeros(size, dtype=int)

    def update(self, round: Round, memory: NDArray[np.int_]) -> NDArray[np.int_]:
        """A round older, or new where the update arrived."""
        if round.last is None:
            return memory
        return np.where(round.last.arrived, 0, memory + 1)

    def scores(self, round: Round, memory: NDArray[np.int_]) -> Floats:
        """The age in rounds."""
        return memory.astype(float)
