r"""Powers and denoising factor with which updates add up over the air most exactly.

    minimise    sum_k (sqrt(g_k p_k/eta) - 1)^2 + sigma^2/eta
    subject to  0 <= p_k <= P_k                                     "power_max"
    over        p in R^K, eta > 0

    p_k  transmit power [W]          eta      denoising factor of the receiver [W]
    g_k  channel power gain [-]      sigma^2  noise power at the receiver [W]
    P_k  largest power [W]

All devices send at once; the receiver wants the sum of their symbols (unit variance) and hears
sum_k sqrt(g_k p_k) s_k + noise. With u = 1/sqrt(eta) and a_k = sqrt(g_k P_k), the best powers at
given u align every device that can reach it, p_k = min(P_k, eta/g_k), which leaves

    f(u) = sum_k max(0, 1 - u a_k)^2 + sigma^2 u^2

convex in the one number u. Where exactly the j weakest devices cannot align, f is a parabola with
its vertex at u_j = sum_{k<=j} a_k/(sigma^2 + sum_{k<=j} a_k^2). The optimum is u = max_j u_j:
the weak shout at full power, the strong invert their channels.

Proof: max(0, x)^2 = max_{y >= 0} 2 x y - y^2, so for any y >= 0 the cost is at least
sum_k (2 y_k - y_k^2) - (sum_k y_k a_k)^2/sigma^2. At y_k = max(0, 1 - u a_k) it is attained, and
the least cost is sum_k y_k. For sigma = 0 everybody aligns at no cost.

Source: Cao, Zhu, Xu, Huang, IEEE TWC 2020, arXiv 1906.06858 (whose h is an amplitude, and whose
mean over devices divides the error by K^2). The bound is derived here.
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
from fl_opt.network import Network
from fl_opt.problems.superposition import Superposition, affordable_w, receiver_noise_w
from fl_opt.problems.uplink import total
from fl_opt.structure import Model, Optimum
from fl_opt.units import Floats

_SILENT = math.inf


@dataclass(frozen=True, eq=False, init=False)
class OverTheAirPower:
    """Add updates over the air with the least mean squared error, within power limits.

    Parameters
    ----------
    gain
        Channel power gain g [-], (K,) or a scalar. A device of zero gain is not heard; it costs 1.
    power_max_w
        Largest transmit power P, (K,) or a scalar [W].
    noise_w
        Noise power sigma^2 at the receiver over the band used [W]; may be zero.

    The cost is the error of the sum in variances of a symbol; that of the mean is 1/K^2 of it.
    Whatever is valid is feasible. Price: "power_max" (K,) [1/W]. Raises ``InvalidInput`` for
    values that are negative or not finite.
    """

    gain: Floats
    power_max_w: Floats
    noise_w: float

    def __init__(self, gain: ArrayLike, power_max_w: ArrayLike, noise_w: float) -> None:
        size = max(np.size(gain), np.size(power_max_w))
        if min(np.size(gain), np.size(power_max_w)) == 0:
            raise InvalidInput("OverTheAirPower", "empty", "at least one device")
        object.__setattr__(self, "gain", vector("gain", gain, size))
        object.__setattr__(self, "power_max_w", vector("power_max_w", power_max_w, size))
        object.__setattr__(self, "noise_w", number("noise_w", noise_w))

    @classmethod
    def from_network(cls, network: Network) -> OverTheAirPower:
        """The devices of a round, all on the whole band; ``Optimised`` takes it as `formulate`.

        A device sends with no more than what training at the fastest clock leaves of its energy.
        """
        return cls(network.gain, affordable_w(network), receiver_noise_w(network))

    @property
    def size(self) -> int:
        """Number of devices K."""
        return int(self.gain.size)

    @cached_property
    def reach(self) -> Floats:
        """(K,) amplitude a that each device is received with at full power [sqrt(W)]."""
        return np.sqrt(self.gain) * np.sqrt(self.power_max_w)

    def cost(self, decision: Superposition) -> float:
        """Mean squared error of the sum."""
        return decision.error(self.gain, self.noise_w)

    def excess(self, decision: Superposition) -> dict[str, Excess]:
        """The limits of power."""
        return {"power_max": Excess(decision.power_w, self.power_max_w, "W")}

    # structure: ClosedForm

    def optimum(self) -> Optimum[Superposition]:
        """The threshold, the bound from its multipliers, and the price of power."""
        y = self._shortfall()
        u = self._scale()
        with np.errstate(divide="ignore", invalid="ignore"):
            price = np.where(y * self.reach > 0.0, y * u * self.reach / self.power_max_w, 0.0)
        price[(self.power_max_w == 0.0) & (self.gain > 0.0) & (u > 0.0)] = math.inf
        return Optimum(self.aligned(u), self.lower_bound(y), {"power_max": price})

    def lower_bound(self, shortfall: Floats) -> float:
        """Proven lower bound of the cost from any multipliers y (K,) in [0, 1]."""
        dead = self.reach == 0.0
        silent = float(np.count_nonzero(dead))
        y = np.where(dead, 0.0, np.clip(shortfall, 0.0, 1.0))
        first, second = total(y), total(y * y)
        if self.noise_w == 0.0 or first == 0.0:
            return silent
        pull = total(y * self.reach)
        curve = second + pull * pull / self.noise_w
        # y may be scaled; the best scale also makes up for rounding in the pull
        scale = min(first / curve, 1.0)
        value = scale * (2.0 * first - scale * curve)
        allowance = 32.0 * EPS * scale * (2.0 * first + scale * curve)
        # what `ALIGNED` forgives, at most 4 eps for each unit of y
        return (silent + max(value - allowance, 0.0)) * (1.0 - 2.0 * EPS)

    @cached_property
    def _ascending(self) -> Floats:
        return np.sort(self.reach[self.reach > 0.0])

    @cached_property
    def _last(self) -> int:
        """Index of the strongest device that cannot align; -1 where nobody is heard."""
        a = self._ascending
        if not a.size:
            return -1
        return int(np.argmax(np.cumsum(a) / (self.noise_w + np.cumsum(a * a))))

    def _scale(self) -> float:
        """Best u = 1/sqrt(eta)."""
        weak = self._ascending[: self._last + 1]
        return total(weak) / (self.noise_w + total(weak * weak)) if weak.size else 0.0

    def _shortfall(self) -> Floats:
        """Multipliers max(0, 1 - u a), by differences: they keep their digits at little noise."""
        weak = self._ascending[: self._last + 1]
        if not weak.size:
            return np.ones(self.size)
        beyond = total(weak * (weak - weak[0])) - total(weak) * (self.reach - weak[0])
        y = np.maximum(self.noise_w + beyond, 0.0) / (self.noise_w + total(weak * weak))
        return np.where(self.reach > 0.0, np.minimum(y, 1.0), 1.0)

    def aligned(self, scale: float) -> Superposition:
        """The best powers at a given u = 1/sqrt(eta) >= 0 [1/sqrt(W)]."""
        if scale == 0.0:
            return self._decide(np.zeros(self.size), _SILENT)
        eta = 1.0 / (scale * scale)
        with np.errstate(divide="ignore", over="ignore"):
            power = np.minimum(eta / self.gain, self.power_max_w)
        return self._decide(np.where(self.gain > 0.0, power, 0.0), eta)

    def _decide(self, power_w: Floats, eta_w: float) -> Superposition:
        error = Superposition(power_w, eta_w, 0.0).error(self.gain, self.noise_w)
        return Superposition(power_w, eta_w, error)

    # baselines

    def full_power(self) -> Superposition:
        """Everybody at full power, the denoising factor best for that."""
        a = self.reach
        strength = self.noise_w + total(a * a)
        scale = total(a) / strength if strength > 0.0 else 0.0
        return self._decide(self.power_max_w, 1.0 / scale**2 if scale > 0.0 else _SILENT)

    def full_inversion(self) -> Superposition:
        """Everybody aligns, down to what the weakest device that is heard can do."""
        return self.truncated_inversion(0.0)

    def truncated_inversion(self, gain_min: float) -> Superposition:
        """Devices of at least `gain_min` align with the weakest of them, the others are silent."""
        loud = (self.gain >= number("gain_min", gain_min)) & (self.reach > 0.0)
        if not loud.any():
            return self._decide(np.zeros(self.size), _SILENT)
        weakest = float(self.reach[loud].min())
        power = self.aligned(1.0 / weakest).power_w
        return self._decide(np.where(loud, power, 0.0), weakest * weakest)

    # structure: Convex

    def model(self) -> Model[Superposition]:
        """Alignments x_k <= a_k u and u as a quadratic program, with a unit of u near the median.

        Dual prices of x <= a u are twice the shortfalls of the proof.
        """
        import cvxpy

        heard = self.reach > 0.0
        unit = float(np.median(self.reach[heard])) if heard.any() else 1.0
        # beyond it every device aligns, and u only raises noise
        most = max(float(unit / self.reach[heard].min()), 1.0) if heard.any() else 1.0
        x = cvxpy.Variable(self.size, bounds=[0.0, 1.0])
        u = cvxpy.Variable(bounds=[0.0, most])
        reached = x <= (self.reach / unit) * u
        noise = math.sqrt(self.noise_w) / unit
        error = cvxpy.sum_squares(1.0 - x) + cvxpy.square(noise * u)

        def decision() -> Superposition:
            return self.aligned(max(float(u.value), 0.0) / unit)

        def bound() -> float:
            return self.lower_bound(0.5 * np.asarray(reached.dual_value))

        return Model(cvxpy.Problem(cvxpy.Minimize(error), [reached]), decision, bound)


def truncation_probability(threshold: float) -> float:
    """How often Rayleigh fading of unit mean gain stays below a threshold g, 1 - exp(-g) [-].

    Source: Zhu, Wang, Huang, IEEE TWC 2020, arXiv 1812.11494.
    """
    return -math.expm1(-number("threshold", threshold))


def received_power_w(power_w: float, symbols: int, threshold: float) -> float:
    """Power rho = P/(M E1(g)) at which every symbol arrives under truncated inversion [W].

    A device of average power P over M parallel symbols, Rayleigh fading of unit mean gain, inverts
    its channel where the gain exceeds g, and is silent below; E1 is the exponential integral. The
    higher g, the louder what arrives, and the less of it: see `truncation_probability`. Source:
    Zhu, Wang, Huang, IEEE TWC 2020, arXiv 1812.11494.
    """
    from scipy.special import exp1

    number("threshold", threshold, open_low=True)
    mean_inverse = float(exp1(threshold))
    parts = number("symbols", symbols, low=1.0)
    return number("power_w", power_w) / (parts * mean_inverse)
