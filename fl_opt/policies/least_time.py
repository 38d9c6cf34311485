"""Add devices one by one while that shortens the training: the greedy rule of Shi et al."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_opt.allocation import Allocation
from fl_opt.errors import InvalidInput
from fl_opt.network import Network
from fl_opt.policy import Round
from fl_opt.problems._horizon import able, alone_s
from fl_opt.problems.rounds_model import RoundsModel
from fl_opt.problems.uplink import Uplink

_SHORTEST_S = 1e-9
_DIGITS = 1e-11


@dataclass(frozen=True)
class LeastTimeGreedy:
    """Next is who lengthens the round least, until the training gets no shorter by anybody.

    With T(S) the shortest round of a set S, the device that makes T(S) least is added while
    T(S) x rounds(U) falls, U the samples of S or their number. All get their least bandwidth.

    Parameters
    ----------
    convergence
        How many rounds a training takes, by the utility of each.
    count
        Whether every device counts one; else its samples.

    A heuristic without a bound; the least training time is that of ``BudgetedTraining``. Source:
    Shi, Zhou, Niu, Jiang, Geng, IEEE TWC 2021, arXiv 2007.07174, who use a convergence bound of
    their own for the rounds; unlimited power without an energy limit is passed over.
    """

    convergence: RoundsModel
    count: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.convergence, RoundsModel):
            raise InvalidInput(
                "LeastTimeGreedy.convergence",
                type(self.convergence).__name__,
                "a fl_opt.RoundsModel",
            )

    def start(self, size: int, rng: np.random.Generator) -> None:
        """Nothing to remember."""

    def decide(self, round: Round, memory: None) -> tuple[Allocation, None]:
        """Add devices while the training gets shorter."""
        network = round.network
        utility = np.ones(network.size) if self.count else network.samples
        limited = np.isfinite(network.power_max_w) | np.isfinite(network.energy_j)
        waiting = able(network) & (utility > 0.0) & (limited | (network.upload_bit == 0.0))
        chosen = np.zeros(network.size, dtype=bool)
        length, training, worth = _SHORTEST_S, math.inf, 0.0
        while waiting.any():
            then, k = _next(network, chosen, waiting, length)
            worth += float(utility[k])
            longer = then * float(self.convergence.rounds(worth))
            if longer >= training:
                break
            length, training = then, longer
            chosen[k], waiting[k] = True, False
        if not chosen.any():
            return Allocation.none(network.size), None
        uplink = Uplink(network, length)
        return uplink.allocation(uplink.floor, chosen), None


def _next(
    network: Network, chosen: NDArray[np.bool_], waiting: NDArray[np.bool_], low: float
) -> tuple[float, int]:
    """The shortest round with one more device [s], by bisection, and who that is."""
    line = np.flatnonzero(waiting)

    def first(length: float) -> int | None:
        needed = Uplink(network, length).least_hz
        k = int(line[np.argmin(needed[line])])
        fits = float(needed[chosen].sum()) + needed[k] <= network.band_hz
        return k if fits else None

    high = max(low, float(alone_s(network)[line].min()))
    found = first(high)
    while found is None:
        low, high = high, 2.0 * high
        found = first(high)
    best = found
    while high > low * (1.0 + _DIGITS):
        middle = 0.5 * (low + high)
        found = first(middle)
        if found is None:
            low = middle
        else:
            high, best = middle, found
    return high, best
