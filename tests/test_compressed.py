"""Compressed updates: unbiased, contracting, in exact bits; nothing is lost with error feedback."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from still_world import Equal, StillWorld, network

from fl_opt import (
    Allocation,
    Arm,
    BestChannel,
    Compressed,
    Everyone,
    FedAvg,
    InvalidInput,
    Outcome,
    Random,
    Round,
    Task,
    simulate,
)
from fl_opt.validation.compressed import Owing
from fl_opt.validation.compressors import KINDS, affordable, majority, signs

TASK = Task(samples=400)
FAST: dict[str, Any] = {"local_steps": 3, "batch": 8, "rate": 0.2}
SIZE = 5
ERROR_FEEDBACK = ("top-k", "random-k", "qsgd", "sign", "top-k-sign")


def method(compressor: str, **options: Any) -> Compressed:
    feedback = options.pop("error_feedback", compressor != "vote")
    return Compressed(compressor=compressor, error_feedback=feedback, **(FAST | options))


def federation() -> Any:
    return TASK.load(np.random.default_rng(0), np.ones(SIZE))


def lots(count: int, seed: int = 0) -> list[np.random.Generator]:
    return np.random.default_rng(seed).spawn(count)


def rows(count: int, size: int, seed: int = 0) -> torch.Tensor:
    """Updates whose coordinates are of unlike size, as those of a model are."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((count, size)) * rng.exponential(1.0, size)
    return torch.from_numpy(values)


def there(size: int = SIZE, **changes: Any) -> tuple[Allocation, Outcome]:
    everyone = np.ones(size, dtype=bool)
    allocation = Allocation(selected=everyone, bandwidth_hz=1e6, power_w=0.1, cpu_hz=1e9, **changes)
    return allocation, Outcome(everyone, everyone, np.zeros(size), np.zeros(size), 1.0)


# the error laws


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(ERROR_FEEDBACK), st.integers(1, 60), st.integers(0, 10**6), st.data())
def test_errors_keep_their_law(name: str, size: int, seed: int, data: Any) -> None:
    amount = data.draw(st.integers(1, size))
    x = rows(400, size, seed)
    law = KINDS[name].law(size, amount)
    sent = KINDS[name].apply(x, np.full(400, amount), lots(400, seed))
    error = (sent - x).square().sum(1) / x.square().sum(1)
    slack = 1.0 + 1e-6
    if name in ("top-k", "sign", "top-k-sign"):  # no chance: every row keeps it
        assert float(error.max()) <= law.error * slack + 1e-12
    else:  # five standard errors of the mean: a false alarm in a million
        spread = float(error.std()) / math.sqrt(400)
        assert float(error.mean()) <= law.error * slack + 5.0 * spread + 1e-12


@pytest.mark.parametrize(("name", "amount"), [("random-k", 3), ("qsgd", 2), ("qsgd", 31)])
def test_the_mean_of_an_unbiased_compressor_is_the_update(name: str, amount: int) -> None:
    count, size = 4_000, 12
    x = rows(1, size, 3).expand(count, -1)
    assert KINDS[name].law(size, amount).unbiased
    sent = KINDS[name].apply(x, np.full(count, amount), lots(count, 4))
    spread = sent.std(dim=0) / math.sqrt(count)
    assert bool(((sent.mean(dim=0) - x[0]).abs() <= 5.0 * spread + 1e-6).all())


@pytest.mark.parametrize("name", ERROR_FEEDBACK)
def test_with_error_feedback_every_compressor_contracts(name: str) -> None:
    size, count = 64, 300
    x = rows(count, size, 5)
    means = []
    for amount in (1, 4, 16):
        chosen = method(name, share=amount / size, levels=amount)
        sent = chosen.compress(x, np.full(count, amount), lots(count), np.arange(count))
        means.append(float(((sent - x).square().sum(1) / x.square().sum(1)).mean()))
    assert max(means) < 1.0
    if name != "sign":
        assert means[0] > means[1] > means[2]


