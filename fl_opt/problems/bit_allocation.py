r"""Bits per coordinate for every device's update, so that quantisation hurts least.

    minimise    sum_k w_k^2 sigma_k^2 4^{-q_k}
    subject to  sum_k d_k q_k <= R                  "budget"
                q_k <= m_k, q_k >= 0                "bits_max"

    q_k  bits per coordinate [-]          w_k      weight in the average [-]
    d_k  coordinates of the update [-]    sigma_k  standard deviation of a coordinate [-]
    R    bits of all uploads [bit]        m_k      most bits per coordinate [-]

Every further bit per coordinate quarters a squared error. `BitAllocation` lets q be real: with
v = w^2 sigma^2, the error a bit removes, ln4 v 4^{-q}/d, is level among devices that send and below
their cap. This is reverse water-filling: q_k = min(m_k, max(0, (1/2) log2(v_k/d_k) - t)), where
demand is piecewise linear in t, so that t follows from sorting. Proof: for any price nu >= 0 of a
bit the error is at least sum_k min_q [v_k 4^{-q} + nu d_k q] - nu R; each minimum is a formula, and
rounding is taken off.

`WholeBitAllocation` asks for whole q, with the same d for all. Each next bit of a device removes a
quarter as much as the one before, so the floor(R/d) bits that remove most are best, and the price
of the last proves it in the same way.

Source: reverse water-filling of independent Gaussian sources, Cover, Thomas, Elements of
Information Theory, 2006, section 10.3, with weights, caps and unequal lengths; derived here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from fl_opt import physics
from fl_opt.certificate import FEASIBLE, Excess
from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems.bit_depths import BitDepths
from fl_opt.problems.units_shared import cheapest_units
from fl_opt.problems.uplink import total
from fl_opt.structure import Model, Optimum, Program
from fl_opt.units import Floats

_LN4 = math.log(4.0)
_ENUMERABLE = 100_000
_FAINT = 1e-320
"""What a device's term may be off by, absolutely, where numbers are too small for all digits."""


