"""Extraction: every image of a data set through every encoder of a family, once.

Images are decoded and resized once, by threads, for all encoders that share the geometry of their
input, while the encoders work. Features are written in shards; an extraction that was killed goes
on after its last whole shard, and since batches are cut at the same images each time, its result
is that of one that was not. For the same reason several jobs can extract a `Part` each, at the same
time and on several machines that share the store, and `assemble` puts their shards together.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from analysis.families.registry import Model
from analysis.features import store
from analysis.features.encoders import Loaded, ModelError, cached_head, head_prompts, load
from analysis.features.preprocess import Geometry, geometry, to_pixels
from analysis.features.store import StoreError
from analysis.images import imagenet
from analysis.images.imagelist import DamagedImageError, ImageList, Prompts

Precision = Literal["fp32", "fp16", "bf16"]


AUTOCAST = {"fp16": torch.float16, "bf16": torch.bfloat16}
STORED = {"fp32": np.float32, "fp16": np.float16, "bf16": np.float16}
#: Batches that are being decoded while one is being encoded.
AHEAD = 3
#: Networks with fewer parameters compute in one thread.
SMALL = 3_000_000
#: How ImageNet's folders are named.
WORDNET = re.compile(r"n\d{8}")
LIBRARIES = ("torch", "open_clip_torch", "timm", "numpy", "pillow")


class ExtractionError(RuntimeError):
    """An extraction cannot start or go on; what it finished is kept."""


#: What is done about a model that fails where the others can go on.
OnError = Callable[[Model, Exception], None]


@dataclass(frozen=True)
class Settings:
    """How to extract.

    ``device`` is ``auto``, ``cpu``, ``cuda`` or ``mps``. ``precision`` is that of the arithmetic;
    features are kept as float32 for fp32, else as float16. ``shard_size`` is rounded up to whole
    batches. ``channels_last`` None decides by the network: where convolutions do the work.
    """

    device: str = "auto"
    precision: Precision = "fp32"
    batch_size: int = 128
    shard_size: int = 4096
    workers: int = 4
    channels_last: bool | None = None
    compile: bool = False
    leave_out_damaged: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ("batch_size", "shard_size", "workers"):
            if getattr(self, name) < 1:
                raise ExtractionError(f"{name} must be at least 1, got {getattr(self, name)}.")

    @property
    def shard(self) -> int:
        """Images per shard, a multiple of the batch size."""
        return -(-self.shard_size // self.batch_size) * self.batch_size


@dataclass(frozen=True)
class Part:
    """Part ``number`` of ``of``, counted from 1: every ``of``-th shard of a data set."""

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ExtractionError(
                f"part {self.number} of {self.of} is none: parts count from 1/{self.of} to "
                f"{self.of}/{self.of}."
            )

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def shards(self, images: ImageList, settings: Settings) -> range:
        """Return the numbers of this part's shards: none where there are more parts than shards."""
        return range(len(_shards(images, settings)))[self.number - 1 :: self.of]


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


