r"""Local training: every device learns from its own data, and nothing is sent.

    w_k <- w_k - rate sum_steps grad f_k(batch)      on every device that takes part

What collaboration is worth is told against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.policy import Outcome
from fl_opt.validation.global_model import GlobalModel, State, numbers
from fl_opt.workload import Workload

if TYPE_CHECKING:
    from fl_opt.validation.federation import Federation, Score


@dataclass(frozen=True)
class LocalTraining(GlobalModel):
    """Every device by itself, from a common start.

    Parameters
    ----------
    local_steps
        Steps of gradient descent on a device in a round; an allocation may override it.
    batch
        Samples per step, drawn with replacement; None: all that the device holds.
    rate
        Step size.

    ``State.weights`` (K, P) has a model for each device. The score is the mean over the devices of
    the accuracy of their own models on test images such as they meet, and of the losses on all
    their training samples. The payload is 0 up and down.
    """

    def workload(self, federation: Federation) -> Workload:
        return Workload(cycles=self.cycles(federation), upload_bit=0.0, samples=federation.samples)

    def broadcast_bit(self, federation: Federation) -> float:
        return 0.0

    def start(self, federation: Federation, rng: np.random.Generator) -> State:
        weights = federation.model.initial(rng)
        return State.fresh(weights.repeat(federation.size, 1), federation.size)

    def learn(
        self,
        federation: Federation,
        state: State,
        allocation: Allocation,
        outcome: Outcome,
        rng: np.random.Generator,
    ) -> State:
        here = np.flatnonzero(outcome.arrived)
        if not here.size:
            return state.noted(here, np.empty(0), np.empty(0))
        updates, loss = self.updates(federation, state.weights[here], here, allocation, rng)
        weights = state.weights.clone()
        weights[here] += updates
        return state.noted(here, numbers(updates.norm(dim=1)), numbers(loss)).moved(weights)

    def evaluate(self, federation: Federation, state: State) -> Score:
        return federation.own_score(state.weights)
