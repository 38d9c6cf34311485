"""Tell the author of a policy everything that it breaks, in words.

>>> import fl_opt
>>> from fl_opt.testing import check_policy
>>> check_policy(fl_opt.BestChannel(count=3))
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fl_opt.policy import Policy
from fl_opt.testing.play import COMPARED, Refused, decide_once, faults, rounds_of, same
from fl_opt.testing.worlds import World, world, worlds

DRAWS = 300
"""Rounds drawn to compare how often a random policy takes each device."""


class BrokenPolicy(AssertionError):
    """A policy breaks its contract. `findings` says how, a sentence each."""

    def __init__(self, name: str, findings: Sequence[str]) -> None:
        self.findings = tuple(findings)
        count = f"{len(findings)} thing{'s' * (len(findings) != 1)}"
        super().__init__("\n".join([f"{name} breaks {count}:", *(f"- {f}" for f in findings)]))


def check_policy(policy: Policy, *, symmetric: bool = True, seed: int = 0) -> None:
    """Try `policy` in small random worlds, ordinary and degenerate.

    Looked for: answers of the wrong type, shape or size; NaN and infinity; exceptions; more band,
    power, clock or energy than there is; devices that finish after the deadline that the
    allocation sets, or never; claimed airtimes that the rate does not give; answers that differ
    when asked again; memory or inputs changed in place; use of the global random state; and, if
    `symmetric`, answers that depend on how the devices are numbered.

    Parameters
    ----------
    policy
        Anything with `start` and `decide`, see ``fl_opt.Policy``. The signals in its `needs` are
        given as random positive numbers.
    symmetric
        Whether devices shall be judged by what they have and not by their number. A policy whose
        answer does not depend on `round.rng` must then follow any renumbering exactly; of one that
        draws lots, the frequencies must, over a few hundred rounds. Say False for a rule that goes
        by number on purpose, such as round robin.
    seed
        Of the worlds.

    Raises
    ------
    BrokenPolicy
        With all findings at once.
    """
    findings = _Findings()
    for fault in _contract(policy):
        findings.add(fault, fault, "")
    if not findings.found:
        before = _global_state()
        for tried in worlds(seed):
            _try(policy, tried, findings)
        if symmetric and not findings.found:
            _renumber(policy, seed, findings)
        if _global_state() != before:
            findings.add("random", "draws from the global random state; use round.rng", "")
    if findings.found:
        raise BrokenPolicy(type(policy).__name__, findings.texts())


@dataclass
class _Findings:
    """One sentence per kind of fault, with the first place and how often."""

    found: dict[str, tuple[str, str, int]] = field(default_factory=dict)

    def add(self, kind: str, fault: str, place: str) -> None:
        first = self.found.get(kind, (fault, place, 0))
        self.found[kind] = (first[0], first[1], first[2] + 1)

    def texts(self) -> list[str]:
        return [
            fault
            + (f" (world: {place})" if place else "")
            + (f", and {times - 1} times more" if times > 1 else "")
            for fault, place, times in self.found.values()
        ]


def _contract(policy: Any) -> Iterator[str]:
    for name, call in (("start", "start(size, rng)"), ("decide", "decide(round, memory)")):
        if not callable(getattr(policy, name, None)):
            yield f"has no method {call}"
    needs = getattr(policy, "needs", ())
    if isinstance(needs, str) or not all(isinstance(name, str) for name in needs):
        yield f'needs is {needs!r}; expected a tuple of names of signals, such as ("update_norm",)'


def _global_state() -> tuple[object, ...]:
    """What the generators behind ``numpy.random.rand`` and ``random.random`` stand at."""
    numpy_state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002 - watched, not used
    return numpy_state["key"].tobytes(), numpy_state["pos"], random.getstate()


def _try(policy: Policy, tried: World, findings: _Findings) -> None:
    """Feasibility, determinism and purity in one world."""
    answers = []
    try:
        for round, memory, allocation in rounds_of(policy, tried, 0):
            place = f"{tried.name}, round {round.index}"
            for kind, fault in faults(round.network, allocation):
                findings.add(kind, fault, place)
            fresh = replace(round, rng=np.random.default_rng((0, round.index)))
            again, _ = decide_once(policy, fresh, memory)
            if not same(again, allocation):
                findings.add(
                    "pure",
                    "answers the same round and memory differently when asked again: it changes "
                    "its memory in place, keeps state of its own, or draws from elsewhere than "
                    "round.rng",
                    place,
                )
            answers.append(allocation)
        repeat = [allocation for *_, allocation in rounds_of(policy, tried, 0)]
    except Refused as refusal:
        findings.add(str(refusal).split(":")[0], str(refusal), tried.name)
        return
    if not all(same(one, two) for one, two in zip(answers, repeat, strict=True)):
        findings.add(
            "determinism",
            "answers differently when the same world is played again: all that it remembers must "
            "be in its memory, all chance in round.rng",
            tried.name,
        )


def _renumber(policy: Policy, seed: int, findings: _Findings) -> None:
    """Whether the answer follows the devices when they are numbered anew."""
    plain = world("seven devices", 7, seed)
    order = np.random.default_rng(seed).permutation(7)
    other = plain.renumbered(order)
    plays = [
        [allocation for *_, allocation in rounds_of(policy, played, luck)]
        for played, luck in ((plain, 0), (plain, 1), (other, 0))
    ]
    if all(same(one, two) for one, two in zip(plays[0], plays[1], strict=True)):
        for index, (one, two) in enumerate(zip(plays[0], plays[2], strict=True)):
            moved = one.replace(
                selected=one.selected[order],
                **{name: getattr(one, name)[order] for name in COMPARED},
                upload_s=None,
                start_s=None,
            )
            if not same(moved, two):
                findings.add(
                    "symmetry",
                    "decides otherwise when the devices are numbered otherwise; if it goes by "
                    "number on purpose, check_policy(..., symmetric=False)",
                    f"{plain.name}, round {index}",
                )
        return
    taken = np.zeros((2, 7))
    for side, played in enumerate((plain, other)):
        for draw in range(DRAWS):
            _, _, allocation = next(rounds_of(policy, played, (side + 1) * 10_000 + draw))
            taken[side] += allocation.selected
    often = taken / DRAWS
    often[0] = often[0][order]
    pooled = often.mean(axis=0)
    noise = np.sqrt(2.0 * pooled * (1.0 - pooled) / DRAWS)
    odd = np.flatnonzero(np.abs(often[0] - often[1]) > 5.0 * noise)
    if odd.size:
        k = odd[0]
        findings.add(
            "symmetry",
            f"draws by number: a device is taken in {often[0][k]:.0%} of {DRAWS} rounds under one "
            f"number and in {often[1][k]:.0%} under another; if that is on purpose, "
            "check_policy(..., symmetric=False)",
            plain.name,
        )