class Encoder:
    """One encoder at work: precision, memory layout, and halving of batches that do not fit."""

    def __init__(self, loaded: Loaded, settings: Settings, path: Path) -> None:
        self.loaded = loaded
        self.path = path
        self.geometry = geometry(loaded.model.preprocessing)
        self.precision = settings.precision
        self.limit = settings.batch_size
        layout = settings.channels_last
        self.channels_last = _convolutional(loaded.encoder) if layout is None else layout
        if self.channels_last:
            loaded.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network: Any = torch.compile(loaded.encoder) if settings.compile else loaded.encoder

    def __call__(self, pixels: Tensor) -> Tensor:
        """Encode bytes of shape (n, 3, size, size) into features (n, width), on the device."""
        parts: list[Tensor] = []
        first = 0
        while first < len(pixels):
            try:
                parts.append(self._forward(pixels[first : first + self.limit]))
            except RuntimeError as error:
                self._halve(error, len(pixels) - first)
                continue
            first += self.limit
        return torch.cat(parts) if parts else torch.empty(0, self.loaded.model.width)

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
        if not _out_of_memory(error):
            raise error
        if self.limit == 1:
            raise ExtractionError(
                f"{self.loaded.model.name}: the memory of {self.loaded.device} does not hold even "
                "one image beside the encoders: extract fewer models at a time (--model)."
            ) from None
        self.limit = max(1, min(self.limit, count) // 2)
        if self.loaded.device.type == "cuda":
            torch.cuda.empty_cache()


def extract(
    models: Sequence[Model],
    images: ImageList,
    settings: Settings = Settings(),
    *,
    folder: Path | None = None,
    checkpoint: Path | None = None,
    onerror: OnError | None = None,
) -> list[Path]:
    """Extract the features of ``images`` by every model, with heads, and return their paths.

    What is in the store already, current and sound, is not made again. ``checkpoint`` is a local
    weights file for a single model. Raises ExtractionError, ModelError, DatasetError or
    StoreError, keeping the shards that were finished. With ``onerror`` a model that cannot be
    loaded, has no head for these images or gives numbers that are not finite is left out and
    ``onerror(model, error)`` called; the others go on, still with one pass over the images.
    """
    if checkpoint is not None and len(models) != 1:
        raise ExtractionError(f"a checkpoint is of one model, {len(models)} are to be extracted.")
    paths = _paths(models, images, folder)
    with store.locked(paths.values()):
        encoders = _encoders(models, images, settings, paths, checkpoint, onerror=onerror)
        if encoders:
            everything = _shards(images, settings)
            encoders = _extract_shards(encoders, images, settings, everything, onerror)
        for encoder in encoders:
            _assemble(encoder, images, settings)
    return list(paths.values())


def extract_part(
    models: Sequence[Model],
    images: ImageList,
    settings: Settings,
    part: Part,
    *,
    folder: Path | None = None,
    onerror: OnError | None = None,
) -> None:
    """Extract the shards of one part by every model that lacks them; `assemble` does the rest.

    Jobs for different parts run side by side, two for the same one after the other. The first part
    also sees to the heads, which all data sets of a model share. Raises, or with ``onerror`` goes
    on, as `extract`.
    """
    paths = _paths(models, images, folder)
    own = [_parts_folder(path) / f"{part.number}-of-{part.of}" for path in paths.values()]
    shards = part.shards(images, settings)
    with store.locked(paths.values(), shared=True), store.locked(own):
        if shards:
            heads = part.number == 1
            encoders = _encoders(models, images, settings, paths, heads=heads, onerror=onerror)
            if encoders:
                _extract_shards(encoders, images, settings, shards, onerror)


def assemble(
    models: Sequence[Model],
    images: ImageList,
    settings: Settings,
    *,
    folder: Path | None = None,
    onerror: OnError | None = None,
) -> list[Path]:
    """Put the shards that `extract_part` made together, with heads, and return the features' paths.

    What is assembled already, current and sound, is kept. Raises ExtractionError, changing nothing,
    if a shard is absent or damaged or was made under another plan; with ``onerror`` it is called
    with each such model, or one that cannot be loaded, and the others are assembled.
    """
    paths = _paths(models, images, folder)
    with store.locked(paths.values()):
        loaded = _encoders(models, images, settings, paths, onerror=onerror)
        encoders = []
        for encoder in loaded:
            with _others_go_on(encoder.loaded.model, onerror):
                _check_shards(encoder, images, settings)
                encoders.append(encoder)
        for encoder in encoders:
            _assemble(encoder, images, settings)
    return list(paths.values())


def _paths(models: Sequence[Model], images: ImageList, folder: Path | None) -> dict[str, Path]:
    return {model.name: store.features_path(model.name, images.name, folder) for model in models}


@contextmanager
def _others_go_on(model: Model, onerror: OnError | None) -> Iterator[None]:
    """Hand an error that is one model's alone to ``onerror``, if there is one."""
    try:
        yield
    except (ModelError, ExtractionError, StoreError) as error:
        if onerror is None:
            raise
        onerror(model, error)


def _encoders(
    models: Sequence[Model],
    images: ImageList,
    settings: Settings,
    paths: Mapping[str, Path],
    checkpoint: Path | None = None,
    *,
    heads: bool = True,
    onerror: OnError | None = None,
) -> list[Encoder]:
    """Load the models whose features are not done; with ``heads`` see to the heads of all."""
    device = device_for(settings.device)
    waiting = [m for m in models if checkpoint or not _done(paths[m.name], m, images, settings)]
    for model in models if heads else ():
        if model not in waiting and not _head_done(paths[model.name], model, images):
            with _others_go_on(model, onerror):
                _see_to_head(load(model, None, device), images, paths[model.name])
    encoders = []
    for model in waiting:
        with _others_go_on(model, onerror):
            loaded = load(model, checkpoint, device)
            if heads:
                _see_to_head(loaded, images, paths[model.name])
            encoders.append(Encoder(replace(loaded, text=None), settings, paths[model.name]))
    return encoders


def _check_shards(encoder: Encoder, images: ImageList, settings: Settings) -> None:
    """Raise ExtractionError, with how many and which, if shards of this plan are not there."""
    everything = _shards(images, settings)
    wanted = {shard: _shard_path(encoder, images, settings, shard) for shard in everything}
    lacking = [shard for shard, path in wanted.items() if not _whole(path)]
    if not lacking:
        return
    parts = _parts_folder(encoder.path)
    others = [p for p in parts.glob("*/*.safetensors") if p.parent != wanted[lacking[0]].parent]
    about = (
        f" {len(others)} shards of another plan lie beside (another device, precision, batch size, "
        "version of a library, or other weights or images): all parts and the assembly must agree."
    )
    raise ExtractionError(
        f"{encoder.loaded.model.name} on {images.name}: {len(lacking)} of {len(everything)} shards "
        f"are not there or not sound, the first is number {lacking[0] + 1}: extract the parts that "
        "they belong to first (--part)." + about * bool(others)
    )


def _see_to_head(loaded: Loaded, images: ImageList, path: Path) -> None:
    """Put the model's head for these images beside its features; none where there is none.

    Raises ExtractionError if the images are of classes that the head does not know.
    """
    head = _head_path(path)
    prompts = head_prompts(loaded.model, images)
    if loaded.head is None and (loaded.text is None or prompts is None):
        head.unlink(missing_ok=True)
        store.sidecar_of(head).unlink(missing_ok=True)
        return
    if loaded.head is None and prompts is not None:
        _check_words(prompts, images)
    known = loaded.head.classes if loaded.head else prompts.classes if prompts else ()
    _check_classes(loaded.model, known, images)
    with threads_for([loaded.encoder]):
        cached_head(loaded, prompts, head)


def _check_words(prompts: Prompts, images: ImageList) -> None:
    if all(WORDNET.fullmatch(name) for name in prompts.names):
        raise ExtractionError(
            f"the classes of {images.name} are ids of WordNet that ImageNet does not have "
            f"({prompts.names[0]}, …), and a text encoder cannot read them: name the subfolders in "
            "words, or extract without labels (--without-labels)."
        )


def _check_classes(model: Model, known: Sequence[str], images: ImageList) -> None:
    """Every class must be one of the head's, or be several of them together as ObjectNet's are."""
    together = imagenet.objectnet_to_imagenet()
    unknown = [
        name
        for name in images.classes
        if name not in known and not (name in together and set(together[name]) <= set(known))
    ]
    if unknown:
        raise ExtractionError(
            f"{images.name} has images of {unknown[0]!r}"
            + f" and {len(unknown) - 1} more classes" * (len(unknown) > 1)
            + f" that the head of {model.name} does not know (its {len(known)} are "
            f"{', '.join(known[:3])}, …): name the subfolders as the head names its classes, or "
            "extract without labels (--without-labels)."
        )


def _head_done(path: Path, model: Model, images: ImageList) -> bool:
    """Whether the head beside the features is the one that the description wants now."""
    if model.head is None:
        return True
    try:
        kept = store.read(_head_path(path))[1]
    except StoreError:
        kept = None
    prompts = head_prompts(model, images)
    if model.head == "none" or (model.head == "zero_shot" and prompts is None):
        return kept is None
    if kept is None or model.head == "zero_shot":
        return kept is not None and prompts is not None and kept["prompts"] == prompts.sha256
    named = isinstance(model.classes, tuple)
    return kept["prompts"] is None and (not named or tuple(kept["classes"]) == model.classes)


def _head_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}.head.safetensors")


