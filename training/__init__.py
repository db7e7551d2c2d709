"""The pocket lab and the paper's comparison models, trained."""
