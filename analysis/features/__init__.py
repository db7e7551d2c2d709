"""Turns pictures into arrays on disk: encoders, weights, extraction, the store."""
