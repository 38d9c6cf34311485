"""Pictures of learning: curves, differences with intervals, claimed against realised.

Every function takes plain arrays and gives a `Picture`; none knows where the numbers come from.
Values that are not finite are left out, never drawn at a made-up place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fl_opt.comparison import Interval
from fl_opt.report.ink import (
    INK,
    MUTED,
    SURFACE,
    Look,
    Picture,
    canvas,
    drawn,
    frame,
    in_unit,
    key,
    key_in,
    label,
    to_svg,
)
from fl_opt.report.scales import log_axis, scale_of
from fl_opt.units import Floats

MOST_POINTS = 120
"""Rounds drawn for each arm in a scatter; of more, every n-th is."""


FAR_APART = 6.0
"""Where one curve ends this many times later than another, the axis is logarithmic."""


class Series(NamedTuple):
    """A line with a band: mean, lowest and highest of the seeds; all equal where there is one."""

    name: str
    look: Look
    x: Floats
    y: Floats
    low: Floats
    high: Floats


class Difference(NamedTuple):
    """How far an arm is from the reference, with a remark set at the right."""

    name: str
    look: Look
    interval: Interval
    remark: str = ""


class Rounds(NamedTuple):
    """What was claimed and what came, one entry per round."""

    name: str
    look: Look
    claimed: Floats
    realised: Floats


@drawn
def nothing(name: str, title: str, why: str) -> Picture:
    """A picture that says why there is none, so that a gap is never taken for a result."""
    figure = canvas(1.0)
    figure.text(0.5, 0.5, label(why, 64), ha="center", va="center", color=MUTED)
    return Picture(name, title, why, why, to_svg(figure))


@drawn
def curves(
    name: str,
    title: str,
    series: Sequence[Series],
    *,
    x_name: str,
    x_unit: str,
    y_name: str,
    target: float | None = None,
    caption: str = "",
) -> Picture:
    """Learning curves: `y_name`, a share, against time or energy, with the band of the seeds."""
    figure = canvas(3.0 + key_in([s.name for s in series]))
    axes = figure.add_subplot()
    spent = np.concatenate([s.x[np.isfinite(s.y)] for s in series])
    divisor, unit = scale_of(spent, x_unit)
    told = []
    for one in series:
        good = np.isfinite(one.x) & np.isfinite(one.y)
        if not good.any():
            told.append(f"{one.name} has no finite value")
            continue
        x, y = one.x[good] / divisor, one.y[good]
        colour = one.look.colour
        # A model is what it was until the next round ends, hence steps.
        band = one.low[good], one.high[good]
        axes.fill_between(x, *band, color=colour, alpha=0.16, linewidth=0, step="post")
        axes.plot(
            x,
            y,
            color=colour,
            linestyle=one.look.dash,
            drawstyle="steps-post",
            marker=one.look.marker,
            markevery=(x.size // 7, max(x.size // 5, 1)),
            markersize=4.0,
        )
        told.append(f"{one.name} ends at {y[-1]:.3g} after {x[-1]:.4g} {unit}".rstrip())
    if target is not None:
        axes.axhline(target, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
        y_name += f"   ┄ target {target:.3g}"
    ends = [float(np.max(s.x, initial=0.0)) for s in series]
    if min(ends) > 0.0 and max(ends) > FAR_APART * min(ends):
        log_axis(axes, "x", spent / divisor)
    else:
        axes.set_xlim(left=0.0)
    frame(axes, in_unit(x_name, unit), y_name)
    key(figure, [s.name for s in series], [s.look for s in series])
    return Picture(name, title, "; ".join(told) + ".", caption, to_svg(figure))


@drawn
def forest(
    name: str,
    title: str,
    rows: Sequence[Difference],
    *,
    unit: str,
    reference: str,
    lower_is_better: bool,
    caption: str = "",
) -> Picture:
    """Differences from a reference, with intervals, around the line of no difference."""
    figure = canvas(0.75 + 0.5 * len(rows))
    axes = figure.add_subplot()
    ends = np.array([[r.interval.value, r.interval.low, r.interval.high] for r in rows])
    divisor, unit_shown = scale_of(ends, unit)
    told = []
    for i, row in enumerate(rows):
        for text, place, align, colour in (
            (row.name, 0.0, "left", INK),
            (row.remark, 1.0, "right", MUTED),
        ):
            axes.annotate(
                label(text, 36),
                (place, i),
                xycoords=("axes fraction", "data"),
                xytext=(0, 7),
                textcoords="offset points",
                ha=align,
                color=colour,
                bbox={"facecolor": SURFACE, "edgecolor": "none", "pad": 0.8},
            )
        centre, low, high = ends[i] / divisor
        if not math.isfinite(centre):
            told.append(f"{row.name}: no difference can be told")
            continue
        if math.isfinite(low) and math.isfinite(high):
            axes.plot([low, high], [i, i], color=row.look.colour, solid_capstyle="butt", lw=2.2)
        axes.plot(centre, i, color=row.look.colour, marker=row.look.marker, markersize=6.0)
        ends_told = f" ({low:.3g} to {high:.3g})" if math.isfinite(low + high) else ""
        told.append(f"{row.name}: {centre:.3g}{ends_told} {unit_shown}".rstrip())
    axes.axvline(0.0, color=INK, linewidth=0.8)
    reach = float(np.abs(ends[np.isfinite(ends)]).max(initial=0.0)) / divisor * 1.12 or 1.0
    axes.set_xlim(-reach, reach)
    axes.set_ylim(len(rows) - 0.6, -0.75)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="x")
    sides = ("better", "worse") if lower_is_better else ("worse", "better")
    axes.set_title(f"← {sides[0]}")
    axes.set_title(f"{sides[1]} →", loc="right")
    axes.set_xlabel(in_unit(f"difference from {label(reference, 30)}", unit_shown))
    return Picture(name, title, "; ".join(told) + ".", caption, to_svg(figure))


@drawn
def agreement(
    name: str,
    title: str,
    rows: Sequence[Rounds],
    *,
    what: str,
    unit: str,
    caption: str = "",
) -> Picture:
    """Claimed (x) against realised (y), a mark for each round, around the line of agreement."""
    figure = canvas(3.2 + key_in([row.name for row in rows]))
    axes = figure.add_subplot()
    pairs = []
    for row in rows:
        good = np.isfinite(row.claimed) & np.isfinite(row.realised)
        pairs.append(np.array([row.claimed[good], row.realised[good]]))
    whole = np.concatenate(pairs, axis=1)
    divisor, unit_shown = scale_of(whole, unit)
    told = []
    for row, pair in zip(rows, pairs, strict=True):
        claimed, realised = pair / divisor
        thin = slice(None, None, math.ceil(claimed.size / MOST_POINTS) or 1)
        axes.plot(
            claimed[thin],
            realised[thin],
            linestyle="none",
            marker=row.look.marker,
            color=row.look.colour,
            markersize=3.8,
            alpha=0.7,
            markeredgewidth=0.0,
        )
        told.append(
            f"{row.name}: claimed {claimed.mean():.3g} {unit_shown} a round, "
            f"realised {realised.mean():.3g} {unit_shown}"
            if claimed.size
            else f"{row.name} claimed nothing"
        )
    low, high = whole.min(initial=math.inf) / divisor, whole.max(initial=0.0) / divisor
    if whole.size and low > 0.0 and high > 30.0 * low:
        log_axis(axes, "x", whole / divisor)
        log_axis(axes, "y", whole / divisor)
    else:
        low = 0.0
        axes.set_xlim(0.0, high * 1.06 or 1.0)
        axes.set_ylim(0.0, high * 1.06 or 1.0)
    axes.plot([low, high], [low, high], color=MUTED, linewidth=0.8, zorder=0.5)
    axes.grid(visible=True, axis="x")
    frame(axes, in_unit(f"claimed {what}", unit_shown), in_unit(f"realised {what}", unit_shown))
    key(figure, [row.name for row in rows], [row.look for row in rows], lines=False)
    return Picture(name, title, "; ".join(told) + ".", caption, to_svg(figure))
