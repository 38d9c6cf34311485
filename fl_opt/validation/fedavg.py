r"""Federated averaging: local steps of gradient descent, weighted mean of what arrived.

    w_k <- w - rate sum_steps grad f_k(batch)      on every device that takes part
    w   <- w + sum_k n_k (w_k - w) / sum_k n_k     over the devices whose update arrived

Source: McMahan, Moore, Ramage, Hampson, Aguera y Arcas, Communication-efficient learning of deep
networks from decentralized data, AISTATS 2017, arXiv 1602.05629.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fl_opt import physics
from fl_opt.allocation import Allocation
from fl_opt.checks import number
from fl_opt.errors import InvalidInput
from fl_opt.network import Network
from fl_opt.policy import Outcome
from fl_opt.units import Floats
from fl_opt.workload import Workload

if TYPE_CHECKING:
    from torch import Tensor

    from fl_opt.validation.federation import Federation, Score

FLOAT_BIT = 32
SIGN_AND_EXPONENT_BIT = 9


@dataclass(frozen=True, eq=False)
class State:
    """What the server keeps.

    Attributes
    ----------
    weights
        (P,) global model.
    update_norm, loss
        (K,) Euclidean norm of a device's last update and its mean loss while it was computed
        [nat]; NaN before the first.
    age
        (K,) rounds since the device's last update arrived, or since the start.
    """

    weights: Tensor
    update_norm: Floats
    loss: Floats
    age: Floats


@dataclass(frozen=True)
class FedAvg:
    """Federated averaging.

    Parameters
    ----------
    local_steps
        Steps of gradient descent on a device in a round; an allocation may override it.
    batch
        Samples per step, drawn with replacement; None: all that the device holds.
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

    local_steps: int = 10
    batch: int | None = 32
    rate: float = 0.05
    bits: int = FLOAT_BIT
    waterfall: float = 0.0

    signals: ClassVar[tuple[str, ...]] = ("update_norm", "loss", "age")

    def __post_init__(self) -> None:
        _whole("FedAvg.local_steps", self.local_steps, 1)
        if self.batch is not None:
            _whole("FedAvg.batch", self.batch, 1)
        number("FedAvg.rate", self.rate, open_low=True)
        _whole("FedAvg.bits", self.bits, SIGN_AND_EXPONENT_BIT + 1, FLOAT_BIT)
        number("FedAvg.waterfall", self.waterfall)

    def workload(self, federation: Federation) -> Workload:
        per_step = federation.samples if self.batch is None else self.batch
        return Workload(
            cycles=federation.cycles_per_sample * self.local_steps * per_step,
            upload_bit=self.bits * federation.model.parameters,
            samples=federation.samples,
        )

    def broadcast_bit(self, federation: Federation) -> float:
        return float(FLOAT_BIT * federation.model.parameters)

    def packet_error(self, network: Network, allocation: Allocation) -> Floats:
        noise_w = network.noise_w_hz * allocation.bandwidth_hz
        return physics.packet_error(self.waterfall, noise_w, allocation.power_w, network.gain)

    def start(self, federation: Federation, rng: np.random.Generator) -> State:
        unknown = np.full(federation.size, np.nan)
        return State(federation.model.initial(rng), unknown, unknown, np.zeros(federation.size))

    def observe(self, state: State) -> Mapping[str, Floats]:
        return {name: getattr(state, name) for name in self.signals}

    def learn(
        self,
        federation: Federation,
        state: State,
        allocation: Allocation,
        outcome: Outcome,
        rng: np.random.Generator,
    ) -> State:
        import torch

        here = np.flatnonzero(outcome.arrived)
        aged = dataclasses.replace(state, age=np.where(outcome.arrived, 0.0, state.age + 1.0))
        if not here.size:
            return aged
        steps = np.full(federation.size, self.local_steps)
        if allocation.local_steps is not None:
            steps = allocation.local_steps
        batches = federation.batches(here, steps[here], self.batch, rng)
        trained, loss = federation.model.train(
            state.weights, federation.x, federation.y, batches, self.rate
        )
        updates = rounded(trained.sub_(state.weights), self.bits)
        share = federation.samples[here] / federation.samples[here].sum()
        return dataclasses.replace(
            aged,
            weights=state.weights + torch.from_numpy(share).to(updates.dtype) @ updates,
            update_norm=_with(state.update_norm, here, updates.norm(dim=1)),
            loss=_with(state.loss, here, loss),
        )

    def evaluate(self, federation: Federation, state: State) -> Score:
        return federation.score(state.weights)


def rounded(values: Tensor, bits: int) -> Tensor:
    """float32 values with their mantissa rounded to nearest so that `bits` bits carry them."""
    import torch

    drop = FLOAT_BIT - bits
    if not drop:
        return values
    # adding half of the last kept place to the raw number rounds the magnitude, whatever the sign
    raw = values.view(torch.int32) + (1 << (drop - 1))
    return (raw & ~((1 << drop) - 1)).view(torch.float32)


def _with(known: Floats, here: np.ndarray[tuple[int], np.dtype[np.intp]], news: Tensor) -> Floats:
    values = known.copy()
    values[here] = news.double().numpy()
    return values


def _whole(where: str, value: int, low: int, high: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InvalidInput(where, repr(value), "a whole number")
    if value < low or (high is not None and value > high):
        expected = f"at least {low}" if high is None else f"{low} to {high}"
        raise InvalidInput(where, value, expected)
