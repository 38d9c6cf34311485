r"""How exactly to train in a round: least energy by a total time, or least total time.

    minimise    m sum_k (kappa_k C_k f_k^2 + p_k t_k)                      "energy version"
    or          m max_k (C_k/f_k + t_k)                                    "delay version"
    subject to  m >= a/(1 - eta),   C_k = v log2(1/eta) c_k                "accuracy"
                m (C_k/f_k + t_k) <= T        (energy version)             "training"
                the limits of `MinEnergy` in each round                    "band", "payload", ...

    eta  local accuracy in (0, 1): what training leaves of the error of the local problem [-]
    m    rounds [-]           a  rounds if local problems were solved exactly [-]
    T    total time [s]       v  local iterations that halve the error of the local problem [-]
    c_k  cycles of one local iteration [cycle];   the other symbols as in `MinEnergy`

Exact training (eta near 0) takes few rounds of much work, rough training many of little.

Convex in m: in the totals over all rounds, U_k = m u_k of training, X_k = m t_k of upload and
W_k = m b_k of the band, the training takes kappa c^3 g^3/U^2 with the work g(m) = m v log2(1/eta).
g = -v m log2(1 - a/m) is a perspective of a convex function, and kappa c^3 g^3/U^2 is jointly
convex and increasing in g; a slowest clock adds kappa c g f_min^2 to choose the greater of. Upload
and power are perspectives of jointly convex functions of (t, b) (see `device`). So for each m what
is left is `MinEnergy` or `MinRoundTime`, and its optimum is a convex function of m alone, whose
supporting lines come from tangent planes. The optimum over everything at once is global.

The model is that of Yang, Chen, Saad, Hong, Shikh-Bahaei, IEEE TWC 2021, arXiv 1911.02417 (energy)
and arXiv 2007.03462 (delay), where a and v come from the convergence of the method; the joint
convexity with m is derived here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from fl_opt.allocation import Allocation
from fl_opt.certificate import Excess, Solution
from fl_opt.checks import number
from fl_opt.errors import Infeasible, InvalidInput
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.physics import LN2
from fl_opt.problems._accuracy import alone_line, share_of
from fl_opt.problems._accuracy_reference import accuracy_model
from fl_opt.problems._accuracy_round import LeastEnergy, ShortestRound
from fl_opt.problems._horizon import require_possible
from fl_opt.problems._limits import device_excess, fdma_use, require_limited
from fl_opt.problems.accuracy_plan import Accuracy, AccuracyPlan
from fl_opt.problems.min_energy import MinEnergy
from fl_opt.problems.min_round_time import MinRoundTime
from fl_opt.problems.uplink import Uplink, total
from fl_opt.structure import Line, Model
from fl_opt.units import Floats, quantity

_SAFE = 1e-9


@dataclass(frozen=True, eq=False)
class _Training:
    """What both versions share: the rounds at an accuracy, and what limits the accuracy."""

    network: Network
    exact_rounds: float
    halving_steps: float

    def __post_init__(self) -> None:
        if not isinstance(self.network, Network):
            raise InvalidInput("network", type(self.network).__name__, "a fl_opt.Network")
        number("exact_rounds", self.exact_rounds, open_low=True)
        number("halving_steps", self.halving_steps, open_low=True)
        require_limited(self.network)

    def loaded(self, halvings: float) -> Network:
        """The round of an accuracy."""
        return self.network.replace(cycles=self._cycles(halvings))

    def _cycles(self, halvings: float) -> Floats:
        return self.halving_steps * halvings * self.network.cycles

    def accuracy(self, x: float) -> Accuracy:
        """The accuracy at x rounds beyond the least."""
        return Accuracy(self.exact_rounds, x)

    def plan(self, x: float, allocation: Allocation) -> AccuracyPlan:
        """The decision at x, from its round."""
        at = self.accuracy(x)
        cycles = self._cycles(at.halvings)
        return AccuracyPlan(at.halvings, at.rounds, allocation.replace(cycles=cycles))

    def round_excess(self, decision: AccuracyPlan) -> dict[str, Excess]:
        """The limits of each round and of the number of rounds."""
        allocation = decision.allocation
        needed = Accuracy.rounds_at(self.exact_rounds, decision.halvings)
        missing = np.where(allocation.selected, 0.0, 1.0)
        return {
            **device_excess(self.loaded(decision.halvings), allocation, math.inf),
            "accuracy": Excess(-decision.rounds, -needed, ""),
            "selected": Excess(missing, 0.0, "", 1.0),
        }

    def total_s(self, decision: AccuracyPlan) -> float:
        """Time of all rounds [s]."""
        used = fdma_use(self.loaded(decision.halvings), decision.allocation)
        return decision.rounds * float(used.finish_s.max())

    @cached_property
    def _upload_floor(self) -> tuple[float, float]:
        """Proven lower bounds of a round's energy [J] and duration [s] by the uploads alone."""
        part = Uplink(self.network, 1.0).part
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            floor = part.noise * part.nats
            by_power = self.network.band_hz * np.log1p(
                part.power / (part.noise * self.network.band_hz)
            )
            # with E joule, ln(expm1(v)/v) = ln(E/floor), so v is at most 2 ln(E/floor) + 1
            by_energy = self.network.band_hz * (2.0 * np.log(part.energy / floor) + 1.0)
            seconds = part.nats / np.fmin(by_power, by_energy)
        return total(floor) * (1.0 - _SAFE), float(seconds.max()) * (1.0 - _SAFE)

    @cached_property
    def _least_spare(self) -> float:
        """Proven: with no more rounds than this beyond the least, someone's energy is too small."""
        network = self.network
        with np.errstate(divide="ignore", invalid="ignore"):
            floor = np.where(
                network.upload_bit > 0.0,
                network.noise_w_hz * network.upload_bit * LN2 / network.gain,
                0.0,
            )
            heat = network.capacitance * network.cycles * network.cpu_min_hz**2
            most = (network.energy_j - floor) / (self.halving_steps * heat)
        halvings = float(np.min(np.where(heat > 0.0, most, np.inf)))
        halvings = halvings * (1.0 + _SAFE)
        return Accuracy.spare_at(self.exact_rounds, halvings) * (1.0 - _SAFE)

    # structure: Nested, in the rounds beyond the least

    def span(self) -> tuple[float, float]:
        """Rounds beyond the least below which nothing is feasible, proven, and more to try first.

        Raises ``Infeasible`` for devices that no round is long enough for, however little work,
        and where the cost has no least value.
        """
        for name, free in (("cycles", "more exact training"), ("upload_bit", "a further round")):
            if not getattr(self.network, name).any():
                raise Infeasible(
                    f"network.{name} is 0 for all devices: {free} costs nothing, so that no "
                    "accuracy is best",
                    constraint="accuracy",
                    devices=np.arange(self.network.size),
                )
        require_possible(self.network.replace(cycles=0.0))
        low = self._least_spare
        return low, max(2.0 * low, self.exact_rounds)

    def refuted(self, x: float) -> bool:
        """Whether training at x takes more energy than someone has, however long the round."""
        return x <= self._least_spare

    def _rounds_within(self, total: float, each: float) -> float:
        """Rounds beyond the least that a total pays if each takes at least so much."""
        most = total / each * (1.0 + _SAFE) if each > 0.0 else math.inf
        return max(most - self.exact_rounds, self.exact_rounds * _SAFE)


