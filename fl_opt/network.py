"""The radio network of one round: who could take part, over which channel, with what means."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fl_opt.checks import number, vector
from fl_opt.errors import InvalidInput, device_list
from fl_opt.units import THERMAL_NOISE_W_HZ, Floats

_ARRAYS: dict[str, dict[str, Any]] = {
    "gain": {},
    "power_max_w": {"finite": False},
    "cpu_min_hz": {},
    "cpu_max_hz": {"open_low": True},
    "capacitance": {},
    "cycles": {},
    "upload_bit": {},
    "energy_j": {"finite": False},
    "samples": {},
    "noise_w_hz": {"open_low": True},
}


@dataclass(frozen=True, eq=False, init=False)
class Network:
    """Frozen arrays of one round of orthogonal access, (K,) over devices, SI units.

    Parameters
    ----------
    gain
        Channel power gain h, path loss and fading together [-]. Zero is a dead link.
    power_max_w
        Largest transmit power [W]; may be infinite where an energy limit is given.
    cpu_min_hz, cpu_max_hz
        Slowest and fastest CPU clock [cycle/s].
    capacitance
        Effective switched capacitance kappa: training takes kappa C f^2 joule [J s^2/cycle^3].
    cycles
        CPU cycles C of local training in this round [cycle].
    upload_bit
        Size s of the update to be sent [bit].
    energy_j
        Energy that the device may spend in this round, training and upload [J]; default infinite.
    samples
        Training samples held, the usual utility of a device [-].
    band_hz
        Bandwidth B shared by the devices [Hz], a scalar.
    noise_w_hz
        Noise density N0 at the receiver [W/Hz]; default -174 dBm/Hz.

    Scalars broadcast to the longest array; the arrays are read-only copies. Raises
    ``InvalidInput`` (a ``ValueError``) for NaN, a wrong shape or sign, or infinity where a finite
    value is meant, naming field, device, value and range.

    >>> import fl_opt
    >>> network = fl_opt.Network(
    ...     gain=[1e-10, 4e-12], power_max_w=0.2, cpu_min_hz=1e8, cpu_max_hz=2e9,
    ...     capacitance=1e-28, cycles=2e8, upload_bit=3e5, samples=[600, 400], band_hz=2e6)
    >>> network.size
    2
    >>> network[[False, True]].samples
    array([400.])
    """

    gain: Floats
    power_max_w: Floats
    cpu_min_hz: Floats
    cpu_max_hz: Floats
    capacitance: Floats
    cycles: Floats
    upload_bit: Floats
    energy_j: Floats
    samples: Floats
    noise_w_hz: Floats
    band_hz: float

    def __init__(
        self,
        *,
        gain: ArrayLike,
        power_max_w: ArrayLike,
        cpu_min_hz: ArrayLike,
        cpu_max_hz: ArrayLike,
        capacitance: ArrayLike,
        cycles: ArrayLike,
        upload_bit: ArrayLike,
        energy_j: ArrayLike = math.inf,
        samples: ArrayLike,
        band_hz: float,
        noise_w_hz: ArrayLike = THERMAL_NOISE_W_HZ,
    ) -> None:
        given: dict[str, ArrayLike] = {
            "gain": gain,
            "power_max_w": power_max_w,
            "cpu_min_hz": cpu_min_hz,
            "cpu_max_hz": cpu_max_hz,
            "capacitance": capacitance,
            "cycles": cycles,
            "upload_bit": upload_bit,
            "energy_j": energy_j,
            "samples": samples,
            "noise_w_hz": noise_w_hz,
        }
        sizes = [np.size(value) for value in given.values()]
        if min(sizes) == 0:
            raise InvalidInput("Network", "empty", "at least one device")
        for name, value in given.items():
            checked = vector(name, value, max(sizes), **_ARRAYS[name])
            object.__setattr__(self, name, checked)
        object.__setattr__(self, "band_hz", number("band_hz", band_hz))
        wrong = np.flatnonzero(self.cpu_min_hz > self.cpu_max_hz)
        if wrong.size:
            k = wrong[0]
            raise InvalidInput(
                f"cpu_min_hz[{k}]",
                f"{self.cpu_min_hz[k]:g} Hz",
                f"at most cpu_max_hz[{k}] = {self.cpu_max_hz[k]:g} Hz",
                f"lower cpu_min_hz or raise cpu_max_hz of {device_list(wrong)}",
            )

    @property
    def size(self) -> int:
        """Number of devices K."""
        return int(self.gain.shape[0])

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: ArrayLike | slice) -> Network:
        """The network of some devices: a mask (K,), indices, or a slice; the band stays whole."""
        if not isinstance(index, slice):
            index = np.atleast_1d(np.asarray(index))
            if index.dtype == bool and index.shape != (self.size,):
                raise InvalidInput("mask.shape", index.shape, f"({self.size},)")
            if index.size == 0:
                raise InvalidInput("index", "empty", "at least one device")
        return self.replace(**{name: getattr(self, name)[index] for name in _ARRAYS})

    def replace(self, **changes: Any) -> Network:
        """A copy with some fields changed, checked anew."""
        unknown = changes.keys() - {item.name for item in dataclasses.fields(self)}
        if unknown:
            raise InvalidInput(
                "Network.replace", ", ".join(sorted(unknown)), "names of fields of Network"
            )
        return dataclasses.replace(self, **changes)

    def __repr__(self) -> str:
        return f"Network(size={self.size}, band_hz={self.band_hz:g})"

    def to_dict(self) -> dict[str, Any]:
        """Fields by name: lists of floats and the scalar band; infinity is the text "inf"."""
        data: dict[str, Any] = {"band_hz": self.band_hz}
        for name in _ARRAYS:
            values = getattr(self, name).tolist()
            data[name] = [value if math.isfinite(value) else "inf" for value in values]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "network") -> Network:
        """A network from `to_dict`, or from any mapping of fields to numbers or lists."""
        names = {item.name for item in dataclasses.fields(cls)}
        unknown = sorted(data.keys() - names)
        if unknown:
            raise InvalidInput(f"{where}: {unknown[0]}", "unknown", f"one of {sorted(names)}")
        optional = {"energy_j", "noise_w_hz"}
        missing = [name for name in sorted(names - optional) if name not in data]
        if missing:
            raise InvalidInput(
                f"{where}: {', '.join(missing)}", "missing", "a column or a value for all devices"
            )
        return cls(**data)

    def to_json(self, path: str | Path) -> None:
        """Write as JSON; floats keep all their digits."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def from_json(cls, path: str | Path) -> Network:
        """Read what `to_json` wrote. Raises ``InvalidInput`` naming the file and the place."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(str(path), f"not JSON ({error})", "an object of fields") from None
        if not isinstance(data, dict):
            raise InvalidInput(str(path), type(data).__name__, "an object of fields")
        return cls.from_dict(data, str(path))

    def to_csv(self, path: str | Path) -> None:
        """Write a comment line ``# band_hz = ...`` and a column per array; all digits are kept."""
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            file.write(f"# band_hz = {self.band_hz!r}\n")
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(_ARRAYS)
            columns = [getattr(self, name).tolist() for name in _ARRAYS]
            writer.writerows(zip(*columns, strict=True))

    @classmethod
    def from_csv(cls, path: str | Path, **scalars: float) -> Network:
        """Read a CSV with a column per array and a row per device.

        A field that is the same for all devices, and `band_hz`, may stand in a comment line
        ``# name = value`` above the header or be given as a keyword, which wins. Raises
        ``InvalidInput`` naming file, line, column and value.
        """
        try:
            lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise InvalidInput(str(path), f"not text ({error})", "a CSV file in UTF-8") from None
        data: dict[str, Any] = {}
        rows: list[tuple[int, list[str]]] = []
        for line_number, line in enumerate(lines, 1):
            if line.startswith("#"):
                name, equals, text = line[1:].partition("=")
                if equals:
                    data[name.strip()] = _cell(text, f"{path}:{line_number} {name.strip()}")
            elif line.strip():
                rows.append((line_number, next(csv.reader([line]))))
        if len(rows) < 2:
            raise InvalidInput(str(path), "without devices", "a header and a row per device")
        header = [name.strip() for name in rows[0][1]]
        repeated = [name for name in header if header.count(name) > 1]
        if repeated:
            raise InvalidInput(f"{path}: column {repeated[0]}", "repeated", "each column once")
        if "band_hz" in header:
            raise InvalidInput(
                f"{path}: band_hz",
                "a column",
                "one number, which all devices share",
                "write '# band_hz = 1e6' above the header",
            )
        for line_number, row in rows[1:]:
            if len(row) != len(header):
                raise InvalidInput(
                    f"{path}:{line_number}", f"{len(row)} cells", f"{len(header)}, as in the header"
                )
        for column, name in enumerate(header):
            data[name] = [_cell(row[column], f"{path}:{at} {name}") for at, row in rows[1:]]
        return cls.from_dict(data | scalars, str(path))


def _cell(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidInput(where, repr(text.strip()), "a number") from None
