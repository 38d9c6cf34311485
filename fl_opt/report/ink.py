"""How every picture of a report is drawn: palette, line styles, and an SVG fit for a page.

Colours are told twice: as plain hex for a picture that is saved alone, and as CSS variables for
one that stands in a page, where the page sets them for light and dark. Lines differ by dash and
marker too, so that no meaning hangs on colour.
"""

from __future__ import annotations

import functools
import io
import math
import re
import unicodedata
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

P = ParamSpec("P")

WIDTH_IN = 4.6
"""Width of a picture [inch]: shown at 360 to 480 px, its 8 point text stays readable."""

PALETTE: dict[str, tuple[str, str]] = {
    "ink": ("#1c2127", "#e7e5df"),
    "muted": ("#5b636d", "#a4abb3"),
    "rule": ("#d8d6d0", "#3a4047"),
    "surface": ("#fdfcfa", "#16191d"),
    "arm1": ("#0a63a8", "#6cb6f5"),
    "arm2": ("#c54a06", "#ff9a5c"),
    "arm3": ("#067a63", "#40cfae"),
    "arm4": ("#a33b80", "#f08fca"),
    "arm5": ("#8a6500", "#e2bd4e"),
    "arm6": ("#51459e", "#b3a8ff"),
}
"""Role: (light, dark). The light one is what a picture is drawn in."""

INK, MUTED, RULE, SURFACE = (PALETTE[name][0] for name in ("ink", "muted", "rule", "surface"))
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.4, 1.2)), (0, (6, 1.4, 1.4, 1.4)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_ROLE = {light: name for name, (light, _) in PALETTE.items()}
_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_LONG = re.compile(r"-?\d+\.\d{3,}")
_LINK = re.compile(r"#([A-Za-z_][\w.-]*)")
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"

_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fl_opt",
    "text.parse_math": False,
    "text.color": INK,
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.titlecolor": MUTED,
    "axes.titlelocation": "left",
    "axes.titlepad": 7.0,
    "axes.labelsize": 9.0,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "xtick.major.size": 3.0,
    "xtick.minor.size": 1.5,
    "ytick.major.size": 0.0,
    "ytick.minor.size": 0.0,
    "xtick.major.width": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


class Look(NamedTuple):
    """Colour, dash and marker of one arm, the same in every picture of a page."""

    colour: str
    dash: Any
    marker: str

    @property
    def role(self) -> str:
        """Name of the colour in the palette."""
        return _ROLE[self.colour]


def look(index: int) -> Look:
    """The look of arm `index`; six colours, then the same with another marker and dash."""
    colours = [light for name, (light, _) in PALETTE.items() if name.startswith("arm")]
    turn = index // len(colours)
    return Look(
        colours[index % len(colours)],
        _DASHES[(index + turn) % len(_DASHES)],
        _MARKERS[index % len(_MARKERS)],
    )


def label(text: object, width: int = 28) -> str:
    """Text that is safe and short enough for a picture: no control signs, at most `width`."""
    whole = str(text).encode("utf-8", "replace").decode("utf-8")
    clean = "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cn", "Cs") else c
        for c in " ".join(whole.split())
    )
    return clean if len(clean) <= width else clean[: width - 1].rstrip() + "…"


