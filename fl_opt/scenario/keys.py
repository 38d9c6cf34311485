"""How a key of a scenario file is declared: meaning, example, default and range in one place."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def key(
    text: str, example: Any, default: Any = ..., *, alias: str | None = None, **limits: Any
) -> Any:
    """A key of the file: what it means, an example, its default, its range."""
    return Field(default, description=text, examples=[example], alias=alias, **limits)


class Table(BaseModel):
    """A table of the file: no unknown keys, no conversions, no NaN, frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
