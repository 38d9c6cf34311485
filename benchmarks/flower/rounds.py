"""Times of the rounds of Flower's simulation, as JSON: the arithmetic of training.py.

Runs in a virtual environment of its own, with requirements.txt::

    python benchmarks/flower/rounds.py ROUNDS CORES

Every device draws its batches from its own samples, takes the steps with torch's SGD, and sends its
parameters to Flower's FedAvg, which averages them; nothing is evaluated. Timed on the server from
the end of one round to the end of the next, so that starting Ray is left out: wall-clock time, and
processor time of this process and all that it started [s]. A round in which a device fails is an
error, not a quick round.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Ray's workers are processes of their own: they find client.py by this
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent)

from client import client, network
from flwr.app import ArrayRecord, Context, Message
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

DEVICES = 50


class EveryoneArrives(FedAvg):
    """FedAvg that fails where a device does."""

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
        arrived = list(replies)
        failed = [reply.error.reason for reply in arrived if reply.has_error()]
        if failed or len(arrived) != DEVICES:
            raise RuntimeError(f"{len(failed)} of {len(arrived)} devices failed: {failed[:1]}")
        return super().aggregate_train(server_round, arrived)


def processor_s() -> float:
    """Processor time so far of this process and all its descendants [s]."""
    parent, spent = dict[int, int](), dict[int, float]()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        process = int(stat.parent.name)
        parent[process] = int(fields[1])
        spent[process] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    ours = {os.getpid()}
    while grown := {child for child, of in parent.items() if of in ours} - ours:
        ours |= grown
    return sum(spent.get(process, 0.0) for process in ours)


def main() -> None:
    rounds, cores = int(sys.argv[1]), float(sys.argv[2])
    ends: list[tuple[float, float]] = []
    server = ServerApp()

    @server.main()
    def serve(grid: Grid, context: Context) -> None:
        strategy = EveryoneArrives(
            fraction_evaluate=0.0, min_train_nodes=DEVICES, min_available_nodes=DEVICES
        )

        def note(server_round: int, arrays: Any) -> None:
            ends.append((time.perf_counter(), processor_s()))

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
    if len(ends) != rounds + 1:
        raise RuntimeError(f"{len(ends) - 1} of {rounds} rounds were made")
    # the first call is before the first round, and the first round starts the workers
    steps = itertools.pairwise(ends[1:])
    print(json.dumps([[now[0] - then[0], now[1] - then[1]] for then, now in steps]))


if __name__ == "__main__":
    main()
