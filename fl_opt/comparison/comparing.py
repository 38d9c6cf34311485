"""Put arms into the same worlds."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import TYPE_CHECKING

from fl_opt.checks import number
from fl_opt.comparison.results import Interrupted, Report
from fl_opt.comparison.runs import Run, in_turn, side_by_side
from fl_opt.errors import InvalidInput

if TYPE_CHECKING:
    from fl_opt.scenario import Scenario
    from fl_opt.validation import Arm, Task, Trace


def compare(
    arms: Sequence[Arm],
    scenario: Scenario,
    task: Task,
    *,
    rounds: int,
    seeds: int | Sequence[int] = 6,
    target_accuracy: float | None = None,
    level: float = 0.95,
    workers: int = 1,
    store: MutableMapping[tuple[str, int], Trace] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Run every arm in the same worlds and report what differs.

    In a seed all arms meet the same places, channels, data, first model, batches and luck, so that
    a difference between two arms of a seed is theirs. Runs go seed by seed: what is finished at
    any time is nearly as many runs of each arm.

    Parameters
    ----------
    arms
        Policies with their training methods, under different names; the first is the baseline.
    scenario, task
        Nature, and what is learned.
    rounds
        Rounds of each run.
    seeds
        Their number, or themselves. See ``Report.method`` for what few seeds can't show.
    target_accuracy
        Accuracy that runs are timed to; None: chosen by ``fl_opt.comparison.measures.yardstick``.
    level
        Confidence level of the intervals.
    workers
        Processes that run side by side; 1 stays in this one. More need arms that can be pickled.
        The result is the same.
    store
        Where finished runs are looked up and kept, by arm name and seed; a dict will do. Runs that
        are in it are not repeated: that they belong to this comparison is up to its owner.
    progress
        Called with the rounds done and the rounds in all; with more than one worker only when a
        run is finished.

    Raises
    ------
    Interrupted
        A ``KeyboardInterrupt`` after Ctrl-C, if at least one run is finished: its `report` has
        those.
    InvalidInput
        For arms of the same name, no arms, no seeds, or what ``simulate`` refuses.
    """
    names = tuple(arm.name for arm in arms)
    if not names or len(set(names)) < len(names):
        raise InvalidInput("arms", ", ".join(names) or "empty", "arms of different names")
    numbers = tuple(range(seeds) if isinstance(seeds, int) else seeds)
    if not numbers or len(set(numbers)) < len(numbers):
        raise InvalidInput("seeds", seeds, "a number >= 1, or different numbers")
    if workers < 1:
        raise InvalidInput("workers", workers, "a whole number >= 1")
    number("level", level, high=1.0, open_low=True)
    finished = {} if store is None else store
    runs = [
        Run(scenario, arm, task, rounds, seed)
        for seed in numbers
        for arm in arms
        if (arm.name, seed) not in finished
    ]

    def report() -> Report:
        order = [(name, seed) for seed in numbers for name in names]
        return Report(
            traces=tuple(finished[key] for key in order if key in finished),
            arms=names,
            seeds=numbers,
            rounds=rounds,
            scenario=scenario.summary(),
            task=task.summary(),
            setup={arm.name: _setup(arm) for arm in arms},
            target_accuracy=target_accuracy,
            level=level,
        )

    try:
        for trace in _all(runs, workers, progress):
            finished[trace.arm, trace.seed] = trace
    except KeyboardInterrupt:
        if not report().traces:
            raise
        raise Interrupted(report()) from None
    return report()


def _setup(arm: Arm) -> str:
    """What an arm does, by its author's first line, and a line of all its settings."""
    words = (inspect.getdoc(arm.policy) or "").partition("\n")[0]
    return f"{words}\n{arm.policy!r}, {arm.method!r}"


def _all(
    runs: Sequence[Run], workers: int, progress: Callable[[int, int], None] | None
) -> Iterator[Trace]:
    total = sum(run.rounds for run in runs)

    def told(done: int) -> None:
        if progress is not None:
            progress(done, total)

    if workers > 1 and len(runs) > 1:
        return side_by_side(runs, min(workers, len(runs)), told)
    return in_turn(runs, told)
