"""Pictures of devices: where they are, who is served, with what, and what more would be worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from fl_opt.report.ink import (
    INK,
    MUTED,
    RULE,
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
from fl_opt.report.scales import binned, log_axis, round_step, scale_of
from fl_opt.units import Floats

MOST_DEVICES = 400
"""Devices drawn one by one; of more, every n-th is."""
MOST_BARS = 80
"""Bars in a strip that goes through the devices; of more devices, neighbours share a bar."""
_ROOMY = 120
"""Devices that still have room in a cell; the marks of more are smaller."""
_SIZES = (3.4, 3.9, 4.8, 5.8, 6.8)


class Row(NamedTuple):
    """One value per device (K,), for one arm, with a remark set at the right."""

    name: str
    look: Look
    values: Floats
    remark: str = ""


@drawn
def cell(
    name: str,
    title: str,
    positions_m: Floats,
    share: Floats,
    weak: NDArray[np.bool_],
    look: Look,
    *,
    caption: str = "",
) -> Picture:
    """The cell from above: base station, devices, how often each was served.

    `share` (K,) in [0, 1] is the share of rounds in which the update of a device arrived; `weak`
    (K,) marks links that are drawn as triangles.
    """
    figure = canvas(2.7, 2.7)
    axes = figure.add_subplot()
    seen = np.flatnonzero(np.isfinite(positions_m[:, :2]).all(axis=1))
    every = math.ceil(seen.size / MOST_DEVICES) or 1
    shown = seen[::every]
    reach = float(np.hypot(*positions_m[seen, :2].T).max(initial=1.0)) * 1.06
    divisor, unit = scale_of(reach, "m")
    step = round_step(reach / divisor / 2.4)
    rings = np.arange(step, reach / divisor, step) * divisor
    way = _clearest(positions_m[seen, :2], rings)
    for ring in rings:
        axes.add_patch(Circle((0, 0), ring, fill=False, color=RULE, linewidth=0.8, zorder=0))
        axes.annotate(
            f"{ring / divisor:g} {unit}",
            (ring * way[0], ring * way[1]),
            ha="center",
            va="center",
            fontsize=8,
            color=MUTED,
            bbox={"facecolor": SURFACE, "edgecolor": "none", "pad": 1.0},
            zorder=0.5,
        )
    level = np.where(share > 0.0, np.clip(np.ceil(share * 4.0), 1, 4), 0).astype(int)
    crowd = min(1.0, math.sqrt(_ROOMY / max(shown.size, 1)))
    for rung, size in enumerate(_SIZES):
        for is_weak, sign in ((False, "o"), (True, "^")):
            some = shown[(level[shown] == rung) & (weak[shown] == is_weak)]
            axes.plot(
                positions_m[some, 0],
                positions_m[some, 1],
                linestyle="none",
                marker=sign,
                markersize=max(crowd * size, 1.8),
                markerfacecolor=look.colour if rung else SURFACE,
                markeredgecolor=SURFACE if rung else MUTED,
                markeredgewidth=0.4 if rung else 0.7,
            )
    axes.plot(0.0, 0.0, marker="P", markersize=9, color=INK, markeredgecolor=SURFACE)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.axis("off")
    told = (
        f"{seen.size} devices around the base station: {int((share[seen] == 0.0).sum())} never "
        f"served, {int(weak[seen].sum())} with a weak link"
    )
    if seen.size:
        told += f"; the median device was served in {np.median(share[seen]):.0%} of the rounds"
    note = f" Every {every}th device is drawn." if every > 1 else ""
    return Picture(name, title, f"{told}.{note}", caption + note, to_svg(figure))


def _clearest(places: Floats, rings: Floats) -> tuple[float, float]:
    """Direction in which the names of the rings are farthest from any device."""
    ways = [(math.cos(a), math.sin(a)) for a in np.arange(16) * math.pi / 8.0]
    if not places.size or not rings.size:
        return ways[12]
    spots = rings[None, :, None] * np.array(ways)[:, None, :]
    away = np.linalg.norm(spots[:, :, None, :] - places[None, None, :, :], axis=-1)
    return ways[int(away.min(axis=(1, 2)).argmax())]


@drawn
def device_rows(
    name: str,
    title: str,
    rows: Sequence[Row],
    *,
    value_name: str,
    unit: str,
    order: str,
    top: float | None = None,
    caption: str = "",
) -> Picture:
    """A strip of bars for each arm: one value per device, in the same order in every strip."""
    figure = canvas(0.5 + 0.66 * len(rows))
    strips = figure.subplots(len(rows), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    values = [binned(np.where(np.isfinite(r.values), r.values, 0.0), MOST_BARS) for r in rows]
    high = max(float(v.max(initial=0.0)) for v in values) if top is None else top
    divisor, unit_shown = scale_of(high, unit)
    size = rows[0].values.size
    for axes, row, bars in zip(strips, rows, values, strict=True):
        edges = np.linspace(0.0, size, bars.size + 1)
        gap = 0.14 * size / bars.size
        axes.bar(edges[:-1], bars / divisor, edges[1] - gap, align="edge", color=row.look.colour)
        axes.set_ylim(0.0, (high / divisor or 1.0) * 1.02)
        axes.set_xlim(0.0, size)
        axes.yaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10], min_n_ticks=2))
        axes.set_title(label(row.name, 22), color=INK, pad=3.0)
        axes.set_title(label(row.remark, 34), loc="right", pad=3.0)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="x", length=0.0, labelbottom=False)
    strips[-1].set_xlabel(f"{size} devices, {order} →", loc="left")
    strips[-1].annotate(
        in_unit(value_name, unit_shown),
        (1.0, 0.0),
        xycoords="axes fraction",
        xytext=(0, -4),
        textcoords="offset points",
        ha="right",
        va="top",
        color=MUTED,
    )
    told = [f"{row.name}: {row.remark}" for row in rows if row.remark]
    return Picture(name, title, "; ".join(told) or title, caption, to_svg(figure))


@drawn
def device_dots(
    name: str,
    title: str,
    rows: Sequence[Row],
    *,
    value_name: str,
    unit: str,
    order: str,
    caption: str = "",
) -> Picture:
    """A dot for each device and arm on a logarithmic scale."""
    figure = canvas(3.0 + key_in([row.name for row in rows]))
    axes = figure.add_subplot()
    good = [np.flatnonzero(np.isfinite(r.values) & (r.values > 0.0)) for r in rows]
    whole = np.concatenate([row.values[some] for row, some in zip(rows, good, strict=True)])
    divisor, unit_shown = scale_of(np.median(whole) if whole.size else 0.0, unit)
    told = []
    for row, some in zip(rows, good, strict=True):
        thin = some[:: math.ceil(some.size / MOST_DEVICES) or 1]
        axes.plot(
            thin + 1,
            row.values[thin] / divisor,
            linestyle="none",
            marker=row.look.marker,
            color=row.look.colour,
            markersize=4.2,
            markeredgecolor=SURFACE,
            markeredgewidth=0.4,
        )
        if some.size:
            span = row.values[some] / divisor
            told.append(
                f"{row.name}: {span.min():.3g} to {span.max():.3g} {unit_shown} over "
                f"{some.size} devices"
            )
    log_axis(axes, "y", whole / divisor)
    axes.set_xlim(0.0, rows[0].values.size + 1)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    frame(axes, f"device, {order} →", in_unit(value_name, unit_shown))
    key(figure, [row.name for row in rows], [row.look for row in rows], lines=False)
    return Picture(name, title, "; ".join(told) or title, caption, to_svg(figure))
