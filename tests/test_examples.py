"""Every example runs, and what the README shows is the example."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs(path: Path, tmp_path: Path) -> None:
    arguments = ["--quick"] if "--quick" in path.read_text(encoding="utf-8") else []
    answer = subprocess.run(
        [sys.executable, str(path), *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout


def test_the_readme_shows_the_first_example() -> None:
    code = (ROOT / "examples" / "quickstart.py").read_text(encoding="utf-8")
    shown = code.partition('"""\n\n')[2].strip()
    assert shown in (ROOT / "README.md").read_text(encoding="utf-8")
