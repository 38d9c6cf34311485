r"""Where devices split a network with a server, so that the slowest of them is done earliest.

    minimise    T                                                   over places j = j(k), b, F
    subject to  C_kj/f_k + s_kj/r_k(b_k) + C'_kj/F_k <= T
                sum_k b_k <= B                                      "band"
                sum_k F_k <= F                                      "server"

Symbols as in `SplitInference`; energy does not count.

By a time T every device needs some band and some server, and the more of one the less of the other,
convexly. Weigh the two with theta and 1 - theta:

    V(theta, T) = sum_k min_j min_t (theta b/B + (1 - theta) F_k/F)

decreases in T and is concave in theta. Whatever fits the limits has V <= 1. So T is impossible
where V(theta, T) > 1 for any theta, and the best bound is the largest root T(theta) of V = 1, found
by bisection on theta: T(theta) rises while band is scarcer than server. For given places that is
exact. Places are closed by branching, as there. The statement is ours; for the sources see there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fl_opt.certificate import Excess
from fl_opt.errors import Infeasible
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems._split_cell import Mask, Places, SplitCell, alone
from fl_opt.problems._split_reference import conic_division
from fl_opt.problems._split_shares import divide
from fl_opt.problems.split_profile import SplitPlan, SplitProfile
from fl_opt.problems.uplink import total
from fl_opt.structure import Attempt, Relaxed
from fl_opt.units import Floats

_REACH = 30.0
"""Largest ln(theta/(1 - theta)) that is tried."""
_LATE_S = 1e12


@dataclass(frozen=True, eq=False)
class _Weighed:
    """V, a lower bound of it, what is used of band and server, and the choice at theta and T."""

    value: float
    low: float
    used: Floats
    choice: Places
    doubt: int
    plan: SplitPlan | None


@dataclass(frozen=True, eq=False)
class SplitLatency:
    """Split a network between each device and a server, so that the last is done earliest.

    Parameters
    ----------
    network
        The devices: they compute at `cpu_max_hz` and send at `power_max_w`; their `cycles` and
        `upload_bit` do not count.
    profile
        Work and payload of each place to split.
    server_hz
        Speed of the server, which the devices share [cycle/s].

    The cost is the largest latency [s]. ``solve`` raises ``Infeasible`` where a device has no place
    that ends at all.
    """

    network: Network
    profile: SplitProfile
    server_hz: float

    unit = "s"

    def __post_init__(self) -> None:
        _ = self.cell  # wrong data are refused at once

    @cached_property
    def cell(self) -> SplitCell:
        """The devices, their places and the server."""
        return SplitCell(self.network, self.profile, self.server_hz)

    def cost(self, decision: SplitPlan) -> float:
        """Largest latency [s]."""
        _, device, air, server = self.cell.taken(decision)
        return float((device + air + server).max())

    def excess(self, decision: SplitPlan) -> dict[str, Excess]:
        """Band and server."""
        limits = self.cell.excess(decision, np.full(decision.size, np.inf))
        return {name: limits[name] for name in ("band", "server")}

    # structure: Branched

    def options(self) -> Mask:
        """(K, J) places that end at some time."""
        return self.cell.possible(self.cell.shares(np.full(self.network.size, _LATE_S)))

    def weigh(self, allowed: Mask, lean: float, end_s: float) -> _Weighed:
        """What all need by a time, band weighed with theta = 1/(1 + exp(-lean))."""
        shares = self.cell.shares(np.full(self.network.size, end_s))
        usable = allowed & self.cell.possible(shares)
        if not usable.any(axis=1).all():
            nobody = np.zeros(self.network.size, dtype=int)
            return _Weighed(math.inf, math.inf, np.array([1.0, 1.0]), nobody, -1, None)
        weights = 1.0 / (1.0 + np.exp(np.array([-lean, lean])))
        limits = np.array([self.network.band_hz or 1.0, self.cell.server_hz or 1.0])
        index = np.flatnonzero(usable.ravel())
        band_price, server_price = (weights / limits).tolist()
        found = divide(shares[index], band_price, server_price, air_worth=0.0)
        value, low = np.full((2, allowed.size), np.inf)
        value[index], low[index] = found.term, found.low
        value, low = value.reshape(allowed.shape), low.reshape(allowed.shape)
        rows, choice = np.arange(allowed.shape[0]), value.argmin(axis=1)
        best = value[rows, choice]
        value[rows, choice] = np.inf
        second = np.where(allowed, value, np.inf).min(axis=1)
        # what is allowed but cannot be had by now is the last to be in doubt
        rivals = (allowed.sum(axis=1) > 1) & ~np.isfinite(second)
        margin = np.where(rivals, 1e300, second - best)
        doubt = int(np.argmin(margin)) if np.isfinite(margin).any() else -1
        at = np.searchsorted(index, rows * allowed.shape[1] + choice)
        band, server = found.band_hz[at], found.server_hz[at]
        used = np.array([total(band), total(server)]) / limits
        least = total(low.min(axis=1)) * (1.0 - 16.0 * EPS)
        return _Weighed(total(best), least, used, choice, doubt, SplitPlan(choice, band, server))

    def relax(self, allowed: Mask, enough: float, start: Relaxed | None = None) -> Relaxed:
        """The latest time that some weights of band and server refute.

        In turn the time at which all need just what there is, and the weights at which they need
        most by that time, until that is not more than there is.
        """
        floor = self._floor_s(allowed)
        lean = 0.0 if start is None else float(start.prices[0])
        end = 2.0 * floor if start is None else start.bound
        nobody = np.zeros(allowed.shape[0], dtype=int)
        bound, here = floor * (1.0 - 4.0 * EPS), self.weigh(allowed, lean, floor)
        if math.isinf(floor):
            return Relaxed(math.inf, nobody, -1, np.array([lean]))
        if here.value > 1.0:
            end = self._least_time(allowed, lean, floor, end)
            if math.isinf(end):
                return Relaxed(math.inf, nobody, -1, np.array([lean]))
            bound = self._refuted(allowed, lean, end, bound)
        else:
            end = floor
        for _ in range(30):
            lean, here = self.balance(allowed, lean, end)
            if here.value <= 1.0 + 8.0 * EPS or bound >= enough:
                break
            end = self._least_time(allowed, lean, end, end * (1.0 + 1e-3))
            bound = max(bound, self._refuted(allowed, lean, end, bound))
        return Relaxed(bound, here.choice, here.doubt, np.array([lean]))

    def _floor_s(self, allowed: Mask) -> float:
        """A time before which some device has no place that ends."""
        shares = self.cell.shares(np.zeros(allowed.shape[0]))
        soonest = (shares.least - shares.left).reshape(allowed.shape)
        return float(np.where(allowed, soonest, np.inf).min(axis=1).max())

    def _least_time(self, allowed: Mask, lean: float, low: float, guess: float) -> float:
        """The time at which V falls to 1, above `low` where it is more; infinite if it never does.

        Regula falsi on ln V, after Illinois, with a bisection in every fourth turn.
        """
        high, end, step = math.inf, max(guess, low * (1.0 + 1e-3), 1e-12), 0.1
        below, above = math.inf, -math.inf
        for turn in range(300):
            value = self.weigh(allowed, lean, end).value
            level = math.log(value) if value > 0.0 else -math.inf
            if value > 1.0:
                low, below = end, level
                above *= 0.5 if turn % 2 else 1.0
            else:
                high, above = end, level
                below *= 0.5 if turn % 2 else 1.0
            if math.isinf(high):
                if end > _LATE_S:
                    return math.inf
                end, step = end * (1.0 + step), step * 4.0
                continue
            if high - low <= 4.0 * EPS * high or 0.0 <= -above <= 4.0 * EPS:
                break
            share = 0.5
            if turn % 4 and math.isfinite(below) and math.isfinite(above):
                share = min(max(below / (below - above), 1e-3), 1.0 - 1e-3)
            end = low + share * (high - low)
        return high

    def balance(self, allowed: Mask, lean: float, end: float) -> tuple[float, _Weighed]:
        """The weights at which all need most by a time: where band and server are used alike."""
        low, high, step = -_REACH, _REACH, 1e-3
        lean = min(max(lean, low), high)
        best_lean, best = lean, self.weigh(allowed, lean, end)
        here, under, over = best, math.nan, math.nan
        for turn in range(120):
            lack = float(here.used[0] - here.used[1])
            if here.value > best.value:
                best_lean, best = lean, here
            if abs(lack) <= 1e-14 * float(here.used.max()):
                return lean, here
            if lack > 0.0:
                low, under = lean, lack
            else:
                high, over = lean, lack
            if high - low <= 4.0 * EPS * max(1.0, abs(lean)):
                break
            if math.isnan(under) or math.isnan(over):
                lean, step = lean + math.copysign(step, lack), step * 8.0
                lean = min(max(lean, -_REACH), _REACH)
                if lean in (low, high) and abs(lean) == _REACH and turn > 0:
                    here = self.weigh(allowed, lean, end)
                    return (lean, here) if here.value >= best.value else (best_lean, best)
            else:
                share = under / (under - over) if turn % 3 else 0.5
                lean = low + min(max(share, 1e-3), 1.0 - 1e-3) * (high - low)
            here = self.weigh(allowed, lean, end)
        return best_lean, best

    def _refuted(self, allowed: Mask, lean: float, end: float, least: float) -> float:
        """A time just below `end` that these weights prove impossible, `least` at the least."""
        step = 4.0 * EPS
        while end * (1.0 - step) > least:
            if self.weigh(allowed, lean, end * (1.0 - step)).low > 1.0:
                return end * (1.0 - step)
            step *= 4.0
        return least

    def fixed(self, choice: Places, near: Relaxed) -> FixedTimes:
        """Band and server shares for given places."""
        return FixedTimes(self, alone(choice, self.options()), near)

    def refusal(self) -> Infeasible:
        """Who can never end."""
        return self.cell.refusal(np.full(self.network.size, _LATE_S))

    # structure: Enumerable

    def candidates(self) -> Iterator[tuple[SplitPlan, float]]:
        """Conic programs of all choices of places, each with the time that prices refute."""
        options = self.options()
        for place in self.cell.choices(options):
            plan = conic_division(self.cell, place, None)
            if plan is not None:
                yield plan, self.relax(alone(place, options), math.inf).bound


@dataclass(frozen=True, eq=False)
class FixedTimes:
    """`SplitLatency` for given places. Structure: Attainable."""

    whole: SplitLatency
    only: Mask
    near: Relaxed

    def cost(self, decision: SplitPlan) -> float:
        """Largest latency [s]."""
        return self.whole.cost(decision)

    def excess(self, decision: SplitPlan) -> dict[str, Excess]:
        """As of the whole."""
        return self.whole.excess(decision)

    def bracket(self) -> tuple[float, float]:
        """The time refuted, and one a hair later."""
        return self.near.bound, max(self.near.bound * (1.0 + 1e-11), 1e-300)

    def attain(self, cost: float) -> Attempt[SplitPlan]:
        """Weigh band and server so that both are used alike."""
        _, here = self.whole.balance(self.only, float(self.near.prices[0]), cost)
        most = float(here.used.max())
        fits = here.plan if most <= 1.0 else None
        return Attempt(fits, most - 1.0, here.low > 1.0)

    def prices(self, cost: float) -> Mapping[str, float | Floats | None]:
        """None: places have no price."""
        return dict.fromkeys(("band", "server"))
