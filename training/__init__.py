"""Trains the pocket lab and the paper's comparison models."""
