"""What a round does, measured by the physics: who arrives, seconds, joules.

The clock of a round starts when the devices have received the model; `deadline_s`, `start_s` and
`finish_s` count from there, and the downlink is added to the length of the round.

A device trains from 0 on, then sends. It falls silent when it has finished, when the deadline
strikes, or when its battery is empty, whichever is first; until then it spends its energy, the
training's evenly over the training time. It arrives if it finished by the deadline, its battery
held out, and its packet was not lost on the air. The round ends when the last selected device
falls silent: a base station notices both the end and the loss of an uplink.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.allocation import Allocation, Use, upload_begin_s, use
from fl_opt.certificate import Excess
from fl_opt.checks import number, vector
from fl_opt.errors import Infeasible, device_list
from fl_opt.network import Network
from fl_opt.policy import Outcome
from fl_opt.units import Floats, quantity

SLACK = 1e-6
"""Part of a limit that the world forgives, so that the last digit of a solver does not decide."""
IDLE_S = 1.0
"""How long a round without anybody lasts where no deadline says it [s]."""


@dataclass(frozen=True, eq=False)
class Measured(Outcome):
    """An outcome with its parts, (K,) each, up to the moment a device fell silent.

    `training_s` and `airtime_s` [s], `training_j` and `upload_j` [J]; `received_w` and `noise_w`
    [W], the power at which the base station hears the device and the noise over its bandwidth; 0
    where not selected.
    """

    training_s: Floats
    airtime_s: Floats
    training_j: Floats
    upload_j: Floats
    received_w: Floats
    noise_w: Floats


def measure(
    network: Network,
    allocation: Allocation,
    luck: np.random.Generator,
    *,
    downlink_s: float = 0.0,
    battery_j: ArrayLike = math.inf,
    packet_error: ArrayLike = 0.0,
    idle_s: float = IDLE_S,
) -> Measured:
    """What `allocation` does in `network`.

    Parameters
    ----------
    luck
        Draws one number per device, selected or not, for the loss of its packet.
    downlink_s
        Time of the broadcast before the round [s].
    battery_j
        (K,) what the batteries hold [J].
    packet_error
        (K,) probability that the update of a device is lost on the air [-].
    idle_s
        Length of a round in which nobody is selected and no deadline is set [s].

    Raises ``Infeasible`` where the allocation asks for what cannot be: more than the band, a power
    or clock out of range by more than ``SLACK``, or, without a deadline, a device that never
    finishes (a dead link), for which the server would wait for ever.
    """
    battery = vector("battery_j", battery_j, network.size, finite=False)
    error = vector("packet_error", packet_error, network.size, high=1.0)
    number("downlink_s", downlink_s, finite=False)
    lot = luck.random(network.size)
    used, on, deadline = use(network, allocation), allocation.selected, allocation.deadline_s
    if not on.any():
        seconds = deadline if math.isfinite(deadline) else number("idle_s", idle_s)
        zero = np.zeros(network.size)
        return Measured(on, on, zero, zero, seconds, *[zero] * 6)
    _refuse(network, allocation)
    end = np.minimum(used.finish_s, deadline)
    training_j, upload_j = _spent(used, allocation, end)
    end = np.where(
        training_j + upload_j > battery * (1.0 + SLACK),
        _exhausted_s(used, allocation, battery),
        end,
    )
    _refuse_waiting(end, downlink_s)
    training_j, upload_j = _spent(used, allocation, end)
    training_j = np.minimum(training_j, battery)
    upload_j = np.minimum(upload_j, battery - training_j)
    intime = used.finish_s <= deadline * (1.0 + SLACK)
    alive = used.energy_j <= battery * (1.0 + SLACK)
    return Measured(
        selected=on,
        arrived=on & intime & alive & (lot >= error),
        finish_s=end,
        # a sum may round to more than the battery, and leave less than nothing in it
        energy_j=np.minimum(training_j + upload_j, battery),
        seconds=downlink_s + float(end.max()),
        training_s=np.minimum(used.training_s, end),
        airtime_s=np.clip(end - used.begin_s, 0.0, used.airtime_s),
        training_j=training_j,
        upload_j=upload_j,
        received_w=np.where(on, network.gain * allocation.power_w, 0.0),
        noise_w=np.where(on, network.noise_w_hz * allocation.bandwidth_hz, 0.0),
    )


def claims(
    network: Network, allocation: Allocation, downlink_s: float = 0.0
) -> tuple[float, float]:
    """Length [s] and energy [J] of the round as the allocation promises them.

    By its claimed airtimes `upload_s` where it states them, else by the rates; as if no packet
    were lost and no battery empty. (0, 0) where nobody is selected.
    """
    if not allocation.selected.any():
        return 0.0, 0.0
    used = use(network, allocation)
    if allocation.upload_s is not None:
        airtime = np.where(allocation.selected, allocation.upload_s, 0.0)
        begin = upload_begin_s(allocation, used.training_s, airtime)
        used = dataclasses.replace(used, airtime_s=airtime, begin_s=begin, finish_s=begin + airtime)
    end = np.minimum(used.finish_s, allocation.deadline_s)
    return downlink_s + float(end.max()), float(np.sum(_spent(used, allocation, end)))


def _spent(used: Use, allocation: Allocation, at_s: Floats) -> tuple[Floats, Floats]:
    """Energy of training and of upload (K,) that is spent at a moment of each device [J]."""
    power = np.where(allocation.selected, allocation.power_w, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        progress = np.where(used.training_s > 0.0, at_s / used.training_s, 1.0)
        sending = np.minimum(at_s - used.begin_s, used.airtime_s)
        # nothing is spent in no time, at whatever power
        sent = np.where((at_s > used.begin_s) & (sending > 0.0), power * sending, 0.0)
    return used.training_j * np.clip(progress, 0.0, 1.0), sent


def _exhausted_s(used: Use, allocation: Allocation, battery_j: Floats) -> Floats:
    """When (K,) batteries are empty that do not last for the round [s]."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        training = used.training_s * battery_j / used.training_j
        sending = used.begin_s + (battery_j - used.training_j) / allocation.power_w
    return np.where(battery_j < used.training_j, training, sending)


