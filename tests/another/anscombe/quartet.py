"""The four data sets of the paper, what they have in common, and the paper's claim about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

FILE = Path(__file__).resolve().parents[1] / "data" / "quartet.csv"
SETS = ("I", "II", "III", "IV")


def read() -> pd.DataFrame:
    """All points: columns set, x and y."""
    return pd.read_csv(FILE)


def summary(points: pd.DataFrame) -> dict[str, float]:
    """Means, variances, correlation and least-squares line of the points x, y of one set."""
    x, y = points["x"].to_numpy(), points["y"].to_numpy()
    slope, intercept = np.polyfit(x, y, 1)
    of_each = {"mean x": x.mean(), "mean y": y.mean(), "variance of x": x.var(ddof=1)}
    line = {"slope": slope, "intercept": intercept, "correlation": np.corrcoef(x, y)[0, 1]}
    return of_each | {"variance of y": y.var(ddof=1)} | line


def claim(summaries: pd.DataFrame) -> str:
    """The paper's claim that all sets have the same line, to two digits: holds or fails."""
    line = summaries[["slope", "intercept"]].round(2)
    return "holds" if len(line.drop_duplicates()) == 1 else "fails"
