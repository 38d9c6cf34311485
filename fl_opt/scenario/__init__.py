"""How nature draws: layout, path loss, fading, mobility, devices, batteries. Read from TOML."""

from __future__ import annotations

from fl_opt.scenario.layout import Layout as Layout
from fl_opt.scenario.nature import Scenario as Scenario
from fl_opt.scenario.nature import names as names
from fl_opt.scenario.reading import keys_table as keys_table
from fl_opt.scenario.reading import template as template

__all__ = ["Layout", "Scenario", "keys_table", "names", "template"]
