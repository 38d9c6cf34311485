"""Rules that look at what the devices have learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fl_opt import physics
from fl_opt.allocation import Allocation
from fl_opt.checks import number, whole
from fl_opt.errors import InvalidInput
from fl_opt.network import Network
from fl_opt.policies.ordered import Ordered
from fl_opt.policy import Round
from fl_opt.units import Floats


@dataclass(frozen=True)
class BestUpdateNorm(Ordered):
    """The devices whose update is the longest vector.

    Needs the signal "update_norm" of the training method; a device whose norm is not known yet
    (NaN) goes first. The rule called BN2 by Amiri, Gunduz, Kulkarni, Poor (Convergence of update
    aware device scheduling for federated learning at the wireless edge, IEEE TWC 2021, arXiv
    2001.10402).
    """

    needs: ClassVar[tuple[str, ...]] = ("update_norm",)

    def scores(self, round: Round, memory: None) -> Floats:
        """The norm."""
        norm = np.asarray(round.signals["update_norm"], dtype=float)
        return np.where(np.isnan(norm), np.inf, norm)


@dataclass(frozen=True)
class BestChannelThenNorm(BestUpdateNorm):
    """Of the devices with the best channels, those whose update is the longest vector.

    Parameters
    ----------
    pool
        So many devices, of the largest gain over noise, come into question; at least `count`.

    The rule called BC-BN2 in arXiv 2001.10402: one with ``pool=count`` is `BestChannel`, one with
    a pool of all devices `BestUpdateNorm`.
    """

    pool: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pool is None:
            raise InvalidInput("BestChannelThenNorm", "without a pool", "pool=, a whole number")
        whole("BestChannelThenNorm.pool", self.pool, self.count or 1)

    def decide(self, round: Round, memory: Any) -> tuple[Allocation, Any]:
        """Seat the devices of the pool in the order of their norms."""
        network = round.network
        score = self.scores(round, memory)
        pool = np.lexsort((-score, -network.gain / network.noise_w_hz))[: self.pool]
        line = pool[np.lexsort((-network.gain[pool], -score[pool]))]
        return self.seat(network, line), memory


@dataclass(frozen=True)
class BestSentNorm(BestUpdateNorm):
    """The devices from whose update most gets through.

    In `airtime_s`, at full power over an equal part of the band (a `count`-th, or one for each of
    the K devices), device k can send some part c_k <= 1 of its payload. Of the coordinates of an
    update v, the largest c_k d in magnitude hold at least c_k of its squared norm, so the score is
    ``|v| sqrt(c_k)``, the least that top-k keeps.

    Parameters
    ----------
    airtime_s
        Time for the upload [s]; what the deadline leaves after training at the fastest clock
        where None.

    After the rule called BN2-C in arXiv 2001.10402, where the devices compress their updates and
    report the norm of what is left. Here they report the norm of the update, and the bound stands
    for the rest; what is sent then is up to the training method.
    """

    airtime_s: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.airtime_s is not None:
            number("BestSentNorm.airtime_s", self.airtime_s, open_low=True)
        elif self.deadline_s is None:
            raise InvalidInput("BestSentNorm", "without a time", "airtime_s= or deadline_s=")

    def scores(self, round: Round, memory: None) -> Floats:
        """The norm of what gets through."""
        norm = super().scores(round, memory)
        share = self.sent(round.network)
        with np.errstate(invalid="ignore"):
            kept = norm * np.sqrt(share)
        return np.where(np.isinf(norm), np.inf, kept)

    def sent(self, network: Network) -> Floats:
        """(K,) part of the payload that can be sent, c_k."""
        seats = min(self.count or network.size, network.size)
        left_s = np.full(network.size, self.airtime_s or 0.0)
        if self.airtime_s is None and self.deadline_s is not None:
            trained_s = physics.training_s(network.cycles, network.cpu_max_hz)
            left_s = np.maximum(self.deadline_s - trained_s, 0.0)
        rate = physics.rate_bit_s(
            network.band_hz / seats, network.power_max_w, network.gain, network.noise_w_hz
        )
        share = np.ones(network.size)
        with np.errstate(invalid="ignore"):
            carried = np.nan_to_num(rate * left_s, nan=0.0)
        np.divide(carried, network.upload_bit, out=share, where=network.upload_bit > 0.0)
        return np.minimum(share, 1.0)
