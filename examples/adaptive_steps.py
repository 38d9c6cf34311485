"""How many local steps? Set anew in every round, against fixed numbers, in the same time.

Five devices hold two classes of digits each. The adaptive rule begins with one step and then takes
what the bound of Wang et al. says with the constants that devices report. Its uploads are twice as
long for it, which costs more than it saves where, as here, few steps a round are best. Ten seconds
on one core; with --quick, less time to train.

Run: python examples/adaptive_steps.py [--quick]
"""

import sys

import numpy as np

import fl_opt

RATE, NOMINAL = 0.1, 10


def main() -> None:
    """Train by the rule and by fixed numbers of steps until the time is up."""
    budget_s = 2.0 if "--quick" in sys.argv else 10.0
    scenario = fl_opt.Scenario.named("urban").replace(devices=5)
    task = fl_opt.Task(partition="shards:2", samples=500, cycles_per_operation=200.0)
    print(f"{scenario.size} devices, {budget_s:g} s")
    reporting = fl_opt.EstimatingFedAvg(local_steps=NOMINAL, batch=None, rate=RATE)
    rule = fl_opt.AdaptiveSteps(budget_s, RATE, NOMINAL)
    arms = {"adaptive ": fl_opt.Arm(rule, reporting)}
    for steps in (1, 3, 10, 30):
        method = fl_opt.FedAvg(local_steps=steps, batch=None, rate=RATE)
        arms[f"fixed, {steps:2d}"] = fl_opt.Arm(fl_opt.Everyone(), method)
    for name, arm in arms.items():
        trace = fl_opt.simulate(scenario, arm, task, rounds=round(20 * budget_s), idle_s=0.0)
        last = int(np.flatnonzero((trace.time_s <= budget_s) & (trace.selected > 0))[-1])
        print(
            f"{name}  {last + 1:4d} rounds, {trace.time_s[last]:5.2f} s, "
            f"loss {trace.loss[last]:.3f} nat, accuracy {trace.accuracy[last]:.1%}"
        )


if __name__ == "__main__":
    main()
