"""Turns pictures into features by a network of a reader's own, in her own script."""
