"""Split inference: unit power, the channel's noise, outage in closed form, determinism."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fl_opt import InvalidInput
from fl_opt.validation.split import (
    Images,
    SplitNetwork,
    accuracy,
    digital_accuracy,
    outage,
    trained,
)

TRAIN, TEST = Images.of("digits", 600), Images.of("digits", part="test")


def test_symbols_have_unit_power() -> None:
    network = SplitNetwork((8, 8), 10, values=6)
    z = network.encode(TRAIN.x[:50])
    assert z.shape == (50, 6)
    torch.testing.assert_close(z.square().mean(dim=1), torch.ones(50))


def test_a_seed_gives_the_same_network_and_leaves_the_common_stream_alone() -> None:
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    one, two = (trained(TRAIN, 8, 10.0, epochs=1, seed=3) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)


def test_it_learns_and_noise_costs() -> None:
    network = trained(TRAIN, 8, 10.0, epochs=10, rate=3e-3)
    clean = accuracy(network, TEST, math.inf)
    assert clean > 0.6
    noisy = [accuracy(network, TEST, snr) for snr in (20.0, 5.0, -5.0)]
    assert clean + 0.02 >= noisy[0] >= noisy[1] >= noisy[2]
    # fades cost more than they give
    assert accuracy(network, TEST, 5.0, fading=True) <= noisy[1] + 0.02


def test_outage_is_how_often_fading_does_not_carry_the_bits() -> None:
    rng = np.random.default_rng(0)
    gain = rng.exponential(1.0, 200_000)
    for bits, snr_db in ((1, 10.0), (2, 20.0), (3, 15.0)):
        carried = 0.5 * np.log2(1.0 + 10.0 ** (snr_db / 10.0) * gain)
        assert outage(bits, snr_db) == pytest.approx(float((carried < bits).mean()), abs=0.004)
    assert outage(600, 10.0) == 1.0


def test_digital_features_are_all_or_nothing() -> None:
    network = trained(TRAIN, 8, math.inf, epochs=2)
    loud = digital_accuracy(network, TEST, 80.0, bits=8)
    assert loud == pytest.approx(accuracy(network, TEST, math.inf), abs=0.01)
    assert digital_accuracy(network, TEST, -30.0, bits=8) == pytest.approx(0.1, abs=1e-12)


def test_the_profile_counts_what_layers_do_and_say() -> None:
    profile = SplitNetwork((8, 8), 10, values=6, channels=2).profile(
        cycles=3.0, pixel_bit=8.0, value_bit=16.0
    )
    # two convolutions of 3 x 3, the bottleneck, two dense layers
    work = 3.0 * np.array([2 * 9 * 64, 4 * 2 * 9 * 16, 16 * 6, 6 * 64, 64 * 10])
    np.testing.assert_array_equal(profile.device_cycles, np.append(0.0, np.cumsum(work)))
    np.testing.assert_array_equal(profile.server_cycles, work.sum() - profile.device_cycles)
    numbers = np.array([2 * 16, 16, 6, 64])
    np.testing.assert_array_equal(profile.upload_bit, [64 * 8.0, *16.0 * numbers, 0.0])


def test_refuses_what_is_no_split() -> None:
    with pytest.raises(InvalidInput, match="values"):
        SplitNetwork((8, 8), 10, values=0)
    with pytest.raises(InvalidInput, match="multiples of 4"):
        SplitNetwork((9, 8), 10, values=4)
    with pytest.raises(InvalidInput, match="bits"):
        digital_accuracy(SplitNetwork((8, 8), 10, 4), TEST, 10.0, bits=0)
