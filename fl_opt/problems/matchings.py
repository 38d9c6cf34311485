"""Links in groups that can talk at once: a graph's edges coloured with few colours."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fl_opt.problems.graph import Graph


def matchings(graph: Graph) -> NDArray[np.int_]:
    """(E,) number of the matching of each link, at most one more than the largest degree.

    In a matching no device has two links, so all its links can be used at once. Source: Misra,
    Gries, "A constructive proof of Vizing's theorem", Information Processing Letters 41, 1992.
    """
    colouring = _Colouring(graph)
    for u, v in graph.edges:
        colouring.add(int(u), int(v))
    colours = [colouring.of(int(u), int(v)) for u, v in graph.edges]
    return np.unique(np.array(colours, dtype=int), return_inverse=True)[1].reshape(-1)


class _Colouring:
    """A proper colouring of some edges; `at[u, c]` is who u reaches by colour c, -1 for nobody."""

    def __init__(self, graph: Graph) -> None:
        most = int(graph.degree.max(initial=0))
        self.at = np.full((graph.nodes, most + 1), -1)

    def of(self, u: int, v: int) -> int:
        """Colour of a coloured edge."""
        return int(np.flatnonzero(self.at[u] == v)[0])

    def _free(self, u: int) -> int:
        return int(np.flatnonzero(self.at[u] < 0)[0])

    def _set(self, u: int, v: int, colour: int) -> None:
        self.at[u, colour], self.at[v, colour] = v, u

    def _clear(self, u: int, v: int, colour: int) -> None:
        self.at[u, colour] = self.at[v, colour] = -1

    def add(self, u: int, v: int) -> None:
        """Colour a further edge."""
        fan = self._fan(u, v)
        c, d = self._free(u), self._free(fan[-1])
        self._invert(u, c, d)
        # up to the first of the fan that misses d, which stays a fan
        length = next(i for i, w in enumerate(fan) if self.at[w, d] < 0 and self._is_fan(u, fan, i))
        shifted = [self.of(u, w) for w in fan[1 : length + 1]]
        for w, colour in zip(fan[1 : length + 1], shifted, strict=True):
            self._clear(u, w, colour)
        for w, colour in zip(fan[:length], shifted, strict=True):
            self._set(u, w, colour)
        self._set(u, fan[length], d)

    def _fan(self, u: int, v: int) -> list[int]:
        """A maximal chain of neighbours of u: the colour of each edge is free at the one before."""
        fan = [v]
        while True:
            reached = self.at[u]
            fresh = [
                int(w) for w in reached[(self.at[fan[-1]] < 0) & (reached >= 0)] if w not in fan
            ]
            if not fresh:
                return fan
            fan.append(fresh[0])

    def _is_fan(self, u: int, fan: list[int], length: int) -> bool:
        return all(self.at[before, self.of(u, w)] < 0 for before, w in pairwise(fan[: length + 1]))

    def _invert(self, u: int, c: int, d: int) -> None:
        """Swap colours c and d along the path from u that begins with d."""
        path, colour = [u], d
        while (following := int(self.at[path[-1], colour])) >= 0:
            path.append(following)
            colour = c if colour == d else d
        colours = [d if i % 2 == 0 else c for i in range(len(path) - 1)]
        steps = list(zip(path[:-1], path[1:], colours, strict=True))
        for one, other, colour in steps:
            self._clear(one, other, colour)
        for one, other, colour in steps:
            self._set(one, other, c if colour == d else d)
