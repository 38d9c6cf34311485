r"""Which device uploads on which block so that a round ends earliest.

    minimise    max_i a_i (d_i + C_i/f_i + l_i)              a_i = sum_n r_in in {0, 1}
    with        l_i = s_i / (B log2(1 + p_i h_in/(I_n + N0 B))) on the block used
    subject to  sum_i a_i = n                                "participants"
                sum_i r_in <= 1                              "block"
                p_i l_i + kappa_i C_i f_i^2 <= E_i           "energy"
                p_i <= P_i, or p_i = P_i                     "power_max", "power_min"

    r_in  device i sends on block n     n    devices to serve [-]   h_in  gain [-]
    l_i   airtime [s]                   s_i  payload [bit]          d_i   downlink time [s]
    N0    noise density [W/Hz]          B    band of a block [Hz]   I_n   interference [W]
    C_i   cycles                        f_i  clock [cycle/s]        kappa_i  capacitance
    E_i   limit of the energy [J]       P_i  largest power [W]

The delay of a pair falls with its power, so that the largest power allowed is best whatever the
others do (`block_links`). What is left is a bottleneck assignment over the delays of the pairs,
solved by a search over the sorted delays and matchings (`bottleneck`).

Proof: "combinatorial". Fewer than n devices and blocks hold every pair that is faster than the
answer, so that one of any n pairs is not; the delays are rounded down by what they may be off.

Source: the round of Chen, Poor, Saad, Cui, Convergence time optimization for federated learning
over wireless networks, IEEE TWC 2021, arXiv 2001.07845, whose devices are chosen beforehand. That
a round waits for n devices of any number, and the proof, are ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fl_opt import physics
from fl_opt.allocation import Allocation
from fl_opt.certificate import Excess
from fl_opt.checks import number
from fl_opt.errors import Infeasible, InvalidInput, device_list
from fl_opt.kernels import EPS
from fl_opt.problems.block_links import BlockLinks, Counted, Power
from fl_opt.problems.block_network import BlockNetwork
from fl_opt.problems.bottleneck import Bottleneck, bottleneck, least_outside
from fl_opt.problems.resource_blocks import matchings
from fl_opt.structure import Optimum, Program
from fl_opt.units import Floats


@dataclass(frozen=True, eq=False, init=False)
class MinBlockRoundTime:
    """Serve a number of devices on resource blocks in the shortest time.

    Parameters
    ----------
    network
        Devices and blocks.
    participants
        How many devices are to be served, whole, at most K; None: all of them.
    energy_j
        Limit of a device's energy, scalar or (K,) [J]; by default there is none.
    power
        "max": every device sends at `power_max_w`; "chosen": at the largest power that the energy
        limit allows.
    training
        Whether training counts: "neither" in delay nor energy, "energy" only, "both" (default).

    The cost is the time until the last of them is heard [s]. Raises ``Infeasible`` where blocks or
    energy do not suffice for so many.
    """

    network: BlockNetwork
    participants: int
    energy_j: Floats
    power: Power
    training: Counted

    unit = "s"

    def __init__(
        self,
        network: BlockNetwork,
        participants: int | None = None,
        energy_j: ArrayLike = math.inf,
        power: Power = "max",
        training: Counted = "both",
    ) -> None:
        put = object.__setattr__
        put(self, "network", network)
        size = network.size if participants is None else participants
        count = number("participants", size, high=network.size)
        if count != int(count):
            raise InvalidInput("participants", f"{count:g}", "a whole number")
        put(self, "participants", int(count))
        put(self, "energy_j", energy_j)
        put(self, "power", power)
        put(self, "training", training)
        put(self, "energy_j", self._links.energy_j)

    @cached_property
    def _links(self) -> BlockLinks:
        return BlockLinks(self.network, self.energy_j, self.power, self.training)

    def cost(self, decision: Allocation) -> float:
        """Time until the last device is heard [s]; 0 where nobody is served."""
        return float(self._links.used(decision)[0].max())

    def excess(self, decision: Allocation) -> dict[str, Excess]:
        """The constraints by name, and "band": no more of it than a block has."""
        served = int(decision.selected.sum())
        missing = Excess(-served, -self.participants, "", scale=1.0)
        return self._links.excess(decision) | {"participants": missing}

    # structure: ClosedForm

    def optimum(self) -> Optimum[Allocation]:
        """The bottleneck assignment, and the least delay that its cover leaves."""
        delay = self._links.delay_s
        found = bottleneck(delay, self.participants)
        if not found.complete:
            raise self._refusal(found)
        error = 32.0 * EPS + self._links.power_error
        bound = least_outside(delay * (1.0 - error), found) if self.participants else 0.0
        decision = self._links.match(found.column, np.isfinite(delay))
        return Optimum(decision, bound, proof="combinatorial")

    def _refusal(self, found: Bottleneck) -> Infeasible:
        able = int(np.count_nonzero(found.column >= 0))
        crowd = np.flatnonzero(~found.rows)
        blocks = int(np.count_nonzero(found.columns))
        text = (
            f"{self.participants} devices are to be served and {able} can be: "
            f"{device_list(crowd)} have {blocks} of {self.network.blocks} blocks within their "
            f"energy"
        )
        short = self.participants > self.network.blocks
        return Infeasible(
            text,
            constraint="block" if short else "energy",
            devices=crowd,
            relaxations=lambda: {"participants": float(able), "energy_j": self._energy_cure()},
        )

    def _energy_cure(self) -> float | None:
        """The least common energy limit with which enough devices can be served [J]."""
        links = BlockLinks(self.network, math.inf, "max", self.training)
        least = physics.upload_energy_j(links.power_w, links.airtime_s)
        if self.power == "chosen":
            # approached as the power falls, and not reached
            gain = self.network.gain / self.network.disturbance_w()
            floor = physics.least_upload_energy_j(
                self.network.upload_bit[:, None], gain, 1.0 / self.network.band_hz
            )
            least = np.minimum(floor * (1.0 + 1e-9), least)
        level = np.where(np.isfinite(links.airtime_s), least + links.overhead_j[:, None], np.inf)
        found = bottleneck(level, self.participants)
        taken = np.flatnonzero(found.column >= 0)
        return float(level[taken, found.column[taken]].max()) if found.complete else None

    # structures: Mixed, Enumerable

    def program(self) -> Program[Allocation]:
        """The matching and its latest delay as a 0/1 program, its pairs computed apart."""
        return _program(self)

    def candidates(self) -> Iterator[tuple[Allocation, float]]:
        """Every matching of the number of devices asked for, with its own cost as the bound."""
        usable = np.isfinite(self._links.delay_s)
        for column in matchings(self.network.size, self.network.blocks):
            decision = self._links.match(np.array(column), usable)
            if int(decision.selected.sum()) == self.participants:
                yield decision, self.cost(decision)


def _program(problem: MinBlockRoundTime) -> Program[Allocation]:
    """Minimise T with T >= sum_n t_in x_in for every device, n pairs in all."""
    import pyomo.environ as pyo

    from fl_opt.problems._block_reference import link, served

    network = problem.network
    devices, blocks = range(network.size), range(network.blocks)
    pairs = {
        (i, n): link(
            network, i, n, float(problem.energy_j[i]), problem.power, problem.training
        )
        for i in devices
        for n in blocks
    }  # fmt: skip
    finite = [delay for _, delay in pairs.values() if math.isfinite(delay)]
    unit = max(finite, default=1.0) or 1.0
    model: Any = pyo.ConcreteModel()
    model.end = pyo.Var(bounds=(0.0, 1.0))
    model.uses = pyo.Var(
        devices,
        blocks,
        domain=pyo.Binary,
        bounds=lambda _, i, n: (0, int(math.isfinite(pairs[i, n][1]))),
    )
    model.latest = pyo.Objective(expr=model.end)

    def waits(m: Any, i: int) -> Any:
        due = [
            pairs[i, n][1] / unit * m.uses[i, n] for n in blocks if math.isfinite(pairs[i, n][1])
        ]
        return m.end >= pyo.quicksum(due)

    model.waits = pyo.Constraint(devices, rule=waits)
    model.device = pyo.Constraint(devices, rule=lambda m, i: sum(m.uses[i, n] for n in blocks) <= 1)
    model.block = pyo.Constraint(blocks, rule=lambda m, n: sum(m.uses[i, n] for i in devices) <= 1)
    model.count = pyo.Constraint(
        expr=sum(model.uses[pair] for pair in pairs) == problem.participants
    )

    def decision() -> Allocation:
        return served(network, model.uses, {pair: watt for pair, (watt, _) in pairs.items()})

    return Program(model, decision, unit)
