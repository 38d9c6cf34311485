"""What `import fl_opt` costs, as a ratio to `import numpy` in interleaved fresh processes."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from benchmarks._record import Record

TITLE = "Import"
ABOUT = """
`import fl_opt` and `import numpy` in fresh processes, in turns; the median of the ratios of
neighbours. What is loaded is read from `sys.modules`.
"""

HEAVY = ("cvxpy", "pyomo", "torch", "matplotlib", "scipy.optimize")
CODE = "import time; begin = time.perf_counter(); import {}; print(time.perf_counter() - begin)"
LOADED = "import json, sys, fl_opt; print(json.dumps(sorted(sys.modules)))"


def _run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def measure(record: Record) -> None:
    """Compare the imports."""
    turns = 3 if record.quick else 21
    pairs = [
        (float(_run(CODE.format("numpy"))), float(_run(CODE.format("fl_opt"))))
        for _ in range(turns)
    ]
    numpy_s, ours_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(ours / numpy for numpy, ours in pairs)
    record.promise(
        "`import fl_opt` over `import numpy`",
        ratio,
        "at most 4 times",
        ratio <= 4.0,
        f"{ratio:.2f} times ({1e3 * ours_s:.0f} ms over {1e3 * numpy_s:.0f} ms, {turns} pairs)",
    )
    heavy = sorted(set(json.loads(_run(LOADED))) & set(HEAVY))
    record.promise(
        f"of {', '.join(HEAVY)} are loaded",
        len(heavy),
        "none",
        not heavy,
        ", ".join(heavy) or "none",
    )
