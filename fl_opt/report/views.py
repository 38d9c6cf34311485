"""From the traces of a comparison to its pictures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fl_opt import physics
from fl_opt.allocation import use
from fl_opt.report import devices, figures
from fl_opt.report.ink import Picture, label, look
from fl_opt.report.words import seeds_won
from fl_opt.units import Floats, quantity

if TYPE_CHECKING:
    from fl_opt.comparison import Report
    from fl_opt.network import Network
    from fl_opt.validation import Trace

GRID = 240
"""Most points of a learning curve."""
MOST_CELLS = 8
"""Arms whose cell is drawn."""
_STEP = 1e-4
"""Relative step of the bandwidth in a marginal value, a central difference."""
_ORDER = "best channel first"
_HEADLINES = (
    ("time_to_target_s", "Time to the target accuracy"),
    ("energy_to_target_j", "Energy to the target accuracy"),
    ("accuracy_at_time", "Accuracy at equal time"),
    ("accuracy_at_energy", "Accuracy at equal energy"),
)


def first_runs(report: Report) -> list[tuple[int, Trace]]:
    """Index and run of every arm that has one in the first seed that any arm finished."""
    if not report.traces:
        return []
    seed = report.traces[0].seed
    return [
        (i, runs[seed]) for i, arm in enumerate(report.arms) if seed in (runs := report.runs(arm))
    ]


def learning(report: Report) -> list[Picture]:
    """Accuracy against simulated time, and against energy."""
    target = report.yardstick.accuracy
    caption = (
        "Line: mean of the seeds. Band: from the worst to the best seed. The seeds are shared by "
        "all arms, so bands that overlap do not mean arms that are alike; see the differences."
    )
    return [
        figures.curves(
            f"accuracy-{slug}",
            f"Accuracy against {words}",
            [
                _series(report, i, arm, slug)
                for i, arm in enumerate(report.arms)
                if report.runs(arm)
            ],
            x_name=x_name,
            x_unit=unit,
            y_name="test accuracy",
            target=target if math.isfinite(target) else None,
            caption=caption if slug == "time" else "The same runs over the energy of all devices.",
        )
        for slug, words, x_name, unit in (
            ("time", "simulated time", "simulated time", "s"),
            ("energy", "energy", "energy of all devices", "J"),
        )
    ]


def _series(report: Report, index: int, arm: str, axis: str) -> figures.Series:
    runs = list(report.runs(arm).values())
    spent = [trace.time_s if axis == "time" else np.cumsum(trace.energy_j) for trace in runs]
    # Every step of the mean is at a round of one of the runs, up to where the first run ends.
    grid = np.unique(np.concatenate(spent))
    grid = grid[grid <= min(float(x[-1]) for x in spent)]
    grid = grid[np.unique(np.linspace(0, grid.size - 1, min(GRID, grid.size)).astype(int))]
    held = np.array([_hold(grid, x, trace.accuracy) for x, trace in zip(spent, runs, strict=True)])
    # Before every seed has an accuracy there is no mean of all of them.
    held = np.where(np.isfinite(held).all(axis=0), held, np.nan)
    return figures.Series(
        arm, look(index), grid, held.mean(axis=0), held.min(axis=0), held.max(axis=0)
    )


def _hold(grid: Floats, x: Floats, y: Floats) -> Floats:
    """Last known value of y at every place of the grid; NaN before the first."""
    known = np.flatnonzero(np.isfinite(y))
    place = np.searchsorted(x[known], grid, side="right") - 1
    return np.where(place >= 0, y[known[np.maximum(place, 0)]] if known.size else np.nan, np.nan)


def differences(report: Report) -> list[Picture]:
    """What every arm gains on the first, with intervals, for the measures people ask for first."""
    rows = report.paired_rows()
    index = {arm: i for i, arm in enumerate(report.arms)}
    pictures = []
    for name, title in _HEADLINES:
        some = [row for row in rows if row.measure.name == name]
        if not some:
            continue
        pictures.append(
            figures.forest(
                f"difference-{name.replace('_', '-')}",
                title,
                [
                    figures.Difference(r.arm, look(index[r.arm]), r.interval, seeds_won(r))
                    for r in some
                ],
                unit=some[0].measure.unit,
                reference=report.arms[0],
                lower_is_better=some[0].measure.better == "lower",
                caption="One seed, so without an interval."
                if all(r.interval.count < 2 for r in some)
                else f"Mean over the seeds and its {report.level:.0%} interval.",
            )
        )
    return pictures


def cells(report: Report) -> list[Picture]:
    """The cell once for every arm, with who was served."""
    pictures = []
    for i, trace in first_runs(report)[:MOST_CELLS]:
        weak = weak_links(trace.first_network)
        pictures.append(
            devices.cell(
                f"cell-{i}",
                label(trace.arm, 44),
                np.asarray(trace.positions_m),
                trace.participation.mean(axis=0),
                weak,
                look(i),
                caption=_participation_words(trace),
            )
        )
    return pictures


def weak_links(network: Network) -> NDArray[np.bool_]:
    """(K,) whether noise outweighs the signal at full power over an equal share of the band."""
    signal = network.gain * network.power_max_w
    return np.asarray(signal < network.noise_w_hz * network.band_hz / network.size)


def _participation_words(trace: Trace) -> str:
    share = trace.participation.mean(axis=0)
    never = int((share == 0.0).sum())
    left_out = "every device was served" if not never else f"{never} of {share.size} never served"
    fair = float(trace.jain[-1])
    return f"{left_out}; Jain {fair:.2f}" if math.isfinite(fair) else left_out


def participation(report: Report) -> Picture:
    """Share of the rounds in which each device's update arrived."""
    runs = first_runs(report)
    order = best_first(runs[0][1].first_network)
    return devices.device_rows(
        "participation",
        "How often each is served",
        [
            devices.Row(
                t.arm, look(i), t.participation.mean(axis=0)[order], _participation_words(t)
            )
            for i, t in runs
        ],
        value_name="rounds served",
        unit="%",
        order=_ORDER,
        top=1.0,
        caption="Share of the rounds in which the update of a device arrived. Every strip has the "
        "devices in the same order, by their channel in the first round.",
    )


