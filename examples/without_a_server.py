"""No server, or several: devices that mix with neighbours, and edges below a cloud.

Run: python examples/without_a_server.py
"""

import fl_opt

DEVICES = 16


def main() -> None:
    """Train the same devices in five organisations."""
    graph = fl_opt.Graph.ring(DEVICES)
    best = fl_opt.solve(fl_opt.MixingWeights(graph)).allocation
    methods = {
        "one server": fl_opt.FedAvg(rate=0.2),
        "edges, cloud every 4 rounds": fl_opt.HierFAVG(rate=0.2, edges=4, cloud_every=4),
        "ring, Metropolis weights": fl_opt.Gossip(rate=0.2, graph="ring"),
        "ring, optimised weights": fl_opt.Gossip(rate=0.2, mixing=best),
        "torus, Metropolis weights": fl_opt.Gossip(rate=0.2, graph="torus"),
    }
    scenario = fl_opt.Scenario.named("urban").replace(devices=DEVICES)
    task = fl_opt.Task(partition="shards:2")
    for name, method in methods.items():
        trace = fl_opt.simulate(scenario, fl_opt.Arm(fl_opt.Everyone(), method), task, rounds=20)
        print(f"{name:28} accuracy {trace.accuracy[-1]:.3f}, loss {trace.loss[-1]:.3f}")


if __name__ == "__main__":
    main()
