"""Experiments: what meets a threshold, runs that are kept, the page and the record."""

from __future__ import annotations

import dataclasses
import json
import math
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from toy_experiment import RUN, Toy, begin

import fl_opt.experiments.record
from fl_opt import InvalidInput
from fl_opt.experiments import NAMES, Cell, Data, Row, load, runner
from fl_opt.experiments.compression import CompressionExperiment
from fl_opt.experiments.page import page
from fl_opt.experiments.record import markdown, outcome_of, pictures, write
from fl_opt.experiments.runner import Halted, Outcome, fingerprint, reproduce, settled
from fl_opt.experiments.store import Kept, Store
from fl_opt.experiments.tables import lines, ours, verdict
from fl_opt.validation import data

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "docs" / "measured" / "experiments"


@pytest.fixture(autouse=True)
def nothing_has_run(monkeypatch: pytest.MonkeyPatch) -> None:
    begin(monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    store = Store(tmp_path / "runs.sqlite")
    yield store
    store.close()


# rows


def test_a_row_is_met_where_its_whole_interval_keeps_the_limits() -> None:
    sample = [0.25, 0.5, 0.75]
    assert Row.measured("a", sample, at_most=0.75).met is True
    assert Row.measured("a", sample, at_most=0.74).met is False
    assert Row.measured("a", sample, at_least=0.25, at_most=0.75).met is True
    assert Row.measured("a", sample, at_least=0.26).met is False
    assert Row.measured("a", sample).met is None
    assert Row.measured("a", [0.5], at_most=0.5).met is True
    assert Row.measured("a", sample, at_least=0.1, unit="%").threshold == "≥ 10 %"
    assert Row.measured("a", sample, at_least=-3.0, at_most=4.0).threshold == "≥ −3 and ≤ 4"


def test_an_exact_row_is_met_by_the_number_alone() -> None:
    row = Row.exact("payload", 1_228_439_552, 1_228_439_552, unit="bit")
    assert row.met is True
    assert ours(row) == ("1 228 439 552 bit", "")
    assert row.threshold == "= 1 228 439 552 bit"
    assert Row.exact("payload", 1.0, 1.0 + 1e-15).met is False


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (Row.measured("a", [0.012, 0.013, 0.011], unit="%"), ("1.20 %", "1.10 to 1.30")),
        (Row.measured("a", [1e-9, 3e-9, 2e-9]), ("2·10⁻⁹", "10⁻⁹ to 3·10⁻⁹")),
        (Row.measured("a", [0.25, 0.35, 0.3], unit="points"), ("0.300 points", "0.250 to 0.350")),
        (Row.measured("a", [12.0, 14.0, 13.0], unit="s"), ("13.0 s", "12.0 to 14.0")),
        (Row.measured("a", [-0.5], unit="%"), ("−50 %", "")),
        (Row.measured("a", [66.78477]), ("66.7848", "")),
        (Row("a", Row.exact("a", math.nan, 0.0).ours), ("–", "")),
    ],
)
def test_numbers_are_told_with_the_digits_they_bear(row: Row, expected: tuple[str, str]) -> None:
    assert ours(row) == expected


# the store


