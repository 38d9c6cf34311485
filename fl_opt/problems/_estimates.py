"""Lipschitz constant, smoothness and divergence of the devices' losses, from what they report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.checks import vector
from fl_opt.errors import InvalidInput
from fl_opt.units import Floats


@dataclass(frozen=True)
class Constants:
    """What `estimate` finds: `rho`, `beta` and `delta` of ``LocalSteps``."""

    rho: float
    beta: float
    delta: float


@dataclass(frozen=True, eq=False)
class Reports:
    """`rho`, `beta` and `delta` of every device (K,); NaN where it has nothing to say."""

    rho: Floats
    beta: Floats
    delta: Floats

    def mean(self, samples: ArrayLike) -> Constants | None:
        """Means weighted by the `samples` (K,) of those who report; None before any delta."""
        weight = vector("samples", samples, self.delta.size)
        found = []
        for values in (self.rho, self.beta, self.delta):
            told = np.where(np.isnan(values), 0.0, weight)
            known = np.where(np.isnan(values), 0.0, values)
            found.append(float((told / (told.sum() or 1.0)) @ known))
        if not np.any(~np.isnan(self.delta) & (weight > 0.0)):
            return None
        return Constants(*found)


def report(
    *,
    parameters: ArrayLike,
    local_parameters: ArrayLike,
    loss: ArrayLike,
    local_loss: ArrayLike,
    gradient: ArrayLike,
    local_gradient: ArrayLike,
    samples: ArrayLike,
) -> Reports:
    """What each device finds by itself; arguments as of `estimate`."""
    own = np.atleast_2d(np.asarray(local_parameters, dtype=float))
    weight = vector("samples", samples, len(own))
    if not weight.any():
        raise InvalidInput("samples", "0 for all devices", "> 0 for at least one")
    there, here = np.asarray(gradient, dtype=float), np.asarray(local_gradient, dtype=float)
    for name, array in (("gradient", there), ("local_gradient", here)):
        if array.shape != own.shape:
            raise InvalidInput(f"{name}.shape", array.shape, f"{own.shape}, as local_parameters")
    moved = np.linalg.norm(own - np.asarray(parameters, dtype=float), axis=1)
    moved = np.where(moved > 0.0, moved, np.nan)
    fell = np.abs(np.asarray(local_loss, dtype=float) - np.asarray(loss, dtype=float))
    mean = weight @ there / weight.sum()
    return Reports(
        fell / moved,
        np.linalg.norm(here - there, axis=1) / moved,
        np.linalg.norm(there - mean, axis=1),
    )


def estimate(
    *,
    parameters: ArrayLike,
    local_parameters: ArrayLike,
    loss: ArrayLike,
    local_loss: ArrayLike,
    gradient: ArrayLike,
    local_gradient: ArrayLike,
    samples: ArrayLike,
) -> Constants:
    """Estimate rho, beta and delta from what the devices know at an aggregation.

    Parameters
    ----------
    parameters, local_parameters
        (n,) of the global model, (K, n) of the devices' own models before they are averaged.
    loss, gradient
        (K,) and (K, n): each device's loss and gradient, on its data, at the global model.
    local_loss, local_gradient
        (K,) and (K, n): the same at its own model.
    samples
        (K,) weights.

    Returns
    -------
    Constants
        Weighted means of ``|F_k(w_k) - F_k(w)|/|w_k - w|``, of the same with gradients, and of
        the distance of ``grad F_k(w)`` from the mean gradient. A device that has not moved says
        nothing on the first two.

    Source: Wang et al., IEEE JSAC 2019, arXiv 1804.05271, algorithms 2 and 3.
    """
    found = report(
        parameters=parameters,
        local_parameters=local_parameters,
        loss=loss,
        local_loss=local_loss,
        gradient=gradient,
        local_gradient=local_gradient,
        samples=samples,
    ).mean(samples)
    assert found is not None  # somebody has samples, or `report` had refused them
    return found
