r"""One device's round under FDMA, for many devices at once: what every band problem is built from.

A device trains for u seconds at clock C/u and uploads for t seconds over b hertz, u + t = T:

    phi(t, b) = kappa C^3/u^2 + t b n expm1(x)     energy [J],  n = N0/h,  x = s ln2/(t b)
    p(t, b)   = b n expm1(x)                       power  [W]

with u in [C/f_max, C/f_min], p <= p_max and phi <= E. Both functions are jointly convex in (t, b):
the series of the first has only terms (t b)^-m, the second is a perspective of exp composed with
the convex 1/t. So every inner problem here is convex.

Two questions are answered here, elementwise and exactly up to rounding; `least` answers a third:

    respond   the best (t, b) at a price of bandwidth
    at        the least energy at a given bandwidth, and its derivative
    least     the least bandwidth with which a device can take part, b_k(T, E_k)

The convexity is derived; the literature alternates between blocks of variables (Yang, Chen, Saad,
Hong, Shikh-Bahaei, IEEE TWC 2021, arXiv 1911.02417).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_opt.kernels import (
    clip,
    growth_inverse,
    growth_start,
    increasing_root,
    marginal,
    marginal_inverse,
    marginal_start,
)
from fl_opt.physics import LN2
from fl_opt.units import Floats

_LOG_X_HIGH = 6.5
"""Largest ln x that is searched: exp(x) is no double far beyond."""


@dataclass(frozen=True, eq=False)
class Slice:
    """The constants of some devices, all with a payload: arrays (n,).

    `nats` s ln2, `noise` N0/h [W/Hz], `power` p_max [W], `energy` E [J], `deadline` T [s],
    `train` 2 kappa C^3 [J s^2], and the box of the training time, `train_low` to `train_high` [s].
    """

    nats: Floats
    noise: Floats
    power: Floats
    energy: Floats
    deadline: Floats
    train: Floats
    train_low: Floats
    train_high: Floats

    def __getitem__(self, index: slice | NDArray[np.int_] | NDArray[np.bool_]) -> Slice:
        return Slice(
            self.nats[index],
            self.noise[index],
            self.power[index],
            self.energy[index],
            self.deadline[index],
            self.train[index],
            self.train_low[index],
            self.train_high[index],
        )

    @property
    def upload_high(self) -> Floats:
        """Longest upload [s]: all the time that training at full clock leaves."""
        return self.deadline - self.train_low

    def heat(self, u: Floats) -> Floats:
        """Energy of training for u seconds [J]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            joule: Floats = np.where(self.train > 0.0, 0.5 * self.train / (u * u), 0.0)
        return joule

    def logit(self, t: Floats, u: Floats) -> Floats:
        """ln(t/u), the coordinate in which the optimality conditions are nearly linear."""
        with np.errstate(divide="ignore"):
            return clip(np.log(t) - np.log(u), -745.0, 745.0)

    def split(self, z: Floats) -> tuple[Floats, Floats]:
        """(t, u) at a coordinate, u kept inside its box."""
        with np.errstate(over="ignore", invalid="ignore"):
            grown = np.exp(z)
            u = self.deadline / (1.0 + grown)
            inside = np.minimum(np.maximum(u, self.train_low), self.train_high)
            # u exp(z) keeps the digits of a short upload, which T - u would lose; z may be infinite
            t = np.where((inside == u) & (z < 0.0), u * grown, self.deadline - inside)
        return t, inside


@dataclass(frozen=True, eq=False)
class Point:
    """A split of time and a bandwidth for every device of a `Slice`: arrays (n,)."""

    t: Floats
    u: Floats
    b: Floats

    def __getitem__(self, index: slice | NDArray[np.int_] | NDArray[np.bool_]) -> Point:
        return Point(self.t[index], self.u[index], self.b[index])


