"""Change keys of a scenario by their names: the knobs that experiments turn."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fl_opt.checks import number
from fl_opt.errors import InvalidInput
from fl_opt.scenario.reading import keys
from fl_opt.units import db_from_ratio, dbm_from_watt

Tree = dict[str, Any]


def _where(name: str) -> str:
    """Path of the key that a name stands for: the name itself, or the last part of a path."""
    paths = [path for path, _ in keys()]
    name = "devices.count" if name == "devices" else name
    if name in paths:
        return name
    found = [path for path in paths if path.rpartition(".")[2] == name]
    if not found:
        parts = sorted({path.rpartition(".")[2] for path in paths})
        near = difflib.get_close_matches(name, parts, n=1)
        raise InvalidInput(
            name,
            "no key of a scenario",
            "a key of a scenario file, or its last part",
            f"did you mean {near[0]}?" if near else "the keys are in docs/scenarios.md",
        )
    return found[0]


def _level(name: str) -> str | None:
    """The key in dBm of a power in watt; None where it is not one."""
    level = name.removesuffix("_w") + "_dbm"
    is_level = name.endswith("_w") and any(path.endswith(level) for path, _ in keys())
    return level if is_level else None


def _change(tree: Tree, path: str, change: Callable[[Any], Any]) -> None:
    """Apply `change` to the value of a key wherever it stands; None removes it."""
    here, _, rest = path.partition(".")
    if rest:
        inner = tree.setdefault(here, {})
        for table in inner if isinstance(inner, list) else [inner]:
            _change(table, rest, change)
        return
    value = change(tree.get(here))
    if value is None:
        tree.pop(here, None)
    else:
        tree[here] = value


def replaced(tree: Tree, changes: Mapping[str, Any]) -> Tree:
    """The tables with the values of some keys replaced."""
    tree = copy.deepcopy(tree)
    for name, value in changes.items():
        level = _level(name)
        if level is not None:
            value = float(dbm_from_watt(number(name, value, open_low=True)))
        _change(tree, _where(level or name), partial(_instead, value))
    return tree


def scaled(tree: Tree, factors: Mapping[str, float]) -> Tree:
    """The tables with the values of some keys multiplied."""
    tree = copy.deepcopy(tree)
    for name, value in factors.items():
        factor = number(name, value, open_low=True)
        level = _level(name)
        db = float(db_from_ratio(factor))
        if name == "gain":
            _change(tree, "channel.extra_loss_db", partial(_plus, -db))
        elif level is not None:
            _change(tree, _where(level), partial(_plus, db))
        else:
            path = _where(name)
            _change(tree, path, partial(_times, factor, path))
    return tree


def _instead(new: Any, _: Any) -> Any:
    return new


def _plus(db: float, old: float) -> float:
    return old + db


def _times(factor: float, path: str, old: Any) -> float:
    if isinstance(old, bool) or not isinstance(old, int | float) or path.endswith(("_db", "_dbm")):
        raise InvalidInput(
            path,
            "not set" if old is None else repr(old),
            "a number that is set and not a level, to be multiplied",
            "scale power_max_w, base_power_w or gain for levels; use replace for the rest",
        )
    return round(old * factor) if isinstance(old, int) else old * factor
