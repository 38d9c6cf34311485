"""What a simulated training leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fl_opt.allocation import Allocation
from fl_opt.certificate import Solution
from fl_opt.network import Network
from fl_opt.units import Floats

if TYPE_CHECKING:
    import pandas

_SERIES = (
    "time_s",
    "round_s",
    "energy_j",
    "accuracy",
    "loss",
    "selected",
    "arrived",
    "jain",
    "claimed_s",
    "claimed_j",
    "training_s",
    "airtime_s",
    "training_j",
    "upload_j",
    "gap",
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Trace:
    """A run of R rounds with K devices, as measured.

    Attributes
    ----------
    arm, seed
        Name of the arm and seed of the run.
    time_s, round_s
        (R,) simulated time at the end of each round, and its length, downlink included [s].
    energy_j
        (R,) energy that all devices spent in the round [J].
    accuracy, loss
        (R,) of the model after the round: test accuracy [-], training loss [nat].
    selected, arrived
        (R,) number of devices that were selected, and whose update arrived.
    jain
        (R,) Jain's index of how often each device has arrived so far: 1 is even, 1/K one device
        alone; NaN before the first arrival.
    claimed_s, claimed_j
        (R,) length and energy of the round as the allocation promised them.
    training_s, airtime_s
        (R,) mean over the selected devices of the time that they trained and sent [s]; NaN where
        nobody was selected.
    training_j, upload_j
        (R,) energy of all devices for training and for sending [J].
    gap
        (R,) certified gap of the solution behind each round's allocation [-]: inf without a bound,
        NaN where the memory of the policy has no ``.solution``.
    participation
        (R, K) whose update arrived [bool].
    bandwidth_hz, device_energy_j
        (R, K) bandwidth allocated [Hz], 0 where not selected, and energy spent [J].
    first_network, first_allocation, first_solution
        What the policy saw in the first round, what it decided, and the certified solution behind
        it where its memory has one (``.solution``).
    proofs
        Kinds of the bounds of all rounds, as in ``fl_opt.certificate.Proof``, without repetition.
    positions_m
        (K, 2) where the devices stood in the first round, the base station at (0, 0) [m].
    notes
        What went otherwise than asked, with the round.
    """

    arm: str
    seed: int
    time_s: Floats
    round_s: Floats
    energy_j: Floats
    accuracy: Floats
    loss: Floats
    selected: NDArray[np.int64]
    arrived: NDArray[np.int64]
    jain: Floats
    claimed_s: Floats
    claimed_j: Floats
    training_s: Floats
    airtime_s: Floats
    training_j: Floats
    upload_j: Floats
    gap: Floats
    participation: NDArray[np.bool_]
    bandwidth_hz: Floats
    device_energy_j: Floats
    first_network: Network
    first_allocation: Allocation
    first_solution: Solution[Any] | None
    proofs: tuple[str, ...]
    positions_m: Floats
    notes: tuple[str, ...]

    @property
    def rounds(self) -> int:
        """Number of rounds R."""
        return int(self.time_s.size)

    def to_frame(self) -> pandas.DataFrame:
        """A row per round: arm, seed, round, and every series (R,)."""
        import pandas

        head = {"arm": self.arm, "seed": self.seed, "round": np.arange(self.rounds)}
        return pandas.DataFrame(head | {name: getattr(self, name) for name in _SERIES})

    def __repr__(self) -> str:
        return (
            f"Trace(arm={self.arm!r}, seed={self.seed}, rounds={self.rounds}, "
            f"time_s={self.time_s[-1]:.4g}, accuracy={self.accuracy[-1]:.4g})"
        )


def jain(counts: NDArray[Any]) -> Floats:
    """Jain's index (sum x)^2/(K sum x^2) of each row of (R, K); NaN for a row of zeros.

    Source: Jain, Chiu, Hawe, DEC technical report 301, 1984.
    """
    x = np.asarray(counts, dtype=float)
    with np.errstate(invalid="ignore"):
        return np.asarray(x.sum(-1) ** 2 / (x.shape[-1] * (x**2).sum(-1)))
