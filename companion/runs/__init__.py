"""Says what runs need of features and measurements, and runs the grid."""
