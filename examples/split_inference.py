"""Where a small network is split: measured from its layers, for devices that share band and server.

python examples/split_inference.py
"""

import numpy as np

import fl_opt
from fl_opt.validation.split import SplitNetwork

DEVICES = 6


def main() -> None:
    """Print the places at which the network can be split, and who splits it where."""
    profile = SplitNetwork((28, 28), classes=10, values=16).profile(cycles=2.0)
    print("place   device kcycle   kbit sent   server kcycle")
    columns = (profile.device_cycles, profile.upload_bit, profile.server_cycles)
    for place, row in enumerate(np.array(columns).T / 1e3):
        print(f"{place:5}{row[0]:16.1f}{row[1]:12.2f}{row[2]:16.1f}")

    fades = np.random.default_rng(0).exponential(1.0, DEVICES)
    for band_hz in (1e6, 1e7, 1e8):
        network = fl_opt.Network(
            gain=1e-11 * fades,
            power_max_w=0.1,
            cpu_min_hz=0.0,
            cpu_max_hz=1e9,
            capacitance=1e-28,
            cycles=0.0,
            upload_bit=0.0,
            samples=1.0,
            band_hz=band_hz,
        )
        solution = fl_opt.solve(fl_opt.SplitInference(network, profile, 0.005, server_hz=2e10))
        sure = solution.certificate
        print(
            f"{band_hz / 1e6:4.0f} MHz: places {solution.allocation.place.tolist()}, "
            f"{sure.cost * 1e6:.1f} uJ, gap {sure.gap:.0e}"
        )


if __name__ == "__main__":
    main()
