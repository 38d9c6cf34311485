"""What rules lose on resource blocks, and how long the exact answers take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

import fl_opt
from benchmarks._record import Record
from benchmarks._timing import timed
from fl_opt import Allocation, BlockLevels, BlockNetwork, MinBlockRoundTime, ResourceBlockAssignment
from fl_opt.problems.block_rules import least_packet_error, random_blocks
from fl_opt.problems.level_rules import energy_per_worth, fixed_levels
from fl_opt.structure import Offers
from fl_opt.units import Floats

TITLE = "Rules against optima: resource blocks"
ABOUT = """
Random rounds, each solved exactly and by rules; a rule's loss is what it is worth less, or takes
longer, than the optimum, in percent of the optimum. *Levels* is the published program of FL-E2WS
(arXiv 2408.01286): 6 bandwidths, 11 powers, 7 clocks, its constants; distances uniform between 50
and 500 m and metrics between 0.4 and 0.9 are ours. *Blocks* is that of Chen et al. (IEEE TWC 2021,
arXiv 1909.07972): 9 devices at distances uniform to 500 m on 6 blocks. "joules per worth" is in the
manner of FedAECS (Zheng et al., IEEE IWCMC 2021), which has no blocks: that each device then takes
the narrowest band at which a free block serves it, and of these blocks the worst or the best, is
ours. The program reduced to undominated powers and clocks goes to HiGHS as arrays
(`scipy.optimize.milp`); whole, with a binary for everything, to HiGHS through Pyomo.
"""

SOURCE_S = {(15, 15): 20.0, (50, 25): 237.0}
"""Seconds that the published program took, on another machine and with another solver."""


def levels(size: int, blocks: int, seed: int) -> BlockLevels:
    """Devices of the published program on blocks, at drawn distances and metrics."""
    rng = np.random.default_rng((size, blocks, seed))
    payload = 39_760 * 4 / 2**20
    network = BlockNetwork.from_distance(
        rng.uniform(50.0, 500.0, size),
        interference_w=(0.01 + 0.01 * np.arange(blocks)) * 1e-6,
        power_max_w=0.01,
        upload_bit=1e6 * payload,
        samples=1,
        band_hz=1e6,
        noise_w_hz=1e-26,
        cycles=40 * payload,
        capacitance=1e-27,
    )
    return BlockLevels(
        network,
        bandwidth_hz=1e5 * np.arange(10, 21, 2),
        power_w=5e-4 * np.arange(10, 21),
        cpu_hz=5e7 * np.arange(14, 21),
        band_total_hz=1e6 * blocks,
        delay_s=0.3,
        error_max=0.3,
        utility=210.0 + 140.0 * (1.0 - rng.uniform(0.4, 0.9, size)),
        utility_per_j=600.0,
        training="energy",
    )


def cell(seed: int) -> BlockNetwork:
    """Nine devices on six blocks, drawn as in the program of Chen et al."""
    rng = np.random.default_rng(seed)
    return BlockNetwork.from_distance(
        rng.uniform(1.0, 500.0, 9),
        interference_w=(np.array([5, 7, 9, 11, 13, 15]) - 4) * 1e-8,
        power_max_w=0.01,
        upload_bit=39_760 * 16,
        samples=[100, 200, 300, 400, 500, 400, 300, 200, 100],
        band_hz=1e6,
        noise_w_hz=1e-20,
    )


def reduced(offers: Offers) -> float:
    """Worth of the best choice among the offers, by HiGHS as a 0/1 program."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_matrix

    n, m, _ = offers.value.shape
    i, j, k = np.nonzero(offers.value > 0.0)
    if not i.size:
        return 0.0
    each = np.arange(i.size)
    ends = np.concatenate([i, n + j, np.full(i.size, n + m), np.full(i.size, n + m + 1)])
    entries = np.concatenate([np.ones(3 * i.size), offers.weight[k] / offers.budget])
    rows = csr_matrix((entries, (ends, np.tile(each, 4))), shape=(n + m + 2, i.size))
    limits = np.concatenate([np.ones(n + m), [offers.most, 1.0]])
    found = milp(
        -offers.value[i, j, k],
        constraints=LinearConstraint(rows, ub=limits),
        integrality=np.ones(i.size, dtype=int),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.0},
    )
    assert found.fun is not None, found.message
    return -float(found.fun)


def fastest_first(problem: MinBlockRoundTime) -> Allocation:
    """The fastest pair, then the fastest of free device and block, until all seats are taken."""
    plain = ResourceBlockAssignment(problem.network, np.inf, np.inf, training="both")
    delay = np.array([
        [_delay(plain, i, n) for n in range(problem.network.blocks)]
        for i in range(problem.network.size)
    ])  # fmt: skip
    column = np.full(problem.network.size, -1)
    for _ in range(problem.participants):
        i, n = np.unravel_index(int(np.argmin(delay)), delay.shape)
        column[i] = n
        delay[i], delay[:, n] = np.inf, np.inf
    decision: Allocation = plain.match(column)
    return decision


