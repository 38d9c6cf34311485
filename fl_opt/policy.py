"""How a policy meets a round: what it may see, and what it must answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fl_opt.allocation import Allocation
from fl_opt.network import Network
from fl_opt.units import Floats


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a round did, as measured by the physics.

    Attributes
    ----------
    arrived
        (K,) whose update reached the server in time and without loss [bool].
    finish_s
        (K,) when the upload ended, counted from the begin of the round [s]; 0 where not selected.
    energy_j
        (K,) energy spent, training and upload [J].
    seconds
        Duration of the round, downlink included [s].
    """

    selected: NDArray[np.bool_]
    arrived: NDArray[np.bool_]
    finish_s: Floats
    energy_j: Floats
    seconds: float


@dataclass(frozen=True, eq=False)
class Round:
    """All that a policy may see when it decides.

    Attributes
    ----------
    network
        The round's channels and means; `network.energy_j` is what a battery still holds.
    index
        Number of the round, from 0.
    rng
        The policy's own random generator.
    last
        Outcome of the previous round; None in the first.
    signals
        Arrays (K,) that the training method declares, such as "update_norm" or "loss".
    """

    network: Network
    index: int
    rng: np.random.Generator
    last: Outcome | None = None
    signals: Mapping[str, Floats] = field(default_factory=dict)


@runtime_checkable
class Policy(Protocol):
    """Who takes part in a round, with which resources. Frozen rule, explicit memory.

    A policy that reads a signal lists it in `needs`; one that reads none may leave `needs` out.
    """

    def start(self, size: int, rng: np.random.Generator) -> Any:
        """Memory before the first round, for `size` devices; None where none is kept."""

    def decide(self, round: Round, memory: Any) -> tuple[Allocation, Any]:
        """The allocation of this round and the memory for the next. Must not raise."""
