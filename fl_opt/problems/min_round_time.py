r"""Shortest synchronous round in which every device takes part.

    minimise    T
    subject to  C_k/f_k + t_k <= T                                      "deadline"
                t_k b_k log2(1 + h_k p_k/(N0 b_k)) >= s_k               "payload"
                sum_k b_k <= B                                          "band"
                kappa_k C_k f_k^2 + p_k t_k <= E_k                      "energy"
                p_k <= P_k                                              "power_max"
                f_min_k <= f_k <= f_max_k                               "cpu_min", "cpu_max"

    b_k  bandwidth [Hz]     p_k  power [W]      f_k  clock [cycle/s]    t_k  airtime [s]
    C_k  cycles [cycle]     s_k  payload [bit]  h_k  channel gain [-]   N0   noise density [W/Hz]

For a given T each device has a least bandwidth b_k(T), the minimum of a convex function of its time
split; T is attainable exactly if they fit the band, and b_k falls with T. So T is found between a
value that provably does not fit and one that does. With unlimited energy every device trains at
full clock and sends at full power (Shi, Zhou, Niu, Jiang, Geng, IEEE TWC 2021, arXiv 2007.07174):
all finish together, and weaker channels and slower clocks get more band.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.certificate import Excess
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems._conic import fdma_model
from fl_opt.problems._feasibility import shortage
from fl_opt.problems._horizon import span_s
from fl_opt.problems._limits import device_excess, fdma_use, require_limited
from fl_opt.problems.uplink import Uplink, total
from fl_opt.structure import Attempt, Model
from fl_opt.units import Floats


@dataclass(frozen=True, eq=False)
class MinRoundTime:
    """Shortest round in which every device trains and uploads within its limits.

    Parameters
    ----------
    network
        The round. A device with a payload needs a finite `power_max_w` or `energy_j`.

    ``solve`` raises ``Infeasible`` for devices that can never take part, however long the round.
    The price of "band" is in s/Hz.
    """

    network: Network

    unit = "s"

    def __post_init__(self) -> None:
        require_limited(self.network)

    def cost(self, decision: Allocation) -> float:
        """End of the round [s]."""
        return float(fdma_use(self.network, decision).finish_s.max())

    def excess(self, decision: Allocation) -> dict[str, Excess]:
        """The constraints by name; every device must be selected ("selected")."""
        limits = device_excess(self.network, decision, math.inf)
        return limits | {"selected": Excess(np.where(decision.selected, 0.0, 1.0), 0.0, "", 1.0)}

    # structure: Attainable

    def bracket(self) -> tuple[float, float]:
        """The round in which each device has the whole spectrum, and a longer one [s].

        Raises ``Infeasible`` for devices that no round is long enough for.
        """
        return span_s(self.network)

    def attain(self, cost: float) -> Attempt[Allocation]:
        """Whether all devices fit the band in a round of `cost` seconds."""
        uplink = Uplink(self.network, cost)
        missing = shortage(uplink)
        if missing <= 0.0:
            return Attempt(uplink.allocation(uplink.floor), missing, False)
        # a round longer by rounding: what does not fit there does not fit here
        later = Uplink(self.network, cost * (1.0 + 64.0 * EPS))
        refuted = total(later.least_low_hz) * (1.0 - 64.0 * EPS) > self.network.band_hz
        return Attempt(None, missing, refuted)

    def prices(self, cost: float) -> Mapping[str, float | Floats | None]:
        """Shadow prices: band [s/Hz], energy [s/J], power_max [s/W]; 0 where band is left over."""
        uplink = Uplink(self.network, cost)
        if not uplink.part.nats.size or shortage(uplink) < -1e-6:
            return {"band": 0.0}
        found = uplink.multipliers(1.0, uplink.floor, weight=0.0)
        price = 1.0 / total(found.time)
        energy, power = uplink.spread(found.energy, 0.0), uplink.spread(found.power, 0.0)
        return {"band": price, "energy": price * energy, "power_max": price * power}

    # structure: Convex

    def model(self) -> Model[Allocation]:
        """The round as a conic program with its end as a variable; see `_conic`."""
        return fdma_model(self.network)
