r"""Where devices split a network with a server, at the least energy of the devices.

    minimise    sum_k kappa_k C_kj f_k^2 + p_k s_kj/r_k(b_k)        over places j = j(k), b, F
    subject to  C_kj/f_k + s_kj/r_k(b_k) + C'_kj/F_k <= T_k         "deadline"
                sum_k b_k <= B                                      "band"
                sum_k F_k <= F                                      "server"
                r_k(b) = b log2(1 + h_k p_k/(N0 b))

    j     place of the split          C_kj   work on the device [cycle]   b_k  bandwidth [Hz]
    s_kj  payload at it [bit]         C'_kj  work on the server [cycle]   F_k  server [cycle/s]
    f_k   clock, the fastest          kappa_k  capacitance                 T_k  deadline [s]
    p_k   power, the largest          h_k, N0  channel gain, noise density [W/Hz]

A network that stays on its device sends nothing and needs neither band nor server: 0/0 is 0.

Given the places this is convex: 1/r and 1/F are. For prices mu of band and nu of the server every
device picks its place, and divides the time that its deadline leaves between air and server (one
root, see `_split_shares`). For any prices that gives a lower bound,

    sum_k min_j min_t (energy + mu b + nu F) - mu B - nu F,

and at the best prices at most two devices are undecided, one for each limit. Branching on them
closes the rest.

With one device and no limits shared, a scan of the places is enough: Kang et al., Neurosurgeon,
ASPLOS 2017; Li, Zeng, Zhou, Chen, Edgent, IEEE TWC 2020, arXiv 1910.05316. The joint problem as
stated here is ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.certificate import Excess
from fl_opt.errors import Infeasible
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems._split_cell import Mask, Places, SplitCell, alone, deadlines
from fl_opt.problems._split_reference import conic_division, mixed_program
from fl_opt.problems._split_shares import Shares, Split, divide
from fl_opt.problems._two_prices import climb
from fl_opt.problems.split_profile import SplitPlan, SplitProfile
from fl_opt.problems.uplink import total
from fl_opt.structure import DualPoint, Program, Relaxed
from fl_opt.units import Floats


@dataclass(frozen=True, eq=False, init=False)
class SplitInference:
    """Split a network between each device and a server, at the least energy of the devices.

    Parameters
    ----------
    network
        The devices: they compute at `cpu_max_hz` and send at `power_max_w`; their `cycles` and
        `upload_bit` do not count.
    profile
        Work and payload of each place to split.
    deadline_s
        End of each inference, a scalar or (K,) [s].
    server_hz
        Speed of the server, which the devices share [cycle/s].

    The cost is the energy of the devices [J]. ``solve`` raises ``Infeasible`` where no places fit.
    """

    network: Network
    profile: SplitProfile
    deadline_s: Floats
    server_hz: float

    unit = "J"

    def __init__(
        self, network: Network, profile: SplitProfile, deadline_s: ArrayLike, server_hz: float
    ) -> None:
        put = object.__setattr__
        put(self, "network", network)
        put(self, "profile", profile)
        put(self, "server_hz", server_hz)
        cell = self.cell
        put(self, "server_hz", cell.server_hz)
        put(self, "deadline_s", deadlines(deadline_s, network.size))

    @cached_property
    def cell(self) -> SplitCell:
        """The devices, their places and the server."""
        return SplitCell(self.network, self.profile, self.server_hz)

    def cost(self, decision: SplitPlan) -> float:
        """Energy of all devices [J]."""
        return total(self.cell.taken(decision)[0])

    def excess(self, decision: SplitPlan) -> dict[str, Excess]:
        """Band, server and the end of each device."""
        return self.cell.excess(decision, self.deadline_s)

    # structure: Branched

    @cached_property
    def shares(self) -> Shares:
        """(K J,) options of all devices."""
        return self.cell.shares(self.deadline_s)

    def options(self) -> Mask:
        """(K, J) places that meet the deadline with all the band and the server."""
        return self.cell.possible(self.shares)

    @cached_property
    def limits(self) -> Floats:
        """Band and server; 1 for one that is zero, of which nothing is used."""
        both = np.array([self.network.band_hz, self.server_hz])
        return np.where(both > 0.0, both, 1.0)

    def _most(self, allowed: Mask) -> tuple[float, float]:
        """Most energy that any decision takes, and the radio's part of it."""
        radio = (self.shares.power * np.maximum(self.shares.left, 0.0)).reshape(allowed.shape)
        radio = np.where(self.cell.upload_bit > 0.0, radio, 0.0)
        whole = np.where(allowed, self.cell.device_j + radio, -np.inf).max(axis=1)
        return total(whole) * (1.0 + 1e-9), total(np.where(allowed, radio, 0.0).max(axis=1))

    def relax(self, allowed: Mask, enough: float, start: Relaxed | None = None) -> Relaxed:
        """The best prices of band and server, as worth of the whole of each [J]."""
        index = np.flatnonzero(allowed.ravel())
        part, home = self.shares[index], self.cell.device_j.ravel()[index]
        most, radio = self._most(allowed)

        def weigh(prices: Floats) -> tuple[float, Floats, Relaxed]:
            found = divide(part, *(prices / self.limits))
            value, low = np.full((2, allowed.size), np.inf)
            value[index], low[index] = home + found.term, home + found.low
            value, low = value.reshape(allowed.shape), low.reshape(allowed.shape)
            choice = value.argmin(axis=1)
            rows = np.arange(choice.size)
            best = value[rows, choice]
            value[rows, choice] = np.inf
            second = value.min(axis=1)
            doubt = int(np.argmin(second - best)) if np.isfinite(second).any() else -1
            at = np.searchsorted(index, rows * allowed.shape[1] + choice)
            used = np.array([total(found.band_hz[at]), total(found.server_hz[at])]) / self.limits
            lowest = low.min(axis=1)
            least, paid = total(lowest), float(prices.sum())
            bound = least - paid - 16.0 * EPS * (least + paid)
            bound = np.inf if bound > most else bound
            with np.errstate(invalid="ignore"):
                rise = low - lowest[:, None]
            relaxed = Relaxed(bound, choice, doubt, prices, rise)
            return total(best) - paid, used - 1.0, relaxed

        scale = radio or most or 1.0
        return climb(weigh, scale, enough, None if start is None else start.prices)

    def fixed(self, choice: Places, near: Relaxed) -> FixedPlaces:
        """Band and server shares for given places."""
        return FixedPlaces(self, choice, near.prices)

    def refusal(self) -> Infeasible:
        """Why no places fit."""
        return self.cell.refusal(self.deadline_s)

    # structure: Mixed

    def program(self) -> Program[SplitPlan]:
        """Places as binaries, laws by tangents; see `_split_reference`."""
        return mixed_program(self)

    # structure: Enumerable

    def candidates(self) -> Iterator[tuple[SplitPlan, float]]:
        """Conic programs of all choices of places, each with the bound at its best prices."""
        options = self.options()
        for place in self.cell.choices(options):
            plan = conic_division(self.cell, place, self.deadline_s)
            if plan is not None:
                yield plan, self.relax(alone(place, options), math.inf).bound


