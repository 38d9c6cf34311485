r"""Which device uploads on which block, at which power, so that most samples arrive.

    maximise    sum_i K_i a_i (1 - q_i)                      a_i = sum_n r_in in {0, 1}
    with        q_in = 1 - exp(-m (I_n + N0 B)/(p_i h_in)),  q_i that of the block used
                l_i  = s_i / (B log2(1 + p_i h_in/(I_n + N0 B)))
    subject to  sum_i r_in <= 1                              "block"
                l_i + d_i (+ C_i/f_i) <= T_i                 "delay"
                p_i l_i (+ kappa_i C_i f_i^2) <= E_i         "energy"
                p_i <= P_i, or p_i = P_i                     "power_max", "power_min"

    r_in  device i sends on block n     K_i  samples [-]         h_in  gain [-]
    q_in  packet error [-]              m    waterfall [-]       I_n   interference [W]
    N0    noise density [W/Hz]          B    band of a block [Hz]
    l_i   airtime [s]                   s_i  payload [bit]       d_i   downlink time [s]
    C_i   cycles                        f_i  clock [cycle/s]     kappa_i  capacitance
    T_i   limit of the delay [s]        E_i  limit of the energy [J]

Power first: the error and the delay fall with p, the energy p l(p) rises from its infimum
s I ln2/(B h), I the disturbance. So the best power of a pair is the largest allowed one,
P* = min(P_i, root of the energy limit), a closed form (`block_links`); where even the infimum is
too much, or the delay, the pair is out. What is left is a matching with weights -K_i (1 - q_in), a
pair for itself.

Source: Chen, Yang, Saad, Yin, Poor, Cui, IEEE TWC 2021, arXiv 1909.07972. The bounds are derived.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt import physics
from fl_opt.allocation import Allocation
from fl_opt.certificate import FEASIBLE, Excess
from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.problems.block_links import BlockLinks, Counted, Power
from fl_opt.problems.block_network import BlockNetwork
from fl_opt.problems.uplink import total
from fl_opt.structure import Program
from fl_opt.units import Floats

_ENUMERABLE = 20_000


@dataclass(frozen=True, eq=False, init=False)
class ResourceBlockAssignment:
    """Assign resource blocks and powers so that most training samples reach the server.

    Parameters
    ----------
    network
        Devices and blocks.
    delay_s
        Limit of the delay: downlink and upload, and training where it counts, scalar or (K,) [s].
    energy_j
        Limit of a device's energy: upload, and training where it counts, scalar or (K,) [J].
    power
        "max": every device sends at `power_max_w`, as in the authors' program; "chosen": at the
        largest power that the energy limit allows, which makes more pairs feasible.
    training
        Whether training counts: "neither" (default) in delay nor energy; "energy" only, as in the
        paper; "both".

    The cost is ``-sum K_i a_i (1 - q_i)``, minus the samples expected to arrive. The paper
    minimises the samples lost, ``sum K_i (1 - a_i + a_i q_i)``, which is the constant
    ``sum K_i`` more: see `lost`. Nothing is infeasible: nobody may take part. Devices whose update
    would surely be lost stay out.
    """

    network: BlockNetwork
    delay_s: Floats
    energy_j: Floats
    power: Power
    training: Counted

    def __init__(
        self,
        network: BlockNetwork,
        delay_s: ArrayLike,
        energy_j: ArrayLike,
        power: Power = "max",
        training: Counted = "neither",
    ) -> None:
        put = object.__setattr__
        put(self, "network", network)
        put(self, "delay_s", vector("delay_s", delay_s, network.size, finite=False))
        put(self, "energy_j", energy_j)
        put(self, "power", power)
        put(self, "training", training)
        put(self, "energy_j", self._links.energy_j)

    @cached_property
    def _links(self) -> BlockLinks:
        return BlockLinks(self.network, self.energy_j, self.power, self.training)

    @cached_property
    def success(self) -> Floats:
        """(K, N) probability that an update arrives; 0 where the pair may not be used."""
        network, links = self.network, self._links
        # as `verify` judges, so that no decision that it accepts was left out
        usable = (links.delay_s <= self.delay_s[:, None] * (1.0 + FEASIBLE)) & (links.power_w > 0.0)
        error = physics.packet_error(
            network.waterfall, network.disturbance_w(), links.power_w, network.gain
        )
        return np.where(usable, 1.0 - error, 0.0)

    def packet_error(self, decision: Allocation) -> Floats:
        """(K,) packet error of each device on its block; 1 where it does not take part."""
        on, block = self.network.blocks_of(decision)
        network = self.network
        device = np.arange(network.size)
        error = physics.packet_error(
            network.waterfall,
            network.disturbance_w()[device, block],
            decision.power_w,
            network.gain[device, block],
        )
        return np.where(on, error, 1.0)

    def cost(self, decision: Allocation) -> float:
        """Minus the number of samples whose update is expected to arrive."""
        return 0.0 - total(self.network.samples * (1.0 - self.packet_error(decision)))

    def lost(self, decision: Allocation) -> float:
        """Samples whose update is expected to miss the round, sum K_i (1 - a_i + a_i q_i)."""
        return total(self.network.samples * self.packet_error(decision))

    def contraction(
        self,
        decision: Allocation,
        *,
        strong_convexity: float,
        smoothness: float,
        gradient_growth: float,
    ) -> float:
        """Factor A of the convergence bound, 1 - mu/L + 4 mu zeta_2/(L K) x `lost`.

        mu, L and zeta_2 are `strong_convexity`, `smoothness` and `gradient_growth`; K is the
        number of all samples. Where A >= 1 the bound says nothing. The form is recalled from the
        source, not re-derived.
        """
        mu, smooth, growth = (
            number(name, value)
            for name, value in (
                ("strong_convexity", strong_convexity),
                ("smoothness", smoothness),
                ("gradient_growth", gradient_growth),
            )
        )
        share = self.lost(decision) / total(self.network.samples)
        return 1.0 - mu / smooth + 4.0 * mu * growth / smooth * share

    def excess(self, decision: Allocation) -> dict[str, Excess]:
        """The constraints by name, and "band": no more of it than a block has."""
        delay = Excess(self._links.used(decision)[0], self.delay_s, "s")
        return self._links.excess(decision) | {"delay": delay}

    # structure: Matching

    def weights(self) -> Floats:
        """(K, N) minus the expected samples of a pair, 0 where it may not be used.

        Rounded down by what the formulas may be off, so that a bound on their sum bounds the cost.
        """
        success, samples = self.success, self.network.samples[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            steep = np.where(success > 0.0, -np.log(success) * success, 0.0)
        most = np.minimum(success + 16.0 * EPS + self._links.power_error * steep, 1.0)
        return np.where((success > 0.0) & (samples > 0.0), -samples * most * (1.0 + EPS), 0.0)

    def match(self, column: NDArray[np.int_]) -> Allocation:
        """The decision that gives device i the block column[i]; useless pairs stay out."""
        worthy = (self.success > 0.0) & (self.network.samples > 0.0)[:, None]
        return self._links.match(column, worthy)

    # structures: Mixed, Enumerable

    def program(self) -> Program[Allocation]:
        """The matching as a 0/1 program in Pyomo, its pairs computed apart from this file."""
        from fl_opt.problems._block_reference import program

        return program(self)

    def candidates(self) -> Iterator[tuple[Allocation, float]]:
        """Every matching, at most 20,000 of them, with its own cost as the bound."""
        for column in matchings(self.network.size, self.network.blocks):
            decision = self.match(np.array(column))
            yield decision, self.cost(decision)


def matchings(size: int, blocks: int) -> Iterator[tuple[int, ...]]:
    """A block or -1 for each device, no block twice. Raises ``InvalidInput`` for too many."""
    count = sum(math.comb(size, j) * math.perm(blocks, j) for j in range(min(size, blocks) + 1))
    if count > _ENUMERABLE:
        raise InvalidInput("matchings", f"{count:g}", f"at most {_ENUMERABLE} to try them all")
    yield from _matchings(size, blocks)


def _matchings(size: int, blocks: int) -> Iterator[tuple[int, ...]]:
    """A block or -1 for each device, no block twice."""
    if size == 0:
        yield ()
        return
    for rest in _matchings(size - 1, blocks):
        for block in range(-1, blocks):
            if block < 0 or block not in rest:
                yield (*rest, block)
