"""Problems from text: fields given by name become a formulation, from TOML or from options."""

from __future__ import annotations

import csv
import dataclasses
import inspect
import tomllib
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fl_opt.catalogue import formulations, nearest, pick
from fl_opt.errors import InvalidInput
from fl_opt.network import Network

KEYS = ("problem", "solver", "time_limit_s")
"""Keys of a problem file that are not fields of the problem."""


@dataclass(frozen=True, eq=False)
class Stated:
    """A problem as a file states it, and how it is to be solved."""

    problem: Any
    solver: str = "auto"
    time_limit_s: float | None = None


def read_problem(path: str | Path) -> Stated:
    """Read a problem from TOML.

    The file names the formulation and gives its fields; numbers are SI. A network is the path of
    a CSV or JSON file, seen from the folder of the TOML file, or a table of its fields.

    .. code-block:: toml

        problem = "MinEnergy"
        network = "cell.csv"
        deadline_s = 1.5

        solver = "price"     # optional
        time_limit_s = 60    # optional

    Raises ``InvalidInput`` that names the file and the key.
    """
    path = Path(path)
    data = read_toml(path)
    return state(data, str(path), path.parent)


def read_toml(path: Path) -> dict[str, Any]:
    """The table that a TOML file holds. Raises ``InvalidInput`` naming the file and the place."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(str(path), f"not TOML ({error})", "key = value lines") from None


def state(data: Mapping[str, Any], where: str, folder: Path) -> Stated:
    """A problem from the table of a problem file; `where` stands in the messages."""
    if "problem" not in data:
        raise InvalidInput(
            f"{where}: problem", "missing", f"the name of one of {', '.join(formulations())}"
        )
    kind = pick(f"{where}: problem", str(data["problem"]), formulations())
    fields = {name: value for name, value in data.items() if name not in KEYS}
    return Stated(
        build(kind, fields, where, folder),
        str(data.get("solver", "auto")),
        data.get("time_limit_s"),
    )


def build(kind: type, values: Mapping[str, Any], where: str, folder: Path) -> Any:
    """A record from values by field name.

    Parameters
    ----------
    kind
        A dataclass: a formulation, or a record that is a field of one.
    values
        Numbers, lists, texts and tables by field name. Records are tables, or paths of files.
    where
        What the messages name as the place: a file, a command.
    folder
        Where paths start from.

    Raises ``InvalidInput`` for a field that is missing or unknown.
    """
    check_names(kind, values, where)
    hints = typing.get_type_hints(kind)
    return kind(
        **{
            name: _convert(hints[name], value, f"{where}: {name}", folder)
            for name, value in values.items()
        }
    )


def check_names(kind: type, given: Collection[str], where: str, later: str = "") -> None:
    """Refuse names that are no fields of a record, and fields without default that are not given.

    `later` is a field that is filled afterwards and may not be given.
    """
    fields = {item.name: item for item in dataclasses.fields(kind) if item.init}
    fields.pop(later, None)
    for name in given:
        if name not in fields:
            raise InvalidInput(
                f"{where}: {name}",
                "unknown",
                f"fields of {kind.__name__}: {', '.join(fields) or 'it has none'}",
                nearest(name, fields),
            )
    missing = [name for name in fields if name not in given and required(kind, name)]
    if missing:
        raise InvalidInput(
            f"{where}: {', '.join(missing)}", "missing", f"a value, {kind.__name__} needs it"
        )


def required(kind: type, name: str) -> bool:
    """Whether a record cannot be made without a field; its own ``__init__`` has the last word."""
    return inspect.signature(kind).parameters[name].default is inspect.Parameter.empty


def record_in(hint: Any) -> type | None:
    """The dataclass that a field of this type holds; None where it holds plain values."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return hint
    if typing.get_origin(hint) in (typing.Union, types.UnionType, tuple, list):
        records = [record_in(part) for part in typing.get_args(hint)]
        return next((record for record in records if record), None)
    return None


def _convert(hint: Any, value: Any, where: str, folder: Path) -> Any:
    record = record_in(hint)
    if record is None or isinstance(value, record):
        return value
    if isinstance(value, list):
        return tuple(
            _convert(record, each, f"{where}[{index}]", folder) for index, each in enumerate(value)
        )
    if isinstance(value, str):
        if record is Network:
            return read_network(folder / value)
        value = read_toml(folder / value)
    if not isinstance(value, Mapping):
        raise InvalidInput(where, repr(value), f"a table of the fields of {record.__name__}")
    if record is Network:
        return Network.from_dict(value, where)
    return build(record, value, where, folder)


def read_network(path: Path, **values: Any) -> Network:
    """A network from CSV or JSON by the name's ending; `values` replace fields for all devices."""
    if path.suffix.lower() == ".json":
        return Network.from_json(path).replace(**values)
    if path.suffix.lower() == ".csv":
        return Network.from_csv(path, **values)
    raise InvalidInput(str(path), f"a {path.suffix or 'nameless'} file", "a .csv or .json file")


def parse(name: str, text: str) -> Any:
    """A value from the text of an option.

    A number, numbers with commas between them, ``@FILE.csv`` for the column `name` of a CSV file,
    ``true`` or ``false``; any other text stays text.

    >>> parse("deadline_s", "2.5"), parse("count", "10"), parse("deadline_s", "1,2,inf")
    (2.5, 10, [1, 2, inf])
    """
    if text.startswith("@"):
        return _column(Path(text[1:]), name)
    if "," in text:
        return [parse(name, part) for part in text.split(",")]
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def assignment(text: str) -> tuple[str, Any]:
    """Name and value of ``NAME=VALUE``. Raises ``InvalidInput`` without the sign."""
    name, sign, value = text.partition("=")
    if not sign:
        raise InvalidInput(repr(text), "not understood", "NAME=VALUE")
    return name.strip(), parse(name.strip(), value.strip())


def _column(path: Path, name: str) -> list[float]:
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    if not rows or name not in rows[0]:
        header = ", ".join(rows[0]) if rows else "no rows"
        raise InvalidInput(f"{path}: column {name}", "missing", "a column of that name", header)
    try:
        return [float(row[name]) for row in rows]
    except (TypeError, ValueError):
        raise InvalidInput(f"{path}: column {name}", "no number", "a number in each row") from None
