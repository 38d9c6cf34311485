"""Links within budgets: the semidefinite program against cutting planes, and its laws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import fl_opt
from fl_opt import Graph, InvalidInput, LinkActivation
from fl_opt.problem_file import read_problem
from fl_opt.problems.activation import Activation
from fl_opt.problems.matchings import matchings

THOUSAND = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(10_000, 11_000)]


def problem(seed: int, most: int = 14) -> LinkActivation:
    """Devices strewn over a square, with up to three budgets that may bind or not."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, most))
    graph = Graph.within(rng.random((size, 2)), rng.uniform(0.3, 1.2))
    fields: dict[str, Any] = {}
    if rng.random() < 0.6:
        fields["matchings_max"] = rng.uniform(0.0, 6.0)
    if rng.random() < 0.6:
        fields |= {"link_time_s": rng.uniform(1e-3, 1e-2, graph.links), "time_s": 2e-2}
    if rng.random() < 0.6:
        fields |= {"link_energy_j": rng.exponential(1e-4, graph.links), "energy_j": 1e-3}
    return LinkActivation(graph, **fields)


def by_cutting_planes(stated: LinkActivation) -> float:
    """Greatest connectivity by Kelley's method: each unit vector bounds it linearly."""
    count = stated.count
    rows = [np.append(taken / budget, 0.0) for taken, budget, _ in stated.budgets.values()]
    right = [1.0] * len(rows)
    ends = np.eye(stated.graph.nodes)[stated.graph.edges]
    apart = ends[:, 0] - ends[:, 1]
    p, best = np.full(count, 1e-3), 0.0
    for _ in range(500):
        laplacian = (apart.T * p[stated.groups]) @ apart
        values, vectors = np.linalg.eigh(laplacian)
        best = max(best, float(values[1]))
        for v in vectors[:, 1:3].T:
            slope = np.bincount(stated.groups, weights=(apart @ v) ** 2, minlength=count)
            rows.append(np.append(-slope, 1.0 - v.sum() ** 2 / stated.graph.nodes))
            right.append(0.0)
        box = [(0.0, 1.0)] * count + [(0.0, 2.0 * count)]
        answer = linprog(np.append(np.zeros(count), -1.0), A_ub=rows, b_ub=right, bounds=box)
        found = np.asarray(answer.x, dtype=float)
        p, high = found[:-1], float(found[-1])
        if high - best < 1e-7:
            break
    return high


@pytest.mark.parametrize("seed", range(12))
def test_equals_cutting_planes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tree = [(int(rng.integers(0, i)), i) for i in range(1, 6)]
    graph = Graph(6, list({*tree, (0, 5), (1, 4), (2, 5)}))
    stated = LinkActivation(
        graph,
        matchings_max=rng.uniform(0.5, 3.0),
        link_energy_j=rng.exponential(1.0, graph.links),
        energy_j=rng.uniform(0.5, 3.0),
    )
    solution = fl_opt.solve(stated)
    assert solution.certificate.feasible
    assert -solution.certificate.cost == pytest.approx(by_cutting_planes(stated), abs=1e-6)


@pytest.mark.parametrize("seed", [*range(40), *THOUSAND])
def test_the_proof_is_tight_and_no_baseline_is_better(seed: int) -> None:
    stated = problem(seed)
    solution = fl_opt.solve(stated)
    proof = solution.certificate
    assert proof.feasible
    assert proof.proof == "dual"
    assert proof.bound <= proof.cost
    assert proof.cost - proof.bound <= 1e-7
    even = fl_opt.verify(stated, stated.uniform())
    assert even.feasible
    assert even.cost >= proof.bound


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_no_factor_and_no_prices_pass_any_probabilities(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stated = problem(seed)
    factor = rng.normal(size=(stated.graph.nodes, 2))
    prices = {
        name: rng.exponential(1.0) / (taken.max(initial=0.0) or 1.0)
        for name, (taken, _, _) in stated.budgets.items()
    }
    tried = stated.decide(rng.random(stated.count))
    assert fl_opt.verify(stated, tried).feasible
    assert stated.lower_bound(factor, prices) <= stated.cost(tried)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_matchings_are_proper_and_few(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 20))
    linked = np.triu(rng.random((size, size)) < rng.random(), 1)
    graph = Graph(size, np.argwhere(linked))
    groups = matchings(graph)
    count = int(groups.max(initial=-1)) + 1
    assert count <= graph.degree.max(initial=0) + 1
    for j in range(count):
        ends = graph.edges[groups == j].ravel()
        assert np.unique(ends).size == ends.size > 0


def test_the_link_that_holds_all_together_is_used_most() -> None:
    # two complete graphs of four, joined by one link
    cliques = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    cliques += [(i + 4, j + 4) for i, j in cliques]
    graph = Graph(8, [*cliques, (3, 4)])
    for most in (0.5, 1.5, 3.0):
        stated = LinkActivation(graph, matchings_max=most, matching=[0, 1, 2, 2, 1, 0] * 2 + [3])
        decision = fl_opt.solve(stated).allocation
        bridge = decision.link_probability[-1]
        assert (bridge >= 1.4 * decision.link_probability[:-1]).all()
        assert decision.connectivity > 1.1 * stated.uniform().connectivity
    assert bridge == pytest.approx(1.0, abs=1e-6)


