"""A whole scenario file, and what its tables must agree on."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from fl_opt.errors import InvalidInput
from fl_opt.scenario.keys import Table, key
from fl_opt.scenario.owners import Data, Devices
from fl_opt.scenario.radio import Cell, Channel, Downlink, Fading, Mobility, Radio


class Settings(Table):
    """A whole scenario file."""

    name: str = key("name for reports", "my cell", min_length=1, max_length=60)
    description: str = key("what the cell stands for", "A cell.", "")
    seed: int = key(
        "draws the population: clocks and data sizes of the devices, the same in every run; places "
        "and channels are drawn by the seed of a run",
        1,
        1,
        ge=0,
    )
    radio: Radio = key("the uplink", {})
    downlink: Downlink | None = key("broadcast of the model; takes no time without", {}, None)
    cell: Cell = key("places", {})
    channel: Channel = key("path loss", {})
    fading: Fading = key("block fading", {}, Fading())
    mobility: Mobility | None = key("random waypoints", {}, None)
    devices: Devices = key("who takes part", {})
    data: Data = key("data sizes", {}, Data())

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
        count = self.devices.count
        if count is None and cell.radius_m is not None:
            raise InvalidInput(
                "devices.count", "missing", "the number of devices", "add count = 30 to [devices]"
            )
        if count is not None and cell.positions_m is not None:
            check_count(count, len(cell.positions_m))
        return self


def check_count(count: int, places: int) -> None:
    """Raise ``InvalidInput`` where there are more devices than places for them."""
    if count > places:
        raise InvalidInput(
            "devices.count",
            count,
            f"at most {places}, the number of places",
            "lower or leave out count, or give more places",
        )
