"""Files of weights: fetched from the hub, checked, and read safely.

Tensors are read by timm from safetensors files, and from PyTorch's files that hold nothing but
tensors and plain values; nothing is opened in a way that could run code. Where a training program
wrapped them (``state_dict``, ``model``) or put prefixes before their names they are unwrapped.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
import open_clip
import timm
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from open_clip.pretrained import get_pretrained_cfg
from safetensors import safe_open
from timm.models import clean_state_dict, load_state_dict
from torch import Tensor

from analysis.common import CompanionError, sha256_of
from analysis.families.registry import HUB, PACKAGE, WEIGHT_FILES, Model
from analysis.features.store import local_weights
from analysis.images.public import in_package

#: From this version on PyTorch reads files of tensors without a known way to run code.
SAFE_TORCH = (2, 6)
#: What programs put before the names of all tensors when they train on several devices or compile.
PREFIXES = ("module.", "_orig_mod.")
#: Files of a repository of the hub: configuration and weights, by library.
HUB_FILES = {
    "open_clip": ("open_clip_config.json", "open_clip_model.safetensors"),
    "timm": ("config.json", "model.safetensors"),
}

State = dict[str, Tensor]


class ModelError(CompanionError, RuntimeError):
    """A model cannot be loaded as it is described; the message says why."""


def read_weights(path: Path) -> tuple[State, dict[str, str]]:
    """Read the tensors of a file of weights, and the metadata that a safetensors file has.

    ModelError for a file that is absent, cut short, or holds anything else.
    """
    if not path.is_file():
        raise ModelError(f"there are no weights at {path}: check the path.")
    if path.suffix not in WEIGHT_FILES:
        raise ModelError(
            f"{path.name} is not a safetensors file, nor one of PyTorch's "
            f"({', '.join(WEIGHT_FILES[1:])}): convert it with a tool that you trust, and name it "
            ".safetensors."
        )
    try:
        metadata = {} if path.suffix != ".safetensors" else read_header(path)[1]
        state = _unwrapped(path)
    except Exception as error:  # of many kinds, one for each way in which a file can be wrong
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        reason = reason.partition(" No automatic")[0].removesuffix(".")
        raise ModelError(
            f"{path.name} is not a sound file of tensors alone ({reason}), and what is more may "
            "run code when it is opened: if it was cut short get it again, else save the model's "
            "state_dict() as safetensors with a tool that you trust."
        ) from None
    return state, metadata


def read_header(path: Path) -> tuple[set[str], dict[str, str]]:
    """Names of the tensors in a safetensors file, and its metadata; else SafetensorError."""
    with safe_open(path, framework="np") as file:
        return set(file.keys()), file.metadata() or {}


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
        return from_hub(model.name, weights.removeprefix(HUB), [file])
    listed = _listed_by_open_clip if model.library == "open_clip" else _listed_by_timm
    repository, name = listed(model)
    return from_hub(model.name, repository, list(dict.fromkeys([name or file, file])))


def from_hub(who: str, repository: str, names: Sequence[str]) -> Path:
    """Return the first of some files that a repository has, from the hub's cache or the network.

    ``repository`` is ``organisation/name``, with ``@revision`` or without. ModelError, about
    ``who``, if there is none.
    """
    repository, _, revision = repository.partition("@")
    which: Any = {"revision": revision} if revision else {}
    reason = ""
    for name in names:
        try:
            return Path(huggingface_hub.hf_hub_download(repository, name, **which))
        except Exception as error:  # the hub's own, and those of the network below it
            reason = type(error).__name__
            absent = isinstance(error, EntryNotFoundError)
            if not absent or isinstance(error, LocalEntryNotFoundError):
                break
    raise ModelError(
        f"{who}: {' or '.join(names)} of {repository} is not on this machine and could not "
        f"be fetched from the Hugging Face hub ({reason}): check the name and go online, or give a "
        "local file of the weights as the checkpoint."
    )


def checked(model: Model, path: Path) -> str:
    """Return the sha256 of a model's weights; ModelError if they are absent or not those noted."""
    if not path.is_file():
        raise ModelError(f"there are no weights at {path}: check the path.")
    sha256 = sha256_of(path)
    if model.weights_sha256 not in (None, sha256):
        raise ModelError(
            f"{path.name} is not the file that {model.name} was described with: its sha256 starts "
            f"with {sha256[:12]}, {(model.weights_sha256 or '')[:12]} is noted in the family file: "
            "put that file back, or describe the new one under a name of its own (companion add)."
        )
    return sha256


def _unwrapped(path: Path) -> State:
    """Read the tensors by name, whatever was around them; any error of the libraries."""
    if path.suffix != ".safetensors":
        _check_torch(path)
    content: Any = load_state_dict(str(path), use_ema=False, weights_only=True)
    content = content.get("model_state_dict", content)
    while any(str(name).startswith(PREFIXES) for name in content):  # they nest in either order
        content = clean_state_dict(content)
    if not content or not all(isinstance(value, Tensor) for value in content.values()):
        entries = ", ".join(map(str, content)) or "nothing"
        raise ValueError(
            f"it holds {entries[:60]} where a dictionary of tensors is expected, or one with such "
            "a dictionary under state_dict or model"
        )
    return {str(name): value for name, value in content.items()}


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
