"""Run every benchmark, or those that are named::

    python -m benchmarks [NAME ...]

A benchmark is a module of this folder with a `main()`, which prints what it measured.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path


def main() -> None:
    """Run the benchmarks named on the command line; all of them where none is."""
    found = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    known = [name for name in found if not name.startswith("_")]
    unknown = set(sys.argv[1:]) - set(known)
    if unknown:
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for name in sys.argv[1:] or known:
        module = importlib.import_module(f"benchmarks.{name}")
        if hasattr(module, "main"):
            print(f"\n== {name}: {(module.__doc__ or '').strip().partition(chr(10))[0]}")
            module.main()


if __name__ == "__main__":
    main()