def test_random_k_errs_as_much_as_its_law_says() -> None:
    x = rows(4000, 20, 6)
    for amount in (1, 5, 20):
        sent = KINDS["random-k"].apply(x, np.full(4000, amount), lots(4000, 7))
        error = (sent - x).square().sum(1) / x.square().sum(1)
        spread = float(error.std()) / math.sqrt(4000)
        assert abs(float(error.mean()) - (20 / amount - 1.0)) <= 5.0 * spread + 1e-9


def test_top_k_keeps_the_largest_and_each_device_as_many_as_it_may() -> None:
    x = torch.tensor([[1.0, -5.0, 3.0, 0.5], [1.0, -5.0, 3.0, 0.5]])
    kept = np.array([1, 3])
    sent = KINDS["top-k"].apply(x, kept, lots(2))
    torch.testing.assert_close(
        sent, torch.tensor([[0.0, -5.0, 0.0, 0.0], [1.0, -5.0, 3.0, 0.0]]), rtol=0, atol=0
    )
    sent = KINDS["top-k-sign"].apply(x, kept, lots(2))
    torch.testing.assert_close(
        sent, torch.tensor([[0.0, -5.0, 0.0, 0.0], [3.0, -3.0, 3.0, 0.0]]), rtol=0, atol=0
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 50), st.integers(0, 10**6), st.data())
def test_what_is_sent_needs_no_more_than_its_bits(size: int, seed: int, data: Any) -> None:
    """So many coordinates, so many different values: counted, not believed."""
    amount = data.draw(st.integers(1, size))
    x = rows(3, size, seed).float()
    for name in ("top-k", "random-k"):
        sent = KINDS[name].apply(x, np.full(3, amount), lots(3, seed))
        assert int((sent != 0.0).sum(1).max()) <= amount
    sent = KINDS["qsgd"].apply(x, np.full(3, amount), lots(3, seed))
    step = x.norm(dim=1, keepdim=True) / amount
    level = (sent / step).round()
    torch.testing.assert_close(level * step, sent)
    assert int(level.abs().max()) <= amount
    for name in ("sign", "top-k-sign"):
        sent = KINDS[name].apply(x, np.full(3, amount), lots(3, seed))
        for row in sent:
            assert row[row != 0.0].abs().unique().numel() <= 1


@pytest.mark.parametrize("name", list(KINDS))
def test_zeros_stay_finite_and_zero(name: str) -> None:
    sent = KINDS[name].apply(torch.zeros(2, 6), np.array([1, 2]), lots(2))
    assert not sent.abs().any()


# bits


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"compressor": "none"}, 32 * 50_890),
        ({"compressor": "top-k", "share": 0.01}, 508 * (32 + 16)),
        ({"compressor": "top-k", "share": 0.001}, 50 * (32 + 16)),
        ({"compressor": "top-k-sign", "share": 0.001}, 50 * (1 + 16) + 32),
        ({"compressor": "random-k", "share": 0.01}, 508 * 32),
        ({"compressor": "qsgd", "levels": 4}, 32 + 50_890 * 4),
        ({"compressor": "qsgd", "levels": 1}, 32 + 50_890 * 2),
        ({"compressor": "sign"}, 50_890 + 32),
        ({"compressor": "vote", "error_feedback": False}, 50_890),
    ],
)
def test_payloads_of_the_perceptron_are_exact(options: dict[str, Any], expected: int) -> None:
    assert Compressed(**options).level(784 * 64 + 64 + 64 * 10 + 10).upload_bit == expected


def test_the_workload_carries_the_payload_and_the_broadcast_is_whole() -> None:
    group = federation()
    chosen = method("top-k", share=0.02)
    assert group.model.parameters == 650
    assert chosen.workload(group).upload_bit[0] == 13 * (32 + 10)
    assert chosen.broadcast_bit(group) == 32 * 650


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(list(KINDS)), st.integers(1, 10**5), st.integers(0, 10**7))
def test_the_affordable_amount_is_the_largest_that_fits(name: str, size: int, bit: int) -> None:
    law = KINDS[name].law
    amount = KINDS[name].amount(size, bit)
    top = {"qsgd": 2**15 - 1, "none": 1, "sign": 1, "vote": 1}.get(name, size)
    assert 0 <= amount <= top
    if amount:
        assert law(size, amount).upload_bit <= bit
    if amount < top:
        assert law(size, amount + 1).upload_bit > bit


