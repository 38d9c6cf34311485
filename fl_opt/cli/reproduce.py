"""``fl-opt reproduce``: run experiments by name, and say which thresholds they met."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fl_opt.catalogue import pick, summary
from fl_opt.cli.shell import AS_JSON, NOT_PASSED, WRITTEN, Stopped, Unanswered, print_json, progress
from fl_opt.experiments import NAMES, Experiment, load

if TYPE_CHECKING:
    from fl_opt.experiments.runner import Outcome


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--all", "all_", is_flag=True, help="Run all experiments.")
@click.option("--list", "list_", is_flag=True, help="Name the experiments, and run none.")
@click.option("--workers", default=1, show_default=True, help="Processes side by side.")
@click.option("--quick", is_flag=True, help="Tiny settings on digits, held to no threshold.")
@click.option("--dataset", help="Learn this instead; held to no threshold.")
@click.option("--fresh", is_flag=True, help="Forget runs that are kept, and run them again.")
@click.option(
    "--store",
    "store_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where finished runs are kept; by default in the user's data folder.",
)
@click.option("--html", "html_path", type=WRITTEN, help="Write a page with all of it there.")
@click.option(
    "--record",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write what the documentation shows into this folder.",
)
@click.option("--json", "as_json", is_flag=True, help=AS_JSON)
def reproduce(
    names: tuple[str, ...],
    all_: bool,
    list_: bool,
    workers: int,
    quick: bool,
    dataset: str | None,
    fresh: bool,
    store_path: Path | None,
    html_path: Path | None,
    folder: Path | None,
    as_json: bool,
) -> None:
    """Run experiments by NAME, and hold them to the thresholds that were set before.

    A run that is finished is kept, also when this command is interrupted or killed; the same
    command goes on with those that are missing. Changed settings or changed code start anew.
    MNIST and Fashion-MNIST are used where they are at hand, digits elsewhere. Exit code 4: a
    threshold was missed.
    """
    if list_:
        _list(as_json)
        return
    if bool(names) == all_:
        raise click.UsageError(f"say --all, or NAME... of: {', '.join(NAMES)}")
    if quick and folder:
        raise click.UsageError("--quick leaves no record")
    from fl_opt.experiments.runner import Halted, settled
    from fl_opt.experiments.runner import reproduce as run
    from fl_opt.experiments.store import Store

    known = {name: name for name in NAMES}
    chosen = NAMES if all_ else dict.fromkeys(pick("experiment", name, known) for name in names)
    full = [load(name) for name in chosen]
    experiments = [one.quick() if quick else settled(one, dataset) for one in full]
    halted: Halted | None = None
    store = Store(store_path or _default_store())
    try:
        with progress("runs") as advance:
            outcomes = run(
                experiments,
                store,
                workers=workers,
                fresh=fresh,
                held=not quick,
                progress=advance,
            )
    except Halted as stop:
        outcomes, halted = list(stop.outcomes), stop
    except BrokenProcessPool:
        raise Unanswered(
            "a worker was ended from outside, perhaps for want of memory; finished runs are kept, "
            "and the same command goes on"
        ) from None
    finally:
        store.close()
    _report(outcomes, html_path, folder, as_json)
    if halted:
        raise Stopped(
            f"interrupted; finished runs are kept in {store.path}, the same command goes on with "
            f"the {halted.missing} that are missing"
        )
    if any(row.met is False for outcome in outcomes for row in outcome.rows):
        click.get_current_context().exit(NOT_PASSED)


def _default_store() -> Path:
    import platformdirs

    return Path(platformdirs.user_data_dir("fl_opt")) / "experiments.sqlite"


def _list(as_json: bool) -> None:
    about = {name: summary(type(load(name))) for name in NAMES}
    if as_json:
        print_json(about)
        return
    width = max(map(len, about), default=0)
    for name, text in about.items():
        click.echo(f"{name:{width}}  {text}")


def _report(
    outcomes: Sequence[Outcome], html_path: Path | None, folder: Path | None, as_json: bool
) -> None:
    written = []
    if html_path:
        from fl_opt.experiments.page import page

        written.append(page(outcomes).write(html_path))
    if folder:
        from fl_opt.experiments.record import write

        written += [write(outcome, folder) for outcome in outcomes if outcome.complete]
    if as_json:
        print_json([_plain(outcome) for outcome in outcomes])
        return
    for outcome in outcomes:
        _print(outcome)
    for path in written:
        click.echo(f"written: {path.resolve()}")


def _plain(outcome: Outcome) -> dict[str, object]:
    one: Experiment = outcome.experiment
    return {
        "experiment": one.name,
        "settings": vars(one),
        "complete": outcome.complete,
        "held": outcome.held,
        "seconds": outcome.seconds,
        "rows": outcome.rows,
        "results": outcome.results,
    }


def _print(outcome: Outcome) -> None:
    from fl_opt.experiments.tables import HEADS, lines, setting, spent, title, verdict

    one = outcome.experiment
    click.echo(click.style(f"{one.name}: {title(one)}", bold=True))
    click.echo(f"{setting(outcome)}, {spent(outcome)}; {verdict(outcome)}")
    table = [("quantity", *HEADS), *lines(outcome.rows)]
    if len(table) > 1:
        widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
        for line in table:
            pairs = zip(line, widths, strict=True)
            click.echo("  " + "  ".join(f"{text:<{width}}" for text, width in pairs).rstrip())
    click.echo()
