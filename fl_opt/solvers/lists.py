"""Search of the core of a knapsack by lists of states, exact up to rounding that is allowed for.

A state is what some of the classes leave when the others stay at the base of a relaxation: its
slack of capacity and what it has lost to the bound. Classes are decided one after another: single
options from the least loss on; where classes have several, from the least loss per weight moved
on, since many options lose little because they move next to nothing. A state is dropped when
another leaves no less capacity at no less value, or when a bound shows that nothing better than
the best answer follows from it. This is dynamic programming with bounds after Pisinger, "A minimal
algorithm for the 0-1 knapsack problem", Operations Research 45, 1997, and "A minimal algorithm for
the multiple-choice knapsack problem", European Journal of Operational Research 83, 1995; here on
arrays, with losses instead of values, so that what is compared are small numbers with all their
digits.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fl_opt.kernels import EPS
from fl_opt.solvers.relaxation import FIT, Index, Relaxation
from fl_opt.units import Floats


@dataclass(frozen=True, eq=False)
class Changes:
    """Options other than the base, (c,), ordered by class.

    `owner` and `option` (-1 for none) say what changes; `loss` is what the change loses to the
    bound, `weight`, `full` and `value` what it adds. `first` is where each class begins, with the
    end of the last; `beyond` the least loss of the changes that are not listed.
    """

    owner: Index
    option: Index
    loss: Floats
    weight: Floats
    full: Floats
    value: Floats
    first: Index
    beyond: float


def _order(loss: Floats, weight: Floats, edge: float) -> Index:
    """By loss; of equal ones in turn the nearest to `edge` in weight, and any.

    Exchanges among the former move little weight, the latter move much: both help to fill.
    """
    if edge == 0.0:
        return np.argsort(loss, kind="stable")
    near, turn = np.empty((2, loss.size), dtype=np.intp)
    near[np.argsort(np.abs(weight - edge), kind="stable")] = np.arange(loss.size)
    turn[np.random.default_rng(0).permutation(loss.size)] = np.arange(loss.size)
    return np.lexsort((np.minimum(near, turn), loss))


def changes_of(relaxation: Relaxation, limit: float) -> Changes:
    """All changes that lose less than `limit`; no other can be part of a better choice."""
    options, base, gain = relaxation.options, relaxation.base, relaxation.gain
    if options.single:
        loss = np.maximum(np.abs(gain) - relaxation.error, 0.0)
        near = loss < limit
        beyond = float(loss.min(where=~near, initial=np.inf))
        owner = np.flatnonzero(near)
        owner = owner[_order(loss[owner], options.weight[owner], relaxation.edge)]
        loss, option = loss[owner], np.where(base[owner] >= 0, -1, owner)
        first = np.arange(owner.size + 1)
    else:
        own = options.owner
        best = np.where(base >= 0, gain[base], 0.0)
        held = np.flatnonzero(base >= 0)
        other = np.flatnonzero(base[own] != np.arange(own.size))
        owner = np.concatenate([own[other], held])
        option = np.concatenate([other, np.full(held.size, -1)])
        loss = np.concatenate([best[own[other]] - gain[other], best[held]])
        loss = np.maximum(loss - 2.0 * relaxation.error, 0.0)
        near = loss < limit
        beyond = float(loss.min(where=~near, initial=np.inf))
        keep = np.flatnonzero(near)
        before, after = base[owner[keep]], option[keep]
        moved = np.where(after >= 0, options.weight[after], 0.0)
        moved -= np.where(before >= 0, options.weight[before], 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            keep = keep[np.argsort(loss[keep] / np.abs(moved), kind="stable")]
        _, at, which = np.unique(owner[keep], return_index=True, return_inverse=True)
        keep = keep[np.argsort(at[which], kind="stable")]
        owner, option, loss = owner[keep], option[keep], loss[keep]
        first = np.append(np.flatnonzero(np.diff(owner, prepend=-1)), owner.size)

    def added(values: Floats) -> Floats:
        before = base[owner]
        after = np.where(option >= 0, values[option], 0.0)
        return after - np.where(before >= 0, values[before], 0.0)

    return Changes(
        owner,
        option,
        loss,
        added(options.weight),
        added(options.full),
        added(options.value),
        first,
        beyond,
    )


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    `picked` are the changes of the best choice, None where the base was not improved; `regret` is
    what that choice falls short of the bound, and `open` what any other choice does at least.
    `made` is how many states were made.
    """

    picked: list[int] | None
    regret: float
    open: float
    made: int


@dataclass(frozen=True)
class Effort:
    """How long to search: `width` states at once, `states` in all, until `until_s` on the clock."""

    width: int
    states: int
    until_s: float


def _later(changes: Changes, direction: float, most: float) -> Floats:
    """Least loss per unit of weight moved in `direction` by the classes after each class."""
    if not changes.loss.size:
        return changes.loss
    moved = direction * changes.weight
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(moved > 0.0, changes.loss / moved, np.inf)
    least = np.minimum.reduceat(rate, changes.first[:-1])
    after = np.append(np.minimum.accumulate(least[::-1])[::-1][1:], np.inf)
    return np.asarray(np.minimum(after, most))


def _least_losses(changes: Changes) -> tuple[list[float], list[float]]:
    """Least loss of the changes of each class, and of it and all classes after it."""
    if not changes.loss.size:
        return [], []
    own = np.minimum.reduceat(changes.loss, changes.first[:-1])
    return own.tolist(), np.minimum.accumulate(own[::-1])[::-1].tolist()


def _branch(states: Floats, moves: Floats) -> Floats:
    """All states unmoved, then all with the first move, and so on."""
    return (np.append(0.0, moves)[:, None] + states).ravel()


