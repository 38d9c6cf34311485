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
packed in that order and exchanged as long as that helps. Branching on those that are split closes
the rest where devices are few; where they are many it is small.

The formulation and its objective are ours.
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
from fl_opt.errors import Infeasible, InvalidInput
from fl_opt.kernels import EPS
from fl_opt.network import Network
from fl_opt.problems._band_packing import Bands, Packing
from fl_opt.problems._band_reference import program
from fl_opt.problems._limits import device_excess, fdma_use, require_limited
from fl_opt.problems._two_prices import climb
from fl_opt.problems.band_choice import BANDS, BandChoice
from fl_opt.problems.uplink import Uplink, total
from fl_opt.structure import Program, Relaxed
from fl_opt.units import Floats

Mask = NDArray[np.bool_]

_ENUMERABLE = 10
_MANY, _CLOSE_OF_MANY = 1000, 1e-5
"""Of more undecided devices than this, branches end at a gap of that."""


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
        _ = Uplink(self.sub6, self.deadline_s), self.worth, self.chain_j

    @property
    def _networks(self) -> tuple[Network, Network]:
        return self.sub6, self.mmwave

    @cached_property
    def worth(self) -> Floats:
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
    def chain_j(self) -> Floats:
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
        return -total(np.where(on, self.worth, 0.0).sum(axis=0))

    def excess(self, decision: BandChoice) -> dict[str, Excess]:
        """The constraints by name and band, such as "band_sub6"; and "one_band" per device."""
        limits: dict[str, Excess] = {}
        parts = (decision.sub6, decision.mmwave)
        for name, network, part, chain in zip(
            BANDS, self._networks, parts, self.chain_j, strict=True
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
            left = network.energy_j * (1.0 + slack) - self.chain_j[i] * (1.0 - slack)
        left = np.where(np.isinf(network.energy_j), np.inf, np.maximum(left, 0.0))
        return Uplink(network.replace(energy_j=left), self.deadline_s)

    @cached_property
    def uplinks(self) -> tuple[Uplink, Uplink]:
        """What the devices need in each band, their chains paid for."""
        return self._uplink(0, 0.0), self._uplink(1, 0.0)

    @cached_property
    def _share(self) -> tuple[Floats, Floats]:
        """(2, K) parts of a band that suffice and proven lower bounds [-]; inf where none does."""
        barred = (self.chain_j > self.sub6.energy_j) | (self.worth <= 0.0)
        width = np.array([[network.band_hz] for network in self._networks])
        high = np.array([uplink.least_hz for uplink in self.uplinks])
        low = np.array([self._uplink(i, 4.0 * EPS).least_low_hz for i in range(2)])
        low = np.where(barred | (low > width), np.inf, low)
        high = np.where(barred | (high > width), np.inf, high)
        unit = np.where(width > 0.0, width, 1.0)
        return high / unit, low / unit

    def join(self, band: Bands) -> BandChoice:
        """The round of a band per device (K,), 0, 1, or -1 for none."""
        return BandChoice(
            *(
                uplink.allocation(uplink.floor, band == i) if (band == i).any() else self._empty
                for i, uplink in enumerate(self.uplinks)
            )
        )

    @property
    def _empty(self) -> Allocation:
        return Allocation.none(self.sub6.size, float(np.max(self.deadline_s)))

    # structure: Branched

    def options(self) -> Mask:
        """(K, 3) no band, and each band that a device may be able to use."""
        return np.vstack([np.ones(self.sub6.size, dtype=bool), self._share[1] < np.inf]).T

    def relax(self, allowed: Mask, enough: float, start: Relaxed | None = None) -> Relaxed:
        """The best prices of the bands, as worth of the whole of each, and a choice that fits."""
        single = allowed.sum(axis=1) == 1
        options = allowed.argmax(axis=1)
        parts = self._share[1]
        settled = [np.flatnonzero(single & (options == i + 1)) for i in range(2)]
        held = np.array([total(parts[i, settled[i]]) for i in range(2)])
        earned = total(np.concatenate([self.worth[i, settled[i]] for i in range(2)]))
        if (held > 1.0 + 32.0 * EPS).any():
            return Relaxed(math.inf, options, -1, np.zeros(2))
        open_ = np.flatnonzero(~single)
        if not open_.size:
            return Relaxed(-earned * (1.0 + 32.0 * EPS), options, -1, np.zeros(2))
        barred, worth, share = ~allowed[open_], self.worth[:, open_].T, parts[:, open_].T
        size = earned + total(np.where(barred[:, 1:], 0.0, worth).max(axis=1))

        def weigh(prices: Floats) -> tuple[float, Floats, Relaxed]:
            value = np.zeros(barred.shape)
            with np.errstate(invalid="ignore"):
                value[:, 1:] = prices * share - worth
            value[barred] = np.inf
            choice = value.argmin(axis=1)
            best = value.min(axis=1)
            used = held + [total(share[choice == i + 1, i]) for i in range(2)]
            dual = total(best) - earned - float(prices @ (1.0 - held))
            bound = dual - 64.0 * EPS * (size + float(prices.sum()))
            rise = value - best[:, None]
            doubt = int(np.argmin(np.partition(rise, 1, axis=1)[:, 1]))
            return dual, used - 1.0, Relaxed(bound, choice, doubt, prices, rise)

        found = climb(weigh, 0.25 * size, enough, None if start is None else start.prices)
        assert found.rise is not None
        options[open_] = found.choice
        rise = np.zeros(allowed.shape)
        rise[open_] = found.rise
        choice = self._fitting(allowed, options, found.prices)
        many = open_.size > _MANY and math.isfinite(enough)
        close = many and found.bound >= enough - _CLOSE_OF_MANY * abs(enough)
        doubt = -1 if close else int(open_[found.doubt])
        return Relaxed(found.bound, choice, doubt, found.prices, rise)

    def _fitting(self, allowed: Mask, wanted: NDArray[np.int_], price: Floats) -> NDArray[np.int_]:
        """An allowed choice that fits both bands, near one that prices want, which may not."""
        share = np.where(allowed.T[1:], self._share[0], np.inf)
        band = Packing(self.worth, share, ~allowed[:, 0]).near(wanted - 1, price)
        possible = allowed[np.arange(band.size), band + 1]
        return np.where(possible, band + 1, wanted)

    def fixed(self, choice: NDArray[np.int_], near: Relaxed) -> Iterator[BandChoice]:
        """The one round of a choice."""
        yield self.join(choice - 1)

    def refusal(self) -> Infeasible:
        """Never asked for: nobody need take part."""
        return Infeasible("no choice of bands is possible", constraint="band")

    # structure: Mixed

    def program(self) -> Program[BandChoice]:
        """Both bands as knapsacks in Pyomo; see `_band_reference`."""
        return program(self)

    # structure: Enumerable

    def candidates(self) -> Iterator[tuple[BandChoice, float]]:
        """Every assignment of devices to bands; those that their bandwidth refutes left out.

        Raises ``InvalidInput`` for more than 10 devices that could take part.
        """
        high, low = self._share
        able = np.flatnonzero(np.isfinite(low).any(axis=0))
        if able.size > _ENUMERABLE:
            most = f"at most {_ENUMERABLE}"
            raise InvalidInput("devices", able.size, most, 'solve with solver="mip"')
        for bands in itertools.product((-1, 0, 1), repeat=able.size):
            band = np.full(self.sub6.size, -1)
            band[able] = bands
            on = [band == i for i in range(2)]
            if any(total(low[i][on[i]]) > 1.0 + 32.0 * EPS for i in range(2)):
                continue
            gained = total(np.concatenate([self.worth[i][on[i]] for i in range(2)]))
            fits = all(total(high[i][on[i]]) <= 1.0 for i in range(2))
            chosen = band if fits else np.full_like(band, -1)
            yield self.join(chosen), -gained * (1.0 + 32.0 * EPS)
