"""Pictures become arrays on disk: encoders, weights, extraction, the store."""
