"""Formulations: one file each, with its page of maths as the docstring."""

from fl_opt.problems.min_energy import MinEnergy as MinEnergy

__all__ = [name for name, value in globals().items() if isinstance(value, type)]
