"""Choose one option of each group by branch and bound on the bounds that prices give.

Invariant: the groups' options are split among open nodes; every decision that no open node holds
costs at least `closed`. The node of least bound is opened: its own choice is tried, and where its
bound is still below the best cost, the group that is least sure of its option takes that option in
one child, and any other in the second. Options that raise the bound to the best cost are struck
out. Few groups are in doubt, as many as limits couple them, so the tree is small; on many groups it
is not needed for a small gap.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fl_opt.certificate import Proof, Solution, unpriced, verify
from fl_opt.checks import number, whole
from fl_opt.errors import SolverFailure
from fl_opt.solvers.bisection import Bisection
from fl_opt.solvers.multipliers import Multipliers
from fl_opt.structure import Attainable, Branched, Relaxed, SmoothDual

D = TypeVar("D")


@dataclass(frozen=True)
class Branch:
    """Solver of a `Branched` problem. Proof: "dual", or "dual + tree" where it branched.

    Parameters
    ----------
    gap
        Relative gap at which the search ends [-].
    nodes
        Most nodes that are opened. On hard instances they run out first, and the certificate tells
        the gap that was reached.

    Raises ``Infeasible`` where all nodes are proven infeasible, ``SolverFailure`` where nodes or
    time run out before any feasible choice is found. An earlier solution is not used.
    """

    gap: float = 1e-9
    nodes: int = 400

    def __post_init__(self) -> None:
        number("gap", self.gap, low=1e-12, high=1.0)
        whole("nodes", self.nodes, 1)

    def __call__(
        self,
        problem: Branched[D],
        *,
        time_limit_s: float | None = None,
        start: Solution[Any] | None = None,
    ) -> Solution[D]:
        """Search; at the limits, the best choice found with the bound proven so far."""
        began = time.perf_counter()
        until_s = began + (math.inf if time_limit_s is None else time_limit_s)
        tree = _Tree(problem, self.gap)
        tree.put(problem.options(), None)
        opened = 0
        while tree.open and opened < self.nodes:
            if opened and time.perf_counter() > until_s:
                break
            tree.expand()
            opened += 1
        if tree.best is None:
            if not tree.open and tree.closed == math.inf:
                raise problem.refusal()
            raise SolverFailure("branch", f"no feasible choice in {opened} nodes", "allow more")
        proof: Proof = "dual + tree" if tree.branched else "dual"
        certificate = verify(problem, tree.best, bound=tree.bound, proof=proof)
        prices = unpriced(problem, tree.best)
        return Solution(tree.best, certificate, prices, "branch", time.perf_counter() - began)


@dataclass(order=True)
class _Node:
    key: float
    turn: int
    allowed: NDArray[np.bool_] = field(compare=False)
    relaxed: Relaxed = field(compare=False)


class _Tree:
    """Open nodes, the best decision so far, and what all closed nodes cost at least."""

    def __init__(self, problem: Branched[Any], gap: float) -> None:
        self.problem, self.gap = problem, gap
        self.open: list[_Node] = []
        self.best: Any = None
        self.cost = self.closed = math.inf
        self.turn, self.branched = 0, False
        self.tried: set[bytes] = set()

    @property
    def bound(self) -> float:
        """Lower bound of the cost of every decision."""
        return min(self.closed, self.cost, *(node.relaxed.bound for node in self.open))

    @property
    def enough(self) -> float:
        """A node whose bound is at least this need not be opened."""
        return self.cost - self.gap * abs(self.cost) if self.best is not None else math.inf

    def put(self, allowed: NDArray[np.bool_], start: Relaxed | None) -> None:
        """Add a node, or close it at once."""
        if not allowed.any(axis=1).all():
            return
        relaxed = self.problem.relax(allowed, self.enough, start)
        if relaxed.bound == math.inf:
            return
        self._attempt(allowed, relaxed)
        if relaxed.bound >= self.enough or relaxed.doubt < 0:
            self.closed = min(self.closed, relaxed.bound)
            return
        self.turn += 1
        # until something is feasible, dive: the last node first
        key = relaxed.bound if self.best is not None else -float(self.turn)
        heapq.heappush(self.open, _Node(key, self.turn, allowed, relaxed))

    def expand(self) -> None:
        """Open the most promising node."""
        node = heapq.heappop(self.open)
        relaxed = node.relaxed
        if relaxed.bound >= self.enough:
            self.closed = min(self.closed, relaxed.bound)
            return
        self.branched = True
        group = relaxed.doubt
        option = int(relaxed.choice[group])
        others = self._promising(node.allowed, relaxed)
        alone = others.copy()
        others[group, option] = False
        alone[group] = False
        alone[group, option] = True
        for allowed in (others, alone):
            self.put(allowed, relaxed)

    def _promising(self, allowed: NDArray[np.bool_], relaxed: Relaxed) -> NDArray[np.bool_]:
        """The options of a node that may still lead to something better, as a copy."""
        if relaxed.rise is None:
            return allowed.copy()
        least = relaxed.bound + relaxed.rise
        out = allowed & (least >= self.enough)
        self.closed = min(self.closed, float(least[out].min(initial=math.inf)))
        return allowed & ~out

    def _attempt(self, allowed: NDArray[np.bool_], relaxed: Relaxed) -> None:
        """Solve the problem that a node's choice leaves, unless prices rule it out."""
        name = relaxed.choice.tobytes()
        if name in self.tried:
            return
        self.tried.add(name)
        near = relaxed
        if relaxed.doubt >= 0:
            only = np.zeros_like(allowed)
            only[np.arange(only.shape[0]), relaxed.choice] = True
            near = self.problem.relax(only, self.enough, relaxed)
        if near.bound >= self.enough:
            return
        for decision in _decisions(self.problem.fixed(relaxed.choice, near)):
            self._offer(decision)

    def _offer(self, decision: Any) -> None:
        """Keep a decision if it is feasible and the best so far."""
        certificate = verify(self.problem, decision)
        if not certificate.feasible or certificate.cost >= self.cost:
            return
        first = self.best is None
        self.best, self.cost = decision, certificate.cost
        if first:
            for node in self.open:
                node.key = node.relaxed.bound
            heapq.heapify(self.open)


def _decisions(rest: SmoothDual[D] | Attainable[D] | Iterator[D]) -> Iterator[D]:
    if isinstance(rest, SmoothDual):
        yield Multipliers()(rest).allocation
    elif isinstance(rest, Attainable):
        yield Bisection()(rest).allocation
    else:
        yield from rest
