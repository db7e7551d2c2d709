"""Makes the figures, tables and texts that a notebook shows."""
