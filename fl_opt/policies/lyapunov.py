"""Batteries that must last for many rounds, minded without knowing the rounds to come."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.allocation import Allocation
from fl_opt.checks import number, vector, whole
from fl_opt.policies.optimised import Optimised, Plan
from fl_opt.policy import Round
from fl_opt.problems.joint_schedule import JointSchedule
from fl_opt.units import Floats

_QUEUE = "Lyapunov.queue_j"
"""The queues under the name of a signal, by which the round's problem is given them."""


@dataclass(frozen=True, eq=False)
class Queues:
    """Memory of `Lyapunov`: `queue_j` (K,) what each device is ahead of its budget [J].

    `plan` is the memory of the round's optimisation, with its certified solution.
    """

    queue_j: Floats
    plan: Plan


@dataclass(frozen=True, eq=False)
class Lyapunov:
    r"""Drift plus penalty: a virtual queue per battery is the price of that device's joules.

    Every device may spend H_k over T rounds. A queue q_k counts what it is ahead of its even
    share, and a round is the most of utility less what the queues charge:

        maximise  sum_k (V eta_t - q_k E_k) x_k   by deadline and band,
        then      q_k <- max(0, q_k + E_k - H_k/T)

    with the energy E_k that was measured. Device k joins iff V eta_t exceeds the least of
    q_k e_k(b) + mu b, at the price mu of the band: the round is a ``JointSchedule`` with a price
    per joule for every device, solved with proof. Nothing is assumed of payloads, training energy
    or power limits; only where all of these are common and energy is that of uploads is the best
    set a prefix of ascending q_k/h_k, as in the source.

    A queue of zero makes energy free: its device takes the least band at full power, and leaves the
    rest to those who pay. `floor_j` is the least that every queue counts.

    At every time ``sum of E_k <= t H_k/T + q_k``: what a device is above its budget stands in its
    queue. Small V minds the budget, large V the round.

    Parameters
    ----------
    deadline_s
        End of a round [s].
    budget_j
        What each device may spend over all rounds, H_k, a scalar or (K,) [J].
    rounds
        Number of rounds T.
    weight_j2
        V > 0, the weight of a participation against the queues [J^2]. Of the order of the square
        of a round's energy.
    floor_j
        What a queue counts at least [J]: 0 as in the source; the even share H_k/T is a good one.
    importance
        eta_t of every round in turn, a scalar or (T,); of later rounds, the last.

    Source: Xu, Wang, Client selection and bandwidth allocation in wireless federated learning
    networks: a long-term perspective, IEEE TWC 2021, arXiv 2004.04314. Of its frames this is one.
    """

    deadline_s: float
    budget_j: ArrayLike
    rounds: int
    weight_j2: float
    floor_j: float = 0.0
    importance: ArrayLike = 1.0

    def __post_init__(self) -> None:
        number("Lyapunov.deadline_s", self.deadline_s, open_low=True)
        number("Lyapunov.weight_j2", self.weight_j2, open_low=True)
        number("Lyapunov.floor_j", self.floor_j)
        count = whole("Lyapunov.rounds", self.rounds, 1)
        vector("Lyapunov.importance", self.importance, count)
        vector("Lyapunov.budget_j", self.budget_j, np.size(self.budget_j))

    def start(self, size: int, rng: np.random.Generator) -> Queues:
        """Empty queues. Raises ``InvalidInput`` where the budgets are not one per device."""
        vector("Lyapunov.budget_j", self.budget_j, size)
        return Queues(np.zeros(size), Plan())

    def decide(self, round: Round, memory: Queues) -> tuple[Allocation, Queues]:
        """Fill the queues with what the last round took, and solve this one at their prices."""
        queue = memory.queue_j
        if round.last is not None:
            share = vector("Lyapunov.budget_j", self.budget_j, queue.size) / self.rounds
            queue = np.maximum(queue + round.last.energy_j - share, 0.0)
        eta = vector("Lyapunov.importance", self.importance, self.rounds)
        worth = self.weight_j2 * float(eta[min(round.index, self.rounds - 1)])
        best = Optimised(
            partial(JointSchedule, deadline_s=self.deadline_s, utility=worth),
            signals={"utility_per_j": _QUEUE},
        )
        price = np.maximum(queue, self.floor_j)
        priced = dataclasses.replace(round, signals={**round.signals, _QUEUE: price})
        allocation, plan = best.decide(priced, memory.plan)
        return allocation, Queues(queue, plan)
