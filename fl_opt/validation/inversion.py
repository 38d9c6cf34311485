r"""What an update gives away: images rebuilt from the gradient of a dense first layer.

The gradient of a dense layer is a sum of outer products, sum_i x_i d_i', and that of its bias
sum_i d_i, where d_i is the derivative of sample i's loss by the layer's output. Of one sample each
column with d_j != 0 is the image times d_j; of all columns together the least-squares image is

    x = sum_j (dW)_j db_j / sum_j db_j^2

which needs no search, knows no label, and is exact where nothing was left out. For a batch it is a
mixture of the images.

Source: the observation is in Phong, Aono, Hayashi, Wang, Moriai, IEEE TIFS 2018; attacks by search
are Zhu, Liu, Han, Deep leakage from gradients, NeurIPS 2019, arXiv 1906.08935. Least squares over
all columns is ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fl_opt.errors import InvalidInput

if TYPE_CHECKING:
    from torch import Tensor

    from fl_opt.validation.model import Model


def rebuilt(model: Model, gradients: Tensor) -> Tensor:
    """Images (n, pixels) rebuilt from gradients (n, P), zero where nothing of the bias is left.

    Raises ``InvalidInput`` for a model whose first layer is not dense.
    """
    import torch

    from fl_opt.validation.perceptron import Perceptron

    if not isinstance(model, Perceptron):
        raise InvalidInput("model", type(model).__name__, "softmax or mlp, dense from the start")
    pixels, units = model.layers[:2]
    matrix = gradients[:, : pixels * units].view(-1, pixels, units)
    bias = gradients[:, pixels * units : (pixels + 1) * units]
    strength = bias.square().sum(1, keepdim=True)
    image = torch.bmm(matrix, bias.unsqueeze(2)).squeeze(2)
    return torch.where(strength > 0.0, image / strength.clamp(min=1e-30), 0.0)


def miss(images: Tensor, found: Tensor) -> Tensor:
    """(n,) distance of images to what was found at its best scale, over their norm; 1 is blind."""
    scale = (images * found).sum(1) / found.square().sum(1).clamp(min=1e-30)
    missed: Tensor = (images - scale.unsqueeze(1) * found).norm(dim=1) / images.norm(dim=1)
    return missed
