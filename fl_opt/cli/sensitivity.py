"""``fl-opt sensitivity``: which communication factor moves which metric of learning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fl_opt.cli.arms import read_arm, read_method
from fl_opt.cli.compare import read_task, world
from fl_opt.cli.scenario import load
from fl_opt.cli.shell import AS_JSON, WRITTEN, Stopped, print_json, progress

if TYPE_CHECKING:
    from fl_opt.validation.sensitivity import Sensitivity


@click.command()
@click.argument("arm", metavar="ARM")
@world
@click.option("--step", default=1.5, show_default=True, help="Factors go down and up by this.")
@click.option("--target-accuracy", type=float, help="Accuracy that N_T counts rounds to.")
@click.option("--csv", "csv_path", type=WRITTEN, help="Write a row per factor and metric there.")
@click.option("--svg", "svg_path", type=WRITTEN, help="Draw the table there.")
@click.option("--html", "html_path", type=WRITTEN, help="Write a page with table and picture.")
@click.option("--json", "as_json", is_flag=True, help=AS_JSON)
def sensitivity(
    arm: str,
    step: float,
    target_accuracy: float | None,
    csv_path: Path | None,
    svg_path: Path | None,
    html_path: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure by how many per cent each metric moves when a factor grows by one per cent.

    ARM is written as for `fl-opt compare`. Needs 13 runs for each of --seeds; Ctrl-C keeps the
    factors that are finished.
    """
    from fl_opt.validation.sensitivity import Interrupted
    from fl_opt.validation.sensitivity import sensitivity as measure

    interrupted = False
    try:
        with progress("runs") as advance:
            found = measure(
                load(options["scenario"], options["set_"]),
                read_arm(arm, read_method(options["method"])),
                read_task(options),
                options["rounds"],
                range(options["seeds"]),
                step=step,
                target_accuracy=target_accuracy,
                progress=advance,
            )
    except Interrupted as stop:
        found, interrupted = stop.table, True
    if csv_path:
        found.to_frame().to_csv(csv_path, index=False)
    if svg_path:
        _draw(found, svg_path)
    if html_path:
        from fl_opt.report import studies

        title = f"What {arm} is sensitive to in {options['scenario']}"
        studies.sensitivity(title, found).write(html_path)
    if as_json:
        print_json(
            {
                "target_accuracy": found.target_accuracy,
                "level": found.level,
                "effects": found.to_frame().to_dict("records"),
            }
        )
    else:
        click.echo(str(found))
    if interrupted:
        raise Stopped("interrupted; the factors that are finished are shown")


def _draw(found: Sensitivity, path: Path) -> None:
    from fl_opt.report import charts

    table = found.to_frame()
    names = {part: list(dict.fromkeys(table[part])) for part in ("factor", "metric")}
    shape = len(names["factor"]), len(names["metric"])
    charts.sensitivity(
        "sensitivity",
        "Elasticity of the metrics to the factors",
        names["factor"],
        names["metric"],
        table["elasticity"].to_numpy().reshape(shape),
        table["tick"].to_numpy().reshape(shape),
    ).save(path)
