"""Extraction: every image of a data set through every encoder of a family, once.

Images are decoded and resized once, by threads, for all encoders that share the geometry of their
input, while the encoders work. Features are kept shard by shard. An extraction that was killed
continues after its last whole shard; since batches are cut at the same images each time, its result
equals that of an uninterrupted one.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby, islice
from pathlib import Path
from re import sub
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from analysis.base.files import fingerprint
from analysis.families.registry import Model
from analysis.features import again, plan, store
from analysis.features.decode import AHEAD, Batch, decoded
from analysis.features.devices import computing, free_memory, out_of_memory
from analysis.features.encoders import Loaded, Loader, ModelError, checked_sha256
from analysis.features.heads import see_to_head
from analysis.features.plan import ExtractionError, ExtractionSettings
from analysis.features.preprocess import geometry
from analysis.features.store import StoreError
from analysis.images.imagelist import ImageList

AUTOCAST = {"fp16": torch.float16, "bf16": torch.bfloat16}
LIBRARIES = ("torch", "open_clip_torch", "timm", "numpy", "pillow")
#: Batches that each of several encoders takes in turn: going from one network to another after
#: every batch costs some speed.
TURN = AHEAD

#: What is done about a model that fails where the others can go on.
OnError = Callable[[Model, Exception], None]


class FullError(Exception):
    """Memory does not hold an image next to the encoders that are loaded."""


class Encoder:
    """One encoder at work: precision, memory layout, and halving of batches that do not fit."""

    def __init__(self, loaded: Loaded, settings: ExtractionSettings) -> None:
        self.loaded, self.model = loaded, loaded.model
        self.geometry = geometry(self.model.preprocessing)
        self.precision = settings.precision
        self.limit = settings.batch_size
        layout = settings.channels_last
        self.channels_last = _convolutional(loaded.encoder) if layout is None else layout
        if self.channels_last:  # which not every version of PyTorch has types for
            cast(Any, loaded.encoder).to(memory_format=torch.channels_last)
        self.network: Any = torch.compile(loaded.encoder) if settings.compile else loaded.encoder

    def __call__(self, pixels: Tensor) -> Tensor:
        """Encode bytes of shape (n, 3, size, size) into features (n, width), on the device."""
        parts: list[Tensor] = []
        first = 0
        while first < len(pixels):
            try:
                parts.append(self._forward(pixels[first : first + self.limit]))
            except RuntimeError as error:
                # The same images follow again, fewer at a time.
                self._halve(error, len(pixels) - first)
                continue
            first += self.limit
        return torch.cat(parts) if parts else torch.empty(0, self.model.width)

    def _forward(self, pixels: Tensor) -> Tensor:
        images = self.loaded.normalize(pixels)
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        dtype = AUTOCAST.get(self.precision)
        cast = torch.autocast(pixels.device.type, dtype) if dtype else nullcontext()
        with torch.inference_mode(), cast:
            features: Tensor = self.network(images)
        return features.float()

    def _halve(self, error: RuntimeError, count: int) -> None:
        if not out_of_memory(error):
            raise error
        if self.limit == 1:
            raise FullError from None
        self.limit = max(1, min(self.limit, count) // 2)
        if self.loaded.device.type == "cuda":
            torch.cuda.empty_cache()


class Shards:
    """What one encoder has extracted so far: a file for each shard, as the store keeps arrays.

    What a killed process left half-written, and all after it, is made again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.notes: list[dict[str, Any]] = []
        with suppress(StoreError):
            while True:
                self.notes.append(store.read(self._path(len(self.notes)))[1])

    def append(self, features: NDArray[Any], about: Mapping[str, Any]) -> None:
        """Add the features (n, width) of the next shard, and what is to be known ``about`` it."""
        store.write(self._path(len(self.notes)), {"features": features}, about)
        self.notes.append(dict(about))

    def features(self) -> NDArray[Any]:
        """All features so far, shape (n, width)."""
        paths = map(self._path, range(len(self.notes)))
        return np.concatenate([store.map_tensors(path)["features"] for path in paths])

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.safetensors"


