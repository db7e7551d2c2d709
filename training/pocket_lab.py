"""Training all pocket models: what to learn from, in which order, what is written.

Every training has a folder of its own with its curve, its accuracies and, last, its weights, which
say what they were made from: a stopped `run_all` goes on with what is not finished. Trainings run
side by side in processes of one thread each: the number of workers changes no number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from analysis.common import fingerprint, replaced, write_text
from analysis.features import checkpoints, encoders, heads, networks
from analysis.features.any_encoder import features_of
from analysis.features.preprocess import POCKET, to_pixels
from analysis.features.store import Head
from analysis.features.tokenizer import WordTokenizer
from analysis.features.weights import read_weights
from analysis.images import emoji, find
from training import objectives, pocket
from training.pocket import Recipe, Recipes

CURVE = ["model", "seed", "step", "loss", "accuracy"]
ACCURACIES = ["model", "family", "level", "seed", "style", "split", "role", "images", "accuracy"]
#: Seed of the captions: all trainings read the same ones.
CAPTIONS_SEED = 0


@dataclass(frozen=True)
class World:
    """The emoji as a training sees them: pixels, labels, captions and the classes' texts.

    ``images`` uint8 (N, 3, 32, 32); ``table`` as in `analysis.images.emoji`; ``concepts`` (N,) rows
    of ``captions``; ``prompts`` (classes, templates, context length); ``digest`` of all of it.
    """

    images: Tensor
    table: pd.DataFrame
    concepts: Tensor
    captions: Tensor
    prompts: Tensor
    digest: str

    def examples(self, styles: Iterable[str], splits: Iterable[str]) -> objectives.Examples:
        """Return the images of these styles and splits, in the table's order."""
        keep = self.table["style"].isin(set(styles)) & self.table["split"].isin(set(splits))
        rows = torch.from_numpy(np.flatnonzero(keep))
        labels = torch.from_numpy(self.table["class_index"].to_numpy(np.int64, copy=True))
        return objectives.Examples(
            self.images[rows], labels[rows], self.concepts[rows], self.captions
        )


@lru_cache(maxsize=1)
def world() -> World:
    """Read the emoji and turn them into tensors. Training concepts set aside are split ``val``."""
    data = emoji.load()
    table = with_validation(data.table)
    tokenizer = WordTokenizer.load()
    known = table.drop_duplicates("concept").reset_index(drop=True)
    number = pd.Series(known.index, index=known["concept"])
    categories = ["" if i < 0 else emoji.CLASSES[i] for i in known["class_index"]]
    texts = [
        pocket.captions(name, tags.split(";") if tags else [], category, CAPTIONS_SEED)
        for name, tags, category in zip(known["name"], known["tags"], categories, strict=True)
    ]
    pixels = np.stack([to_pixels(image, POCKET) for image in data.images])
    captions = torch.stack([tokenizer(text) for text in texts])
    prompts = torch.stack([tokenizer(text) for text in pocket.prompts(emoji.CLASSES)])
    digest = sha256(pixels.tobytes())
    for part in (table.to_csv(), str(captions.sum((1, 2)).tolist()), str(prompts.tolist())):
        digest.update(part.encode("utf-8"))
    concepts = torch.from_numpy(number[table["concept"]].to_numpy(np.int64, copy=True))
    return World(torch.from_numpy(pixels), table, concepts, captions, prompts, digest.hexdigest())


