"""Features, labels and heads on disk: safetensors with a JSON sidecar, read without torch.

``<store>/<model>/<data set>.safetensors`` holds ``features`` (N, d), ``labels`` (N,) and ``rows``
(N,), a number for each image's name, so that row order can be checked. The sidecar of the same
name, written last, says what they are and where they came from. Features count as complete only if
the sidecar is there and its checksum holds, which is computed once per process. Features are
memory-mapped on reading, so they take no memory until they are used.

`analysis.features.plan` says whether features are still what would be extracted today.

Environment variable ``COMPANION_STORE``: a folder to use instead of ``store/`` in the repository.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from safetensors.numpy import save_file

from analysis.base.files import fingerprint, is_intact, replaced, sealed, sha256_of, write_text
from analysis.base.roots import WORKSPACE
from analysis.base.texts import CompanionError
from analysis.families.registry import LOCAL_DIR, Model, is_file_name
from analysis.features import parts

#: The arithmetic that features are computed in.
Precision = Literal["fp32", "tf32", "fp16", "bf16"]

FORMAT = 1
DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I64": "<i8", "U64": "<u8", "U8": "u1"}
LONGEST_HEADER = 100_000_000
#: Files that a process holds open besides its locks.
SPARE_FILES = 512
#: The keys that every sidecar needs, and the types of those that are read.
NEEDED = {"format", "bytes", "sha256", "N", "d"}
KINDS = dict.fromkeys(NEEDED - {"sha256"}, int) | {"sha256": str, "model": dict, "data": dict}


class StoreError(CompanionError, RuntimeError):
    """Something on disk is absent, damaged, outdated or unfit to be written."""


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
        classes, biases = (len(self.classes),), () if self.bias is None else (self.bias,)
        if self.weight.ndim != 2 or any(a.shape[:1] != classes for a in (self.weight, *biases)):
            raise StoreError(
                f"a head needs one row, and one bias, per class ({len(self.classes)}), got shapes "
                f"{' and '.join(str(array.shape) for array in (self.weight, *biases))}."
            )
        if not all(np.isfinite(array).all() for array in (self.weight, *biases)):
            raise StoreError(
                f"a head of {len(self.classes)} classes has numbers that are not finite: use "
                "--precision fp32, or check the weights."
            )

    def logits(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Return the scores, shape (N, C), of features of shape (N, d)."""
        h = np.asarray(features, dtype=np.float32)
        if self.normalize:
            # As PyTorch normalises: features that are all zero stay so.
            h = h / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-12)
        scores: NDArray[np.float32] = h @ self.weight.T
        return scores if self.bias is None else scores + self.bias


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
    return Path(os.environ.get("COMPANION_STORE") or WORKSPACE / "store").expanduser()


def features_path(model: str, data: str, folder: Path | None = None) -> Path:
    """Return where the features of a data set by a model lie, or would lie."""
    return (folder or default_folder()) / model / f"{data}.safetensors"


def head_path(model: str, data: str, folder: Path | None = None) -> Path:
    """Return where the head that a model uses on a data set lies, or would lie."""
    return (folder or default_folder()) / model / f"{data}.head.safetensors"


def kept(model: str, folder: Path | None = None) -> list[Path]:
    """Where features and heads of a model are, or ought to be, since their sidecars are there."""
    place = features_path(model, "any", folder).parent
    found = [path for end in ("json", "safetensors") for path in place.glob(f"*.{end}")]
    return sorted({path.with_suffix(".safetensors") for path in found})


def sidecar_of(path: Path) -> Path:
    """Return the path of the sidecar that belongs to a safetensors file."""
    return path.with_suffix(".json")


def row_numbers(keys: Sequence[str]) -> NDArray[np.uint64]:
    """Return one number per image name: the first eight bytes of its sha256."""
    digests = b"".join(hashlib.sha256(key.encode()).digest()[:8] for key in keys)
    return np.frombuffer(digests, dtype="<u8")


def features(model: Model, data: str) -> NDArray[Any]:
    """Map the features (N, d) of a data set by a model; StoreError as in `read_features`."""
    return read_features(features_path(model.name, data), model).features


