"""Where finished runs are kept: a file of sqlite that a power cut or a kill leaves whole."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import NamedTuple

from fl_opt.errors import InvalidInput
from fl_opt.experiments.experiment import Cell, Data

_TABLE = """
CREATE TABLE IF NOT EXISTS runs (
    experiment TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    arm TEXT NOT NULL,
    seed INTEGER NOT NULL,
    seconds REAL NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (experiment, fingerprint, arm, seed)
) WITHOUT ROWID
"""
_PATIENCE_S = 60.0
"""How long to wait for another process that writes."""


class Kept(NamedTuple):
    """A finished run: what it found, and the processor time that it took [s]."""

    data: Data
    seconds: float


class Store:
    """Finished runs, by experiment, fingerprint of its settings and code, arm and seed.

    Writes are ahead-logged and synchronous: a run is kept whole or not at all, and once `keep`
    has returned it stays. Several processes may share a file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._base = sqlite3.connect(self.path, timeout=_PATIENCE_S, isolation_level=None)
        try:
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.execute(_TABLE)
        except sqlite3.DatabaseError as error:
            self._base.close()
            raise InvalidInput(
                str(self.path), f"no store ({error})", "a file of fl-opt reproduce, or none"
            ) from None

    def keep(self, experiment: str, fingerprint: str, cell: Cell, run: Kept) -> None:
        """Keep a run. Raises ``ValueError`` for data that strict JSON does not know."""
        data = json.dumps(run.data, allow_nan=False)
        self._base.execute(
            "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?)",
            (experiment, fingerprint, cell.arm, cell.seed, run.seconds, data),
        )

    def kept(self, experiment: str, fingerprint: str) -> dict[Cell, Kept]:
        """All finished runs of an experiment with these settings."""
        found = self._base.execute(
            "SELECT arm, seed, data, seconds FROM runs WHERE experiment = ? AND fingerprint = ?",
            (experiment, fingerprint),
        )
        return {
            Cell(arm, seed): Kept(json.loads(data), seconds) for arm, seed, data, seconds in found
        }

    def forget(self, experiment: str, fingerprint: str) -> None:
        """Drop what is kept of an experiment with these settings."""
        self._base.execute(
            "DELETE FROM runs WHERE experiment = ? AND fingerprint = ?", (experiment, fingerprint)
        )

    def close(self) -> None:
        """Give the file back."""
        self._base.close()
