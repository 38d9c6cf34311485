r"""Asynchronous training: the server updates its model with what has come, and the others go on.

    v_k <- w                              when device k is given the model
    D_k <- -rate sum_steps grad f_k       from v_k on, for as long as it takes
    w   <- w + server_rate sum_k n_k s(a_k) D_k / sum_k n_k       over those that have arrived
    w   <- w + mix s(a_k) (v_k + D_k - w)                         one by one, ``FedAsync``

    a_k   rounds of the server that ended between v_k and the arrival [-]
    s(a)  (1 + a)^-exponent, what an update of that age counts        n_k  samples of device k [-]

A round lasts until `buffer` updates have come (``FedBuff``), until one has (``FedAsync``), or for
a fixed period, so that a device reports every so many rounds (``TieredAverage``; the problem
``AsyncTiers`` chooses the period). A device that has reported is given the model of the next round
and begins anew, in the part of the band that it left free.

Sources: Xie, Koyejo, Gupta, Asynchronous federated optimization (FedAsync), arXiv 1903.03934;
Nguyen, Malik, Zhan, Yousefpour, Rabbat, Malek, Huba, Federated learning with buffered asynchronous
aggregation (FedBuff), AISTATS 2022, arXiv 2106.06639. The sources train a proximal loss and clients
drawn anew, respectively; here devices descend on their own loss, and wait for the next model rather
than train on one twice.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.checks import number, whole
from fl_opt.policy import Outcome
from fl_opt.problems.async_tiers import staleness_weight
from fl_opt.units import Floats
from fl_opt.validation.data import Ints
from fl_opt.validation.global_model import FLOAT_BIT, GlobalModel, State, numbers
from fl_opt.validation.under_way import Tick
from fl_opt.workload import Workload

if TYPE_CHECKING:
    from torch import Tensor

    from fl_opt.validation.federation import Federation


@dataclass(frozen=True, eq=False)
class AsyncState(State):
    """What the server keeps of devices that are not there.

    Attributes
    ----------
    given
        The model (P,) that each device was given last.
    since
        (K,) rounds that have ended since then.
    steps
        (K,) local steps that each was told to take.
    """

    given: tuple[Tensor, ...]
    since: Ints
    steps: Ints


@dataclass(frozen=True)
class _Stale(GlobalModel):
    """What the asynchronous methods share."""

    exponent: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        number(f"{type(self).__name__}.exponent", self.exponent)

    def workload(self, federation: Federation) -> Workload:
        return Workload(
            cycles=self.cycles(federation),
            upload_bit=FLOAT_BIT * federation.model.parameters,
            samples=federation.samples,
        )

    def start(self, federation: Federation, rng: np.random.Generator) -> AsyncState:
        fresh = super().start(federation, rng)
        never = np.zeros(federation.size, dtype=np.int64)
        given = (fresh.weights,) * federation.size
        return AsyncState(**vars(fresh), given=given, since=never, steps=never)

    def learn(
        self,
        federation: Federation,
        state: AsyncState,
        allocation: Allocation,
        outcome: Outcome,
        rng: np.random.Generator,
    ) -> AsyncState:
        import torch

        began, here = allocation.selected, np.flatnonzero(outcome.arrived)
        given = tuple(
            state.weights if new else old for new, old in zip(began, state.given, strict=True)
        )
        steps = np.where(began, self.steps(federation.size, allocation), state.steps)
        since = np.where(began, 0, state.since)
        norm = loss = np.empty(0)
        weights = state.weights
        if here.size:
            starts = torch.stack([given[k] for k in here])
            asked = allocation.replace(local_steps=steps)
            updates, losses = self.updates(federation, starts, here, asked, rng)
            norm, loss = numbers(updates.norm(dim=1)), numbers(losses)
            counts = staleness_weight(since[here], self.exponent)
            weights = self.merged(weights, starts, updates, federation.samples[here], counts)
        noted = dataclasses.replace(state, weights=weights).noted(here, norm, loss)
        return dataclasses.replace(noted, given=given, since=since + 1, steps=steps)

    def merged(
        self, weights: Tensor, starts: Tensor, updates: Tensor, samples: Floats, counts: Floats
    ) -> Tensor:
        """The global model (P,) after `updates` (n, P) that began at `starts` (n, P).

        `counts` (n,) is what each counts for its age.
        """
        import torch

        share = torch.from_numpy(samples / samples.sum() * counts).to(updates.dtype)
        return weights + share @ updates


@dataclass(frozen=True)
class FedAsync(_Stale):
    """Every update is mixed in as it comes.

    Parameters
    ----------
    local_steps
        Steps of gradient descent on a device; an allocation may override it.
    batch
        Samples per step, drawn with replacement; None: all that the device holds.
    rate
        Step size.
    exponent
        How fast updates age, 0 for not at all.
    mix
        Weight of the model that comes, at age 0, in (0, 1].

    Updates that come at the same moment are mixed in one after another, by the number of device.
    """

    mix: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        number("FedAsync.mix", self.mix, open_low=True, high=1.0)

    @property
    def tick(self) -> Tick:
        return Tick(arrivals=1)

    def merged(
        self, weights: Tensor, starts: Tensor, updates: Tensor, samples: Floats, counts: Floats
    ) -> Tensor:
        for start, update, count in zip(starts, updates, counts, strict=True):
            weights = weights + self.mix * float(count) * (start + update - weights)
        return weights


@dataclass(frozen=True)
class FedBuff(_Stale):
    """The server waits for a number of updates, and averages them.

    Parameters
    ----------
    local_steps, batch, rate, exponent
        As for ``FedAsync``.
    buffer
        Updates that a round waits for; as many as there are devices: all, which is FedAvg.
    server_rate
        Step size of the server.

    The mean is over what has come, undivided by the staleness weights, as in the source.
    """

    buffer: int = 10
    server_rate: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("FedBuff.buffer", self.buffer, 1)
        number("FedBuff.server_rate", self.server_rate, open_low=True)

    @property
    def tick(self) -> Tick:
        return Tick(arrivals=self.buffer)

    def merged(
        self, weights: Tensor, starts: Tensor, updates: Tensor, samples: Floats, counts: Floats
    ) -> Tensor:
        counts = self.server_rate * counts
        return super().merged(weights, starts, updates, samples, counts)


@dataclass(frozen=True)
class TieredAverage(_Stale):
    """The server averages what has come after every period; slow devices miss some.

    Parameters
    ----------
    local_steps, batch, rate, exponent
        As for ``FedAsync``.
    period_s
        Length of a round [s], such as ``AsyncTiers`` finds it.
    """

    period_s: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        number("TieredAverage.period_s", self.period_s, open_low=True)

    @property
    def tick(self) -> Tick:
        return Tick(period_s=self.period_s)
