"""The models by name, and the threads that they run with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from fl_opt.errors import InvalidInput
from fl_opt.validation.convolutional import Convolutional
from fl_opt.validation.model import Model
from fl_opt.validation.perceptron import Perceptron

MODELS = {"softmax": 0, "mlp": 64, "cnn": 8}
"""Models by name, with the width they have unless told otherwise: hidden units, channels."""


def build(name: str, shape: tuple[int, int], classes: int, width: int | None = None) -> Model:
    """A model by name for images of `shape`.

    "softmax"; "mlp", one hidden layer of `width` units; "cnn", `width` and 2 `width` channels.
    Raises ``InvalidInput`` for an unknown name, or a width where there is none.
    """
    if name not in MODELS:
        raise InvalidInput("model", repr(name), f"one of {', '.join(MODELS)}")
    if name == "softmax" and width is not None:
        raise InvalidInput("width", width, "None, softmax regression has no hidden layer")
    units = MODELS[name] if width is None else width
    if name != "softmax" and units < 1:
        raise InvalidInput("width", units, "at least 1")
    if name == "cnn":
        return Convolutional(shape, units, classes)
    pixels = shape[0] * shape[1]
    return Perceptron((pixels, units, classes) if units else (pixels, classes))


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Run torch with `count` threads, and restore the number that was set before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
