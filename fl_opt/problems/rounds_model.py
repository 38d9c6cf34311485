"""How many rounds a training takes, by how useful each of them is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.checks import number
from fl_opt.errors import InvalidInput
from fl_opt.units import Floats


@dataclass(frozen=True)
class RoundsModel:
    """Rounds until a target is reached, ``fixed + shared/utility^power``, falling in the utility.

    Parameters
    ----------
    fixed
        Rounds that would be left if a round were as useful as can be, >= 0 [-].
    shared
        Rounds beyond `fixed` at a utility of one, >= 0 [-].
    power
        How fast they fall with the utility, > 0 [-]: 1 where the variance of a mean of independent
        updates counts, as in the bounds for sampled devices (Li, Huang, Yang, Wang, Zhang, ICLR
        2020, arXiv 1907.02189).

    Fit both numbers to two trainings with few and with many devices a round.

    >>> RoundsModel(fixed=50, shared=400).rounds([4, 8]).tolist()
    [150.0, 100.0]
    """

    fixed: float
    shared: float
    power: float = 1.0

    def __post_init__(self) -> None:
        number("fixed", self.fixed)
        number("shared", self.shared)
        number("power", self.power, open_low=True)
        if self.fixed + self.shared == 0.0:
            raise InvalidInput("fixed + shared", 0, "a number > 0", "a training takes some rounds")

    def rounds(self, utility: ArrayLike) -> Floats:
        """Rounds at a utility of each round; infinite at none."""
        worth = np.asarray(utility, dtype=float)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            needed = self.fixed + self.shared / worth**self.power
        return np.asarray(np.where(worth > 0.0, needed, np.inf))
