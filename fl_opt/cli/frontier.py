"""``fl-opt frontier``: time against energy, with the price of a second at every point."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from fl_opt import frontier as curve
from fl_opt.cli.shell import AS_JSON, WRITTEN, Stopped, print_json, progress
from fl_opt.problem_file import parse, read_network
from fl_opt.units import Floats, quantity

if TYPE_CHECKING:
    from fl_opt.report.page import Page


@click.command()
@click.option(
    "--network",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="A .csv or .json file.",
)
@click.option("--deadline-s", help="Deadlines with commas between them; default: --points.")
@click.option("--points", default=20, show_default=True, help="Deadlines, evenly in ratio.")
@click.option(
    "--longest", default=10.0, show_default=True, help="Longest over shortest deadline [-]."
)
@click.option("--csv", "csv_path", type=WRITTEN, help="Write the points there.")
@click.option("--svg", "svg_path", type=WRITTEN, help="Draw the frontier there.")
@click.option("--html", "html_path", type=WRITTEN, help="Write a page with picture and proofs.")
@click.option("--json", "as_json", is_flag=True, help=AS_JSON)
def frontier(
    network: Path,
    deadline_s: str | None,
    points: int,
    longest: float,
    csv_path: Path | None,
    svg_path: Path | None,
    html_path: Path | None,
    as_json: bool,
) -> None:
    """Least energy of a round over its deadline, each point solved and certified.

    The slope is what a further second would save: the price of time in J/s. Without --deadline-s
    the deadlines start at the shortest round that the network allows.
    """
    cell = read_network(network)
    series = (
        curve.deadlines(cell, points, longest)
        if deadline_s is None
        else np.atleast_1d(parse("deadline_s", deadline_s))
    )
    found: list[curve.Point] = []
    interrupted = False
    try:
        with progress("frontier") as advance:
            for point in curve.frontier(cell, series):
                found.append(point)
                advance(len(found), len(series))
    except KeyboardInterrupt:
        interrupted = True
    if csv_path:
        with csv_path.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(item.name for item in dataclasses.fields(curve.Point))
            table.writerows(dataclasses.astuple(point) for point in found)
    if svg_path:
        _draw(found, svg_path)
    if html_path:
        _page(found, network.name).write(html_path)
    if as_json:
        print_json({"points": found, "complete": not interrupted})
    else:
        click.echo(f"{'deadline':>12} {'energy':>12} {'a second is worth':>18} {'gap':>9}")
        for point in found:
            click.echo(
                f"{quantity(point.deadline_s, 's', 5):>12} {quantity(point.energy_j, 'J', 5):>12} "
                f"{quantity(point.slope_w, 'J', 4):>18} {point.gap:9.1e}"
            )
    if interrupted:
        raise Stopped(f"interrupted after {len(found)} points")


def _columns(points: list[curve.Point]) -> list[Floats]:
    """Deadline, energy, slope and gap of all points, (n,) each."""
    table = [(p.deadline_s, p.energy_j, p.slope_w, p.gap) for p in points]
    return list(np.array(table).reshape(-1, 4).T)


def _draw(points: list[curve.Point], path: Path) -> None:
    from fl_opt.report import charts
    from fl_opt.report.ink import look

    time_s, energy_j, slope_w, _ = _columns(points)
    title = "Least energy over the deadline of the round"
    charts.frontier("frontier", title, time_s, energy_j, slope_w, look(0)).save(path)


def _page(points: list[curve.Point], network: str) -> Page:
    from fl_opt.report import studies

    return studies.frontier(f"Time and energy of a round in {network}", *_columns(points))
