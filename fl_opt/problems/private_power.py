r"""How loud updates add up over the air when the receiver must not learn anybody's data.

    minimise    sum_t w_t d sigma^2/(K c_t)^2
    subject to  c_t <= sqrt(d g_tk P_k)/L          for all k            "power_max"
                sum_t 2 c_t^2 L^2/sigma^2 <= rho(epsilon, delta)        "privacy"
    over        c_t > 0, t = 1..T

    c_t   amplitude at which all updates arrive in round t [sqrt(W)]
    g_tk  channel power gain [-]             P_k      largest mean power of a symbol [W]
    L     largest norm of an update [-]      d        symbols, one per parameter [-]
    K     devices [-]                        sigma^2  noise power in a symbol [W]
    w_t   importance of a round [-]          rho      budget of privacy, zCDP [-]

Each device clips its update to norm L and inverts its channel, so that the receiver hears
c_t sum_k u_k + z and divides by K c_t: the cost is the expected squared error of the mean. One
device's data move the sum by 2 c_t L at most (clipping), which Gaussian noise hides to
rho_t = (2 c_t L)^2/(2 sigma^2), and rho adds up over rounds (`privacy`). The noise is the channel's
own. More noise from the devices would hide no better than less amplitude: only c/sigma matters, to
both, and it would cost power.

With x_t = c_t^2 L^2/sigma^2 the problem is convex and separable but for the budget:

    minimise  sum_t w_t/x_t   subject to  x_t <= X_t = min_k d g_tk P_k/sigma^2,  2 sum_t x_t <= rho

so that at a price mu of the budget x_t = min(X_t, sqrt(w_t/mu)): weak rounds at the power limit,
the others at sqrt(w_t) times one number, found by sorting X_t/sqrt(w_t). For one round this is
c = min(c_power, c_privacy). Where 2 sum X_t <= rho, power is what limits, and privacy is free.

Proof: for any mu >= 0 the least value is at least
sum_t min_{x <= X_t} (w_t/x + mu x) - mu rho/2, and the minimum in x is a formula.

Source: Seif, Tandon, Li, Wireless federated learning with local differential privacy, IEEE ISIT
2020, arXiv 2002.05151, for the alignment and the superposition; Liu, Simeone, Privacy for free,
IEEE JSAC 2021, arXiv 2006.05459, for the budget over rounds and for what is free (both recalled).
Clipping norm and zCDP as the account, the closed form for any importance, and the bound are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.certificate import Excess
from fl_opt.checks import number, vector
from fl_opt.errors import Infeasible, InvalidInput, device_list
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.physics import PARAMETER_BIT
from fl_opt.problems.privacy import classical_rho, epsilon_of, rho_of
from fl_opt.problems.private_alignment import PrivateAlignment
from fl_opt.problems.superposition import affordable_w, receiver_noise_w
from fl_opt.problems.uplink import total
from fl_opt.structure import Model, Optimum
from fl_opt.units import Floats

Composition = Literal["zcdp", "classical"]


@dataclass(frozen=True, eq=False, init=False)
class PrivatePower:
    """Add updates over the air with the least error, within power and a budget of privacy.

    Parameters
    ----------
    gain
        Channel power gains g [-], (T, K) for T rounds, or (K,) for one.
    power_max_w
        Largest mean power of a symbol P, (K,) or a scalar [W].
    noise_w
        Noise power at the receiver in a symbol [W]: it hides the data.
    epsilon, delta
        What all rounds together may leak of any device's data [-]; epsilon may be infinite.
    clip
        Norm to which devices clip their updates [-].
    symbols
        Symbols of an update, one per parameter [-].
    importance
        Weight of each round's error, (T,) or a scalar, > 0 [-].
    composition
        "zcdp": rounds add up in zCDP; "classical": the textbook rule for one round, epsilon < 1.

    The cost is the weighted sum over rounds of the expected squared error of the mean update.
    Prices: "privacy" [1 per unit of rho], "power_max" (K,) [1/W]. Raises ``Infeasible`` where a
    device without power or channel would silence everybody, or no noise hides the data.
    """

    gain: Floats
    power_max_w: Floats
    noise_w: float
    epsilon: float
    delta: float
    clip: float
    symbols: int
    importance: Floats
    composition: Composition

    def __init__(
        self,
        gain: ArrayLike,
        power_max_w: ArrayLike,
        noise_w: float,
        epsilon: float,
        delta: float,
        clip: float = 1.0,
        symbols: int = 1,
        importance: ArrayLike = 1.0,
        composition: Composition = "zcdp",
    ) -> None:
        put = object.__setattr__
        table = np.atleast_2d(np.asarray(gain, dtype=float))
        if table.ndim != 2 or table.size == 0:
            raise InvalidInput("gain.shape", table.shape, "(T, K), a row per round, or (K,)")
        put(self, "gain", vector("gain", table.ravel(), table.size).reshape(table.shape))
        rounds, size = table.shape
        put(self, "power_max_w", vector("power_max_w", power_max_w, size))
        put(self, "noise_w", number("noise_w", noise_w))
        put(self, "epsilon", number("epsilon", epsilon, open_low=True, finite=False))
        put(self, "delta", number("delta", delta, high=1.0, open_low=True))
        put(self, "clip", number("clip", clip, open_low=True))
        count = number("symbols", symbols, low=1.0)
        if count != int(count):
            raise InvalidInput("symbols", f"{count:g}", "a whole number")
        put(self, "symbols", int(count))
        put(self, "importance", vector("importance", importance, rounds, open_low=True))
        if composition not in ("zcdp", "classical"):
            raise InvalidInput("composition", repr(composition), "'zcdp' or 'classical'")
        if composition == "classical" and rounds > 1:
            raise InvalidInput(
                "composition", "'classical'", "'zcdp' for several rounds", "it is for one release"
            )
        put(self, "composition", composition)
        _ = self.rho_max  # refuses what its rule does not cover

    @classmethod
    def from_network(
        cls, network: Network, epsilon: float, delta: float, rounds: int = 1, clip: float = 1.0
    ) -> PrivatePower:
        """One round of `rounds` that share a budget equally, since later channels are not known.

        ``Optimised(partial(PrivatePower.from_network, epsilon=..., delta=..., rounds=...))`` is a
        policy. A device sends with no more than what training at the fastest clock leaves of its
        energy; an update has a symbol per parameter of its nominal payload.
        """
        share = rho_of(epsilon, delta) / number("rounds", rounds, low=1.0)
        symbols = max(round(float(network.upload_bit.max()) / PARAMETER_BIT), 1)
        return cls(
            network.gain, affordable_w(network), receiver_noise_w(network),
            epsilon_of(share, delta), delta, clip, symbols,
        )  # fmt: skip

    @cached_property
    def rho_max(self) -> float:
        """The budget of privacy, in zCDP."""
        if self.composition == "classical":
            return classical_rho(self.epsilon, self.delta)
        return rho_of(self.epsilon, self.delta)

    @property
    def _unit(self) -> float:
        """Cost of a round of weight and signal 1, d L^2/K^2."""
        return float(self.symbols * (self.clip / self.gain.shape[1]) ** 2)

    @cached_property
    def signal_max(self) -> Floats:
        """(T,) largest signal x = (c L/sigma)^2 that the powers allow."""
        with np.errstate(divide="ignore"):
            return self._heard_max / np.float64(self.noise_w)

    @property
    def _heard_max(self) -> Floats:
        """(T,) largest (c L)^2 that the powers allow [W]."""
        heard: Floats = self.symbols * (self.gain * self.power_max_w).min(axis=1)
        return heard

    def cost(self, decision: PrivateAlignment) -> float:
        """Weighted sum of the expected squared errors of the mean update; infinite for silence."""
        size = self.gain.shape[1]
        with np.errstate(divide="ignore"):
            error = self.symbols * self.noise_w / (size * decision.amplitude) ** 2
        return total(self.importance * error)

    def rho(self, decision: PrivateAlignment) -> Floats:
        """(T,) what each round leaks of a device's data, in zCDP."""
        with np.errstate(divide="ignore", invalid="ignore"):
            rho = 2.0 * (decision.amplitude * self.clip) ** 2 / np.float64(self.noise_w)
        return np.where(decision.amplitude > 0.0, rho, 0.0)

    def excess(self, decision: PrivateAlignment) -> dict[str, Excess]:
        """Power of each device in its dearest round, and what all rounds leak together."""
        rounds = self.gain.shape[0]
        if decision.amplitude.size != rounds:
            raise InvalidInput("decision.amplitude.shape", decision.amplitude.shape, f"({rounds},)")
        heard = ((decision.amplitude * self.clip) ** 2 / self.symbols)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            power = np.where(heard > 0.0, heard / self.gain, 0.0)
        return {
            "power_max": Excess(power.max(axis=0), self.power_max_w, "W"),
            "privacy": Excess(total(self.rho(decision)), self.rho_max, ""),
        }

    # structure: ClosedForm

    def optimum(self) -> Optimum[PrivateAlignment]:
        """The signals by sorting, the bound from their price, and the prices of both limits."""
        self._check()
        if self.noise_w == 0.0:
            return Optimum(self._loudest(), 0.0, {"privacy": 0.0, "power_max": 0.0})
        most, price = self.signal_max, self._price()
        with np.errstate(divide="ignore"):
            signal = np.minimum(most, np.sqrt(self.importance / price))
        prices: dict[str, float | Floats | None] = {
            "privacy": 0.5 * self._unit * price,
            "power_max": self._power_price(price),
        }
        return Optimum(self.decide(signal), self.lower_bound(price), prices)

    def decide(self, signal: ArrayLike) -> PrivateAlignment:
        """The decision of signals (T,), a rounding below them."""
        x = vector("signal", signal, self.gain.shape[0])
        return self._heard(x * self.noise_w)

    def _loudest(self) -> PrivateAlignment:
        """The decision that the powers allow, if there were no privacy to keep."""
        return self._heard(self._heard_max)

    def _heard(self, square_w: Floats) -> PrivateAlignment:
        amplitude = np.sqrt(square_w) / self.clip * (1.0 - 4.0 * EPS)
        return PrivateAlignment(amplitude, self.clip, self.symbols)

    def lower_bound(self, price: float) -> float:
        """Proven lower bound of the cost at any price >= 0 of the signals' sum."""
        most = self.signal_max * (1.0 + 8.0 * EPS)
        weight = self.importance
        free = np.sqrt(weight * price)
        # sqrt(w/price) <= X, without the division
        inside = free <= price * most
        term = np.where(inside & (price > 0.0), 2.0 * free, weight / most + price * most)
        spent = 0.0 if price == 0.0 else 0.5 * price * self.rho_max * (1.0 + 16.0 * EPS)
        value = total(term) - spent - 16.0 * EPS * (total(term) + spent)
        return max(self._unit * value * (1.0 - 8.0 * EPS), 0.0)

    def _price(self) -> float:
        """Price mu at which the signals use up the budget; 0 where power limits all of them."""
        most, root = self.signal_max, np.sqrt(self.importance)
        budget = 0.5 * self.rho_max
        if total(most) <= budget:
            return 0.0
        order = np.argsort(most / root)
        capped = np.concatenate([[0.0], np.cumsum(most[order])[:-1]])
        rest = np.cumsum(root[order][::-1])[::-1]
        # with the first t rounds at their power, the others share what is left
        level = (budget - capped) / rest
        fits = level <= most[order] / root[order]
        fits[-1] = True
        return float(level[np.argmax(fits)] ** -2.0)

    def _power_price(self, price: float) -> Floats:
        """(K,) cost that a watt saves: in rounds at the power limit, to the one who sets it."""
        product = self.gain * self.power_max_w
        least = product.min(axis=1)
        binds = (product == least[:, None]) & ((product == least[:, None]).sum(axis=1) == 1)[
            :, None
        ]
        gained = np.maximum(self.importance / self.signal_max**2 - price, 0.0)
        slope = self.symbols * self.gain / self.noise_w
        return np.asarray(self._unit * np.where(binds, gained[:, None] * slope, 0.0).sum(axis=0))

    def _check(self) -> None:
        silent = np.flatnonzero((self.gain * self.power_max_w == 0.0).any(axis=0))
        if silent.size:
            raise Infeasible(
                f"{device_list(silent)} cannot be heard in every round, and all have to be heard "
                "equally loud; leave them out",
                constraint="power_max",
                devices=silent,
            )
        if self.noise_w == 0.0 and math.isfinite(self.rho_max):
            raise Infeasible(
                "no noise hides anybody's data from the receiver",
                constraint="privacy",
                devices=np.arange(self.gain.shape[1]),
                relaxations={"epsilon": math.inf},
            )

    # structure: Convex

    def model(self) -> Model[PrivateAlignment]:
        """Signals in units of a plausible share of the budget, or of what the powers allow."""
        import cvxpy

        self._check()
        # without noise and privacy any signal is errorless: the largest will do
        most = self.signal_max if self.noise_w > 0.0 else np.ones(self.gain.shape[0])
        budget = 0.5 * self.rho_max
        root = np.sqrt(self.importance)
        unit = np.minimum(most, budget * (root / root.sum()))
        # the box beyond the budget is never met: it would take part of the budget's price
        part = cvxpy.Variable(
            unit.size, bounds=[np.zeros(unit.size), np.minimum(most, 2.0 * budget) / unit]
        )
        error = self.importance / unit
        objective = cvxpy.Minimize((error / error.sum()) @ cvxpy.inv_pos(part))
        limits = [(unit / budget) @ part <= 1.0] if math.isfinite(budget) else []

        def decision() -> PrivateAlignment:
            if self.noise_w == 0.0:
                return self._loudest()
            signal = np.minimum(np.maximum(part.value, 0.0) * unit, most)
            return self.decide(signal * min(1.0, budget / total(signal)))

        def bound() -> float:
            if self.noise_w == 0.0:
                return 0.0
            price = float(limits[0].dual_value) if limits else 0.0
            return self.lower_bound(max(price, 0.0) * float(error.sum()) / budget)

        return Model(cvxpy.Problem(objective, limits), decision, bound)
