r"""The one convex program behind `OverTheAirSelection`, with weights and a direction to be set.

    minimise    sum_k w_k x_k - <U, M>
    subject to  g_k' M g_k + x_k >= 1 + margin,   x >= 0,   tr M = 1,   M >= 0 Hermitian

M stands for m m' of a unit beam m; x_k is by how much device k is heard too little. Multipliers
0 <= l <= w of the rows give sum_k l_k - lambda_max(sum_k l_k g_k g_k') <= sum_k w_k x_k for
every M where U = 0.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fl_opt.errors import SolverFailure
from fl_opt.kernels import EPS
from fl_opt.problems.antennas import Complex
from fl_opt.units import Floats

MARGIN = 1e-7
"""By how much a beam aims above what is needed, so that a solver's last digits do not decide."""
_SCALES = (1.0, 0.125)
"""Of the objective: Clarabel stops now and then at the first, and then not at the second."""
_ROUNDS = 5


class MatrixProgram:
    """The program, compiled once for normalised channels g (K, M), |g| of order one."""

    def __init__(self, channel: Complex) -> None:
        import cvxpy

        self.channel = channel
        size, antennas = channel.shape
        self._matrix = cvxpy.Variable((antennas, antennas), hermitian=True)
        self._weight = cvxpy.Parameter(size, nonneg=True)
        self._pull = cvxpy.Parameter((antennas, antennas), hermitian=True)
        self._short = cvxpy.Variable(size, nonneg=True)
        # a device of any strength asks for a row of order one
        strength = np.maximum(np.sum(np.abs(channel) ** 2, axis=1), 1.0)
        heard = [
            cvxpy.real(cvxpy.trace(np.outer(g, g.conj()) @ self._matrix)) / power
            for g, power in zip(channel, strength, strict=True)
        ]
        self._strength = strength
        self._rows = cvxpy.hstack(heard) + self._short / strength >= (1.0 + MARGIN) / strength
        limits = [self._rows, self._matrix >> 0, cvxpy.real(cvxpy.trace(self._matrix)) == 1.0]
        pulled = cvxpy.real(cvxpy.trace(self._pull @ self._matrix))
        goal = cvxpy.Minimize(self._weight @ self._short - pulled)
        self._program = cvxpy.Problem(goal, limits)

    def solve(self, weight: Floats, pull: Complex | None = None) -> tuple[Floats, Complex, Floats]:
        """Shortages x (K,), the matrix M, and multipliers (K,)."""
        import cvxpy

        antennas = self.channel.shape[1]
        pulled = np.zeros((antennas, antennas), dtype=complex) if pull is None else pull
        for scale in _SCALES:
            self._weight.value, self._pull.value = weight * scale, pulled * scale
            with warnings.catch_warnings():
                # judged by what the beam does and by the mended bound
                warnings.simplefilter("ignore", UserWarning)
                try:
                    self._program.solve(solver=cvxpy.CLARABEL)
                except cvxpy.error.SolverError as error:
                    reason = str(error).splitlines()[0]
                    continue
            found = self._short.value, self._matrix.value, self._rows.dual_value
            if any(each is None or not np.isfinite(each).all() for each in found):
                reason = self._program.status
                continue
            short, matrix, dual = (np.asarray(each) for each in found)
            return short, matrix, dual / (self._strength * scale)
        raise SolverFailure("Clarabel", reason, "scale gains")

    def shortage(self, multiplier: Floats, weight: Floats) -> float:
        """A lower bound of sum_k w_k x_k over all M, true in floating point."""
        g, most = self.channel, np.clip(multiplier, 0.0, weight)
        pull = (g.T * most) @ g.conj()
        top = float(np.linalg.eigvalsh(pull)[-1])
        allowance = 8.0 * EPS * (g.size + 16) * (float(np.trace(pull).real) + float(most.sum()))
        return math.fsum(most.tolist()) - top - allowance

    def climb(self, weight: Floats, beam: Complex) -> Iterator[tuple[Floats, Complex]]:
        """Difference of convex functions: tr M - ||M||_2 is replaced by its tangent at a beam."""
        for _ in range(_ROUNDS):
            short, matrix, _ = self.solve(weight, np.outer(beam, beam.conj()))
            following = top(matrix)
            yield short, following
            if abs(np.vdot(beam, following)) >= 1.0 - 1e-9:
                return
            beam = following


def top(matrix: Complex) -> Complex:
    """(M,) unit eigenvector of the largest eigenvalue."""
    return np.asarray(np.linalg.eigh(0.5 * (matrix + matrix.conj().T))[1][:, -1])


def drawn(matrix: Complex, rng: np.random.Generator) -> Complex:
    """(M,) unit beam at random, of covariance M: it sees to all that a matrix serves by turns."""
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.conj().T))
    parts = rng.normal(size=(2, values.size))
    beam = vectors @ (np.sqrt(np.maximum(values, 0.0)) * (parts[0] + 1j * parts[1]))
    return np.asarray(beam / np.linalg.norm(beam))


def heard(channel: Complex, beam: Complex) -> NDArray[np.float64]:
    """(K,) power ``|m' g_k|^2`` with which a unit beam hears each device."""
    unit = beam / np.linalg.norm(beam)
    return np.asarray(np.abs(channel @ unit.conj()) ** 2)
