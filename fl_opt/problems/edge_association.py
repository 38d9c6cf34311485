r"""Which edge server each device uploads to, with bandwidth, power, clock and time at every edge.

    minimise    sum_k (kappa_k C_k f_k^2 + p_k t_k) + lambda sum_e T_e            rounds = "sum"
                sum_k (kappa_k C_k f_k^2 + p_k t_k) + lambda max_e T_e            rounds = "max"
    subject to  C_k/f_k + t_k <= T_e(k)                                           "deadline"
                t_k b_k log2(1 + h_k,e(k) p_k/(N0_k b_k)) >= s_k                  "payload"
                sum_{k: e(k) = e} b_k <= B_e                    e = 1..E          "band"
                p_k <= P_k, f_min_k <= f_k <= f_max_k           "power_max", "cpu_min", "cpu_max"
                kappa_k C_k f_k^2 + p_k t_k <= E_k                                "energy"
    over        e(k) in 1..E, b, p, f, t, T

    e(k)    edge of device k            T_e  duration of the round at edge e, 0 without devices [s]
    B_e     band of edge e [Hz]         h_ke channel gain to edge e [-]
    lambda  worth of a second [J/s]     the other symbols as in `MinEnergy`

Given the association the rest is convex: a `TimeEnergyTradeoff` at every edge, or all edges with
one duration. Its prices say something of every other association too: with a price mu_e [J/Hz] on
every band and nu_k [J/s] on the time of every device, sum of nu at most lambda,

    cost >= sum_k psi_k,e(k)(mu_e(k), nu_k) - sum_e mu_e B_e,
    psi_ke(mu, nu) = least energy + mu b + nu (C/f + t) of device k at edge e

whoever is where: a cut that is linear in the association, and meets the cost where the prices come
from. Cuts bound every local move before it is tried, and together make a master program.

Source: Luo, Chen, Wu, Zhou, Yu, HFEL, IEEE TWC 2020, arXiv 2002.11343 (the problem, and local moves
by transfer and exchange); Geoffrion, JOTA 1972 (the master program). The cuts are derived here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fl_opt import physics
from fl_opt.allocation import Allocation
from fl_opt.certificate import Excess, Solution
from fl_opt.checks import number
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.problems._edge_levels import lengths, level_cut
from fl_opt.problems._edge_reach import able, least_energy, require_able
from fl_opt.problems._edge_reference import associations
from fl_opt.problems._edge_rounds import (
    Rounds,
    Together,
    alone_s,
    balanced,
    bands,
    bare_worth,
    members_of,
    worth,
)
from fl_opt.problems._limits import device_excess, fdma_use, require_limited
from fl_opt.problems.edge_network import EdgeAllocation, EdgeNetwork
from fl_opt.problems.time_energy import TimeEnergyTradeoff
from fl_opt.problems.uplink import Uplink, total
from fl_opt.structure import GroupCut, LevelCut, Nested
from fl_opt.units import Floats

Counted = Literal["sum", "max"]
Group = NDArray[np.int_]
Key = tuple[int, bytes]


@dataclass(frozen=True, eq=False)
class EdgeAssociation:
    """Bring devices to edge servers at the least energy and time, bands shared best at each.

    Parameters
    ----------
    network
        Devices, edges, and the gains between them.
    joule_per_s
        Worth of a second [J/s], > 0.
    rounds
        Whether the time is the "sum" of the durations at the edges, or their "max".

    ``solve`` raises ``Infeasible`` for devices that can take part at no edge.
    """

    network: EdgeNetwork
    joule_per_s: float
    rounds: Counted = "sum"

    unit = "J"

    def __post_init__(self) -> None:
        if not isinstance(self.network, EdgeNetwork):
            raise InvalidInput("network", type(self.network).__name__, "an EdgeNetwork")
        number("joule_per_s", self.joule_per_s, open_low=True)
        if self.rounds not in get_args(Counted):
            raise InvalidInput("rounds", repr(self.rounds), f"one of {get_args(Counted)}")
        require_limited(self.network.devices)

    def cost(self, decision: EdgeAllocation) -> float:
        """Energy of all devices plus the worth of the time [J]."""
        used = fdma_use(self.network.under(decision.edge), decision.allocation)
        ends = np.zeros(self.network.edges)
        np.maximum.at(ends, decision.edge, used.finish_s)
        time = total(ends) if self.rounds == "sum" else float(ends.max())
        return total(used.energy_j) + self.joule_per_s * time

    def excess(self, decision: EdgeAllocation) -> dict[str, Excess]:
        """The constraints by name; "band" (E,). Every device must be selected ("selected")."""
        allocation = decision.allocation
        limits = device_excess(self.network.under(decision.edge), allocation, math.inf)
        band = np.where(allocation.selected, allocation.bandwidth_hz, 0.0)
        used = np.bincount(decision.edge, band, minlength=self.network.edges)
        limits["band"] = Excess(used, self.network.edge_band_hz, "Hz")
        return limits | {"selected": Excess(np.where(allocation.selected, 0.0, 1.0), 0.0, "", 1.0)}

    # structure: Grouped

    @cached_property
    def able(self) -> NDArray[np.bool_]:
        """(K, E) whether a device can take part at an edge in a round that is long enough."""
        return able(self.network)

    def start(self) -> Group:
        """Every device where its upload would be quickest at equal shares of the band so far.

        Raises ``Infeasible`` for devices that can take part nowhere.
        """
        require_able(self.network)
        network, devices = self.network, self.network.devices
        group = np.zeros(network.size, dtype=int)
        count = np.zeros(network.edges)
        power = np.where(np.isfinite(devices.power_max_w), devices.power_max_w, 1.0)
        for k in np.argsort(-network.gain.max(axis=1), kind="stable"):
            share = network.edge_band_hz / (count + 1.0)
            rate = physics.rate_bit_s(share, power[k], network.gain[k], devices.noise_w_hz[k])
            group[k] = int(np.argmax(np.where(self.able[k], rate, -1.0)))
            count[group[k]] += 1.0
        return group

    def keys(self, group: Group) -> Sequence[Key]:
        """The edges with their devices, or all as one where their durations count together."""
        if self.rounds == "max":
            return [(0, group.astype(np.int64).tobytes())]
        occupied = np.unique(group)
        return [(int(e), members_of(group, e).astype(np.int64).tobytes()) for e in occupied]

    def part(self, key: Key) -> Nested:
        """What is left to be shared at one edge, or at all."""
        edge, members = key[0], np.frombuffer(key[1], dtype=np.int64)
        if self.rounds == "sum":
            return TimeEnergyTradeoff(self.network.at(edge, members), self.joule_per_s)
        rounds = [self.network.at(e, members_of(members, e)) for e in np.unique(members)]
        return Together.of(rounds, self.joule_per_s)

    def join(self, group: Group, found: Mapping[Key, Solution[Any]]) -> EdgeAllocation:
        """The whole decision from those of its parts."""
        solved = [found[key].allocation for key in self.keys(group)]
        rounds: Rounds = solved[0] if self.rounds == "max" else tuple(solved)
        names = ("bandwidth_hz", "power_w", "cpu_hz", "upload_s")
        columns: dict[str, Any] = {name: np.zeros(group.size) for name in names}
        for edge, each in zip(np.unique(group), rounds, strict=True):
            for name, column in columns.items():
                column[group == edge] = getattr(each, name)
        everyone = np.ones(group.size, dtype=bool)
        return EdgeAllocation(group.copy(), Allocation(selected=everyone, **columns))

    def cut(self, key: Key, solution: Solution[Any], most: float) -> GroupCut:
        """The Lagrangian bound at the prices of a solved part, for costs of up to `most`."""
        network = self.network
        members = np.frombuffer(key[1], dtype=np.int64)
        longest = self.longest_s(most)
        # (e, devices there, price of its band)
        if self.rounds == "sum":
            x = solution.allocation.deadline_s
            at = [(key[0], members, bands(solution)[0])]
        else:
            x = max(part.deadline_s for part in solution.allocation)
            prices = dict(zip(np.unique(members), bands(solution), strict=True))
            at = [(e, members_of(members, e), prices.get(e, 0.0)) for e in range(network.edges)]
        reach = max(longest, x)
        value = np.zeros((network.size, network.edges))
        slope = np.zeros(network.size)
        paid = 0.0
        used = [(network.at(e, inside), price) for e, inside, price in at if inside.size]
        dual = balanced(used, x, self.joule_per_s, reach)
        bounds, x = list(dual.bounds), dual.x
        rest: list[tuple[int, float]] = []
        for e, inside, price in at:
            if inside.size:
                bound = bounds.pop(0)
                slope[inside] = bound.slope
                value[inside, e] = bound.value + bound.slope * x
                price = bound.price
            rest.append((e, price))
        for (e, price), (_, inside, _) in zip(rest, at, strict=True):
            self._outside(value[:, e], e, inside, price, (x, reach), slope)
            paid += price * float(network.edge_band_hz[e])
        spent = total(slope)
        if spent < self.joule_per_s:
            # time that no device pays for lasts at least as long as the slowest of them
            self._top_up(value, at, self.joule_per_s - spent)
        size = total(np.abs(value).max(axis=1)) + paid
        rounding = EPS * (64.0 * size + 256.0 * (spent + self.joule_per_s) * reach)
        short = min(self.joule_per_s - spent, 0.0) * reach
        return GroupCut(key[0], short - paid - rounding, value)

    # structure: Levelled, by the length of the round at each edge

    def levels(self, most: float) -> Sequence[Floats] | None:
        """Intervals of the lengths at each edge; None where the edges share one."""
        return lengths(self, most) if self.rounds == "sum" else None

    def level_cut(
        self,
        group: int,
        span: tuple[float, float],
        most: float,
        price: float | None,
        share: Floats | None = None,
    ) -> LevelCut | None:
        """A bound of an edge at a price of its band [J/Hz], or where shares fill it."""
        return level_cut(self, group, span, most, price, share)

    # structure: Enumerable

    def candidates(self) -> Iterator[tuple[EdgeAllocation, float]]:
        """Every association, shared by conic programs; see `_edge_reference`.

        Raises ``InvalidInput`` for more than 10,000 of them.
        """
        return associations(self)

    def _top_up(
        self, value: Floats, at: Sequence[tuple[int, Group, float]], worth_j_s: float
    ) -> None:
        slowest = [
            (float(alone.max()), int(inside[np.argmax(alone)]), e)
            for e, inside, alone in (
                (e, inside, alone_s(self.network.at(e, inside)))
                for e, inside, _ in at
                if inside.size
            )
        ]
        alone, k, e = max(slowest)
        value[k, e] += worth_j_s * alone

    def longest_s(self, most: float) -> float:
        """No round at any edge lasts longer at a cost of up to `most`: energy is spent as well."""
        devices = self.network.devices
        bare = np.where(self.able, least_energy(self.network)[1], math.inf).min(axis=1)
        longest = most / self.joule_per_s * (1.0 + 8.0 * EPS)
        for _ in range(4):
            clock = np.maximum(devices.cpu_min_hz, devices.cycles / longest)
            heat = physics.training_energy_j(devices.capacitance, devices.cycles, clock)
            spent = total(heat + bare) * (1.0 - 32.0 * EPS)
            longest = max(most - spent, 0.0) / self.joule_per_s * (1.0 + 8.0 * EPS)
            longest = max(longest, 1e-3 * most / self.joule_per_s)
        return longest

    def _outside(
        self,
        value: Floats,
        edge: int,
        inside: Group,
        price: float,
        span: tuple[float, float],
        slope: Floats,
    ) -> None:
        """Fill in what devices from elsewhere would bring to an edge at its price."""
        x, reach = span
        others = self.able[:, edge].copy()
        others[inside] = False
        network, never = self.network, self.joule_per_s * reach
        value[~self.able[:, edge]] = never
        k = np.flatnonzero(others)
        if not k.size:
            return
        inner = np.isfinite(Uplink(network.at(edge, k), reach).least_hz)
        # not even in a round as long as may be: dearer than what is known
        value[k[~inner]] = never
        k = k[inner]
        if not k.size:
            return
        value[k] = bare_worth(network.at(edge, k), price, reach)
        if self.rounds == "sum" or price == 0.0:
            return
        # with the time that a device pays for elsewhere, a tangent at x may say more
        k = k[np.isfinite(Uplink(network.at(edge, k), x).least_hz)]
        if not k.size:
            return
        near = worth(network.at(edge, k), price, x, reach)
        lost = (near.price - price) * float(network.edge_band_hz[edge])
        flat = value[k]
        with np.errstate(divide="ignore", invalid="ignore"):
            meet = np.clip(x + (near.value - lost - flat) / near.slope, 0.0, reach)
        ends = (np.zeros(k.size), np.where(near.slope > 0.0, meet, reach), np.full(k.size, reach))
        low = [
            np.maximum(near.value - lost - near.slope * (end - x), flat) + slope[k] * end
            for end in ends
        ]
        value[k] = np.maximum(np.minimum.reduce(low) * (1.0 - 8.0 * EPS), flat)
