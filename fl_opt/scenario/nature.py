"""A scenario: a cell, its devices, and the rounds that nature draws in it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fl_opt import physics
from fl_opt.checks import number
from fl_opt.errors import InvalidInput
from fl_opt.network import Network
from fl_opt.scenario.layout import Layout, layouts
from fl_opt.scenario.population import Population, populate
from fl_opt.scenario.reading import settings_of_text, settings_of_tree, toml_of, tree_of
from fl_opt.scenario.real import users_of_site
from fl_opt.scenario.settings import Settings, check_count
from fl_opt.scenario.streams import Streams
from fl_opt.scenario.variation import replaced, scaled
from fl_opt.units import Floats, watt_from_dbm
from fl_opt.workload import Workload


@dataclass(frozen=True)
class Scenario:
    """A cell, its devices and the laws by which their channels change.

    The population (classes, clocks, data sizes) belongs to the scenario and is the same in every
    run. Places and channels are drawn by the generator of a run; the same generator gives the same
    world whatever band, power or workload is asked for.

    >>> import numpy as np
    >>> from fl_opt import Scenario, Workload
    >>> scenario = Scenario.named("urban").replace(devices=4)
    >>> workload = Workload(cycles=5e8, upload_bit=1e6, samples=scenario.data_sizes)
    >>> network = scenario.draw(np.random.default_rng(7), workload)
    >>> wider = scenario.replace(band_hz=2e7).draw(np.random.default_rng(7), workload)
    >>> network.size, bool(np.all(network.gain == wider.gain))
    (4, True)
    """

    settings: Settings

    def __post_init__(self) -> None:
        places = self._places_m
        if places is not None:
            check_count(self.size, len(places))
        if places is not None and self.settings.mobility and len(np.unique(places, axis=0)) < 2:
            raise InvalidInput(
                f"{self.name}: mobility", "given", "two different places to walk between"
            )
        self._population  # noqa: B018 - data that are missing are reported here, not in a round

    @classmethod
    def from_toml(cls, path: str | Path) -> Scenario:
        """Read a scenario file.

        Raises ``InvalidInput`` naming file, key path, value, unit and range, and how to cure it.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(
                str(path), f"not readable ({error})", "a scenario in TOML, UTF-8"
            ) from None
        return cls(settings_of_text(text, str(path)))

    @classmethod
    def from_text(cls, text: str, where: str = "scenario") -> Scenario:
        """Read a scenario from a TOML text; `where` names it in messages."""
        return cls(settings_of_text(text, where))

    @classmethod
    def named(cls, name: str) -> Scenario:
        """A shipped scenario, one of ``names()``; "melbourne" reads data through FL_OPT_DATA."""
        known = names()
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise InvalidInput(
                "scenario",
                repr(name),
                f"one of {', '.join(known)}",
                f"did you mean {near[0]}?" if near else "read your own file with from_toml(path)",
            )
        text = (files("fl_opt") / "scenarios" / f"{name}.toml").read_text(encoding="utf-8")
        return cls(settings_of_text(text, f"{name}.toml"))

    def to_toml(self, path: str | Path | None = None) -> str:
        """The scenario as a TOML text, every key included; written to `path` where it is given."""
        text = toml_of(tree_of(self.settings))
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def replace(self, **changes: Any) -> Scenario:
        """A copy with some keys changed, checked anew.

        Keys are the last parts of the keys of a scenario file (``band_hz``, ``radius_m``,
        ``correlation``), or whole paths (``**{"cell.radius_m": 300}``). A key of the device
        classes changes all classes. Power may be given in watt (``power_max_w``), the number of
        devices as ``devices``. None leaves an optional key or table out.

        Raises ``InvalidInput`` for unknown keys and values out of range.
        """
        tree = replaced(tree_of(self.settings), changes)
        return Scenario(settings_of_tree(tree, f"{self.name}, changed"))

    def scale(self, **factors: float) -> Scenario:
        """A copy with some quantities multiplied, for sensitivities and regime maps.

        Keys as in ``replace``, of keys that are set; ``power_max_w`` and ``base_power_w`` scale
        powers, ``gain`` all channel gains, ``devices`` their number (rounded).
        """
        tree = scaled(tree_of(self.settings), factors)
        return Scenario(settings_of_tree(tree, f"{self.name}, scaled"))

    @property
    def name(self) -> str:
        """Name for reports."""
        return self.settings.name

    @cached_property
    def size(self) -> int:
        """Number of devices K."""
        count, places = self.settings.devices.count, self._places_m
        if count is not None:
            return count
        assert places is not None, "settings refuse a disc without a count"
        return len(places)

    @property
    def band_hz(self) -> float:
        """Uplink band shared by the devices [Hz]."""
        return self.settings.radio.band_hz

    @property
    def noise_w_hz(self) -> float:
        """Noise density at the base station, noise figure and interference included [W/Hz]."""
        radio = self.settings.radio
        level = radio.noise_dbm_hz + radio.noise_figure_db + radio.interference_db
        return float(watt_from_dbm(level))

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the device classes."""
        return tuple(item.name for item in self.settings.devices.classes)

    @property
    def kind(self) -> NDArray[np.intp]:
        """(K,) index of each device's class in `kinds`."""
        return self._population.kind

    @property
    def battery_j(self) -> Floats | None:
        """(K,) energy for the whole training [J], infinite without limit; None without any."""
        battery = self._population.battery_j
        return battery if np.isfinite(battery).any() else None

    @property
    def data_sizes(self) -> Floats:
        """(K,) training samples held [-]."""
        return self._population.samples

    @cached_property
    def _population(self) -> Population:
        streams = Streams.of(np.random.default_rng(self.settings.seed))
        return populate(self.settings.devices, self.settings.data, self.size, streams)

    @cached_property
    def _places_m(self) -> Floats | None:
        """(n, 2) given places; None where they are drawn."""
        cell = self.settings.cell
        if cell.site is not None:
            return users_of_site(cell.site)
        return None if cell.positions_m is None else np.array(cell.positions_m)

    def rounds(self, rng: np.random.Generator, workload: Workload) -> Iterator[Network]:
        """Networks of one round after another, without end, with memory between rounds.

        `energy_j` is what a device may spend in the round: its limit per round, at most the
        battery as it is at the start of the training; who keeps the books lowers it.

        Raises ``InvalidInput`` where the workload is of another size.
        """
        if workload.size not in (1, self.size):
            raise InvalidInput(
                "workload.size",
                workload.size,
                f"{self.size}, the devices of {self.name}, or values for all",
            )
        devices = self._population
        return (
            Network(
                gain=layout.gain,
                power_max_w=devices.power_max_w,
                cpu_min_hz=devices.cpu_min_hz,
                cpu_max_hz=devices.cpu_max_hz,
                capacitance=devices.capacitance,
                cycles=workload.cycles,
                upload_bit=workload.upload_bit,
                energy_j=np.minimum(devices.round_energy_j, devices.battery_j),
                samples=workload.samples,
                band_hz=self.band_hz,
                noise_w_hz=np.asarray(self.noise_w_hz),
            )
            for layout in self.layouts(rng)
        )

    def draw(self, rng: np.random.Generator, workload: Workload) -> Network:
        """The network of a first round."""
        return next(self.rounds(rng, workload))

    def layouts(self, rng: np.random.Generator) -> Iterator[Layout]:
        """The cell round after round; the same generator gives the world of ``rounds``."""
        return layouts(self.settings, self.kind, self._places_m, Streams.of(rng))

    def layout(self, rng: np.random.Generator) -> Layout:
        """The cell of a first round, for pictures."""
        return next(self.layouts(rng))

    def downlink_s(self, model_bit: float, network: Network) -> float:
        """Time to broadcast a model to all devices of a network at the rate of the worst [s].

        Channels are reciprocal: the gain of the uplink serves the downlink. Infinite where a link
        is dead; 0 in a scenario without a downlink. To broadcast to some devices only, pass
        ``network[mask]``.
        """
        bits = number("model_bit", model_bit)
        downlink, radio = self.settings.downlink, self.settings.radio
        if downlink is None:
            return 0.0
        band_hz = downlink.downlink_band_hz or radio.band_hz
        rate = physics.rate_bit_s(
            band_hz,
            watt_from_dbm(downlink.base_power_dbm),
            network.gain.min(),
            watt_from_dbm(radio.noise_dbm_hz + downlink.device_noise_figure_db),
        )
        return float(physics.airtime_s(bits, rate))

    def summary(self) -> dict[str, str | float]:
        """What a report says of the scenario: texts, and numbers in SI with the unit in the key."""
        s = self.settings
        counts = np.bincount(self.kind, minlength=len(self.kinds))
        places = f"disc of {s.cell.radius_m:g} m" if s.cell.radius_m else "given places"
        fades = {"rayleigh": "Rayleigh", "rician": "Rice in line of sight", "none": "none"}
        memory = f", correlation {s.fading.correlation:g} between rounds"
        motion = "nobody moves"
        if s.mobility is not None:
            motion = (
                f"random waypoints at {s.mobility.speed_min_m_s:g} to "
                f"{s.mobility.speed_max_m_s:g} m/s, {s.mobility.interval_s:g} s between rounds"
            )
        return {
            "name": s.name,
            "description": s.description,
            "devices": self.size,
            "classes": ", ".join(f"{n} {name}" for n, name in zip(counts, self.kinds, strict=True)),
            "cell": f"site {s.cell.site} of Melbourne" if s.cell.site else places,
            "path_loss": s.channel.environment.title,
            "fading": fades[s.fading.kind] + (memory if s.fading.kind != "none" else ""),
            "mobility": motion,
            "carrier_hz": s.radio.carrier_hz,
            "band_hz": self.band_hz,
            "noise_w_hz": self.noise_w_hz,
            "seed": s.seed,
        }


def names() -> list[str]:
    """Names of the shipped scenarios."""
    folder = files("fl_opt") / "scenarios"
    return sorted(
        item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")
    )
