"""Says what the paper claims, and what follows from the measurements."""