@dataclass(frozen=True, eq=False)
class FixedPlaces:
    """`SplitInference` for given places: convex, two prices. Structure: SmoothDual.

    Prices are the worth of the whole band and of the whole server [J].
    """

    whole: SplitInference
    choice: Places
    near: Floats

    def cost(self, decision: SplitPlan) -> float:
        """Energy of all devices [J]."""
        return self.whole.cost(decision)

    def excess(self, decision: SplitPlan) -> dict[str, Excess]:
        """As of the whole."""
        return self.whole.excess(decision)

    @cached_property
    def _part(self) -> Shares:
        rows = np.arange(self.choice.size)
        return self.whole.shares[rows * self.whole.cell.device_s.shape[1] + self.choice]

    @cached_property
    def _home_j(self) -> float:
        return total(self.whole.cell.device_j[np.arange(self.choice.size), self.choice])

    def _divide(self, prices: Floats) -> Split:
        return divide(self._part, *(prices / self.whole.limits))

    def price_guess(self) -> Floats:
        """The prices at which the places were chosen."""
        return np.maximum(self.near, 1e-6 * max(float(self.near.max()), 1e-30))

    def dual(self, prices: Floats) -> DualPoint:
        """The Lagrangian minimum and its derivatives."""
        found = self._divide(prices)
        used = np.array([total(found.band_hz), total(found.server_hz)])
        slopes = np.array([found.band_slope, found.server_slope]) / self.whole.limits[:, None]
        curvature = -(slopes / found.bend) @ slopes.T
        value = self._home_j + total(found.term) - float(prices.sum())
        return DualPoint(value, used / self.whole.limits - 1.0, curvature)

    def settle(self, prices: Floats) -> SplitPlan:
        """The division at the prices."""
        found = self._divide(prices)
        return SplitPlan(self.choice, found.band_hz, found.server_hz)

    def bound(self, prices: Floats) -> tuple[float, Mapping[str, float | Floats | None]]:
        """Lower bound for these places, and the prices per hertz and per cycle/s."""
        low, paid = self._home_j + total(self._divide(prices).low), float(prices.sum())
        band, server = prices / self.whole.limits
        value = low - paid - 16.0 * EPS * (low + paid)
        return value, {"band": float(band), "server": float(server), "deadline": None}
