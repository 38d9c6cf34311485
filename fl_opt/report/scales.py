"""Units and axes of a picture: readable multiples, logarithmic ticks that are plain numbers."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import ArrayLike

from fl_opt.units import Floats, quantity

_MINUTE_S, _HOUR_S = 60.0, 3600.0


def scale_of(values: ArrayLike, unit: str) -> tuple[float, str]:
    """Divisor and unit that bring the largest of `values` to a readable size.

    "%" stands for a share told in per cent; of a compound unit the first part takes the prefix.

    >>> scale_of([1200.0, 3.0], "J")
    (1000.0, 'kJ')
    >>> scale_of([900.0], "s")
    (60.0, 'min')
    """
    if unit == "%":
        return 0.01, "%"
    numbers = np.abs(np.ravel(np.asarray(values, dtype=float)))
    top = float(numbers[np.isfinite(numbers)].max(initial=0.0))
    if unit == "s" and top >= 10.0 * _MINUTE_S:
        return (_MINUTE_S, "min") if top < 10.0 * _HOUR_S else (_HOUR_S, "h")
    if top == 0.0 or (unit == "s" and top >= 1.0):
        return 1.0, unit
    head, stroke, rest = unit.partition("/")
    shown = quantity(top, head).partition(" ")[2]
    if shown == head:
        return 1.0, unit
    power = 3 * math.floor(math.log10(top) / 3 + 1e-12)
    return 10.0 ** min(max(power, -15), 12), f"{shown.replace('u', 'µ', 1)}{stroke}{rest}"


def round_step(length: float) -> float:
    """A round number near `length`: 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(length))
    return min((1.0, 2.0, 2.5, 5.0, 10.0), key=lambda m: abs(m * power - length)) * power


def sci(value: float, digits: int) -> str:
    """A finite number to some digits, with a power of ten where it is very small or large.

    >>> sci(3.1e-7, 2), sci(0.25, 3), sci(-12500.0, 3)
    ('3.1·10⁻⁷', '0.25', '−12 500')
    """
    size = float(f"{abs(value):.{digits}g}")
    sign = "−" if value < 0.0 else ""
    if size == 0.0 or 1e-3 <= size < 1e6:
        return sign + f"{size:,g}".replace(",", " ")
    lead, _, power = f"{size:.{digits - 1}e}".partition("e")
    exponent = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    lead = lead.rstrip("0").rstrip(".") if "." in lead else lead
    return f"{sign}10{exponent}" if lead == "1" else f"{sign}{lead}·10{exponent}"


def _tick(value: float, _: int) -> str:
    return sci(value, 3)


def log_axis(axes: Axes, which: str, values: ArrayLike) -> None:
    """Make axis "x" or "y" logarithmic with few, plainly written ticks; needs positive `values`."""
    numbers = np.ravel(np.asarray(values, dtype=float))
    numbers = numbers[np.isfinite(numbers) & (numbers > 0.0)]
    if not numbers.size:
        return
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = float(numbers.min()), float(numbers.max())
    if which == "x":
        axes.set_xscale("log")
        axes.set_xlim(low / 1.25, high * 1.25)
    else:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.25, high * 1.25)
    decades = math.log10(high / low)
    steps = (1.0,) if decades > 2.5 else (1.0, 3.0) if decades > 1.2 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=steps, numticks=8))
    axis.set_major_formatter(FuncFormatter(_tick))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def binned(values: Floats, most: int) -> Floats:
    """Means of neighbours, so that at most `most` numbers are left."""
    if values.size <= most:
        return values
    return np.array([part.mean() for part in np.array_split(values, most)])
