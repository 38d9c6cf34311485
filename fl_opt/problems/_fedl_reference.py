"""FEDL as a conic program. Nothing here is shared with the closed form but the judging bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fl_opt.problems.fedl_decision import FEDLDecision
from fl_opt.structure import Model
from fl_opt.units import Floats

if TYPE_CHECKING:
    from fl_opt.problems.fedl import FEDL


def model(problem: FEDL) -> Model[FEDLDecision]:
    """Least A and least B in one program; every variable is near 1 and has a finite box."""
    import cvxpy

    work, kappa = problem.work, problem.kappa
    fastest = float((work / problem.cpu_max_hz).max())
    # without the slowest clocks a pass would last this long, and with them no longer
    span = max(fastest, float(np.cbrt(np.sum(problem.alpha * work**3) / kappa)))
    usual = np.clip(work / span, problem.cpu_min_hz, problem.cpu_max_hz)
    usual = np.where(usual > 0.0, usual, problem.cpu_max_hz)
    heat = 0.5 * problem.alpha * work * usual**2
    clock = cvxpy.Variable(problem.size, name="clock")
    lasts = cvxpy.Variable(name="lasts")
    trained = cvxpy.multiply(work / usual / span, cvxpy.inv_pos(clock)) <= lasts
    scale = float(heat.sum()) + kappa * span
    training = (heat @ cvxpy.square(clock) + kappa * span * lasts) / scale

    noise, seconds = problem.noise_over_gain, problem.upload_nat / problem.band_hz
    low, high = np.log1p(problem.power_min_w / noise), np.log1p(problem.power_max_w / noise)
    # (x - 1) e^x + 1 <= 1.36 x^2 for x <= 1, so the best x is not below this
    low = np.maximum(low, np.minimum(np.minimum(1.0, 0.85 * np.sqrt(kappa / noise)), high))
    nats = np.clip(np.log1p(np.sqrt(2.0 * kappa / noise)), low, high)
    airtime = cvxpy.Variable(problem.size, name="airtime")
    grown = cvxpy.Variable(problem.size, name="grown")
    # airtime exp(nats/airtime) <= grown exp(nats), in units of seconds/nats
    cone = cvxpy.constraints.ExpCone(cvxpy.multiply(nats, 1.0 - airtime), airtime, grown)
    each = seconds / nats
    size = float((each * (noise * np.expm1(nats) + kappa)).sum())
    sent = (each * noise * np.exp(nats)) @ grown + (each * (kappa - noise)) @ airtime
    limits = [
        trained,
        cone,
        clock >= problem.cpu_min_hz / usual,
        clock <= problem.cpu_max_hz / usual,
        lasts <= 2.0,  # never tight: what it would pull at would be missing from the prices
        airtime >= nats / high,
        airtime <= nats / low,
    ]
    program = cvxpy.Problem(cvxpy.Minimize(training + sent / size), limits)

    def clocks() -> Floats:
        return _clip(usual * clock.value, problem.cpu_min_hz, problem.cpu_max_hz)

    def spent() -> Floats:
        return _clip(nats / airtime.value, low, high)

    def decision() -> FEDLDecision:
        return _decision(problem, clocks(), spent())

    def bound() -> float:
        price = np.maximum(np.asarray(trained.dual_value) * scale / span, 0.0)
        return problem.lower_bound(price, spent())

    return Model(program, decision, bound)


def _clip(values: Any, low: Floats, high: Floats) -> Floats:
    clipped: Floats = np.clip(np.asarray(values, dtype=float), low, high)
    return clipped


def _decision(problem: FEDL, clock: Floats, nats: Floats) -> FEDLDecision:
    from scipy.optimize import brentq

    noise = problem.noise_over_gain
    power = np.clip(noise * np.expm1(nats), problem.power_min_w, problem.power_max_w)
    upload = problem.upload_nat / problem.band_hz / np.log1p(power / noise)
    lasts = float(np.max(problem.work / clock))
    a = float(0.5 * np.sum(problem.alpha * problem.work * clock**2)) + problem.kappa * lasts
    b = float(np.sum((power + problem.kappa) * upload))

    def slope(accuracy: float) -> Any:
        return np.log(accuracy) + 1.0 / accuracy - 1.0 - b / a

    accuracy = brentq(slope, 1.0 / (2.0 + 2.0 * b / a), 1.0 - 1e-12, xtol=1e-16)
    return FEDLDecision(
        cpu_hz=clock,
        upload_s=upload,
        power_w=power,
        round_training_s=lasts,
        round_upload_s=float(upload.sum()),
        local_accuracy=accuracy,
    )