def test_a_kept_run_comes_back_to_the_digit(store: Store) -> None:
    run = Kept({"x": [0.1 + 0.2, 1e-300, None], "y": "ü"}, 1.5)
    store.keep("toy", "f", Cell("a", 3), run)
    store.keep("toy", "g", Cell("a", 3), Kept({}, 0.0))
    assert store.kept("toy", "f") == {Cell("a", 3): run}
    assert store.kept("toy", "h") == {}
    again = Store(store.path)
    assert again.kept("toy", "f") == {Cell("a", 3): run}
    again.forget("toy", "f")
    again.close()
    assert store.kept("toy", "f") == {}
    assert len(store.kept("toy", "g")) == 1
    with sqlite3.connect(store.path) as base:
        assert base.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_store_refuses_what_json_does_not_know(store: Store, value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.keep("toy", "f", Cell("a", 0), Kept({"x": value}, 0.0))
    assert store.kept("toy", "f") == {}


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader, " * 100)
    with pytest.raises(InvalidInput, match=r"letter.txt is no store \(file is not a database\)"):
        Store(path)


# running


def test_each_cell_runs_once_and_other_settings_run_anew(store: Store) -> None:
    told: list[tuple[int, int]] = []
    (first,) = reproduce([Toy()], store, progress=lambda *numbers: told.append(numbers))
    assert sorted(RUN) == sorted(Toy().cells())
    assert told == [(done, 6) for done in range(7)]
    assert first.complete
    assert [row.met for row in first.rows] == [True]
    assert verdict(first) == "1 of 1 thresholds met"
    (again,) = reproduce([Toy()], store)
    assert len(RUN) == 6
    assert again.rows == first.rows
    reproduce([Toy(seeds=4)], store)
    assert len(RUN) == 6 + 8
    reproduce([Toy()], store, fresh=True)
    assert len(RUN) == 6 + 8 + 6


def test_workers_find_the_same(store: Store, tmp_path: Path) -> None:
    few = dataclasses.replace(CompressionExperiment().quick(), steps=4, every=2, seeds=1)
    other = Store(tmp_path / "other.sqlite")
    (alone,) = reproduce([few], store)
    (shared,) = reproduce([few], other, workers=2)
    other.close()
    assert alone.results == shared.results
    assert lines(alone.rows) == lines(shared.rows)


def test_an_interrupt_keeps_what_is_finished(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Toy.run

    def run(self: Toy, cell: Cell) -> Data:
        if len(RUN) == 4:
            raise KeyboardInterrupt
        return plain(self, cell)

    with monkeypatch.context() as patch:
        patch.setattr(Toy, "run", run)
        with pytest.raises(Halted) as caught:
            reproduce([Toy()], store)
    (outcome,) = caught.value.outcomes
    assert caught.value.missing == 2
    assert len(outcome.runs) == 4
    assert not outcome.complete
    assert outcome.rows == ()
    assert verdict(outcome) == "unfinished, 4 of 6 runs"
    assert "Unfinished: toy." in page([outcome]).render()
    reproduce([Toy()], store)
    assert sorted(RUN) == sorted(Toy().cells())


def test_thresholds_hold_on_the_data_and_in_the_settings_they_were_set_for(store: Store) -> None:
    (quick,) = reproduce([Toy().quick()], store, held=False)
    (other,) = reproduce([settled(Toy(), "mnist")], store)
    for outcome in (quick, other):
        assert [(row.met, row.threshold) for row in outcome.rows] == [(None, "")]
        assert verdict(outcome) == "held to no threshold"


def test_data_that_are_not_at_hand_are_replaced_by_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Toy(dataset="fashion-mnist")
    monkeypatch.setenv("FL_OPT_DATA", str(tmp_path))
    assert settled(wanted).dataset == "digits"
    assert settled(wanted, "mnist").dataset == "mnist"
    assert settled(Toy(dataset="")).dataset == ""
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    for stem in data._SOURCES["fashion-mnist"].md5:
        (folder / f"{stem}.gz").touch()
    assert settled(wanted).dataset == "fashion-mnist"


def test_a_fingerprint_is_of_the_settings() -> None:
    names = {fingerprint(one) for one in (Toy(), Toy(height=2.0), Toy(dataset=""), Toy(seeds=4))}
    assert len(names) == 4
    assert fingerprint(Toy()) == fingerprint(Toy())


CODE = {path.relative_to(ROOT).as_posix() for path in runner._code("compression")}


def test_a_fingerprint_is_of_the_code_that_runs() -> None:
    assert {
        "fl_opt/physics.py",
        "fl_opt/experiments/compression.py",
        "fl_opt/experiments/worlds.py",
        "fl_opt/validation/compressed.py",
        "fl_opt/solvers/core.py",
    } <= CODE
    assert CODE.isdisjoint(
        {
            "fl_opt/cli/reproduce.py",
            "fl_opt/report/page.py",
            "fl_opt/experiments/runner.py",
            "fl_opt/experiments/over_the_air.py",
        }
    )


# every experiment


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_runs_quickly_and_shows_what_it_found(name: str, store: Store) -> None:
    experiment = load(name)
    assert experiment.name == name
    quick = experiment.quick()
    assert type(quick) is type(experiment)
    assert quick.dataset in ("", "digits")
    (outcome,) = reproduce([quick], store, held=False)
    assert outcome.complete
    assert outcome.rows
    shown = pictures(outcome)
    assert shown
    assert len({picture.name for picture in shown}) == len(shown)
    text = page([outcome]).render()
    assert all(f'id="fig-{picture.name}"' in text for picture in shown)


@pytest.mark.parametrize("path", sorted(RECORDS.glob("*.json")), ids=lambda path: path.stem)
def test_a_record_says_what_its_runs_found(path: Path) -> None:
    """Tables of the documentation are computed again from the runs: nothing is written by hand."""
    record = json.loads(path.read_text(encoding="utf-8"))
    outcome = outcome_of(record)
    assert path.stem == record["experiment"]
    assert outcome.complete
    assert dataclasses.replace(outcome.experiment, dataset=load(path.stem).dataset) == load(
        path.stem
    )
    assert path.with_suffix(".md").read_text(encoding="utf-8") == markdown(outcome)
    for picture in pictures(outcome):
        assert path.with_name(f"{picture.name}.svg").is_file()


# record


def test_a_record_gives_the_table_back(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fl_opt.experiments.record, "load", lambda name: Toy())
    (outcome,) = reproduce([Toy(height=2.0)], store)
    path = write(outcome, tmp_path / "new" / "folder")
    read = outcome_of(json.loads(path.read_text(encoding="utf-8")))
    assert read.experiment == outcome.experiment
    assert read.rows == outcome.rows
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    assert text == markdown(read)
    assert "| gain \\| by <height> | 2.000 (2.000 to 2.000) | ≥ 0.5 | yes |  |" in text
    assert "](toy-line.svg)" in text
    assert path.with_name("toy-line.svg").is_file()


def test_outcomes_know_their_time() -> None:
    runs = {cell: Kept({"value": 1.0}, 2.0) for cell in Toy().cells()}
    assert Outcome(Toy(), runs, held=True).seconds == 12.0
