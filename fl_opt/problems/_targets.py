"""Which powers give every cell the SINR it asks for: least powers, or a proof that there are none.

In shares q of the power limits, q >= M q + m with M, m >= 0 and q <= 1; see `multi_cell_power`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_opt import physics
from fl_opt.kernels import EPS
from fl_opt.problems.cell_network import CellNetwork
from fl_opt.units import Floats


@dataclass(frozen=True, eq=False)
class Targets:
    """The SINR targets of some cells.

    `matrix` M (n, n) and `noise` m (n,) in shares of the power limits; `time_s` (n,) is left for
    the uploads, `nats` (n,) is what log(1 + SINR) must reach. Rows of infinite targets hold
    infinities.
    """

    matrix: Floats
    noise: Floats
    time_s: Floats
    nats: Floats

    @classmethod
    def of(cls, cells: CellNetwork, members: NDArray[np.int_], end_s: float) -> Targets:
        """The targets by which `members` upload until `end_s`."""
        k = members
        time = end_s - cells.ready_s[k]
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            nats = physics.LN2 * cells.upload_bit[k] / (cells.band_hz * time)
            target = np.expm1(nats) / (np.diag(cells.gain)[k] * cells.power_max_w[k])
            target = np.where(time > 0.0, target, np.inf)
            leak = cells.gain[np.ix_(k, k)] * cells.power_max_w[k]
            np.fill_diagonal(leak, 0.0)
            matrix = np.where(leak > 0.0, target[:, None] * leak, 0.0)
            noise = target * cells.noise_w_hz[k] * cells.band_hz
        return cls(matrix, noise, time, nats)

    @property
    def size(self) -> int:
        """Number of cells n."""
        return int(self.noise.size)

    def _finite(self) -> bool:
        return bool(np.isfinite(self.noise).all() and np.isfinite(self.matrix).all())

    def least(self) -> Floats | None:
        """(n,) the least shares that meet all targets; None where no shares of any size do."""
        if not self.size:
            return np.zeros(0)
        if not self._finite():
            return None
        try:
            share = np.asarray(np.linalg.solve(np.eye(self.size) - self.matrix, self.noise), float)
        except np.linalg.LinAlgError:
            return None
        # (I - M) q = m > 0 with q > 0 says that the spectral radius of M is below 1
        return share if np.isfinite(share).all() and (share > 0.0).all() else None

    def row(self, j: int) -> Floats:
        """(n,) row j of (I - M)^-1: what share j grows by with what each cell asks for."""
        return self._row(self.matrix, j)

    def _row(self, matrix: Floats, j: int) -> Floats:
        unit = np.zeros(self.size)
        unit[j] = 1.0
        return np.asarray(np.linalg.solve(np.eye(self.size) - matrix.T, unit))

    def drift(self, share: Floats) -> Floats:
        """(n,) derivative of M q + m to the end of the round at the least shares [1/s], < 0."""
        with np.errstate(over="ignore"):
            growth = self.nats / -np.expm1(-self.nats)
        return -growth * share / self.time_s

    def refuted(self) -> bool:
        """Whether multipliers prove in floating point that no shares q <= 1 meet the targets."""
        if not self._finite():
            # beyond what doubles hold: more than any device reaches alone, if that can be told
            return bool((self.noise > 1.0).any())
        share = self.least()
        if share is not None:
            # targets a few roundings lower: then y - y M stays below 0 off the row, however rounded
            lower = self._lower[:, None] * self.matrix * (1.0 - 8.0 * (self.size + 8.0) * EPS)
            return self._disproved(self._row(lower, int(np.argmax(share))))
        value, vector = np.linalg.eig(self.matrix.T)
        leading = np.abs(np.real(vector[:, int(np.argmax(np.real(value)))]))
        return self._disproved(leading)

    @property
    def _lower(self) -> Floats:
        """(n,) how much of a computed target is certain: exponentials carry their rounding."""
        return 1.0 - (64.0 + 8.0 * self.nats) * EPS

    def _disproved(self, multiplier: Floats) -> bool:
        y = np.maximum(np.nan_to_num(multiplier), 0.0)
        length = 1.0 - (self.size + 4.0) * EPS
        received = (y * self._lower) @ self.matrix * length
        wanted = float((y * self._lower) @ self.noise) * length
        return float(np.maximum(y - received, 0.0).sum()) < wanted * length
