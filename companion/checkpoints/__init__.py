"""Where encoders come from: what a checkpoint's name means, and files of weights, read safely."""
