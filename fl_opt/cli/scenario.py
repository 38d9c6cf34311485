"""``fl-opt scenario``: look at a cell, draw it, write its networks, start a file of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fl_opt.cli.shell import AS_JSON, WRITTEN, print_json
from fl_opt.errors import InvalidInput
from fl_opt.problem_file import assignment
from fl_opt.units import quantity, unit_of

if TYPE_CHECKING:
    from fl_opt.scenario import Scenario

SET_HELP = "Change a key, such as band_hz=2e6 or cell.radius_m=300; may be repeated."
a_scenario = click.argument("name", metavar="NAME|FILE.toml")
changes = click.option("--set", "set_", multiple=True, metavar="KEY=VALUE", help=SET_HELP)
a_seed = click.option("--seed", default=1, show_default=True, help="Seed of places and channels.")


def load(name: str, set_: tuple[str, ...] = ()) -> Scenario:
    """A shipped scenario by name, or one from a .toml file, with some keys changed."""
    from fl_opt.scenario import Scenario

    found = Scenario.from_toml(name) if name.endswith(".toml") else Scenario.named(name)
    return found.replace(**dict(assignment(text) for text in set_)) if set_ else found


@click.group()
def scenario() -> None:
    """Show, draw, sample or start a scenario: a cell, its devices, how its channels change."""


@scenario.command()
@a_scenario
@changes
@click.option("--toml", "as_toml", is_flag=True, help="Print the whole file, every key.")
@click.option("--json", "as_json", is_flag=True, help=AS_JSON)
def show(name: str, set_: tuple[str, ...], as_toml: bool, as_json: bool) -> None:
    """Say what a scenario is."""
    found = load(name, set_)
    if as_toml:
        click.echo(found.to_toml(), nl=False)
    elif as_json:
        print_json(found.summary())
    else:
        for key, value in found.summary().items():
            text = value if isinstance(value, str) else quantity(value, unit_of(key))
            click.echo(f"{key.removesuffix('_hz').removesuffix('_w'):12} {text}")


@scenario.command()
@a_scenario
@changes
@a_seed
@click.option("--svg", "svg_path", type=WRITTEN, required=True, help="Write the picture there.")
def draw(name: str, set_: tuple[str, ...], seed: int, svg_path: Path) -> None:
    """Draw the cell from above as its first round finds it."""
    import numpy as np

    from fl_opt.report import devices
    from fl_opt.report.ink import look

    found = load(name, set_)
    layout = found.layout(np.random.default_rng(seed))
    devices.cell(
        "cell",
        found.name,
        layout.positions_m,
        np.ones(found.size),
        ~layout.los,
        look(0),
    ).save(svg_path)
    click.echo(f"{found.size} devices, triangles without line of sight: {svg_path}")


@scenario.command()
@a_scenario
@changes
@a_seed
@click.option("--cycles", type=float, required=True, help="CPU cycles of a round per device.")
@click.option("--upload-bit", type=float, required=True, help="Size of an update [bit].")
@click.option("--out", type=WRITTEN, required=True, help="Write a .csv or .json network there.")
def sample(
    name: str, set_: tuple[str, ...], seed: int, cycles: float, upload_bit: float, out: Path
) -> None:
    """Draw the network of a first round, to be solved by `fl-opt solve`."""
    import numpy as np

    from fl_opt.workload import Workload

    found = load(name, set_)
    workload = Workload(cycles=cycles, upload_bit=upload_bit, samples=found.data_sizes)
    network = found.draw(np.random.default_rng(seed), workload)
    if out.suffix.lower() not in (".csv", ".json"):
        raise InvalidInput("--out", str(out), "a .csv or .json file")
    (network.to_json if out.suffix.lower() == ".json" else network.to_csv)(out)
    click.echo(f"{network.size} devices, {quantity(network.band_hz, 'Hz')}: {out}")


@scenario.command()
@click.option("--out", type=WRITTEN, help="Write there instead of to stdout.")
def template(out: Path | None) -> None:
    """Write a scenario file with every key, its meaning, unit and range."""
    from fl_opt.scenario import template as text

    if out is None:
        click.echo(text(), nl=False)
    elif out.exists():
        raise InvalidInput("--out", f"{out}, which exists", "a new file")
    else:
        out.write_text(text(), encoding="utf-8")
        click.echo(f"wrote {out}; look at it with: fl-opt scenario show {out}")
