"""FedCS: as many clients as one greedy rule finds, who upload one after another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fl_opt import physics
from fl_opt.allocation import Allocation
from fl_opt.checks import number
from fl_opt.policies.seats import clock_hz
from fl_opt.policy import Round


@dataclass(frozen=True)
class FedCSGreedy:
    """Clients upload in sequence over the whole band; next is who delays the sequence least.

    With theta the time at which the uploads so far are done, client k would add
    max(0, train_k - theta) + upload_k. The one that adds least is admitted while theta stays
    within the deadline. All send at full power and train at the fastest clock that the battery
    pays. O(K x admitted).

    Parameters
    ----------
    deadline_s
        Time for training and uploads [s].

    Source: Nishio, Yonetani, Client selection for federated learning with heterogeneous resources
    in mobile edge, IEEE ICC 2019, arXiv 1804.08333. There the time to multicast the model depends
    on the clients admitted; here it is the scenario's, before the round's clock starts. The most
    clients, not the greedy's, is a scheduling problem solved exactly elsewhere.
    """

    deadline_s: float

    def __post_init__(self) -> None:
        number("FedCSGreedy.deadline_s", self.deadline_s, open_low=True)

    def start(self, size: int, rng: np.random.Generator) -> None:
        """Nothing to remember."""

    def decide(self, round: Round, memory: None) -> tuple[Allocation, None]:
        """Admit clients one by one."""
        network = round.network
        band = np.full(network.size, network.band_hz)
        clock, able = clock_hz(network, band, np.inf)
        trained = physics.training_s(network.cycles, np.where(able, clock, np.inf))
        rate = physics.rate_bit_s(band, network.power_max_w, network.gain, network.noise_w_hz)
        upload = np.where(able, physics.airtime_s(network.upload_bit, rate), np.inf)
        begin = np.zeros(network.size)
        selected = np.zeros(network.size, dtype=bool)
        theta = 0.0
        while True:
            # who delays least also ends first: if he is late, so is everybody else
            end = np.where(selected, np.inf, np.maximum(trained, theta) + upload)
            k = int(np.argmin(end))
            if end[k] > self.deadline_s:
                break
            begin[k] = max(float(trained[k]), theta)
            theta = float(end[k])
            selected[k] = True
        allocation = Allocation(
            selected=selected,
            bandwidth_hz=np.where(selected, band, 0.0),
            power_w=np.where(selected & (network.upload_bit > 0.0), network.power_max_w, 0.0),
            cpu_hz=np.where(selected, clock, 0.0),
            start_s=begin,
            access="sequential",
            deadline_s=self.deadline_s,
        )
        return allocation, None