def best_first(network: Network) -> NDArray[np.int_]:
    """(K,) devices by channel gain over noise, the best first."""
    return np.argsort(-network.gain / network.noise_w_hz, kind="stable")


def bandwidth(report: Report) -> Picture:
    """Bandwidth of each device in the first round."""
    runs = first_runs(report)
    order = best_first(runs[0][1].first_network)
    rows = []
    for i, trace in runs:
        one = trace.first_allocation
        hertz = np.where(one.selected, one.bandwidth_hz, 0.0)
        together = one.access == "fdma"
        used = float(hertz.sum() if together else hertz.max(initial=0.0))
        words = (
            f"{int(one.selected.sum())} devices, {quantity(used, 'Hz', 3)} of "
            f"{quantity(trace.first_network.band_hz, 'Hz', 3)}"
        )
        rows.append(devices.Row(trace.arm, look(i), hertz[order], words))
    return devices.device_rows(
        "bandwidth",
        "Who gets which bandwidth",
        rows,
        value_name="bandwidth",
        unit="Hz",
        order=_ORDER,
        caption="A gap is a device that does not take part.",
    )


def worth(report: Report) -> Picture:
    """Energy that one more hertz would save each device in the first round."""
    runs = first_runs(report)
    order = best_first(runs[0][1].first_network)
    return devices.device_dots(
        "worth",
        "What more bandwidth would be worth",
        [devices.Row(t.arm, look(i), saved_j_hz(t)[order]) for i, t in runs],
        value_name="energy saved",
        unit="J/Hz",
        order=_ORDER,
        caption="Upload energy that one more hertz saves. A level row: nothing to gain by moving.",
    )


def saved_j_hz(trace: Trace) -> Floats:
    """(K,) upload energy that one more hertz saves at unchanged airtime [J/Hz]; NaN where none."""
    network, one = trace.first_network, trace.first_allocation
    if one.access != "fdma":
        return np.full(network.size, np.nan)
    airtime = use(network, one).airtime_s
    payload = network.upload_bit if one.upload_bit is None else one.upload_bit
    on = one.selected & (one.bandwidth_hz > 0.0) & (airtime > 0.0) & np.isfinite(airtime)
    saved = np.full(network.size, np.nan)
    narrow, broad = (
        physics.upload_energy_j(
            physics.upload_power_w(
                payload[on],
                airtime[on],
                one.bandwidth_hz[on] * factor,
                network.gain[on],
                network.noise_w_hz[on],
            ),
            airtime[on],
        )
        for factor in (1.0 - _STEP, 1.0 + _STEP)
    )
    saved[on] = (narrow - broad) / (2.0 * _STEP * one.bandwidth_hz[on])
    return saved


def costs(report: Report) -> Picture:
    """Energy of each device, mean over the rounds."""
    runs = first_runs(report)
    order = best_first(runs[0][1].first_network)
    rows = []
    for i, trace in runs:
        mean = trace.device_energy_j.mean(axis=0)
        words = f"{quantity(float(mean.sum()), 'J', 3)} a round"
        rows.append(devices.Row(trace.arm, look(i), mean[order], words))
    return devices.device_rows(
        "costs",
        "What it costs them",
        rows,
        value_name="energy a round",
        unit="J",
        order=_ORDER,
        caption="Energy of a device in a round, training and upload, mean over all rounds, "
        "those included in which it rests.",
    )


def claims(report: Report) -> list[Picture]:
    """Claimed against realised duration and energy of every round."""
    pictures = []
    for slug, words, unit in (("s", "duration of a round", "s"), ("j", "energy of a round", "J")):
        rows = []
        for i, arm in enumerate(report.arms):
            runs = list(report.runs(arm).values())
            if runs:
                claimed = np.concatenate([getattr(t, f"claimed_{slug}") for t in runs])
                real = np.concatenate([t.round_s if slug == "s" else t.energy_j for t in runs])
                rows.append(figures.Rounds(arm, look(i), claimed, real))
        pictures.append(
            figures.agreement(
                f"claims-{slug}",
                f"Claimed and realised {words}",
                rows,
                what=words,
                unit=unit,
                caption="A mark is a round; on the line the policy got what it promised.",
            )
        )
    return pictures
