"""A page of results: sections of text, facts, pictures and tables, in one self-contained file.

Every page of the toolkit is made of these blocks, so that all look alike. A page needs no script
and no network, and whatever text a user put in is escaped by the template.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from fl_opt.report.ink import PALETTE, Look, Picture, label

if TYPE_CHECKING:
    from jinja2 import Template

_SHAPES = {
    "o": "M18 6a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "s": "M18.5 2.5h7v7h-7z",
    "^": "M22 1.5l4.5 8h-9z",
    "D": "M22 1l5 5l-5 5l-5-5z",
    "v": "M22 10.5l4.5-8h-9z",
    "P": "M20.5 1.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
    "X": "M18 3.5l1.5-1.5l2.5 2.5l2.5-2.5l1.5 1.5l-2.5 2.5l2.5 2.5l-1.5 1.5l-2.5-2.5l-2.5 2.5"
    "l-1.5-1.5l2.5-2.5z",
}
"""Markers of the key, in a box of 44 by 12 units around the middle of a line."""


@dataclass(frozen=True)
class Text:
    """Paragraphs."""

    kind: ClassVar[str] = "text"
    paragraphs: Sequence[str]


@dataclass(frozen=True)
class Facts:
    """Names and values, as in a data sheet."""

    kind: ClassVar[str] = "facts"
    pairs: Sequence[tuple[str, str]]
    title: str = ""


@dataclass(frozen=True)
class Notes:
    """Remarks that a reader must not miss, one a line."""

    kind: ClassVar[str] = "notes"
    lines: Sequence[str]


@dataclass(frozen=True)
class Code:
    """A command or a snippet, to be copied."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Entry:
    """An arm: name, look, what is to be said of it in words, and in code."""

    name: str
    look: Look
    words: str = ""
    code: str = ""

    @property
    def dashes(self) -> str:
        """Dash lengths as SVG wants them; empty for a full line."""
        return "" if self.look.dash == "-" else " ".join(str(2 * n) for n in self.look.dash[1])

    @property
    def shape(self) -> str:
        """Path of the marker."""
        return _SHAPES[self.look.marker]


@dataclass(frozen=True)
class Key:
    """Who is who in the pictures."""

    kind: ClassVar[str] = "key"
    entries: Sequence[Entry]


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side, one below the other on a narrow page."""

    kind: ClassVar[str] = "gallery"
    pictures: Sequence[Picture]
    small: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell: its text, smaller detail below, and "better" or "worse" where that is certain."""

    text: str
    detail: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Table:
    """Rows by name, a column for each head; cells as text."""

    kind: ClassVar[str] = "table"
    caption: str
    corner: str
    heads: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    note: str = ""


Block: TypeAlias = Text | Facts | Notes | Code | Key | Gallery | Table


@dataclass(frozen=True)
class Section:
    """A titled part of a page; `slug` is its address on the page."""

    slug: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """A whole page.

    Attributes
    ----------
    title, kicker
        What it is about, and what kind of page it is.
    lead, verdicts
        The answer before all detail: a few sentences, then a line for each arm.
    sections
        In reading order.
    warnings
        What is wrong or unfinished, shown above everything.
    colophon
        Last line: what made the page, and when.
    """

    title: str
    kicker: str
    lead: Sequence[str]
    sections: Sequence[Section]
    verdicts: Sequence[Entry] = ()
    warnings: Sequence[str] = ()
    colophon: str = ""

    def render(self) -> str:
        """The page as HTML text; the same bytes for the same content."""
        return _template().render(page=self, css=_css(), label=label)

    def write(self, path: str | Path) -> Path:
        """`render` into a file, UTF-8; folders that are missing are made."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.render().encode("utf-8", "replace"))
        return target


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    house = Environment(
        loader=PackageLoader("fl_opt.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return house.get_template("page.html")


@functools.cache
def _css() -> str:
    light, dark = (
        "".join(f"--{name}:{pair[side]};" for name, pair in PALETTE.items()) for side in (0, 1)
    )
    rules = resources.files("fl_opt.report").joinpath("page.css").read_text(encoding="utf-8")
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{rules}"
    )
