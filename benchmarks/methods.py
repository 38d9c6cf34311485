"""Rounds per second of every training method, beside those of FedAvg."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks._record import Record
from benchmarks._timing import in_turns
from fl_opt import Policy
from fl_opt.catalogue import methods
from fl_opt.experiments.worlds import Still
from fl_opt.policies import Everyone, Superposed
from fl_opt.validation import Arm, Method, Task, simulate
from fl_opt.validation.models import threads
from fl_opt.validation.over_the_air import Analog

TITLE = "Training methods"
ABOUT = """
Rounds of 50 devices, 10 local steps of batch 32 each, MLP 64-64-10 on digits, everybody in every
round: through `simulate`, hence with policy, radio, clock, what the method does on the server, and
the score of the round on 50 test images. Each method takes its turn for few rounds and for many;
the difference counts, so that the loading of the data is left out. Methods differ in the work that
they ask for: meta-learning takes two gradients a step, models of one's own are scored one by one,
and a server that does not wait ends a round before all devices are done.
"""

DEVICES, STEPS, BATCH = 50, 10, 32
FEW, MANY, TURNS = 2, 22, 5


def arms() -> dict[str, tuple[Policy, Method]]:
    """Every method of the catalogue in equal settings, with its policy."""
    found: dict[str, tuple[Policy, Method]] = {}
    for name, kind in methods().items():
        policy: Policy = Superposed("full") if issubclass(kind, Analog) else Everyone()
        found[name] = policy, kind(local_steps=STEPS, batch=BATCH)
    return found


def measure(record: Record) -> None:
    """Rounds per second, and as a share of FedAvg's."""
    devices, turns, many = (10, 1, 4) if record.quick else (DEVICES, TURNS, MANY)
    world = Still(devices, 1e-10, 0.1, 10.0**-20.4, 1e5)
    task = Task("digits", "mlp", test_samples=50)

    def rounds(name: str, count: int) -> Callable[[], object]:
        policy, method = found[name]
        return partial(simulate, world, Arm(policy, method), task, count, 0)

    found = arms()
    runs = {(name, count): rounds(name, count) for name in found for count in (FEW, many)}
    with threads(1):
        times = in_turns({f"{name} {count}": run for (name, count), run in runs.items()}, turns)
    seconds = {
        name: (times[f"{name} {many}"].least_s - times[f"{name} {FEW}"].least_s) / (many - FEW)
        for name in found
    }
    own = seconds["FedAvg"]
    ranked = sorted(seconds, key=seconds.__getitem__)
    record.table(
        f"{devices} devices, {STEPS} steps of {BATCH} samples",
        ("method", "rounds per second", "over FedAvg's"),
        [(n, f"{1.0 / seconds[n]:,.1f}", f"{own / seconds[n]:.2f} times") for n in ranked],
    )
