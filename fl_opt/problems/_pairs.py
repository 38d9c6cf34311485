"""All pairs of a round and a device as one uplink: what they need of bands and batteries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fl_opt import physics
from fl_opt.allocation import Allocation
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems.tangent import tangent
from fl_opt.problems.uplink import Uplink
from fl_opt.structure import CrossedChoice, Cut
from fl_opt.units import Floats

_FIELDS = (
    *("gain", "power_max_w", "cpu_min_hz", "cpu_max_hz", "capacitance"),
    *("cycles", "upload_bit", "energy_j", "samples", "noise_w_hz"),
)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rounds `horizon` of T networks of K devices, deadlines and batteries (K,), worths (T,).

    The candidates (n,) are the pairs whose own participation is possible, unless that is disproved,
    in the order of the rounds.
    """

    horizon: Sequence[Network]
    deadline_s: Floats
    budget_j: Floats
    importance: Floats

    @cached_property
    def _all(self) -> Network:
        """(T K,) the pairs; nobody spends more than his whole battery."""
        columns = {
            name: np.concatenate([getattr(network, name) for network in self.horizon])
            for name in _FIELDS
        }
        battery = np.tile(self.budget_j, len(self.horizon))
        columns["energy_j"] = np.minimum(columns["energy_j"], battery)
        return Network(**columns, band_hz=max(network.band_hz for network in self.horizon))

    @cached_property
    def index(self) -> NDArray[np.int_]:
        """(n,) place of every candidate among the pairs."""
        size = self.budget_j.size
        alone = Uplink(self._all, np.tile(self.deadline_s, len(self.horizon)))
        band = np.repeat([network.band_hz for network in self.horizon], size)
        worth = np.repeat(self.importance, size)
        able = np.isfinite(alone.least_hz) & (alone.least_low_hz <= band)
        return np.flatnonzero(able & (worth > 0.0))

    def _uplink(self, index: NDArray[np.int_]) -> Uplink:
        return Uplink(self._all[index], self.deadline_s[index % self.budget_j.size])

    @cached_property
    def choice(self) -> CrossedChoice:
        """A supply for each round, a budget for each device."""
        round_of, device = np.divmod(self.index, self.budget_j.size)
        empty = np.zeros(0)
        uplink = self._uplink(self.index) if self.index.size else None
        return CrossedChoice(
            value=self.importance[round_of],
            least=empty if uplink is None else uplink.least_hz,
            least_low=empty if uplink is None else uplink.least_low_hz,
            supply=np.array([network.band_hz for network in self.horizon]),
            supply_of=round_of,
            budget=self.budget_j,
            budget_of=device,
        )

    def tangents(self, taken: NDArray[np.bool_], first: Floats) -> Cut:
        """Tangent planes of the energy, its rounding taken off: true at any bandwidth [J, J/Hz]."""
        uplink = self._uplink(self.index[taken])
        sending, network = uplink.sending, uplink.network
        heat = physics.training_energy_j(network.capacitance, network.cycles, uplink.idle_clock_hz)
        point, _, slope = uplink.at(first[sending])
        found, _ = tangent(uplink.part, point, -slope, 1.0)
        level = uplink.spread(found.value, heat * (1.0 - 8.0 * EPS))
        steep = uplink.spread(found.own * (1.0 + 32.0 * EPS), 0.0)
        return Cut(np.flatnonzero(taken), np.zeros(level.size), level, -steep)

    def share(self, taken: NDArray[np.bool_], first: Floats) -> tuple[Allocation, ...]:
        """The rounds in which the candidates taken have bandwidths (m,) [Hz]."""
        size, some = self.budget_j.size, self.index[taken]
        longest = float(self.deadline_s.max())
        if not some.size:
            return tuple(Allocation.none(size, longest) for _ in self.horizon)
        uplink = self._uplink(some)
        point, _, _ = uplink.at(first[uplink.sending])
        joint = uplink.allocation(point)
        rounds = []
        for t in range(len(self.horizon)):
            here = some // size == t
            wide = np.zeros((5, size))
            wide[:, some[here] % size] = [
                np.ones(int(here.sum())),
                *(
                    np.asarray(getattr(joint, name), dtype=float)[here]
                    for name in ("bandwidth_hz", "power_w", "cpu_hz", "upload_s")
                ),
            ]
            rounds.append(
                Allocation(
                    selected=wide[0] > 0.0,
                    bandwidth_hz=wide[1],
                    power_w=wide[2],
                    cpu_hz=wide[3],
                    upload_s=wide[4],
                    deadline_s=longest,
                )
            )
        return tuple(rounds)

    def recall(self, selected: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """The candidates (n,) among those who take part (T, K); None where the shape is another."""
        if selected.shape != (len(self.horizon), self.budget_j.size):
            return None
        mask: NDArray[np.bool_] = selected.ravel()[self.index]
        return mask
