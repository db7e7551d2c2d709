"""CLIP on ImageNet-Captions: its captions as open_clip's trainer reads them, and what comes out.

ImageNet-Captions (Fang et al. 2022) gives titles, descriptions and tags from Flickr to 463,622 of
ImageNet's training images, as one JSON file. Training CLIP is what open_clip is for, so its own
trainer does it; here its table is written, its command made, and its last checkpoint turned into
one of this project's.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import BaseModel, TypeAdapter, ValidationError

from analysis.features import checkpoints, encoders, networks
from analysis.features.weights import read_weights
from analysis.images import find
from analysis.images.imagelist import ImageList
from base.files import replaced, sha256_of, write_text
from training import full_size, recipe_tables, recipes, results
from training.recipes import CaptionSettings, Plan, Recipe, TrainingError, TrainOptions

ORIGIN = "https://github.com/mlfoundations/imagenet-captions"


class Caption(BaseModel):
    """What the published file says about one image."""

    filename: str
    wnid: str
    title: str
    description: str
    tags: list[Any]


def read(path: Path | None, parts: Sequence[str], accept_counts: bool = False) -> pd.DataFrame:
    """Return ``key``, as ImageNet's training images are listed, and ``title``, made of ``parts``.

    White space counts as one space. TrainingError without a path, if the file is something else
    than was published, or if it has another number of captions, unless ``accept_counts``.
    """
    again = f"get the JSON file of ImageNet-Captions from {ORIGIN}"
    if path is None:
        raise TrainingError(f"--captions is missing: {again}, and name it.")
    try:
        entries = TypeAdapter(list[Caption]).validate_json(path.read_bytes(), strict=True)
    except OSError as error:
        raise TrainingError(f"{path} cannot be read ({error.strerror}): {again}.") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise TrainingError(f"{path}: {place} {first['msg']}: {again}.") from None
    if len(entries) != recipes.CAPTIONS_PUBLISHED and not accept_counts:
        raise TrainingError(
            f"{len(entries):,} captions where {recipes.CAPTIONS_PUBLISHED:,} were published "
            f"({path}): {again}, or take it as it is with --accept-counts; the result then says so."
        )
    frame = pd.DataFrame([dict(entry) for entry in entries])
    frame["tags"] = [" ".join(map(str, tags)) for tags in frame["tags"]]
    texts = [" ".join(" ".join(row).split()) for row in frame[list(parts)].to_numpy()]
    pairs = pd.DataFrame({"key": frame["wnid"] + "/" + frame["filename"], "title": texts})
    if pairs["key"].duplicated().any():
        raise TrainingError(f"{path} has two captions of one image: one each is expected.")
    return pairs


def write_table(
    captions: pd.DataFrame, images: ImageList, path: Path, accept_counts: bool = False
) -> dict[str, int]:
    """Write image paths and captions, separated by tabs, under the names that open_clip expects.

    Captions without text are left out, and so are those that pandas, with which open_clip reads
    them, takes for nothing ("NA"). Returns how many captions there are, are trained on, and are
    left out. TrainingError if images are missing, unless ``accept_counts``, or if nothing is left.
    """
    files = {k: v for k, v in zip(images.keys, images.images, strict=True) if isinstance(v, Path)}
    filed = captions.assign(filepath=captions["key"].map(files))[["filepath", "title"]].dropna()
    absent = len(captions) - len(filed)
    if absent and not accept_counts:
        first = next(key for key in captions["key"] if key not in files)
        raise TrainingError(
            f"{absent:,} of {len(captions):,} captioned images are not among the training images "
            f"as files, the first is {first}: complete them, or continue without them with "
            "--accept-counts."
        )
    with replaced(path) as part:
        filed.to_csv(part, sep="\t", index=False)
        kept = filed[pd.read_csv(part, sep="\t")["title"].notna().to_numpy()]
        kept.to_csv(part, sep="\t", index=False)
    if kept.empty:
        raise TrainingError("no caption has both text and an image: there is nothing to train on.")
    return {
        "captions": len(captions),
        "trained_on": len(kept),
        "without_image": absent,
        "without_text": len(filed) - len(kept),
    }


def command(
    recipe: Recipe, architecture: str, table: Path, rows: int, options: TrainOptions
) -> tuple[Plan, list[str]]:
    """Return how the batch is shared, and the command that trains.

    As much as possible is computed at a time, since every pair is compared. The same command again
    goes on after the last whole epoch.
    """
    settings, processes = recipe.settings, full_size.devices(options)[1]
    assert isinstance(settings, CaptionSettings)
    share = settings.batch // processes if settings.batch % processes == 0 else None
    made = recipes.plan(settings, rows, processes, options.micro_batch or share)
    given = [
        *("--model", architecture, "--dataset-type", "csv", "--train-data", str(table)),
        *("--csv-img-key", "filepath", "--csv-caption-key", "title"),
        *("--batch-size", str(made.micro_batch), "--accum-freq", str(made.accumulation)),
        *("--epochs", str(settings.epochs), "--lr", str(settings.learning_rate)),
        *("--wd", str(settings.weight_decay), "--warmup", str(settings.warmup_steps)),
        *("--lr-scheduler", settings.schedule, "--precision", settings.precision),
        *("--seed", str(options.seed), "--workers", str(options.workers)),
        *("--logs", str(table.parent), "--name", "open_clip", "--resume", "latest"),
        *("--save-most-recent", "--save-frequency", "0"),
    ]
    launcher = [sys.executable, "-m"]
    if processes > 1:  # the dashes: torchrun takes what follows for abbreviations of its own
        launcher += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        launcher += ["-m", "--"]
        given += ["--local-loss", "--gather-with-grad"]
    return made, [*launcher, "open_clip_train.main", *given]


def run(options: TrainOptions) -> Path:
    """Train, or go on, and return the path of the checkpoint in safetensors.

    Raises TrainingError, also if a weight is not finite, and ModelError if what open_clip's trainer
    left does not fit.
    """
    recipe, out = recipes.load(options.recipe), options.folder()
    architecture = full_size.find_model(options).architecture or ""
    assert isinstance(recipe.settings, CaptionSettings)
    result = out / f"{options.name or f'{architecture.lower()}-captions'}.safetensors"
    if result.exists():
        raise TrainingError(f"{result} exists already: use another folder with --out.")
    captions = read(options.captions, recipe.settings.parts, options.accept_counts)
    (images,) = find.find(options.data, accept_counts=options.accept_counts)
    table, note = out / "captions.tsv", out / "training.json"
    counts = write_table(captions, images, table, options.accept_counts)
    made, line = command(recipe, architecture, table, counts["trained_on"], options)
    made_from = {
        "recipe": recipe.model_dump(mode="json"),
        "seed": options.seed,
        "processes": made.processes,
        "architecture": architecture,
        "micro_batch": made.micro_batch,
        "captions": sha256_of(Path(str(options.captions))),
        "table": sha256_of(table),
    }
    if note.exists():
        results.check_same(note, made_from)
    write_text(note, json.dumps({"made_from": made_from}))
    subprocess.run(line, check=False)
    last = out / "open_clip" / "checkpoints" / f"epoch_{recipe.settings.epochs}.pt"
    if not last.is_file():
        raise TrainingError(
            f"open_clip's trainer left no {last.name} in {last.parent}: see its messages above, "
            "and call again; it continues after the last complete epoch."
        )
    weights = trained_weights(last, architecture)
    notes = {"architecture": architecture, "level": "captions"}
    about = {"pretraining": "ImageNet-Captions", "made_from": made_from, **counts}
    about["images"] = images.what or images.name
    results.write(result, weights, notes, about)
    return result


def trained_weights(path: Path, architecture: str) -> dict[str, torch.Tensor]:
    """The weights in a checkpoint of open_clip's trainer, of which nothing but tensors is read.

    They are loaded once to see that they fit. Raises TrainingError if a number is not finite.
    """
    outline = networks.build(path.name, "open_clip", architecture, outline=True)
    state = read_weights(path, outline).state
    if wrong := [name for name, value in state.items() if not torch.isfinite(value).all()]:
        raise TrainingError(
            f"{path.name} has numbers in {wrong[0]} that are not finite: the training failed; use "
            "a lower learning rate, in a recipe of your own."
        )
    encoders.load(checkpoints.find(str(path), architecture=architecture, level="captions"))
    return {name: v.float() if v.is_floating_point() else v for name, v in state.items()}


def describe(options: TrainOptions) -> str:
    """Describe what would be done and about how much it would cost, with the command."""
    recipe, model = recipes.load(options.recipe), full_size.find_model(options)
    table, architecture = (options.out or Path("FOLDER")) / "captions.tsv", model.architecture or ""
    made, line = command(recipe, architecture, table, recipes.CAPTIONS_PUBLISHED, options)
    said = recipe_tables.describe(recipe, model.name, architecture, made)
    return f"{said}\ncommand: {shlex.join(line)}"
