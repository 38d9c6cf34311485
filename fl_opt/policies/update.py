"""Rules that look at what the devices have learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

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
