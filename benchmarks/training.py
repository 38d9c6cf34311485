"""A round of local training: batched, against a plain loop, bare matrix products and Flower."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks._record import Record
from benchmarks._timing import in_turns
from fl_opt import Allocation, FedAvg, Outcome
from fl_opt.validation.data import Dataset, Partition
from fl_opt.validation.federation import Federation
from fl_opt.validation.model import Model
from fl_opt.validation.models import build, threads

TITLE = "Training"
ABOUT = """
A round of 50 devices, 10 local steps of batch 32, MLP 784-64-10: ours draws the batches, trains and
averages; the plain loop does the same device after device with torch's modules and optimiser; the
products are the five of each step and nothing else. The small CNN likewise, against the plain loop.
They take turns and the least time of each counts. Promised for one thread, which is how `simulate`
runs; two threads stand beside it.

Flower's simulation does the same arithmetic with as many workers as there are cores, up to two,
timed on the server from the end of a round to the end of the next, so that its start is left out;
the lesser of wall-clock time and processor time of all its processes counts. It needs a virtual
environment of its own:

    python3.11 -m venv /tmp/flower
    /tmp/flower/bin/pip install -r benchmarks/flower/requirements.txt
    FL_OPT_FLOWER=/tmp/flower/bin/python python -m benchmarks training
"""

DEVICES, STEPS, BATCH, RATE, SAMPLES = 50, 10, 32, 0.05, 200
TURNS, CNN_TURNS = 9, 9
FLOWER_ROUNDS = 12
FLOWER = Path(__file__).parent / "flower" / "rounds.py"


def federation(name: str) -> Federation:
    """Random images: the arithmetic does not depend on them."""
    rng = np.random.default_rng(0)
    total = DEVICES * SAMPLES
    images = rng.integers(0, 256, (total, 784), dtype=np.uint8)
    labels = rng.integers(0, 10, total)
    data = Dataset("noise", images, labels, images[:1], labels[:1], 255, (28, 28), 10)
    parts = tuple(np.split(np.arange(total), DEVICES))
    return Federation.of(
        data=data,
        dealt=Partition(parts, np.zeros(DEVICES, dtype=np.int64)),
        model=build(name, data.shape, data.classes),
        test_samples=1,
        cycles_per_operation=1.0,
        rng=rng,
    )


def ours(fed: Federation) -> Callable[[], object]:
    """A round of FedAvg in which everybody arrives."""
    method = FedAvg(local_steps=STEPS, batch=BATCH, rate=RATE)
    rng = np.random.default_rng(1)
    state = method.start(fed, rng)
    all_of_them = np.ones(DEVICES, dtype=bool)
    outcome = Outcome(all_of_them, all_of_them, np.zeros(DEVICES), np.zeros(DEVICES), 1.0)
    allocation = Allocation(selected=all_of_them, bandwidth_hz=1.0, power_w=1.0, cpu_hz=1.0)
    return lambda: method.learn(fed, state, allocation, outcome, rng)


def module(model: Model) -> nn.Sequential:
    """The model out of torch's own modules."""
    if model.parameters == build("mlp", (28, 28), 10).parameters:
        return nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(784, 10)),
    )


def plain_loop(fed: Federation) -> Callable[[], object]:
    """The same round device after device, as one would write it first."""
    net = module(fed.model)
    start = {name: value.clone() for name, value in net.state_dict().items()}
    first = np.concatenate([[0], np.cumsum(fed.held)])

    def run() -> dict[str, Tensor]:
        mean = {name: torch.zeros_like(value) for name, value in start.items()}
        for k in range(DEVICES):
            net.load_state_dict(start)
            optimiser = torch.optim.SGD(net.parameters(), lr=RATE)
            for _ in range(STEPS):
                rows = torch.randint(int(first[k]), int(first[k + 1]), (BATCH,))
                optimiser.zero_grad()
                nn.functional.cross_entropy(net(fed.x[rows]), fed.y[rows]).backward()
                optimiser.step()
            for name, value in net.state_dict().items():
                mean[name] += value / DEVICES
        return mean

    return run


