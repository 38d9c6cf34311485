r"""Ways to compress updates, all devices at once: x (n, P) to C(x) (n, P), a row is a device.

Each takes one amount per device: coordinates kept, or levels of rounding. What that costs in bits,
and how large the error is at most, says ``fl_opt.compression_laws``, where the sources are too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from fl_opt import compression_laws as laws
from fl_opt.errors import InvalidInput
from fl_opt.physics import PARAMETER_BIT
from fl_opt.validation.data import Ints

if TYPE_CHECKING:
    from torch import Tensor

Lots: TypeAlias = Sequence[np.random.Generator]
"""(n,) a generator of its own for each device, so that nobody's lots hang on who else sends."""


def as_it_is(x: Tensor, amount: Ints, lots: Lots) -> Tensor:
    """No compression."""
    return x


def top_k(x: Tensor, kept: Ints, lots: Lots) -> Tensor:
    """The `kept` largest coordinates of each row, all others zero."""
    import torch

    place, held = _largest(x, kept)
    return torch.zeros_like(x).scatter_(1, place, x.gather(1, place) * held)


def top_k_sign(x: Tensor, kept: Ints, lots: Lots) -> Tensor:
    """The signs of the `kept` largest coordinates, times the mean of their sizes."""
    import torch

    place, held = _largest(x, kept)
    values = x.gather(1, place)
    count = torch.from_numpy(kept).to(x.dtype).unsqueeze(1)
    size = (values.abs() * held).sum(1, keepdim=True) / count
    return torch.zeros_like(x).scatter_(1, place, signs(values) * held * size)


def random_k(x: Tensor, kept: Ints, lots: Lots) -> Tensor:
    """Random coordinates, `kept` of each row, scaled so that the mean is x."""
    import torch

    size = x.shape[1]
    factor = np.zeros(x.shape, dtype=np.float32)
    for row, (k, lot) in enumerate(zip(kept, lots, strict=True)):
        factor[row, lot.choice(size, k, replace=False, shuffle=False)] = size / k
    return x * torch.from_numpy(factor)


def qsgd(x: Tensor, levels: Ints, lots: Lots) -> Tensor:
    """Each size rounded at random to a multiple of norm/`levels`, so that the mean is x."""
    import torch

    step = x.norm(dim=1, keepdim=True) / torch.from_numpy(levels).to(x.dtype).unsqueeze(1)
    lot = np.stack([one.random(x.shape[1], dtype=np.float32) for one in lots])
    # a row of zeros stays zero
    level = (x.abs() / torch.where(step > 0.0, step, 1.0) + torch.from_numpy(lot)).floor_()
    most = torch.from_numpy(levels).to(x.dtype).unsqueeze(1)
    rounded: Tensor = signs(x) * torch.minimum(level, most) * step
    return rounded


def sign(x: Tensor, amount: Ints, lots: Lots) -> Tensor:
    """The sign of each coordinate, times the mean of their sizes."""
    return signs(x) * x.abs().mean(dim=1, keepdim=True)


def signs(x: Tensor) -> Tensor:
    """-1 or 1: one bit has no room for a third answer, and zero counts as positive."""
    import torch

    minus, plus = x.new_tensor(-1.0), x.new_tensor(1.0)
    return torch.where(x < 0.0, minus, plus)


def majority(x: Tensor) -> Tensor:
    """(P,) sign that most rows have; 0 where they are split evenly."""
    return signs(x).sum(dim=0).sign()


def _largest(x: Tensor, kept: Ints) -> tuple[Tensor, Tensor]:
    """Places (n, k) of the largest entries, the largest first, and 1 where a row keeps them."""
    import torch

    most = int(kept.max(initial=1))
    place = x.abs().topk(most, dim=1).indices
    held = torch.arange(most) < torch.from_numpy(kept).unsqueeze(1)
    return place, held.to(x.dtype)


class Kind(NamedTuple):
    """A way to compress.

    `apply` compresses, `law` says payload and error for a size and an amount, `amount` the largest
    amount whose payload fits into some bits, 0 where none does.
    """

    apply: Callable[[Tensor, Ints, Lots], Tensor]
    law: Callable[[int, int], laws.Level]
    amount: Callable[[int, float], int]


def _kept(each: Callable[[int], int], once: int) -> Callable[[int, float], int]:
    def most(size: int, upload_bit: float) -> int:
        return int(min(max((upload_bit - once) // each(size), 0), size))

    return most


def _levels(size: int, upload_bit: float) -> int:
    # beyond 16 bit a level is finer than the rounding of float32 at the norm
    bit = min(int(max(upload_bit - PARAMETER_BIT, 0.0) // size), 16)
    return max(2 ** (bit - 1) - 1, 0) if bit else 0


def _whole_or_nothing(payload: Callable[[int], float]) -> Callable[[int, float], int]:
    return lambda size, upload_bit: int(upload_bit >= payload(size))


def _vote_law(size: int, amount: int) -> laws.Level:
    return laws.Level("vote", laws.sign_bit(size, scaled=False), 1.0, unbiased=False)


KINDS: dict[str, Kind] = {
    "none": Kind(
        as_it_is, lambda d, _: laws.full(d), _whole_or_nothing(lambda d: laws.full(d).upload_bit)
    ),
    "top-k": Kind(top_k, laws.top_k, _kept(lambda d: PARAMETER_BIT + laws.index_bit(d), 0)),
    "random-k": Kind(random_k, laws.random_k, _kept(lambda d: PARAMETER_BIT, 0)),
    "qsgd": Kind(qsgd, laws.qsgd, _levels),
    "sign": Kind(sign, lambda d, _: laws.sign(d), _whole_or_nothing(laws.sign_bit)),
    "top-k-sign": Kind(
        top_k_sign, laws.top_k_sign, _kept(lambda d: 1 + laws.index_bit(d), PARAMETER_BIT)
    ),
    "vote": Kind(sign, _vote_law, _whole_or_nothing(lambda d: laws.sign_bit(d, scaled=False))),
}
"""Ways to compress by name."""


def affordable(name: str, size: int, upload_bit: float) -> int:
    """The largest amount of a kind whose payload is at most `upload_bit` [bit].

    Raises ``InvalidInput`` where not even the smallest fits.
    """
    amount = KINDS[name].amount(size, upload_bit)
    if amount < 1:
        least = KINDS[name].law(size, 1).upload_bit
        raise InvalidInput(
            "upload_bit",
            f"{upload_bit:,.10g}",
            f"at least {least:,.10g}, the least that {name} takes",
        )
    return amount
