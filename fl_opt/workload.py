"""What learning asks of a device in one round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.checks import vector
from fl_opt.errors import InvalidInput
from fl_opt.units import Floats


@dataclass(frozen=True, eq=False)
class Workload:
    """Work of one round. It comes from the training method and the task, not from nature.

    Parameters
    ----------
    cycles
        (K,) CPU cycles of local training [cycle].
    upload_bit
        (K,) size of one update [bit].
    samples
        (K,) training samples held, the usual weight of a device [-].

    Scalars broadcast against the longest array.
    """

    cycles: Floats
    upload_bit: Floats
    samples: Floats

    def __init__(self, cycles: ArrayLike, upload_bit: ArrayLike, samples: ArrayLike) -> None:
        size = max(np.size(cycles), np.size(upload_bit), np.size(samples))
        if size == 0:
            raise InvalidInput("Workload", "empty", "at least one device")
        object.__setattr__(self, "cycles", vector("cycles", cycles, size))
        object.__setattr__(self, "upload_bit", vector("upload_bit", upload_bit, size))
        object.__setattr__(self, "samples", vector("samples", samples, size))

    @property
    def size(self) -> int:
        """Number of devices K."""
        return int(self.cycles.shape[0])
