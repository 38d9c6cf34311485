"""What can go wrong, as an answer: input that is no problem, and problems without a solution."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fl_opt.units import quantity, unit_of

SHOWN_DEVICES = 5
Relaxations = Mapping[str, float | None]


class InvalidInput(ValueError):
    """Input that states no problem. The text says what is wrong, where, and how to cure it."""

    def __init__(self, where: str, value: object, expected: str, cure: str = "") -> None:
        self.where, self.value, self.expected, self.cure = where, value, expected, cure
        text = f"{where} is {value!s}; expected {expected}"
        super().__init__(f"{text}; {cure}" if cure else text)

    def __reduce__(self) -> tuple[type[InvalidInput], tuple[str, object, str, str]]:
        return type(self), (self.where, self.value, self.expected, self.cure)


def device_list(devices: Sequence[int] | NDArray[np.int_]) -> str:
    """A few device numbers for a message: ``"devices 3, 5, 8 and 40 more"``."""
    shown = ", ".join(str(int(k)) for k in devices[:SHOWN_DEVICES])
    more = len(devices) - SHOWN_DEVICES
    return f"device{'s' * (len(devices) != 1)} {shown}" + (f" and {more} more" if more > 0 else "")


class Infeasible(Exception):
    """No allocation meets the constraints. An answer, not a failure.

    Attributes
    ----------
    constraint
        Name of the constraint that cannot be met, as in ``Problem.excess``.
    devices
        (n,) indices of the devices that cannot meet it; all devices when they fail together.
    relaxations
        For each limit, by the name of its argument: the least value that cures the problem when
        that limit alone is moved and the others stay; None where no value does. Given as a mapping
        or as a function that is called when somebody asks.
    reason
        One sentence with the numbers.
    """

    def __init__(
        self,
        reason: str,
        *,
        constraint: str,
        devices: Sequence[int] | NDArray[np.int_] = (),
        relaxations: Relaxations | Callable[[], Relaxations] | None = None,
    ) -> None:
        self.reason, self.constraint = reason, constraint
        self.devices = np.asarray(devices, dtype=int)
        self._relaxations = relaxations or {}
        super().__init__(reason)

    @property
    def relaxations(self) -> Relaxations:
        """Cures by the name of the limit; computed on first use."""
        if not isinstance(self._relaxations, Mapping):
            self._relaxations = self._relaxations()
        return self._relaxations

    def __str__(self) -> str:
        cures = [
            f"{name} = {quantity(value, unit_of(name), 6)}"
            for name, value in self.relaxations.items()
            if value is not None
        ]
        if not self.relaxations:
            return self.reason
        if not cures:
            return f"{self.reason}; moving one limit alone does not cure it"
        return f"{self.reason}; cured by {' or '.join(cures)}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.reason, self.constraint, self.devices, self.relaxations)


class SolverFailure(RuntimeError):
    """A solver ended with neither a decision nor a proof that there is none."""

    def __init__(self, solver: str, reason: str, cure: str) -> None:
        self.solver, self.reason, self.cure = solver, reason, cure
        super().__init__(f"{solver} gave no answer: {reason}; {cure}")

    def __reduce__(self) -> tuple[type[SolverFailure], tuple[str, str, str]]:
        return type(self), (self.solver, self.reason, self.cure)


def _rebuild(
    reason: str,
    constraint: str,
    devices: NDArray[np.int_],
    relaxations: Relaxations,
) -> Infeasible:
    return Infeasible(reason, constraint=constraint, devices=devices, relaxations=relaxations)
