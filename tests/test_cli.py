"""The command line: what it prints, where it writes, how it fails."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import fl_opt
import fl_opt.frontier
from fl_opt.catalogue import formulations, methods, rules, scenarios, solvers_of
from fl_opt.cli import main
from fl_opt.cli.arms import read_arm
from fl_opt.cli.solve import parameter_help
from fl_opt.errors import SolverFailure
from fl_opt.solving import SOLVERS

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(result: Result, code: int) -> str:
    """The paragraph of a refusal: nothing on stdout, no traceback."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.fixture
def network() -> fl_opt.Network:
    return fl_opt.Network(
        gain=[1e-10, 4e-11, 9e-12],
        power_max_w=0.2,
        cpu_min_hz=1e8,
        cpu_max_hz=2e9,
        capacitance=1e-28,
        cycles=2e8,
        upload_bit=3e5,
        samples=[600, 400, 800],
        band_hz=2e6,
    )


@pytest.fixture
def cell(network: fl_opt.Network, tmp_path: Path) -> Path:
    path = tmp_path / "cell.csv"
    network.to_csv(path)
    return path


def test_list_names_everything() -> None:
    listed = json.loads(run("list", "--json").stdout)
    assert set(listed["problems"]) == set(formulations())
    assert set(listed["solvers"]) == set(SOLVERS)
    assert set(listed["policies"]) == set(rules())
    assert set(listed["methods"]) == set(methods())
    assert set(listed["scenarios"]) == set(scenarios())
    assert listed["problems"]["MinEnergy"]["solvers"][0] == "price"
    text = run("list").stdout
    for entries in listed.values():
        for name, entry in entries.items():
            assert name in text
            assert entry["about"], name


def test_structures_are_read_off_the_class_as_off_an_instance(network: fl_opt.Network) -> None:
    problem = fl_opt.MinEnergy(network, 1.0)
    assert solvers_of(fl_opt.MinEnergy) == fl_opt.solving.solvers_for(problem)


def test_solve_prints_what_python_finds(cell: Path, network: fl_opt.Network) -> None:
    expected = fl_opt.solve(fl_opt.MinEnergy(network, 1.0))
    answer = json.loads(
        run("solve", "MinEnergy", "--network", cell, "--deadline-s", 1, "--json").stdout
    )
    assert answer["status"] == "solved"
    assert answer["cost"] == expected.certificate.cost
    assert answer["bound"] == expected.certificate.bound
    assert answer["violation"] == {}
    assert answer["prices"]["band"] == expected.prices["band"]
    assert answer["allocation"]["bandwidth_hz"] == expected.allocation.bandwidth_hz.tolist()
    text = run("solve", "min-energy", "--network", cell, "--deadline-s", 1).stdout
    assert f"cost   {expected.certificate.cost:.9g}" in text
    assert "(dual), gap" in text


def test_solve_takes_a_file_a_column_and_a_value_over_the_file(
    cell: Path, network: fl_opt.Network, tmp_path: Path
) -> None:
    (tmp_path / "limits.csv").write_text("deadline_s\n1\n2\n1.5\n")
    (tmp_path / "problem.toml").write_text(
        'problem = "MinEnergy"\nnetwork = "cell.csv"\ndeadline_s = [1, 2, 1.5]\n'
    )
    expected = fl_opt.solve(fl_opt.MinEnergy(network, [1.0, 2.0, 1.5])).certificate.cost
    column = f"@{tmp_path / 'limits.csv'}"
    for arguments in (
        [tmp_path / "problem.toml"],
        ["MinEnergy", "--network", cell, "--deadline-s", "1,2,1.5"],
        ["MinEnergy", "--network", cell, "--deadline-s", column],
    ):
        assert json.loads(run("solve", *arguments, "--json").stdout)["cost"] == expected
    wide = fl_opt.solve(fl_opt.MinEnergy(network.replace(band_hz=4e6), 1.0)).certificate.cost
    options = ["--deadline-s", 1, "--set", "band_hz=4e6", "--json"]
    assert json.loads(run("solve", "MinEnergy", "--network", cell, *options).stdout)["cost"] == wide


