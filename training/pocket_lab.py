"""Training all pocket models: what to learn from, in which order, what is written.

Every training has a folder of its own with its weights, curve and accuracies, written when it is
finished: a stopped `train_all` goes on where it was. Trainings run side by side in processes of
one thread each, so that the number of workers does not change a number.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
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

from analysis.features.preprocess import to_pixels
from analysis.features.tokenizer import WordTokenizer
from analysis.images import emoji
from companion.measurements.pocket_robustness import packed
from training import objectives, pocket
from training.pocket import PREPROCESSING, Recipe, Recipes

CURVE = ("model", "seed", "step", "loss", "accuracy")
ACCURACIES = (
    "model", "family", "level", "seed", "style", "split", "role", "images", "accuracy",
)  # fmt: skip
RECOGNISED = ("model", "seed", "style", "images", "right")
#: Seed of the captions: all trainings read the same ones.
CAPTIONS_SEED = 0


@dataclass(frozen=True)
class World:
    """The emoji as a training sees them: pixels, labels, captions and the classes' texts.

    ``images`` uint8 (N, 3, 32, 32); ``table`` as in `analysis.images.emoji`; ``concepts`` (N,) rows of
    ``captions``; ``prompts`` (classes, templates, context length); ``digest`` of all of it.
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
    pixels = np.stack([to_pixels(image, PREPROCESSING) for image in data.images])
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


def make_tokenizer() -> WordTokenizer:
    """Return the tokenizer of the words in training concepts, class names and templates."""
    seen = emoji.load().table.query("split == 'train'").drop_duplicates("concept")
    texts = [*seen["name"], *seen["tags"], *emoji.CLASSES, *pocket.TEMPLATES]
    return WordTokenizer.from_captions(texts)


# One training


def identity(recipe: Recipe, recipes: Recipes, seed: int, splits: Sequence[str]) -> str:
    """Return the hash of all that decides a training's weights, its beginning included."""
    start = None
    if recipe.start is not None:
        start = identity(recipes.recipe(recipe.start), recipes, seed, splits)
    architecture = pocket.load_architecture(recipe.architecture)
    return pocket.fingerprint(recipe, architecture, seed, list(splits), start, world().digest)


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
    place = folder / f"{recipe.name}-{seed}"
    key = identity(recipe, recipes, seed, splits)
    if _identity_in(place) == key:
        return place
    start = None
    if recipe.start is not None:
        start, _ = objectives.read_tensors(
            folder / f"{recipe.start}-{seed}" / "weights.safetensors"
        )
    architecture = pocket.load_architecture(recipe.architecture)
    final = "val" in splits
    styles = emoji.CAPTIONS[recipe.styles]
    watched = world().examples([emoji.IMAGENET], ["test" if final else "val"])
    trained = objectives.train(
        recipe, architecture, world().examples(styles, splits), world().prompts,
        seed=seed, start=start, watched=watched, device=device,
        state=place / f"state-{key[:12]}.safetensors",
    )  # fmt: skip
    assert trained is not None
    weights = objectives.halved(trained.weights)
    metadata = _metadata(recipe, seed, key)
    objectives.write_tensors(weights, place / "weights.safetensors", metadata)
    _write(place / "curve.csv", CURVE, (
        (recipe.name, seed, point.step, f"{point.loss:.5f}", f"{point.accuracy:.5f}")
        for point in trained.curve
    ))  # fmt: skip
    model = restore(recipe, weights)
    rows = measure(model, ["test", "train"]) if final else measure(model, ["val"])
    _write(place / "accuracies.csv", ACCURACIES, (
        (recipe.name, recipe.family, recipe.level, seed, *row) for row in rows
    ))  # fmt: skip
    report = {"identity": key, "rounding": _rounding(recipe, trained.weights, model, watched)}
    replace_text(place / "done.json", json.dumps(report) + "\n")
    return place


def restore(
    recipe: Recipe, weights: Mapping[str, Tensor]
) -> objectives.Contrastive | objectives.Classifier:
    """Build the model of a recipe with the weights of a checkpoint, in evaluation mode."""
    architecture = pocket.load_architecture(recipe.architecture)
    plain = recipe.model_copy(update={"start": None})
    if recipe.objective == "finetuned":
        plain = plain.model_copy(update={"objective": "supervised"})
    model = objectives.build(plain, architecture, world().prompts)
    if isinstance(model, objectives.Classifier):
        model.normalised = recipe.objective == "finetuned"
    objectives.load_weights(
        model.clip if isinstance(model, objectives.Contrastive) else model, weights
    )
    return model.eval()


