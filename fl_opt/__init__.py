"""Resource allocation for federated learning over wireless links, solved and certified.

State a problem, solve it with proof, try the policy in a training loop:

>>> import fl_opt
>>> network = fl_opt.Network(
...     gain=[1e-10, 4e-11, 9e-12], power_max_w=0.2, cpu_min_hz=1e8, cpu_max_hz=2e9,
...     capacitance=1e-28, cycles=2e8, upload_bit=3e5, samples=[600, 400, 800], band_hz=2e6)
>>> solution = fl_opt.solve(fl_opt.MinEnergy(network, deadline_s=1.0))
>>> solution.certificate.gap < 1e-9
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fl_opt.allocation import Allocation
from fl_opt.certificate import Certificate, Solution, verify
from fl_opt.errors import Infeasible, InvalidInput
from fl_opt.network import Network
from fl_opt.policy import Outcome, Policy, Round
from fl_opt.solving import SOLVERS, solve
from fl_opt.workload import Workload

if TYPE_CHECKING:
    from fl_opt.comparison import Report, compare
    from fl_opt.scenario import Scenario
    from fl_opt.validation import Arm, FedAvg, Task, Trace, simulate

__version__ = "0.1.0"

_LAZY = {
    "Scenario": "fl_opt.scenario",
    "compare": "fl_opt.comparison",
    "Report": "fl_opt.comparison",
}
"""Names whose modules load libraries that an import of fl_opt shall not pay for."""
_ROOMS = ("fl_opt.problems", "fl_opt.policies", "fl_opt.validation")
"""Rooms that export their names here by listing them in ``__all__``."""

__all__ = [
    "SOLVERS",
    "Allocation",
    "Arm",
    "Certificate",
    "FedAvg",
    "Infeasible",
    "InvalidInput",
    "Network",
    "Outcome",
    "Policy",
    "Report",
    "Round",
    "Scenario",
    "Solution",
    "Task",
    "Trace",
    "Workload",
    "compare",
    "simulate",
    "solve",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if not name.startswith("_"):
        if f"fl_opt.{name}" in _ROOMS:
            return importlib.import_module(f"fl_opt.{name}")
        for room in _ROOMS:
            module = importlib.import_module(room)
            if name in module.__all__:
                return getattr(module, name)
    raise AttributeError(f"module 'fl_opt' has no attribute {name!r}")


def __dir__() -> list[str]:
    rooms = [name for room in _ROOMS for name in importlib.import_module(room).__all__]
    return sorted({*globals(), *__all__, *rooms})
