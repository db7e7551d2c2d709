"""Files of weights: fetched from the hub, checked, and read safely.

Tensors are read from safetensors files, and from PyTorch's files that hold nothing but tensors and
plain values, whatever such a file is called; nothing is opened in a way that could run code. What
programs put around tensors is for `layouts`.
"""

from __future__ import annotations

import argparse
import contextlib
import pickle
import threading
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import huggingface_hub
import open_clip
import requests
import timm
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from open_clip.pretrained import get_pretrained_cfg
from safetensors import safe_open
from torch import nn

from analysis.common import CompanionError
from analysis.families.registry import HUB, PACKAGE, Model
from analysis.features import parts
from analysis.features.layouts import State as State
from analysis.features.layouts import Weights, arranged, shown, taken
from analysis.features.store import local_weights
from analysis.images.public import in_package

#: From this version on PyTorch reads files of tensors without a known way to run code.
SAFE_TORCH = (2, 6)
#: Files of a repository of the hub: configuration and weights, by library.
HUB_FILES = {
    "open_clip": ("open_clip_config.json", "open_clip_model.safetensors"),
    "timm": ("config.json", "model.safetensors"),
}
#: Seconds that the hub has to answer before it counts as out of reach.
PATIENCE = 2


class ModelError(CompanionError, RuntimeError):
    """A model cannot be loaded as it is described; the message says why."""


def read_weights(path: Path, net: nn.Module | None = None, *, outline: bool = False) -> Weights:
    """Read the tensors of a file of weights, with a note on whatever of it was left aside.

    With a network, they are named as it has them, as far as that can be told. An ``outline`` has
    tensors without content. ModelError for a file that is absent, cut short, or holds anything
    else, and for two tensors of one name.
    """
    found = _read(path, outline)
    try:
        return found if net is None else arranged(found, net.state_dict())
    except ValueError as error:
        raise ModelError(f"{path.name} cannot be used: {error}.") from None


def _read(path: Path, outline: bool) -> Weights:
    if not path.is_file():
        raise ModelError(f"there are no weights at {path}: check the path.")
    kind = _kind(path)
    try:
        if kind == "index":
            return _of_index(path, outline)
        if kind == "safetensors":
            return _of_safetensors(path, outline)
        if kind == "pytorch":
            return _of_pytorch(path, outline)
    except Exception as error:  # of many kinds, one for each way in which a file can be wrong
        reason = (str(error).splitlines() or [""])[0].removesuffix(".")
        if " " not in reason:  # the code of a pickle, say
            reason = "it is empty" if not path.stat().st_size else "it cannot be read"
        raise ModelError(
            f"{path.name} is not a sound file of tensors alone ({reason[:200]}), and what is more "
            "may run code when it is opened: if it was cut short get it again, else save the "
            "model's state_dict() as safetensors with a tool that you trust."
        ) from None
    raise ModelError(f"{path.name} {UNREADABLE[kind]}.")


#: What is said of files that are something else.
UNREADABLE = {
    "program": "is a TorchScript program, which may run code when it is opened: save its "
    "state_dict() as safetensors with a tool that you trust (OpenAI's own files are open_clip's "
    "ViT-B-32-quickgelu/openai and so on)",
    "arrays": "holds NumPy arrays, as JAX writes them: convert it to the names of PyTorch, and "
    "save it as safetensors",
    "other": "is not a safetensors file, nor one of PyTorch's, by its content: convert it with a "
    "tool that you trust, and name it .safetensors",
}


def _kind(path: Path) -> str:
    """What a file is by its content: some have endings of their own, and some none."""
    with path.open("rb") as file:
        start = file.read(9)
    if parts.is_index(path):
        return "index"
    if path.suffix == ".safetensors" or start[8:] == b"{":
        return "safetensors"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(name.endswith(".npy") for name in names):
            return "arrays"
        return "program" if any("/code/" in name for name in names) else "pytorch"
    known = path.suffix in (".pt", ".pth", ".bin", ".ckpt")
    return "pytorch" if known or start[:1] == b"\x80" else "other"


def _of_safetensors(path: Path, outline: bool) -> Weights:
    with safe_open(path, framework="pt") as file:
        names, metadata = list(file.keys()), file.metadata() or {}
        if outline:
            shapes = {name: file.get_slice(name).get_shape() for name in names}
            state = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
        else:
            state = {name: file.get_tensor(name) for name in names}
    return taken(state)._replace(metadata=metadata)


def _of_index(path: Path, outline: bool) -> Weights:
    """The tensors of all parts that an index names; ValueError if they are not those it names."""
    named = parts.places(path)
    state: State = {}
    metadata: dict[str, str] = {}
    for part in sorted({*named.values()}):
        if not part.is_file():
            raise ValueError(f"its part {part.name} is not there")
        found = _of_safetensors(part, outline)
        state |= {name: found.state[name] for name in found.state if named.get(name) == part}
        metadata |= found.metadata
    if absent := sorted(named.keys() - state.keys()):
        raise ValueError(f"{len(absent)} tensors are not in their parts, first {shown(absent[0])}")
    return Weights(state, metadata)


def _of_pytorch(path: Path, outline: bool) -> Weights:
    _check_torch(path)
    where = "meta" if outline else "cpu"
    with torch.serialization.safe_globals([argparse.Namespace]):  # timm keeps its options so
        try:
            return taken(torch.load(path, map_location=where, weights_only=True))
        except pickle.UnpicklingError:
            more = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    raise ValueError(f"it holds more than tensors and plain values: {', '.join(map(shown, more))}")


