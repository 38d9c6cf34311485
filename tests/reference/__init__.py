"""The models of the FDMA round once more, by other methods, for the tests to compare with.

``exact`` computes in 60 digits by golden sections and one price, ``nonlinear`` by sequential
quadratic programming in logarithms. They write rate, time and energy out anew and share no line
with ``fl_opt.physics``, ``fl_opt.kernels`` or the solvers.
"""
