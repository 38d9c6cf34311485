"""Fit rounds to a target to a few pilot runs, choose how many devices to draw, and see what comes.

Run: python examples/calibration.py
"""

import numpy as np

import fl_opt
from fl_opt.validation.calibration import calibrate

TARGET = 0.8
PILOTS = ((2, 10), (5, 10), (10, 10), (10, 3), (10, 30))
"""Devices drawn in a round, and their local steps."""
SCENARIO = fl_opt.Scenario.named("urban").replace(devices=10)
TASK = fl_opt.Task("digits", "softmax", "dirichlet:0.5", samples=1000)


def trained(devices: int, steps: int, rounds: int = 150) -> tuple[int, float]:
    """Rounds to the target, and seconds."""
    arm = fl_opt.Arm(fl_opt.Random(devices), fl_opt.FedAvg(local_steps=steps, rate=0.1))
    trace = fl_opt.simulate(SCENARIO, arm, TASK, rounds)
    reached = np.flatnonzero(trace.accuracy >= TARGET)
    end = int(reached[0]) if reached.size else rounds - 1
    return end + 1, float(trace.time_s[end])


if __name__ == "__main__":
    took = [trained(*pilot)[0] for pilot in PILOTS]
    updates, steps_of = np.transpose(PILOTS)
    fit = calibrate(updates, steps_of, took)
    for (devices, steps), rounds in zip(PILOTS, took, strict=True):
        says = float(fit.model.rounds(devices, steps))
        print(f"pilot, {devices:2} devices, {steps:2} steps: {rounds:3} rounds, fitted {says:5.1f}")

    federation = TASK.load(0, SCENARIO.data_sizes)
    workload = fl_opt.FedAvg(local_steps=10).workload(federation)
    network = next(SCENARIO.rounds(np.random.default_rng(0), workload))
    plan = fl_opt.solve(fl_opt.BudgetedTraining(network, fit.model.at(steps=10), utility=1.0))
    best = int(plan.allocation.selected.sum())
    for devices in sorted({1, best, 10}):
        rounds, seconds = trained(devices, 10)
        says = float(fit.model.rounds(devices, 10))
        chosen = ", by BudgetedTraining" if devices == best else ""
        told = f"{rounds:3} rounds, {says:5.1f} predicted, {seconds:6.2f} s"
        print(f"{devices:2} devices: {told}{chosen}")
