"""The least bandwidth with which a device can take part, b_k(T, E_k), with its proof."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fl_opt.kernels import EPS, growth_inverse, growth_slope, increasing_root
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


def _excess_push(part: Slice, t: Floats, u: Floats) -> tuple[Floats, Floats]:
    """(r, d r/d ln(t/u)) of `least_by_energy`; r is inf where the energy does not reach."""
    floor = part.noise * part.nats
    rest = part.energy - part.heat(u)
    v = growth_inverse(np.log(np.maximum(rest / floor, 1.0)))
    rise = growth_slope(v)
    gain = v * rise
    push = np.log(part.train * t) - 3.0 * np.log(u) - np.log(rest * gain)
    push = np.where(part.train > 0.0, push, -np.inf)
    share = u / part.deadline
    drain = part.train / (u * u) / rest * (1.0 - share)
    # d ln gain / d ln rest, from gain = v/(1 - exp(-v)) - 1 and d v / d ln rest = 1/rise
    bend = (rise + 1.0 / v) * (1.0 - np.exp(-v) * (gain + 1.0)) / (gain * rise)
    slope = 3.0 - 2.0 * share + drain * (1.0 + bend)
    return np.where(rest > floor, push, np.inf), slope


def _split_by_energy(part: Slice) -> tuple[Floats, Floats]:
    """(t, u) of least bandwidth under the limits on energy and power."""
    slowest = np.minimum(part.train_high, part.deadline)
    with np.errstate(all="ignore"):
        shortest = np.sqrt(0.5 * part.train / (part.energy - part.noise * part.nats))
    fastest = np.minimum(np.maximum(part.train_low, shortest), slowest)
    low = part.logit(part.deadline - slowest, slowest)
    high = part.logit(part.deadline - fastest, fastest)

    def longer(z: Floats, index: NDArray[np.int_]) -> tuple[Floats, Floats]:
        some = part[index]
        return _excess_push(some, *some.split(z))

    # the root if the upload took a third of the energy: t/u^3 = 2 E/(3 train); it has to take less
    with np.errstate(all="ignore"):
        start = np.log(2.0 / 3.0 * part.energy * part.deadline * part.deadline / part.train)
        cool = part.logit(np.maximum(part.deadline - 1.2 * shortest, 0.0), 1.2 * shortest)
    start = np.fmin(np.where(start > 0.0, start / 3.0, np.minimum(start, 700.0)), cool)
    t, u = part.split(increasing_root(longer, low, high, start))
    over = np.flatnonzero(part.energy - part.heat(u) > part.power * t)
    if over.size:
        both = part[over]

        def hotter(z: Floats, index: NDArray[np.int_]) -> tuple[Floats, Floats]:
            some = both[index]
            t, u = some.split(z)
            spent = some.heat(u) + some.power * t
            share = u / some.deadline
            slope = (some.train / (u * u) * (1.0 - share) + some.power * t * share) / spent
            return np.log(spent / some.energy), slope

        start, top = both.logit(t[over], u[over]), both.logit(both.upload_high, both.train_low)
        t[over], u[over] = both.split(increasing_root(hotter, start, top, start))
    return t, u


def _bound_by_energy(part: Slice, t: Floats, u: Floats) -> Floats:
    floor, heat = part.noise * part.nats, part.heat(u)
    rest = part.energy - heat
    with np.errstate(all="ignore"):
        cool = part.power * t > rest * (1.0 + 1e-9)
        most = np.where(cool, rest, np.maximum(rest, part.power * t))
        v = growth_inverse(np.maximum(np.log(most / floor), 0.0))
        push, _ = _excess_push(part, t, u)
        # t + u misses the deadline by a rounding: u is taken as it is, t may be off by that
        noise = 16.0 + 4.0 * (part.deadline / t + (part.energy + heat) / rest)
        noise *= EPS * (1.0 + 2.0 / v)
        # at full power a shorter upload needs more band whatever its energy
        slowest = np.minimum(part.train_high, part.deadline)
        shorter = np.where(cool, np.maximum(slowest - u, 0.0) / t, 0.0)
        longer = (part.upload_high - t) / t
        # where the slope has changed its sign beyond doubt, the minimum lies in between
        before, _ = _excess_push(part, t * (1.0 - _NEAR), u + t * _NEAR)
        after, _ = _excess_push(part, t * (1.0 + _NEAR), u - t * _NEAR)
        shorter = np.where(before < -4.0 * noise, np.minimum(shorter, _NEAR), shorter)
        longer = np.where(after > 4.0 * noise, np.minimum(longer, _NEAR), longer)
        span = np.where(push > 0.0, shorter, longer)
        doubt = noise * (1.0 + span) + np.abs(np.expm1(push)) * span
        return part.nats / (t * v) * (1.0 - np.where(np.isnan(doubt), 1.0, doubt))
