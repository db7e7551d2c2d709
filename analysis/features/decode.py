"""Images decoded ahead of the encoders, by threads, once for all geometries."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import torch
from torch import Tensor

from analysis.features.plan import ExtractionSettings
from analysis.features.preprocess import Geometry, to_pixels
from analysis.images.imagelist import DamagedImageError, ImageList

#: Batches that are being decoded while others are being encoded.
AHEAD = 4
#: Images per task: few enough to share out, enough to be worth a task.
STEP = 8


@dataclass
class Batch:
    """Some consecutive images of one shard: which are sound, and their pixels by geometry."""

    shard: int
    indices: range
    pixels: dict[Geometry, Tensor]
    left_out: dict[int, str] = field(default_factory=dict)

    def sound(self, wanted: Geometry) -> Tensor:
        """Return the pixels of the images that could be decoded, uint8 (n, 3, size, size)."""
        if not self.left_out:
            return self.pixels[wanted]
        keep = [j for j, i in enumerate(self.indices) if i not in self.left_out]
        return self.pixels[wanted][keep]


def decoded(
    images: ImageList,
    needed: Mapping[int, Sequence[Geometry]],
    settings: ExtractionSettings,
    *,
    pinned: bool = False,
) -> Iterator[Batch]:
    """Yield the batches of some shards in order, each decoded once and resized per geometry.

    ``needed`` gives the geometries for each shard. Threads work on the next batches meanwhile:
    decoding and resizing leave Python's lock.
    """
    pool = ThreadPoolExecutor(settings.workers)
    under_way: deque[tuple[Batch, list[Future[None]]]] = deque()

    def submit(shard: int, indices: range) -> tuple[Batch, list[Future[None]]]:
        pixels = {
            g: torch.empty((len(indices), 3, g[1], g[1]), dtype=torch.uint8, pin_memory=pinned)
            for g in needed[shard]
        }
        batch = Batch(shard, indices, pixels)
        places = range(len(indices))
        return batch, [
            pool.submit(_decode, images, batch, places[i : i + STEP]) for i in places[::STEP]
        ]

    try:
        for shard in needed:
            everything = range(len(images))[shard * settings.shard : (shard + 1) * settings.shard]
            for first in range(0, len(everything), settings.batch_size):
                under_way.append(submit(shard, everything[first : first + settings.batch_size]))
                if len(under_way) > AHEAD:
                    yield _finished(*under_way.popleft())
        while under_way:
            yield _finished(*under_way.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _decode(images: ImageList, batch: Batch, places: range) -> None:
    """Fill in the pixels of some images of a batch, or note why they cannot be decoded."""
    for place in places:
        try:
            picture = images.image(batch.indices[place])
            for wanted, pixels in batch.pixels.items():
                pixels.numpy()[place] = to_pixels(picture, wanted)
        except DamagedImageError as error:
            batch.left_out[batch.indices[place]] = error.reason


def _finished(batch: Batch, futures: Sequence[Future[None]]) -> Batch:
    for future in futures:
        # It raises here what was raised in the thread.
        future.result()
    batch.left_out = dict(sorted(batch.left_out.items()))
    return batch
