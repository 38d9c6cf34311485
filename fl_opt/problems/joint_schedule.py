r"""Who takes part, and with which bandwidth, power, clock and time, under three budgets.

    maximise    sum_k w_k x_k - sum_k q_k e_k x_k       over x in {0, 1}^K and, where x_k = 1,
    subject to  C_k/f_k + t_k <= T_k                             "deadline"
                t_k b_k log2(1 + h_k p_k/(N0 b_k)) >= s_k        "payload"
                p_k <= P_k,  f_min_k <= f_k <= f_max_k           "power_max", "cpu_min", "cpu_max"
                e_k = kappa_k C_k f_k^2 + p_k t_k <= E_k         "energy"
                sum_k b_k x_k <= B                               "band"
                sum_k e_k x_k <= E                               "energy_total"

    w_k  utility of device k [-]     q_k  utility of a joule saved [1/J]    x_k  takes part
    b_k  bandwidth [Hz]     p_k  power [W]      f_k  clock [cycle/s]    t_k  airtime [s]
    C_k  cycles [cycle]     s_k  payload [bit]  h_k  channel gain [-]   N0   noise density [W/Hz]

Once x is chosen, the rest is convex (see `min_energy`): with e_k(b) the least energy of a device at
bandwidth b, convex and decreasing, x is possible iff the least of sum e_k(b_k) within the band is
at most E. At a price mu [J/Hz] of the band let phi_k(mu) = min_b e_k(b) + mu b. By duality that
least energy is the greatest of sum_k phi_k(mu) x_k - mu B over all mu, so that the problem is a
knapsack, one row for each exchange rate of band against energy:

    sum_k phi_k(mu) x_k <= E + mu B   for all mu >= 0,  and in the end,  sum_k b_k(T, E_k) x_k <= B

Its linear relaxation is the Lagrangian dual with two prices, of band and of energy. At its optimum
at most two devices take part by halves (Shapley-Folkman), so that it exceeds the optimum by at
most two utilities. Where joules are worth differently, q_k e_k takes the place of e_k (see
`_weighted`), and a budget E of all joules together is refused.

All of this is derived; the joint problem is that of FedCS (Nishio, Yonetani, ICC 2019,
arXiv 1804.08333) with the resources of Yang, Chen, Saad, Hong, Shikh-Bahaei, IEEE TWC 2021,
arXiv 1911.02417.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt import physics
from fl_opt.allocation import Allocation
from fl_opt.certificate import Excess
from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems._limits import device_excess, fdma_use, require_limited
from fl_opt.problems._subsets import subsets
from fl_opt.problems._weighted import FREE, weighted
from fl_opt.problems.min_energy import MinEnergy
from fl_opt.problems.uplink import Uplink, total
from fl_opt.structure import Choice, Cut, Weighing
from fl_opt.units import Floats


@dataclass(frozen=True, eq=False)
class JointSchedule:
    """The most useful round within band, deadline and energy.

    Parameters
    ----------
    network
        Who could take part.
    deadline_s
        End of the round, training and upload together, a scalar or (K,) [s].
    energy_total_j
        What all who take part may spend together [J].
    utility
        What it is worth that a device takes part, a scalar or (K,); `network.samples` where None.
        Devices of no or negative utility stay out.
    utility_per_j
        Utility that a joule costs, as a penalty beside or instead of `energy_total_j`, a scalar or
        (K,) [1/J]. Beside a budget it must be the same for all.

    The cost is minus the utility, plus the penalty. Nothing is infeasible: nobody may take part.
    Raises ``InvalidInput`` for a deadline that is not positive and finite, a negative or NaN
    budget or penalty, penalties that differ beside a budget, a utility that is not finite, or a
    device without any limit on power and energy, which needs no band at all.
    """

    network: Network
    deadline_s: ArrayLike
    energy_total_j: float = math.inf
    utility: ArrayLike | None = None
    utility_per_j: ArrayLike = 0.0

    def __post_init__(self) -> None:
        number("energy_total_j", self.energy_total_j, finite=False)
        # a wrong deadline, utility or penalty is refused at once
        _ = Uplink(self.network, self.deadline_s), self._utility
        if self._weight is not None and self.energy_total_j < math.inf:
            raise InvalidInput(
                "utility_per_j",
                "different among the devices",
                "one value for all beside a finite energy_total_j",
                "drop one of the two; both would count joules, each in its own way",
            )
        require_limited(self._limited)

    @cached_property
    def _utility(self) -> Floats:
        if self.utility is None:
            return self.network.samples
        return vector("utility", self.utility, self.network.size, low=-math.inf)

    @cached_property
    def _penalty(self) -> Floats:
        return vector("utility_per_j", self.utility_per_j, self.network.size)

    @cached_property
    def _weight(self) -> Floats | None:
        """(K,) what a joule costs, relative to the dearest; None where all cost the same."""
        most = float(self._penalty.max())
        if float(self._penalty.min()) == most:
            return None
        share = self._penalty / most
        return np.where(share > FREE, share, 0.0)

    def cost(self, decision: Allocation) -> float:
        """Minus the utility of those who take part, plus the penalty on their energy."""
        gained = -total(np.where(decision.selected, self._utility, 0.0))
        if not self._penalty.any():
            return gained
        spent_j = fdma_use(self.network, decision).energy_j
        if self._weight is None:
            return gained + float(self._penalty[0]) * total(spent_j)
        return gained + total(self._penalty * spent_j)

    def excess(self, decision: Allocation) -> dict[str, Excess]:
        """The constraints by name."""
        spent = total(fdma_use(self.network, decision).energy_j)
        limits = device_excess(self.network, decision, self.deadline_s)
        return limits | {"energy_total": Excess(spent, self.energy_total_j, "J")}

    # structure: MixedConvex

    @cached_property
    def _limited(self) -> Network:
        """The network with limits on energy that some optimal round meets.

        Nobody spends more than all together, nor, at an optimum, more than it is worth.
        """
        limit = np.minimum(self.network.energy_j, self.energy_total_j)
        dear = self._penalty > 0.0
        if dear.any():
            worth = np.full(limit.shape, np.inf)
            np.divide(np.maximum(self._utility, 0.0), self._penalty, out=worth, where=dear)
            limit = np.minimum(limit, worth * (1.0 + 4.0 * EPS))
        return self.network.replace(energy_j=limit)

    @cached_property
    def candidates_at(self) -> NDArray[np.int_]:
        """(n,) devices whose own round is possible and worth its energy, unless disproved."""
        alone = Uplink(self._limited, self.deadline_s)
        able = np.isfinite(alone.least_hz) & (alone.least_low_hz <= self.network.band_hz)
        return np.flatnonzero(able & (self._utility > 0.0))

    def _of(self, network: Network) -> Uplink:
        deadline = vector("deadline_s", self.deadline_s, self.network.size)
        return Uplink(network[self.candidates_at], deadline[self.candidates_at])

    @cached_property
    def _uplink(self) -> Uplink:
        return self._of(self.network)

    @cached_property
    def _counted(self) -> Uplink:
        """The candidates (n,), their energy as it counts in the choice."""
        if self._weight is None:
            return self._uplink
        return self._of(weighted(self.network, self._weight))

    @cached_property
    def _limited_uplink(self) -> Uplink:
        if self._weight is None:
            return self._of(self._limited)
        return self._of(weighted(self._limited, self._weight, relaxed=True))

    @cached_property
    def _free(self) -> NDArray[np.bool_]:
        """(n,) candidates whose energy does not count: they take their least bandwidth."""
        if self._weight is None:
            return np.zeros(self.candidates_at.size, dtype=bool)
        free: NDArray[np.bool_] = self._weight[self.candidates_at] == 0.0
        return free

    @cached_property
    def choice(self) -> Choice:
        """The candidates (n,): devices whose own round is possible and worth its energy."""
        least = low = np.zeros(0)
        if self.candidates_at.size and self._weight is None:
            least, low = self._uplink.least_hz, self._limited_uplink.least_low_hz
        elif self.candidates_at.size:
            # weights are rounded, and with them least amounts
            least = np.maximum(self._uplink.least_hz, self._counted.least_hz)
            low = self._of(self._limited).least_low_hz
        return Choice(
            value=self._utility[self.candidates_at],
            least=least,
            least_low=low,
            supply=self.network.band_hz,
            budget=self.energy_total_j,
            charge=float(self._penalty.max()),
        )

    def rest(self, taken: NDArray[np.bool_]) -> MinEnergy:
        """Least energy of a round of exactly the candidates of a mask (n,)."""
        network, free = self._counted.network[taken], self._free[taken]
        if free.any():
            least = self.choice.least[taken]
            left = self.network.band_hz - total(np.where(free, least, 0.0))
            network = network.replace(band_hz=max(left, total(np.where(free, 0.0, least))))
        return MinEnergy(network, self._counted.deadline_s[taken])

    def join(self, taken: NDArray[np.bool_], decision: Allocation | None) -> Allocation:
        """The round in which candidates `taken` (n,) do what `decision` says; None for nobody."""
        if decision is None:
            return Allocation.none(self.network.size, float(np.max(self.deadline_s)))
        index = self.candidates_at[taken]

        def wide(values: ArrayLike | None) -> Floats:
            full = np.zeros(self.network.size)
            full[index] = values
            return full

        joined = Allocation(
            selected=wide(1.0) > 0.0,
            bandwidth_hz=wide(decision.bandwidth_hz),
            power_w=wide(decision.power_w),
            cpu_hz=wide(decision.cpu_hz),
            upload_s=wide(decision.upload_s),
            deadline_s=decision.deadline_s,
        )
        return joined if self._weight is None else self._unweighted(joined, index)

    def _unweighted(self, joined: Allocation, index: NDArray[np.int_]) -> Allocation:
        """Who is free at his least bandwidth, and power as the radio counts it."""
        network, least = self.network, self._uplink.allocation(self._uplink.floor)

        def filled(counted: ArrayLike | None, floor: ArrayLike | None) -> Floats:
            wide = np.array(counted, dtype=float)
            wide[self.candidates_at] = np.where(
                self._free, np.asarray(floor, dtype=float), wide[self.candidates_at]
            )
            return np.where(joined.selected, wide, 0.0)

        band = filled(joined.bandwidth_hz, least.bandwidth_hz)
        airtime = filled(joined.upload_s, least.upload_s)
        power = np.zeros(network.size)
        power[index] = physics.upload_power_w(
            network.upload_bit[index],
            airtime[index],
            band[index],
            network.gain[index],
            network.noise_w_hz[index],
        )
        return joined.replace(
            bandwidth_hz=band,
            power_w=np.minimum(filled(power, least.power_w), network.power_max_w),
            cpu_hz=filled(joined.cpu_hz, least.cpu_hz),
            upload_s=airtime,
        )

    def recall(self, decision: Allocation) -> NDArray[np.bool_] | None:
        """The candidates (n,) of an earlier decision; None where the devices are others."""
        if decision.size != self.network.size:
            return None
        return decision.selected[self.candidates_at]

    def first(self, decision: Allocation) -> Floats:
        """Bandwidths of those who take part in a round of `rest` [Hz]."""
        return decision.bandwidth_hz

    def tangents(self, taken: NDArray[np.bool_], first: Floats) -> Cut:
        """Tangents of the energies of candidates `taken` (n,) at bandwidths `first` (m,) [Hz]."""
        at = np.maximum(first, self.choice.least[taken])
        uplink = Uplink(self._counted.network[taken], self._counted.deadline_s[taken])
        _, energy, slope = uplink.at(at[uplink.sending])
        value = uplink.spread(energy, _training_j(uplink))
        return Cut(np.flatnonzero(taken), at, value, uplink.spread(slope, 0.0))

    # structure: PricedChoice

    def weigh(self, price: float, start: Weighing | None = None) -> Weighing:
        """Energy plus price x band of every candidate; the band alone at an infinite price."""
        uplink, low_hz = self._limited_uplink, self.choice.least_low
        idle = _training_j(uplink)
        if price == math.inf:
            _, energy, _ = uplink.at(uplink.floor.b)
            return Weighing(price, low_hz, self.choice.least, uplink.spread(energy, idle))
        response = uplink.respond(price, None if start is None else start.warm)
        if response.point.b.size:
            slope = float(uplink.own_price(response.point).max()) * (1.0 + 32.0 * EPS)
            price = max(price, slope)
        bound = uplink.spread(uplink.multipliers(price, response.point).value, idle)
        # fmax: where the tangent plane breaks down, its value is NaN or -inf
        weight = np.fmax(bound, price * low_hz) * (1.0 - 8.0 * EPS)
        first = np.where(self._free, self.choice.least, uplink.spread(response.point.b, 0.0))
        return Weighing(price, weight, first, weight - price * first, response)

    # structure: Enumerable

    def candidates(self) -> Iterator[tuple[Allocation, float]]:
        """The best round of each set of candidates, the most useful sets first.

        Sets that cannot be better than one before are left out. Raises ``InvalidInput`` for more
        than 20 candidates.
        """
        return subsets(self)


def _training_j(uplink: Uplink) -> Floats:
    """(K,) energy of training without any payload [J]."""
    network = uplink.network
    return physics.training_energy_j(network.capacitance, network.cycles, uplink.idle_clock_hz)
