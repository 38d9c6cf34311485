"""The small convolutional network: its gradients, ties in the pooling, odd images, many images."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fl_opt.validation import convolutional
from fl_opt.validation.convolutional import Convolutional
from fl_opt.validation.model import Batches
from fl_opt.validation.models import threads
from fl_opt.validation.pooled_convolution import PooledConvolution


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads(1):
        yield


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def whole(*shape: int, seed: int) -> Tensor:
    """Whole numbers from -2 to 2: many windows have several largest values."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-2, 3, shape, generator=generator).double()


def torchs_own(images: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """The same by torch's modules, ReLU first: (channels, height, width, B)."""
    convolved = nn.functional.conv2d(images.permute(3, 0, 1, 2), kernel, bias, padding=1)
    return nn.functional.max_pool2d(convolved.relu(), 2).permute(1, 2, 3, 0)


@settings(max_examples=40, deadline=None)
@given(
    inputs=st.integers(1, 3),
    outputs=st.integers(1, 4),
    height=st.integers(2, 9),
    width=st.integers(2, 9),
    size=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
    tied=st.booleans(),
)
def test_a_layer_is_that_of_torch_the_first_of_equal_values_counting(
    inputs: int, outputs: int, height: int, width: int, size: int, seed: int, tied: bool
) -> None:
    layer = PooledConvolution(inputs, outputs, height, width, size, torch.float64)
    out = torch.empty(outputs, height // 2, width // 2, size, dtype=torch.float64)
    for turn in (0, 1):  # the second in memory that the first has used
        draw, number = (whole if tied else normal), (seed + turn) % 2**32
        given_ = (
            draw(inputs, height, width, size, seed=number),
            draw(outputs, inputs, 3, 3, seed=number + 1),
            draw(outputs, seed=number + 2),
        )
        images, kernel, bias = (value.clone().requires_grad_(True) for value in given_)
        expected = torchs_own(images, kernel, bias)
        delta = normal(*expected.shape, seed=number + 3)
        by_images, by_kernel, by_bias = torch.autograd.grad(expected, (images, kernel, bias), delta)

        layer.images.copy_(given_[0])
        layer.forward(given_[1], given_[2], out)
        torch.testing.assert_close(out, expected.detach(), rtol=1e-11, atol=1e-11)
        to_kernel, to_bias = torch.ones_like(kernel), torch.ones_like(bias)
        layer.backward(out, delta, to_kernel, to_bias)
        for found, wanted in (
            (to_kernel - 1.0, by_kernel),
            (to_bias - 1.0, by_bias),
            (layer.below(given_[1]), by_images),
        ):
            torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)


def gradient_by_autograd(
    model: Convolutional, point: Tensor, x: Tensor, y: Tensor, batches: Batches, device: int
) -> Tensor:
    point = point.detach().requires_grad_(True)
    rows, share = batches.index[device].flatten(), batches.weight[device].flatten()
    each = nn.functional.cross_entropy(model.logits(point, x[rows]), y[rows], reduction="none")
    (found,) = torch.autograd.grad((each * share).sum(), point)
    return found


@pytest.mark.parametrize("shape", [(4, 4), (8, 8), (9, 7), (11, 6)], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_shape_with_blank_parts(shape: tuple[int, int], channels: int) -> None:
    model = Convolutional(shape, channels, 5)
    images = whole(20, *shape, seed=1).clamp(min=0.0)
    images[:, : shape[0] // 2] = 0.0
    x, y = images.flatten(1), torch.arange(20) % 5
    batches = Batches(torch.arange(18).view(2, 3, 3), normal(2, 3, 3, seed=2).abs())
    points = normal(2, model.parameters, seed=3)
    found, _ = model.gradient(points, x, y, batches)
    for k in range(2):
        expected = gradient_by_autograd(model, points[k], x, y, batches, k)
        torch.testing.assert_close(found[k], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("images", [1, 2, 3, 7])
def test_how_many_images_go_together_changes_nothing(
    images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Convolutional((8, 8), 2, 4)
    x, y = normal(30, 64).abs(), torch.arange(30) % 4
    index = torch.randint(0, 30, (3, 2, 7), generator=torch.Generator().manual_seed(0))
    batches = Batches(index, normal(3, 2, 7, seed=1).abs(), normal(3, 4, 4, seed=2).abs())
    start = normal(model.parameters, seed=3) * 0.5
    together = (*model.train(start, x, y, batches, 0.2), *model.gradient(start, x, y, batches))
    of_one_image = 9 * (64 + 2 * 16) * 8
    monkeypatch.setattr(convolutional, "PATCH_BYTES", images * of_one_image)
    apart = (*model.train(start, x, y, batches, 0.2), *model.gradient(start, x, y, batches))
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-11, atol=1e-13)


def test_single_precision_costs_its_rounding_and_repeats_itself() -> None:
    model = Convolutional((28, 28), 8, 10)
    # few bits: the convolutions are exact, so that rounding cannot turn a maximum over
    x, y = whole(64, 784, seed=0), torch.arange(64) % 10
    start = (normal(model.parameters, seed=1) * 2).round() / 16
    batches = Batches(torch.arange(64).view(2, 1, 32), torch.full((2, 1, 32), 1 / 32).double())
    exact, _ = model.gradient(start, x, y, batches)
    coarse = Batches(batches.index, batches.weight.float())
    found, _ = model.gradient(start.float(), x.float(), y, coarse)
    assert torch.equal(found, model.gradient(start.float(), x.float(), y, coarse)[0])
    for k in range(2):
        expected = gradient_by_autograd(model, start, x, y, batches, k)
        torch.testing.assert_close(exact[k], expected, rtol=1e-10, atol=1e-12)
        assert float((found[k] - exact[k]).norm()) < 1e-5 * float(exact[k].norm())


def test_nothing_to_learn_from_leaves_the_model_as_it_is() -> None:
    model = Convolutional((8, 8), 2, 4)
    x, y = normal(5, 64), torch.zeros(5, dtype=torch.long)
    start = normal(model.parameters, seed=1)
    for devices, steps, size in ((2, 3, 0), (2, 0, 4), (0, 3, 4), (2, 3, 4)):
        index = torch.zeros(devices, steps, size, dtype=torch.long)
        trained, losses = model.train(start, x, y, Batches(index, torch.zeros(index.shape)), 0.5)
        assert torch.equal(trained, start.expand(devices, -1))
        assert torch.equal(losses, torch.zeros(devices, dtype=torch.float64))
