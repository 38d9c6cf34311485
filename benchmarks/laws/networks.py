"""Random networks of more than one cell: edges, neighbours that disturb, devices by themselves."""

from __future__ import annotations

import numpy as np

from benchmarks import heuristics_edges
from benchmarks.laws.law import Law
from fl_opt import (
    CellNetwork,
    EdgeAssociation,
    Graph,
    LinkActivation,
    MixingStep,
    MixingWeights,
    MultiCellPower,
)
from fl_opt.problems.activation import Activation
from fl_opt.problems.matchings import matchings


def _edges(size: int, rng: np.random.Generator) -> EdgeAssociation:
    """Two or three edges; a second is worth 0.003 to 0.3 J."""
    network = heuristics_edges.network(rng, size, int(rng.integers(2, 4)))
    return EdgeAssociation(network, 10.0 ** rng.uniform(-2.5, -0.5), "max")


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


def _graph(size: int, rng: np.random.Generator) -> Graph:
    """Devices strewn over a square, linked within a radius that gives each 4 to 8 neighbours."""
    radius = float(np.sqrt(rng.uniform(4.0, 8.0) / (np.pi * size)))
    return Graph.within(rng.random((size, 2)), radius)


def _weights(size: int, rng: np.random.Generator) -> MixingWeights:
    return MixingWeights(_graph(size, rng), bool(rng.random() < 0.5))


def _activation(size: int, rng: np.random.Generator) -> LinkActivation:
    """Budgets of links, time and energy of which any may be the one that binds."""
    graph = _graph(size, rng)
    time, energy = rng.uniform(1e-3, 1e-2, graph.links), rng.exponential(1e-4, graph.links)
    return LinkActivation(
        graph,
        matchings_max=rng.uniform(0.5, 4.0),
        link_time_s=time,
        time_s=rng.uniform(0.5, 4.0) * 8e-3,
        link_energy_j=energy,
        energy_j=rng.uniform(0.05, 0.7) * float(energy.sum()) + 1e-9,
    )


def _step(size: int, rng: np.random.Generator) -> MixingStep:
    """Matchings with a probability each."""
    graph = _graph(size, rng)
    groups = matchings(graph)
    return MixingStep(Activation(graph, groups, rng.random(int(groups.max(initial=-1)) + 1)))


LAWS = {
    "EdgeAssociation": Law(_edges, (2, 6), (5, 10, 20)),
    "MultiCellPower": Law(_cells, (1, 8), (10, 30, 100), (3, 6, 12, 24), "cells"),
    "MixingWeights": Law(_weights, (3, 15), (10, 20, 40), scale=1.0),
    "LinkActivation": Law(_activation, (3, 15), (10, 20, 40), scale=1.0),
    "MixingStep": Law(_step, (3, 15), (30, 100, 300), (10, 20, 40), scale=1.0),
}
