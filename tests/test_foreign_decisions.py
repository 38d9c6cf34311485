"""Decisions that no solver of ours makes: what they claim must not make them cheaper."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fl_opt

NETWORK = fl_opt.Network(
    gain=[1e-10, 4e-12],
    power_max_w=0.2,
    cpu_min_hz=1e8,
    cpu_max_hz=2e9,
    capacitance=1e-28,
    cycles=2e8,
    upload_bit=3e5,
    samples=[600, 400],
    band_hz=2e6,
)
PROBLEMS = (
    fl_opt.MinEnergy(NETWORK, 1.0),
    fl_opt.MinRoundTime(NETWORK),
    fl_opt.TimeEnergyTradeoff(NETWORK, 0.01),
    fl_opt.JointSchedule(NETWORK, 1.0, energy_total_j=0.002, utility_per_j=1e5),
)


def _tricks(honest: fl_opt.Allocation) -> list[fl_opt.Allocation]:
    """The same radio use, said to train less, to send less, or to add symbols over the air."""
    quiet = honest.power_w * 1e-6
    return [
        honest.replace(cycles=0.0),
        honest.replace(upload_bit=0.0),
        honest.replace(access="superposed", power_w=quiet, upload_s=1e9),
        honest.replace(access="superposed", power_w=quiet, upload_s=1e9, cycles=0.0),
    ]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: type(problem).__name__)
def test_no_claim_undercuts_a_proven_bound(problem: Any) -> None:
    solution = fl_opt.solve(problem)
    for trick in _tricks(fl_opt.solve(PROBLEMS[0]).allocation):
        judged = fl_opt.verify(problem, trick)
        assert not judged.feasible or judged.cost >= solution.certificate.bound


def test_a_foreign_decision_is_judged_by_the_round_of_the_problem() -> None:
    problem = PROBLEMS[0]
    honest = fl_opt.solve(problem).allocation
    cost = fl_opt.verify(problem, honest).cost
    assert fl_opt.verify(problem, honest.replace(cycles=0.0, upload_bit=1.0)).cost == cost
    assert fl_opt.verify(problem, honest.replace(access="tdma")).cost == cost
    assert "deadline" in fl_opt.verify(problem, _tricks(honest)[2]).violation
    none = honest.replace(selected=np.zeros(2, dtype=bool))
    assert set(fl_opt.verify(problem, none).violation) == {"selected"}
