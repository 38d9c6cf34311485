"""Who can talk to whom, where devices learn without a server."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput
from fl_opt.units import Floats

Links = NDArray[np.int_]


@dataclass(frozen=True, eq=False, init=False)
class Graph:
    """An undirected graph of devices and links.

    Parameters
    ----------
    nodes
        Number of devices n, at least one.
    edges
        (E, 2) pairs of devices that are linked, numbered from 0; no loops, no pair twice. Kept as
        given, with the smaller number first.

    >>> import fl_opt
    >>> fl_opt.Graph(3, [(0, 1), (2, 1)]).degree
    array([1, 2, 1])
    """

    nodes: int
    edges: Links

    def __init__(self, nodes: int, edges: ArrayLike) -> None:
        size = int(number("nodes", nodes, low=1.0))
        if size != nodes:
            raise InvalidInput("nodes", nodes, "a whole number")
        try:
            pairs = np.array(edges, dtype=float)
        except (TypeError, ValueError):
            raise InvalidInput("edges", repr(edges)[:80], "a pair of devices per link") from None
        if pairs.size == 0:
            pairs = pairs.reshape(0, 2)
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise InvalidInput("edges.shape", pairs.shape, "(E, 2), a pair of devices per link")
        whole = pairs.astype(int)
        wrong = np.flatnonzero(((whole != pairs) | (whole < 0) | (whole >= size)).any(axis=1))
        if wrong.size:
            raise InvalidInput(
                f"edges[{wrong[0]}]", pairs[wrong[0]].tolist(), f"two of the devices 0..{size - 1}"
            )
        whole = np.sort(whole, axis=1)
        loops = np.flatnonzero(whole[:, 0] == whole[:, 1])
        if loops.size:
            raise InvalidInput(f"edges[{loops[0]}]", whole[loops[0]].tolist(), "two devices")
        _, first = np.unique(whole, axis=0, return_index=True)
        if first.size < len(whole):
            again = np.setdiff1d(np.arange(len(whole)), first)[0]
            raise InvalidInput(f"edges[{again}]", whole[again].tolist(), "each pair once")
        whole.flags.writeable = False
        object.__setattr__(self, "nodes", size)
        object.__setattr__(self, "edges", whole)

    @classmethod
    def path(cls, nodes: int) -> Graph:
        """Devices in a row."""
        return cls(nodes, [(i, i + 1) for i in range(nodes - 1)])

    @classmethod
    def ring(cls, nodes: int) -> Graph:
        """Devices in a circle; at least three."""
        number("nodes", nodes, low=3.0)
        return cls(nodes, [(i, (i + 1) % nodes) for i in range(nodes)])

    @classmethod
    def star(cls, nodes: int) -> Graph:
        """Device 0 linked to all others."""
        return cls(nodes, [(0, i) for i in range(1, nodes)])

    @classmethod
    def complete(cls, nodes: int) -> Graph:
        """Everybody linked to everybody."""
        return cls(nodes, [(i, j) for i in range(nodes) for j in range(i + 1, nodes)])

    @classmethod
    def torus(cls, rows: int, columns: int) -> Graph:
        """A grid whose opposite sides are joined; at least three rows and columns."""
        number("rows", rows, low=3.0)
        number("columns", columns, low=3.0)
        at = np.arange(rows * columns).reshape(rows, columns)
        right, down = np.roll(at, -1, axis=1), np.roll(at, -1, axis=0)
        pairs = np.concatenate([np.stack([at, other], axis=-1) for other in (right, down)])
        return cls(rows * columns, pairs.reshape(-1, 2))

    @classmethod
    def within(cls, positions_m: ArrayLike, radius_m: float) -> Graph:
        """Devices at (n, 2) positions [m], linked where they are at most `radius_m` apart."""
        places = np.asarray(positions_m, dtype=float)
        if places.ndim != 2:
            raise InvalidInput("positions_m.shape", places.shape, "(n, 2)")
        apart = np.linalg.norm(places[:, None] - places[None, :], axis=-1)
        near = np.triu(apart <= number("radius_m", radius_m), 1)
        return cls(len(places), np.argwhere(near))

    @property
    def links(self) -> int:
        """Number of links E."""
        return len(self.edges)

    @cached_property
    def degree(self) -> NDArray[np.int_]:
        """(n,) links of each device."""
        return np.bincount(self.edges.ravel(), minlength=self.nodes)

    @cached_property
    def neighbours(self) -> tuple[NDArray[np.int_], ...]:
        """The devices linked to each."""
        both = np.concatenate([self.edges, self.edges[:, ::-1]])
        return tuple(np.sort(both[both[:, 0] == i, 1]) for i in range(self.nodes))

    @cached_property
    def component(self) -> NDArray[np.int_]:
        """(n,) number of the connected part of each device, from 0."""
        part = np.full(self.nodes, -1)
        for i in range(self.nodes):
            if part[i] < 0:
                part[i] = part.max() + 1
                front = [i]
                while front:
                    fresh = [j for j in self.neighbours[front.pop()] if part[j] < 0]
                    part[fresh] = part[i]
                    front.extend(fresh)
        return part

    @property
    def connected(self) -> bool:
        """Whether every device can be reached from every other."""
        return int(self.component.max()) == 0

    def among(self, links: NDArray[np.bool_]) -> Graph:
        """The graph of some of the links, by a mask (E,)."""
        return Graph(self.nodes, self.edges[links])

    def laplacian(self, weight: ArrayLike = 1.0) -> Floats:
        """(n, n) Laplacian for weights of the links, (E,) or a scalar: symmetric, rows sum to 0."""
        given = vector("weight", weight, self.links, low=-np.inf)
        matrix = np.zeros((self.nodes, self.nodes))
        i, j = self.edges.T
        matrix[i, j] = matrix[j, i] = -given
        np.fill_diagonal(matrix, self.load(given))
        return matrix

    def load(self, weight: Floats) -> Floats:
        """(n,) sum of the weights (E,) of each device's links."""
        return np.bincount(
            self.edges.ravel(), weights=np.repeat(weight, 2), minlength=self.nodes
        ).astype(float)

    def spread(self, matrix: Floats) -> Floats:
        """(E,) Z_ii + Z_jj - 2 Z_ij of a symmetric matrix at each link: <Z, Laplacian of it>."""
        i, j = self.edges.T
        return np.asarray((matrix[i, i] - matrix[i, j]) + (matrix[j, j] - matrix[i, j]))

    def __repr__(self) -> str:
        return f"Graph(nodes={self.nodes}, links={self.links})"
