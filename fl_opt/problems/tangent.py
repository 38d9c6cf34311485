"""Bounds of a device's Lagrangian that are true in floating point.

Energy and power of a device are jointly convex in its upload time t and bandwidth b (see
`device`), so a tangent plane at any point lies below them. Multipliers of the limits on energy and
power are chosen to annul the gradient there; any that are >= 0 give a true bound, so an inexact
point costs tightness, never truth. What rounding may have added is taken off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fl_opt.kernels import EPS, marginal
from fl_opt.problems.device import Point, Slice
from fl_opt.units import Floats

_ACTIVE = 1e-6
"""Relative slack below which a limit may carry a multiplier; any choice gives a true bound."""


@dataclass(frozen=True, eq=False)
class Multipliers:
    """Tangent-plane bound of a Lagrangian and the multipliers behind it: arrays (n,).

    `value` bounds min weight phi + price b at every price from `own` [J/Hz] upward.
    `energy` [-], `power` [J/W] and `time` [J/s] price the limits E, p_max and T of each device;
    `pull` [J/s] is what longer upload would still save: negative at the fastest clock, positive
    at the slowest.
    """

    value: Floats
    own: Floats
    energy: Floats
    power: Floats
    time: Floats
    pull: Floats


def tangent(
    part: Slice,
    point: Point,
    price: float,
    weight: float,
    least: Floats | float = 0.0,
    latest: float | None = None,
) -> Multipliers:
    """Lower bound of min weight phi + price b over a device's own constraints, and multipliers.

    From weak duality and the tangent plane at `point`: true at any point, price and multipliers,
    tight at the best ones. `least` is a proven lower bound of the bandwidth. The plane slopes
    upward in b, and so is a bound, at prices of at least `own`. With `latest` the plane, sloping
    by -`time` in the deadline, holds for every deadline up to that, provided that `least` does.
    Every rounding error of the evaluation is taken off.

    Where the energy limit leaves nearly nothing for the upload, its multiplier and with it the
    rounding is huge; no multiplier and the least bandwidth then give the better bound.
    """
    t, b = point.t, point.b
    with np.errstate(all="ignore"):
        x = part.nats / (t * b)
        grown = np.expm1(x)
        g = marginal(x, grown)
        power = b * part.noise * grown
        energy = part.heat(point.u) + t * power
        push = np.where(part.train > 0.0, part.train / (point.u * point.u * point.u), 0.0)
        save = b * part.noise * g
        steep = part.noise * b * x * (grown + 1.0) / t
        spare = np.maximum(price / (part.noise * g) - weight * t, 0.0)
        hot = energy >= part.energy * (1.0 - _ACTIVE)
        full = power >= part.power * (1.0 - _ACTIVE)
        both = (spare * steep - weight * (push - save)) / (push - save + t * steep)
        some = np.where(full, np.clip(both, 0.0, spare / t), spare / t)
        on_energy = np.where(hot, some, 0.0)
        on_power = np.where(full, np.maximum(spare - on_energy * t, 0.0), 0.0)
        horizon = part.deadline if latest is None else np.maximum(part.deadline, latest)
        slowest = np.minimum(part.train_high, horizon)

        def plane(
            on_energy: Floats | float, on_power: Floats | float
        ) -> tuple[Floats, Floats, Floats]:
            whole = weight + on_energy
            own = part.noise * g * (whole * t + on_power)
            spent = whole * save + on_power * steep
            pull = whole * push - spent
            room = np.where(pull > 0.0, slowest - point.u, part.train_low - point.u)
            loss = np.maximum(room * pull, 0.0)
            value = weight * energy + own * b - loss + np.maximum(price - own, 0.0) * least
            value += np.where(hot, on_energy * (energy - part.energy), 0.0)
            value += np.where(full, on_power * (power - part.power), 0.0)
            size = whole * energy + on_power * power + own * b
            # t + u misses the horizon by a rounding, and pull is rounded over the whole room
            turn = horizon * spent + np.abs(room) * (whole * push + spent)
            return value - EPS * (24.0 + 8.0 * x) * (size + turn), own, pull

        value, own, pull = plane(on_energy, on_power)
        if weight > 0.0 and (hot | full).any():
            free, slack, _ = plane(0.0, 0.0)
            value, own = np.where(free > value, free, value), np.maximum(own, slack)
        spent = (weight + on_energy) * save + on_power * steep
    return Multipliers(value, own, on_energy, on_power, spent, pull)


def own_price(part: Slice, point: Point) -> Floats:
    """Energy that one more hertz would save at `point`, -d phi/d b [J/Hz]."""
    with np.errstate(all="ignore"):
        return point.t * part.noise * marginal(part.nats / (point.t * point.b))