def _extract_shards(
    encoders: Sequence[Encoder],
    images: ImageList,
    settings: Settings,
    shards: range,
    onerror: OnError | None = None,
) -> list[Encoder]:
    """Fill in those of the shards that encoders lack, all encoders in one pass over the images.

    Returns the encoders that got to the end.
    """
    lacking = {
        shard: [e for e in encoders if not _whole(_shard_path(e, images, settings, shard))]
        for shard in shards
    }
    wanted = [shard for shard in shards if lacking[shard]]
    done = sum(len(_shard_range(s, images, settings)) for s in shards if not lacking[s])
    bar = tqdm(
        total=sum(len(_shard_range(s, images, settings)) for s in shards), initial=done,
        unit=" images", desc=images.name, disable=not settings.progress, smoothing=0.1, leave=False,
    )  # fmt: skip
    needed = {shard: sorted({e.geometry for e in lacking[shard]}) for shard in wanted}
    batches = decoded(images, needed, settings, pinned=encoders[0].loaded.device.type == "cuda")
    failed: list[Encoder] = []
    with bar, threads_for([encoder.loaded.encoder for encoder in encoders]):
        for shard, group in groupby(batches, key=lambda batch: batch.shard):
            able = [encoder for encoder in lacking[shard] if encoder not in failed]
            failed += _extract_shard(shard, group, able, images, settings, bar, onerror)
            if len(failed) == len(encoders):
                break
    return [encoder for encoder in encoders if encoder not in failed]


