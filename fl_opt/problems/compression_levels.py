r"""How hard each device compresses its update, when the band is short.

    minimise    sum_k c_kl(k)                                over levels l(k), or silence, and
    subject to  C_k/f_k + t_k <= T_k                         "deadline"
                t_k b_k log2(1 + h_k p_k/(N0 b_k)) >= s_kl   "payload"
                kappa_k C_k f_k^2 + p_k t_k <= E_k           "energy"
                p_k <= P_k                                   "power_max"
                f_min_k <= f_k <= f_max_k                    "cpu_min", "cpu_max"
                sum_k b_k <= B                               "band"
                each device has a level                      "level"

    with        c_kl = w_k^2 v_kl ||g_k||^2   for an unbiased level, its randomness its own
                c_kl = w_k   v_kl ||g_k||^2   for any other, and v = 1 for silence

    s_kl  payload of device k at level l [bit]    v_kl  squared error relative to ||g_k||^2 [-]
    w_k   weight of the update, sum w = 1 [-]     g_k   the update            the rest as in
    b_k   bandwidth [Hz]                          B     band [Hz]             `MaxParticipation`

The cost bounds the squared error of the weighted mean of the updates. The errors of unbiased
levels have mean zero and are independent, so their squares add up; those of the others may point
the same way, and Jensen's inequality is all that is known of them: ||sum w_k e_k||^2 <= sum w_k
||e_k||^2. Squaring their weights would claim up to K times too little.

Silence is a level, if it is offered: the device does not take part, and its update counts as zero.
It is biased. Where it is not offered, everybody must send something.

Only the band couples the devices, and at level l device k needs b_k(T, E; s_kl), the least
bandwidth of `least`. What is left is a multiple-choice knapsack: one level of each device, least
error in all, bandwidths within the band. The reduction is derived. That devices on one band should
compress unequally is an open problem in Chen, Gunduz, Huang, Saad, Bennis, Feljan, Poor,
"Distributed learning in wireless networks", IEEE JSAC 2021, arXiv 2104.02151.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.allocation import Allocation
from fl_opt.certificate import Excess
from fl_opt.checks import vector
from fl_opt.compression_laws import Level
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems._feasibility import require_feasible
from fl_opt.problems._limits import device_excess, require_limited
from fl_opt.problems.uplink import Uplink, total
from fl_opt.structure import Items, Program
from fl_opt.units import Floats

_ENUMERABLE = 100_000


@dataclass(frozen=True, eq=False, init=False)
class CompressionLevels:
    """Choose every device's compression level, to the least error of the mean update.

    Parameters
    ----------
    network
        The round; its `upload_bit` does not count.
    deadline_s
        End of the round, training and upload together, a scalar or (K,) [s].
    level_bit
        Payload of each level, (L,), or (K, L) where devices differ [bit].
    level_error
        Squared error of each level relative to the squared norm of the update, likewise [-].
    unbiased
        Whether a level has the update as its mean, one truth for all, (L,) or (K, L).
    update_norm
        Norm ||g_k|| of the updates, a scalar or (K,) [-].
    weight
        Weights of the updates, a scalar or (K,) >= 0, scaled to sum one; `network.samples` if None.
    silence
        Whether a device may send nothing and not take part.

    The cost is the bound on the squared error [-]; the decision's `level` counts from 0 in the
    order of `level_bit`, -1 is silence. See ``from_levels`` for the laws of usual compressors.
    Raises ``InvalidInput`` for values out of range; ``solve`` raises ``Infeasible`` where silence
    is not offered and the smallest payloads do not all fit.
    """

    network: Network
    deadline_s: ArrayLike
    level_bit: Floats
    level_error: Floats
    unbiased: NDArray[np.bool_]
    update_norm: Floats
    weight: Floats
    silence: bool

    def __init__(
        self,
        network: Network,
        deadline_s: ArrayLike,
        level_bit: ArrayLike,
        level_error: ArrayLike,
        unbiased: ArrayLike = False,
        update_norm: ArrayLike = 1.0,
        weight: ArrayLike | None = None,
        silence: bool = True,
    ) -> None:
        put = object.__setattr__
        put(self, "network", Uplink(network, deadline_s).network)
        put(self, "deadline_s", deadline_s)
        require_limited(network)
        size = network.size
        bit = _table("level_bit", level_bit, (size, max(np.shape(level_bit)[-1:], default=1)))
        put(self, "level_bit", bit)
        put(self, "level_error", _table("level_error", level_error, bit.shape))
        fair = np.asarray(unbiased)
        if fair.dtype != bool or fair.shape not in ((), bit.shape[1:], bit.shape):
            raise InvalidInput("unbiased", f"{fair.dtype} {fair.shape}", "truths (L,) or (K, L)")
        put(self, "unbiased", np.broadcast_to(fair, bit.shape))
        put(self, "update_norm", vector("update_norm", update_norm, size))
        shares = vector("weight", network.samples if weight is None else weight, size)
        put(self, "weight", shares / (total(shares) or 1.0))
        put(self, "silence", bool(silence))

    @classmethod
    def from_levels(
        cls,
        network: Network,
        deadline_s: ArrayLike,
        levels: Sequence[Level],
        update_norm: ArrayLike = 1.0,
        weight: ArrayLike | None = None,
        silence: bool = True,
    ) -> CompressionLevels:
        """The same levels for all, from the laws of ``fl_opt.compression_laws``."""
        return cls(
            network,
            deadline_s,
            [level.upload_bit for level in levels],
            [level.error for level in levels],
            [level.unbiased for level in levels],
            update_norm,
            weight,
            silence,
        )

    @cached_property
    def silent_error(self) -> Floats:
        """(K,) cost of each device's silence."""
        return self.weight * self.update_norm**2

    @cached_property
    def error(self) -> Floats:
        """(K, L) cost c of each device at each level."""
        once = self.silent_error[:, None] * self.level_error
        return np.where(self.unbiased, self.weight[:, None] * once, once)

    def chosen(self, decision: Allocation) -> NDArray[np.int_]:
        """(K,) level of each device, -1 where it sends nothing or names no level."""
        if decision.size != self.network.size:
            raise InvalidInput("allocation.size", decision.size, f"{self.network.size}, as network")
        if decision.level is None:
            return np.full(decision.size, -1)
        known = (decision.level >= 0) & (decision.level < self.level_bit.shape[1])
        return np.where(decision.selected & known, decision.level, -1)

    def cost(self, decision: Allocation) -> float:
        """Bound on the squared error of the mean update."""
        return total(_at(self.error, self.chosen(decision), self.silent_error))

    def excess(self, decision: Allocation) -> dict[str, Excess]:
        """The constraints by name, for the payloads of the levels."""
        level = self.chosen(decision)
        missing = (level < 0) & (decision.selected | (not self.silence))
        return {
            **device_excess(self._sized(level), decision, self.deadline_s),
            "level": Excess(missing.astype(float), 0.0, "", scale=1.0),
        }

    def _sized(self, level: NDArray[np.int_]) -> Network:
        """The network with the payloads of levels (K,)."""
        return self.network.replace(upload_bit=_at(self.level_bit, level, np.zeros(level.size)))

    # structure: Knapsack

    @cached_property
    def _needs(self) -> tuple[Floats, Floats]:
        """(K, L) least bandwidth of each device at each level, and a lower bound of it [Hz]."""
        links = [
            Uplink(self.network.replace(upload_bit=bit), self.deadline_s)
            for bit in np.ascontiguousarray(self.level_bit.T)
        ]
        columns = ([link.least_hz for link in links], [link.least_low_hz for link in links])
        return np.stack(columns[0], axis=1), np.stack(columns[1], axis=1)

    @cached_property
    def _start(self) -> NDArray[np.int_]:
        """(K,) levels that need the least band: silence, or the smallest payload.

        Raises ``Infeasible`` where not even they fit.
        """
        if self.silence:
            return np.full(self.network.size, -1)
        smallest = self.level_bit == self.level_bit.min(axis=1, keepdims=True)
        level = np.asarray(np.where(smallest, self.error, np.inf).argmin(axis=1))
        require_feasible(Uplink(self._sized(level), self.deadline_s))
        return level

    def items(self) -> Items:
        """A group per device; items are its levels, seen from the one that needs the least band.

        Values are what a level takes off the error, weights what it needs in addition [Hz].
        """
        start, (hz, low) = self._start, self._needs
        size, count = hz.shape
        nothing = np.zeros(size)
        before = _at(self.error, start, self.silent_error)
        held, least = _at(hz, start, nothing), nothing if self.silence else low.min(axis=1)
        band = self.network.band_hz
        capacity = max(band - total(least), 0.0) + 4.0 * EPS * band
        # weights for sure are scaled to the capacity of the bound, which is a hair larger
        spare = band - total(held)
        scale = capacity / spare if spare > 0.0 else math.inf
        rounding = 4.0 * EPS * np.where(np.isfinite(low), low, 0.0)
        weight_low = np.maximum(low - least[:, None] - rounding, 0.0)
        more = hz - held[:, None]
        with np.errstate(invalid="ignore"):
            weight = np.where(more > 0.0, more * scale, 0.0)
        best = np.minimum(self.error.min(axis=1), before)
        return Items(
            (before[:, None] - self.error).ravel(),
            np.maximum(weight, weight_low).ravel(),
            capacity,
            weight_low.ravel(),
            np.repeat(np.arange(size), count),
            base=total(before),
            floor=total(best) * (1.0 - 8.0 * EPS),
        )

    def pack(self, chosen: NDArray[np.bool_]) -> Allocation:
        """The round of the items of a mask, each device with its least bandwidth."""
        taken = chosen.reshape(self.level_bit.shape)
        return self._round(np.where(taken.any(axis=1), taken.argmax(axis=1), self._start))

    def _round(self, level: NDArray[np.int_]) -> Allocation:
        sized = self._sized(level)
        uplink = Uplink(sized, self.deadline_s)
        round_ = uplink.allocation(uplink.floor, level >= 0)
        return round_.replace(level=level, upload_bit=sized.upload_bit)

    # structure: Mixed

    def program(self) -> Program[Allocation]:
        """A binary for each device and level, bandwidths computed apart from the engine."""
        import pyomo.environ as pyo
        from pyomo.core.expr import LinearExpression

        from fl_opt.problems._reference import least_bandwidth_hz

        size, count = self.level_bit.shape
        needs = [
            least_bandwidth_hz(self.network.replace(upload_bit=bit), self.deadline_s)
            for bit in np.ascontiguousarray(self.level_bit.T)
        ]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.stack([np.zeros(size), *needs], axis=1) / self.network.band_hz
        share = np.where(np.isnan(share), 0.0, share)
        able = share <= 1.0 + 1e-9
        able[:, 0] = self.silence
        error = np.column_stack([self.silent_error, self.error])
        unit = float(error.max()) or 1.0
        model = pyo.ConcreteModel()
        model.uses = pyo.Var(
            range(size),
            range(-1, count),
            domain=pyo.Binary,
            bounds=lambda _, k, at: (0, int(able[k, at + 1])),
        )
        uses = list(model.uses.values())
        model.error = pyo.Objective(
            expr=LinearExpression(linear_coefs=(error / unit).ravel().tolist(), linear_vars=uses)
        )
        needed = np.minimum(share, 2.0).ravel().tolist()
        model.band = pyo.Constraint(
            expr=LinearExpression(linear_coefs=needed, linear_vars=uses) <= 1.0
        )
        model.level = pyo.Constraint(
            range(size), rule=lambda m, k: sum(m.uses[k, at] for at in range(-1, count)) == 1
        )

        def decision() -> Allocation:
            value = np.array([each.value for each in uses]).reshape(size, count + 1)
            return self._round(value.argmax(axis=1) - 1)

        return Program(model, decision, unit)

    # structure: Enumerable

    def candidates(self) -> Iterator[tuple[Allocation, float]]:
        """The best levels that fit; those tried before them are refuted by their bandwidth.

        Raises ``InvalidInput`` for more than 100,000 ways to choose.
        """
        size, count = self.level_bit.shape
        first = -1 if self.silence else 0
        ways = (count - first) ** size
        if ways > _ENUMERABLE:
            raise InvalidInput(
                "ways to choose", ways, f"at most {_ENUMERABLE}", 'solve with solver="core"'
            )
        band, devices = self.network.band_hz, np.arange(size)
        level = np.indices((count - first,) * size).reshape(size, ways).T + first
        silent = self.silent_error[:, None]
        error = np.column_stack([self.error, silent])[devices, level].sum(axis=1)
        hz, low = (
            np.column_stack([np.minimum(need, 2.0 * band), np.zeros(size)])[devices, level]
            for need in self._needs
        )
        unable = np.isinf(np.column_stack([self._needs[0], np.zeros(size)]))[devices, level]
        fits = ~unable.any(axis=1) & (hz.sum(axis=1) <= band)
        possible = ~unable.any(axis=1) & (low.sum(axis=1) <= band * (1.0 + 32.0 * EPS))
        for row in np.argsort(error, kind="stable"):
            if possible[row]:
                yield self._round(level[row]), float(error[row]) * (1.0 - 32.0 * EPS)
            if fits[row]:
                return


def _at(table: Floats, level: NDArray[np.int_], otherwise: Floats) -> Floats:
    """(K,) entries of a table (K, L) at levels (K,); `otherwise` (K,) where a level is -1."""
    return np.where(level >= 0, table[np.arange(level.size), level], otherwise)


def _table(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """`value` as (K, L) finite numbers >= 0, a row (L,) broadcast."""
    array = np.array(value, dtype=float, ndmin=1)
    if array.ndim == 1:
        return np.broadcast_to(vector(name, array, shape[1]), shape)
    if array.shape != shape:
        raise InvalidInput(f"{name}.shape", array.shape, f"{shape[1:]} or {shape}")
    bad = ~(np.isfinite(array) & (array >= 0.0)).all(axis=1)
    if bad.any():
        k = int(np.flatnonzero(bad)[0])
        vector(f"{name}[{k}]", array[k], shape[1])
    array.flags.writeable = False
    return array
