r"""When to stay silent in a fade, if all devices add up over the air and invert their channels.

    minimise    K (q (c - 1)^2 + 1 - q) + sigma^2/eta,     c = sqrt(rho/eta)
    with        q = e^-g,    rho = P h/(M E1(g))
    subject to  q >= q_min                            "participation"
                q c = 1, where asked for              "unbiased"
    over        g > 0, eta > 0

    g      threshold on the gain over its mean [-]   K        devices
    q      how often a symbol is sent [-]            M        symbols sent at once, on subcarriers
    rho    power a symbol is received with [W]       P        mean power of a device [W]
    eta    denoising factor [W]                      h        mean channel gain [-]
    c      size of a symbol after the receiver [-]   sigma^2  noise power of a symbol [W]

Under Rayleigh fading the gain over its mean is exponential. Inverting it above g takes the mean
power rho M E1(g)/h, E1 the exponential integral; it grows without limit as g falls. So a low
threshold is quiet, a high one loses symbols. The cost is the mean squared error of the sum of K
symbols of unit variance.

With s = P h/(M sigma^2), the best eta leaves K - K^2/phi(g), and the one without bias phi(g) - K:

    phi(g) = K e^g + e^(2 g) E1(g)/s = K e^g + (1/s) integral_0^inf e^(g (1 - x))/(1 + x) dx

a sum of exponentials of g, so convex, and **both have the same best threshold**, the root of
1/g - 2 e^g E1(g) = K s. It lies below 0.62, however little is received.

Proof: "dual". A tangent of phi at the threshold bounds phi everywhere.

Source: Zhu, Wang, Huang, IEEE TWC 2020, arXiv 1812.11494 (truncation, rho, and the latency against
orthogonal access). The objective, its convexity and the common root are derived here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.certificate import FEASIBLE, Excess
from fl_opt.checks import number
from fl_opt.errors import Infeasible, InvalidInput
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.physics import PARAMETER_BIT
from fl_opt.problems.over_the_air_power import received_power_w, truncation_probability
from fl_opt.problems.superposition import affordable_w, receiver_noise_w
from fl_opt.structure import Model, Optimum
from fl_opt.units import Floats

if TYPE_CHECKING:
    import pandas

_HIGHEST = 0.7
"""Above the best threshold for any K s >= 0."""
_MOST = 700.0
_LITTLE = 1e-100
_STEP = 0.25


@dataclass(frozen=True)
class Truncation:
    """What is decided: when to be silent, and how loud to be heard.

    Parameters
    ----------
    threshold
        Least gain over its mean at which a device sends, > 0, at most 700 [-].
    eta_w
        Denoising factor of the receiver [W]; infinite: it does not listen.
    gain_min
        The threshold as a channel gain [-].
    received_w
        Power that each symbol arrives with [W].
    """

    threshold: float
    eta_w: float
    gain_min: float
    received_w: float

    @property
    def participation(self) -> float:
        """How often a symbol is sent [-]."""
        return 1.0 - truncation_probability(self.threshold)

    def to_round(self, network: Network) -> Allocation:
        """Devices of at least `gain_min` invert their channels, up to their power limits.

        One superposed upload over the whole band after training at the fastest clock.
        """
        loud = (network.gain >= self.gain_min) & (network.gain > 0.0)
        power = np.where(loud, self.received_w / np.where(loud, network.gain, 1.0), 0.0)
        return Allocation(
            selected=loud & (power > 0.0),
            bandwidth_hz=network.band_hz,
            power_w=np.minimum(power, affordable_w(network)),
            cpu_hz=network.cpu_max_hz,
            access="superposed",
        )

    def to_frame(self) -> pandas.DataFrame:
        """One row."""
        import pandas

        row = {"threshold": self.threshold, "participation": self.participation}
        return pandas.DataFrame([row | {"eta_w": self.eta_w, "received_w": self.received_w}])


@dataclass(frozen=True)
class TruncatedInversion:
    """Choose the threshold of truncated channel inversion with the least error of the sum.

    Parameters
    ----------
    devices
        Number of devices K that are summed.
    power_w
        Mean transmit power P of a device over fading and all symbols [W].
    noise_w
        Noise power sigma^2 of one symbol at the receiver, > 0 [W].
    gain
        Mean channel gain h, of the weakest device where they differ [-].
    symbols
        Symbols M sent at once, on as many subcarriers [-].
    participation_min
        How often a symbol is to be sent at least, in [0, 1) [-].
    unbiased
        Whether the mean of what is received must be the sum.

    The cost is the mean squared error of the sum in variances of a symbol. Price: "participation".
    ``solve`` raises ``Infeasible`` where no power is received and the sum shall have no bias.
    """

    devices: int
    power_w: float
    noise_w: float
    gain: float = 1.0
    symbols: int = 1
    participation_min: float = 0.0
    unbiased: bool = False

    def __post_init__(self) -> None:
        for name in ("devices", "symbols"):
            value = number(name, getattr(self, name), low=1.0)
            if value != int(value):
                raise InvalidInput(name, f"{value:g}", "a whole number")
        number("power_w", self.power_w)
        number("noise_w", self.noise_w, open_low=True)
        number("gain", self.gain)
        least = number("participation_min", self.participation_min, high=1.0)
        if least == 1.0 or -math.log(max(least, 0.5)) == 0.0:
            raise InvalidInput(
                "participation_min", "1", "a number below 1", "some fades outdo any power"
            )

    @classmethod
    def from_network(
        cls,
        network: Network,
        mean_gain: float,
        *,
        participation_min: float = 0.0,
        unbiased: bool = False,
    ) -> TruncatedInversion:
        """The devices of a round, on the whole band, whose gains are fades around `mean_gain`.

        The mean power of all is what the poorest device can afford, see `affordable_w`.
        """
        power = float(affordable_w(network).min())
        noise = receiver_noise_w(network)
        return cls(
            network.size,
            power,
            noise,
            mean_gain,
            participation_min=participation_min,
            unbiased=unbiased,
        )

    @property
    def snr(self) -> float:
        """Mean power P h/M of a symbol without inversion over the noise, s [-]."""
        return self.power_w * self.gain / (self.symbols * self.noise_w)

    def at(self, threshold: float) -> Truncation:
        """A threshold with its best denoising factor."""
        g = number("threshold", threshold, open_low=True, high=_MOST)
        sent = received_power_w(self.power_w, self.symbols, g)
        received, often = self.gain * sent, math.exp(-g)
        if received == 0.0:
            return Truncation(g, math.inf, g * self.gain, received)
        heard = self.devices * often
        size = 1.0 / often if self.unbiased else heard / (heard + self.noise_w / received)
        eta = received / size**2 if size > 0.0 else math.inf
        return Truncation(g, eta, g * self.gain, received)

    def cost(self, decision: Truncation) -> float:
        """Mean squared error of the sum, from threshold and denoising factor."""
        g, eta = decision.threshold, decision.eta_w
        size, often = self._size(decision), math.exp(-g)
        missed = often * (size - 1.0) ** 2 + truncation_probability(g)
        return self.devices * missed + self.noise_w / eta

    def _size(self, decision: Truncation) -> float:
        sent = received_power_w(self.power_w, self.symbols, decision.threshold)
        return math.sqrt(self.gain * sent / decision.eta_w)

    def excess(self, decision: Truncation) -> dict[str, Excess]:
        """The floor of participation, and where asked for the bias, relative to the sum."""
        often = decision.participation
        limits = {"participation": Excess(-often, -self.participation_min, "", 1.0)}
        if self.unbiased:
            bias = abs(often * self._size(decision) - 1.0)
            limits["unbiased"] = Excess(bias, 0.0, "", 1.0)
        return limits

    def latency_ratio(self, decision: Truncation, parameter_bit: int = PARAMETER_BIT) -> float:
        """How many times longer orthogonal uploads take than one superposed upload [-].

        There each device has 1/K of the subcarriers, sends with K times the power on each, inverts
        and truncates alike, and transmits `parameter_bit` bits a parameter at capacity: the ratio
        is ``parameter_bit K/log2(1 + K rho/sigma^2)``, nearly linear in K.
        """
        bits = number("parameter_bit", parameter_bit, open_low=True)
        sent = received_power_w(self.power_w, self.symbols, decision.threshold)
        capacity = math.log2(1.0 + self.devices * self.gain * sent / self.noise_w)
        return bits * self.devices / capacity if capacity > 0.0 else math.inf

    # structure: ClosedForm

    def optimum(self) -> Optimum[Truncation]:
        """The root, or the floor of participation where that is lower."""
        if self.snr == 0.0:
            return self._deaf()
        highest = self._highest()
        g = min(self._root(), highest)
        value, slope = self._rise(g)
        unsure = self._unsure(g)
        # the minimum lies between two points where the sign of the slope is certain
        left = 0.5 * g if self._rise(0.5 * g)[1] < -self._unsure(0.5 * g) else 0.0
        right = min(2.0 * g, highest)
        right = right if self._rise(right)[1] > self._unsure(right) else highest
        width = max(slope + unsure, 0.0) * (g - left) + max(unsure - slope, 0.0) * (right - g)
        price = max(-slope, 0.0) * math.exp(g) if g == highest < _HIGHEST else 0.0
        low = max(value * (1.0 - 64.0 * EPS) - width, 0.0)
        if not self.unbiased:
            low *= self.devices / (self.devices + low)
            price *= (self.devices / (self.devices + value)) ** 2
        return Optimum(self.at(g), low * (1.0 - 64.0 * EPS), {"participation": price})

    def _highest(self) -> float:
        if self.participation_min <= math.exp(-_HIGHEST):
            return _HIGHEST
        return -math.log(self.participation_min)

    def _deaf(self) -> Optimum[Truncation]:
        """Nothing arrives: the receiver does not listen."""
        if self.unbiased:
            cures = {
                "power_w": None if self.gain == 0.0 else _LITTLE,
                "gain": None if self.power_w == 0.0 else _LITTLE,
            }
            what = "power_w" if self.power_w == 0.0 else "gain"
            raise Infeasible(
                f"{what} is 0: nothing is received, and no receiver makes an unbiased sum of that",
                constraint="unbiased",
                relaxations=cures,
            )
        bound = float(self.devices) * (1.0 - FEASIBLE)
        return Optimum(self.at(self._highest()), bound, {"participation": 0.0})

    def _rise(self, g: float) -> tuple[float, float]:
        """phi(g) - K and its derivative."""
        from scipy.special import exp1

        grown = math.exp(g)
        noise = grown * grown * float(exp1(g)) / self.snr
        value = self.devices * math.expm1(g) + noise
        return value, self.devices * grown + 2.0 * noise - grown / (g * self.snr)

    def _unsure(self, g: float) -> float:
        """How much rounding may have moved the derivative of phi."""
        grown = math.exp(g)
        # e^g E1(g) < ln(1 + 1/g)
        noise = grown * (2.0 * math.log1p(1.0 / g) + 1.0 / g) / self.snr
        return 64.0 * EPS * (self.devices * grown + noise)

    def _root(self) -> float:
        """Where the derivative of phi changes its sign, by bisection in ln g."""
        low, high = math.log(_LITTLE), math.log(_HIGHEST)
        while high - low > 2.0 * EPS * max(1.0, -low):
            middle = 0.5 * (low + high)
            if self._rise(math.exp(middle))[1] < 0.0:
                low = middle
            else:
                high = middle
        return math.exp(high)

    # structure: Convex

    def model(self) -> Model[Truncation]:
        """The sum of exponentials that the integral becomes by the trapezoid rule in ln x."""
        import cvxpy

        deaf = self.snr == 0.0
        weigh = self.devices * (0.0 if deaf else self.snr)
        # the root lies above 1/(2 K s + 40 + 4 ln(1 + K s)), and below 1/(K s)
        least = 1.0 / (2.0 * weigh + 40.0 + 4.0 * math.log1p(weigh))
        far = math.log(40.0 / least)
        x = np.exp(np.arange(-38.0, far + _STEP, _STEP))
        weight: Floats = _STEP * x / (1.0 + x)
        unit = min(1.0 / weigh if weigh > 0.0 else 1.0, 1.0)
        highest = self._highest()
        ratio = cvxpy.Variable(bounds=[min(least, 0.5 * highest) / unit, highest / unit])
        g = unit * ratio
        # phi/K - 1 in units of its size at the root
        fading = weight @ cvxpy.exp((1.0 - x) * g)
        share = 1.0 / (1.0 + weigh)
        cost = (1.0 - share) * (cvxpy.exp(g) - 1.0) / unit + share * fading / unit

        def decision() -> Truncation:
            return self.at(float(ratio.value) * unit)

        return Model(cvxpy.Problem(cvxpy.Minimize(cost)), decision)
