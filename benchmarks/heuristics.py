"""What published rules for who takes part lose against the exact optimum."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

import fl_opt
from benchmarks import _cells
from benchmarks._record import Record
from fl_opt import BudgetedTraining, FedCS, FedCSGreedy, LeastTimeGreedy, RoundsModel
from fl_opt.units import Floats

TITLE = "The price of heuristics: who takes part"
ABOUT = """
Random cells after `benchmarks/_cells.py` without energy budgets, the band 0.1 to 0.95 of what all
need in 2 s. *Least time greedy* (Shi et al., IEEE TWC 2021, arXiv 2007.07174) adds who lengthens
the round least while the training gets shorter; its training time is compared with that of
[BudgetedTraining](formulations/budgeted_training.md), for a model of the rounds in which those that
fall with the utility are 0.1 to 10 times the fixed ones when all take part. The utility is the
samples of each device, or log-normal with a standard deviation of 1 in the logarithm. *FedCS
greedy* (Nishio, Yonetani, ICC 2019, arXiv 1804.08333) admits next who delays the sequence of
uploads least; its number of clients is compared with the optimum of
[FedCS](formulations/fedcs.md), at deadlines of 0.4 to 1.6 s. The optima are proven to 1e-9.
"""

COLUMNS = ("rule", "rounds with a loss", "mean", "median", "90 %", "99 %", "largest")


def cell(size: int, seed: int, rng: np.random.Generator) -> fl_opt.Network:
    """Devices in a band that is too narrow for all of them in 2 s."""
    network = _cells.devices(size, seed)
    return network.replace(band_hz=rng.uniform(0.1, 0.95) * _cells.needed_hz(network))


def decided(policy: fl_opt.Policy, network: fl_opt.Network) -> fl_opt.Allocation:
    """What a rule without memory does in one round."""
    rng = np.random.default_rng(0)
    allocation, _ = policy.decide(fl_opt.Round(network, 0, rng), policy.start(network.size, rng))
    return allocation


class Losses:
    """How far a rule is above the optimum in each round, and the largest gap of the optima."""

    def __init__(self) -> None:
        self.lost: list[float] = []
        self.gap, self.wrong = 0.0, 0

    def add(self, best: fl_opt.Certificate, found: fl_opt.Certificate, loss: float) -> None:
        """Note one round; `found` is the rule's answer as judged by the problem."""
        self.lost.append(max(loss, 0.0))
        self.gap = max(self.gap, best.gap)
        self.wrong += not found.feasible or not best.feasible or found.cost < best.bound

    def row(self, name: str) -> tuple[str, ...]:
        """A row of the table."""
        lost: Floats = np.array(self.lost)
        told = (np.mean(lost), *np.quantile(lost, (0.5, 0.9, 0.99)), np.max(lost))
        share = np.mean(lost > 1e-6)
        return (name, f"{share:.0%}", *(f"{value:.2%}" for value in told))


def least_time(count: int, kind: str) -> Losses:
    """The greedy rule of Shi et al.: longer trainings, relative to the optimum."""
    found = Losses()
    for seed in range(count):
        rng = np.random.default_rng((seed, 11))
        network = cell(int(rng.integers(5, 31)), seed, rng)
        if kind == "log-normal":
            network = network.replace(samples=rng.lognormal(0.0, 1.0, network.size))
        every = float(network.samples.sum())
        model = RoundsModel(100.0, 100.0 * every * 10.0 ** rng.uniform(-1.0, 1.0))
        problem = BudgetedTraining(network, model)
        best = fl_opt.solve(problem).certificate
        greedy = fl_opt.verify(problem, decided(LeastTimeGreedy(model), network))
        found.add(best, greedy, greedy.cost / best.cost - 1.0)
    return found


def fedcs(count: int) -> Losses:
    """The greedy rule of FedCS: fewer clients, relative to the optimum."""
    found = Losses()
    for seed in range(count):
        rng = np.random.default_rng((seed, 12))
        network = cell(int(rng.integers(5, 101)), seed, rng)
        deadline = float(rng.uniform(0.4, 1.6))
        problem = FedCS(network, deadline)
        best = fl_opt.solve(problem).certificate
        greedy = fl_opt.verify(problem, decided(FedCSGreedy(deadline), network))
        found.add(best, greedy, 1.0 - greedy.cost / best.cost if best.cost else 0.0)
    return found


RULES: dict[str, tuple[Callable[[int], Losses], int]] = {
    "least time greedy, samples: longer training": (lambda n: least_time(n, "samples"), 200),
    "least time greedy, log-normal: longer training": (lambda n: least_time(n, "log-normal"), 200),
    "FedCS greedy: fewer clients": (fedcs, 2_000),
}
"""A function of the number of rounds for each rule, and that number."""


def measure(record: Record) -> None:
    """Tabulate the losses of every rule."""
    rows, widest, wrong = [], 0.0, 0
    for name, (rule, count) in RULES.items():
        rounds = math.ceil(count / 40) if record.quick else count
        losses = rule(rounds)
        rows.append(losses.row(f"{name}, {rounds:,} rounds"))
        widest, wrong = max(widest, losses.gap), wrong + losses.wrong
    record.table("Loss relative to the optimum", COLUMNS, rows)
    record.promise("largest certified gap of the optima", widest, "at most 1e-9", widest <= 1e-9)
    record.promise("rules that beat a bound, or infeasible answers", wrong, "none", wrong == 0)
