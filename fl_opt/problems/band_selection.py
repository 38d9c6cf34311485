r"""Which devices upload below 6 GHz, which over millimetre waves, and which not at all.

    maximise    sum_k w_k (a_k1 x_k1 + a_k2 x_k2)      over x_ki in {0, 1}, x_k1 + x_k2 <= 1
    subject to, where x_ki = 1,
                C_k/f_k + t_k <= T_k                            "deadline"
                t_k b_k log2(1 + h_ki p_k/(N0_i b_k)) >= s_k    "payload"
                r_ki + kappa_k C_k f_k^2 + p_k t_k <= E_k       "energy"
                p_k <= P_ki,  f_min_k <= f_k <= f_max_k         "power_max", "cpu_min", "cpu_max"
    and         sum_k b_k x_ki <= B_i      i = 1, 2             "band"

    w_k  utility of device k [-]          a_ki  probability that link i is not blocked [-]
    b_k  bandwidth [Hz]                   r_ki  energy of the RF chain of band i in a round [J]
    p_k  power [W]    f_k  clock [cycle/s]    t_k  airtime [s]    B_i  width of band i [Hz]
    C_k  cycles [cycle]   s_k  payload [bit]  h_ki  channel gain in band i [-]   E_k  energy [J]

A band that is chosen takes its least bandwidth b_ki(T, E - r) (see `least`), so that two knapsacks
remain, with each device in one of them at most. At a price mu_i of each band

    sum w a x <= mu_1 B_1 + mu_2 B_2 + sum_k max(0, w_k a_k1 - mu_1 b_k1, w_k a_k2 - mu_2 b_k2)

bounds the utility; at the best prices at most two devices are split (Shapley-Folkman), so that no
more than two utilities are missing once they are dropped. The prices rank the devices, who are
packed in that order and exchanged as long as that helps.

Proof: "dual"; "tree" by the reference model. The formulation and its objective are ours.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fl_opt.allocation import Allocation
from fl_opt.certificate import Excess
from fl_opt.checks import vector
from fl_opt.errors import InvalidInput
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems._limits import device_excess, fdma_use, require_limited
from fl_opt.problems.band_choice import BANDS, BandChoice
from fl_opt.problems.uplink import Uplink, total
from fl_opt.structure import Program
from fl_opt.units import Floats

_ENUMERABLE = 10
_EXCHANGED = 64


@dataclass(frozen=True, eq=False)
class BandSelection:
    """The most utility to be expected when every device may use one of two bands.

    Parameters
    ----------
    sub6, mmwave
        The round as seen in each band: gains, noise, largest powers and the width of the band.
        Energy, clocks and work are those of the same devices, and must be the same in both.
    deadline_s
        End of the round, training and upload together, a scalar or (K,) [s].
    blockage_sub6, blockage_mmwave
        Probability that the link is blocked in the round, a scalar or (K,) [-].
    chain_sub6_j, chain_mmwave_j
        Energy of the band's RF chain in the round, a scalar or (K,) [J].
    utility
        What an update is worth, a scalar or (K,); `sub6.samples` where None. Devices of no or
        negative utility stay out.

    The cost is minus the utility to be expected. Nothing is infeasible: nobody may take part.
    Raises ``InvalidInput`` for values out of range, networks of different devices, or a device
    without any limit on power and energy.
    """

    sub6: Network
    mmwave: Network
    deadline_s: ArrayLike
    blockage_sub6: ArrayLike = 0.0
    blockage_mmwave: ArrayLike = 0.0
    chain_sub6_j: ArrayLike = 0.0
    chain_mmwave_j: ArrayLike = 0.0
    utility: ArrayLike | None = None

    def __post_init__(self) -> None:
        for name in ("energy_j", "cycles", "upload_bit", "cpu_min_hz", "cpu_max_hz", "capacitance"):
            mine, other = getattr(self.sub6, name), getattr(self.mmwave, name)
            if not np.array_equal(mine, other):
                raise InvalidInput(f"mmwave.{name}", "different", f"sub6.{name}, of one device")
        for network in (self.sub6, self.mmwave):
            require_limited(network)
        # wrong numbers are refused at once
        _ = Uplink(self.sub6, self.deadline_s), self._worth, self._chain

    @property
    def _networks(self) -> tuple[Network, Network]:
        return self.sub6, self.mmwave

    @cached_property
    def _worth(self) -> Floats:
        """(2, K) utilities to be expected."""
        size = self.sub6.size
        worth = self.sub6.samples
        if self.utility is not None:
            worth = vector("utility", self.utility, size, low=-math.inf)
        blocked = (
            vector("blockage_sub6", self.blockage_sub6, size, high=1.0),
            vector("blockage_mmwave", self.blockage_mmwave, size, high=1.0),
        )
        return np.array([worth * (1.0 - part) for part in blocked])

    @cached_property
    def _chain(self) -> Floats:
        """(2, K) energies of the RF chains [J]."""
        size = self.sub6.size
        return np.array(
            [
                vector("chain_sub6_j", self.chain_sub6_j, size),
                vector("chain_mmwave_j", self.chain_mmwave_j, size),
            ]
        )

    def cost(self, decision: BandChoice) -> float:
        """Minus the utility to be expected of those who take part."""
        on = np.array([decision.sub6.selected, decision.mmwave.selected])
        return -total(np.where(on, self._worth, 0.0).sum(axis=0))

    def excess(self, decision: BandChoice) -> dict[str, Excess]:
        """The constraints by name and band, such as "band_sub6"; and "one_band" per device."""
        limits: dict[str, Excess] = {}
        parts = (decision.sub6, decision.mmwave)
        for name, network, part, chain in zip(
            BANDS, self._networks, parts, self._chain, strict=True
        ):
            found = device_excess(network, part, self.deadline_s)
            spent = fdma_use(network, part).energy_j + np.where(part.selected, chain, 0.0)
            found["energy"] = Excess(spent, network.energy_j, "J")
            limits |= {f"{each}_{name}": excess for each, excess in found.items()}
        both = decision.sub6.selected.astype(float) + decision.mmwave.selected
        return limits | {"one_band": Excess(both, 1.0, "")}

    def _uplink(self, i: int, slack: float) -> Uplink:
        """Band i with what its chain leaves of the energy, eased by `slack` of it."""
        network = self._networks[i]
        with np.errstate(invalid="ignore"):
            left = network.energy_j * (1.0 + slack) - self._chain[i] * (1.0 - slack)
        left = np.where(np.isinf(network.energy_j), np.inf, np.maximum(left, 0.0))
        return Uplink(network.replace(energy_j=left), self.deadline_s)

    @cached_property
    def _bands(self) -> tuple[Uplink, Uplink]:
        return self._uplink(0, 0.0), self._uplink(1, 0.0)

    @cached_property
    def _least(self) -> tuple[Floats, Floats]:
        """(2, K) bandwidths that suffice and proven lower bounds [Hz]; inf where none does."""
        paid = self._chain <= self.sub6.energy_j
        wide = np.array([[network.band_hz] for network in self._networks])
        high = np.array([uplink.least_hz for uplink in self._bands])
        low = np.array([self._uplink(i, 4.0 * EPS).least_low_hz for i in range(2)])
        barred = ~paid | (self._worth <= 0.0)
        low = np.where(barred | (low > wide), np.inf, low)
        return np.where(barred | (high > wide), np.inf, high), low

    def _join(self, band: NDArray[np.int_]) -> BandChoice:
        """The round of a band per device (K,), 0, 1, or -1 for none."""
        return BandChoice(
            *(
                uplink.allocation(uplink.floor, band == i) if (band == i).any() else self._empty
                for i, uplink in enumerate(self._bands)
            )
        )

    @property
    def _empty(self) -> Allocation:
        return Allocation.none(self.sub6.size, float(np.max(self.deadline_s)))

    # the bound

    def _reduced(self, price: Floats, needed: Floats) -> Floats:
        """(2, K) utility less price x bandwidth; -inf where a band cannot be used."""
        with np.errstate(invalid="ignore"):
            return np.where(needed < np.inf, self._worth - price[:, None] * needed, -np.inf)

    def upper(self, price: Floats) -> float:
        """An upper bound of the utility at any prices (2,) >= 0 of the bands [1/Hz]."""
        needed = self._least[1]
        best = np.maximum(self._reduced(price, needed).max(axis=0), 0.0)
        paid = float(price @ self._width)
        size = paid + total(best)
        able = np.where(needed < np.inf, self._worth, 0.0)
        return size + 32.0 * EPS * (size + total(able.max(axis=0)))

    @property
    def _width(self) -> Floats:
        return np.array([network.band_hz for network in self._networks])

    def _asked(self, price: Floats) -> Floats:
        """(2,) what the devices ask for of each band at prices."""
        low = self._least[1]
        reduced = self._reduced(price, low)
        pick = reduced.argmax(axis=0)
        joins = reduced.max(axis=0) > 0.0
        return np.array([total(np.where(joins & (pick == i), low[i], 0.0)) for i in range(2)])

    @cached_property
    def price(self) -> Floats:
        """Prices (2,) that nearly minimise the bound, which is convex in them [1/Hz]."""
        unit = self._worth.max() * self.sub6.size / np.maximum(self._width, 1e-300)
        if not unit.max() > 0.0:
            return np.zeros(2)

        def at(log: float, i: int, other: float) -> Floats:
            mine = unit[i] * math.exp(log)
            return np.array([mine, other] if i == 0 else [other, mine])

        def cleared(i: int, other: float, steps: int = 50) -> float:
            """The least price of band i at which it suffices, the other's price given."""
            if self._asked(at(-math.inf, i, other))[i] <= self._width[i]:
                return 0.0
            low, high = -60.0, 5.0
            for _ in range(steps):
                middle = 0.5 * (low + high)
                enough = self._asked(at(middle, i, other))[i] <= self._width[i]
                low, high = (low, middle) if enough else (middle, high)
            return float(unit[i] * math.exp(high))

        # for every price of the first band the second clears; the bound then is convex in the first
        low, high = -60.0, 5.0
        for _ in range(50):
            middle = 0.5 * (low + high)
            first = float(unit[0] * math.exp(middle))
            enough = self._asked(np.array([first, cleared(1, first)]))[0] <= self._width[0]
            low, high = (low, middle) if enough else (middle, high)
        tried = [unit[0] * math.exp(high), unit[0] * math.exp(low), 0.0]
        pairs = [np.array([float(first), cleared(1, float(first))]) for first in tried]
        return min(pairs, key=self.upper)

    # structure: Searched

    def floor(self) -> float:
        """Minus the least upper bound of the utility."""
        return -self.upper(self.price)

    def search(self) -> Iterator[BandChoice]:
        """The devices packed in the order of the prices, then exchanged while that helps."""
        yield BandChoice(self._empty, self._empty)
        high = self._least[0]
        reduced = self._reduced(self.price, high)
        best = reduced.max(axis=0)
        size = np.min(high / np.maximum(self._width, 1e-300)[:, None], axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            by_size = np.where(size > 0.0, best / size, np.inf)
        for rank in (best, by_size):
            order = np.argsort(-rank, kind="stable")
            band = self._packed(order[best[order] > -np.inf], reduced)
            yield self._join(self._exchanged(band, reduced))

    def _packed(self, order: NDArray[np.int_], reduced: Floats) -> NDArray[np.int_]:
        """Each device in line in the better band that still has room for it."""
        high, left = self._least[0], self._width.copy()
        band = np.full(reduced.shape[1], -1)
        prefer = np.argsort(-reduced, axis=0, kind="stable")
        for k in order:
            for i in prefer[:, k]:
                if high[i, k] <= left[i]:
                    band[k], left[i] = i, left[i] - high[i, k]
                    break
        return band

    def _exchanged(self, band: NDArray[np.int_], reduced: Floats) -> NDArray[np.int_]:
        """One of the undecided moves in, at the expense of one other, while that earns more."""
        high, worth = self._least[0], self._worth
        near = np.argsort(np.abs(reduced.max(axis=0)), kind="stable")[:_EXCHANGED]
        improved = True
        while improved:
            improved = False
            left = [self._width[i] - total(np.where(band == i, high[i], 0.0)) for i in range(2)]
            for k, i in itertools.product(near, range(2)):
                earned = worth[i, k] - (worth[band[k], k] if band[k] >= 0 else 0.0)
                if band[k] == i or not high[i, k] < np.inf or not worth[i, k] > 0.0:
                    continue
                inside = near[band[near] == i]
                lost = np.concatenate(([0.0], worth[i, inside]))
                room = left[i] + np.concatenate(([0.0], high[i, inside]))
                able = (high[i, k] <= room) & (lost < earned * (1.0 - 1e-9))
                if not able.any():
                    continue
                best = int(np.argmin(np.where(able, lost, np.inf)))
                if best:
                    band[inside[best - 1]] = -1
                band[k], improved = i, True
                break
        return band

    # structure: Mixed

    def program(self) -> Program[BandChoice]:
        """Both knapsacks in Pyomo, least bandwidths computed apart from the engine."""
        import pyomo.environ as pyo

        from fl_opt.problems._reference import least_bandwidth_hz

        able, share = np.zeros((2, self.sub6.size), dtype=bool), np.zeros((2, self.sub6.size))
        for i, uplink in enumerate(self._bands):
            least = least_bandwidth_hz(uplink.network, self.deadline_s)
            paid = self._chain[i] <= self.sub6.energy_j
            able[i] = (self._worth[i] > 0.0) & (least <= self._width[i]) & paid
            np.divide(least, self._width[i], out=share[i], where=able[i] & (least > 0.0))
        unit = float(np.max(self._worth, where=able, initial=0.0)) or 1.0
        model = pyo.ConcreteModel()
        pairs = list(itertools.product(range(2), range(self.sub6.size)))
        bounds = {(i, k): (0, int(able[i, k])) for i, k in pairs}
        model.joins = pyo.Var(pairs, domain=pyo.Binary, bounds=lambda _, i, k: bounds[i, k])
        model.rows = pyo.ConstraintList()
        for i in range(2):
            used = (float(share[i, k]) * model.joins[i, k] for k in range(self.sub6.size))
            model.rows.add(pyo.quicksum(used) <= 1.0)
        for k in range(self.sub6.size):
            model.rows.add(model.joins[0, k] + model.joins[1, k] <= 1.0)
        earned = (-float(self._worth[i, k]) / unit * model.joins[i, k] for i, k in pairs)
        model.utility = pyo.Objective(expr=pyo.quicksum(earned))

        def decision() -> BandChoice:
            band = np.full(self.sub6.size, -1)
            for i, k in pairs:
                if round(model.joins[i, k].value) == 1:
                    band[k] = i
            return self._join(band)

        return Program(model, decision, unit)

    # structure: Enumerable

    def candidates(self) -> Iterator[tuple[BandChoice, float]]:
        """Every assignment of devices to bands; those that their bandwidth refutes left out.

        Raises ``InvalidInput`` for more than 10 devices that could take part.
        """
        high, low = self._least
        able = np.flatnonzero(np.isfinite(low).any(axis=0))
        if able.size > _ENUMERABLE:
            most = f"at most {_ENUMERABLE}"
            raise InvalidInput("devices", able.size, most, 'solve with solver="mip"')
        for bands in itertools.product((-1, 0, 1), repeat=able.size):
            band = np.full(self.sub6.size, -1)
            band[able] = bands
            on = [band == i for i in range(2)]
            if any(total(low[i][on[i]]) > self._width[i] * (1.0 + 32.0 * EPS) for i in range(2)):
                continue
            gained = total(np.concatenate([self._worth[i][on[i]] for i in range(2)]))
            fits = all(total(high[i][on[i]]) <= self._width[i] for i in range(2))
            chosen = band if fits else np.full_like(band, -1)
            yield self._join(chosen), -gained * (1.0 + 32.0 * EPS)
