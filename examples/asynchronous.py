"""Go on without the slow: the same training by the clock, waiting for all and for some.

Run: python examples/asynchronous.py
"""

import numpy as np

import fl_opt

METHODS = {
    "waiting for all": (fl_opt.FedAvg(rate=0.2), 10),
    "buffer of five": (fl_opt.FedBuff(rate=0.2, buffer=5), 80),
    "every update": (fl_opt.FedAsync(rate=0.2), 400),
}
HORIZON_S = 1.0

if __name__ == "__main__":
    scenario = fl_opt.Scenario.named("urban").replace(devices=20)
    task = fl_opt.Task("digits", "mlp")
    for name, (method, rounds) in METHODS.items():
        trace = fl_opt.simulate(scenario, fl_opt.Arm(fl_opt.Everyone(), method), task, rounds)
        last = int(np.searchsorted(trace.time_s, HORIZON_S))
        print(
            f"{name:16} {trace.arrived[:last].sum():4} updates in {trace.time_s[last - 1]:.2f} s, "
            f"accuracy {trace.accuracy[last - 1]:.3f}, {trace.energy_j[:last].sum():.3f} J"
        )
