"""Time of a round of Flower's simulation, in seconds, as JSON: the arithmetic of training.py.

Runs in a virtual environment of its own, with requirements.txt. Every device draws its batches
from its own samples, takes the steps with torch's SGD, and sends its parameters to Flower's
FedAvg, which averages them; nothing is evaluated. Timed on the server from the end of one round
to the end of the next, so that starting Ray is left out.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import sys
import time
from typing import Any

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from torch import nn

DEVICES, STEPS, BATCH, RATE, SAMPLES = 50, 10, 32, 0.05, 200


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


def main() -> None:
    rounds, cores = int(sys.argv[1]), float(sys.argv[2])
    ends: list[float] = []
    server = ServerApp()

    @server.main()
    def serve(grid: Grid, context: Context) -> None:
        strategy = FedAvg(
            fraction_evaluate=0.0, min_train_nodes=DEVICES, min_available_nodes=DEVICES
        )

        def note(server_round: int, arrays: Any) -> None:
            ends.append(time.perf_counter())

        strategy.start(
            grid=grid,
            initial_arrays=ArrayRecord(network().state_dict()),
            num_rounds=rounds,
            evaluate_fn=note,
        )

    run_simulation(
        server_app=server,
        client_app=client,
        num_supernodes=DEVICES,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {"num_cpus": cores, "include_dashboard": False},
        },
    )
    # the first call is before the first round, and the first round starts the workers
    print(json.dumps([after - before for before, after in itertools.pairwise(ends[1:])]))


if __name__ == "__main__":
    main()
