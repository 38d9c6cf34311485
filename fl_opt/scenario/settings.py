"""The keys of a scenario file: one frozen pydantic model per table, ranges and units included.

Levels in dB and dBm stand here as people write them; they become SI in ``fl_opt.scenario``.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fl_opt.errors import InvalidInput
from fl_opt.scenario.pathloss import ENVIRONMENTS, Environment

Point = tuple[float, float]


def _key(
    text: str, example: Any, default: Any = ..., *, alias: str | None = None, **limits: Any
) -> Any:
    """A key of the file: what it means, an example, its default, its range."""
    return Field(default, description=text, examples=[example], alias=alias, **limits)


class Table(BaseModel):
    """A table of the file: no unknown keys, no conversions, no NaN, frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Radio(Table):
    """The uplink: band, noise and antennas."""

    carrier_hz: float = _key("carrier frequency", 3.5e9, ge=0.5e9, le=100e9)
    band_hz: float = _key("uplink band shared by the devices", 5e6, gt=0.0, le=10e9)
    noise_dbm_hz: float = _key("thermal noise density", -174.0, -174.0, ge=-230.0, le=-100.0)
    noise_figure_db: float = _key("noise figure of the base station", 5.0, 5.0, ge=0.0, le=30.0)
    interference_db: float = _key(
        "rise of the noise floor by other cells", 3.0, 0.0, ge=0.0, le=60.0
    )
    base_antenna_db: float = _key("antenna gain of the base station", 8.0, 0.0, ge=-30.0, le=60.0)
    device_antenna_db: float = _key("antenna gain of a device", 0.0, 0.0, ge=-30.0, le=60.0)


class Downlink(Table):
    """The broadcast of the model to the devices, at the rate of the worst of them."""

    base_power_dbm: float = _key("transmit power of the base station", 44.0, ge=-30.0, le=80.0)
    downlink_band_hz: float | None = _key(
        "band of the broadcast; as wide as the uplink band where it is left out",
        20e6,
        None,
        gt=0.0,
        le=10e9,
    )
    device_noise_figure_db: float = _key("noise figure of a device", 9.0, 9.0, ge=0.0, le=30.0)


class Cell(Table):
    """Where the devices are; the base station stands at (0, 0). One of the first three keys."""

    radius_m: float | None = _key(
        "devices are spread evenly over a disc of this radius", 200.0, None, gt=0.0, le=20e3
    )
    positions_m: tuple[Point, ...] | None = _key(
        "given places [east, north]", [[20.0, 35.0], [-60.0, 10.0]], None
    )
    site: str | None = _key(
        'a site of Melbourne and its users: "busiest" or a SITE_ID; read through FL_OPT_DATA',
        "busiest",
        None,
    )
    min_distance_m: float = _key(
        "nobody is nearer to the mast; a shorter horizontal distance counts as this",
        10.0,
        10.0,
        gt=0.0,
    )
    base_height_m: float = _key("height of the base station", 10.0, ge=1.5, le=150.0)
    device_height_m: float = _key("height of the devices", 1.5, 1.5, ge=1.0, lt=13.0)

    @model_validator(mode="after")
    def _one_layout(self) -> Self:
        given = [key for key in ("radius_m", "positions_m", "site") if getattr(self, key)]
        if len(given) != 1:
            raise InvalidInput(
                "radius_m, positions_m, site",
                " and ".join(given) or "missing",
                "exactly one of the three",
                "give radius_m for random places, positions_m for your own, site for Melbourne",
            )
        if self.radius_m is not None and self.min_distance_m >= self.radius_m:
            raise InvalidInput(
                "min_distance_m",
                f"{self.min_distance_m:g} m",
                f"a number below radius_m = {self.radius_m:g} [m]",
            )
        return self


