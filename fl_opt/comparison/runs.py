"""Many simulations, one after another or in worker processes that end with their parent."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

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

    However this process ends, killed included, the workers see the end of a pipe and end too.
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
    context = multiprocessing.get_context("spawn")
    end, alive = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_follow_parent, initargs=(end,)
    )
    done = 0
    try:
        pending = {pool.submit(run): run for run in runs}
        for future in as_completed(pending):
            trace = future.result()
            done += pending[future].rounds
            progress(done)
            yield trace
        pool.shutdown()
    finally:
        alive.close()
        pool.shutdown(cancel_futures=True)
        end.close()


def _follow_parent(end: Connection) -> None:
    """End this worker when the parent closes its side of the pipe or is gone.

    Ctrl-C in a terminal reaches all processes of the group; what to do then is the parent's
    decision.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait() -> None:
        end.poll(None)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
