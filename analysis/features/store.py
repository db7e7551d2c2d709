"""Features, labels and heads on disk: safetensors beside a JSON sidecar, read without torch.

``<store>/<model>/<data set>.safetensors`` holds ``features`` (N, d), ``labels`` (N,) and ``rows``
(N,), a number for each image's name, so that row order can be checked. The sidecar of the same
name, written last, says what they are and where they came from; features count as complete only
if it is there and its checksum holds. Features are memory-mapped on reading: they take no memory
until they are used.

Environment variable ``COMPANION_STORE``: a folder to use instead of ``store/`` in the repository.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from analysis.common import ROOT, sha256_of
from analysis.families.registry import Model

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FORMAT = 1
DTYPES: dict[str, np.dtype[Any]] = {
    "F16": np.dtype("<f2"), "F32": np.dtype("<f4"), "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"), "U64": np.dtype("<u8"), "U8": np.dtype("u1"),
}  # fmt: skip
TAGS = {dtype: tag for tag, dtype in DTYPES.items()}
LONGEST_HEADER = 100_000_000


class StoreError(RuntimeError):
    """Something on disk is absent, damaged, outdated or not fit to be written."""


@dataclass(frozen=True)
class Head:
    """A linear classifier on features of ``d`` components, for ``C`` classes.

    ``weight`` (C, d) and ``bias`` (C,) or None; ``normalize`` says whether it sees features scaled
    to length 1, as a zero-shot head does.
    """

    weight: NDArray[np.float32]
    classes: tuple[str, ...]
    bias: NDArray[np.float32] | None = None
    normalize: bool = False

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or len(self.weight) != len(self.classes):
            raise StoreError(
                f"a head needs one row per class, got {len(self.classes)} classes and weights of "
                f"shape {self.weight.shape}."
            )
        if self.bias is not None and self.bias.shape != (len(self.classes),):
            raise StoreError(
                f"a head's bias needs one number per class ({len(self.classes)}), got the shape "
                f"{self.bias.shape}."
            )

    def logits(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Return the scores, shape (N, C), of features of shape (N, d)."""
        if features.ndim != 2 or features.shape[1] != self.weight.shape[1]:
            raise StoreError(
                f"this head reads features of {self.weight.shape[1]} components, got an array of "
                f"shape {features.shape}."
            )
        h = np.asarray(features, dtype=np.float32)
        if self.normalize:
            h = h / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-12)
        scores: NDArray[np.float32] = h @ self.weight.T
        return scores if self.bias is None else scores + self.bias

    def restricted(self, classes: Sequence[str]) -> Head:
        """Return the head for some of its classes, in the order given."""
        index = {name: i for i, name in enumerate(self.classes)}
        unknown = [name for name in classes if name not in index]
        if unknown:
            raise StoreError(f"the head has no class {unknown[0]!r}.")
        rows = [index[name] for name in classes]
        bias = None if self.bias is None else self.bias[rows]
        return replace(self, weight=self.weight[rows], classes=tuple(classes), bias=bias)


