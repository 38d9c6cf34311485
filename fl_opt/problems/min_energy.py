r"""Least energy by a deadline, over bandwidth, power, clock and time together.

    minimise    sum_k kappa_k C_k f_k^2 + p_k t_k
    subject to  C_k/f_k + t_k <= T_k                                    "deadline"
                t_k b_k log2(1 + h_k p_k/(N0 b_k)) >= s_k               "payload"
                sum_k b_k <= B                                          "band"
                p_k <= P_k                                              "power_max"
                f_min_k <= f_k <= f_max_k                               "cpu_min", "cpu_max"
                kappa_k C_k f_k^2 + p_k t_k <= E_k                      "energy"

    b_k  bandwidth [Hz]     p_k  power [W]      f_k  clock [cycle/s]    t_k  airtime [s]
    C_k  cycles [cycle]     s_k  payload [bit]  h_k  channel gain [-]   N0   noise density [W/Hz]

With f = C/(T - t) and p from the payload, the energy is jointly convex in (t, b) and so are all
limits (see `device`): the problem is convex, one price of bandwidth decouples the devices, and the
optimum is global. The literature alternates between blocks of variables and claims a stationary
point: Yang, Chen, Saad, Hong, Shikh-Bahaei, IEEE TWC 2021, arXiv 1911.02417; Zeng, Du, Huang,
Leung, arXiv 1907.06040.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.allocation import Allocation
from fl_opt.certificate import FEASIBLE, Excess
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems._conic import fdma_model
from fl_opt.problems._feasibility import require_feasible
from fl_opt.problems._limits import device_excess, fdma_use
from fl_opt.problems.uplink import Response, Uplink, total
from fl_opt.structure import Model
from fl_opt.units import Floats


@dataclass(frozen=True, eq=False)
class MinEnergy:
    """Least energy of a round in which every device takes part, by a deadline.

    Parameters
    ----------
    network
        The round.
    deadline_s
        End of the round, training and upload together, a scalar or (K,) [s].

    ``solve`` raises ``Infeasible`` where the devices cannot all make it, ``InvalidInput`` for a
    deadline that is not positive and finite. The price of "band" is in J/Hz, that of "deadline"
    (K,) in J/s.
    """

    network: Network
    deadline_s: ArrayLike

    unit = "J"
    shared = "band"

    @property
    def supply(self) -> float:
        """The band [Hz]."""
        return self.network.band_hz

    @cached_property
    def uplink(self) -> Uplink:
        """The devices under the deadline. Raises ``Infeasible`` where they do not all fit."""
        uplink = Uplink(self.network, self.deadline_s)
        require_feasible(uplink)
        return uplink

    def cost(self, decision: Allocation) -> float:
        """Energy of the round [J]."""
        return total(fdma_use(self.network, decision).energy_j)

    def excess(self, decision: Allocation) -> dict[str, Excess]:
        """The constraints by name; every device must be selected ("selected")."""
        limits = device_excess(self.network, decision, self.deadline_s)
        return limits | {"selected": Excess(np.where(decision.selected, 0.0, 1.0), 0.0, "", 1.0)}

    # structure: Priced

    def price_guess(self) -> float:
        """Mean marginal value of band at equal shares [J/Hz]."""
        return self.uplink.price_guess(self.supply)

    def respond(self, price: float, start: Response | None = None) -> Response:
        """Every device's best time, power and bandwidth at `price` [J/Hz]."""
        return self.uplink.respond(price, start)

    def settle(self, response: Response) -> Allocation:
        """Shift bandwidth above the least so that the band is met."""
        # a hair below the supply, since the sum is rounded
        band = self.supply * (1.0 - 8.0 * EPS)
        return self.uplink.allocation(self.uplink.shifted(response.point, band))

    def dual(
        self, price: float, response: Response
    ) -> tuple[float, Mapping[str, float | Floats | None]]:
        """Lower bound of the energy [J], true for any price, and the shadow prices behind it.

        Tangent planes at `response` bound every device's Lagrangian. Prices: band [J/Hz],
        deadline [J/s], energy [-], power_max [J/W], cpu_max and cpu_min [J/Hz].
        """
        uplink, point = self.uplink, response.point
        if not point.b.size:
            return uplink.idle_energy_j * (1.0 - 32.0 * EPS), {"band": 0.0, **uplink.idle_prices}
        found = uplink.multipliers(price, point)
        paid = max(price, float(found.own.max()) * (1.0 + 32.0 * EPS)) * self.supply
        rounding = EPS * (32.0 * (total(np.abs(found.value)) + uplink.idle_energy_j) + 4.0 * paid)
        bound = total(found.value) - paid + uplink.idle_energy_j - rounding
        tight = total(uplink.least_hz) >= self.supply * (1.0 - FEASIBLE)
        prices: dict[str, float | Floats | None] = {
            "band": math.inf if tight else price,
            **uplink.limit_prices(point, found),
        }
        return bound, prices

    # structure: Convex

    def model(self) -> Model[Allocation]:
        """The round as a conic program; see `_conic`."""
        return fdma_model(self.network, self.deadline_s)
