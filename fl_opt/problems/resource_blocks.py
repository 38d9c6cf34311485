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
P* = min(P_i, root of the energy limit), a closed form; where even the infimum is too much, or the
delay, the pair is out. What is left is a matching with weights -K_i (1 - q_in), a pair for itself.

Source: Chen, Yang, Saad, Yin, Poor, Cui, IEEE TWC 2021, arXiv 1909.07972. The bounds are derived.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt import physics
from fl_opt.allocation import Allocation
from fl_opt.certificate import FEASIBLE, Excess
from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS, growth_inverse
from fl_opt.problems.block_network import BlockNetwork
from fl_opt.problems.uplink import total
from fl_opt.structure import Program
from fl_opt.units import Floats

Counted = Literal["neither", "energy", "both"]
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
    power: Literal["max", "chosen"]
    training: Counted

    def __init__(
        self,
        network: BlockNetwork,
        delay_s: ArrayLike,
        energy_j: ArrayLike,
        power: Literal["max", "chosen"] = "max",
        training: Counted = "neither",
    ) -> None:
        put = object.__setattr__
        put(self, "network", network)
        put(self, "delay_s", vector("delay_s", delay_s, network.size, finite=False))
        put(self, "energy_j", vector("energy_j", energy_j, network.size, finite=False))
        if power not in ("max", "chosen"):
            raise InvalidInput("power", repr(power), "'max' or 'chosen'")
        if training not in get_args(Counted):
            raise InvalidInput("training", repr(training), f"one of {get_args(Counted)}")
        put(self, "power", power)
        put(self, "training", training)

    @cached_property
    def _overhead_s(self) -> Floats:
        """(K,) delay besides the upload [s]."""
        network = self.network
        waited = network.downlink_s()
        if self.training == "both":
            waited = waited + physics.training_s(network.cycles, network.cpu_hz)
        return waited

    @cached_property
    def _overhead_j(self) -> Floats:
        """(K,) energy besides the upload [J]."""
        network = self.network
        if self.training == "neither":
            return np.zeros(network.size)
        return physics.training_energy_j(network.capacitance, network.cycles, network.cpu_hz)

    @cached_property
    def _powers(self) -> tuple[Floats, Floats]:
        """(K, N) power of each pair [W], 0 where there is none; and its relative error."""
        network = self.network
        shape = network.gain.shape
        full = np.broadcast_to(network.power_max_w[:, None], shape)
        if self.power == "max":
            return full, np.zeros(shape)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            snr_w = network.gain / network.disturbance_w()
            left = (self.energy_j - self._overhead_j)[:, None]
            # p l(p) = E is expm1(v)/v = E B (h/I)/(s ln2) in v = ln(1 + p h/I)
            payload = (network.upload_bit * physics.LN2)[:, None]
            level = np.log(left * network.band_hz * snr_w / payload)
            able = level > 0.0
            root = np.expm1(growth_inverse(np.where(able, level, 1.0))) / snr_w
            root = np.where(able, root * (1.0 - 4.0 * EPS), 0.0)
            error = np.where(able, EPS * (16.0 + 8.0 / level), 0.0)
        free = (network.upload_bit == 0.0)[:, None] & (left >= 0.0)
        return np.where(free, full, np.minimum(root, full)), np.where(root < full, error, 0.0)

    @cached_property
    def success(self) -> Floats:
        """(K, N) probability that an update arrives; 0 where the pair may not be used."""
        network, power = self.network, self._powers[0]
        density = network.disturbance_w() / network.band_hz
        rate = physics.rate_bit_s(network.band_hz, power, network.gain, density)
        airtime = physics.airtime_s(network.upload_bit[:, None], rate)
        delay = self._overhead_s[:, None] + airtime
        energy = self._overhead_j[:, None] + physics.upload_energy_j(power, airtime)
        # as `verify` judges, so that no decision that it accepts was left out
        usable = (delay <= self.delay_s[:, None] * (1.0 + FEASIBLE)) & (power > 0.0)
        usable &= energy <= self.energy_j[:, None] * (1.0 + FEASIBLE)
        error = physics.packet_error(
            network.waterfall, network.disturbance_w(), power, network.gain
        )
        return np.where(usable, 1.0 - error, 0.0)

    def packet_error(self, decision: Allocation) -> Floats:
        """(K,) packet error of each device on its block; 1 where it does not take part."""
        on, block = self._blocks(decision)
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
        on, block = self._blocks(decision)
        network = self.network
        device = np.arange(network.size)
        density = network.disturbance_w()[device, block] / network.band_hz
        rate = physics.rate_bit_s(
            decision.bandwidth_hz, decision.power_w, network.gain[device, block], density
        )
        airtime = physics.airtime_s(network.upload_bit, rate)
        upload = physics.upload_energy_j(decision.power_w, airtime)
        used = np.bincount(block[on], minlength=network.blocks)
        excess = {
            "block": Excess(used, 1.0, ""),
            "band": Excess(np.where(on, decision.bandwidth_hz, 0.0), network.band_hz, "Hz"),
            "delay": Excess(np.where(on, self._overhead_s + airtime, 0.0), self.delay_s, "s"),
            "energy": Excess(np.where(on, self._overhead_j + upload, 0.0), self.energy_j, "J"),
            "power_max": Excess(np.where(on, decision.power_w, 0.0), network.power_max_w, "W"),
        }
        if self.power == "max":
            sent = np.where(on, decision.power_w, np.inf)
            excess["power_min"] = Excess(-sent, -network.power_max_w, "W")
        return excess

    def _blocks(self, decision: Allocation) -> tuple[NDArray[np.bool_], NDArray[np.int_]]:
        """Who takes part, and the block of each device, 0 where it takes no part."""
        if decision.size != self.network.size:
            raise InvalidInput("decision.size", decision.size, f"{self.network.size}")
        on, block = decision.selected, decision.block
        if block is None:
            raise InvalidInput("decision.block", None, "the block of each device, -1 is none")
        wrong = np.flatnonzero(on & ((block < 0) | (block >= self.network.blocks)))
        if wrong.size:
            where = f"decision.block[{wrong[0]}]"
            raise InvalidInput(where, block[wrong[0]], f"0 to {self.network.blocks - 1}")
        return on, np.where(on, block, 0)

    # structure: Matching

    def weights(self) -> Floats:
        """(K, N) minus the expected samples of a pair, 0 where it may not be used.

        Rounded down by what the formulas may be off, so that a bound on their sum bounds the cost.
        """
        success, samples = self.success, self.network.samples[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            steep = np.where(success > 0.0, -np.log(success) * success, 0.0)
        most = np.minimum(success + 16.0 * EPS + self._powers[1] * steep, 1.0)
        return np.where((success > 0.0) & (samples > 0.0), -samples * most * (1.0 + EPS), 0.0)

    def match(self, column: NDArray[np.int_]) -> Allocation:
        """The decision that gives device i the block column[i]; useless pairs stay out."""
        network = self.network
        device, block = np.arange(network.size), np.maximum(column, 0)
        on = (column >= 0) & (self.success[device, block] > 0.0) & (network.samples > 0.0)
        power = np.where(on, self._powers[0][device, block], 0.0)
        density = network.disturbance_w()[device, block] / network.band_hz
        rate = physics.rate_bit_s(network.band_hz, power, network.gain[device, block], density)
        return Allocation(
            selected=on,
            bandwidth_hz=np.where(on, network.band_hz, 0.0),
            power_w=power,
            cpu_hz=np.where(on, network.cpu_hz, 0.0),
            upload_s=np.where(on, physics.airtime_s(network.upload_bit, rate), 0.0),
            block=np.where(on, column, -1),
        )

    # structures: Mixed, Enumerable

    def program(self) -> Program[Allocation]:
        """The matching as a 0/1 program in Pyomo, its pairs computed apart from this file."""
        from fl_opt.problems._block_reference import program

        return program(self)

    def candidates(self) -> Iterator[tuple[Allocation, float]]:
        """Every matching, at most 20,000 of them, with its own cost as the bound."""
        size, blocks = self.network.size, self.network.blocks
        count = sum(math.comb(size, j) * math.perm(blocks, j) for j in range(min(size, blocks) + 1))
        if count > _ENUMERABLE:
            raise InvalidInput("matchings", f"{count:g}", f"at most {_ENUMERABLE} to try them all")
        for column in _matchings(size, blocks):
            decision = self.match(np.array(column))
            yield decision, self.cost(decision)


def _matchings(size: int, blocks: int) -> Iterator[tuple[int, ...]]:
    """A block or -1 for each device, no block twice."""
    if size == 0:
        yield ()
        return
    for rest in _matchings(size - 1, blocks):
        for block in range(-1, blocks):
            if block < 0 or block not in rest:
                yield (*rest, block)
