r"""Block fading and shadowing with memory.

Small-scale: a complex gain that stays for a round and follows a Gauss-Markov chain over rounds,

    g(t + 1) = rho g(t) + sqrt(1 - rho^2) w(t),      g(0), w(t) ~ CN(0, 1) independent,

so that g is CN(0, 1) in every round and E[g(t) g(t + n)*] = rho^n. The power gain is |g|^2
(Rayleigh), or |sqrt(k/(k + 1)) + sqrt(1/(k + 1)) g|^2 (Rice, factor k), of mean 1 both. With
several receive antennas it is the mean over their independent chains (maximum-ratio combining,
the gain of the array counted elsewhere), which makes deep fades rare.

Large-scale: a standard normal s with correlation exp(-x/d) after a path of x metres (Gudmundson,
Electronics Letters 27(23), 1991), which is the same chain with rho = exp(-x/d).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.units import Floats

Complexes = NDArray[np.complex128]
Scalar = TypeVar("Scalar", np.float64, np.complex128)


def remember(
    state: NDArray[Scalar], correlation: ArrayLike, fresh: NDArray[Scalar]
) -> NDArray[Scalar]:
    """The next value of a unit-variance Gauss-Markov chain, for real or complex arrays."""
    rho = np.asarray(correlation, dtype=np.float64)
    return np.asarray(rho * state + np.sqrt(1.0 - rho * rho) * fresh, dtype=state.dtype)


def scattered(real: Floats, imaginary: Floats) -> Complexes:
    """Complex normal CN(0, 1) of two standard normal arrays."""
    return np.asarray((real + 1j * imaginary) / np.sqrt(2.0), dtype=np.complex128)


def power_gain(scatter: Complexes, rice: ArrayLike) -> Floats:
    """(K,) fading gain of mean 1 [-] of waves CN(0, 1) (branches, K) and Rice factors [-] (K,)."""
    k = np.asarray(rice, dtype=np.float64)
    amplitude = np.sqrt(k / (k + 1.0)) + scatter / np.sqrt(k + 1.0)
    return np.asarray(np.mean(np.abs(amplitude) ** 2, axis=0), dtype=np.float64)


def path_correlation(travelled_m: Floats, distance_m: ArrayLike) -> Floats:
    """Correlation of a large-scale quantity after a path, exp(-x/d) [-]; 0 m forgets at once."""
    d = np.asarray(distance_m, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = np.where(travelled_m > 0.0, travelled_m / d, 0.0)
    return np.exp(-exponent)
