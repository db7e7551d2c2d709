"""Extracting the features that a command asks for, with a line on each file for who waits."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from analysis.families.registry import Model
from analysis.features import plan, store
from analysis.images.imagelist import ImageList
from companion.runs.options import Extraction


def extracted(
    asked: Extraction,
    models: Sequence[Model],
    data: Sequence[ImageList],
    checkpoint: Path | None = None,
) -> Iterator[str]:
    """Extract the features of data sets; yields their paths, with the images left out."""
    from analysis.features.devices import gpu
    from analysis.features.extract import extract
    from companion.checkpoints import loading

    for images in data:
        for path in (store.features_path(model.name, images.name) for model in models):
            with contextlib.suppress(store.StoreError):
                before = store.read_sidecar(path)["precision"]
                if before != asked.precision:
                    yield f"{path} exists in {before}: it is computed again in {asked.precision}"
        for model in models if checkpoint is None else ():
            if why := plan.why_again(model, images, asked.settings()):
                path = store.features_path(model.name, images.name)
                how = "a sample is compared" if "other " not in why[0] else "it is computed again"
                print(f"{path}: {how}, because of {'; '.join(why)}", file=sys.stderr, flush=True)
    with gpu(asked.device if data else "cpu") as device:
        settings = replace(asked.settings(), device=device if data else asked.device)
        paths = extract(models, data, settings, load=loading.load, checkpoint=checkpoint)
    for path in paths:
        left_out = store.read_features(path).sidecar["data"]["left_out"]
        yield f"{path} ({len(left_out)} left out: {', '.join(left_out)})" if left_out else str(path)
