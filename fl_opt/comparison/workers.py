"""Work spread over processes that end with their parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.connection import Connection
from typing import TypeVar

T = TypeVar("T")


def spread(jobs: Sequence[Callable[[], T]], workers: int) -> Iterator[tuple[int, T]]:
    """Number and answer of each job, as they are finished by worker processes.

    Jobs must be picklable. However this process ends, killed included, the workers see the end of
    a pipe and end too.
    """
    context = multiprocessing.get_context("spawn")
    end, alive = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_follow_parent, initargs=(end,)
    )
    try:
        pending = {pool.submit(job): number for number, job in enumerate(jobs)}
        for future in as_completed(pending):
            yield pending[future], future.result()
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
