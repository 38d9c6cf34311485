"""How often a 95 % interval of the mean of few seeds contains the truth.

Plain percentile and BCa bootstrap intervals, the expanded percentile interval that fl_opt uses,
and Student's, which assumes a normal distribution. Run: python benchmarks/interval_coverage.py
"""

import numpy as np
from scipy import stats

from fl_opt.comparison.statistics import bootstrap_interval, coverage_limit

SAMPLES, RESAMPLES = 1000, 1000
DRAWS = {
    "normal": lambda rng, count: rng.standard_normal(count),
    "exponential": lambda rng, count: rng.exponential(1.0, count) - 1.0,
}


def scipy_interval(sample, method):
    found = stats.bootstrap(
        (sample,), np.mean, n_resamples=RESAMPLES, method=method, rng=np.random.default_rng(0)
    )
    return found.confidence_interval.low, found.confidence_interval.high


def student(sample):
    half = stats.t.ppf(0.975, sample.size - 1) * sample.std(ddof=1) / np.sqrt(sample.size)
    return sample.mean() - half, sample.mean() + half


def expanded(sample):
    interval = bootstrap_interval(sample, resamples=RESAMPLES)
    return interval.low, interval.high


METHODS = {
    "percentile": lambda sample: scipy_interval(sample, "percentile"),
    "BCa": lambda sample: scipy_interval(sample, "BCa"),
    "expanded": expanded,
    "Student": student,
}


def main():
    print("| seeds | differences | " + " | ".join(METHODS) + " | limit |")
    for count in (3, 5, 6, 10, 20):
        for name, draw in DRAWS.items():
            rng = np.random.default_rng(count)
            samples = [draw(rng, count) for _ in range(SAMPLES)]
            covered = []
            for method in METHODS.values():
                ends = [method(sample) for sample in samples]
                covered.append(np.mean([low <= 0.0 <= high for low, high in ends]))
            cells = " | ".join(f"{share:.1%}" for share in covered)
            print(f"| {count} | {name} | {cells} | {coverage_limit(count):.1%} |")


if __name__ == "__main__":
    main()
