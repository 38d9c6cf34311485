r"""The weight with which devices mix over random links so that they agree soonest on average.

    minimise    rho = || E[W'W] - J ||_2                              over alpha >= 0
    where       W = I - alpha sum_j B_j L_j,   B_j = 1 with probability p_j, else 0
                E[W'W] = I - 2 alpha Lbar + alpha^2 (Lbar^2 + 2 sum_j p_j (1 - p_j) L_j)
                Lbar = sum_j p_j L_j,   J = 11'/n

    L_j  Laplacian of matching j: L_j^2 = 2 L_j     p_j  how often matching j is used [-]

The expected squared distance to the mean shrinks by rho in each step. rho is the largest
eigenvalue of a matrix whose quadratic forms are convex parabolas in alpha: convex in alpha, a
semidefinite program in (rho, alpha), and for a single number a matter of a few eigenvectors.
Each top eigenvector v gives a parabola below rho. Invariant: one has its foot on the left of the
optimum and falls at it, one on the right and rises; where the two cross is tried next.

Proof: for Z = V V' the cost is at least (<Z, I - J> - <Z, Lbar>^2/<Z, Q>)/tr Z, with Q the factor
of alpha^2. Z joins the two eigenvectors so that the slopes cancel.

Source: Wang, Sahu, Yang, Joshi, Kar, "MATCHA: speeding up decentralized SGD via matching
decomposition sampling", 2019, arXiv 1905.09435. The search and the bound are derived here.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import Excess
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.problems.activation import Activation, complement, factor_forms, parted
from fl_opt.structure import Model, Optimum
from fl_opt.units import Floats

_STEPS = 100


@dataclass(frozen=True, eq=False)
class MixingStep:
    """The mixing weight that contracts fastest in the mean square, for given probabilities.

    Parameters
    ----------
    activation
        Graph, matchings and their probabilities; its own weight does not count.

    The decision is the activation with its best weight. Whatever is valid is feasible; a graph
    that is not connected on average costs 1.
    """

    activation: Activation

    def cost(self, decision: Activation) -> float:
        """Mean-square contraction of a step."""
        given = self.activation
        if not (
            np.array_equal(decision.graph.edges, given.graph.edges)
            and np.array_equal(decision.link_probability, given.link_probability)
        ):
            raise InvalidInput("decision", "for other links", "the activation of the problem")
        return given.contraction(decision.weight)

    def excess(self, decision: Activation) -> dict[str, Excess]:
        """There are no limits."""
        return {}

    # structure: ClosedForm

    def optimum(self) -> Optimum[Activation]:
        """Cross parabolas from both sides of the optimum until they tell no more.

        Where the graph falls apart, the parts are mixed at their best, and the cost is 1.
        """
        given = self.activation
        used = given.graph.among(given.link_probability > 0.0)
        if used.links == 0:
            return self._answer(0.0, parted(used))
        alike = used.component[:, None] == used.component
        means = alike / alike.sum(axis=0)
        # what the parts agree on comes first, at -1
        vectors = np.linalg.eigh(given.mean_laplacian - means)[1]
        left, right = vectors[:, used.component.max() + 1], vectors[:, -1]
        best, cost = 0.0, 1.0
        weight = self._crossing(left, right)
        for _ in range(_STEPS):
            values, vectors = np.linalg.eigh(given.second_moment(weight) - means)
            if values[-1] < cost:
                best, cost = weight, float(values[-1])
            top = vectors[:, -1]
            first, second = self._parabola(top)
            if second * weight <= first:
                left = top
            else:
                right = top
            following = self._crossing(left, right)
            if abs(following - weight) <= 2.0 * EPS * weight:
                break
            weight = following
        joined = self._joined(left, right, best)
        return self._answer(best, joined if used.connected else parted(used))

    def _answer(self, weight: float, factor: Floats) -> Optimum[Activation]:
        decision = dataclasses.replace(self.activation, weight=weight)
        return Optimum(decision, self.lower_bound(factor))

    def _parabola(self, vector: Floats) -> tuple[float, float]:
        """(b, c) of the parabola |v|^2 - 2 alpha b + alpha^2 c below the cost."""
        first, second = self._forms(vector[:, None])[1:]
        return first, second

    def _forms(self, factor: Floats) -> tuple[float, float, float]:
        p = self.activation.link_probability
        level, links, image = factor_forms(self.activation.graph, factor, p)
        first = math.fsum((p * links).tolist())
        second = float(np.sum(image * image)) + math.fsum((2.0 * p * (1.0 - p) * links).tolist())
        return level, first, second

    def _crossing(self, left: Floats, right: Floats) -> float:
        """Where the larger of two parabolas 1 - 2 alpha b + alpha^2 c is least."""
        (b1, c1), (b2, c2) = self._parabola(left), self._parabola(right)
        foot1, foot2 = (b / c if c > 0.0 else math.inf for b, c in ((b1, c1), (b2, c2)))
        crossing = 2.0 * (b1 - b2) / (c1 - c2) if c1 != c2 else math.inf
        if math.isinf(foot1):
            return foot2
        return min(max(crossing, min(foot1, foot2)), max(foot1, foot2))

    def _joined(self, left: Floats, right: Floats, weight: float) -> Floats:
        """Columns of the Z that mixes two vectors so that their slopes cancel at `weight`."""
        slopes = [weight * c - b for b, c in (self._parabola(left), self._parabola(right))]
        apart = slopes[1] - slopes[0]
        share = float(np.clip(slopes[1] / apart, 0.0, 1.0)) if apart > 0.0 else 0.5
        return np.column_stack([math.sqrt(share) * left, math.sqrt(1.0 - share) * right])

    def lower_bound(self, factor: Floats) -> float:
        """Proven lower bound of the cost from any columns V (n, m), Z = V V'."""
        level, first, second = self._forms(factor)
        trace = float(np.sum(factor * factor))
        if trace == 0.0:
            return 0.0
        won = first * first / second if second > 0.0 else 0.0
        allowance = 8.0 * EPS * (16 + factor.shape[0]) * (level + won)
        return float(max((level - won - allowance) / trace, 0.0))

    # structure: Convex

    def model(self) -> Model[Activation]:
        """The semidefinite program, alpha^2 by a Schur complement."""
        import cvxpy

        size = self.activation.graph.nodes
        basis = complement(size)
        mean, square = (
            basis.T @ matrix @ basis
            for matrix in (self.activation.mean_laplacian, self.activation.square)
        )
        values, vectors = np.linalg.eigh(square)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        unit = float(np.abs(root).max(initial=0.0)) or 1.0
        rho, step = cvxpy.Variable(bounds=[0.0, 1.0]), cvxpy.Variable(bounds=[0.0, 10.0 * size])
        eye = np.eye(basis.shape[1])
        corner = (rho - 1.0) * eye + (2.0 / unit) * step * mean
        block = cvxpy.bmat([[corner, step * (root / unit)], [step * (root / unit).T, eye]]) >> 0
        program = cvxpy.Problem(cvxpy.Minimize(rho), [block])

        def decision() -> Activation:
            return dataclasses.replace(self.activation, weight=max(float(step.value), 0.0) / unit)

        def bound() -> float:
            return self.lower_bound(basis @ psd_factor(block.dual_value[: len(eye), : len(eye)]))

        return Model(program, decision, bound)


def psd_factor(matrix: NDArray[np.float64]) -> Floats:
    """Columns V whose V V' is nearest to a matrix among the positive semidefinite ones."""
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
