r"""Who takes part, and how fast, when devices may leave the cell before they are done.

    maximise    sum_k w_k x_k exp(-tau_k/m_k)    over x in {0, 1}^K and, where x_k = 1,
    subject to  C_k/f_k + t_k = tau_k <= T_k                     "deadline"
                t_k b_k log2(1 + h_k p_k/(N0 b_k)) >= s_k        "payload"
                kappa_k C_k f_k^2 + p_k t_k <= E_k               "energy"
                p_k <= P_k,  f_min_k <= f_k <= f_max_k           "power_max", "cpu_min", "cpu_max"
                sum_k b_k x_k <= B                               "band"

    tau_k  finish [s]           m_k  mean residence [s]     w_k  utility [-]    x_k  takes part
    b_k  bandwidth [Hz]         p_k  power [W]              f_k  clock [cycle/s]
    C_k  cycles [cycle]         s_k  payload [bit]          t_k  airtime [s]
    h_k  channel gain [-]       N0   noise density [W/Hz]   B    band [Hz]

A device stays for an exponentially distributed time of mean m_k, so that exp(-tau/m) is the
probability that it is still there when it is done. A finish tau takes the least bandwidth
b_k(tau), convex and decreasing (see `least`); the expected utility is convex in tau, so that it
is not concave in the bandwidth: to hurry a few devices can be better than to serve all. Prices
still bound it: at a price mu of the band

    sum_k x_k v_k(tau_k) <= mu B + sum_k max(0, max_tau v_k(tau) - mu b_k(tau)),
    v_k(tau) = w_k exp(-tau/m_k),

and the inner maximum is enclosed on a grid of finish times: between two of them v lies below its
chord and b above the lines through neighbouring points, so that the error is of second order. The
least bound exceeds the optimum by no more than about one utility (Shapley-Folkman), because at the
best price about one device hesitates between two finish times, or between one and none. Branching
on it, with finish times in pieces, leaves only what the grid does. Decisions are those of the
price, with what is left of the band given away greedily.

The objective is ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.allocation import Allocation
from fl_opt.certificate import Excess
from fl_opt.checks import number, vector, whole
from fl_opt.errors import Infeasible
from fl_opt.network import Network
from fl_opt.problems._limits import device_excess, fdma_use, require_limited
from fl_opt.problems._residence_program import interval_program
from fl_opt.problems._residence_rows import Rows, Table
from fl_opt.problems._residence_tree import Pieces
from fl_opt.problems.max_participation import MaxParticipation
from fl_opt.problems.uplink import Uplink, total
from fl_opt.structure import Program, Relaxed
from fl_opt.units import Floats

Mask = NDArray[np.bool_]

_TOGETHER = 16_384
"""Finish times of so many devices are looked at in one go."""
_ENTRIES = 32_768
"""About so many finish times are looked at in all."""
_PIECES = 16
_CLOSE = 1e-5
"""Branches end at a gap of this; on a fine grid at about what its steps leave."""
_MANY, _CLOSE_OF_MANY = 128, 1e-3
"""Of more devices than this, whose prices take long and leave little, at a gap of that."""
_SLACK = 1e-12
"""Relative allowance for what rounding does to the lines between grid points."""


def quantile_deadline_s(deadline_s: ArrayLike, mean_residence_s: ArrayLike, risk: float) -> Floats:
    """Until when a device is still there with probability ``1 - risk``, at most the deadline [s].

    Residence is exponentially distributed: ``min(T, -m ln(1 - risk))``.

    >>> quantile_deadline_s(2.0, [10.0, 100.0], 0.1)
    array([1.05360516, 2.        ])
    """
    odds = number("risk", risk, high=1.0, open_low=True)
    mean = np.asarray(mean_residence_s, dtype=float)
    stays = -mean * np.log1p(-odds) if odds < 1.0 else np.full(mean.shape, math.inf)
    return np.asarray(np.minimum(np.asarray(deadline_s, dtype=float), stays))


@dataclass(frozen=True, eq=False)
class ResidenceScheduling:
    """The most utility to be expected of a round that devices may leave.

    Parameters
    ----------
    network
        Who could take part.
    deadline_s
        End of the round, training and upload together, a scalar or (K,) [s].
    mean_residence_s
        Mean time for which a device stays in the cell, a scalar or (K,), > 0; infinite where it
        does not leave [s].
    utility
        What an update is worth, a scalar or (K,); `network.samples` where None. Devices of no or
        negative utility stay out.
    grid
        Finish times at which each device is looked at, >= 4; more for a smaller gap. None: 256 to
        4096, the fewer the more devices.

    The cost is minus the utility to be expected. Nothing is infeasible: nobody may take part.
    Raises ``InvalidInput`` for values out of range, or a device without any limit on power and
    energy, which needs no band at all.
    """

    network: Network
    deadline_s: ArrayLike
    mean_residence_s: ArrayLike
    utility: ArrayLike | None = None
    grid: int | None = None

    def __post_init__(self) -> None:
        if self.grid is not None:
            whole("grid", self.grid, 4)
        # wrong numbers are refused at once
        _ = self._deadline, self._mean, self._utility
        require_limited(self.network)

    @cached_property
    def _deadline(self) -> Floats:
        return Uplink(self.network, self.deadline_s).deadline_s

    @cached_property
    def _mean(self) -> Floats:
        size = self.network.size
        return vector("mean_residence_s", self.mean_residence_s, size, open_low=True, finite=False)

    @cached_property
    def _utility(self) -> Floats:
        if self.utility is None:
            return self.network.samples
        return vector("utility", self.utility, self.network.size, low=-math.inf)

    def with_risk(self, risk: float) -> MaxParticipation:
        """The same round where every update must arrive with probability ``1 - risk``.

        Each device has its own deadline then, ``quantile_deadline_s``, and the rest is a knapsack.
        """
        deadline = quantile_deadline_s(self._deadline, self._mean, risk)
        return MaxParticipation(self.network, deadline, self._utility)

    def cost(self, decision: Allocation) -> float:
        """Minus the sum of utilities times the probability that their device is still there."""
        finish = fdma_use(self.network, decision).finish_s
        return -total(
            np.where(decision.selected, self._utility * np.exp(-finish / self._mean), 0.0)
        )

    def excess(self, decision: Allocation) -> dict[str, Excess]:
        """The constraints by name."""
        return device_excess(self.network, decision, self.deadline_s)

    # what devices can do

    @property
    def _grid(self) -> int:
        if self.grid is not None:
            return self.grid
        return min(max(_ENTRIES // max(self._able.size, 1), 256), 4096)

    @cached_property
    def _able(self) -> NDArray[np.int_]:
        """Devices (n,) that could take part alone, unless proven otherwise."""
        alone = Uplink(self.network, self._deadline).least_low_hz
        return np.flatnonzero((alone <= self.network.band_hz) & (self._utility > 0.0))

    def _least(self, device: NDArray[np.int_], finish_s: Floats) -> tuple[Floats, Floats]:
        """Bandwidths that suffice for finish times of devices, and proven lower bounds [Hz]."""
        uplink = Uplink(self.network[device], np.maximum(finish_s, np.finfo(float).tiny))
        return uplink.least_hz, uplink.least_low_hz

    def _value(self, finish_s: Floats) -> Floats:
        """Expected utilities of the able devices at finish times (..., n)."""
        able = self._able
        return np.asarray(self._utility[able] * np.exp(-finish_s / self._mean[able]))

    def _earliest(self, device: NDArray[np.int_], band_hz: Floats) -> tuple[Floats, Floats]:
        """Finish times of devices proven to need more than `band_hz`, and the next that do not."""
        early, late = np.zeros(device.size), self._deadline[device].copy()
        for _ in range(60):
            middle = 0.5 * (early + late)
            fits = self._least(device, middle)[1] <= band_hz
            early, late = np.where(fits, early, middle), np.where(fits, middle, late)
        return early, late

    @cached_property
    def _first(self) -> tuple[Floats, Floats]:
        """Finish times (n,) that not even the whole band allows, and the next that it may."""
        return self._earliest(self._able, np.full(self._able.size, self.network.band_hz))

    @cached_property
    def _table(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Finish times (grid, n), utilities, sufficient bandwidths and bounds of those needed."""
        able = self._able
        first, last = self._first[1], self._deadline[able]
        trained = self.network.cycles[able] / self.network.cpu_max_hz[able]
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.log((last - trained) / (first - trained))
        # dense where the upload is short; nearly even where it never is
        spread = np.clip(np.where(np.isnan(spread), 1.0, spread), 1e-6, 12.0)
        part = np.expm1(np.linspace(0.0, 1.0, self._grid)[:, None] * spread) / np.expm1(spread)
        # a hair later: what surely suffices for the first must not exceed the band
        first = np.minimum(first * (1.0 + 1e-11), last)
        finish = np.minimum(first + (last - first) * part, last)
        finish[-1] = last
        high, low = np.empty_like(finish), np.empty_like(finish)
        step = max(_TOGETHER // able.size, 1)
        for rows in (slice(k, k + step) for k in range(0, self._grid, step)):
            many = finish[rows]
            found = self._least(np.tile(able, len(many)), many.ravel())
            high[rows], low[rows] = (each.reshape(many.shape) for each in found)
        return finish, self._value(finish), high, low

    # the bound

    @cached_property
    def _pieces(self) -> Pieces:
        """Points that dominate whatever a device can do in each piece of its time.

        For every price one of them has at least the utility less price x bandwidth of any finish.
        """
        finish, value, high, low = self._table
        with np.errstate(divide="ignore", invalid="ignore"):
            width = np.diff(finish, axis=0)
            # lines that fall too steeply stay below a convex function
            steep = np.fmin((low[1:] - high[:-1]) / width, 0.0)
            flat = np.fmin((high[1:] - low[:-1]) / width, 0.0)
            left, right = finish[:-1], finish[1:]
            falling = np.vstack([np.full((1, left.shape[1]), -np.inf), steep[:-1]])
            rising = np.vstack([flat[1:], np.zeros((1, left.shape[1]))])
            # low[i] + falling (x - left) meets low[i + 1] + rising (x - right)
            meet = left + (low[:-1] - low[1:] + rising * width) / (rising - falling)
            meet = np.clip(np.where(np.isnan(meet), left, meet), left, right)
            ahead = low[:-1] + np.where(meet > left, falling * (meet - left), 0.0)
            back = low[1:] + rising * (meet - right)
            back[-1] = low[-1]
            needed = np.fmin(ahead, back) * (1.0 - _SLACK) - _SLACK * np.abs(low[:-1])
            needed = np.fmax(np.where(np.isfinite(falling), needed, back), low[1:])
            chord = np.where(width > 0.0, (meet - left) / width, 0.0)
        top = value[:-1] + chord * np.diff(value, axis=0)
        # before the first, the left and the right end of each step, and what lies between
        utility = np.vstack([self._value(self._first[0]), value[:-1], value[1:], top])
        band = np.vstack([low[0], low[:-1], low[1:], needed])
        option = np.concatenate([[1], np.tile(self._piece, 3)])
        return Pieces.of(
            utility * (1.0 + _SLACK), band * (1.0 - _SLACK), self.network.band_hz, option
        )

    @property
    def _piece(self) -> NDArray[np.int_]:
        """(grid - 1,) the piece, from 1, that each step of finish times belongs to."""
        steps = np.arange(self._grid - 1)
        return 1 + steps * min(_PIECES, self._grid - 1) // (self._grid - 1)

    # structure: Branched

    def options(self) -> Mask:
        """(n, p + 1) staying out, and the pieces of their time in which devices may finish."""
        if not self._able.size:
            return np.ones((1, 1), dtype=bool)
        return self._pieces.options()

    def relax(self, allowed: Mask, enough: float, start: Relaxed | None = None) -> Relaxed:
        """The best price of the band, as worth of the whole; see `_residence_tree`."""
        if not self._able.size:
            return Relaxed(0.0, np.zeros(1, dtype=int), -1, np.zeros(1))
        small = _CLOSE_OF_MANY if self._able.size > _MANY else min(_CLOSE, self._grid**-2.0)
        return self._pieces.relax(allowed, enough, start, small)

    def fixed(self, choice: NDArray[np.int_], near: Relaxed) -> Iterator[Allocation]:
        """A round at the price of a choice; the band that it leaves goes where it is worth most."""
        if not self._able.size:
            yield Allocation.none(self.network.size, float(np.max(self._deadline)))
            return
        _, value, high, _ = self._table
        step = np.append(self._piece, self._piece[-1])
        piece = (step[:, None] == choice) | (np.append(0, self._piece)[:, None] == choice)
        within = Table(value, np.where(piece, high, np.inf), self.network.band_hz)
        price = float(near.prices[0]) / (self.network.band_hz or 1.0)
        row = within.shared(np.flatnonzero(choice > 0), price)
        table = Table(value, high, self.network.band_hz)
        yield self._round(table, table.filled(row))

    def refusal(self) -> Infeasible:
        """Never asked for: nobody need take part."""
        return Infeasible("no round is possible", constraint="band")

    # structure: Mixed

    def program(self) -> Program[Allocation]:
        """A binary for each device and interval of finish times, apart from the engine."""

        def value(finish_s: Floats) -> Floats:
            return np.asarray(self._utility * np.exp(-finish_s / self._mean))

        return interval_program(self.network, self._deadline, value, self._decided)

    def _decided(self, selected: NDArray[np.bool_], left_s: Floats, right_s: Floats) -> Allocation:
        """The round of a set; all finish as far before the ends of their intervals as they can.

        The program is sure to a billionth that they can at the ends.
        """
        latest, kept = Uplink(self.network, right_s), selected.copy()
        worth = self._utility * np.exp(-right_s / self._mean)
        while total(np.where(kept, latest.least_hz, 0.0)) > self.network.band_hz:
            kept[np.argmin(np.where(kept, worth, np.inf))] = False
        low, high = 0.0, 1.0
        for _ in range(40):
            part = 0.5 * (low + high)
            sooner = Uplink(self.network, right_s - part * np.where(kept, right_s - left_s, 0.0))
            fits = total(np.where(kept, sooner.least_hz, 0.0)) <= self.network.band_hz
            low, high, latest = (part, high, sooner) if fits else (low, part, latest)
        return latest.allocation(latest.floor, kept)

    def _round(self, table: Table, row: Rows) -> Allocation:
        """The round of a choice; the band that it leaves makes one device quicker."""
        able, taken = self._able, row >= 0
        selected, times = np.zeros(self.network.size, dtype=bool), self._deadline.copy()
        selected[able[taken]], times[able[taken]] = True, table.at(self._table[0], row)[taken]
        held = table.at(table.needed, row)
        left = self.network.band_hz - total(held)
        next_one = table.next_step(row)
        if next_one is not None and left > 0.0:
            device, room = able[[next_one]], held[[next_one]] + left * (1.0 - 1e-9)
            quick = self._earliest(device, room * (1.0 - 1e-9))[1]
            if self._least(device, quick)[0][0] <= room[0]:
                times[device] = np.minimum(quick, times[device])
        uplink = Uplink(self.network, times)
        return uplink.allocation(uplink.floor, selected)
