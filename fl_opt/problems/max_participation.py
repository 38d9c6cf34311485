r"""The most useful set of devices that can make a round by a deadline within the band.

    maximise    sum_k w_k x_k                                over x in {0, 1}^K and, where x_k = 1,
    subject to  C_k/f_k + t_k <= T_k                         "deadline"
                t_k b_k log2(1 + h_k p_k/(N0 b_k)) >= s_k    "payload"
                kappa_k C_k f_k^2 + p_k t_k <= E_k           "energy"
                p_k <= P_k                                   "power_max"
                f_min_k <= f_k <= f_max_k                    "cpu_min", "cpu_max"
                sum_k b_k x_k <= B                           "band"

    w_k  utility of device k [-]    x_k  takes part        T_k  deadline [s]    B   band [Hz]
    b_k  bandwidth [Hz]             p_k  power [W]         f_k  clock [cycle/s] t_k airtime [s]
    C_k  cycles [cycle]             s_k  payload [bit]     h_k  channel gain [-]
    N0   noise density [W/Hz]       E_k  energy [J]

Only the band couples the devices, and no device gains from more of it than it needs. With
b_k(T, E) the least bandwidth that a device can take part with (see `least`), the problem is
exactly a 0/1 knapsack:

    maximise  sum_k w_k x_k   subject to  sum_k b_k(T_k, E_k) x_k <= B

Few devices are in doubt once the band has a price mu: who is worth more than mu b_k takes part.
The reduction is derived; the problem is that of FedCS (Nishio, Yonetani, ICC 2019,
arXiv 1804.08333) with bandwidth shared at once instead of uploads in turn, see also Shi, Zhou,
Niu, Jiang, Geng, IEEE TWC 2021, arXiv 2007.07174.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.allocation import Allocation
from fl_opt.certificate import Excess
from fl_opt.checks import vector
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems._limits import device_excess, require_limited
from fl_opt.problems.uplink import Uplink, total
from fl_opt.structure import Items, Program
from fl_opt.units import Floats

_ENUMERABLE = 20


@dataclass(frozen=True, eq=False)
class MaxParticipation:
    """Choose who takes part in a round with a deadline, to the greatest total utility.

    Parameters
    ----------
    network
        Who could take part.
    deadline_s
        End of the round, training and upload together, a scalar or (K,) [s].
    utility
        What it is worth that a device takes part, a scalar or (K,), e.g. its samples, the norm of
        its update or the age of its last one [-]; `network.samples` where None. Devices of no or
        negative utility stay out.

    The cost is minus the utility. Nothing is infeasible: nobody may take part. Raises
    ``InvalidInput`` for a deadline that is not positive and finite, a utility that is not finite,
    or a device without any limit on power and energy, which needs no band at all.
    """

    network: Network
    deadline_s: ArrayLike
    utility: ArrayLike | None = None

    def __post_init__(self) -> None:
        # a wrong deadline or utility is refused at once
        _ = self._uplink, self._utility
        require_limited(self.network)

    @cached_property
    def _uplink(self) -> Uplink:
        return Uplink(self.network, self.deadline_s)

    @cached_property
    def _utility(self) -> Floats:
        if self.utility is None:
            return self.network.samples
        return vector("utility", self.utility, self.network.size, low=-np.inf)

    def cost(self, decision: Allocation) -> float:
        """Minus the utility of those who take part."""
        return total(np.where(decision.selected, -self._utility, 0.0))

    def excess(self, decision: Allocation) -> dict[str, Excess]:
        """The constraints by name."""
        return device_excess(self.network, decision, self.deadline_s)

    # structure: Knapsack

    def items(self) -> Items:
        """Utilities as values, least bandwidths [Hz] as weights."""
        uplink = self._uplink
        band = self.network.band_hz
        return Items(self._utility, uplink.least_hz, band, uplink.least_low_hz)

    def pack(self, chosen: NDArray[np.bool_]) -> Allocation:
        """The round of the devices of a mask (K,), each with its least bandwidth."""
        return self._uplink.allocation(self._uplink.floor, chosen)

    # structure: Mixed

    def program(self) -> Program[Allocation]:
        """The whole knapsack in Pyomo, its weights computed apart from the engine."""
        import pyomo.environ as pyo
        from pyomo.core.expr import LinearExpression

        from fl_opt.problems._reference import least_bandwidth_hz

        with np.errstate(divide="ignore", invalid="ignore"):
            share = least_bandwidth_hz(self.network, self.deadline_s) / self.network.band_hz
        share = np.where(np.isnan(share), 0.0, share)
        able = (share <= 1.0) & (self._utility > 0.0)
        unit = float(np.max(self._utility, where=able, initial=0.0)) or 1.0
        model = pyo.ConcreteModel()
        model.joins = pyo.Var(
            range(self.network.size), domain=pyo.Binary, bounds=lambda _, k: (0, int(able[k]))
        )
        joins = list(model.joins.values())
        worth = LinearExpression(linear_coefs=(-self._utility / unit).tolist(), linear_vars=joins)
        needed = LinearExpression(linear_coefs=np.minimum(share, 2.0).tolist(), linear_vars=joins)
        model.utility = pyo.Objective(expr=worth)
        model.band = pyo.Constraint(expr=needed <= 1.0)

        def decision() -> Allocation:
            return self.pack(np.array([round(join.value) == 1 for join in joins]))

        return Program(model, decision, unit)

    # structure: Enumerable

    def candidates(self) -> Iterator[tuple[Allocation, float]]:
        """The most useful set that fits; those tried before it are refuted by their bandwidth.

        Raises ``InvalidInput`` for more than 20 devices that could take part.
        """
        items = self.items()
        able = np.flatnonzero((items.value > 0.0) & (items.weight_low <= items.capacity))
        if able.size > _ENUMERABLE:
            raise InvalidInput(
                "devices that could take part",
                able.size,
                f"at most {_ENUMERABLE} to try all their sets",
                'solve with solver="core"',
            )
        sets = (np.arange(2**able.size)[:, None] >> np.arange(able.size)) % 2 == 1
        value = sets @ items.value[able]
        fits = sets @ np.minimum(items.weight[able], 2.0 * items.capacity) <= items.capacity
        possible = sets @ items.weight_low[able] <= items.capacity * (1.0 + 32.0 * EPS)
        for row in np.argsort(-value, kind="stable"):
            chosen = np.zeros(self.network.size, dtype=bool)
            low = -float(value[row]) * (1.0 + 32.0 * EPS)
            if fits[row]:
                chosen[able[sets[row]]] = True
                yield self.pack(chosen), low
                return
            if possible[row]:
                yield self.pack(chosen), low