# error feedback


@pytest.mark.parametrize("name", ERROR_FEEDBACK)
def test_what_was_sent_and_what_is_owed_is_all_that_was_wanted(name: str) -> None:
    """Over rounds with one device: the model's way plus the debt is the sum of all updates."""
    group = TASK.load(np.random.default_rng(0), np.ones(1))
    chosen = method(name, share=0.05)
    state = chosen.start(group, np.random.default_rng(1))
    start, wanted = state.weights, torch.zeros_like(state.weights)
    allocation, outcome = there(1)
    for index in range(6):
        rng = np.random.default_rng(index)
        update, _ = chosen.updates(group, state.weights, np.array([0]), allocation, rng)
        state = chosen.learn(
            group,
            state,
            allocation,
            outcome,
            np.random.default_rng(index),
        )
        wanted += update[0]
        assert state.owed is not None
        torch.testing.assert_close(
            state.weights - start + state.owed[0], wanted, rtol=1e-4, atol=1e-5
        )
    assert float(state.owed.norm()) > 0.0


def test_a_lost_update_leaves_the_debt_as_it_was() -> None:
    group, chosen = federation(), method("top-k")
    state = chosen.start(group, np.random.default_rng(1))
    allocation, outcome = there()
    state = chosen.learn(group, state, allocation, outcome, np.random.default_rng(2))
    arrived = np.array([True, False, True, False, False])
    lossy = dataclasses.replace(outcome, arrived=arrived)
    after = chosen.learn(group, state, allocation, lossy, np.random.default_rng(3))
    assert state.owed is not None
    assert after.owed is not None
    same = (after.owed == state.owed).all(dim=1).numpy()
    np.testing.assert_array_equal(same, ~arrived)
    nobody = dataclasses.replace(outcome, arrived=np.zeros(SIZE, dtype=bool))
    idle = chosen.learn(group, state, allocation, nobody, np.random.default_rng(3))
    assert idle.weights is state.weights
    assert idle.owed is state.owed


def test_without_error_feedback_nothing_is_owed() -> None:
    state = method("top-k", error_feedback=False).start(federation(), np.random.default_rng(0))
    assert isinstance(state, Owing)
    assert state.owed is None


# votes


def test_a_vote_moves_each_parameter_where_most_devices_want_it() -> None:
    wishes = torch.tensor([[1.0, -2.0, 0.0, 9.0], [0.1, 3.0, -4.0, 9.0], [-7.0, -1.0, -2.0, -9.0]])
    torch.testing.assert_close(majority(wishes), torch.tensor([1.0, -1.0, -1.0, 1.0]))
    assert majority(wishes[:2])[1] == 0.0  # one against one
    torch.testing.assert_close(majority(3.0 * wishes), majority(wishes))
    group = federation()
    chosen = method("vote", vote_step=0.01)
    state = chosen.start(group, np.random.default_rng(1))
    allocation, outcome = there()
    after = chosen.learn(group, state, allocation, outcome, np.random.default_rng(2))
    updates, _ = chosen.updates(
        group, state.weights, np.arange(SIZE), allocation, np.random.default_rng(2)
    )
    expected = 0.01 * signs(updates).sum(dim=0).sign()
    torch.testing.assert_close(after.weights - state.weights, expected, rtol=0, atol=1e-7)


# limits and worlds


@pytest.mark.parametrize("options", [{"compressor": "none"}, {"share": 1.0}])
@pytest.mark.parametrize("error_feedback", [True, False])
def test_without_compression_it_is_federated_averaging_to_the_bit(
    options: dict[str, Any], error_feedback: bool
) -> None:
    world = StillWorld(network(SIZE))
    chosen = Compressed(error_feedback=error_feedback, **FAST, **options)
    ours = simulate(world, Arm(Random(count=3), chosen), TASK, 4)
    plain = simulate(world, Arm(Random(count=3), FedAvg(**FAST)), TASK, 4)
    np.testing.assert_array_equal(ours.loss, plain.loss)
    np.testing.assert_array_equal(ours.accuracy, plain.accuracy)


