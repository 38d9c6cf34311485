"""A rule that puts the devices in line. How many of them are seated is the same for all rules."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.checks import number
from fl_opt.errors import InvalidInput
from fl_opt.network import Network
from fl_opt.policies.seats import Order, equal_share, fill_band
from fl_opt.policy import Round
from fl_opt.units import Floats


@dataclass(frozen=True)
class Ordered(abc.ABC):
    """Devices in the order of a score, seated by number or by deadline.

    Parameters
    ----------
    count
        With `count` alone: that many devices share the band equally, and the server waits for all
        of them (``fl_opt.policies.seats.equal_share``).
    deadline_s
        With a deadline [s]: as many as fit, each with the least band that keeps it, at most
        `count` of them (``fl_opt.policies.seats.fill_band``).

    A rule of your own overrides `scores`, and `update` if it remembers something. Of devices with
    the same score the one with the better channel comes first, then the lower number.

    Raises ``InvalidInput`` where neither is given, or out of range.
    """

    count: int | None = None
    deadline_s: float | None = None

    def __post_init__(self) -> None:
        name = type(self).__name__
        if self.count is None and self.deadline_s is None:
            raise InvalidInput(name, "without seats", "count=, deadline_s= or both")
        whole = isinstance(self.count, int | np.integer) and self.count >= 1
        if self.count is not None and not whole:
            raise InvalidInput(f"{name}.count", repr(self.count), "a whole number >= 1, or None")
        if self.deadline_s is not None:
            number(f"{name}.deadline_s", self.deadline_s, open_low=True)

    def start(self, size: int, rng: np.random.Generator) -> Any:
        """Nothing to remember."""
        return None

    def update(self, round: Round, memory: Any) -> Any:
        """The memory once this round's channels and the last round's outcome are known."""
        return memory

    @abc.abstractmethod
    def scores(self, round: Round, memory: Any) -> Floats:
        """(K,) the higher, the sooner in line; `memory` is that of `update`."""

    def decide(self, round: Round, memory: Any) -> tuple[Allocation, Any]:
        """Seat the devices in the order of their scores."""
        memory = self.update(round, memory)
        line = np.lexsort((-round.network.gain, -self.scores(round, memory)))
        return self.seat(round.network, line), memory

    def seat(self, network: Network, line: Order) -> Allocation:
        """Seat a line of devices by number or by deadline."""
        if self.deadline_s is not None:
            return fill_band(network, line, self.deadline_s, self.count)
        return equal_share(network, line, self.count or network.size)
