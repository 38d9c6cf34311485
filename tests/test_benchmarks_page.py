"""The page of measured figures is what the records give, and every benchmark still runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
MEASURED = ROOT / "docs" / "measured"
NAMES = sorted(
    path.stem
    for path in (ROOT / "benchmarks").glob("*.py")
    if "def measure(record: Record)" in path.read_text(encoding="utf-8")
)
SLOW = {"correctness", "formulations", "joint", "participation", "regime", "speed", "training"}
"""More than a few seconds even with --quick."""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, cwd=ROOT
    )


def record_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MEASURED / f"{name}.json").read_text(encoding="utf-8"))
    return found


def test_the_page_is_what_the_records_give() -> None:
    answer = run("benchmarks.page", "--check")
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_a_changed_figure_changes_the_page(tmp_path: Path) -> None:
    folder = tmp_path / "measured"
    folder.mkdir()
    record = record_of("import_time")
    record["figures"][0]["measured"] = "17.00 times"
    record["figures"][0]["met"] = False
    (folder / "import_time.json").write_text(json.dumps(record), encoding="utf-8")
    assert run("benchmarks.page", str(folder)).returncode == 0
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "| 17.00 times | **no** |" in page
    assert "Not kept:" in page
    (tmp_path / "benchmarks.md").write_text(page.replace("17.00", "1.00"), encoding="utf-8")
    assert run("benchmarks.page", "--check", str(folder)).returncode == 1


def test_the_page_names_what_has_no_record() -> None:
    text = (MEASURED.parent / "benchmarks.md").read_text(encoding="utf-8")
    for name in NAMES:
        measured = (MEASURED / f"{name}.json").is_file()
        assert measured == (f"`python -m benchmarks {name}`" in text)
    waiting = [name for name in NAMES if not (MEASURED / f"{name}.json").is_file()]
    assert bool(waiting) == ("Without a record yet:" in text)


@pytest.mark.parametrize("name", sorted(path.stem for path in MEASURED.glob("*.json")))
def test_a_record_says_how_it_was_measured(name: str) -> None:
    record = record_of(name)
    assert not record["quick"]
    assert record["environment"]["command"] == f"python -m benchmarks {name}"
    for key in ("cpu", "cores", "memory", "numpy", "time", "seconds", "load_before"):
        assert record["environment"][key]
    for figure in record["figures"]:
        assert figure["measured"]
        assert (figure["met"] is not None) == bool(figure["target"]), figure["what"]
    for picture in record["pictures"]:
        assert (MEASURED.parent / picture["path"]).is_file()


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in NAMES]
)
def test_a_benchmark_runs(name: str, tmp_path: Path) -> None:
    answer = run("benchmarks", name, "--quick", "--out", str(tmp_path / "measured"))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    record = json.loads((tmp_path / "measured" / f"{name}.json").read_text(encoding="utf-8"))
    assert record["quick"]
    assert record["figures"] or record["tables"]
    assert all(figure["met"] is None for figure in record["figures"])
    assert f"## {record['title']}" in (tmp_path / "benchmarks.md").read_text(encoding="utf-8")


def test_an_unknown_benchmark_is_refused() -> None:
    answer = run("benchmarks", "haste")
    assert answer.returncode == 2
    assert "no benchmark haste; there are" in answer.stderr
