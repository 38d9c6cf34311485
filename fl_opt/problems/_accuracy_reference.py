r"""How exactly to train as one conic program: accuracy, rounds and all of a round at once.

Everything is counted over all m rounds, X = m t of upload, U = m u of training, W = m b of band,
M and Q of symbols and nats, and the local work G = v c N with N = m log2(1/eta). Each law of a
round becomes its perspective (see `_conic` for those of a round), and all are jointly convex in m:

    N ln2 >= m ln(m/(m - a))                        a relative entropy of m and m - a
    M <= X^(1/2) W^(1/2),   m (s ln2)^(1/3) <= M^(2/3) Q^(1/3)
    upload >= sum_i g_i m exp((Q n_i + m ln(N0 s ln2/h))/m)
    heat   >= kappa G^3/U^2,   heat >= kappa f_min^2 G
    upload <= P X,   U + X <= T,   sum W <= m B,   heat + upload <= m E,   U >= G/f_max

Nothing here is shared with the search over m, its inner solvers and its lines.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fl_opt.errors import Infeasible
from fl_opt.problems._conic import as_short, by_deadline
from fl_opt.problems._rough import Letters, Point, most_nats, rough
from fl_opt.problems.accuracy_plan import AccuracyPlan
from fl_opt.structure import Model
from fl_opt.units import Floats

if TYPE_CHECKING:
    from fl_opt.problems.local_accuracy import LocalAccuracy, LocalAccuracyTime

_GRID = np.geomspace(1e-5, 1e5, 41)
"""Rounds beyond the least, in units of the least, among which the units are chosen."""
_NODES = 24
_FAR = 30.0
"""No optimum has more than this times the rounds beyond the least, or the time, of the units."""


def accuracy_model(
    problem: LocalAccuracy | LocalAccuracyTime, training_s: float | None
) -> Model[AccuracyPlan]:
    """Least energy of a training of `training_s` seconds, or least time where it is None.

    Raises ``Infeasible`` for devices that can never take part, and where no accuracy is best.
    """
    import cvxpy as cp

    problem.span()
    x_unit, near = _near(problem, training_s)
    at = problem.accuracy(x_unit)
    network, m_unit = problem.loaded(at.halvings), at.rounds
    data = Letters.of(network)
    some, size = data.sends, network.size
    u_unit = np.where(near.u > 0.0, near.u, near.horizon)
    unit = data.heat(near.u)
    unit[some] += data.upload(near.t, near.b)
    total_j = float(unit.sum())
    unit = np.where(unit > 0.0, unit, max(float(unit.max()), 1e-300))
    end_s = float(near.horizon.max())

    poor = np.isfinite(network.energy_j)
    hot = np.flatnonzero((data.train > 0.0) & (poor | (training_s is not None)))
    spare, work, u = cp.Variable(), cp.Variable(), cp.Variable(size)
    heat = cp.Variable(hot.size)
    t, b, m, q, upload = (cp.Variable(some.size) for _ in range(5))
    rounds = (problem.exact_rounds + x_unit * spare) / m_unit
    end: Any = cp.Variable() if training_s is None else training_s / (m_unit * end_s)
    spread = np.eye(size)
    spent, busy = spread[:, hot] @ heat, cp.multiply(u_unit / end_s, u)
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    nodes, weights = 0.5 * (nodes + 1.0), 0.5 * weights
    nats: Any = cp.rel_entr(rounds, spare) + math.log(m_unit / x_unit) * rounds
    least = problem.exact_rounds
    if x_unit > least:
        # no difference of large numbers: a + integral of a^2 (1 - n)/(x + a n)
        part = spare + least / x_unit * nodes
        small = least / x_unit * weights * (1.0 - nodes)
        nats = least / m_unit * (1.0 + cp.inv_pos(part) @ small)
    limits = [
        nats / at.nats <= work,
        spare / _FAR <= 1.0,
        cp.multiply(u_unit / end_s, u) >= data.fastest / end_s * work,
    ]
    if hot.size:
        # devices may idle, so that the slowest clock is a heat and no time
        slowest = network.capacitance * network.cycles * network.cpu_min_hz**2 / unit
        cube = np.cbrt(data.heat(u_unit) / unit)[hot]
        limits += [
            heat >= slowest[hot] * work,
            cp.PowCone3D(heat, u[hot], cube * work, 1.0 / 3.0),
        ]
    if some.size:
        spent = spent + spread[:, some] @ upload
        busy = busy + spread[:, some] @ cp.multiply(near.t / end_s, t)
        pack = np.cbrt(data.nats / (near.t * near.b))
        offset = np.log(data.noise * data.nats / unit[some])[:, None]
        inner = cp.reshape(q, (some.size, 1), order="C") @ nodes[None, :]
        grown = cp.Variable((some.size, _NODES))
        each = rounds * np.ones(grown.shape)
        most = np.minimum(data.power * _FAR * end_s, data.energy[some])
        limits += [
            cp.PowCone3D(t, b, m, 0.5),
            cp.PowCone3D(m, q, pack * rounds, 2.0 / 3.0),
            cp.ExpCone(inner + rounds * (offset * np.ones(grown.shape)), each, grown),
            grown @ weights <= upload,
            (near.b / data.band) @ b <= rounds,
            q <= most_nats(data, most) * rounds,
        ]
        strong = np.isfinite(data.power)
        by_power = unit[some] / np.where(strong, data.power * near.t, 1.0)
        limits.append(cp.multiply(by_power, upload)[strong] <= t[strong])
    if poor.any():
        limits.append(cp.multiply((unit / data.energy)[poor], spent[poor]) <= rounds)
    limits.append(busy <= end)
    if training_s is None:
        limits.append(end / _FAR <= 1.0)
    cost = end if training_s is None else (unit / total_j) @ spent
    program = cp.Problem(cp.Minimize(cost), limits)

    def decision() -> AccuracyPlan:
        x = x_unit * max(float(spare.value), 1e-300)
        found = problem.accuracy(x)
        each = m_unit / found.rounds
        here = problem.loaded(found.halvings)
        fine = Letters.of(here)
        u_s = np.clip(u.value * u_unit * each, fine.fastest, fine.slowest)
        b_hz = np.maximum(b.value, 1e-9) * near.b * each
        if training_s is not None:
            deadline = np.full(size, training_s / found.rounds)
            return problem.plan(x, by_deadline(here, u_s, b_hz, deadline))
        alone = u_s.copy()
        alone[some] += t.value * near.t * each
        return problem.plan(x, as_short(here, u_s, b_hz, float(alone.max())))

    return Model(program, decision)


def _near(
    problem: LocalAccuracy | LocalAccuracyTime, training_s: float | None
) -> tuple[float, Point]:
    """Rounds beyond the least that are roughly best, and their rough round, for the units."""
    best: tuple[float, float, Point] | None = None
    for x in problem.exact_rounds * _GRID:
        at = problem.accuracy(float(x))
        data = Letters.of(problem.loaded(at.halvings))
        deadline: Floats | None = None
        if training_s is not None:
            deadline = np.full(data.energy.size, training_s / at.rounds)
            if (data.fastest >= deadline).any():
                continue
        try:
            point = rough(data, deadline, None)
        except Infeasible:
            continue
        spent = data.heat(point.u)
        spent[data.sends] += data.upload(point.t, point.b)
        cost = at.rounds * float(point.horizon.max() if deadline is None else spent.sum())
        # what does not fit can still be a scale, but hardly the best
        over = max(float(point.b.sum()) / data.band if data.sends.size else 0.0, 1.0)
        over = max(over, float(np.max(spent / data.energy)))
        cost *= 1.0 if over <= 1.0 + 1e-9 else 1e3 * over
        if best is None or cost < best[0]:
            best = cost, float(x), point
    if best is not None:
        return best[1], best[2]
    if training_s is None:
        raise Infeasible("no round is long enough", constraint="energy")
    return _near(problem, None)
