r"""Rates of devices that share one channel at the same time, for the most use of them.

    maximise    sum_k w_k R_k                                          `PolymatroidRates`
    minimise    sum_k w_k^2 sigma_k^2 4^{-q_k},  q_k = m R_k/d_k       `PolymatroidBits`
    subject to  sum_{k in S} R_k <= log2(1 + sum_{k in S} P_k h_k/N)   every set S,  "polymatroid"
                R_k >= 0

    R_k  rate, bits per use [bit]          P_k h_k/N  power, gain, noise power [W], [-], [W]
    w_k  weight of the device [-]          sigma_k    deviation of a coordinate of the update [-]
    q_k  bits per coordinate [-]           d_k        coordinates of the update [-]
    m    uses of the channel in a round    the region: see `multiple_access`

Linear: the greedy algorithm. The device of largest weight is decoded last, free of the others, the
next one before it, and so on; weights <= 0 get nothing (Edmonds 1970; Tse, Hanly 1998).

Convex: decomposition (Fujishige 1980; Groenevelt, European Journal of Operational Research 54,
1991). Share what all can have together by water-filling, as if that were the only limit. If no set
is violated, that is optimal. Else, with A the set that is violated most, the optimum gives A its
full f(A): solve for A alone, and for the others with A as noise. At most K steps.

Proof, dual: for any prices p_k >= 0 of a bit, rates that can be had are worth at most the greedy
value g(p) = max_R p'R at these prices. So

    optimum >= sum_k min_{R_k >= 0} (cost_k(R_k) + p_k R_k) - g(p)

which needs no list of 2^K sets, and is tight at the slopes p_k of the costs at the optimum.

Source of the problem: Chang, Tandon, arXiv 2001.08737.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.certificate import Excess
from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.physics import LN2, PARAMETER_BIT
from fl_opt.problems.bit_allocation import BitAllocation
from fl_opt.problems.multiple_access import Index, MultipleAccess, UplinkRates
from fl_opt.problems.uplink import total
from fl_opt.structure import Model, Optimum
from fl_opt.units import Floats

_LN4 = 2.0 * LN2
_TIGHT = 1e-14
"""A set is violated when it uses more than this part beyond what it may."""


def _channel(channel: MultipleAccess) -> MultipleAccess:
    if not isinstance(channel, MultipleAccess):
        raise InvalidInput("channel", type(channel).__name__, "a fl_opt.MultipleAccess")
    return channel


@dataclass(frozen=True, eq=False, init=False)
class PolymatroidRates:
    """The greatest weighted sum of rates on a channel that all use at once.

    Parameters
    ----------
    channel
        Powers, gains and noise.
    weight
        What a bit of each device is worth, a scalar or (K,) [-]; at most 0: it stays silent.

    The cost is minus the weighted sum [bit per use]. Nothing is infeasible.
    """

    channel: MultipleAccess
    weight: Floats

    unit = "bit"

    def __init__(self, channel: MultipleAccess, weight: ArrayLike = 1.0) -> None:
        object.__setattr__(self, "channel", _channel(channel))
        object.__setattr__(self, "weight", vector("weight", weight, channel.size, low=-math.inf))

    def cost(self, decision: UplinkRates) -> float:
        """Minus the weighted sum of rates."""
        return -total(self.weight * decision.rate_bit)

    def excess(self, decision: UplinkRates) -> dict[str, Excess]:
        """The sets that could be violated most."""
        return self.channel.excess(decision)

    # structure: ClosedForm

    def optimum(self) -> Optimum[UplinkRates]:
        """The greedy rates, and the greedy bound."""
        order = np.argsort(-self.weight, kind="stable")
        order = order[self.weight[order] > 0.0]
        rate = self.channel.shrunk(self.channel.in_order(order))
        most = self.channel.support(np.maximum(self.weight, 0.0))
        return Optimum(UplinkRates(rate), -most * (1.0 + self.channel.rounding))

    # structure: Convex

    def model(self) -> Model[UplinkRates]:
        """A linear program with every set written out, for up to 8 devices."""
        import cvxpy

        member, most = self.channel.subsets()
        unit, scale = float(most.max()) or 1.0, float(np.abs(self.weight).max()) or 1.0
        rate = cvxpy.Variable(self.channel.size, bounds=[0.0, self.channel.alone / unit])
        sets = member @ rate <= most / unit
        program = cvxpy.Problem(cvxpy.Maximize(self.weight / scale @ rate), [sets])

        def decision() -> UplinkRates:
            found = np.clip(rate.value * unit, 0.0, self.channel.alone)
            return UplinkRates(self.channel.shrunk(found))

        def bound() -> float:
            dual = np.maximum(np.asarray(sets.dual_value), 0.0) * scale
            # what the prices of the sets leave of a weight is paid for by the device alone
            left = np.maximum(self.weight - dual @ member, 0.0)
            return -float(dual @ most + left @ self.channel.alone) * (1.0 + 1e3 * EPS)

        return Model(program, decision, bound)

    # structure: Enumerable

    def candidates(self) -> Iterator[tuple[UplinkRates, float]]:
        """The best of all orders of decoding, of all sets; for up to 8 devices."""
        _ = self.channel.subsets()
        useful = np.flatnonzero(self.weight > 0.0)
        best, most = np.zeros(self.channel.size), 0.0
        for order in itertools.permutations(useful.tolist()):
            rate = self.channel.in_order(np.array(order, dtype=int))
            value = float(self.weight @ rate)
            if value > most:
                best, most = rate, value
        yield UplinkRates(self.channel.shrunk(best)), -most * (1.0 + 64.0 * EPS)


@dataclass(frozen=True, eq=False, init=False)
class PolymatroidBits:
    """Bits per coordinate over a channel that all use at once, at the least squared error.

    Parameters
    ----------
    channel
        Powers, gains and noise.
    weight
        Weights w of the updates in the average, a scalar or (K,) >= 0 [-].
    deviation
        Standard deviation of a coordinate of each update, a scalar or (K,) >= 0 [-].
    coordinates
        Length d of each update, a scalar or (K,) > 0 [-].
    uses
        Uses m of the channel in a round, band x airtime, > 0 [-].

    The cost is the squared error per coordinate of the weighted sum, by the law of `BitAllocation`.
    Nothing is infeasible.
    """

    channel: MultipleAccess
    weight: Floats
    deviation: Floats
    coordinates: Floats
    uses: float

    def __init__(
        self,
        channel: MultipleAccess,
        weight: ArrayLike = 1.0,
        deviation: ArrayLike = 1.0,
        coordinates: ArrayLike = 1.0,
        uses: float = 1.0,
    ) -> None:
        put, size = object.__setattr__, _channel(channel).size
        put(self, "channel", channel)
        put(self, "weight", vector("weight", weight, size))
        put(self, "deviation", vector("deviation", deviation, size))
        put(self, "coordinates", vector("coordinates", coordinates, size, open_low=True))
        put(self, "uses", number("uses", uses, open_low=True))

    @classmethod
    def from_network(
        cls, network: Network, upload_s: float, deviation: ArrayLike = 1.0
    ) -> PolymatroidBits:
        """Everybody sends for `upload_s` at once, over the whole band, weighted by samples.

        A coordinate is 32 bit of the nominal update; the band gives B `upload_s` uses.
        """
        uses = network.band_hz * number("upload_s", upload_s, open_low=True)
        has = network.upload_bit > 0.0
        weight = np.where(has, network.samples / (total(network.samples) or 1.0), 0.0)
        coordinates = np.where(has, network.upload_bit / PARAMETER_BIT, 1.0)
        return cls(MultipleAccess.from_network(network), weight, deviation, coordinates, uses)

    @cached_property
    def silence(self) -> Floats:
        """(K,) error of a device that sends nothing, w^2 sigma^2."""
        return (self.weight * self.deviation) ** 2

    @cached_property
    def decay(self) -> Floats:
        """(K,) beta, with an error of silence x exp(-beta R)."""
        return _LN4 * self.uses / self.coordinates

    def bits(self, decision: UplinkRates) -> Floats:
        """(K,) bits per coordinate."""
        return self.uses * decision.rate_bit / self.coordinates

    def cost(self, decision: UplinkRates) -> float:
        """Squared error per coordinate of the weighted sum."""
        return total(self.silence * np.exp2(-2.0 * self.bits(decision)))

    def excess(self, decision: UplinkRates) -> dict[str, Excess]:
        """The sets that could be violated most."""
        return self.channel.excess(decision)

    # structure: ClosedForm

    def optimum(self) -> Optimum[UplinkRates]:
        """Rates by decomposition, and the bound at the slopes of the errors there."""
        rate = self.channel.shrunk(self._decomposed())
        decision = UplinkRates(rate)
        price = self.silence * self.decay * np.exp(-self.decay * rate)
        return Optimum(decision, min(self.lower_bound(price), self.cost(decision)))

    def _decomposed(self) -> Floats:
        channel, rate = self.channel, np.zeros(self.channel.size)
        heard = np.flatnonzero((self.silence > 0.0) & (channel.snr > 0.0))
        pieces = [(1.0, heard)] if heard.size else []
        while pieces:
            noise, among = pieces.pop()
            rate[among] = self._filled(noise, among)
            order, used, allowed = channel.tightest(rate, noise, among)
            over = used - allowed
            at = int(np.argmax(over[:-1])) if among.size > 1 else 0
            if among.size > 1 and over[at] > _TIGHT * allowed[-1]:
                first, rest = order[: at + 1], order[at + 1 :]
                pieces += [(noise, first), (noise + total(channel.snr[first]), rest)]
        return rate

    def _filled(self, noise: float, among: Index) -> Floats:
        """Rates of some devices if what they can have together were the only limit."""
        together = math.log1p(total(self.channel.snr[among]) / noise) / LN2
        share = self.coordinates[among] / self.uses
        sharing = BitAllocation(self.weight[among], self.deviation[among], share, together)
        return sharing.optimum().decision.bits * share

    def lower_bound(self, price: Floats) -> float:
        """Proven lower bound of the error from any prices (K,) >= 0 of a bit."""
        most = self.silence * self.decay
        with np.errstate(divide="ignore", invalid="ignore"):
            inner = price / self.decay * (1.0 + np.log(most / price))
        term = np.where(
            (price < most) & (price > 0.0), inner, np.where(price > 0.0, self.silence, 0.0)
        )
        worth = self.channel.support(price)
        spread = total(np.abs(term)) + worth
        return max(total(term) - worth - self.channel.rounding * spread, 0.0)

    # structure: Convex

    def model(self) -> Model[UplinkRates]:
        """The logarithm of the error, with every set written out, for up to 8 devices."""
        import cvxpy

        member, most = self.channel.subsets()
        unit = float(most.max()) or 1.0
        rate = cvxpy.Variable(self.channel.size, bounds=[0.0, self.channel.alone / unit])
        sets = member @ rate <= most / unit
        heard = np.flatnonzero(self.silence > 0.0)
        error = cvxpy.Constant(0.0)
        if heard.size:
            falls = cvxpy.multiply(unit * self.decay[heard], rate[heard])
            error = cvxpy.log_sum_exp(np.log(self.silence[heard]) - falls)
        program = cvxpy.Problem(cvxpy.Minimize(error), [sets])

        def decision() -> UplinkRates:
            found = np.clip(rate.value * unit, 0.0, self.channel.alone)
            return UplinkRates(self.channel.shrunk(found))

        def bound() -> float:
            dual = np.maximum(np.asarray(sets.dual_value), 0.0) * self.cost(decision()) / unit
            return self.lower_bound(dual @ member)

        return Model(program, decision, bound)