def measure(
    model: objectives.Contrastive | objectives.Classifier, splits: Iterable[str]
) -> Iterator[tuple[str, str, str, int, str]]:
    """Yield style, split, role, number of images and accuracy, for images that have a class."""
    for split in splits:
        for style, role in emoji.STYLES.items():
            shown = world().examples([style], ["train", "val"] if split == "train" else [split])
            count = int((shown.labels >= 0).sum())
            if split == "test" or style == emoji.IMAGENET:
                yield style, split, role, count, f"{objectives.accuracy(model, shown):.5f}"


def recognised(recipe: Recipe, seed: int, folder: Path) -> Iterator[tuple[object, ...]]:
    """Yield a finished training's rows of `RECOGNISED`, one per style: its test images, packed."""
    weights, _ = objectives.read_tensors(folder / f"{recipe.name}-{seed}" / "weights.safetensors")
    model = restore(recipe, weights)
    for style in emoji.STYLES:
        shown = world().examples([style], ["test"])
        shown = shown.where(shown.labels >= 0)
        right = (objectives.predictions(model, shown.images) == shown.labels).numpy()
        yield recipe.name, seed, style, len(right), packed(right)


def represented(
    recipe: Recipe, seed: int, folder: Path
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a finished training's features of all test images, and its head.

    Features (N, d), in the order of the emoji table, with and without a class; head (classes, d),
    the zero-shot head for CLIP models.
    """
    weights, _ = objectives.read_tensors(folder / f"{recipe.name}-{seed}" / "weights.safetensors")
    model = restore(recipe, weights)
    shown = world().examples(emoji.STYLES, ["test"])
    with torch.inference_mode():
        visual = model.clip.visual if isinstance(model, objectives.Contrastive) else model.visual
        parts = [visual(objectives.normalise(part)) for part in torch.split(shown.images, 500)]
        if isinstance(model, objectives.Contrastive):
            head = objectives.zero_shot_head(model.clip, model.get_buffer("prompts"))
        else:
            head = model.head.weight
    return torch.cat(parts).numpy(), head.detach().numpy().copy()


def _metadata(recipe: Recipe, seed: int, key: str) -> dict[str, str]:
    return {
        "architecture": recipe.architecture,
        "level": recipe.level,
        "seed": str(seed),
        "recipe": key,
        "classes": json.dumps(emoji.CLASSES),
        "normalize": "false" if recipe.objective == "supervised" else "true",
        "image_size": str(PREPROCESSING.size),
    }


def _rounding(
    recipe: Recipe,
    weights: Mapping[str, Tensor],
    halved: objectives.Contrastive | objectives.Classifier,
    watched: objectives.Examples,
) -> float:
    """Return how much rounding the weights to float16 changed the watched accuracy."""
    return objectives.accuracy(halved, watched) - objectives.accuracy(
        restore(recipe, weights), watched
    )


def _identity_in(place: Path) -> str | None:
    done = place / "done.json"
    return json.loads(done.read_text(encoding="utf-8"))["identity"] if done.is_file() else None


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
    """Do many trainings, ``workers`` at a time; finetuning waits for what it starts from."""
    waiting = sorted(tasks, key=lambda task: (task[0].start is not None, -task[0].steps))
    names = {(recipe.name, seed) for recipe, seed in waiting}
    finished: set[tuple[str, int]] = set()
    running: dict[Future[Path], tuple[str, int]] = {}
    began = time.monotonic()
    with ProcessPoolExecutor(workers, get_context("spawn"), _one_thread) as pool:
        while waiting or running:
            for task in [*waiting]:
                recipe, seed = task
                needed = (recipe.start, seed)
                ready = needed not in names or needed in finished
                if ready and len(running) < workers:
                    waiting.remove(task)
                    future = pool.submit(
                        run, recipe, recipes, seed, folder, splits=splits, device=device
                    )
                    running[future] = (recipe.name, seed)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name, seed = running.pop(future)
                place = future.result()
                finished.add((name, seed))
                print(
                    f"{len(finished):3d}/{len(names)}  {time.monotonic() - began:6.0f} s  "
                    f"{name} seed {seed}: {_last_accuracy(place)}",
                    flush=True,
                )


def _one_thread() -> None:
    torch.set_num_threads(1)


def _last_accuracy(place: Path) -> str:
    curve = pd.read_csv(place / "curve.csv")
    return f"{curve['accuracy'].iloc[-1]:.3f}" if len(curve) else "not trained"


def collect(tasks: Iterable[tuple[Recipe, int]], folder: Path, name: str) -> pd.DataFrame:
    """Return the table ``name`` (``curve.csv``, ``accuracies.csv``) of many trainings as one."""
    parts = [
        pd.read_csv(folder / f"{recipe.name}-{seed}" / name, dtype=str) for recipe, seed in tasks
    ]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    replace_text(path, buffer.getvalue())


def replace_text(path: Path, text: str) -> None:
    """Write a file beside ``path`` and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
