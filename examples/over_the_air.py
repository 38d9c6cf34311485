"""Let the channel add the updates: the same devices, digital and over the air, at equal rounds.

Run: python examples/over_the_air.py
"""

import fl_opt

DEVICES = 20
ARMS = (
    fl_opt.Arm(fl_opt.Everyone(), fl_opt.FedAvg(rate=0.2), name="digital, equal bandwidth"),
    fl_opt.Arm(
        fl_opt.Optimised(fl_opt.OverTheAirPower.from_network),
        fl_opt.OverTheAir(rate=0.2),
        name="over the air, best powers",
    ),
    fl_opt.Arm(
        fl_opt.Superposed("inversion"), fl_opt.OverTheAir(rate=0.2), name="over the air, inversion"
    ),
)


if __name__ == "__main__":
    scenario = fl_opt.Scenario.named("urban").replace(devices=DEVICES)
    for arm in ARMS:
        trace = fl_opt.simulate(scenario, arm, fl_opt.Task(), rounds=15, seed=0)
        print(
            f"{arm.name:26} accuracy {trace.accuracy[-1]:.3f}, airtime of a round "
            f"{1e3 * trace.airtime_s.mean():7.3f} ms, after {trace.time_s[-1]:.1f} s"
        )
