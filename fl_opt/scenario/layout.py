"""Nature draws: places, line of sight, shadowing and fading, round after round."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from fl_opt.scenario import fading, pathloss
from fl_opt.scenario.mobility import Disc, Places, Region, Walk, Walkers
from fl_opt.scenario.radio import Channel
from fl_opt.scenario.settings import Settings
from fl_opt.scenario.streams import Streams
from fl_opt.units import Floats, ratio_from_db


@dataclass(frozen=True, eq=False)
class Layout:
    """The cell at one moment; the base station stands at (0, 0).

    Attributes
    ----------
    positions_m
        (K, 2) places, east and north [m].
    los
        (K,) who has line of sight [bool].
    path_gain
        (K,) power gain of path, shadowing and antennas [-].
    gain
        (K,) power gain with block fading, as in ``Network`` [-].
    kind
        (K,) index of the device class, as in ``Scenario.kinds``.
    radius_m
        Distance from the base station within which all devices stay [m].
    """

    positions_m: Floats
    los: NDArray[np.bool_]
    path_gain: Floats
    gain: Floats
    kind: NDArray[np.intp]
    radius_m: float


@dataclass(frozen=True)
class _Memory:
    """Correlation after a path, of shadowing with and without line of sight, and of its state."""

    shadowing_m: tuple[float, float]
    sight_m: float

    @classmethod
    def of(cls, channel: Channel) -> _Memory:
        shadowing_m = channel.environment.shadowing_distance_m
        if channel.shadowing_distance_m is not None:
            shadowing_m = (channel.shadowing_distance_m, channel.shadowing_distance_m)
        return cls(shadowing_m, channel.los_distance_m or channel.environment.los_distance_m)

    def kept(self, walked_m: Floats, los: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Correlation of shadowing and of the state after a path (K,)."""
        shadowing_m = pathloss.by_state(los, self.shadowing_m)
        return (
            fading.path_correlation(walked_m, shadowing_m),
            fading.path_correlation(walked_m, self.sight_m),
        )


def layouts(
    settings: Settings, kind: NDArray[np.intp], places_m: Floats | None, streams: Streams
) -> Iterator[Layout]:
    """The cell round after round, without end.

    Line of sight is a standard normal chain compared with the probability at the present
    distance (TR 38.901, 7.6.3.3): the state keeps while a device moves little, and has the
    probability of the table in every round.

    Parameters
    ----------
    kind
        (K,) index of the device class.
    places_m
        (n, 2) given places, of which the first K are taken; None to draw them.
    """
    size, mobility = len(kind), settings.mobility
    region, position = _ground(settings, places_m, size, streams)
    walkers = None
    if mobility is not None:
        walk = Walk(region, mobility.speed_min_m_s, mobility.speed_max_m_s, mobility.pause_s)
        walkers = Walkers(walk, streams, position)
    memory = _Memory.of(settings.channel)
    reach = np.hypot(*(position if places_m is None else places_m).T).max()
    radius_m = float(settings.cell.radius_m or reach)

    def normal(quantity: str, index: int) -> Floats:
        return streams.normal(quantity, index, size)

    def scattered(index: int) -> fading.Complexes:
        branches = range(settings.fading.branches)
        parts = [[normal(f"{part} {j}", index) for j in branches] for part in ("real", "imaginary")]
        return fading.scattered(*np.array(parts))

    shadow, sight, waves = normal("shadowing", 0), normal("sight", 0), scattered(0)
    for index in itertools.count(1):
        los, path_gain, rice = _links(settings, position, shadow, sight)
        gain = path_gain
        if settings.fading.kind != "none":
            gain = path_gain * fading.power_gain(waves, rice)
        yield Layout(position.copy(), los, path_gain, gain, kind, radius_m)
        waves = fading.remember(waves, settings.fading.correlation, scattered(index))
        if walkers is not None and mobility is not None:
            kept_shadow, kept_sight = memory.kept(walkers.advance(mobility.interval_s), los)
            shadow = fading.remember(shadow, kept_shadow, normal("shadowing", index))
            sight = fading.remember(sight, kept_sight, normal("sight", index))


def _ground(
    settings: Settings, places_m: Floats | None, size: int, streams: Streams
) -> tuple[Region, Floats]:
    """Where devices may go, and where they stand at first, (K, 2) [m]."""
    if places_m is not None:
        return Places(places_m), places_m[:size].copy()
    cell = settings.cell
    assert cell.radius_m is not None, "settings refuse a cell without radius and places"
    disc = Disc(cell.min_distance_m, cell.radius_m)
    return disc, disc.place(*(streams.uniform("place", part, size) for part in range(2)))


def _links(
    settings: Settings, position_m: Floats, shadow: Floats, sight: Floats
) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Line of sight, mean gain and Rice factor (K,) of standard normal `shadow` and `sight`."""
    radio, cell, channel = settings.radio, settings.cell, settings.channel
    environment = channel.environment
    distance = np.maximum(np.hypot(position_m[:, 0], position_m[:, 1]), cell.min_distance_m)
    los = np.full(len(position_m), channel.los == "always")
    if channel.los == "drawn" and environment.los_probability is not None:
        los = ndtr(sight) < environment.los_probability(distance)
    spread = environment.shadowing_db
    if channel.shadowing_db is not None:
        spread = (channel.shadowing_db, channel.shadowing_db)
    link = pathloss.Link(radio.carrier_hz, cell.base_height_m, cell.device_height_m)
    loss = environment.loss_db(distance, los, link) + channel.extra_loss_db
    loss += pathloss.by_state(los, spread) * shadow
    path_gain = ratio_from_db(radio.base_antenna_db + radio.device_antenna_db - loss)
    factor_db = settings.fading.rician_k_db
    rice = np.zeros(len(position_m))
    if factor_db is not None:
        rice = np.where(los, ratio_from_db(factor_db), 0.0)
    return los, path_gain, rice