def _rest(slack: Floats, noise: float, fill: float, free: float) -> Floats:
    """What is lost at least by filling the slack that is left, or by freeing what is missing."""
    missing = np.maximum(-slack - 4.0 * noise, 0.0)
    with np.errstate(invalid="ignore"):
        return np.where(missing > 0.0, missing * free, np.maximum(slack, 0.0) * fill)


def _trace(
    history: list[tuple[NDArray[np.int32], NDArray[np.int32]]], at: int, state: int, change: int
) -> list[int]:
    """The changes on the way to a state."""
    picked = [change]
    for parents, made in reversed(history[:at]):
        if made[state] >= 0:
            picked.append(int(made[state]))
        state = int(parents[state])
    return picked


def meet(relaxation: Relaxation, changes: Changes, order: Index, width: int) -> list[int]:
    """The changes of the best choice that two halves of the first in `order` make.

    Each half is tried in all ways, at most 8 times `width`, and the two are joined by sorting
    (Horowitz, Sahni, "Computing partitions with applications to the knapsack problem", Journal of
    the ACM 21, 1974). No two changes in `order` are of one class.
    """
    halves = []
    for half in (order[0::2], order[1::2]):
        some = half[: (8 * width).bit_length() - 1]
        full, short = np.zeros(1), np.zeros(1)
        for change in some:
            full = _branch(full, -changes.full[change : change + 1])
            short = _branch(short, -changes.value[change : change + 1])
        halves.append((some, full, short))
    (some, full, short), (others, other_full, other_short) = halves
    falling = np.argsort(-other_full, kind="stable")
    ahead = np.minimum.accumulate(other_short[falling])
    fitting = np.searchsorted(-other_full[falling], relaxation.full_slack + full, side="right")
    least = np.where(fitting > 0, short + ahead[fitting - 1], np.inf)
    state = int(np.argmin(least))
    if least[state] == np.inf:
        return []
    partner = int(falling[np.argmin(other_short[falling[: fitting[state]]])])
    picked = [k for at, k in enumerate(some) if state >> at & 1]
    return picked + [k for at, k in enumerate(others) if partner >> at & 1]


def search(
    relaxation: Relaxation,
    changes: Changes,
    regret: float,
    stop: float,
    step: float,
    effort: Effort,
) -> Found:
    """Look for a choice that falls short of the bound by at least `step` less than `regret`.

    Ends when all states are decided, one falls short by at most `stop`, or the effort is spent.
    """
    fill, free = _later(changes, 1.0, relaxation.price), _later(changes, -1.0, np.inf)
    slack, full = np.array([relaxation.slack]), np.array([relaxation.full_slack])
    lost, short = np.zeros(1), np.array([relaxation.upper - relaxation.value])
    history: list[tuple[NDArray[np.int32], NDArray[np.int32]]] = []
    winner: tuple[int, int, int] | None = None
    bound = np.zeros(1)
    dropped, made, decided = np.inf, 0, True
    noise = FIT * relaxation.options.capacity
    own, later = _least_losses(changes)
    for at, (low, high) in enumerate(pairwise(changes.first.tolist())):
        if later[at] >= regret - step:
            dropped = min(dropped, later[at])
            break
        if own[at] >= regret - step:
            dropped = min(dropped, own[at])
            continue
        old = slack.size
        spent = made + old * (high - low) > effort.states
        if regret <= stop or spent or time.perf_counter() > effort.until_s:
            decided = False
            break
        slack = _branch(slack, -changes.weight[low:high])
        full = _branch(full, -changes.full[low:high])
        lost = _branch(lost, changes.loss[low:high])
        short = _branch(short, -changes.value[low:high])
        noise += EPS * float(np.abs(slack).max())
        candidate = int(np.argmin(np.where(full >= 0.0, short, np.inf)))
        if full[candidate] >= 0.0 and short[candidate] < regret:
            regret = float(short[candidate])
            winner = (len(history), candidate % old, low + candidate // old - 1)
        bound = lost + _rest(slack, noise, fill[at], free[at])
        keep = np.flatnonzero(bound < regret - step)
        if keep.size < bound.size:
            gone = np.ones(bound.size, dtype=bool)
            gone[keep] = False
            dropped = min(dropped, float(bound[gone].min()))
        keep = keep[np.argsort(-slack[keep], kind="stable")]
        ahead = np.minimum.accumulate(short[keep])
        better = np.append(True, short[keep[1:]] < ahead[:-1])
        keep = keep[better[: keep.size]]
        if keep.size > effort.width:
            hope = bound[keep] + 0.01 * np.abs(short[keep])
            ranked = np.argpartition(hope, effort.width // 2)
            near, far = np.split(ranked, [effort.width // 2])
            far = np.sort(far)
            far = far[:: -(-far.size * 2 // effort.width)]
            chosen = np.sort(np.concatenate([near, far]))
            gone = np.ones(keep.size, dtype=bool)
            gone[chosen] = False
            dropped = min(dropped, float(bound[keep[gone]].min()))
            keep = keep[chosen]
        slack, full, lost, short = slack[keep], full[keep], lost[keep], short[keep]
        bound = bound[keep]
        change = keep // old
        history.append(
            (
                (keep % old).astype(np.int32),
                np.where(change > 0, low + change - 1, -1).astype(np.int32),
            )
        )
        made += keep.size
        if not keep.size:
            break
    if slack.size:
        if decided:
            bound = lost + _rest(slack, noise, relaxation.price, np.inf)
        dropped = min(dropped, float(bound.min()))
    picked = None if winner is None else _trace(history, *winner)
    rounding = 8.0 * (relaxation.price * noise + len(history) * relaxation.error)
    return Found(picked, regret, dropped - rounding, made)
