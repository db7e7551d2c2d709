"""Notebooks executed, what is current, the grid."""
