r"""Multi-task learning: a model for each device, drawn to those of the devices that it resembles.

    minimise over W = (w_1 ... w_K) and Omega
        sum_k f_k(w_k) + l1 tr(W Omega W') + l2 ||W||^2
    subject to  Omega = Sigma^-1,  Sigma positive definite,  tr(Sigma) = 1

Alternately. For fixed Omega, with M = l1 Omega + l2 I, device k takes local steps on a model of the
whole that is apart from the other devices,

    f_k(w_k + d) + c_k'd + q_k ||d||^2/2,   c_k = 2 sum_j M_kj w_j,   q_k = 2 s M_kk

and s the largest eigenvalue of D^-1/2 M D^-1/2, D = diag(M): the sum over the devices then lies
above the objective for every d, and touches it at d = 0, so that what lowers it lowers the
objective, whoever takes part. A step is explicit in f_k and implicit in the rest,

    d <- (d - rate (grad f_k(w_k + d) + c_k)) / (1 + rate q_k)

For fixed W, Sigma = (W'W)^(1/2) / tr(...) is the minimiser; its eigenvalues are raised to a floor.

The alternation, the separable bound with its safe factor and the update of Omega are those of
MOCHA: Smith, Chiang, Sanjabi, Talwalkar, Federated multi-task learning, NeurIPS 2017, arXiv
1705.10467, which bounds the dual instead, for linear models. Omega = I - 11'/K is mean-regularised
multi-task learning: Evgeniou, Pontil, KDD 2004.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.checks import number, whole
from fl_opt.errors import InvalidInput
from fl_opt.policy import Outcome
from fl_opt.units import Floats
from fl_opt.validation.global_model import FLOAT_BIT, GlobalModel, State, numbers
from fl_opt.workload import Workload

if TYPE_CHECKING:
    from torch import Tensor

    from fl_opt.validation.data import Ints
    from fl_opt.validation.federation import Federation, Score

RELATIONS = ("learned", "mean", "none")
"""Omega learned as above; I - 11'/K; I, which relates nobody to anybody."""


@dataclass(frozen=True, eq=False)
class Related(State):
    """A model (K, P) for each device as `weights`, and how they are related.

    `omega` (K, K); `since` counts the rounds since it was learned last.
    """

    omega: Floats
    since: int


