"""Image sets and how devices come to hold them."""

from __future__ import annotations

import functools
import gzip
import hashlib
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fl_opt.checks import number
from fl_opt.data_home import data_home, require
from fl_opt.errors import InvalidInput
from fl_opt.units import Floats
from fl_opt.validation.extra import load

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]


SCARCE = 5
"""Samples that a device keeps of a class that is scarce with it."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Grey images with labels, in their stored form.

    Attributes
    ----------
    train_x, test_x
        (N, pixels) brightness 0 to `depth` [uint8].
    train_y, test_y
        (N,) class of each image.
    depth
        Largest brightness; images enter the models divided by it.
    shape
        Height and width of an image [pixel].
    classes
        Number of classes.
    """

    name: str
    train_x: Bytes
    train_y: Ints
    test_x: Bytes
    test_y: Ints
    depth: int
    shape: tuple[int, int]
    classes: int


@dataclass(frozen=True)
class _Source:
    title: str
    address: str
    md5: dict[str, str]  # of the idx files before compression: a .gz may be packed anew


_SOURCES = {
    "mnist": _Source(
        "MNIST, Y. LeCun, C. Cortes, C. Burges",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
    ),
    "fashion-mnist": _Source(
        "Fashion-MNIST, H. Xiao, K. Rasul, R. Vollgraf, arXiv 1708.07747",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
            "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
            "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
        },
    ),
}

DATASETS = ("digits", *_SOURCES)
"""Names of the image sets; "digits" comes with scikit-learn and needs no download."""

_DIGITS_TEST = 360


@functools.lru_cache(maxsize=len(DATASETS))
def dataset(name: str) -> Dataset:
    """An image set by name.

    "digits": 1,437 training and 360 test images of 8 x 8 pixels, embedded in scikit-learn (E.
    Alpaydin, C. Kaynak, UCI 1998), split once and for all. "mnist" and "fashion-mnist": 60,000 and
    10,000 images of 28 x 28, read from the folder that FL_OPT_DATA names (``mnist/...-ubyte.gz``),
    else from the user's cache, else downloaded into it. Files are checked against the published
    md5 of the uncompressed idx files.

    Raises ``InvalidInput`` for an unknown name or a missing, damaged or unreachable file.
    """
    if name == "digits":
        return _digits()
    if name not in _SOURCES:
        raise InvalidInput("dataset", repr(name), f"one of {', '.join(DATASETS)}")
    arrays = {stem: _idx(_raw(name, stem), f"{name}/{stem}") for stem in _SOURCES[name].md5}
    train_x, train_y, test_x, test_y = arrays.values()
    return Dataset(
        name,
        train_x.reshape(len(train_x), -1),
        train_y.astype(np.int64),
        test_x.reshape(len(test_x), -1),
        test_y.astype(np.int64),
        255,
        (int(train_x.shape[1]), int(train_x.shape[2])),
        10,
    )


def _digits() -> Dataset:
    bunch = load("sklearn.datasets").load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))
    images, labels = bunch.data.astype(np.uint8)[order], bunch.target.astype(np.int64)[order]
    cut = len(labels) - _DIGITS_TEST
    return Dataset("digits", images[:cut], labels[:cut], images[cut:], labels[cut:], 16, (8, 8), 10)


def _raw(name: str, stem: str) -> bytes:
    """Uncompressed idx file, from FL_OPT_DATA, the cache or the source."""
    source = _SOURCES[name]
    if data_home() is not None:
        path = require(f"{name}/{stem}.gz", f"{source.title}, {source.address}")
    else:
        path = _download(name, stem)
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise InvalidInput(
            str(path), f"damaged ({error})", "a gzip file", "remove it and get it again"
        ) from None
    found = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    if found != source.md5[stem]:
        raise InvalidInput(
            str(path),
            f"md5 {found} unpacked",
            f"{source.md5[stem]}, as published",
            "remove it and get it again",
        )
    return raw


def available(name: str) -> bool:
    """Whether an image set is at hand without a download."""
    if name not in _SOURCES:
        return name in DATASETS
    home = data_home()
    folder = _cache(name) if home is None else home / name
    return all((folder / f"{stem}.gz").is_file() for stem in _SOURCES[name].md5)


