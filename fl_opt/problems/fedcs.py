r"""The most clients that can train and upload one after another by a deadline.

    maximise    |S|                                      over sets S of clients and their order
    subject to  max_{k in S} d_k + Theta_last <= T       "deadline"
                Theta_i = max(Theta_{i-1}, a_i) + u_i    (uploads in turn, Theta_0 = 0)
                kappa_k C_k f_k^2 + P_k u_k <= E_k       "energy"
                f_k <= f_max_k                           "cpu_max"
    with        a_k = C_k/f_k,   u_k = s_k/(B log2(1 + h_k P_k/(N0 B)))

    a_k  training time [s]    u_k  upload over the whole band [s]    T    deadline [s]
    d_k  time to send the model to client k [s]; multicast waits for the worst admitted channel
    P_k  transmit power [W], always the full one                     f_k  clock [cycle/s]
    C_k  cycles               s_k  payload [bit]                     E_k  energy [J]

All send at full power, as in the source, and so train at the fastest clock that the energy pays.
For a given set it is best to upload in the order of a_k. Seen from the deadline backwards, client
k is then a job of length u_k that is due at T - d - a_k, nothing is ever late to begin, and what is
asked is the largest number of jobs on time: 1 || sum U_j. Moore and Hodgson: take the jobs by
their due date; whenever one would be late, drop the longest taken so far. After each job the set
kept is, among those with the most jobs, one of least total length (exchange argument), so it is
optimal, in O(K log K). Where d differs, the worst admitted d is scanned, one run each; values
whose clients could not beat the best number, even if all were trained at once, are passed over.

Proof: "combinatorial". Sums are exact, in whole ticks of T; the bound is a second run with times
rounded down and the deadline lifted by all that the judge's tolerance and rounding could forgive.

Source: Nishio, Yonetani, IEEE ICC 2019, arXiv 1804.08333, whose greedy rule is the policy
``FedCSGreedy``; Moore, Management Science 15, 1968. The reversal is derived here.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.allocation import Allocation, use
from fl_opt.certificate import FEASIBLE, Excess
from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems._limits import device_excess
from fl_opt.problems.in_turn import InTurn
from fl_opt.structure import Optimum, Program
from fl_opt.units import Floats

_TICKS = 2.0**60
_ENUMERABLE = 16

Whole = NDArray[np.int_]


@dataclass(frozen=True, eq=False, init=False)
class FedCS:
    """Choose the most clients that upload in turn, over the whole band, by a deadline.

    Parameters
    ----------
    network
        Who could take part.
    deadline_s
        End of the round: multicast of the model, training and uploads [s], a scalar.
    downlink_s
        Time to send the model to each client, a scalar or (K,) [s]; the round begins with a
        multicast that takes as long as to the worst client admitted. Default 0. It comes before
        the clock of the allocation starts, whose `deadline_s` is what is left.

    The cost is minus the number of clients. Nothing is infeasible: nobody may take part. There
    are no prices. Raises ``InvalidInput`` for a deadline that is not positive and finite.
    """

    network: Network
    deadline_s: float
    downlink_s: Floats

    def __init__(self, network: Network, deadline_s: float, downlink_s: ArrayLike = 0.0) -> None:
        if not isinstance(network, Network):
            raise InvalidInput("network", type(network).__name__, "a fl_opt.Network")
        put = object.__setattr__
        put(self, "network", network)
        put(self, "deadline_s", number("deadline_s", deadline_s, open_low=True))
        put(self, "downlink_s", vector("downlink_s", downlink_s, network.size, finite=False))

    @cached_property
    def in_turn(self) -> InTurn:
        """Training and upload times."""
        return InTurn(self.network)

    def cost(self, decision: Allocation) -> float:
        """Minus the number of clients."""
        return -float(np.count_nonzero(decision.selected))

    def excess(self, decision: Allocation) -> dict[str, Excess]:
        """The constraints by name; uploads are judged in turn whatever the decision says."""
        network, on = self.network, decision.selected
        plain = decision.replace(access="sequential", cycles=None, upload_bit=None)
        used = use(network, plain)
        limits = device_excess(network, plain, np.inf, used)
        multicast = self._multicast_s(on)
        ends = np.where(on, multicast + used.finish_s, 0.0)
        close = min(self.deadline_s, multicast + decision.deadline_s)
        sending = on & (network.upload_bit > 0.0) & np.isfinite(network.power_max_w)
        asked = np.where(sending, network.power_max_w, 0.0)
        return {
            **limits,
            "band": Excess(np.where(on, decision.bandwidth_hz, 0.0), network.band_hz, "Hz"),
            "deadline": Excess(ends, close, "s"),
            "power_min": Excess(-np.where(sending, decision.power_w, np.inf), -asked, "W"),
        }

    def _multicast_s(self, chosen: NDArray[np.bool_]) -> float:
        return float(np.max(self.downlink_s, where=chosen, initial=0.0))

    def pack(self, chosen: NDArray[np.bool_]) -> Allocation:
        """The round of the clients of a mask (K,), who upload in the order in which they train."""
        if not chosen.any():
            return Allocation.none(self.network.size, self.deadline_s)
        members = np.flatnonzero(chosen)
        line = members[np.argsort(self.in_turn.trained_s[members], kind="stable")]
        left = max(self.deadline_s - self._multicast_s(chosen), 0.0)
        return self.in_turn.allocation(line, left)

    # structure: ClosedForm

    def optimum(self) -> Optimum[Allocation]:
        """Moore and Hodgson's set, and the number that no set exceeds."""
        forgiven = (4.0 * self.network.size + 16.0) * EPS
        best = self._most(1.0 + FEASIBLE - forgiven, 0)
        above = self._most(1.0 + FEASIBLE + forgiven, best.size)
        chosen = np.zeros(self.network.size, dtype=bool)
        chosen[best] = True
        bound = -float(max(best.size, above.size))
        return Optimum(self.pack(chosen), bound, proof="combinatorial")

    def _most(self, limit: float, beaten: int) -> Whole:
        """The most clients by `limit` deadlines, if more than `beaten`; else nobody."""
        with np.errstate(over="ignore"):
            due = limit - self.in_turn.trained_s / self.deadline_s
            length = self.in_turn.upload_s / self.deadline_s
            wait = self.downlink_s / self.deadline_s
        best = np.zeros(0, dtype=int)
        able = np.flatnonzero(due >= wait + length)
        values, count = np.unique(wait[able], return_counts=True)
        several = values.size > 1
        crowd = np.cumsum(count)
        for at in np.argsort(-crowd, kind="stable"):
            most = max(best.size, beaten)
            if crowd[at] <= most:
                break
            members = able[wait[able] <= values[at]]
            left = due[members] - values[at]
            if several:
                free = np.cumsum(np.sort(length[members]))
                if np.searchsorted(free, left.max() * (1.0 + 1e-9), side="right") <= most:
                    continue
            found = members[most_on_time(left, length[members])]
            if found.size > most:
                best = found
        return best

    # structure: Mixed

    def program(self) -> Program[Allocation]:
        """Completion times in the order of training, without a big constant."""
        import pyomo.environ as pyo

        unit = self.deadline_s
        trained, upload = self.in_turn.trained_s / unit, self.in_turn.upload_s / unit
        wait = self.downlink_s / unit
        able = wait + trained + upload <= 1.0
        line = np.argsort(np.where(able, trained, np.inf), kind="stable")[: able.sum()].tolist()
        everyone = range(self.network.size)
        model = pyo.ConcreteModel()
        model.joins = pyo.Var(everyone, domain=pyo.Binary, bounds=lambda _, k: (0, int(able[k])))
        model.ends = pyo.Var(line, bounds=(0.0, 1.0))
        model.multicast = pyo.Var(bounds=(0.0, 1.0))
        model.clients = pyo.Objective(expr=-sum(model.joins[k] for k in everyone))
        model.rows = pyo.ConstraintList()
        for place, k in enumerate(line):
            end, joins = model.ends[k], model.joins[k]
            before = model.ends[line[place - 1]] if place else 0.0
            model.rows.add(end >= before + float(upload[k]) * joins)
            model.rows.add(end >= float(trained[k] + upload[k]) * joins)
            model.rows.add(model.multicast >= float(wait[k]) * joins)
            model.rows.add(end + model.multicast <= 1.0)

        def decision() -> Allocation:
            return self.pack(np.array([round(model.joins[k].value) == 1 for k in everyone]))

        return Program(model, decision)

    # structure: Enumerable

    def candidates(self) -> Iterator[tuple[Allocation, float]]:
        """The largest set that ends in time; those tried before it are refuted by their end.

        Raises ``InvalidInput`` for more than 16 clients that could take part.
        """
        trained, upload = self.in_turn.trained_s, self.in_turn.upload_s
        able = np.flatnonzero(self.downlink_s + trained + upload <= self.deadline_s * (1.0 + 1e-9))
        if able.size > _ENUMERABLE:
            raise InvalidInput(
                "clients that could take part",
                able.size,
                f"at most {_ENUMERABLE} to try all their sets",
                'solve with solver="closed"',
            )
        able = able[np.argsort(trained[able], kind="stable")]
        sets = (np.arange(2**able.size)[:, None] >> np.arange(able.size)) % 2 == 1
        ends, waits = np.zeros(len(sets)), np.zeros(len(sets))
        for place, k in enumerate(able):
            takes = sets[:, place]
            ends = np.where(takes, np.maximum(ends, trained[k]) + upload[k], ends)
            waits = np.where(takes, np.maximum(waits, self.downlink_s[k]), waits)
        share = (ends + waits) / self.deadline_s
        count = sets.sum(axis=1)
        for row in np.lexsort((share, -count)):
            if share[row] > 1.0 + 2.0 * FEASIBLE:
                continue
            chosen = np.zeros(self.network.size, dtype=bool)
            chosen[able[sets[row]]] = True
            yield self.pack(chosen), -float(count[row])
            if share[row] <= 1.0:
                return


def most_on_time(due: Floats, length: Floats) -> Whole:
    """Indices of the most jobs that one machine finishes in time, by Moore and Hodgson.

    Parameters
    ----------
    due, length
        (n,) due dates, and lengths >= 0, both at most about 1. Sums are exact, in ticks of 2^-60.

    >>> import numpy as np
    >>> most_on_time(np.array([0.3, 0.5, 0.6]), np.array([0.3, 0.3, 0.2])).tolist()
    [1, 2]
    """
    order = np.argsort(due, kind="stable")
    # whole numbers: a sum that is added to and taken from keeps no rounding
    dates = np.floor(due[order] * _TICKS).astype(np.int64).tolist()
    lengths = np.floor(length[order] * _TICKS).astype(np.int64).tolist()
    taken: list[tuple[int, int]] = []
    busy = 0
    for place, (date, ticks) in enumerate(zip(dates, lengths, strict=True)):
        heapq.heappush(taken, (-ticks, place))
        busy += ticks
        if busy > date:
            busy += heapq.heappop(taken)[0]
    return np.sort(order[[place for _, place in taken]])