@dataclass(frozen=True)
class MultiTask(GlobalModel):
    """Multi-task learning with a relation between the devices' models, learned or given.

    Parameters
    ----------
    local_steps, batch, rate
        Steps of gradient descent on a device in a round, as of ``FedAvg``.
    relation
        "learned", "mean" for mean-regularised learning, or "none".
    omega
        Another fixed relation (K, K) instead, symmetric and positive semidefinite.
    coupling, decay
        Weights l1 of the relation and l2 of the norm [-].
    omega_every
        Rounds from one learning of Omega to the next; before the first it is K I.
    floor
        Least eigenvalue of Sigma, in parts of 1/K.

    The score is that of ``LocalTraining``. A device sends its update, 32 bit per parameter, and
    gets c_k of the same size and the number q_k. With Omega = I the devices are alone, with a
    ridge l1 + l2.
    """

    relation: str = "learned"
    omega: Sequence[Sequence[float]] | None = None
    coupling: float = 0.001
    decay: float = 0.0
    omega_every: int = 10
    floor: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.relation not in RELATIONS:
            raise InvalidInput(
                "MultiTask.relation", repr(self.relation), f"one of {', '.join(RELATIONS)}"
            )
        if self.omega is not None:
            given = _checked(np.asarray(self.omega, dtype=float))
            object.__setattr__(self, "omega", tuple(map(tuple, given.tolist())))
        number("MultiTask.coupling", self.coupling)
        number("MultiTask.decay", self.decay)
        whole("MultiTask.omega_every", self.omega_every, 1)
        number("MultiTask.floor", self.floor, high=1.0, open_low=True)

    def workload(self, federation: Federation) -> Workload:
        return Workload(
            cycles=self.cycles(federation),
            upload_bit=FLOAT_BIT * federation.model.parameters,
            samples=federation.samples,
        )

    def broadcast_bit(self, federation: Federation) -> float:
        return float(FLOAT_BIT * federation.size * (federation.model.parameters + 1))

    def start(self, federation: Federation, rng: np.random.Generator) -> Related:
        size = federation.size
        weights = federation.model.initial(rng).repeat(size, 1)
        return Related(**vars(State.fresh(weights, size)), omega=self._first_omega(size), since=0)

    def learn(
        self,
        federation: Federation,
        state: Related,
        allocation: Allocation,
        outcome: Outcome,
        rng: np.random.Generator,
    ) -> Related:
        here = np.flatnonzero(outcome.arrived)
        weights = state.weights.clone()
        norm = loss = np.empty(0)
        if here.size:
            updates, losses = self.related_updates(federation, state, here, allocation, rng)
            weights[here] += updates
            norm, loss = numbers(updates.norm(dim=1)), numbers(losses)
        after, since = state.noted(here, norm, loss).moved(weights), state.since + 1
        if self.relation == "learned" and self.omega is None and since == self.omega_every:
            return dataclasses.replace(after, omega=learned_omega(weights, self.floor), since=0)
        return dataclasses.replace(after, since=since)

    def related_updates(
        self,
        federation: Federation,
        state: Related,
        devices: Ints,
        allocation: Allocation,
        rng: np.random.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Updates (n, P) of some devices (n,) on their parts of the bound, and mean losses (n,)."""
        import torch

        quadratic = self.coupling * state.omega + self.decay * np.eye(federation.size)
        slope = torch.from_numpy(2.0 * quadratic[devices]).to(state.weights) @ state.weights
        steep = 2.0 * safe_factor(quadratic) * np.diag(quadratic)[devices]
        shrink = torch.from_numpy(1.0 / (1.0 + self.rate * steep)).to(state.weights).unsqueeze(1)
        steps = self.steps(federation.size, allocation)[devices]
        batches = federation.batches(devices, steps, self.batch, rng)
        start, moved = state.weights[devices], torch.zeros_like(slope)
        losses = moved.new_zeros(len(devices))
        for step in range(batches.steps):
            gradient, loss = federation.model.gradient(
                start + moved, federation.x, federation.y, batches.step(step)
            )
            ahead = (moved - self.rate * (gradient + slope)) * shrink
            moved = torch.where(batches.working(step), ahead, moved)
            losses += loss
        return moved, losses / torch.from_numpy(np.maximum(1, steps))

    def evaluate(self, federation: Federation, state: State) -> Score:
        return federation.own_score(state.weights)

    def _first_omega(self, size: int) -> Floats:
        if self.omega is not None:
            if len(self.omega) != size:
                raise InvalidInput("MultiTask.omega", f"of {len(self.omega)} devices", f"{size}")
            return np.asarray(self.omega)
        if self.relation == "mean":
            return np.eye(size) - 1.0 / size
        return np.eye(size) * (size if self.relation == "learned" else 1.0)


def safe_factor(quadratic: Floats) -> float:
    """The least s with M <= s diag(M) for a positive semidefinite M; 1 where M is diagonal."""
    scale = np.diag(quadratic)
    on = scale > 0.0
    if not on.any():
        return 1.0
    root = np.sqrt(scale[on])
    return float(np.linalg.eigvalsh(quadratic[np.ix_(on, on)] / np.outer(root, root))[-1])


def learned_omega(weights: Tensor, floor: float) -> Floats:
    """Inverse of (W'W)^(1/2)/tr of models (K, P), with eigenvalues of at least `floor`/K."""
    gram = numbers(weights.double() @ weights.double().T)
    square, vectors = np.linalg.eigh(gram)
    root = np.sqrt(np.maximum(square, 0.0))
    total = root.sum()
    share = root / total if total > 0.0 else np.full(root.size, 1.0 / root.size)
    omega: Floats = (vectors / np.maximum(share, floor / root.size)) @ vectors.T
    return omega


def _checked(omega: Floats) -> Floats:
    if omega.ndim != 2 or omega.shape[0] != omega.shape[1]:
        raise InvalidInput("MultiTask.omega", f"of shape {omega.shape}", "a square matrix")
    if not np.isfinite(omega).all() or not np.allclose(omega, omega.T):
        raise InvalidInput("MultiTask.omega", "not symmetric", "a symmetric matrix")
    least = float(np.linalg.eigvalsh(omega)[0])
    if least < -1e-9 * float(np.abs(omega).max()):
        raise InvalidInput("MultiTask.omega", f"with eigenvalue {least:g}", "none below 0")
    return omega
