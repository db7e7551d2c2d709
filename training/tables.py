"""Recipes and what they would cost, as rows of tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from analysis.families.registry import Family
from analysis.images.sets import descriptions
from training.recipes import CAPTIONS, Recipe, assumptions, gpu_hours, operations


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
    """A row for each family's zero-shot tower and each recipe that fits it: hours of one GPU."""
    return [
        row
        for family in families
        for name, recipe in recipes.items()
        if (row := _cost(family, name, recipe))
    ]


def _cost(family: Family, name: str, recipe: Recipe) -> dict[str, str] | None:
    """One such row; None where the recipe is for other towers, or operations were not counted."""
    architecture = family.at_level("zero_shot")[0].architecture or ""
    each = operations(recipe, architecture)
    kind = "resnet" if architecture.startswith("RN") else "vit"
    if recipe.towers not in ("any", kind) or each is None:
        return None
    captions = recipe.level == "captions"
    images = CAPTIONS if captions else descriptions()["imagenet-train"].images
    seen = recipe.settings.epochs * (images // recipe.settings.batch) * recipe.settings.batch
    hours, last = gpu_hours(seen * each), assumptions()["gpus"][-1]["name"]
    best, worst = hours[last]
    return {
        "backbone": family.title,
        "recipe": f"`{name}`",
        "images (10⁶)": f"{seen / 1e6:.1f}",
        "operations": f"{seen * each:.1e}",
        **{f"hours, {gpu}": _span(*both) for gpu, both in hours.items()},
        f"images/s, {last}": _span(seen / worst / 3600, seen / best / 3600),
    }


def _span(low: float, high: float) -> str:
    """Two numbers with as many digits as an estimate deserves."""
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
