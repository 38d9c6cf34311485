"""Tables of a scenario file about the cell and its channels.

Levels in dB and dBm stand here as people write them; they become SI in ``layout`` and ``nature``.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from fl_opt.errors import InvalidInput
from fl_opt.scenario.keys import Table, key
from fl_opt.scenario.pathloss import ENVIRONMENTS, Environment

Point = tuple[float, float]


class Radio(Table):
    """The uplink: band, noise and antennas."""

    carrier_hz: float = key("carrier frequency", 3.5e9, ge=0.5e9, le=100e9)
    band_hz: float = key("uplink band shared by the devices", 5e6, gt=0.0, le=10e9)
    noise_dbm_hz: float = key("thermal noise density", -174.0, -174.0, ge=-230.0, le=-100.0)
    noise_figure_db: float = key("noise figure of the base station", 5.0, 5.0, ge=0.0, le=30.0)
    interference_db: float = key(
        "rise of the noise floor by other cells", 3.0, 0.0, ge=0.0, le=60.0
    )
    base_antenna_db: float = key("antenna gain of the base station", 8.0, 0.0, ge=-30.0, le=60.0)
    device_antenna_db: float = key("antenna gain of a device", 0.0, 0.0, ge=-30.0, le=60.0)


class Downlink(Table):
    """The broadcast of the model, at the rate of the worst device. It takes no time without."""

    base_power_dbm: float = key("transmit power of the base station", 44.0, ge=-30.0, le=80.0)
    downlink_band_hz: float | None = key(
        "band of the broadcast; as wide as the uplink band where it is left out",
        20e6,
        None,
        gt=0.0,
        le=10e9,
    )
    device_noise_figure_db: float = key("noise figure of a device", 9.0, 9.0, ge=0.0, le=30.0)


class Cell(Table):
    """Where the devices are; the base station stands at (0, 0). One of the first three keys."""

    radius_m: float | None = key(
        "devices are spread evenly over a disc of this radius", 200.0, None, gt=0.0, le=20e3
    )
    positions_m: tuple[Point, ...] | None = key(
        "given places [east, north]", [[20.0, 35.0], [-60.0, 10.0]], None
    )
    site: str | None = key(
        'a site of Melbourne and its users: "busiest" or a SITE_ID; read through FL_OPT_DATA',
        "busiest",
        None,
    )
    min_distance_m: float = key(
        "nobody is nearer to the mast; a shorter horizontal distance counts as this",
        10.0,
        10.0,
        gt=0.0,
    )
    base_height_m: float = key("height of the base station", 10.0, ge=1.5, le=150.0)
    device_height_m: float = key("height of the devices", 1.5, 1.5, ge=1.0, lt=13.0)

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

    path_loss: Literal["uma", "umi", "inh_mixed", "inh_open", "classical"] = key(
        "model of the path loss", "umi"
    )
    los: Literal["drawn", "always", "never"] = key(
        'line of sight: drawn by the table\'s probability, or the same for all; "classical" knows '
        "no probability",
        "drawn",
        "drawn",
    )
    shadowing_db: float | None = key(
        "standard deviation of log-normal shadowing; the table's, by state, where it is left out",
        8.0,
        None,
        ge=0.0,
        le=30.0,
    )
    shadowing_distance_m: float | None = key(
        "path after which shadowing has correlation 1/e; the table's, by state, where left out",
        50.0,
        None,
        gt=0.0,
    )
    los_distance_m: float | None = key(
        "path after which the state of line of sight has correlation 1/e; the table's where left "
        "out",
        50.0,
        None,
        gt=0.0,
    )
    extra_loss_db: float = key(
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

    kind: Literal["rayleigh", "rician", "none"] = key(
        "rician: Rice in line of sight, Rayleigh without; none: the mean gain", "rician", "rayleigh"
    )
    rician_k_db: float | None = key(
        "Rice factor in line of sight; needed by and only for rician", 9.0, None, ge=-30.0, le=60.0
    )
    correlation: float = key(
        "correlation of the complex gain between one round and the next", 0.5, 0.0, ge=0.0, le=1.0
    )

    branches: int = key(
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

    speed_min_m_s: float = key("least speed of a leg", 0.5, gt=0.0, le=150.0)
    speed_max_m_s: float = key("largest speed of a leg", 1.5, gt=0.0, le=150.0)
    pause_s: float = key("pause at the end of a leg", 30.0, 0.0, ge=0.0)
    interval_s: float = key(
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