@dataclass(frozen=True, eq=False)
class LocalAccuracyTime(_Training):
    """Choose local accuracy and rounds for the least total time of training.

    Parameters
    ----------
    network
        Each of the rounds; `cycles` are those of one local iteration, `energy_j` of one round.
    exact_rounds
        a: rounds that training takes if local problems are solved exactly, > 0 [-].
    halving_steps
        v: local iterations that halve the error of the local problem, > 0 [-].

    The cost is the total time [s], the decision an ``AccuracyPlan``. ``solve`` raises
    ``Infeasible`` for devices that can never take part, and where nobody trains or nobody
    uploads: no accuracy is best then.
    """

    unit = "s"

    def cost(self, decision: AccuracyPlan) -> float:
        """Total time [s]."""
        return self.total_s(decision)

    def excess(self, decision: AccuracyPlan) -> dict[str, Excess]:
        """The constraints by name."""
        return self.round_excess(decision)

    def inner(self, x: float) -> ShortestRound:
        """Shortest round at x rounds beyond the least."""
        return ShortestRound(
            MinRoundTime(self.loaded(self.accuracy(x).halvings)), partial(self.plan, x)
        )

    def reach(self, cost: float) -> float:
        """The rounds beyond the least that uploads alone leave time for."""
        return self._rounds_within(cost, self._upload_floor[1])

    def line(self, x: float, solution: Solution[AccuracyPlan], reach: float) -> Line:
        """Supporting line of the least total time [s], from tangent planes of the band's use.

        It holds wherever the total time is at most that of `solution`.
        """
        at, allocation = self.accuracy(x), solution.allocation.allocation
        length = allocation.deadline_s
        network = self.loaded(at.halvings)
        uplink = Uplink(network, length)
        share = share_of(uplink, 1.0, uplink.floor, 0.0, at.latest_s(length))
        band = share.line(at, length, reach)
        # the plane of what the band falls short of, solved for the total time
        value = at.rounds * length + band.value / share.time
        doubt = EPS * 64.0 * (at.rounds + max(x, reach - x)) * length
        by_band = Line(x, value - doubt, band.slope / share.time)
        by_band = at.extended(by_band, at.rounds * length)
        idle = alone_line(network, ~uplink.sending, at, reach)
        return by_band if idle is None or by_band.value >= idle.value else idle

    def prices(
        self, x: float, solution: Solution[AccuracyPlan]
    ) -> Mapping[str, float | Floats | None]:
        """Shadow prices of the limits of every round: band [s/Hz], energy [s/J], power [s/W]."""
        return _scaled(solution.prices, solution.allocation.rounds)

    # structure: Convex

    def model(self) -> Model[AccuracyPlan]:
        """Accuracy and rounds as one conic program; see `_accuracy_reference`."""
        return accuracy_model(self, None)


