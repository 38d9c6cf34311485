"""Send a hundredth of every update: with a memory of what was left out, and without.

Run: python examples/compressed.py
"""

import fl_opt

ARMS = {
    "everything": fl_opt.Compressed(compressor="none", rate=0.2),
    "top 1 %, fed back": fl_opt.Compressed(compressor="top-k", share=0.01, rate=0.2),
    "top 1 %, forgotten": fl_opt.Compressed(
        compressor="top-k", share=0.01, rate=0.2, error_feedback=False
    ),
    "signs, fed back": fl_opt.Compressed(compressor="sign", rate=0.2),
}


if __name__ == "__main__":
    scenario = fl_opt.Scenario.named("urban").replace(devices=20)
    task = fl_opt.Task(partition="shards:2")
    for name, method in ARMS.items():
        arm = fl_opt.Arm(fl_opt.Everyone(), method, name=name)
        trace = fl_opt.simulate(scenario, arm, task, rounds=30, seed=0)
        bit = method.level(650).upload_bit
        print(
            f"{name:20} accuracy {trace.accuracy[-1]:.3f}, {bit:6.0f} bit a round, airtime "
            f"{1e3 * trace.airtime_s.mean():6.2f} ms"
        )
