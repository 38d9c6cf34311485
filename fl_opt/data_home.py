"""Where data that are not part of the project live: the folder named by FL_OPT_DATA."""

from __future__ import annotations

import os
from pathlib import Path

from fl_opt.errors import InvalidInput

VARIABLE = "FL_OPT_DATA"


def data_home() -> Path | None:
    """The folder that the environment variable FL_OPT_DATA names; None where it is not set."""
    text = os.environ.get(VARIABLE, "").strip()
    return Path(text).expanduser() if text else None


def require(relative: str, source_hint: str) -> Path:
    """Path of a file below the data folder.

    Parameters
    ----------
    relative
        Path of the file below the folder, such as ``"mnist/train-images-idx3-ubyte.gz"``.
    source_hint
        Where the data come from, for the message: a title, a web address.

    Raises ``InvalidInput`` naming the file, the variable and the source where the variable is not
    set or the file is not there.
    """
    home = data_home()
    if home is None:
        raise InvalidInput(
            VARIABLE,
            "not set",
            f"a folder that holds {relative}",
            f"get the file from {source_hint} and set {VARIABLE} to the folder",
        )
    path = home / relative
    if not path.is_file():
        raise InvalidInput(
            str(path),
            "not there",
            f"a file below {VARIABLE} = {home}",
            f"get {relative} from {source_hint}, or point {VARIABLE} to the folder that holds it",
        )
    return path
