"""Run what is not yet run, keep each run at once, and judge what is complete."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import fl_opt
from fl_opt.comparison.workers import spread
from fl_opt.errors import InvalidInput
from fl_opt.experiments import NAMES
from fl_opt.experiments.experiment import Cell, Data, Experiment, Results, Row
from fl_opt.experiments.store import Kept, Store
from fl_opt.validation.data import DATASETS, available

_NOT_RUN = ("cli", "report", "testing")
"""Rooms that no result of a run hangs on."""
_MACHINERY = ("__init__", "experiment", "page", "record", "runner", "store", "tables")
"""Modules of this room that none does."""
_LIBRARIES = ("numpy", "scipy", "torch", "scikit-learn", "cvxpy", "highspy")


@dataclass(frozen=True, eq=False)
class Outcome:
    """An experiment after a run of the command.

    Attributes
    ----------
    experiment
        With the settings it ran in.
    runs
        Finished cells.
    held
        Whether the thresholds are held against it: full settings, on the data they were made for.
    """

    experiment: Experiment
    runs: Mapping[Cell, Kept]
    held: bool

    @property
    def complete(self) -> bool:
        """Whether every cell is finished."""
        return all(cell in self.runs for cell in self.experiment.cells())

    @property
    def results(self) -> Results:
        """What the cells found, by arm and seed."""
        results: dict[str, dict[int, Data]] = {}
        for cell in self.experiment.cells():
            if cell in self.runs:
                results.setdefault(cell.arm, {})[cell.seed] = self.runs[cell].data
        return results

    @property
    def seconds(self) -> float:
        """Processor time of all its cells [s]; NaN where it comes from a record."""
        return sum(run.seconds for run in self.runs.values())

    @functools.cached_property
    def rows(self) -> Sequence[Row]:
        """The table; empty until the experiment is complete."""
        if not self.complete:
            return ()
        rows = self.experiment.rows(self.results)
        if self.held:
            return rows
        return [dataclasses.replace(row, threshold="", met=None) for row in rows]


class Halted(KeyboardInterrupt):
    """Ctrl-C; `outcomes` has what is finished, `missing` is the number of cells that are not."""

    def __init__(self, outcomes: Sequence[Outcome], missing: int) -> None:
        self.outcomes, self.missing = outcomes, missing
        super().__init__(f"{missing} runs are missing")


def settled(experiment: Experiment, dataset: str | None = None) -> Experiment:
    """The experiment on data that are at hand: `dataset`, else its own, else digits."""
    if dataset is not None and dataset not in DATASETS:
        raise InvalidInput("dataset", repr(dataset), f"one of {', '.join(DATASETS)}")
    if not experiment.dataset:
        return experiment
    chosen = dataset or (experiment.dataset if available(experiment.dataset) else "digits")
    return dataclasses.replace(experiment, dataset=chosen)


def fingerprint(experiment: Experiment) -> str:
    """Of all that a run hangs on: settings, this package's code, versions of the libraries."""
    versions = [fl_opt.__version__, *(_version(name) for name in _LIBRARIES)]
    told = json.dumps([dataclasses.asdict(experiment), versions], sort_keys=True)
    digest = hashlib.sha256(told.encode())
    for path in _code(experiment.name):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _code(name: str) -> list[Path]:
    """Files that the runs of an experiment may hang on: all but other experiments and pages."""
    root = Path(fl_opt.__file__).parent
    others = {other.replace("-", "_") for other in NAMES if other != name}
    skipped = [root / room for room in _NOT_RUN]
    skipped += [root / "experiments" / f"{module}.py" for module in {*_MACHINERY, *others}]
    return [
        path
        for path in sorted(root.rglob("*.py"))
        if not any(path == skip or skip in path.parents for skip in skipped)
    ]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


@dataclass(frozen=True, eq=False)
class _Job:
    experiment: Experiment
    cell: Cell

    def __call__(self) -> Kept:
        from fl_opt.validation.models import threads

        # the same figures and no quarrel over cores, whatever the number of workers
        with threads(1):
            begin = time.process_time()
            data = self.experiment.run(self.cell)
            return Kept(data, time.process_time() - begin)


def reproduce(
    experiments: Sequence[Experiment],
    store: Store,
    *,
    workers: int = 1,
    fresh: bool = False,
    held: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> list[Outcome]:
    """Run the cells of `experiments` that `store` does not have, and keep each when it ends.

    Parameters
    ----------
    experiments
        In the settings they shall run in, see ``settled`` and ``Experiment.quick``.
    workers
        Processes side by side; the results are the same.
    fresh
        Forget first what is kept with the same settings.
    held
        Whether thresholds count where the data are those that they were made for.
    progress
        Told the cells done and the cells in all, those found in the store included.

    Raises ``Halted`` after Ctrl-C: a run under way is lost, all others are in the store.
    """
    if workers < 1:
        raise InvalidInput("workers", workers, "a whole number >= 1")
    keys = {experiment.name: fingerprint(experiment) for experiment in experiments}
    if fresh:
        for name, key in keys.items():
            store.forget(name, key)
    kept = {name: store.kept(name, key) for name, key in keys.items()}
    cells = [(experiment, cell) for experiment in experiments for cell in experiment.cells()]
    jobs = [_Job(one, cell) for one, cell in cells if cell not in kept[one.name]]
    missing = len(jobs)

    def note(job: _Job, run: Kept) -> None:
        nonlocal missing
        name = job.experiment.name
        store.keep(name, keys[name], job.cell, run)
        missing -= 1
        told()

    def told() -> None:
        if progress is not None:
            progress(len(cells) - missing, len(cells))

    def outcomes() -> list[Outcome]:
        return [
            Outcome(one, store.kept(one.name, keys[one.name]), held and _as_promised(one))
            for one in experiments
        ]

    told()
    try:
        if workers > 1 and len(jobs) > 1:
            for number, run in spread(jobs, min(workers, len(jobs))):
                note(jobs[number], run)
        else:
            for job in jobs:
                note(job, job())
    except KeyboardInterrupt:
        raise Halted(outcomes(), missing) from None
    return outcomes()


def _as_promised(experiment: Experiment) -> bool:
    return experiment.dataset == type(experiment)().dataset
