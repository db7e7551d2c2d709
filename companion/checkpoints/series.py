"""Checkpoints of one training on the same pictures: built once, decoded once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from analysis.features.decode import decoded
from analysis.features.devices import computing
from analysis.features.encoders import Loaded
from analysis.features.extract import Encoder, device_for
from analysis.features.plan import ExtractionError, ExtractionSettings
from analysis.features.preprocess import geometry
from analysis.images.imagelist import ImageList
from companion.checkpoints import loading, lookup


class Series:
    """Features of the same pictures by one file of weights after the other."""

    def __init__(self, architecture: str, images: ImageList, settings: ExtractionSettings) -> None:
        self._architecture, self._images, self._settings = architecture, images, settings
        self._loaded: Loaded | None = None
        self._pixels: list[Tensor] = []

    def features(self, path: Path) -> NDArray[np.float32]:
        """What a file's network makes of the pictures: (N, d).

        Raises ExtractionError for damaged pictures, and what finding and loading weights raise.
        """
        before = self._loaded
        self._loaded = loading.exchanged(before, path) if before else None
        if self._loaded is None:
            model = lookup.find(str(path), architecture=self._architecture)
            model = model.model_copy(update={"head": "none"})
            self._loaded = loading.load(model, None, device_for(self._settings.device))
        loaded = self._loaded
        wanted = loaded.model.preprocessing
        if not self._pixels or (before and before.model.preprocessing != wanted):
            self._pixels = [*self._decoded(loaded)]
        encoder = Encoder(loaded, self._settings)
        with computing([loaded.encoder]):
            parts = [encoder(some.to(loaded.device)).cpu() for some in self._pixels]
        array: NDArray[np.float32] = torch.cat(parts).numpy()
        return array

    def _decoded(self, loaded: Loaded) -> Iterator[Tensor]:
        """The pictures' bytes, batch by batch."""
        images, settings = self._images, self._settings
        wanted, shards = geometry(loaded.model.preprocessing), -(-len(images) // settings.shard)
        with tqdm(total=len(images), unit=" images", leave=False, disable=None) as bar:
            for batch in decoded(images, {shard: [wanted] for shard in range(shards)}, settings):
                if batch.left_out and not settings.leave_out_damaged:
                    named = "; ".join(f"{images.keys[i]} ({w})" for i, w in batch.left_out.items())
                    raise ExtractionError(
                        f"images cannot be decoded: {named}; replace them, or leave such images "
                        "out with --leave-out-damaged."
                    )
                bar.update(len(batch.indices))
                yield batch.sound(wanted)
