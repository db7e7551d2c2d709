"""From class names, or a checkpoint's own classifier, to the head stored next to features."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from analysis.families.registry import Model
from analysis.features import store
from analysis.features.devices import computing
from analysis.features.encoders import Loaded
from analysis.features.plan import ExtractionError, head_prompts
from analysis.features.store import Head, StoreError
from analysis.features.weights import ModelError
from analysis.images import imagenet
from analysis.images.imagelist import ImageList, Prompts
from base.quoting import quoted

#: Rows of a head that are compared at once.
BLOCK = 1000
#: How ImageNet's folders are named.
WORDNET = re.compile(r"n\d{8}")


def zero_shot_head(loaded: Loaded, prompts: Prompts, batch_size: int = 256) -> Head:
    """Return the classifier that the text encoder makes from class names and templates.

    For each class, the text features of all templates are scaled to length 1 and averaged, and the
    mean is scaled to length 1 again.
    """
    if loaded.text is None:
        raise ModelError(f"{loaded.model.name} has no text encoder to make a zero-shot head with.")
    texts = [template.format(name) for name in prompts.names for template in prompts.templates]
    with torch.inference_mode():
        parts = [
            nn.functional.normalize(loaded.text(texts[i : i + batch_size]).float(), dim=-1)
            for i in range(0, len(texts), batch_size)
        ]
        per_class = torch.cat(parts).view(len(prompts.names), len(prompts.templates), -1).mean(1)
        weight = nn.functional.normalize(per_class, dim=-1).cpu().numpy()
    return Head(weight=weight, classes=prompts.classes, normalize=True)


def see_to_head(loaded: Loaded, images: ImageList, path: Path) -> None:
    """Write the model's head for these images to ``path``, if it has one.

    A head that is already there, or that belongs to another data set of the model, is used again
    only if it came from the same weights and prompts. Raises ExtractionError if the images have
    classes that the head does not know.
    """
    prompts = None if loaded.text is None else head_prompts(loaded.model, images)
    source = loaded.head or prompts
    if source is None:
        path.unlink(missing_ok=True)
        store.sidecar_of(path).unlink(missing_ok=True)
        return
    if isinstance(source, Prompts):
        _check_words(source, images)
    _check_classes(loaded.model, source.classes, images)
    sidecar = {
        "model": store.describe(loaded.model, loaded.weights_sha256),
        "prompts": source.sha256 if isinstance(source, Prompts) else None,
    }
    kept = _kept(path, {**sidecar, "classes": source.classes})
    if kept == path:
        return
    if kept is not None:
        head = store.read_head(kept)
    elif isinstance(source, Prompts):
        with computing([loaded.encoder]):
            head = zero_shot_head(loaded, source)
        _check_apart(loaded.model, source, head)
    else:
        head = source
    store.write_head(path, head, sidecar)


def _kept(path: Path, wanted: Mapping[str, Any]) -> Path | None:
    """Where the store has such a head already, if it has."""
    # What was kept came through JSON, which makes lists of tuples.
    as_read = json.loads(json.dumps(wanted))
    for place in (path, *sorted(path.parent.glob("*.head.safetensors"))):
        with contextlib.suppress(StoreError):
            kept = store.read(place)[1]
            if all(kept[key] == value for key, value in as_read.items()):
                return place
    return None


def _check_words(prompts: Prompts, images: ImageList) -> None:
    if all(WORDNET.fullmatch(name) for name in prompts.names):
        raise ExtractionError(
            f"the classes of {images.name} are ids of WordNet that ImageNet does not have "
            f"({prompts.names[0]}, …), and a text encoder cannot read them: name the subfolders in "
            "words, or extract without labels (--without-labels)."
        )


def _check_apart(model: Model, prompts: Prompts, head: Head) -> None:
    """Classes of different names need different rows: a tokenizer may know none of their words."""
    for start in range(0, len(head.weight), BLOCK):
        alike = head.weight[start : start + BLOCK] @ head.weight.T > 1 - 1e-6
        for row, other in np.argwhere(alike):
            name, same = prompts.names[start + row], prompts.names[other]
            if name != same:
                raise ExtractionError(
                    f"the text encoder of {model.name} makes the same of {quoted(name)} and "
                    f"{quoted(same)}: name the classes in words that it knows, or extract without "
                    "labels (--without-labels)."
                )


def _check_classes(model: Model, names: Sequence[str], images: ImageList) -> None:
    """Every class must be one of the head's, or be several of them together as ObjectNet's are."""
    together = imagenet.objectnet_to_imagenet()
    unknown = [
        name
        for name in images.classes
        if name not in names and not (name in together and set(together[name]) <= set(names))
    ]
    if unknown:
        raise ExtractionError(
            f"{images.name} has images of {unknown[0]!r}"
            + f" and {len(unknown) - 1} more classes" * (len(unknown) > 1)
            + f" that the head of {model.name} does not know (its {len(names)} are "
            f"{', '.join(names[:3])}, …): name the subfolders as the head names its classes, or "
            "extract without labels (--without-labels)."
        )
