"""Turns pictures into arrays on disk: any encoder, extraction, heads, the store."""
