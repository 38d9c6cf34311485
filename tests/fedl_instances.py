"""Instances of FEDL, and their optimum in 50 digits."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import mpmath

from fl_opt.problems import FEDL

CASE = json.loads((Path(__file__).parent / "cases" / "fedl_infocom_5dev.json").read_text())
FIELDS = ("noise_over_gain", "cycles_per_bit", "data_bit", "cpu_min_hz", "cpu_max_hz")


def published(kappa: float, **changes: Any) -> FEDL:
    """The instance of the authors, see `source` in the file."""
    given = {name: CASE[name] for name in FIELDS}
    given |= {"power_min_w": CASE["power_w"][0], "power_max_w": CASE["power_w"][1]}
    given |= {"upload_nat": CASE["upload_nat"], "band_hz": CASE["band_hz"]}
    return FEDL(**(given | {"alpha": CASE["capacitance_alpha"], "kappa": kappa} | changes))


def exact_cost(problem: FEDL) -> Any:
    """The optimum in 50 digits: bisection, and Lambert's W on both branches."""
    mp = mpmath.mp.clone()
    mp.dps = 50
    kappa = mp.mpf(problem.kappa)
    work = [
        mp.mpf(c) * mp.mpf(d) for c, d in zip(problem.cycles_per_bit, problem.data_bit, strict=True)
    ]
    alpha, low, high = (
        [mp.mpf(x) for x in values]
        for values in (problem.alpha, problem.cpu_min_hz, problem.cpu_max_hz)
    )
    everyone = range(problem.size)

    def pull(t: Any) -> Any:
        return mp.fsum(alpha[k] * (work[k] / t) ** 3 for k in everyone if work[k] / t > low[k])

    left = max(work[k] / high[k] for k in everyone)
    right = max(left, mp.cbrt(mp.fsum(alpha[k] * work[k] ** 3 for k in everyone) / kappa))
    if pull(left) <= kappa:
        right = left
    for _ in range(170):
        middle = (left + right) / 2
        left, right = (left, middle) if pull(middle) <= kappa else (middle, right)
    a = kappa * right + mp.fsum(
        alpha[k] / 2 * work[k] * max(work[k] / right, low[k]) ** 2 for k in everyone
    )
    b = mp.mpf(0)
    for k in everyone:
        noise = mp.mpf(problem.noise_over_gain[k])
        x = 1 + mp.lambertw((kappa / noise - 1) / mp.e).real
        x = max(x, mp.log1p(problem.power_min_w[k] / noise))
        if math.isfinite(problem.power_max_w[k]):
            x = min(x, mp.log1p(problem.power_max_w[k] / noise))
        tau = mp.mpf(problem.upload_nat[k]) / problem.band_hz / x
        b += tau * (noise * mp.expm1(x) + kappa)
    return -a * mp.lambertw(-mp.exp(-1 - b / a), -1).real
