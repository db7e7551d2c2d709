"""What a notebook shows: figures, tables, words."""
