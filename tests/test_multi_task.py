"""Related models: the centralised optimum, the limits, the relation, what is sent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from personal import begun, group, learned
from scipy.linalg import sqrtm
from scipy.optimize import minimize
from scipy.special import log_softmax
from still_world import Equal, StillWorld, network

from fl_opt import (
    Arm,
    BestUpdateNorm,
    InvalidInput,
    LocalTraining,
    MultiTask,
    Random,
    Task,
    simulate,
)
from fl_opt.units import Floats
from fl_opt.validation.federation import Federation
from fl_opt.validation.multi_task import Related, learned_omega, safe_factor

WHOLE: dict[str, Any] = {"local_steps": 20, "batch": None, "rate": 0.1}


def relation(size: int, seed: int) -> Floats:
    """A random positive definite relation."""
    root = np.random.default_rng(seed).normal(size=(size, size))
    return root @ root.T / size + 0.1 * np.eye(size)


def objective(federation: Federation, flat: Floats, quadratic: Floats) -> tuple[float, Floats]:
    """sum_k f_k(w_k) + tr(W M W') of softmax regression and its gradient, in plain numpy."""
    size, classes = federation.size, federation.classes
    models = flat.reshape(size, -1)
    first = np.concatenate([[0], np.cumsum(federation.held)])
    value, slope = float(np.sum((quadratic @ models) * models)), 2.0 * quadratic @ models
    for k in range(size):
        x = federation.x[first[k] : first[k + 1]].numpy()
        wanted = np.eye(classes)[federation.y[first[k] : first[k + 1]].numpy()]
        matrix, bias = models[k, :-classes].reshape(-1, classes), models[k, -classes:]
        log_p = log_softmax(x @ matrix + bias, axis=1)
        value -= float((wanted * log_p).sum()) / len(x)
        error = (np.exp(log_p) - wanted) / len(x)
        slope[k] += np.concatenate([(x.T @ error).ravel(), error.sum(axis=0)])
    return value, slope.ravel()


def centralised(federation: Federation, quadratic: Floats) -> Floats:
    """(K, P) the minimiser over all models at once, by a quasi-Newton method."""
    search: Any = minimize  # its types know no gradient that is an array
    options: Any = {"maxiter": 3000, "maxfun": 5000, "ftol": 0.0, "gtol": 1e-9, "maxcor": 30}
    found = search(
        lambda flat: objective(federation, flat, quadratic)[0],
        np.zeros(federation.size * federation.model.parameters),
        jac=lambda flat: objective(federation, flat, quadratic)[1],
        method="L-BFGS-B",
        options=options,
    )
    models: Floats = found.x.reshape(federation.size, -1)
    return models


@pytest.mark.parametrize(("size", "partition"), [(4, "shards:3"), (1, "iid")])
def test_for_a_fixed_relation_the_models_are_the_centralised_optimum(
    size: int, partition: str
) -> None:
    federation = group(size, partition, samples=25 * size)
    omega = relation(size, 0)
    method = MultiTask(omega=omega.tolist(), coupling=0.1, decay=0.05, **WHOLE)
    state = learned(method, federation, 60)
    expected = centralised(federation, 0.1 * omega + 0.05 * np.eye(size))
    np.testing.assert_allclose(state.weights.numpy(), expected, rtol=0.0, atol=1e-4)


def test_mean_regularised_models_are_the_centralised_optimum() -> None:
    federation = group(3, "rotated:2", samples=60)
    method = MultiTask(relation="mean", coupling=0.1, decay=0.05, **WHOLE)
    state = learned(method, federation, 60)
    to_mean = np.eye(3) - 1.0 / 3.0  # of sum_k ||w_k - mean||^2, as it is idempotent
    expected = centralised(federation, 0.1 * to_mean + 0.05 * np.eye(3))
    np.testing.assert_allclose(state.weights.numpy(), expected, rtol=0.0, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), there=st.lists(st.booleans(), min_size=5, max_size=5))
def test_no_round_raises_the_objective_whoever_takes_part(seed: int, there: list[bool]) -> None:
    federation, omega = group(5, samples=50), relation(5, seed)
    method = MultiTask(omega=omega.tolist(), coupling=0.5, local_steps=5, batch=None, rate=0.05)
    state = begun(method, federation)
    lot = np.random.default_rng(seed).normal(size=state.weights.shape)
    state = state.moved(torch.from_numpy(lot))
    after = learned(method, federation, 1, there, state)
    before, now = (
        objective(federation, one.weights.numpy().ravel(), 0.5 * omega)[0] for one in (state, after)
    )
    assert now <= before * (1.0 + 1e-12)
    away = ~np.array(there)
    assert torch.equal(after.weights[away], state.weights[away])


def test_with_an_identity_everybody_is_alone() -> None:
    federation = group(3, samples=60)
    method = MultiTask(relation="none", coupling=0.04, decay=0.03, **WHOLE)
    state = learned(method, federation, 50)
    np.testing.assert_allclose(
        state.weights.numpy(), centralised(federation, 0.07 * np.eye(3)), rtol=0.0, atol=1e-4
    )
    alone = learned(method, federation, 50, [False, True, False])
    torch.testing.assert_close(alone.weights[1], state.weights[1], rtol=1e-12, atol=1e-14)


