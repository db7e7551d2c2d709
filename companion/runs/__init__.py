"""Executes notebooks, knows what is current, and runs the grid."""
