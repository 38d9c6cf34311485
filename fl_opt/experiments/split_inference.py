"""Split inference: how few numbers must cross the channel, and where to split.

A small convolutional network on fashion images with a bottleneck of 4 to 32 values that is trained
through noise, against the network whose features all cross without noise, and against digital
features over the same fading. Then where to split the layers, from the thinnest links to wide ones:
for the least latency of a device alone, and for the least energy of devices that fade, share band
and server, and must be done by a deadline.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from fl_opt import Network, SplitInference, SplitLatency, solve
from fl_opt.experiments.experiment import Cell, Data, Experiment, Results, Row, over_seeds
from fl_opt.problems.split_profile import SplitProfile

if TYPE_CHECKING:
    from fl_opt.report.ink import Picture

VALUES = (4, 8, 16, 32)
SNR_DB = (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)
PROMISED_DB = 10.0
BITS = (1, 2, 3, 4, 6, 8)
WHOLE = "all features, no noise"
PLACES = "places over bandwidth"
BAND_HZ = tuple(float(f"{band:.4g}") for band in np.logspace(2.0, 9.0, 29))
"""Bandwidths at which the places are chosen [Hz]."""
GAIN, POWER_W, NOISE_W_HZ = 1e-11, 0.1, 10.0**-20.4
DEVICE_HZ, SERVER_HZ = 1e9, 2e10
MULTIPLY_CYCLES = 2.0


@dataclass(frozen=True)
class Split(Experiment):
    """Split inference: how few numbers must cross the channel."""

    name: ClassVar[str] = "split-inference"
    source: ClassVar[str] = "Kang et al., Neurosurgeon, ASPLOS 2017; pilot of our own"

    dataset: str = "fashion-mnist"
    samples: int = 12_000
    test_samples: int = 4_000
    epochs: int = 4
    train_snr_db: float = 10.0
    devices: int = 20
    deadline_s: float = 0.005

    @property
    def arms(self) -> Sequence[str]:
        """The whole network, one for each width of the bottleneck, then where to split."""
        return [WHOLE, *(f"{values} values" for values in VALUES), PLACES]

    def quick(self) -> Self:
        """Few images, one epoch."""
        return dataclasses.replace(
            self, dataset="digits", samples=300, test_samples=100, epochs=1, seeds=2
        )

    def run(self, cell: Cell) -> Data:
        """Train a network and try it at every signal-to-noise ratio, or split it."""
        from fl_opt.validation.split import Images, accuracy, digital_accuracy, trained

        if cell.arm == PLACES:
            return self._places(cell.seed)
        images = Images.of(self.dataset, self.samples)
        test = Images.of(self.dataset, self.test_samples, part="test")
        whole = cell.arm == WHOLE
        values = None if whole else int(cell.arm.split()[0])
        snr_db = math.inf if whole else self.train_snr_db
        network = trained(images, values, snr_db, epochs=self.epochs, seed=cell.seed)
        if whole:
            clean = accuracy(network, test, math.inf)
            return {"accuracy": clean, "pixels": int(images.x.shape[1])}
        return {
            "noisy": [accuracy(network, test, snr, seed=cell.seed) for snr in SNR_DB],
            "fading": [accuracy(network, test, snr, fading=True, seed=cell.seed) for snr in SNR_DB],
            "digital": [
                max(digital_accuracy(network, test, snr, bits, seed=cell.seed) for bits in BITS)
                for snr in SNR_DB
            ],
        }

    def _places(self, seed: int) -> Data:
        """Best places of one device, and of a cell whose devices fade."""
        from fl_opt.validation.split import Images, SplitNetwork

        images = Images.of(self.dataset, 1)
        profile = SplitNetwork(images.shape, images.classes, 16).profile(MULTIPLY_CYCLES)
        fades = np.random.default_rng(seed).exponential(1.0, self.devices)
        found: Data = {"alone": [], "apart": [], "late_s": [], "gap": [], "at_server": []}
        for band in BAND_HZ:
            one = solve(SplitLatency(_network([1.0], band), profile, SERVER_HZ))
            late = _latencies(profile, band)
            found["alone"].append(int(one.allocation.place[0]))
            found["apart"].append(abs(one.certificate.cost / min(late) - 1.0))
            found["late_s"].append([float(f"{late[0]:.6g}"), float(f"{late[-1]:.6g}")])
            network = _network(fades, band)
            cell = solve(SplitInference(network, profile, self.deadline_s, SERVER_HZ))
            found["gap"].append(cell.certificate.gap)
            found["at_server"].append(float(np.mean(cell.allocation.place == 0)))
        found["inside"] = sum(0 < place < profile.places - 1 for place in found["alone"])
        found["kbit_sent"] = [profile.upload_bit[place] / 1e3 for place in found["alone"]]
        return found

    def rows(self, results: Results) -> Sequence[Row]:
        """Compression, loss of accuracy, digital features beside, then the places."""
        seeds = self.drawn
        whole = np.array(over_seeds(results, WHOLE, "accuracy"))
        pixels = results[WHOLE][self.first_seed]["pixels"]
        rows = [Row.measured(f"accuracy, {WHOLE}", whole, unit="%")]
        for values in VALUES:
            runs = [results[f"{values} values"][s] for s in seeds]
            ratio = pixels / values
            for at, snr in enumerate(SNR_DB):
                lost = whole - np.array([run["noisy"][at] for run in runs])
                promised = snr >= PROMISED_DB and values == VALUES[-1] and ratio >= 16.0
                rows.append(
                    Row.measured(
                        f"points lost with {values} values ({ratio:.0f} times fewer than pixels), "
                        f"{snr:g} dB",
                        lost,
                        unit="%",
                        at_most=0.02 if promised else math.inf,
                    )
                )
        for at, snr in enumerate(SNR_DB):
            ahead = [
                results["16 values"][s]["fading"][at] - results["16 values"][s]["digital"][at]
                for s in seeds
            ]
            rows.append(
                Row.measured(
                    f"analog minus digital features over Rayleigh fading, 16 values, {snr:g} dB",
                    ahead,
                    unit="%",
                )
            )
        return [*rows, *self._place_rows(list(results[PLACES].values()))]

    def _place_rows(self, runs: Sequence[Data]) -> Sequence[Row]:
        """The optimum against a scan, and where it lies."""
        back = [int((np.diff(run["kbit_sent"]) < 0.0).sum()) for run in runs]
        share = [run["at_server"] for run in runs]
        return [
            Row.measured(
                "one device: least latency apart from that of a scan, at most",
                [max(run["apart"]) for run in runs],
                at_most=1e-9,
            ),
            Row.measured("more band, yet the split is nearer to the device", back, at_most=0.0),
            Row.measured(
                "band from which the server computes all [kHz]",
                [BAND_HZ[run["alone"].index(0)] / 1e3 for run in runs],
            ),
            Row.measured(
                f"of {len(BAND_HZ)} bands, split inside the network",
                [run["inside"] for run in runs],
            ),
            Row.measured(
                f"{self.devices} devices: largest certified gap of their energy",
                [max(run["gap"]) for run in runs],
                at_most=1e-9,
            ),
            *(
                Row.measured(
                    f"{self.devices} devices: share at the server, {band / 1e6:g} MHz together",
                    [each[BAND_HZ.index(band)] for each in share],
                    unit="%",
                )
                for band in BAND_HZ[16::4]
            ),
        ]

    def figures(self, results: Results) -> Sequence[Picture]:
        """Accuracy over the signal-to-noise ratio, by width and by way."""
        from fl_opt.report import figures
        from fl_opt.report.ink import look

        pictures = []
        for name, title, lines in (
            (
                "split-width",
                "Accuracy through Gaussian noise",
                [(f"{v} values", f"{v} values", "noisy") for v in VALUES],
            ),
            (
                "split-digital",
                "Sixteen values over Rayleigh fading",
                [("trained features", "16 values", "fading"), ("digital", "16 values", "digital")],
            ),
        ):
            series = []
            for index, (label, arm, way) in enumerate(lines):
                found = np.array([run[way] for run in results[arm].values()])
                series.append(
                    figures.Series(
                        label,
                        look(index),
                        np.array(SNR_DB),
                        found.mean(axis=0),
                        found.min(axis=0),
                        found.max(axis=0),
                    )
                )
            pictures.append(
                figures.curves(
                    name,
                    title,
                    series,
                    x_name="signal-to-noise ratio [dB]",
                    x_unit="",
                    y_name="accuracy",
                    caption="Trained at 10 dB. Mean of the seeds with the band from least to "
                    "largest.",
                )
            )
        return [*pictures, self._place_picture(list(results[PLACES].values()))]

    def _place_picture(self, runs: Sequence[Data]) -> Picture:
        from fl_opt.report import figures
        from fl_opt.report.ink import look

        shown = np.flatnonzero(np.array(BAND_HZ) <= 2e8)
        lines = {
            "one device, least latency": [np.equal(run["alone"], 0) for run in runs],
            f"{self.devices} devices, least energy": [run["at_server"] for run in runs],
        }
        series = []
        for index, (label, found) in enumerate(lines.items()):
            share = np.array(found, dtype=float)[:, shown]
            series.append(
                figures.Series(
                    label,
                    look(index),
                    np.array(BAND_HZ)[shown],
                    share.mean(axis=0),
                    share.min(axis=0),
                    share.max(axis=0),
                )
            )
        return figures.curves(
            "split-places",
            "Who leaves the network to the server",
            series,
            x_name="band, together",
            x_unit="Hz",
            y_name="share of the devices",
            caption="All others compute everything themselves: no cut between layers is best at "
            "any band. Mean of the seeds with the band from least to largest.",
        )


def _network(fades: ArrayLike, band_hz: float) -> Network:
    return Network(
        gain=GAIN * np.asarray(fades),
        power_max_w=POWER_W,
        cpu_min_hz=0.0,
        cpu_max_hz=DEVICE_HZ,
        capacitance=1e-28,
        cycles=0.0,
        upload_bit=0.0,
        samples=1.0,
        band_hz=band_hz,
        noise_w_hz=NOISE_W_HZ,
    )


def _latencies(profile: SplitProfile, band_hz: float) -> list[float]:
    """Latency of every place for one device, from the definitions [s]."""
    rate = band_hz * math.log2(1.0 + GAIN * POWER_W / (NOISE_W_HZ * band_hz))
    columns = (profile.device_cycles, profile.upload_bit, profile.server_cycles)
    return [c / DEVICE_HZ + s / rate + r / SERVER_HZ for c, s, r in zip(*columns, strict=True)]


EXPERIMENT = Split()