def test_without_coupling_and_decay_it_is_local_training() -> None:
    federation = group(4, "shards:2")
    settings: dict[str, Any] = {"local_steps": 6, "batch": 7, "rate": 0.3}
    lazy = [6, 0, 3, 1]
    related, local = (
        learned(method, federation, 4, [True, True, True, False], local_steps=lazy)
        for method in (
            MultiTask(coupling=0.0, relation="none", **settings),
            LocalTraining(**settings),
        )
    )
    torch.testing.assert_close(related.weights, local.weights, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(related.loss, local.loss, rtol=1e-9)
    assert torch.equal(local.weights[1], begun(LocalTraining(), federation).weights[1])


def test_who_rests_stays_though_others_pull() -> None:
    federation = group(3)
    state = learned(MultiTask(coupling=1.0, relation="mean"), federation, 1, local_steps=[0, 2, 2])
    start = begun(MultiTask(), federation).weights
    assert torch.equal(state.weights[0], start[0])
    assert not torch.equal(state.weights[1], start[1])


@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_the_learned_relation_is_the_inverse_of_the_root(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    models = rng.normal(size=(size, 9))
    root = np.real(sqrtm(models @ models.T))
    sigma = root / np.trace(root)
    omega = learned_omega(torch.from_numpy(models), 1e-12)
    np.testing.assert_allclose(omega @ sigma, np.eye(size), rtol=0.0, atol=1e-6)
    # no other Sigma of trace 1 couples these models less
    cost = float(np.sum((omega @ models) * models))
    for _ in range(5):
        other = relation(size, int(rng.integers(2**31)))
        other /= np.trace(other)
        assert cost <= float(np.sum((np.linalg.inv(other) @ models) * models)) * (1.0 + 1e-9)


def test_the_floor_bounds_the_relation_and_equal_models_are_drawn_together() -> None:
    same = torch.ones(4, 7, dtype=torch.float64)
    omega = learned_omega(same, 0.01)
    values = np.linalg.eigvalsh(omega)
    # the root of an eigenvalue that is zero has half the digits
    np.testing.assert_allclose(values, [1.0, 400.0, 400.0, 400.0], rtol=1e-6)
    np.testing.assert_allclose(omega.sum(axis=1), 1.0, rtol=1e-6)
    nothing = learned_omega(torch.zeros(4, 7), 0.01)
    np.testing.assert_allclose(nothing, 4.0 * np.eye(4), rtol=1e-12)


@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_the_safe_factor_is_the_least(size: int, seed: int) -> None:
    quadratic = relation(size, seed)
    factor, scale = safe_factor(quadratic), np.diag(np.diag(quadratic))
    assert 1.0 - 1e-9 <= factor <= size * (1.0 + 1e-9)
    least = np.linalg.eigvalsh(factor * scale - quadratic)[0]
    assert least == pytest.approx(0.0, abs=1e-9 * quadratic.max())
    assert safe_factor(np.diag(np.diag(quadratic))) == pytest.approx(1.0)
    assert safe_factor(np.zeros((size, size))) == 1.0


def test_the_relation_is_learned_every_so_often_and_finds_the_groups() -> None:
    federation = group(6, "rotated:2", samples=360)
    method = MultiTask(omega_every=5, local_steps=10, batch=None, rate=0.3)
    early, late = (learned(method, federation, rounds) for rounds in (4, 15))
    np.testing.assert_array_equal(early.omega, 6.0 * np.eye(6))
    sigma = np.linalg.inv(late.omega)
    scale = np.sqrt(np.diag(sigma))
    likeness = sigma / np.outer(scale, scale)
    same = np.equal.outer(federation.shift, federation.shift) & ~np.eye(6, dtype=bool)
    other = ~same & ~np.eye(6, dtype=bool)
    assert likeness[same].min() > likeness[other].max()


def test_payloads_are_exact() -> None:
    federation = group(3)
    method = MultiTask(local_steps=5, batch=20)
    work = method.workload(federation)
    np.testing.assert_array_equal(work.upload_bit, 32 * 650)
    np.testing.assert_array_equal(work.cycles, 3 * 640 * 5 * 20)
    assert method.broadcast_bit(federation) == 3 * 32 * 651
    assert LocalTraining().broadcast_bit(federation) == 0.0
    np.testing.assert_array_equal(LocalTraining().workload(federation).upload_bit, 0.0)


@pytest.mark.parametrize("policy", [Equal(), Random(count=2), BestUpdateNorm(count=2)], ids=str)
@pytest.mark.parametrize("method", [MultiTask(omega_every=2), LocalTraining()], ids=str)
def test_every_policy_chooses_who_learns(policy: Any, method: Any) -> None:
    world, task = StillWorld(network(4)), Task(partition="shards:2", samples=200)
    one, two = (simulate(world, Arm(policy, method), task, 4, seed=1) for _ in range(2))
    np.testing.assert_array_equal(one.loss, two.loss)
    assert one.loss[-1] < one.loss[0]
    assert one.accuracy[-1] > 0.5


def test_one_device_is_no_special_case() -> None:
    federation = group(1)
    states: list[Related] = [
        learned(MultiTask(relation=name, omega_every=1), federation, 2)
        for name in ("learned", "mean", "none")
    ]
    assert all(torch.isfinite(state.weights).all() for state in states)
    np.testing.assert_allclose(states[0].omega, 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"relation": "distant"}, "MultiTask.relation is 'distant'; expected one of"),
        ({"coupling": -1.0}, "MultiTask.coupling"),
        ({"decay": np.nan}, "MultiTask.decay"),
        ({"omega_every": 0}, "MultiTask.omega_every"),
        ({"floor": 0.0}, "MultiTask.floor"),
        ({"omega": [[1.0, 2.0]]}, "a square matrix"),
        ({"omega": [[1.0, 2.0], [0.0, 1.0]]}, "a symmetric matrix"),
        ({"omega": [[1.0, 2.0], [2.0, 1.0]]}, "none below 0"),
    ],
)
def test_bad_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        MultiTask(**options)


def test_a_relation_of_other_devices_is_refused() -> None:
    with pytest.raises(InvalidInput, match="of 2 devices; expected 3"):
        learned(MultiTask(omega=np.eye(2).tolist()), group(3), 1)
