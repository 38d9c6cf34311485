r"""Federated averaging whose devices also report how steep, bent and different their losses are.

    rho_k   = |F_k(w_k) - F_k(w)| / |w_k - w|             Lipschitz constant of the loss
    beta_k  = |grad F_k(w_k) - grad F_k(w)| / |w_k - w|   smoothness
    delta_k = |grad F_k(w) - grad F(w)|                   divergence, from the mean gradient

w is the model that was just averaged, w_k the device's own before. Losses are those on all that the
device holds. A report is due when the device has received w; it travels with the next update, so
that the server knows it a round later: ``needs`` of the policy ``AdaptiveSteps``.

Source: Wang, Tuor, Salonidis, Leung, Makaya, He, Chan, Adaptive federated learning in resource
constrained edge computing systems, IEEE JSAC 2019, arXiv 1804.05271, algorithms 2 and 3.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.policy import Outcome
from fl_opt.problems._estimates import Reports, report
from fl_opt.units import Floats
from fl_opt.validation.data import Ints
from fl_opt.validation.fedavg import FedAvg
from fl_opt.validation.global_model import FLOAT_BIT, State, numbers
from fl_opt.workload import Workload

if TYPE_CHECKING:
    from torch import Tensor

    from fl_opt.validation.federation import Federation

REPORT = 3
"""Numbers of a report beside the gradient: loss, rho, beta."""


@dataclass(frozen=True, eq=False)
class EstimatingState(State):
    """What the server keeps: reports `rho`, `beta`, `delta` (K,), NaN before a device's first.

    `due` are the reports of the last round, which the devices still have to send.
    """

    rho: Floats
    beta: Floats
    delta: Floats
    due: Reports


@dataclass(frozen=True)
class EstimatingFedAvg(FedAvg):
    """Federated averaging with the reports that ``AdaptiveSteps`` needs.

    Parameters
    ----------
    local_steps
        Steps of gradient descent on a device in a round; an allocation may override it.
    batch
        Samples per step, drawn with replacement from the device's own; None: all that it holds.
    rate
        Step size.
    bits
        Length of a sent number of the update, see ``FedAvg``.
    waterfall
        See ``FedAvg``.

    An upload is the update and the report: a gradient of as many float32 as the model has, and
    three numbers. It takes `passes` over all data besides the local steps.
    """

    signals: ClassVar[tuple[str, ...]] = (*FedAvg.signals, "rho", "beta", "delta")

    def passes(self) -> int:
        """Passes over all data for a report.

        One at the own model; that at the average is the first step to come, if steps use all data.
        """
        return 1 if self.batch is None else 2

    def workload(self, federation: Federation) -> Workload:
        plain = super().workload(federation)
        reporting = federation.cycles_per_sample * federation.samples * self.passes()
        return Workload(
            cycles=plain.cycles + reporting,
            upload_bit=plain.upload_bit + FLOAT_BIT * (federation.model.parameters + REPORT),
            samples=plain.samples,
        )

    def start(self, federation: Federation, rng: np.random.Generator) -> EstimatingState:
        fresh, unknown = super().start(federation, rng), np.full(federation.size, np.nan)
        nothing = Reports(unknown, unknown, unknown)
        return EstimatingState(**vars(fresh), **vars(nothing), due=nothing)

    def learn(
        self,
        federation: Federation,
        state: State,
        allocation: Allocation,
        outcome: Outcome,
        rng: np.random.Generator,
    ) -> State:
        here = np.flatnonzero(outcome.arrived)
        assert isinstance(state, EstimatingState)  # as `start` makes it
        if not here.size:
            return super().learn(federation, state, allocation, outcome, rng)
        after, updates = self.averaged(federation, state, here, allocation, rng)
        sent = {}
        for name, values in vars(state.due).items():
            known = getattr(state, name).copy()
            new = ~np.isnan(values[here])
            known[here[new]] = values[here[new]]
            sent[name] = known
        due = reports(federation, after.weights, state.weights + updates, here)
        return dataclasses.replace(after, **sent, due=due)


def reports(federation: Federation, weights: Tensor, own: Tensor, devices: Ints) -> Reports:
    """(K,) what `devices` (n,) with models `own` (n, P) find at the average `weights` (P,)."""
    told = federation.everything(devices)

    def at(models: Tensor) -> tuple[Floats, Floats]:
        gradient, loss = federation.model.gradient(models, federation.x, federation.y, told)
        return numbers(gradient), numbers(loss)

    gradient, loss = at(weights)
    local_gradient, local_loss = at(own)
    found = report(
        parameters=numbers(weights),
        local_parameters=numbers(own),
        loss=loss,
        local_loss=local_loss,
        gradient=gradient,
        local_gradient=local_gradient,
        samples=federation.samples[devices],
    )
    wide = np.full((3, federation.size), np.nan)
    wide[:, devices] = found.rho, found.beta, found.delta
    return Reports(*wide)
