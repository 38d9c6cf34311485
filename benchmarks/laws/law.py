"""What a law is: how an instance of a formulation is drawn, and at which sizes it is measured."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Draw = Callable[[int, np.random.Generator], Any]
"""A random problem of some size."""


@dataclass(frozen=True)
class Law:
    """A family of random instances.

    Attributes
    ----------
    draw
        The problem of a size and a generator; the same generator gives the same problem.
    few
        Least and largest size of the many instances on which gaps and failures are counted; sizes
        are drawn log-uniformly.
    sizes
        Three sizes at which the solver is timed.
    ladder
        Sizes at which the reference is tried, ascending.
    what
        What the size counts.
    without
        By name of a constraint: the same problem without it. Where a choice of whole devices never
        meets a limit exactly, the constraint binds if the optimum without it is better.
    idle
        Constraints that the law does not let bind, with the reason.
    open
        What may keep the gap open, where the solver does not promise to close it.
    scale
        Size of the cost that gaps are relative to, where the cost itself may be zero: 1 for a
        factor of contraction.
    """

    draw: Draw
    few: tuple[int, int]
    sizes: tuple[int, int, int]
    ladder: tuple[int, ...] = ()
    what: str = "devices"
    without: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    idle: Mapping[str, str] = field(default_factory=dict)
    open: str = ""
    scale: float = 0.0


def seed_of(rng: np.random.Generator) -> int:
    """A seed for generators that are called by seed."""
    return int(rng.integers(2**31))


def limitless(**fields: float) -> Callable[[Any], Any]:
    """The same problem with some of its fields replaced."""
    return functools.partial(dataclasses.replace, **fields)


def in_network(name: str, value: float = math.inf) -> Callable[[Any], Any]:
    """The same problem with one field of its network replaced."""

    def free(problem: Any) -> Any:
        network = problem.network.replace(**{name: value})
        return dataclasses.replace(problem, network=network)

    return free
