"""The command ``fl-opt``: a file per subcommand."""

from __future__ import annotations

import click

import fl_opt
from fl_opt.cli.compare import compare
from fl_opt.cli.frontier import frontier
from fl_opt.cli.grade import grade
from fl_opt.cli.listing import list_all
from fl_opt.cli.reproduce import reproduce
from fl_opt.cli.scenario import scenario
from fl_opt.cli.sensitivity import sensitivity
from fl_opt.cli.shell import Shell
from fl_opt.cli.solve import solve


@click.group(
    cls=Shell,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done; 2 wrong usage or invalid input; 3 infeasible, with the reason and "
    "what would cure it; 4 graded, not passed, or a threshold missed; 5 a solver gave up without "
    "an answer; 130 interrupted, what was finished is kept.",
)
@click.version_option(fl_opt.__version__, prog_name="fl-opt")
def main() -> None:
    """Resource allocation for federated learning over wireless links, solved and certified.

    All quantities are SI: Hz, W, J, s, bit.
    """


for command in (list_all, solve, frontier, compare, sensitivity, reproduce, scenario, grade):
    main.add_command(command)
