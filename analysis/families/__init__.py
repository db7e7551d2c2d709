"""What to look at: family files, and what a reader types, become models."""
