r"""Weights with which neighbours average each other's models so that all agree soonest.

    minimise    ||W - J||_2,   W = I - sum_e w_e (e_i - e_j)(e_i - e_j)',   J = 11'/n
    subject to  w_e >= 0, sum_{e at i} w_e <= 1     "weight_min", "self_min"   (fastest mixing only)

    w_e  weight of link e = {i, j} [-]      W_ij = w_e, W_ii = 1 - sum of the weights at i

In a step of gossip, x_i becomes sum_j W_ij x_j. W is symmetric, its rows sum to one, and it is
zero where there is no link, so the mean stays, and the distance to it shrinks by the cost in each
step. Without the limits this is fast distributed linear averaging, with them the fastest mixing
Markov chain. The norm of a matrix that is affine in w is convex: a semidefinite program

    minimise s   subject to   -s I <= W - J <= s I

Proof: for any symmetric Z the cost is at least <Z, W - J>/||Z||_*, with ||Z||_* the sum of the
absolute eigenvalues, and <Z, W> = tr Z - sum_e w_e z_e with z_e = Z_ii + Z_jj - 2 Z_ij. Z comes
from the solver and is mended before it is used. Without limits Z_ij of each link is replaced by
the mean of Z_ii and Z_jj, so z = 0 up to rounding, and what is left counts in full, since no
optimal w_e exceeds 1. With limits, prices u_i >= 0 of "self_min" are raised until
u_i + u_j >= z_e, and sum_e w_e z_e <= sum_i u_i. Trace and norm are then taken anew, outward.

Source: Xiao, Boyd, "Fast linear iterations for distributed averaging", Systems & Control Letters
2004; Boyd, Diaconis, Xiao, "Fastest mixing Markov chain on a graph", SIAM Review 2004. The mended
bound is derived here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.certificate import Excess, verify
from fl_opt.checks import vector
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.problems.graph import Graph
from fl_opt.structure import Model
from fl_opt.units import Floats

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False, init=False)
class Mixing:
    """Weights of the links of a graph.

    Parameters
    ----------
    graph
        Who is linked.
    weight
        (E,) weight of each link [-].
    """

    graph: Graph
    weight: Floats

    def __init__(self, graph: Graph, weight: ArrayLike) -> None:
        object.__setattr__(self, "graph", graph)
        object.__setattr__(self, "weight", vector("weight", weight, graph.links, low=-np.inf))

    @cached_property
    def matrix(self) -> Floats:
        """(n, n) mixing matrix W: a step of gossip is ``W @ parameters``."""
        return np.eye(self.graph.nodes) - self.graph.laplacian(self.weight)

    @cached_property
    def contraction(self) -> float:
        """Factor by which a step shrinks the distance to the mean, at worst: ||W - J||_2 [-]."""
        size = self.graph.nodes
        norm = float(np.abs(np.linalg.eigvalsh(self.matrix - 1.0 / size)).max())
        # eigenvalues are known no better than this: everybody agrees after one step
        return norm if norm > 4.0 * EPS * size else 0.0

    def steps(self, accuracy: float) -> float:
        """Steps until the distance to the mean has surely shrunk to `accuracy` of what it was."""
        if self.contraction == 0.0:
            return 1.0
        return math.log(accuracy) / math.log(self.contraction) if self.contraction < 1 else math.inf

    def to_frame(self) -> pandas.DataFrame:
        """A row per link."""
        import pandas

        i, j = self.graph.edges.T
        index = pandas.RangeIndex(self.graph.links, name="link")
        return pandas.DataFrame({"from": i, "to": j, "weight": self.weight}, index=index)


@dataclass(frozen=True, eq=False)
class MixingWeights:
    """Mixing weights of a graph that contract fastest.

    Parameters
    ----------
    graph
        Who is linked.
    nonnegative
        Whether all entries of the mixing matrix must be >= 0, so that a step takes means: fastest
        mixing. Else weights may be negative or leave a negative rest: fast linear averaging.

    Whatever is valid is feasible; the cost of a graph that is not connected is 1.
    """

    graph: Graph
    nonnegative: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.graph, Graph):
            raise InvalidInput("graph", type(self.graph).__name__, "a Graph")

    def cost(self, decision: Mixing) -> float:
        """Worst contraction of a step."""
        self._own(decision)
        return decision.contraction

    def excess(self, decision: Mixing) -> dict[str, Excess]:
        """The signs, where they are asked for."""
        self._own(decision)
        if not self.nonnegative:
            return {}
        return {
            "weight_min": Excess(-decision.weight, 0.0, "", scale=1.0),
            "self_min": Excess(self.graph.load(decision.weight), 1.0, ""),
        }

    def _own(self, decision: Mixing) -> None:
        if decision.graph is not self.graph and not np.array_equal(
            decision.graph.edges, self.graph.edges
        ):
            raise InvalidInput("decision.graph", decision.graph, "the graph of the problem")

    # baselines

    def metropolis(self) -> Mixing:
        """Weights 1/(1 + the larger degree), which neighbours find out on their own."""
        return Mixing(self.graph, 1.0 / (1.0 + self.graph.degree[self.graph.edges].max(axis=1)))

    def best_constant(self) -> Mixing:
        """The best of all equal weights, 2/(largest + second least eigenvalue of the Laplacian)."""
        values = np.linalg.eigvalsh(self.graph.laplacian())
        spread = values[-1] + values[min(1, len(values) - 1)]
        return Mixing(self.graph, 2.0 / spread if spread > 0.0 else 0.0)

    # structure: Convex

    def lower_bound(self, multiplier: Floats, price: Floats | None = None) -> float:
        """Proven lower bound of the cost from any symmetric (n, n) multiplier Z.

        `price` (n,) belongs to "self_min".
        """
        graph, z = self.graph, 0.5 * (multiplier + multiplier.T)
        i, j = graph.edges.T
        if not self.nonnegative:
            z[i, j] = z[j, i] = 0.5 * (z[i, i] + z[j, j])
        size = float(np.abs(z).max(initial=0.0))
        slack = graph.spread(z) + 8.0 * EPS * size
        if self.nonnegative:
            given = np.zeros(graph.nodes) if price is None else np.maximum(price, 0.0)
            short = np.maximum(slack - given[i] - given[j], 0.0) * (0.5 + EPS)
            raised = np.zeros(graph.nodes)
            np.maximum.at(raised, graph.edges, short[:, None])
            given = (given + raised) * (1.0 + 4.0 * EPS)
            lost = math.fsum(given.tolist())
        else:
            lost = math.fsum((np.abs(slack) + 8.0 * EPS * size).tolist())
        gained = math.fsum(np.diag(z).tolist()) - math.fsum(z.ravel().tolist()) / graph.nodes
        value = gained - lost * (1.0 + 8.0 * EPS) - 8.0 * EPS * size * graph.nodes
        values = np.abs(np.linalg.eigvalsh(z))
        norm = float(values.sum()) + 8.0 * EPS * graph.nodes**2 * float(values.max(initial=0.0))
        return max(value / norm * (1.0 - 4.0 * EPS), 0.0) if norm > 0.0 else 0.0

    def model(self) -> Model[Mixing]:
        """The semidefinite program, and the bound from its mended multipliers."""
        import cvxpy

        graph = self.graph
        size, links = graph.nodes, graph.links
        # a graph without links keeps a variable that touches nothing
        weight = cvxpy.Variable(max(links, 1), bounds=[0.0 if self.nonnegative else -1.0, 1.0])
        s = cvxpy.Variable(bounds=[0.0, 1.0])
        pairs = np.zeros((size * size, max(links, 1)))
        for e, (i, j) in enumerate(graph.edges):
            column = np.zeros((size, size))
            column[[i, j], [i, j]], column[[i, j], [j, i]] = 1.0, -1.0
            pairs[:, e] = column.ravel()
        off = np.eye(size) - 1.0 / size - cvxpy.reshape(pairs @ weight, (size, size), order="C")
        above = s * np.eye(size) - off >> 0
        below = s * np.eye(size) + off >> 0
        limits = [above, below]
        at = np.zeros((size, max(links, 1)))
        if links:
            at[graph.edges.T, np.arange(links)] = 1.0
        stay = at @ weight <= 1.0
        if self.nonnegative:
            limits.append(stay)
        program = cvxpy.Problem(cvxpy.Minimize(s), limits)

        def decision() -> Mixing:
            found = np.asarray(weight.value, dtype=float)[:links]
            if self.nonnegative:
                found = np.maximum(found, 0.0)
                over = np.maximum(graph.load(found), 1.0)[graph.edges].max(axis=1)
                found = found / over
            solved, constant = Mixing(graph, found), self.best_constant()
            # where all links are alike, equal weights are best, and exact
            better = constant.contraction < solved.contraction
            return constant if better and verify(self, constant).feasible else solved

        def bound() -> float:
            z = np.asarray(above.dual_value - below.dual_value, dtype=float)
            price = np.asarray(stay.dual_value, dtype=float) if self.nonnegative else None
            return self.lower_bound(z, price)

        return Model(program, decision, bound)
