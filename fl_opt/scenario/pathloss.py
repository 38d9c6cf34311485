r"""Path loss, line of sight and shadowing by the tables of the standards.

The tables are in dB; this module is their reader, ``fl_opt.units`` turns the result into a gain.

Sources: 3GPP TR 38.901 (v16.1.0 and later, unchanged in the entries used here), Table 7.4.1-1
(path loss, standard deviation of shadowing), Table 7.4.2-1 (probability of line of sight),
Table 7.5-6 (correlation distance of shadowing), Table 7.6.3.1-2 (correlation distance of the
state). The classical macro model is 3GPP TR 36.942 / TR 25.942: 128.1 + 37.6 log10 d[km] at 2 GHz.

    d2  horizontal distance, d3 = sqrt(d2^2 + (h_b - h_d)^2)  [m]     f  carrier  [GHz]
    h_b, h_d  heights of base station and device              [m]
    d_bp = 4 (h_b - 1)(h_d - 1) f_c / c  breakpoint distance  [m], f_c in Hz, c = 3e8 m/s

Line of sight, UMa   28.0 + 22 log10 d3 + 20 log10 f                                    d2 <= d_bp
                     28.0 + 40 log10 d3 + 20 log10 f - 9 log10(d_bp^2 + (h_b - h_d)^2)  beyond
               UMi   32.4 + 21 log10 d3 + 20 log10 f                                    d2 <= d_bp
                     32.4 + 40 log10 d3 + 20 log10 f - 9.5 log10(d_bp^2 + (h_b - h_d)^2)
               InH   32.4 + 17.3 log10 d3 + 20 log10 f
Without, the larger of the above and
               UMa   13.54 + 39.08 log10 d3 + 20 log10 f - 0.6 (h_d - 1.5)
               UMi   22.4 + 35.3 log10 d3 + 21.3 log10 f - 0.3 (h_d - 1.5)
               InH   17.3 + 38.3 log10 d3 + 24.9 log10 f

The effective height of the environment, 1 m in d_bp, holds for devices below 13 m (note 1 of
the table); higher ones are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.units import Floats

LIGHT_M_S = 3.0e8
"""Speed of light as the tables round it."""
ENVIRONMENT_HEIGHT_M = 1.0


@dataclass(frozen=True)
class Link:
    """What a path loss depends on besides distance: carrier [Hz], heights [m]."""

    carrier_hz: float
    base_height_m: float
    device_height_m: float

    @property
    def breakpoint_m(self) -> float:
        """Breakpoint distance, where the ground reflection steepens the loss [m]."""
        base = self.base_height_m - ENVIRONMENT_HEIGHT_M
        device = self.device_height_m - ENVIRONMENT_HEIGHT_M
        return 4.0 * base * device * self.carrier_hz / LIGHT_M_S

    def slant_m(self, distance_m: Floats) -> Floats:
        """Distance from antenna to antenna of a horizontal distance [m]."""
        return np.hypot(distance_m, self.base_height_m - self.device_height_m)


Loss = Callable[[Floats, Link], Floats]


@dataclass(frozen=True)
class Environment:
    """A row of the tables.

    Attributes
    ----------
    los_loss_db, nlos_loss_db
        Path loss with and without line of sight, of horizontal distance [m] and ``Link``.
    los_probability
        Probability of line of sight, of horizontal distance [m]; None where states are not known.
    shadowing_db, shadowing_distance_m
        Standard deviation and correlation distance of shadowing: (with, without line of sight).
    los_distance_m
        Correlation distance of the state of line of sight [m].
    near_m, far_m
        Horizontal distances within which the table holds [m].
    """

    title: str
    los_loss_db: Loss
    nlos_loss_db: Loss
    los_probability: Callable[[Floats], Floats] | None
    shadowing_db: tuple[float, float]
    shadowing_distance_m: tuple[float, float]
    los_distance_m: float
    near_m: float
    far_m: float

    def loss_db(self, distance_m: ArrayLike, los: ArrayLike, link: Link) -> Floats:
        """Path loss [dB] at horizontal distances [m], by the state of line of sight [bool]."""
        d = np.asarray(distance_m, dtype=np.float64)
        return np.where(los, self.los_loss_db(d, link), self.nlos_loss_db(d, link))


def by_state(los: NDArray[np.bool_], pair: tuple[float, float]) -> Floats:
    """The first of a pair where there is line of sight, the second where there is none."""
    return np.where(los, pair[0], pair[1])


def _two_slopes(
    distance_m: Floats, link: Link, constant: float, near_slope: float, far_factor: float
) -> Floats:
    d3 = link.slant_m(distance_m)
    rise = link.base_height_m - link.device_height_m
    carrier = 20.0 * np.log10(link.carrier_hz / 1e9)
    near = np.asarray(constant + near_slope * np.log10(d3) + carrier)
    corner = far_factor * np.log10(link.breakpoint_m**2 + rise**2)
    far = constant + 40.0 * np.log10(d3) + carrier - corner
    return np.where(distance_m <= link.breakpoint_m, near, far)


def _uma_los(distance_m: Floats, link: Link) -> Floats:
    return _two_slopes(distance_m, link, 28.0, 22.0, 9.0)


def _umi_los(distance_m: Floats, link: Link) -> Floats:
    return _two_slopes(distance_m, link, 32.4, 21.0, 9.5)


def _inh_los(distance_m: Floats, link: Link) -> Floats:
    d3 = link.slant_m(distance_m)
    return np.asarray(32.4 + 17.3 * np.log10(d3) + 20.0 * np.log10(link.carrier_hz / 1e9))


def _uma_nlos(distance_m: Floats, link: Link) -> Floats:
    blocked = 13.54 + 39.08 * np.log10(link.slant_m(distance_m))
    blocked += 20.0 * np.log10(link.carrier_hz / 1e9) - 0.6 * (link.device_height_m - 1.5)
    return np.maximum(_uma_los(distance_m, link), blocked)


def _umi_nlos(distance_m: Floats, link: Link) -> Floats:
    blocked = 22.4 + 35.3 * np.log10(link.slant_m(distance_m))
    blocked += 21.3 * np.log10(link.carrier_hz / 1e9) - 0.3 * (link.device_height_m - 1.5)
    return np.maximum(_umi_los(distance_m, link), blocked)


def _inh_nlos(distance_m: Floats, link: Link) -> Floats:
    blocked = 17.3 + 38.3 * np.log10(link.slant_m(distance_m))
    blocked += 24.9 * np.log10(link.carrier_hz / 1e9)
    return np.maximum(_inh_los(distance_m, link), blocked)


def _classical(distance_m: Floats, link: Link) -> Floats:
    return np.asarray(128.1 + 37.6 * np.log10(distance_m / 1000.0))


def _street_probability(distance_m: Floats, decay_m: float) -> Floats:
    d = np.maximum(distance_m, 18.0)
    return np.asarray(18.0 / d + np.exp(-d / decay_m) * (1.0 - 18.0 / d))


def _uma_probability(distance_m: Floats) -> Floats:
    return _street_probability(distance_m, 63.0)


def _umi_probability(distance_m: Floats) -> Floats:
    return _street_probability(distance_m, 36.0)


def _mixed_office_probability(distance_m: Floats) -> Floats:
    near = np.exp(-np.maximum(distance_m - 1.2, 0.0) / 4.7)
    return np.where(distance_m < 6.5, near, 0.32 * np.exp(-(distance_m - 6.5) / 32.6))


def _open_office_probability(distance_m: Floats) -> Floats:
    near = np.exp(-np.maximum(distance_m - 5.0, 0.0) / 70.8)
    return np.where(distance_m <= 49.0, near, 0.54 * np.exp(-(distance_m - 49.0) / 211.7))


def _office(title: str, probability: Callable[[Floats], Floats]) -> Environment:
    return Environment(
        title, _inh_los, _inh_nlos, probability, (3.0, 8.03), (10.0, 6.0), 10.0, 1.0, 150.0
    )


ENVIRONMENTS: Mapping[str, Environment] = {
    "uma": Environment(
        title="urban macro cell (TR 38.901 UMa)",
        los_loss_db=_uma_los,
        nlos_loss_db=_uma_nlos,
        los_probability=_uma_probability,
        shadowing_db=(4.0, 6.0),
        shadowing_distance_m=(37.0, 50.0),
        los_distance_m=50.0,
        near_m=10.0,
        far_m=5000.0,
    ),
    "umi": Environment(
        title="street canyon (TR 38.901 UMi)",
        los_loss_db=_umi_los,
        nlos_loss_db=_umi_nlos,
        los_probability=_umi_probability,
        shadowing_db=(4.0, 7.82),
        shadowing_distance_m=(10.0, 13.0),
        los_distance_m=50.0,
        near_m=10.0,
        far_m=5000.0,
    ),
    "inh_mixed": _office(
        "office with rooms and corridors (TR 38.901 InH)", _mixed_office_probability
    ),
    "inh_open": _office("open-plan office (TR 38.901 InH)", _open_office_probability),
    "classical": Environment(
        title="macro cell at 2 GHz (TR 36.942, 128.1 + 37.6 log10 d[km])",
        los_loss_db=_classical,
        nlos_loss_db=_classical,
        los_probability=None,
        shadowing_db=(8.0, 8.0),
        shadowing_distance_m=(50.0, 50.0),
        los_distance_m=50.0,
        near_m=10.0,
        far_m=20000.0,
    ),
}
"""The path loss models by the names that scenario files use."""
