"""Play a policy through a world, and judge its answers by the physics."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import numpy as np

from fl_opt.allocation import Allocation, use
from fl_opt.network import Network
from fl_opt.policy import Outcome, Policy, Round
from fl_opt.testing.worlds import World
from fl_opt.units import quantity

SLACK = 1e-9
"""Part of a limit by which a policy may exceed it: rounding, no more."""
SAME = 1e-3
"""Relative difference up to which two allocations are one: optimisers stop somewhere."""
COMPARED = ("bandwidth_hz", "power_w", "cpu_hz")


class Refused(Exception):
    """An answer with which the world cannot go on."""


def decide_once(policy: Policy, round: Round, memory: Any) -> tuple[Allocation, Any]:
    """One decision, of the right form."""
    try:
        answer = policy.decide(round, memory)
    except Exception as error:  # whatever a policy raises is what its author wants to be told
        if isinstance(error, ValueError | TypeError) and (
            "read-only" in str(error) or "mappingproxy" in str(error)
        ):
            raise Refused("decide writes into its inputs; copy them first") from error
        raise Refused(f"decide raises {type(error).__name__}: {error}") from error
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise Refused(f"decide returns {type(answer).__name__}; expected (Allocation, memory)")
    allocation, memory = answer
    if not isinstance(allocation, Allocation):
        raise Refused(f"decide allocates a {type(allocation).__name__}; expected an Allocation")
    if allocation.size != round.network.size:
        raise Refused(
            f"decide answers for {allocation.size} devices; the round has {round.network.size}"
        )
    return allocation, memory


def rounds_of(policy: Policy, world: World, seed: int) -> Iterator[tuple[Round, Any, Allocation]]:
    """Play a world: each round with the memory that met it and the answer."""
    try:
        memory = policy.start(world.networks[0].size, np.random.default_rng((seed, 99)))
    except Exception as error:  # as in decide
        raise Refused(f"start raises {type(error).__name__}: {error}") from error
    last = None
    for index, (network, signal) in enumerate(zip(world.networks, world.signal, strict=True)):
        frozen = np.array(signal)
        frozen.flags.writeable = False
        signals = MappingProxyType(dict.fromkeys(getattr(policy, "needs", ()), frozen))
        rng = np.random.default_rng((seed, index))
        round = Round(network, index, rng, last, signals)
        allocation, after = decide_once(policy, round, memory)
        yield round, memory, allocation
        last, memory = _outcome(network, allocation), after


def _outcome(network: Network, allocation: Allocation) -> Outcome:
    used = use(network, allocation)
    arrived = allocation.selected & (used.finish_s <= allocation.deadline_s * (1.0 + SLACK))
    for array in (arrived, used.finish_s):
        array.flags.writeable = False
    spent = used.energy_j
    spent.flags.writeable = False
    end = float(used.finish_s[arrived].max(initial=0.0))
    return Outcome(allocation.selected, arrived, used.finish_s, spent, end)


def faults(network: Network, allocation: Allocation) -> Iterator[tuple[str, str]]:
    """Limits of the round that an answer exceeds, by kind."""
    on = allocation.selected
    for name in COMPARED:
        wild = np.flatnonzero(on & ~np.isfinite(getattr(allocation, name)))
        if wild.size:
            yield "finite", f"{name} of device {wild[0]} is infinite"
            return
    used = use(network, allocation)
    shared = allocation.access == "fdma" and allocation.block is None
    band = allocation.bandwidth_hz[on]
    taken = float(band.sum() if shared else band.max(initial=0.0))
    if taken > network.band_hz * (1.0 + SLACK):
        yield "band", f"gives out {quantity(taken, 'Hz')} of {quantity(network.band_hz, 'Hz')}"
    limits = (
        ("power", allocation.power_w, network.power_max_w, "W", "sends with", "power_max_w"),
        ("clock", allocation.cpu_hz, network.cpu_max_hz, "Hz", "computes at", "cpu_max_hz"),
        ("energy", used.energy_j, network.energy_j, "J", "spends", "energy_j"),
    )
    for kind, value, limit, unit, verb, name in limits:
        over = np.flatnonzero(on & (value > limit * (1.0 + SLACK)))
        if over.size:
            k = over[0]
            yield (
                kind,
                f"device {k} {verb} {quantity(value[k], unit)}; its {name} is "
                f"{quantity(limit[k], unit)}",
            )
    lazy = np.flatnonzero(on & (allocation.cpu_hz < network.cpu_min_hz * (1.0 - SLACK)))
    if lazy.size:
        k = lazy[0]
        yield (
            "slow clock",
            f"device {k} computes at {quantity(allocation.cpu_hz[k], 'Hz')}, below its "
            f"cpu_min_hz of {quantity(network.cpu_min_hz[k], 'Hz')}",
        )
    never = np.flatnonzero(on & ~np.isfinite(used.finish_s))
    if never.size:
        yield "never", f"selects device {never[0]}, which never finishes: no rate or no clock"
    late = np.flatnonzero(
        on & np.isfinite(used.finish_s) & (used.finish_s > allocation.deadline_s * (1.0 + SLACK))
    )
    if late.size:
        k = late[0]
        yield (
            "late",
            f"selects device {k}, which finishes at {quantity(used.finish_s[k], 's')}, after the "
            f"deadline_s = {quantity(allocation.deadline_s, 's')} that the answer itself sets",
        )
    if allocation.upload_s is not None:
        lies = np.flatnonzero(on & (allocation.upload_s < used.airtime_s * (1.0 - 1e-6)))
        if lies.size:
            k = lies[0]
            yield (
                "claim",
                f"claims an upload_s of {quantity(allocation.upload_s[k], 's')} for device {k}; "
                f"at its rate it takes {quantity(used.airtime_s[k], 's')}",
            )


def same(one: Allocation, two: Allocation) -> bool:
    """Whether two answers are one, up to where an optimiser stops."""
    on = one.selected
    return (
        bool(np.array_equal(on, two.selected))
        and one.access == two.access
        and all(
            np.allclose(getattr(one, name)[on], getattr(two, name)[on], rtol=SAME, atol=0.0)
            for name in COMPARED
        )
    )
