r"""Energy against time: the weighted sum, and by its weights the whole Pareto front.

    minimise    sum_k (kappa_k C_k f_k^2 + p_k t_k) + lambda T
    subject to  the limits of `MinEnergy` with the common deadline T            "deadline", ...

    lambda  worth of a second [J/s];  the other symbols as in `MinEnergy`

The least energy by a deadline is jointly convex in the allocation and T, so the problem is convex,
and so is the front: -lambda is its slope where a weight touches it. Time-energy trade-offs of this
kind are in Tran, Bao, Zomaya, Nguyen, Hong, IEEE INFOCOM 2019, with TDMA; here it is FDMA.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.certificate import Excess, Solution
from fl_opt.checks import number
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems._conic import fdma_model
from fl_opt.problems._feasibility import shortage
from fl_opt.problems._horizon import shortest_s, span_s
from fl_opt.problems._limits import device_excess, fdma_use
from fl_opt.problems.min_energy import MinEnergy
from fl_opt.problems.uplink import Uplink, total
from fl_opt.structure import Line, Model
from fl_opt.units import Floats


@dataclass(frozen=True, eq=False)
class TimeEnergyTradeoff:
    """Least energy plus `joule_per_s` times the duration, every device taking part.

    Parameters
    ----------
    network
        The round.
    joule_per_s
        Worth of a second [J/s], > 0: at 0 the energy has no minimiser.

    ``solve`` raises ``Infeasible`` for devices that no round is long enough for.
    """

    network: Network
    joule_per_s: float

    unit = "J"

    def __post_init__(self) -> None:
        number("joule_per_s", self.joule_per_s, open_low=True)

    def cost(self, decision: Allocation) -> float:
        """Energy of the round plus the worth of its duration [J]."""
        used = fdma_use(self.network, decision)
        return total(used.energy_j) + self.joule_per_s * float(used.finish_s.max())

    def excess(self, decision: Allocation) -> dict[str, Excess]:
        """The constraints by name; every device must be selected ("selected")."""
        limits = device_excess(self.network, decision, math.inf)
        return limits | {"selected": Excess(np.where(decision.selected, 0.0, 1.0), 0.0, "", 1.0)}

    # structure: Nested, in the duration T

    def span(self) -> tuple[float, float]:
        """Proven lower bound of the duration, and a duration to try first [s].

        Raises ``Infeasible`` for devices that no round is long enough for.
        """
        return span_s(self.network)

    def inner(self, x: float) -> MinEnergy:
        """Least energy by the deadline `x` [s]."""
        return MinEnergy(self.network, x)

    def refuted(self, x: float) -> bool:
        """Whether no round of `x` seconds exists, proven in floating point."""
        later = Uplink(self.network, x * (1.0 + 64.0 * EPS))
        if shortage(later) <= 0.0:
            return False
        return total(later.least_low_hz) * (1.0 - 64.0 * EPS) > self.network.band_hz

    def reach(self, cost: float) -> float:
        """The longest round whose duration alone is worth at most `cost` [s]."""
        return max(cost / self.joule_per_s * (1.0 + 4.0 * EPS), shortest_s(self.network))

    def line(self, x: float, solution: Solution[Any], reach: float) -> Line:
        """Supporting line of the optimal cost over the duration [J], from tangent planes."""
        inner = self.inner(x)
        uplink = inner.uplink
        idle_time = total(uplink.idle_prices["deadline"])
        value, slope = uplink.idle_energy_j + self.joule_per_s * x, self.joule_per_s - idle_time
        spent, size = idle_time, value
        if uplink.part.nats.size:
            point, price = uplink.best_reply(float(solution.prices["band"]))  # type: ignore[arg-type]
            found = uplink.multipliers(price, point, latest_s=reach)
            value += total(found.value) - price * self.network.band_hz
            slope -= total(found.time)
            spent += total(found.time)
            size += total(np.abs(found.value)) + price * self.network.band_hz
        # the slope is rounded too, and acts over the whole range
        value -= EPS * (32.0 * size + 256.0 * (spent + self.joule_per_s) * reach)
        return Line(x, value, slope)

    def prices(self, x: float, solution: Solution[Any]) -> Mapping[str, float | Floats | None]:
        """Shadow prices of `MinEnergy` at the best duration."""
        return solution.prices

    # structure: Convex

    def model(self) -> Model[Allocation]:
        """The round as a conic program with its end as a variable; see `_conic`."""
        return fdma_model(self.network, joule_per_s=self.joule_per_s)
