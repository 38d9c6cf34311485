"""What a result was computed with, for whoever wants to compute it again."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib import metadata

import fl_opt

PACKAGES = (
    "numpy",
    "scipy",
    "torch",
    "scikit-learn",
    "cvxpy",
    "clarabel",
    "pyomo",
    "highspy",
    "pandas",
)


def describe() -> dict[str, str]:
    """Versions, machine, command and time, as printable text by name.

    Packages that are not installed are left out; nothing is imported to ask for its version.
    """
    versions = {"fl_opt": fl_opt.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions | {
        "platform": platform.platform(),
        "cores": str(os.cpu_count() or "unknown"),
        "command": shlex.join(sys.argv),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
