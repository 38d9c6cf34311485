r"""How many rounds a training takes: a bound's shape, with constants fitted to pilot runs.

    rounds(u, tau) = work/tau + fixed + drift tau + spread tau/u

    u       updates that get through in a round, (1 - loss) n of n devices [-]
    tau     local steps [-]

The shape is that of the bound of Li, Huang, Yang, Wang, Zhang, On the convergence of FedAvg on
non-IID data, ICLR 2020, arXiv 1907.02189 (theorem 3, K devices drawn from all, E = tau): more local
steps save rounds, up to where devices drift apart, and few devices draw a mean that is off by
drift over u. The bound's own constants are far from any run; only their signs are kept. Packet loss
enters through u alone, since a lost packet is a device that was not drawn.

Fitted by least squares of relative errors with coefficients >= 0; how sure they are is told by
refits to the fitted values with the relative errors dealt out anew (residual bootstrap).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.allocation import Allocation
from fl_opt.checks import number, vector, whole
from fl_opt.errors import InvalidInput
from fl_opt.problems.local_steps import Constants
from fl_opt.problems.rounds_model import RoundsModel
from fl_opt.units import Floats
from fl_opt.validation.estimating import reports
from fl_opt.validation.global_model import LocalDescent

if TYPE_CHECKING:
    from torch import Tensor

    from fl_opt.validation.federation import Federation

TERMS = ("work", "fixed", "drift", "spread")


@dataclass(frozen=True)
class StepsModel:
    """Rounds to a target by updates and by local steps of a round; all >= 0, see the module.

    >>> model = StepsModel(work=400, fixed=20, drift=0.5, spread=2)
    >>> model.rounds(utility=[4, 8], steps=10).tolist()
    [70.0, 67.5]
    >>> model.at(steps=10)
    RoundsModel(fixed=65.0, shared=20.0, power=1.0)
    """

    work: float
    fixed: float
    drift: float
    spread: float

    def __post_init__(self) -> None:
        for name in TERMS:
            number(name, getattr(self, name))

    def rounds(self, utility: ArrayLike, steps: ArrayLike) -> Floats:
        """Rounds at a number of updates and of local steps, both > 0."""
        return np.asarray(_terms(utility, steps) @ [getattr(self, name) for name in TERMS])

    def at(self, steps: float) -> RoundsModel:
        """The model of the rounds at so many local steps, as ``BudgetedTraining`` asks for it."""
        tau = number("steps", steps, open_low=True)
        return RoundsModel(self.work / tau + self.fixed + self.drift * tau, self.spread * tau)


@dataclass(frozen=True, eq=False)
class Calibration:
    """A fitted model and how sure it is.

    Attributes
    ----------
    model
        The best fit.
    error
        Standard error of each coefficient, by its name.
    scatter
        Standard deviation of the relative errors of the runs, for the coefficients fitted [-].
    refits
        (B, 4) coefficients of the refits.
    """

    model: StepsModel
    error: dict[str, float]
    scatter: float
    refits: Floats

    def interval(
        self, utility: ArrayLike, steps: ArrayLike, level: float = 0.95
    ) -> tuple[Floats, Floats]:
        """Ends of an interval for the mean rounds of runs with such updates and steps."""
        tail = 0.5 - 0.5 * number("level", level, high=1.0)
        found = _terms(utility, steps) @ self.refits.T
        low, high = np.quantile(found, [tail, 1.0 - tail], axis=-1)
        return low, high


def calibrate(
    utility: ArrayLike, steps: ArrayLike, rounds: ArrayLike, refits: int = 200, seed: int = 0
) -> Calibration:
    """Fit a ``StepsModel`` to pilot runs.

    Parameters
    ----------
    utility, steps
        (n,) updates that get through in a round, and local steps, > 0 [-].
    rounds
        (n,) rounds that each run took to the target, > 0. Leave out runs that never got there.
    refits
        How many for the standard errors.
    seed
        Of the refits.

    Where all runs have the same steps, or the same updates, terms cannot be told apart; the fit
    then holds along what was varied, and nowhere else. Raises ``InvalidInput`` for fewer than two
    runs.
    """
    count = max(np.size(utility), np.size(steps), np.size(rounds))
    if count < 2:
        raise InvalidInput("rounds", f"{count} runs", "at least two")
    u, tau, took = (
        vector(name, value, count, open_low=True)
        for name, value in (("utility", utility), ("steps", steps), ("rounds", rounds))
    )
    whole("refits", refits, 2)
    terms = _terms(u, tau)
    best = _fit(terms, took)
    fitted = terms @ best
    off = took / fitted - 1.0
    free = max(count - int(np.count_nonzero(best)), 1)
    scatter = float(np.sqrt(off @ off / free))
    rng = np.random.default_rng(seed)
    # residuals of a fit are smaller than errors
    dealt = (off - off.mean()) * np.sqrt(count / free)
    drawn = np.maximum(1.0 + dealt[rng.integers(count, size=(refits, count))], 0.05)
    again = np.array([_fit(terms, fitted * one) for one in drawn])
    errors = dict(zip(TERMS, again.std(axis=0, ddof=1).tolist(), strict=True))
    return Calibration(StepsModel(*best.tolist()), errors, scatter, again)


def constants(
    federation: Federation, method: LocalDescent, weights: Tensor, rng: np.random.Generator
) -> Constants:
    """What ``LocalSteps`` asks for, estimated by all devices in one round from `weights` (P,)."""
    everyone = np.arange(federation.size)
    nominal = Allocation.none(federation.size)
    updates, _ = method.updates(federation, weights, everyone, nominal, rng)
    told = reports(federation, weights, weights + updates, everyone).mean(federation.samples)
    assert told is not None  # every device has samples
    return told


def _terms(utility: ArrayLike, steps: ArrayLike) -> Floats:
    """(..., 4) what each coefficient is multiplied with."""
    u, tau = np.broadcast_arrays(np.asarray(utility, float), np.asarray(steps, float))
    return np.stack([1.0 / tau, np.ones(tau.shape), tau, tau / u], axis=-1)


def _fit(terms: Floats, rounds: Floats) -> Floats:
    """Coefficients (4,) >= 0 of least squared relative error."""
    from scipy.optimize import nnls

    scaled = terms / rounds[:, None]
    size = np.linalg.norm(scaled, axis=0)
    found = nnls(scaled / size, np.ones(rounds.size))[0]
    return np.asarray(found / size)
