"""From class names, or a checkpoint's own classifier, to the head stored next to features."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from analysis.base.quoting import quoted
from analysis.families.registry import Model
from analysis.features import store
from analysis.features.devices import computing, free_memory, out_of_memory
from analysis.features.encoders import Loaded, ModelError
from analysis.features.plan import ExtractionError, head_prompts
from analysis.features.store import Head, StoreError
from analysis.images import imagenet
from analysis.images.imagelist import ImageList, Prompts

#: Rows of a head that are compared at once.
BLOCK = 1000
#: Seconds between two writings of a head's finished rows.
SAVED_EVERY = 20
#: How ImageNet's folders are named.
WORDNET = re.compile(r"n\d{8}")


def zero_shot_head(
    loaded: Loaded, prompts: Prompts, batch_size: int = 256, kept: Path | None = None
) -> Head:
    """Return the classifier that the text encoder makes from class names and templates.

    For each class, the text features of all templates are scaled to length 1 and averaged, and the
    mean is scaled to length 1 again. Rows that are finished are ``kept`` in a file, with which a
    call that was killed continues. Texts that memory does not hold are encoded fewer at a time.
    Shows a bar where there are more texts than a batch.
    """
    if loaded.text is None:
        raise ModelError(f"{loaded.model.name} has no text encoder to make a zero-shot head with.")
    about = {"model": store.describe(loaded.model, loaded.weights_sha256), "texts": prompts.sha256}
    parts = _kept_rows(kept, about)
    done, saved = sum(map(len, parts)), time.monotonic()
    at_once = max(1, batch_size // len(prompts.templates))
    every = len(prompts.names) * len(prompts.templates)
    silent = None if every > batch_size else True
    bar = tqdm(total=every, unit=" texts", leave=False, disable=silent)
    bar.update(done * len(prompts.templates))
    with bar, torch.inference_mode():
        while done < len(prompts.names):
            names = prompts.names[done : done + at_once]
            texts = [template.format(name) for name in names for template in prompts.templates]
            batches = [texts[i : i + batch_size] for i in range(0, len(texts), batch_size)]
            rows = torch.cat([_encoded(loaded, batch) for batch in batches])
            rows = rows.view(len(names), len(prompts.templates), -1).mean(1)
            parts.append(nn.functional.normalize(rows, dim=-1).cpu().numpy())
            done += len(names)
            bar.update(len(texts))
            if kept and time.monotonic() - saved > SAVED_EVERY:
                store.write(kept, {"rows": np.concatenate(parts)}, {"head": about})
                saved = time.monotonic()
    return Head(weight=np.concatenate(parts), classes=prompts.classes, normalize=True)


def _kept_rows(kept: Path | None, about: Mapping[str, Any]) -> list[NDArray[Any]]:
    """The rows of a head that a killed call finished, if they are of these texts."""
    with contextlib.suppress(StoreError):
        if kept is not None:
            arrays, noted = store.read(kept)
            if noted.get("head") == json.loads(json.dumps(about)):
                return [arrays["rows"]]
    return []


def _encoded(loaded: Loaded, texts: list[str]) -> Tensor:
    """Texts' features at length 1, (n, d), by halves where memory does not hold them all."""
    assert loaded.text is not None
    try:
        return nn.functional.normalize(loaded.text(texts).float(), dim=-1)
    except RuntimeError as error:
        if len(texts) == 1 or not out_of_memory(error):
            raise
    free_memory()
    middle = len(texts) // 2
    return torch.cat([_encoded(loaded, half) for half in (texts[:middle], texts[middle:])])


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
        begun = path.with_suffix(".parts")
        with computing([loaded.encoder]):
            head = zero_shot_head(loaded, source, kept=begun / "head.safetensors")
        shutil.rmtree(begun, ignore_errors=True)
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