def _extract_shard(
    shard: int,
    batches: Iterator[Batch],
    encoders: Sequence[Encoder],
    images: ImageList,
    settings: Settings,
    bar: Any,
    onerror: OnError | None,
) -> list[Encoder]:
    """Extract one shard by encoders that lack it; returns those that failed."""
    parts: dict[str, list[Tensor]] = {e.loaded.model.name: [] for e in encoders}
    left_out: dict[int, str] = {}
    for batch in batches:
        left_out |= batch.left_out
        if left_out and not settings.leave_out_damaged:
            continue  # find the others of this shard, so that all can be named at once
        on_device = {
            wanted: batch.sound(wanted).to(encoders[0].loaded.device, non_blocking=True)
            for wanted in {encoder.geometry for encoder in encoders}
        }
        for encoder in encoders:
            parts[encoder.loaded.model.name].append(encoder(on_device[encoder.geometry]))
        bar.update(len(batch.indices))
    if left_out and not settings.leave_out_damaged:
        raise ExtractionError(_damage(images, left_out))
    rows = [i for i in _shard_range(shard, images, settings) if i not in left_out]
    written = []
    for encoder in encoders:
        on_cpu = [part.cpu() for part in parts[encoder.loaded.model.name]]
        features = torch.cat(on_cpu).numpy().astype(STORED[settings.precision], copy=False)
        with _others_go_on(encoder.loaded.model, onerror):
            store.check_finite(f"{encoder.loaded.model.name} on {images.name}", features)
            store.write(
                _shard_path(encoder, images, settings, shard),
                {"features": features, "rows": np.array(rows, dtype=np.uint64)},
                {"left_out": {images.keys[i]: why for i, why in left_out.items()},
                 "batch_size": encoder.limit},
            )  # fmt: skip
            written.append(encoder)
    return [encoder for encoder in encoders if encoder not in written]


