"""Train the pocket models and write what is kept of them next to this file.

    python data/pocket/make.py           # train all, write checkpoints, curves and accuracies
    python data/pocket/make.py --check   # train all again and compare with what is kept
    python data/pocket/make.py --tune    # try learning rates and weight decays, write tuning.csv

A call that was stopped goes on where it was: what is finished lies under --work. README.md next to
this file says what is trained, and how the recipes were chosen.
"""

from __future__ import annotations

import argparse
import itertools
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import ArrayLike

from analysis.base.files import sha256_of, write_text
from analysis.base.roots import ROOT
from analysis.families.registry import FAMILIES
from analysis.metrics import concept_counts, directions, outliers
from companion.checkpoints.tokenizer import TOKENIZER, WordTokenizer
from companion.measurements import concept_probe
from companion.measurements.accuracies import hexadecimal
from companion.pocket import pocket, pocket_lab
from companion.pocket.pocket import PocketRecipe, Recipes
from companion.sources import emoji

HERE = Path(__file__).resolve().parent
WORK = ROOT / ".companion" / "pocket"
TABLES = {"curve.csv": HERE / "curves.csv", "accuracies.csv": HERE / "accuracies.csv"}
#: Share of the full number of steps in a trial.
TRIAL = 0.5
#: Concepts count from the paper's threshold and from a lower one of ours.
COUNTING = concept_counts.Settings(threshold=0.9, lower=0.8, seed=0, chance=5, halves=0)
#: Largest mean difference from the kept accuracies that --check accepts from another machine.
TOLERANCE = 0.03


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, do it, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare with what is kept")
    parser.add_argument("--tune", action="store_true", help="choose among candidates")
    parser.add_argument("--only", nargs="+", metavar="MODEL", help="these models (all)")
    parser.add_argument("--seeds", nargs="+", type=int, help="these seeds (all)")
    parser.add_argument("--workers", type=int, default=2, help="trainings at a time (2)")
    parser.add_argument("--work", type=Path, default=WORK, help="where finished trainings lie")
    options = parser.parse_args(arguments)
    recipes = pocket.load_recipes()
    if options.tune:
        return tune(recipes, options.work / "tuning", options.workers)
    tasks = [
        (recipe, seed)
        for recipe, seed in recipes.tasks()
        if recipe.name in (options.only or [recipe.name]) and seed in (options.seeds or [seed])
    ]
    pocket_lab.run_all(tasks, recipes, options.work, workers=options.workers)
    return compare(tasks, options.work) if options.check else ship(tasks, options.work)


def ship(tasks: Sequence[tuple[PocketRecipe, int]], work: Path) -> int:
    """Write the tables, and the checkpoints of seed 0 of the families."""
    for name, target in TABLES.items():
        write_text(target, collect(tasks, work, name).to_csv(index=False))
    kept = [(recipe, seed) for recipe, seed in tasks if recipe.family != "pool"]
    write_text(HERE / "recognised.csv", recognised(kept, work).to_csv(index=False))
    table = representations(kept, work)
    write_text(HERE / "representations.csv", table.to_csv(index=False, float_format="%.6g"))
    for recipe, seed in kept:
        if seed == 0 and recipe.level != "random":
            target = pocket.CHECKPOINTS / f"{recipe.name}.safetensors"
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(pocket_lab.weights_path(recipe.name, 0, work), target)
            note_checksum(FAMILIES / f"{recipe.family}.yaml", target)
    return 0


def note_checksum(family: Path, weights: Path) -> None:
    """Write the sha256 of a checkpoint into its family file, below the weights' name."""
    name = re.escape(weights.relative_to(ROOT).as_posix())
    text = re.sub(
        rf"(weights: {name}\n +weights_sha256: )\w+", rf"\g<1>{sha256_of(weights)}",
        family.read_text(encoding="utf-8"),
    )  # fmt: skip
    write_text(family, text)


def recognised(tasks: Sequence[tuple[PocketRecipe, int]], work: Path) -> pd.DataFrame:
    """Return which test images each model recognises, one row for each style."""
    rows = []
    for recipe, seed in tasks:
        path = pocket_lab.weights_path(recipe.name, seed, work)
        tested = pocket_lab.recognised(path).query("split == 'test'")
        for style in emoji.STYLES:
            right = tested["right"][tested["style"] == style].to_numpy()
            rows.append((recipe.name, seed, style, len(right), hexadecimal(right)))
    return pd.DataFrame(rows, columns=["model", "seed", "style", "images", "right"])


def representations(tasks: Sequence[tuple[PocketRecipe, int]], work: Path) -> pd.DataFrame:
    """Return what the features of each model are like."""
    probe = concept_probe.pocket().select(
        concept_counts.LEAST_POSITIVES, concept_counts.LEAST_CLUSTERS
    )
    draws = concept_counts.draw(probe, COUNTING)
    tested = (emoji.metadata()["split"] == "test").to_numpy()
    rows = []
    for recipe, seed in tasks:
        path = pocket_lab.weights_path(recipe.name, seed, work)
        features, head = pocket_lab.represented(path, tested)
        about = {"model": recipe.name, "family": recipe.family, "level": recipe.level, "seed": seed}
        rows.append(about | representation(features, head.weight, draws))
    return pd.DataFrame(rows)


