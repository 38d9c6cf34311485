"""The check that opens reports in a browser: it passes what is well and names what is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from check_report import main
from devtools import NAMES

from fl_opt.report import charts
from fl_opt.report.ink import look
from fl_opt.report.page import Gallery, Page, Section

needs_browser = pytest.mark.skipif(
    not any(map(shutil.which, NAMES)), reason="no Chromium here; apt-get install chromium"
)
TIMES = np.array([1.0, 2.0, 4.0])


def a_page() -> str:
    picture = charts.frontier("f", "Frontier", TIMES, 8.0 / TIMES, 8.0 / TIMES**2, look(0))
    blocks = [Gallery([picture])]
    return Page(
        "Title", "kind", ["Lead."], [Section("s", "Section", blocks)], colophon="Foot."
    ).render()


@needs_browser
def test_a_page_that_is_well_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "page.html"
    path.write_text(a_page(), encoding="utf-8")
    assert main([str(path), "--figures", "1", "--shots", str(tmp_path / "shots")]) == 0
    assert "1 page(s) well at 4 views each" in capsys.readouterr().out
    names = {file.name for file in (tmp_path / "shots").iterdir()}
    assert {"page-phone-dark.png", "page-desktop-light.png", "page.pdf"} <= names


@needs_browser
@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("Lead.", '<img src="https://example.invalid/x.png">', "Content Security Policy"),
        ("Lead.", "<script>1</script>", "Content Security Policy"),
        ("Lead.", '<div style="width:2000px">wide</div>', "wider than it: div."),
        ("Lead.", '<h1 id="s">again</h1>', "2 first headings"),
        ("Lead.", '<p id="s">again</p>', "ids used more than once: s"),
        ("<figure", "<div", "0 figures, expected at least 1"),
        ("energy of the round", "energy of the round " * 9, "out of the drawing"),
        ("<main", '<main style="margin-top:-80px"', "main overlaps header"),
    ],
)
def test_what_is_wrong_is_named(
    old: str, new: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.html"
    assert old in a_page()
    path.write_text(a_page().replace(old, new), encoding="utf-8")
    assert main([str(path)]) == 1
    assert complaint in capsys.readouterr().out


def test_a_file_that_is_not_there_is_no_failure_of_the_page(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["nowhere.html"]) == 2
    assert "no such file: nowhere.html" in capsys.readouterr().out
