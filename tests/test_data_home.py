from __future__ import annotations

from pathlib import Path

import pytest

from fl_opt.data_home import VARIABLE, data_home, require
from fl_opt.errors import InvalidInput


def test_no_home_unless_the_variable_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert data_home() is None
    monkeypatch.setenv(VARIABLE, "  ")
    assert data_home() is None


def test_a_file_is_found_below_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "one.csv").write_text("1\n", encoding="utf-8")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert data_home() == tmp_path
    assert require("digits/one.csv", "nowhere") == tmp_path / "digits" / "one.csv"


def test_refusals_name_file_variable_and_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(
        InvalidInput, match=r"FL_OPT_DATA is not set.*digits/one\.csv.*example\.org"
    ):
        require("digits/one.csv", "https://example.org")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(InvalidInput, match=r"one\.csv is not there.*FL_OPT_DATA.*example\.org"):
        require("digits/one.csv", "https://example.org")
