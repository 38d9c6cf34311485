"""How often a 95 % interval of the mean of few seeds contains the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy import stats

from benchmarks._record import Record
from fl_opt.comparison.statistics import bootstrap_interval, coverage_limit
from fl_opt.units import Floats

TITLE = "Intervals of few seeds"
ABOUT = """
How often a 95 % interval contains the truth: plain percentile and BCa bootstrap, the expanded
percentile interval that fl_opt uses, and Student's, which assumes a normal distribution. "Limit" is
what no interval within the range of the values can exceed. [Comparison](comparison.md) says what
follows from it.
"""

RESAMPLES = 1000
SEEDS = (3, 5, 6, 10, 20)
DRAWS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda rng, count: rng.standard_normal(count),
    "exponential": lambda rng, count: rng.exponential(1.0, count) - 1.0,
}
Ends = tuple[float, float]


def scipy_interval(sample: Floats, method: Literal["percentile", "BCa"]) -> Ends:
    """SciPy's bootstrap."""
    found = stats.bootstrap(
        (sample.tolist(),),
        np.mean,
        n_resamples=RESAMPLES,
        method=method,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def student(sample: Floats) -> Ends:
    """Student's interval of a mean."""
    half = float(stats.t.ppf(0.975, sample.size - 1) * sample.std(ddof=1) / np.sqrt(sample.size))
    return float(sample.mean()) - half, float(sample.mean()) + half


def expanded(sample: Floats) -> Ends:
    """The interval of `fl_opt.comparison`."""
    interval = bootstrap_interval(sample, resamples=RESAMPLES)
    return interval.low, interval.high


METHODS: dict[str, Callable[[Floats], Ends]] = {
    "percentile": lambda sample: scipy_interval(sample, "percentile"),
    "BCa": lambda sample: scipy_interval(sample, "BCa"),
    "expanded": expanded,
    "Student": student,
}


def measure(record: Record) -> None:
    """Tabulate the coverage."""
    samples = 20 if record.quick else 1000
    rows = []
    for count in SEEDS[:2] if record.quick else SEEDS:
        for name, draw in DRAWS.items():
            rng = np.random.default_rng(count)
            drawn = [draw(rng, count) for _ in range(samples)]
            row = [str(count), name]
            for method in METHODS.values():
                ends = [method(sample) for sample in drawn]
                row.append(f"{np.mean([low <= 0.0 <= high for low, high in ends]):.1%}")
            rows.append([*row, f"{coverage_limit(count):.1%}"])
    columns = ("seeds", "differences", *METHODS, "limit")
    record.table(f"Share of {samples:,} intervals that contain the truth", columns, rows)
