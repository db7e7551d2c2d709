"""Turns arrays into numbers: the paper's definitions, on NumPy and SciPy alone."""

from analysis.metrics.directions import decompose, importance, mean_absolute_cosine, privileged
from analysis.metrics.outliers import kurtosis, outlier_features, persistence
from analysis.metrics.pruning import prune, pruning_curve
from analysis.metrics.robustness import effective_robustness, fit_baseline, logit

__all__ = [
    "decompose",
    "effective_robustness",
    "fit_baseline",
    "importance",
    "kurtosis",
    "logit",
    "mean_absolute_cosine",
    "outlier_features",
    "persistence",
    "privileged",
    "prune",
    "pruning_curve",
]
