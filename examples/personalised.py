"""Models of one's own where half of the devices call the classes by other names.

Run: python examples/personalised.py
"""

import fl_opt

STEPS = {"local_steps": 10, "batch": 10, "rate": 0.1}


def main() -> None:
    """Train eight devices with forty samples each in five ways."""
    methods = {
        "alone": fl_opt.LocalTraining(**STEPS),
        "one model for all": fl_opt.FineTuned(**STEPS, tune_steps=0),
        "fine-tuned, 20 steps": fl_opt.FineTuned(**STEPS, tune_steps=20),
        "meta-learned, 1 step": fl_opt.PerFedAvg(**STEPS, tune_rate=0.5),
        "related": fl_opt.MultiTask(**STEPS, coupling=0.01),
    }
    scenario = fl_opt.Scenario.named("urban").replace(devices=8)
    task = fl_opt.Task(model="mlp", partition="rotated:2", samples=320)
    for name, method in methods.items():
        trace = fl_opt.simulate(scenario, fl_opt.Arm(fl_opt.Everyone(), method), task, rounds=30)
        print(f"{name:22} accuracy {trace.accuracy[-1]:.3f} after {trace.time_s[-1]:.0f} s")


if __name__ == "__main__":
    main()
