"""Algorithms: one file each, which knows a structure and never a formulation."""
