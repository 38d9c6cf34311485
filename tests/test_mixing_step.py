"""The mixing weight over random links: crossing parabolas against a line search and an SDP."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

import fl_opt
from fl_opt import Graph, InvalidInput, MixingStep
from fl_opt.problems.activation import Activation
from fl_opt.problems.matchings import matchings
from fl_opt.units import Floats

THOUSAND = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(10_000, 11_000)]


def activation(seed: int, most: int = 14) -> Activation:
    """Devices strewn over a square; some matchings are always used, some never."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, most))
    graph = Graph.within(rng.random((size, 2)), rng.uniform(0.3, 1.2))
    groups = matchings(graph)
    count = int(groups.max(initial=-1)) + 1
    sure = rng.random(count) < 0.2
    return Activation(graph, groups, np.where(sure, rng.integers(0, 2, count), rng.random(count)))


def second_moment(given: Activation, weight: float) -> Floats:
    """E[W'W] by going through all that can happen."""
    total = np.zeros((given.graph.nodes, given.graph.nodes))
    for used in product([False, True], repeat=given.probability.size):
        chance = np.prod(np.where(used, given.probability, 1.0 - given.probability))
        links = np.array(used)[given.matching]
        mixing = np.eye(given.graph.nodes) - weight * given.graph.laplacian(links)
        total += chance * mixing.T @ mixing
    return total


@pytest.mark.parametrize("seed", range(60))
def test_equals_a_line_search(seed: int) -> None:
    given = activation(seed)
    solution = fl_opt.solve(MixingStep(given))
    assert solution.solver == "closed"
    found = minimize_scalar(
        given.contraction, bounds=(0.0, 2.0), method="bounded", options={"xatol": 1e-10}
    )
    assert solution.certificate.cost <= found.fun + 1e-12
    assert solution.certificate.cost == pytest.approx(found.fun, abs=1e-6)


@pytest.mark.parametrize("seed", range(15))
def test_equals_the_semidefinite_program(seed: int) -> None:
    problem = MixingStep(activation(seed))
    exact, reference = fl_opt.solve(problem), fl_opt.solve(problem, solver="cvxpy")
    assert reference.certificate.bound <= exact.certificate.cost
    assert reference.certificate.cost == pytest.approx(exact.certificate.cost, abs=1e-7)
    assert reference.certificate.cost - reference.certificate.bound <= 1e-6


@pytest.mark.parametrize("seed", [*range(60), *THOUSAND])
def test_the_proof_is_tight(seed: int) -> None:
    proof = fl_opt.solve(MixingStep(activation(1000 + seed))).certificate
    assert proof.feasible
    assert proof.bound <= proof.cost
    assert proof.cost - proof.bound <= 1e-10


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_no_factor_passes_any_weight(seed: int) -> None:
    rng = np.random.default_rng(seed)
    given = activation(seed)
    factor = rng.normal(size=(given.graph.nodes, 3)) * 10.0 ** rng.uniform(-6, 6)
    bound = MixingStep(given).lower_bound(factor)
    for weight in rng.uniform(0.0, 1.0, 5):
        assert bound <= given.contraction(float(weight)) + 1e-15


@pytest.mark.parametrize("seed", range(10))
def test_the_second_moment_is_that_of_all_outcomes(seed: int) -> None:
    given = activation(seed, most=7)
    for weight in (0.2, 0.6):
        exact = second_moment(given, weight)
        assert given.second_moment(weight) == pytest.approx(exact, abs=1e-13)


def test_steps_drawn_at_random_contract_as_the_cost_says() -> None:
    given = fl_opt.solve(MixingStep(Activation(Graph.ring(5), [0, 1, 0, 1, 2], 0.6))).allocation
    rng = np.random.default_rng(0)
    vectors = np.linalg.eigh(given.second_moment(given.weight) - 0.2)[1]
    x = vectors[:, -1]
    apart = [np.sum(((mixed := given.draw(rng) @ x) - mixed.mean()) ** 2) for _ in range(20_000)]
    error = 3.0 * np.std(apart) / np.sqrt(len(apart))
    assert np.mean(apart) == pytest.approx(given.contraction(given.weight), abs=error)


def test_one_link_used_always_and_sometimes() -> None:
    # two devices, used with p: rho = 1 - 4 p alpha (1 - alpha), least at one half
    for p in (1.0, 0.3):
        solution = fl_opt.solve(MixingStep(Activation(Graph.path(2), [0], [p])))
        assert solution.allocation.weight == pytest.approx(0.5)
        assert solution.certificate.cost == pytest.approx(1.0 - p, abs=1e-15)


def test_used_always_it_is_the_square_of_the_best_constant() -> None:
    graph = Graph.torus(3, 4)
    groups = matchings(graph)
    sure = Activation(graph, groups, np.ones(groups.max() + 1))
    constant = fl_opt.MixingWeights(graph).best_constant()
    solution = fl_opt.solve(MixingStep(sure))
    assert solution.allocation.weight == pytest.approx(constant.weight[0])
    assert solution.certificate.cost == pytest.approx(constant.contraction**2)


@pytest.mark.parametrize(
    ("graph", "probability", "cost", "weight"),
    [
        (Graph(1, []), [], 0.0, 0.0),
        (Graph(3, []), [], 1.0, 0.0),
        (Graph.path(3), [0.0, 0.0], 1.0, 0.0),
        (Graph.path(3), [1.0, 0.0], 1.0, 0.5),
        (Graph(4, [(0, 1), (2, 3)]), [0.4], 1.0, 0.5),
    ],
)
def test_graphs_that_fall_apart(graph: Graph, probability: Any, cost: float, weight: float) -> None:
    solution = fl_opt.solve(MixingStep(Activation(graph, matchings(graph), probability)))
    assert solution.certificate.cost == pytest.approx(cost)
    assert solution.certificate.bound == pytest.approx(cost)
    assert solution.allocation.weight == pytest.approx(weight)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_numbering_does_not_matter(seed: int) -> None:
    given = activation(seed)
    names = np.random.default_rng(seed).permutation(given.graph.nodes)
    turned = Graph(given.graph.nodes, names[given.graph.edges])
    one, other = (
        fl_opt.solve(MixingStep(Activation(graph, given.matching, given.probability)))
        for graph in (given.graph, turned)
    )
    assert other.certificate.cost == pytest.approx(one.certificate.cost, abs=1e-12)


@pytest.mark.parametrize(
    ("matching", "probability", "text"),
    [
        ([0], [1.0], r"matching.shape is \(1,\); expected \(2,\)"),
        ([0, 0], [1.0], "matching 0 is using device 1 twice"),
        ([0, 2], [1.0, 1.0, 1.0], "without gaps"),
        ([0, 1], [1.0, 1.5], r"probability\[1\] is 1.5; expected a number >= 0, <= 1"),
    ],
)
def test_refuses_what_is_no_activation(matching: Any, probability: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        Activation(Graph.path(3), matching, probability)


def test_refuses_a_decision_for_other_links() -> None:
    often, seldom = (Activation(Graph.path(2), [0], [p]) for p in (0.9, 0.1))
    with pytest.raises(InvalidInput, match="decision is for other links"):
        MixingStep(often).cost(seldom)
