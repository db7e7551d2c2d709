"""The science: what to look at, which pictures, features of them, and the paper's metrics."""
