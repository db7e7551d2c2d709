"""Arrays become numbers: the paper's definitions, on NumPy and SciPy alone."""