def test_solve_writes_a_row_per_device(cell: Path, tmp_path: Path) -> None:
    out = tmp_path / "allocation.csv"
    run("solve", "MinEnergy", "--network", cell, "--deadline-s", 1, "--out", out)
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["device"] for row in rows] == ["0", "1", "2"]
    assert sum(float(row["bandwidth_hz"]) for row in rows) == pytest.approx(2e6)


def test_an_impossible_budget_is_an_answer(cell: Path) -> None:
    arguments = ["solve", "MinEnergy", "--network", cell, "--deadline-s", 0.05]
    text = refused(run(*arguments), 3)
    assert "infeasible (deadline)" in text
    assert "deadline_s is 50 ms" in text
    assert "cured by" in text
    result = run(*arguments, "--json")
    assert result.exit_code == 3
    answer = json.loads(result.stdout)
    assert answer["status"] == "infeasible"
    assert answer["devices"] == [0, 1, 2]
    cure = answer["relaxations"]["deadline_s"]
    assert run(*arguments[:-1], cure).exit_code == 0


def test_a_problem_without_a_network_takes_its_arrays_from_the_line() -> None:
    case = json.loads((ROOT / "tests" / "cases" / "fedl_infocom_5dev.json").read_text())
    row = case["published"][0]
    arrays = {
        name: ",".join(map(repr, case[name]))
        for name in ("noise_over_gain", "cycles_per_bit", "data_bit", "cpu_max_hz")
    }
    fields = arrays | {
        "power_min_w": case["power_w"][0],
        "power_max_w": case["power_w"][1],
        "alpha": case["capacitance_alpha"],
        "kappa": row["kappa"],
    }
    fields |= {name: case[name] for name in ("cpu_min_hz", "upload_nat", "band_hz")}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in fields.items()]
    result = run("solve", "FEDL", *options, "--json")
    assert json.loads(result.stdout)["cost"] == pytest.approx(row["objective"], rel=1e-8)


def test_a_solver_that_gives_up_is_no_defect(cell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(*arguments: Any) -> None:
        raise SolverFailure("price", "it is tired", "try another solver")

    monkeypatch.setattr(sys.modules["fl_opt.cli.solve"], "solve_problem", give_up)
    text = refused(run("solve", "MinEnergy", "--network", cell, "--deadline-s", 1), 5)
    assert "price gave no answer: it is tired" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["MinEnergie"], "did you mean MinEnergy?"),
        (["missing.toml"], "missing.toml is not there"),
        (["MinEnergy", "--network", "missing.csv", "--deadline-s", "1"], "missing.csv"),
        (["MinEnergy", "--network", "CELL"], "Missing option '--deadline-s'"),
        (["MinEnergy", "--network", "CELL", "--deadline-s", "soon"], "deadline_s is 'soon'"),
        (["MinEnergy", "--network", "CELL", "--deadline-s", "-1"], "deadline_s is -1 s"),
        (["MinEnergy", "--network", "CELL", "--deadline-s", "1,2"], "expected (3,)"),
        (["MinEnergy", "--network", "CELL", "--deadline-s", "@CELL"], "column deadline_s"),
        (["MinEnergy", "--network", "CELL", "--deadline-s", "1", "--solver", "x"], "price"),
        (["MinEnergy", "--network", "CELL", "--deadline-s", "1", "--set", "band=1"], "band_hz"),
        (["MinEnergy", "--network", "CELL", "--deadline-s", "1", "--set", "band"], "NAME=VALUE"),
        (["MinEnergy", "--network", "CELL", "--deadline-s", "1", "--out", "no/x.csv"], "no"),
    ],
)
def test_wrong_input_reads_well(cell: Path, arguments: list[str], says: str) -> None:
    text = refused(run("solve", *(a.replace("CELL", str(cell)) for a in arguments)), 2)
    assert says in text
    assert len(text.strip().splitlines()) <= 4


