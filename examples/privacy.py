"""A budget of privacy over all rounds: what it costs, superposed and with orthogonal access.

Run: python examples/privacy.py
"""

from functools import partial

import fl_opt
from fl_opt.problems.privacy import epsilon_of

ROUNDS, DELTA, CLIP = 15, 1e-5, 0.5

if __name__ == "__main__":
    scenario = fl_opt.Scenario.named("urban").replace(devices=50)
    for epsilon in (1.0, 10.0, 100.0):
        formulate = partial(
            fl_opt.PrivatePower.from_network,
            epsilon=epsilon,
            delta=DELTA,
            rounds=ROUNDS,
            clip=CLIP,
        )
        for access in ("superposed", "orthogonal"):
            method = fl_opt.PrivateAverage(rate=0.2, clip=CLIP, access=access)
            arm = fl_opt.Arm(fl_opt.Optimised(formulate), method)
            trace = fl_opt.simulate(scenario, arm, fl_opt.Task(), rounds=ROUNDS)
            print(f"epsilon {epsilon:5g}, {access:10} accuracy {trace.accuracy[-1]:.3f}")
    print(f"rho of 0.1 is epsilon {epsilon_of(0.1, DELTA):.2f} at delta {DELTA:g}")
