r"""Federated averaging whose sum is formed by the radio channel itself, in analog symbols.

    x_k = U_k/nu,  U_k = n n_k (w_k - w)/sum_j n_j     a symbol per parameter, of at most unit power
    y   = sum_k a_k x_k + z,     z ~ N(0, sigma^2)     what the base station hears
    w  <- w + nu u y/n                                 u = 1/sqrt(eta), the factor of the receiver

a_k^2 = g_k p_k is the power at which device k is heard, n the number of devices that send, nu the
largest root mean square of the U_k, agreed beforehand, so that nobody exceeds its power. The error
of the mean is

    |sum_k (u a_k - 1) U_k/n|^2 + P (nu u sigma/n)^2

for P parameters: misalignment of these very updates, and noise.

Source: Zhu, Wang, Huang, Broadband analog aggregation for low-latency federated edge learning,
IEEE TWC 2020, arXiv 1812.11494; Cao, Zhu, Xu, Huang, IEEE TWC 2020, arXiv 1906.06858 for powers
and receiver. The common scale is ours: it takes one number per device on the control channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np

from fl_opt import physics
from fl_opt.allocation import Allocation
from fl_opt.errors import InvalidInput
from fl_opt.units import Floats
from fl_opt.validation.clock import Measured
from fl_opt.validation.data import Ints
from fl_opt.validation.global_model import GlobalModel, State, numbers
from fl_opt.workload import Workload

if TYPE_CHECKING:
    from torch import Tensor

    from fl_opt.validation.federation import Federation

Receiver = Literal["least-error", "unbiased"]


class Heard(NamedTuple):
    """A sum over the air.

    `mean` (P,) is what the receiver makes of it, `ideal` (P,) what it should have been, `error`
    the expected squared distance of the two over the noise.
    """

    mean: Tensor
    ideal: Tensor
    error: float


def superpose(
    updates: Tensor,
    amplitude: Floats,
    noise_w: float,
    rng: np.random.Generator,
    receiver: Receiver = "least-error",
) -> Heard:
    """Add updates in the air.

    Parameters
    ----------
    updates
        (n, P) what each device wants to add to the mean, its weight included.
    amplitude
        (n,) amplitude a at which a symbol of unit power is heard [sqrt(W)]; not all zero.
    noise_w
        Power of the noise in a symbol [W].
    rng
        Draws the noise, P numbers.
    receiver
        "least-error": u = sum a/(sigma^2 + sum a^2), best for symbols of unit variance that know
        nothing of each other; "unbiased": u = n/sum a, right on average over equal updates.
    """
    import torch

    devices, parameters = updates.shape
    scale = float(updates.norm(dim=1).max()) / parameters**0.5
    first, second = float(np.sum(amplitude)), float(np.sum(amplitude * amplitude))
    u = first / (noise_w + second) if receiver == "least-error" else devices / first
    noise = scale * u * noise_w**0.5 / devices
    weight = torch.from_numpy(u * amplitude / devices).to(updates.dtype)
    lot = torch.from_numpy(rng.standard_normal(parameters)).to(updates.dtype)
    clean, ideal = weight @ updates, updates.mean(dim=0)
    error = float((clean - ideal).double().square().sum()) + parameters * noise * noise
    return Heard(clean + noise * lot, ideal, error)


@dataclass(frozen=True)
class Analog(GlobalModel):
    """Base of the methods whose updates are added by the channel, a symbol per parameter."""

    def workload(self, federation: Federation) -> Workload:
        return Workload(
            cycles=self.cycles(federation),
            # a superposed upload of this nominal size is one symbol per parameter
            upload_bit=physics.PARAMETER_BIT * federation.model.parameters,
            samples=federation.samples,
        )

    def heard(self, allocation: Allocation, outcome: Measured) -> tuple[Ints, Floats, float]:
        """Devices (n,) in the sum, their amplitudes (n,) [sqrt(W)], and noise in a symbol [W].

        Raises ``InvalidInput`` for an allocation whose devices do not send at once.
        """
        if allocation.access != "superposed" and allocation.selected.any():
            raise InvalidInput(
                "allocation.access",
                repr(allocation.access),
                "superposed",
                "over the air all devices send at once: use the policy Superposed, or "
                "Optimised(OverTheAirPower.from_network), with yours as among=",
            )
        here = np.flatnonzero(outcome.arrived & (outcome.received_w > 0.0))
        noise_w = float(outcome.noise_w[here].max(initial=0.0))
        return here, np.sqrt(outcome.received_w[here]), noise_w


@dataclass(frozen=True)
class OverTheAir(Analog):
    """Federated averaging over the air: the channel adds, one symbol per parameter for all.

    Parameters
    ----------
    local_steps
        Steps of gradient descent on a device in a round; an allocation may override it.
    batch
        Samples per step, drawn with replacement; None: all that the device holds.
    rate
        Step size.
    receiver
        "least-error" or "unbiased", see ``fl_opt.validation.over_the_air.superpose``.

    Takes allocations with superposed access, such as those of
    ``Optimised(OverTheAirPower.from_network)`` or ``Superposed``; any other policy chooses the
    devices as their `among`. Who does not arrive, by a deadline or an empty battery, is not in the
    sum. Raises ``InvalidInput`` for allocations with other access.
    """

    receiver: Receiver = "least-error"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.receiver not in get_args(Receiver):
            known = ", ".join(get_args(Receiver))
            raise InvalidInput("OverTheAir.receiver", repr(self.receiver), f"one of {known}")

    def learn(
        self,
        federation: Federation,
        state: State,
        allocation: Allocation,
        outcome: Measured,
        rng: np.random.Generator,
    ) -> State:
        here, amplitude, noise_w = self.heard(allocation, outcome)
        if not here.size:
            return state.noted(here, np.empty(0), np.empty(0))
        # a stream of its own: the batches are those of the other methods
        (noise,) = rng.spawn(1)
        updates, loss = self.updates(federation, state.weights, here, allocation, rng)
        heard = superpose(
            _weighted(federation, here, updates),
            amplitude,
            noise_w,
            noise,
            self.receiver,
        )
        noted = state.noted(here, numbers(updates.norm(dim=1)), numbers(loss))
        return noted.moved(state.weights + heard.mean)


def _weighted(
    federation: Federation, devices: np.ndarray[tuple[int], np.dtype[np.intp]], updates: Tensor
) -> Tensor:
    """Updates (n, P) times the weight of their device, on average 1."""
    import torch

    held = federation.samples[devices]
    return updates * torch.from_numpy(held / held.mean()).to(updates.dtype).unsqueeze(1)
