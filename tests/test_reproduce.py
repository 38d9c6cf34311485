"""The command fl-opt reproduce: tables, exit codes, and that nothing finished is ever lost."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from click.testing import CliRunner, Result
from toy_experiment import RUN, Toy, begin

from fl_opt.cli import main
from fl_opt.experiments import Experiment

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["reproduce", *map(str, arguments)])


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> dict[str, Experiment]:
    begin(monkeypatch)
    known: dict[str, Experiment] = {"toy": Toy()}
    # the name of the module is the command's too
    module = importlib.import_module("fl_opt.cli.reproduce")
    monkeypatch.setattr(module, "NAMES", ("toy",))
    monkeypatch.setattr(module, "load", known.__getitem__)
    return known


def test_the_command_answers_by_table_page_json_and_exit_code(
    toys: dict[str, Experiment], tmp_path: Path
) -> None:
    kept, html = tmp_path / "kept.sqlite", tmp_path / "page.html"
    good = run("--all", "--store", kept, "--html", html)
    assert good.exit_code == 0, good.output
    assert "1 of 1 thresholds met" in good.stdout
    assert f"written: {html}" in good.stdout
    text = html.read_text(encoding="utf-8")
    assert "1 of 1 thresholds met." in text
    assert "gain | by &lt;height&gt;" in text
    toys["toy"] = Toy(height=0.1)
    bad = run("toy", "--store", kept, "--html", html)
    assert bad.exit_code == 4
    assert "0 of 1 thresholds met" in bad.stdout
    assert "Thresholds that were missed" in html.read_text(encoding="utf-8")
    answer = run("TOY", "--store", kept, "--json")
    assert answer.exit_code == 4
    (told,) = json.loads(answer.stdout)
    assert told["rows"][0]["met"] is False
    assert told["rows"][0]["ours"]["value"] == pytest.approx(0.1)
    assert len(RUN) == 12
    quick = run("toy", "--quick", "--store", kept)
    assert quick.exit_code == 0
    assert "held to no threshold" in quick.stdout
    assert "toy  Toy: numbers" in run("--list").stdout
    assert json.loads(run("--list", "--json").stdout) == {
        "toy": "Toy: numbers that need no training."
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "say --all, or NAME... of: toy"),
        (("toy", "--all"), "say --all, or NAME... of: toy"),
        (("tay",), "did you mean toy?"),
        (("toy", "--quick", "--record", "x"), "--quick leaves no record"),
        (("toy", "--workers", "0"), "workers is 0; expected a whole number >= 1"),
        (("toy", "--dataset", "emnist"), "expected one of digits, mnist, fashion-mnist"),
        (("toy", "--html", "no/folder/page.html"), "there is no folder no/folder"),
    ],
)
def test_the_command_refuses(
    toys: dict[str, Experiment], arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    result = run(*arguments, "--store", tmp_path / "kept.sqlite")
    assert result.exit_code == 2
    assert message in result.stderr
    assert not RUN


# kill -9

STUB = """
    import dataclasses, os, time
    from dataclasses import dataclass
    from pathlib import Path
    from fl_opt.experiments.experiment import Experiment, Row

    @dataclass(frozen=True)
    class Stub(Experiment):
        '''Stub: some runs end at once, the others when they are told to.'''
        name = "stub"
        source = "nowhere"
        arms = ("quick", "patient")

        def quick(self):
            return self

        def run(self, cell):
            with open("begun.log", "a") as log:
                log.write(f"{cell.arm} {cell.seed} {os.getpid()}\\n")
            while cell.arm == "patient" and not Path("go").exists():
                time.sleep(0.05)
            return {"value": cell.seed}

        def rows(self, results):
            return [Row.exact("runs", sum(map(len, results.values())), 6)]

        def figures(self, results):
            return []

    EXPERIMENT = Stub()
"""
PARENT = """
    import sys
    import stub
    import fl_opt.experiments as room
    import fl_opt.experiments.runner
    room.NAMES = ("stub",)
    # so that nobody who edits the package during the test makes the second command start anew
    fl_opt.experiments.runner._code = lambda name: []
    sys.modules["fl_opt.experiments.stub"] = stub
    from fl_opt.cli import main
    if __name__ == "__main__":
        main()
"""


def wait_for(look_up: Callable[[], T], enough: Callable[[T], bool]) -> T:
    for _ in range(900):
        found = look_up()
        if enough(found):
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain, found {found}")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_nothing_finished_is_lost_or_run_twice_and_no_worker_stays(
    how: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "stub.py").write_text(textwrap.dedent(STUB))
    (tmp_path / "parent.py").write_text(textwrap.dedent(PARENT))
    log = tmp_path / "begun.log"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "parent.py", "reproduce", "stub", "--workers", "2"]
    command += ["--store", "kept.sqlite"]

    def begun() -> list[list[str]]:
        return [line.split() for line in log.read_text().splitlines()] if log.exists() else []

    def kept() -> list[tuple[str, int]]:
        if not (tmp_path / "kept.sqlite").exists():
            return []
        base = sqlite3.connect(tmp_path / "kept.sqlite", timeout=30)
        try:
            return sorted(base.execute("SELECT arm, seed FROM runs").fetchall())
        except sqlite3.OperationalError:  # the table is about to be made
            return []
        finally:
            base.close()

    parent = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        # two patient runs hold both workers, and whatever was quick before is kept
        wait_for(begun, lambda runs: sum(run[0] == "patient" for run in runs) == 2)
        quick = [("quick", int(seed)) for arm, seed, _ in begun() if arm == "quick"]
        assert quick
        wait_for(kept, lambda runs: set(runs) >= set(quick))
        parent.send_signal(how)
        _, errors = parent.communicate(timeout=60)
        workers = {int(process) for *_, process in begun()}
        wait_for(
            lambda: [one for one in workers if Path(f"/proc/{one}/cmdline").exists()],
            lambda alive: not alive,
        )
    finally:
        parent.kill()
    if how == signal.SIGINT:
        assert parent.returncode == 130
        assert b"the same command goes on with the" in errors
    assert kept() == sorted(quick)
    (tmp_path / "go").touch()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1 of 1 thresholds met" in done.stdout
    assert len(kept()) == 6
    times = [tuple(run[:2]) for run in begun()]
    assert all(times.count(("quick", str(seed))) == 1 for seed in range(3))