@dataclass(frozen=True, eq=False, init=False)
class BitAllocation:
    """Real bits per coordinate under a budget of all uploads, at the least squared error.

    Parameters
    ----------
    weight
        Weight w of a device's update in the average [-], a scalar or (K,).
    deviation
        Standard deviation sigma of a coordinate of its update, scalar or (K,) [-].
    coordinates
        Length d > 0 of its update, scalar or (K,) [-].
    budget_bit
        Bits R of all uploads together [bit], finite.
    bits_max
        Most bits m per coordinate, e.g. from a device's own upload budget, scalar or (K,) [-];
        default infinite.

    The cost is the squared error per coordinate, ``sum w^2 sigma^2 4^-q``; at q = 0 a device is
    silent. Nothing is infeasible. Prices: "budget" [1/bit], "bits_max" (K,). Raises
    ``InvalidInput`` for values that are negative or not finite.
    """

    weight: Floats
    deviation: Floats
    coordinates: Floats
    budget_bit: float
    bits_max: Floats

    def __init__(
        self,
        weight: ArrayLike,
        deviation: ArrayLike,
        coordinates: ArrayLike,
        budget_bit: float,
        bits_max: ArrayLike = math.inf,
    ) -> None:
        given = (weight, deviation, coordinates, bits_max)
        if min(np.size(value) for value in given) == 0:
            raise InvalidInput("BitAllocation", "empty", "at least one device")
        size = max(np.size(value) for value in given)
        put = object.__setattr__
        put(self, "weight", vector("weight", weight, size))
        put(self, "deviation", vector("deviation", deviation, size))
        put(self, "coordinates", vector("coordinates", coordinates, size, open_low=True))
        put(self, "budget_bit", number("budget_bit", budget_bit))
        put(self, "bits_max", vector("bits_max", bits_max, size, finite=False))

    @classmethod
    def from_network(
        cls, network: Network, budget_bit: float, deadline_s: float, deviation: ArrayLike = 1.0
    ) -> BitAllocation:
        """Devices of a round, weighted by samples, capped by what they can send by a deadline.

        A coordinate is 32 bit of the nominal update. The cap is what full power over B/K carries
        after training at the fastest clock. ``Optimised(partial(BitAllocation.from_network, ...))``
        is a policy. Who has no update stays out.
        """
        number("deadline_s", deadline_s, open_low=True)
        rate = physics.rate_bit_s(
            network.band_hz / network.size, network.power_max_w, network.gain, network.noise_w_hz
        )
        spare = deadline_s - physics.training_s(network.cycles, network.cpu_max_hz)
        # who has no update neither errs nor sends
        has = network.upload_bit > 0.0
        coordinates = np.where(has, network.upload_bit / physics.PARAMETER_BIT, 1.0)
        cap = np.where(has, rate * np.maximum(spare, 0.0) / coordinates, 0.0)
        weight = np.where(has, network.samples / (total(network.samples) or 1.0), 0.0)
        return cls(weight, deviation, coordinates, budget_bit, cap)

    @property
    def size(self) -> int:
        """Number of devices K."""
        return int(self.weight.size)

    @cached_property
    def silence(self) -> Floats:
        """(K,) error v = w^2 sigma^2 of a device that sends nothing."""
        return (self.weight * self.deviation) ** 2

    def cost(self, decision: BitDepths) -> float:
        """Squared error per coordinate of the weighted sum."""
        return total(self.silence * np.exp2(-2.0 * decision.bits))

    def excess(self, decision: BitDepths) -> dict[str, Excess]:
        """The budget and the caps."""
        sent = total(self.coordinates * decision.bits)
        return {
            "budget": Excess(sent, self.budget_bit, "bit"),
            "bits_max": Excess(decision.bits, self.bits_max, ""),
        }

    # structure: ClosedForm

    def optimum(self) -> Optimum[BitDepths]:
        """The water level, the bound at its price, and the prices."""
        bits, price = self._level()
        decision = BitDepths(bits, self.coordinates)
        last = _LN4 * self.silence * np.exp2(-2.0 * bits) - price * self.coordinates
        capped = np.where(bits >= self.bits_max, np.maximum(last, 0.0), 0.0)
        bound = min(self.lower_bound(price), self.cost(decision))
        return Optimum(decision, bound, {"budget": price, "bits_max": capped})

    def _level(self) -> tuple[Floats, float]:
        """Bits (K,) that meet the budget, and its price."""
        d, bits = self.coordinates, np.zeros(self.size)
        heard = np.flatnonzero((self.silence > 0.0) & (self.bits_max > 0.0))
        if not heard.size:
            return bits, 0.0
        d, cap = d[heard], self.bits_max[heard]
        start = 0.5 * (np.log2(self.silence[heard]) - np.log2(d))
        room = float(np.sum(d * cap))
        if room <= self.budget_bit:
            bits[heard] = cap
            return bits, 0.0
        full = start - cap
        ends = full[np.isfinite(full)]
        knot = np.concatenate([start, ends])
        slope = np.concatenate([d, -d[np.isfinite(full)]])
        order = np.argsort(-knot, kind="stable")
        knot, slope = knot[order], np.cumsum(slope[order])
        demand = np.concatenate([[0.0], np.cumsum(-np.diff(knot) * slope[:-1])])
        at = int(np.searchsorted(demand, self.budget_bit, side="right")) - 1
        # the sums drift: from the knot found, afresh
        used = total(d * np.clip(start - knot[at], 0.0, cap))
        steep = total(np.where((start >= knot[at]) & (full < knot[at]), d, 0.0))
        level = float(knot[at])
        if steep > 0.0:
            level -= (self.budget_bit - used) / steep
        over = total(d * np.clip(start - level, 0.0, cap)) - self.budget_bit
        if over > 0.0 and steep > 0.0:  # rounding: a hair higher, and the caps stay caps
            level += 2.0 * over / steep
        bits[heard] = np.clip(start - level, 0.0, cap)
        return bits, _LN4 * math.exp2(2.0 * level)

    def lower_bound(self, price: float) -> float:
        """Proven lower bound of the error from any price of a bit, >= 0."""
        v, d = self.silence, self.coordinates
        # rounded up: nobody can have more than the whole budget
        cap = np.minimum(self.bits_max, self.budget_bit / d * (1.0 + 4.0 * EPS))
        charge = price * d
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            best = np.where(v > 0.0, np.log(_LN4 * v / charge) / _LN4, 0.0)
            bits = np.clip(best, 0.0, cap)
            paid = np.where(bits > 0.0, charge * bits, 0.0)
            inner = charge / _LN4 * (1.0 + _LN4 * best)
        ends = v * np.exp2(-2.0 * bits) + paid
        term = np.where((best > 0.0) & (best < cap) & (price > 0.0), inner, ends)
        spread = total(np.abs(term)) + price * self.budget_bit
        low = total(term) - price * self.budget_bit - 16.0 * EPS * spread
        return max(low - _FAINT * self.size, 0.0)

    # structure: Convex

    def model(self) -> Model[BitDepths]:
        """The logarithm of the error, a log-sum-exp; the budget in units of itself."""
        import cvxpy

        heard = np.flatnonzero(self.silence > 0.0)
        most = np.minimum(self.bits_max, self.budget_bit / self.coordinates)
        bits = cvxpy.Variable(self.size, bounds=[np.zeros(self.size), most])
        share = self.coordinates / (self.budget_bit or 1.0)
        budget = share @ bits <= float(self.budget_bit > 0.0)
        error = cvxpy.Constant(0.0)
        if heard.size:
            error = cvxpy.log_sum_exp(np.log(self.silence[heard]) - _LN4 * bits[heard])
        program = cvxpy.Problem(cvxpy.Minimize(error), [budget])

        def decision() -> BitDepths:
            found = np.clip(np.asarray(bits.value), 0.0, most)
            spent = total(self.coordinates * found)
            found = found * min(self.budget_bit / spent, 1.0) if spent > 0.0 else found
            return BitDepths(found, self.coordinates)

        def bound() -> float:
            dual = max(float(budget.dual_value), 0.0)
            return self.lower_bound(dual * self.cost(decision()) / (self.budget_bit or 1.0))

        return Model(program, decision, bound)