@pytest.mark.parametrize("name", list(KINDS))
def test_it_learns_the_same_again_under_every_policy(name: str) -> None:
    world = StillWorld(network(SIZE))
    for policy in (Everyone(), Random(count=2), BestChannel(count=2)):
        runs = [simulate(world, Arm(policy, method(name, share=0.1)), TASK, 6) for _ in range(2)]
        np.testing.assert_array_equal(runs[0].loss, runs[1].loss)
        assert runs[0].loss[-1] < runs[0].loss[0]


def test_a_smaller_payload_takes_less_time_on_the_air() -> None:
    world = StillWorld(network(SIZE))
    few = simulate(world, Arm(Everyone(), method("top-k", share=0.01)), TASK, 2)
    all_ = simulate(world, Arm(Everyone(), method("none")), TASK, 2)
    ratio = method("none").level(650).upload_bit / method("top-k", share=0.01).level(650).upload_bit
    np.testing.assert_allclose(all_.airtime_s / few.airtime_s, ratio)


def test_an_allocation_sets_the_compression_of_each_device() -> None:
    group, chosen = federation(), method("top-k", error_feedback=False)
    kept = np.array([1, 2, 5, 40, 650])
    bit = np.array([KINDS["top-k"].law(650, int(k)).upload_bit for k in kept])
    np.testing.assert_array_equal([affordable("top-k", 650, b + 1.0) for b in bit], kept)
    state = chosen.start(group, np.random.default_rng(1))
    allocation, outcome = there(upload_bit=bit)
    updates, _ = chosen.updates(
        group, state.weights, np.arange(SIZE), allocation, np.random.default_rng(2)
    )
    largest = updates.abs().sort(dim=1, descending=True).values
    for device, k in enumerate(kept):  # one at a time, so that the model shows what it sent
        alone = dataclasses.replace(outcome, arrived=np.arange(SIZE) == device)
        after = chosen.learn(group, state, allocation, alone, np.random.default_rng(2))
        moved = float((after.weights - state.weights).norm())
        assert moved == pytest.approx(float(largest[device, :k].norm()), rel=1e-5)


@dataclass(frozen=True)
class Told(Equal):
    """Equal shares, and every device told how much to send."""

    upload_bit: float = 42.0 * 13

    def decide(self, round: Round, memory: None) -> tuple[Allocation, None]:
        allocation, _ = super().decide(round, memory)
        return allocation.replace(upload_bit=np.full(allocation.size, self.upload_bit)), None


def test_what_an_allocation_tells_everybody_is_what_the_method_would_do() -> None:
    world = StillWorld(network(SIZE))
    told = simulate(world, Arm(Told(), method("top-k")), TASK, 3)
    plain = simulate(world, Arm(Equal(), method("top-k", share=0.02)), TASK, 3)
    np.testing.assert_array_equal(told.loss, plain.loss)
    np.testing.assert_array_equal(told.round_s, plain.round_s)


# refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compressor": "zip"}, "Compressed.compressor is 'zip'; expected one of none, top-k"),
        ({"share": 0.0}, "Compressed.share is 0; expected a number > 0"),
        ({"share": 1.5}, "Compressed.share is 1.5; expected a number > 0, <= 1"),
        ({"levels": 0}, "Compressed.levels is 0; expected 1 to 32767"),
        ({"vote_step": 0.0}, "Compressed.vote_step is 0; expected a number > 0"),
        ({"compressor": "vote"}, "Compressed.error_feedback is True; expected False with a vote"),
        ({"local_steps": 0}, "Compressed.local_steps is 0; expected at least 1"),
    ],
)
def test_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Compressed(**options)


def test_refuses_a_payload_too_small_for_anything() -> None:
    with pytest.raises(InvalidInput, match=r"upload_bit is 41; expected at least 42, the least"):
        affordable("top-k", 650, 41.0)
