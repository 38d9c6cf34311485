"""The page of a comparison and its pictures."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_report import ENVIRONMENT, network_of, report

import fl_opt
from fl_opt.comparison import Interval
from fl_opt.report import charts, devices, figures, html, page, views, words
from fl_opt.report.ink import PALETTE, Picture, label, look
from fl_opt.report.scales import scale_of, sci

HOSTILE = (
    '<script>alert("x")</script>',
    "a & b 'c' $\\frac{1}{2}$ %s %% {{ 7*7 }}",
    "_x\x00\x1b\ud800",
)
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Reader(HTMLParser):
    """All tags, attributes and text of a page; fails where tags do not close."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def values(self, *names: str) -> list[str]:
        return [value or "" for _, a in self.tags for key, value in a.items() if key in names]


@functools.cache
def standard() -> str:
    return html.render(report(seeds=6, rounds=20))


def small(**changes: Any) -> Reader:
    options: dict[str, Any] = {"seeds": 2, "rounds": 6, "size": 8} | changes
    return Reader(html.render(report(**options)))


def optimum() -> tuple[fl_opt.Network, fl_opt.Solution[Any]]:
    rng = np.random.default_rng(3)
    network = network_of(rng.uniform(-300.0, 300.0, (12, 2)), rng).replace(power_max_w=math.inf)
    return network, fl_opt.solve(fl_opt.MinEnergy(network, deadline_s=3.0))


# Two independent methods


def test_at_the_least_energy_every_hertz_is_worth_the_price_of_the_band() -> None:
    network, solution = optimum()
    shown = dataclasses.replace(
        report(seeds=1, rounds=2, size=12).traces[0],
        first_network=network,
        first_allocation=solution.allocation,
    )
    assert views.saved_j_hz(shown) == pytest.approx(solution.prices["band"], rel=1e-5)


def test_a_curve_holds_the_last_known_value() -> None:
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.random(30))
    y = np.where(rng.random(30) < 0.3, np.nan, rng.random(30))
    grid = np.sort(np.append(rng.uniform(0.0, x[-1], 50), x))
    expected = []
    for place in grid:
        known = [b for a, b in zip(x, y, strict=True) if a <= place and math.isfinite(b)]
        expected.append(known[-1] if known else math.nan)
    assert views._hold(grid, x, y) == pytest.approx(expected, nan_ok=True)


# The page


def test_the_page_says_what_the_report_found() -> None:
    text = Reader(standard()).text
    for words_expected in (
        "3 policies compared: wide macro cell",
        "What least energy does.",
        "fl-opt compare --scenario macro --seeds 5",
        "expanded percentile bootstrap interval",
        "round 3: infeasible: device 7 needs 3.1 s",
        "120 of 120",
        "radius 1.2 km",
    ):
        assert words_expected in text


def test_every_picture_of_a_comparison_is_there_once() -> None:
    reader = Reader(standard())
    names = [a["id"] for tag, a in reader.tags if tag == "figure"]
    assert names == [
        "fig-accuracy-time",
        "fig-accuracy-energy",
        *(f"fig-difference-{m}" for m in ("time-to-target-s", "energy-to-target-j")),
        *(f"fig-difference-{m}" for m in ("accuracy-at-time", "accuracy-at-energy")),
        *(f"fig-cell-{i}" for i in range(3)),
        *("fig-participation", "fig-costs", "fig-bandwidth", "fig-worth"),
        *("fig-claims-s", "fig-claims-j"),
    ]


def test_ids_are_unique_and_every_link_within_the_page_has_its_end() -> None:
    reader = Reader(standard())
    ids = reader.values("id")
    assert len(ids) == len(set(ids))
    ends = {value[1:] for value in reader.values("href") if value.startswith("#")}
    ends |= {
        match
        for value in reader.values("clip-path", "style")
        for match in re.findall(r"url\(#([^)]*)\)", value)
    }
    ends |= {name for value in reader.values("aria-labelledby") for name in value.split()}
    assert ends <= set(ids)