def test_a_wrong_column_is_named(cell: Path) -> None:
    cell.write_text(cell.read_text().replace("cycles", "cicles"))
    text = refused(run("solve", "MinEnergy", "--network", cell, "--deadline-s", 1), 2)
    assert "cell.csv: cicles is unknown" in text
    cell.write_text(cell.read_text().replace("cicles", "cycles").replace("4e-11", "weak"))
    text = refused(run("solve", "MinEnergy", "--network", cell, "--deadline-s", 1), 2)
    assert "cell.csv:4 gain is 'weak'; expected a number" in text


def test_help_tells_every_field_of_every_problem() -> None:
    for name, kind in formulations().items():
        text = " ".join(run("solve", name, "--help").stdout.split())
        assert parameter_help(kind), f"the docstring of {name} has no Parameters"
        for field in parameter_help(kind):
            assert f"--{field.replace('_', '-')}" in text


def test_frontier_starts_at_the_shortest_round_and_its_slopes_are_prices(
    cell: Path, network: fl_opt.Network, tmp_path: Path
) -> None:
    table, picture, page = (tmp_path / f"f.{end}" for end in ("csv", "svg", "html"))
    files = ["--csv", table, "--svg", picture, "--html", page]
    result = run("frontier", "--network", cell, "--points", 6, *files, "--json")
    found = json.loads(result.stdout)
    points = found["points"]
    assert found["complete"]
    shortest = fl_opt.solve(fl_opt.MinRoundTime(network)).certificate.cost
    assert points[0]["deadline_s"] == pytest.approx(shortest, rel=1e-12)
    assert all(point["gap"] < 1e-9 for point in points)
    time_s = np.array([point["deadline_s"] for point in points])
    energy_j = np.array([point["energy_j"] for point in points])
    slope_w = np.array([float(point["slope_w"]) for point in points])
    assert np.all(np.diff(energy_j) < 0)
    for i in range(1, len(points)):  # tangents of a convex function lie below it
        tangent = energy_j[i] - slope_w[i] * (time_s - time_s[i])
        assert np.all(energy_j >= tangent - 1e-9 * energy_j)
    best = fl_opt.solve(fl_opt.TimeEnergyTradeoff(network, joule_per_s=slope_w[3]))
    assert best.certificate.cost == pytest.approx(energy_j[3] + slope_w[3] * time_s[3], rel=1e-8)
    assert len(table.read_text().splitlines()) == 7
    assert picture.read_text().startswith("<svg")
    assert "Time and energy of a round in cell.csv" in page.read_text()
    assert "6 optima" in page.read_text()
    rows = run("frontier", "--network", cell, "--deadline-s", "1,2").stdout.splitlines()
    assert len(rows) == 3
    assert "1 s" in rows[1]


def test_an_interrupted_frontier_shows_its_points(
    cell: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fl_opt.frontier.frontier

    def interrupted(network: fl_opt.Network, deadline_s: Any) -> Iterator[Any]:
        yield from islice(whole(network, deadline_s), 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(fl_opt.frontier, "frontier", interrupted)
    table = tmp_path / "f.csv"
    result = run("frontier", "--network", cell, "--deadline-s", "1,2,3", "--csv", table)
    assert result.exit_code == 130
    assert "interrupted after 2 points" in result.stderr
    assert len(result.stdout.splitlines()) == 3
    assert len(table.read_text().splitlines()) == 3


def test_frontier_refuses_what_it_cannot_draw(cell: Path) -> None:
    assert "at least 2" in refused(run("frontier", "--network", cell, "--points", 1), 2)
    assert "deadline" in refused(run("frontier", "--network", cell, "--deadline-s", 0.01), 3)
    assert "abc" in refused(run("frontier", "--network", cell, "--deadline-s", "1,abc"), 2)


def test_a_scenario_is_shown_drawn_sampled_and_started(tmp_path: Path) -> None:
    shown = json.loads(run("scenario", "show", "urban", "--set", "band_hz=2e6", "--json").stdout)
    assert shown["band_hz"] == 2e6
    assert "2 MHz" in run("scenario", "show", "urban", "--set", "band_hz=2e6").stdout
    mine = tmp_path / "mine.toml"
    assert run("scenario", "template", "--out", mine).exit_code == 0
    assert "expected a new file" in refused(run("scenario", "template", "--out", mine), 2)
    assert run("scenario", "show", mine).exit_code == 0
    mine.write_text(run("scenario", "show", "urban", "--toml").stdout)
    assert json.loads(run("scenario", "show", mine, "--json").stdout)["name"] == "urban"
    picture = tmp_path / "cell.svg"
    assert run("scenario", "draw", "urban", "--svg", picture).exit_code == 0
    assert picture.read_text().startswith("<svg")
    for out in (tmp_path / "cell.csv", tmp_path / "cell.json"):
        arguments = ["scenario", "sample", "urban", "--cycles", 5e8, "--upload-bit", 1e6]
        assert run(*arguments, "--out", out).exit_code == 0
        assert run("solve", "MinEnergy", "--network", out, "--deadline-s", 30).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "urbane"], "did you mean urban?"),
        (["show", "missing.toml"], "missing.toml"),
        (["show", "urban", "--set", "radius_m=-1"], "cell.radius_m is -1 m"),
        (["sample", "urban", "--cycles", "1", "--upload-bit", "1", "--out", "x.txt"], ".csv"),
    ],
)
def test_a_wrong_scenario_reads_well(arguments: list[str], says: str) -> None:
    assert says in refused(run("scenario", *arguments), 2)


