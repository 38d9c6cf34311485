r"""Powers of cells that disturb each other, so that the last upload ends earliest.

    minimise    T
    subject to  a_i + t_i <= T
                t_i B log2(1 + G_ii p_i/(sum_{j /= i} G_ij p_j + N_i)) >= s_i     i = 1..N
                0 <= p_i <= P_i                                                   "power_max"
    over        p, t, T

    p_i   transmit power [W]            G_ij  gain from device j to receiver i [-]
    a_i   end of training [s]           N_i   noise power at receiver i [W]
    t_i   airtime [s]                   s_i   payload [bit]
    P_i   largest power [W]             B     band, used by all cells [Hz]

With equal payloads and a = 0 this is max-min fairness of the rates. Not convex in p: more power
for one is less rate for all others. Two changes of view make it easy.

bisection   A T asks every cell for the SINR gamma_i = 2^(s_i/(B (T - a_i))) - 1, that is for
            p >= M p + m with M_ij = gamma_i G_ij/G_ii and m_i = gamma_i N_i/G_ii, both >= 0. If
            any power vector meets that, there is a least one, the fixed point (I - M)^-1 m, and T
            is attained exactly if it is within the limits. It is refuted by any y >= 0 with
            sum_j max(0, y_j - (y M)_j) P_j < y m: no 0 <= p <= P can have y (p - M p) >= y m.
            Such a y is a row of (I - M)^-1, or the left Perron vector of M where its spectral
            radius reaches 1.
cvxpy       In logarithms it is convex: a geometric program, as 2^x - 1 is log-log convex.

Proof: "bracket". Powers attain the upper end; the lower is refuted in floating point.

Sources: Foschini, Miljanic, IEEE Trans. Vehicular Technology 1993 (the fixed point); Yates, IEEE
JSAC 1995 (standard interference functions); Chiang, Tan, Palomar, O'Neill, Julian, IEEE TWC 2007
(geometric programs). Payloads and training times are put in here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fl_opt import physics
from fl_opt.certificate import Excess
from fl_opt.errors import Infeasible, InvalidInput, device_list
from fl_opt.kernels import EPS
from fl_opt.problems._targets import Targets
from fl_opt.problems.cell_network import CellNetwork, CellPowers
from fl_opt.structure import Attempt, Model
from fl_opt.units import Floats

_LITTLE = 1e-100
"""Stands for any number > 0."""
_NODES = 16


@dataclass(frozen=True, eq=False)
class MultiCellPower:
    """Choose the powers of cells on one band that end the round earliest.

    Parameters
    ----------
    cells
        Gains between all cells, limits, payloads.

    The cost is the end of the last upload [s]. Price: "power_max" (N,) [s/W]. ``solve`` raises
    ``Infeasible`` where a device with a payload is not heard at all.
    """

    cells: CellNetwork

    unit = "s"

    def __post_init__(self) -> None:
        if not isinstance(self.cells, CellNetwork):
            raise InvalidInput("cells", type(self.cells).__name__, "a CellNetwork")

    def cost(self, decision: CellPowers) -> float:
        """End of the last upload [s]."""
        return float(np.max(self.cells.ready_s + self.cells.airtime_s(decision.power_w)))

    def excess(self, decision: CellPowers) -> dict[str, Excess]:
        """The limits of power."""
        return {"power_max": Excess(decision.power_w, self.cells.power_max_w, "W")}

    @cached_property
    def _sending(self) -> NDArray[np.int_]:
        return np.flatnonzero(self.cells.upload_bit > 0.0)

    def _decide(self, share: Floats) -> CellPowers:
        """Powers from shares of the limits (n,) of the cells with a payload."""
        power = np.zeros(self.cells.size)
        power[self._sending] = share * self.cells.power_max_w[self._sending]
        return CellPowers(np.minimum(power, self.cells.power_max_w))

    def targets(self, end_s: float) -> Targets:
        """What an end of the round asks of the cells with a payload."""
        return Targets.of(self.cells, self._sending, end_s)

    # structure: Attainable

    def bracket(self) -> tuple[float, float]:
        """Everybody alone on the air, and everybody at full power [s].

        Raises ``Infeasible`` for devices that are not heard.
        """
        cells, on = self.cells, self._sending
        self._require_heard()
        alone = physics.rate_bit_s(
            cells.band_hz, cells.power_max_w, np.diag(cells.gain), cells.noise_w_hz
        )
        airtime = physics.airtime_s(cells.upload_bit, alone) * (1.0 - 32.0 * EPS)
        low = float(np.max(cells.ready_s + airtime)) * (1.0 - 4.0 * EPS)
        return low, max(self.cost(self._decide(np.ones(on.size))), _LITTLE)

    def _require_heard(self) -> None:
        cells, on = self.cells, self._sending
        cures: dict[str, float | None]
        deaf = on[np.diag(cells.gain)[on] == 0.0]
        mute = on[cells.power_max_w[on] == 0.0]
        devices, what, constraint = deaf, "gain", "power_max"
        cures = {"power_max_w": None, "band_hz": None}
        if not deaf.size and cells.band_hz == 0.0:
            reason = "band_hz is 0 Hz and nothing can be uploaded"
            if on.size:
                cure = None if mute.size else _LITTLE
                raise Infeasible(
                    reason,
                    constraint="band",
                    devices=on,
                    relaxations={"power_max_w": None, "band_hz": cure},
                )
        if not deaf.size:
            devices, what, cures = mute, "power_max_w", {"power_max_w": _LITTLE, "band_hz": None}
        if devices.size:
            raise Infeasible(
                f"device {devices[0]} has {what} 0 and cannot upload ({device_list(devices)})",
                constraint=constraint,
                devices=devices,
                relaxations=cures,
            )

    def attain(self, cost: float) -> Attempt[CellPowers]:
        """The least powers that end by `cost`, or multipliers that refute it."""
        if cost < self.cells.ready_s.max():
            return Attempt(None, math.inf, True)
        asked = self.targets(cost)
        share = asked.least()
        if share is None:
            return Attempt(None, math.inf, asked.refuted())
        most = float(share.max(initial=0.0))
        if most > 1.0:
            return Attempt(None, most - 1.0, asked.refuted())
        # louder together: interference grows no faster than what is wanted, noise does not
        return Attempt(self._decide(share / most if most > 0.0 else share), most - 1.0, False)

    def prices(self, cost: float) -> Mapping[str, float | Floats | None]:
        """Shadow price of the one limit that binds; of several, the first."""
        price = np.zeros(self.cells.size)
        asked = self.targets(cost)
        share = asked.least()
        if share is None or not share.size:
            return {"power_max": price}
        j = int(np.argmax(share))
        if share[j] >= 1.0 - 1e-6:
            k = self._sending[j]
            price[k] = -1.0 / (self.cells.power_max_w[k] * float(asked.row(j) @ asked.drift(share)))
        return {"power_max": price}

    # structure: Convex

    def model(self) -> Model[CellPowers]:
        """The geometric program in powers over their limits and times over a round at full power.

        expm1(v)/v is the integral of e^(v x) over [0, 1], here a sum over Gauss-Legendre nodes.
        """
        import cvxpy

        self._require_heard()
        cells, on = self.cells, self._sending
        unit = self.bracket()[1]
        node, weight = np.polynomial.legendre.leggauss(_NODES)
        power = cvxpy.Variable(on.size, pos=True)
        airtime = cvxpy.Variable(on.size, pos=True)
        end = cvxpy.Variable(pos=True)
        limits = [power <= 1.0, end >= max(float(cells.ready_s.max()) / unit, 1e-9)]
        reach = np.diag(cells.gain)[on] * cells.power_max_w[on]
        noise = (cells.noise_w_hz[on] * cells.band_hz) / reach
        leak = cells.gain[np.ix_(on, on)] * cells.power_max_w[on] / reach[:, None]
        nats = physics.LN2 * cells.upload_bit[on] / (cells.band_hz * unit)
        ready = cells.ready_s[on] / unit
        for i in range(on.size):
            heard = [leak[i, j] * power[j] for j in range(on.size) if j != i and leak[i, j] > 0.0]
            v = nats[i] / airtime[i]
            growth = sum(
                0.5 * w * cvxpy.exp(0.5 * (1.0 + x) * v) for x, w in zip(node, weight, strict=True)
            )
            limits.append(v * growth * (sum(heard) + noise[i]) <= power[i])
            limits.append((airtime[i] + ready[i] if ready[i] > 0.0 else airtime[i]) <= end)

        def decision() -> CellPowers:
            return self._decide(np.minimum(np.asarray(power.value, dtype=float), 1.0))

        return Model(cvxpy.Problem(cvxpy.Minimize(end), limits), decision)