class Channel(Table):
    """Path loss, line of sight and shadowing."""

    path_loss: Literal["uma", "umi", "inh_mixed", "inh_open", "classical"] = _key(
        "model of the path loss", "umi"
    )
    los: Literal["drawn", "always", "never"] = _key(
        'line of sight: drawn by the table\'s probability, or the same for all; "classical" knows '
        "no probability",
        "drawn",
        "drawn",
    )
    shadowing_db: float | None = _key(
        "standard deviation of log-normal shadowing; the table's, by state, where it is left out",
        8.0,
        None,
        ge=0.0,
        le=30.0,
    )
    shadowing_distance_m: float | None = _key(
        "path after which shadowing has correlation 1/e; the table's, by state, where left out",
        50.0,
        None,
        gt=0.0,
    )
    los_distance_m: float | None = _key(
        "path after which the state of line of sight has correlation 1/e; the table's where left "
        "out",
        50.0,
        None,
        gt=0.0,
    )
    extra_loss_db: float = _key(
        "further loss of all links: walls, body, vehicle", 10.0, 0.0, ge=-60.0, le=200.0
    )

    @property
    def environment(self) -> Environment:
        """The row of the tables that `path_loss` names."""
        return ENVIRONMENTS[self.path_loss]

    @model_validator(mode="after")
    def _states_known(self) -> Self:
        if self.los == "drawn" and self.environment.los_probability is None:
            raise InvalidInput(
                "los",
                '"drawn"',
                f'"always" or "never" with path_loss = "{self.path_loss}"',
                "that model has no probability of line of sight; the state only steers Rice fading",
            )
        return self


class Fading(Table):
    """Small-scale block fading: constant within a round, correlated from round to round."""

    kind: Literal["rayleigh", "rician", "none"] = _key(
        "rician: Rice in line of sight, Rayleigh without; none: the mean gain", "rician", "rayleigh"
    )
    rician_k_db: float | None = _key(
        "Rice factor in line of sight; needed by and only for rician", 9.0, None, ge=-30.0, le=60.0
    )
    correlation: float = _key(
        "correlation of the complex gain between one round and the next", 0.5, 0.0, ge=0.0, le=1.0
    )

    branches: int = _key(
        "independently fading receive antennas of the base station, their gains averaged; count "
        "the gain of the array in base_antenna_db",
        2,
        1,
        ge=1,
        le=64,
    )

    @model_validator(mode="after")
    def _rice_factor(self) -> Self:
        if (self.kind == "rician") != (self.rician_k_db is not None):
            given = "missing" if self.rician_k_db is None else f"{self.rician_k_db:g} dB"
            raise InvalidInput(
                "rician_k_db",
                given,
                'a number with kind = "rician", and no such key otherwise [dB]',
                "9 dB is the mean of TR 38.901 for streets, 7 dB for offices",
            )
        return self


