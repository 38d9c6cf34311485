"""Real sites and phones: on files of the same shape made up here, and on the real ones."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from fl_opt import InvalidInput, Workload
from fl_opt.data_home import VARIABLE, data_home, require
from fl_opt.scenario import Scenario
from fl_opt.scenario.real import (
    EARTH_M,
    MODELS_FILE,
    SCORES_FILE,
    SITES_FILE,
    USERS_FILE,
    local_m,
    phone_speeds,
    users_of_site,
)

real_data = pytest.mark.skipif(
    data_home() is None or not (data_home() or Path()).joinpath(SITES_FILE).is_file(),
    reason=f"{VARIABLE} does not lead to the data of Melbourne",
)
DEGREE_M = EARTH_M * np.pi / 180.0
SITES = """SITE_ID,LATITUDE,LONGITUDE,NAME
south,-37.0000,145.0000,"Corner, South"
north,-36.9900,145.0000,North
lonely,-36.5000,145.0000,Lonely
"""
USERS = """Latitude,Longitude
-36.9995,145.0000
-36.9895,145.0000
-36.9905,145.0010
-36.9900,144.9990
"""
SCORES = {"slow": 10, "middle": 1000, "fast": 5000}
MODELS = {"A1": "slow", "B2": "middle", "C3": "fast", "D4": "unknown", "E5": "not scored"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    texts = {SITES_FILE: SITES, USERS_FILE: USERS}
    texts |= {SCORES_FILE: json.dumps(SCORES), MODELS_FILE: json.dumps(MODELS)}
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return tmp_path


def great_circle_m(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Distance on the sphere by the haversine formula: not the projection of the module."""
    (a, b), (c, d) = np.radians(one), np.radians(other)
    h = np.sin((c - a) / 2.0) ** 2 + np.cos(a) * np.cos(c) * np.sin((d - b) / 2.0) ** 2
    return float(2.0 * EARTH_M * np.arcsin(np.sqrt(h)))


def test_projection_keeps_distances() -> None:
    at, there = (-37.814, 144.963), (-37.80, 144.98)
    flat = local_m(np.array([there[0]]), np.array([there[1]]), at)
    assert np.hypot(*flat[0]) == pytest.approx(great_circle_m(at, there), rel=3e-4)
    assert flat[0, 0] > 0.0  # east
    assert flat[0, 1] > 0.0  # north


def test_users_attach_to_the_nearest_site(home: Path) -> None:
    north = users_of_site("busiest")
    assert np.array_equal(north, users_of_site("north"))
    east = 0.001 * DEGREE_M * np.cos(np.radians(-36.83))
    expected = [[0.0, 0.0005 * DEGREE_M], [east, -0.0005 * DEGREE_M], [-east, 0.0]]
    assert north == pytest.approx(np.array(expected), abs=1e-3)
    assert users_of_site("south") == pytest.approx(np.array([[0.0, 0.0005 * DEGREE_M]]), abs=1e-6)


def test_a_site_without_users_is_refused(home: Path) -> None:
    for site in ("lonely", "nowhere"):
        with pytest.raises(
            InvalidInput, match=rf"cell\.site is '{site}'.*busiest are north, south"
        ):
            users_of_site(site)


def test_phones_without_a_score_are_left_out(home: Path) -> None:
    assert sorted(phone_speeds()) == [0.01, 1.0, 5.0]


def test_scenario_on_made_up_data(home: Path) -> None:
    scenario = Scenario.named("melbourne")
    assert scenario.size == 3
    network = scenario.draw(np.random.default_rng(1), Workload(5e8, 1e6, 500))
    # 1.5 GHz x score / median score within [0.3, 3] GHz.
    assert set(np.round(network.cpu_max_hz)) <= {3e8, 1.5e9, 3e9}
    assert np.all(network.cpu_min_hz <= network.cpu_max_hz)
    first = scenario.layout(np.random.default_rng(1)).positions_m
    assert np.array_equal(first, users_of_site("busiest"))
    with pytest.raises(InvalidInput, match=r"devices\.count is 4; expected at most 3"):
        scenario.replace(devices=4)
    assert scenario.replace(devices=2).size == 2
    assert Scenario.from_text(scenario.to_toml()) == scenario


def test_walks_lead_from_user_to_user(home: Path) -> None:
    scenario = Scenario.named("melbourne").replace(speed_min_m_s=5.0, speed_max_m_s=50.0)
    layouts = scenario.layouts(np.random.default_rng(1))
    box = users_of_site("busiest")
    for _ in range(20):
        layout = next(layouts)
        assert np.all(layout.positions_m >= box.min(axis=0) - 1e-6)
        assert np.all(layout.positions_m <= box.max(axis=0) + 1e-6)


def test_without_data_the_message_says_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(InvalidInput, match=r"FL_OPT_DATA is not set.*eua-melbourne.*github\.com"):
        Scenario.named("melbourne")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(InvalidInput, match=r"site-optus-melbCBD\.csv is not there.*eua-dataset"):
        Scenario.named("melbourne")


def test_without_phones_the_message_says_so(home: Path) -> None:
    (home / SCORES_FILE).unlink()
    with pytest.raises(InvalidInput, match=r"benchmark2score\.json is not there.*FLASH"):
        Scenario.named("melbourne")


@pytest.mark.parametrize(
    ("name", "text", "pattern"),
    [
        (SITES_FILE, "SITE_ID,LAT\n1,2\n", r"column LATITUDE is missing"),
        (USERS_FILE, "Latitude,Longitude\n-37,abc\n", r"column Longitude is .*'abc'.*numbers"),
        (USERS_FILE, "Latitude,Longitude\n", r"column Latitude is empty"),
        (SCORES_FILE, "{", r"benchmark2score\.json is not JSON"),
        (SCORES_FILE, "[1]", r"benchmark2score\.json is list"),
        (MODELS_FILE, "{}", r"without scores of known models"),
    ],
)
def test_broken_files_are_named(home: Path, name: str, text: str, pattern: str) -> None:
    (home / name).write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=pattern):
        Scenario.named("melbourne")


@real_data
def test_the_real_cell_counted_on_the_sphere() -> None:
    """Users of every site again, by great circles and one by one."""
    sites = list(csv.DictReader(require(SITES_FILE, "").open(encoding="utf-8")))
    users = list(csv.DictReader(require(USERS_FILE, "").open(encoding="utf-8")))
    away = np.array(
        [
            [
                great_circle_m(
                    (float(user["Latitude"]), float(user["Longitude"])),
                    (float(site["LATITUDE"]), float(site["LONGITUDE"])),
                )
                for site in sites
            ]
            for user in users[::8]
        ]
    )
    for site, user in zip(np.argmin(away, axis=1), away, strict=True):
        cell = np.hypot(*users_of_site(sites[site]["SITE_ID"]).T)
        assert np.min(np.abs(cell - user.min())) < 0.05
    scenario = Scenario.named("melbourne")
    assert scenario.size == 24
    network = scenario.draw(np.random.default_rng(2), Workload(5e8, 1e6, scenario.data_sizes))
    assert np.all((network.cpu_max_hz >= 3e8 - 1) & (network.cpu_max_hz <= 3e9 + 1))
    assert network.cpu_max_hz.max() > 2.0 * network.cpu_max_hz.min()


@real_data
def test_the_real_phones() -> None:
    """160 of the 772 models have a score; the median of all 307 scores is 4,638."""
    speeds = phone_speeds()
    assert speeds.size == 160
    assert np.median(speeds) * 4638 == pytest.approx(3542.5)