def _refuse(network: Network, allocation: Allocation) -> None:
    """Raise ``Infeasible`` for an allocation that no radio or processor can carry out."""
    on = allocation.selected
    band = np.where(on, allocation.bandwidth_hz, 0.0)
    asked = band.sum() if allocation.access == "fdma" else band
    clock = np.where(on, allocation.cpu_hz, network.cpu_min_hz)
    limits = {
        "band": Excess(asked, network.band_hz, "Hz"),
        "power_max": Excess(np.where(on, allocation.power_w, 0.0), network.power_max_w, "W"),
        "cpu_max": Excess(clock, network.cpu_max_hz, "Hz"),
        "cpu_min": Excess(-clock, -network.cpu_min_hz, "Hz"),
    }
    for name, excess in limits.items():
        with np.errstate(invalid="ignore"):
            over = excess.amount > SLACK * np.abs(excess.limit)
        if over.any():
            worst = int(np.argmax(excess.amount))
            devices = np.flatnonzero(over if over.size == on.size else on)
            raise Infeasible(
                f"the allocation asks for {quantity(abs(excess.used[worst]), excess.unit)} where "
                f"{name} is {quantity(abs(excess.limit[worst]), excess.unit)}",
                constraint=name,
                devices=devices,
            )


def _refuse_waiting(end_s: Floats, downlink_s: float) -> None:
    if math.isinf(downlink_s):
        raise Infeasible(
            "the broadcast of the model never ends: a link is dead", constraint="downlink"
        )
    never = np.flatnonzero(np.isinf(end_s))
    if never.size:
        raise Infeasible(
            f"{device_list(never)} would never finish, and the round has no deadline",
            constraint="deadline",
            devices=never,
        )
