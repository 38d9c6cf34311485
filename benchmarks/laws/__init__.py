"""A law of random instances for every formulation, for `benchmarks.formulations` and the tests."""

from __future__ import annotations

from benchmarks.laws import blocks, choices, counts, networks, rounds, superposed
from benchmarks.laws.law import Law as Law

LAWS: dict[str, Law] = {
    **rounds.LAWS,
    **choices.LAWS,
    **blocks.LAWS,
    **superposed.LAWS,
    **counts.LAWS,
    **networks.LAWS,
}
"""By the name of the formulation."""