def products(fed: Federation) -> Callable[[], object]:
    """The matrix products of the MLP's steps, forward and backward, into memory that is there."""
    x, hidden, out = (torch.rand(DEVICES, BATCH, width) for width in (784, 64, 10))
    first, second = torch.rand(DEVICES, 784, 64), torch.rand(DEVICES, 64, 10)
    a, b, c = torch.empty_like(hidden), torch.empty_like(out), torch.empty_like(hidden)
    d, e = torch.empty_like(second), torch.empty_like(first)

    def run() -> None:
        for _ in range(STEPS):
            torch.bmm(x, first, out=a)
            torch.bmm(hidden, second, out=b)
            torch.bmm(out, second.transpose(1, 2), out=c)
            torch.bmm(hidden.transpose(1, 2), out, out=d)
            torch.bmm(x.transpose(1, 2), hidden, out=e)

    return run


def flower_s(cores: int) -> float | str:
    """Least time of a round of Flower's simulation [s]; why there is none otherwise.

    Of each round the lesser of wall-clock time and processor time of all its processes.
    """
    python = os.environ.get("FL_OPT_FLOWER")
    if not python:
        return "not measured: FL_OPT_FLOWER names no python"
    answer = subprocess.run(
        [python, str(FLOWER), str(FLOWER_ROUNDS), str(cores)], capture_output=True, text=True
    )
    if answer.returncode:
        return f"failed: {answer.stderr.strip().splitlines()[-1]}"
    rounds: list[tuple[float, float]] = json.loads(answer.stdout.splitlines()[-1])
    return min(min(wall, processor) for wall, processor in rounds)


def measure(record: Record) -> None:
    """Compare the MLP, the CNN, and Flower."""
    cores = min(2, os.cpu_count() or 1)
    turns, cnn_turns = (2, 1) if record.quick else (TURNS, CNN_TURNS)
    mlp = federation("mlp")
    runs = {"ours": ours(mlp), "loop": plain_loop(mlp), "products": products(mlp)}
    quickest = bare = float("inf")
    for count in sorted({1, cores}):
        with threads(count):
            seconds = {name: times.least_s for name, times in in_turns(runs, turns).items()}
        quickest, bare = min(quickest, seconds["ours"]), min(bare, seconds["products"])
        _compare(record, seconds, count)
    cnn = federation("cnn")
    with threads(1):
        runs = {"ours": ours(cnn), "loop": plain_loop(cnn)}
        seconds = {name: times.least_s for name, times in in_turns(runs, cnn_turns).items()}
    ratio = seconds["loop"] / seconds["ours"]
    record.promise(
        "small CNN, a plain loop over devices, over ours",
        ratio,
        "at least 1",
        ratio >= 1.0,
        f"{ratio:.2f} times ({_ms(seconds['loop'])} over {_ms(seconds['ours'])})",
    )
    theirs = "not run in a quick run" if record.quick else flower_s(cores)
    what = f"MLP, Flower's simulation with {cores} workers, over ours"
    if isinstance(theirs, str):
        record.fact(what, theirs)
        return
    ratio = theirs / quickest
    record.promise(
        what,
        ratio,
        "at least 20 times",
        ratio >= 20.0,
        f"{ratio:.0f} times ({_ms(theirs)} over {_ms(quickest)})",
    )
    record.fact(
        "the same, over the matrix products alone, which no training can beat",
        f"{theirs / bare:.0f} times ({_ms(theirs)} over {_ms(bare)})",
    )


def _compare(record: Record, seconds: dict[str, float], count: int) -> None:
    loop = seconds["loop"] / seconds["ours"]
    products = seconds["ours"] / seconds["products"]
    told = f"{loop:.2f} times ({_ms(seconds['loop'])} over {_ms(seconds['ours'])})"
    bare = f"{products:.2f} times ({_ms(seconds['ours'])} over {_ms(seconds['products'])})"
    what = "MLP, a plain loop over devices, over ours", "MLP, ours over the matrix products alone"
    if count > 1:
        record.fact(f"{what[0]}, {count} threads", told)
        record.fact(f"{what[1]}, {count} threads", bare)
        return
    record.fact("MLP, rounds per second of ours", f"{1.0 / seconds['ours']:.1f}")
    record.promise(what[0], loop, "at least 3 times", loop >= 3.0, told)
    record.promise(what[1], products, "at most 2 times", products <= 2.0, bare)


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f} ms"
