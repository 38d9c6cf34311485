"""Experiments that can be run again by name: what a source says, what we measure, what was asked.

An experiment is one file with a record named ``EXPERIMENT``, and one line in ``NAMES``; see
``fl_opt.experiments.experiment``. ``fl-opt reproduce NAME`` runs it.
"""

from __future__ import annotations

import importlib

from fl_opt.experiments.experiment import Cell as Cell
from fl_opt.experiments.experiment import Data as Data
from fl_opt.experiments.experiment import Experiment as Experiment
from fl_opt.experiments.experiment import Results as Results
from fl_opt.experiments.experiment import Row as Row

NAMES: tuple[str, ...] = (
    "compression",
    "compression-levels",
    "over-the-air",
    "personalised",
    "hierarchical",
    "edge-association",
    "decentralised",
    "distillation",
    "privacy",
    "split-inference",
    "asynchronous",
    "calibration",
    "local-steps",
)
"""A line each; ``some-name`` lives in ``fl_opt/experiments/some_name.py``."""


def load(name: str) -> Experiment:
    """The experiment of that name, in its full settings."""
    module = importlib.import_module(f"fl_opt.experiments.{name.replace('-', '_')}")
    experiment: Experiment = module.EXPERIMENT
    return experiment
