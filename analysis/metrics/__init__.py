"""Turns arrays into numbers: the paper's definitions, on NumPy and SciPy alone."""
