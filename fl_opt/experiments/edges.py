"""Edge servers among devices: a world for two storeys, and who may be with whom in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fl_opt.allocation import Allocation
from fl_opt.certificate import Solution
from fl_opt.experiments.worlds import Laboratory
from fl_opt.network import Network
from fl_opt.policies.optimised import Plan
from fl_opt.policy import Round
from fl_opt.problems import EdgeAllocation, EdgeNetwork
from fl_opt.scenario.pathloss import ENVIRONMENTS, Link
from fl_opt.units import Floats, ratio_from_db
from fl_opt.workload import Workload

if TYPE_CHECKING:
    from fl_opt.validation.federation import Federation

Edges = NDArray[np.int_]
"""(K,) the edge of each device."""

EDGES_M = np.array([[0.0, 0.0], [-250, -250], [-250, 250], [250, -250], [250, 250]])
"""Places of the edges, one in the middle and one in each quarter of a square kilometre [m]."""
EDGE_BAND_HZ = np.array([10e6, 3e6, 3e6, 5e6, 5e6])
"""Their bands, widths of LTE channels [Hz]."""
SIDE_M = 1000.0
NEAR_M = 10.0
POWER_W = 0.2
CAPACITANCE = 1e-28
CPU_HZ = (0.5e9, 2e9)
"""Range of the fastest clocks; the slowest is 0.1 GHz for all."""
MACRO = ENVIRONMENTS["classical"]
LINK = Link(carrier_hz=2e9, base_height_m=25.0, device_height_m=1.5)


@dataclass(frozen=True, eq=False)
class Area:
    """Devices anywhere in a square kilometre, on channels that stay.

    Attributes
    ----------
    positions_m
        (K, 2) places of the devices [m].
    gain
        (K, E) of path and shadowing, independent from link to link [-].
    cpu_max_hz
        (K,) fastest clocks [cycle/s].
    """

    positions_m: Floats
    gain: Floats
    cpu_max_hz: Floats

    @classmethod
    def draw(cls, size: int, edges: int, rng: np.random.Generator) -> Area:
        """`size` devices, and the first of the edges."""
        positions = rng.uniform(-0.5 * SIDE_M, 0.5 * SIDE_M, (size, 2))
        distance = np.maximum(_distance_m(positions, edges), NEAR_M)
        loss_db = MACRO.loss_db(distance, False, LINK)
        loss_db = loss_db + MACRO.shadowing_db[1] * rng.standard_normal(distance.shape)
        return cls(positions, ratio_from_db(-loss_db), rng.uniform(*CPU_HZ, size))

    def by_place(self) -> NDArray[np.int_]:
        """(K,) places in an order in which neighbours are close: by the edge that is closest."""
        closest = _distance_m(self.positions_m, self.gain.shape[1]).argmin(axis=1)
        return np.argsort(closest, kind="stable")

    def at(self, place: NDArray[np.int_]) -> Area:
        """The same places in another order: device k where ``place[k]`` was."""
        return Area(self.positions_m[place], self.gain[place], self.cpu_max_hz[place])

    def network(self, workload: Workload) -> EdgeNetwork:
        """A round of it."""
        return EdgeNetwork(
            gain=self.gain,
            edge_band_hz=EDGE_BAND_HZ[: self.gain.shape[1]],
            power_max_w=POWER_W,
            cpu_min_hz=1e8,
            cpu_max_hz=self.cpu_max_hz,
            capacitance=CAPACITANCE,
            cycles=workload.cycles,
            upload_bit=workload.upload_bit,
            samples=workload.samples,
        )


def _distance_m(positions_m: Floats, edges: int) -> Floats:
    """(K, E) to the first of the edges."""
    return np.asarray(np.linalg.norm(positions_m[:, None] - EDGES_M[:edges], axis=2))


@dataclass(frozen=True, eq=False)
class Attached(Laboratory):
    """The world of devices that stay each with its edge: its gain to that one, all bands together.

    That an edge gives away no more than its own band is on the decision, see
    ``EdgeAssociation.excess``.
    """

    area: Area
    edge: Edges

    @property
    def size(self) -> int:
        """Number of devices K."""
        return self.edge.size

    @property
    def positions_m(self) -> Floats:
        """(K, 2) places [m]."""
        return self.area.positions_m

    def rounds(self, rng: np.random.Generator, workload: Workload) -> Iterator[Network]:
        """The same network in every round."""
        network = self.area.network(workload).under(self.edge)
        while True:
            yield network


@dataclass(frozen=True, eq=False)
class Planned:
    """A decision for channels that stay, carried out round after round.

    `solution` is where it comes from, for the trace.
    """

    decision: EdgeAllocation
    solution: Solution[Any] | None = None

    def start(self, size: int, rng: np.random.Generator) -> Plan:
        """The plan."""
        return Plan(solution=self.solution)

    def decide(self, round: Round, memory: Plan) -> tuple[Allocation, Plan]:
        """What was planned."""
        return self.decision.to_round(round.network), memory


def equal_parts(network: EdgeNetwork, edge: Edges) -> EdgeAllocation:
    """All that are with an edge share its band equally, at full power and full clock."""
    devices = network.devices
    crowd = np.bincount(edge, minlength=network.edges)
    allocation = Allocation(
        selected=np.ones(network.size, dtype=bool),
        bandwidth_hz=(network.edge_band_hz / np.maximum(crowd, 1))[edge],
        power_w=devices.power_max_w,
        cpu_hz=devices.cpu_max_hz,
    )
    return EdgeAllocation(edge, allocation)


def kept_to(network: EdgeNetwork, edge: Edges) -> EdgeNetwork:
    """The same devices, each out of reach of every edge but one: an association that is given."""
    own = edge[:, None] == np.arange(network.edges)
    return EdgeNetwork.from_network(
        network.devices, np.where(own, network.gain, 0.0), network.edge_band_hz
    )


def nearest(network: EdgeNetwork) -> Edges:
    """Every device with the edge of its largest gain."""
    return np.asarray(network.gain.argmax(axis=1))


def balanced(network: EdgeNetwork) -> Edges:
    """Equal numbers at all edges, and of all such the largest product of gains."""
    from scipy.optimize import linear_sum_assignment

    seats = np.repeat(np.arange(network.edges), -(-network.size // network.edges))
    _, seat = linear_sum_assignment(np.log(network.gain)[:, seats], maximize=True)
    return np.asarray(seats[seat])


def dealing(seed: int) -> np.random.Generator:
    """The generator with which `simulate` deals out the data of that seed."""
    return np.random.default_rng(np.random.SeedSequence(seed).spawn(6)[2])


def class_counts(federation: Federation) -> Floats:
    """(K, C) samples of each class that devices hold."""
    owner = np.repeat(np.arange(federation.size), federation.held)
    counts = np.zeros((federation.size, federation.classes))
    np.add.at(counts, (owner, federation.y.numpy()), 1.0)
    return counts


def by_classes(federation: Federation) -> NDArray[np.int_]:
    """(K,) devices in an order in which neighbours are alike: by the two classes held most."""
    most = np.sort(np.argsort(-class_counts(federation), axis=1)[:, :2], axis=1)
    return np.lexsort(tuple(most.T[::-1]))


def skew(federation: Federation, edge: Edges) -> float:
    """How unlike the data of edges are: mean distance of an edge's classes from those of all.

    Total variation, 0 alike to 1 nothing in common, weighted by samples.
    """
    counts = class_counts(federation)
    at = np.array([counts[edge == e].sum(axis=0) for e in np.unique(edge)])
    held, whole = at.sum(axis=1), counts.sum(axis=0) / counts.sum()
    apart = 0.5 * np.abs(at / held[:, None] - whole).sum(axis=1)
    return float(held @ apart / held.sum())
