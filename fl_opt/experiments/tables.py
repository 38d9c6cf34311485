"""What an experiment found, as texts: for the terminal, for pages, for the documentation."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Sequence

from fl_opt.experiments.experiment import Experiment, Row
from fl_opt.experiments.runner import Outcome

HEADS = ("ours", "threshold", "met", "source")
MET = {True: "yes", False: "no", None: ""}
_PREFIXED = ("s", "J", "bit", "Hz", "W", "m", "%", "bit/s", "J/s")
"""Units that take a prefix: a point of accuracy takes none."""
_TINY = 1e-3
"""Numbers below are told with their power of ten."""


def title(experiment: Experiment) -> str:
    """First line of the module's docstring, without the full stop."""
    return _paragraphs(experiment)[0].rstrip(".")


def story(experiment: Experiment) -> list[str]:
    """The other paragraphs of the module's docstring."""
    return _paragraphs(experiment)[1:]


def _paragraphs(experiment: Experiment) -> list[str]:
    text = sys.modules[type(experiment).__module__].__doc__ or experiment.name
    return [" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n")]


def ours(row: Row) -> tuple[str, str]:
    """The value with its unit, and the interval; a single number with all its digits."""
    from fl_opt.report.words import told

    ends = (row.ours.value, row.ours.low, row.ours.high)
    finite = [abs(end) for end in ends if math.isfinite(end)]
    if row.unit in _PREFIXED and len(finite) == 3:
        return told(row.ours, row.unit)
    if len(finite) == 3 and max(finite) >= _TINY:
        text, detail = told(row.ours, "")
        return f"{text} {row.unit}".rstrip(), detail
    factor, digits = (100.0, 6) if row.unit == "%" else (1.0, 6 if len(finite) == 1 else 2)
    texts = [_number(factor * end, digits) for end in ends]
    return f"{texts[0]} {row.unit}".rstrip(), " to ".join(texts[1:]) if len(finite) == 3 else ""


def _number(value: float, digits: int) -> str:
    """With some digits; a whole number with all of them."""
    from fl_opt.report.scales import sci

    if not math.isfinite(value):
        return "–"
    if value == int(value):
        return f"{value:,.0f}".replace(",", " ").replace("-", "−")
    return sci(value, digits)


def lines(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """What it is, then the columns of ``HEADS``: a tuple of texts for each row."""
    found: list[tuple[str, ...]] = []
    for row in rows:
        text, detail = ours(row)
        shown = f"{text} ({detail})" if detail else text
        found.append((row.what, shown, row.threshold, MET[row.met], row.source))
    return found


def verdict(outcome: Outcome) -> str:
    """How many thresholds were met, in a sentence without a full stop."""
    if not outcome.complete:
        return f"unfinished, {len(outcome.runs)} of {len(outcome.experiment.cells())} runs"
    judged = [row.met for row in outcome.rows if row.met is not None]
    if not outcome.held:
        return "held to no threshold"
    if not judged:
        return "no threshold was set"
    return f"{sum(judged)} of {len(judged)} thresholds met"


def setting(outcome: Outcome) -> str:
    """On which data, in how many runs."""
    one = outcome.experiment
    data = f"data {one.dataset}, " if one.dataset else ""
    cells = one.cells()
    seeds = len({cell.seed for cell in cells})
    return f"{data}{len(cells)} runs, {seeds} seed{'s' * (seeds != 1)}"


def spent(outcome: Outcome) -> str:
    """Processor time of its runs, those included that were kept; "" where it is not known."""
    if math.isnan(outcome.seconds):
        return ""
    return f"{outcome.seconds / 60.0:.1f} minutes of one core"
