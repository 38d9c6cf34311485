r"""How long a round of asynchronous learning lasts, when slow devices may report every few rounds.

    maximise    (1/T) sum_n w_n c_n^-(1 + a)      over T and whole c_n >= 1
    subject to  t_n <= c_n T                      "report"
                T >= T_min                        "period_min"

    T    period of the server's rounds [s]        t_n  time that device n takes for an update [s]
    c_n  tier: it reports every c_n rounds [-]    w_n  worth of an update, such as samples [-]
    a    how fast updates age [-]

A device of tier c reports 1/(c T) times a second, and what it reports is c - 1 rounds old, so that
it counts c^-a (see ``staleness_weight``). Short rounds leave slow devices far behind, long ones
keep the fast waiting. The best tiers at a period are c_n = ceil(t_n/T), and between two of the
periods t_n/j the tiers stay while 1/T falls: an optimum is one of them, or T_min. As no c_n is
below t_n/T, the objective is at most T^a sum_n w_n t_n^-(1 + a), which leaves out all periods
shorter than some T_low > 0. The rest is enumerated: in one sweep downward from the longest period,
each candidate t_n/j moves device n from tier j to j + 1. The tier is that whole j, never the
ceiling of a quotient that may be rounded up.

Proof: "enumeration": every candidate at and above T_low, rounding taken off.

The objective is ours. Staleness weights: Nguyen, Malik, Zhan, Yousefpour, Rabbat, Malek, Huba,
Federated learning with buffered asynchronous aggregation (FedBuff), AISTATS 2022, arXiv 2106.06639
(a = 1/2); Xie, Koyejo, Gupta, Asynchronous federated optimization (FedAsync), arXiv 1903.03934.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.allocation import Allocation, use
from fl_opt.certificate import Excess
from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems.uplink import total
from fl_opt.structure import Optimum
from fl_opt.units import Floats

if TYPE_CHECKING:
    import pandas

_MOST = 20_000_000
_ENUMERABLE = 20_000
_CLOSE = 1000
"""Candidates that rounding does not tell apart are evaluated one by one, up to so many."""
_NEAR = 8.0 * EPS
"""Candidates this near to each other, relatively, are taken for one."""


def staleness_weight(age: ArrayLike, exponent: float = 0.5) -> Floats:
    """What an update counts that is `age` rounds old, ``(1 + age)^-exponent``.

    An exponent of 1/2 is FedBuff's weight, 0 none; FedAsync calls the family polynomial.

    >>> staleness_weight([0, 3, 8])
    array([1.        , 0.5       , 0.33333333])
    """
    old = np.asarray(age, dtype=float)
    return np.asarray((1.0 + old) ** -number("exponent", exponent))


@dataclass(frozen=True, eq=False, init=False)
class Tiers:
    """What `AsyncTiers` decides: `period_s` of the rounds, and `tier` (K,), whole numbers.

    Device n reports every `tier[n]` rounds; 0 is never.
    """

    period_s: float
    tier: NDArray[np.int_]

    def __init__(self, period_s: float, tier: ArrayLike) -> None:
        whole = np.array(tier)
        if whole.dtype.kind not in "iu" or whole.ndim != 1 or (whole < 0).any():
            raise InvalidInput("tier", f"{whole.dtype} {whole.shape}", "whole numbers (K,) >= 0")
        whole.flags.writeable = False
        period = number("period_s", period_s, open_low=True, finite=False)
        object.__setattr__(self, "period_s", period)
        object.__setattr__(self, "tier", whole)

    def to_frame(self) -> pandas.DataFrame:
        """A row per device: its tier, and the seconds between two of its reports."""
        import pandas

        between = np.where(self.tier > 0, self.tier * self.period_s, math.inf)
        index = pandas.RangeIndex(self.tier.size, name="device")
        return pandas.DataFrame({"tier": self.tier, "between_s": between}, index=index)


@dataclass(frozen=True, eq=False, init=False)
class AsyncTiers:
    """Choose the period after which an asynchronous server averages what has arrived.

    Parameters
    ----------
    time_s
        Time for an update of each device, training and upload, > 0 [s]; infinite for one that
        never reports.
    weight
        Worth of an update, a scalar or (K,), >= 0, such as the samples behind it [-].
    exponent
        How fast updates age, > 0; see ``staleness_weight``.
    period_min_s
        Shortest period that the server can keep [s]; 0 for any.

    The cost is minus the worth of updates per second. Nothing is infeasible. Raises
    ``InvalidInput`` for values out of range, and where so many periods come into question that
    they cannot be listed: devices very much slower than the fastest, with a small exponent.
    """

    time_s: Floats
    weight: Floats
    exponent: float
    period_min_s: float

    unit = "1/s"

    def __init__(
        self,
        time_s: ArrayLike,
        weight: ArrayLike = 1.0,
        exponent: float = 0.5,
        period_min_s: float = 0.0,
    ) -> None:
        size = max(np.size(time_s), np.size(weight))
        put = object.__setattr__
        put(self, "time_s", vector("time_s", time_s, size, open_low=True, finite=False))
        put(self, "weight", vector("weight", weight, size))
        put(self, "exponent", number("exponent", exponent, open_low=True))
        put(self, "period_min_s", number("period_min_s", period_min_s))

    @classmethod
    def from_network(
        cls, network: Network, exponent: float = 0.5, period_min_s: float = 0.0
    ) -> AsyncTiers:
        """Devices that train at the fastest clock and upload at full power over B/K of the band.

        Their samples are the weights. A dead link never reports.
        """
        everyone = Allocation(
            selected=np.ones(network.size, dtype=bool),
            bandwidth_hz=network.band_hz / network.size,
            power_w=network.power_max_w,
            cpu_hz=network.cpu_max_hz,
        )
        used = use(network, everyone)
        return cls(used.finish_s, network.samples, exponent, period_min_s)

    def cost(self, decision: Tiers) -> float:
        """Minus the worth of updates per second."""
        on = decision.tier > 0
        return -total(self._counts(decision.tier[on], self.weight[on])) / decision.period_s

    def excess(self, decision: Tiers) -> dict[str, Excess]:
        """Nobody reports before he is done, and the period is not too short."""
        on = decision.tier > 0
        given = np.ones(on.size)
        given[on] = decision.tier[on] * decision.period_s
        return {
            "report": Excess(np.where(on, self.time_s, 0.0), given, "s"),
            "period_min": Excess(-decision.period_s, -self.period_min_s, "s"),
        }

    def _counts(self, tier: NDArray[np.int_], weight: Floats) -> Floats:
        """What updates count per round of the server: staleness over tier."""
        return weight * staleness_weight(tier - 1, self.exponent) / tier

    @cached_property
    def _able(self) -> NDArray[np.int_]:
        """Devices that report and are worth something."""
        return np.flatnonzero(np.isfinite(self.time_s) & (self.weight > 0.0))

    def _tiers(self, period_s: float) -> Tiers:
        """The best tiers at about this period, and the shortest period that they allow."""
        tier = np.zeros(self.time_s.size, dtype=int)
        on = np.isfinite(self.time_s)
        # a quotient just above a whole number is that number, of a period longer by as little
        tier[on] = np.maximum(np.ceil(self.time_s[on] / period_s * (1.0 - _NEAR)), 1.0)
        some = self._able
        least = float((self.time_s[some] / tier[some]).max(initial=self.period_min_s))
        return Tiers(least, tier)

    def _shortest(self) -> float:
        """T_low: below it nothing is as good as the best period among the first tiers."""
        some, power = self._able, 1.0 + self.exponent
        times, weight = self.time_s[some], self.weight[some]
        scale = float(times.max())
        steep = total(weight * (times / scale) ** -power)
        first = np.unique(times)
        if first.size > 64:
            first = first[np.linspace(0, first.size - 1, 64).astype(int)]
        tried = np.maximum(np.concatenate([first / j for j in (1, 2, 3)]), self.period_min_s)
        best = max(-self.cost(self._tiers(float(period))) for period in tried)
        with np.errstate(under="ignore"):
            low = scale * (best * scale / steep * (1.0 - 64.0 * EPS)) ** (1.0 / self.exponent)
        return float(max(low * (1.0 - 64.0 * EPS), self.period_min_s))

    def _periods(self, most: int) -> tuple[Floats, NDArray[np.int_], NDArray[np.int_], float]:
        """Candidates t_n/j of at least T_low, their n and j, and T_low.

        Raises ``InvalidInput`` where there are more than `most`.
        """
        low = self._shortest()
        times = self.time_s[self._able]
        with np.errstate(divide="ignore", over="ignore"):
            steps = np.floor(times / low * (1.0 + _NEAR))
        if not float(steps.sum()) <= most:
            raise InvalidInput(
                "periods in question",
                f"{steps.sum():.3g}",
                f"at most {most}",
                "give a longer period_min_s or a larger exponent",
            )
        many = steps.astype(int)
        device = np.repeat(np.arange(times.size), many)
        j = np.arange(device.size) - np.repeat(np.cumsum(many) - many, many) + 1
        return times[device] / j, device, j, low

    # structure: ClosedForm

    def optimum(self) -> Optimum[Tiers]:
        """The best candidate of one sweep, with a bound on all of them."""
        some = self._able
        if not some.size:
            return Optimum(Tiers(math.inf, np.zeros(self.time_s.size, dtype=int)), 0.0)
        period, device, j, low = self._periods(_MOST)
        order = np.argsort(-period, kind="stable")
        period, device, j = period[order], device[order], j[order]
        weight = self.weight[some]
        drop = self._counts(j, weight[device]) - self._counts(j + 1, weight[device])
        # in long double, where the machine has one, or a million steps would blur the best
        fallen = np.append(0.0, np.cumsum(drop, dtype=np.longdouble).astype(float))
        if low == self.period_min_s:
            period = np.append(period, self.period_min_s)
        # those longer by more than a rounding have moved their device on
        moved = np.searchsorted(-period[: drop.size], -period * (1.0 + _NEAR), side="left")
        whole = total(weight)
        value = (whole - fallen[moved]) / period
        # the sums err by a rounding of the whole per step, the periods by a few
        step = float(np.finfo(np.longdouble).eps)
        doubt = (step * moved + 64.0 * EPS) * whole / period
        best = int(np.argmax(value))
        near = np.flatnonzero(value + doubt >= value[best] - doubt[best])
        near = near[np.unique(period[near], return_index=True)[1]]
        close = [self._tiers(float(period[k])) for k in near[:_CLOSE]]
        worth = [-self.cost(tiers) for tiers in close]
        bound = max(worth) * (1.0 + (64.0 + 4.0 * self.exponent) * EPS)
        if near.size > _CLOSE:
            bound = max(bound, float((value + doubt)[near].max()))
        return Optimum(close[int(np.argmax(worth))], -bound, proof="enumeration")

    # structure: Enumerable

    def candidates(self) -> Iterator[tuple[Tiers, float]]:
        """Every period t_n/j in question, with tiers from exact fractions."""
        some = self._able
        if not some.size:
            yield Tiers(math.inf, np.zeros(self.time_s.size, dtype=int)), 0.0
            return
        _, device, j, low = self._periods(_ENUMERABLE)
        exact = {
            Fraction(float(self.time_s[some[n]])) / int(i) for n, i in zip(device, j, strict=True)
        }
        if low == self.period_min_s:
            exact.add(Fraction(low))
        on = np.isfinite(self.time_s)
        for period in sorted(exact):
            tier = np.zeros(on.size, dtype=int)
            tier[on] = [max(math.ceil(Fraction(t) / period), 1) for t in self.time_s[on].tolist()]
            decision = Tiers(float(period), tier)
            yield decision, self.cost(decision) * (1.0 + (64.0 + 4.0 * self.exponent) * EPS)
