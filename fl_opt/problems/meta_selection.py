r"""Who takes part in personalised (meta) learning: the devices whose gradients contribute most.

    u_i = |g_i|^2 - 2 (l1 + l2/sqrt(D_i)) |g_i|              contribution of device i

    over one band                                            `MetaSelection`
    maximise    sum_i u_i x_i - q sum_i e_i x_i              as `JointSchedule`, and
    subject to  x_i = 0 but for the n largest u_i > 0        "candidates"

    over resource blocks                                     `MetaBlockSelection`
    maximise    sum_i u_i a_i (1 - q_i)                      as `ResourceBlockAssignment`, and
    subject to  sum_i a_i <= n                               "participants"

    |g_i|  norm of the meta-gradient [-]    D_i  samples [-]    l1, l2  constants of a bound [-]
    e_i    energy of a device [J]           q    worth of a joule [1/J], or a packet error [-]

A gradient that is short against its uncertainty, |g_i| <= 2 (l1 + l2/sqrt(D_i)), contributes
nothing or harm, and is never selected.

The contribution is that of nonuniform federated meta-learning (NUFM) of Yue, Ren, Xin, Zhang,
Zhang, Zhuang, IEEE JSAC 2022, arXiv 2108.06453, recalled and not re-derived. Its second part (URAL)
weighs contribution against energy and delay over blocks, clocks and powers; that delay is a limit
here, packets get lost on blocks, and the solvers and bounds, are ours.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.allocation import Allocation
from fl_opt.certificate import Excess
from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.network import Network
from fl_opt.problems.block_links import Counted, Power
from fl_opt.problems.block_network import BlockNetwork
from fl_opt.problems.joint_schedule import JointSchedule
from fl_opt.problems.resource_blocks import ResourceBlockAssignment
from fl_opt.problems.uplink import total
from fl_opt.structure import Offers, Program
from fl_opt.units import Floats


def contribution(
    gradient_norm: ArrayLike, samples: ArrayLike, l1: float = 0.0, l2: float = 0.0
) -> Floats:
    """``u = |g|^2 - 2 (l1 + l2/sqrt(D)) |g|`` of each device, -inf without samples.

    >>> contribution([1.0, 1.0, 3.0], samples=[25, 400, 400], l1=0.25, l2=2.0)
    array([-0.3,  0.3,  6.9])
    """
    size = max(np.size(gradient_norm), np.size(samples))
    norm, held = vector("gradient_norm", gradient_norm, size), vector("samples", samples, size)
    scale = number("l2", l2)
    with np.errstate(divide="ignore"):
        vague = scale / np.sqrt(held) if scale > 0.0 else np.zeros(size)
    doubt = 2.0 * (number("l1", l1) + vague)
    with np.errstate(invalid="ignore"):
        return np.where(norm > 0.0, norm * (norm - doubt), 0.0)


def _whole(participants: float) -> int:
    count = number("participants", participants)
    if count != int(count):
        raise InvalidInput("participants", f"{count:g}", "a whole number")
    return int(count)


@dataclass(frozen=True, eq=False, init=False)
class MetaSelection(JointSchedule):
    """Serve the devices that contribute most to personalised learning, within band and energy.

    Parameters
    ----------
    network
        Who could take part.
    gradient_norm
        Norm of each device's meta-gradient, scalar or (K,) [-]; ``Optimised`` fills it from a
        signal: ``signals={"gradient_norm": "update_norm"}``.
    participants
        The n devices of largest positive contribution are candidates, of equal ones the first.
    deadline_s
        End of the round, training and upload together, a scalar or (K,) [s].
    l1, l2
        Constants of the contribution, >= 0 [-].
    energy_total_j, utility_per_j
        Budget of the round's energy [J], and contribution that a joule costs [1/J].

    The cost is minus the contribution of those who take part, plus the penalty. Nothing is
    infeasible: nobody may take part.
    """

    gradient_norm: Floats = field(default_factory=lambda: np.zeros(0))
    participants: int = 0
    l1: float = 0.0
    l2: float = 0.0
    utility: Floats = field(init=False)

    def __init__(
        self,
        network: Network,
        gradient_norm: ArrayLike,
        participants: int,
        deadline_s: ArrayLike,
        l1: float = 0.0,
        l2: float = 0.0,
        energy_total_j: float = math.inf,
        utility_per_j: ArrayLike = 0.0,
    ) -> None:
        put = object.__setattr__
        norm = vector("gradient_norm", gradient_norm, network.size)
        put(self, "gradient_norm", norm)
        put(self, "participants", _whole(participants))
        put(self, "l1", number("l1", l1))
        put(self, "l2", number("l2", l2))
        put(self, "network", network)
        value = contribution(norm, network.samples, l1, l2)
        best = np.argsort(-value, kind="stable")[: self.participants]
        chosen = np.zeros(network.size, dtype=bool)
        chosen[best] = value[best] > 0.0
        put(self, "utility", np.where(chosen, value, 0.0))
        put(self, "deadline_s", deadline_s)
        put(self, "energy_total_j", energy_total_j)
        put(self, "utility_per_j", utility_per_j)
        self.__post_init__()

    def excess(self, decision: Allocation) -> dict[str, Excess]:
        """The constraints of the round by name, and "candidates"."""
        others = decision.selected & (self.utility == 0.0)
        candidates = Excess(others, 0.0, "", scale=1.0)
        return super().excess(decision) | {"candidates": candidates}


@dataclass(frozen=True, eq=False, init=False)
class MetaBlockSelection:
    """Serve the devices that contribute most to personalised learning, on resource blocks.

    Parameters
    ----------
    network
        Devices and blocks.
    gradient_norm
        Norm of each device's meta-gradient, scalar or (K,) [-].
    participants
        Most devices n that take part, whole.
    delay_s, energy_j
        Limits of a device, scalars or (K,) [s], [J], see ``ResourceBlockAssignment``.
    l1, l2
        Constants of the contribution, >= 0 [-].
    power, training
        How power is found and what training counts in, see ``ResourceBlockAssignment``.

    The cost is minus the contribution that is expected to arrive. Nothing is infeasible: nobody
    may take part.
    """

    network: BlockNetwork
    gradient_norm: Floats
    participants: int
    delay_s: Floats
    energy_j: Floats
    l1: float
    l2: float
    power: Power
    training: Counted

    def __init__(
        self,
        network: BlockNetwork,
        gradient_norm: ArrayLike,
        participants: int,
        delay_s: ArrayLike,
        energy_j: ArrayLike,
        l1: float = 0.0,
        l2: float = 0.0,
        power: Power = "max",
        training: Counted = "neither",
    ) -> None:
        put = object.__setattr__
        put(self, "network", network)
        put(self, "gradient_norm", vector("gradient_norm", gradient_norm, network.size))
        put(self, "participants", _whole(participants))
        put(self, "delay_s", delay_s)
        put(self, "energy_j", energy_j)
        put(self, "l1", number("l1", l1))
        put(self, "l2", number("l2", l2))
        put(self, "power", power)
        put(self, "training", training)
        put(self, "delay_s", self._assignment.delay_s)
        put(self, "energy_j", self._assignment.energy_j)

    @cached_property
    def utility(self) -> Floats:
        """(K,) contribution of each device."""
        return contribution(self.gradient_norm, self.network.samples, self.l1, self.l2)

    @cached_property
    def _assignment(self) -> ResourceBlockAssignment:
        """The assignment of blocks in which contributions stand for samples."""
        network = dataclasses.replace(self.network, samples=np.maximum(self.utility, 0.0))
        return ResourceBlockAssignment(
            network, self.delay_s, self.energy_j, self.power, self.training
        )

    def cost(self, decision: Allocation) -> float:
        """Minus the contribution that is expected to arrive."""
        arrives = 1.0 - self._assignment.packet_error(decision)
        some = decision.selected & (arrives > 0.0)
        return 0.0 - total(np.where(some, self.utility, 0.0) * arrives)

    def excess(self, decision: Allocation) -> dict[str, Excess]:
        """The constraints of the assignment by name, and "participants"."""
        count = Excess(int(decision.selected.sum()), self.participants, "", scale=1.0)
        return self._assignment.excess(decision) | {"participants": count}

    # structure: BudgetedMatching

    def offers(self) -> Offers:
        """Expected contributions of all pairs, rounded up; one level that takes no budget."""
        worth = -self._assignment.weights()[:, :, None]
        return Offers(worth, 0.0, np.zeros(1), 0.0, self.participants)

    def arrange(self, column: NDArray[np.int_], level: NDArray[np.int_]) -> Allocation:
        """The decision that gives device i block column[i]; there is one level."""
        return self._assignment.match(column)

    # structures: Mixed, Enumerable

    def program(self) -> Program[Allocation]:
        """The 0/1 program of the assignment, with the number of pairs limited."""
        import pyomo.environ as pyo

        program = self._assignment.program()
        uses = program.model.uses
        program.model.count = pyo.Constraint(
            expr=sum(uses[pair] for pair in uses) <= self.participants
        )
        return program

    def candidates(self) -> Iterator[tuple[Allocation, float]]:
        """Every matching of at most so many pairs, with its own cost as the bound."""
        for decision, _ in self._assignment.candidates():
            if int(decision.selected.sum()) <= self.participants:
                yield decision, self.cost(decision)