def read_features(path: Path, model: Model | None = None) -> Features:
    """Map the features at ``path`` into memory, after checking them against their sidecar.

    With ``model``, they must also have been made by that model as it is described now. Raises
    StoreError, saying how to get them, if they are absent, incomplete, damaged or outdated.
    """
    tensors, sidecar = read(path, model)
    shapes = {name: tensors[name].shape for name in tensors}
    images, width = sidecar["N"], sidecar["d"]
    wanted = {"features": (images, width), "labels": (images,), "rows": (images,)}
    classes, labels = sidecar.get("data", {}).get("classes", ()), tensors.get("labels", np.zeros(0))
    if shapes != wanted or not images or not (labels < len(classes)).all() or labels.dtype != "i8":
        raise StoreError(
            f"{_label(path)} holds {shapes} of {len(classes)} classes, which do not go together: "
            f"{_again(path)}."
        )
    return Features(tensors["features"], tensors["labels"], tensors["rows"], sidecar)


def read_head(path: Path, model: Model | None = None) -> Head:
    """Read the head at ``path``; StoreError as in `read_features`."""
    tensors, sidecar = read(path, model)
    return Head(
        weight=tensors["weight"],
        bias=tensors.get("bias"),
        classes=tuple(sidecar["classes"]),
        normalize=sidecar["normalize"],
    )


def problem(path: Path, model: Model | None = None) -> str:
    """Return why the features or head at ``path`` cannot be used, or an empty text if they can."""
    try:
        (read_head if path.name.endswith(".head.safetensors") else read_features)(path, model)
    except StoreError as error:
        return str(error)
    return ""


def read(path: Path, model: Model | None = None) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Map the arrays at ``path`` and read their sidecar; StoreError as in `read_features`."""
    sidecar = read_sidecar(path, model)
    if sha256_of(path) != sidecar["sha256"]:
        raise StoreError(
            f"{_label(path)} is not what was written (its checksum differs): {_again(path)}."
        )
    return map_tensors(path), sidecar


def identity(sidecar: Mapping[str, Any]) -> str:
    """What a measurement says it was made from: the arrays' checksum, or that of public files."""
    files = sidecar.get("origin", {}).get("files")
    return fingerprint(files) if files else str(sidecar["sha256"])


def read_sidecar(path: Path, model: Model | None = None) -> dict[str, Any]:
    """Read the store's description of the arrays at ``path``, without looking at the arrays.

    Raises StoreError as `read_features` does, but does not notice damage that leaves the size
    unchanged.
    """
    if not path.is_file() or not sidecar_of(path).is_file():
        raise StoreError(
            f"{_label(path)} does not exist, or its extraction was not finished: run `companion "
            "extract` for it; it continues where it stopped."
        )
    try:
        sidecar: dict[str, Any] = json.loads(sidecar_of(path).read_text(encoding="utf-8"))
    # Not JSON any more, so its digest cannot hold either: that is said below.
    except (ValueError, RecursionError):
        sidecar = {}
    if not is_intact(sidecar):
        raise StoreError(
            f"the sidecar of {_label(path)} is not what was written (its digest differs, or is not "
            f"there): {_again(path)}."
        )
    wrong = [key for key, kind in KINDS.items() if not isinstance(sidecar.get(key, kind()), kind)]
    if lacking := NEEDED - sidecar.keys() | {*wrong}:
        raise StoreError(
            f"the sidecar of {_label(path)} lacks {min(lacking)}, or has it of another type: "
            f"{_again(path)}."
        )
    if (sidecar["format"], sidecar["bytes"]) != (FORMAT, path.stat().st_size):
        raise StoreError(
            f"{_label(path)} has {path.stat().st_size:,} bytes in format {FORMAT}, its sidecar "
            f"says {sidecar['bytes']:,} in format {sidecar['format']}: {_again(path)}."
        )
    if model is not None:
        _check_model(path, sidecar, model)
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


