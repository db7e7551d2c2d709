"""Accuracies that this book measured, compared with published ones, as rows of tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from analysis.families.registry import Family
from companion.chapters.measured import how_trained
from companion.chapters.robustness_figures import intervals
from companion.engine import style
from companion.measurements import accuracies
from companion.sources import sets


def evidence(compared: pd.DataFrame, measured: str) -> str:
    """The kind of the measured accuracies, and published if any is compared with one."""
    published = "published" if compared["published"].notna().any() else ""
    return style.kinds(measured, published)


def rows(family: Family, compared: pd.DataFrame) -> pd.DataFrame:
    """One row per model and data set (`with_published`), with the gap to the published accuracy."""
    table = compared.assign(
        **_models(family, compared["name"]),
        set=compared["dataset"].map(lambda name: sets.short(sets.published()[name])),
        limit=compared["limit"].where(compared["limit"] > 0),
        gap=100 * (compared["accuracy"] - compared["published"]),
        other=compared["what"].mask(compared["what"].map(sets.is_whole).astype(bool)),
    )
    within = (table["gap"].abs() <= 100 * compared["limit"]).astype(object)
    return table.assign(within=within.where(table["gap"].notna(), None))


def _models(family: Family, names: Iterable[str]) -> dict[str, Any]:
    """Of each model its title, and its level in words where the title does not say it."""
    models = [family.model(name) for name in names]
    levels = [how_trained(family, model.level) for model in models]
    return {"model": [model.title for model in models], "how_trained": levels}


def robustness(
    family: Family, measured: pd.DataFrame, published: pd.DataFrame, table: pd.DataFrame
) -> pd.DataFrame:
    """Effective robustness of each model, compared with the published one.

    `measured`, `published`: from `effective`. The published one is shown where all six accuracies
    of the very same checkpoint are in the `table` of published accuracies.
    """
    same = {
        name
        for name in measured["name"]
        if not accuracies.missing(accuracies.of_checkpoint(table, family.model(name))["dataset"])
    }
    rows = published[published["name"].isin(same)]
    theirs = dict(zip(rows["name"], intervals(rows), strict=True))
    return measured.assign(
        **_models(family, measured["name"]),
        ends=intervals(measured),
        published=measured["name"].map(theirs),
    )


def lacking(family: Family, measured: pd.DataFrame) -> pd.DataFrame:
    """Data sets that models lack for effective robustness; `measured`: `accuracies.measured`."""
    inside = measured[measured["dataset"] == "imagenet"].set_index("name")["accuracy"]
    rows = []
    for model in family.models:
        of_model = measured.loc[measured["name"] == model.name, "dataset"]
        lacks = ", ".join(accuracies.missing(of_model))
        if not lacks and inside[model.name] in (0, 1):
            lacks = f"a logit: {'every' if inside[model.name] else 'no'} ImageNet image is right"
        if lacks and model.loadable and model.level != "random":
            rows.append((model.title, lacks))
    return pd.DataFrame(rows, columns=["model", "lacks"])
