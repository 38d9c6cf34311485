"""Random FDMA rounds for `MinEnergy` and `MinRoundTime`, and how often each of their limits binds.

The law, with U the uniform distribution and 10^U drawn anew for each round, or for each device
where it says so:

    devices K           floor of 10^U(0, log10 1001): 1 to 1,000
    SNR                 per device 10^(U(a, z)/10), where a < z are two draws of U(-20, 60) dB:
                        at full power over the equal share B/K of the band
    band B              10^U(3.5, 9.5) Hz
    power P             10^U(-2, 0) W per device
    gain h              SNR N0 (B/K)/P, N0 = -174 dBm/Hz
    payload s           10^U(2, 8) bit, times 10^U(-0.5, 0.5) per device, kept in 10^2 to 10^8
    cycles C            10^U(6, 10), times 10^U(-0.5, 0.5) per device
    fastest clock f_max 10^U(8.5, 9.5) Hz per device
    slowest clock f_min f_max 10^U(-2.5, -0.3) per device
    capacitance kappa   10^U(-29, -26), times 10^U(-0.3, 0.3) per device
    deadline T          the longest C/f_max + s/(B/K log2(1 + SNR)) of all devices, times
                        10^U(-0.2, 0.4), for `MinEnergy`
    energy E            in 3 of 10 rounds infinite; else (kappa C f_min^2 + N0 s ln2/h)(1 + x), the
                        least that any round takes, with x = 10^U(-0.5, 3.5) 10^U(-0.5, 0.5), the
                        last per device

Nothing is rejected: some deadlines cannot be met, and the share of those is reported.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_opt import Infeasible, MinEnergy, MinRoundTime, Network, solve
from fl_opt.allocation import Allocation, use
from fl_opt.units import THERMAL_NOISE_W_HZ

LIMITS = ("band", "power_max", "cpu_min", "cpu_max", "energy")


@dataclass(frozen=True)
class Instance:
    """A round and the deadline [s] that goes with it for `MinEnergy`."""

    network: Network
    deadline_s: float


def draw(seed: int, size: int | None = None) -> Instance:
    """The round number `seed` of the law above; `size` fixes the number of devices."""
    rng = np.random.default_rng(seed)
    drawn = math.floor(10.0 ** rng.uniform(0.0, math.log10(1001.0)))
    K = drawn if size is None else size
    low, high = np.sort(rng.uniform(-20.0, 60.0, 2))
    snr = 10.0 ** (rng.uniform(low, high, K) / 10.0)
    band = 10.0 ** rng.uniform(3.5, 9.5)
    power = 10.0 ** rng.uniform(-2.0, 0.0, K)
    gain = snr * THERMAL_NOISE_W_HZ * band / K / power
    payload = 10.0 ** np.clip(rng.uniform(2.0, 8.0) + rng.uniform(-0.5, 0.5, K), 2.0, 8.0)
    cycles = 10.0 ** (rng.uniform(6.0, 10.0) + rng.uniform(-0.5, 0.5, K))
    fastest = 10.0 ** rng.uniform(8.5, 9.5, K)
    slowest = fastest * 10.0 ** rng.uniform(-2.5, -0.3, K)
    capacitance = 10.0 ** (rng.uniform(-29.0, -26.0) + rng.uniform(-0.3, 0.3, K))
    alone = cycles / fastest + payload / (band / K * np.log2(1.0 + snr))
    deadline = float(alone.max()) * 10.0 ** rng.uniform(-0.2, 0.4)
    spare = 10.0 ** (rng.uniform(-0.5, 3.5) + rng.uniform(-0.5, 0.5, K))
    least = capacitance * cycles * slowest**2 + THERMAL_NOISE_W_HZ * payload * math.log(2.0) / gain
    energy = least * (1.0 + spare) if rng.random() >= 0.3 else math.inf
    network = Network(
        gain=gain,
        power_max_w=power,
        cpu_min_hz=slowest,
        cpu_max_hz=fastest,
        capacitance=capacitance,
        cycles=cycles,
        upload_bit=payload,
        energy_j=energy,
        samples=1.0,
        band_hz=band,
    )
    return Instance(network, deadline)


def binding(
    network: Network, allocation: Allocation, tolerance: float = 1e-7
) -> dict[str, NDArray[np.bool_]]:
    """Which limits an allocation uses up to `tolerance` of them: "band" (1,), the others (K,)."""
    up, down = 1.0 - tolerance, 1.0 + tolerance
    return {
        "band": np.array([allocation.bandwidth_hz.sum() >= network.band_hz * up]),
        "power_max": allocation.power_w >= network.power_max_w * up,
        "cpu_min": allocation.cpu_hz <= network.cpu_min_hz * down,
        "cpu_max": allocation.cpu_hz >= network.cpu_max_hz * up,
        "energy": use(network, allocation).energy_j >= network.energy_j * up,
    }


def main(count: int = 1000) -> None:
    """Print how often each limit binds: share of rounds where it does for anybody, of devices."""
    for name in ("MinEnergy", "MinRoundTime"):
        rounds: Counter[str] = Counter()
        devices = dict.fromkeys(LIMITS, 0.0)
        refused: Counter[str] = Counter()
        for seed in range(count):
            instance = draw(seed)
            network = instance.network
            try:
                problem = (
                    MinEnergy(network, instance.deadline_s)
                    if name == "MinEnergy"
                    else MinRoundTime(network)
                )
                solution = solve(problem)
            except Infeasible as answer:
                refused[answer.constraint] += 1
                continue
            for limit, mask in binding(network, solution.allocation).items():
                rounds[limit] += bool(mask.any())
                devices[limit] += float(mask.mean())
        feasible = count - refused.total()
        print(f"{name}: {feasible} of {count} rounds feasible; impossible by {dict(refused)}")
        print("| limit | binds in rounds | for devices |")
        print("|---|---|---|")
        for limit in LIMITS:
            print(f"| {limit} | {rounds[limit] / feasible:.1%} | {devices[limit] / feasible:.1%} |")


if __name__ == "__main__":
    main()
