"""Simple rules for assigning resource blocks, to compare the optimum with.

After the baselines of Chen, Yang, Saad, Yin, Poor, Cui, IEEE TWC 2021, arXiv 1909.07972. All of
them decide for usable pairs only: a device that drew a block on which it would miss a limit stays
out, as its update would not arrive.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fl_opt.allocation import Allocation
from fl_opt.errors import InvalidInput
from fl_opt.problems.resource_blocks import ResourceBlockAssignment


def random_blocks(
    problem: ResourceBlockAssignment,
    rng: np.random.Generator,
    among: NDArray[np.bool_] | None = None,
) -> Allocation:
    """Random devices on random blocks.

    `among` (K,) restricts the devices: with those that the optimum selects, this is the paper's
    "best selection, random blocks".
    """
    size, blocks = problem.network.size, problem.network.blocks
    if among is not None and among.shape != (size,):
        raise InvalidInput("among.shape", among.shape, f"({size},)")
    devices = np.arange(size) if among is None else np.flatnonzero(among)
    drawn = rng.permutation(devices)[:blocks]
    column = np.full(size, -1)
    column[drawn] = rng.permutation(blocks)[: drawn.size]
    return problem.match(column)


def least_packet_error(problem: ResourceBlockAssignment) -> Allocation:
    """The pair of least packet error first, then the next of free device and block.

    It does not look at samples: it serves the channel, not the learning.
    """
    success = problem.success
    column = np.full(problem.network.size, -1)
    taken = np.zeros(problem.network.blocks, dtype=bool)
    for pair in np.argsort(-success, axis=None, kind="stable"):
        i, n = divmod(int(pair), problem.network.blocks)
        if success[i, n] > 0.0 and column[i] < 0 and not taken[n]:
            column[i] = n
            taken[n] = True
    return problem.match(column)
