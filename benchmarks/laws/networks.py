"""Random networks of more than one cell: edges, split networks, neighbours, no server."""

from __future__ import annotations

import dataclasses

import numpy as np

from benchmarks import heuristics_edges
from benchmarks.laws.law import Law, limitless
from fl_opt import (
    CellNetwork,
    EdgeAssociation,
    Graph,
    LinkActivation,
    MixingStep,
    MixingWeights,
    MultiCellPower,
    Network,
    SplitInference,
    SplitLatency,
    SplitProfile,
)
from fl_opt.problems.activation import Activation
from fl_opt.problems.matchings import matchings


def _edges(size: int, rng: np.random.Generator) -> EdgeAssociation:
    """Two or three edges; a second is worth 0.003 to 10 J."""
    drawn = heuristics_edges.network(rng, size, int(rng.integers(2, 4)))
    network = dataclasses.replace(drawn, cpu_min_hz=rng.uniform(1e8, 1e9, size))
    return EdgeAssociation(network, 10.0 ** rng.uniform(-2.5, 1.0), "max")


def _cells(size: int, rng: np.random.Generator) -> MultiCellPower:
    """Cells that disturb each other from hardly to badly, with noise over eight decades."""
    apart = np.eye(size) == 0.0
    leak = np.where(apart, 10.0 ** rng.uniform(-3, 0, (size, size)) / np.sqrt(size), 1.0)
    return MultiCellPower(
        CellNetwork(
            gain=1e-9 * 10.0 ** rng.uniform(-1, 1, (size, size)) * leak,
            power_max_w=rng.uniform(0.05, 0.3, size),
            upload_bit=3e5 * rng.uniform(0.2, 2, size),
            band_hz=1e6,
            ready_s=rng.uniform(0, 0.3, size),
            noise_w_hz=4e-21 * 10.0 ** rng.uniform(0, 8),
        )
    )


def _split(size: int, rng: np.random.Generator) -> tuple[Network, SplitProfile, float]:
    """Devices near and far, a chain of three layers that shrink, and the speed of the server."""
    chain = np.sort(rng.uniform(2e4, 1e6, 3))[::-1]
    profile = SplitProfile.from_layers(rng.uniform(4e7, 2e8, 3), chain)
    share = rng.choice([0.5, 1.0, 3.0])
    network = Network(
        gain=10.0 ** rng.uniform(-11.5, -9.0, size),
        power_max_w=rng.choice([0.1, 0.2], size),
        cpu_min_hz=1e8,
        cpu_max_hz=rng.uniform(0.5e9, 2e9, size),
        capacitance=rng.uniform(0.5, 3.0, size) * 1e-27,
        cycles=1.0,
        upload_bit=1.0,
        samples=1.0,
        band_hz=5e5 * size * share,
    )
    return network, profile, 1e9 * size * rng.choice([0.05, 0.15, 0.5])


def _least_energy(size: int, rng: np.random.Generator) -> SplitInference:
    network, profile, server_hz = _split(size, rng)
    return SplitInference(network, profile, rng.uniform(0.4, 1.2, size), server_hz)


def _earliest(size: int, rng: np.random.Generator) -> SplitLatency:
    return SplitLatency(*_split(size, rng))


def _graph(size: int, rng: np.random.Generator) -> Graph:
    """Devices strewn over a square, linked within a radius that gives each 4 to 8 neighbours."""
    radius = float(np.sqrt(rng.uniform(4.0, 8.0) / (np.pi * size)))
    return Graph.within(rng.random((size, 2)), radius)


def _weights(size: int, rng: np.random.Generator) -> MixingWeights:
    """Four in five must take means."""
    return MixingWeights(_graph(size, rng), bool(rng.random() < 0.8))


def _activation(size: int, rng: np.random.Generator) -> LinkActivation:
    """Budgets of links, time and energy of which any may be the one that binds."""
    graph = _graph(size, rng)
    time, energy = rng.uniform(1e-3, 1e-2, graph.links), rng.exponential(1e-4, graph.links)
    return LinkActivation(
        graph,
        matchings_max=rng.uniform(0.5, 8.0),
        link_time_s=time,
        time_s=rng.uniform(0.5, 8.0) * 8e-3,
        link_energy_j=energy,
        energy_j=rng.uniform(0.05, 1.2) * float(energy.sum()) + 1e-9,
    )


def _step(size: int, rng: np.random.Generator) -> MixingStep:
    """Matchings with a probability each."""
    graph = _graph(size, rng)
    groups = matchings(graph)
    return MixingStep(Activation(graph, groups, rng.random(int(groups.max(initial=-1)) + 1)))


SERVER = {"server": limitless(server_hz=1e18)}

LAWS = {
    "EdgeAssociation": Law(_edges, (2, 5), (5, 10, 20), (2, 4, 6)),
    "MultiCellPower": Law(_cells, (1, 8), (10, 100, 1_000), (3, 12, 24, 48), "cells"),
    "SplitInference": Law(_least_energy, (1, 6), (10, 30, 100), (2, 4, 8, 16), without=SERVER),
    "SplitLatency": Law(_earliest, (1, 6), (10, 30, 100), (2, 3, 4, 5)),
    "MixingWeights": Law(_weights, (3, 15), (10, 20, 40), scale=1.0),
    "LinkActivation": Law(_activation, (3, 15), (10, 20, 40), scale=1.0),
    "MixingStep": Law(_step, (3, 15), (30, 100, 300), (10, 20, 40), scale=1.0),
}
