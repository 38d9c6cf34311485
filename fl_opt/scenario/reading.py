"""From TOML to checked settings and back, and messages that a person can act on."""

from __future__ import annotations

import difflib
import json
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from fl_opt.errors import InvalidInput
from fl_opt.scenario.keys import Table
from fl_opt.scenario.settings import Settings
from fl_opt.units import unit_of

Tree = Mapping[str, Any]
_SIGNS = {
    "gt": ">",
    "ge": ">=",
    "lt": "<",
    "le": "<=",
    "min_length": "length >=",
    "max_length": "length <=",
}


def settings_of_text(text: str, where: str) -> Settings:
    """Settings of a TOML text; `where` names it in messages. Raises ``InvalidInput``."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(
            where,
            f"not TOML ({error})",
            "a scenario in TOML",
            "compare with a template: fl_opt.scenario.template()",
        ) from None
    return settings_of_tree(tree, where)


def settings_of_tree(tree: Tree, where: str) -> Settings:
    """Settings of nested tables. Raises ``InvalidInput`` naming key path, value, unit, range."""
    try:
        return Settings.model_validate_json(json.dumps(tree, default=_plain))
    except ValidationError as error:
        raise _explained(error, where) from None


def _plain(value: object) -> object:
    """What JSON knows: numpy values as numbers and lists, dates and the like as text."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)


def tree_of(settings: Settings) -> dict[str, Any]:
    """Nested tables of settings as they stand in a file, every key that has a value included."""
    tree: dict[str, Any] = settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    return tree


def _explained(error: ValidationError, where: str) -> InvalidInput:
    """The first fault of a file, the others counted; a misspelt key before what it left out."""
    faults = error.errors(include_url=False)
    fault = min(faults, key=lambda item: item["type"] != "extra_forbidden")
    place, value = fault["loc"], fault["input"]
    more = f"{len(faults) - 1} more to mend in the file" if len(faults) > 1 else ""
    inner = fault.get("ctx", {}).get("error")
    if isinstance(inner, InvalidInput):
        at, shown, expected, cure = (*place, inner.where), inner.value, inner.expected, inner.cure
    elif fault["type"] == "extra_forbidden":
        at, shown, (expected, cure) = place, "no key of a scenario", _known(place)
    else:
        path = [part for part in place if isinstance(part, str)]
        key, field = path[-1], _by_key(_table(path[:-1]))[path[-1]]
        missing = fault["type"] == "missing"
        at, shown = place, "missing" if missing else _shown(value, unit_of(key))
        expected, cure = _expected(field, key), f"{key} is: {field.description}"
        if missing and place[-1] == key:
            cure = f"add {_example(field, '.'.join(path))} ({cure})"
    return InvalidInput(
        f"{where}: {_path(at)}", shown, expected, "; ".join(filter(None, (cure, more)))
    )