def test_the_page_needs_nothing_from_anywhere() -> None:
    reader = Reader(standard())
    assert not {"script", "iframe", "object", "img", "base"} & {tag for tag, _ in reader.tags}
    assert all(v.startswith("#") or v == "data:," for v in reader.values("href", "src"))
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\((?!#)", standard())
    assert not [key for _, a in reader.tags for key in a if key.startswith("on")]
    policy = next(a["content"] for _, a in reader.tags if "http-equiv" in a)
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "xmlns" not in standard()
    assert len(standard().encode()) < 2_000_000


def test_the_same_report_gives_the_same_bytes_whatever_style_the_caller_has_set() -> None:
    with matplotlib.rc_context({"axes.facecolor": "red", "svg.hashsalt": None, "font.size": 30.0}):
        asked = {key: matplotlib.rcParams[key] for key in matplotlib.rcParams}
        assert html.render(report(seeds=6, rounds=20)) == standard()
        assert {key: matplotlib.rcParams[key] for key in matplotlib.rcParams} == asked


def test_drawing_needs_no_pyplot() -> None:
    code = (
        "import sys; from fl_opt.report import figures;"
        "figures.nothing('a', 'b', 'c'); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_light_and_dark_are_told_by_variables_alone() -> None:
    text = standard()
    assert "@media screen and (prefers-color-scheme:dark)" in text
    used = set(re.findall(r"var\(--([a-z0-9]+)", text))
    assert used <= set(PALETTE) | {"sans", "mono", "tint"}
    body = text[text.index("<body") :]
    assert not re.search(r"#[0-9a-fA-F]{6}", body)


@pytest.mark.parametrize("side", [0, 1])
def test_the_palette_can_be_read(side: int) -> None:
    def luminance(role: str) -> float:
        text = PALETTE[role][side]
        parts = [int(text[i : i + 2], 16) / 255.0 for i in (1, 3, 5)]
        line = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * line[0] + 0.7152 * line[1] + 0.0722 * line[2]

    ground = luminance("surface")
    for role in ("ink", "muted", *(name for name in PALETTE if name.startswith("arm"))):
        light, dark = sorted((luminance(role), ground), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, role


def test_looks_differ_by_more_than_colour() -> None:
    looks = [look(i) for i in range(24)]
    assert len({(str(a.dash), a.marker, a.colour) for a in looks}) == 24
    for one, other in itertools.pairwise(looks):
        assert one.marker != other.marker
        assert one.dash != other.dash
        assert one.colour != other.colour


# Hostile, thin and broken reports


def test_hostile_names_are_text() -> None:
    reader = small(
        arms=HOSTILE,
        notes=(HOSTILE[0],),
        report_changes={
            "scenario": {"name": HOSTILE[0], "description": HOSTILE[1]},
            "task": {HOSTILE[0]: HOSTILE[1]},
            "environment": ENVIRONMENT | {"command": HOSTILE[0]},
        },
    )
    assert "script" not in {tag for tag, _ in reader.tags}
    assert reader.text.count('<script>alert("x")</script>') > 5
    assert "{{ 7*7 }}" in reader.text
    ids = reader.values("id")
    assert len(ids) == len(set(ids))


@settings(max_examples=15, deadline=None)
@given(st.text(max_size=40))
def test_any_name_can_be_drawn_and_shown(name: str) -> None:
    row = figures.Difference(name, look(0), Interval(1.0, 0.5, 1.5, 6), name)
    picture = figures.forest("x", name, [row], unit="s", reference=name, lower_is_better=True)
    entry = page.Entry(name, look(0), name, name)
    text = page.Page(name, name, [name], [page.Section("s", name, [page.Key([entry])])]).render()
    assert Reader(picture.inline()).values("id")[0] == "fig-x-title"
    allowed = "html head meta title link style body a header p h1 main section h2 dl dt dd div code"
    assert {tag for tag, _ in Reader(text).tags} <= {*allowed.split(), "svg", "path"}


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": 1},
        {"arms": ("alone",), "seeds": 1, "size": 1, "rounds": 1},
        {"size": 1},
        {"size": 700},
        {"arms": tuple(f"arm {i}" for i in range(9)), "seeds": 1},
        {
            "accuracy": np.full(6, np.nan),
            "loss": np.full(6, np.inf),
            "claimed_s": np.full(6, np.nan),
            "claimed_j": np.full(6, np.inf),
            "gap": np.full(6, np.inf),
            "proofs": ("none",),
        },
        {
            "participation": np.zeros((6, 8), dtype=bool),
            "jain": np.full(6, np.nan),
            "energy_j": np.zeros(6),
            "device_energy_j": np.zeros((6, 8)),
            "positions_m": np.full((8, 2), np.nan),
            "first_allocation": fl_opt.Allocation.none(8),
            "first_solution": None,
            "report_changes": {"target_accuracy": 0.999},
        },
    ],
)
def test_a_thin_or_broken_report_is_still_a_page(changes: dict[str, Any]) -> None:
    reader = small(**changes)
    ids = reader.values("id")
    assert len(ids) == len(set(ids))
    assert " nan" not in reader.text.lower()
    assert " inf " not in reader.text.lower()


def test_an_interrupted_comparison_says_so() -> None:
    whole = report(seeds=2, rounds=6, size=8)
    half = dataclasses.replace(whole, traces=whole.traces[:4])
    assert "Unfinished: 4 of 6 runs" in Reader(html.render(half)).text
    none = dataclasses.replace(whole, traces=())
    assert "No run was finished." in Reader(html.render(none)).text


# Words and numbers


@pytest.mark.parametrize(
    ("interval", "unit", "signed", "expected"),
    [
        (Interval(41.327, 38.21, 44.9, 5), "s", False, ("41.3 s", "38.2 to 44.9")),
        (Interval(-0.0123, -0.02, -0.004, 5), "", True, ("−0.012", "−0.020 to −0.004")),
        (Interval(120.08190, 120.0794, 120.0841, 5), "s", False, ("120.1 s", "120.1 to 120.1")),
        (Interval(0.873, math.nan, math.nan, 1), "", False, ("0.873", "")),
        (Interval(math.nan, math.nan, math.nan, 0), "s", False, ("–", "")),
        (Interval(1e-17, -1e-17, 2e-17, 5), "", True, ("0", "0 to 0")),
        (Interval(25_000.0, 24_000.0, 26_000.0, 5), "J", False, ("25.0 kJ", "24.0 to 26.0")),
        (Interval(1800.0, 1500.0, 2100.0, 5), "s", True, ("+30 min", "+25 to +35")),
    ],
)
def test_numbers_have_the_digits_that_their_interval_bears(
    interval: Interval, unit: str, signed: bool, expected: tuple[str, str]
) -> None:
    assert words.told(interval, unit, signed=signed) == expected


def test_few_seeds_make_no_claim() -> None:
    few, many = (report(seeds=n, rounds=20) for n in (4, 6))
    assert not any(cell.tone for _, row in words.paired_table(few).rows for cell in row)
    assert any(cell.tone for _, row in words.paired_table(many).rows for cell in row)
    assert "takes 6 seeds at least" in " ".join(words.caveats(few))
    assert "takes 6 seeds at least" not in " ".join(words.caveats(many))


def test_a_missed_target_is_said_and_counted() -> None:
    missed = report(seeds=3, rounds=6, size=8, report_changes={"target_accuracy": 0.999})
    assert words.findings(missed) == ["No run reached an accuracy of 0.999."]
    table = dict(words.arms_table(missed).rows)
    assert [cell.text for cell in table["time to the target accuracy"]] == ["not reached"] * 3
    assert "equal bandwidth in 3" in " ".join(words.caveats(missed))


def test_facts_carry_units_and_leave_out_what_is_not_set() -> None:
    data = {"noise_w_hz": 2.5e-20, "band_hz": 5e6, "width": None, "iid": True, "sizes": [1, 2]}
    assert html.facts(data) == [
        ("noise", "2.5·10⁻²⁰ W/Hz"),
        ("band", "5 MHz"),
        ("iid", "yes"),
        ("sizes", "1, 2"),
    ]


@given(st.floats(1e-12, 1e15), st.sampled_from(["s", "J", "Hz", "m", "J/Hz", ""]))
def test_a_scale_keeps_the_quantity(value: float, unit: str) -> None:
    divisor, shown = scale_of([value], unit)
    size = {"min": 60.0, "h": 3600.0}.get(shown)
    if size is None:
        prefix = shown.removesuffix(unit)
        size = {"": 1.0, "µ": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9}.get(
            prefix, {"p": 1e-12, "n": 1e-9, "T": 1e12}.get(prefix, math.nan)
        )
    assert divisor == pytest.approx(size)


@given(st.floats(-1e9, 1e9).filter(lambda x: x == 0.0 or abs(x) > 1e-9))
def test_powers_of_ten_can_be_read_back(value: float) -> None:
    text = sci(value, 4).replace("−", "-").replace(" ", "")
    lead, _, power = text.partition("·10") if "·10" in text else text.partition("10⁻")
    digits = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    if "·10" in text:
        read = float(lead) * 10.0 ** int(power.translate(digits))
    elif any(sign in text for sign in "⁰¹²³⁴⁵⁶⁷⁸⁹"):
        sign = -1.0 if text.startswith("-") else 1.0
        read = sign * 10.0 ** int(text.lstrip("-").removeprefix("10").translate(digits))
    else:
        read = float(text)
    assert read == pytest.approx(value, rel=1e-3)


# Pictures


def test_a_saved_picture_stands_alone(tmp_path: Path) -> None:
    times = np.array([1.0, 2.0, 4.0])
    one = charts.frontier(
        "f",
        "A <frontier>",
        times,
        8.0 / times,
        8.0 / times**2,
        look(0),
        points=[("p", look(1), 3.0, 5.0)],
    )
    root = ET.parse(one.save(tmp_path / "f.svg")).getroot()
    text = (tmp_path / "f.svg").read_text(encoding="utf-8")
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "var(" not in text
    assert root[0].text == "A <frontier>"
    assert "3 points of the frontier, from 1 s at 8 J to 4 s at 2 J" in (root[1].text or "")


def test_a_picture_has_its_words_as_text_and_nothing_that_is_not_finite() -> None:
    values = np.array([1.0, np.nan, np.inf, 3.0])
    row = devices.Row("arm", look(0), values, "remark")
    for draw in (devices.device_rows, devices.device_dots):
        one: Picture = draw("d", "title", [row], value_name="value", unit="J", order="any")
        assert not re.search(r"\b(nan|inf)\b", one.svg)
        assert ">arm</text>" in one.inline()


def test_a_growth_of_one_has_slope_one() -> None:
    size = np.geomspace(10, 1e6, 11)
    row = charts.Measured("solver", look(0), size, 1e-6 * size, 0.9e-6 * size, 1.1e-6 * size)
    assert "slope 1.00" in charts.growth("g", "Growth", [row]).description


def test_maps_colour_only_what_is_certain() -> None:
    gain = np.array([[0.1, -0.2], [np.nan, 0.3]])
    sure = np.array([[True, True], [True, False]])
    one = charts.regime_map("m", "Map", np.array([1.0, 2.0]), np.array([1e6, 5e6]), gain, sure)
    assert "ahead in 1, behind in 1, and not told apart in 2" in one.description
    table = charts.sensitivity("t", "Table", ["band", "power"], ["loss", "time"], gain, sure)
    assert table.description == "band on loss: +0.10; band on time: -0.20"
    for picture in (one, table):
        assert picture.svg.count("opacity") == 2


def test_texts_of_a_picture_are_short_and_clean() -> None:
    assert label("a\x00b\n c", 10) == "a\N{REPLACEMENT CHARACTER}b c"
    assert label("x" * 50, 10) == "x" * 9 + "…"
