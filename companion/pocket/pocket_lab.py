"""Training all pocket models: what to learn from, in which order, what is written.

Every training has a folder of its own with its curve, its accuracies and, last, its weights, which
say what they were made from: a stopped `run_all` goes on with what is not finished. Trainings run
side by side in processes of one thread each: the number of workers changes no number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import sha256
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from analysis.base.files import fingerprint, replaced, write_text
from analysis.features import heads
from analysis.features.preprocess import POCKET_INPUT, to_pixels
from analysis.features.store import Head
from companion.checkpoints import loading, lookup, networks
from companion.checkpoints.any_encoder.features import features_of
from companion.checkpoints.tokenizer import WordTokenizer
from companion.checkpoints.weights import read_weights
from companion.pocket import objectives, pocket
from companion.pocket.pocket import PocketRecipe, Recipes
from companion.sources import emoji

CURVE = ["model", "seed", "step", "loss", "accuracy"]
ACCURACIES = ["model", "family", "level", "seed", "style", "split", "role", "images", "accuracy"]
#: Seed of the captions: all trainings read the same ones.
CAPTIONS_SEED = 0


@dataclass(frozen=True)
class World:
    """The emoji as a training sees them: pixels, labels, captions and the classes' texts.

    ``table`` is that of `companion.sources.emoji`, and ``everything`` has its rows in their order;
    ``prompts`` (classes, templates, context length); ``digest`` of all of it.
    """

    table: pd.DataFrame
    everything: objectives.Examples
    prompts: Tensor
    digest: str

    def examples(self, styles: Iterable[str], splits: Iterable[str]) -> objectives.Examples:
        """Return the images of these styles and splits, in the table's order."""
        keep = self.table["style"].isin(set(styles)) & self.table["split"].isin(set(splits))
        return self.everything.where(torch.from_numpy(np.flatnonzero(keep)))


@lru_cache(maxsize=1)
def world() -> World:
    """Read the emoji and turn them into tensors. Training concepts set aside are split ``val``."""
    data = emoji.load()
    table = with_validation(data.table)
    tokenizer = WordTokenizer.load()
    drawings = table.drop_duplicates("concept").reset_index(drop=True)
    number = pd.Series(drawings.index, index=drawings["concept"])
    categories = ["" if i < 0 else emoji.CLASSES[i] for i in drawings["class_index"]]
    texts = [
        pocket.captions(name, tags.split(";") if tags else [], category, CAPTIONS_SEED)
        for name, tags, category in zip(drawings["name"], drawings["tags"], categories, strict=True)
    ]
    pixels = np.stack([to_pixels(image, POCKET_INPUT) for image in data.images])
    captions = torch.stack([tokenizer(text) for text in texts])
    prompts = torch.stack([tokenizer(text) for text in pocket.prompts(emoji.CLASSES)])
    digest = sha256(pixels.tobytes())
    for part in (table.to_csv(), str(captions.sum((1, 2)).tolist()), str(prompts.tolist())):
        digest.update(part.encode("utf-8"))
    labels, concepts = (
        torch.tensor(column.to_numpy(np.int64))
        for column in (table["class_index"], number[table["concept"]])
    )
    everything = objectives.Examples(torch.from_numpy(pixels), labels, concepts, captions)
    return World(table, everything, prompts, digest.hexdigest())


