r"""Adding updates over the air through fading, with a mean power for each device.

    minimise    (1/R) sum_r [sum_k (sqrt(g_rk p_rk/eta_r) - 1)^2 + sigma^2/eta_r]
    subject to  (1/R) sum_r p_rk <= P_k                                         "power_mean"
    over        p in R^(R x K), p >= 0, eta in R^R, eta > 0

    p_rk  transmit power in state r [W]      eta_r    denoising factor in state r [W]
    g_rk  channel power gain [-]             sigma^2  noise power at the receiver [W]
    P_k   mean power [W]

The R states, equally likely, are a sample of the fading or a horizon of rounds.

Convex: with x = sqrt(p/eta) and t = 1/eta the cost is sum_k (sqrt(g) x - 1)^2 + sigma^2 t, and the
limit is on the mean of x^2/t, which is jointly convex in (x, t). So the dual has no gap. At prices
mu_k of mean power, given t, each device's best is the regularised inversion

    p = g t/(g t + mu)^2,   at a Lagrangian cost of   mu/(g t + mu)

convex in t, and t is the root of sum_k mu_k g_k/(g_k t + mu_k)^2 = sigma^2, or 0: a state too poor
for anybody to send in. A device sends loudest in middling states, neither where its channel is
strong, nor where it is hopeless.

Proof: the Lagrangian at any mu >= 0, where every convex term is replaced by its tangent at the t
that was found.

Source: Cao, Zhu, Xu, Huang, IEEE TWC 2020, arXiv 1906.06858, section on fading channels, where
the gap is closed by sharing time. The convex form and the bound are derived here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.certificate import Excess
from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.problems.superposition import Superposition
from fl_opt.structure import DualPoint, Model
from fl_opt.units import Floats

_FAR = 1e100
"""Stands for infinite t where there is no noise to keep it finite."""
_STEPS = 100


@dataclass(frozen=True, eq=False)
class FadingPlan:
    """Powers and denoising factors in all states.

    Parameters
    ----------
    power_w
        (R, K) transmit power [W].
    eta_w
        (R,) denoising factor [W]; infinite where nobody sends.
    """

    power_w: Floats
    eta_w: Floats

    def at(self, state: int, gain: ArrayLike, noise_w: float) -> Superposition:
        """The decision in one state, whose gains (K,) and noise [W] say what error it makes."""
        power, eta = self.power_w[state], float(self.eta_w[state])
        error = Superposition(power, eta, 0.0).error(gain, noise_w)
        return Superposition(power, eta, error)


@dataclass(frozen=True, eq=False, init=False)
class OverTheAirFading:
    """Add updates over the air with the least mean squared error, within mean powers.

    Parameters
    ----------
    gain
        (R, K) channel power gains g [-] in R equally likely states, or a row (K,).
    power_mean_w
        Mean power P over the states, (K,) or a scalar [W].
    noise_w
        Noise power sigma^2 at the receiver over the band used [W]; may be zero.

    The cost is the mean error of the sum in variances of a symbol. Whatever is valid is feasible.
    Price: "power_mean" (K,) [1/W]; `respond` acts on it in states that were not foreseen. Raises
    ``InvalidInput`` for values that are negative or not finite.
    """

    gain: Floats
    power_mean_w: Floats
    noise_w: float

    def __init__(self, gain: ArrayLike, power_mean_w: ArrayLike, noise_w: float) -> None:
        table = np.atleast_2d(np.asarray(gain, dtype=float))
        if table.ndim != 2 or table.size == 0:
            raise InvalidInput("gain.shape", table.shape, "(R, K), a row per state")
        checked = vector("gain", table.ravel(), table.size).reshape(table.shape)
        object.__setattr__(self, "gain", checked)
        power = vector("power_mean_w", power_mean_w, table.shape[1])
        object.__setattr__(self, "power_mean_w", power)
        object.__setattr__(self, "noise_w", number("noise_w", noise_w))

    @property
    def states(self) -> int:
        """Number of states R."""
        return int(self.gain.shape[0])

    @property
    def size(self) -> int:
        """Number of devices K."""
        return int(self.gain.shape[1])

    def cost(self, decision: FadingPlan) -> float:
        """Mean squared error of the sum, averaged over the states."""
        rows = range(self.states)
        return math.fsum(decision.at(r, self.gain[r], self.noise_w).mse for r in rows) / self.states

    def excess(self, decision: FadingPlan) -> dict[str, Excess]:
        """The limits of mean power."""
        return {"power_mean": Excess(decision.power_w.mean(axis=0), self.power_mean_w, "W")}

    # structure: SmoothDual. Units: power in P_k, t in 1/unit, prices in 1/P_k.

    @cached_property
    def _unit_w(self) -> float:
        """Received power that counts as one: the noise, where there is any."""
        return self.noise_w or float((self.gain * self.power_mean_w).max()) or 1.0

    @cached_property
    def _snr(self) -> Floats:
        """(R, K) mean power as it is received, in units."""
        return self.gain * self.power_mean_w / self._unit_w

    def price_guess(self) -> Floats:
        """Equal prices that sum to one."""
        return np.full(self.size, 1.0 / self.size)

    def _listen(self, snr: Floats, prices: Floats) -> Floats:
        """(R,) best t, from the left, by Newton on the -1/2 power of the slope, a concave one."""
        if self.noise_w == 0.0:
            return np.full(len(snr), _FAR)
        loud = (snr / prices).sum(axis=1) > 1.0
        snr, t = snr[loud], np.zeros(np.count_nonzero(loud))
        for _ in range(_STEPS):
            heard = snr * t[:, None] + prices
            fall = prices * snr / heard**2
            slope, bend = fall.sum(axis=1), (fall * snr / heard).sum(axis=1)
            step = slope * (np.sqrt(slope) - 1.0) / bend
            t += np.maximum(step, 0.0)
            if np.all(step <= 4.0 * EPS * t):
                break
        everywhere = np.zeros(loud.size)
        everywhere[loud] = t
        return everywhere

    def dual(self, prices: Floats) -> DualPoint:
        """The Lagrangian minimum; its slope is by how much mean power exceeds its limit."""
        snr = self._snr
        t = self._listen(snr, prices)[:, None]
        heard = snr * t + prices
        noise = t.sum() if self.noise_w > 0.0 else 0.0
        value = (float((prices / heard).sum()) + noise) / self.states - float(prices.sum())
        slope = (snr * t / heard**2).mean(axis=0) - 1.0
        own = (-2.0 * snr * t / heard**3).mean(axis=0)
        mixed = snr * (prices - snr * t) / heard**3
        bend = (2.0 * prices * snr**2 / heard**3).sum(axis=1)
        moving = (t[:, 0] > 0.0) & (bend > 0.0) & (self.noise_w > 0.0)
        lean = mixed[moving] / np.sqrt(bend[moving, None])
        return DualPoint(value, slope, np.diag(own) - lean.T @ lean / self.states)

    def settle(self, prices: Floats) -> FadingPlan:
        """Regularised inversion at `prices`, powers and factors scaled to the limits together."""
        snr = self._snr
        t = self._listen(snr, prices)
        shares = snr * t[:, None] / (snr * t[:, None] + prices) ** 2
        most = float(shares.mean(axis=0).max())
        # alignment depends on p/eta alone, so scaling both changes nothing but the noise
        scale = (1.0 - 4.0 * EPS) / most if most > 0.0 else 1.0
        with np.errstate(divide="ignore"):
            eta = np.where(t > 0.0, self._unit_w * scale / t, np.inf)
        return FadingPlan(shares * scale * self.power_mean_w, eta)

    def bound(self, prices: Floats) -> tuple[float, dict[str, float | Floats | None]]:
        """Proven lower bound of the cost from any prices >= 0, and the price of mean power.

        Every term mu/(g t + mu) is at least its tangent and at least 0, so the terms of a state
        may be scaled by a weight in [0, 1] at which the tangents fall no faster than noise grows.
        """
        snr = self._snr
        dead = float(np.count_nonzero(snr == 0.0)) / self.states
        t = self._listen(snr, prices)[:, None]
        live = snr > 0.0
        heard = np.where(live, snr * t + prices, 1.0)
        slope = np.where(live, prices * snr / heard**2, 0.0)
        terms = np.where(live, prices / heard, 0.0) + t * slope
        fall = slope.sum(axis=1)
        allowance = EPS * (32.0 + self.size)
        room = 1.0 - allowance if self.noise_w > 0.0 else 0.0
        weight = room / np.maximum(fall, 1.0)
        gained = math.fsum((weight * terms.sum(axis=1)).tolist()) / self.states
        paid = math.fsum(prices.tolist())
        value = dead + gained - paid - allowance * (dead + gained + paid)
        shadow = np.divide(
            prices, self.power_mean_w, out=np.zeros(self.size), where=self.power_mean_w > 0.0
        )
        # at prices of zero only those that are never heard are left
        return max(value, dead * (1.0 - 4.0 * EPS)), {"power_mean": shadow}

    def respond(self, price: ArrayLike, gain: ArrayLike) -> Superposition:
        """The best decision in a state of gains (K,) that was not foreseen, at prices [1/W]."""
        given = vector("price", price, self.size, open_low=True) * self.power_mean_w
        row = vector("gain", gain, self.size)
        snr = (row * self.power_mean_w / self._unit_w)[None, :]
        t = float(self._listen(snr, given)[0])
        if t == 0.0:
            return Superposition(np.zeros(self.size), math.inf, float(self.size))
        share = snr[0] * t / (snr[0] * t + given) ** 2
        plan = FadingPlan((share * self.power_mean_w)[None, :], np.array([self._unit_w / t]))
        return plan.at(0, row, self.noise_w)

    # structure: Convex

    def model(self) -> Model[FadingPlan]:
        """The convex form in x and t as a cone program, powers in P_k, t in 1/unit."""
        import cvxpy

        snr, rows, size = self._snr, self.states, self.size
        heard = snr > 0.0
        # a received power of one in this unit keeps t near one
        unit = float(np.median(snr[heard])) if heard.any() else 1.0
        x = cvxpy.Variable((rows, size), bounds=[0.0, None])
        t = cvxpy.Variable(rows, bounds=[0.0, None])
        noise = (1.0 if self.noise_w > 0.0 else 0.0) / unit
        error = cvxpy.sum_squares(cvxpy.multiply(np.sqrt(snr / unit), x) - 1.0)
        power = cvxpy.Variable((rows, size), bounds=[0.0, None])
        lasting = cvxpy.outer(t, np.ones(size))
        # x^2 <= power t
        inverse = cvxpy.SOC(
            cvxpy.vec(power + lasting, order="F"),
            cvxpy.vstack([cvxpy.vec(2.0 * x, order="F"), cvxpy.vec(power - lasting, order="F")]),
            axis=0,
        )
        spent = cvxpy.sum(power, axis=0) / rows <= 1.0
        least = cvxpy.Minimize((error + noise * cvxpy.sum(t)) / rows)
        program = cvxpy.Problem(least, [spent, inverse])

        def decision() -> FadingPlan:
            with np.errstate(divide="ignore", invalid="ignore"):
                shares = np.nan_to_num(x.value**2 / t.value[:, None], posinf=0.0)
            most = max(float(shares.mean(axis=0).max()), 1.0)
            eta = self._unit_w * unit / (np.maximum(t.value, 1e-300) * most)
            return FadingPlan(shares / most * self.power_mean_w, eta)

        def bound() -> float:
            return self.bound(np.maximum(spent.dual_value, 1e-18))[0]

        return Model(program, decision, bound)
