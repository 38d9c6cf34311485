"""What `import fl_opt` costs, as a ratio to `import numpy` in interleaved fresh processes."""

from __future__ import annotations

import statistics
import subprocess
import sys

RUNS = 15
CODE = "import time; begin = time.perf_counter(); import {}; print(time.perf_counter() - begin)"


def import_s(module: str) -> float:
    """Time of one import in a process of its own [s]."""
    answer = subprocess.run(
        [sys.executable, "-c", CODE.format(module)], capture_output=True, text=True, check=True
    )
    return float(answer.stdout)


def main() -> None:
    """Print the median ratio and the medians."""
    pairs = [(import_s("numpy"), import_s("fl_opt")) for _ in range(RUNS)]
    ratio = statistics.median(ours / numpy for numpy, ours in pairs)
    numpy_s, ours_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"import numpy   {1e3 * numpy_s:7.1f} ms, median of {RUNS}")
    print(f"import fl_opt  {1e3 * ours_s:7.1f} ms")
    print(f"ratio          {ratio:7.2f}, median of pairs; at most 4 is promised")


if __name__ == "__main__":
    main()