@dataclass(frozen=True, eq=False)
class LocalAccuracy(_Training):
    """Choose local accuracy and rounds for the least energy of a training of limited total time.

    Parameters
    ----------
    network
        Each of the rounds; `cycles` are those of one local iteration, `energy_j` of one round.
    exact_rounds
        a: rounds that training takes if local problems are solved exactly, > 0 [-].
    halving_steps
        v: local iterations that halve the error of the local problem, > 0 [-].
    training_s
        T: time of all rounds together, > 0 [s].

    The cost is the energy of all rounds [J], the decision an ``AccuracyPlan``. ``solve`` raises
    ``Infeasible`` where no accuracy is in time, and where nobody trains or nobody uploads: no
    accuracy is best then.
    """

    training_s: float

    unit = "J"

    def __post_init__(self) -> None:
        super().__post_init__()
        number("training_s", self.training_s, open_low=True)

    def cost(self, decision: AccuracyPlan) -> float:
        """Energy of all rounds [J]."""
        used = fdma_use(self.loaded(decision.halvings), decision.allocation)
        return decision.rounds * total(used.energy_j)

    def excess(self, decision: AccuracyPlan) -> dict[str, Excess]:
        """The constraints by name."""
        late = Excess(self.total_s(decision), self.training_s, "s")
        return self.round_excess(decision) | {"training": late}

    def inner(self, x: float) -> LeastEnergy:
        """Least energy of a round at x rounds beyond the least."""
        at = self.accuracy(x)
        round_ = MinEnergy(self.loaded(at.halvings), self.training_s / at.rounds)
        return LeastEnergy(round_, partial(self.plan, x))

    def reach(self, cost: float) -> float:
        """The rounds beyond the least that uploads alone leave time and energy for."""
        joule, seconds = self._upload_floor
        return min(self._rounds_within(cost, joule), self._rounds_within(self.training_s, seconds))

    def line(self, x: float, solution: Solution[AccuracyPlan], reach: float) -> Line:
        """Supporting line of the least energy [J], from tangent planes."""
        at, uplink = self.accuracy(x), self.inner(x).round.uplink
        length = self.training_s / at.rounds
        asked = float(solution.prices["band"])  # type: ignore[arg-type]
        point, price = uplink.best_reply(asked)
        if math.isinf(asked):
            # all have their least, perhaps in a little more band than there is
            share = share_of(uplink, price, point, 1.0, self.training_s / self.exact_rounds)
            return share.line(at, length, reach)
        share = share_of(uplink, price, point, 1.0, at.latest_s(length))
        cost = self.cost(solution.allocation) + 32.0 * EPS * at.rounds * share.size
        return at.extended(share.line(at, length, reach), cost)

    def prices(
        self, x: float, solution: Solution[AccuracyPlan]
    ) -> Mapping[str, float | Floats | None]:
        """Shadow prices: "training" [J/s], and of the limits of every round."""
        prices = _scaled(solution.prices, solution.allocation.rounds)
        worth = float(np.sum(np.asarray(solution.prices["deadline"])))
        return {"training": worth} | {k: v for k, v in prices.items() if k != "deadline"}

    # structure: Premised, by the total time

    @property
    def limit(self) -> float:
        """The total time [s]."""
        return self.training_s

    @property
    def premise(self) -> LocalAccuracyTime:
        """Least total time."""
        return LocalAccuracyTime(self.network, self.exact_rounds, self.halving_steps)

    def refusal(self, least: Solution[AccuracyPlan]) -> Infeasible:
        """Why no accuracy is in time; `least` is the shortest training."""
        plan = least.allocation
        shortest = self.premise.cost(plan)
        return Infeasible(
            f"training takes at least {quantity(shortest, 's')}, in {plan.rounds:.4g} rounds of "
            f"local accuracy {plan.local_accuracy:.3g}; training_s is "
            f"{quantity(self.training_s, 's')}",
            constraint="training",
            devices=np.arange(self.network.size),
            relaxations={"training_s": shortest * (1.0 + _SAFE)},
        )

    # structure: Convex

    def model(self) -> Model[AccuracyPlan]:
        """Accuracy and rounds as one conic program; see `_accuracy_reference`."""
        return accuracy_model(self, self.training_s)


def _scaled(
    prices: Mapping[str, float | Floats | None], rounds: float
) -> dict[str, float | Floats | None]:
    """Prices of the limits of all rounds at once from those of one."""
    return {name: None if price is None else rounds * price for name, price in prices.items()}
