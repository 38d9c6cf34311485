"""Over the air: what powers cost in exactness and accuracy, and what the sum saves in time.

Twenty devices under Rayleigh fading that is drawn anew in every round, all at the same mean
signal-to-noise ratio. The best powers, full power, full and truncated channel inversion meet the
same channels; the digital arm gives every device its own part of the band, as MinRoundTime does.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from fl_opt.experiments.experiment import Cell, Data, Experiment, Results, Row, over_seeds
from fl_opt.experiments.worlds import Rayleigh
from fl_opt.policies import Everyone, Optimised, Superposed
from fl_opt.policy import Policy
from fl_opt.problems import MinRoundTime, OverTheAirPower
from fl_opt.solving import solve
from fl_opt.units import Floats
from fl_opt.validation import Arm, FedAvg, OverTheAir, Task, simulate
from fl_opt.workload import Workload

if TYPE_CHECKING:
    from fl_opt.report.ink import Picture

GAIN_MIN = 0.1
"""Below it truncated inversion is silent, a tenth of the time."""
SNR_DB = (0.0, 10.0, 20.0)
IDEAL, DIGITAL = "ideal sum", "digital, best bandwidths"
RULES: dict[str, Policy] = {
    "best powers": Optimised(OverTheAirPower.from_network),
    "full power": Superposed("full"),
    "full inversion": Superposed("inversion"),
    "truncated inversion": Superposed("inversion", gain_min=GAIN_MIN),
}
SIZES = (5, 10, 20, 40, 80)
"""Numbers of devices at which latency is compared."""


@dataclass(frozen=True)
class OverTheAirExperiment(Experiment):
    """Over the air: what powers cost in exactness and accuracy, and what the sum saves in time."""

    name: ClassVar[str] = "over-the-air"
    source: ClassVar[str] = (
        "Cao, Zhu, Xu, Huang, IEEE TWC 2020, arXiv 1906.06858; "
        "Zhu, Wang, Huang, IEEE TWC 2020, arXiv 1812.11494"
    )

    dataset: str = "mnist"
    devices: int = 20
    rounds: int = 60
    draws: int = 3000
    noises: int = 200
    samples: int = 12_000

    @property
    def arms(self) -> Sequence[str]:
        """Formulas over draws, real updates, latency, then training at each ratio."""
        trained = [f"{rule}, {snr:.0f} dB" for snr in SNR_DB for rule in (*RULES, IDEAL)]
        return ["draws", "updates", "latency", DIGITAL, *trained]

    def quick(self) -> Self:
        """Few devices, rounds and draws."""
        return dataclasses.replace(
            self, dataset="digits", rounds=3, draws=40, noises=20, samples=600, devices=6, seeds=2
        )

    def run(self, cell: Cell) -> Data:
        """One of the arms above."""
        if cell.arm == "draws":
            return self._draws(cell.seed)
        if cell.arm == "updates":
            return self._updates(cell.seed)
        if cell.arm == "latency":
            return self._latency(cell.seed)
        if cell.arm == DIGITAL:
            return self._train(Arm(Optimised(MinRoundTime), self._fedavg), 20.0, cell.seed)
        rule, _, snr = cell.arm.removesuffix(" dB").rpartition(", ")
        arm = Arm(Everyone(), self._fedavg)
        if rule in RULES:
            arm = Arm(RULES[rule], OverTheAir(rate=0.1))
        return self._train(arm, float(snr), cell.seed)

    @property
    def _fedavg(self) -> FedAvg:
        return FedAvg(rate=0.1)

    @property
    def _task(self) -> Task:
        return Task(self.dataset, "mlp", samples=self.samples, test_samples=None)

    def _train(self, arm: Arm, snr_db: float, seed: int) -> Data:
        world = Rayleigh(self.devices, snr_db)
        trace = simulate(world, arm, self._task, self.rounds, seed)
        return {
            "accuracy": float(trace.accuracy[-1]),
            "curve": [round(float(value), 4) for value in trace.accuracy],
            "time_s": [float(f"{value:.6g}") for value in trace.time_s],
        }

    def _draws(self, seed: int) -> Data:
        """Errors of the mean, in variances of a symbol, over fading at 10 dB."""
        rng, world = np.random.default_rng(seed), Rayleigh(self.devices, 10.0)
        errors: dict[str, list[float]] = {rule: [] for rule in RULES}
        formula = 0.0
        for index in range(self.draws):
            problem = OverTheAirPower(rng.exponential(1.0, self.devices), 1.0, world.noise_w)
            optimum = problem.optimum()
            found = {
                "best powers": optimum.decision,
                "full power": problem.full_power(),
                "full inversion": problem.full_inversion(),
                "truncated inversion": problem.truncated_inversion(GAIN_MIN),
            }
            for rule, decision in found.items():
                errors[rule].append(problem.cost(decision) / self.devices**2)
            if index < 300:
                numeric = _numeric(problem.reach, world.noise_w)
                apart = abs(errors["best powers"][-1] * self.devices**2 / numeric - 1.0)
                formula = max(formula, apart)
        best = np.array(errors["best powers"])
        beaten = [float(np.max(best / np.array(errors[rule]))) for rule in RULES]
        return {
            "mean": {rule: float(np.mean(errors[rule])) for rule in RULES},
            "median": {rule: float(np.median(errors[rule])) for rule in RULES},
            "formula_apart": formula,
            "largest_ratio": max(beaten),
        }

    def _updates(self, seed: int) -> Data:
        """The error of real updates over the noise, against the formula for these updates."""
        from fl_opt.validation.over_the_air import superpose

        rng = np.random.default_rng(seed)
        federation = self._task.load(
            np.random.default_rng(seed), Rayleigh(self.devices, 10.0).data_sizes
        )
        method, world = self._fedavg, Rayleigh(self.devices, 10.0)
        everyone = np.arange(self.devices)
        state = method.start(federation, rng)
        scores, misalignment = [], []
        for _ in range(4):
            steps = np.full(self.devices, method.local_steps)
            batches = federation.batches(everyone, steps, method.batch, rng)
            trained, _loss = federation.model.train(
                state.weights, federation.x, federation.y, batches, method.rate
            )
            updates = trained - state.weights
            problem = OverTheAirPower(rng.exponential(1.0, self.devices), 1.0, world.noise_w)
            power = problem.optimum().decision.power_w
            amplitude = np.sqrt(problem.gain * power)
            heard = [superpose(updates, amplitude, world.noise_w, rng) for _ in range(self.noises)]
            errors = np.array(
                [float((one.mean - one.ideal).double().square().sum()) for one in heard]
            )
            spread = float(errors.std(ddof=1)) / math.sqrt(errors.size)
            scores.append((float(errors.mean()) - heard[0].error) / spread)
            scale = float(updates.norm(dim=1).max()) ** 2 / self.devices**2
            misalignment.append(heard[0].error / (problem.optimum().bound * scale))
            state = state.moved(state.weights + updates.mean(dim=0))
        return {"scores": scores, "over_formula": float(np.mean(misalignment))}

    def _latency(self, seed: int) -> Data:
        """Airtime of the best digital bandwidths over that of one superposed upload."""
        federation = self._task.load(
            np.random.default_rng(seed), Rayleigh(self.devices, 10.0).data_sizes
        )
        bits = 32.0 * federation.model.parameters
        ratio = []
        for size in SIZES:
            world, rng = Rayleigh(size, 10.0), np.random.default_rng(seed)
            # next to no training: airtime is what is compared
            networks = world.rounds(
                rng, Workload(cycles=1.0, upload_bit=bits, samples=np.ones(size))
            )
            digital = [solve(MinRoundTime(next(networks))).certificate.cost for _ in range(40)]
            analog_s = federation.model.parameters / world.band_hz
            ratio.append(float(np.mean(digital)) / analog_s)
        slope = float(np.polyfit(np.log(SIZES), np.log(ratio), 1)[0])
        return {"ratio": ratio, "slope": slope}

    def rows(self, results: Results) -> Sequence[Row]:
        """Formulas, real updates, accuracies, latency."""
        draws, updates = results["draws"], results["updates"]
        seeds = sorted(draws)
        rows = [
            Row.measured(
                "closed form over numeric optimum − 1, largest of 300 draws",
                [draws[s]["formula_apart"] for s in seeds],
                at_most=1e-6,
            ),
            Row.measured(
                "error of the best powers over that of a baseline, largest of all draws",
                [draws[s]["largest_ratio"] for s in seeds],
                at_most=1.0 + 1e-12,
            ),
            Row.measured(
                "measured error of real updates minus the formula, in standard errors, largest",
                [max(map(abs, updates[s]["scores"])) for s in seeds],
                at_most=3.0,
            ),
        ]
        pilot = {"best powers": ".00275", "full power": ".0105", "full inversion": ".060"}
        for kind in ("mean", "median"):
            rows += [
                Row.measured(
                    f"{kind} error of the mean at 10 dB, {rule}",
                    [draws[s][kind][rule] for s in seeds],
                    source=pilot.get(rule, "") if kind == "mean" else "",
                )
                for rule in RULES
            ]
        rows.append(
            Row.measured(
                "error of real updates over that of independent symbols of the same power",
                [updates[s]["over_formula"] for s in seeds],
            )
        )
        for snr in SNR_DB:
            ideal = np.array(over_seeds(results, f"{IDEAL}, {snr:.0f} dB", "accuracy"))
            for rule in RULES:
                ours = np.array(over_seeds(results, f"{rule}, {snr:.0f} dB", "accuracy"))
                promised = rule == "best powers" and snr == 20.0
                rows.append(
                    Row.measured(
                        f"accuracy minus that of the ideal sum, {rule}, {snr:.0f} dB",
                        ours - ideal,
                        unit="%",
                        at_least=-0.01 if promised else -math.inf,
                    )
                )
        rows.append(
            Row.measured(
                "latency gain over digital access at 20 devices",
                [results["latency"][s]["ratio"][SIZES.index(20)] for s in seeds],
            )
        )
        rows.append(
            Row.measured(
                "slope of ln latency gain over ln K, K 5 to 80",
                [results["latency"][s]["slope"] for s in seeds],
                source="almost linear",
                at_least=0.8,
                at_most=1.0,
            )
        )
        digital = results[DIGITAL]
        air = results["best powers, 20 dB"]
        rows.append(
            Row.measured(
                "accuracy minus that of digital access, at equal time, 20 dB",
                [air[s]["accuracy"] - _at(digital[s], air[s]["time_s"][-1]) for s in seeds],
                unit="%",
            )
        )
        return rows

    def figures(self, results: Results) -> Sequence[Picture]:
        """Accuracy over simulated time at 0 dB and at 20 dB."""
        from fl_opt.report import figures
        from fl_opt.report.ink import look

        pictures = []
        for snr in (SNR_DB[0], SNR_DB[-1]):
            names = [f"{rule}, {snr:.0f} dB" for rule in RULES]
            names += [DIGITAL] * (snr == 20.0)
            series = [
                figures.Series(name, look(index), *_band(results, name))
                for index, name in enumerate(names)
            ]
            pictures.append(
                figures.curves(
                    f"over-the-air-{snr:.0f}-db",
                    f"Accuracy over time at {snr:.0f} dB",
                    series,
                    x_name="simulated time",
                    x_unit="s",
                    y_name="accuracy",
                    caption="Mean of the seeds with the band from least to largest.",
                )
            )
        return pictures


def _numeric(reach: Floats, noise_w: float) -> float:
    """Least error over the factor of the receiver, by a search that knows no threshold."""
    from scipy.optimize import minimize_scalar

    def error(log_u: float) -> float:
        short = np.maximum(0.0, 1.0 - math.exp(log_u) * reach)
        return float(short @ short + noise_w * math.exp(2.0 * log_u))

    grid = np.linspace(-8.0, 8.0, 200)
    start = int(np.argmin([error(u) for u in grid]))
    bounds = (grid[max(start - 1, 0)], grid[min(start + 1, grid.size - 1)])
    found = minimize_scalar(error, bounds=bounds, method="bounded", options={"xatol": 1e-10})
    return float(found.fun)


def _at(run: Data, time_s: float) -> float:
    """Accuracy that a run has at a moment; before its first round that of chance, a tenth."""
    done = [value for value, at in zip(run["curve"], run["time_s"], strict=True) if at <= time_s]
    return float(done[-1]) if done else 0.1


def _band(results: Results, arm: str) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean times, mean, lowest and highest accuracy over the seeds of an arm."""
    runs = results[arm].values()
    curves = np.array([run["curve"] for run in runs])
    times = np.mean([run["time_s"] for run in runs], axis=0)
    return times, curves.mean(axis=0), curves.min(axis=0), curves.max(axis=0)


EXPERIMENT = OverTheAirExperiment()
