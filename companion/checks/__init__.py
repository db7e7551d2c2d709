"""Says whether a contributed measurement can be right: its numbers alone, and beside others."""
