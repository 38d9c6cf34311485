"""What is learned: data, model, and who holds which part of the data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.validation.data import dataset, partition, shares
from fl_opt.validation.extra import load

if TYPE_CHECKING:
    from fl_opt.validation.federation import Federation


@dataclass(frozen=True)
class Task:
    """Data, model and partition of a federated training.

    Parameters
    ----------
    dataset
        "digits", "mnist" or "fashion-mnist"; see ``fl_opt.validation.data.dataset``.
    model
        "softmax", "mlp" (one hidden layer) or "cnn" (two convolutions).
    partition
        "iid", "dirichlet:ALPHA", "shards:C", "rotated:G" or "scarce:C"; see
        ``fl_opt.validation.data.partition``.
    devices
        Number of devices K; None: as many as the scenario has.
    width
        Hidden units of "mlp" (64 unless given), channels of the first convolution of "cnn" (8).
    samples
        Training samples dealt out in all; None: as many as the devices of the scenario hold, at
        most the whole training set.
    test_samples
        Test samples used; None: all.
    cycles_per_operation
        CPU cycles of one multiply-add on a device [cycle]. Training one sample takes three times
        the multiply-adds of a forward pass. The default 1 is an assumption: with MLP 784-64-10 it
        gives 24 cycles per bit of an 8-bit image, the order that the literature uses.

    >>> from fl_opt import Task
    >>> federation = Task("digits", "softmax", "shards:2", devices=10).load(seed=1)
    >>> federation.size, federation.model.parameters
    (10, 650)
    """

    dataset: str = "digits"
    model: str = "softmax"
    partition: str = "iid"
    devices: int | None = None
    width: int | None = None
    samples: int | None = None
    test_samples: int | None = None
    cycles_per_operation: float = 1.0

    def summary(self) -> dict[str, Any]:
        """Its fields as plain data, for reports."""
        return dataclasses.asdict(self)

    def load(
        self, seed: int | np.random.Generator = 0, holdings: ArrayLike | None = None
    ) -> Federation:
        """Read the data and deal them out.

        Parameters
        ----------
        seed
            Of the partition.
        holdings
            (K,) samples that each device holds. Where the training set, or `samples`, is less than
            their sum, all get less in proportion. None: equal shares.

        Raises ``InvalidInput`` for fields that make no task, or too many devices for the data.
        """
        load("torch")
        from fl_opt.validation.federation import Federation
        from fl_opt.validation.models import build

        if self.devices is None and holdings is None:
            raise InvalidInput("devices", None, "the number of devices, or their holdings")
        given = np.ones(self.devices or 0) if holdings is None else np.asarray(holdings)
        devices = self.devices or given.size
        if devices < 1 or devices != given.size:
            raise InvalidInput("devices", devices, f"{given.size}, as in the scenario")
        number("cycles_per_operation", self.cycles_per_operation, open_low=True)
        data = dataset(self.dataset)
        rng = np.random.default_rng(seed)
        wanted = vector("holdings", given, devices, open_low=True)
        stock = len(data.train_y)
        total = stock if holdings is None else min(stock, round(float(wanted.sum())))
        total = min(total, _at_most("samples", self.samples, stock))
        dealt = partition(data.train_y, shares(total, wanted), self.partition, data.classes, rng)
        return Federation.of(
            data=data,
            dealt=dealt,
            model=build(self.model, data.shape, data.classes, self.width),
            test_samples=_at_most("test_samples", self.test_samples, len(data.test_y)),
            cycles_per_operation=self.cycles_per_operation,
            rng=rng,
        )


def _at_most(where: str, value: int | None, most: int) -> int:
    if value is None:
        return most
    if not 1 <= value <= most:
        raise InvalidInput(where, value, f"1 to {most}, what the data set has")
    return value
