"""Time against energy: the least energy of a round over its deadline, and what a second is worth.

Every point is an optimum of ``MinEnergy`` with its certificate. The slope -dE/dT is the price of
the deadline: the weight of time [J/s] at which ``TimeEnergyTradeoff`` would choose that point.
The energy is convex and decreasing in the deadline, so no point between two of them lies below
the lines through their slopes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.certificate import Solution
from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.network import Network
from fl_opt.problems.min_energy import MinEnergy
from fl_opt.problems.min_round_time import MinRoundTime
from fl_opt.solving import solve
from fl_opt.units import Floats


@dataclass(frozen=True)
class Point:
    """An optimum on the frontier.

    `deadline_s` [s], least `energy_j` of all devices together [J], its proven lower bound
    `bound_j` [J], the relative `gap` between them, and `slope_w`, the energy that a further second
    would save [J/s]; infinite at the shortest round.
    """

    deadline_s: float
    energy_j: float
    bound_j: float
    gap: float
    slope_w: float


def deadlines(network: Network, points: int = 20, longest: float = 10.0) -> Floats:
    """Deadlines (points,) evenly spaced in ratio, from the shortest round to `longest` times that.

    Raises ``Infeasible`` where no round of any length is possible, ``InvalidInput`` for fewer than
    two points or a `longest` of at most 1.
    """
    if points < 2:
        raise InvalidInput("points", points, "at least 2")
    number("longest", longest, low=1.0, open_low=True)
    shortest = solve(MinRoundTime(network)).certificate.cost
    return shortest * np.geomspace(1.0, longest, points)


def frontier(network: Network, deadline_s: ArrayLike) -> Iterator[Point]:
    """The points of the frontier, one at a time, in the order of `deadline_s`.

    Parameters
    ----------
    network
        The round's devices.
    deadline_s
        (n,) deadlines [s].

    Raises ``Infeasible`` at the first deadline that is too short.
    """
    series = np.atleast_1d(np.asarray(deadline_s))
    found: Solution[Any] | None = None
    for deadline in vector("deadline_s", series, series.size, open_low=True):
        found = solve(MinEnergy(network, float(deadline)), start=found)
        proof = found.certificate
        price = found.prices["deadline"]
        yield Point(
            float(deadline), proof.cost, proof.bound, proof.gap, float(np.sum(np.asarray(price)))
        )
