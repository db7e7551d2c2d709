"""κ from two published moments: draws of the Gaussian with their mean and covariance.

    python data/moments/make.py           # write kurtosis.csv
    python data/moments/make.py --check   # compare with the one that is kept

The whitening matrix W has W Σ Wᵀ = 1 or Wᵀ Σ W = 1 for the covariance Σ, by whether it is meant to
multiply from the left or from the right; its authors do not say in the file, so there is a row for
each.
"""

import io
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from analysis.metrics.outliers import outlier_features
from companion.sources.public import fetch

FILE = Path(__file__).with_name("kurtosis.csv")
DRAWS, SEED = 4000, 0


def made() -> pd.DataFrame:
    """One row for each way to read the matrix."""
    names = ("W_CLIP/mean_image_L14.pt", "W_CLIP/w_mat_image_L14.pt")
    mean, w = (torch.load(fetch(n), "cpu", weights_only=True).double().numpy() for n in names)
    rows = []
    for convention, gram in (("left", w.T @ w), ("right", w @ w.T)):
        root = np.linalg.cholesky(np.linalg.inv(gram))
        noise = np.random.default_rng(SEED).standard_normal((DRAWS, mean.size))
        found = outlier_features(mean.ravel() + noise @ root.T)
        low, high = found.kurtosis_percentiles[[5, 95]]
        rows.append(
            {
                "model": "vit_l_14-openai", "convention": convention,
                "kurtosis": found.kurtosis_mean, "low": low, "high": high,
                "leader": found.persistence.coordinate, "leads": found.persistence.fraction,
                "draws": DRAWS, "seed": SEED,
            }
        )  # fmt: skip
    return pd.DataFrame(rows).round(4)


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        kept = pd.read_csv(FILE)
        fresh = pd.read_csv(io.StringIO(made().to_csv(index=False)))
        pd.testing.assert_frame_equal(kept, fresh, rtol=1e-3)
        print(f"{FILE.name} is as kept")
    else:
        made().to_csv(FILE, index=False)
