r"""Federated averaging: local steps of gradient descent, weighted mean of what arrived.

    w_k <- w - rate sum_steps grad f_k(batch)      on every device that takes part
    w   <- w + sum_k n_k (w_k - w) / sum_k n_k     over the devices whose update arrived

Source: McMahan, Moore, Ramage, Hampson, Aguera y Arcas, Communication-efficient learning of deep
networks from decentralized data, AISTATS 2017, arXiv 1602.05629.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from fl_opt import physics
from fl_opt.allocation import Allocation
from fl_opt.checks import number, whole
from fl_opt.network import Network
from fl_opt.policy import Outcome
from fl_opt.units import Floats
from fl_opt.validation.data import Ints
from fl_opt.validation.global_model import FLOAT_BIT, GlobalModel, State, numbers, weighted_mean
from fl_opt.workload import Workload

if TYPE_CHECKING:
    from torch import Tensor

    from fl_opt.validation.federation import Federation

S = TypeVar("S", bound=State)

SIGN_AND_EXPONENT_BIT = 9


@dataclass(frozen=True)
class FedAvg(GlobalModel):
    """Federated averaging.

    Parameters
    ----------
    local_steps
        Steps of gradient descent on a device in a round; an allocation may override it.
    batch
        Samples per step, drawn with replacement from the device's own; None: all that it holds.
    rate
        Step size.
    bits
        Length of a sent number, 10 to 32 bit: a float32 whose mantissa is rounded; 16 is bfloat16.
    waterfall
        Waterfall threshold m of modulation and coding: an update is lost with probability
        1 - exp(-m N0 b/(p h)), see ``physics.packet_error``. The default 0 loses none.

    With nothing arrived, the model stays. The update of a device that does not get through is not
    kept, and so not computed here; its energy is spent all the same.
    """

    bits: int = FLOAT_BIT
    waterfall: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("FedAvg.bits", self.bits, SIGN_AND_EXPONENT_BIT + 1, FLOAT_BIT)
        number("FedAvg.waterfall", self.waterfall)

    def workload(self, federation: Federation) -> Workload:
        return Workload(
            cycles=self.cycles(federation),
            upload_bit=self.bits * federation.model.parameters,
            samples=federation.samples,
        )

    def packet_error(self, network: Network, allocation: Allocation) -> Floats:
        noise_w = network.noise_w_hz * allocation.bandwidth_hz
        return physics.packet_error(self.waterfall, noise_w, allocation.power_w, network.gain)

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
        return self.averaged(federation, state, here, allocation, rng)[0]

    def averaged(
        self,
        federation: Federation,
        state: S,
        here: Ints,
        allocation: Allocation,
        rng: np.random.Generator,
    ) -> tuple[S, Tensor]:
        """State after a round in which devices `here` (n,) arrived, and their updates (n, P)."""
        updates, loss = self.updates(federation, state.weights, here, allocation, rng)
        updates = rounded(updates, self.bits)
        weights = state.weights + weighted_mean(federation, here, updates)
        noted = state.noted(here, numbers(updates.norm(dim=1)), numbers(loss))
        return noted.moved(weights), updates


def rounded(values: Tensor, bits: int) -> Tensor:
    """float32 values with their mantissa rounded to nearest so that `bits` bits carry them."""
    import torch

    drop = FLOAT_BIT - bits
    if not drop:
        return values
    # adding half of the last kept place to the raw number rounds the magnitude, whatever the sign
    raw = values.view(torch.int32) + (1 << (drop - 1))
    return (raw & ~((1 << drop) - 1)).view(torch.float32)
