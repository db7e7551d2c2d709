"""A companion to F. J. Anscombe, Graphs in Statistical Analysis (1973): no encoder, no images."""
