"""Teach each other by mean answers: a fiftieth of the bits, and what that costs in accuracy.

Run: python examples/distillation.py
"""

import fl_opt

METHODS = {
    "averaging": fl_opt.FedAvg(rate=0.2),
    "distillation": fl_opt.Distillation(rate=0.2),
    "each alone": fl_opt.Distillation(rate=0.2, gamma=0.0),
}

if __name__ == "__main__":
    scenario = fl_opt.Scenario.named("urban").replace(devices=10)
    task = fl_opt.Task("digits", "mlp", partition="scarce:3")
    federation = task.load(0, scenario.data_sizes)
    for name, method in METHODS.items():
        trace = fl_opt.simulate(scenario, fl_opt.Arm(fl_opt.Everyone(), method), task, rounds=20)
        bits = method.workload(federation).upload_bit[0]
        print(f"{name:14} accuracy {trace.accuracy[-1]:.3f}, {bits:9,.0f} bit up in a round")
