"""How long a certified assignment of resource blocks takes, beside scipy's dense solver."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks._record import Record
from benchmarks._timing import timed
from fl_opt.problems import BlockNetwork, ResourceBlockAssignment
from fl_opt.solvers.assignment import Assignment
from fl_opt.units import Floats

TITLE = "Fast: assignment of resource blocks"
ABOUT = """
Devices on blocks after the program of Chen et al. (IEEE TWC 2021, arXiv 1909.07972), twice as many
devices as blocks, distances uniform to 500 m, five classes of samples. These costs are degenerate:
like devices on like blocks cost nearly the same. "even" interference rises evenly over the blocks
as in their program, "random" is drawn, "fading" draws a gain for each pair. Beside it
`scipy.optimize.linear_sum_assignment` on the same weights, which gives a matching without prices,
so without proof. Times are the lesser of wall-clock and processor time of one run each.
"""

KINDS = ("even", "random", "fading")


def instance(kind: str, size: int, blocks: int) -> ResourceBlockAssignment:
    """Devices at random distances, interference as the kind says."""
    rng = np.random.default_rng(0)
    gain: Floats = rng.uniform(0.0, 500.0, size) ** -2.0
    interference = np.linspace(1e-8, 1.1e-7, blocks)
    if kind == "random":
        interference = rng.uniform(1e-8, 1.1e-7, blocks)
    if kind == "fading":
        gain = gain[:, None] * rng.exponential(1.0, (size, blocks))
    network = BlockNetwork(
        gain=gain,
        interference_w=interference,
        power_max_w=0.01,
        upload_bit=39_760 * 16,
        samples=rng.choice([100.0, 200.0, 300.0, 400.0, 500.0], size),
        band_hz=1e6,
        noise_w_hz=1e-20,
    )
    return ResourceBlockAssignment(network, delay_s=0.5, energy_j=0.003)


def measure(record: Record) -> None:
    """Both solvers on growing sizes."""
    from scipy.optimize import linear_sum_assignment

    sizes = ((200, 100), (400, 200)) if record.quick else ((500, 250), (2000, 1000), (5000, 2500))
    rows, worst, same, quickest = [], 0.0, True, np.inf
    for kind in KINDS:
        for size, blocks in sizes:
            problem = instance(kind, size, blocks)
            weights = problem.weights()
            ours_s, solution = timed(partial(Assignment(), problem))
            scipy_s, matched = timed(partial(linear_sum_assignment, weights))
            proof = solution.certificate
            worst = max(worst, proof.gap)
            same &= abs(proof.cost - float(weights[matched].sum())) <= 1e-12 * abs(proof.cost)
            pairs = f"{size} x {blocks}"
            ratio = scipy_s / ours_s
            rows.append((kind, pairs, f"{ours_s:.2f}", f"{scipy_s:.2f}", f"{ratio:.1f}"))
        quickest = min(quickest, ratio)
    record.table(
        "Seconds", ("interference", "devices x blocks", "assignment", "scipy", "ratio"), rows
    )
    record.promise(
        "time of scipy over time of assignment at the largest size, least of the kinds",
        quickest,
        "above 1",
        quickest > 1.0,
    )
    record.promise("largest certified gap", worst, "at most 1e-12", worst <= 1e-12)
    record.promise(
        "costs equal to scipy's, relative 1e-12", float(same), "yes", same, "yes" if same else "no"
    )
