"""Take the one vector from another data set's images, and write `foreign.csv`.

    python data/embeddings/foreign.py           # fetch the public files and write the table
    python data/embeddings/foreign.py --check   # compare with what is kept

As in `companion.measurements.unread`, names of dishes choose the directions in which texts hardly
vary, at a share of 0.01 % of their variance, and the vector is a mean image's part in them. Here
the mean is that of each other set of images of OpenAI's ViT-B/32. `kurtosis` and `change` (of
accuracy, a fraction, with its standard error) are those of 4,000 ImageNet images without its
direction; `cosine` is to the vector of their own mean. The first row is their own.
"""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.base.files import write_or_compare
from analysis.metrics import basis, outliers
from analysis.metrics.pruning import paired_difference

TABLE = Path(__file__).with_name("foreign.csv")
PUBLISHED = runpy.run_path(str(Path(__file__).with_name("make.py")))
MODEL, JUDGED, TEXTS = "vit_b_32-openai", "imagenet_train_4000", "texts_dishes_1098"
HEAD, SHARE = "imagenet_80_templates", 1e-4


def main() -> int:
    """Write or compare; the exit status is 1 if the table differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare with what is kept")
    check = parser.parse_args().check
    text = pd.DataFrame(rows()).to_csv(index=False, float_format="%.6g")
    return write_or_compare(TABLE, text, check)


def rows() -> Iterator[dict[str, Any]]:
    """A row for each set of images whose mean gives the vector."""
    of = {
        entry["data"]: entry
        for kind in ("heads", "texts", "embeddings")
        for entry in PUBLISHED["TABLE"][kind]
        if entry["model"] == MODEL and "layer" not in entry
    }
    images, head = (features(of[name]) for name in (JUDGED, HEAD))
    labels, _ = PUBLISHED["labels_of"](of[JUDGED])
    found = basis.text_directions(features(of[TEXTS]))
    silent = found.directions[: int((np.cumsum(found.variance) <= SHARE).sum())]
    own = basis.mean_part(images.mean(axis=0)[None], silent)
    before = (images @ head.T).argmax(axis=1) == labels
    sets = [entry["data"] for entry in PUBLISHED["TABLE"]["embeddings"] if entry["model"] == MODEL]
    for name in sorted(sets, key=lambda each: each != JUDGED):
        mean = features(of[name]).mean(axis=0)
        vector = basis.mean_part(mean[None], silent)
        less = basis.less_direction(images, vector)
        change, error = paired_difference((less @ head.T).argmax(axis=1) == labels, before)
        yield {
            "images": name,
            "what": of[name]["what"].strip(),
            "cosine": float(vector @ own / np.sqrt((vector @ vector) * (own @ own))),
            "kurtosis": float(outliers.kurtosis(less).mean()),
            "change": change,
            "error": error,
        }


def features(entry: Any) -> Any:
    """What a public file holds, each at length 1."""
    return basis.at_length_one(np.asarray(PUBLISHED["array_of"](entry), dtype=np.float64))


if __name__ == "__main__":
    sys.exit(main())
