"""Makes what a notebook shows: figures, tables, words."""
