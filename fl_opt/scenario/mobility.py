"""Where devices stand and how they walk: discs, given places, random waypoints.

Random waypoint (Johnson, Maltz, Mobile Computing, 1996): walk straight to a place drawn at random
with a speed drawn for this leg, pause, draw the next. The least speed must be positive, or the
mean speed decays to zero (Yoon, Liu, Noble, INFOCOM 2003). Devices begin evenly spread, so the
first rounds are not yet stationary: later they crowd towards the middle of the cell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fl_opt.scenario.streams import Streams
from fl_opt.units import Floats


class Region(Protocol):
    """From where places are drawn; straight paths between them stay within its convex hull."""

    def place(self, first: Floats, second: Floats) -> Floats:
        """(K, 2) places [m] from two arrays (K,) uniform in [0, 1)."""


@dataclass(frozen=True)
class Disc:
    """Places spread evenly over a disc around the base station, none closer than `inner_m`."""

    inner_m: float
    radius_m: float

    def place(self, first: Floats, second: Floats) -> Floats:
        r = np.sqrt(self.inner_m**2 + first * (self.radius_m**2 - self.inner_m**2))
        angle = 2.0 * np.pi * second
        return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=-1)


@dataclass(frozen=True, eq=False)
class Places:
    """Given places (n, 2) [m], each as likely as the others."""

    points_m: Floats

    def place(self, first: Floats, second: Floats) -> Floats:
        return self.points_m[(first * len(self.points_m)).astype(np.intp)]


@dataclass(frozen=True)
class Walk:
    """Speeds [m/s] between which each leg's is drawn, and the pause at its end [s]."""

    region: Region
    speed_min_m_s: float
    speed_max_m_s: float
    pause_s: float


@dataclass(eq=False)
class Walkers:
    """Devices on their walks. The j-th leg of a device is the same at whatever speed it walks.

    `position_m` (K, 2) is where they stand.
    """

    walk: Walk
    streams: Streams
    position_m: Floats
    _legs: list[tuple[Floats, Floats]] = field(default_factory=list)

    def __post_init__(self) -> None:
        size = len(self.position_m)
        self._leg: NDArray[np.intp] = np.zeros(size, dtype=np.intp)
        self._pause_s: Floats = np.zeros(size)
        self._target_m, self._speed_m_s = (part.copy() for part in self._drawn(0))

    def _drawn(self, leg: int) -> tuple[Floats, Floats]:
        """Targets (K, 2) and speeds (K,) of the leg of that number, of all devices."""
        size = len(self.position_m)
        while len(self._legs) <= leg:
            j = len(self._legs)
            first = self.streams.uniform("waypoint", 2 * j, size)
            second = self.streams.uniform("waypoint", 2 * j + 1, size)
            low, high = self.walk.speed_min_m_s, self.walk.speed_max_m_s
            speed = low + (high - low) * self.streams.uniform("speed", j, size)
            self._legs.append((self.walk.region.place(first, second), speed))
        return self._legs[leg]

    def advance(self, seconds: float) -> Floats:
        """Let time pass; (K,) length of the path walked meanwhile [m]."""
        left = np.full(len(self.position_m), seconds)
        walked = np.zeros(len(self.position_m))
        moving = np.flatnonzero(left > 0.0)
        while moving.size:
            waited = np.minimum(self._pause_s[moving], left[moving])
            self._pause_s[moving] -= waited
            left[moving] -= waited
            ahead = self._target_m[moving] - self.position_m[moving]
            length = np.hypot(ahead[:, 0], ahead[:, 1])
            reach = self._speed_m_s[moving] * left[moving]
            # A leg may have no length: who still pauses before it has not arrived.
            arrives = (reach >= length) & (self._pause_s[moving] == 0.0)
            step = np.where(arrives, length, reach)
            share = np.divide(step, length, out=np.ones_like(step), where=length > 0.0)
            self.position_m[moving] += ahead * share[:, None]
            walked[moving] += step
            left[moving] = np.where(arrives, left[moving] - step / self._speed_m_s[moving], 0.0)
            self._next_leg(moving[arrives])
            moving = moving[left[moving] > 0.0]
        return walked

    def _next_leg(self, devices: NDArray[np.intp]) -> None:
        self.position_m[devices] = self._target_m[devices]
        self._pause_s[devices] = self.walk.pause_s
        self._leg[devices] += 1
        for leg in np.unique(self._leg[devices]):
            targets, speeds = self._drawn(int(leg))
            here = devices[self._leg[devices] == leg]
            self._target_m[here], self._speed_m_s[here] = targets[here], speeds[here]
