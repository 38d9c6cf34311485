"""Does a deadline filled by the optimum beat the classical rules? The same worlds for all.

Compares in training in the wide macro cell, then maps over deadlines and bands where the
optimised policy is worth anything. A few minutes on two cores; Ctrl-C writes what is finished.

Run: python examples/compare_policies.py
"""

from functools import partial

import fl_opt
from fl_opt.comparison import Interrupted, regime_map

DEADLINE_S = 1.0
POLICIES = {
    "equal bandwidth": fl_opt.Everyone,
    "random": partial(fl_opt.Random, None),
    "best channel": partial(fl_opt.BestChannel, None),
    "FedCS": fl_opt.FedCSGreedy,
    "optimised": lambda deadline_s: fl_opt.Optimised(
        partial(fl_opt.MaxParticipation, deadline_s=deadline_s)
    ),
}
"""By name and deadline."""


def main() -> None:
    """Train, write the report, print the map."""
    scenario = fl_opt.Scenario.named("macro").replace(band_hz=1e6)
    task = fl_opt.Task("digits", "mlp", "shards:2")
    arms = [fl_opt.Arm(rule(DEADLINE_S), name=name) for name, rule in POLICIES.items()]
    try:
        report = fl_opt.compare(arms, scenario, task, rounds=60, seeds=6, progress=_tell)
    except Interrupted as stop:
        report = stop.report
    report.to_html("report.html")
    rows = report.paired_table()
    columns = ["arm", "value", "low", "high", "better", "worse", "undecided"]
    print(rows.loc[rows.measure == "time_to_target_s", columns].to_string(index=False))
    print(report.method())

    workload = fl_opt.FedAvg().workload(task.load(0, scenario.data_sizes))
    found = regime_map(
        scenario,
        POLICIES,
        workload,
        deadlines_s=[0.1, 0.3, 1.0, 3.0],
        bands_hz=[3e5, 1e6, 3e6, 1e7],
    )
    print(found)


def _tell(done: int, total: int) -> None:
    print(f"\rround {done} of {total}", end="" if done < total else "\n", flush=True)


if __name__ == "__main__":
    main()
