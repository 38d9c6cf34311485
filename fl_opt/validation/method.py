"""How a training method meets the simulation: one method is one file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.network import Network
from fl_opt.units import Floats
from fl_opt.validation.clock import Measured
from fl_opt.validation.under_way import Tick
from fl_opt.workload import Workload

if TYPE_CHECKING:
    from fl_opt.validation.federation import Federation, Score


@runtime_checkable
class Method(Protocol):
    """What devices compute, what they send in exact bits, and how it is combined.

    A frozen rule with explicit memory, as policies are: `state` is whatever the method keeps, the
    global model first of all. See ``fl_opt.validation.fedavg`` for one to copy from.

    `signals` names the arrays that `observe` offers to policies, such as "update_norm".
    """

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of what `observe` returns."""

    @property
    def tick(self) -> Tick:
        """When a round ends; ``under_way.WAIT`` waits for all that take part in it."""

    def workload(self, federation: Federation) -> Workload:
        """What every device computes and sends in a round if told nothing else."""

    def broadcast_bit(self, federation: Federation) -> float:
        """Size of what the server sends to all devices before a round [bit]."""

    def packet_error(self, network: Network, allocation: Allocation) -> Floats:
        """(K,) probability that an update is lost on the air, after all that coding does."""

    def server_s(self, state: Any) -> float:
        """Time that the coming round takes besides training, uplink and broadcast [s].

        Such as the way from edge servers to the cloud and back.
        """

    def start(self, federation: Federation, rng: np.random.Generator) -> Any:
        """State before the first round."""

    def observe(self, state: Any) -> Mapping[str, Floats]:
        """The signals, (K,) each; NaN for a device of which nothing is known yet."""

    def learn(
        self,
        federation: Federation,
        state: Any,
        allocation: Allocation,
        outcome: Measured,
        rng: np.random.Generator,
    ) -> Any:
        """State after a round in which `outcome.arrived` got through.

        `allocation.selected` began in this round, `outcome.selected` ended in it: the same where
        the server waits for all.

        `rng` is fresh in every round. Draw from it in a way that does not depend on who arrived,
        or runs with different policies no longer meet the same luck.
        """

    def evaluate(self, federation: Federation, state: Any) -> Score:
        """How good the present model is."""
