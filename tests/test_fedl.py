"""FEDL: published results, two references, a bound that holds for any multipliers, and laws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from fedl_instances import CASE, FIELDS, exact_cost, published
from hypothesis import given, settings
from hypothesis import strategies as st

import fl_opt
from benchmarks.laws.rounds import random_fields
from fl_opt import InvalidInput, solve, verify
from fl_opt.allocation import use
from fl_opt.problems import FEDL, FEDLDecision
from fl_opt.units import Floats

# two independent methods agree, and the proof is tight and never false


def test_the_bound_and_the_cost_enclose_the_optimum_in_50_digits() -> None:
    rng = np.random.default_rng(1)
    jumps = 0
    for _ in range(60):
        problem = FEDL(**random_fields(rng, int(rng.integers(1, 9))))
        solution = solve(problem)
        proof, exact = solution.certificate, exact_cost(problem)
        assert solution.solver == "closed"
        assert proof.feasible
        assert proof.gap <= 1e-12
        assert proof.bound <= exact
        assert proof.cost == pytest.approx(float(exact), rel=1e-13)
        late = problem.work / problem.cpu_max_hz
        jumps += bool(solution.allocation.round_training_s > late.max() * (1 + 1e-9))
    assert 10 < jumps < 55  # both kinds of optimum were met


def test_the_conic_model_agrees() -> None:
    rng = np.random.default_rng(2)
    compared = 0
    for _ in range(12):
        problem = FEDL(**random_fields(rng, int(rng.integers(1, 9))))
        try:
            conic = solve(problem, "cvxpy").certificate
        except fl_opt.errors.SolverFailure:
            continue
        closed = solve(problem).certificate
        compared += 1
        assert conic.feasible
        assert conic.cost == pytest.approx(closed.cost, rel=1e-5)
        assert conic.cost >= closed.bound
        assert conic.bound <= closed.cost
    assert compared >= 9


def test_no_start_of_a_nonlinear_solver_beats_the_three_roots() -> None:
    from scipy.optimize import NonlinearConstraint, minimize

    problem = published(0.1)
    best, size = solve(problem).certificate.cost, problem.size
    rng = np.random.default_rng(3)

    def decode(z: Floats) -> FEDLDecision:
        cpu, power = np.exp(z[:size]), np.exp(z[size : 2 * size])
        snr = power / problem.noise_over_gain
        tau = problem.upload_nat / problem.band_hz / np.log1p(snr)
        return FEDLDecision(
            cpu_hz=cpu,
            upload_s=tau,
            power_w=power,
            round_training_s=math.exp(z[-2]),
            round_upload_s=float(tau.sum()),
            local_accuracy=1.0 / (1.0 + math.exp(z[-1])),
        )

    def objective(z: Floats) -> float:
        return problem.cost(decode(z))

    def early(z: Floats) -> Floats:
        return np.asarray(z[-2] - np.log(problem.work) + z[:size])

    boxes = [*zip(np.log(problem.cpu_min_hz), np.log(problem.cpu_max_hz), strict=True)]
    boxes += [*zip(np.log(problem.power_min_w), np.log(problem.power_max_w), strict=True)]
    boxes += [(-5.0, 5.0), (-5.0, 5.0)]
    ends = []
    for _ in range(4):
        found = minimize(
            objective,
            np.array([rng.uniform(low, high) for low, high in boxes]),
            method="SLSQP",
            bounds=[(float(low), float(high)) for low, high in boxes],
            constraints=NonlinearConstraint(early, 0.0, np.inf),
            tol=1e-14,
            options={"maxiter": 500},
        )
        ends.append(float(found.fun))
    assert min(ends) >= best * (1.0 - 1e-9)
    assert min(ends) == pytest.approx(best, rel=1e-7)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_no_multiplier_lifts_the_bound_above_the_optimum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = FEDL(**random_fields(rng, int(rng.integers(1, 6))))
    best = problem.optimum()
    price, _ = problem.training.optimum()[::-1]
    nats = problem.uploads.optimum()
    for noise in (1e-12, 1e-6, 1e-2, 1.0):
        wrong = problem.lower_bound(
            price * np.exp(noise * rng.normal(size=problem.size)),
            nats * np.exp(noise * rng.normal(size=problem.size)),
        )
        assert wrong <= problem.cost(best.decision)
    assert problem.lower_bound(np.zeros(problem.size), nats) <= problem.cost(best.decision)


# published results


@pytest.mark.parametrize("row", CASE["published"], ids=lambda row: f"kappa={row['kappa']}")
def test_published_rows(row: dict[str, Any]) -> None:
    problem = published(row["kappa"])
    solution = solve(problem)
    decision = solution.allocation
    training, uploads = problem.parts(decision)
    found = {
        "T_cmp": decision.round_training_s,
        "E_cmp": training,
        "T_com": decision.round_upload_s,
        "E_com": uploads,
        "Theta": decision.local_accuracy,
        "objective": solution.certificate.cost,
    }
    for name, value in found.items():
        assert value == pytest.approx(row[name], rel=1e-8), name
    np.testing.assert_allclose(decision.cpu_hz / 1e9, row["cpu_ghz"], rtol=1e-8)
    np.testing.assert_allclose(decision.power_w, row["power_w"], rtol=1e-8)
    np.testing.assert_allclose(decision.upload_s, row["tau_s"], rtol=1e-8)


# the shape of the optimum, closed forms


@pytest.mark.parametrize("kappa", [0.0279, 0.03, 0.0332])
def test_between_two_weights_the_time_sits_on_a_jump(kappa: float) -> None:
    solution = solve(published(kappa))
    assert solution.allocation.round_training_s == pytest.approx(3.075881340635, rel=1e-12)
    assert solution.certificate.gap <= 1e-12


@pytest.mark.parametrize(("kappa", "moves"), [(0.0277, True), (0.0334, True), (0.03, False)])
def test_beside_the_jump_the_time_moves(kappa: float, moves: bool) -> None:
    times = [solve(published(k)).allocation.round_training_s for k in (kappa, kappa * 1.001)]
    assert (times[0] > times[1]) is moves


def test_devices_finish_together_or_run_at_a_limit() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        problem = FEDL(**random_fields(rng, 6))
        decision = solve(problem).allocation
        trained = problem.work / decision.cpu_hz
        together = np.isclose(trained, decision.round_training_s, rtol=1e-12)
        assert np.all(together | (decision.cpu_hz == problem.cpu_min_hz))
        theta = decision.local_accuracy
        assert 0.0 < theta < 1.0


def test_one_device_without_limits() -> None:
    work, alpha, kappa, noise = 3e8, 2e-28, 0.4, 0.5
    problem = FEDL(
        noise_over_gain=noise, cycles_per_bit=3, data_bit=1e8, cpu_min_hz=0, cpu_max_hz=1e12,
        power_min_w=0, power_max_w=math.inf, upload_nat=1e4, band_hz=1e6, alpha=alpha, kappa=kappa,
    )  # fmt: skip
    solution = solve(problem)
    decision = solution.allocation
    assert solution.certificate.gap <= 1e-12
    assert decision.cpu_hz[0] == pytest.approx((kappa / alpha) ** (1 / 3), rel=1e-14)
    x = 1e4 / 1e6 / decision.upload_s[0]
    assert (x - 1.0) * math.exp(x) + 1.0 == pytest.approx(kappa / noise, rel=1e-13)
    a = 1.5 * kappa ** (2 / 3) * alpha ** (1 / 3) * work
    assert solution.certificate.cost == pytest.approx(a / decision.local_accuracy, rel=1e-13)


def test_identical_devices_decide_alike() -> None:
    one = solve(published(0.1, **{name: CASE[name][:1] for name in FIELDS if name != "cpu_min_hz"}))
    same = {name: [CASE[name][0]] * 7 for name in FIELDS if name != "cpu_min_hz"}
    seven = solve(published(0.7, **same)).allocation
    assert np.ptp(seven.cpu_hz) == np.ptp(seven.power_w) == np.ptp(seven.upload_s) == 0.0
    # 7 devices share the wait for training: as one device at a seventh of the weight
    assert seven.round_training_s == pytest.approx(one.allocation.round_training_s, rel=1e-14)


def test_without_heat_all_run_as_fast_as_the_last_one_needs() -> None:
    problem = published(0.1, alpha=0.0)
    decision = solve(problem).allocation
    fastest = (problem.work / problem.cpu_max_hz).max()
    assert decision.round_training_s == pytest.approx(fastest, rel=1e-15)
    assert solve(problem).certificate.gap <= 1e-12


@pytest.mark.parametrize("kappa", [1e-12, 1e-6, 1e6, 1e12])
def test_extreme_weights_reach_the_limits(kappa: float) -> None:
    problem = published(kappa)
    solution = solve(problem)
    decision = solution.allocation
    assert solution.certificate.feasible
    assert solution.certificate.gap <= 1e-12
    slow = kappa < 1.0
    power = problem.power_min_w if slow else problem.power_max_w
    np.testing.assert_array_equal(decision.power_w, power)
    span = (problem.work / (problem.cpu_min_hz if slow else problem.cpu_max_hz)).max()
    assert decision.round_training_s == pytest.approx(span, rel=1e-14)


def test_no_slowest_clock() -> None:
    problem = published(1e-4, cpu_min_hz=0.0)
    solution = solve(problem)
    t = float(np.cbrt((problem.alpha * problem.work**3).sum() / 1e-4))
    assert solution.allocation.round_training_s == pytest.approx(t, rel=1e-14)
    assert solution.certificate.gap <= 1e-12


# laws


def test_permuting_devices_permutes_the_answer() -> None:
    rng = np.random.default_rng(5)
    fields, order = random_fields(rng, 8), rng.permutation(8)
    mixed = {name: v[order] if np.ndim(v) else v for name, v in fields.items()}
    one, two = solve(FEDL(**fields)), solve(FEDL(**mixed))
    assert one.certificate.cost == pytest.approx(two.certificate.cost, rel=1e-13)
    np.testing.assert_allclose(one.allocation.power_w[order], two.allocation.power_w, rtol=1e-12)
    np.testing.assert_allclose(one.allocation.cpu_hz[order], two.allocation.cpu_hz, rtol=1e-12)


def test_the_unit_of_energy_does_not_matter() -> None:
    fields = random_fields(np.random.default_rng(6), 5)
    powers = ("noise_over_gain", "power_min_w", "power_max_w", "alpha", "kappa")
    other = {name: v * 1000.0 if name in powers else v for name, v in fields.items()}
    one, two = solve(FEDL(**fields)), solve(FEDL(**other))
    assert two.certificate.cost == pytest.approx(1000.0 * one.certificate.cost, rel=1e-13)
    np.testing.assert_allclose(two.allocation.cpu_hz, one.allocation.cpu_hz, rtol=1e-12)


def test_a_price_tells_what_a_limit_costs() -> None:
    rng = np.random.default_rng(7)
    seen = set()
    for _ in range(40):
        fields = random_fields(rng, 3)
        problem = FEDL(**fields)
        solution = solve(problem)
        for name, unit, sign in (
            ("cpu_min", "_hz", 1), ("cpu_max", "_hz", -1),
            ("power_min", "_w", 1), ("power_max", "_w", -1),
        ):  # fmt: skip
            price = solution.prices[name]
            assert isinstance(price, np.ndarray)
            assert np.all(price >= 0.0)
            k = int(np.argmax(price))
            limit = np.broadcast_to(np.asarray(fields[name + unit], float), 3)[k]
            if price[k] == 0.0 or price[k] * limit < 1e-3 * solution.certificate.cost:
                continue
            step = 1e-6 * limit * np.eye(3)[k]
            sides = [
                FEDL(**(fields | {name + unit: fields[name + unit] + way * step}))
                for way in (1.0, -1.0)
                if np.all(np.asarray(fields["cpu_min_hz"]) < fields["cpu_max_hz"])
            ]
            costs = [solve(side).certificate.cost for side in sides]
            slope = sign * (costs[0] - costs[1]) / (2.0 * step[k])
            assert slope == pytest.approx(price[k], rel=1e-3), name
            seen.add(name)
    assert seen == {"cpu_min", "cpu_max", "power_min", "power_max"}


@given(st.integers(0, 2**32 - 1), st.floats(1.01, 10.0))
@settings(max_examples=30, deadline=None)
def test_time_that_is_worth_more_costs_more_and_is_spent_less(seed: int, factor: float) -> None:
    fields = random_fields(np.random.default_rng(seed), 4)
    one = solve(FEDL(**fields))
    two = solve(FEDL(**(fields | {"kappa": fields["kappa"] * factor})))
    assert (
        one.certificate.cost < two.certificate.cost <= factor * one.certificate.cost * (1 + 1e-12)
    )
    for name in ("round_training_s", "round_upload_s"):
        less = getattr(two.allocation, name)
        assert less <= getattr(one.allocation, name) * (1.0 + 1e-12)


def test_many_devices() -> None:
    fields = random_fields(np.random.default_rng(8), 100_000)
    proof = solve(FEDL(**fields)).certificate
    assert proof.feasible
    assert proof.gap <= 1e-12


# the same physics as every other round


def test_a_round_takes_the_time_and_energy_that_the_cost_counts() -> None:
    network = fl_opt.Network(
        gain=[1e-10, 4e-11, 9e-12], power_max_w=0.2, cpu_min_hz=1e8, cpu_max_hz=2e9,
        capacitance=1e-28, cycles=[2e8, 3e8, 1e8], upload_bit=3e5, samples=1, band_hz=2e6,
    )  # fmt: skip
    problem = FEDL.from_network(network, kappa=0.05)
    solution = solve(problem)
    decision = solution.allocation
    used = use(network, decision.to_round(network))
    training, uploads = problem.parts(decision)
    spent = uploads + decision.passes * training
    lasts = decision.round_upload_s + decision.passes * decision.round_training_s
    assert used.energy_j.sum() == pytest.approx(spent, rel=1e-12)
    assert used.finish_s.max() == pytest.approx(lasts, rel=1e-12)
    rounds = 1.0 / (1.0 - decision.local_accuracy)
    assert solution.certificate.cost == pytest.approx(rounds * (spent + 0.05 * lasts), rel=1e-12)
    assert list(decision.to_frame().columns) == ["cpu_hz", "upload_s", "power_w"]


# refusals


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kappa": 0.0}, r"kappa is 0; expected a number > 0"),
        ({"upload_nat": 0.0}, r"upload_nat is 0 nat"),
        ({"data_bit": 0.0}, r"0 for all devices.*ever better accuracy is free"),
        ({"cpu_min_hz": 2e9}, r"cpu_min_hz\[0\] is 2e\+09; expected at most cpu_max_hz\[0\]"),
        ({"power_max_w": 0.1}, r"power_min_w\[0\] is 0.2; expected at most power_max_w"),
        ({"noise_over_gain": [1.0, math.inf, 1, 1, 1]}, r"noise_over_gain\[1\] is inf"),
        ({"alpha": [1.0, 2.0]}, r"alpha.shape is \(2,\); expected \(5,\)"),
    ],
)
def test_what_has_no_best_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        published(**({"kappa": 1.0} | changes))


def test_verify_names_what_a_decision_breaks() -> None:
    problem = published(0.1)
    best = solve(problem).allocation
    fields = {name: getattr(best, name) for name in ("cpu_hz", "upload_s", "power_w")}
    rest = {"round_training_s": 1.0, "round_upload_s": best.round_upload_s, "local_accuracy": 0.5}
    broken = FEDLDecision(**(fields | rest | {"power_w": 0.1}))
    assert set(verify(problem, broken).violation) == {"training", "payload", "power_min"}
    with pytest.raises(InvalidInput, match="at 1 no round gains a thing"):
        FEDLDecision(**(fields | rest | {"local_accuracy": 1.0}))
