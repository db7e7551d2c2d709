"""Files of weights: fetched from the hub, checked, and read safely.

Tensors are read from safetensors files, and from PyTorch files that contain only tensors and plain
values, whatever such a file is called; no file is opened in a way that could run code. `layouts`
handles what programs put around the tensors.
"""

from __future__ import annotations

import argparse
import itertools
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import huggingface_hub
import requests
import timm
import torch
from huggingface_hub.errors import EntryNotFoundError
from safetensors import SafetensorError, safe_open
from torch import nn

from analysis.base.roots import in_package
from analysis.families.registry import HUB, PACKAGE, Model
from analysis.features import parts
from analysis.features.encoders import ModelError
from analysis.features.store import local_weights
from companion.checkpoints.layouts import State, Weights, arranged, shown, taken
from companion.checkpoints.lazily import open_clip

#: From this version on PyTorch reads files of tensors without a known way to run code.
SAFE_TORCH = (2, 6)
#: Files of a repository of the hub: configuration and weights, by library.
HUB_FILES = {
    "open_clip": ("open_clip_config.json", "open_clip_model.safetensors"),
    "timm": ("config.json", "model.safetensors"),
}
#: Seconds that the hub has to answer before it counts as out of reach.
PATIENCE = 2


def read_weights(path: Path, net: nn.Module | None = None) -> Weights:
    """Read the tensors of a file of weights, with a note on whatever was ignored.

    If a network is given, the tensors get its names, as far as these are known. Raises ModelError
    for a file that is absent, cut short, or contains anything else, and for two tensors of one
    name.
    """
    if not path.is_file():
        raise ModelError(f"there are no weights at {path}: check the path.")
    try:
        weights = _of_safetensors(path) if _is_safetensors(path) else _of_pytorch(path)
        return weights if net is None else arranged(weights, net.state_dict())
    except Exception as error:  # of many kinds, one for each way in which a file can be wrong
        reason = str(error).partition("\n")[0].partition(". ")[0].removesuffix(".")
        if isinstance(error, pickle.UnpicklingError):  # whose own advice is to open it all the same
            reason = "it holds more than tensors and plain values"
        elif not isinstance(error, ValueError | RuntimeError | OSError | SafetensorError):
            reason = "it cannot be read"
        raise ModelError(
            f"{path.name} is not a sound file of tensors alone ({reason[:200]}), and anything else "
            "may run code when it is opened: if it was cut short, get it again; otherwise save the "
            "model's state_dict() as safetensors with a tool that you trust."
        ) from None


def check_order(path: Path, names: Iterable[str]) -> None:
    """Raise ModelError if the order of a file's tensors is not that in which a network has them.

    A file of safetensors has none, and where numbers in names do not rise, as in alphabetical
    order (0, 1, 10, 2), blocks of equal shapes would be exchanged without a word.
    """
    remedy = "rename its tensors, or save the state_dict() with torch.save in the network's order"
    if _is_safetensors(path):
        raise ModelError(
            f"{path.name} is of safetensors, which keeps no order of tensors, so none can be taken "
            f"by its place (--renamed): {remedy}."
        )
    last: dict[str, tuple[list[int], str]] = {}
    for name in names:
        kind, numbers = re.sub(r"\d+", "#", name), [*map(int, re.findall(r"\d+", name))]
        if kind in last and last[kind][0] > numbers:
            raise ModelError(
                f"{path.name} has {shown(last[kind][1])} before {shown(name)}, so its order is not "
                f"a network's: {remedy}."
            )
        last[kind] = numbers, name


def _is_safetensors(path: Path) -> bool:
    """Whether a file is of safetensors, or an index of such, by its name or its content."""
    with path.open("rb") as file:
        start = file.read(9)
    return parts.is_index(path) or path.suffix == ".safetensors" or start[8:] == b"{"


def _of_safetensors(path: Path) -> Weights:
    """The tensors of a file, or those that an index names, each from the part that it says."""
    state: State = {}
    metadata: dict[str, str] = {}
    places = parts.places(path) if parts.is_index(path) else {}
    for part in sorted({*places.values()}) or [path]:
        with safe_open(part, framework="pt") as file:
            metadata |= file.metadata() or {}
            there = set(file.keys())
            named = {name for name, place in places.items() if place == part} or there
            if absent := named - there:
                raise ValueError(f"its part {part.name} lacks {shown(min(absent))}")
            state |= {name: file.get_tensor(name) for name in sorted(named)}
    return taken(state)._replace(metadata=metadata)


def _of_pytorch(path: Path) -> Weights:
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < SAFE_TORCH:
        raise ValueError(
            f"PyTorch {'.'.join(map(str, SAFE_TORCH))} or newer is needed, since with "
            f"{torch.__version__} such a file can run code: update PyTorch"
        )
    _check_sizes(path)
    keeps_options = torch.serialization.safe_globals([argparse.Namespace])  # timm does, in these
    with warnings.catch_warnings(action="ignore"), keeps_options:
        weights = taken(torch.load(path, map_location="cpu", weights_only=True))
    for name, tensor in weights.state.items():
        if tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
            raise ValueError(f"{shown(name)} repeats numbers instead of having each: save a copy")
    return weights


def _check_sizes(path: Path) -> None:
    """Raise ValueError for an archive that would be larger unpacked: PyTorch compresses nothing."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            names = archive.namelist()
        if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
            raise ValueError("it is TorchScript, a program: save the state_dict() of what it loads")
        if size > path.stat().st_size:
            raise ValueError(f"it is compressed, and would take {size:,} bytes")


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
    ``who``, if there is none.
    """
    repository, _, revision = repository.partition("@")
    reason = ""
    # The cache first: the hub is not asked for what is here.
    for name, cached in itertools.product(names, (True, False)):
        if not cached and not _online():
            continue
        try:
            path = huggingface_hub.hf_hub_download(
                repository, name, revision=revision or None, local_files_only=cached
            )
            return Path(path)
        except Exception as error:  # the hub's own, and those of the network below it
            reason = type(error).__name__
            # Any other error is of the repository or the network, whatever the file is called.
            if not cached and not isinstance(error, EntryNotFoundError):
                break
    raise ModelError(
        f"{who}: {' or '.join(names)} of {repository} is not on this machine and could not "
        f"be fetched from the Hugging Face hub ({reason}): check the name and go online, or give a "
        "local file of the weights as the checkpoint."
    )


@cache
def _online() -> bool:
    """Whether the hub answers: where it does not, its own client would ask for half a minute."""
    try:
        requests.head(huggingface_hub.constants.ENDPOINT, timeout=PATIENCE)
    except requests.RequestException:
        return False
    return True


def _listed_by_open_clip(model: Model) -> tuple[str, str]:
    """Return repository and file of open_clip's tag; the file is of safetensors, or not named."""
    tag = open_clip.get_pretrained_cfg(model.architecture, model.weights)
    if not tag:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model.architecture)) or "none"
        raise ModelError(
            f"{model.name}: open_clip has no weights {model.weights!r} for {model.architecture} "
            f"(known are {tags})."
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
