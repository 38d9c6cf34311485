r"""Which links devices without a server should use how often, so that they agree soonest.

    maximise    lambda_2(sum_j p_j L_j)
    subject to  0 <= p_j <= 1                       "probability_min", "probability_max"
                sum_j p_j <= M                      "matchings"
                sum_j p_j max_{e in j} t_e <= T     "time"
                sum_j p_j sum_{e in j} c_e <= E     "energy"

    p_j  how often matching j is used [-]     L_j  its Laplacian
    t_e  time of link e in a step [s]         c_e  energy of both ends of link e in a step [J]
    M    matchings in a step, on average      T, E  time [s] and energy [J] of a step, on average

The links are split into matchings: no device has two links in one, so all links of a matching
talk at once, and matchings take turns. A step's time is then the sum over the matchings used of
their slowest link. lambda_2, the second least eigenvalue of the expected Laplacian, says how well
the devices stay in touch: links that hold the graph together are used often, the others seldom.
It is concave in p: a semidefinite program. The mixing weight for these probabilities is a second
one, see `MixingStep`; the decision has it already.

Proof: for Z = V V' != 0 orthogonal to 1, lambda_2 tr Z <= sum_j p_j z_j with
z_j = sum_{e in j} |V_i - V_i'|^2 over the ends of its links, and by prices y >= 0 of the budgets
that is at most sum_i y_i b_i + sum_j max(0, z_j - (A'y)_j). Any V and y give a true bound, since
V V' is positive semidefinite by its form; the solver's multiplier is factored, negative
eigenvalues dropped.

Source: Wang, Sahu, Yang, Joshi, Kar, "MATCHA: speeding up decentralized SGD via matching
decomposition sampling", 2019, arXiv 1905.09435, which budgets the number of matchings. The
budgets of time and energy, and the bound, are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.certificate import Excess
from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.problems.activation import Activation, complement, factor_forms, parted, proper
from fl_opt.problems.graph import Graph
from fl_opt.problems.matchings import matchings
from fl_opt.problems.mixing_step import MixingStep, psd_factor
from fl_opt.structure import Model
from fl_opt.units import Floats


@dataclass(frozen=True, eq=False)
class LinkActivation:
    """Probabilities of matchings that keep devices best connected within budgets of a step.

    Parameters
    ----------
    graph
        Who is linked.
    matchings_max
        Expected number of matchings used in a step; None: no limit.
    link_time_s, time_s
        (E,) time of each link [s] and the expected time of a step [s]; None: no limit.
    link_energy_j, energy_j
        (E,) energy of each link [J] and the expected energy of a step [J]; None: no limit.
    matching
        (E,) number of the matching of each link; None: coloured by Misra and Gries.

    The cost is minus the second least eigenvalue of the expected Laplacian. Whatever is valid is
    feasible: nobody may talk.
    """

    graph: Graph
    matchings_max: float | None = None
    link_time_s: ArrayLike | None = None
    time_s: float | None = None
    link_energy_j: ArrayLike | None = None
    energy_j: float | None = None
    matching: ArrayLike | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.graph, Graph):
            raise InvalidInput("graph", type(self.graph).__name__, "a Graph")
        for each, total in (("link_time_s", "time_s"), ("link_energy_j", "energy_j")):
            if (getattr(self, each) is None) != (getattr(self, total) is None):
                lone = each if getattr(self, total) is None else total
                raise InvalidInput(lone, "alone", f"both {each} and {total}, or neither")
        _ = self.groups, self.budgets

    @cached_property
    def groups(self) -> NDArray[np.int_]:
        """(E,) number of the matching of each link."""
        given = self.matching
        return proper(self.graph, matchings(self.graph) if given is None else given)

    @property
    def count(self) -> int:
        """Number of matchings J."""
        return int(self.groups.max(initial=-1)) + 1

    @cached_property
    def budgets(self) -> dict[str, tuple[Floats, float, str]]:
        """What each matching takes (J,), of how much, in which unit, by the name of the limit."""
        links, found = self.graph.links, {}
        if self.matchings_max is not None:
            most = number("matchings_max", self.matchings_max)
            found["matchings"] = np.ones(self.count), most, ""
        if self.link_time_s is not None:
            slowest = np.zeros(self.count)
            np.maximum.at(slowest, self.groups, vector("link_time_s", self.link_time_s, links))
            found["time"] = slowest, number("time_s", self.time_s), "s"
        if self.link_energy_j is not None:
            energy = vector("link_energy_j", self.link_energy_j, links)
            joule = np.bincount(self.groups, weights=energy, minlength=self.count).astype(float)
            found["energy"] = joule, number("energy_j", self.energy_j), "J"
        return found

    def cost(self, decision: Activation) -> float:
        """Minus the connectivity."""
        if not np.array_equal(decision.matching, self.groups):
            raise InvalidInput("decision.matching", "of other links", "the problem's own")
        return 0.0 - decision.connectivity

    def excess(self, decision: Activation) -> dict[str, Excess]:
        """The budgets, and what makes probabilities."""
        p = decision.probability
        limits = {
            "probability_min": Excess(-p, 0.0, "", scale=1.0),
            "probability_max": Excess(p, 1.0, ""),
        }
        for name, (taken, budget, unit) in self.budgets.items():
            limits[name] = Excess(math.fsum((taken * p).tolist()), budget, unit)
        return limits

    def decide(self, probability: Floats) -> Activation:
        """The decision for probabilities (J,), scaled into the budgets, with its best weight."""
        p = np.clip(probability, 0.0, 1.0)
        for taken, budget, _ in self.budgets.values():
            used = math.fsum((taken * p).tolist())
            if used > budget:
                p = p * (budget / used * (1.0 - 2.0 * EPS))
        return MixingStep(Activation(self.graph, self.groups, p)).optimum().decision

    def uniform(self) -> Activation:
        """Baseline: all matchings equally often, as often as the budgets allow."""
        return self.decide(np.ones(self.count))

    @cached_property
    def _allowed(self) -> NDArray[np.bool_]:
        """(E,) whether a budget of zero leaves a link any use."""
        barred = np.zeros(self.count, dtype=bool)
        for taken, budget, _ in self.budgets.values():
            barred |= (taken > 0.0) & (budget == 0.0)
        return ~barred[self.groups]

    # structure: Convex

    def lower_bound(self, factor: Floats, price: dict[str, float]) -> float:
        """Proven lower bound of the cost from any columns V (n, m) and prices of the budgets."""
        level, links, _ = factor_forms(self.graph, factor, None)
        if level == 0.0:
            return 0.0 if self.graph.nodes == 1 else -math.inf
        z = np.bincount(self.groups, weights=links * self._allowed, minlength=self.count)
        paid, charge = 0.0, np.zeros(self.count)
        for name, (taken, budget, _) in self.budgets.items():
            y = max(price[name], 0.0)
            paid += y * budget
            charge += y * taken
        rest = np.maximum(z - charge, 0.0) + 8.0 * EPS * (z + charge)
        most = paid + math.fsum(rest.tolist())
        return -most / level * (1.0 + 8.0 * EPS * (16 + self.graph.nodes))

    def model(self) -> Model[Activation]:
        """The semidefinite program on the complement of the vector of ones."""
        import cvxpy

        size, count = self.graph.nodes, self.count
        basis = complement(size)
        ends = basis[self.graph.edges]
        apart = ends[:, 0] - ends[:, 1]
        width = basis.shape[1]
        parts = np.zeros((width**2, max(count, 1)))
        for j in range(count):
            group = apart[self.groups == j]
            parts[:, j] = (group.T @ group).ravel()
        p = cvxpy.Variable(max(count, 1), bounds=[0.0, 1.0])
        connectivity = cvxpy.Variable(bounds=[0.0, 2.0 * max(count, 1)])
        limits, units = {}, {}
        for name, (taken, budget, _) in self.budgets.items():
            # a matching alone takes about one
            units[name] = float(taken.max(initial=0.0)) or 1.0
            row = np.zeros(max(count, 1))
            row[:count] = taken / units[name]
            limits[name] = row @ p <= budget / units[name]
        mixed = cvxpy.reshape(parts @ p, (width, width), order="C")
        held = mixed - connectivity * np.eye(width) >> 0
        goal = cvxpy.Maximize(connectivity)
        program = cvxpy.Problem(goal, [held, *limits.values()])

        def decision() -> Activation:
            return self.decide(np.asarray(p.value, dtype=float)[:count])

        def bound() -> float:
            left = self.graph.among(self._allowed)
            if not left.connected:
                return self.lower_bound(parted(left), dict.fromkeys(self.budgets, 0.0))
            factor = basis @ psd_factor(np.asarray(held.dual_value))
            prices = {
                name: float(np.asarray(limit.dual_value).item()) / units[name]
                for name, limit in limits.items()
            }
            return self.lower_bound(factor, prices)

        return Model(program, decision, bound)
