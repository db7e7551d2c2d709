"""Which pictures, in which order: image lists, the paper's sets, Broden, emoji."""
