"""CLIP on ImageNet-Captions: its captions as open_clip's trainer reads them, and what comes out.

ImageNet-Captions (Fang et al. 2022) gives titles, descriptions and tags from Flickr to 463,622 of
ImageNet's training images, as one JSON file. Training CLIP is what open_clip is for, so its own
trainer does it; here its table is written, its command made, and its last checkpoint turned into
one of this project's. Torch only for the last.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from analysis.images import find
from analysis.images.imagelist import ImageList
from training import recipes
from training.recipes import CaptionSettings, Plan, Recipe, TrainingError

ORIGIN = "https://github.com/mlfoundations/imagenet-captions"
#: Captions as published.
PUBLISHED = recipes.CAPTIONS
MODULE = "open_clip_train.main"
#: What that module imports and open_clip does not bring along.
NEEDED = ("webdataset", "braceexpand", "pandas")
FIELDS = {"filename": str, "wnid": str, "title": str, "description": str, "tags": list}
#: Texts that pandas, with which open_clip reads its table, takes for a missing value.
MISSING = frozenset(
    (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"),
        *("1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    )
)


@dataclass(frozen=True)
class Caption:
    """One image's text: ``key`` is its name as ImageNet's training images are listed."""

    key: str
    text: str


def read(
    path: Path, parts: Sequence[str], *, accept_counts: bool = False
) -> tuple[list[Caption], str]:
    """Return the captions of the published file, made of ``parts`` in order, and its sha256.

    White space counts as one space. TrainingError if the file is something else, or has another
    number of captions than was published, unless ``accept_counts``.
    """
    try:
        content = path.read_bytes()
        entries = json.loads(content)
    except OSError as error:
        raise TrainingError(
            f"{path} cannot be read ({error.strerror}): name the JSON file of ImageNet-Captions, "
            f"from {ORIGIN}."
        ) from None
    except ValueError:
        raise TrainingError(
            f"{path} is not readable as JSON: it may be cut short, or still packed; get it again "
            f"from {ORIGIN}."
        ) from None
    if not isinstance(entries, list):
        raise TrainingError(f"{path} must hold a list of captions, not {type(entries).__name__}.")
    for number, entry in enumerate(entries):
        _check_entry(path, number, entry)
    if len(entries) != PUBLISHED and not accept_counts:
        raise TrainingError(
            f"{len(entries):,} captions where {PUBLISHED:,} were published ({path}): get the file "
            f"again from {ORIGIN}, or take it as it is with --accept-counts; the result then says "
            "so."
        )
    captions = [Caption(f"{e['wnid']}/{e['filename']}", _text(e, parts)) for e in entries]
    if len({caption.key for caption in captions}) != len(captions):
        raise TrainingError(f"{path} has two captions of one image: one each is expected.")
    return captions, hashlib.sha256(content).hexdigest()


def _check_entry(path: Path, number: int, entry: Any) -> None:
    wrong = (
        [name for name, kind in FIELDS.items() if not isinstance(entry.get(name), kind)]
        if isinstance(entry, dict)
        else list(FIELDS)
    )
    if wrong:
        raise TrainingError(
            f"{path}: entry {number} has no sound {wrong[0]}: {', '.join(FIELDS)} are expected."
        )


def _text(entry: dict[str, Any], parts: Sequence[str]) -> str:
    found = [" ".join(map(str, e)) if isinstance(e := entry[p], list) else str(e) for p in parts]
    return " ".join(" ".join(found).split())


@dataclass(frozen=True)
class Table:
    """The file that open_clip reads: its rows, and how many captions were left out without text."""

    path: Path
    rows: int
    without_text: int
    without_image: int


def write_table(
    captions: Iterable[Caption], images: ImageList, path: Path, *, accept_counts: bool = False
) -> Table:
    """Write image paths and captions, separated by tabs, under the names that open_clip expects.

    Captions without text are left out, and so are those that pandas would read as nothing.
    TrainingError if images are missing, unless ``accept_counts``, or if nothing is left.
    """
    places = dict(zip(images.keys, images.images, strict=True))
    known = [caption for caption in captions if isinstance(places.get(caption.key), Path)]
    all_of_them = list(captions)
    absent = len(all_of_them) - len(known)
    if absent and not accept_counts:
        first = next(c.key for c in all_of_them if not isinstance(places.get(c.key), Path))
        raise TrainingError(
            f"{absent:,} of {len(all_of_them):,} captioned images are not among the training "
            f"images as files, the first is {first}: complete them, or go on without with "
            "--accept-counts."
        )
    kept = [caption for caption in known if caption.text not in MISSING]
    if not kept:
        raise TrainingError("no caption has both text and an image: there is nothing to train on.")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(("filepath", "title"))
        writer.writerows((str(places[c.key]), c.text) for c in kept)
    part.replace(path)
    return Table(path, len(kept), len(known) - len(kept), absent)


def command(
    settings: CaptionSettings, architecture: str, table: Path, out: Path, plan: Plan, *,
    seed: int, workers: int,
) -> list[str]:  # fmt: skip
    """Return the command that trains; the same command again goes on after the last whole epoch."""
    given = [
        *("--model", architecture, "--dataset-type", "csv", "--train-data", str(table)),
        *("--csv-img-key", "filepath", "--csv-caption-key", "title"),
        *("--batch-size", str(plan.micro_batch), "--accum-freq", str(plan.accumulation)),
        *("--epochs", str(settings.epochs), "--lr", str(settings.learning_rate)),
        *("--wd", str(settings.weight_decay), "--warmup", str(settings.warmup_steps)),
        *("--lr-scheduler", settings.schedule, "--precision", settings.precision),
        *("--seed", str(seed), "--workers", str(workers)),
        *("--logs", str(out), "--name", "open_clip", "--resume", "latest"),
        *("--save-most-recent", "--save-frequency", "0"),
    ]
    if plan.processes == 1:
        return [sys.executable, "-m", MODULE, *given]
    shared = ["--local-loss", "--gather-with-grad"]
    return recipes.torchrun(plan.processes, MODULE, [*given, *shared])


def last_checkpoint(out: Path, epochs: int) -> Path:
    """Return what open_clip's trainer leaves at its end; TrainingError if it did not come there."""
    path = out / "open_clip" / "checkpoints" / f"epoch_{epochs}.pt"
    if not path.is_file():
        raise TrainingError(
            f"open_clip's trainer left no {path.name} in {path.parent}: see its messages above, "
            "and call again; it goes on after the last whole epoch."
        )
    return path