@dataclass
class Work:
    """One encoder, images that it lacks, the shards of them, and where its features will lie."""

    encoder: Encoder
    images: ImageList
    shards: Shards
    path: Path
    about: dict[str, Any]


def extract(
    models: Sequence[Model],
    images: ImageList | Sequence[ImageList],
    settings: ExtractionSettings = plan.USUAL,
    *,
    load: Loader,
    folder: Path | None = None,
    checkpoint: Path | None = None,
    onerror: OnError | None = None,
) -> list[Path]:
    """Extract the features of ``images`` by every model, with heads, and return their paths.

    Each model is loaded once for all lists of images, which are processed in turn; models that
    memory does not hold beside the others follow in a pass of their own. Features already in the
    store, current and sound, are not computed again. ``load`` makes an encoder of a model, as
    `companion.checkpoints.loading.load` does. ``checkpoint`` is a local weights file for a single
    model. Raises ExtractionError, ModelError, DatasetError or StoreError, keeping the shards that
    were finished. With ``onerror``, a model that cannot be loaded is skipped after a call of
    ``onerror(model, error)``; one that has no head for some images, or gives numbers that are not
    finite, is skipped for that list alone, and so is each model for images that cannot be decoded.
    The others continue, still with one pass over the images.
    """
    if checkpoint is not None and len(models) != 1:
        raise ExtractionError(f"a checkpoint is for one model, not {len(models)}: give --model.")
    device_for(settings.device)  # is there, whatever is to be computed
    lists = [images] if isinstance(images, ImageList) else list(images)
    paths = [store.features_path(m.name, listed.name, folder) for listed in lists for m in models]
    about = (load, lists, settings, folder, checkpoint, onerror)
    with store.locked(paths):
        waiting, most = list(models), len(models)
        while waiting:
            # Nothing may refer to the networks of one pass when the next one loads its own.
            works, number = _loaded(waiting[:most], about)
            try:
                _extract_all(works, lists, settings, onerror)
                full = False
            except FullError:
                full = True
            del works
            free_memory()
            if full and number > 1:
                most = number // 2
                continue
            if full:
                _leave_out(waiting[0], settings.device, onerror)
            waiting = waiting[number:]
    return paths


def _loaded(models: Sequence[Model], about: tuple[Any, ...]) -> tuple[list[Work], int]:
    """Load models until memory is full: what they lack, and how many of them that is about."""
    works, onerror = list[Work](), about[-1]
    for number, model in enumerate(models):
        try:
            with _others_go_on(model, onerror):
                works += _prepared(model, *about)
            continue
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        free_memory()
        if works:
            return works, number
        _leave_out(model, about[2].device, onerror)
    return works, len(models)


def _leave_out(model: Model, device: str, onerror: OnError | None) -> None:
    """Raise ExtractionError, or hand it on, for a model that memory does not hold alone."""
    with _others_go_on(model, onerror):
        raise ExtractionError(
            f"{model.name}: the memory of {device_for(device)} does not hold even one image next to"
            " this encoder: use another device (--device), or a smaller model."
        )


def _extract_all(
    works: list[Work],
    lists: Sequence[ImageList],
    settings: ExtractionSettings,
    onerror: OnError | None,
) -> None:
    """Extract what loaded encoders lack of each list; what fails on one goes on with the next."""
    for listed in lists:
        waiting = [work for work in works if work.images is listed]
        try:
            for work in _extracted(waiting, listed, settings, onerror):
                _finish(work)
        except ExtractionError as error:  # of the images, so of every model
            for work in waiting:
                with _others_go_on(work.encoder.model, onerror):
                    raise error


