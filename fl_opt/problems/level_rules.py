"""Simple rules for blocks at levels, to compare the optimum with."""

from __future__ import annotations

import math

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.problems.block_levels import BlockLevels


def energy_per_worth(problem: BlockLevels, spare: bool = True) -> Allocation:
    """Devices in ascending order of joules per worth, each on a free block.

    In the manner of FedAECS (Zheng, Li, Tovar, Guizani, IEEE IWCMC 2021), which leaves out who
    misses a limit and goes through the others by energy over accuracy while the band lasts. Its
    accuracy stands here for the worth of taking part. It has no blocks: that the device then takes
    the narrowest band at which a free block serves it, and of these blocks the one that is worth
    least to it (`spare`), or most, is ours. It has no bound.
    """
    worth = problem.offers().value
    size, blocks, levels = worth.shape
    pairs = worth.reshape(size, -1)
    column, level = np.divmod(pairs.argmax(axis=1), levels)
    # every device at its best alone, whatever the others take
    energy = problem.excess(problem.arrange(column, level))["energy"].used
    gain = problem.utility + problem.arrival_utility
    able = np.flatnonzero((pairs.max(axis=1) > 0.0) & (gain > 0.0))
    order = able[np.argsort(energy[able] / gain[able], kind="stable")]
    column, level = np.full(size, -1), np.full(size, -1)
    free, left = np.ones(blocks, dtype=bool), problem.band_total_hz
    for i in order:
        fits = free[:, None] & (problem.bandwidth_hz <= left)
        offered = np.where(fits, worth[i], -np.inf)
        serves = np.flatnonzero((offered > 0.0).any(axis=0))
        if serves.size and np.count_nonzero(column >= 0) < problem.participants_max:
            k = int(serves[0])
            useful = np.where(offered[:, k] > 0.0, offered[:, k], np.nan)
            j = int(np.nanargmin(useful) if spare else np.nanargmax(useful))
            column[i], level[i], free[j] = j, k, False
            left -= float(problem.bandwidth_hz[k])
    return problem.arrange(column, level)


def fixed_levels(problem: BlockLevels) -> Allocation:
    """Everybody at the narrowest band: the matching of most worth, cut to the band that there is.

    The best assignment of blocks once the levels are settled; only the levels are a guess.
    """
    from scipy.optimize import linear_sum_assignment

    offers = problem.offers()
    worth = np.maximum(offers.value[:, :, 0], 0.0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    gain = worth[rows, columns]
    room = min(problem.band_total_hz / float(problem.bandwidth_hz[0]), float(rows.size))
    order = np.argsort(-gain, kind="stable")[: min(problem.participants_max, math.floor(room))]
    kept = order[gain[order] > 0.0]
    column, level = np.full(worth.shape[0], -1), np.full(worth.shape[0], -1)
    column[rows[kept]], level[rows[kept]] = columns[kept], 0
    return problem.arrange(column, level)
