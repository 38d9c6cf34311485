"""Where a policy is worth something against another, over deadlines and bands."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Literal

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.checks import vector
from fl_opt.comparison.comparing import compare
from fl_opt.comparison.measures import MEASURES
from fl_opt.comparison.statistics import Interval, bootstrap_interval
from fl_opt.errors import Infeasible, InvalidInput
from fl_opt.network import Network
from fl_opt.policy import Outcome, Policy, Round
from fl_opt.units import Floats
from fl_opt.workload import Workload

if TYPE_CHECKING:
    import pandas

    from fl_opt.scenario import Scenario
    from fl_opt.validation import Method, Task

Policies = Mapping[str, Callable[[float], Policy]]
"""A policy for each deadline [s], by name; the first is the baseline."""
Better = Literal["higher", "lower"]
Verdict = Literal["better", "worse", "nothing", "unclear"]


@dataclass(frozen=True, eq=False)
class Quantity:
    """A number of some rounds: `read` takes the rounds' outcomes and the samples held (K,)."""

    unit: str
    better: Better
    read: Callable[[Sequence[Outcome], Floats], float]


def _updates(outcomes: Sequence[Outcome], samples: Floats) -> float:
    return float(np.mean([outcome.arrived.sum() for outcome in outcomes]))


def _samples_per_s(outcomes: Sequence[Outcome], samples: Floats) -> float:
    heard = sum(float(samples[outcome.arrived].sum()) for outcome in outcomes)
    return heard / sum(outcome.seconds for outcome in outcomes)


def _energy_per_update(outcomes: Sequence[Outcome], samples: Floats) -> float:
    arrived = sum(int(outcome.arrived.sum()) for outcome in outcomes)
    spent = sum(float(outcome.energy_j.sum()) for outcome in outcomes)
    return spent / arrived if arrived else math.nan


QUANTITIES: dict[str, Quantity] = {
    "arrived_per_round": Quantity("", "higher", _updates),
    "samples_per_s": Quantity("1/s", "higher", _samples_per_s),
    "energy_per_update_j": Quantity("J", "lower", _energy_per_update),
}
"""What `regime_map` can draw without any training."""


@dataclass(frozen=True)
class Cell:
    """A policy against the baseline at one deadline and band.

    Attributes
    ----------
    baseline
        Mean of the baseline over the seeds.
    interval
        Mean over the seeds of (policy - baseline) with its interval.
    verdict
        "better" or "worse" where the interval excludes zero and the difference matters;
        "nothing" where the whole interval is too small to matter; else "unclear".
    """

    policy: str
    deadline_s: float
    band_hz: float
    baseline: float
    interval: Interval
    verdict: Verdict


