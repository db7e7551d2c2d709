"""What extracting features costs, as tables: disk, speed on a CPU, and minutes on GPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.families.registry import Model

#: Bytes that an image's label and its row number take.
LABEL_BYTES = 16
#: Numbers of GPUs that share the work.
GPUS = (1, 8)


def gigabytes(models: Sequence[Model], images: int, each: int) -> float:
    """Features of so many images by all models, at so many bytes a component."""
    return images * sum(m.width * each + LABEL_BYTES for m in models) / 1e9


def extractions(encoders: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Measured speed and memory of each encoder, as `data/throughput/full_size.json` has them."""
    return pd.DataFrame(
        {
            "encoder": one["architecture"],
            "images": f"{one['images']:,}",
            "files to features (images/s)": f"{one['images_per_second']:.1f}",
            "encoder alone (images/s)": " / ".join(f"{x:.1f}" for x in alone),
            "share (%)": f"{100 * one['images_per_second'] / np.mean(alone):.0f}",
            "memory early (MiB)": f"{one['memory_early'] / 2**20:.0f}",
            "at the end (MiB)": f"{one['memory_late'] / 2**20:.0f}",
        }
        for one in encoders
        for alone in [one["alone_per_second"]]
    )


def minutes(
    models: Mapping[str, Sequence[Model]],
    speeds: Mapping[str | None, float],
    images: int,
    decoding: float,
    cores: int,
) -> pd.DataFrame:
    """Minutes on GPUs for each family, by title, and for all; models without a speed left out.

    ``speeds``: architecture → images a second. ``decoding``: seconds that one core takes to decode
    an image, for one GPU so many ``cores`` do; the slower of decoding and encoding decides.
    """
    timed = {
        title: [1 / speeds[m.architecture] for m in own if m.architecture in speeds]
        for title, own in models.items()
    }
    timed = {title: seconds for title, seconds in timed.items() if seconds}
    encoding = {title: [sum(seconds)] for title, seconds in timed.items()}
    encoding["all"] = [sum(seconds) for seconds in timed.values()]
    counts = {title: len(seconds) for title, seconds in timed.items()}
    counts["all"] = sum(counts.values())
    return pd.DataFrame(
        {
            "family": title,
            "models": str(counts[title]),
            "encoders alone, 1 GPU (min)": _minutes(images * sum(each)),
            **{
                f"with decoding, {n} GPU{'s' * (n > 1)} (min)": _minutes(
                    images * sum(max(seconds, decoding / cores) for seconds in each) / n
                )
                for n in GPUS
            },
            "cores that one GPU needs": f"{np.ceil(decoding / each[0]):.0f}"
            if len(each) == 1
            else "",
        }
        for title, each in encoding.items()
    )


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}"
