"""What the house holds, by name: formulations, policies, and which solvers fit a formulation."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any, TypeVar

from fl_opt import policies, problems
from fl_opt.errors import InvalidInput
from fl_opt.solving import SOLVERS

T = TypeVar("T")


def _offering(room: Any, *methods: str) -> dict[str, type]:
    exports = {name: getattr(room, name) for name in dir(room) if not name.startswith("_")}
    return {
        name: value
        for name, value in exports.items()
        if inspect.isclass(value)
        and dataclasses.is_dataclass(value)
        and all(hasattr(value, method) for method in methods)
    }


def formulations() -> dict[str, type]:
    """Every formulation that ``fl_opt.problems`` exports: a record with `cost` and `excess`."""
    return _offering(problems, "cost", "excess")


def rules() -> dict[str, type]:
    """Every policy that ``fl_opt.policies`` exports: a record with `start` and `decide`."""
    return _offering(policies, "start", "decide")


def methods() -> dict[str, type]:
    """Every training method that ``fl_opt.validation`` exports: a record with a `workload`."""
    from fl_opt import validation

    return _offering(validation, "workload")


def scenarios() -> dict[str, str]:
    """The shipped scenarios and what each says it stands for."""
    from fl_opt.scenario import names

    folder = files("fl_opt") / "scenarios"
    return {
        name: tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))["description"]
        for name in names()
    }


def solvers_of(formulation: type) -> list[str]:
    """Names of the solvers whose structure a formulation offers, the preferred one first.

    Looks at the class alone: an instance needs data. ``fl_opt.solving.solvers_for`` looks at an
    instance.
    """
    fields = set()
    if dataclasses.is_dataclass(formulation):
        fields = {item.name for item in dataclasses.fields(formulation)}
    return [
        name
        for name, entry in SOLVERS.items()
        if all(member in fields or hasattr(formulation, member) for member in entry.members)
    ]


def summary(thing: object) -> str:
    """First line of a docstring."""
    return (inspect.getdoc(thing) or "").strip().partition("\n")[0]


def pick(where: str, name: str, known: Mapping[str, T]) -> T:
    """The entry of that name; letter case and hyphens do not matter: ``round-robin``.

    Raises ``InvalidInput`` with the nearest name where there is none.
    """
    by_key = {_key(entry): value for entry, value in known.items()}
    if _key(name) in by_key:
        return by_key[_key(name)]
    raise InvalidInput(where, repr(name), f"one of {', '.join(known)}", nearest(name, known))


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a mistyped name: ``"did you mean MinEnergy?"``, or "" where nothing is near."""
    by_key = {_key(entry): entry for entry in known}
    near = difflib.get_close_matches(_key(name), by_key, n=1)
    return f"did you mean {by_key[near[0]]}?" if near else ""


def _key(name: str) -> str:
    return name.replace("-", "").replace("_", "").casefold()
