r"""The three problems that FEDL falls into, each with its optimum and a bound from any multipliers.

The letters are those of ``fl_opt.problems.fedl``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fl_opt.kernels import EPS, chunks, marginal, marginal_inverse
from fl_opt.problems.uplink import total
from fl_opt.units import Floats

ROUNDING = 64.0 * EPS
"""Relative; what the few operations of a term and the sum over all terms may add."""


@dataclass(frozen=True, eq=False)
class Training:
    """SUB1: least E_cmp + kappa T_cmp. `work` is c D (K,) [cycle], not all zero."""

    work: Floats
    alpha: Floats
    cpu_min_hz: Floats
    cpu_max_hz: Floats
    kappa: float

    @property
    def fastest_s(self) -> float:
        """Duration of a pass at the largest clocks [s]."""
        return float((self.work / self.cpu_max_hz).max())

    def optimum(self) -> tuple[Floats, Floats]:
        """Best clocks (K,), and the prices lambda (K,) of "training" [J/s] at them.

        In units of the shortest duration: device n leaves its slowest clock at u_n, and where the
        devices with u_n > u are those that hurry, the best u^3 is the sum of their `heat` over
        kappa. The first interval between sorted u_n whose best u lies before its end is the one;
        where it lies before its begin as well, u is that begin: the jump.
        """
        shortest = self.fastest_s
        with np.errstate(divide="ignore", invalid="ignore"):
            slowest = np.where(self.work > 0.0, self.work / shortest / self.cpu_min_hz, 0.0)
        heat = self.alpha * (self.work / shortest) ** 3 / self.kappa
        order = np.argsort(slowest)
        ends = slowest[order]
        hurried = np.append(np.cumsum(heat[order][::-1])[::-1], 0.0)
        begins = np.maximum(np.append(1.0, ends), 1.0)
        best = np.maximum(begins, np.cbrt(hurried))
        interval = int(np.argmax(best < np.append(ends, math.inf)))
        u = float(best[interval])
        clock = np.clip(self.work / (shortest * u), self.cpu_min_hz, self.cpu_max_hz)
        return clock, self._prices(u, slowest, clock)

    def _prices(self, u: float, slowest: Floats, clock: Floats) -> Floats:
        price = np.where(slowest > u, self.alpha * clock**3, 0.0)
        rest = max(self.kappa - total(price), 0.0)
        if u == 1.0:  # no device can hurry more than the last one
            price[np.argmax(self.work / self.cpu_max_hz)] += rest
            return price
        at_jump = np.where(slowest == u, self.alpha * clock**3, 0.0)
        jump = total(at_jump)
        price += at_jump * (min(rest / jump, 1.0) if jump > 0.0 else 0.0)
        return price * (self.kappa / total(price))

    def bound(self, price: Floats) -> float:
        """Proven lower bound from any prices (K,) >= 0 [J/s]."""
        asked = total(price) * (1.0 + ROUNDING)
        if asked > self.kappa:
            price = price * (self.kappa / asked)
            asked = self.kappa
        with np.errstate(divide="ignore", invalid="ignore"):
            best = np.where(price > 0.0, np.cbrt(price / self.alpha), 0.0)
            clock = np.clip(best, self.cpu_min_hz, self.cpu_max_hz)
            waited = np.where(price * self.work > 0.0, price * self.work / clock, 0.0)
        terms = 0.5 * self.alpha * self.work * clock**2 + waited
        left = max(self.kappa - asked, 0.0)
        return (total(terms) + left * self.fastest_s) * (1.0 - ROUNDING)


@dataclass(frozen=True, eq=False)
class Uploads:
    """SUB2: least E_com + kappa T_com. `seconds` is s/BW (K,): the airtime is seconds/x."""

    noise_over_gain: Floats
    seconds: Floats
    power_min_w: Floats
    power_max_w: Floats
    kappa: float

    def optimum(self) -> Floats:
        """Best nats per symbol x (K,)."""
        x = np.empty(self.seconds.size)
        for k in chunks(x.size):
            noise = self.noise_over_gain[k]
            low, high = np.log1p(self.power_min_w[k] / noise), np.log1p(self.power_max_w[k] / noise)
            x[k] = np.clip(marginal_inverse(self.kappa / noise), low, high)
        return x

    def power_w(self, x: Floats) -> Floats:
        """Powers (K,) that reach x [W]; exactly a limit where x is that of the limit."""
        noise = self.noise_over_gain
        power = np.where(
            x < np.log1p(self.power_max_w / noise), noise * np.expm1(x), self.power_max_w
        )
        return np.where(x > np.log1p(self.power_min_w / noise), power, self.power_min_w)

    def bound(self, x: Floats) -> float:
        """Proven lower bound from any nats per symbol x (K,) > 0 to take tangents at."""
        terms, sizes = np.empty(x.size), np.empty(x.size)
        for k in chunks(x.size):
            noise, seconds = self.noise_over_gain[k], self.seconds[k]
            # a little below the root the slope in tau is surely >= 0, at no loss to first order
            at = x[k] * (1.0 - EPS * (8.0 + 32.0 / (2.0 + x[k])))
            with np.errstate(divide="ignore"):
                least = seconds / np.log1p(self.power_max_w[k] / noise)
                most = seconds / np.log1p(self.power_min_w[k] / noise)
            pull = noise * marginal(at)
            slope = self.kappa - pull - 8.0 * EPS * (self.kappa + pull)
            tau = np.where(slope >= 0.0, least * (1.0 - 8.0 * EPS), most * (1.0 + 8.0 * EPS))
            paid = np.where(slope == 0.0, 0.0, tau * slope)
            floor = noise * seconds * np.exp(at)
            terms[k], sizes[k] = paid + floor, np.abs(paid) + floor
        return total(terms) - ROUNDING * total(sizes)


def best_passes(ratio: float) -> float:
    """SUB3: the y > 0 with e^y - 1 - y = `ratio` > 0.

    Newton on an increasing convex function, from ln(1 + ratio + sqrt(2 ratio)), which is above the
    root since e^y - 1 - y >= y^2/2: so the steps only go down, and end where rounding takes over.
    """
    y = math.log1p(ratio + math.sqrt(2.0 * ratio))
    while True:
        lower = y - (_excess(y) - ratio) / math.expm1(y)
        if not 0.0 < lower < y:
            return y
        y = lower


def learning_bound(training: float, uploads: float) -> float:
    """Proven lower bound of the cost from lower bounds A and B of its two parts."""
    y = best_passes(uploads / training)
    ratio = uploads / training * (1.0 - 4.0 * EPS)
    step = 8.0 * EPS
    while y > 0.0 and _excess(y) + 4.0 * EPS * math.expm1(y) > ratio:
        y *= 1.0 - step
        step *= 2.0
    return training * math.exp(max(y, 0.0)) * (1.0 - 8.0 * EPS)


def _excess(y: float) -> float:
    """e^y - 1 - y."""
    return math.expm1(y) - y
