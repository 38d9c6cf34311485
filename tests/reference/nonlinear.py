"""Optima of FDMA rounds by sequential quadratic programming (SLSQP) in logarithms.

The variables are ln t, ln u and ln b of every device and the logarithm of the end of the round,
started at random points. It knows nothing of convexity; where it ends feasible, it has found a
round that can be had, and no certificate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import Bounds, NonlinearConstraint, minimize

from fl_opt import Network

Array = NDArray[np.float64]
Vector = np.ndarray[tuple[int], np.dtype[np.float64]]
FEASIBLE = 1e-9
"""Largest violation of an answer, relative to the limit."""


@dataclass(frozen=True)
class Round:
    """An FDMA round in which all devices train and upload, as a nonlinear program.

    `deadline_s` (K,) is its end, None where it is a variable; `joule_per_s` is the worth of a
    second then, None where only time counts.
    """

    network: Network
    deadline_s: Array | None = None
    joule_per_s: float | None = None

    def best(self, starts: int, rng: np.random.Generator) -> float:
        """Least cost found from random starts, in SI units; inf where none ended feasible."""
        with np.errstate(all="ignore"):
            return min((self._run(rng) for _ in range(starts)), default=math.inf)

    def _run(self, rng: np.random.Generator) -> float:
        size = self.network.size
        network = self.network
        fastest = network.cycles / network.cpu_max_hz
        slowest = network.cycles / network.cpu_min_hz
        if self.deadline_s is None:
            alone = fastest + self._airtime(np.full(size, network.band_hz / size))
            end = float(alone.max()) * rng.uniform(1.0, 3.0)
            ends = np.full(size, end)
        else:
            ends, end = self.deadline_s, 1.0
        u = fastest + (np.minimum(slowest, ends) - fastest) * rng.uniform(0.02, 0.95, size)
        t = np.maximum(ends - u, 1e-3 * ends)
        b = network.band_hz * rng.dirichlet(np.full(size, 5.0))
        x0 = np.log(np.concatenate([t, u, b, [end]]))
        scale = abs(self._cost(x0)[0])
        free, top = np.full(size, np.inf), [np.inf if self.deadline_s is None else 0.0]
        bounds = Bounds(
            np.concatenate([-free, np.log(fastest), -free, [-top[0]]]),
            np.concatenate([free, np.log(slowest), np.full(size, math.log(network.band_hz)), top]),
        )

        def cost(x: Vector) -> float:
            return self._cost(x)[0] / scale

        def slope(x: Vector) -> Array:
            return self._cost(x)[1] / scale

        found = minimize(
            cost,
            x0,
            jac=slope,
            bounds=bounds,
            constraints=NonlinearConstraint(
                lambda x: self._room(x)[0], 0.0, np.inf, jac=lambda x: self._room(x)[1]
            ),
            method="SLSQP",
            options={"maxiter": 800, "ftol": 1e-15},
        )
        worst = float(self._room(found.x)[0].min())
        ok = bool(np.all(np.isfinite(found.x))) and worst >= -FEASIBLE
        return self._cost(found.x)[0] if ok else math.inf

    def _airtime(self, b: Array) -> Array:
        """At full power, or at a watt where that is unlimited: for a start."""
        network = self.network
        power = np.where(np.isinf(network.power_max_w), 1.0, network.power_max_w)
        snr = network.gain * power / (network.noise_w_hz * b)
        return network.upload_bit / (b * np.log2(1.0 + snr))

    def _energies(self, x: Array) -> tuple[Array, Array, Array]:
        """Upload and training energies (K,) and -d ln upload/d ln(t b)."""
        network = self.network
        t, u, b = np.exp(x[:-1]).reshape(3, -1)
        q = network.upload_bit * math.log(2.0) / (t * b)
        grown = np.expm1(q)
        upload = t * b * network.noise_w_hz / network.gain * grown
        heat = network.capacitance * network.cycles**3 / u**2
        return upload, heat, q * (1.0 + grown) / grown - 1.0

    def _cost(self, x: Array) -> tuple[float, Array]:
        slope = np.zeros_like(x)
        if self.deadline_s is None and self.joule_per_s is None:
            slope[-1] = math.exp(x[-1])
            return slope[-1], slope
        upload, heat, fall = self._energies(x)
        slope[:-1] = np.concatenate([-upload * fall, -2.0 * heat, -upload * fall])
        cost = float(upload.sum() + heat.sum())
        if self.joule_per_s is not None:
            slope[-1] = self.joule_per_s * math.exp(x[-1])
            cost += slope[-1]
        return cost, slope

    def _room(self, x: Array) -> tuple[Array, Array]:
        """What is left of every limit, relative to it, and its derivatives."""
        network, size = self.network, self.network.size
        t, u, b = np.exp(x[:-1]).reshape(3, -1)
        ends = math.exp(x[-1]) * np.ones(size) if self.deadline_s is None else self.deadline_s
        upload, heat, fall = self._energies(x)
        one, none = np.eye(size), np.zeros((size, size))
        zero = np.zeros((size, 1))
        share = b / network.band_hz
        late = (t + u) / ends
        loud = np.log(upload / t / network.power_max_w)
        spent = (upload + heat) / network.energy_j
        strong, poor = np.isfinite(network.power_max_w), np.isfinite(network.energy_j)
        by_end = late[:, None] if self.deadline_s is None else zero
        energy = network.energy_j[:, None]
        rows = [
            -np.concatenate([np.zeros(2 * size), share, [0.0]])[None, :],
            -np.hstack([one * (t / ends), one * (u / ends), none, -by_end]),
            np.hstack([one * (1.0 + fall), none, one * fall, zero])[strong],
            (
                np.hstack([one * (upload * fall), one * 2.0 * heat, one * (upload * fall), zero])
                / energy
            )[poor],
        ]
        values = [np.array([1.0 - share.sum()]), 1.0 - late, -loud[strong], 1.0 - spent[poor]]
        return np.concatenate(values), np.vstack(rows)


def least_energy_j(
    network: Network, deadline_s: ArrayLike, starts: int, rng: np.random.Generator
) -> float:
    """Least energy by a deadline [J]; inf where no start ended feasible."""
    ends = np.broadcast_to(np.asarray(deadline_s, dtype=float), (network.size,))
    return Round(network, ends).best(starts, rng)


def shortest_round_s(network: Network, starts: int, rng: np.random.Generator) -> float:
    """Shortest synchronous round [s]; inf where no start ended feasible."""
    return Round(network).best(starts, rng)


def least_tradeoff_j(
    network: Network, joule_per_s: float, starts: int, rng: np.random.Generator
) -> float:
    """Least energy plus `joule_per_s` times duration [J]; inf where no start ended feasible."""
    return Round(network, None, joule_per_s).best(starts, rng)
