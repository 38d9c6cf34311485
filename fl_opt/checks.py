"""Checks of input at the public boundary: shape, sign, finiteness, with errors that cure."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.errors import InvalidInput
from fl_opt.units import Floats, quantity, unit_of


def _range(low: float, high: float, open_low: bool, finite: bool) -> str:
    left = "> " if open_low else ">= "
    parts = [left + f"{low:g}"] if low > -math.inf else []
    if high < math.inf:
        parts.append(f"<= {high:g}")
    if finite:
        parts.append("finite")
    return "a number" + (" " + ", ".join(parts) if parts else "")


def number(
    where: str,
    value: object,
    *,
    low: float = 0.0,
    high: float = math.inf,
    open_low: bool = False,
    finite: bool = True,
) -> float:
    """`value` as a float within its range, or ``InvalidInput`` naming `where`."""
    expected = _range(low, high, open_low, finite)
    unit = unit_of(where)
    expected += f" [{unit}]" if unit else ""
    try:
        result = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InvalidInput(where, repr(value), expected) from None
    bad = result < low or result > high or (open_low and result == low)
    if bad or math.isnan(result) or (finite and math.isinf(result)):
        raise InvalidInput(where, quantity(result, unit, 6), expected)
    return result


def whole(where: str, value: object, low: int = 0, high: int | None = None) -> int:
    """`value` as an int within its range, or ``InvalidInput`` naming `where`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InvalidInput(where, repr(value), "a whole number")
    if value < low or (high is not None and value > high):
        expected = f"at least {low}" if high is None else f"{low} to {high}"
        raise InvalidInput(where, value, expected)
    return int(value)


def vector(
    where: str,
    value: ArrayLike,
    size: int,
    *,
    low: float = 0.0,
    high: float = math.inf,
    open_low: bool = False,
    finite: bool = True,
) -> Floats:
    """`value` as a read-only float64 array (size,), a scalar broadcast.

    A copy, unless nobody can write to `value` either. Raises ``InvalidInput`` naming field,
    device, value and range.
    """
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput(where, repr(value)[:80], "numbers") from None
    if array is value and (array.flags.writeable or not array.flags.owndata):
        array = array.copy()
    if array.ndim > 1 or (array.ndim == 1 and array.shape[0] not in (1, size)):
        raise InvalidInput(
            f"{where}.shape", array.shape, f"({size},), a value per device, or one value for all"
        )
    least, most = (array.min(), array.max()) if array.size else (low, low)
    fine = (least > low if open_low else least >= low) and most <= high
    if array.size and not (fine and (not finite or (least > -math.inf and most < math.inf))):
        bad = np.isnan(array) | (array < low) | (array > high)
        if open_low:
            bad |= array == low
        if finite:
            bad |= np.isinf(array)
        k = int(np.flatnonzero(bad.ravel())[0])
        at = f"{where}[{k}]" if array.ndim else where
        unit = unit_of(where)
        expected = _range(low, high, open_low, finite) + (f" [{unit}]" if unit else "")
        raise InvalidInput(at, quantity(float(array.ravel()[k]), unit, 6), expected)
    if array.shape != (size,):
        array = np.full(size, array.ravel()[0])
    array.flags.writeable = False
    return array
