"""FedCS: as many clients as one greedy rule finds, who upload one after another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.checks import number
from fl_opt.policy import Round
from fl_opt.problems.in_turn import InTurn


@dataclass(frozen=True)
class FedCSGreedy:
    """Clients upload in sequence over the whole band; next is who delays the sequence least.

    With theta the time at which the uploads so far are done, client k would add
    max(0, train_k - theta) + upload_k. The one that adds least is admitted while theta stays
    within the deadline. All send at full power and train at the fastest clock that the battery
    pays. O(K x admitted).

    Parameters
    ----------
    deadline_s
        Time for training and uploads [s].

    Source: Nishio, Yonetani, Client selection for federated learning with heterogeneous resources
    in mobile edge, IEEE ICC 2019, arXiv 1804.08333. There the time to multicast the model depends
    on the clients admitted; here it is the scenario's, before the round's clock starts. The most
    clients that there can be are those of ``FedCS``, the exact optimum.
    """

    deadline_s: float

    def __post_init__(self) -> None:
        number("FedCSGreedy.deadline_s", self.deadline_s, open_low=True)

    def start(self, size: int, rng: np.random.Generator) -> None:
        """Nothing to remember."""

    def decide(self, round: Round, memory: None) -> tuple[Allocation, None]:
        """Admit clients one by one."""
        in_turn = InTurn(round.network)
        waiting = np.ones(round.network.size, dtype=bool)
        line: list[int] = []
        theta = 0.0
        while True:
            # who delays least also ends first: if he is late, so is everybody else
            end = np.maximum(in_turn.trained_s, theta) + in_turn.upload_s
            end = np.where(waiting, end, np.inf)
            k = int(np.argmin(end))
            if end[k] > self.deadline_s:
                break
            theta = float(end[k])
            waiting[k] = False
            line.append(k)
        return in_turn.allocation(np.array(line, dtype=int), self.deadline_s), None
