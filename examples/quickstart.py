"""Draw a round, solve it with proof, try the policy in training against a classical one."""

from functools import partial

import numpy as np

import fl_opt

scenario = fl_opt.Scenario.named("macro")
workload = fl_opt.Workload(cycles=5e8, upload_bit=1e6, samples=scenario.data_sizes)
network = scenario.draw(np.random.default_rng(1), workload)
print(fl_opt.solve(fl_opt.JointSchedule(network, deadline_s=2.0)))

optimised = fl_opt.Optimised(partial(fl_opt.JointSchedule, deadline_s=2.0))
arms = [fl_opt.Arm(fl_opt.Random(count=10)), fl_opt.Arm(optimised)]
report = fl_opt.compare(arms, scenario, fl_opt.Task(), rounds=20, seeds=3)
report.to_html("report.html")