def _cache(name: str) -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("fl_opt")) / name


def _download(name: str, stem: str) -> Path:
    import pooch

    address = f"{_SOURCES[name].address}{stem}.gz"
    cache = _cache(name)
    try:
        # no hash of the packed file: what is inside is checked after unpacking
        return Path(pooch.retrieve(address, known_hash=None, fname=f"{stem}.gz", path=cache))
    except (OSError, ValueError) as error:
        raise InvalidInput(
            address,
            f"out of reach ({error})",
            "a download",
            f"put the file into {cache}, or set FL_OPT_DATA to a folder that holds "
            f"{name}/{stem}.gz",
        ) from None


def _idx(raw: bytes, where: str) -> Bytes:
    """Array of an idx file of unsigned bytes: magic 0 0 8 ndim, sizes, then the bytes."""
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise InvalidInput(where, raw[:4].hex(), "an idx file of unsigned bytes (00 00 08 ..)")
    dims = raw[3]
    shape = struct.unpack(f">{dims}I", raw[4 : 4 + 4 * dims])
    if len(raw) != 4 + 4 * dims + math.prod(shape):
        raise InvalidInput(where, f"{len(raw)} bytes", f"{shape} and a header")
    return np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * dims).reshape(shape)


@dataclass(frozen=True, eq=False)
class Partition:
    """Who holds what.

    Attributes
    ----------
    parts
        For each device the indices of its training samples; disjoint, none empty.
    shift
        (K,) labels of a device are its images' classes plus this, modulo the number of classes.
    """

    parts: tuple[Ints, ...]
    shift: Ints


def shares(total: int, weights: Floats) -> Ints:
    """Share `total` samples among devices in proportion to `weights` (K,), at least 1 each."""
    devices = weights.size
    if devices > total:
        raise InvalidInput("devices", devices, f"at most the number of training samples, {total}")
    ideal = total * weights / weights.sum()
    counts: Ints = np.maximum(np.floor(ideal).astype(np.int64), 1)
    missing = total - int(counts.sum())
    counts[np.argsort(counts - ideal, kind="stable")[: max(missing, 0)]] += 1
    for _ in range(-missing):
        counts[np.argmax(counts)] -= 1
    return counts


def _iid(
    labels: Ints, counts: Ints, value: float, classes: int, rng: np.random.Generator
) -> Partition:
    order = rng.permutation(labels.size)[: counts.sum()]
    return Partition(
        tuple(np.split(order, np.cumsum(counts)[:-1])), np.zeros(counts.size, np.int64)
    )


