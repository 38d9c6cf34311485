"""Tables of a scenario file about the devices, their batteries and their data."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from fl_opt.errors import InvalidInput
from fl_opt.scenario.keys import Table, key


class DeviceClass(Table):
    """A kind of device."""

    name: str = key("name for reports", "phone", min_length=1, max_length=60)
    share: float = key("part of the devices, relative to the shares of the others", 1.0, 1.0, gt=0)
    cpu_min_hz: float = key("slowest CPU clock", 3e8, 0.0, ge=0.0, le=1e12)
    cpu_max_hz: float = key("fastest CPU clock", 2e9, gt=0.0, le=1e12)
    cpu_spread: float = key(
        "the fastest clock of a device is drawn evenly within this part of cpu_max_hz on both "
        "sides",
        0.2,
        0.0,
        ge=0.0,
        lt=1.0,
    )
    capacitance_j_s2_cycle3: float = key(
        "effective switched capacitance: training takes capacitance x cycles x clock^2 joule",
        1e-28,
        1e-28,
        ge=0.0,
        le=1e-20,
    )
    power_max_dbm: float = key("largest transmit power", 23.0, ge=-60.0, le=60.0)
    battery_j: float | None = key(
        "energy that the owner grants to the whole training; without limit where left out",
        50.0,
        None,
        gt=0.0,
    )
    round_energy_j: float | None = key(
        "energy that the owner grants to one round; without limit where left out", 1.0, None, gt=0.0
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.cpu_min_hz > self.cpu_max_hz:
            raise InvalidInput(
                "cpu_min_hz",
                f"{self.cpu_min_hz:g} Hz",
                f"at most cpu_max_hz = {self.cpu_max_hz:g} [Hz]",
                "lower cpu_min_hz or raise cpu_max_hz",
            )
        return self


class Benchmark(Table):
    """Phones of the AI-Benchmark, read through FL_OPT_DATA: clocks follow the scores.

    The fastest clock of a device is cpu_max_hz times score / median score, within the two ratios.
    """

    least_ratio: float = key("least ratio to cpu_max_hz", 0.2, 0.2, gt=0.0, le=1.0)
    most_ratio: float = key("largest ratio to cpu_max_hz", 2.0, 2.0, ge=1.0)


class Devices(Table):
    """Who takes part."""

    count: int | None = key(
        "number of devices; all places where it is left out with positions_m or site",
        30,
        None,
        ge=1,
        le=10_000_000,
    )
    benchmark: Benchmark | None = key("clocks by a public benchmark of phones", {}, None)
    classes: tuple[DeviceClass, ...] = key(
        "one [[devices.class]] per kind of device", [], alias="class"
    )

    @model_validator(mode="after")
    def _some_class(self) -> Self:
        if not self.classes:
            raise InvalidInput(
                "class", "empty", "at least one table in double brackets", "add [[devices.class]]"
            )
        return self


class Data(Table):
    """How many training samples a device holds."""

    sizes: Literal["equal", "lognormal", "explicit"] = key(
        "distribution over the devices", "equal", "equal"
    )
    mean_samples: int = key("mean number of samples of a device", 600, 600, ge=1)
    spread: float = key(
        "lognormal: standard deviation of the logarithm of the size", 0.5, 0.5, ge=0.0, le=5.0
    )
    samples: tuple[int, ...] | None = key("explicit: the number of each device", [600, 500], None)

    @model_validator(mode="after")
    def _explicit(self) -> Self:
        if (self.sizes == "explicit") != (self.samples is not None):
            raise InvalidInput(
                "samples",
                "missing" if self.samples is None else "given",
                'a list with sizes = "explicit", and no such key otherwise',
            )
        if self.samples is not None and min(self.samples, default=0) < 1:
            raise InvalidInput("samples", list(self.samples), "at least one sample per device")
        return self
