r"""Federated averaging over the air whose noise is also what hides each device's data.

    U_k = (w_k - w) min(1, L/|w_k - w|)                clipped to norm L
    y   = sum_k a_k sqrt(P) U_k/L + z                  z ~ N(0, sigma^2) in each of P symbols
    w  <- w + L/(sqrt(P) n a) y                        a = mean of the a_k, n devices

A symbol of a clipped update has power 1, and is heard with power a_k^2. With all alike the error of
the mean is (L sigma/(n a))^2 in all: the louder, the more exact and the less private. One device's
data move the sum by 2 a_k sqrt(P) at most, which Gaussian noise hides to
rho_k = (2 a_k sqrt(P))^2/(2 sigma^2) in zCDP; rounds add up. With ``access="orthogonal"`` the
receiver hears each device apart: the same privacy for each, but n noises in the mean, not one.

Source: Seif, Tandon, Li, IEEE ISIT 2020, arXiv 2002.05151; Liu, Simeone, IEEE JSAC 2021, arXiv
2006.05459. Clipping and the account are those of ``fl_opt.PrivatePower``.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, get_args

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.checks import number
from fl_opt.errors import InvalidInput
from fl_opt.problems.privacy import Access
from fl_opt.units import Floats
from fl_opt.validation.clock import Measured
from fl_opt.validation.global_model import GlobalModel, State, numbers
from fl_opt.validation.over_the_air import Analog

if TYPE_CHECKING:
    from fl_opt.validation.federation import Federation


@dataclass(frozen=True, eq=False)
class Watched(State):
    """What the server keeps, and what it may have learned.

    Attributes
    ----------
    rho
        (K,) what each device's updates have leaked in all rounds so far, zCDP [-].
    """

    rho: Floats


@dataclass(frozen=True)
class PrivateAverage(Analog):
    """Averaging of clipped updates over the air; the noise of the channel hides who sent what.

    Parameters
    ----------
    local_steps
        Steps of gradient descent on a device in a round; an allocation may override it.
    batch
        Samples per step, drawn with replacement; None: all that the device holds.
    rate
        Step size.
    clip
        Norm L to which each device clips its update [-].
    access
        "superposed": all are heard as one sum; "orthogonal": each apart, with noise of its own.

    Takes allocations with superposed access, best those of
    ``Optimised(partial(PrivatePower.from_network, epsilon=..., delta=..., rounds=..., clip=...))``.
    Devices count alike, whatever they hold: a weight would be a hint. The signal "rho" is what has
    leaked; ``fl_opt.problems.privacy.epsilon_of`` turns it into epsilon.
    """

    clip: float = 1.0
    access: Access = "superposed"

    signals: ClassVar[tuple[str, ...]] = (*GlobalModel.signals, "rho")

    def __post_init__(self) -> None:
        super().__post_init__()
        number("PrivateAverage.clip", self.clip, open_low=True)
        if self.access not in get_args(Access):
            known = ", ".join(get_args(Access))
            raise InvalidInput("PrivateAverage.access", repr(self.access), f"one of {known}")

    def start(self, federation: Federation, rng: np.random.Generator) -> Watched:
        fresh = super().start(federation, rng)
        return Watched(**vars(fresh), rho=np.zeros(federation.size))

    def learn(
        self,
        federation: Federation,
        state: Watched,
        allocation: Allocation,
        outcome: Measured,
        rng: np.random.Generator,
    ) -> Watched:
        import torch

        here, amplitude, noise_w = self.heard(allocation, outcome)
        if not here.size:
            return state.noted(here, np.empty(0), np.empty(0))
        # a stream of its own: the batches are those of the other methods
        (luck,) = rng.spawn(1)
        updates, loss = self.updates(federation, state.weights, here, allocation, rng)
        norm, parameters = updates.norm(dim=1), updates.shape[1]
        clipped = updates * (self.clip / norm).clamp(max=1.0).unsqueeze(1)
        loud = torch.from_numpy(amplitude / amplitude.mean()).to(updates.dtype)
        sources = here.size if self.access == "orthogonal" else 1
        scale = self.clip / (parameters**0.5 * here.size * amplitude.mean())
        hiss = scale * (noise_w * sources) ** 0.5 * luck.standard_normal(parameters)
        mean = loud @ clipped / here.size + torch.from_numpy(hiss).to(updates.dtype)
        rho = state.rho.copy()
        with np.errstate(divide="ignore"):
            rho[here] += 2.0 * parameters * outcome.received_w[here] / noise_w
        noted = state.noted(here, numbers(norm), numbers(loss))
        return dataclasses.replace(noted.moved(state.weights + mean), rho=rho)