def _rotated(
    labels: Ints, counts: Ints, value: float, classes: int, rng: np.random.Generator
) -> Partition:
    plain = _iid(labels, counts, value, classes, rng)
    groups = int(value)
    group = np.arange(counts.size) % groups
    return Partition(plain.parts, group * classes // groups)


def _pools(labels: Ints, classes: int, rng: np.random.Generator) -> list[Ints]:
    return [rng.permutation(np.flatnonzero(labels == c)) for c in range(classes)]


def _dirichlet(
    labels: Ints, counts: Ints, value: float, classes: int, rng: np.random.Generator
) -> Partition:
    pools = _pools(labels, classes, rng)
    left = np.array([pool.size for pool in pools])
    mixes = rng.dirichlet(np.full(classes, value) * classes * left / left.sum(), counts.size)
    parts: list[Ints] = [np.empty(0, np.int64)] * counts.size
    # a random order: who comes late finds classes used up, and that shall not be a matter of index
    for k in rng.permutation(counts.size):
        taken = np.zeros(classes, dtype=np.int64)
        while (missing := counts[k] - taken.sum()) > 0:
            # vanishing shares may leave no open class; then what is left decides
            share = np.where(left > taken, mixes[k] + 1e-12, 0.0)
            taken = np.minimum(taken + rng.multinomial(missing, share / share.sum()), left)
        parts[k] = np.concatenate([pools[c][left[c] - taken[c] : left[c]] for c in range(classes)])
        left -= taken
    return Partition(tuple(parts), np.zeros(counts.size, np.int64))


def _shards(
    labels: Ints, counts: Ints, value: float, classes: int, rng: np.random.Generator
) -> Partition:
    each = int(value)
    pools = _pools(labels, classes, rng)
    owners: list[list[int]] = [[] for _ in range(classes)]
    for k in range(counts.size):
        # the least used classes first, ties at random: classes stay balanced, and no class twice
        use = np.array([len(owner) for owner in owners])
        for c in np.lexsort((rng.random(classes), use))[:each]:
            owners[c].append(k)
    parts: list[list[Ints]] = [[] for _ in range(counts.size)]
    for c, owner in enumerate(owners):
        if not owner:
            continue
        wanted = np.ceil(counts[owner] / each)
        if len(owner) > pools[c].size:
            raise InvalidInput(
                "partition",
                f"shards:{each} with {counts.size} devices",
                f"at least one of the {pools[c].size} samples of class {c} for each of its "
                f"{len(owner)} devices",
                "lower the number of devices or of classes per device",
            )
        given = shares(int(min(wanted.sum(), pools[c].size)), wanted)
        for k, shard in zip(owner, np.split(pools[c], np.cumsum(given)), strict=False):
            parts[k].append(shard)
    return Partition(tuple(np.concatenate(part) for part in parts), np.zeros(counts.size, np.int64))


def _scarce(
    labels: Ints, counts: Ints, value: float, classes: int, rng: np.random.Generator
) -> Partition:
    plain = _iid(labels, counts, value, classes, rng)
    parts = []
    for part in plain.parts:
        rare = rng.permutation(classes)[: int(value)]
        kept = [part[labels[part] == c][: SCARCE if c in rare else None] for c in range(classes)]
        parts.append(np.concatenate(kept))
    return Partition(tuple(parts), plain.shift)


_Split = Callable[[Ints, Ints, float, int, np.random.Generator], Partition]
PARTITIONS: dict[str, tuple[_Split, str]] = {
    "iid": (_iid, ""),
    "dirichlet": (_dirichlet, "alpha"),
    "shards": (_shards, "classes"),
    "rotated": (_rotated, "groups"),
    "scarce": (_scarce, "classes"),
}
"""Ways to split by name, and what the number after the colon means."""


def partition(
    labels: Ints, counts: Ints, spec: str, classes: int, rng: np.random.Generator
) -> Partition:
    """Deal training samples out to devices, each sample at most once.

    Parameters
    ----------
    labels
        (N,) class of each sample.
    counts
        (K,) samples that each device shall get, see ``shares``.
    spec
        "iid"; "dirichlet:ALPHA": the class mix of a device is drawn around the mix of the whole
        set with concentration ALPHA (Hsu, Qi, Brown 2019, arXiv 1909.06335); small is extreme.
        "shards:C": each device holds C classes, all classes equally often (after McMahan et al.,
        AISTATS 2017, arXiv 1602.05629); where a class runs out its devices get less.
        "rotated:G": iid images, but the labels of group g of G are turned by g/G of the classes:
        same images, another answer (conditional shift).
        "scarce:C": iid, but of C classes, drawn for each device, it keeps at most ``SCARCE``
        samples (Jeong et al. 2018, arXiv 1811.11479).
    classes
        Number of classes.

    Raises ``InvalidInput`` for an unknown or incomplete `spec`.
    """
    name, colon, text = spec.partition(":")
    if name not in PARTITIONS:
        forms = ", ".join(
            f"{key}:{what.upper()}" if what else key for key, (_, what) in PARTITIONS.items()
        )
        raise InvalidInput("partition", repr(spec), f"one of {forms}")
    split, what = PARTITIONS[name]
    if bool(what) != bool(colon):
        raise InvalidInput("partition", repr(spec), f"{name}:{what.upper()}" if what else name)
    value = 0.0
    if what == "alpha":
        value = number("partition alpha", text, open_low=True)
    elif what:
        value = number(f"partition {what}", text, low=1, high=classes)
        if value != int(value):
            raise InvalidInput(f"partition {what}", text, "a whole number")
    return split(labels, counts, value, classes, rng)
