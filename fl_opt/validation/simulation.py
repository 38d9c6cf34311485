"""Try a policy in training: nature draws, the policy decides, physics measures, the task learns."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.checks import number
from fl_opt.errors import Infeasible, InvalidInput
from fl_opt.network import Network
from fl_opt.policy import Policy, Round
from fl_opt.units import Floats
from fl_opt.validation.clock import IDLE_S, Measured, claims, measure
from fl_opt.validation.fedavg import FedAvg
from fl_opt.validation.method import Method
from fl_opt.validation.task import Task
from fl_opt.validation.trace import Trace, jain
from fl_opt.validation.under_way import UnderWay
from fl_opt.workload import Workload

if TYPE_CHECKING:
    from fl_opt.validation.federation import Federation, Score


class Places(Protocol):
    """A picture of the cell."""

    @property
    def positions_m(self) -> Floats:
        """(K, 2) places, the base station at (0, 0) [m]."""


class World(Protocol):
    """What a simulation needs of nature; ``fl_opt.Scenario`` is one."""

    @property
    def size(self) -> int:
        """Number of devices K."""

    @property
    def battery_j(self) -> Floats | None:
        """(K,) energy for the whole training [J]; None where nobody has a limit."""

    @property
    def data_sizes(self) -> Floats:
        """(K,) training samples held [-]."""

    def rounds(self, rng: np.random.Generator, workload: Workload) -> Iterator[Network]:
        """One round's network after another."""

    def layout(self, rng: np.random.Generator) -> Places:
        """The places of the first round of ``rounds`` with the same generator."""

    def downlink_s(self, model_bit: float, network: Network) -> float:
        """Time to broadcast `model_bit` to all devices of `network` [s]."""


@dataclass(frozen=True, eq=False)
class Arm:
    """What is compared: who takes part with which resources, and how they learn.

    `name` defaults to the name of the policy's class.
    """

    policy: Policy
    method: Method = field(default_factory=FedAvg)
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.policy, Policy):
            raise InvalidInput(
                "Arm.policy", repr(self.policy), "a policy: start(size, rng), decide(round, memory)"
            )
        if not self.name:
            object.__setattr__(self, "name", type(self.policy).__name__)
        missing = set(getattr(self.policy, "needs", ())) - set(self.method.signals)
        if missing:
            raise InvalidInput(
                f"policy of {self.name}",
                f"one that needs the signals {', '.join(sorted(missing))}",
                f"among {', '.join(self.method.signals) or 'none'}, which "
                f"{type(self.method).__name__} offers",
            )


class _Streams:
    """Independent random numbers for each purpose: what one arm draws moves no other's."""

    def __init__(self, seed: int) -> None:
        parts = np.random.SeedSequence(seed).spawn(6)
        self.nature, self.policy, self.data, self.start = map(np.random.default_rng, parts[:4])
        self._luck, self._learning = parts[4:]

    def of_round(self) -> tuple[np.random.Generator, np.random.Generator]:
        """Luck and learning of the next round, fresh, whatever was drawn in the rounds before."""
        luck, learning = (stream.spawn(1)[0] for stream in (self._luck, self._learning))
        return np.random.default_rng(luck), np.random.default_rng(learning)


@dataclass(frozen=True, eq=False)
class _Line:
    """One round in the log."""

    network: Network
    allocation: Allocation
    outcome: Measured
    bandwidth_hz: Floats
    claim: tuple[float, float]
    score: Score
    solution: Any


