"""Many simulations, one after another or in worker processes."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fl_opt.comparison.workers import spread
from fl_opt.errors import InvalidInput

if TYPE_CHECKING:
    from fl_opt.validation import Arm, Task, Trace, World


@dataclass(frozen=True, eq=False)
class Run:
    """One arm in one world."""

    scenario: World
    arm: Arm
    task: Task
    rounds: int
    seed: int

    def __call__(self, progress: Callable[[int], None] | None = None) -> Trace:
        """Simulate it; `progress` is told the rounds done."""
        from fl_opt.validation import simulate

        return simulate(
            self.scenario, self.arm, self.task, self.rounds, self.seed, progress=progress
        )


def in_turn(runs: Sequence[Run], progress: Callable[[int], None]) -> Iterator[Trace]:
    """Traces in the order of `runs`; `progress` is told the rounds done of all of them."""
    done = 0

    def told(rounds: int) -> None:
        progress(done + rounds)

    for run in runs:
        yield run(told)
        done += run.rounds


def side_by_side(
    runs: Sequence[Run], workers: int, progress: Callable[[int], None]
) -> Iterator[Trace]:
    """Traces as they are finished by worker processes.

    Raises ``InvalidInput`` for arms that can't be sent to another process.
    """
    for run in runs:
        try:
            pickle.dumps(run)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise InvalidInput(
                f"arm {run.arm.name}",
                f"nothing that a worker process can be told ({error})",
                "policies and methods of importable parts",
                "replace a lambda by functools.partial or a function of a module, or say workers=1",
            ) from None
    done = 0
    for number, trace in spread(runs, workers):
        done += runs[number].rounds
        progress(done)
        yield trace
