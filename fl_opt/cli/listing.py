"""``fl-opt list``: what there is."""

from __future__ import annotations

from typing import Any

import click

from fl_opt.catalogue import formulations, methods, rules, scenarios, solvers_of, summary
from fl_opt.cli.shell import AS_JSON, print_json
from fl_opt.experiments import NAMES, load
from fl_opt.solving import SOLVERS


@click.command(name="list")
@click.option("--json", "as_json", is_flag=True, help=AS_JSON)
def list_all(as_json: bool) -> None:
    """List problems with their solvers, policies, training methods, scenarios, experiments."""
    found: dict[str, dict[str, Any]] = {
        "problems": {
            name: {"about": summary(kind), "solvers": solvers_of(kind)}
            for name, kind in sorted(formulations().items())
        },
        "solvers": {
            name: {"about": summary(entry.load()), "structure": entry.needs.__name__}
            for name, entry in SOLVERS.items()
        },
        "policies": {name: {"about": summary(kind)} for name, kind in sorted(rules().items())},
        "methods": {name: {"about": summary(kind)} for name, kind in sorted(methods().items())},
        "scenarios": {name: {"about": about} for name, about in scenarios().items()},
        "experiments": {name: {"about": summary(type(load(name)))} for name in NAMES},
    }
    if as_json:
        print_json(found)
        return
    for title, entries in found.items():
        click.echo(click.style(title, bold=True))
        width = max(map(len, entries), default=0)
        for name, entry in entries.items():
            note = ""
            if "solvers" in entry:
                note = f" ({', '.join(entry['solvers'])})"
            elif "structure" in entry:
                note = f" (needs {entry['structure']})"
            click.echo(f"  {name:{width}}  {entry['about']}{note}")
