"""What to look at: turns family files, and what a reader types, into models."""
