"""Libraries of the extra ``train``: loaded on use, and named when they are missing."""

from __future__ import annotations

import importlib
from typing import Any


def load(library: str) -> Any:
    """The module `library`; ``ModuleNotFoundError`` that says how to install it otherwise."""
    try:
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        if error.name != library.partition(".")[0]:
            raise
        raise ModuleNotFoundError(
            f"training needs {error.name}, which is not installed; "
            "install it with: pip install 'fl_opt[train]'",
            name=error.name,
        ) from None