@dataclass(frozen=True, eq=False, init=False)
class WholeBitAllocation:
    """Whole bits per coordinate, all updates of one length, at the least squared error.

    Parameters
    ----------
    weight, deviation
        As in ``BitAllocation``, scalars or (K,) [-].
    coordinates
        Length d > 0 of every update, a scalar [-].
    budget_bit
        Bits R of all uploads together [bit], finite.
    bits_max
        Most bits per coordinate, whole, scalar or (K,); default 32 [-].

    The cost is the squared error per coordinate. Nothing is infeasible, and there are no prices.
    Raises ``InvalidInput`` for values that are negative or not finite, or a cap that is not whole.
    """

    weight: Floats
    deviation: Floats
    coordinates: float
    budget_bit: float
    bits_max: Floats

    def __init__(
        self,
        weight: ArrayLike,
        deviation: ArrayLike,
        coordinates: float,
        budget_bit: float,
        bits_max: ArrayLike = 32,
    ) -> None:
        length = number("coordinates", coordinates, open_low=True)
        real = BitAllocation(weight, deviation, length, budget_bit, bits_max)
        wrong = np.flatnonzero(real.bits_max != np.floor(np.minimum(real.bits_max, 1024.0)))
        if wrong.size:
            k = int(wrong[0])
            raise InvalidInput(f"bits_max[{k}]", f"{real.bits_max[k]:g}", "whole, at most 1024")
        put = object.__setattr__
        for name in ("weight", "deviation", "budget_bit", "bits_max"):
            put(self, name, getattr(real, name))
        put(self, "coordinates", length)

    @cached_property
    def real(self) -> BitAllocation:
        """The same with real bits."""
        return BitAllocation(
            self.weight, self.deviation, self.coordinates, self.budget_bit, self.bits_max
        )

    @property
    def size(self) -> int:
        """Number of devices K."""
        return int(self.weight.size)

    def cost(self, decision: BitDepths) -> float:
        """Squared error per coordinate of the weighted sum."""
        return self.real.cost(decision)

    def excess(self, decision: BitDepths) -> dict[str, Excess]:
        """The budget, the caps, and "whole": how far bits are from whole numbers."""
        off = np.abs(decision.bits - np.round(decision.bits))
        return {**self.real.excess(decision), "whole": Excess(off, 0.0, "", scale=1.0)}

    @property
    def units(self) -> int:
        """How many times d bits fit the budget, as the judge of limits sees it."""
        most = float(self.bits_max.sum())
        return int(min(self.budget_bit / self.coordinates * (1.0 + 0.5 * FEASIBLE), most))

    @cached_property
    def _table(self) -> Floats:
        """(K, m + 1) error with 0, 1, ... bits; infinite beyond the cap."""
        bits = np.arange(int(self.bits_max.max()) + 1)
        error = self.real.silence[:, None] * np.exp2(-2.0 * bits)
        return np.where(bits <= self.bits_max[:, None], error, np.inf)

    # structure: ClosedForm

    def optimum(self) -> Optimum[BitDepths]:
        """The bits that remove most error, one after another, and the bound at the last's price."""
        found = cheapest_units(self._table, self.units)
        bits = np.where(self.real.silence > 0.0, found.units, 0)
        decision = BitDepths(bits, np.full(self.size, self.coordinates))
        bound = min(max(found.bound - _FAINT * self.size, 0.0), self.cost(decision))
        return Optimum(decision, bound, proof=found.proof)

    # structure: Mixed

    def program(self) -> Program[BitDepths]:
        """A binary for each bit of each device: bit j removes a quarter of what bit j - 1 did."""
        import pyomo.environ as pyo

        error = self._table / (total(self.real.silence) or 1.0)
        cap = self.bits_max.astype(int)
        pairs = [(k, j) for k in range(self.size) for j in range(1, max(int(cap.max()), 1) + 1)]
        error = np.where(np.isfinite(error), error, 0.0)
        if error.shape[1] == 1:
            error = np.repeat(error, 2, axis=1)
        model = pyo.ConcreteModel()
        model.bit = pyo.Var(pairs, domain=pyo.Binary, bounds=lambda _, k, j: (0, int(j <= cap[k])))
        model.error = pyo.Objective(
            expr=float(error[:, 0].sum())
            + pyo.quicksum(float(error[k, j] - error[k, j - 1]) * model.bit[k, j] for k, j in pairs)
        )
        model.budget = pyo.Constraint(
            expr=pyo.quicksum(model.bit[pair] for pair in pairs) <= self.units
        )

        def decision() -> BitDepths:
            bits = np.zeros(self.size)
            for k, j in pairs:
                bits[k] += round(model.bit[k, j].value)
            return BitDepths(bits, np.full(self.size, self.coordinates))

        return Program(model, decision, total(self.real.silence) or 1.0)

    # structure: Enumerable

    def candidates(self) -> Iterator[tuple[BitDepths, float]]:
        """The best of all whole bits. Raises ``InvalidInput`` for more than 100,000 of them."""
        shape = tuple(np.minimum(self.bits_max, self.units).astype(int) + 1)
        ways = math.prod(int(n) for n in shape)
        if ways > _ENUMERABLE:
            raise InvalidInput(
                "choices of bits", ways, f"at most {_ENUMERABLE}", 'solve with solver="closed"'
            )
        bits = np.indices(shape).reshape(self.size, ways)
        bits = bits[:, bits.sum(axis=0) <= self.units]
        error = (self.real.silence[:, None] * np.exp2(-2.0 * bits)).sum(axis=0)
        best = int(np.argmin(error))
        low = float(error[best]) * (1.0 - 2.0 * self.size * EPS)
        yield BitDepths(bits[:, best], np.full(self.size, self.coordinates)), low
