"""Rounds that no duration makes possible, what each single limit would cure, and empty rounds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fl_opt
from fl_opt.problems.uplink import Uplink

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
# at the slowest clock training takes 0.2 mJ, the uploads at least 8.3 uJ and 0.21 mJ
IMPOSSIBLE: list[tuple[dict[str, Any], str, set[str]]] = [
    ({"power_max_w": [0.0, 0.2]}, "power_max", {"power_max_w"}),
    ({"gain": [0.0, 1e-10]}, "power_max", set()),
    ({"energy_j": [1e-4, 1.0]}, "energy", {"energy_j", "cpu_min_hz"}),
    ({"energy_j": [1.0, 1e-4]}, "energy", {"energy_j"}),
    ({"band_hz": 0.0}, "band", {"band_hz"}),
    ({"power_max_w": [0.0, 0.2], "band_hz": 0.0}, "power_max", set()),
    ({"energy_j": 1e-9, "band_hz": 0.0}, "energy", set()),
]


def _stated(network: fl_opt.Network) -> list[Any]:
    return [fl_opt.MinRoundTime(network), fl_opt.TimeEnergyTradeoff(network, 0.01)]


@pytest.mark.parametrize(("change", "constraint", "cures"), IMPOSSIBLE)
def test_each_limit_that_cures_alone_is_named(
    change: dict[str, Any], constraint: str, cures: set[str]
) -> None:
    network = NETWORK.replace(**change)
    for problem in _stated(network):
        with pytest.raises(fl_opt.Infeasible) as caught:
            fl_opt.solve(problem)
        answer = caught.value
        assert answer.constraint == constraint
        assert set(answer.relaxations) == {"band_hz", "energy_j", "power_max_w", "cpu_min_hz"}
        assert {name for name, value in answer.relaxations.items() if value is not None} == cures


@pytest.mark.parametrize(("change", "constraint", "cures"), IMPOSSIBLE)
def test_what_is_called_a_cure_cures(
    change: dict[str, Any], constraint: str, cures: set[str]
) -> None:
    network = NETWORK.replace(**change)
    with pytest.raises(fl_opt.Infeasible) as caught:
        fl_opt.solve(fl_opt.MinRoundTime(network))
    for name in cures:
        value = caught.value.relaxations[name] or 0.0
        side = np.minimum if name == "cpu_min_hz" else np.maximum
        cured = network.replace(**{name: side(getattr(network, name), value)})
        assert fl_opt.solve(fl_opt.MinRoundTime(cured)).certificate.feasible


def test_a_clock_that_may_be_slower_cures_too_little_energy() -> None:
    hot = NETWORK.replace(cpu_min_hz=[1e8, 1.5e9], cpu_max_hz=2e9, energy_j=[1.0, 0.03])
    with pytest.raises(fl_opt.Infeasible) as caught:
        fl_opt.solve(fl_opt.MinEnergy(hot, 1.0))
    assert caught.value.constraint == "energy"
    assert caught.value.devices.tolist() == [1]
    clock = caught.value.relaxations["cpu_min_hz"]
    assert clock is not None
    for factor, possible in ((1.0, True), (1.0 + 1e-8, False)):
        slower = hot.replace(cpu_min_hz=np.minimum(hot.cpu_min_hz, clock * factor))
        assert (Uplink(slower, 1.0).least_hz.sum() <= 2e6) == possible
    assert fl_opt.solve(
        fl_opt.MinEnergy(hot.replace(cpu_min_hz=[1e8, clock]), 1.0)
    ).certificate.feasible


def test_a_round_without_work_takes_no_time_and_its_bound_is_true() -> None:
    idle = NETWORK.replace(cycles=0.0, upload_bit=0.0)
    for problem in _stated(idle):
        proof = fl_opt.solve(problem).certificate
        assert proof.feasible
        assert proof.cost < 1e-290
        assert proof.bound <= 0.0


def test_a_start_that_never_ends_is_no_start() -> None:
    problem = fl_opt.MinRoundTime(NETWORK)
    best = fl_opt.solve(problem)
    dead = best.allocation.replace(power_w=0.0)
    never = fl_opt.Solution(dead, fl_opt.verify(problem, dead), {}, "mine", 0.0)
    assert never.certificate.cost == math.inf
    assert fl_opt.solve(problem, start=never).certificate.cost == best.certificate.cost
