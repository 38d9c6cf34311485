"""Local training of many devices at once, and federated averaging."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from still_world import network
from torch import Tensor, nn

from fl_opt import Allocation, FedAvg, InvalidInput, Outcome, Task
from fl_opt.validation import perceptron
from fl_opt.validation.convolutional import Convolutional
from fl_opt.validation.fedavg import rounded
from fl_opt.validation.federation import Federation
from fl_opt.validation.global_model import State
from fl_opt.validation.model import Batches, Model
from fl_opt.validation.models import build, threads
from fl_opt.validation.perceptron import Perceptron

MODELS: list[Model] = [
    Perceptron((9, 4)),
    Perceptron((9, 5, 4)),
    Perceptron((9, 6, 5, 4)),
    Convolutional((8, 8), 2, 4),
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads(1):
        yield


def reference(model: Model, weights: Tensor) -> nn.Module:
    """The same classifier out of torch's own modules."""
    parts: list[nn.Module] = []
    if isinstance(model, Perceptron):
        for a, b in zip(model.layers[:-1], model.layers[1:], strict=True):
            parts += [nn.Linear(a, b), nn.ReLU()]
        parts.pop()
    else:
        assert isinstance(model, Convolutional)
        a, pixels = model.channels, model.shape[0] // 4 * (model.shape[1] // 4)
        parts = [
            nn.Unflatten(1, (1, *model.shape)),
            *(nn.Conv2d(1, a, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(a, 2 * a, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(2 * a * pixels, model.classes)),
        ]
    net = nn.Sequential(*parts).double()
    at = 0
    with torch.no_grad():
        for value in net.parameters():
            piece = weights[at : at + value.numel()]
            turned = isinstance(model, Perceptron) and value.dim() == 2
            value.copy_(piece.view(value.shape[::-1]).T if turned else piece.view(value.shape))
            at += value.numel()
    assert at == model.parameters == len(weights)
    return net


def flat(model: Model, net: nn.Module) -> Tensor:
    turned = isinstance(model, Perceptron)
    values = [value.detach() for value in net.parameters()]
    return torch.cat([(v.T if turned and v.dim() == 2 else v).reshape(-1) for v in values])


def plain_loop(
    model: Model, start: Tensor, x: Tensor, y: Tensor, batches: Batches, rate: float
) -> Tensor:
    """Device after device, step after step, by torch's autograd and optimiser."""
    final = []
    weight = batches.weight.expand(batches.index.shape)
    for k in range(len(batches.index)):
        net = reference(model, start if start.dim() == 1 else start[k])
        optimiser = torch.optim.SGD(net.parameters(), lr=rate)
        for rows, share in zip(batches.index[k], weight[k], strict=True):
            optimiser.zero_grad()
            each = nn.functional.cross_entropy(net(x[rows]), y[rows], reduction="none")
            (each * share).sum().backward()
            optimiser.step()
        final.append(flat(model, net))
    return torch.stack(final)


def problem(
    model: Model, devices: int, steps: int, size: int, seed: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Batches]:
    rng = np.random.default_rng(seed)
    pixels = model.layers[0] if isinstance(model, Perceptron) else 64
    x = torch.from_numpy(rng.random((40, pixels))).to(dtype)
    y = torch.from_numpy(rng.integers(0, 4, 40))
    start = torch.from_numpy(rng.normal(size=model.parameters) * 0.5).to(dtype)
    weight = rng.random((devices, steps, size)) * (rng.random((devices, steps, size)) < 0.8)
    weight[rng.random((devices, steps)) < 0.2] = 0.0
    index = torch.from_numpy(rng.integers(0, 40, (devices, steps, size)))
    return start, x, y, Batches(index, torch.from_numpy(weight).to(dtype))


@pytest.mark.parametrize("model", MODELS, ids=str)
@settings(max_examples=8, deadline=None)
@given(
    devices=st.integers(1, 5),
    steps=st.integers(1, 4),
    size=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_batched_training_is_the_plain_loop(
    model: Model, devices: int, steps: int, size: int, seed: int
) -> None:
    start, x, y, batches = problem(model, devices, steps, size, seed, torch.float64)
    before = start.clone()
    trained, _ = model.train(start, x, y, batches, 0.3)
    torch.testing.assert_close(
        trained, plain_loop(model, start, x, y, batches, 0.3), rtol=1e-10, atol=1e-12
    )
    assert torch.equal(start, before)
    starts = torch.stack([start * (1 + k) for k in range(devices)])
    own, _ = model.train(starts, x, y, batches, 0.3)
    torch.testing.assert_close(
        own, plain_loop(model, starts, x, y, batches, 0.3), rtol=1e-10, atol=1e-12
    )
    single = [tensor.float() for tensor in (start, x)]
    coarse, _ = model.train(
        single[0], single[1], y, Batches(batches.index, batches.weight.float()), 0.3
    )
    torch.testing.assert_close(coarse.double(), trained, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_loss_is_the_mean_over_the_steps_that_a_device_takes(model: Model) -> None:
    start, x, y, batches = problem(model, 2, 3, 4, 5, torch.float64)
    weight = torch.full((2, 3, 4), 0.25, dtype=torch.float64)
    weight[1, 1:] = 0.0
    _, loss = model.train(start, x, y, Batches(batches.index, weight), 1e-12)
    each = nn.functional.cross_entropy(model.logits(start, x), y, reduction="none")
    expected = [each[batches.index[0]].mean(), each[batches.index[1, 0]].mean()]
    torch.testing.assert_close(loss, torch.stack(expected), rtol=1e-9, atol=0.0)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_padding_and_rest_change_nothing_and_devices_do_not_meet(model: Model) -> None:
    start, x, y, batches = problem(model, 4, 5, 6, 7, torch.float64)
    weight = batches.weight.clone()
    weight[:, :, 4:] = 0.0
    weight[2, 3:] = 0.0
    index = batches.index.clone()
    whole, _ = model.train(start, x, y, Batches(index, weight), 0.3)
    shuffled = index.clone()
    shuffled[:, :, 4:] = 0
    other, _ = model.train(start, x, y, Batches(shuffled, weight), 0.3)
    torch.testing.assert_close(other, whole, rtol=1e-12, atol=1e-14)
    alone, _ = model.train(start, x, y, Batches(index[2:3, :3], weight[2:3, :3]), 0.3)
    torch.testing.assert_close(alone[0], whole[2], rtol=1e-12, atol=1e-14)
    order = torch.tensor([3, 0, 2, 1])
    turned, _ = model.train(start, x, y, Batches(index[order], weight[order]), 0.3)
    torch.testing.assert_close(turned, whole[order], rtol=1e-12, atol=1e-14)


def test_groups_that_fit_the_cache_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODELS[1]
    start, x, y, batches = problem(model, 7, 3, 4, 11, torch.float64)
    whole, loss = model.train(start, x, y, batches, 0.3)
    for devices in (1, 3):
        monkeypatch.setattr(perceptron, "GROUP_BYTES", devices * model.parameters * 8)
        trained, losses = model.train(start, x, y, batches, 0.3)
        torch.testing.assert_close(trained, whole, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(losses, loss, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("name", "shape", "width", "parameters"),
    [
        ("softmax", (28, 28), None, 7850),
        ("mlp", (28, 28), None, 50890),
        ("mlp", (8, 8), 30, 2260),
        ("cnn", (28, 28), None, 80 + 1168 + 7850),
    ],
)
def test_sizes_are_those_of_the_textbook(
    name: str, shape: tuple[int, int], width: int | None, parameters: int
) -> None:
    model = build(name, shape, 10, width)
    assert model.parameters == parameters
    assert len(model.initial(np.random.default_rng(0))) == parameters


def round_of(
    federation: Federation,
    method: FedAvg,
    state: State,
    arrived: list[int],
    seed: int = 0,
    local_steps: list[int] | None = None,
) -> State:
    size = federation.size
    mask = np.isin(np.arange(size), arrived)
    allocation = Allocation(
        selected=mask,
        bandwidth_hz=1.0,
        power_w=1.0,
        cpu_hz=1.0,
        local_steps=None if local_steps is None else np.array(local_steps),
    )
    outcome = Outcome(mask, mask, np.zeros(size), np.zeros(size), 1.0)
    return method.learn(federation, state, allocation, outcome, np.random.default_rng(seed))


def begun(method: FedAvg, task: Task) -> tuple[Federation, State]:
    federation = task.load(seed=2)
    return federation, method.start(federation, np.random.default_rng(3))


def test_one_full_step_of_everybody_is_one_step_of_gradient_descent() -> None:
    method = FedAvg(local_steps=1, batch=None, rate=0.7)
    federation, state = begun(method, Task(model="mlp", partition="shards:3", devices=7))
    after = round_of(federation, method, state, list(range(7)))
    weights = state.weights.double().requires_grad_(True)
    logits = federation.model.logits(weights, federation.x.double())
    loss = nn.functional.cross_entropy(logits, federation.y)
    (gradient,) = torch.autograd.grad(loss, weights)
    expected = weights.detach() - 0.7 * gradient
    torch.testing.assert_close(after.weights.double(), expected, rtol=1e-4, atol=1e-6)


def test_what_arrives_is_weighted_by_its_samples() -> None:
    method = FedAvg(local_steps=2, batch=5)
    federation = Task().load(holdings=[30.0, 10.0, 60.0])
    state = method.start(federation, np.random.default_rng(0))
    alone = [round_of(federation, method, state, [k]).weights for k in range(3)]
    both = round_of(federation, method, state, [0, 2]).weights
    torch.testing.assert_close(both, alone[0] / 3 + alone[2] * 2 / 3, rtol=1e-5, atol=1e-6)


def test_with_nothing_arrived_the_model_stays() -> None:
    method = FedAvg()
    federation, state = begun(method, Task(devices=4))
    after = round_of(federation, method, state, [])
    assert torch.equal(after.weights, state.weights)
    np.testing.assert_array_equal(after.age, 1.0)
    assert np.isnan(method.observe(after)["update_norm"]).all()


def test_signals_tell_what_the_server_knows() -> None:
    method = FedAvg(local_steps=3)
    federation, state = begun(method, Task(devices=4))
    after = round_of(federation, method, state, [1, 3])
    signals = method.observe(after)
    assert set(signals) == set(method.signals)
    np.testing.assert_array_equal(signals["age"], [1, 0, 1, 0])
    np.testing.assert_array_equal(np.isnan(signals["loss"]), [True, False, True, False])
    alone = round_of(federation, method, state, [1]).weights - state.weights
    assert signals["update_norm"][1] == pytest.approx(float(alone.norm()), rel=1e-4)


def test_local_steps_of_an_allocation_count_per_device() -> None:
    federation, state = begun(FedAvg(), Task(devices=3))
    mixed = round_of(federation, FedAvg(local_steps=1), state, [0, 1, 2], local_steps=[4, 1, 0])
    norms = FedAvg().observe(mixed)["update_norm"]
    assert norms[2] == 0.0
    assert norms[0] > norms[1] > 0.0


def test_who_trains_does_not_change_what_a_device_draws() -> None:
    method = FedAvg(local_steps=3, batch=4)
    federation, _ = begun(method, Task(devices=5))
    steps = np.full(2, 3)
    first = federation.batches(np.array([1, 3]), steps, 4, np.random.default_rng(1))
    other = federation.batches(np.array([3, 4]), steps, 4, np.random.default_rng(1))
    assert torch.equal(first.index[1], other.index[0])
    starts = np.concatenate([[0], np.cumsum(federation.held)])
    assert starts[3] <= int(other.index[0].min()) <= int(other.index[0].max()) < starts[4]


def test_batches_draw_every_sample_alike() -> None:
    federation = Task().load(holdings=[5.0, 8.0])
    rng = np.random.default_rng(0)
    batches = federation.batches(np.array([0, 1]), np.array([100, 100]), 40, rng)
    drawn = np.bincount(batches.index.numpy().ravel(), minlength=13)
    np.testing.assert_allclose(drawn[:5], 4000 / 5, rtol=0.1)
    np.testing.assert_allclose(drawn[5:], 4000 / 8, rtol=0.15)
    whole = federation.batches(np.array([0, 1]), np.array([1, 1]), None, rng)
    assert whole.index[1, 0].tolist() == list(range(5, 13))
    np.testing.assert_allclose(whole.weight[0, 0], [0.2] * 5 + [0.0] * 3)


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(st.floats(-(2.0**90), 2.0**90, width=32), min_size=1, max_size=20),
    bits=st.integers(10, 32),
)
def test_shortened_numbers_are_the_nearest_of_their_length(values: list[float], bits: int) -> None:
    exact = torch.tensor(values, dtype=torch.float32)
    sent = rounded(exact.clone(), bits)
    normal = exact.abs() > 1e-37
    error = (sent.double() - exact.double()).abs()
    assert (error <= exact.double().abs() * 2.0 ** (8 - bits))[normal].all()
    assert torch.equal(rounded(sent.clone(), bits), sent)
    assert torch.equal(
        sent.view(torch.int32) & ((1 << (32 - bits)) - 1), torch.zeros_like(sent).int()
    )


def test_sixteen_bits_are_bfloat16() -> None:
    values = torch.from_numpy(np.random.default_rng(0).normal(size=10000).astype(np.float32))
    assert torch.equal(rounded(values.clone(), 16), values.bfloat16().float())


def test_the_payload_is_exact() -> None:
    federation = Task(model="mlp", devices=4).load()
    work = FedAvg(local_steps=5, batch=20, bits=16).workload(federation)
    np.testing.assert_array_equal(work.upload_bit, 16 * 4810)
    np.testing.assert_array_equal(work.cycles, 3 * (64 * 64 + 64 * 10) * 5 * 20)
    np.testing.assert_array_equal(work.samples, federation.held)
    full = FedAvg(local_steps=2, batch=None).workload(federation)
    np.testing.assert_array_equal(full.cycles, 3 * 4736 * 2 * federation.held)
    assert FedAvg(bits=16).broadcast_bit(federation) == 32 * 4810


def test_packets_are_lost_by_the_physics() -> None:
    net = network(3, gain=[1e-10, 1e-13, 0.0])
    allocation = Allocation(
        selected=np.ones(3, dtype=bool), bandwidth_hz=1e6, power_w=0.2, cpu_hz=1e9
    )
    loss = FedAvg(waterfall=1.5).packet_error(net, allocation)
    noise = net.noise_w_hz[0] * 1e6
    expected = [1 - np.exp(-1.5 * noise / (0.2 * h)) for h in (1e-10, 1e-13)]
    np.testing.assert_allclose(loss, [*expected, 1.0], rtol=1e-9)
    np.testing.assert_array_equal(FedAvg().packet_error(net, allocation)[:2], 0.0)


def test_rotated_labels_are_judged_by_each_device() -> None:
    task = Task(model="softmax", partition="rotated:2", devices=4)
    federation = task.load(seed=0)
    turned = dataclasses.replace(federation, shift=np.array([0, 0, 0, 5]))
    weights = federation.model.initial(np.random.default_rng(0))
    plain = dataclasses.replace(federation, shift=np.zeros(4, dtype=int)).score(weights).accuracy
    other = dataclasses.replace(federation, shift=np.full(4, 5)).score(weights).accuracy
    assert turned.score(weights).accuracy == pytest.approx(0.75 * plain + 0.25 * other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"local_steps": 0}, "local_steps is 0; expected at least 1"),
        ({"batch": 2.5}, "batch is 2.5; expected a whole number"),
        ({"rate": 0.0}, "rate is 0; expected a number > 0"),
        ({"bits": 9}, "bits is 9; expected 10 to 32"),
        ({"waterfall": -1.0}, "waterfall"),
    ],
)
def test_options_that_make_no_method_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        FedAvg(**options)  # type: ignore[arg-type]


def test_threads_are_restored_whatever_happens() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        with threads(before + 1):
            assert torch.get_num_threads() == before + 1
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.get_num_threads() == before
