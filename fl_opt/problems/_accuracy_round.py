"""Rounds of a fixed local accuracy, their decisions the plan of the whole training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fl_opt.allocation import Allocation
from fl_opt.certificate import Excess
from fl_opt.problems.accuracy_plan import AccuracyPlan
from fl_opt.problems.min_energy import MinEnergy
from fl_opt.problems.min_round_time import MinRoundTime
from fl_opt.problems.uplink import Response
from fl_opt.structure import Attempt
from fl_opt.units import Floats


@dataclass(frozen=True, eq=False)
class ShortestRound:
    """`MinRoundTime` at a fixed accuracy, its decision the plan of the whole training."""

    round: MinRoundTime
    plan: Callable[[Allocation], AccuracyPlan]

    unit = "s"

    def cost(self, decision: AccuracyPlan) -> float:
        """End of a round [s]."""
        return self.round.cost(decision.allocation)

    def excess(self, decision: AccuracyPlan) -> dict[str, Excess]:
        """Limits of a round."""
        return self.round.excess(decision.allocation)

    def bracket(self) -> tuple[float, float]:
        """A proven lower bound, and a longer round."""
        return self.round.bracket()

    def attain(self, cost: float) -> Attempt[AccuracyPlan]:
        """Whether a round of `cost` seconds is possible."""
        found = self.round.attain(cost)
        decision = None if found.decision is None else self.plan(found.decision)
        return Attempt(decision, found.shortage, found.refuted)

    def prices(self, cost: float) -> Mapping[str, float | Floats | None]:
        """Shadow prices of a round."""
        return self.round.prices(cost)


@dataclass(frozen=True, eq=False)
class LeastEnergy:
    """`MinEnergy` at a fixed accuracy, its decision the plan of the whole training."""

    round: MinEnergy
    plan: Callable[[Allocation], AccuracyPlan]

    unit = "J"
    shared = "band"

    @property
    def supply(self) -> float:
        """The band [Hz]."""
        return self.round.supply

    def cost(self, decision: AccuracyPlan) -> float:
        """Energy of a round [J]."""
        return self.round.cost(decision.allocation)

    def excess(self, decision: AccuracyPlan) -> dict[str, Excess]:
        """Limits of a round."""
        return self.round.excess(decision.allocation)

    def price_guess(self) -> float:
        """See `MinEnergy`."""
        return self.round.price_guess()

    def respond(self, price: float, start: Response | None = None) -> Response:
        """See `MinEnergy`."""
        return self.round.respond(price, start)

    def settle(self, response: Response) -> AccuracyPlan:
        """See `MinEnergy`."""
        return self.plan(self.round.settle(response))

    def dual(
        self, price: float, response: Response
    ) -> tuple[float, Mapping[str, float | Floats | None]]:
        """See `MinEnergy`."""
        return self.round.dual(price, response)
