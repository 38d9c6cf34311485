r"""Share the training of a round among devices so that it takes the least energy.

    minimise    sum_k E_k(j_k)                over whole numbers j_k
    subject to  sum_k j_k = n                 "tasks"
                l_k <= j_k <= u_k             "lower", "upper"

    j_k     tasks of device k, such as minibatches [-]     n         tasks of the round [-]
    E_k(j)  energy that device k takes for j tasks [J]     l_k, u_k  limits [-]

Tables may have any shape. Joining a round at all often costs an upload (a step at j = 0); slow
clocks make few tasks cheap and many dear (convex); a processor that is on anyway does the next
task for less (concave). Where every table is convex, the n cheapest next tasks are best, and
their price proves it. In general dynamic programming over devices and tasks shared so far is
exact, in O(n sum (u_k - l_k)) vector steps.

Proof: "dual" for convex tables, sum_k min_j [E_k(j) - nu j] + nu n at the price nu of the last
task; else "combinatorial": all sums are tried but those that another of as many tasks undercuts,
and rounding of the sums is taken off.

Source: Pilla, Scheduling algorithms for federated learning with minimal energy consumption, IEEE
TPDS 2023, a multiple-choice minimum-cost maximal knapsack (recalled). Bounds are derived here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.allocation import Allocation, use
from fl_opt.certificate import Excess
from fl_opt.checks import number, vector
from fl_opt.errors import Infeasible, InvalidInput
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems.in_turn import clock_hz
from fl_opt.problems.units_shared import share
from fl_opt.structure import Optimum, Program
from fl_opt.units import Floats

if TYPE_CHECKING:
    import pandas

Whole = NDArray[np.int_]
_ENUMERABLE = 200_000


@dataclass(frozen=True, eq=False, init=False)
class TaskShares:
    """What `WorkloadSharing` decides: `tasks` (K,), whole numbers >= 0.

    `deadline_s` and `nominal_steps` say how it becomes a round, see `to_round`.
    """

    tasks: Whole
    deadline_s: float
    nominal_steps: int

    def __init__(
        self, tasks: ArrayLike, deadline_s: float = math.inf, nominal_steps: int = 1
    ) -> None:
        shares = _whole("tasks", tasks, np.size(tasks))
        object.__setattr__(self, "tasks", shares)
        object.__setattr__(self, "deadline_s", number("deadline_s", deadline_s, finite=False))
        steps = int(_whole("nominal_steps", nominal_steps, 1)[0])
        object.__setattr__(self, "nominal_steps", int(number("nominal_steps", steps, low=1.0)))

    @property
    def size(self) -> int:
        """Number of devices K."""
        return int(self.tasks.size)

    def to_round(self, network: Network) -> Allocation:
        """A round in which a device with j tasks trains j local steps and sends at full power.

        `network.cycles` is the work of `nominal_steps` steps. Everybody has B/K of the band, and
        the slowest clock that keeps the deadline; the fastest without one. No task, no part.
        """
        if network.size != self.size:
            raise InvalidInput("network.size", network.size, f"{self.size}, as the decision")
        cycles = network.cycles * (self.tasks / self.nominal_steps)
        band = np.full(self.size, network.band_hz / self.size)
        clock, able = clock_hz(network.replace(cycles=cycles), band, self.deadline_s)
        selected = (self.tasks > 0) & able
        return Allocation(
            selected=selected,
            bandwidth_hz=np.where(selected, band, 0.0),
            power_w=np.where(selected & (network.upload_bit > 0.0), network.power_max_w, 0.0),
            cpu_hz=np.where(selected, clock, 0.0),
            cycles=cycles,
            local_steps=self.tasks,
            deadline_s=self.deadline_s,
        )

    def to_frame(self) -> pandas.DataFrame:
        """A row per device."""
        import pandas

        index = pandas.RangeIndex(self.size, name="device")
        return pandas.DataFrame({"tasks": self.tasks}, index=index)


@dataclass(frozen=True, eq=False, init=False)
class WorkloadSharing:
    """Share the tasks of a round among devices with tables of energy, at the least total.

    Parameters
    ----------
    energy_j
        A row per device: energy for 0, 1, 2, ... tasks [J], >= 0; rows may differ in length.
        Kept as (K, m + 1), infinite beyond a row's end.
    tasks
        Tasks n to be shared, all of them.
    lower, upper
        Limits of a device's tasks, scalars or (K,); by default 0 and the end of its row.
    deadline_s, nominal_steps
        Handed to the decision, see ``TaskShares.to_round``.

    Raises ``InvalidInput`` for what is not whole, or for energies that are missing, negative or
    not finite within the limits; ``Infeasible`` where the limits do not admit n tasks.
    """

    energy_j: Floats
    tasks: int
    lower: Whole
    upper: Whole
    deadline_s: float
    nominal_steps: int

    def __init__(
        self,
        energy_j: Sequence[ArrayLike] | Floats,
        tasks: int,
        lower: ArrayLike = 0,
        upper: ArrayLike | None = None,
        deadline_s: float = math.inf,
        nominal_steps: int = 1,
    ) -> None:
        rows = [np.atleast_1d(np.asarray(row, dtype=float)) for row in energy_j]
        if not rows or min(row.size for row in rows) == 0:
            raise InvalidInput("energy_j", "empty", "a row per device, of one energy at least")
        ends = np.array([row.size - 1 for row in rows])
        low = _whole("lower", lower, ends.size)
        high = _whole("upper", ends if upper is None else upper, ends.size)
        wrong = np.flatnonzero((low > high) | (high > ends))
        if wrong.size:
            k = int(wrong[0])
            if high[k] > ends[k]:
                raise InvalidInput(
                    f"upper[{k}]", high[k], f"at most {ends[k]}, the end of row {k} of energy_j"
                )
            raise InvalidInput(f"lower[{k}]", low[k], f"at most upper[{k}] = {high[k]}")
        table = np.full((ends.size, int(ends.max()) + 1), np.inf)
        for k, row in enumerate(rows):
            inside = row[low[k] : high[k] + 1]
            vector(f"energy_j[{k}][{low[k]}:]", inside, inside.size)
            table[k, : row.size] = row
        table.flags.writeable = False
        put = object.__setattr__
        put(self, "energy_j", table)
        put(self, "tasks", int(_whole("tasks", tasks, 1)[0]))
        put(self, "lower", low)
        put(self, "upper", high)
        shares = TaskShares([0], deadline_s, nominal_steps)
        put(self, "deadline_s", shares.deadline_s)
        put(self, "nominal_steps", shares.nominal_steps)

    @classmethod
    def linear(
        cls,
        base_j: ArrayLike,
        task_j: ArrayLike,
        tasks: int,
        lower: ArrayLike = 0,
        upper: ArrayLike | None = None,
    ) -> WorkloadSharing:
        """Energies base + task x j, also at j = 0, scalars or (K,) [J]; `upper` None: all tasks."""
        most = tasks if upper is None else upper
        size = max(np.size(value) for value in (base_j, task_j, lower, most))
        base, slope = vector("base_j", base_j, size), vector("task_j", task_j, size)
        high = _whole("upper", most, size)
        rows = [base[k] + slope[k] * np.arange(high[k] + 1) for k in range(size)]
        return cls(rows, tasks, lower, high)

    @classmethod
    def from_network(
        cls, network: Network, tasks: int, deadline_s: float, nominal_steps: int = 1
    ) -> WorkloadSharing:
        """Devices that train j steps as slowly as a deadline allows, and send at full power.

        A step takes ``network.cycles / nominal_steps``; everybody has B/K of the band. A device
        may have as many steps as clock, deadline and energy allow; with none it does not send.
        ``Optimised(partial(WorkloadSharing.from_network, tasks=..., deadline_s=...))`` is a
        policy.
        """
        most = int(_whole("tasks", tasks, 1)[0])
        number("deadline_s", deadline_s, open_low=True)
        table = np.full((network.size, most + 1), np.inf)
        table[:, 0] = 0.0
        for j in range(1, most + 1):
            shares = TaskShares(np.full(network.size, j), deadline_s, nominal_steps)
            allocation = shares.to_round(network)
            able = allocation.selected
            if not able.any():
                break
            table[able, j] = use(network, allocation).energy_j[able]
        upper = np.logical_and.accumulate(np.isfinite(table), axis=1).sum(axis=1) - 1
        return cls(table, tasks, 0, upper, deadline_s, nominal_steps)

    @property
    def size(self) -> int:
        """Number of devices K."""
        return int(self.lower.size)

    def cost(self, decision: TaskShares) -> float:
        """Total energy [J]; infinite beyond the tables."""
        tasks = decision.tasks
        known = np.minimum(tasks, self.energy_j.shape[1] - 1)
        energy = self.energy_j[np.arange(self.size), known]
        return math.fsum(np.where(tasks == known, energy, np.inf).tolist())

    def excess(self, decision: TaskShares) -> dict[str, Excess]:
        """The constraints by name; "tasks" is how far the sum is off."""
        if decision.size != self.size:
            raise InvalidInput("decision.size", decision.size, f"{self.size}, as the problem")
        off = abs(int(decision.tasks.sum()) - self.tasks)
        return {
            "tasks": Excess(off, 0.0, "", scale=max(self.tasks, 1)),
            "lower": Excess(-decision.tasks, -self.lower, "", scale=1.0),
            "upper": Excess(decision.tasks, self.upper, "", scale=1.0),
        }

    def decide(self, tasks: ArrayLike) -> TaskShares:
        """The decision with these tasks (K,)."""
        return TaskShares(tasks, self.deadline_s, self.nominal_steps)

    def _check(self) -> None:
        least, most = int(self.lower.sum()), int(self.upper.sum())
        if least <= self.tasks <= most:
            return
        text = (
            f"the devices can take {most} tasks at most, and there are {self.tasks}"
            if self.tasks > most
            else f"the devices must take {least} tasks at least, and there are {self.tasks}"
        )
        cure = float(min(max(self.tasks, least), most))
        everyone = np.arange(self.size)
        raise Infeasible(text, constraint="tasks", devices=everyone, relaxations={"tasks": cure})

    # structure: ClosedForm

    def optimum(self) -> Optimum[TaskShares]:
        """The cheapest next tasks of convex tables, else dynamic programming."""
        self._check()
        width = int((self.upper - self.lower).max()) + 1
        place = self.lower[:, None] + np.arange(width)
        inside = place <= self.upper[:, None]
        last = np.minimum(place, self.energy_j.shape[1] - 1)
        energy = np.where(inside, np.take_along_axis(self.energy_j, last, axis=1), np.inf)
        found = share(energy, self.tasks - int(self.lower.sum()))
        decision = self.decide(self.lower + found.units)
        return Optimum(decision, min(found.bound, self.cost(decision)), proof=found.proof)

    # structure: Mixed

    def program(self) -> Program[TaskShares]:
        """A binary for each device and number of tasks."""
        import pyomo.environ as pyo

        pairs = [
            (k, j)
            for k in range(self.size)
            for j in range(int(self.lower[k]), int(self.upper[k]) + 1)
        ]
        unit = max(float(self.energy_j[pair]) for pair in pairs) or 1.0
        model = pyo.ConcreteModel()
        model.takes = pyo.Var(pairs, domain=pyo.Binary)
        takes = model.takes
        model.energy = pyo.Objective(
            expr=pyo.quicksum(float(self.energy_j[pair]) / unit * takes[pair] for pair in pairs)
        )
        model.tasks = pyo.Constraint(
            expr=pyo.quicksum(pair[1] * takes[pair] for pair in pairs) == self.tasks
        )
        model.once = pyo.Constraint(
            range(self.size),
            rule=lambda _, k: (
                pyo.quicksum(takes[k, j] for j in range(int(self.lower[k]), int(self.upper[k]) + 1))
                == 1
            ),
        )

        def decision() -> TaskShares:
            tasks = np.zeros(self.size, dtype=int)
            for k, j in pairs:
                if round(takes[k, j].value) == 1:
                    tasks[k] = j
            return self.decide(tasks)

        return Program(model, decision, unit)

    # structure: Enumerable

    def candidates(self) -> Iterator[tuple[TaskShares, float]]:
        """The best of all ways to share. Raises ``InvalidInput`` for more than 200,000 ways."""
        ways = math.prod((self.upper[:-1] - self.lower[:-1] + 1).tolist())
        if ways > _ENUMERABLE:
            raise InvalidInput(
                "ways to share", ways, f"at most {_ENUMERABLE}", 'solve with solver="closed"'
            )
        shape = tuple((self.upper - self.lower + 1).tolist()[:-1])
        tasks = np.indices(shape).reshape(self.size - 1, ways).T + self.lower[:-1]
        tasks = np.column_stack([tasks, self.tasks - tasks.sum(axis=1)])
        fits = (tasks[:, -1] >= self.lower[-1]) & (tasks[:, -1] <= self.upper[-1])
        tasks = tasks[fits]
        if len(tasks):
            cost = self.energy_j[np.arange(self.size), tasks].sum(axis=1)
            best = int(np.argmin(cost))
            yield self.decide(tasks[best]), float(cost[best]) * (1.0 - 2.0 * self.size * EPS)


def _whole(where: str, value: ArrayLike, size: int) -> Whole:
    given = vector(where, value, size)
    array = given.astype(int)
    wrong = np.flatnonzero(array != given)
    if wrong.size:
        k = int(wrong[0])
        at = f"{where}[{k}]" if np.ndim(value) else where
        raise InvalidInput(at, f"{given[k]:g}", "a whole number")
    array.flags.writeable = False
    return array