def respond(
    part: Slice, price: float, floor: Point, warm: Floats, ahead: float = 0.0
) -> tuple[Point, Floats]:
    """Best point at `price` [J/Hz], and the derivative of ln b to ln price.

    `floor` is the least bandwidth; `warm` (2, 4, n) holds the roots of a call at a near price and
    their derivatives to ln price, which is `ahead` of that one by now: ln(t/u) and ln x without
    limits, then ln x at an end of the box and at p_max; NaN where there is none. It is updated in
    place.

    Limits are put on in the order in which convexity allows: the box of u, then p_max, then the
    least bandwidth.
    """
    roots, drift = warm
    if ahead != 0.0:
        roots += ahead * drift
        np.minimum(roots[1:], _LOG_X_HIGH, out=roots[1:])
    slope = _free(part, price, roots, drift)
    t, u = part.split(roots[0])
    x = np.exp(roots[1])
    boxed = np.flatnonzero((u == part.train_low) | (u == part.train_high))
    if boxed.size:
        level = price / (part.noise[boxed] * t[boxed])
        start = np.where(np.isnan(roots[2, boxed]), roots[1, boxed], roots[2, boxed])
        x[boxed] = v = marginal_inverse(level, np.exp(start))
        with np.errstate(all="ignore"):
            roots[2, boxed] = np.log(v)
            drift[2, boxed] = steep = level / (v * v * np.exp(v))
        slope[boxed] = -steep
    with np.errstate(all="ignore"):
        b = part.nats / (t * x)
        over = np.flatnonzero(b * part.noise * np.expm1(x) > part.power)
    if over.size:
        some, start = part[over], roots[3, over]
        point, slope[over], roots[3, over], drift[3, over] = _full_power(
            some, price, t[over], start
        )
        t[over], u[over], b[over] = point.t, point.u, point.b
    below = np.flatnonzero(~(b > floor.b))
    if below.size:
        t[below], u[below], b[below] = floor.t[below], floor.u[below], floor.b[below]
        slope[below] = 0.0
    return Point(t, u, b), slope


def _free(part: Slice, price: float, roots: Floats, drift: Floats) -> Floats:
    """Solve for ln(t/u) and ln x, the first `roots`, without any limit; d ln b/d ln price.

    With M = price/n the conditions are marginal(x) = M/t and price a/(t^2 x) = 2 kappa C^3/u^3.
    In (ln(t/u), ln x) both are nearly linear: Newton, with its steps clipped. What has not
    converged by then is bracketed. Devices that do not train upload all the time.
    """
    z, log_x, drift_z, drift_x = roots[0], roots[1], drift[0], drift[1]
    with np.errstate(all="ignore"):
        log_m = np.log(price / (part.noise * part.deadline))
        log_d = np.log(price * part.nats * part.deadline / part.train)
    cold = np.isnan(z)
    if np.count_nonzero(cold):
        # x ~ sqrt(2 M/t) where it is small, and of order one elsewhere
        level = log_d[cold] - np.minimum(0.5 * (log_m[cold] + LN2), 0.5)
        z[cold] = first = np.where(level > 0.0, level / 3.0, level / 2.0)
        with np.errstate(over="ignore"):
            height = np.exp(np.minimum(log_m[cold] + np.log1p(np.exp(-first)), 690.0))
        log_x[cold] = np.log(marginal_start(height))
    slope = np.zeros(z.size)
    todo: slice | NDArray[np.int_] = slice(None)
    if np.count_nonzero(part.train) < part.train.size:
        idle = part.train == 0.0
        z[idle], drift_z[idle], drift_x[idle] = np.inf, 0.0, 0.0
        todo = np.flatnonzero(part.train > 0.0)
    with np.errstate(all="ignore"):
        for _ in range(40):
            z_now, log_now, wanted_m, wanted_d = z[todo], log_x[todo], log_m[todo], log_d[todo]
            fade = np.exp(-z_now)
            shrink = np.log1p(fade)
            share = fade / (1.0 + fade)
            rest = 3.0 - share
            x = np.exp(log_now)
            grown = np.expm1(x)
            square = x * x
            g = np.maximum(x * grown - (grown - x), 0.5 * square)
            one = np.log(g) - shrink - wanted_m
            two = wanted_d - log_now - 3.0 * z_now - shrink
            q = square * (grown + 1.0) / g
            det = 1.0 / (share - q * rest)
            step_x = (rest * one + share * two) * det
            step_z = (q * two + one) * det
            drift_z[todo], drift_x[todo] = (1.0 - q) * det, (share - rest) * det
            slope[todo] = (share * (q - 3.0) + 3.0) * det
            np.minimum(np.maximum(step_z, -8.0, out=step_z), 8.0, out=step_z)
            np.minimum(np.maximum(step_x, -1.5, out=step_x), 1.5, out=step_x)
            z[todo] = np.minimum(np.maximum(z_now - step_z, -700.0), 700.0)
            log_x[todo] = np.minimum(np.maximum(log_now + step_x, -40.0), _LOG_X_HIGH)
            rough = np.abs(step_x) + np.abs(step_z) > 3e-6
            count = np.count_nonzero(rough)
            if count == 0:
                return slope
            if 2 * count < rough.size:
                todo = (np.arange(z.size) if isinstance(todo, slice) else todo)[rough]
    left = (np.arange(z.size) if isinstance(todo, slice) else todo)[rough]
    z[left], log_x[left] = _bracketed(log_m[left], log_d[left])
    return slope