@dataclass(frozen=True)
class Features:
    """What one model makes of one data set: ``features`` (N, d), ``labels`` (N,), −1 for none."""

    features: NDArray[Any]
    labels: NDArray[np.int64]
    rows: NDArray[np.uint64]
    sidecar: Mapping[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """The data set's class names, which ``labels`` count through."""
        return tuple(self.sidecar["data"]["classes"])


def default_folder() -> Path:
    """Return the store's folder: ``COMPANION_STORE``, else ``store/`` in the repository."""
    return Path(os.environ.get("COMPANION_STORE") or ROOT / "store").expanduser()


def features_path(model: str, data: str, folder: Path | None = None) -> Path:
    """Return where the features of a data set by a model lie, or would lie."""
    return (folder or default_folder()) / model / f"{data}.safetensors"


def head_path(model: str, data: str, folder: Path | None = None) -> Path:
    """Return where the head that a model uses on a data set lies, or would lie."""
    return (folder or default_folder()) / model / f"{data}.head.safetensors"


def row_numbers(keys: Sequence[str]) -> NDArray[np.uint64]:
    """Return one number per image name: the first eight bytes of its sha256."""
    digests = b"".join(hashlib.sha256(key.encode()).digest()[:8] for key in keys)
    return np.frombuffer(digests, dtype="<u8")


def write_features(
    path: Path,
    features: NDArray[Any],
    labels: NDArray[np.int64],
    rows: NDArray[np.uint64],
    *,
    expected_rows: NDArray[np.uint64],
    sidecar: Mapping[str, Any],
) -> None:
    """Check and write features, then their sidecar.

    ``expected_rows`` are the data set's row numbers, in its order, without images left out.
    ``sidecar`` is completed with N, d, dtype and the file's checksum. Raises StoreError, and writes
    nothing, if the shapes disagree, a number is not finite or the rows are in another order.
    """
    if features.ndim != 2 or labels.shape != (len(features),) or rows.shape != (len(features),):
        raise StoreError(
            f"{path.stem}: features (N, d), labels (N,) and rows (N,) are expected, got the shapes "
            f"{features.shape}, {labels.shape} and {rows.shape}."
        )
    if not np.array_equal(rows, expected_rows):
        raise StoreError(
            f"{path.stem}: the {len(rows)} rows are not the data set's {len(expected_rows)} images "
            "in its order: remove what was extracted so far and extract again."
        )
    check_finite(path.stem, features)
    write(path, {"features": features, "labels": labels, "rows": rows}, sidecar)


def check_finite(name: str, features: NDArray[Any]) -> None:
    """Raise StoreError, naming the first row, if a number is infinite or not a number."""
    wrong = ~np.isfinite(features).all(axis=1)
    if wrong.any():
        raise StoreError(
            f"{name}: features of {int(wrong.sum())} images are not finite, the first in row "
            f"{int(wrong.argmax())}: use --precision fp32, or check the weights."
        )


def write_head(path: Path, head: Head, sidecar: Mapping[str, Any]) -> None:
    """Write a head and its sidecar."""
    tensors = {"weight": head.weight}
    if head.bias is not None:
        tensors["bias"] = head.bias
    check_finite(path.stem, head.weight)
    write(path, tensors, {**sidecar, "classes": head.classes, "normalize": head.normalize})


def read_features(path: Path, model: Model | None = None) -> Features:
    """Map the features at ``path`` into memory, after checking them against their sidecar.

    With ``model``, they must also have been made by it as it is described now. Raises StoreError,
    saying how to get them, when they are absent, incomplete, damaged or outdated.
    """
    tensors, sidecar = read(path)
    if model is not None:
        _check_current(path, sidecar, model)
    return Features(tensors["features"], tensors["labels"], tensors["rows"], sidecar)


def read_head(path: Path, model: Model | None = None) -> Head:
    """Read the head at ``path``; StoreError as in `read_features`."""
    tensors, sidecar = read(path)
    if model is not None:
        _check_current(path, sidecar, model)
    return Head(
        weight=tensors["weight"],
        bias=tensors.get("bias"),
        classes=tuple(sidecar["classes"]),
        normalize=sidecar["normalize"],
    )


def problem(path: Path, model: Model | None = None) -> str:
    """Return why the features at ``path`` cannot be used, or an empty text if they can."""
    try:
        read_features(path, model)
    except StoreError as error:
        return str(error)
    return ""


def describe(model: Model, weights_sha256: str) -> dict[str, Any]:
    """Return the part of a sidecar that says which model, with which weights and input."""
    fields = ("name", "level", "library", "architecture", "weights", "width")
    preprocessing = model.preprocessing.model_dump(mode="json")
    if not model.preprocessing.squash:  # as it was described before there was a choice
        del preprocessing["squash"]
    return {
        **{field: getattr(model, field) for field in fields},
        "weights_sha256": weights_sha256,
        "preprocessing": preprocessing,
    }


def write(path: Path, tensors: Mapping[str, NDArray[Any]], sidecar: Mapping[str, Any]) -> None:
    """Write named arrays as safetensors and then the sidecar; each beside, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sidecar_of(path).unlink(missing_ok=True)  # from here until the end it is incomplete
    sha256 = write_tensors(path, tensors)
    first = next(iter(tensors.values()))
    content = {
        "format": FORMAT, **sidecar, "N": first.shape[0], "d": first.shape[1],
        "dtype": str(first.dtype), "bytes": path.stat().st_size, "sha256": sha256,
    }  # fmt: skip
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    with _renamed(sidecar_of(path)) as part:
        part.write_text(text, encoding="utf-8")


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]]) -> str:
    """Write named arrays as safetensors, beside and renamed, and return the file's sha256."""
    arrays = {name: _storable(name, array) for name, array in tensors.items()}
    header: dict[str, Any] = {}
    offset = 0
    for name, array in arrays.items():
        header[name] = {"dtype": TAGS[array.dtype], "shape": array.shape,
                        "data_offsets": [offset, offset + array.nbytes]}  # fmt: skip
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pieces: list[bytes | memoryview] = [struct.pack("<Q", len(text)), text]
    pieces += [array.reshape(-1).view(np.uint8).data for array in arrays.values()]
    digest = hashlib.sha256()
    with _renamed(path) as part, part.open("wb") as file:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Map the arrays at ``path`` into memory and read their sidecar, checking size and sha256."""
    sidecar = read_sidecar(path)
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sidecar["sha256"]:
            raise StoreError(
                f"{_label(path)} is not what was written (its checksum differs): {_again(path)}."
            )
    return map_tensors(path), sidecar


def read_sidecar(path: Path, model: Model | None = None) -> dict[str, Any]:
    """Read what the store says of the arrays at ``path``, without looking at them.

    Raises StoreError as `read_features` does, but sees no damage that leaves the size as it was.
    """
    if not path.is_file() or not sidecar_of(path).is_file():
        raise StoreError(
            f"{_label(path)} is not there, or its extraction was not finished: run "
            "`companion extract` for it; it continues where it stood."
        )
    try:
        sidecar: dict[str, Any] = json.loads(sidecar_of(path).read_text(encoding="utf-8"))
        format_, size, _ = sidecar["format"], sidecar["bytes"], sidecar["sha256"]
    except (ValueError, KeyError, TypeError):
        raise StoreError(
            f"the sidecar of {_label(path)} is not readable: {_again(path)}."
        ) from None
    if format_ != FORMAT:
        raise StoreError(
            f"{_label(path)} was written in format {format_}, format {FORMAT} is expected: "
            f"{_again(path)}."
        )
    if path.stat().st_size != size:
        raise StoreError(
            f"{_label(path)} has {path.stat().st_size:,} bytes where its sidecar says {size:,}: "
            f"{_again(path)}."
        )
    if model is not None:
        _check_current(path, sidecar, model)
    return sidecar


def map_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Map every array of a safetensors file, read-only; StoreError if it is not a sound one."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            if length > min(size - 8, LONGEST_HEADER):
                raise ValueError("header longer than the file")
            header: dict[str, Any] = json.loads(file.read(length))
        header.pop("__metadata__", None)
        return {name: _mapped(path, 8 + length, entry) for name, entry in header.items()}
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{_label(path)} is not a sound safetensors file ({error}): {_again(path)}."
        ) from None


def sidecar_of(path: Path) -> Path:
    """Return the path of the sidecar that belongs to a safetensors file."""
    return path.with_suffix(".json")


def _mapped(path: Path, start: int, entry: Mapping[str, Any]) -> NDArray[Any]:
    dtype, shape = DTYPES[entry["dtype"]], tuple(entry["shape"])
    first, last = entry["data_offsets"]
    if last - first != dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
        raise ValueError("shape and size disagree")
    if last == first:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, mode="r", offset=start + first, shape=shape)


def _storable(name: str, array: NDArray[Any]) -> NDArray[Any]:
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    if array.dtype not in TAGS:
        raise StoreError(f"{name} is {array.dtype}, the store keeps {', '.join(map(str, TAGS))}.")
    return array


def _check_current(path: Path, sidecar: Mapping[str, Any], model: Model) -> None:
    was = sidecar["model"]
    now = describe(model, was["weights_sha256"])
    weights = ROOT / (model.weights or "")
    if model.weights_sha256 is not None:
        now["weights_sha256"] = model.weights_sha256
    elif model.weights and weights.is_file():
        now["weights_sha256"] = sha256_of(weights)
    changed = [field for field in now if was.get(field) != now[field]]
    if changed:
        raise StoreError(
            f"{_label(path)} was made when the model's {' and '.join(changed)} differed: "
            f"{_again(path)}."
        )


@contextmanager
def locked(paths: Iterable[Path], *, shared: bool = False) -> Iterator[None]:
    """Hold the right to make the features at some paths; waits for another process to finish.

    ``shared`` is for those who make parts of them: any number at a time, but none while another
    process holds the whole right. A process that dies lets go. Where the system has no such locks
    (Windows) nothing is held; between machines they hold where the shared file system passes them
    on, as NFS does since Linux 2.6.12 unless it is mounted with ``nolock`` or ``local_lock``.
    """
    with ExitStack() as held:
        for path in sorted(paths):  # always in the same order: no two wait for each other
            path.parent.mkdir(parents=True, exist_ok=True)
            # open for both: NFS wants reading for a shared lock and writing for the other
            lock = held.enter_context(path.with_suffix(".lock").open("a+"))
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


def lock_at_once(file: IO[str]) -> bool:
    """Lock an open file against other processes until it is closed; False if one has it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    # the machine's name too: on a shared file system another's process may have the same number
    part = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _label(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _again(path: Path) -> str:
    return f"remove {sidecar_of(path).name} and run `companion extract` again"