def convert(path: Path, architecture: str, result: Path, about: dict[str, Any]) -> Path:
    """Write a checkpoint of open_clip's trainer as safetensors, with ``about`` beside it.

    It is loaded once to see that it fits; nothing but tensors is read from it. ModelError, or
    TrainingError if a number is not finite.
    """
    import torch

    from analysis.features import checkpoints, encoders
    from training import objectives

    model = checkpoints.find(
        str(path), architecture=architecture, name=result.stem, level="captions",
        pretraining="ImageNet-Captions",
    )  # fmt: skip
    state, _ = encoders.read_weights(path)
    wrong = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if wrong:
        raise TrainingError(
            f"{path.name} has numbers in {wrong[0]} that are not finite: the training failed; use "
            "a lower learning rate, in a recipe of your own."
        )
    encoders.load(model)
    notes = {"architecture": architecture, "level": "captions"}
    part = result.with_name(result.name + ".whole")
    objectives.write_tensors({name: value.float() if value.is_floating_point() else value
                         for name, value in state.items()}, part, notes)  # fmt: skip
    part.chmod(0o644)  # safetensors are written for their owner alone
    sha256 = _sha256(part)
    entry = model.model_dump(mode="json", exclude_defaults=True)
    content = {
        "name": result.stem, "level": "captions", "sha256": sha256,
        "trained_file_sha256": _sha256(path), **about,
        "libraries": {name: version(name) for name in ("torch", "open_clip_torch")},
        "entry": {**entry, "weights": str(result.resolve()), "weights_sha256": sha256},
    }  # fmt: skip
    beside = result.with_suffix(".json.part")
    beside.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    beside.replace(result.with_suffix(".json"))
    part.replace(result)
    return result


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run(recipe: Recipe, architecture: str, options: argparse.Namespace, processes: int) -> Path:
    """Do all of it, or go on with it; return the checkpoint's path. Raises TrainingError."""
    settings = recipe.captions()
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        raise TrainingError(
            f"open_clip's trainer needs {', '.join(lacking)}: pip install -e '.[extract,train]'."
        )
    out: Path = options.out
    result = out / f"{options.name or default_name(architecture)}.safetensors"
    if result.exists():
        raise TrainingError(f"{result} is there already: use another folder with --out.")
    captions, sha256 = read(options.captions, settings.parts, accept_counts=options.accept_counts)
    (images,) = find.find(options.data, accept_counts=options.accept_counts)
    table = write_table(captions, images, out / "captions.tsv", accept_counts=options.accept_counts)
    plan = plan_of(settings, table.rows, processes, options.micro_batch)
    about = {
        "recipe": recipe.model_dump(mode="json"), "seed": options.seed, "processes": processes,
        "micro_batch": plan.micro_batch, "captions_sha256": sha256, "captions": len(captions),
        "trained_on": table.rows, "without_text": table.without_text,
        "without_image": table.without_image, "table_sha256": _sha256(table.path),
        "images": images.what or images.name,
    }  # fmt: skip
    _same_training(out / "training.json", about)
    line = command(settings, architecture, table.path, out, plan,
                   seed=options.seed, workers=options.workers)  # fmt: skip
    subprocess.run(line, env=os.environ, check=False)
    return convert(last_checkpoint(out, settings.epochs), architecture, result, about)


def plan_of(settings: CaptionSettings, rows: int, processes: int, micro_batch: int | None) -> Plan:
    """Share out the batch: as much as possible at a time, since every pair is compared."""
    share = settings.batch // processes if settings.batch % processes == 0 else None
    return recipes.plan(settings, rows, processes, micro_batch or share)


def default_name(architecture: str) -> str:
    """Return ``rn50-quickgelu-captions``."""
    return f"{architecture.lower()}-captions"


def _same_training(path: Path, about: dict[str, Any]) -> None:
    """Note what is trained in a folder; TrainingError if it is noted that something else is."""
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        raise TrainingError(
            f"{path.parent} holds a training with another recipe, seed, data or number of "
            "processes: give the same, or another folder with --out."
        )
    path.write_text(text, encoding="utf-8")
