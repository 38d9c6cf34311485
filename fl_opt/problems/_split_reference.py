"""Split inference another way: conic programs for given places, tangents for a mixed-integer one.

Nothing but the data is shared with the engine: rate, time and energy are written out anew.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fl_opt.problems._split_cell import Places, SplitCell
from fl_opt.problems.split_profile import SplitPlan
from fl_opt.structure import Program
from fl_opt.units import Floats

if TYPE_CHECKING:
    from fl_opt.problems.split_inference import SplitInference

_MARGIN = 1e-8
"""Part of band and server kept back, so that what the conic solver leaves open still fits."""
_TANGENTS = 48


def conic_division(cell: SplitCell, place: Places, deadline_s: Floats | None) -> SplitPlan | None:
    """Bandwidth and server shares of given places; None where they do not fit.

    At least energy by deadlines (K,), or, where there are none, so that the last ends earliest.
    """
    import cvxpy

    network, rows = cell.network, np.arange(place.size)
    home = cell.device_cycles[rows, place] / network.cpu_max_hz
    bit, work = cell.upload_bit[rows, place], cell.server_cycles[rows, place]
    sends, serves = np.flatnonzero(bit > 0.0), np.flatnonzero(work > 0.0)
    unit = _usual_s(cell, home, bit, work) if deadline_s is None else float(deadline_s.max())
    last = cvxpy.Variable(bounds=[0.0, 1e6])
    limits, spent = [], 0.0
    used: list[Any] = [0.0] * place.size
    band, server = np.zeros(place.size), np.zeros(place.size)
    shares: dict[str, Any] = {}
    for name, some in (("band", sends), ("server", serves)):
        if some.size:
            shares[name] = cvxpy.Variable(some.size, bounds=[1e-9, 1.0])
            limits.append(cvxpy.sum(shares[name]) <= 1.0 - _MARGIN)
    for at, k in enumerate(sends.tolist()):
        snr = network.gain[k] * network.power_max_w[k]
        snr /= network.noise_w_hz[k] * network.band_hz
        share = shares["band"][at]
        # log(1 + snr/share) x share, concave
        speed = -cvxpy.rel_entr(share, share + snr) * network.band_hz / math.log(2.0)
        used[k] += cvxpy.inv_pos(speed / bit[k] * unit)
        spent += network.power_max_w[k] * unit * used[k]
    for at, k in enumerate(serves.tolist()):
        used[k] += cvxpy.inv_pos(shares["server"][at] * (cell.server_hz / work[k] * unit))
    for k in rows.tolist():
        end = last if deadline_s is None else float(deadline_s[k]) / unit
        if isinstance(used[k], float) and deadline_s is not None:
            if home[k] > deadline_s[k]:
                return None
        else:
            limits.append(used[k] + home[k] / unit <= end)
    program = cvxpy.Problem(cvxpy.Minimize(last if deadline_s is None else spent), limits)
    try:
        program.solve(solver=cvxpy.CLARABEL)
    except cvxpy.error.SolverError:
        return None
    if program.status not in (cvxpy.OPTIMAL, cvxpy.OPTIMAL_INACCURATE):
        return None
    if sends.size:
        band[sends] = np.asarray(shares["band"].value) * network.band_hz
    if serves.size and deadline_s is None:
        server[serves] = np.asarray(shares["server"].value) * cell.server_hz
    elif serves.size and deadline_s is not None:
        # what is missing to the last digit of the deadline is taken from the margin
        bandwidth = band[serves]
        snr = network.gain[serves] * network.power_max_w[serves] / network.noise_w_hz[serves]
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = bandwidth * np.log2(1.0 + snr / bandwidth)
            air = np.where(bit[serves] > 0.0, bit[serves] / rate, 0.0)
        left = deadline_s[serves] - home[serves] - air
        if (left <= 0.0).any():
            return None
        server[serves] = work[serves] / left
    return SplitPlan(place, band, server)


def _usual_s(cell: SplitCell, home: Floats, bit: Floats, work: Floats) -> float:
    """About how long it takes when all share equally."""
    network, size = cell.network, home.size
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = network.gain * network.power_max_w / network.noise_w_hz * size / network.band_hz
        rate = network.band_hz / size * np.log2(1.0 + snr)
        air, wait = np.where(bit > 0.0, bit / rate, 0.0), work / cell.server_hz * size
    return float(np.nan_to_num(home + air + wait, posinf=0.0).max()) or 1.0


def mixed_program(problem: SplitInference) -> Program[SplitPlan]:
    """Places as binaries, bandwidth and server share above tangents of their convex laws.

    Its optimum is below the true one, by less than a thousandth; the decision divides band and
    server for its places by `conic_division`.
    """
    import pyomo.environ as pyo

    network, cell = problem.network, problem.cell
    able = problem.options()
    devices, places = range(able.shape[0]), range(able.shape[1])
    worth = cell.device_j + np.where(
        cell.upload_bit > 0.0, (network.power_max_w * problem.deadline_s)[:, None], 0.0
    )
    unit = float(np.where(able, worth, 0.0).max()) or 1.0
    model: Any = pyo.ConcreteModel()
    pairs = [(k, j) for k in devices for j in places if able[k, j]]
    model.here = pyo.Var(pairs, domain=pyo.Binary)
    model.air = pyo.Var(pairs, bounds=(0.0, 1.0))
    model.wait = pyo.Var(pairs, bounds=(0.0, 1.0))
    model.band = pyo.Var(pairs, bounds=(0.0, 1.0))
    model.share = pyo.Var(pairs, bounds=(0.0, 1.0))
    model.one = pyo.Constraint(
        devices, rule=lambda m, k: sum(m.here[k, j] for j in places if able[k, j]) == 1
    )
    model.bands = pyo.Constraint(expr=sum(model.band.values()) <= 1.0)
    model.servers = pyo.Constraint(expr=sum(model.share.values()) <= 1.0)
    model.lines = pyo.ConstraintList()
    energy = 0.0
    for k, j in pairs:
        here, air, wait = model.here[k, j], model.air[k, j], model.wait[k, j]
        deadline = float(problem.deadline_s[k])
        left = 1.0 - float(cell.device_cycles[k, j] / network.cpu_max_hz[k]) / deadline
        bit, work = float(cell.upload_bit[k, j]), float(cell.server_cycles[k, j])
        energy += float(cell.device_j[k, j]) / unit * here
        energy += float(network.power_max_w[k]) * deadline / unit * air
        model.lines.add(air + wait <= left * here)
        if bit == 0.0:
            model.lines.add(air <= 0.0)
        else:
            snr = float(network.gain[k] * network.power_max_w[k] / network.noise_w_hz[k])
            for b in np.geomspace(1e-4, 1.0, _TANGENTS) * network.band_hz:
                # airtime is convex in bandwidth: s/r, with slope -s r'/r^2
                rate = b * math.log2(1.0 + snr / b)
                steep = math.log2(1.0 + snr / b) - snr / (b + snr) / math.log(2.0)
                least, slope = bit / rate, -bit * steep / rate**2
                line = (least - slope * b) * here + slope * network.band_hz * model.band[k, j]
                model.lines.add(air >= line / deadline)
        if work == 0.0:
            model.lines.add(wait <= 0.0)
        else:
            for share in np.geomspace(1e-4, 1.0, _TANGENTS):
                least = work / (share * problem.server_hz * deadline)
                model.lines.add(wait >= least * (2.0 * here - model.share[k, j] / share))
        model.lines.add(model.band[k, j] <= here)
        model.lines.add(model.share[k, j] <= here)
    model.energy = pyo.Objective(expr=energy)

    def decision() -> SplitPlan:
        place = np.zeros(able.shape[0], dtype=int)
        for k, j in pairs:
            if round(model.here[k, j].value) == 1:
                place[k] = j
        plan = conic_division(cell, place, problem.deadline_s)
        nothing = np.zeros(place.size)
        return plan if plan is not None else SplitPlan(place, nothing, nothing)

    return Program(model, decision, unit)
