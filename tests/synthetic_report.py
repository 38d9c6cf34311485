"""A comparison that no simulator ran: invented learning curves over the physics of a real cell."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from fl_opt import Allocation, Certificate, Network, Solution
from fl_opt.comparison import Report
from fl_opt.units import Floats
from fl_opt.validation import Trace

ARMS = ("equal bandwidth", "least energy", "best channel")
ENVIRONMENT = {
    "fl_opt": "0.1.0",
    "python": "3.11.7",
    "command": "fl-opt compare --scenario macro --seeds 5",
    "time": "2026-01-01T00:00:00+00:00",
}


def network_of(places: Floats, rng: np.random.Generator) -> Network:
    size = len(places)
    distance_km = np.maximum(np.hypot(*places.T), 20.0) / 1e3
    gain = 10.0 ** (-(128.1 + 37.6 * np.log10(distance_km) + rng.normal(0.0, 8.0, size)) / 10.0)
    return Network(
        gain=gain,
        power_max_w=0.01,
        cpu_min_hz=1e8,
        cpu_max_hz=2e9,
        capacitance=1e-28,
        cycles=rng.uniform(1e8, 4e8, size),
        upload_bit=3e5,
        samples=rng.integers(200, 900, size),
        band_hz=1e7,
    )


def allocation_of(network: Network, arm: int, rng: np.random.Generator) -> Allocation:
    size = network.size
    first = np.argsort(-network.gain) if arm == 2 else rng.permutation(size)
    selected = np.zeros(size, dtype=bool)
    selected[first[: max(size // (1 + arm % 3), 1)]] = True
    share = selected / selected.sum()
    if arm == 1:
        wish = np.where(selected, network.gain**-0.15, 0.0)
        share = wish / wish.sum()
    return Allocation(
        selected=selected,
        bandwidth_hz=share * network.band_hz,
        power_w=np.full(size, 0.01),
        cpu_hz=np.full(size, 1e9),
    )


def solution_of(first: Allocation) -> Solution[Allocation]:
    prices: dict[str, float | Floats | None] = {
        "band": 3.1e-7,
        "deadline": np.where(first.selected, 0.2, 0.0),
    }
    return Solution(first, Certificate(1.0, 1.0 - 1e-11, "dual"), prices, "price", 2.1e-3)


def trace(arm: str, index: int, seed: int, size: int, rounds: int, **changes: Any) -> Trace:
    rng = np.random.default_rng([seed, 1])
    radius, angle = 1200.0 * np.sqrt(rng.random(size)), rng.uniform(0.0, 2.0 * np.pi, size)
    places = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    network = network_of(places, rng)
    own = np.random.default_rng([seed, index])
    first = allocation_of(network, index, own)
    pull = np.clip(0.55 + 0.2 * np.log10(network.gain / np.median(network.gain)), 0.0, 1.0)
    share = pull if index == 2 else np.full(size, 0.9 - 0.2 * index)
    participation = own.random((rounds, size)) < share
    round_s = own.gamma(9.0, (1.0, 0.62, 0.8)[index % 3] / 9.0, rounds)
    energy = own.gamma(12.0, (9.0, 4.0, 6.0)[index % 3] / 12.0, rounds)
    steps = np.arange(1, rounds + 1)
    top = (0.92, 0.93, 0.86)[index % 3] + own.normal(0.0, 0.006)
    accuracy = top - (top - 0.1) * np.exp(-steps / 14.0) + own.normal(0.0, 0.006, rounds)
    arrived = participation.sum(axis=1)
    so_far = np.cumsum(participation, axis=0)
    jain = so_far.sum(axis=1) ** 2 / np.maximum(size * (so_far**2).sum(axis=1), 1)
    fields: dict[str, Any] = {
        "arm": arm,
        "seed": seed,
        "time_s": np.cumsum(round_s),
        "round_s": round_s,
        "energy_j": energy,
        "accuracy": accuracy,
        "loss": 2.3 * np.exp(-steps / 12.0) + 0.2,
        "selected": np.maximum(arrived, first.selected.sum()),
        "arrived": arrived,
        "jain": jain,
        "claimed_s": round_s * own.uniform(0.85, 1.0, rounds),
        "claimed_j": energy * own.uniform(0.95, 1.0, rounds),
        "training_s": round_s * 0.3,
        "airtime_s": round_s * 0.6,
        "training_j": energy * 0.7,
        "upload_j": energy * 0.3,
        "participation": participation,
        "bandwidth_hz": np.tile(first.bandwidth_hz, (rounds, 1)),
        "device_energy_j": np.tile(energy[:, None] / size, (1, size)),
        "gap": np.where(index == 1, 1e-11 * own.random(rounds), np.nan),
        "proofs": ("dual",) if index == 1 else (),
        "first_network": network,
        "first_allocation": first,
        "first_solution": solution_of(first) if index == 1 else None,
        "positions_m": places,
        "notes": ("round 3: infeasible: device 7 needs 3.1 s",) if index == 1 else (),
    }
    return Trace(**(fields | changes))


def report(
    arms: Sequence[str] = ARMS,
    *,
    seeds: int = 5,
    size: int = 40,
    rounds: int = 60,
    report_changes: dict[str, Any] | None = None,
    **changes: Any,
) -> Report:
    """A report over `arms`; `changes` replace fields of every trace."""
    traces = [
        trace(arm, index, seed, size, rounds, **changes)
        for seed in range(seeds)
        for index, arm in enumerate(arms)
    ]
    made = Report(
        traces=traces,
        arms=tuple(arms),
        seeds=tuple(range(seeds)),
        rounds=rounds,
        scenario={"name": "wide macro cell", "radius_m": 1200.0, "band_hz": 1e7, "devices": size},
        task={"dataset": "digits", "model": "softmax regression", "partition": "Dirichlet 0.5"},
        setup={arm: f"What {arm} does.\nPolicy(name={arm!r}), FedAvg()" for arm in arms},
        environment=ENVIRONMENT,
    )
    return dataclasses.replace(made, **(report_changes or {}))
