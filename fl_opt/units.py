"""Decibels and printed quantities. The only place where dB and dBm are known; all else is SI."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def ratio_from_db(db: ArrayLike) -> Floats:
    """Power ratio [-] of a level in dB."""
    return np.asarray(10.0 ** (np.asarray(db, dtype=float) / 10.0))


def db_from_ratio(ratio: ArrayLike) -> Floats:
    """Level in dB of a power ratio [-]; -inf for 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(10.0 * np.log10(np.asarray(ratio, dtype=float)))


def watt_from_dbm(dbm: ArrayLike) -> Floats:
    """Power [W], or density [W/Hz], of a level in dBm, or dBm/Hz."""
    return np.asarray(10.0 ** ((np.asarray(dbm, dtype=float) - 30.0) / 10.0))


def dbm_from_watt(watt: ArrayLike) -> Floats:
    """Level in dBm of a power [W]; -inf for 0."""
    return np.asarray(db_from_ratio(watt) + 30.0)


THERMAL_NOISE_W_HZ = float(watt_from_dbm(-174.0))
"""Noise density of a receiver at room temperature, -174 dBm/Hz, in W/Hz."""

_SUFFIXES = {
    "_j_s2_cycle3": "J s^2/cycle^3",
    "_dbm_hz": "dBm/Hz",
    "_dbm": "dBm",
    "_db": "dB",
    "_m_s": "m/s",
    "joule_per_s": "J/s",
    "_w_hz": "W/Hz",
    "_bit_s": "bit/s",
    "_bit": "bit",
    "_nat": "nat",
    "_hz": "Hz",
    "_j": "J",
    "_s": "s",
    "_w": "W",
    "_m": "m",
}
_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}


def unit_of(name: str) -> str:
    """Unit that a field name carries in its suffix: ``unit_of("band_hz") == "Hz"``; else ""."""
    return next((unit for suffix, unit in _SUFFIXES.items() if name.endswith(suffix)), "")


def bare_name(name: str) -> str:
    """A field name without the unit in its suffix: ``bare_name("noise_w_hz") == "noise"``."""
    return name.removesuffix(next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), ""))


def quantity(value: float, unit: str = "", digits: int = 4) -> str:
    """A number with its unit for people: ``quantity(2.5e6, "Hz") == "2.5 MHz"``.

    Only plain units take a prefix; compound ones (with a blank, a stroke or a power) keep their
    exponent.
    """
    value = float(value)
    if not unit or not unit.isalpha() or value == 0 or not math.isfinite(value):
        return f"{value:.{digits}g} {unit}".rstrip()
    power = min(max(3 * math.floor(math.log10(abs(value)) / 3 + 1e-12), -15), 12)
    scaled = f"{value / 10.0**power:.{digits}g}"
    if scaled in ("1000", "-1000", "1e+03", "-1e+03") and power < 12:
        power, scaled = power + 3, scaled[0] * (scaled[0] == "-") + "1"
    elif "e+" in scaled and power < 12:  # 9e+02, where two digits were asked for
        scaled = f"{float(scaled):.0f}"
    return f"{scaled} {_PREFIXES[power]}{unit}"
