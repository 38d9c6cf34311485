"""Pictures of studies: frontier, sensitivity, regime map, growth with the number of devices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from fl_opt.report.ink import (
    INK,
    MUTED,
    PALETTE,
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
from fl_opt.units import Floats, quantity

_GOOD, _BAD = "arm1", "arm2"
_DEEPEST = 0.5
"""Opacity of the strongest cell of a map: the number written on it stays readable."""


class Measured(NamedTuple):
    """A method and its wall-clock times, with the least and most of its repetitions."""

    name: str
    look: Look
    size: Floats
    seconds: Floats
    low: Floats
    high: Floats


@drawn
def frontier(
    name: str,
    title: str,
    time_s: Floats,
    energy_j: Floats,
    slope_w: Floats,
    look: Look,
    *,
    points: Sequence[tuple[str, Look, float, float]] = (),
    caption: str = "",
) -> Picture:
    """Time against energy, every point optimal, with the exchange rate at some of them.

    `slope_w` (n,) is what a second saved costs at each point [J/s], the negative slope; `points`
    are policies off the frontier, (name, look, seconds, joules).
    """
    figure = canvas(3.4)
    axes = figure.add_subplot()
    good = np.flatnonzero(np.isfinite(time_s) & np.isfinite(energy_j))
    order = good[np.argsort(time_s[good], kind="stable")]
    t_div, t_unit = scale_of(np.append(time_s[order], [p[2] for p in points]), "s")
    e_div, e_unit = scale_of(np.append(energy_j[order], [p[3] for p in points]), "J")
    x, y, slope = time_s[order] / t_div, energy_j[order] / e_div, slope_w[order]
    axes.plot(x, y, color=look.colour, marker="o", markersize=3.2)
    for i in _spread(x, y, 5):
        if not math.isfinite(slope[i]):
            continue
        axes.annotate(
            f"{quantity(slope[i], 'J', 2)} per s",
            (x[i], y[i]),
            xytext=(-2, 7) if i == x.size - 1 else (6, 5),
            textcoords="offset points",
            ha="right" if i == x.size - 1 else "left",
            color=MUTED,
        )
        axes.plot(x[i], y[i], marker="o", markersize=5.0, color=look.colour)
    for _, style, seconds, joules in points:
        axes.plot(
            seconds / t_div, joules / e_div, color=style.colour, marker=style.marker, markersize=6
        )
    axes.margins(x=0.1, y=0.1)
    axes.grid(visible=True, axis="x")
    frame(axes, in_unit("duration of the round", t_unit), in_unit("energy of the round", e_unit))
    if points:
        key(figure, [p[0] for p in points], [p[1] for p in points], lines=False)
    told = f"{x.size} points of the frontier"
    if x.size:
        told += (
            f", from {x[0]:.3g} {t_unit} at {y[0]:.3g} {e_unit} to {x[-1]:.3g} {t_unit} at "
            f"{y[-1]:.3g} {e_unit}"
        )
    told += "".join(
        f"; {arm} at {s / t_div:.3g} {t_unit}, {j / e_div:.3g} {e_unit}" for arm, _, s, j in points
    )
    return Picture(name, title, told + ".", caption, to_svg(figure))


def _spread(x: Floats, y: Floats, count: int) -> list[int]:
    """Indices of points spread evenly along a curve as the eye sees it."""
    if x.size < 2:
        return list(range(x.size))
    step = np.hypot(np.diff(x) / (np.ptp(x) or 1.0), np.diff(y) / (np.ptp(y) or 1.0))
    along = np.append(0.0, np.cumsum(step))
    wanted = np.linspace(0.0, along[-1], count)
    return sorted({int(np.abs(along - place).argmin()) for place in wanted})


@drawn
def sensitivity(
    name: str,
    title: str,
    factors: Sequence[str],
    metrics: Sequence[str],
    elasticity: Floats,
    certain: NDArray[np.bool_],
    *,
    caption: str = "",
) -> Picture:
    """Elasticity of each metric (columns) to each factor (rows).

    A number is the per cent that a metric moves when its factor grows by one per cent; those
    whose interval contains zero (`certain` False) are set pale, without colour.
    """
    figure = canvas(0.6 + 0.34 * len(factors), 8.0)
    axes = figure.add_subplot()
    strongest = float(np.abs(elasticity[certain & np.isfinite(elasticity)]).max(initial=0.0)) or 1.0
    for i, j in np.ndindex(elasticity.shape):
        value, sure = float(elasticity[i, j]), bool(certain[i, j])
        if sure and math.isfinite(value):
            _tile(axes, i, j, _GOOD if value > 0.0 else _BAD, abs(value) / strongest)
        text = f"{value:+.2f}".replace("-", "−") if math.isfinite(value) else "–"
        axes.annotate(text, (j, i), ha="center", va="center", color=INK if sure else MUTED)
    _table_axes(figure, axes, [label(f, 34) for f in factors], [label(m, 16) for m in metrics])
    told = [
        f"{factors[i]} on {metrics[j]}: {elasticity[i, j]:+.2f}"
        for i, j in np.argwhere(certain & np.isfinite(elasticity))
    ]
    return Picture(
        name, title, "; ".join(told) or "No effect is certain.", caption, to_svg(figure), wide=True
    )


@drawn
def regime_map(
    name: str,
    title: str,
    deadline_s: Floats,
    band_hz: Floats,
    advantage: Floats,
    certain: NDArray[np.bool_],
    *,
    text: Sequence[Sequence[str]] | None = None,
    caption: str = "",
) -> Picture:
    """Where an arm is worth what: deadlines (columns) by bands (rows).

    `advantage` (bands, deadlines) is positive where the arm is ahead; `certain` is False where its
    interval contains zero, and NaN marks what could not be run. `text` replaces the numbers.
    """
    figure = canvas(0.85 + 0.34 * band_hz.size)
    axes = figure.add_subplot()
    known = certain & np.isfinite(advantage)
    strongest = float(np.abs(advantage[known]).max(initial=0.0)) or 1.0
    for i, j in np.ndindex(advantage.shape):
        value = float(advantage[i, j])
        if known[i, j]:
            _tile(axes, i, j, _GOOD if value > 0.0 else _BAD, abs(value) / strongest)
        shown = text[i][j] if text is not None else f"{value:+.2g}".replace("-", "−")
        axes.annotate(
            label(shown, 10) if math.isfinite(value) else "–",
            (j, i),
            ha="center",
            va="center",
            color=INK if known[i, j] else MUTED,
            fontsize=8,
        )
    _table_axes(
        figure,
        axes,
        [quantity(b, "Hz", 3) for b in band_hz],
        [quantity(t, "s", 3) for t in deadline_s],
    )
    axes.set_title("band ↓  deadline →", fontsize=8)
    ahead, behind = int((known & (advantage > 0)).sum()), int((known & (advantage < 0)).sum())
    told = (
        f"Of {advantage.size} pairs of deadline and band the arm is ahead in {ahead}, behind in "
        f"{behind}, and not told apart in {advantage.size - ahead - behind}."
    )
    return Picture(name, title, told, caption, to_svg(figure))


@drawn
def growth(name: str, title: str, rows: Sequence[Measured], *, caption: str = "") -> Picture:
    """Wall-clock time against the number of devices, both logarithmic.

    `size` ascends. The slope of each row is fitted to its last two decades, where fixed costs no
    longer count.
    """
    figure = canvas(3.2 + key_in([f"{row.name}, slope 1.00" for row in rows]))
    axes = figure.add_subplot()
    told, names = [], []
    for row in rows:
        good = np.isfinite(row.seconds) & (row.seconds > 0.0)
        size, seconds = row.size[good], row.seconds[good]
        axes.vlines(size, row.low[good], row.high[good], color=row.look.colour, linewidth=1.0)
        axes.plot(
            size, seconds, color=row.look.colour, linestyle=row.look.dash, marker=row.look.marker
        )
        names.append(row.name)
        if size.size > 1:
            late = size >= size.max() / 100.0 if size[-2] >= size.max() / 100.0 else slice(None)
            slope = np.polyfit(np.log(size[late]), np.log(seconds[late]), 1)[0]
            names[-1] += f", slope {slope:.2f}"
            told.append(f"{names[-1]}, {quantity(seconds[-1], 's', 3)} at K = {size[-1]:,.0f}")
    log_axis(axes, "x", np.concatenate([row.size for row in rows]))
    log_axis(axes, "y", np.concatenate([np.append(row.low, row.high) for row in rows]))
    axes.grid(visible=True, axis="x")
    frame(axes, "devices K", "wall-clock time [s]")
    key(figure, names, [row.look for row in rows])
    return Picture(name, title, "; ".join(told) + ".", caption, to_svg(figure))


def _tile(axes: Axes, row: int, column: int, role: str, strength: float) -> None:
    axes.add_patch(
        Rectangle(
            (column - 0.48, row - 0.46),
            0.96,
            0.92,
            color=PALETTE[role][0],
            alpha=_DEEPEST * math.sqrt(strength),
            linewidth=0.0,
        )
    )


def _table_axes(figure: Figure, axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0.0, labelcolor=INK)
    axes.xaxis.tick_top()
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(False)
