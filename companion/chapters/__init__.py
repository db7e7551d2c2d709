"""Makes the frames, figures and tables of the book's chapters."""