def weights_file(model: Model) -> Path:
    """Return the file of the described weights: a local one, or the hub's, fetched if need be."""
    weights = model.weights or ""
    local = local_weights(model)
    if weights.startswith(PACKAGE):
        local = in_package(weights.removeprefix(PACKAGE))
    if local is not None:
        return local
    file = HUB_FILES[model.library or ""][1]
    if weights.startswith(HUB):
        named = [file, HUB_FILES["timm"][1]]  # as transformers names it, too
        return _whole(model.name, weights.removeprefix(HUB), named)
    listed = _listed_by_open_clip if model.library == "open_clip" else _listed_by_timm
    repository, name = listed(model)
    return _whole(model.name, repository, [name or file, file])


def _whole(who: str, repository: str, names: Sequence[str]) -> Path:
    """`from_hub` of weights: one of the files, else an index with all its parts."""
    indices = [f"{Path(name).stem}{parts.INDEX}" for name in names]
    path = from_hub(who, repository, list(dict.fromkeys([*names, *indices])))
    try:
        for part in parts.files(path)[1:]:
            from_hub(who, repository, [part.name])
    except ValueError as error:
        raise ModelError(f"{who}: {path.name} of {repository} cannot be used: {error}.") from None
    return path


def from_hub(who: str, repository: str, names: Sequence[str]) -> Path:
    """Return the first of some files that a repository has, from the hub's cache or the network.

    ``repository`` is ``organisation/name``, with ``@revision`` or without. ModelError, about
    ``who``, if there is none. The hub is asked once: where it is out of reach, the cache decides.
    """
    repository, _, revision = repository.partition("@")
    which: Any = {"revision": revision} if revision else {}
    if not _reachable(huggingface_hub.constants.ENDPOINT):  # its client would ask five times more
        which["local_files_only"] = True
    reason = ""
    for name in names:
        try:
            return Path(huggingface_hub.hf_hub_download(repository, name, **which))
        except LocalEntryNotFoundError as error:  # there may be another one in the cache
            reason = type(error).__name__
        except Exception as error:  # the hub's own, and those of the network below it
            reason = type(error).__name__
            if not isinstance(error, EntryNotFoundError):
                break
    raise ModelError(
        f"{who}: {' or '.join(names)} of {repository} is not on this machine and could not "
        f"be fetched from the Hugging Face hub ({reason}): check the name and go online, or give a "
        "local file of the weights as the checkpoint."
    )


@cache
def _reachable(address: str) -> bool:
    """Whether a server answers at all; looking up its name may hang, so that it is left alone."""
    answers: list[bool] = []

    def ask() -> None:
        with contextlib.suppress(requests.RequestException, OSError):
            requests.head(address, timeout=PATIENCE)
            answers.append(True)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return bool(answers)


def checked(model: Model, path: Path) -> str:
    """Return the sha256 of a model's weights; ModelError if they are absent or not those noted."""
    if not path.is_file():
        raise ModelError(f"there are no weights at {path}: check the path.")
    try:
        sha256 = parts.checksum(path)
    except (ValueError, OSError) as error:
        reason = f"{error.filename} is not there" if isinstance(error, OSError) else error
        raise ModelError(f"{path.name} cannot be used: {reason}.") from None
    if model.weights_sha256 not in (None, sha256):
        raise ModelError(
            f"{path.name} is not the file that {model.name} was described with: its sha256 starts "
            f"with {sha256[:12]}, {(model.weights_sha256 or '')[:12]} is noted in the family file: "
            "put that file back, or describe the new one under a name of its own (companion add)."
        )
    return sha256


def _listed_by_open_clip(model: Model) -> tuple[str, str]:
    """Return repository and file of open_clip's tag; the file is of safetensors, or not named."""
    tag = get_pretrained_cfg(model.architecture, model.weights)
    if not tag:
        known = ", ".join(open_clip.list_pretrained_tags_by_model(model.architecture)) or "none"
        raise ModelError(
            f"{model.name}: open_clip has no weights {model.weights!r} for {model.architecture} "
            f"(known are {known})."
        )
    repository, _, name = tag.get("hf_hub", "").rpartition("/")
    if not repository:
        raise ModelError(
            f"{model.name}: open_clip offers {model.weights} as a pickle only: convert it to "
            "safetensors with a tool that you trust, and give that file as the checkpoint."
        )
    return repository, Path(name).with_suffix(".safetensors").name if name else ""


def _listed_by_timm(model: Model) -> tuple[str, str]:
    name = f"{model.architecture}.{model.weights}"
    if name not in timm.list_pretrained(f"{model.architecture}*"):
        raise ModelError(f"{model.name}: timm has no pretrained model {name}.")
    config = timm.get_pretrained_cfg(name)
    repository = (config.hf_hub_id if config else None) or ""
    return repository + name * repository.endswith("/"), ""


def _check_torch(path: Path) -> None:
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < SAFE_TORCH:
        raise ValueError(
            f"PyTorch {'.'.join(map(str, SAFE_TORCH))} or newer is needed, since with "
            f"{torch.__version__} such a file can run code: update PyTorch"
        )
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("it is compressed, which PyTorch's files are not")
