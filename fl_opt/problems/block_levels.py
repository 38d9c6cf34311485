r"""Which device uploads on which block, at which bandwidth, power and clock of a few levels.

    maximise    sum_i a_i [u_i + s_i (1 - q_i) - c E_i]      a_i in {0, 1}
    with        q_i = 1 - exp(-m (I_n + N0 b_i)/(p_i h_in))  on the block n used
                l_i = z_i / (b_i log2(1 + p_i h_in/(I_n + N0 b_i)))
                E_i = p_i l_i (+ kappa_i C_i f_i^2)
    subject to  at most one device on a block                "block"
                sum_i a_i <= S                               "participants"
                sum_i a_i b_i <= B                           "band"
                q_i <= q_max                                 "packet_error"
                l_i + d_i (+ C_i/f_i) <= T_i                 "delay"
                E_i <= E_max_i                               "energy"
                p_i <= P_i                                   "power_max"
                b_i, p_i, f_i among the levels               "bandwidth_level", ...

    u_i  worth of taking part [-]     s_i  worth of an update that arrives [-]
    c    worth of a joule [1/J]       h_in gain [-]          I_n  interference [W]
    N0   noise density [W/Hz]         z_i  payload [bit]     d_i  downlink time [s]
    C_i  cycles    f_i  clock [cycle/s]    kappa_i  capacitance    m  waterfall [-]

A binary for every device, block, bandwidth, power and clock makes 100,000 of them. But power and
clock couple nobody: of those that a pair may use at a bandwidth, one is worth most, and the others
are dominated. What is left is a matching at a few bandwidths under one budget (`BudgetedMatching`).

Source: FL-E2WS, arXiv 2408.01286, whose published program has all binaries. The reduction and the
bound are derived here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt import physics
from fl_opt.allocation import Allocation
from fl_opt.certificate import FEASIBLE, Excess, verify
from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.problems.block_links import Counted
from fl_opt.problems.block_network import BlockNetwork
from fl_opt.problems.resource_blocks import matchings
from fl_opt.problems.uplink import total
from fl_opt.structure import Offers, Program
from fl_opt.units import Floats

_ENUMERABLE = 50_000


@dataclass(frozen=True, eq=False, init=False)
class BlockLevels:
    """Assign blocks, and levels of bandwidth, power and clock, for the most useful round.

    Parameters
    ----------
    network
        Devices and blocks. Its `band_hz` and `cpu_hz` do not count: the levels do.
    bandwidth_hz, power_w, cpu_hz
        Levels (J,) [Hz], (L,) [W], (M,) [cycle/s], the same for all; ascending.
    band_total_hz
        Limit of the sum of all bandwidths used [Hz].
    delay_s
        Limit of the delay: downlink and upload, and training where it counts, scalar or (K,) [s].
    energy_j
        Limit of a device's energy, scalar or (K,) [J]; by default there is none.
    error_max
        Largest packet error [-].
    utility
        Worth u of taking part at all, scalar or (K,) [-].
    arrival_utility
        Worth s of an update that arrives, scalar or (K,) [-]; None: `network.samples`.
    utility_per_j
        Worth c of a joule saved [1/J].
    participants_max
        Most devices S that take part; None: as many as can.
    training
        Whether training counts: "neither" in delay nor energy, "energy" only, as in the source's
        program, "both" (default).

    The cost is minus the worth. Nothing is infeasible: nobody may take part. Devices that are
    worth nothing at any level stay out.
    """

    network: BlockNetwork
    bandwidth_hz: Floats
    power_w: Floats
    cpu_hz: Floats
    band_total_hz: float
    delay_s: Floats
    energy_j: Floats
    error_max: float
    utility: Floats
    arrival_utility: Floats
    utility_per_j: float
    participants_max: int
    training: Counted

    def __init__(
        self,
        network: BlockNetwork,
        bandwidth_hz: ArrayLike,
        power_w: ArrayLike,
        cpu_hz: ArrayLike,
        band_total_hz: float,
        delay_s: ArrayLike,
        energy_j: ArrayLike = math.inf,
        error_max: float = 1.0,
        utility: ArrayLike = 0.0,
        arrival_utility: ArrayLike | None = None,
        utility_per_j: float = 0.0,
        participants_max: int | None = None,
        training: Counted = "both",
    ) -> None:
        put, size = object.__setattr__, network.size
        put(self, "network", network)
        for name, levels in (("bandwidth_hz", bandwidth_hz), ("cpu_hz", cpu_hz)):
            put(self, name, _levels(name, levels, open_low=True))
        put(self, "power_w", _levels("power_w", power_w, open_low=False))
        put(self, "band_total_hz", number("band_total_hz", band_total_hz, finite=False))
        put(self, "delay_s", vector("delay_s", delay_s, size, finite=False))
        put(self, "energy_j", vector("energy_j", energy_j, size, finite=False))
        put(self, "error_max", number("error_max", error_max, high=1.0))
        put(self, "utility", vector("utility", utility, size, low=-math.inf))
        arrival = network.samples if arrival_utility is None else arrival_utility
        put(self, "arrival_utility", vector("arrival_utility", arrival, size))
        put(self, "utility_per_j", number("utility_per_j", utility_per_j))
        seats = min(size, network.blocks) if participants_max is None else participants_max
        count = number("participants_max", seats)
        if count != int(count):
            raise InvalidInput("participants_max", f"{count:g}", "a whole number")
        put(self, "participants_max", int(count))
        if training not in ("neither", "energy", "both"):
            raise InvalidInput("training", repr(training), "'neither', 'energy' or 'both'")
        put(self, "training", training)

    # the physics of a decision

    def cost(self, decision: Allocation) -> float:
        """Minus the worth of the round."""
        on, _ = self.network.blocks_of(decision)
        error, _, energy = self._use(decision)
        gain = self.arrival_utility * (1.0 - error)
        worth = self.utility + gain - self.utility_per_j * energy
        return 0.0 - total(np.where(on, worth, 0.0))

    def excess(self, decision: Allocation) -> dict[str, Excess]:
        """The constraints by name; those of the levels tell the distance to the nearest one."""
        on, block = self.network.blocks_of(decision)
        error, delay, energy = self._use(decision)
        served = np.bincount(block[on], minlength=self.network.blocks)
        band = math.fsum(decision.bandwidth_hz[on].tolist())
        excess = {
            "block": Excess(served, 1.0, ""),
            "participants": Excess(int(on.sum()), self.participants_max, "", scale=1.0),
            "band": Excess(band, self.band_total_hz, "Hz"),
            "packet_error": Excess(np.where(on, error, 0.0), self.error_max, ""),
            "delay": Excess(delay, self.delay_s, "s"),
            "energy": Excess(energy, self.energy_j, "J"),
            "power_max": Excess(np.where(on, decision.power_w, 0.0), self.network.power_max_w, "W"),
        }
        for name, unit in (("bandwidth", "Hz"), ("power", "W"), ("cpu", "Hz")):
            field = f"{name}_{unit.lower()}"
            chosen, levels = getattr(decision, field), getattr(self, field)
            off = np.abs(chosen[:, None] - levels).min(axis=1)
            scale = np.maximum(levels.max(), np.finfo(float).tiny)
            excess[f"{name}_level"] = Excess(np.where(on, off, 0.0), 0.0, unit, scale=scale)
        return excess

    def _use(self, decision: Allocation) -> tuple[Floats, Floats, Floats]:
        """(K,) packet error, delay [s] and energy [J] of a decision, 0 where not selected."""
        on, block = self.network.blocks_of(decision)
        network = self.network
        gain = network.gain[np.arange(network.size), block]
        b, p, f = decision.bandwidth_hz, decision.power_w, decision.cpu_hz
        noise = network.interference_w[block] + network.noise_w_hz * b
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = physics.rate_bit_s(b, p, gain, noise / b)
        airtime = physics.airtime_s(network.upload_bit, rate)
        error = physics.packet_error(network.waterfall, noise, p, gain)
        wait, heat = self._training(f)
        delay = network.downlink_s() + wait + airtime
        energy = heat + physics.upload_energy_j(p, airtime)
        return np.where(on, error, 0.0), np.where(on, delay, 0.0), np.where(on, energy, 0.0)

    def _training(self, clock: Floats) -> tuple[Floats, Floats]:
        """Time [s] and energy [J] of training that count, at clocks that broadcast to (K, ...)."""
        network = self.network
        shape = (network.size,) + (1,) * (clock.ndim - 1)
        cycles, kappa = network.cycles.reshape(shape), network.capacitance.reshape(shape)
        time_s = physics.training_s(cycles, clock)
        energy = physics.training_energy_j(kappa, cycles, clock)
        nothing = np.zeros(time_s.shape)
        return (
            time_s if self.training == "both" else nothing,
            energy if self.training != "neither" else nothing,
        )

    # structure: BudgetedMatching

    @cached_property
    def _best(self) -> tuple[Floats, NDArray[np.int_], NDArray[np.int_]]:
        """(K, N, J) worth of a pair at a bandwidth, and the levels of power and clock it takes.

        The worth is -inf where no power and clock meet the limits.
        """
        network = self.network
        shape = (*network.gain.shape, self.bandwidth_hz.size)
        worth, power = np.full(shape, -np.inf), np.zeros(shape, dtype=int)
        clock = np.zeros(shape, dtype=int)
        for j, band in enumerate(self.bandwidth_hz):
            value, clocks = self._table(float(band))
            power[:, :, j] = value.argmax(axis=2)
            pick = power[:, :, j][:, :, None]
            worth[:, :, j] = np.take_along_axis(value, pick, axis=2)[:, :, 0]
            clock[:, :, j] = np.take_along_axis(clocks, pick, axis=2)[:, :, 0]
        return worth, power, clock

    def _table(self, band: float) -> tuple[Floats, NDArray[np.int_]]:
        """(K, N, L) worth at a bandwidth and each power, and the level of the clock.

        The slowest clock in time takes the least energy.
        """
        network = self.network
        noise = (network.interference_w + network.noise_w_hz[:, None] * band)[:, :, None]
        gain, power = network.gain[:, :, None], self.power_w
        rate = physics.rate_bit_s(band, power, gain, noise / band)
        airtime = physics.airtime_s(network.upload_bit[:, None, None], rate)
        error = physics.packet_error(network.waterfall, noise, power, gain)
        # as `verify` judges, so that no decision that it accepts is left out
        late = (self.delay_s * (1.0 + FEASIBLE))[:, None, None]
        wait, heat = self._training(self.cpu_hz[None, :])
        begun = network.downlink_s()[:, None] + wait
        clock = np.zeros(airtime.shape, dtype=int)
        for level in range(self.cpu_hz.size - 1):
            clock += begun[:, level, None, None] + airtime > late
        device = np.arange(network.size)[:, None, None]
        energy = heat[device, clock] + physics.upload_energy_j(power, airtime)
        usable = begun[device, clock] + airtime <= late
        usable &= error <= self.error_max * (1.0 + FEASIBLE)
        usable &= energy <= (self.energy_j * (1.0 + FEASIBLE))[:, None, None]
        usable &= power <= (network.power_max_w * (1.0 + FEASIBLE))[:, None, None]
        with np.errstate(invalid="ignore"):
            worth = (
                self.utility[:, None, None]
                + self.arrival_utility[:, None, None] * (1.0 - error)
                - self.utility_per_j * energy
            )
        return np.where(usable, worth, -np.inf), clock

    def offers(self) -> Offers:
        """Worth of every pair at every bandwidth, with the best power and clock for it."""
        worth = self._best[0]
        top = np.abs(self.utility) + self.arrival_utility
        # the joules of an offer that is worth something are worth no more than the rest of it
        error = 64.0 * EPS * float(top.max())
        return Offers(worth, error, self.bandwidth_hz, self.band_total_hz, self.participants_max)

    def arrange(self, column: NDArray[np.int_], level: NDArray[np.int_]) -> Allocation:
        """The decision that gives device i block column[i] at bandwidth level[i]; -1 is none."""
        _, power, clock = self._best
        device, block, j = np.arange(column.size), np.maximum(column, 0), np.maximum(level, 0)
        return self._decide(column, j, power[device, block, j], clock[device, block, j])

    def _decide(
        self,
        column: NDArray[np.int_],
        band: NDArray[np.int_],
        power: NDArray[np.int_],
        clock: NDArray[np.int_],
    ) -> Allocation:
        """A decision from blocks, -1 is none, and the levels of bandwidth, power and clock."""
        on = column >= 0
        flat = (band * self.power_w.size + power) * self.cpu_hz.size + clock
        return Allocation(
            selected=on,
            bandwidth_hz=np.where(on, self.bandwidth_hz[band], 0.0),
            power_w=np.where(on, self.power_w[power], 0.0),
            cpu_hz=np.where(on, self.cpu_hz[clock], 0.0),
            block=np.where(on, column, -1),
            level=np.where(on, flat, -1),
        )

    # structures: Mixed, Enumerable

    def program(self) -> Program[Allocation]:
        """All binaries in Pyomo, their worths computed apart from this file."""
        from fl_opt.problems._level_reference import program

        return program(self)

    def candidates(self) -> Iterator[tuple[Allocation, float]]:
        """Every feasible matching at all levels, at most 50,000, with its own cost as the bound."""
        shape = self.bandwidth_hz.size, self.power_w.size, self.cpu_hz.size
        size, blocks = self.network.size, self.network.blocks
        every = list(itertools.product(*(range(levels) for levels in shape)))
        count = sum(
            math.comb(size, k) * math.perm(blocks, k) * len(every) ** k
            for k in range(min(size, blocks) + 1)
        )
        if count > _ENUMERABLE:
            raise InvalidInput("matchings at levels", f"{count:g}", f"at most {_ENUMERABLE}")
        for column in matchings(size, blocks):
            taken = [i for i in range(size) if column[i] >= 0]
            for picked in itertools.product(every, repeat=len(taken)):
                levels: Any = np.zeros((size, 3), dtype=int)
                levels[taken] = np.reshape(picked, (-1, 3))
                decision = self._decide(np.array(column), *levels.T)
                if verify(self, decision).feasible:
                    yield decision, self.cost(decision)


def _levels(name: str, levels: ArrayLike, open_low: bool) -> Floats:
    array = vector(name, levels, max(np.size(levels), 1), open_low=open_low)
    if np.any(np.diff(array) <= 0.0):
        k = int(np.flatnonzero(np.diff(array) <= 0.0)[0])
        raise InvalidInput(f"{name}[{k + 1}]", f"{array[k + 1]:g}", f"> {array[k]:g}, ascending")
    return array