def _bracketed(log_m: Floats, log_d: Floats) -> tuple[Floats, Floats]:
    """The same two equations as one, whose root is safe in a bracket."""

    def level(z: Floats, index: NDArray[np.int_]) -> Floats:
        height = log_m[index] + np.log1p(np.exp(-z))
        return np.asarray(np.exp(np.minimum(np.maximum(height, -690.0), 690.0)))

    def late(z: Floats, index: NDArray[np.int_]) -> tuple[Floats, Floats]:
        shrink, share = np.log1p(np.exp(-z)), 1.0 / (1.0 + np.exp(z))
        x = marginal_inverse(level(z, index))
        q = x * x * np.exp(x) / marginal(x)
        return np.log(x) + 3.0 * z + shrink - log_d[index], 3.0 - share - share / q

    wide = np.full(log_m.size, 700.0)
    z = increasing_root(late, -wide, wide, np.zeros(log_m.size))
    return z, np.log(marginal_inverse(level(z, np.arange(z.size))))


def _full_power(
    part: Slice, price: float, t: Floats, start: Floats
) -> tuple[Point, Floats, Floats, Floats]:
    """Best point at p_max, d ln b/d ln price, y = ln v and d y/d ln price, searched from `start`.

    Where that is NaN, from the airtime `t` that is best without a limit of power.

    One equation in y: 2 kappa C^3/u^3 + p_max = price a/(t^2 (v - 1 + exp(-v))), with t explicit,
    (n a/p_max) expm1(v)/v. It is solved without the box of u, which then cuts the answer.
    """
    unit = part.noise * part.nats / part.power
    log_pull = np.log(price * part.nats / (unit * unit))
    shortest = np.maximum(part.train_low, 1e-90)  # its cube is no zero
    wide, drift = np.ones_like(unit), np.empty_like(unit)
    cold = np.isnan(start)
    if np.count_nonzero(cold):
        start[cold] = np.log(growth_start(np.log(np.maximum(t[cold] / unit[cold], 1.0 + 1e-9))))

    def late(y: Floats, index: NDArray[np.int_]) -> tuple[Floats, Floats]:
        v = np.exp(y)
        grown = np.expm1(v)
        ratio, nearly = grown / v, grown / (grown + 1.0)
        gain = v - nearly
        small = v < 1e-3
        if np.count_nonzero(small):
            w = v[small]
            gain[small] = w * w * (0.5 - w * (1.0 / 6.0 - w / 24.0))
        t, least = unit[index] * ratio, shortest[index]
        u = np.maximum(part.deadline[index] - t, least)
        push = part.train[index] / (u * u * u)
        pushed = push + part.power[index]
        rise = gain / nearly
        steep = np.where(u > least, 3.0 * push / pushed * t / u, 0.0)
        slope = rise * (2.0 + steep) + v / rise
        drift[index] = 1.0 / slope
        return np.log(pushed * gain * ratio * ratio) - log_pull[index], slope

    y = increasing_root(late, -90.0 * wide, _LOG_X_HIGH * wide, start, 1e-11)
    v = np.exp(y)
    grown = np.expm1(v)
    t, change = unit * grown / v, drift * -v * (1.0 + 1.0 / grown)
    earliest = np.maximum(part.deadline - part.train_high, 0.0)
    early = np.flatnonzero(t < earliest)
    if early.size:
        t[early], change[early] = earliest[early], 0.0
        v[early] = growth_inverse(np.log(t[early] / unit[early]))
    # where training at full clock leaves less time, the least bandwidth is above any that answers
    b = np.where(t < part.upload_high, part.nats / (t * v), 0.0)
    u = clip(part.deadline - t, part.train_low, part.train_high)
    return Point(t, u, b), change, y, drift