@dataclass(frozen=True)
class Picture:
    """A drawn figure: SVG with text as text, and the words for those who do not see it.

    Attributes
    ----------
    name
        Slug, unique among the pictures of a page.
    title
        What it shows, in a few words.
    description
        The same for a reader who cannot see it, with the main numbers.
    caption
        How to read it; text, shown under the title.
    svg
        As drawn, in the light palette.
    wide
        Whether it takes the whole width of a page.
    """

    name: str
    title: str
    description: str
    caption: str
    svg: str
    wide: bool = False

    @property
    def anchor(self) -> str:
        """Id of the figure on a page, and prefix of the ids inside."""
        return f"fig-{self.name}"

    def inline(self) -> str:
        """SVG element to stand in a page: colours by CSS variable, ids of its own."""
        return ET.tostring(self._tree(variables=True), encoding="unicode")

    def save(self, path: str | Path) -> Path:
        """Write as an SVG file in plain colours, for papers, slides and docs."""
        root = self._tree(variables=False)
        root.set("xmlns", "http://www.w3.org/2000/svg")
        box = root.attrib["viewBox"].split()
        root.set("width", f"{box[2]}pt")
        root.set("height", f"{box[3]}pt")
        root.insert(2, ET.Element("rect", {"width": box[2], "height": box[3], "fill": SURFACE}))
        target = Path(path)
        target.write_text(ET.tostring(root, encoding="unicode") + "\n", encoding="utf-8")
        return target

    def _tree(self, *, variables: bool) -> ET.Element:
        old = ET.fromstring(self.svg)
        values = [value for item in old.iter() for value in item.attrib.values()]
        kept = {link for value in values for link in _links(value)}
        root = ET.Element(
            "svg",
            {
                "viewBox": old.attrib["viewBox"],
                "role": "img",
                "aria-labelledby": f"{self.anchor}-title {self.anchor}-desc",
                "stroke-linejoin": "round",
            },
        )
        ET.SubElement(root, "title", {"id": f"{self.anchor}-title"}).text = label(self.title, 200)
        ET.SubElement(root, "desc", {"id": f"{self.anchor}-desc"}).text = label(
            self.description, 2000
        )
        for child in old:
            tag = child.tag.removeprefix(_SVG)
            if tag != "metadata" and not (tag == "defs" and child.find(f"{_SVG}style") is not None):
                root.append(self._copy(child, kept, variables))
        return root

    def _copy(self, old: ET.Element, kept: set[str], variables: bool) -> ET.Element:
        new = ET.Element(old.tag.removeprefix(_SVG))
        for key, value in old.attrib.items():
            if key == "id":
                if value in kept:
                    new.set("id", f"{self.anchor}-{value}")
            elif key == _HREF:
                new.set("href", _LINK.sub(rf"#{self.anchor}-\1", value))
            elif key == "clip-path":
                new.set(key, _LINK.sub(rf"#{self.anchor}-\1", value))
            elif key == "style":
                new.set("style", _style(value, variables))
            elif key in ("d", "points", "x", "y", "transform", "width", "height"):
                new.set(key, _LONG.sub(lambda match: f"{float(match[0]):.2f}", value).strip())
            else:
                new.set(key, value)
        new.text = old.text if new.tag == "text" else None
        new.extend(self._copy(child, kept, variables) for child in old)
        return new


def _links(value: str) -> list[str]:
    return _LINK.findall(value) if value.startswith(("#", "url(#")) else []


def _style(value: str, variables: bool) -> str:
    parts = [part.strip() for part in value.split(";")]
    family = "font-family: var(--sans)" if variables else "font-family: sans-serif"
    style = "; ".join(family if part.startswith("font-family") else part for part in parts if part)
    if not variables:
        return style
    return _HEX.sub(lambda match: f"var(--{_ROLE[match[0].lower()]})", style)


def drawn(draw: Callable[P, Picture]) -> Callable[P, Picture]:
    """Run `draw` under the house style, whatever style its caller has set, and restore that."""

    @functools.wraps(draw)
    def within(*args: P.args, **kwargs: P.kwargs) -> Picture:
        with matplotlib.rc_context(), warnings.catch_warnings():
            # A name in a script that DejaVu lacks is set by the reader's own fonts.
            warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(_SETTINGS)
            return draw(*args, **kwargs)

    return within


def canvas(height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """An empty figure; to be called inside a function that is ``@drawn``."""
    return Figure(figsize=(width_in, height_in))


def to_svg(figure: Figure) -> str:
    """The figure as SVG text, the same bytes for the same figure."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def _columns(names: Sequence[str]) -> int:
    return 2 if all(len(name) <= 22 for name in names) else 1


def key_in(names: Sequence[str]) -> float:
    """Height that a legend of these names takes [inch], to be added to the plot's."""
    return 0.17 * math.ceil(len(names) / _columns(names))


def key(figure: Figure, names: Sequence[str], looks: Sequence[Look], *, lines: bool = True) -> None:
    """A legend above the plot, two columns where the names are short."""
    handles = [
        Line2D(
            [], [], color=a.colour, ls=a.dash if lines else "none", marker=a.marker, markersize=4
        )
        for a in looks
    ]
    columns = _columns(names)
    # A legend fills its columns one after another; to be read along the rows, deal them out.
    order = [i for column in range(columns) for i in range(column, len(names), columns)]
    legend = figure.legend(
        [handles[i] for i in order],
        [f"arm {i}" for i in order],
        loc="outside upper left",
        ncols=columns,
        handlelength=2.6 if lines else 1.0,
        columnspacing=1.4,
        labelspacing=0.35,
        borderpad=0.0,
        borderaxespad=0.2,
    )
    # Set afterwards: a legend drops names that begin with an underscore.
    for text, i in zip(legend.get_texts(), order, strict=True):
        text.set_text(label(names[i], 44))


def frame(axes: Axes, x_label: str, y_label: str) -> None:
    """Name the axes; the vertical one above the plot, to be read without turning the head."""
    axes.set_xlabel(x_label, loc="right")
    axes.set_title(y_label)


def in_unit(name: str, unit: str) -> str:
    """Name of an axis with its unit, where it has one."""
    return f"{name} [{unit}]" if unit else name