def test_grade_says_points_and_passes_by_its_code(tmp_path: Path) -> None:
    folder = ROOT / "coursework" / "01-share-the-band"
    solved = json.loads(run("solve", _problem_of(folder, tmp_path), "--json").stdout)["allocation"]
    answer = {name: solved[name] for name in ("bandwidth_hz", "power_w", "cpu_hz")}
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(answer))
    result = run("grade", folder, path)
    assert result.exit_code == 0
    assert "10 of 10 points, passed" in result.stdout
    answer["cpu_hz"] = [1.5 * clock for clock in answer["cpu_hz"]]
    path.write_text(json.dumps(answer))
    result = run("grade", folder, path, "--json")
    assert result.exit_code == 4
    assert json.loads(result.stdout)["grade"]["points"] < 6
    path.write_text("[]")
    assert "is a list" in refused(run("grade", folder, path), 2)


def _problem_of(folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "problem.toml"
    network = folder / "network.csv"
    path.write_text(f'problem = "MinEnergy"\nnetwork = "{network}"\ndeadline_s = 1.5\n')
    return path


def test_arms_from_text() -> None:
    method = fl_opt.FedAvg()
    arm = read_arm("round-robin:count=5:name=in turn", method)
    assert arm.policy == fl_opt.RoundRobin(count=5)
    assert arm.name == "in turn"
    assert arm.method is method
    arm = read_arm("random:count=5:method=fedavg/local_steps=3/batch=8", method)
    assert arm.method == fl_opt.FedAvg(local_steps=3, batch=8)
    text = "optimised:MinEnergy:deadline_s=2:solver=price:among=best-channel/count=4"
    policy: Any = read_arm(text, method).policy
    assert policy.solver == "price"
    assert policy.among == fl_opt.BestChannel(count=4)
    assert policy.formulate.func is fl_opt.MinEnergy
    assert policy.formulate.keywords == {"deadline_s": 2}
    text = "optimised:MaxParticipation:deadline_s=2:signal.utility=update_norm"
    assert read_arm(text, method).policy.needs == ("update_norm",)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("randon:count=3", "did you mean Random?"),
        ("random:cuont=3", "did you mean count?"),
        ("random:count=0", "count"),
        ("optimised", "not understood"),
        ("random:MinEnergy:count=3", "not understood"),
        ("optimised:MinEnergie:deadline_s=2", "did you mean MinEnergy?"),
        ("optimised:MinEnergy", "deadline_s is missing"),
        ("optimised:MinEnergy:deadline_s=2:network=3", "network is unknown"),
        ("optimised:MinEnergy:deadline_s=2:signal.weight=age", "weight is unknown"),
        ("optimised:MaxParticipation:deadline_s=2:signal.utility=mood", "mood"),
        ("random:count=3:method=fedsgd", "did you mean FedAvg?"),
    ],
)
def test_a_wrong_arm_reads_well(text: str, says: str) -> None:
    with pytest.raises(fl_opt.InvalidInput) as refusal:
        read_arm(text, fl_opt.FedAvg())
    assert says in str(refusal.value)


