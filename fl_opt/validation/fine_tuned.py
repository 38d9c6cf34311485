r"""Federated averaging with fine-tuning: each device takes some steps on its own data before use.

    w_k = w - tune_rate sum_steps grad f_k(w)        from the model w of federated averaging

The plainest personalisation, and the one to beat: Cheng, Chadha, Duchi, Fine-tuning is fine in
federated learning, 2021, arXiv 2108.07313.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fl_opt.checks import number, whole
from fl_opt.validation.fedavg import FedAvg
from fl_opt.validation.global_model import State

if TYPE_CHECKING:
    from torch import Tensor

    from fl_opt.validation.federation import Federation, Score


@dataclass(frozen=True)
class FineTuned(FedAvg):
    """Federated averaging whose model each device adapts to its own data before use.

    Parameters
    ----------
    local_steps, batch, rate, bits, waterfall
        As of ``FedAvg``.
    tune_steps
        Steps on all of a device's samples that make the model its own; 0 leaves it as it is.
    tune_rate
        Size of these steps.

    The score is the mean over all devices of the accuracy of their adapted models on test images
    such as they meet. Adapting changes nothing of the model that is averaged; its time and energy
    are not counted, since it is done once, when training has ended.
    """

    tune_steps: int = 1
    tune_rate: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        where = type(self).__name__
        whole(f"{where}.tune_steps", self.tune_steps)
        number(f"{where}.tune_rate", self.tune_rate)

    def own(self, federation: Federation, weights: Tensor) -> Tensor:
        """(K, P) the model of each device, adapted from `weights` (P,)."""
        everyone, steps = np.arange(federation.size), np.full(federation.size, self.tune_steps)
        # all samples in every step: nothing is drawn
        batches = federation.batches(everyone, steps, None, np.random.default_rng(0))
        adapted, _ = federation.model.train(
            weights, federation.x, federation.y, batches, self.tune_rate
        )
        return adapted

    def evaluate(self, federation: Federation, state: State) -> Score:
        return federation.own_score(self.own(federation, state.weights))
