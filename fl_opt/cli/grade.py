"""``fl-opt grade``: judge an answer to an exercise of the coursework."""

from __future__ import annotations

from pathlib import Path

import click

from fl_opt.cli.shell import AS_JSON, NOT_PASSED, print_json


@click.command()
@click.argument("exercise", type=click.Path(exists=True, path_type=Path))
@click.argument("answer", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help=AS_JSON)
@click.pass_context
def grade(ctx: click.Context, exercise: Path, answer: Path, as_json: bool) -> None:
    """Judge ANSWER (JSON) to EXERCISE, a folder of coursework/ or its exercise.toml.

    Ends with code 4 where the answer does not pass.
    """
    from fl_opt import grading

    task = grading.read_exercise(exercise)
    result = grading.grade(task, grading.read_answer(answer, task.stated.problem.network.size))
    if as_json:
        print_json({"exercise": task.title, "grade": result, "gap": result.certificate.gap})
    else:
        click.echo(f"{task.title}: {result}")
    if not result.passed:
        ctx.exit(NOT_PASSED)
