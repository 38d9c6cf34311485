r"""Who takes part over many rounds, when batteries must last and all channels are known.

    maximise    sum_t eta_t |S_t|                over the sets S_1 .. S_T and, for k in S_t,
    subject to  C_k/f_tk + t_tk <= T_k                              "deadline"
                t_tk b_tk log2(1 + h_tk p_tk/(N0 b_tk)) >= s_k      "payload"
                p_tk <= P_k                                         "power_max"
                f_min_k <= f_tk <= f_max_k                          "cpu_min", "cpu_max"
                e_tk = kappa_k C_k f_tk^2 + p_tk t_tk <= E_tk       "energy"
                sum_k b_tk <= B_t       t = 1..T                    "band"
                sum_t e_tk <= H_k       k = 1..K                    "energy_total"

    eta_t  worth of a participation in round t [-]      H_k    energy over all rounds [J]
    b_tk   bandwidth [Hz]    p_tk  power [W]            f_tk   clock [cycle/s]
    t_tk   airtime [s]       e_tk  energy [J]           h_tk   channel gain [-]

This is the oracle to which a policy is compared that sees one round at a time (``Lyapunov``). At
a price lam_k of every battery the rounds fall apart, and each is a ``JointSchedule`` with a price
per joule and device; at a price mu_t of its band so are the devices:

    value <= lam.H + sum_t [mu_t B_t + sum_k max(0, eta_t - min_b (lam_k e_tk(b) + mu_t b))]

for any lam, mu >= 0. The prices are moved by what batteries and bands are asked for too much. At
the best of them no more than K + T participations are divided (Shapley-Folkman); where all rounds
are worth the same, the bound is rounded down to a whole number of participations. Decisions are the
sets at some prices, less what a battery does not pay, plus what still fits.

A participation needs least energy e_tk(b), convex and decreasing in its bandwidth. With a tangent
plane in the place of each, taken so that rounding never lifts it above, who takes part when is a
linear program with 0/1 choices, and a choice is possible iff some b_tk share all bands so that
all batteries pay (see `solvers/crossed`). That closes the gap of the prices.

Proof: "tree", and "dual" of the search at prices. Source of the problem and of the online rule:
Xu, Wang, Client selection and bandwidth allocation in wireless federated learning networks: a
long-term perspective, IEEE TWC 2021, arXiv 2004.04314. The bounds are derived here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.allocation import Allocation
from fl_opt.certificate import FEASIBLE, Excess
from fl_opt.checks import vector, whole
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems._limits import device_excess, fdma_use
from fl_opt.problems._pairs import Pairs
from fl_opt.problems._subsets import least_energy
from fl_opt.problems.joint_schedule import JointSchedule
from fl_opt.problems.uplink import total
from fl_opt.structure import CrossedChoice, Cut, Weighing
from fl_opt.units import Floats

Mask = NDArray[np.bool_]
_NEAR = 1e-5
"""Rounds need not be the cheapest to the last digit; the batteries are what counts."""
_LITTLE = 1e-9
"""Least price of a battery, relative to what its whole budget could be worth."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """What `LongTermEnergy` decides: an allocation for every round, of the same devices."""

    rounds: tuple[Allocation, ...]

    @property
    def selected(self) -> Mask:
        """(T, K) who takes part in which round."""
        return np.array([each.selected for each in self.rounds])


@dataclass(frozen=True, eq=False)
class LongTermEnergy:
    """The most participations of many rounds that the batteries pay, all channels known.

    Parameters
    ----------
    horizon
        The rounds, a network each, of the same number of devices.
    deadline_s
        End of every round, a scalar or (K,) [s].
    budget_j
        What each device may spend over all rounds, a scalar or (K,) [J].
    importance
        Worth of a participation in each round, a scalar or (T,).
    steps
        Steps of the search for prices, ``solver="search"``; more for a tighter bound.

    The cost is minus the worth of all participations. Nothing is infeasible. Raises
    ``InvalidInput`` for no rounds, rounds of different size, or values out of range.
    """

    horizon: tuple[Network, ...]
    deadline_s: ArrayLike
    budget_j: ArrayLike
    importance: ArrayLike = 1.0
    steps: int = 30

    def __post_init__(self) -> None:
        sizes = {network.size for network in self.horizon}
        if len(sizes) != 1:
            raise InvalidInput("horizon", f"networks of sizes {sorted(sizes)}", "one size for all")
        whole("steps", self.steps, 1)
        # wrong numbers are refused at once
        _ = self._budget, self._eta, [self._problem(t, self._least_price) for t in self._every]

    @property
    def _every(self) -> range:
        return range(len(self.horizon))

    @cached_property
    def _budget(self) -> Floats:
        return vector("budget_j", self.budget_j, self.horizon[0].size)

    @cached_property
    def _eta(self) -> Floats:
        return vector("importance", self.importance, len(self.horizon))

    def cost(self, decision: Schedule) -> float:
        """Minus the worth of all participations."""
        return -total(self._eta * decision.selected.sum(axis=1))

    def _spent(self, rounds: list[Allocation]) -> Floats:
        """(T, K) energies [J]."""
        pairs = zip(self.horizon, rounds, strict=True)
        return np.array([fdma_use(network, each).energy_j for network, each in pairs])

    def excess(self, decision: Schedule) -> dict[str, Excess]:
        """The constraints of all rounds by name, and "energy_total" (K,)."""
        if len(decision.rounds) != len(self.horizon):
            expected = f"{len(self.horizon)}, as the horizon"
            raise InvalidInput("rounds", len(decision.rounds), expected)
        found = [
            device_excess(network, each, self.deadline_s)
            for network, each in zip(self.horizon, decision.rounds, strict=True)
        ]
        limits = {
            name: Excess(
                np.concatenate([each[name].used for each in found]),
                np.concatenate([each[name].limit for each in found]),
                first.unit,
            )
            for name, first in found[0].items()
        }
        spent = self._spent(list(decision.rounds)).sum(axis=0)
        return limits | {"energy_total": Excess(spent, self._budget, "J")}

    # structure: Crossed

    @cached_property
    def _pairs(self) -> Pairs:
        deadline = vector("deadline_s", self.deadline_s, self._budget.size, open_low=True)
        return Pairs(self.horizon, deadline, self._budget, self._eta)

    @property
    def crossed(self) -> CrossedChoice:
        """Pairs of a round and a device that are possible alone: a band, a battery each."""
        return self._pairs.choice

    def share(self, taken: Mask, first: Floats) -> Schedule:
        """All rounds, those taken with bandwidths (m,) [Hz] and the least energy at these."""
        return Schedule(self._pairs.share(taken, first))

    def tangents(self, taken: Mask, first: Floats) -> Cut:
        """Tangents of the least energies over bandwidth, never above these in floating point."""
        return self._pairs.tangents(taken, first)

    def recall(self, decision: Schedule) -> Mask | None:
        """The pairs of an earlier schedule; None where rounds or devices are others."""
        return self._pairs.recall(decision.selected)

    # rounds at prices

    def _problem(self, t: int, price: Floats) -> JointSchedule:
        """Round t at prices (K,) of the batteries [1/J]; nobody spends more than his budget."""
        network = self.horizon[t]
        within = network.replace(energy_j=np.minimum(network.energy_j, self._budget))
        worth = float(self._eta[t])
        return JointSchedule(within, self.deadline_s, utility=worth, utility_per_j=price)

    @cached_property
    def _least_price(self) -> Floats:
        whole_worth = float(self._eta.sum()) or 1.0
        usual = np.median(self._budget[self._budget > 0.0]) if self._budget.any() else 1.0
        return np.full(self._budget.size, _LITTLE * whole_worth / usual)

    def upper(self, price: Floats) -> float:
        """An upper bound of the value at prices (K,) > 0 of the batteries [1/J]."""
        return self._answer(price, [math.nan] * len(self.horizon))[0]

    def _answer(self, price: Floats, start: list[float]) -> tuple[float, Floats, list[Floats]]:
        """Upper bound, what is asked of the batteries (K,) [J], and gains (n,) of every round.

        `start` holds prices of the bands from which to search, and is filled with the best.
        """
        paid = float(price @ self._budget)
        value, asked, gains = paid * (1.0 + 32.0 * EPS), np.zeros(price.size), []
        for t in self._every:
            problem = self._problem(t, price)
            choice = problem.choice
            if not choice.value.size:
                gains.append(np.zeros(0))
                continue
            upper, weighing = self._cleared(problem, start, t)
            gain = choice.value - choice.charge * weighing.weight
            gains.append(gain)
            taken = problem.candidates_at[gain > 0.0]
            most = float(price.max())
            asked[taken] += (weighing.second * most)[gain > 0.0] / price[taken]
            value += upper
        return value, asked, gains

    def _cleared(
        self, problem: JointSchedule, start: list[float], t: int
    ) -> tuple[float, Weighing]:
        """The least bound of a round over prices of its band, and the response there."""
        choice = problem.choice
        cold = math.isnan(start[t])
        supply = max(choice.supply, np.finfo(float).tiny)
        log = math.log(choice.value.sum() / choice.charge / supply) if cold else start[t]
        low, high, step = -math.inf, math.inf, 2.0 if cold else 0.3
        weighing = problem.weigh(math.exp(log))
        best, found = math.inf, weighing
        for _ in range(24 if cold else 5):
            gain = choice.value - choice.charge * weighing.weight
            joins = gain > 0.0
            paid = choice.charge * weighing.price * choice.supply
            upper = paid + float(gain[joins].sum())
            upper += 64.0 * EPS * (paid + float(choice.value.sum()) * (1.0 + math.log2(gain.size)))
            if upper < best:
                best, found, start[t] = upper, weighing, log
            if float(weighing.first[joins].sum()) > choice.supply:
                low = log
            else:
                high = log
            if low > -math.inf and high < math.inf:
                log = 0.5 * (low + high)
            else:
                log, step = (low + step if high == math.inf else high - step), 2.0 * step
            weighing = problem.weigh(math.exp(log), weighing)
        return best, found

    @cached_property
    def _search_of_prices(self) -> tuple[float, list[tuple[Floats, list[Floats]]]]:
        """The least bound, and prices with gains at which it was found or nearly so."""
        rich = self._budget > 0.0
        price = np.maximum(np.where(rich, 1.0 / np.where(rich, self._budget, 1.0), 0.0), 1e-300)
        price = np.maximum(price * float(self._eta.mean()), self._least_price)
        start = [math.nan] * len(self.horizon)
        best = float(self._eta.sum()) * self._budget.size
        kept: list[tuple[Floats, list[Floats]]] = []
        for step in range(self.steps):
            upper, asked, gains = self._answer(price, start)
            if upper < best or not kept:
                best = min(best, upper)
                kept.append((price, gains))
            with np.errstate(divide="ignore", invalid="ignore"):
                over = np.where(rich, (asked - self._budget) / (asked + self._budget), 0.0)
            price = np.maximum(
                price * np.exp(over * 1.5 / math.sqrt(1.0 + step)), self._least_price
            )
        return best, kept[:-3:-1]

    # structure: Searched

    def floor(self) -> float:
        """Minus the least upper bound, a whole number of participations if all count the same."""
        upper, worth = self._search_of_prices[0], float(self._eta.max())
        if worth > 0.0 and worth == self._eta.min():
            upper = math.floor(upper / worth * (1.0 + 4.0 * EPS)) * worth * (1.0 + 4.0 * EPS)
        return -upper

    def search(self) -> Iterator[Schedule]:
        """The sets at the last prices, mended and filled up."""
        yield Schedule(tuple(self._nobody() for _ in self._every))
        for price, gains in self._search_of_prices[1]:
            yield self._mended(price, gains)

    def _nobody(self) -> Allocation:
        return Allocation.none(self.horizon[0].size, float(np.max(self.deadline_s)))

    def _round(self, problem: JointSchedule, taken: Mask) -> Allocation | None:
        """The round of some candidates (n,), the band shared at the prices; None if impossible."""
        if not taken.any():
            return self._nobody()
        if total(problem.choice.least[taken]) > problem.choice.supply:
            return None
        found, _ = least_energy(problem.rest(taken), math.inf, True, _NEAR)
        return None if found is None else problem.join(taken, found)

    def _mended(self, price: Floats, gains: list[Floats]) -> Schedule:
        """Add participations in the order of their gains while bands and batteries pay."""
        problems = [self._problem(t, price) for t in self._every]
        taken = [np.zeros(gain.size, dtype=bool) for gain in gains]
        rounds = [self._nobody() for _ in self._every]
        spent = np.zeros((len(rounds), self._budget.size))
        limit = self._budget * (1.0 + 0.5 * FEASIBLE)
        line = [(-float(g), t, k) for t, gain in enumerate(gains) for k, g in enumerate(gain)]
        for _, t, k in sorted(line):
            trial = taken[t].copy()
            trial[k] = True
            found = self._round(problems[t], trial)
            if found is None:
                continue
            energy = fdma_use(self.horizon[t], found).energy_j
            if np.all(spent.sum(axis=0) - spent[t] + energy <= limit):
                taken[t], rounds[t], spent[t] = trial, found, energy
        return Schedule(tuple(rounds))