def with_validation(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with a third of the training clusters in the split ``val``.

    Recipes are chosen on them; the final trainings learn from ``train`` and ``val``. Which
    clusters are taken follows from their names alone.
    """
    clusters = table["cluster"].map(lambda name: sha256(f"val {name}".encode()).digest()[0])
    chosen = (table["split"] == "train") & (clusters < 256 / 3)
    return table.assign(split=table["split"].mask(chosen, "val"))


# One training


def identity(recipe: Recipe, recipes: Recipes, seed: int, splits: Sequence[str]) -> str:
    """Return the hash of all that decides a training's weights, its beginning included."""
    start = None
    if recipe.start is not None:
        start = identity(recipes.recipe(recipe.start), recipes, seed, splits)
    architecture = networks.architecture(recipe.architecture)
    return fingerprint([recipe.decisive(), architecture, seed, list(splits), start, world().digest])


def weights_of(name: str, seed: int, folder: Path) -> Path:
    """Return where a training leaves its weights."""
    return folder / f"{name}-{seed}" / "weights.safetensors"


def _metadata(recipe: Recipe) -> dict[str, str]:
    """What the weights of a recipe say of themselves."""
    return {
        "architecture": recipe.architecture,
        "level": recipe.level,
        "classes": json.dumps(emoji.CLASSES),
        "normalize": json.dumps(recipe.objective != "supervised"),
        "image_size": str(POCKET.size),
    }


def run(
    recipe: Recipe,
    recipes: Recipes,
    seed: int,
    folder: Path,
    *,
    splits: Sequence[str] = ("train", "val"),
    device: str = "cpu",
) -> Path:
    """Train one model with one seed, measure it, and write ``<folder>/<name>-<seed>/``.

    What is there already, of the same recipe and data, is left as it is. With the splits
    ``("train",)`` the accuracy is measured on ``val`` and nowhere else.
    """
    result = weights_of(recipe.name, seed, folder)
    place = result.parent
    key = identity(recipe, recipes, seed, splits)
    if result.is_file() and read_weights(result).metadata["recipe"] == key:
        return place
    begun = recipe.start and weights_of(recipe.start, seed, folder)
    final = "val" in splits
    trained = objectives.train(
        recipe,
        networks.architecture(recipe.architecture),
        world().examples(emoji.CAPTIONS[recipe.styles], splits),
        world().prompts,
        seed=seed,
        start=read_weights(begun).state if begun else None,
        device=device,
        watched=world().examples([emoji.IMAGENET], ["test" if final else "val"]),
    )
    curve = [
        (recipe.name, seed, point.step, f"{point.loss:.5f}", f"{point.accuracy:.5f}")
        for point in trained.curve
    ]
    write_text(place / "curve.csv", pd.DataFrame(curve, columns=CURVE).to_csv(index=False))
    metadata = _metadata(recipe) | {"seed": str(seed), "recipe": key}
    with replaced(result) as part:
        objectives.write_tensors(objectives.halved(trained.weights), part, metadata)
        rows = [
            (recipe.name, recipe.family, recipe.level, seed, *row)
            for row in measure(part, ["test", "train"] if final else ["val"])
        ]
        table = pd.DataFrame(rows, columns=ACCURACIES)
        write_text(place / "accuracies.csv", table.to_csv(index=False))
    return place


# What was trained, loaded as any other checkpoint


def represented(path: Path, rows: NDArray[np.bool_]) -> tuple[NDArray[np.float32], Head]:
    """Return a checkpoint's features (n, d) of some of the emoji, in their order, and its head.

    ``rows`` (N,) says which of all emoji; a CLIP model's head is the zero-shot one.
    """
    # Of whatever level: a description of random weights takes no file.
    loaded = encoders.load(checkpoints.find(str(path), name="trained", level="zero_shot"))
    head = loaded.head or heads.zero_shot_head(loaded, find.pocket_prompts())
    shown = loaded.normalize(world().images[torch.tensor(rows)])
    return features_of(loaded.encoder, shown, batch_size=500), head


def recognised(path: Path) -> pd.DataFrame:
    """Return the table's rows that have a class; ``right``: whether a checkpoint recognises it."""
    table = world().table
    rows = table["class_index"] >= 0
    features, head = represented(path, rows.to_numpy())
    known = head.logits(features).argmax(axis=1)
    return table[rows].assign(right=known == table["class_index"][rows])


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
    tasks: Sequence[tuple[Recipe, int]],
    recipes: Recipes,
    folder: Path,
    *,
    workers: int = 2,
    splits: Sequence[str] = ("train", "val"),
    device: str = "cpu",
) -> None:
    """Do many trainings, ``workers`` at a time; what starts from another comes after it."""
    pool = ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,))
    try:
        with tqdm(total=len(tasks), unit=" trainings") as progress:
            for rank in sorted({recipes.starts(recipe) for recipe, _ in tasks}):
                running = [
                    pool.submit(run, recipe, recipes, seed, folder, splits=splits, device=device)
                    for recipe, seed in sorted(tasks, key=lambda task: -task[0].steps)
                    if recipes.starts(recipe) == rank
                ]
                for future in as_completed(running):
                    progress.set_postfix_str(future.result().name)
                    progress.update()
    finally:
        pool.shutdown(cancel_futures=True)
