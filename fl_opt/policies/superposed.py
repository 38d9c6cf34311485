"""Classical powers for updates that add up over the air."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.checks import number
from fl_opt.errors import InvalidInput
from fl_opt.policy import Policy, Round
from fl_opt.problems.over_the_air_power import OverTheAirPower
from fl_opt.problems.superposition import Superposition

Power = Literal["inversion", "full"]


@dataclass(frozen=True)
class Superposed:
    """All send at once over the whole band, inverting their channels or at full power.

    Parameters
    ----------
    power
        "inversion": all are heard equally loud, as loud as the weakest of them can be; "full":
        as loud as they can, within the energy of the round.
    gain_min
        Under inversion, devices of a smaller channel gain are silent [-]: truncated inversion,
        after Zhu, Wang, Huang, IEEE TWC 2020, arXiv 1812.11494.
    among
        A policy that chooses who takes part; None: everybody.

    The best powers are those of ``Optimised(OverTheAirPower.from_network)``.
    """

    power: Power = "inversion"
    gain_min: float = 0.0
    among: Policy | None = None

    def __post_init__(self) -> None:
        if self.power not in get_args(Power):
            known = ", ".join(get_args(Power))
            raise InvalidInput("Superposed.power", repr(self.power), f"one of {known}")
        number("Superposed.gain_min", self.gain_min)

    @property
    def needs(self) -> tuple[str, ...]:
        """Signals that the choosing policy reads."""
        return tuple(getattr(self.among, "needs", ()))

    def start(self, size: int, rng: np.random.Generator) -> Any:
        """Memory of the choosing policy."""
        return None if self.among is None else self.among.start(size, rng)

    def decide(self, round: Round, memory: Any) -> tuple[Allocation, Any]:
        """Choose, then set the powers."""
        network = round.network
        chosen = np.arange(network.size)
        if self.among is not None:
            choice, memory = self.among.decide(round, memory)
            chosen = np.flatnonzero(choice.selected)
        if not chosen.size:
            return Allocation.none(network.size), memory
        problem = OverTheAirPower.from_network(network[chosen])
        found = (
            problem.full_power()
            if self.power == "full"
            else problem.truncated_inversion(self.gain_min)
        )
        power = np.zeros(network.size)
        power[chosen] = found.power_w
        return Superposition(power, found.eta_w, found.mse).to_round(network), memory