@contextmanager
def _others_go_on(model: Model, onerror: OnError | None) -> Iterator[None]:
    """Hand an error that is one model's alone to ``onerror``, if there is one."""
    try:
        yield
    except (ModelError, ExtractionError, StoreError) as error:
        if onerror is None:
            raise
        onerror(model, error)


def _prepared(
    model: Model,
    load: Loader,
    lists: Sequence[ImageList],
    settings: ExtractionSettings,
    folder: Path | None,
    checkpoint: Path | None,
    onerror: OnError | None,
) -> list[Work]:
    """What a model lacks: it is loaded if its features or head are not current for some images."""
    weights = store.local_weights(model) if checkpoint is None else None
    if weights is not None and weights.is_file() and model.weights_sha256:
        checked_sha256(model, weights)  # features of a file that was overwritten are not current
    lacking, headless = [], []
    for images in lists:
        path = store.features_path(model.name, images.name, folder)
        current = checkpoint is None and plan.is_current(model, images, settings, folder)
        if not current or store.problem(path, model):
            lacking.append(images)
        else:
            shutil.rmtree(_parts(path), ignore_errors=True)  # of one killed at its very end
            if not plan.head_is_current(model, images, folder):
                headless.append(images)
    if not lacking + headless:
        return []
    loaded = load(model, checkpoint, device_for(settings.device))
    with_head = []
    for images in [*headless, *lacking]:
        with _others_go_on(model, onerror):
            see_to_head(loaded, images, store.head_path(model.name, images.name, folder))
            with_head.append(images.name)
    lacking = [images for images in lacking if images.name in with_head]
    if not lacking:
        return []
    encoder = Encoder(replace(loaded, text=None), settings)
    is_new = checkpoint is not None
    works = (_work(encoder, images, settings, folder, is_new) for images in lacking)
    return [work for work in works if work]


def _work(
    encoder: Encoder,
    images: ImageList,
    settings: ExtractionSettings,
    folder: Path | None,
    is_new: bool,
) -> Work | None:
    """What there is to do for some images; None if features are kept because a sample is equal.

    ``is_new``: what is there is of other weights.
    """
    model, weights = encoder.loaded.model, encoder.loaded.weights_sha256
    path = store.features_path(model.name, images.name, folder)
    about = {
        "model": store.describe(model, weights),
        "precision": settings.precision,
        "device": encoder.loaded.device.type,
        "channels_last": encoder.channels_last,
        "compile": settings.compile,
        "versions": {"python": platform.python_version()} | {n: version(n) for n in LIBRARIES},
        "made_from": plan.made_from(model, images, settings, weights),
    }

    def encode(pixels: Tensor) -> Tensor:
        return encoder(pixels.to(encoder.loaded.device))

    if not is_new and again.kept(encode, encoder.geometry, images, path, about):
        return None
    key = fingerprint([about, settings.shard, settings.leave_out_damaged])[:16]
    return Work(encoder, images, Shards(_parts(path) / key), path, about)