COMPARE = ("compare", "random:count=5:name=lot", "everyone", "--rounds", 4)


def test_compare_writes_its_report(tmp_path: Path) -> None:
    html, table, whole = (tmp_path / f"report.{ending}" for ending in ("html", "csv", "json"))
    outputs = ["--seeds", 2, "--html", html, "--csv", table, "--json-out", whole]
    result = run(*COMPARE, *outputs)
    assert result.exit_code == 0, result.output
    assert f"report: {html}" in result.stdout
    assert "time to the target accuracy" in result.stdout
    assert "2 seeds" in result.stdout
    assert html.read_text().lower().startswith("<!doctype html>")
    with table.open() as file:
        assert len(list(csv.DictReader(file))) == 2 * 2 * 4
    report = json.loads(whole.read_text())
    assert report["arms"] == ["lot", "everyone"]
    assert report["complete"]


def test_compare_refuses_before_it_trains(tmp_path: Path) -> None:
    assert "did you mean Random?" in refused(run("compare", "randon:count=3"), 2)
    assert "did you mean urban?" in refused(run(*COMPARE, "--scenario", "urbane"), 2)
    assert "different names" in refused(run("compare", "everyone", "everyone"), 2)


def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    cell: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: Any, **options: Any) -> None:
        raise AssertionError("worked in vain")

    monkeypatch.setattr(fl_opt, "compare", never)
    monkeypatch.setattr(fl_opt.frontier, "frontier", never)
    nowhere = tmp_path / "missing" / "page.html"
    for command in (COMPARE, ["frontier", "--network", cell, "--deadline-s", "1,2"]):
        assert "there is no folder" in refused(run(*command, "--html", nowhere), 2)
        assert "directory" in refused(run(*command, "--html", tmp_path), 2)


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path) -> None:
    """The process is interrupted as by a terminal, once its first run is done."""
    html = tmp_path / "report.html"
    code = f"""
import os, signal
from fl_opt import cli, validation
simulate, done = validation.simulate, []

def interrupted(*arguments, **options):
    if done:
        os.kill(os.getpid(), signal.SIGINT)
    done.append(simulate(*arguments, **options))
    return done[-1]

validation.simulate = interrupted
cli.main({[*map(str, COMPARE), "--seeds", "2", "--html", str(html)]!r})
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert answer.returncode == 130, answer.stderr
    assert "interrupted; 1 finished runs are reported" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert html.is_file()


def test_sensitivity_measures_draws_and_keeps_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fl_opt.validation import sensitivity as room

    table, picture, page = (tmp_path / f"table.{end}" for end in ("csv", "svg", "html"))
    arguments = ["sensitivity", "random:count=3", "--set", "devices=5", "--rounds", 2]
    files = ["--csv", table, "--svg", picture, "--html", page]
    result = run(*arguments, "--seeds", 2, *files, "--json")
    assert result.exit_code == 0, result.output
    effects = json.loads(result.stdout)["effects"]
    assert {effect["factor"] for effect in effects} == set(room.FACTORS)
    found = {(effect["factor"], effect["metric"]): effect for effect in effects}
    assert found["computation capacity", "T_C"]["elasticity"] == pytest.approx(-1.0)
    assert len(table.read_text().splitlines()) == len(effects) + 1
    assert picture.read_text().startswith("<svg")
    assert "What random:count=3 is sensitive to in urban" in page.read_text()
    assert all(factor in page.read_text() for factor in room.FACTORS)
    assert not any(text in page.read_text() for text in ("nan to", "+0.00 to", "−0.00 to"))

    unknown = room.Sensitivity(dict.fromkeys(found, room.UNKNOWN), 0.5, 0.95)

    def interrupted(*arguments: Any, **options: Any) -> None:
        raise room.Interrupted(unknown)

    monkeypatch.setattr(room, "sensitivity", interrupted)
    result = run(*arguments)
    assert result.exit_code == 130
    assert "spectrum" in result.stdout
    assert "interrupted" in result.stderr
