"""Real places and phones, read from the data folder (``fl_opt.data_home``).

Sites and users: the EUA data set, 125 base-station sites in the centre of Melbourne from the site
register of the ACMA and 816 user positions generated around them (Lai et al., ICSOC 2018,
github.com/PhuLai/eua-dataset). Every user attaches to the nearest site, and one site is one
serving cell.

Phones: scores of the AI-Benchmark for phone models, and the models seen in the field, as
collected by FLASH (Yang et al., WWW 2021, arXiv 2006.06983, github.com/PKU-Chengxu/FLASH). Phones
without a score are left out. That the CPU clock available to training is proportional to the
score is an assumption of ours: the score also rates memory and accelerators.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np

from fl_opt.data_home import require
from fl_opt.errors import InvalidInput
from fl_opt.units import Floats

EARTH_M = 6_371_008.8
"""Mean radius of the earth [m] (IUGG)."""
EUA = "https://github.com/PhuLai/eua-dataset"
FLASH = "https://github.com/PKU-Chengxu/FLASH"
SITES_FILE = "eua-melbourne/edge-servers_site-optus-melbCBD.csv"
USERS_FILE = "eua-melbourne/users_users-melbcbd-generated.csv"
SCORES_FILE = "flash-device/benchmark2score.json"
MODELS_FILE = "flash-device/real2benchmark.json"


def local_m(latitude_deg: Floats, longitude_deg: Floats, at: tuple[float, float]) -> Floats:
    """(n, 2) metres east and north of a point (latitude, longitude in degrees).

    Equirectangular projection at the latitude of the point: at the latitude of Melbourne off by
    less than 3e-4 of the distance within 2 km.
    """
    north = np.radians(latitude_deg - at[0]) * EARTH_M
    east = np.radians(longitude_deg - at[1]) * EARTH_M * np.cos(np.radians(at[0]))
    return np.stack([east, north], axis=-1)


def _columns(path: Path, names: tuple[str, ...]) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [name for name in names if name not in (reader.fieldnames or ())]
        if missing:
            raise InvalidInput(
                f"{path}: column {missing[0]}", "missing", f"columns {', '.join(names)}"
            )
        rows = list(reader)
    return [[row[name] for row in rows] for name in names]


def _floats(path: Path, name: str, cells: list[str]) -> Floats:
    try:
        values = np.array([float(cell) for cell in cells])
    except ValueError as error:
        raise InvalidInput(f"{path}: column {name}", str(error), "numbers") from None
    if not (values.size and np.isfinite(values).all()):
        raise InvalidInput(f"{path}: column {name}", "empty or not finite", "finite numbers")
    return values


@cache
def _cells(sites_path: Path, users_path: Path) -> tuple[tuple[str, ...], dict[str, Floats]]:
    """Identifiers of the sites, those with most users first, and the users of each [m]."""
    ids, site_latitude, site_longitude = _columns(sites_path, ("SITE_ID", "LATITUDE", "LONGITUDE"))
    latitude, longitude = _columns(users_path, ("Latitude", "Longitude"))
    site_deg = np.stack(
        [
            _floats(sites_path, "LATITUDE", site_latitude),
            _floats(sites_path, "LONGITUDE", site_longitude),
        ],
        axis=-1,
    )
    user_deg = np.stack(
        [_floats(users_path, "Latitude", latitude), _floats(users_path, "Longitude", longitude)],
        axis=-1,
    )
    middle = (float(site_deg[:, 0].mean()), float(site_deg[:, 1].mean()))
    sites = local_m(site_deg[:, 0], site_deg[:, 1], middle)
    users = local_m(user_deg[:, 0], user_deg[:, 1], middle)
    away = users[:, None, :] - sites[None, :, :]
    nearest = np.argmin(np.hypot(away[..., 0], away[..., 1]), axis=1)
    load = np.bincount(nearest, minlength=len(sites))
    order = np.argsort(-load, kind="stable")
    cells = {ids[j]: users[nearest == j] - sites[j] for j in order if load[j]}
    for places in cells.values():
        places.flags.writeable = False
    return tuple(cells), cells


def users_of_site(site: str) -> Floats:
    """(n, 2) positions [m] of the users of a site of Melbourne, east and north of the site.

    Parameters
    ----------
    site
        Its SITE_ID, or "busiest": the one with most users, the first in the file among equals.

    Raises ``InvalidInput`` where the data are not there, or no site of that name has users.
    """
    ids, cells = _cells(require(SITES_FILE, EUA), require(USERS_FILE, EUA))
    site = ids[0] if site == "busiest" else site
    if site not in cells:
        raise InvalidInput(
            "cell.site",
            repr(site),
            '"busiest" or the SITE_ID of a site that has users',
            f"the busiest are {', '.join(ids[:5])}",
        )
    return cells[site]


def _mapping(path: Path) -> Mapping[str, object]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(str(path), f"not JSON ({error})", "an object of phone models") from None
    if not isinstance(data, dict):
        raise InvalidInput(str(path), type(data).__name__, "an object of phone models")
    return data


def phone_speeds() -> Floats:
    """(n,) speed of each phone model seen in the field [-], 1 for the median of all scores.

    Raises ``InvalidInput`` where the data are not there or hold no scores.
    """
    scores_path = require(SCORES_FILE, FLASH)
    scores = {
        name: float(score)
        for name, score in _mapping(scores_path).items()
        if isinstance(score, int | float) and score > 0
    }
    seen = _mapping(require(MODELS_FILE, FLASH)).values()
    known = np.array([scores[str(model)] for model in seen if model in scores])
    if not known.size:
        raise InvalidInput(str(scores_path), "without scores of known models", "positive scores")
    return np.asarray(known / np.median(list(scores.values())))
