"""How many local steps a round, decided anew in every round from what devices report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fl_opt.allocation import Allocation, use
from fl_opt.checks import number, whole
from fl_opt.network import Network
from fl_opt.policy import Outcome, Round
from fl_opt.problems._estimates import Reports
from fl_opt.problems.local_steps import LocalSteps, StepCount
from fl_opt.solving import solve


@dataclass(frozen=True)
class Spending:
    """Memory of `AdaptiveSteps`.

    `steps` of the round under way, 0 where nobody takes part, and `last_steps` of the one before;
    `spent_s`, and what a round takes besides training and upload, `besides_s` [s].
    """

    steps: int = 0
    last_steps: int = 1
    spent_s: float = 0.0
    besides_s: float = 0.0

    def after(self, last: Outcome | None) -> Spending:
        """Once the outcome of the last round is known."""
        if last is None or self.steps == 0:
            return self
        besides_s = max(last.seconds - float(last.finish_s.max()), 0.0)
        return Spending(0, self.steps, self.spent_s + last.seconds, besides_s)


@dataclass(frozen=True)
class AdaptiveSteps:
    r"""All devices, with as many local steps as the bound on the loss left at the end asks for.

    After every aggregation the devices report how steep, bent and different their losses are. The
    server averages the reports by samples, solves ``LocalSteps`` with them and with the whole
    budget of time, and sets the steps of the next round. It begins with one, and looks at most
    `growth` times as far as the last number. Where the rest of the budget does not pay so many,
    it takes as many as are paid; where it pays none, nobody takes part any more.

    Parameters
    ----------
    budget_s
        Time for the whole training [s].
    rate
        Step size of the method.
    nominal_steps
        The method's `local_steps`: what `network.cycles` is for, beside `extra_steps`.
    extra_steps
        Work of a round beside the local steps, in steps: 1 for reports where steps use all data.
    phi
        Control parameter of the bound; 0.025 in the source.
    growth
        The source's gamma, >= 1.
    steps_max
        Most steps of a round.

    Needs ``EstimatingFedAvg``. Devices share the band equally, at full power and clock. The length
    of a round is foreseen from the present network and from what the last one took besides, such
    as the broadcast: where these change, the budget may be missed by the difference.

    Source: Wang, Tuor, Salonidis, Leung, Makaya, He, Chan, IEEE JSAC 2019, arXiv 1804.05271,
    algorithm 2. It keeps time for a last evaluation, which is not counted here.
    """

    budget_s: float
    rate: float
    nominal_steps: int = 10
    extra_steps: float = 1.0
    phi: float = 0.025
    growth: float = 10.0
    steps_max: int = 100

    needs: ClassVar[tuple[str, ...]] = ("rho", "beta", "delta")

    def __post_init__(self) -> None:
        where = type(self).__name__
        number(f"{where}.budget_s", self.budget_s)
        number(f"{where}.rate", self.rate, open_low=True)
        number(f"{where}.extra_steps", self.extra_steps)
        number(f"{where}.phi", self.phi, open_low=True)
        number(f"{where}.growth", self.growth, low=1.0)
        whole(f"{where}.nominal_steps", self.nominal_steps, 1)
        whole(f"{where}.steps_max", self.steps_max, 1)

    def start(self, size: int, rng: np.random.Generator) -> Spending:
        """Nothing is spent."""
        return Spending()

    def decide(self, round: Round, memory: Spending) -> tuple[Allocation, Spending]:
        """The steps of the coming round, while the budget lasts."""
        memory = memory.after(round.last)
        network = round.network
        left_s = self.budget_s - memory.spent_s - memory.besides_s
        low, high = 0, self._wanted(round, memory)
        while low < high:
            middle = (low + high + 1) // 2
            fits = self._length_s(network, middle) <= left_s
            low, high = (middle, high) if fits else (low, middle - 1)
        allocation = self._round(network, low) if low else Allocation.none(network.size)
        if not allocation.selected.any():
            return Allocation.none(network.size), memory
        return allocation, Spending(low, memory.last_steps, memory.spent_s, memory.besides_s)

    def _wanted(self, round: Round, memory: Spending) -> int:
        """The best steps by the reports; one before there are any."""
        network = round.network
        told = Reports(*(round.signals[name] for name in self.needs)).mean(network.samples)
        nominal = self._round(network, self.nominal_steps)
        if told is None or not nominal.selected.any():
            return 1
        used = use(network, nominal)
        step_s = float(used.training_s.max()) / (self.nominal_steps + self.extra_steps)
        besides_s = memory.besides_s + self.extra_steps * step_s
        round_s = float(used.airtime_s.max()) + besides_s
        if self.budget_s <= step_s + round_s:
            return 1
        most = min(int(self.growth * memory.last_steps), self.steps_max)
        problem = LocalSteps(
            self.budget_s,
            step_s,
            round_s,
            self.rate,
            told.rho,
            told.beta,
            told.delta,
            self.phi,
            most,
        )
        return solve(problem).allocation.steps

    def _round(self, network: Network, steps: int) -> Allocation:
        part = (steps + self.extra_steps) / (self.nominal_steps + self.extra_steps)
        working = network.replace(cycles=network.cycles * part)
        return StepCount(steps, steps).to_round(working)

    def _length_s(self, network: Network, steps: int) -> float:
        """Training and upload of the slowest device [s]."""
        return float(use(network, self._round(network, steps)).finish_s.max())
