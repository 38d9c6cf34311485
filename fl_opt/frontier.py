"""What a longer round buys: less energy, or more devices.

**Energy** (`frontier`): the least energy of a round over its deadline, and what a second is worth.

Every point is an optimum of ``MinEnergy`` with its certificate. The slope -dE/dT is the price of
the deadline: the weight of time [J/s] at which ``TimeEnergyTradeoff`` would choose that point.
The energy is convex and decreasing in the deadline, so no point between two of them lies below
the lines through their slopes.

**Utility** (`staircase`): the most useful set of devices over the length of the round, every step
of it, each with its proof.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.certificate import Solution
from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems.max_participation import MaxParticipation
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


@dataclass(frozen=True, eq=False)
class Step:
    """A step of the staircase: from `round_s` on, until the step before, this set is the best.

    `round_s` [s] is the shortest round of the `selected` (K,), `bound_s` its proven lower bound.
    `utility` is that of the set, `utility_bound` bounds that of every set from `round_s` up to the
    step before; where the two are equal, as for whole utilities, no shorter round than `bound_s`
    is as useful.
    """

    round_s: float
    bound_s: float
    utility: float
    utility_bound: float
    selected: NDArray[np.bool_]


def staircase(
    network: Network,
    longest_s: float,
    shortest_s: float = 0.0,
    utility: ArrayLike | None = None,
) -> Iterator[Step]:
    """The most utility over the length of a round, all its steps, from the longest round down.

    Parameters
    ----------
    network
        Who could take part.
    longest_s, shortest_s
        Lengths of the round between which steps are looked for [s].
    utility
        As in ``MaxParticipation``; `network.samples` where None.

    The number of steps can grow exponentially with the devices where utilities differ; the steps
    come one by one, so stop when you have seen enough.

    >>> import fl_opt
    >>> network = fl_opt.Network(
    ...     gain=[1e-10, 4e-12], power_max_w=0.2, cpu_min_hz=1e8, cpu_max_hz=2e9,
    ...     capacitance=1e-28, cycles=2e8, upload_bit=3e5, samples=[600, 400], band_hz=2e5)
    >>> for step in staircase(network, longest_s=2.0):
    ...     print(f"{step.round_s:.4f} s: {step.utility:.0f}")
    0.3341 s: 1000
    0.2026 s: 600
    """
    number("longest_s", longest_s, open_low=True)
    number("shortest_s", shortest_s, high=longest_s)
    length, held = longest_s, None
    while length > shortest_s:
        problem = MaxParticipation(network, length, utility)
        best = solve(problem)
        chosen = best.allocation.selected
        worth, above = -best.certificate.cost, -best.certificate.bound
        if held is not None and worth < held.utility:
            yield held
            held = None
        if not worth > 0.0:
            return
        proof = solve(MinRoundTime(network[chosen])).certificate
        bound = above if held is None else held.utility_bound
        held = Step(proof.cost, proof.bound, worth, bound, chosen)
        # the same set does not fit any shorter round
        length = min(proof.bound, length * (1.0 - EPS))
    if held is not None:
        yield held
