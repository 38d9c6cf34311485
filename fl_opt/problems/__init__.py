"""Formulations: one file each, with its page of maths as the docstring."""