def _extracted(
    works: list[Work], images: ImageList, settings: ExtractionSettings, onerror: OnError | None
) -> list[Work]:
    """Extract the shards that are lacking, all in one pass over the images.

    Returns the works that got to the end.
    """
    if not works:
        return []
    count = -(-len(images) // settings.shard)
    first = min(len(work.shards.notes) for work in works)
    needed = {
        shard: sorted({w.encoder.geometry for w in works if len(w.shards.notes) <= shard})
        for shard in range(first, count)
    }
    done, silent = min(first * settings.shard, len(images)), not settings.progress
    words: dict[str, Any] = {
        "desc": sub(r"-[0-9a-f]{8}$", "", images.name),
        "unit": " images",
        "leave": False,
    }
    bar = tqdm(total=len(images), initial=done, disable=silent, **words)
    device = works[0].encoder.loaded.device
    batches = decoded(images, needed, settings, pinned=device.type == "cuda")
    networks = [work.encoder.loaded.encoder for work in works]
    with bar, computing(networks, tf32=settings.precision == "tf32"):
        for shard, group in groupby(batches, key=lambda batch: batch.shard):
            waiting = [work for work in works if len(work.shards.notes) == shard]
            failed = _extract_shard(group, waiting, images, settings, bar, onerror)
            works = [work for work in works if work not in failed]
            if not works:
                break
    return works


def _extract_shard(
    batches: Iterator[Batch],
    works: Sequence[Work],
    images: ImageList,
    settings: ExtractionSettings,
    bar: Any,
    onerror: OnError | None,
) -> list[Work]:
    """Extract one shard by encoders that lack it; returns those that failed."""
    parts: list[list[Tensor]] = [[] for _ in works]
    left_out: dict[int, str] = {}
    while turn := list(islice(batches, TURN if len(works) > 1 else 1)):
        for batch in turn:
            left_out |= batch.left_out
        if left_out and not settings.leave_out_damaged:
            continue  # find the others of this shard, so that all can be named at once
        for work, features in zip(works, parts, strict=True):
            for batch in turn:
                pixels = batch.sound(work.encoder.geometry)
                pixels = pixels.to(work.encoder.loaded.device, non_blocking=True)
                features.append(work.encoder(pixels))
        bar.update(sum(len(batch.indices) for batch in turn))
    if left_out and not settings.leave_out_damaged:
        raise ExtractionError(_damage(images, left_out))
    failed = []
    for work, features in zip(works, parts, strict=True):
        array = torch.cat([part.cpu() for part in features]).numpy()
        array = array.astype("f2" if settings.precision in AUTOCAST else "f4", copy=False)
        kept = False
        with _others_go_on(work.encoder.model, onerror):
            store.check_finite(f"{work.encoder.model.name} on {images.name}", array)
            about = {
                "left_out": {images.keys[i]: why for i, why in left_out.items()},
                "batch_size": work.encoder.limit,
            }
            work.shards.append(array, about)
            kept = True
        if not kept:
            failed.append(work)
    return failed


def _finish(work: Work) -> None:
    """Write the features of all shards as one file with its sidecar, and remove the shards."""
    images, notes = work.images, work.shards.notes
    left_out = {key: why for note in notes for key, why in note["left_out"].items()}
    kept = np.array([key not in left_out for key in images.keys])
    data = {
        "name": images.name,
        "manifest": images.manifest,
        "images": len(images),
        "classes": images.classes,
        "left_out": left_out,
    }
    device = work.encoder.loaded.device
    store.write_features(
        work.path,
        work.shards.features(),
        images.labels[kept],
        store.row_numbers(images.keys)[kept],
        sidecar={
            **work.about,
            "batch_size": min(note["batch_size"] for note in notes),
            "data": data | ({"what": images.what} if images.what else {}),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "made": datetime.now(UTC).date().isoformat(),
        },
    )
    shutil.rmtree(_parts(work.path))


def _parts(path: Path) -> Path:
    return path.with_suffix(".parts")


def _damage(images: ImageList, left_out: Mapping[int, str]) -> str:
    names = [f"{images.keys[i]} ({why})" for i, why in left_out.items()]
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return (
        f"{images.name}: {len(names)} images cannot be decoded: {', '.join(names[:20])}{more}. "
        "Replace them, or leave such images out with --leave-out-damaged; what was extracted "
        "before them is kept."
    )


def device_for(name: str) -> str:
    """Return the device that ``auto`` means here, or the one named; ExtractionError if absent."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    devices = [device for device, is_there in available.items() if is_there]
    kind, _, number = name.partition(":")
    if name == "auto":
        return devices[0]
    if kind not in devices or (number and kind != "cuda"):
        names = ", ".join(devices)
        raise ExtractionError(f"there is no device {name!r} on this machine; there are: {names}.")
    return name


def _convolutional(network: nn.Module) -> bool:
    return sum(isinstance(module, nn.Conv2d) for module in network.modules()) > 1
