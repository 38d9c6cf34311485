r"""FEDL: clocks, airtimes and local accuracy that balance energy against time in learning, TDMA.

    minimise    1/(1 - Theta) [E_com - ln(Theta) E_cmp + kappa (T_com - ln(Theta) T_cmp)]
    with        E_cmp = sum_n (alpha_n/2) c_n D_n f_n^2,   E_com = sum_n p_n tau_n
    subject to  c_n D_n/f_n <= T_cmp                                      "training"
                sum_n tau_n <= T_com                                      "upload"
                tau_n BW ln(1 + p_n h_n/N0) >= s_n                        "payload"
                f_min_n <= f_n <= f_max_n                                 "cpu_min", "cpu_max"
                p_min_n <= p_n <= p_max_n                                 "power_min", "power_max"
                0 < Theta < 1

    f_n   clock [cycle/s]        tau_n  airtime [s]       p_n   power [W]    Theta  local accuracy
    c_n   cycles per bit         D_n    data [bit]        alpha_n/2          capacitance
    s_n   payload [nat]          BW     band [Hz]         N0/h_n             noise over gain [W]
    T_cmp one pass of training [s]      T_com  all uploads [s]      kappa  worth of a second [J/s]

A local problem is solved to the accuracy Theta in ln(1/Theta) passes, and 1/(1 - Theta) rounds are
needed. The cost grows with A = E_cmp + kappa T_cmp and with B = E_com + kappa T_com, so it falls
into three problems, each with one root:

SUB1  T_cmp is the smallest T >= max c D/f_max at which sum alpha (cD/T)^3 over {n: cD/T > f_min_n}
      is at most kappa. The sum jumps where a device reaches its slowest clock, and T may sit on a
      jump. The jumps are sorted; between two of them T^3 is a ratio of sums.
SUB2  With x = s/(tau BW): (x - 1) e^x + 1 = kappa h/N0, within the limits of power.
SUB3  With y = ln(1/Theta): e^y - 1 - y = B/A, and the cost is A e^y.

Proof: for prices lambda_n >= 0, sum lambda <= kappa, of the limits "training", A is at least
sum_n min_f [(alpha/2) cD f^2 + lambda cD/f] + (kappa - sum lambda) max cD/f_max. For any x_n,
e^x is above its tangent there, so B >= sum_n N0/h s/BW e^x + tau (kappa - N0/h [(x - 1) e^x + 1])
at the worse end of tau. For any y with e^y - 1 - y <= B/A the cost is at least A e^y.

Source: Tran, Bao, Zomaya, Nguyen, Hong, IEEE INFOCOM 2019; Dinh, Tran, Nguyen, Hong, Bao, Zomaya,
Gramoli, IEEE/ACM ToN 2021, arXiv 1910.13067. The bounds are derived here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from fl_opt import physics
from fl_opt.certificate import Excess
from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput, device_list
from fl_opt.network import Network
from fl_opt.problems._fedl_parts import Training, Uploads, best_passes, learning_bound
from fl_opt.problems.fedl_decision import FEDLDecision
from fl_opt.problems.uplink import total
from fl_opt.structure import Model, Optimum
from fl_opt.units import Floats

_ARRAYS: dict[str, dict[str, bool]] = {
    "noise_over_gain": {"open_low": True},
    "cycles_per_bit": {},
    "data_bit": {},
    "cpu_min_hz": {},
    "cpu_max_hz": {"open_low": True},
    "power_min_w": {},
    "power_max_w": {"open_low": True, "finite": False},
    "upload_nat": {"open_low": True},
    "alpha": {},
}


@dataclass(frozen=True, eq=False, init=False)
class FEDL:
    """Least energy plus worth of time until a model has learnt, over TDMA rounds.

    Parameters
    ----------
    noise_over_gain
        Noise power over channel gain, N0/h [W], > 0.
    cycles_per_bit, data_bit
        Cycles per bit of data, and data [bit]: one pass of training takes their product.
    cpu_min_hz, cpu_max_hz
        Slowest and fastest clock [cycle/s].
    power_min_w, power_max_w
        Least and largest transmit power [W]; the largest may be infinite.
    upload_nat
        Size of an update [nat], > 0: bits times ln 2.
    band_hz
        The band, which the devices use in turn [Hz].
    alpha
        Twice the capacitance: a pass takes alpha/2 c D f^2 joule [J s^2/cycle^3].
    kappa
        Worth of a second [J/s], > 0: without it slower is always better.

    Arrays (K,) or scalars that broadcast; `band_hz` and `kappa` are scalars. Raises
    ``InvalidInput`` for what has no minimiser: nothing to train, nothing to send, time for free.
    Whatever passes is feasible. Prices: "training" (K,) [J/s], "upload" [J/s], "cpu_min" and
    "cpu_max" [J/Hz], "power_min" and "power_max" [J/W].
    """

    noise_over_gain: Floats
    cycles_per_bit: Floats
    data_bit: Floats
    cpu_min_hz: Floats
    cpu_max_hz: Floats
    power_min_w: Floats
    power_max_w: Floats
    upload_nat: Floats
    alpha: Floats
    band_hz: float
    kappa: float

    def __init__(
        self,
        *,
        noise_over_gain: ArrayLike,
        cycles_per_bit: ArrayLike,
        data_bit: ArrayLike,
        cpu_min_hz: ArrayLike,
        cpu_max_hz: ArrayLike,
        power_min_w: ArrayLike,
        power_max_w: ArrayLike,
        upload_nat: ArrayLike,
        band_hz: float,
        alpha: ArrayLike,
        kappa: float,
    ) -> None:
        given: dict[str, ArrayLike] = {
            "noise_over_gain": noise_over_gain,
            "cycles_per_bit": cycles_per_bit,
            "data_bit": data_bit,
            "cpu_min_hz": cpu_min_hz,
            "cpu_max_hz": cpu_max_hz,
            "power_min_w": power_min_w,
            "power_max_w": power_max_w,
            "upload_nat": upload_nat,
            "alpha": alpha,
        }
        sizes = [np.size(value) for value in given.values()]
        if min(sizes) == 0:
            raise InvalidInput("FEDL", "empty", "at least one device")
        for name, value in given.items():
            object.__setattr__(self, name, vector(name, value, max(sizes), **_ARRAYS[name]))
        object.__setattr__(self, "band_hz", number("band_hz", band_hz, open_low=True))
        object.__setattr__(self, "kappa", number("kappa", kappa, open_low=True))
        for low, high in (("cpu_min_hz", "cpu_max_hz"), ("power_min_w", "power_max_w")):
            wrong = np.flatnonzero(getattr(self, low) > getattr(self, high))
            if wrong.size:
                raise InvalidInput(
                    f"{low}[{wrong[0]}]",
                    f"{getattr(self, low)[wrong[0]]:g}",
                    f"at most {high}[{wrong[0]}] = {getattr(self, high)[wrong[0]]:g}",
                    f"lower {low} or raise {high} of {device_list(wrong)}",
                )
        if not self.work.any():
            raise InvalidInput(
                "cycles_per_bit x data_bit",
                "0 for all devices",
                "> 0 for at least one",
                "where nothing is trained, ever better accuracy is free and has no best",
            )

    @classmethod
    def from_network(cls, network: Network, *, kappa: float, power_min_w: ArrayLike = 0.0) -> FEDL:
        """The devices of a round; `network.cycles` is one pass over the data.

        ``Optimised(partial(FEDL.from_network, kappa=0.1))`` makes it a policy. The noise is that
        of the whole band. Raises ``InvalidInput`` for a dead link.
        """
        with np.errstate(divide="ignore"):
            noise = network.noise_w_hz * network.band_hz / network.gain
        return cls(
            noise_over_gain=noise,
            cycles_per_bit=network.cycles,  # only the product with the data counts
            data_bit=1.0,
            cpu_min_hz=network.cpu_min_hz,
            cpu_max_hz=network.cpu_max_hz,
            power_min_w=power_min_w,
            power_max_w=network.power_max_w,
            upload_nat=network.upload_bit * physics.LN2,
            band_hz=network.band_hz,
            alpha=2.0 * network.capacitance,
            kappa=kappa,
        )

    @property
    def size(self) -> int:
        """Number of devices K."""
        return int(self.work.size)

    @cached_property
    def work(self) -> Floats:
        """(K,) cycles of one pass over the data."""
        return self.cycles_per_bit * self.data_bit

    @cached_property
    def training(self) -> Training:
        """SUB1."""
        return Training(self.work, self.alpha, self.cpu_min_hz, self.cpu_max_hz, self.kappa)

    @cached_property
    def uploads(self) -> Uploads:
        """SUB2."""
        seconds = self.upload_nat / self.band_hz
        power = (self.power_min_w, self.power_max_w)
        return Uploads(self.noise_over_gain, seconds, *power, self.kappa)

    def parts(self, decision: FEDLDecision) -> tuple[float, float]:
        """Energy of one pass of training, and of the uploads of a round, E_cmp and E_com [J]."""
        training = physics.training_energy_j(0.5 * self.alpha, self.work, decision.cpu_hz)
        return total(training), total(physics.upload_energy_j(decision.power_w, decision.upload_s))

    def cost(self, decision: FEDLDecision) -> float:
        """Energy until the model has learnt, plus kappa times the time that takes [J]."""
        training, uploads = self.parts(decision)
        training += self.kappa * decision.round_training_s
        uploads += self.kappa * decision.round_upload_s
        return (uploads + decision.passes * training) / (1.0 - decision.local_accuracy)

    def excess(self, decision: FEDLDecision) -> dict[str, Excess]:
        """The constraints by name; lower limits enter with both sides negated."""
        if decision.size != self.size:
            raise InvalidInput("decision.size", decision.size, f"{self.size}, as the problem")
        trained = physics.training_s(self.work, decision.cpu_hz)
        carried = self._nat_s(decision.power_w) * decision.upload_s
        return {
            "training": Excess(trained, decision.round_training_s, "s"),
            "upload": Excess(total(decision.upload_s), decision.round_upload_s, "s"),
            "payload": Excess(-carried, -self.upload_nat, "nat"),
            "cpu_min": Excess(-decision.cpu_hz, -self.cpu_min_hz, "Hz"),
            "cpu_max": Excess(decision.cpu_hz, self.cpu_max_hz, "Hz"),
            "power_min": Excess(-decision.power_w, -self.power_min_w, "W"),
            "power_max": Excess(decision.power_w, self.power_max_w, "W"),
        }

    def _nat_s(self, power_w: Floats) -> Floats:
        """Rate of each device over the whole band [nat/s]."""
        density = self.noise_over_gain / self.band_hz
        return physics.LN2 * physics.rate_bit_s(self.band_hz, power_w, 1.0, density)

    # structure: ClosedForm

    def optimum(self) -> Optimum[FEDLDecision]:
        """The three roots, the bound from their multipliers, and the shadow prices."""
        clock, price = self.training.optimum()
        nats = self.uploads.optimum()
        decision = self._decide(clock, nats)
        bound = self.lower_bound(price, nats)
        return Optimum(decision, bound, self._prices(decision, price))

    def lower_bound(self, price: Floats, nats: Floats) -> float:
        """Proven lower bound of the cost from any multipliers.

        `price` (K,) >= 0 [J/s] belongs to "training", `nats` (K,) > 0 are the nats per symbol at
        which the energy of the uploads is replaced by its tangent.
        """
        training, uploads = self.training.bound(price), self.uploads.bound(nats)
        if not (training > 0.0 and uploads > 0.0):
            return 0.0
        return learning_bound(training, uploads)

    def _decide(self, clock: Floats, nats: Floats) -> FEDLDecision:
        """The decision at given clocks and nats per symbol, all else as good as it gets."""
        power = self.uploads.power_w(nats)
        upload = self.upload_nat / self._nat_s(power)
        lasts = float(physics.training_s(self.work, clock).max()), total(upload)
        energy = total(physics.training_energy_j(0.5 * self.alpha, self.work, clock))
        sent = total(physics.upload_energy_j(power, upload))
        y = best_passes((sent + self.kappa * lasts[1]) / (energy + self.kappa * lasts[0]))
        return FEDLDecision(
            cpu_hz=clock,
            upload_s=upload,
            power_w=power,
            round_training_s=lasts[0],
            round_upload_s=lasts[1],
            # below 1 although the float next to exp(-y) may be 1
            local_accuracy=min(math.exp(-y), 1.0 - 2.0**-53),
        )

    def _prices(self, decision: FEDLDecision, price: Floats) -> dict[str, float | Floats | None]:
        """What moving each limit by one unit saves, from the derivatives of both parts."""
        rounds = 1.0 / (1.0 - decision.local_accuracy)
        passes = rounds * decision.passes
        clock, noise = decision.cpu_hz, self.noise_over_gain
        faster = price * self.work / clock**2 - self.alpha * self.work * clock
        snr = decision.power_w / noise
        nats = np.log1p(snr)
        # d(E_com + kappa T_com)/dp along tau(p)
        louder = (
            self.upload_nat
            / self.band_hz
            / nats
            * ((self.kappa + decision.power_w) / (noise * (1.0 + snr) * nats) - 1.0)
        )
        at = {
            name: getattr(decision, field) == getattr(self, name + unit)
            for name, field, unit in (
                ("cpu_min", "cpu_hz", "_hz"),
                ("cpu_max", "cpu_hz", "_hz"),
                ("power_min", "power_w", "_w"),
                ("power_max", "power_w", "_w"),
            )
        }
        return {
            "training": passes * price,
            "upload": rounds * self.kappa,
            "cpu_min": passes * np.where(at["cpu_min"], np.maximum(-faster, 0.0), 0.0),
            "cpu_max": passes * np.where(at["cpu_max"], np.maximum(faster, 0.0), 0.0),
            "power_min": rounds * np.where(at["power_min"], np.maximum(-louder, 0.0), 0.0),
            "power_max": rounds * np.where(at["power_max"], np.maximum(louder, 0.0), 0.0),
        }

    # structure: Convex

    def model(self) -> Model[FEDLDecision]:
        """SUB1 and SUB2 as one program in exponential and second-order cones."""
        from fl_opt.problems._fedl_reference import model

        return model(self)
