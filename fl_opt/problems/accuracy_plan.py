"""What a choice of local accuracy decides: how exactly to train, how often, and one round."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fl_opt.allocation import Allocation
from fl_opt.checks import number
from fl_opt.errors import InvalidInput
from fl_opt.network import Network
from fl_opt.structure import Line
from fl_opt.units import Floats

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False)
class AccuracyPlan:
    """What `LocalAccuracy` decides: the accuracy of local training, and a round for it.

    Parameters
    ----------
    halvings
        How often local training halves the error of the local problem, log2(1/eta) > 0 [-].
    rounds
        How many rounds that takes, > 0, not whole in general [-].
    allocation
        Each of the rounds; its `cycles` are those of `halvings`.
    """

    halvings: float
    rounds: float
    allocation: Allocation

    def __post_init__(self) -> None:
        number("halvings", self.halvings, open_low=True)
        number("rounds", self.rounds, open_low=True)
        if not isinstance(self.allocation, Allocation):
            raise InvalidInput("allocation", type(self.allocation).__name__, "a fl_opt.Allocation")

    @property
    def local_accuracy(self) -> float:
        """What local training leaves, eta = 2^-halvings, of the error of the local problem [-]."""
        return math.exp2(-self.halvings)

    @property
    def selected(self) -> NDArray[np.bool_]:
        """(K,) who takes part."""
        return self.allocation.selected

    def to_round(self, network: Network) -> Allocation:
        """One of the rounds."""
        return self.allocation

    def to_frame(self) -> pandas.DataFrame:
        """A row per device, as of the round."""
        return self.allocation.to_frame()


@dataclass(frozen=True)
class Accuracy:
    """All numbers that follow from the rounds beyond the least, `spare` = m - a > 0.

    `least` is a. Everything is good to a few units in the last place for eta near 0 and near 1,
    where eta itself is not.
    """

    least: float
    spare: float

    @property
    def rounds(self) -> float:
        """Their number m = a/(1 - eta)."""
        return self.least + self.spare

    @property
    def nats(self) -> float:
        """ln(1/eta)."""
        return math.log1p(self.least / self.spare)

    @property
    def halvings(self) -> float:
        """log2(1/eta)."""
        return self.nats / math.log(2.0)

    @property
    def relief(self) -> float:
        """-d ln(local work of a round)/d ln(rounds), the relative gain by one more percent."""
        return self.least / self.spare / self.nats

    def latest_s(self, length_s: float) -> float:
        """The longest round that a line need hold for, see `extended` [s]."""
        return min(2.0, self.rounds / self.least) * length_s

    def extended(self, line: Line, cost: float) -> Line:
        """A line below a convex function for half the rounds and more, made one for all.

        `cost` is at least the function here. For fewer rounds the function lies above the
        chord from here through half the rounds, so above the line less its distance from `cost`.
        """
        if self.rounds <= 2.0 * self.least:
            return line
        return Line(line.at, line.value - max(cost - line.value, 0.0), line.slope)

    @staticmethod
    def rounds_at(least: float, halvings: float) -> float:
        """Rounds that local training by so many halvings takes."""
        return least / -math.expm1(-halvings * math.log(2.0))

    @staticmethod
    def spare_at(least: float, halvings: float) -> float:
        """Rounds beyond the least that local training by so many halvings takes."""
        nats = halvings * math.log(2.0)
        return least / math.expm1(nats) if nats < 700.0 else 0.0


def alone_s(network: Network) -> tuple[Floats, Floats]:
    """(K,) shortest training within the energy [s], and its elasticity to the cycles [-]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        fast = np.where(network.cycles > 0.0, network.cycles / network.cpu_max_hz, 0.0)
        poor = network.cycles * np.sqrt(network.cycles * network.capacitance / network.energy_j)
    poor = np.nan_to_num(poor, nan=0.0)
    return np.maximum(fast, poor), np.where(poor > fast, 1.5, 1.0)
