"""What is it worth to know the channels beforehand? Batteries that must last for many rounds.

The online rule (`Lyapunov`) sees one round at a time. `LongTermEnergy` knows all of them: its
decision is one that could have been made, its bound what nobody could beat. A minute on one core;
with --quick, fewer rounds.

Run: python examples/long_term_energy.py [--quick]
"""

import sys

import numpy as np

import fl_opt
from fl_opt.validation import measure

DEADLINE_S, BUDGET_J = 1.0, 0.02


def worlds(size: int, rounds: int) -> tuple[fl_opt.Network, ...]:
    """A small cell, its links fading independently from round to round."""
    rng = np.random.default_rng(5)
    cell = fl_opt.Network(
        gain=10.0 ** rng.uniform(-12.5, -10.5, size),
        power_max_w=0.2,
        cpu_min_hz=1e8,
        cpu_max_hz=2e9,
        capacitance=1e-28,
        cycles=2e8,
        upload_bit=6e5,
        samples=500,
        band_hz=1.5e5 * size,
    )
    fading = rng.exponential(1.0, (rounds, size))
    return tuple(cell.replace(gain=cell.gain * row) for row in fading)


def online(policy: fl_opt.Lyapunov, networks: tuple[fl_opt.Network, ...]) -> tuple[int, float]:
    """Participations in all, and the largest part of its budget that a device has spent."""
    rng = np.random.default_rng(0)
    memory, last = policy.start(networks[0].size, rng), None
    count, spent_j = 0, np.zeros(networks[0].size)
    for index, network in enumerate(networks):
        allocation, memory = policy.decide(fl_opt.Round(network, index, rng, last), memory)
        last = measure(network, allocation, rng)
        count += int(last.arrived.sum())
        spent_j += last.energy_j
    return count, float(spent_j.max()) / BUDGET_J


def main() -> None:
    """Play the online rule at several weights beside the offline optimum and its bound."""
    size, rounds = (3, 4) if "--quick" in sys.argv else (6, 20)
    networks = worlds(size, rounds)
    proof = fl_opt.solve(fl_opt.LongTermEnergy(networks, DEADLINE_S, BUDGET_J)).certificate
    print(f"{size} devices, {rounds} rounds, {BUDGET_J} J each")
    print(f"channels known    {-proof.cost:4.0f} participations, at most {-proof.bound:.0f}")
    share_j = BUDGET_J / rounds
    for weight in (2.0, 3.0, 4.0, 8.0, 16.0):
        policy = fl_opt.Lyapunov(
            DEADLINE_S, BUDGET_J, rounds, weight_j2=weight * share_j**2, floor_j=share_j
        )
        count, most = online(policy, networks)
        price = 1.0 + count / proof.bound
        print(
            f"online, V = {weight:4.1f}  {count:4d} participations, {price:4.0%} below the bound; "
            f"the worst battery at {most:.0%}"
        )


if __name__ == "__main__":
    main()