class Mobility(Table):
    """Random waypoints. Leave the table out where nobody moves."""

    speed_min_m_s: float = _key("least speed of a leg", 0.5, gt=0.0, le=150.0)
    speed_max_m_s: float = _key("largest speed of a leg", 1.5, gt=0.0, le=150.0)
    pause_s: float = _key("pause at the end of a leg", 30.0, 0.0, ge=0.0)
    interval_s: float = _key(
        "time that nature lets pass between rounds, whatever a round takes, so that all policies "
        "meet the same world",
        10.0,
        gt=0.0,
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.speed_min_m_s > self.speed_max_m_s:
            raise InvalidInput(
                "speed_min_m_s",
                f"{self.speed_min_m_s:g} m/s",
                f"at most speed_max_m_s = {self.speed_max_m_s:g} [m/s]",
            )
        return self


class DeviceClass(Table):
    """A kind of device."""

    name: str = _key("name for reports", "phone", min_length=1, max_length=60)
    share: float = _key("part of the devices, relative to the shares of the others", 1.0, 1.0, gt=0)
    cpu_min_hz: float = _key("slowest CPU clock", 3e8, 0.0, ge=0.0, le=1e12)
    cpu_max_hz: float = _key("fastest CPU clock", 2e9, gt=0.0, le=1e12)
    cpu_spread: float = _key(
        "the fastest clock of a device is drawn evenly within this part of cpu_max_hz on both "
        "sides",
        0.2,
        0.0,
        ge=0.0,
        lt=1.0,
    )
    capacitance_j_s2_cycle3: float = _key(
        "effective switched capacitance: training takes capacitance x cycles x clock^2 joule",
        1e-28,
        1e-28,
        ge=0.0,
        le=1e-20,
    )
    power_max_dbm: float = _key("largest transmit power", 23.0, ge=-60.0, le=60.0)
    battery_j: float | None = _key(
        "energy that the owner grants to the whole training; without limit where left out",
        50.0,
        None,
        gt=0.0,
    )
    round_energy_j: float | None = _key(
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

    least_ratio: float = _key("least ratio to cpu_max_hz", 0.2, 0.2, gt=0.0, le=1.0)
    most_ratio: float = _key("largest ratio to cpu_max_hz", 2.0, 2.0, ge=1.0)


class Devices(Table):
    """Who takes part."""

    count: int | None = _key(
        "number of devices; all places where it is left out with positions_m or site",
        30,
        None,
        ge=1,
        le=10_000_000,
    )
    benchmark: Benchmark | None = _key("clocks by a public benchmark of phones", {}, None)
    classes: tuple[DeviceClass, ...] = _key(
        "one [[devices.class]] per kind of device", [], alias="class", min_length=1
    )


class Data(Table):
    """How many training samples a device holds."""

    sizes: Literal["equal", "lognormal", "explicit"] = _key(
        "distribution over the devices", "equal", "equal"
    )
    mean_samples: int = _key("mean number of samples of a device", 600, 600, ge=1)
    spread: float = _key(
        "lognormal: standard deviation of the logarithm of the size", 0.5, 0.5, ge=0.0, le=5.0
    )
    samples: tuple[int, ...] | None = _key("explicit: the number of each device", [600, 500], None)

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


class Settings(Table):
    """A whole scenario file."""

    name: str = _key("name for reports", "my cell", min_length=1, max_length=60)
    description: str = _key("what the cell stands for", "A cell.", "")
    seed: int = _key(
        "draws the population: clocks and data sizes of the devices, the same in every run; places "
        "and channels are drawn by the seed of a run",
        1,
        1,
        ge=0,
    )
    radio: Radio = _key("the uplink", {})
    downlink: Downlink = _key("the broadcast of the model", {})
    cell: Cell = _key("places", {})
    channel: Channel = _key("path loss", {})
    fading: Fading = _key("block fading", {}, Fading())
    mobility: Mobility | None = _key("random waypoints", {}, None)
    devices: Devices = _key("who takes part", {})
    data: Data = _key("data sizes", {}, Data())

    @model_validator(mode="after")
    def _fits(self) -> Self:
        environment, cell = self.channel.environment, self.cell
        table = f'path_loss = "{self.channel.path_loss}"'
        if cell.radius_m is not None and cell.radius_m > environment.far_m:
            raise InvalidInput(
                "cell.radius_m",
                f"{cell.radius_m:g} m",
                f"at most {environment.far_m:g} with {table} [m]",
                "the tables do not reach farther; choose another path_loss or a smaller cell",
            )
        if cell.min_distance_m < environment.near_m:
            raise InvalidInput(
                "cell.min_distance_m",
                f"{cell.min_distance_m:g} m",
                f"at least {environment.near_m:g} with {table} [m]",
            )
        heights = {"cell.base_height_m": cell.base_height_m}
        heights["cell.device_height_m"] = cell.device_height_m
        if self.channel.path_loss in ("uma", "umi"):
            for where, height in heights.items():
                if height < 1.5:
                    raise InvalidInput(where, f"{height:g} m", f"at least 1.5 with {table} [m]")
        if self.devices.count is None and cell.radius_m is not None:
            raise InvalidInput(
                "devices.count", "missing", "the number of devices", "add count = 30 to [devices]"
            )
        return self
