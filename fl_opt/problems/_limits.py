"""The limits that every FDMA round shares, judged by the physics."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.allocation import Allocation, Use, use
from fl_opt.certificate import Excess
from fl_opt.errors import InvalidInput
from fl_opt.network import Network
from fl_opt.units import Floats


def fdma_use(network: Network, decision: Allocation) -> Use:
    """What an FDMA round uses under a decision, by the network's own workload, see ``Use``.

    Another `access` and overrides of `cycles` and `upload_bit` do not count: analog symbols or less
    training would undercut the optimum of problems that offer neither.
    """
    if not (decision.access == "fdma" and decision.cycles is None and decision.upload_bit is None):
        decision = decision.replace(access="fdma", cycles=None, upload_bit=None)
    return use(network, decision)


def device_excess(
    network: Network, allocation: Allocation, deadline_s: ArrayLike, used: Use | None = None
) -> dict[str, Excess]:
    """Every limit of a round by name, recomputed from bandwidth, power and clock.

    Parameters
    ----------
    network, allocation
        The round and the decision to be judged.
    deadline_s
        End of the round [s], a scalar or (K,).
    used
        What the decision uses; None: by ``fdma_use``.

    Returns
    -------
    dict
        "band" (1,) [Hz]; per device (K,) "deadline" [s], "energy" [J], "power_max" [W],
        "cpu_min" and "cpu_max" [Hz], and "payload" [bit]: what the claimed airtime `upload_s`
        carries at least. Lower limits enter with both sides negated. A device that is not
        selected violates nothing.
    """
    on = allocation.selected
    used = fdma_use(network, allocation) if used is None else used
    everyone = bool(on.all())

    def among(values: Floats, otherwise: float) -> Floats:
        return values if everyone else np.where(on, values, otherwise)

    claimed = used.airtime_s if allocation.upload_s is None else allocation.upload_s
    with np.errstate(invalid="ignore"):
        carried = used.rate_bit_s * claimed
    # no rate over endless time carries nothing
    carried[np.isnan(carried)] = 0.0
    power = allocation.power_w
    if np.isinf(power.max()):
        # the energy of infinite power over no time is undefined: NaN counts as violated
        power = np.where(np.isinf(power), np.nan, power)
    close = np.minimum(np.asarray(deadline_s, dtype=float), allocation.deadline_s)
    return {
        "band": Excess(np.sum(allocation.bandwidth_hz, where=on), network.band_hz, "Hz"),
        "deadline": Excess(used.finish_s, np.broadcast_to(close, on.shape), "s"),
        "energy": Excess(used.energy_j, network.energy_j, "J"),
        "power_max": Excess(among(power, 0.0), network.power_max_w, "W"),
        "cpu_min": Excess(-among(allocation.cpu_hz, np.inf), -network.cpu_min_hz, "Hz"),
        "cpu_max": Excess(among(allocation.cpu_hz, 0.0), network.cpu_max_hz, "Hz"),
        "payload": Excess(-among(carried, np.inf), -network.upload_bit, "bit"),
    }


def require_limited(network: Network) -> None:
    """Raise ``InvalidInput`` for a device with a payload and no limit on power and energy."""
    free = (network.upload_bit > 0.0) & np.isinf(network.power_max_w) & np.isinf(network.energy_j)
    if free.any():
        k = int(np.flatnonzero(free)[0])
        raise InvalidInput(
            f"power_max_w[{k}]",
            "inf W without a limit on energy",
            "a finite power or energy",
            "without either a device needs no band",
        )