def test_dear_links_are_used_seldom() -> None:
    graph = Graph.ring(6)
    energy = np.ones(6)
    groups = [0, 1, 0, 1, 0, 1]
    even = LinkActivation(graph, link_energy_j=energy, energy_j=3.0, matching=groups)
    energy[0] = 9.0
    dear = LinkActivation(graph, link_energy_j=energy, energy_j=3.0, matching=groups)
    one, other = (fl_opt.solve(stated).allocation.probability for stated in (even, dear))
    assert one == pytest.approx([0.5, 0.5], abs=1e-6)
    assert other[0] < other[1]


@pytest.mark.parametrize(
    ("graph", "fields", "connectivity"),
    [
        (Graph.complete(4), {}, 4.0),
        (Graph.complete(4), {"matchings_max": 1e9}, 4.0),
        # p = 1/2 for each of three matchings of two links
        (Graph.complete(4), {"matchings_max": 1.5, "matching": [0, 1, 2, 2, 1, 0]}, 2.0),
        (Graph.complete(4), {"matchings_max": 0.0}, 0.0),
        (Graph.path(2), {"link_time_s": 2.0, "time_s": 0.5}, 0.5),
        (Graph.path(3), {"link_energy_j": [1.0, 0.0], "energy_j": 0.0}, 0.0),
        (Graph.path(3), {"link_energy_j": 0.0, "energy_j": 0.0}, 1.0),
        (Graph(1, []), {"matchings_max": 1.0}, 0.0),
        (Graph(4, [(0, 1), (2, 3)]), {}, 0.0),
        (Graph(3, []), {"matchings_max": 1.0}, 0.0),
    ],
)
def test_closed_forms(graph: Graph, fields: dict[str, Any], connectivity: float) -> None:
    proof = fl_opt.solve(LinkActivation(graph, **fields)).certificate
    assert proof.feasible
    assert proof.cost == pytest.approx(-connectivity, abs=1e-8)
    assert proof.bound == pytest.approx(-connectivity, abs=1e-8)


def test_the_time_of_a_matching_is_that_of_its_slowest_link() -> None:
    stated = LinkActivation(
        Graph(4, [(0, 1), (2, 3), (1, 2)]),
        link_time_s=[1.0, 3.0, 2.0],
        time_s=4.0,
        link_energy_j=[1.0, 3.0, 2.0],
        energy_j=9.0,
        matching=[0, 0, 1],
    )
    assert stated.budgets["time"][0].tolist() == [3.0, 2.0]
    assert stated.budgets["energy"][0].tolist() == [4.0, 2.0]
    over = Activation(stated.graph, stated.groups, [1.0, 1.0])
    assert str(fl_opt.verify(stated, over).violation["time"]) == "time: 1 s over 4 s"


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_laws_of_budgets_units_and_numbers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = Graph.within(rng.random((8, 2)), 0.6)
    energy, groups = rng.exponential(1.0, graph.links), matchings(graph)

    def cost(net: Graph, each: Any, total: float) -> float:
        stated = LinkActivation(net, link_energy_j=each, energy_j=total, matching=groups)
        return fl_opt.solve(stated).certificate.cost

    base = cost(graph, energy, 2.0)
    assert cost(graph, energy, 3.0) <= base + 1e-8
    assert cost(graph, 1e-6 * energy, 2e-6) == pytest.approx(base, abs=1e-7)
    turned = Graph(8, rng.permutation(8)[graph.edges])
    assert cost(turned, energy, 2.0) == pytest.approx(base, abs=1e-7)


def test_the_decision_has_the_best_weight() -> None:
    decision = fl_opt.solve(LinkActivation(Graph.torus(3, 3), matchings_max=2.0)).allocation
    best = fl_opt.solve(fl_opt.MixingStep(decision)).certificate
    assert decision.contraction(decision.weight) == pytest.approx(best.bound, abs=1e-9)


def test_reads_a_problem_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "problem.toml"
    path.write_text(
        'problem = "LinkActivation"\nmatchings_max = 1.5\nmatching = [0, 1, 2, 2, 1, 0]\n'
        "graph = {nodes = 4, edges = [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]}\n",
        encoding="utf-8",
    )
    proof = fl_opt.solve(read_problem(path).problem).certificate
    assert proof.cost == pytest.approx(-2.0, abs=1e-8)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"time_s": 1.0}, "time_s is alone; expected both link_time_s and time_s, or neither"),
        ({"link_energy_j": 1.0}, "link_energy_j is alone"),
        ({"matchings_max": -1.0}, "matchings_max is -1"),
        ({"link_time_s": [1.0, -2.0], "time_s": 1.0}, r"link_time_s\[1\] is -2 s"),
        ({"matching": [0, 0]}, "matching 0 is using device 1 twice"),
    ],
)
def test_refuses_what_is_no_problem(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        LinkActivation(Graph.path(3), **fields)


def test_refuses_a_decision_for_other_matchings() -> None:
    stated = LinkActivation(Graph.path(3), matchings_max=1.0)
    with pytest.raises(InvalidInput, match="of other links"):
        stated.cost(Activation(Graph.path(2), [0], [1.0]))
