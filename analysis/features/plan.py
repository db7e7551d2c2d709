"""What an extraction is made from, and whether stored features are still current. No torch.

Features carry a description of what they were made from: model, weights, images, settings, code and
libraries. They are current if that description is the same today. Only `extract` and its callers
look at this; whoever reads features asks for the same model and weights, see `store.read_features`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from analysis.base import code
from analysis.base.files import fingerprint
from analysis.base.roots import PACKAGES
from analysis.base.texts import CompanionError
from analysis.families.registry import Model
from analysis.features import store
from analysis.features.store import Precision
from analysis.images import imagenet
from analysis.images.imagelist import ImageList, Prompts
from analysis.images.imagenet import prompts_for

LIBRARIES = ("torch", "open_clip", "timm", "PIL")
#: What decides numbers in the code. Images and models count by their content, not by how they are
#: listed or described, and arrays by their checksum, not by how they are kept. What loads networks
#: is named, since it is given to `extract`, and this module imports no torch.
_SOURCE = "from analysis.features import extract\nfrom companion.checkpoints import loading"
_KEPT_ELSEWHERE = ("store.py", "plan.py", "again.py", "__init__.py")


class ExtractionError(CompanionError, RuntimeError):
    """An extraction cannot start or continue; whatever it finished is kept."""


@dataclass(frozen=True)
class ExtractionSettings:
    """How to extract.

    ``device`` is ``auto``, ``cpu``, ``cuda`` or ``mps``. ``precision`` is that of the arithmetic:
    ``fp32`` is float32 throughout, ``tf32`` lets an NVIDIA GPU round what it multiplies to ten
    bits, as PyTorch does by default in convolutions. With these two features are kept as float32,
    else as float16. ``shard_size`` is rounded up to whole
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

    @property
    def shard(self) -> int:
        """Images per shard, a multiple of the batch size."""
        return -(-self.shard_size // self.batch_size) * self.batch_size


USUAL = ExtractionSettings()


def made_from(
    model: Model, images: ImageList, settings: ExtractionSettings, weights_sha256: str
) -> dict[str, str]:
    """Return the named parts that features, or the shards of some, are made from."""
    return {
        "model": fingerprint(store.describe(model, "")),
        "weights": weights_sha256,
        "images": images.manifest,
        "precision": settings.precision,
        "batch size": str(settings.batch_size),
        **_code(),
        **{library: code.version_of(library) for library in LIBRARIES},
    }


#: Parts of `made_from` that are the question itself; all others say how it was answered.
INPUTS = {"model", "weights", "images", "precision", "batch size"}


def same_inputs(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """What changed in code and libraries, in words; nothing if other things did, or none."""
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if INPUTS & {*changed} or not old:
        return []
    return [
        f"{name} {old.get(name, 'absent')} → {new.get(name, 'absent')}"
        if name in LIBRARIES
        else f"the code of {name}"
        for name in changed
    ]


def why_again(
    model: Model, images: ImageList, settings: ExtractionSettings, folder: Path | None = None
) -> list[str]:
    """Why features that are there are not those that would be extracted now, in words."""
    try:
        sidecar = store.read_sidecar(store.features_path(model.name, images.name, folder), model)
    except store.StoreError:
        return []
    old = sidecar.get("made_from", {})
    new = made_from(model, images, settings, sidecar["model"]["weights_sha256"])
    of_inputs = [name for name in INPUTS if old.get(name) != new.get(name)]
    return same_inputs(old, new) or [f"other {name}" for name in sorted(of_inputs)]


def is_current(
    model: Model,
    images: ImageList,
    settings: ExtractionSettings = USUAL,
    folder: Path | None = None,
) -> bool:
    """Whether a model's features of some images are those that would be extracted now.

    The files' sizes are checked, not their content; reading them finds damage that leaves the size
    unchanged.
    """
    try:
        sidecar = store.read_sidecar(store.features_path(model.name, images.name, folder), model)
    except store.StoreError:
        return False
    now = made_from(model, images, settings, sidecar["model"]["weights_sha256"])
    whole = settings.leave_out_damaged or not sidecar["data"]["left_out"]
    return whole and sidecar.get("made_from") == now


def head_is_current(model: Model, images: ImageList, folder: Path | None = None) -> bool:
    """Whether the head next to the features, or its absence, matches the description."""
    try:
        kept = store.read_sidecar(store.head_path(model.name, images.name, folder))
    except store.StoreError:
        return model.head in (None, "none") or (
            model.head == "zero_shot" and head_prompts(model, images) is None
        )
    if kept["prompts"] is None:
        named = isinstance(model.classes, tuple)
        right = model.head in (None, "own")
        return right and (not named or tuple(kept["classes"]) == model.classes)
    prompts = head_prompts(model, images)
    wanted = None if prompts is None else prompts.sha256
    return model.head in (None, "zero_shot") and kept["prompts"] == wanted


def head_prompts(model: Model, images: ImageList) -> Prompts | None:
    """Return the prompts for a model's zero-shot head on a data set; None if nothing is known.

    They are the model's own class names and templates if its description has any, otherwise those
    of the data set.
    """
    if model.classes is None:
        prompts = images.prompts
    elif isinstance(model.classes, str):
        prompts = imagenet.prompts()
    else:
        prompts = prompts_for(model.classes)
    if prompts is None or model.templates is None:
        return prompts
    templates = model.templates
    if isinstance(templates, str):
        templates = imagenet.prompts().templates
    return replace(prompts, templates=templates)


@cache
def _code() -> dict[str, str]:
    """What each module that decides numbers does, by its name."""
    modules = [
        path.relative_to(PACKAGES)
        for path in code.import_closure(_SOURCE)
        if path.name == "imagelist.py"
        or (path.parent.name in ("features", "checkpoints") and path.name not in _KEPT_ELSEWHERE)
    ]
    return {
        ".".join(path.with_suffix("").parts): code.hash_of((PACKAGES / path).read_text("utf-8"))
        for path in modules
    }