def write_features(
    path: Path,
    features: NDArray[Any],
    labels: NDArray[np.int64],
    rows: NDArray[np.uint64],
    *,
    sidecar: Mapping[str, Any],
) -> None:
    """Check and write features (N, d) with labels (N,) and `row_numbers` (N,), then their sidecar.

    ``sidecar`` is completed with N, d, dtype and the file's checksum. Raises StoreError, and writes
    nothing, if the shapes disagree or a number is not finite.
    """
    if features.ndim != 2 or labels.shape != (len(features),) or rows.shape != (len(features),):
        raise StoreError(
            f"{path.stem}: features (N, d), labels (N,) and rows (N,) are expected, got the shapes "
            f"{features.shape}, {labels.shape} and {rows.shape}."
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
    write(path, tensors, {**sidecar, "classes": head.classes, "normalize": head.normalize})


def write(path: Path, tensors: Mapping[str, NDArray[Any]], sidecar: Mapping[str, Any]) -> None:
    """Write named arrays as safetensors, then the sidecar; each is written elsewhere and renamed.

    Between the two steps an old sidecar describes other arrays, which its checksum reveals.
    """
    arrays = {
        name: np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        for name, array in tensors.items()
    }
    with replaced(path) as part:
        save_file(arrays, part)
        part.chmod(0o644)  # the library writes for the owner alone
    first = next(iter(arrays.values()))
    content = {
        "format": FORMAT,
        **sidecar,
        "N": first.shape[0],
        "d": first.shape[1],
        "dtype": str(first.dtype),
        "bytes": path.stat().st_size,
        "sha256": sha256_of(path),
    }
    write_text(sidecar_of(path), json.dumps(sealed(content), indent=1, ensure_ascii=False) + "\n")


def describe(model: Model, weights_sha256: str) -> dict[str, Any]:
    """Return the part of a sidecar that says which model, with which weights and input."""
    fields = ("name", "level", "library", "architecture", "weights", "width")
    preprocessing = model.preprocessing.model_dump(mode="json")
    if not model.preprocessing.squash:  # as it was described before there was a choice
        del preprocessing["squash"]
    layer = {"layer": model.own_layer} if model.own_layer else {}
    return {
        **{field: getattr(model, field) for field in fields},
        **layer,
        "weights_sha256": weights_sha256,
        "preprocessing": preprocessing,
    }


def weights_sha256(model: Model, otherwise: str) -> str:
    """Return the checksum that a model's weights must have now, where it is known.

    It is the checksum in the family file, else that of a file on this machine, else ``otherwise``.
    """
    file = local_weights(model)
    there = model.weights_sha256 is None and file is not None and file.is_file()
    try:
        return model.weights_sha256 or (parts.checksum(file) if there and file else otherwise)
    except (OSError, ValueError):  # of an index whose parts are not all there
        return otherwise


def local_weights(model: Model) -> Path | None:
    """Return the file that a model's weights name, if they name one; it may not exist."""
    weights = (model.weights or "").removeprefix(LOCAL_DIR)
    return WORKSPACE / Path(weights).expanduser() if is_file_name(weights) else None


@contextmanager
def locked(paths: Iterable[Path]) -> Iterator[None]:
    """Hold the right to make the features at some paths; waits for another process to finish.

    A process that dies lets go. Between machines it holds where the shared file system passes locks
    on, as NFS does since Linux 2.6.12 unless it is mounted with ``nolock`` or ``local_lock``. Each
    lock is an open file, of which systems allow 256 or 1,024 unless a process asks for more.
    """
    places = sorted(paths)  # always in the same order: no two wait for each other
    _allow_open_files(len(places))
    with ExitStack() as held:
        for path in places:
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(path.with_suffix(".lock")))
        yield


def _allow_open_files(more: int) -> None:
    """Let this process hold so many more files open, as far as the system lets it."""
    with suppress(ImportError, ValueError, OSError):  # Windows has no such limit
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = more + SPARE_FILES
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _mapped(path: Path, start: int, entry: Mapping[str, Any]) -> NDArray[Any]:
    dtype, shape = np.dtype(DTYPES[entry["dtype"]]), tuple(entry["shape"])
    first, last = entry["data_offsets"]
    if last - first != dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
        raise ValueError("shape and size disagree")
    if last == first:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, mode="r", offset=start + first, shape=shape)


def _check_model(path: Path, sidecar: Mapping[str, Any], model: Model) -> None:
    was = sidecar["model"]
    now = describe(model, weights_sha256(model, otherwise=was["weights_sha256"]))
    changed = [field for field in now | was if was.get(field) != now.get(field)]
    if changed:
        raise StoreError(
            f"{_label(path)} was made when the model's {' and '.join(changed)} differed: "
            f"{_again(path)}."
        )


def _label(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _again(path: Path) -> str:
    return f"remove {sidecar_of(path).name} and run `companion extract` again"
