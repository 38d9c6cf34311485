"""A device of rounds.py; a module of its own, so that Ray's workers import it and keep its data."""

from __future__ import annotations

import functools

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import nn

STEPS, BATCH, RATE, SAMPLES = 10, 32, 0.05, 200


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


@functools.cache
def data(device: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(device)
    x = torch.rand(SAMPLES, 784, generator=generator)
    return x, torch.randint(0, 10, (SAMPLES,), generator=generator)


client = ClientApp()


@client.train()
def train(message: Message, context: Context) -> Message:
    torch.set_num_threads(1)
    x, y = data(int(context.node_config["partition-id"]))
    net = network()
    net.load_state_dict(message.content["arrays"].to_torch_state_dict())
    optimiser = torch.optim.SGD(net.parameters(), lr=RATE)
    for _ in range(STEPS):
        rows = torch.randint(0, SAMPLES, (BATCH,))
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
        optimiser.step()
    content = {
        "arrays": ArrayRecord(net.state_dict()),
        "metrics": MetricRecord({"num-examples": SAMPLES}),
    }
    return Message(content=RecordDict(content), reply_to=message)
