"""``fl-opt solve``: a subcommand per formulation, its options read off the formulation's fields."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from fl_opt.catalogue import formulations, pick, solvers_of, summary
from fl_opt.certificate import Solution
from fl_opt.cli.shell import AS_JSON, WRITTEN, print_json
from fl_opt.errors import Infeasible, InvalidInput
from fl_opt.network import Network
from fl_opt.problem_file import (
    Stated,
    assignment,
    build,
    parse,
    read_network,
    read_problem,
    record_in,
    required,
)
from fl_opt.solving import solve as solve_problem
from fl_opt.units import unit_of

SET = click.Option(
    ["--set", "set_"],
    multiple=True,
    metavar="FIELD=VALUE",
    help="A field of the network, for all devices, over the file: --set band_hz=2e6.",
)
OWN = ("solver", "time_limit_s", "out", "as_json")
"""Options that say how to solve, not what."""


class _ByProblem(click.Group):
    """Subcommands are the formulations, made when they are asked for; a .toml file is one too."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(formulations())

    def get_command(self, ctx: click.Context, name: str) -> click.Command:
        if name.endswith(".toml"):
            return _file_command(Path(name))
        return _problem_command(pick("problem", name, formulations()))


_HELP = """Solve one problem and print its certificate.

\b
fl-opt solve MinEnergy --network cell.csv --deadline-s 2
fl-opt solve problem.toml --json

A problem file holds the problem's name, its fields, and the network's path or its arrays:

\b
problem = "MinEnergy"
network = "cell.csv"
deadline_s = 2
"""


@click.group(
    name="solve",
    help=_HELP,
    cls=_ByProblem,
    subcommand_metavar="PROBLEM|FILE.toml [OPTIONS]",
    epilog="`fl-opt solve PROBLEM --help` lists the limits of a problem. A value is a number, "
    "numbers with commas between them, or @FILE.csv for the column of the option's name.",
)
def solve() -> None:
    """Solve one problem and print its certificate."""


def _output_options() -> list[click.Parameter]:
    return [
        click.Option(["--solver"], help="A solver that `fl-opt list` shows; default the best."),
        click.Option(["--time-limit-s"], type=float, help="Limit of a search in a tree [s]."),
        click.Option(
            ["--out"],
            type=WRITTEN,
            help="Write the decision there as CSV, a row per device.",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help=AS_JSON),
    ]


def _file_command(path: Path) -> click.Command:
    def run(**options: Any) -> None:
        if not path.is_file():
            raise InvalidInput(str(path), "not there", "a problem file")
        _answer(read_problem(path), options)

    return click.Command(
        path.name, callback=run, params=_output_options(), help=f"Solve the problem of {path}."
    )


def _problem_command(kind: type) -> click.Command:
    fields = [item for item in dataclasses.fields(kind) if item.init]
    hints = typing.get_type_hints(kind)
    told = parameter_help(kind)
    options: list[click.Parameter] = []
    for item in fields:
        unit = unit_of(item.name)
        about = told.get(item.name, f"[{unit}]" if unit else "")
        record = record_in(hints[item.name])
        if record is not None:
            form = "A .csv or .json file." if record is Network else "A .toml file of its fields."
            about = f"{about} {form}".strip()
        options.append(_option(item.name, about, required(kind, item.name)))
    networks = [item.name for item in fields if hints[item.name] is Network]
    if networks:
        options.append(SET)

    def run(set_: tuple[str, ...] = (), **options: Any) -> None:
        values = {
            name: parse(name, text)
            for name, text in options.items()
            if name not in OWN and text is not None
        }
        over = dict(assignment(text) for text in set_)
        for name in networks:
            values[name] = read_network(Path(values[name]), **over)
        _answer(Stated(build(kind, values, kind.__name__, Path())), options)

    return click.Command(
        kind.__name__,
        callback=run,
        params=options + _output_options(),
        help=f"{summary(kind)}\n\nSolvers: {', '.join(solvers_of(kind))}.",
        short_help=summary(kind),
    )


def _option(name: str, about: str, needed: bool) -> click.Option:
    metavar = "FILE" if name == "network" else "VALUE"
    return click.Option(
        ["--" + name.replace("_", "-"), name], required=needed, metavar=metavar, help=about
    )


def parameter_help(kind: type) -> dict[str, str]:
    """What a numpy-style docstring says of each parameter, in one line."""
    section = re.search(
        r"^Parameters\n-+\n(.*?)(?=\n\n\S|\Z)", inspect.getdoc(kind) or "", re.DOTALL | re.MULTILINE
    )
    told: dict[str, str] = {}
    if section:
        for names, text in re.findall(r"^(\S.*)\n((?:[ ]+.*\n?|\n)+)", section[1], re.MULTILINE):
            for name in names.partition(":")[0].split(","):
                told[name.strip()] = " ".join(text.split())
    return told


def _answer(stated: Stated, options: Mapping[str, Any]) -> None:
    name = type(stated.problem).__name__
    solver, limit = options["solver"], options["time_limit_s"]
    try:
        solution = solve_problem(
            stated.problem,
            stated.solver if solver is None else solver,
            stated.time_limit_s if limit is None else limit,
        )
    except Infeasible as error:
        if options["as_json"]:
            print_json(
                {
                    "problem": name,
                    "status": "infeasible",
                    "constraint": error.constraint,
                    "devices": error.devices,
                    "relaxations": error.relaxations,
                    "reason": error.reason,
                }
            )
        raise
    if options["out"]:
        if not hasattr(solution.allocation, "to_frame"):
            kind = type(solution.allocation).__name__
            raise InvalidInput("--out", kind, "a decision with a row per device", "use --json")
        solution.to_frame().to_csv(options["out"])
    if options["as_json"]:
        print_json({"problem": name, "status": "solved"} | as_record(solution))
    else:
        click.echo(f"{name}: {summary(type(stated.problem))}")
        click.echo(str(solution))


def as_record(solution: Solution[Any]) -> dict[str, Any]:
    """A solution as the table that ``--json`` prints."""
    proof = solution.certificate
    return {
        "cost": proof.cost,
        "bound": proof.bound,
        "gap": proof.gap,
        "proof": proof.proof,
        "violation": proof.violation,
        "prices": solution.prices,
        "solver": solution.solver,
        "seconds": solution.seconds,
        "allocation": solution.allocation,
    }
