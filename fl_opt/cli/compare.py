"""``fl-opt compare``: arms in the same worlds, what differs with intervals, the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fl_opt.cli.arms import read_arm, read_method
from fl_opt.cli.scenario import SET_HELP, load
from fl_opt.cli.shell import AS_JSON, WRITTEN, Stopped, print_json, progress

if TYPE_CHECKING:
    from fl_opt.comparison import Report
    from fl_opt.validation import Task

_WORLD = (
    click.option("--scenario", default="urban", show_default=True, metavar="NAME|FILE.toml"),
    click.option("--set", "set_", multiple=True, metavar="KEY=VALUE", help=SET_HELP),
    click.option("--dataset", default="digits", show_default=True, help="digits, mnist, ..."),
    click.option("--model", default="softmax", show_default=True, help="softmax, mlp or cnn."),
    click.option(
        "--partition",
        default="iid",
        show_default=True,
        help="iid, dirichlet:ALPHA, shards:C, rotated:G, scarce:C.",
    ),
    click.option("--method", default="FedAvg", show_default=True, metavar="NAME:KEY=VALUE..."),
    click.option("--rounds", default=30, show_default=True, help="Rounds of each run."),
    click.option("--seeds", default=6, show_default=True, help="Worlds in which all arms run."),
)


def world(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say in which worlds what is learned."""
    for option in reversed(_WORLD):
        command = option(command)
    return command


def read_task(options: dict[str, Any]) -> Task:
    """The task that the options of `world` describe."""
    from fl_opt.validation import Task

    return Task(**{name: options[name] for name in ("dataset", "model", "partition")})


@click.command()
@click.argument("arms", nargs=-1, required=True, metavar="ARM...")
@world
@click.option("--workers", default=1, show_default=True, help="Processes side by side.")
@click.option("--target-accuracy", type=float, help="Accuracy that runs are timed to.")
@click.option("--html", "html_path", type=WRITTEN, help="Write the report there.")
@click.option("--csv", "csv_path", type=WRITTEN, help="Write a row per arm, seed and round there.")
@click.option("--json-out", "json_path", type=WRITTEN, help="Write all of it as JSON there.")
@click.option("--json", "as_json", is_flag=True, help=AS_JSON)
def compare(
    arms: tuple[str, ...],
    html_path: Path | None,
    csv_path: Path | None,
    json_path: Path | None,
    as_json: bool,
    workers: int,
    target_accuracy: float | None,
    **options: Any,
) -> None:
    """Train with several policies in the same worlds and say what differs.

    An ARM is a policy with its fields (random:count=10, round-robin:deadline_s=2), or a problem
    that is solved anew in every round (optimised:JointSchedule:deadline_s=2). The first arm is the
    one that the others are compared with. Ctrl-C keeps the runs that are finished.
    """
    import fl_opt
    from fl_opt.comparison import Interrupted

    method = read_method(options["method"])
    chosen = [read_arm(text, method) for text in arms]
    scenario = load(options["scenario"], options["set_"])
    interrupted = False
    try:
        with progress("rounds") as advance:
            report = fl_opt.compare(
                chosen,
                scenario,
                read_task(options),
                rounds=options["rounds"],
                seeds=options["seeds"],
                target_accuracy=target_accuracy,
                workers=workers,
                progress=advance,
            )
    except Interrupted as stop:
        report, interrupted = stop.report, True
    for path, write in (
        (html_path, report.to_html),
        (csv_path, report.to_csv),
        (json_path, report.to_json),
    ):
        if path:
            write(path)
    if as_json:
        print_json(report.to_dict())
    else:
        _print(report)
        for path in filter(None, (html_path, csv_path, json_path)):
            click.echo(f"report: {path.resolve()}")
    if interrupted:
        raise Stopped(f"interrupted; {len(report.traces)} finished runs are reported")


def _print(report: Report) -> None:
    from fl_opt.report import words

    table = words.arms_table(report)
    click.echo(table.caption)
    lines = [[table.corner, *table.heads]]
    for title, cells in table.rows:
        texts = [f"{cell.text} ({cell.detail})" if cell.detail else cell.text for cell in cells]
        lines.append([title, *texts])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        pairs = zip(line, widths, strict=True)
        click.echo("  ".join(f"{text:<{width}}" for text, width in pairs).rstrip())
    click.echo()
    sentence, verdicts = words.answer(report)
    click.echo(sentence)
    for arm, verdict in verdicts:
        click.echo(f"  {arm}: {verdict}")
    click.echo(report.method())
