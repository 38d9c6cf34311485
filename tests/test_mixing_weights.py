"""Mixing weights: the semidefinite program against cutting planes and closed forms; its proof."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import fl_opt
from fl_opt import Graph, InvalidInput, MixingWeights
from fl_opt.problem_file import read_problem
from fl_opt.problems.mixing_weights import Mixing

THOUSAND = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(10_000, 11_000)]


def graph(seed: int, least: int = 2, most: int = 12) -> Graph:
    """Devices strewn over a square, linked within a radius; some graphs fall apart."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(least, most + 1))
    return Graph.within(rng.random((size, 2)), rng.uniform(0.3, 0.8))


def by_cutting_planes(stated: MixingWeights) -> float:
    """Least cost by Kelley's method: each eigenvector is a cut that is linear in the weights."""
    net = stated.graph
    ends = np.eye(net.nodes)[net.edges]
    differences = ends[:, 0] - ends[:, 1]
    rows, right = [], []
    if stated.nonnegative:
        rows += [np.append(np.abs(differences)[:, i], 0.0) for i in range(net.nodes)]
        right += [1.0] * net.nodes
    box = [(0.0 if stated.nonnegative else -1.0, 1.0)] * net.links + [(0.0, 1.0)]
    best, point = 1.0, np.full(net.links, 0.1)
    for _ in range(400):
        off = np.eye(net.nodes) - 1.0 / net.nodes - (differences.T * point) @ differences
        values, vectors = np.linalg.eigh(off)
        best = min(best, float(np.abs(values).max()))
        for v in vectors.T:
            slope, level = (differences @ v) ** 2, float(v @ v - v.sum() ** 2 / net.nodes)
            rows += [np.append(-slope, -1.0), np.append(slope, -1.0)]
            right += [-level, level]
        answer = linprog([0.0] * net.links + [1.0], A_ub=rows, b_ub=right, bounds=box)
        found = np.asarray(answer.x, dtype=float)
        point, low = found[:-1], float(found[-1])
        if best - low < 1e-7:
            break
    return low


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_equals_cutting_planes(seed: int, nonnegative: bool) -> None:
    rng = np.random.default_rng(seed)
    tree = [(int(rng.integers(0, i)), i) for i in range(1, 5)]
    extra = tuple(sorted(int(i) for i in rng.choice(5, 2, replace=False)))
    stated = MixingWeights(Graph(5, list({*tree, extra})), nonnegative)
    solution = fl_opt.solve(stated)
    assert solution.certificate.feasible
    assert solution.certificate.cost == pytest.approx(by_cutting_planes(stated), abs=1e-6)


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("seed", [*range(20), *THOUSAND])
def test_the_proof_is_tight_and_no_other_weights_are_better(seed: int, nonnegative: bool) -> None:
    stated = MixingWeights(graph(seed), nonnegative)
    solution = fl_opt.solve(stated)
    proof = solution.certificate
    assert proof.feasible
    assert proof.proof == "dual"
    assert proof.bound <= proof.cost
    assert proof.cost - proof.bound <= 1e-7
    rng = np.random.default_rng(seed)
    for scale in 10.0 ** rng.uniform(-6, 0, 20):
        weight = solution.allocation.weight + scale * rng.normal(size=stated.graph.links)
        judged = fl_opt.verify(stated, Mixing(stated.graph, weight))
        assert judged.cost >= proof.bound or not judged.feasible


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_no_multiplier_passes_any_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = graph(seed)
    z = rng.normal(size=(net.nodes, net.nodes)) * 10.0 ** rng.uniform(-9, 9)
    fast, slow = MixingWeights(net), MixingWeights(net, nonnegative=True)
    constant, metropolis = fast.best_constant(), slow.metropolis()
    assert fast.lower_bound(z) <= min(constant.contraction, metropolis.contraction)
    price = rng.exponential(1.0, net.nodes)
    for multiplier in (z, z @ z.T):
        assert slow.lower_bound(multiplier, price) <= metropolis.contraction


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize(
    ("net", "expected"),
    [
        (Graph.path(8), math.cos(math.pi / 8)),
        (Graph.path(2), 0.0),
        (Graph.path(3), 0.5),
        (Graph.complete(6), 0.0),
        (Graph(1, []), 0.0),
        (Graph(3, []), 1.0),
        (Graph(4, [(0, 1), (2, 3)]), 1.0),
        # 1 - 2 a (1 - cos 2 pi/5) = 2 a (1 - cos 4 pi/5) - 1
        (
            Graph.ring(5),
            (math.cos(2 * math.pi / 5) - math.cos(4 * math.pi / 5))
            / (2 - math.cos(2 * math.pi / 5) - math.cos(4 * math.pi / 5)),
        ),
    ],
)
def test_closed_forms(net: Graph, expected: float, nonnegative: bool) -> None:
    proof = fl_opt.solve(MixingWeights(net, nonnegative)).certificate
    assert proof.feasible
    assert proof.cost == pytest.approx(expected, abs=1e-7)
    assert proof.bound == pytest.approx(expected, abs=1e-7)


