"""Fitted convergence models: exact data are recovered, laws, intervals that cover, refusals."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from still_world import network

from fl_opt import BudgetedTraining, FedAvg, InvalidInput, RoundsModel, Task, solve
from fl_opt.validation.calibration import StepsModel, calibrate, constants

U = np.repeat([1.0, 2.0, 5.0, 10.0], 4)
TAU = np.tile([1.0, 5.0, 20.0, 50.0], 4)


@settings(deadline=None)
@given(st.lists(st.floats(0.1, 100.0), min_size=4, max_size=4))
def test_exact_data_give_the_model_back(coefficients: list[float]) -> None:
    truth = StepsModel(*coefficients)
    found = calibrate(U, TAU, truth.rounds(U, TAU), refits=2)
    np.testing.assert_allclose(found.model.rounds(U, TAU), truth.rounds(U, TAU), rtol=1e-8)
    assert found.scatter < 1e-7


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_fit_is_the_least_of_all_relative_errors(seed: int) -> None:
    """Against ordinary least squares over every set of terms, those >= 0 kept."""
    took = np.random.default_rng(seed).uniform(10.0, 100.0, U.size)
    terms = np.stack([1.0 / TAU, np.ones(U.size), TAU, TAU / U], axis=1) / took[:, None]
    least = np.inf
    for some in itertools.product([False, True], repeat=4):
        x = np.linalg.lstsq(terms[:, some], np.ones(U.size))[0]
        if (x >= 0.0).all():
            least = min(least, float(np.sum((terms[:, some] @ x - 1.0) ** 2)))
    found = calibrate(U, TAU, took, refits=2).model
    mine = float(np.sum((found.rounds(U, TAU) / took - 1.0) ** 2))
    assert mine == pytest.approx(least, rel=1e-9)


def test_at_fixed_steps_it_is_the_rounds_model() -> None:
    model = StepsModel(400.0, 20.0, 0.5, 2.0)
    for steps in (1, 7, 50):
        there = model.at(steps)
        assert isinstance(there, RoundsModel)
        np.testing.assert_allclose(there.rounds(U), model.rounds(U, steps), rtol=1e-12)


def test_budgeted_training_takes_it() -> None:
    """Identical devices: the best number is found by trying all of them."""
    model = StepsModel(100.0, 5.0, 0.2, 30.0).at(5)
    net = network(6, gain=1e-11)
    problem = BudgetedTraining(net, model, 1.0)
    chosen = solve(problem)
    tried = []
    for n in range(1, 7):
        allocation = _equal(net, n)
        tried.append(problem.cost(allocation))
    assert chosen.certificate.cost == pytest.approx(min(tried), rel=1e-6)
    assert int(chosen.allocation.selected.sum()) == 1 + int(np.argmin(tried))


def _equal(net: Any, count: int) -> Any:
    from fl_opt.policies.seats import equal_share

    return equal_share(net, np.arange(net.size), count)


def test_intervals_cover_about_as_often_as_they_say() -> None:
    """100 data sets; a residual bootstrap of 16 runs with four terms is a little too narrow."""
    truth = StepsModel(200.0, 20.0, 0.3, 1.0)
    mean, inside = float(truth.rounds(5.0, 10.0)), 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        took = truth.rounds(U, TAU) * rng.normal(1.0, 0.1, U.size)
        low, high = calibrate(U, TAU, took, refits=100, seed=seed).interval(5.0, 10.0)
        inside += int(low <= mean <= high)
    assert inside >= 85


def test_order_does_not_matter_and_rounds_scale() -> None:
    truth = StepsModel(200.0, 20.0, 0.3, 1.0)
    took = truth.rounds(U, TAU) * np.random.default_rng(0).normal(1.0, 0.1, U.size)
    base = calibrate(U, TAU, took).model
    turned = calibrate(U[::-1], TAU[::-1], took[::-1]).model
    thrice = calibrate(U, TAU, 3.0 * took).model
    np.testing.assert_allclose(turned.rounds(U, TAU), base.rounds(U, TAU), rtol=1e-9)
    np.testing.assert_allclose(thrice.rounds(U, TAU), 3.0 * base.rounds(U, TAU), rtol=1e-9)


def test_errors_shrink_with_more_runs() -> None:
    truth, rng = StepsModel(200.0, 20.0, 0.3, 1.0), np.random.default_rng(1)
    widths = []
    for times in (1, 16):
        u, tau = np.tile(U, times), np.tile(TAU, times)
        took = truth.rounds(u, tau) * rng.normal(1.0, 0.1, u.size)
        low, high = calibrate(u, tau, took).interval(5.0, 10.0)
        widths.append(float(high - low))
    assert widths[1] < widths[0] / 2.0


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (([1.0], [1.0], [5.0]), "rounds"),
        (([1.0, 2.0], [1.0, 1.0], [5.0, np.nan]), "rounds"),
        (([1.0, 0.0], [1.0, 1.0], [5.0, 4.0]), "utility"),
        (([1.0, 2.0], [1.0, -1.0], [5.0, 4.0]), "steps"),
    ],
)
def test_what_is_no_pilot_is_named(arguments: Any, where: str) -> None:
    with pytest.raises(InvalidInput, match=where):
        calibrate(*arguments)
    with pytest.raises(InvalidInput, match="drift"):
        StepsModel(1.0, 1.0, -1.0, 0.0)


def test_constants_are_those_of_one_round_written_out() -> None:
    """A softmax model on one device: all three from its two losses and gradients."""
    import torch

    federation = Task("digits", "softmax", devices=1, samples=200).load(seed=3)
    method = FedAvg(local_steps=4, batch=None, rate=0.5)
    weights = federation.model.initial(np.random.default_rng(0))
    found = constants(federation, method, weights, np.random.default_rng(1))
    x, y = federation.x.double(), federation.y

    def at(flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        point = flat.double().clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy(x @ point[:-10].view(64, 10) + point[-10:], y)
        (gradient,) = torch.autograd.grad(loss, point)
        return loss.detach(), gradient

    walked = weights.double()
    for _ in range(4):
        walked = walked - 0.5 * at(walked)[1]
    (loss, gradient), (last, turned) = at(weights), at(walked)
    moved = (walked - weights).norm()
    assert found.rho == pytest.approx(float((loss - last).abs() / moved), rel=1e-4)
    assert found.beta == pytest.approx(float((turned - gradient).norm() / moved), rel=1e-4)
    assert found.delta == pytest.approx(0.0, abs=1e-6)


def test_devices_of_other_classes_diverge_more() -> None:
    apart = {}
    for mix in ("iid", "shards:1"):
        federation = Task("digits", "softmax", mix, devices=5).load(seed=3)
        weights = federation.model.initial(np.random.default_rng(0))
        found = constants(federation, FedAvg(), weights, np.random.default_rng(1))
        apart[mix] = found.delta
    assert apart["shards:1"] > 2.0 * apart["iid"] > 0.0
