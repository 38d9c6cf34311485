"""Problems from text."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import fl_opt
from fl_opt.problem_file import assignment, parse, read_network, read_problem

FIELDS = {
    "gain": [1e-10, 4e-11, 9e-12],
    "power_max_w": 0.2,
    "cpu_min_hz": 1e8,
    "cpu_max_hz": 2e9,
    "capacitance": 1e-28,
    "cycles": 2e8,
    "upload_bit": 3e5,
    "samples": [600, 400, 800],
    "band_hz": 2e6,
}


@pytest.fixture
def network() -> fl_opt.Network:
    return fl_opt.Network.from_dict(FIELDS)


def write(folder: Path, text: str) -> Path:
    path = folder / "problem.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_a_file_states_the_same_problem_as_python(
    tmp_path: Path, network: fl_opt.Network, ending: str
) -> None:
    (network.to_csv if ending == "csv" else network.to_json)(tmp_path / f"cell.{ending}")
    text = f'problem = "minenergy"\nnetwork = "cell.{ending}"\ndeadline_s = 1\nsolver = "price"\n'
    stated = read_problem(write(tmp_path, text))
    assert stated.solver == "price"
    assert stated.time_limit_s is None
    expected = fl_opt.solve(fl_opt.MinEnergy(network, 1.0))
    assert fl_opt.solve(stated.problem).certificate.cost == expected.certificate.cost


def test_a_network_may_stand_in_the_file(tmp_path: Path, network: fl_opt.Network) -> None:
    lines = "".join(f"{name} = {value!r}\n" for name, value in FIELDS.items())
    text = f'problem = "MinEnergy"\ndeadline_s = [1, 1, 2]\n[network]\n{lines}energy_j = inf\n'
    problem = read_problem(write(tmp_path, text)).problem
    assert np.array_equal(problem.network.gain, network.gain)
    assert np.isposinf(problem.network.energy_j).all()
    assert problem.deadline_s == [1, 1, 2]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("deadline_s = 1", "problem is missing"),
        ('problem = "MinEnergie"', "did you mean MinEnergy"),
        ('problem = "MinEnergy"\ndeadline_s = 1', "network is missing"),
        ('problem = "MinEnergy"\ndeadlne_s = 1', "did you mean deadline_s"),
        ('problem = "MinEnergy"\nnetwork = 3\ndeadline_s = 1', "network is 3; expected a table"),
        ('problem = "MinEnergy"\nnetwork = "cell.txt"\ndeadline_s = 1', "is a .txt file"),
        ('problem = "MinEnergy"\nnetwork = {gain = 1}\ndeadline_s = 1', "band_hz"),
        ("problem = ", "not TOML"),
    ],
)
def test_a_fault_in_the_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(fl_opt.InvalidInput, match=says) as refusal:
        read_problem(path)
    assert str(tmp_path) in str(refusal.value)


def test_scalars_replace_columns(tmp_path: Path, network: fl_opt.Network) -> None:
    for path in (tmp_path / "cell.csv", tmp_path / "cell.json"):
        (network.to_csv if path.suffix == ".csv" else network.to_json)(path)
        read = read_network(path, band_hz=1e6, gain=1e-9)
        assert read.band_hz == 1e6
        assert read.gain.tolist() == [1e-9] * 3
        assert read.samples.tolist() == [600, 400, 800]


def test_values_of_options(tmp_path: Path) -> None:
    path = tmp_path / "limits.csv"
    path.write_text("# who knows\ndeadline_s,weight\n1.5,3\n2,4\n", encoding="utf-8")
    assert parse("deadline_s", f"@{path}") == [1.5, 2.0]
    assert parse("x", "1e-3") == 1e-3
    assert isinstance(parse("count", "10"), int)
    assert math.isinf(parse("energy_j", "inf"))
    assert parse("x", "true") is True
    assert parse("power", "max") == "max"
    assert assignment("band_hz = 2e6") == ("band_hz", 2e6)
    with pytest.raises(fl_opt.InvalidInput, match=r"column weigh is missing.*deadline_s, weight"):
        parse("weigh", f"@{path}")
    with pytest.raises(fl_opt.InvalidInput, match="NAME=VALUE"):
        assignment("band_hz")