def test_the_path_of_eight_to_the_published_digits() -> None:
    for nonnegative in (False, True):
        proof = fl_opt.solve(MixingWeights(Graph.path(8), nonnegative)).certificate
        assert abs(proof.cost - 0.92387953) <= 1e-7
        assert abs(proof.bound - 0.92387953) <= 1e-7


def test_a_star_is_fast_with_a_negative_rest_only() -> None:
    # star of n: best constant 2/(n + 1), contraction (n - 1)/(n + 1); chains need 1/(n - 1)
    net = Graph.star(6)
    fast, slow = (fl_opt.solve(MixingWeights(net, sign)) for sign in (False, True))
    assert fast.certificate.cost == pytest.approx(5 / 7, abs=1e-8)
    assert fast.allocation.weight == pytest.approx(2 / 7, abs=1e-5)
    assert slow.certificate.cost == pytest.approx(0.8, abs=1e-8)
    assert fast.allocation.matrix[0, 0] < 0.0


@pytest.mark.parametrize("seed", range(10))
def test_the_order_of_costs(seed: int) -> None:
    net = graph(seed, least=5)
    fast, slow = MixingWeights(net), MixingWeights(net, nonnegative=True)
    least, chain = fl_opt.solve(fast).certificate, fl_opt.solve(slow).certificate
    assert least.bound <= chain.cost + 1e-9
    assert least.bound <= fast.best_constant().contraction
    assert chain.bound <= slow.metropolis().contraction
    assert fl_opt.verify(slow, slow.metropolis()).feasible


def test_torus_weights_are_equal() -> None:
    stated = MixingWeights(Graph.torus(3, 4))
    solution = fl_opt.solve(stated)
    assert solution.certificate.cost <= stated.best_constant().contraction
    assert stated.graph.degree.tolist() == [4] * 12


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_numbering_does_not_matter_and_a_further_link_never_hurts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = graph(seed, least=3, most=8)
    base = fl_opt.solve(MixingWeights(net)).certificate.cost
    names = rng.permutation(net.nodes)
    turned = Graph(net.nodes, names[net.edges])
    assert fl_opt.solve(MixingWeights(turned)).certificate.cost == pytest.approx(base, abs=1e-7)
    absent = np.argwhere(np.triu(net.laplacian() == 0.0, 1))
    if len(absent):
        richer = Graph(net.nodes, np.vstack([net.edges, absent[:1]]))
        assert fl_opt.solve(MixingWeights(richer)).certificate.cost <= base + 1e-7


def test_gossip_contracts_as_the_cost_says() -> None:
    decision = fl_opt.solve(MixingWeights(Graph.torus(3, 5))).allocation
    x = np.random.default_rng(0).normal(size=(15, 4))
    mean = x.mean(axis=0)
    assert decision.matrix == pytest.approx(decision.matrix.T, abs=0.0)
    for _ in range(20):
        mixed = decision.matrix @ x
        assert mixed.mean(axis=0) == pytest.approx(mean)
        apart, before = np.linalg.norm(mixed - mean), np.linalg.norm(x - mean)
        assert apart <= before * decision.contraction * (1.0 + 1e-12)
        x = mixed
    assert decision.contraction ** decision.steps(1e-3) == pytest.approx(1e-3)


def test_reads_a_graph_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "row.toml").write_text("nodes = 3\nedges = [[0, 1], [1, 2]]\n", encoding="utf-8")
    path = tmp_path / "problem.toml"
    path.write_text('problem = "MixingWeights"\ngraph = "row.toml"\nnonnegative = true\n', "utf-8")
    stated = read_problem(path).problem
    assert stated.nonnegative is True
    assert fl_opt.solve(stated).certificate.cost == pytest.approx(0.5, abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0, []), "nodes is 0; expected a number >= 1"),
        ((2.5, []), "nodes is 2.5; expected a whole number"),
        ((3, [(0, 3)]), r"edges\[0\] is \[0.0, 3.0\]; expected two of the devices 0..2"),
        ((3, [(0, 1), (1, 1)]), r"edges\[1\] is \[1, 1\]; expected two devices"),
        ((3, [(0, 1), (1, 2), (1, 0)]), r"edges\[2\] is \[0, 1\]; expected each pair once"),
        (
            (3, [(0, 1), (1,)]),
            r"edges is \[\(0, 1\), \(1,\)\]; expected a pair of devices per link",
        ),
        ((3, [(0, 1, 2)]), r"edges.shape is \(1, 3\)"),
    ],
)
def test_refuses_what_is_no_graph(arguments: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        Graph(*arguments)


def test_refuses_weights_of_another_graph() -> None:
    with pytest.raises(InvalidInput, match=r"decision.graph is Graph\(nodes=3, links=2\)"):
        MixingWeights(Graph.ring(3)).cost(Mixing(Graph.path(3), 0.5))
    with pytest.raises(InvalidInput, match="graph is list; expected a Graph"):
        MixingWeights([(0, 1)])
