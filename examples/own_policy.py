"""A policy of one's own in ten lines, told what it breaks, then compared with the classical ones.

Run: python examples/own_policy.py
"""

import numpy as np

import fl_opt
from fl_opt.policies.seats import equal_share
from fl_opt.testing import check_policy


class MostData:
    """Whoever holds the most samples; `count` devices share the band equally."""

    def __init__(self, count):
        self.count = count

    def start(self, size, rng):
        """Nothing to remember."""

    def decide(self, round, memory):
        """Put the devices in line, seat the first ones."""
        line = np.argsort(-round.network.samples, kind="stable")
        return equal_share(round.network, line, self.count), memory


if __name__ == "__main__":
    check_policy(MostData(count=5))
    arms = [fl_opt.Arm(fl_opt.Random(count=5)), fl_opt.Arm(MostData(count=5))]
    scenario = fl_opt.Scenario.named("urban")
    report = fl_opt.compare(arms, scenario, fl_opt.Task(), rounds=30, seeds=6)
    print(report.paired_table()[["measure", "value", "low", "high", "better", "worse"]])
    print(report.method())
