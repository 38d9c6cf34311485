"""Differential privacy as a sum: what rounds leak adds up, in units of zCDP."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.units import Floats

Access = Literal["superposed", "orthogonal"]


def rho_of(epsilon: float, delta: float) -> float:
    """Concentrated privacy rho that implies (epsilon, delta), rho + 2 sqrt(rho ln(1/delta)).

    Source: Bun, Steinke, TCC 2016, arXiv 1605.02065 (recalled): rho-zCDP implies (epsilon, delta)
    with epsilon = rho + 2 sqrt(rho ln(1/delta)), and rho of several releases adds up.

    >>> round(rho_of(1.0, 1e-5), 6)
    0.02082
    """
    share = -math.log(number("delta", delta, high=1.0, open_low=True))
    most = number("epsilon", epsilon, finite=False)
    if math.isinf(most):
        return math.inf
    # (sqrt(epsilon + l) - sqrt(l))^2 without the loss of digits
    root = math.sqrt(most + share) + math.sqrt(share)
    return (most / root) ** 2 if most > 0.0 else 0.0


def epsilon_of(rho: float, delta: float) -> float:
    """Epsilon at `delta` of a release, or of several together, that is rho-zCDP.

    >>> round(epsilon_of(rho_of(3.0, 1e-5), 1e-5), 12)
    3.0
    """
    share = -math.log(number("delta", delta, high=1.0, open_low=True))
    spent = number("rho", rho, finite=False)
    return spent + 2.0 * math.sqrt(spent * share)


def classical_rho(epsilon: float, delta: float) -> float:
    """Largest rho of one release of Gaussian noise by the classical rule, for epsilon < 1.

    The rule is sigma >= sensitivity sqrt(2 ln(1.25/delta))/epsilon (Dwork, Roth 2014, recalled),
    and rho = sensitivity^2/(2 sigma^2). It is for one release, and a little stricter than
    `rho_of` for epsilon below 0.44.
    """
    most = number("epsilon", epsilon, high=1.0, open_low=True)
    if most == 1.0:
        raise InvalidInput("epsilon", "1", "a number < 1", 'use composition="zcdp"')
    share = math.log(1.25 / number("delta", delta, high=1.0, open_low=True))
    return most * most / (4.0 * share)


def leakage(
    amplitude: float,
    clip: float,
    noise_w: float,
    own_noise_w: ArrayLike = 0.0,
    access: Access = "superposed",
) -> Floats:
    """What each device leaks (K,), zCDP rho, when analog updates are heard equally loud.

    Parameters
    ----------
    amplitude
        c, by which an update is multiplied on its way to the receiver [sqrt(W)].
    clip
        Largest norm of an update L; what changes with a device's data is 2 c L at most.
    noise_w
        Noise power at the receiver [W].
    own_noise_w
        Power at which noise that each device adds is heard, (K,) or a scalar [W].
    access
        "superposed": all noise hides everybody, the leakage falls with the number of devices;
        "orthogonal": only the receiver's and a device's own noise hide it.
    """
    own = vector("own_noise_w", own_noise_w, np.size(own_noise_w))
    if access not in ("superposed", "orthogonal"):
        raise InvalidInput("access", repr(access), "'superposed' or 'orthogonal'")
    heard = number("noise_w", noise_w) + (own.sum() if access == "superposed" else own)
    swing = 2.0 * number("amplitude", amplitude) * number("clip", clip)
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = np.where(swing > 0.0, swing * swing / (2.0 * heard), 0.0)
    return np.asarray(np.broadcast_to(rho, own.shape))
