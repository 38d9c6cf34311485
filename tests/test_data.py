"""Image sets and partitions."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fl_opt import InvalidInput, Task
from fl_opt.validation import data
from fl_opt.validation.data import Partition, dataset, partition, shares

LABELS = dataset("digits").train_y
SPECS = (
    "iid",
    "dirichlet:0.05",
    "dirichlet:1",
    "dirichlet:1000",
    "shards:1",
    "shards:3",
    "rotated:5",
)


def split(spec: str, weights: NDArray[np.float64], seed: int) -> Partition:
    counts = shares(LABELS.size, weights)
    return partition(LABELS, counts, spec, 10, np.random.default_rng(seed))


def mixes(parts: Partition) -> NDArray[np.float64]:
    counts = np.array([np.bincount(LABELS[part], minlength=10) for part in parts.parts])
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


@settings(max_examples=60, deadline=None)
@given(
    spec=st.sampled_from(SPECS),
    spreads=st.lists(st.floats(-2.0, 2.0), min_size=1, max_size=40),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_sample_is_dealt_twice_and_nobody_is_left_empty(
    spec: str, spreads: list[float], seed: int
) -> None:
    weights = np.exp(np.array(spreads))
    dealt = split(spec, weights, seed)
    everything = np.concatenate(dealt.parts)
    assert len(np.unique(everything)) == len(everything)
    assert min(part.size for part in dealt.parts) >= 1
    if not spec.startswith("shards"):
        counts = np.array([part.size for part in dealt.parts])
        np.testing.assert_array_equal(counts, shares(LABELS.size, weights))
        assert counts.sum() == LABELS.size
    again = split(spec, weights, seed)
    assert all(np.array_equal(a, b) for a, b in zip(dealt.parts, again.parts, strict=True))


@settings(max_examples=200, deadline=None)
@given(
    weights=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=50),
    spare=st.integers(0, 5000),
)
def test_shares_are_proportional_up_to_one_sample(weights: list[float], spare: int) -> None:
    w = np.array(weights)
    total = w.size + spare
    counts = shares(total, w)
    assert counts.sum() == total
    assert counts.min() >= 1
    ideal = total * w / w.sum()
    if ideal.min() >= 1.0:
        assert np.abs(counts - ideal).max() < 1.0 + 1e-9


def test_whole_weights_that_fit_are_met_exactly() -> None:
    np.testing.assert_array_equal(shares(60, np.array([10.0, 20.0, 30.0])), [10, 20, 30])


def test_dirichlet_runs_from_one_class_to_the_mix_of_the_whole_set() -> None:
    extreme = mixes(split("dirichlet:0.01", np.ones(20), 3))
    even = mixes(split("dirichlet:10000", np.ones(20), 3))
    assert np.median(extreme.max(axis=1)) > 0.8
    assert np.median(even.max(axis=1)) < 0.2


@pytest.mark.parametrize("classes", [1, 2, 5, 10])
def test_shards_hold_exactly_their_number_of_classes(classes: int) -> None:
    present = mixes(split(f"shards:{classes}", np.ones(20), 4)) > 0
    np.testing.assert_array_equal(present.sum(axis=1), classes)
    use = present.sum(axis=0)
    assert use.max() - use.min() <= 1


def test_rotated_groups_hold_alike_images_under_other_labels() -> None:
    federation = Task("digits", "softmax", "rotated:2", devices=6).load(seed=1)
    plain = Task("digits", "softmax", "iid", devices=6).load(seed=1)
    np.testing.assert_array_equal(federation.shift, [0, 5, 0, 5, 0, 5])
    assert (federation.x == plain.x).all()
    shift = np.repeat(federation.shift, federation.held)
    np.testing.assert_array_equal(federation.y.numpy(), (plain.y.numpy() + shift) % 10)


def test_holdings_set_the_sizes_and_are_cut_in_proportion_where_data_end() -> None:
    few = Task().load(holdings=[100.0, 200.0, 50.0])
    np.testing.assert_array_equal(few.held, [100, 200, 50])
    many = Task().load(holdings=[1000.0, 2000.0, 500.0])
    assert many.held.sum() == 1437
    np.testing.assert_allclose(many.held / 1437, [2 / 7, 4 / 7, 1 / 7], atol=1e-3)
    assert Task(samples=70).load(holdings=[10.0, 20.0, 5.0]).held.sum() == 35


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("noniid", "expected one of iid, dirichlet:ALPHA, shards:CLASSES, rotated:GROUPS"),
        ("dirichlet", "expected dirichlet:ALPHA"),
        ("iid:3", "expected iid"),
        ("dirichlet:0", "alpha is 0; expected a number > 0"),
        ("shards:2.5", "expected a whole number"),
        ("shards:11", "expected a number >= 1, <= 10"),
    ],
)
def test_a_partition_that_is_none_is_refused(spec: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        split(spec, np.ones(5), 0)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Task("cifar", devices=3), "one of digits, mnist, fashion-mnist"),
        (Task(model="resnet", devices=3), "one of softmax, mlp, cnn"),
        (Task(width=3, devices=3), "softmax regression has no hidden layer"),
        (Task(devices=2000), "at most the number of training samples, 1437"),
        (Task(partition="shards:1", devices=1437), "lower the number of devices"),
        (Task(samples=5000, devices=3), "1 to 1437"),
        (Task(), "the number of devices, or their holdings"),
    ],
)
def test_a_task_that_is_none_is_refused(task: Task, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        task.load()


def idx(array: NDArray[np.uint8]) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


@pytest.fixture
def tiny_mnist(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """Four idx files of 6 + 3 images with the md5 that the loader then expects."""
    rng = np.random.default_rng(0)
    files = {
        "train-images-idx3-ubyte": idx(rng.integers(0, 256, (6, 28, 28), dtype=np.uint8)),
        "train-labels-idx1-ubyte": idx(np.arange(6, dtype=np.uint8)),
        "t10k-images-idx3-ubyte": idx(rng.integers(0, 256, (3, 28, 28), dtype=np.uint8)),
        "t10k-labels-idx1-ubyte": idx(np.arange(3, dtype=np.uint8)),
    }
    md5 = {stem: hashlib.md5(raw).hexdigest() for stem, raw in files.items()}
    monkeypatch.setitem(data._SOURCES, "mnist", data._Source("tiny", "http://nowhere/", md5))
    dataset.cache_clear()
    yield files
    dataset.cache_clear()


def test_idx_files_are_read_from_the_data_folder(
    tiny_mnist: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mnist").mkdir()
    for stem, raw in tiny_mnist.items():
        (tmp_path / "mnist" / f"{stem}.gz").write_bytes(gzip.compress(raw))
    monkeypatch.setenv("FL_OPT_DATA", str(tmp_path))
    found = dataset("mnist")
    assert found.train_x.shape == (6, 784)
    assert found.train_x.tobytes() == tiny_mnist["train-images-idx3-ubyte"][16:]
    np.testing.assert_array_equal(found.test_y, [0, 1, 2])


def test_idx_files_are_downloaded_where_no_folder_is_named(
    tiny_mnist: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pooch

    def retrieve(url: str, known_hash: None, fname: str, path: Path) -> str:
        target = tmp_path / fname
        target.write_bytes(gzip.compress(tiny_mnist[url.removeprefix("http://nowhere/")[:-3]]))
        return str(target)

    monkeypatch.delenv("FL_OPT_DATA", raising=False)
    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert dataset("mnist").train_x.shape == (6, 784)


def test_an_unreachable_source_says_what_to_do(
    tiny_mnist: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    import pooch

    def refuse(*_: object, **__: object) -> str:
        raise ConnectionError("no route")

    monkeypatch.delenv("FL_OPT_DATA", raising=False)
    monkeypatch.setattr(pooch, "retrieve", refuse)
    with pytest.raises(InvalidInput, match=r"out of reach .*no route.* set FL_OPT_DATA"):
        dataset("mnist")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"\0\0\x08\x01\0\0\0\0"), "as published; remove it and get it again"),
        (b"no gzip", "damaged"),
        (None, "not there"),
    ],
    # the bytes have a time in them: no name for a test that two workers must agree on
    ids=["another file", "no gzip", "missing"],
)
def test_a_damaged_or_missing_file_is_refused(
    tiny_mnist: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes | None,
    message: str,
) -> None:
    (tmp_path / "mnist").mkdir()
    if content is not None:
        (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(content)
    monkeypatch.setenv("FL_OPT_DATA", str(tmp_path))
    with pytest.raises(InvalidInput, match=message):
        dataset("mnist")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_real_sets_are_whole(name: str) -> None:
    if not os.environ.get("FL_OPT_DATA"):
        pytest.skip("FL_OPT_DATA is not set; the tiny files above test the same code")
    found = dataset(name)
    assert found.train_x.shape == (60000, 784)
    assert found.test_x.shape == (10000, 784)
    assert np.bincount(found.test_y).size == 10
    if name == "fashion-mnist":
        np.testing.assert_array_equal(np.bincount(found.train_y), 6000)


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_the_room_opens_without_torch_and_says_how_to_get_it() -> None:
    code = "import sys, fl_opt.validation; print('torch' in sys.modules, 'sklearn' in sys.modules)"
    assert run(code).stdout.split() == ["False", "False"]
    code = (
        "import sys; sys.modules['torch'] = None; from fl_opt import Task; Task(devices=3).load()"
    )
    assert "training needs torch, which is not installed" in run(code).stderr
    assert "pip install 'fl_opt[train]'" in run(code).stderr
