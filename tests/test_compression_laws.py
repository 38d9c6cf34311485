"""Laws of compression: payloads counted by hand, errors that real compressors keep."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fl_opt import InvalidInput
from fl_opt import compression_laws as laws
from fl_opt.units import Floats


def update(seed: int, size: int) -> Floats:
    """Entries between nearly flat and nearly one spike."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.normal(size=size) * np.exp(rng.normal(0.0, rng.choice([0, 1, 3]), size)))


def loss(sent: Floats, x: Floats) -> float:
    return float(((sent - x) ** 2).sum() / (x**2).sum())


def flatness(x: Floats) -> float:
    return float(np.clip(np.abs(x).sum() ** 2 / (x.size * (x**2).sum()), 1.0 / x.size, 1.0))


def largest(x: Floats, kept: int) -> Floats:
    mask = np.zeros(x.size)
    mask[np.argsort(-np.abs(x))[:kept]] = 1.0
    return mask


@given(st.integers(0, 2**32), st.integers(1, 60), st.data())
def test_deterministic_compressors_keep_their_laws(
    seed: int, size: int, data: st.DataObject
) -> None:
    x, kept = update(seed, size), data.draw(st.integers(1, size))
    phi, mask = flatness(x), largest(x, kept)
    slack = 1e-12
    assert loss(x * mask, x) <= laws.top_k(size, kept).error + slack
    signs = np.abs(x).mean() * np.sign(x)
    assert loss(signs, x) == pytest.approx(laws.sign(size, phi).error, abs=1e-12)
    assert loss(signs, x) <= laws.sign(size).error + slack
    few = mask * np.sign(x) * float(np.abs(x * mask).sum()) / kept
    assert loss(few, x) <= laws.top_k_sign(size, kept, phi).error + slack
    assert loss(few, x) <= laws.top_k_sign(size, kept).error + slack


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 30))
def test_the_variance_of_qsgd_keeps_its_law(seed: int, size: int, levels: int) -> None:
    x = update(seed, size)
    place = levels * np.abs(x) / math.sqrt(float((x**2).sum()))
    up = place - np.floor(place)
    variance = float((up * (1.0 - up)).sum()) / levels**2
    assert variance <= laws.qsgd(size, levels).error + 1e-12


@given(st.integers(2, 40), st.data())
def test_the_variance_of_random_k_is_its_law(size: int, data: st.DataObject) -> None:
    kept = data.draw(st.integers(1, size))
    share = kept / size
    # a coordinate is d/k times itself with probability k/d
    each = share * (1.0 / share - 1.0) ** 2 + (1.0 - share)
    assert laws.random_k(size, kept).error == pytest.approx(each, abs=1e-12)


def test_payloads_counted_by_hand() -> None:
    assert [laws.index_bit(d) for d in (1, 2, 3, 4, 1000, 1024, 1025)] == [0, 1, 2, 2, 10, 10, 11]
    assert laws.full(1000).upload_bit == 32_000
    assert laws.top_k(1000, 10).upload_bit == 10 * 42
    assert laws.top_k_sign(1000, 10).upload_bit == 10 * 11 + 32
    assert laws.random_k(1000, 10).upload_bit == 320
    assert [laws.qsgd(1000, s).upload_bit for s in (1, 3, 4)] == [2032, 3032, 4032]
    assert (laws.sign_bit(1000), laws.sign_bit(1000, scaled=False)) == (1032, 1000)


def test_everything_kept_leaves_no_error() -> None:
    assert laws.top_k(50, 50).error == laws.random_k(50, 50).error == laws.full(50).error == 0.0
    assert laws.sign(50, 1.0).error == laws.sign(1).error == 0.0


def test_one_over_d_is_lost_at_worst() -> None:
    spike = np.zeros(20)
    spike[3] = -2.0
    assert flatness(spike) == pytest.approx(1.0 / 20)
    assert laws.sign(20).error == laws.top_k_sign(20, 1).error == 1.0 - 1.0 / 20


def test_means_are_told() -> None:
    fair = (laws.full(9), laws.qsgd(9, 2), laws.random_k(9, 2))
    assert all(level.unbiased for level in fair)
    assert not any(level.unbiased for level in (laws.top_k(9, 2), laws.sign(9)))
    assert not laws.top_k_sign(9, 2).unbiased


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: laws.top_k(5, 6), "kept is 6; expected 1 to 5"),
        (lambda: laws.qsgd(5, 0), "levels is 0; expected at least 1"),
        (lambda: laws.full(2.5), "size is 2.5; expected a whole number"),  # type: ignore[arg-type]
        (lambda: laws.sign(5, 0.1), "flatness is 0.1; expected a number >= 0.2, <= 1"),
        (lambda: laws.Level("x", -1.0, 0.0, True), "upload_bit is -1 bit"),
    ],
)
def test_refuses(call: object, text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        call()  # type: ignore[operator]
