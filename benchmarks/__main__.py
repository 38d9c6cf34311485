"""Measure the figures of the documentation and write its page::

    python -m benchmarks [NAME ...] [--quick] [--out FOLDER]

Every benchmark runs in a process of its own, with one thread of BLAS, and leaves FOLDER/NAME.json;
pictures go to FOLDER/../figures and the page to FOLDER/../benchmarks.md. FOLDER is docs/measured,
or out/quick/measured with --quick, which takes small sizes and holds them to no target.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import page
from benchmarks._record import NAMES, Measure, Record, machine, write


def measure(name: str, quick: bool, folder: Path) -> Path:
    """Run one benchmark in this process and write its record."""
    module = importlib.import_module(f"benchmarks.{name}")
    function: Measure = module.measure
    record = Record(module.TITLE, module.ABOUT.strip(), quick, folder)
    environment = machine()
    environment["command"] = f"python -m benchmarks {name}" + (" --quick" if quick else "")
    environment["load_before"] = f"{os.getloadavg()[0]:.1f}"
    began = time.perf_counter()
    function(record)
    environment["seconds"] = f"{time.perf_counter() - began:.0f}"
    return write(record, name, environment)


def main() -> int:
    """Run the benchmarks named on the command line, all of them where none is; worst status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, no targets")
    parser.add_argument("--out", type=Path, help="folder of the records")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    folder = given.out or Path("out/quick/measured" if given.quick else "docs/measured")
    if given.here:
        for name in given.names:
            measure(name, given.quick, folder)
        return 0
    worst = 0
    single = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    options = ["--here", "--out", str(folder)] + ["--quick"] * given.quick
    for name in given.names or NAMES:
        print(f"{name} ...", flush=True)
        command = [sys.executable, "-m", "benchmarks", name, *options]
        status = subprocess.call(command, env=single)
        worst = max(worst, status)
        if status == 0:
            print(page.told(folder / f"{name}.json"), flush=True)
    target = folder.parent / "benchmarks.md"
    target.write_text(page.render(folder), encoding="utf-8")
    print(f"written: {target}")
    return worst


if __name__ == "__main__":
    sys.exit(main())