def representation(
    features: ArrayLike, head: ArrayLike, draws: concept_counts.Draws
) -> dict[str, Any]:
    """Return what a model's representation is like, in a few numbers.

    ``features`` (N, d) of the test emoji and ``head`` (classes, d), as `pocket_lab.represented`
    gives them, ``draws`` of the test emoji's concepts as in `COUNTING`. ``kurtosis`` (mean and its
    standard error), ``persistence`` (a fraction) with its coordinate ``leader``, ``largest``
    (coordinate of the activation profile, times the mean) and ``top_importance`` (times the mean)
    are of the test emoji in the training style; ``n_encoded`` and ``n_unique`` are the unique
    concepts with an average precision of at least 0.9 and 0.8 along the head's right singular
    vectors, ``best`` the mean over concepts of the best direction's average precision (a fraction),
    ``random_directions`` what the same number of random ones reach where n_unique counts.
    """
    array = np.asarray(features, dtype=np.float64)
    table = emoji.metadata()
    inside = array[(table[table["split"] == "test"]["style"] == emoji.IMAGENET).to_numpy()]
    parts = directions.decompose(head)
    found = outliers.outlier_features(inside)
    importance = directions.importance(inside, parts)
    counts = concept_counts.count(array, parts.directions, draws, COUNTING)
    return {
        "kurtosis": found.kurtosis_mean,
        "kurtosis_error": found.kurtosis_standard_error,
        "persistence": found.persistence.fraction,
        "leader": found.persistence.coordinate,
        "largest": found.profile.max(),
        "top_importance": importance.max() / importance.mean(),
        "n_encoded": counts.value("unique"),
        "n_unique": counts.value("lower"),
        "best": counts.value("best"),
        "random_directions": counts.chance("lower", "random"),
    }


def collect(tasks: Iterable[tuple[PocketRecipe, int]], folder: Path, name: str) -> pd.DataFrame:
    """Return the table ``name`` (``curve.csv``, ``accuracies.csv``) of many trainings as one."""
    parts = [
        pd.read_csv(folder / f"{recipe.name}-{seed}" / name, dtype=str) for recipe, seed in tasks
    ]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def make_tokenizer() -> WordTokenizer:
    """Return the tokenizer of the words in training concepts, class names and templates."""
    seen = emoji.metadata().query("split == 'train'").drop_duplicates("concept")
    texts = [*seen["name"], *seen["tags"], *emoji.CLASSES, *emoji.TEMPLATES]
    return WordTokenizer.from_captions(texts)


def compare(tasks: Sequence[tuple[PocketRecipe, int]], work: Path) -> int:
    """Print how the accuracies differ from the kept ones; 1 if they differ too much."""
    keys = ["model", "seed", "style", "split"]
    new = collect(tasks, work, "accuracies.csv").astype({"seed": int, "accuracy": float})
    kept = pd.read_csv(TABLES["accuracies.csv"])
    both = new.merge(kept, on=keys, suffixes=("", "_kept"))
    if len(both) != len(new):
        print(f"{len(new) - len(both)} accuracies are not in {TABLES['accuracies.csv'].name}.")
        return 1
    both["difference"] = both["accuracy"] - both["accuracy_kept"]
    by_model = both.groupby("model", sort=False)["difference"].agg(
        ["mean", lambda d: d.abs().max()]
    )
    print(by_model.set_axis(["mean", "largest"], axis=1).round(4).to_string())
    worst = by_model["mean"].abs().max()
    same = int((both["difference"] == 0).sum())
    print(
        f"{same} of {len(both)} accuracies are equal; the largest mean difference is {worst:.4f}."
    )
    if worst > TOLERANCE:
        print(f"That is more than {TOLERANCE}: these are not the models that are kept here.")
        return 1
    return 0


def tune(recipes: Recipes, work: Path, workers: int) -> int:
    """Try the candidates of every model and write tuning.csv; recipes.yaml is changed by hand."""
    grids = yaml.safe_load(pocket.RECIPES.read_text(encoding="utf-8"))["tuning"]
    tuned = [r for r in recipes.models if r.family != "pool" and r.steps]
    results: list[dict[str, object]] = []
    chosen: dict[str, PocketRecipe] = {}
    for round_of in ([r for r in tuned if r.start is None], [r for r in tuned if r.start]):
        trials = [trial for r in round_of for trial in candidates(r, grids[r.objective], chosen)]
        starts = tuple(chosen.values())
        all_recipes = recipes.model_copy(update={"models": (*trials, *starts)})
        tasks = [(trial, 0) for trial in trials]
        pocket_lab.run_all(tasks, all_recipes, work, workers=workers, splits=("train",))
        scores = collect(tasks, work, "accuracies.csv").set_index("model")["accuracy"]
        for r in round_of:
            own = [t for t in trials if t.name.startswith(f"{r.name}.")]
            best = max(own, key=lambda t: float(scores[t.name]))
            chosen[r.name] = best
            results += [
                {
                    "model": r.name, "learning_rate": t.learning_rate,
                    "weight_decay": t.weight_decay, "steps": t.steps,
                    "validation_accuracy": scores[t.name], "chosen": t is best,
                }
                for t in own
            ]  # fmt: skip
    table = pd.DataFrame(results)
    write_text(HERE / "tuning.csv", table.to_csv(index=False))
    print(table[table["chosen"]].to_string(index=False))
    return 0


def candidates(
    recipe: PocketRecipe, grid: dict[str, list[float]], chosen: dict[str, PocketRecipe]
) -> list[PocketRecipe]:
    """Return a recipe's variants; finetuning starts from the chosen variant of what it needs."""
    start = {"start": chosen[recipe.start].name} if recipe.start else {}
    return [
        recipe.model_copy(
            update={
                "name": f"{recipe.name}.{'.'.join(f'{value:g}' for value in values)}",
                "steps": round(TRIAL * recipe.steps),
                **dict(zip(grid, values, strict=True)),
                **start,
            }
        )
        for values in itertools.product(*grid.values())
    ]


if __name__ == "__main__":
    TOKENIZER.is_file() or make_tokenizer().save()
    sys.exit(main())
