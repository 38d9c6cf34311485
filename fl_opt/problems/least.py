"""The least bandwidth with which a device can take part, b_k(T, E_k), with its proof."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fl_opt.kernels import EPS, clip, growth_inverse, growth_slope, growth_start, increasing_root
from fl_opt.problems.device import Point, Slice
from fl_opt.units import Floats

_NEAR = 1e-3
"""Relative distance at which the slope of the bandwidth over time is looked at again."""


def least(part: Slice) -> tuple[Point, NDArray[np.bool_]]:
    """Least bandwidth within deadline and power, and the mask of those whose energy forbids it.

    b = inf where no bandwidth suffices. For the devices of the mask see `least_by_energy`.
    """
    t = np.maximum(part.upload_high, 0.0)
    with np.errstate(all="ignore"):
        level = np.log(part.power * t / (part.noise * part.nats))
        able = level > 0.0
        b = np.where(able, part.nats / (t * growth_inverse(np.where(able, level, 1.0))), np.inf)
    return Point(t, part.train_low, b), able & _too_hot(part, t)


def _too_hot(part: Slice, t: Floats) -> NDArray[np.bool_]:
    """Whether full clock and full power for `t` seconds break the energy limit."""
    with np.errstate(invalid="ignore"):
        hot: NDArray[np.bool_] = part.heat(part.train_low) + part.power * t > part.energy
    return hot


def least_by_energy(part: Slice) -> Point:
    """Least bandwidth where the energy limit binds; b = inf where none suffices.

    b(t) = a/(v t) with growth(v) = ln(E_up/(n a)) is the lower edge of a convex set, hence convex,
    with d ln b/d ln t = exp(r) - 1, r = ln(2 kappa C^3 t/u^3) - ln(E_up (v/(1 - exp(-v)) - 1)).
    Its minimum is at r = 0; where that asks for more than p_max, both limits bind and the time
    split follows from them.
    """
    slowest = np.minimum(part.train_high, part.deadline)
    able = part.energy - part.heat(slowest) > part.noise * part.nats
    t, u, b = np.zeros_like(slowest), slowest.copy(), np.full_like(slowest, np.inf)
    if able.any():
        some = part[able]
        t[able], u[able] = _split_by_energy(some)
        with np.errstate(all="ignore"):
            reached = np.minimum(some.energy - some.heat(u[able]), some.power * t[able])
            level = np.log(reached / (some.noise * some.nats))
            band = some.nats / (t[able] * growth_inverse(level))
        b[able] = np.where(level > 0.0, band, np.inf)
    return Point(t, u, b)


def least_bound(part: Slice, point: Point) -> Floats:
    """Proven lower bound of the least bandwidth, true in floating point.

    `point` is what `least` and `least_by_energy` found. At full clock and power it is a formula,
    whose rounding is taken off; at the energy limit the tangent of the convex b(t) bounds it.
    """
    with np.errstate(all="ignore"):
        v = part.nats / (point.t * point.b)
        low = point.b * (1.0 - EPS * (8.0 + 2.0 * part.deadline / point.t) * (1.0 + 2.0 / v))
    hungry = np.flatnonzero(
        np.isfinite(point.b) & _too_hot(part, np.maximum(part.upload_high, 0.0))
    )
    if hungry.size:
        low[hungry] = _bound_by_energy(part[hungry], point.t[hungry], point.u[hungry])
    return np.where(np.isinf(point.b), np.inf, np.maximum(low, 0.0))


def _excess_push(part: Slice, t: Floats, u: Floats) -> Floats:
    """The r of `least_by_energy`; inf where the energy does not reach."""
    floor = part.noise * part.nats
    rest = part.energy - part.heat(u)
    v = growth_inverse(np.log(np.maximum(rest / floor, 1.0)))
    gain = v * growth_slope(v)
    push = np.log(part.train * t) - 3.0 * np.log(u) - np.log(rest * gain)
    push = np.where(part.train > 0.0, push, -np.inf)
    return np.where(rest > floor, push, np.inf)


def _split_by_energy(part: Slice) -> tuple[Floats, Floats]:
    """(t, u) of least bandwidth under the limits on energy and power.

    The root of r is found in y = ln v, of which all else is an explicit function: v tells what the
    upload spends, and what is left for training tells u.
    """
    floor, half = part.noise * part.nats, 0.5 * part.train

    def late(y: Floats, index: NDArray[np.int_]) -> tuple[Floats, Floats]:
        v = np.exp(y)
        ratio = np.expm1(v) / v
        spent = floor[index] * ratio
        heat = np.maximum(part.energy[index] - spent, 0.0)
        u = np.sqrt(half[index] / heat)
        turn = u / np.maximum(part.deadline[index] - u, 0.0)
        gain = _gain(v, ratio)
        drain = spent * gain / heat
        slope = gain + (gain + 1.0) * (v - gain) / gain + drain * (1.5 + 0.5 * turn)
        return np.log(0.5 * drain * turn), slope

    with np.errstate(all="ignore"):
        low = np.full_like(floor, -90.0)
        # training that costs nothing is as short as can be
        high = np.where(part.train > 0.0, 6.5, low)
        v = np.exp(increasing_root(late, low, high, _energy_start(part), 1e-10))
        ratio = np.expm1(v) / v
        # r = 0 as a cubic, u^3 = c (T - u): what is left of the energy may be lost in rounding
        share = part.train / (floor * ratio * _gain(v, ratio) * part.deadline**2)
        u = np.sinh(np.arcsinh(np.sqrt(6.75 / share)) / 3.0) * np.sqrt(share / 0.75)
        u = np.where(part.train > 0.0, u * part.deadline, 0.0)
        shortest = np.sqrt(half / (part.energy - floor))
    slowest = np.minimum(part.train_high, part.deadline)
    u = clip(u, np.maximum(part.train_low, shortest), slowest)
    t = part.deadline - u
    over = np.flatnonzero(part.energy - part.heat(u) > part.power * t)
    if over.size:
        t[over], u[over] = _split_by_both(part[over], u[over])
    return t, u


def _gain(v: Floats, ratio: Floats) -> Floats:
    """v/(1 - exp(-v)) - 1, given (exp(v) - 1)/v."""
    gain = v - (1.0 - 1.0 / ratio)
    small = v < 1e-3
    if np.count_nonzero(small):
        gain[small] = v[small] * (0.5 + v[small] / 12.0)
    return gain


def _split_by_both(part: Slice, u: Floats) -> tuple[Floats, Floats]:
    """(t, u) at which full power spends what training leaves, from a `u` where it spends less.

    What is spent in all is concave and rising in the energy of training: Newton never overshoots.
    """
    half, heat = 0.5 * part.train, part.heat(u)
    for _ in range(100):
        left = part.energy - part.power * (part.deadline - u) - heat
        step = left / (1.0 + 0.5 * part.power * u / heat)
        heat = heat + step
        u = np.maximum(np.sqrt(half / heat), part.train_low)
        if not np.count_nonzero(step > 4.0 * EPS * heat):
            break
    return part.deadline - u, u


def _bound_by_energy(part: Slice, t: Floats, u: Floats) -> Floats:
    floor, heat = part.noise * part.nats, part.heat(u)
    rest = part.energy - heat
    with np.errstate(all="ignore"):
        cool = part.power * t > rest * (1.0 + 1e-9)
        most = np.where(cool, rest, np.maximum(rest, part.power * t))
        v = growth_inverse(np.maximum(np.log(most / floor), 0.0))
        push = _excess_push(part, t, u)
        # t + u misses the deadline by a rounding: u is taken as it is, t may be off by that
        noise = 16.0 + 4.0 * (part.deadline / t + (part.energy + heat) / rest)
        noise *= EPS * (1.0 + 2.0 / v)
        # at full power a shorter upload needs more band whatever its energy
        slowest = np.minimum(part.train_high, part.deadline)
        shorter = np.where(cool, np.maximum(slowest - u, 0.0) / t, 0.0)
        longer = (part.upload_high - t) / t
        # where the slope has changed its sign beyond doubt, the minimum lies in between
        before = _excess_push(part, t * (1.0 - _NEAR), u + t * _NEAR)
        after = _excess_push(part, t * (1.0 + _NEAR), u - t * _NEAR)
        shorter = np.where(before < -4.0 * noise, np.minimum(shorter, _NEAR), shorter)
        longer = np.where(after > 4.0 * noise, np.minimum(longer, _NEAR), longer)
        span = np.where(push > 0.0, shorter, longer)
        doubt = noise * (1.0 + span) + np.abs(np.expm1(push)) * span
        return part.nats / (t * v) * (1.0 - np.where(np.isnan(doubt), 1.0, doubt))


def _energy_start(part: Slice) -> Floats:
    """The ln v at which r of `least_by_energy` is nearly 0.

    With v/(1 - exp(-v)) - 1 held, r = 0 is a cubic in the root of the share of the energy that
    goes to training; a Newton step on it, the v that belongs to that share, and so forth.
    """
    most = level = np.log(part.energy / (part.noise * part.nats))
    pace, root = part.deadline * np.sqrt(2.0 * part.energy / part.train), np.ones_like(most)
    for _ in range(3):
        v = growth_start(level)
        gain = -v / np.expm1(-v) - 1.0
        steep = 2.0 * pace * root
        cubic = root * root * (steep + gain - 2.0) - gain
        root = root - cubic / (root * (3.0 * steep + 2.0 * gain - 4.0))
        level = np.maximum(most + np.log1p(-root * root), 0.3 * most)
    return np.log(growth_inverse(level))
