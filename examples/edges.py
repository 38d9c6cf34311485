"""Which edge, and how its band is shared: the same training, with three ways to run a round.

Run: python examples/edges.py
"""

import dataclasses

import numpy as np

import fl_opt
from fl_opt.allocation import use
from fl_opt.experiments.edges import Area, Attached, Planned, equal_parts, kept_to, nearest

DEVICES, EDGES = 20, 4

if __name__ == "__main__":
    task = fl_opt.Task("digits", "mlp", "shards:2", devices=DEVICES, cycles_per_operation=50.0)
    method = fl_opt.HierFAVG(local_steps=6, batch=20, rate=0.1, cloud_every=5, cloud_s=0.1)
    area = Area.draw(DEVICES, EDGES, np.random.default_rng(3))
    network = area.network(method.workload(task.load()))

    # a second is worth what the usual round spends in it
    usual = equal_parts(network, nearest(network))
    spent = use(network.under(usual.edge), usual.allocation)
    worth_j_s = spent.energy_j.sum() / spent.finish_s.max()
    shared, chosen = (
        fl_opt.solve(fl_opt.EdgeAssociation(reach, worth_j_s, rounds="max"))
        for reach in (kept_to(network, usual.edge), network)
    )
    decisions = {
        "nearest, equal parts": usual,
        "nearest, shared best": shared.allocation,
        "EdgeAssociation": chosen.allocation,
    }
    for name, decision in decisions.items():
        at_edges = dataclasses.replace(method, association=decision.edge.tolist())
        arm = fl_opt.Arm(Planned(decision), at_edges)
        trace = fl_opt.simulate(Attached(area, decision.edge), arm, task, rounds=50)
        print(
            f"{name:20}  accuracy {trace.accuracy[-1]:.3f} after {trace.time_s[-1]:5.2f} s "
            f"and {trace.energy_j.sum():5.2f} J"
        )
    print(f"a round by EdgeAssociation is within {chosen.certificate.gap:.1%} of the best there is")
