"""Trains the pocket lab's models, on its emoji."""