def _full_power_time(part: Slice, b: Floats) -> Floats:
    """Airtime at full power [s], the shortest that a bandwidth allows; 0 without a limit."""
    with np.errstate(all="ignore"):
        t = part.nats / (b * np.log1p(part.power / (part.noise * b)))
    return np.where(np.isnan(t), 0.0, t)


def held(part: Slice, point: Point, floor: Point) -> Floats:
    """Bandwidth that does not answer to the price [Hz]: the least, or all of it.

    At full power and the slowest clock a device keeps its bandwidth over a range of prices.
    """
    slowest = point.u >= part.train_high - 1e-12 * part.deadline
    return np.where(_at_full_power(part, point) & slowest, point.b, floor.b)


def _at_full_power(part: Slice, point: Point) -> NDArray[np.bool_]:
    full: NDArray[np.bool_] = point.t <= _full_power_time(part, point.b) * (1.0 + 1e-9)
    return full


def shifted(part: Slice, point: Point, floor: Point, b: Floats) -> Point:
    """`point` with the bandwidth `b` instead, at least the least, still within limits.

    The split of time stays where it can. At full power it follows the bandwidth, or the first
    order of its worth would be lost; where that would break the energy limit, the point moves on
    the segment to `floor`, which convexity keeps legal.
    """
    forced = np.minimum(_full_power_time(part, b), part.upload_high)
    full = _at_full_power(part, point)
    follow = np.maximum(forced, part.deadline - part.train_high)
    t = np.where(full, follow, np.maximum(point.t, forced))
    u = clip(part.deadline - t, part.train_low, part.train_high)
    t, u = np.where(b == point.b, point.t, t), np.where((b == point.b) | (t == point.t), point.u, u)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        hot = part.heat(u) + t * b * part.noise * np.expm1(part.nats / (t * b)) > part.energy
        inside = clip((b - floor.b) / (point.b - floor.b), 0.0, 1.0)
    inside = np.where(np.isnan(inside), 0.0, inside)
    return Point(
        np.where(hot, floor.t + inside * (point.t - floor.t), t),
        np.where(hot, floor.u + inside * (point.u - floor.u), u),
        b,
    )


def at(part: Slice, b: Floats, tolerance: float = 1e-13) -> tuple[Point, Floats, Floats]:
    """Least energy at given bandwidths: the point, the energy [J] and its derivative [J/Hz].

    Within deadline and power; `b` (n,) is at least the least bandwidth. The split of time is found
    to the relative `tolerance`.
    """
    forced = _full_power_time(part, b)
    earliest = np.maximum(np.maximum(part.deadline - part.train_high, 0.0), forced)
    earliest = np.minimum(earliest, part.upload_high)
    low = part.logit(earliest, part.deadline - earliest)
    high = part.logit(part.upload_high, part.train_low)

    def late(z: Floats, index: NDArray[np.int_]) -> tuple[Floats, Floats]:
        some = part[index]
        t, u = some.split(z)
        x = some.nats / (t * b[index])
        g = marginal(x)
        share = u / some.deadline
        q = np.where(x > 700.0, x, x * x * np.exp(np.minimum(x, 700.0)) / g)
        value = np.log(some.train) - 3.0 * np.log(u) - np.log(b[index] * some.noise * g)
        return value, 3.0 * (1.0 - share) + q * share

    t, u = part.split(increasing_root(late, low, high, clip(0.0, low, high), tolerance))
    x = part.nats / (t * b)
    with np.errstate(over="ignore", invalid="ignore"):
        grown, g = np.expm1(x), marginal(x)
        energy = part.heat(u) + t * b * part.noise * grown
        push = np.where(part.train > 0.0, part.train / (u * u * u), 0.0) - b * part.noise * g
        # the coordinate of the root rounds t: an exact comparison would miss the power limit
        full = t <= forced * (1.0 + 1e-9)
        held = np.where(full & (push > 0.0), push * t / (x * (grown + 1.0) * b), 0.0)
        slope = -g * (part.noise * t + held)
    return Point(t, u, b), energy, slope
