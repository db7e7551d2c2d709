"""The machinery that makes a book of the science in `analysis`."""
