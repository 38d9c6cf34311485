"""Images from gradients: exact for one sample, less the more is left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from fl_opt import InvalidInput, Task
from fl_opt.validation.compressors import top_k
from fl_opt.validation.inversion import miss, rebuilt

FEDERATION = Task("digits", "mlp", samples=200).load(0, np.full(4, 50.0))


def gradients(rows: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """(n, P) gradients of the losses of groups of samples (n, B), by autograd."""
    model = FEDERATION.model
    weights = model.initial(np.random.default_rng(seed)).requires_grad_()
    found = []
    for group in rows:
        logits = model.logits(weights, FEDERATION.x[group])
        loss = functional.cross_entropy(logits, FEDERATION.y[group])
        found.append(torch.autograd.grad(loss, weights)[0])
    return torch.stack(found)


def test_a_single_sample_is_rebuilt_to_rounding() -> None:
    rows = torch.arange(20).unsqueeze(1)
    images = FEDERATION.x[rows[:, 0]]
    found = rebuilt(FEDERATION.model, gradients(rows))
    torch.testing.assert_close(found, images, rtol=1e-3, atol=1e-4)
    assert float(miss(images, found).max()) < 1e-4


def test_sparser_gradients_and_larger_batches_give_away_less() -> None:
    rows = torch.arange(20).unsqueeze(1)
    images, exact = FEDERATION.x[rows[:, 0]], gradients(rows)
    lots = [np.random.default_rng(k) for k in range(20)]
    size = exact.shape[1]
    missed = [
        float(miss(images, rebuilt(FEDERATION.model, top_k(exact, np.full(20, k), lots))).mean())
        for k in (size, size // 10, size // 100, size // 1000)
    ]
    assert missed == sorted(missed)
    groups = torch.arange(40).view(10, 4)
    mixed = rebuilt(FEDERATION.model, gradients(groups))
    assert float(miss(FEDERATION.x[groups[:, 0]], mixed).mean()) > 0.2


def test_nothing_left_is_a_blank_and_blind() -> None:
    nothing = torch.zeros(2, FEDERATION.model.parameters)
    found = rebuilt(FEDERATION.model, nothing)
    assert float(found.abs().max()) == 0.0
    np.testing.assert_allclose(miss(FEDERATION.x[:2], found).numpy(), 1.0)


def test_a_convolution_is_refused() -> None:
    model = Task("digits", "cnn", devices=2).load().model
    with pytest.raises(InvalidInput, match="dense"):
        rebuilt(model, torch.zeros(1, model.parameters))