def _delay(problem: ResourceBlockAssignment, device: int, block: int) -> float:
    column = np.full(problem.network.size, -1)
    column[device] = block
    return float(problem.excess(problem.match(column))["delay"].used[device])


def loss(found: float, best: float) -> float:
    """What a cost is above the optimum, in percent of it."""
    return 100.0 * (found - best) / abs(best) if best else 0.0


def spread(name: str, losses: Sequence[float]) -> tuple[str, ...]:
    """A row of a table: median, 95th percentile and largest of losses."""
    array: Floats = np.array(losses)
    figures = (
        np.median(array),
        np.quantile(array, 0.95),
        array.max(),
        100.0 * np.mean(array > 1e-9),
    )
    return (name, *(f"{figure:.3g}" for figure in figures))


def measure(record: Record) -> None:
    """Losses of rules, then times of the program with levels."""
    draws = 20 if record.quick else 300
    columns = ("rule", "median", "95th percentile", "largest", "rounds with a loss, %")

    level_rules: dict[str, Callable[[BlockLevels], Allocation]] = {
        "joules per worth, worst block that serves": energy_per_worth,
        "joules per worth, best free block": partial(energy_per_worth, spare=False),
        "narrowest band, best blocks": fixed_levels,
    }
    lost: dict[str, list[float]] = {name: [] for name in level_rules}
    worst = 0.0
    for seed in range(draws):
        stated = levels(15, 15, seed)
        best = fl_opt.solve(stated).certificate
        worst = max(worst, best.gap)
        for name, rule in level_rules.items():
            lost[name].append(loss(stated.cost(rule(stated)), best.cost))
    record.table(
        f"Levels, 15 devices on 15 blocks, {draws} rounds: worth lost, %",
        columns,
        [spread(name, found) for name, found in lost.items()],
    )

    kept: dict[str, list[float]] = {
        name: []
        for name in (
            "best devices, random blocks", "least packet error", "random devices and blocks"
        )
    }  # fmt: skip
    slower: dict[str, list[float]] = {"fastest pair first": [], "random devices and blocks": []}
    for seed in range(draws):
        rng, network = np.random.default_rng((seed, 1)), cell(seed)
        stated_blocks = ResourceBlockAssignment(network, 0.5, 0.003, power="chosen")
        solution = fl_opt.solve(stated_blocks)
        best = solution.certificate
        worst = max(worst, best.gap)
        among = solution.allocation.selected
        for name, decision in zip(
            kept,
            (
                random_blocks(stated_blocks, rng, among),
                least_packet_error(stated_blocks),
                random_blocks(stated_blocks, rng),
            ),
            strict=True,
        ):
            kept[name].append(loss(stated_blocks.cost(decision), best.cost))
        quickest = MinBlockRoundTime(network, 6)
        least = fl_opt.solve(quickest).certificate
        worst = max(worst, least.gap)
        loose = ResourceBlockAssignment(network, np.inf, np.inf, training="both")
        for name, decision in zip(
            slower, (fastest_first(quickest), random_blocks(loose, rng)), strict=True
        ):
            slower[name].append(loss(quickest.cost(decision), least.cost))
    title = f"Blocks, 9 devices on 6, {draws} rounds"
    record.table(f"{title}: samples lost, %", columns, [spread(*item) for item in kept.items()])
    record.table(
        f"{title}, 6 devices to serve: longer rounds, %",
        columns,
        [spread(*item) for item in slower.items()],
    )
    record.promise("largest certified gap of the optima", worst, "at most 1e-9", worst <= 1e-9)
    _times(record)


def _by_program(size: int, blocks: int) -> float:
    return reduced(levels(size, blocks, 0).offers())


def _times(record: Record) -> None:
    rows, equal, least = [], True, np.inf
    sizes = ((5, 5), (15, 15)) if record.quick else ((5, 5), (15, 15), (50, 25), (200, 100))
    fl_opt.solve(levels(5, 5, 1))
    for size, blocks in sizes:
        turns = [timed(partial(fl_opt.solve, levels(size, blocks, 0))) for _ in range(3)]
        ours_s, solution = min(turns, key=lambda turn: turn[0])
        program_s, worth = timed(partial(_by_program, size, blocks))
        whole = "-"
        if size == 5:
            whole_s, tree = timed(partial(fl_opt.solve, levels(size, blocks, 0), "mip"))
            whole = f"{whole_s:.2f}"
            equal &= abs(tree.certificate.cost - solution.certificate.cost) <= 1e-6 * worth
        equal &= abs(solution.certificate.cost + worth) <= 1e-6 * worth
        least = min(least, program_s / ours_s)
        source = SOURCE_S.get((size, blocks))
        told = "-" if source is None else f"{source:.0f}"
        sizes_told = f"{size} x {blocks}"
        rows.append((sizes_told, f"{ours_s:.4f}", f"{program_s:.3f}", whole, told))
    record.table(
        "Levels: seconds",
        ("devices x blocks", "budgeted", "reduced program", "whole program", "source"),
        rows,
    )
    record.promise("costs equal to HiGHS, relative 1e-6", float(equal), "yes", equal)
    record.promise("time of the reduced program over ours, least", least, "above 1", least > 1.0)
