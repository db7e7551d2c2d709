"""Executes notebooks, finds out what is current, and runs the grid."""
