"""What all commands share: how they fail, how they print for machines, how they show progress."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from fl_opt.errors import Infeasible, InvalidInput, SolverFailure

INVALID, INFEASIBLE, NOT_PASSED, NO_ANSWER, INTERRUPTED = 2, 3, 4, 5, 130
"""Exit codes beside 0, done. 1 is left to defects of ours, which show their traceback."""


class Refusal(click.ClickException):
    """An answer that a person can do something about, as one paragraph on stderr."""

    exit_code = INVALID

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the paragraph."""
        click.echo(f"fl-opt: {self.format_message()}", file=file, err=file is None)


class Impossible(Refusal):
    """The problem is infeasible."""

    exit_code = INFEASIBLE


class Unanswered(Refusal):
    """A solver found neither a decision nor a proof that there is none."""

    exit_code = NO_ANSWER


class Stopped(Refusal):
    """Ctrl-C."""

    exit_code = INTERRUPTED


class Shell(click.Group):
    """A group whose commands answer invalid input, infeasibility and Ctrl-C by exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (InvalidInput, ModuleNotFoundError) as error:
            raise Refusal(str(error)) from None
        except Infeasible as error:
            raise Impossible(f"infeasible ({error.constraint}): {error}") from None
        except SolverFailure as error:
            raise Unanswered(str(error)) from None
        except BrokenPipeError:
            raise  # click ends quietly when the reader of a pipe has gone
        except OSError as error:
            text = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise Refusal(text) from None
        except KeyboardInterrupt:
            raise Stopped("interrupted") from None


class _Written(click.Path):
    """A file to be written: refused before the work, not after it, where it has no folder."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path: Any = super().convert(value, param, ctx)
        folder = Path(path).parent
        if not folder.is_dir():
            self.fail(f"{path}: there is no folder {folder}.", param, ctx)
        if not os.access(folder, os.W_OK):
            self.fail(f"{path}: nothing can be written in {folder}.", param, ctx)
        return path


WRITTEN = _Written()
AS_JSON = "Print JSON on stdout, and only that."


def print_json(value: Any) -> None:
    """Print as strict JSON, floats with all their digits: NaN is null, infinity "inf"."""
    from fl_opt.comparison.plain import plain

    click.echo(json.dumps(plain(value), indent=1, allow_nan=False))


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, where that is a terminal; the context's function sets it: done, total."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