def decoded(
    images: ImageList,
    needed: Mapping[int, Sequence[Geometry]],
    settings: Settings,
    *,
    pinned: bool = False,
) -> Iterator[Batch]:
    """Yield the batches of some shards in order, each decoded once and resized per geometry.

    ``needed`` gives the geometries for each shard. Threads work on the next batches meanwhile:
    decoding and resizing leave Python's lock.
    """
    pool = ThreadPoolExecutor(settings.workers)
    under_way: deque[tuple[Batch, list[Future[None]]]] = deque()
    try:
        for shard, geometries in needed.items():
            everything = _shard_range(shard, images, settings)
            for first in range(0, len(everything), settings.batch_size):
                indices = everything[first : first + settings.batch_size]
                under_way.append(_submit(pool, images, shard, indices, geometries, pinned))
                if len(under_way) > AHEAD:
                    yield _finished(*under_way.popleft())
        while under_way:
            yield _finished(*under_way.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _submit(
    pool: ThreadPoolExecutor,
    images: ImageList,
    shard: int,
    indices: range,
    geometries: Sequence[Geometry],
    pinned: bool,
) -> tuple[Batch, list[Future[None]]]:
    pixels = {
        g: torch.empty((len(indices), 3, g[1], g[1]), dtype=torch.uint8, pin_memory=pinned)
        for g in geometries
    }
    batch = Batch(shard, indices, pixels)
    arrays = {g: tensor.numpy() for g, tensor in pixels.items()}

    def decode(places: range) -> None:
        for place in places:
            try:
                picture = images.image(indices[place])
                for wanted, array in arrays.items():
                    array[place] = to_pixels(picture, wanted)
            except DamagedImageError as error:
                batch.left_out[indices[place]] = error.reason

    step = 8  # images per task: small enough to share out, large enough to be worth a task
    places = range(len(indices))
    return batch, [pool.submit(decode, places[i : i + step]) for i in places[::step]]


def _finished(batch: Batch, futures: Sequence[Future[None]]) -> Batch:
    for future in futures:
        future.result()
    batch.left_out = dict(sorted(batch.left_out.items()))
    return batch


def _assemble(encoder: Encoder, images: ImageList, settings: Settings) -> None:
    """Put the shards of one encoder together, check the whole, and remove them."""
    shards = _shards(images, settings)
    read = [store.read(_shard_path(encoder, images, settings, shard)) for shard in shards]
    rows = np.concatenate([tensors["rows"] for tensors, _ in read]).astype(np.int64)
    left_out = {key: why for _, sidecar in read for key, why in sidecar["left_out"].items()}
    numbers = store.row_numbers(images.keys)
    kept = np.array([key not in left_out for key in images.keys])
    plan = _plan(encoder, images, settings)
    store.write_features(
        encoder.path,
        np.concatenate([tensors["features"] for tensors, _ in read]),
        images.labels[rows],
        numbers[rows],
        expected_rows=numbers[kept],
        sidecar={
            **plan,
            "batch_size": min(sidecar["batch_size"] for _, sidecar in read),
            "data": {
                **plan["data"],
                "classes": images.classes,
                "left_out": left_out,
                **({"what": images.what} if images.what else {}),
            },
            "device": _device_name(encoder.loaded.device),
            "made": datetime.now(UTC).date().isoformat(),
        },
    )
    shutil.rmtree(_parts_folder(encoder.path))


def _plan(encoder: Encoder, images: ImageList, settings: Settings) -> dict[str, Any]:
    """Return all that the features depend on: shards made under another plan are not used."""
    return {
        "model": store.describe(encoder.loaded.model, encoder.loaded.weights_sha256),
        "data": {"name": images.name, "manifest": images.manifest, "images": len(images)},
        "precision": settings.precision,
        "batch_size": settings.batch_size,
        "device": encoder.loaded.device.type,
        "channels_last": encoder.channels_last,
        "compile": settings.compile,
        "versions": _versions(),
    }


@lru_cache
def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def _shard_path(encoder: Encoder, images: ImageList, settings: Settings, shard: int) -> Path:
    plan = {**_plan(encoder, images, settings), "settings": asdict(settings)}
    for unimportant in ("workers", "progress", "device", "channels_last"):
        del plan["settings"][unimportant]
    key = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:16]
    return _parts_folder(encoder.path) / key / f"{shard:05}.safetensors"


def _parts_folder(path: Path) -> Path:
    return path.with_suffix(".parts")


def _shards(images: ImageList, settings: Settings) -> range:
    return range(-(-len(images) // settings.shard))


def _shard_range(shard: int, images: ImageList, settings: Settings) -> range:
    return range(len(images))[shard * settings.shard : (shard + 1) * settings.shard]


def _whole(path: Path) -> bool:
    try:
        store.read(path)
    except StoreError:
        return False
    return True


def _done(path: Path, model: Model, images: ImageList, settings: Settings) -> bool:
    try:
        sidecar = store.read_features(path, model).sidecar
    except StoreError:
        return False
    same = sidecar["data"]["manifest"] == images.manifest
    complete = settings.leave_out_damaged or not sidecar["data"]["left_out"]
    return bool(same and complete and sidecar["precision"] == settings.precision)


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
    available = {"cpu": True, "cuda": torch.cuda.is_available(),
                 "mps": torch.backends.mps.is_available()}  # fmt: skip
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if available[device])
    if not available.get(name.partition(":")[0], False):
        known = ", ".join(device for device, there in available.items() if there)
        raise ExtractionError(f"there is no device {name!r} on this machine; there is: {known}.")
    return name


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@contextmanager
def threads_for(networks: Sequence[nn.Module]) -> Iterator[None]:
    """Let small networks compute in one thread: more of them only wait for each other.

    Where other processes keep the cores busy that waiting is most of the time.
    """
    sizes = [sum(p.numel() for p in network.parameters()) for network in networks]
    before = torch.get_num_threads()
    if max(sizes) < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _convolutional(network: nn.Module) -> bool:
    return sum(isinstance(module, nn.Conv2d) for module in network.modules()) > 1


def _out_of_memory(error: RuntimeError) -> bool:
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(
        sign in text for sign in ("out of memory", "not enough memory", "can't allocate memory")
    )
