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
    part: Slice, point: Point, price: float | Floats, weight: float, latest: float | None = None
) -> tuple[Multipliers, Floats]:
    """Lower bound of min weight phi + price b over a device's own constraints, and multipliers.

    From weak duality and the tangent plane at `point`: true at any point, price and multipliers,
    tight at the best ones. The plane slopes upward in b, and so is a bound, at prices of at least
    `own`. With `latest` the plane, sloping by -`time` in the deadline, holds for every deadline up
    to that. Every rounding error of the evaluation is taken off; how much that is, comes second.
    """
    t, b = point.t, point.b
    with np.errstate(all="ignore"):
        x = part.nats / (t * b)
        grown = np.expm1(x)
        g = marginal(x, grown)
        power = b * part.noise * grown
        energy = part.heat(point.u) + t * power
        push = _push(part, point.u)
        save = b * part.noise * g
        steep = part.noise * b * x * (grown + 1.0) / t
        hot = energy >= part.energy * (1.0 - _ACTIVE)
        full = power >= part.power * (1.0 - _ACTIVE)
        on_energy, on_power = np.zeros_like(t), np.zeros_like(t)
        k = np.flatnonzero(hot | full)
        if k.size:
            asked = np.broadcast_to(price, t.shape)[k]
            spare = np.maximum(asked / (part.noise[k] * g[k]) - weight * t[k], 0.0)
            lack = push[k] - save[k]
            both = (spare * steep[k] - weight * lack) / (lack + t[k] * steep[k])
            most = spare / t[k]
            some = np.where(full[k], np.minimum(np.maximum(both, 0.0), most), most)
            on_energy[k] = np.where(hot[k], some, 0.0)
            on_power[k] = np.where(full[k], np.maximum(spare - on_energy[k] * t[k], 0.0), 0.0)
        whole = weight + on_energy
        own = part.noise * g * (whole * t + on_power)
        spent = whole * save + on_power * steep
        pushed = whole * push
        pull = pushed - spent
        horizon = part.deadline if latest is None else np.maximum(part.deadline, latest)
        slowest = np.minimum(part.train_high, horizon)
        room = np.where(pull > 0.0, slowest - point.u, part.train_low - point.u)
        value = weight * energy + own * b - np.maximum(room * pull, 0.0)
        value[k] += np.where(hot[k], on_energy[k] * (energy[k] - part.energy[k]), 0.0)
        value[k] += np.where(full[k], on_power[k] * (power[k] - part.power[k]), 0.0)
        size = whole * energy + on_power * power + own * b
        # t + u misses the horizon by a rounding, and pull is rounded over the whole room
        turn = horizon * spent + np.abs(room) * (pushed + spent)
        rounding = EPS * (24.0 + 8.0 * x) * (size + turn)
    return Multipliers(value - rounding, own, on_energy, on_power, spent, pull), rounding


def bare_tangent(part: Slice, point: Point, price: float, least: Floats) -> tuple[Floats, Floats]:
    """The bound of `tangent` at weight one without multipliers, and its `own`.

    `least` (n,) is a proven lower bound of the bandwidth. Where the energy limit leaves nearly
    nothing for the upload, its multiplier and with it the rounding is huge; this bound is not.
    """
    t, b = point.t, point.b
    with np.errstate(all="ignore"):
        x = part.nats / (t * b)
        grown = np.expm1(x)
        g = marginal(x, grown)
        energy = part.heat(point.u) + t * b * part.noise * grown
        push, save, own = _push(part, point.u), b * part.noise * g, t * part.noise * g
        pull = push - save
        slowest = np.minimum(part.train_high, part.deadline)
        room = np.where(pull > 0.0, slowest - point.u, part.train_low - point.u)
        value = energy + own * b - np.maximum(room * pull, 0.0)
        value += np.maximum(price - own, 0.0) * least
        size = energy + price * b + part.deadline * save + np.abs(room) * (push + save)
        value -= EPS * (24.0 + 8.0 * x) * size
    return value, own


def _push(part: Slice, u: Floats) -> Floats:
    """What training a second longer would save, 2 kappa C^3/u^3 [J/s]."""
    return np.where(part.train > 0.0, part.train / (u * u * u), 0.0)


def own_price(part: Slice, point: Point) -> Floats:
    """Energy that one more hertz would save at `point`, -d phi/d b [J/Hz]."""
    with np.errstate(all="ignore"):
        return point.t * part.noise * marginal(part.nats / (point.t * point.b))