@dataclass(frozen=True, eq=False, kw_only=True)
class RegimeMap:
    """A quantity of some policies over deadlines and bands.

    Attributes
    ----------
    quantity, unit, better
        What was measured, and which direction is better.
    policies
        Names (P,); the first is the baseline.
    deadlines_s, bands_hz
        (D,) [s] and (B,) [Hz].
    values
        (P, D, B, S) one number per seed; NaN where there is none.
    level
        Confidence level.
    matters
        Smallest difference, as a part of the baseline, that is worth anything.
    """

    quantity: str
    unit: str
    better: Better
    policies: tuple[str, ...]
    deadlines_s: Floats
    bands_hz: Floats
    values: Floats
    level: float = 0.95
    matters: float = 0.01

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every policy but the baseline, at every deadline and band."""
        return tuple(
            self._cell(p, d, b)
            for p in range(1, len(self.policies))
            for d in range(self.deadlines_s.size)
            for b in range(self.bands_hz.size)
        )

    def _cell(self, p: int, d: int, b: int) -> Cell:
        ours, theirs = self.values[p, d, b], self.values[0, d, b]
        both = np.isfinite(ours) & np.isfinite(theirs)
        interval = bootstrap_interval((ours - theirs)[both], self.level)
        baseline = float(theirs[both].mean()) if both.any() else math.nan
        least = self.matters * abs(baseline)
        verdict: Verdict = "unclear"
        if interval.excludes_zero and abs(interval.value) >= least:
            up = interval.value > 0.0
            verdict = "better" if up == (self.better == "higher") else "worse"
        elif interval.low >= -least and interval.high <= least:
            verdict = "nothing"
        deadline_s, band_hz = float(self.deadlines_s[d]), float(self.bands_hz[b])
        return Cell(self.policies[p], deadline_s, band_hz, baseline, interval, verdict)

    def to_frame(self) -> pandas.DataFrame:
        """A row per policy, deadline and band."""
        import pandas

        return pandas.DataFrame(
            [
                {
                    "policy": cell.policy,
                    "deadline_s": cell.deadline_s,
                    "band_hz": cell.band_hz,
                    "baseline": cell.baseline,
                    "difference": cell.interval.value,
                    "low": cell.interval.low,
                    "high": cell.interval.high,
                    "verdict": cell.verdict,
                }
                for cell in self.cells
            ]
        )

    def __str__(self) -> str:
        """For each policy a table of verdicts, deadlines down and bands across."""
        signs = {"better": "+", "worse": "-", "nothing": "0", "unclear": "?"}
        legend = "+ better, - worse, 0 nothing, ? unclear"
        lines = [f"{self.quantity} against {self.policies[0]}: {legend}"]
        for name in self.policies[1:]:
            lines.append(f"{name}: deadline [s] down, band [Hz] across")
            lines.append(" " * 10 + "".join(f"{band:>10.3g}" for band in self.bands_hz))
            for deadline in self.deadlines_s:
                row = [c for c in self.cells if c.policy == name and c.deadline_s == deadline]
                marks = "".join(f"{signs[cell.verdict]:>10}" for cell in row)
                lines.append(f"{deadline:>10.3g}" + marks)
        return "\n".join(lines)


def regime_map(
    scenario: Scenario,
    policies: Policies,
    workload: Workload,
    *,
    deadlines_s: Sequence[float],
    bands_hz: Sequence[float],
    quantity: str = "arrived_per_round",
    rounds: int = 10,
    seeds: int = 10,
    level: float = 0.95,
    matters: float = 0.01,
) -> RegimeMap:
    """Draw where policies differ from the first, from allocations alone: seconds, not hours.

    Every policy decides in the same rounds; batteries and outcomes are measured as in
    ``simulate``, packets are not lost on the air, and nothing is trained.

    Parameters
    ----------
    policies
        Name and, for a deadline [s], the policy: ``{"equal": Everyone, "best channel":
        lambda deadline_s: BestChannel(deadline_s=deadline_s)}``. None may need a signal.
    workload
        Of a round, such as ``FedAvg().workload(task.load(...))``.
    deadlines_s, bands_hz
        The axes of the map.
    quantity
        One of ``QUANTITIES``.
    rounds, seeds
        Rounds of a world, and worlds.
    matters
        See ``RegimeMap``.

    Raises ``InvalidInput`` for an unknown quantity, axes that are none, or a policy with `needs`.
    """
    if quantity not in QUANTITIES:
        raise InvalidInput("quantity", repr(quantity), f"one of {', '.join(QUANTITIES)}")
    times, bands = _axes(deadlines_s, bands_hz)
    what = QUANTITIES[quantity]
    values = np.full((len(policies), times.size, bands.size, seeds), math.nan)
    for seed in range(seeds):
        nature = np.random.default_rng((seed, 0))
        networks = list(islice(scenario.rounds(nature, workload), rounds))
        for b, band_hz in enumerate(bands):
            world = [network.replace(band_hz=band_hz) for network in networks]
            for d, deadline_s in enumerate(times):
                for p, (name, rule) in enumerate(policies.items()):
                    outcomes = _play(scenario, name, rule(float(deadline_s)), world, seed)
                    values[p, d, b, seed] = what.read(outcomes, networks[0].samples)
    return RegimeMap(
        quantity=quantity,
        unit=what.unit,
        better=what.better,
        policies=tuple(policies),
        deadlines_s=times,
        bands_hz=bands,
        values=values,
        level=level,
        matters=matters,
    )


def trained_map(
    scenario: Scenario,
    policies: Policies,
    task: Task,
    *,
    deadlines_s: Sequence[float],
    bands_hz: Sequence[float],
    measure: str = "accuracy_at_time",
    rounds: int = 50,
    seeds: int = 6,
    method: Method | None = None,
    level: float = 0.95,
    matters: float = 0.01,
    workers: int = 1,
) -> RegimeMap:
    """The same from training: a whole ``compare`` for every deadline and band.

    `measure` is one of ``fl_opt.comparison.MEASURES`` that has a direction and is no time until
    an event (where some runs never get there, a mean of differences is none).
    """
    from fl_opt.validation import Arm, FedAvg

    known = {m.name: m for m in MEASURES if m.better and m.horizon is None}
    if measure not in known:
        raise InvalidInput("measure", repr(measure), f"one of {', '.join(known)}")
    what = known[measure]
    times, bands = _axes(deadlines_s, bands_hz)
    values = np.full((len(policies), times.size, bands.size, seeds), math.nan)
    for b, band_hz in enumerate(bands):
        for d, deadline_s in enumerate(times):
            arms = [
                Arm(rule(float(deadline_s)), method or FedAvg(), name)
                for name, rule in policies.items()
            ]
            cell = scenario.replace(band_hz=float(band_hz))
            report = compare(arms, cell, task, rounds=rounds, seeds=seeds, workers=workers)
            for p, name in enumerate(policies):
                for seed, trace in report.runs(name).items():
                    values[p, d, b, seed] = what.read(trace, report.yardstick)
    return RegimeMap(
        quantity=measure,
        unit=what.unit,
        better="higher" if what.better == "higher" else "lower",
        policies=tuple(policies),
        deadlines_s=times,
        bands_hz=bands,
        values=values,
        level=level,
        matters=matters,
    )


def _axes(deadlines_s: Sequence[float], bands_hz: Sequence[float]) -> tuple[Floats, Floats]:
    times, bands = np.sort(deadlines_s), np.sort(bands_hz)
    if not times.size or not bands.size:
        raise InvalidInput("deadlines_s, bands_hz", "empty", "at least one of each")
    return (
        vector("deadlines_s", times, times.size, open_low=True),
        vector("bands_hz", bands, bands.size, open_low=True),
    )


def _play(
    scenario: Scenario, name: str, policy: Policy, world: Sequence[Network], seed: int
) -> list[Outcome]:
    """The outcomes of some rounds under a policy."""
    from fl_opt.validation import measure

    if getattr(policy, "needs", ()):
        raise InvalidInput(
            f"policy {name}",
            f"one that needs {', '.join(policy.needs)}",  # type: ignore[attr-defined]
            "one that needs no signal, as nothing is trained",
            "use trained_map",
        )
    rng, luck = (np.random.default_rng((seed, stream)) for stream in (1, 2))
    size = scenario.size
    battery = np.full(size, math.inf) if scenario.battery_j is None else scenario.battery_j
    memory, last, outcomes = policy.start(size, rng), None, list[Outcome]()
    for index, network in enumerate(world):
        seen = network.replace(energy_j=np.minimum(network.energy_j, battery))
        try:
            allocation, memory = policy.decide(Round(seen, index, rng, last), memory)
            on = allocation.selected
            wait_s = 0.0
            if on.any():
                wait_s = scenario.downlink_s(float(network.upload_bit.max()), network[on])
            last = measure(network, allocation, luck, downlink_s=wait_s, battery_j=battery)
        except Infeasible:
            last = measure(network, Allocation.none(size), luck)
        battery = battery - last.energy_j
        outcomes.append(last)
    return outcomes
