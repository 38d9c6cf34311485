r"""The one physics: rate, airtime, energy, training time and packet loss, as pure functions.

The optimiser's check and the simulator both call these; no policy or problem has its own version.
Arguments broadcast. SI units, named in the arguments.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.kernels import growth_inverse
from fl_opt.units import Floats

LN2 = float(np.log(2.0))
PARAMETER_BIT = 32
"""Bits that the nominal size of an update counts for one parameter of the model."""


def _floats(*values: ArrayLike) -> list[Floats]:
    return [np.asarray(value, dtype=np.float64) for value in values]


def rate_bit_s(
    bandwidth_hz: ArrayLike, power_w: ArrayLike, gain: ArrayLike, noise_w_hz: ArrayLike
) -> Floats:
    """Rate over bandwidth b at power p, b log2(1 + h p/(N0 b)) [bit/s] (Shannon); 0 at b = 0."""
    b, p, h, n0 = _floats(bandwidth_hz, power_w, gain, noise_w_hz)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rate = b * np.log1p(h * p / (n0 * b)) / LN2
    return np.where(b > 0.0, rate, 0.0)


def airtime_s(upload_bit: ArrayLike, rate: ArrayLike) -> Floats:
    """Time to send a payload at a rate [bit/s]; 0 for no payload, inf where the rate is 0."""
    s, r = _floats(upload_bit, rate)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(s > 0.0, s / r, 0.0)


def analog_airtime_s(upload_bit: ArrayLike, bandwidth_hz: ArrayLike) -> Floats:
    """Time to send an update as analog symbols, one per parameter, s/(32 b) [s].

    The update's nominal size s counts ``PARAMETER_BIT`` bits a parameter; b hertz carry b symbols
    a second (Zhu, Wang, Huang, IEEE TWC 2020, arXiv 1812.11494). 0 for no payload.
    """
    s, b = _floats(upload_bit, bandwidth_hz)
    return airtime_s(s / PARAMETER_BIT, b)


def upload_power_w(
    upload_bit: ArrayLike,
    upload_s: ArrayLike,
    bandwidth_hz: ArrayLike,
    gain: ArrayLike,
    noise_w_hz: ArrayLike,
) -> Floats:
    """Power that carries s bits in t seconds over b hertz, (N0 b/h)(2^(s/(t b)) - 1) [W].

    0 for no payload; inf where no finite power does, without a warning.
    """
    s, t, b, h, n0 = _floats(upload_bit, upload_s, bandwidth_hz, gain, noise_w_hz)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        power = n0 * b / h * np.expm1(s * LN2 / (t * b))
    return np.where(s > 0.0, np.where(np.isnan(power), np.inf, power), 0.0)


def upload_energy_j(power_w: ArrayLike, upload_s: ArrayLike) -> Floats:
    """Energy of an upload, p t [J]; 0 where nothing is sent, also at infinite power."""
    p, t = _floats(power_w, upload_s)
    with np.errstate(invalid="ignore"):
        return np.where((p > 0.0) & (t > 0.0), p * t, 0.0)


def least_bandwidth_hz(
    upload_bit: ArrayLike,
    upload_s: ArrayLike,
    power_w: ArrayLike,
    gain: ArrayLike,
    noise_w_hz: ArrayLike,
) -> Floats:
    """Least bandwidth that carries s bits in t seconds at power p [Hz].

    Equals -s ln2 / (t (W(-G exp(-G)) + G)) with G = N0 s ln2/(t p h) and the branch -1 of
    Lambert's W; computed as s ln2/(t v) from ln(expm1(v)/v) = -ln G. Infinite where G >= 1:
    even the whole spectrum does not carry the payload. 0 for no payload.
    """
    s, t, p, h, n0 = np.broadcast_arrays(*_floats(upload_bit, upload_s, power_w, gain, noise_w_hz))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        level = np.log(np.atleast_1d(t * p * h / (n0 * s * LN2)))
        level = np.where(level > 0.0, level, 0.0)
        b = np.reshape(s * LN2 / (t * growth_inverse(level).reshape(t.shape)), t.shape)
    return np.where(s > 0.0, np.where(np.isnan(b), np.inf, b), 0.0)


def least_upload_energy_j(upload_bit: ArrayLike, gain: ArrayLike, noise_w_hz: ArrayLike) -> Floats:
    """Infimum of the energy that sends s bits, N0 s ln2/h [J], approached as t b grows."""
    s, h, n0 = _floats(upload_bit, gain, noise_w_hz)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(s > 0.0, n0 * s * LN2 / h, 0.0)


def training_s(cycles: ArrayLike, cpu_hz: ArrayLike) -> Floats:
    """Time of local training, C/f [s]; 0 for no work."""
    c, f = _floats(cycles, cpu_hz)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(c > 0.0, c / f, 0.0)


def cpu_hz(cycles: ArrayLike, training_s: ArrayLike) -> Floats:
    """Clock that trains C cycles in a given time, C/u [cycle/s]; 0 for no work."""
    c, u = _floats(cycles, training_s)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(c > 0.0, c / u, 0.0)


def training_energy_j(capacitance: ArrayLike, cycles: ArrayLike, cpu_hz: ArrayLike) -> Floats:
    """Energy of local training, kappa C f^2 [J]."""
    kappa, c, f = _floats(capacitance, cycles, cpu_hz)
    return kappa * c * f * f


def packet_error(
    waterfall: ArrayLike,
    interference_noise_w: ArrayLike,
    power_w: ArrayLike,
    gain: ArrayLike,
) -> Floats:
    """Packet error rate 1 - exp(-m (I + N)/(p h)) under Rayleigh fading with waterfall threshold m.

    Source: Chen, Yang, Saad, Yin, Poor, Cui, IEEE TWC 2021, arXiv 1909.07972. 1 at zero power.
    """
    m, noise, p, h = _floats(waterfall, interference_noise_w, power_w, gain)
    with np.errstate(divide="ignore", invalid="ignore"):
        loss = -np.expm1(-m * noise / (p * h))
    return np.where(np.isnan(loss), 0.0, loss)
