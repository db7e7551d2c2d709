"""Turns pictures into arrays on disk: preprocessing, extraction, heads, the store."""
