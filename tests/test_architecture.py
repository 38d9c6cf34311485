"""The house stands as docs/architecture.md says: rooms, one-way imports, light import, links."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import fl_opt.policies
import fl_opt.problems
from fl_opt.catalogue import formulations
from fl_opt.solving import SOLVERS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "fl_opt"

LEVELS: list[list[set[str]]] = [
    [{"units", "errors", "checks", "kernels", "physics", "network", "workload", "data_home"}],
    [{"allocation", "certificate", "structure", "policy", "compression_laws"}],
    [{"problems"}, {"solvers"}, {"scenario"}],
    [{"solving"}],
    [{"policies"}],
    [{"validation"}, {"testing"}],
    [{"comparison", "report"}],
    [{"catalogue", "problem_file", "frontier", "grading"}],
    [{"experiments"}],
    [{"cli"}],
]
"""Rooms from the ground up. A module imports from its own room and from lower levels, never from
a room beside its own or above."""

HEAVY = (
    "cvxpy",
    "pyomo",
    "highspy",
    "torch",
    "matplotlib",
    "pydantic",
    "rich",
    "jinja2",
    "pandas",
    "sklearn",
    "scipy.optimize",
    "scipy.stats",
)
"""What is imported where it is used, so that `import fl_opt` costs little more than numpy."""


def _place(module: str) -> tuple[int, int]:
    """Level and room of ``fl_opt.NAME...``."""
    name = module.split(".")[1]
    for level, rooms in enumerate(LEVELS):
        for number, room in enumerate(rooms):
            if name in room:
                return level, number
    pytest.fail(f"fl_opt.{name} has no level: give it one in {Path(__file__).name}")


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> set[str]:
    """All modules of the package that a file imports, within functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("fl_opt.")}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by the full name, not relative to the file"
            if node.module == "fl_opt":
                found |= {f"fl_opt.{alias.name}" for alias in node.names}
            elif node.module and node.module.startswith("fl_opt."):
                found.add(node.module)
    return found


def _modules() -> dict[str, Path]:
    paths = {_module(path): path for path in PACKAGE.rglob("*.py")}
    del paths["fl_opt"]  # the public face, which looks into every room
    return paths


@pytest.mark.parametrize("module", sorted(_modules()))
def test_imports_run_one_way(module: str) -> None:
    level, room = _place(module)
    for target in _imports(_modules()[module]):
        if (
            not (PACKAGE / target.split(".")[1]).exists()
            and not (PACKAGE / (target.split(".")[1] + ".py")).exists()
        ):
            continue  # a name of the public face: docstrings and examples, no module
        other_level, other_room = _place(target)
        assert (other_level, other_room) == (level, room) or other_level < level, (
            f"{module} imports {target}, which lives "
            f"{'beside' if other_level == level else 'above'} it"
        )


@pytest.mark.parametrize(
    "name", ["fl_opt", "fl_opt.problems", "fl_opt.policies", "fl_opt.experiments", "fl_opt.cli"]
)
def test_an_import_loads_nothing_heavy(name: str) -> None:
    code = f"import json, sys, {name}; print(json.dumps(sorted(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert answer.returncode == 0, answer.stderr
    loaded = set(json.loads(answer.stdout))
    assert "numpy" in loaded
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize("name", ["problems", "solvers", "validation"])
def test_links_at_the_top_point_into_the_package(name: str) -> None:
    link = ROOT / name
    if not link.is_symlink():
        pytest.skip("a checkout without symbolic links; nothing leans on them")
    assert link.readlink() == Path("fl_opt") / name
    assert (link / "__init__.py").is_file()


@pytest.mark.parametrize("name", sorted(formulations()))
def test_a_formulation_has_its_page_and_its_test(name: str) -> None:
    module = formulations()[name].__module__.rsplit(".", 1)[1]
    assert (ROOT / "docs" / "formulations" / f"{module}.md").is_file()
    assert (ROOT / "tests" / f"test_{module}.py").is_file()


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_the_manual_knows_a_solver_and_its_structure(name: str) -> None:
    table = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line for line in table.splitlines() if f"| `{SOLVERS[name].needs.__name__}` |" in line]
    assert any(f"| {name} |" in row for row in rows)


def test_rooms_export_what_exists() -> None:
    for room in (fl_opt.problems, fl_opt.policies):
        for name in room.__all__:
            assert hasattr(room, name)
            assert getattr(fl_opt, name) is getattr(room, name)
