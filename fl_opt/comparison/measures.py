"""What is read off a finished run: the numbers that a comparison compares."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from fl_opt.checks import number
from fl_opt.units import Floats

if TYPE_CHECKING:
    from fl_opt.validation import Trace

TARGET_SHARE = 0.95


@dataclass(frozen=True)
class Yardstick:
    """What all runs of a comparison are measured against.

    Attributes
    ----------
    accuracy, rule
        The accuracy that runs are timed to, and the rule that set it.
    time_s, energy_j
        Simulated time and energy that every run covers: the runs have equally many rounds, but
        rounds of different length and cost, so that only up to here all can be compared.
    """

    accuracy: float
    rule: str
    time_s: float
    energy_j: float


def yardstick(traces: Sequence[Trace], accuracy: float | None = None) -> Yardstick:
    """The yardstick of some runs, with a target `accuracy` that is given or chosen.

    The one chosen is a share of the median final accuracy of all runs pooled: it looks at no arm
    in particular, so that it favours none, and the order of the arms does not matter. NaN where
    no run was evaluated. Raises ``InvalidInput`` where a given accuracy is outside [0, 1].
    """
    final = [value for trace in traces if math.isfinite(value := final_of(trace.accuracy))]
    if accuracy is not None:
        target, rule = number("target_accuracy", accuracy, high=1.0), "given"
    elif final:
        target = TARGET_SHARE * float(np.median(final))
        rule = f"{TARGET_SHARE:.0%} of the median final accuracy of all {len(final)} runs"
    else:
        target, rule = math.nan, "none, no run was evaluated"
    return Yardstick(
        target,
        rule,
        min((total_s(trace) for trace in traces), default=0.0),
        min((total_j(trace) for trace in traces), default=0.0),
    )


def final_of(series: Floats) -> float:
    """Last value that is a number; NaN where there is none (rounds may go unevaluated)."""
    known = np.asarray(series, dtype=float)
    known = known[np.isfinite(known)]
    return float(known[-1]) if known.size else math.nan


def total_s(trace: Trace) -> float:
    """Simulated time of the whole run [s]."""
    return float(trace.time_s[-1])


def total_j(trace: Trace) -> float:
    """Energy of the whole run, all devices together [J]."""
    return float(np.sum(trace.energy_j))


def first_reach(trace: Trace, accuracy: float, spent: Floats) -> float:
    """`spent` (R,) at the first round whose accuracy is at least the target; NaN if never.

    No smoothing: a lucky round counts.
    """
    rounds = np.flatnonzero(np.asarray(trace.accuracy) >= accuracy)
    return float(spent[rounds[0]]) if rounds.size else math.nan


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 and math.isfinite(whole) else math.nan


@dataclass(frozen=True)
class Measure:
    """A number of a run.

    Attributes
    ----------
    name, title, unit
        Identifier with its SI unit, words for people, and the unit ("" for a pure number).
    better
        Which direction is better; "" where neither is.
    read
        The number itself; NaN where the run has none.
    horizon
        For a time or an energy until something happens: how far the run was observed. None for a
        number that is simply there.
    """

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower", ""]
    read: Callable[[Trace, Yardstick], float]
    horizon: Callable[[Trace], float] | None = None


def _final_accuracy(trace: Trace, _: Yardstick) -> float:
    return final_of(trace.accuracy)


def _accuracy_at_time(trace: Trace, yard: Yardstick) -> float:
    return final_of(trace.accuracy[trace.time_s <= yard.time_s])


def _accuracy_at_energy(trace: Trace, yard: Yardstick) -> float:
    return final_of(trace.accuracy[np.cumsum(trace.energy_j) <= yard.energy_j])


def _final_loss(trace: Trace, _: Yardstick) -> float:
    return final_of(trace.loss)


def _time_to_target(trace: Trace, yard: Yardstick) -> float:
    return first_reach(trace, yard.accuracy, trace.time_s)


def _energy_to_target(trace: Trace, yard: Yardstick) -> float:
    return first_reach(trace, yard.accuracy, np.cumsum(trace.energy_j))


def _time(trace: Trace, _: Yardstick) -> float:
    return total_s(trace)


def _energy(trace: Trace, _: Yardstick) -> float:
    return total_j(trace)


def _arrived(trace: Trace, _: Yardstick) -> float:
    return float(np.mean(trace.arrived))


def _lost(trace: Trace, _: Yardstick) -> float:
    return 1.0 - _ratio(float(np.sum(trace.arrived)), float(np.sum(trace.selected)))


def _fairness(trace: Trace, _: Yardstick) -> float:
    return final_of(trace.jain)


def _time_over_claim(trace: Trace, _: Yardstick) -> float:
    return _ratio(float(np.sum(trace.round_s)), float(np.sum(trace.claimed_s)))


def _energy_over_claim(trace: Trace, _: Yardstick) -> float:
    return _ratio(total_j(trace), float(np.sum(trace.claimed_j)))


MEASURES: tuple[Measure, ...] = (
    Measure("final_accuracy", "accuracy after all rounds", "", "higher", _final_accuracy),
    Measure("accuracy_at_time", "accuracy at equal time", "", "higher", _accuracy_at_time),
    Measure("accuracy_at_energy", "accuracy at equal energy", "", "higher", _accuracy_at_energy),
    Measure(
        "time_to_target_s", "time to the target accuracy", "s", "lower", _time_to_target, total_s
    ),
    Measure(
        "energy_to_target_j",
        "energy to the target accuracy",
        "J",
        "lower",
        _energy_to_target,
        total_j,
    ),
    Measure("final_loss", "loss after all rounds", "", "lower", _final_loss),
    Measure("time_s", "time of all rounds", "s", "lower", _time),
    Measure("energy_j", "energy of all rounds", "J", "lower", _energy),
    Measure("arrived_per_round", "updates that arrive in a round", "", "higher", _arrived),
    Measure("lost_share", "selected devices whose update is lost", "", "lower", _lost),
    Measure("fairness", "fairness of participation (Jain)", "", "higher", _fairness),
    Measure("time_over_claim", "time realised over claimed", "", "", _time_over_claim),
    Measure("energy_over_claim", "energy realised over claimed", "", "", _energy_over_claim),
)
"""All measures, the ones people ask for first at the top."""