def simulate(
    scenario: World,
    arm: Arm,
    task: Task,
    rounds: int,
    seed: int = 0,
    *,
    progress: Callable[[int], None] | None = None,
    threads: int = 1,
    idle_s: float = IDLE_S,
) -> Trace:
    """Train for some rounds in a simulated cell.

    Parameters
    ----------
    scenario
        Nature: a ``Scenario``, or anything that answers as ``World`` asks.
    arm, task
        Policy and training method; data, model, partition.
    rounds
        Number of rounds R.
    seed
        Of everything. All arms with the same scenario, task and seed meet the same places,
        channels, data, first model, batches and luck; a policy's own lots are apart.
    progress
        Called after each round with the number of rounds done.
    threads
        Threads of torch. One is the fastest for small models and where several runs share a
        machine; the setting of the process is restored.
    idle_s
        Length of a round in which nobody takes part and no deadline is set [s].

    A policy's memory may carry ``note``, a text for the trace, and ``solution``, as `Optimised`'s
    does. A round that the policy finds infeasible, or whose allocation cannot be carried out,
    passes without anybody and is noted. The result is the same to the last bit for the same
    arguments on the same platform. See docs/validation.md for what is decided how.
    """
    if isinstance(rounds, bool) or not isinstance(rounds, int | np.integer) or rounds < 1:
        raise InvalidInput("rounds", repr(rounds), "a whole number, at least 1")
    number("idle_s", idle_s)
    streams = _Streams(seed)
    federation = task.load(streams.data, scenario.data_sizes)
    from fl_opt.validation.models import threads as torch_threads

    policy, method, size = arm.policy, arm.method, federation.size
    battery = np.full(size, math.inf) if scenario.battery_j is None else scenario.battery_j
    notes, log, last = _shortage(federation, scenario, task), list[_Line](), None
    under_way = UnderWay.idle(size)
    workload, broadcast_bit = method.workload(federation), method.broadcast_bit(federation)
    here = copy.deepcopy(streams.nature)
    with torch_threads(threads):
        memory = policy.start(size, streams.policy)
        state = method.start(federation, streams.start)
        for index, network in enumerate(islice(scenario.rounds(streams.nature, workload), rounds)):
            seen = under_way.offer(network.replace(energy_j=np.minimum(network.energy_j, battery)))
            luck, learning = streams.of_round()
            solution = None
            try:
                allocation, memory = policy.decide(
                    Round(seen, index, streams.policy, last, method.observe(state)), memory
                )
                allocation = under_way.idle_among(allocation)
                solution = getattr(memory, "solution", None)
                if getattr(memory, "note", ""):
                    notes.append(f"round {index}: {memory.note}")
                # what the server adds lengthens the round as the broadcast does
                besides_s = method.server_s(state) + _downlink_s(
                    scenario, broadcast_bit, network, allocation
                )
                begun = measure(
                    seen,
                    allocation,
                    luck,
                    downlink_s=besides_s,
                    battery_j=battery,
                    packet_error=method.packet_error(network, allocation),
                    idle_s=idle_s,
                )
            except Infeasible as reason:
                notes.append(f"round {index}: nobody takes part, {reason}")
                allocation, besides_s = Allocation.none(size), 0.0
                begun = measure(seen, allocation, luck, idle_s=idle_s)
            under_way = under_way.joined(begun, allocation, besides_s)
            bandwidth_hz = under_way.bandwidth_hz
            last, under_way = under_way.until(method.tick)
            battery = np.maximum(battery - last.energy_j, 0.0)
            state = method.learn(federation, state, allocation, last, learning)
            log.append(
                _Line(
                    seen,
                    allocation,
                    last,
                    bandwidth_hz,
                    claims(seen, allocation, besides_s),
                    method.evaluate(federation, state),
                    solution,
                )
            )
            if progress is not None:
                progress(index + 1)
    if len(log) < rounds:
        raise InvalidInput("rounds", rounds, f"at most {len(log)}, where the scenario ends")
    return _trace(arm.name, seed, log, scenario.layout(here).positions_m, notes)


def _downlink_s(
    scenario: World, broadcast_bit: float, network: Network, allocation: Allocation
) -> float:
    """Time of the broadcast to those who take part [s]."""
    if not allocation.selected.any():
        return 0.0
    return scenario.downlink_s(broadcast_bit, network[allocation.selected])


def _shortage(federation: Federation, scenario: World, task: Task) -> list[str]:
    held, dealt = float(np.sum(scenario.data_sizes)), float(federation.samples.sum())
    if task.samples is not None or dealt >= held:
        return []
    return [
        f"the devices of the scenario hold {held:,.0f} samples, {dealt:,.0f} of {task.dataset} "
        "were dealt out in proportion"
    ]


def _trace(
    arm: str, seed: int, log: Sequence[_Line], positions_m: Floats, notes: Sequence[str]
) -> Trace:
    outcomes = [line.outcome for line in log]
    participation = np.array([outcome.arrived for outcome in outcomes])
    device_energy_j = np.array([outcome.energy_j for outcome in outcomes])
    round_s = np.array([outcome.seconds for outcome in outcomes])
    selected = np.array([outcome.selected for outcome in outcomes])
    solutions = [line.solution for line in log]
    return Trace(
        arm=arm,
        seed=seed,
        time_s=np.cumsum(round_s),
        round_s=round_s,
        energy_j=device_energy_j.sum(axis=1),
        accuracy=np.array([line.score.accuracy for line in log]),
        loss=np.array([line.score.loss for line in log]),
        selected=selected.sum(axis=1),
        arrived=participation.sum(axis=1),
        jain=jain(np.cumsum(participation, axis=0)),
        claimed_s=np.array([line.claim[0] for line in log]),
        claimed_j=np.array([line.claim[1] for line in log]),
        training_s=np.array([_mean(outcome.training_s, outcome) for outcome in outcomes]),
        airtime_s=np.array([_mean(outcome.airtime_s, outcome) for outcome in outcomes]),
        training_j=np.array([outcome.training_j.sum() for outcome in outcomes]),
        upload_j=np.array([outcome.upload_j.sum() for outcome in outcomes]),
        gap=np.array([one.certificate.gap if one else math.nan for one in solutions]),
        participation=participation,
        bandwidth_hz=np.array([line.bandwidth_hz for line in log]),
        device_energy_j=device_energy_j,
        first_network=log[0].network,
        first_allocation=log[0].allocation,
        first_solution=log[0].solution,
        proofs=tuple(dict.fromkeys(one.certificate.proof for one in solutions if one)),
        positions_m=positions_m,
        notes=tuple(notes),
    )


def _mean(values: Floats, outcome: Measured) -> float:
    """Mean over the selected devices; NaN where there is none."""
    return float(values[outcome.selected].mean()) if outcome.selected.any() else math.nan
