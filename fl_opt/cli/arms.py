"""Arms of a comparison from short texts: ``random:count=10``, ``optimised:MinEnergy:deadline_s=2``.

A name, then ``KEY=VALUE`` parts with colons between them. Within a value, strokes do what colons
do outside: ``optimised:MinEnergy:deadline_s=2:among=best-channel/count=10``.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fl_opt.catalogue import formulations, methods, pick, rules
from fl_opt.errors import InvalidInput
from fl_opt.policies import Optimised
from fl_opt.policy import Policy
from fl_opt.problem_file import build, check_names, parse

if TYPE_CHECKING:
    from fl_opt.validation import Arm
    from fl_opt.validation.method import Method

SIGNAL = "signal."
"""Before a field of a formulation: fill it with a signal, ``signal.utility=update_norm``."""


def read_arm(text: str, method: Method) -> Arm:
    """An arm from its text; `name` and `method` are the arm's, all other keys the policy's."""
    from fl_opt.validation import Arm

    words, values = _split(text, ":")
    name = values.pop("name", text)
    if "method" in values:
        method = read_method(values.pop("method"), "/")
    return Arm(_policy(text, words, values), method, name=name)


def read_method(text: str, separator: str = ":") -> Method:
    """A training method from its text, such as ``FedAvg:local_steps=5:rate=0.1``."""
    words, values = _split(text, separator)
    kind = pick("method", "".join(words), methods())
    method: Method = build(kind, _parsed(values), f"method {text}", Path())
    return method


def _split(text: str, separator: str) -> tuple[list[str], dict[str, str]]:
    parts = [part.strip() for part in text.split(separator)]
    words = [part for part in parts if "=" not in part]
    return words, dict(part.split("=", 1) for part in parts if "=" in part)


def _parsed(values: dict[str, str]) -> dict[str, Any]:
    return {name: parse(name, value) for name, value in values.items()}


def _policy(text: str, words: list[str], values: dict[str, str]) -> Policy:
    where = f"arm {text}"
    kind = pick(where, "".join(words[:1]), rules())
    if kind is Optimised and len(words) == 2:
        return _optimised(where, pick(where, words[1], formulations()), values)
    if kind is Optimised or len(words) > 1:
        raise InvalidInput(
            where, "not understood", "POLICY:KEY=VALUE or optimised:PROBLEM:KEY=VALUE"
        )
    policy: Policy = build(kind, _parsed(values), where, Path())
    return policy


def _optimised(where: str, problem: type, values: dict[str, str]) -> Optimised:
    options = _parsed({n: values.pop(n) for n in ("solver", "time_limit_s") if n in values})
    for name in ("among", "fallback"):
        if name in values:
            helper = values.pop(name)
            options[name] = _policy(helper, *_split(helper, "/"))
    signals = {
        name.removeprefix(SIGNAL): values.pop(name)
        for name in list(values)
        if name.startswith(SIGNAL)
    }
    check_names(problem, [*values, *signals], where, later="network")
    return Optimised(functools.partial(problem, **_parsed(values)), signals=signals, **options)
