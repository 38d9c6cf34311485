"""Pages of studies that are no comparison of arms: frontier, sensitivity, regime map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fl_opt.report import charts
from fl_opt.report.ink import Picture, look
from fl_opt.report.page import Block, Cell, Gallery, Page, Section, Table
from fl_opt.report.scales import sci
from fl_opt.report.words import figure_of
from fl_opt.units import Floats, bare_name, quantity

if TYPE_CHECKING:
    from fl_opt.comparison.regime import RegimeMap
    from fl_opt.validation.sensitivity import Effect, Sensitivity

_KICKER = "fl_opt, {}"


def frontier(title: str, time_s: Floats, energy_j: Floats, slope_w: Floats, gap: Floats) -> Page:
    """The time-energy frontier of a round, drawn and in numbers; (n,) each, see ``frontier``."""
    picture = charts.frontier(
        "frontier",
        "Least energy over the duration of the round",
        time_s,
        energy_j,
        slope_w,
        look(0),
        caption="Every point is an optimum. The number at a point is what a second less costs.",
    )
    worst = float(np.max(gap, initial=0.0))
    table = Table(
        "Every point with its proof",
        "duration",
        ("energy", "energy for a second less", "gap"),
        [
            (quantity(t, "s", 5), [Cell(quantity(e, "J", 5)), Cell(_rate(s)), Cell(sci(g, 2))])
            for t, e, s, g in zip(time_s, energy_j, slope_w, gap, strict=True)
        ],
    )
    return _page(
        "frontier",
        title,
        f"{len(time_s)} optima, the worst certified to a relative gap of {sci(worst, 2)}.",
        [Gallery([picture]), table],
    )


def _rate(slope_w: float) -> str:
    return f"{quantity(slope_w, 'J', 4)} per s" if np.isfinite(slope_w) else "no price"


def sensitivity(title: str, found: Sensitivity) -> Page:
    """How strongly each factor of communication moves each metric of learning."""
    factors = list(dict.fromkeys(factor for factor, _ in found.effects))
    metrics = list(dict.fromkeys(metric for _, metric in found.effects))
    effects = [[found.effects[f, m] for m in metrics] for f in factors]
    picture = charts.sensitivity(
        "sensitivity",
        "Elasticity of each metric to each factor",
        factors,
        metrics,
        np.array([[one.elasticity for one in row] for row in effects]),
        np.array([[one.tick for one in row] for row in effects]),
        caption="Per cent by which a metric moves when its factor grows by one per cent. Coloured, "
        "blue up and orange down, where the interval over the seeds excludes zero; a dash could "
        "not be measured.",
    )
    table = Table(
        f"Elasticities with their {found.level:.0%} intervals",
        "factor",
        metrics,
        [
            (
                factor,
                [_effect(one) for one in row],
            )
            for factor, row in zip(factors, effects, strict=True)
        ],
    )
    ticks = sum(one.tick for row in effects for one in row)
    return _page(
        "sensitivity",
        title,
        f"{ticks} of {len(factors) * len(metrics)} effects are told apart from nothing.",
        [Gallery([picture]), table],
    )


def _effect(one: Effect) -> Cell:
    """An elasticity and its interval, which a single seed has not."""
    value, low, high = (
        figure_of(part, 2, signed=True) for part in (one.elasticity, one.low, one.high)
    )
    return Cell(value, f"{low} to {high}" if math.isfinite(one.low) else "")


def regime(title: str, found: RegimeMap) -> Page:
    """Where policies are worth something against the first, over deadlines and bands."""
    shape = (found.deadlines_s.size, found.bands_hz.size)
    verdicts = {
        policy: np.array([c.verdict for c in found.cells if c.policy == policy]).reshape(shape).T
        for policy in found.policies[1:]
    }
    counts = {
        policy: [int((some == word).sum()) for word in _VERDICTS]
        for policy, some in verdicts.items()
    }
    pictures = [
        _regime_picture(found, policy, f"regime-{index}", some)
        for index, (policy, some) in enumerate(verdicts.items())
    ]
    table = Table(
        "Pairs of deadline and band, of each kind",
        "policy",
        _VERDICTS,
        [(policy, [Cell(str(n)) for n in some]) for policy, some in counts.items()],
    )
    lead = "; ".join(
        f"{policy} is better at {some[0]} and worse at {some[1]}" for policy, some in counts.items()
    )
    return _page(
        "regime map",
        title,
        f"Of {found.deadlines_s.size * found.bands_hz.size} pairs of deadline and band, against "
        f"{found.policies[0]}: {lead}.",
        [Gallery(pictures), table],
    )


def _regime_picture(found: RegimeMap, policy: str, name: str, verdict: NDArray[np.str_]) -> Picture:
    """One policy's map; `verdict` (bands, deadlines)."""
    some = [cell for cell in found.cells if cell.policy == policy]
    sign = 1.0 if found.better == "higher" else -1.0
    gain = sign * np.array([cell.interval.value for cell in some])
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (gain / np.abs([cell.baseline for cell in some])).reshape(verdict.T.shape).T
    return charts.regime_map(
        name,
        policy,
        found.deadlines_s,
        found.bands_hz,
        np.clip(share, -1.0, 1.0),
        (verdict == "better") | (verdict == "worse"),
        text=[[_per_cent(part) for part in line] for line in share],
        caption=f"Gain in {bare_name(found.quantity).replace('_', ' ')} over {found.policies[0]}, "
        "in per cent of what that has. Coloured where it is better or worse for certain and by "
        "enough to matter; a dash could not be measured.",
    )


def _per_cent(part: float) -> str:
    if math.isinf(part):
        return "∞" if part > 0.0 else "−∞"
    text = f"{100.0 * part:+.0f}"
    return "0" if text in ("+0", "-0") else text.replace("-", "−")


_VERDICTS = ("better", "worse", "nothing", "unclear")


def _page(kind: str, title: str, lead: str, blocks: Sequence[Block]) -> Page:
    section = Section("result", "The result", blocks)
    return Page(title=title, kicker=_KICKER.format(kind), lead=[lead], sections=[section])