def _shown(value: object, unit: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return json.dumps(value, default=str)
    return f"{value:g} {unit}".rstrip()


def _known(place: Sequence[int | str]) -> tuple[str, str]:
    """What a table may hold, and what an unknown key of it was likely meant to be."""
    known = list(_by_key(_table(place[:-1])))
    key = str(place[-1])
    home = [path for path, _ in keys() if path.rpartition(".")[2] == key]
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    cure = "remove it"
    if home:
        cure = f"that key belongs elsewhere: {home[0]}"
    elif near:
        cure = f"did you mean {near[0]}?"
    return f"one of {', '.join(known)}", cure


def _path(place: Sequence[int | str]) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _table(place: Sequence[int | str]) -> type[Table]:
    table: type[Table] = Settings
    for part in place:
        if isinstance(part, str):
            inner = _inner(_by_key(table)[part])
            if inner is not None:
                table = inner
    return table


def _by_key(table: type[Table]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in table.model_fields.items()}


def _inner(field: FieldInfo) -> type[Table] | None:
    """The table that a key holds, or holds a list of; None for a plain value."""
    stack: list[Any] = [field.annotation]
    while stack:
        candidate = stack.pop()
        if isinstance(candidate, type) and issubclass(candidate, Table):
            return candidate
        stack.extend(getattr(candidate, "__args__", ()))
    return None


def limits(field: FieldInfo) -> str:
    """The range of a key: ``> 0 and <= 1e+10``, or the texts that it may be; else empty."""
    choices = [
        json.dumps(choice)
        for choice in getattr(field.annotation, "__args__", ())
        if isinstance(choice, str)
    ]
    if choices:
        return "one of " + ", ".join(choices)
    bounds = [
        f"{sign} {getattr(limit, name):g}"
        for limit in field.metadata
        for name, sign in _SIGNS.items()
        if hasattr(limit, name)
    ]
    return " and ".join(bounds)


def _kind(field: FieldInfo) -> str:
    if _inner(field):
        return "a table"
    names = str(field.annotation)
    if "tuple" in names:
        return "a list of numbers" if "tuple[int" in names else "a list of [east, north]"
    for kind, text in ((int, "a whole number"), (float, "a number"), (str, "a text")):
        if field.annotation is kind or kind in getattr(field.annotation, "__args__", ()):
            return text
    return "a text"


def _expected(field: FieldInfo, key: str) -> str:
    if _inner(field):
        return "at least one table in double brackets" if _repeated(field) else "a table"
    bounds, unit = limits(field), unit_of(key)
    text = bounds if bounds.startswith("one of") else f"{_kind(field)} {bounds}".rstrip()
    return f"{text} [{unit}]" if unit else text


def _example(field: FieldInfo, path: str) -> str:
    if _inner(field):
        return _header(field, path)
    return f"{path.rpartition('.')[2]} = {_toml((field.examples or [None])[0])}"


def _repeated(field: FieldInfo) -> bool:
    return "tuple" in str(field.annotation)


def _header(field: FieldInfo, path: str) -> str:
    return f"[[{path}]]" if _repeated(field) else f"[{path}]"


def keys(table: type[Table] = Settings, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key of a scenario file with its path, such as ``devices.class.cpu_max_hz``."""
    for key, field in _by_key(table).items():
        inner = _inner(field)
        yield prefix + key, field
        if inner is not None:
            yield from keys(inner, f"{prefix}{key}.")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, float) and value and not 1e-3 <= abs(value) < 1e5:
        return np.format_float_scientific(value, trim="-", exp_digits=1)
    return repr(value)


def toml_of(tree: Tree, prefix: str = "") -> str:
    """A TOML text of nested tables; floats keep all their digits."""
    plain: list[str] = []
    tables: list[str] = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            tables.append(f"\n[{prefix}{key}]\n{toml_of(value, f'{prefix}{key}.')}")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            tables += [f"\n[[{prefix}{key}]]\n{toml_of(v, f'{prefix}{key}.')}" for v in value]
        else:
            plain.append(f"{key} = {_toml(value)}\n")
    return "".join(plain + tables)


_SHOWN = ("cell.radius_m", "devices.count")
"""Optional keys of which the template shows one of several ways."""


def template() -> str:
    """A scenario file with every key, its meaning, unit and range; optional ones commented out."""
    lines = ["# A scenario of fl_opt. Lines with '#' in front of a key show optional keys."]
    optional: set[str] = set()
    for path, field in keys():
        table, _, key = path.rpartition(".")
        if _inner(field) is not None:
            if field.default is None:
                optional.add(path)
            mark = "# " if path in optional else ""
            lines += ["", f"# {field.description}", f"{mark}{_header(field, path)}"]
            continue
        unit = f"[{unit_of(key)}]" if unit_of(key) else ""
        remark = "; ".join(filter(None, (field.description, unit, limits(field))))
        lines += textwrap.wrap(remark, 98, initial_indent="# ", subsequent_indent="#   ")
        shown = (field.is_required() or path in _SHOWN) and table not in optional
        lines.append(("" if shown else "# ") + _example(field, path))
    return "\n".join(lines) + "\n"


def keys_table() -> str:
    """The keys as a Markdown table for the manual."""
    rows = ["| key | meaning | unit | range | default |", "|---|---|---|---|---|"]
    for path, field in keys():
        if _inner(field) is not None:
            continue
        default = "required" if field.is_required() else _toml(field.default)
        default = "none" if field.default is None else default
        bounds = limits(field).replace("|", "\\|")
        unit = unit_of(path.rpartition(".")[2])
        rows.append(f"| `{path}` | {field.description} | {unit} | {bounds} | {default} |")
    return "\n".join(rows) + "\n"
