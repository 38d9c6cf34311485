r"""The most devices whose sum over the air one receive beam can hear precisely enough.

    maximise    |S|
    subject to  sigma^2 |m|^2/eta <= D                        "error"
                p_k |m' h_k|^2 >= eta            k in S       "alignment"
                p_k <= P_k                       k in S       "power_max"
    over        S, the beam m in C^M, p, eta

    h_k  channel to the M antennas [-]        sigma^2  noise power of an antenna [W]
    P_k  largest power [W]                    D        largest error of the sum [-]
    p_k  transmit power [W]                   eta      power that all are received with [W]

All devices of S align fully (uniform forcing), so only noise is left, and k can be in S exactly if
|m' g_k| >= |m| with g_k = h_k sqrt(P_k D)/sigma. For a given S that asks for a beam in an
intersection of nonconvex sets: with M > 1 hard by itself. With the matrix m m' in place of the
beam it is convex but for the rank: tr M - ||M||_2 = 0, a difference of convex functions, as is
the number of devices left out, |x|_1 minus the sum of the k largest shortages.

branch      Leaves out devices and takes them in, one by one, where the convex program without the
            rank misses most of them. A set whose matrix hears all is tried: concave parts are
            replaced by tangents, the program is solved, and that is repeated from the top
            eigenvector of the matrix and from a beam drawn with it as covariance.
enumerate   Up to 10 devices: sets by falling size. A set is out only if multipliers l >= 0 on it
            prove its relaxation infeasible, sum l > lambda_max(sum l g g'), and then so is every
            set that holds their support. It is in only if a beam is exhibited. A set that is
            neither leaves the bound where it is.

Proof: where the devices of I must be in and those of F may be, for any multipliers 0 <= l <= w with
w_k = 1 on F, any on I, and 0 else, |S| <= |I| + |F| - sum_k l_k + lambda_max(sum_k l_k g_k g_k'),
rounded down. It trusts no solver. A set that is decided and for which no beam is found leaves its
bound open: matrices are not beams.

Source: Yang, Jiang, Shi, Ding, IEEE TWC 2020, arXiv 1812.11750. The bounds are derived here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.allocation import Allocation
from fl_opt.certificate import Excess
from fl_opt.checks import number, vector
from fl_opt.errors import Infeasible, InvalidInput
from fl_opt.network import Network
from fl_opt.problems._beams import MatrixProgram, drawn, heard, top
from fl_opt.problems.antennas import Antennas, Complex
from fl_opt.problems.superposition import Superposition
from fl_opt.structure import Relaxed
from fl_opt.units import Floats

if TYPE_CHECKING:
    import pandas

Mask = NDArray[np.bool_]

_ENUMERABLE = 10
_STARTS = 4
_CLEAR = 1e-9
"""Shortage that counts as proof: far above rounding, far below what matters."""


@dataclass(frozen=True, eq=False)
class Beamforming:
    """Who is summed up, through which beam, how loud.

    Parameters
    ----------
    selected
        (K,) who takes part [bool].
    beam
        (M,) weights of the antennas, of unit norm [-].
    power_w
        (K,) transmit power [W]; 0 where not selected.
    eta_w
        Power that all are received with [W]; infinite where nobody is selected.
    """

    selected: NDArray[np.bool_]
    beam: Complex
    power_w: Floats
    eta_w: float

    def to_round(self, network: Network) -> Allocation:
        """One superposed upload over the whole band, after training at the fastest clocks."""
        return Superposition(self.power_w, self.eta_w, 0.0).to_round(network)

    def to_frame(self) -> pandas.DataFrame:
        """A row per device."""
        import pandas

        index = pandas.RangeIndex(self.selected.size, name="device")
        return pandas.DataFrame({"selected": self.selected, "power_w": self.power_w}, index=index)


@dataclass(frozen=True, eq=False)
class OverTheAirSelection:
    """Add up as many updates as one beam can hear with an error within a limit.

    Parameters
    ----------
    antennas
        Channels of the devices to the antennas.
    power_max_w
        Largest transmit power, (K,) or a scalar [W].
    noise_w
        Noise power of each antenna over the band used, > 0 [W].
    error_max
        Largest mean squared error of the sum, in variances of a symbol, > 0 [-].

    The cost is minus the number of devices. Nothing is infeasible: nobody may take part.
    """

    antennas: Antennas
    power_max_w: ArrayLike
    noise_w: float
    error_max: float

    def __post_init__(self) -> None:
        if not isinstance(self.antennas, Antennas):
            raise InvalidInput("antennas", type(self.antennas).__name__, "Antennas")
        number("noise_w", self.noise_w, open_low=True)
        number("error_max", self.error_max, open_low=True)
        _ = self._power

    @property
    def size(self) -> int:
        """Number of devices K."""
        return self.antennas.size

    @cached_property
    def _power(self) -> Floats:
        return vector("power_max_w", self.power_max_w, self.size)

    @cached_property
    def channel(self) -> Complex:
        """(K, M) normalised channels g: a unit beam hears k well enough if ``|m' g_k| >= 1``."""
        scale = np.sqrt(self._power) * math.sqrt(self.error_max / self.noise_w)
        return np.asarray(self.antennas.channel * scale[:, None])

    @cached_property
    def _able(self) -> NDArray[np.int_]:
        """Devices that some beam hears."""
        return np.flatnonzero(np.sum(np.abs(self.channel) ** 2, axis=1) >= 1.0)

    @cached_property
    def _relaxed(self) -> MatrixProgram:
        return MatrixProgram(self.channel[self._able])

    def cost(self, decision: Beamforming) -> float:
        """Minus the number of devices that take part."""
        return 0.0 - _count(decision)

    def excess(self, decision: Beamforming) -> dict[str, Excess]:
        """The constraints by name; lower limits enter with both sides negated."""
        on, power = decision.selected, decision.power_w
        received = power * heard(self.antennas.channel, decision.beam)
        least = np.where(on, decision.eta_w, 0.0)
        return {
            "error": Excess(self.noise_w / decision.eta_w, self.error_max, ""),
            "alignment": Excess(np.where(on, -received, 0.0), -least, "W"),
            "power_max": Excess(np.where(on, power, 0.0), self._power, "W"),
        }

    def through(self, beam: Complex) -> Beamforming:
        """The decision with everybody whom a beam hears well enough, all received alike."""
        unit = beam / np.linalg.norm(beam)
        on = heard(self.channel, unit) >= 1.0
        gain = heard(self.antennas.channel, unit)
        if not on.any():
            return Beamforming(on, unit, np.zeros(self.size), math.inf)
        eta = float((self._power * gain)[on].min())
        power = np.where(on, np.minimum(eta / np.where(on, gain, 1.0), self._power), 0.0)
        return Beamforming(on, unit, power, eta)

    # structure: Branched

    def options(self) -> Mask:
        """(K, 2) left out, and in where some beam hears the device."""
        inside = np.zeros(self.size, dtype=bool)
        inside[self._able] = True
        return np.vstack([np.ones(self.size, dtype=bool), inside]).T

    def relax(self, allowed: Mask, enough: float, start: Relaxed | None = None) -> Relaxed:
        """The bound of the convex program, whole; the choice is who its matrix hears."""
        may, must = allowed[:, 1], ~allowed[:, 0]
        able = self._able
        choice = must.astype(int)
        if not may.any():
            return Relaxed(0.0, choice, -1, np.zeros(0))
        open_ = may & ~must
        # more than all others together
        weight = np.where(must, np.count_nonzero(open_) + 1.0, 1.0) * may
        short, matrix, multiplier = self._relaxed.solve(weight[able])
        least = max(self._relaxed.shortage(multiplier, weight[able]), 0.0)
        out = math.ceil(least - _CLEAR)
        if out > np.count_nonzero(open_):
            return Relaxed(math.inf, choice, -1, np.zeros(0))
        bound = float(out - np.count_nonzero(may))
        missing = np.zeros(self.size)
        missing[able] = np.where(short > 1e-6, short, 0.0)
        level = heard(self.channel, top(matrix))
        choice = np.where(may & (must | (missing == 0.0)), 1, 0)
        if not open_.any():
            return Relaxed(bound, choice, -1, np.zeros(0))
        doubtful = missing if (missing[open_] > 0.0).any() else -level
        doubt = int(np.flatnonzero(open_)[np.argmax(doubtful[open_])])
        return Relaxed(bound, choice, doubt, np.zeros(0))

    def fixed(self, choice: NDArray[np.int_], near: Relaxed) -> Iterator[Beamforming]:
        """Beams that hear ever more of a set, until all of it are heard."""
        yield from self._beams(choice.astype(float)[self._able], 1)

    def refusal(self) -> Infeasible:
        """Never asked for: nobody need take part."""
        return Infeasible("no set is possible", constraint="error")

    # structure: Enumerable

    def candidates(self) -> Iterator[tuple[Beamforming, float]]:
        """The largest set with a beam; each that is not refuted keeps the bound at its size.

        Raises ``InvalidInput`` for more than 10 devices that some beam hears.
        """
        size = self._able.size
        if size > _ENUMERABLE:
            raise InvalidInput(
                "devices that could take part",
                size,
                f"at most {_ENUMERABLE} to try all their sets",
                'solve with solver="branch"',
            )
        refuted: list[frozenset[int]] = []
        for count in range(size, 0, -1):
            for members in itertools.combinations(range(size), count):
                if any(core <= set(members) for core in refuted):
                    continue
                weight = np.zeros(size)
                weight[list(members)] = 1.0
                multiplier = self._relaxed.solve(weight)[2]
                core = self._refutation(multiplier, weight)
                if core:
                    refuted.append(core)
                    continue
                for decision in self._beams(weight, _STARTS):
                    yield decision, -float(count)
                    if _count(decision) >= count:
                        return
        yield self.through(np.ones(self.antennas.antennas, dtype=complex)), 0.0

    def _refutation(self, multiplier: Floats, weight: Floats) -> frozenset[int]:
        """A set that no matrix serves, as small as the multipliers show; empty if unproven."""
        if self._relaxed.shortage(multiplier, weight) <= _CLEAR:
            return frozenset()
        kept = np.clip(multiplier, 0.0, weight)
        for k in np.argsort(kept, kind="stable"):
            fewer = kept.copy()
            fewer[k] = 0.0
            if self._relaxed.shortage(fewer, weight) <= _CLEAR:
                break
            kept = fewer
        return frozenset(np.flatnonzero(kept).tolist())

    def _beams(self, weight: Floats, starts: int) -> Iterator[Beamforming]:
        """Decisions by climbs for the devices of weight 1, until one is as large as their set.

        From the best matrix, and from as many beams drawn by it as there are `starts`.
        """
        if not weight.any():
            yield self.through(np.ones(self.antennas.antennas, dtype=complex))
            return
        rng = np.random.default_rng(0)
        matrix = self._relaxed.solve(weight)[1]
        for start in (top(matrix), *(drawn(matrix, rng) for _ in range(starts))):
            climbed = (beam for _, beam in self._relaxed.climb(weight, start))
            for beam in itertools.chain([start], climbed):
                decision = self.through(beam)
                yield decision
                if _count(decision) >= weight.sum():
                    return


def _count(decision: Beamforming) -> int:
    return int(np.count_nonzero(decision.selected))
