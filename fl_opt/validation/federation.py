"""A loaded task: the data of every device, and the model they train."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fl_opt.errors import InvalidInput
from fl_opt.units import Floats
from fl_opt.validation.data import Dataset, Ints, Partition
from fl_opt.validation.model import Batches, Model

PROBE = 2000
"""Training samples, drawn once per run, on which the loss is evaluated."""
BACKWARD = 2.0
"""Work of the backward pass in forward passes: two matrix products for each one forward."""


class Score(NamedTuple):
    """How good a model is: accuracy on test data [-], cross-entropy on training data [nat]."""

    accuracy: float
    loss: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Federation:
    """A loaded task: the data of every device, in the order of the devices, and the model.

    Attributes
    ----------
    x, y
        (N, pixels) and (N,) training images in [0, 1] and their classes; device after device.
    held
        (K,) number of samples of each device.
    shift
        (K,) rotation of the labels of each device.
    test_x, test_y
        Test set, its labels not rotated.
    probe
        Rows of `x` on which the loss is evaluated.
    cycles_per_sample
        CPU cycles that training on one sample takes, once [cycle].
    """

    model: Model
    x: Tensor
    y: Tensor
    held: Ints
    shift: Ints
    test_x: Tensor
    test_y: Tensor
    probe: Tensor
    classes: int
    cycles_per_sample: float

    @classmethod
    def of(
        cls,
        *,
        data: Dataset,
        dealt: Partition,
        model: Model,
        test_samples: int,
        cycles_per_operation: float,
        rng: np.random.Generator,
    ) -> Federation:
        """The federation of a data set that was dealt out; `rng` draws the probe."""
        held = np.array([part.size for part in dealt.parts], dtype=np.int64)
        order = np.concatenate(dealt.parts)
        labels = (data.train_y[order] + np.repeat(dealt.shift, held)) % data.classes
        return cls(
            model=model,
            # division makes tensors of torch's own: results do not depend on numpy's alignment
            x=torch.from_numpy(data.train_x[order]).float() / data.depth,
            y=torch.from_numpy(labels),
            held=held,
            shift=dealt.shift,
            test_x=torch.from_numpy(data.test_x[:test_samples].copy()).float() / data.depth,
            test_y=torch.from_numpy(data.test_y[:test_samples].copy()),
            probe=torch.from_numpy(np.sort(rng.permutation(order.size)[:PROBE])),
            classes=data.classes,
            cycles_per_sample=(1.0 + BACKWARD) * model.operations * cycles_per_operation,
        )

    @property
    def size(self) -> int:
        """Number of devices K."""
        return int(self.held.size)

    @property
    def samples(self) -> Floats:
        """(K,) training samples held, the usual weight of a device [-]."""
        return self.held.astype(np.float64)

    @cached_property
    def _first(self) -> Ints:
        return np.concatenate([[0], np.cumsum(self.held)[:-1]])

    def batches(
        self,
        devices: Ints,
        steps: Ints,
        batch: int | None,
        rng: np.random.Generator,
        targets: Tensor | None = None,
    ) -> Batches:
        """Batches of some devices for local training.

        Parameters
        ----------
        devices
            (n,) who trains.
        steps
            (n,) local steps of each; devices with fewer than the most rest in the last ones.
        batch
            Samples per step, drawn with replacement from the device's own; None: all of them.
        rng
            The same numbers are drawn whoever trains, so that two runs that select different
            devices still give a device the same batches in the same round.
        targets
            (n, classes, classes) answers wanted by label, see ``Batches``.
        """
        most = int(steps.max(initial=1))
        held, first = self.held[devices, None, None], self._first[devices, None, None]
        if batch is None:
            place = np.arange(int(held.max(initial=1)))
            rows = np.broadcast_to(np.minimum(place, held - 1), (len(devices), most, place.size))
            weight = (place < held) / held
        else:
            lot = rng.random((self.size, most, batch))[devices]
            rows = np.minimum((lot * held).astype(np.int64), held - 1)
            weight = np.full((1, 1, batch), 1.0 / batch)
        working = np.arange(most)[:, None] < steps[:, None, None]
        return Batches(
            torch.from_numpy(first + rows),
            torch.from_numpy((weight * working).astype(np.float32)).to(self.x.dtype),
            targets,
        )

    def everything(self, devices: Ints) -> Batches:
        """One step of some devices (n,) on all their samples."""
        once = np.ones(len(devices), dtype=np.int64)
        return self.batches(devices, once, None, np.random.default_rng(0))  # nothing is drawn

    def score(self, weights: Tensor) -> Score:
        """Accuracy on the test set and loss on the training probe of one model (P,).

        Where labels are rotated, the accuracy is the mean over the devices, each asked for its own
        labels.
        """
        answer = self.model.logits(weights, self.test_x).argmax(1)
        turns, devices = np.unique(self.shift, return_counts=True)
        right = [
            float((answer == (self.test_y + int(turn)) % self.classes).double().mean())
            for turn in turns
        ]
        loss = functional.cross_entropy(
            self.model.logits(weights, self.x[self.probe]).double(), self.y[self.probe]
        )
        return Score(float(np.average(right, weights=devices)), float(loss))

    @cached_property
    def mix(self) -> Floats:
        """(K, classes) part of each class of images among the samples of each device [-]."""
        owner = np.repeat(np.arange(self.size), self.held)
        image = (self.y.numpy() - self.shift[owner]) % self.classes
        counts = np.bincount(owner * self.classes + image, minlength=self.size * self.classes)
        return counts.reshape(self.size, self.classes) / self.held[:, None]

    def own_accuracy(self, models: Tensor) -> Floats:
        """(K,) accuracy of a model for each device, on test images as that device meets them.

        `models` is (K, P), or (P,) for one model on all. A device is asked for its own labels, of
        the classes that it holds, each class with the weight that it has among its own samples.
        """
        label = self.test_y.numpy()
        accuracy = np.empty(self.size)
        for k, model in enumerate(models.expand(self.size, -1)):
            asked = np.flatnonzero(self.mix[k, label] > 0.0)
            if not asked.size:
                raise InvalidInput(
                    "test_samples", len(label), f"some of a class that device {k} holds"
                )
            rows = torch.from_numpy(asked)
            answer = self.model.logits(model, self.test_x[rows]).argmax(1).numpy()
            right = answer == (label[asked] + self.shift[k]) % self.classes
            often = np.bincount(label[asked], minlength=self.classes)[label[asked]]
            accuracy[k] = np.average(right, weights=self.mix[k, label[asked]] / often)
        return accuracy

    def own_score(self, models: Tensor) -> Score:
        """Mean over the devices of the accuracy of their own models (K, P), and of their losses.

        The loss of a device is that on all its own training samples.
        """
        everything = self.everything(np.arange(self.size))
        _, losses = self.model.gradient(models, self.x, self.y, everything)
        return Score(float(self.own_accuracy(models).mean()), float(losses.double().mean()))
