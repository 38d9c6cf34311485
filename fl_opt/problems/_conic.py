r"""The FDMA round as a conic program in CVXPY: the reference that shares nothing with the engine.

In units of its own, which are those of a rough answer, a device uploads for x and trains for y
time units over w bandwidth units, at q nats per symbol, and all of it is of order one:

    m <= x^(1/2) w^(1/2),   (s ln2)^(1/3) <= m^(2/3) q^(1/3)          q >= s ln2/(t b)
    upload >= sum_i g_i exp(q n_i + ln(N0 s ln2/h))                   t b (N0/h) expm1(q)
    heat   >= kappa C^3 z,   1 <= z^(1/3) y^(2/3)                     kappa C^3/u^2
    upload <= P x,   x + y <= T,   sum w <= B,   heat + upload <= E

The second line is (e^q - 1)/q = integral of e^(q n) over n in [0, 1] by Gauss-Legendre, which
needs no difference of large numbers at a small q; the data enter as logarithms inside the
exponentials. All constants are parameters of a program that is DCP and DPP, so that it can be
solved again for other data without being built again.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.allocation import Allocation
from fl_opt.checks import vector
from fl_opt.errors import InvalidInput
from fl_opt.network import Network
from fl_opt.problems._rough import Letters, Point, most_nats, rough
from fl_opt.structure import Model
from fl_opt.units import Floats

_NODES = ((6.0, 8), (16.0, 12), (30.0, 16), (math.inf, 24))
"""Up to so many nats per symbol, so many nodes leave less than 1e-10 of the integral."""


class FdmaProgram:
    """The program of all FDMA rounds in which everyone takes part.

    Parameters
    ----------
    network
        The round.
    deadline_s
        Its end, a scalar or (K,) [s]; None where it is a variable.
    joule_per_s
        Worth of a second where the end is a variable; None: time alone counts.
    longest_s
        An end beyond which nobody looks, where it is a variable; None: what is surely enough.

    Attributes
    ----------
    program
        The ``cvxpy.Problem``.
    limits
        Its constraints by name.
    spent, end
        The energy of all and the end of the round, as expressions in units of `unit_j` and
        `unit_s`.

    ``load`` puts other data into the same program, whose form stays: the number of devices, and
    who sends, trains and has a finite limit on power or energy.
    """

    def __init__(
        self,
        network: Network,
        deadline_s: ArrayLike | None = None,
        joule_per_s: float | None = None,
        longest_s: float | None = None,
    ) -> None:
        self._free, self._longest_s = deadline_s is None, longest_s
        self._counts_energy = not self._free or joule_per_s is not None
        self._read(network, deadline_s, joule_per_s)
        self._nodes = next(nodes for most, nodes in _NODES if self._highest_nats <= most)
        self._build()

    def load(
        self,
        network: Network,
        deadline_s: ArrayLike | None = None,
        joule_per_s: float | None = None,
    ) -> None:
        """Put in other data of the same form. Raises ``InvalidInput`` where the form differs."""
        form = self._form
        self._read(network, deadline_s, joule_per_s)
        if any(not np.array_equal(old, new) for old, new in zip(form, self._form, strict=True)):
            raise InvalidInput(
                "network", network, "devices that send and are limited like those it was built for"
            )
        for name, value in self._values.items():
            self._parameters[name].value = value

    def _read(
        self, network: Network, deadline_s: ArrayLike | None, joule_per_s: float | None
    ) -> None:
        data = self._data = Letters.of(network)
        self._network, deadline = network, None
        if deadline_s is not None:
            deadline = vector("deadline_s", deadline_s, network.size, open_low=True)
            data.require_time(deadline)
        near = self._unit = rough(data, deadline, joule_per_s)
        self._u_unit = np.where(near.u > 0.0, near.u, near.horizon)
        unit = data.heat(near.u)
        unit[data.sends] += data.upload(near.t, near.b)
        spends = data.train > 0.0
        counted = self._counts_energy | np.isfinite(data.energy)
        trains = np.flatnonzero(spends & counted)
        spends[data.sends] = True
        self._form = (
            data.sends,
            trains,
            np.flatnonzero(np.isfinite(data.power)),
            np.flatnonzero(spends & np.isfinite(data.energy)),
        )
        last = near.horizon
        if self._longest_s is not None:
            last = np.full(network.size, self._longest_s)
        elif self._free:
            # what a rough round costs is worth so many seconds; no better one lasts longer
            last = 4.0 * (last + (float(unit.sum()) / joule_per_s if joule_per_s else 0.0))
        unit = np.where(unit > 0.0, unit, max(float(unit.max()), 1e-300))
        self.unit_j, self.unit_s = float(unit.sum()), float(near.horizon.max())
        self._values = self._constants(unit, last, joule_per_s or 0.0)

    def _constants(self, unit: Floats, last: Floats, joule_per_s: float) -> dict[str, Floats]:
        """What the letters of the program stand for; `unit` [J] and `last` [s] (K,)."""
        data, near, u_unit = self._data, self._unit, self._u_unit
        some, trains, strong, poor = self._form
        end = near.horizon
        reach = np.minimum(data.power * last[some], data.energy[some])
        reach = np.where(np.isinf(reach), 2.0 * float(unit.sum()), reach)
        nats = most_nats(data, reach)
        self._highest_nats = float(nats.max(initial=0.0))
        return {
            "pack": np.cbrt(data.nats / (near.t * near.b)),
            "offset": np.log(data.noise * data.nats / unit[some]),
            "heat": np.cbrt(data.heat(u_unit) / unit)[trains],
            "late_t": near.t / end[some],
            "late_u": u_unit / end,
            "weight": unit / self.unit_j,
            "worth": np.array(joule_per_s * self.unit_s / self.unit_j),
            "u_low": data.fastest / u_unit,
            # limits enter by their inverse, so that a loose one leaves no large number
            "share": near.b / data.band if some.size else near.b,
            "by_power": (unit[some] / (data.power * near.t))[strong],
            "by_energy": unit[poor] / data.energy[poor],
            "by_t": near.t / (last - data.fastest)[some],
            "by_u": u_unit / np.where(data.fastest > 0.0, np.minimum(data.slowest, last), last),
            "by_nats": 1.0 / nats,
            "by_heat": unit[trains] / data.heat(data.fastest)[trains],
            "by_end": np.array(float(np.min(end / last))),
        }

    def _build(self) -> None:
        import cvxpy as cp
        from scipy import sparse

        p = self._parameters = {
            name: cp.Parameter(value.shape, nonneg=name != "offset", value=value)
            for name, value in self._values.items()
        }
        some, trains, strong, poor = self._form
        size = self._network.size
        end = cp.Variable() if self._free else cp.Constant(1.0)
        u, heat = cp.Variable(size), cp.Variable(trains.size)
        t, b, m, nats, upload = (cp.Variable(some.size) for _ in range(5))
        spread = sparse.eye_array(size, format="csc")
        spent = spread[:, trains] @ heat + spread[:, some] @ upload
        busy = cp.multiply(p["late_u"], u) + spread[:, some] @ cp.multiply(p["late_t"], t)
        nodes, weights = np.polynomial.legendre.leggauss(self._nodes)
        inner = cp.reshape(nats, (some.size, 1), order="C") @ (0.5 * (nodes[None, :] + 1.0))
        offset = cp.reshape(p["offset"], (some.size, 1), order="C") @ np.ones((1, self._nodes))
        self.limits: dict[str, Any] = {
            "band": p["share"] @ b <= 1.0,
            "deadline": busy <= end,
            "payload": cp.PowCone3D(t, b, m, 0.5),
            "nats": cp.PowCone3D(m, nats, p["pack"], 2.0 / 3.0),
            "upload": cp.exp(inner + offset) @ (0.5 * weights) <= upload,
            "heat": cp.PowCone3D(heat, u[trains], p["heat"], 1.0 / 3.0),
            "power_max": cp.multiply(p["by_power"], upload[strong]) <= t[strong],
            "energy": cp.multiply(p["by_energy"], spent[poor]) <= 1.0,
            "cpu_max": u >= p["u_low"],
            "cpu_min": cp.multiply(p["by_u"], u) <= 1.0,
        }
        for name, value in {"t": t, "nats": nats, "heat": heat}.items():
            self.limits[f"{name} box"] = cp.multiply(p[f"by_{name}"], value) <= 1.0
        self.spent, self.end = p["weight"] @ spent, end
        cost = self.spent if self._counts_energy else 0.0
        if self._free:
            self.limits["end box"] = p["by_end"] * end <= 1.0
            cost = cost + (p["worth"] if self._counts_energy else 1.0) * end
        self._variables = t, b, u, end
        self.program = cp.Problem(
            cp.Minimize(cost), [limit for limit in self.limits.values() if limit.size]
        )

    def decision(self) -> Allocation:
        """The solved round, its split of time and band moved by what the solver left open.

        A violation that no such change can cure stays, for the certificate to tell.
        """
        data, unit = self._data, self._unit
        t, b, u, end = self._variables
        u_s = np.clip(u.value * self._u_unit, data.fastest, data.slowest)
        horizon = unit.horizon * float(end.value)
        b_hz = np.maximum(b.value, 1e-9) * unit.b
        if not self._free:
            return by_deadline(self._network, u_s, b_hz, horizon)
        busy = u_s.copy()
        busy[data.sends] += t.value * unit.t
        return as_short(self._network, u_s, b_hz, max(float(horizon.max()), float(busy.max())))


def by_deadline(network: Network, u_s: Floats, b_hz: Floats, deadline_s: Floats) -> Allocation:
    """A round by deadlines (K,) near u (K,), b (n,) of those that send."""
    data = Letters.of(network)
    return _allocation(network, data, _settled(data, u_s, b_hz, deadline_s), deadline_s)


def as_short(network: Network, u_s: Floats, b_hz: Floats, end_s: float) -> Allocation:
    """A round near u (K,), b (n,), as little longer than `end_s` as the band needs."""
    data, stretch = Letters.of(network), 1e-12
    horizon = np.full(network.size, end_s)
    point = _settled(data, u_s, b_hz, horizon)
    while point.b.sum() > data.band and stretch < 1e-3:
        point = _settled(data, u_s, b_hz, horizon * (1.0 + stretch))
        stretch *= 4.0
    return _allocation(network, data, point, None)


def _settled(data: Letters, u: Floats, b: Floats, horizon: Floats) -> Point:
    """Uploads fill the time that training leaves; band goes first to those that need it.

    `b` beyond what power and energy need is scaled so that the band is full.
    """
    some = data.sends
    idle = np.ones(u.size, dtype=bool)
    idle[some] = False
    u = np.where(idle, np.maximum(np.minimum(data.slowest, horizon), data.fastest), u)
    u[some] = np.minimum(u[some], horizon[some] - data.nats * data.noise / data.power)
    t = horizon[some] - u[some]
    most = np.minimum(data.power * t, (data.energy - data.heat(u))[some])
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = data.nats / (t * most_nats(data, most)) * (1.0 + 1e-14)
    spare = np.maximum(b - needed, 0.0)
    room = data.band * (1.0 - 1e-15) - float(needed.sum())
    if room > 0.0 and spare.sum() > 0.0:
        needed = needed + spare * min(room / float(spare.sum()), 1e6)
    return Point(t, needed, u, horizon)


def _allocation(
    network: Network, data: Letters, point: Point, deadline_s: Floats | None
) -> Allocation:
    some = data.sends
    b, t, p = np.zeros((3, network.size))
    b[some], t[some] = point.b, point.t
    p[some] = np.minimum(data.upload(point.t, point.b) / point.t, data.power)
    with np.errstate(divide="ignore", invalid="ignore"):
        clock = np.where(point.u > 0.0, network.cycles / point.u, network.cpu_max_hz)
    return Allocation(
        selected=np.ones(network.size, dtype=bool),
        bandwidth_hz=b,
        power_w=p,
        cpu_hz=np.clip(clock, network.cpu_min_hz, network.cpu_max_hz),
        upload_s=t,
        deadline_s=math.inf if deadline_s is None else float(deadline_s.max()),
    )


def fdma_model(
    network: Network, deadline_s: ArrayLike | None = None, joule_per_s: float | None = None
) -> Model[Allocation]:
    """The program of `FdmaProgram` for these data, as a `Convex` problem offers it."""
    whole = FdmaProgram(network, deadline_s, joule_per_s)
    return Model(whole.program, whole.decision)
