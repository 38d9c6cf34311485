r"""Federated distillation: devices exchange what they answer on average, not what they are.

    loss of device k:  CE(F, y) + gamma CE(F, G_k[y])          every sample, y its label
    up                 F_k[y], mean softmax output of device k over its samples of label y
    down               G_k[y] = sum_{j != k} F_j[y] / #{j != k}   over the others that know label y

Each device keeps a model of its own, and models may be of any size: what is sent are as many
numbers as there are pairs of classes. The server sends sums and counts, and a device takes its own
answers off. Where nobody else knows a label, that label is learned as alone.

Source: Jeong, Oh, Kim, Park, Bennis, Kim, Communication-efficient on-device machine learning:
federated distillation and augmentation under non-IID private data, 2018, arXiv 1811.11479.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.checks import number
from fl_opt.units import Floats
from fl_opt.validation.clock import Measured
from fl_opt.validation.global_model import FLOAT_BIT, LocalDescent, numbers
from fl_opt.workload import Workload

if TYPE_CHECKING:
    from torch import Tensor

    from fl_opt.validation.federation import Federation, Score


@dataclass(frozen=True, eq=False)
class Answers:
    """What devices and server hold.

    Attributes
    ----------
    models
        (K, P) model of each device.
    tables
        (K, classes, classes) last answers of each device that reached the server, a distribution
        for each label; NaN where the server knows nothing.
    update_norm, loss
        (K,) norm of the last local update and its mean loss [nat]; NaN before the first.
    """

    models: Tensor
    tables: Floats
    update_norm: Floats
    loss: Floats


@dataclass(frozen=True)
class Distillation(LocalDescent):
    """Federated distillation: mean answers by label instead of parameters.

    Parameters
    ----------
    local_steps
        Steps of gradient descent on a device in a round; an allocation may override it.
    batch
        Samples per step, drawn with replacement; None: all that the device holds.
    rate
        Step size.
    gamma
        Weight of the others' answers; 0 is training alone.

    A device that trained keeps what it learned, whether its answers arrived or not; the server
    keeps the last answers that did. The score is the mean of the devices' own.
    """

    gamma: float = 1.0

    signals: ClassVar[tuple[str, ...]] = ("update_norm", "loss")

    def __post_init__(self) -> None:
        super().__post_init__()
        number("Distillation.gamma", self.gamma)

    def workload(self, federation: Federation) -> Workload:
        return Workload(
            cycles=self.cycles(federation),
            upload_bit=table_bit(federation.classes),
            samples=federation.samples,
        )

    def broadcast_bit(self, federation: Federation) -> float:
        return table_bit(federation.classes)

    def start(self, federation: Federation, rng: np.random.Generator) -> Answers:
        unknown = np.full(federation.size, np.nan)
        tables = np.full((federation.size, federation.classes, federation.classes), np.nan)
        models = federation.model.initial(rng).repeat(federation.size, 1)
        return Answers(models, tables, unknown, unknown)

    def observe(self, state: Answers) -> Mapping[str, Floats]:
        return {name: getattr(state, name) for name in self.signals}

    def learn(
        self,
        federation: Federation,
        state: Answers,
        allocation: Allocation,
        outcome: Measured,
        rng: np.random.Generator,
    ) -> Answers:
        import torch

        # who began to send has trained
        here = np.flatnonzero(outcome.airtime_s > 0.0)
        if not here.size:
            return state
        wanted = torch.from_numpy(self._wanted(state.tables)[here]).to(state.models.dtype)
        updates, losses = self.updates(
            federation, state.models[here], here, allocation, rng, wanted
        )
        models, tables = state.models.clone(), state.tables.copy()
        norm, loss = state.update_norm.copy(), state.loss.copy()
        norm[here], loss[here] = numbers(updates.norm(dim=1)), numbers(losses)
        models[here] += updates
        for k in np.flatnonzero(outcome.arrived):
            tables[k] = answers(federation, int(k), models[k])
        return Answers(models, tables, norm, loss)

    def evaluate(self, federation: Federation, state: Answers) -> Score:
        from fl_opt.validation.federation import Score

        scores = np.array([federation.score(model) for model in state.models])
        return Score(*map(float, scores.mean(axis=0)))

    def _wanted(self, tables: Floats) -> Floats:
        """(K, classes, classes) label, and gamma times what the others answer to it."""
        known = np.isfinite(tables)
        held = np.where(known, tables, 0.0)
        count = known.sum(axis=0) - known
        others = np.divide(held.sum(axis=0) - held, count, out=np.zeros_like(held), where=count > 0)
        wanted: Floats = np.eye(tables.shape[1]) + self.gamma * others
        return wanted


def table_bit(classes: int) -> float:
    """Size of mean answers, a distribution over the classes for each of them [bit]."""
    return float(FLOAT_BIT * classes**2)


def answers(federation: Federation, device: int, model: Tensor) -> Floats:
    """(classes, classes) mean softmax output of `model` over the samples of each label.

    A row of NaN where the device holds no sample of that label.
    """
    begin = int(federation.held[:device].sum())
    rows = slice(begin, begin + int(federation.held[device]))
    label = federation.y[rows].numpy()
    output = numbers(federation.model.logits(model, federation.x[rows]).softmax(1))
    total = np.zeros((federation.classes, federation.classes))
    np.add.at(total, label, output)
    held = np.bincount(label, minlength=federation.classes)[:, None]
    return np.divide(total, held, out=np.full_like(total, np.nan), where=held > 0)
