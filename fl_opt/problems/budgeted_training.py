r"""Who takes part, and how long a round lasts, for the least time of the whole training.

    minimise    T rounds(U),    U = sum_{k in S} w_k            over sets S, T and resources
    subject to  the limits of `MinRoundTime` for the devices of S in a round of T seconds

    S    who takes part in every round           w_k  utility of device k, > 0 [-]
    T    length of a round [s]                   U    utility of a round [-]
    rounds  how many rounds the training takes, falling in U [-], see `RoundsModel`

More devices make fewer, longer rounds. For a given T the best set is that of `MaxParticipation`, a
knapsack with the weights b_k(T), and its utility U*(T) is a staircase, so what is left is to
minimise T rounds(U*(T)) over one number. On an interval of T it is at least

    T_low rounds(U_bound(T_high)),    U_bound(T) >= U*(T) the bound of the knapsack,

since U* grows with T; intervals are split until none can hold anything better. A set that is found
at some T is given its shortest round T(S); between that and T the staircase is flat, and nothing
is left to look for. Where all w are equal, U* has K steps and T(S) is one bisection each.

The problem is that of Shi, Zhou, Niu, Jiang, Geng, IEEE TWC 2021, arXiv 2007.07174, who schedule
greedily (``LeastTimeGreedy``) with a convergence bound of their own; how the rounds fall with U is
a parameter here, and the exact method is derived here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.allocation import Allocation
from fl_opt.certificate import Excess
from fl_opt.checks import vector
from fl_opt.errors import Infeasible, InvalidInput
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems._budget_reference import sets
from fl_opt.problems._horizon import able, alone_s, require_possible
from fl_opt.problems._limits import device_excess, fdma_use, require_limited
from fl_opt.problems.max_participation import MaxParticipation
from fl_opt.problems.min_round_time import MinRoundTime
from fl_opt.problems.rounds_model import RoundsModel
from fl_opt.problems.uplink import total
from fl_opt.units import Floats

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class BudgetedTraining:
    """Choose who takes part in every round, and its length, for the least time of training.

    Parameters
    ----------
    network
        Who could take part.
    convergence
        How many rounds it takes, by the utility of each.
    utility
        What it is worth that a device takes part, a scalar or (K,), e.g. its samples, or 1 where
        the number of devices counts [-]; `network.samples` where None. Devices of no or negative
        utility stay out.

    The cost is the time of all rounds [s]; the decision is one round, its length `deadline_s`.
    ``solve`` raises ``Infeasible`` where no device of positive utility can ever take part.
    """

    network: Network
    convergence: RoundsModel
    utility: ArrayLike | None = None

    unit = "s"

    def __post_init__(self) -> None:
        if not isinstance(self.network, Network):
            raise InvalidInput("network", type(self.network).__name__, "a fl_opt.Network")
        if not isinstance(self.convergence, RoundsModel):
            raise InvalidInput(
                "convergence", type(self.convergence).__name__, "a fl_opt.RoundsModel"
            )
        _ = self.worth
        require_limited(self.network)

    @cached_property
    def worth(self) -> Floats:
        """(K,) utility of each device [-]."""
        if self.utility is None:
            return self.network.samples
        return vector("utility", self.utility, self.network.size, low=-np.inf)

    def cost(self, decision: Allocation) -> float:
        """Time of all rounds [s]."""
        length = float(fdma_use(self.network, decision).finish_s.max())
        utility = total(np.where(decision.selected, self.worth, 0.0))
        rounds = float(self.convergence.rounds(utility))
        return length * rounds if np.isfinite(rounds) else rounds

    def excess(self, decision: Allocation) -> dict[str, Excess]:
        """The constraints by name."""
        return device_excess(self.network, decision, np.inf)

    # structure: Stepped, in the length of a round

    def everyone(self) -> Mask:
        """All devices that can take part in a round, if it is long enough.

        Raises ``Infeasible`` where there is none.
        """
        wanted = self.worth > 0.0
        found = wanted & able(self.network)
        if not wanted.any():
            raise Infeasible("no device has a utility > 0", constraint="utility")
        if not found.any():
            require_possible(self.network[wanted])
        return found

    def shortest(self) -> float:
        """Proven: no round of a device that can take part is shorter [s]."""
        return float(np.min(alone_s(self.network)[self.everyone()]))

    def choice(self, x: float) -> MaxParticipation:
        """The best set in a round of `x` seconds."""
        return MaxParticipation(self.network, x, self.worth)

    def taken(self, decision: Allocation) -> Mask:
        """Who takes part in a decision of `choice`."""
        return decision.selected

    def least(self, chosen: Mask) -> MinRoundTime:
        """The shortest round of the devices of a mask (K,)."""
        return MinRoundTime(self.network[chosen])

    def join(self, chosen: Mask, decision: Allocation) -> Allocation:
        """The decision of all devices from the round of those chosen."""
        return _spread(decision, chosen)

    def bound(self, x: float, worth: float) -> float:
        """Lower bound of the time in rounds of at least `x` seconds and at most that utility."""
        return float(x * self.convergence.rounds(worth * (1.0 + 8.0 * EPS))) * (1.0 - 16.0 * EPS)

    # structure: Enumerable

    def candidates(self) -> Iterator[tuple[Allocation, float]]:
        """Shortest rounds of all sets that could be better; see `_budget_reference`.

        Raises ``InvalidInput`` for more than 12 devices that could take part.
        """
        return sets(self)


def _spread(decision: Allocation, chosen: Mask) -> Allocation:
    def among(values: Floats) -> Floats:
        full = np.zeros(chosen.size)
        full[chosen] = values
        return full

    return Allocation(
        selected=chosen,
        bandwidth_hz=among(decision.bandwidth_hz),
        power_w=among(decision.power_w),
        cpu_hz=among(decision.cpu_hz),
        upload_s=None if decision.upload_s is None else among(decision.upload_s),
        deadline_s=decision.deadline_s,
    )
