r"""Federated averaging of compressed updates, with a memory of what compression left out.

    p_k = w_k - w + e_k            the update of local training, and what is still owed
    c_k = C(p_k)                   what is sent
    e_k <- p_k - c_k               with error feedback; without it e_k = 0
    w   <- w + sum_k n_k c_k/sum_k n_k        over the devices whose update arrived

Nothing is lost for good with error feedback: what has been sent and what is owed make up all that
was ever computed, whatever C leaves out. That needs a C that contracts, E||C(x) - x||^2 < ||x||^2.
An unbiased C with E||C(x) - x||^2 <= v ||x||^2 need not (v = d/k - 1 for random-k), and is then
scaled by 1/(1 + v), which leaves v/(1 + v) of the square.

"vote" is signSGD: the server moves each parameter by `vote_step` in the direction that most
devices want. A vote has no length, so that nobody knows what is owed: no error feedback.

Sources: error feedback, Seide, Fu, Droppo, Li, Yu, Interspeech 2014; Stich, Cordonnier, Jaggi,
NeurIPS 2018, arXiv 1809.07599; Karimireddy, Rebjock, Stich, Jaggi, ICML 2019, arXiv 1901.09847.
Majority vote, Bernstein, Zhao, Azizzadenesheli, Anandkumar, ICLR 2019, arXiv 1810.05291.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.checks import number, whole
from fl_opt.compression_laws import Level
from fl_opt.errors import InvalidInput
from fl_opt.policy import Outcome
from fl_opt.validation.compressors import KINDS, affordable, majority
from fl_opt.validation.data import Ints
from fl_opt.validation.global_model import GlobalModel, State, numbers, weighted_mean
from fl_opt.workload import Workload

if TYPE_CHECKING:
    from torch import Tensor

    from fl_opt.validation.federation import Federation


@dataclass(frozen=True, eq=False)
class Owing(State):
    """What the server keeps, and what each device keeps for itself.

    `owed` (K, P) is the part of a device's updates that it has not sent; None without error
    feedback.
    """

    owed: Tensor | None = None


@dataclass(frozen=True)
class Compressed(GlobalModel):
    """Federated averaging of compressed updates, with or without error feedback.

    Parameters
    ----------
    local_steps
        Steps of gradient descent on a device in a round; an allocation may override it.
    batch
        Samples per step, drawn with replacement; None: all that the device holds.
    rate
        Step size.
    compressor
        "top-k", "random-k", "qsgd", "sign", "top-k-sign", "vote" or "none".
    share
        Part of the parameters that "top-k", "random-k" and "top-k-sign" keep, rounded down, at
        least one.
    levels
        Levels s of "qsgd" on either side of zero.
    error_feedback
        Whether a device adds to its next update what the last ones left out.
    vote_step
        By how much a vote moves a parameter.

    An allocation with an `upload_bit` sets the compression device by device: each sends the
    largest amount that fits. The broadcast is not compressed: 32 bit per parameter go down. A
    device that does not get through owes what it owed before the round, since its update is not
    kept. The signal `update_norm` is the norm of what was compressed, ||p_k||.
    """

    compressor: str = "top-k"
    share: float = 0.01
    levels: int = 4
    error_feedback: bool = True
    vote_step: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.compressor not in KINDS:
            raise InvalidInput(
                "Compressed.compressor", repr(self.compressor), f"one of {', '.join(KINDS)}"
            )
        number("Compressed.share", self.share, high=1.0, open_low=True)
        whole("Compressed.levels", self.levels, 1, 2**15 - 1)
        number("Compressed.vote_step", self.vote_step, open_low=True)
        if self.compressor == "vote" and self.error_feedback:
            raise InvalidInput(
                "Compressed.error_feedback",
                True,
                "False with a vote",
                "what a vote leaves out has no length; take the compressor sign for error feedback",
            )

    def amount(self, size: int) -> int:
        """Coordinates or levels that a device sends of `size` parameters, if told nothing else."""
        if self.compressor == "qsgd":
            return self.levels
        return max(1, int(self.share * size))

    def level(self, size: int) -> Level:
        """Payload and error law of an update of `size` parameters, if told nothing else."""
        return KINDS[self.compressor].law(size, self.amount(size))

    def workload(self, federation: Federation) -> Workload:
        return Workload(
            cycles=self.cycles(federation),
            upload_bit=self.level(federation.model.parameters).upload_bit,
            samples=federation.samples,
        )

    def start(self, federation: Federation, rng: np.random.Generator) -> Owing:
        weights = federation.model.initial(rng)
        fresh = State.fresh(weights, federation.size)
        owed = weights.new_zeros(federation.size, weights.numel()) if self.error_feedback else None
        return Owing(fresh.weights, fresh.update_norm, fresh.loss, fresh.age, owed)

    def learn(
        self,
        federation: Federation,
        state: Owing,
        allocation: Allocation,
        outcome: Outcome,
        rng: np.random.Generator,
    ) -> Owing:
        here = np.flatnonzero(outcome.arrived)
        if not here.size:
            return state.noted(here, np.empty(0), np.empty(0))
        # streams of their own: the batches are those of the other methods
        lots = rng.spawn(federation.size)
        wanted, loss = self.updates(federation, state.weights, here, allocation, rng)
        if state.owed is not None:
            wanted += state.owed[here]
        sent = self.compress(wanted, self._amounts(wanted.shape[1], allocation, here), lots, here)
        noted = state.noted(here, numbers(wanted.norm(dim=1)), numbers(loss))
        if state.owed is not None:
            owed = state.owed.clone()
            owed[here] = wanted - sent
            noted = dataclasses.replace(noted, owed=owed)
        if self.compressor == "vote":
            return noted.moved(state.weights + self.vote_step * majority(sent))
        return noted.moved(state.weights + weighted_mean(federation, here, sent))

    def compress(
        self, updates: Tensor, amount: Ints, lots: list[np.random.Generator], devices: Ints
    ) -> Tensor:
        """What the server makes of the updates (n, P) of `devices` (n,), `amount` (n,) of each.

        `lots` (K,) draw for each device of the federation.
        """
        import torch

        kind = KINDS[self.compressor]
        sent = kind.apply(updates, amount, [lots[k] for k in devices])
        if not self.error_feedback:
            return sent
        shrink = [self._shrink(updates.shape[1], int(each)) for each in amount]
        return sent * torch.tensor(shrink, dtype=sent.dtype).unsqueeze(1)

    def _shrink(self, size: int, amount: int) -> float:
        law = KINDS[self.compressor].law(size, amount)
        return 1.0 / (1.0 + law.error) if law.unbiased else 1.0

    def _amounts(self, size: int, allocation: Allocation, devices: Ints) -> Ints:
        if allocation.upload_bit is None:
            return np.full(devices.size, self.amount(size))
        fits = [affordable(self.compressor, size, bit) for bit in allocation.upload_bit[devices]]
        return np.array(fits, dtype=np.int64)
