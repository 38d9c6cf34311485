"""What does a joule buy? The best round of a wide macro cell under ever smaller energy budgets.

Every line is solved to a certified gap: who takes part, with which bandwidth, power, clock and
time. Seconds on one core.

Run: python examples/joint_schedule.py
"""

import numpy as np

import fl_opt
from fl_opt.allocation import use

DEADLINE_S = 2.0


def main() -> None:
    """Draw one round, solve it under several budgets, print a table."""
    scenario = fl_opt.Scenario.named("macro")
    workload = fl_opt.Workload(cycles=5e8, upload_bit=1e6, samples=scenario.data_sizes)
    network = scenario.draw(np.random.default_rng(1), workload)
    free = fl_opt.solve(fl_opt.JointSchedule(network, DEADLINE_S))
    ample_j = use(network, free.allocation).energy_j.sum()
    print(f"{'budget':>10} {'spent':>10} {'devices':>8} {'samples':>8} {'bound':>8} {'gap':>8}")
    for share in (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01):
        problem = fl_opt.JointSchedule(network, DEADLINE_S, energy_total_j=share * ample_j)
        solution = fl_opt.solve(problem)
        proof, chosen = solution.certificate, solution.allocation
        spent_j = use(network, chosen).energy_j.sum()
        print(
            f"{share * ample_j:8.3f} J {spent_j:8.3f} J {chosen.selected.sum():8d} "
            f"{-proof.cost:8.0f} {-proof.bound:8.0f} {proof.gap:8.0e}"
        )


if __name__ == "__main__":
    main()
