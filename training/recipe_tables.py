"""The settings of recipes and what they would cost, as rows of tables and as text.

A cost is an estimate from counted operations, a vendor's peak and an assumed share of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from analysis.families.registry import Family
from analysis.images.sets import descriptions
from base.strict import read_yaml
from training import recipes as described
from training.recipes import CAPTIONS_PUBLISHED, Plan, Recipe

#: What estimates rest on: ``gpus`` with their peaks, ``utilisation`` of these.
ASSUMED: Mapping[str, Any] = read_yaml(described.FOLDER / "cost" / "assumptions.yaml")


def settings(recipes: Mapping[str, Recipe]) -> list[dict[str, str]]:
    """A row for every setting of every recipe, by name: its value, and where that comes from."""
    return [
        {
            "recipe": f"`{name}`",
            "setting": setting.replace("_", " "),
            "value": _written(value),
            "source": _source(recipe, setting),
        }
        for name, recipe in recipes.items()
        for setting, value in recipe.settings.model_dump(exclude_unset=True).items()
    ]


def costs(recipes: Mapping[str, Recipe], families: Iterable[Family]) -> list[dict[str, str]]:
    """A row for each family's zero-shot tower and each recipe that fits it, as `cost` gives it."""
    towers = [(f.title, f.at_level("zero_shot")[0].architecture or "") for f in families]
    images = descriptions()["imagenet-train"].images
    return [
        {"backbone": title, "recipe": f"`{name}`", **row}
        for title, architecture in towers
        for name, recipe in recipes.items()
        if recipe.towers in ("any", "resnet" if architecture.startswith("RN") else "vit")
        and (
            row := cost(
                recipe, architecture, CAPTIONS_PUBLISHED if recipe.level == "captions" else images
            )
        )
    ]


def cost(recipe: Recipe, architecture: str, images: int) -> dict[str, str]:
    """The images seen, the operations, and hours of one GPU, in words, by what they are.

    Nothing where the operations of the architecture were not counted.
    """
    each = operations(recipe, architecture)
    if each is None:
        return {}
    seen = recipe.settings.epochs * (images // recipe.settings.batch) * recipe.settings.batch
    hours = gpu_hours(seen * each)
    gpu, (best, worst) = [*hours.items()][-1]
    return {
        "images (10⁶)": f"{seen / 1e6:.1f}",
        "operations": f"{seen * each:.1e}",
        **{f"hours, {name}": _span(*both) for name, both in hours.items()},
        f"images/s, {gpu}": _span(seen / worst / 3600, seen / best / 3600),
    }


def operations(recipe: Recipe, architecture: str) -> int | None:
    """The operations of training on one image, with its text; None if they were not counted."""
    table = pd.read_csv(described.FOLDER / "cost" / "flops.csv", index_col="architecture")
    counted = table.to_dict("index").get(architecture)
    if counted is None:
        return None
    texts = counted["text_training"] if recipe.level == "captions" else 0
    return int(counted["image_training"] + texts)


def gpu_hours(operations: int) -> dict[str, tuple[float, float]]:
    """Hours by GPU, from the largest to the least share of its peak that is assumed."""
    low, high = ASSUMED["utilisation"]
    hours = {gpu["name"]: operations / gpu["peak"] / 3600 for gpu in ASSUMED["gpus"]}
    return {name: (full / high, full / low) for name, full in hours.items()}


def describe(recipe: Recipe, model: str, architecture: str, made: Plan) -> str:
    """Describe what would be done, with the source of every number, and about how much it costs."""
    values = recipe.settings.model_dump(exclude_none=True)
    priced = [f"{what} {much}" for what, much in cost(recipe, architecture, made.images).items()]
    return "\n".join(
        [
            f"{recipe.title}: {architecture}, from {model}",
            *(f"  {name} {value}  ({recipe.sources[name]})" for name, value in values.items()),
            *(f"  ({name}: {address})" for name, address in recipe.references.items()),
            f"images: {made.images:,}",
            f"{made.steps:,} updates of {made.batch:,} images: {made.processes} "
            f"{'process' if made.processes == 1 else 'processes'}, "
            f"each {made.accumulation} × {made.micro_batch} images",
            f"cost (an estimate, not measured): {'; '.join(priced) or 'not known'}",
        ]
    )


def _span(low: float, high: float) -> str:
    """Two numbers, with no more digits than an estimate deserves."""
    return " to ".join(f"{x:.1f}" if x < 10 else f"{x:,.0f}" for x in (low, high))


def _written(value: Any) -> str:
    """A value of a recipe as a reader would write it."""
    if value is None or isinstance(value, bool):
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _source(recipe: Recipe, setting: str) -> str:
    """Where a value is from, as a link, or why we chose it."""
    name = recipe.sources[setting]
    if name in recipe.references:
        return f"[{name}]({recipe.references[name]})"
    reason = name.partition(":")[2].strip()
    return f"our choice{': ' + reason if reason else ''}"
