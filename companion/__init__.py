"""What is said of the paper with the science in `analysis`: data, measurements, claims, pages."""
