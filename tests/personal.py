"""Rounds of personalised methods without a network: who is there, who arrives."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from fl_opt import Allocation, Outcome, Task
from fl_opt.validation.federation import Federation


def group(devices: int, partition: str = "iid", samples: int = 100, **fields: Any) -> Federation:
    """Some devices with digits, in double precision."""
    task = Task("digits", partition=partition, devices=devices, samples=samples, **fields)
    federation = task.load(seed=1)
    return _precise(federation, torch.float64)


def learned(
    method: Any,
    federation: Federation,
    rounds: int,
    arrived: ArrayLike | None = None,
    state: Any = None,
    local_steps: ArrayLike | None = None,
) -> Any:
    """State after some rounds in which `arrived` (K,) get through, everybody where None."""
    size = federation.size
    there = np.ones(size, dtype=bool) if arrived is None else np.asarray(arrived, dtype=bool)
    allocation = Allocation(
        selected=there, bandwidth_hz=1.0, power_w=1.0, cpu_hz=1.0, local_steps=local_steps
    )
    outcome = Outcome(there, there, np.zeros(size), np.zeros(size), 1.0)
    if state is None:
        state = begun(method, federation)
    for index in range(rounds):
        rng = np.random.default_rng(index)
        state = method.learn(federation, state, allocation, outcome, rng)
    return state


def begun(method: Any, federation: Federation) -> Any:
    """State before the first round, in double precision."""
    # models start in single precision
    state = method.start(_precise(federation, torch.float32), np.random.default_rng(3))
    return state.moved(state.weights.double())


def _precise(federation: Federation, precision: torch.dtype) -> Federation:
    x, test_x = federation.x.to(precision), federation.test_x.to(precision)
    return dataclasses.replace(federation, x=x, test_x=test_x)