def with_validation(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with a third of the training clusters in the split ``val``.

    Recipes are chosen on them; the final trainings learn from ``train`` and ``val``. Which
    clusters are taken follows from their names alone.
    """
    clusters = table["cluster"].map(lambda name: sha256(f"val {name}".encode()).digest()[0])
    chosen = (table["split"] == "train") & (clusters < 256 / 3)
    return table.assign(split=table["split"].mask(chosen, "val"))


# One training


def identity(recipe: PocketRecipe, recipes: Recipes, seed: int, splits: Sequence[str]) -> str:
    """Return the hash of all that decides a training's weights, its beginning included."""
    start = None
    if recipe.start is not None:
        start = identity(recipes.recipe(recipe.start), recipes, seed, splits)
    architecture = networks.architecture(recipe.architecture)
    return fingerprint([recipe.decisive(), architecture, seed, list(splits), start, world().digest])


def weights_path(name: str, seed: int, folder: Path) -> Path:
    """Return where a training leaves its weights."""
    return folder / f"{name}-{seed}" / "weights.safetensors"


def run(
    recipe: PocketRecipe,
    recipes: Recipes,
    seed: int,
    folder: Path,
    *,
    splits: Sequence[str] = ("train", "val"),
) -> Path:
    """Train one model with one seed, measure it, and write ``<folder>/<name>-<seed>/``.

    What is there already, of the same recipe and data, is left as it is. With the splits
    ``("train",)`` the accuracy is measured on ``val`` and nowhere else.
    """
    result = weights_path(recipe.name, seed, folder)
    place = result.parent
    key = identity(recipe, recipes, seed, splits)
    if result.is_file() and read_weights(result).metadata["recipe"] == key:
        return place
    start = read_weights(weights_path(recipe.start, seed, folder)).state if recipe.start else None
    final = "val" in splits
    trained = objectives.train(
        recipe,
        networks.architecture(recipe.architecture),
        world().examples(emoji.CAPTIONS[recipe.styles], splits),
        world().prompts,
        seed=seed,
        start=start,
        watched=world().examples([emoji.IMAGENET], ["test" if final else "val"]),
    )
    curve = [
        (recipe.name, seed, point.step, f"{point.loss:.5f}", f"{point.accuracy:.5f}")
        for point in trained.curve
    ]
    write_text(place / "curve.csv", pd.DataFrame(curve, columns=CURVE).to_csv(index=False))
    metadata = {
        "architecture": recipe.architecture,
        "level": recipe.level,
        "classes": json.dumps(emoji.CLASSES),
        "normalize": json.dumps(recipe.objective != "supervised"),
        "image_size": str(POCKET_INPUT.size),
        "seed": str(seed),
        "recipe": key,
    }
    about = recipe.name, recipe.family, recipe.level, seed
    with replaced(result) as part:
        objectives.write_tensors(objectives.halved(trained.weights), part, metadata)
        measured = measure(part, ["test", "train"] if final else ["val"])
        table = pd.DataFrame([(*about, *row) for row in measured], columns=ACCURACIES)
        write_text(place / "accuracies.csv", table.to_csv(index=False))
    return place


# What was trained, loaded as any other checkpoint


def represented(path: Path, rows: NDArray[np.bool_]) -> tuple[NDArray[np.float32], Head]:
    """Return a checkpoint's features (n, d) of some of the emoji, in their order, and its head.

    ``rows`` (N,) says which of all emoji; a CLIP model's head is the zero-shot one.
    """
    # Of whatever level: a description of random weights takes no file.
    loaded = loading.load(lookup.find(str(path), name="trained", level="zero_shot"))
    head = loaded.head or heads.zero_shot_head(loaded, emoji.pocket_prompts())
    inputs = loaded.normalize(world().everything.images[torch.tensor(rows)])
    return features_of(loaded.encoder, inputs, batch_size=500), head


def recognised(path: Path) -> pd.DataFrame:
    """Return the table's rows that have a class; ``right``: whether a checkpoint recognises it."""
    table = world().table
    rows = table["class_index"] >= 0
    features, head = represented(path, rows.to_numpy())
    predicted = head.logits(features).argmax(axis=1)
    return table[rows].assign(right=predicted == table["class_index"][rows])


def measure(path: Path, splits: Iterable[str]) -> Iterator[tuple[str, str, str, int, str]]:
    """Yield style, split, role, number of images and accuracy, for images that have a class.

    The test images of every style; of the others those of the training style.
    """
    table = recognised(path)
    for split in splits:
        of = table[table["split"].isin(["train", "val"] if split == "train" else [split])]
        for style, role in emoji.STYLES.items():
            if split == "test" or style == emoji.IMAGENET:
                right = of["right"][of["style"] == style]
                yield style, split, role, len(right), f"{right.mean():.5f}"


# All trainings


def run_all(
    tasks: Sequence[tuple[PocketRecipe, int]],
    recipes: Recipes,
    folder: Path,
    *,
    workers: int = 2,
    splits: Sequence[str] = ("train", "val"),
) -> None:
    """Do many trainings, ``workers`` at a time; what starts from another comes after it."""
    train = partial(run, splits=splits)
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        for rank in sorted({recipes.starts(recipe) for recipe, _ in tasks}):
            now = [task for task in tasks if recipes.starts(task[0]) == rank]
            chosen, seeds = zip(*sorted(now, key=lambda task: -task[0].steps), strict=True)
            folders = pool.map(train, chosen, repeat(recipes), seeds, repeat(folder))
            list(tqdm(folders, total=len(now), unit=" trainings"))
