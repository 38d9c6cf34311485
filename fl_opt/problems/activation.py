"""Which links are used how often, where devices gossip over random matchings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.problems.graph import Graph
from fl_opt.units import Floats

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False, init=False)
class Activation:
    """In each step every matching is used with its probability, independently of the others.

    Parameters
    ----------
    graph
        Who is linked.
    matching
        (E,) number of the matching of each link, from 0; no device has two links in one.
    probability
        (J,) how often each matching is used [-].
    weight
        Weight alpha with which linked devices mix: W = I - alpha x Laplacian of the links used [-].
    """

    graph: Graph
    matching: NDArray[np.int_]
    probability: Floats
    weight: float

    def __init__(
        self, graph: Graph, matching: ArrayLike, probability: ArrayLike, weight: float = 0.0
    ) -> None:
        groups = proper(graph, matching)
        count = int(groups.max(initial=-1)) + 1
        object.__setattr__(self, "graph", graph)
        object.__setattr__(self, "matching", groups)
        given = vector("probability", probability, count, high=1.0)
        object.__setattr__(self, "probability", given)
        object.__setattr__(self, "weight", number("weight", weight))

    @cached_property
    def link_probability(self) -> Floats:
        """(E,) how often each link is used [-]."""
        return self.probability[self.matching]

    @cached_property
    def mean_laplacian(self) -> Floats:
        """(n, n) expected Laplacian of the links used."""
        return self.graph.laplacian(self.link_probability)

    @cached_property
    def square(self) -> Floats:
        """(n, n) expected square of that Laplacian; a matching's own square is twice itself."""
        p = self.link_probability
        return self.mean_laplacian @ self.mean_laplacian + self.graph.laplacian(2.0 * p * (1.0 - p))

    @cached_property
    def connectivity(self) -> float:
        """Second least eigenvalue of the expected Laplacian; 0 where the graph falls apart [-]."""
        if self.graph.nodes == 1:
            return 0.0
        values = np.linalg.eigvalsh(self.mean_laplacian)
        # eigenvalues are known no better than this
        return float(values[1]) if values[1] > 4.0 * EPS * values.size * values[-1] else 0.0

    def second_moment(self, weight: float) -> Floats:
        """(n, n) expected W'W for a mixing weight alpha."""
        eye = np.eye(self.graph.nodes)
        return np.asarray(eye - 2.0 * weight * self.mean_laplacian + weight**2 * self.square)

    def contraction(self, weight: float) -> float:
        """Factor by which the expected squared distance to the mean shrinks in a step [-]."""
        values = np.linalg.eigvalsh(self.second_moment(weight) - 1.0 / self.graph.nodes)
        return float(max(values[-1], 0.0))

    def draw(self, rng: np.random.Generator) -> Floats:
        """(n, n) mixing matrix of one step."""
        used = rng.random(self.probability.size) < self.probability
        return np.eye(self.graph.nodes) - self.weight * self.graph.laplacian(used[self.matching])

    def to_frame(self) -> pandas.DataFrame:
        """A row per link."""
        import pandas

        i, j = self.graph.edges.T
        columns = {"from": i, "to": j, "matching": self.matching}
        index = pandas.RangeIndex(self.graph.links, name="link")
        return pandas.DataFrame(columns | {"probability": self.link_probability}, index=index)


def complement(size: int) -> Floats:
    """(n, n - 1) orthonormal columns, all orthogonal to the vector of ones; for one device a 0."""
    if size == 1:
        return np.zeros((1, 1))
    columns = np.column_stack([np.ones(size), np.eye(size)[:, : size - 1]])
    return np.asarray(np.linalg.qr(columns)[0][:, 1:])


def parted(graph: Graph) -> Floats:
    """(n, 1) column that no link pulls at: a connected part against the rest; 0 without a rest."""
    first = (graph.component == 0).astype(float)
    return (
        np.asarray((first - first.mean())[:, None]) if not graph.connected else 0.0 * first[:, None]
    )


def proper(graph: Graph, matching: ArrayLike) -> NDArray[np.int_]:
    """`matching` (E,) checked: whole numbers from 0 without gaps, no device twice in one."""
    groups = np.asarray(matching, dtype=float).reshape(-1)
    if groups.shape != (graph.links,):
        raise InvalidInput("matching.shape", groups.shape, f"({graph.links},), a number per link")
    whole = groups.astype(int)
    if groups.size and not np.array_equal(np.unique(groups), np.arange(whole.max() + 1)):
        raise InvalidInput("matching", groups.tolist(), "whole numbers from 0 without gaps")
    for number_ in range(int(whole.max(initial=-1)) + 1):
        ends = graph.edges[whole == number_].ravel()
        twice = np.flatnonzero(np.bincount(ends) > 1)
        if twice.size:
            raise InvalidInput(
                f"matching {number_}",
                f"using device {twice[0]} twice",
                "no device in two links",
                "fl_opt.problems.matchings.matchings(graph) makes proper ones",
            )
    whole.flags.writeable = False
    return whole


def factor_forms(
    graph: Graph, factor: Floats, probability: Floats | None
) -> tuple[float, Floats, Floats]:
    """How a positive semidefinite Z = V V' of columns V (n, m) meets the matrices of a graph.

    Returns <Z, I - J>, the (E,) values <Z, Laplacian of a link>, and the columns' images (n, m)
    under the Laplacian of link weights `probability`. Differences of rows are taken first, so that
    each value is good to a few units in the last place.
    """
    centred = factor - factor.mean(axis=0)
    i, j = graph.edges.T
    apart = centred[i] - centred[j]
    image = np.zeros_like(factor)
    if probability is not None:
        pull = probability[:, None] * apart
        np.add.at(image, i, pull)
        np.add.at(image, j, -pull)
    return float(np.sum(centred * centred)), np.sum(apart * apart, axis=1), image
