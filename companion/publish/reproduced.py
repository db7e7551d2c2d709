"""Accuracies that this book measured, compared with published ones, as rows of tables."""

from __future__ import annotations

import pandas as pd

from analysis.families.registry import Family
from analysis.images import sets
from analysis.images.imagelist import is_whole
from companion.measurements import accuracies
from companion.publish import words
from companion.publish.robustness import er_cells
from companion.publish.style import Evidence, minus, percent


def evidence(compared: pd.DataFrame, measured: Evidence) -> Evidence:
    """The kind of the measured accuracies, and published if any is compared with one."""
    return words.kinds(measured, *["published"] * bool(compared["published"].notna().any()))


def rows(family: Family, compared: pd.DataFrame) -> pd.DataFrame:
    """One row per model and data set (`with_published`), without columns that would be empty."""
    error = compared["limit"].map(lambda limit: f" ± {100 * limit:.1f}" if limit else "")
    gap = compared["accuracy"] - compared["published"]
    table = pd.DataFrame(
        {
            "model": [family.model(name).title for name in compared["name"]],
            "data set": [sets.short(sets.published()[name]) for name in compared["dataset"]],
            "images": compared["images"].map("{:,}".format),
            "this book (%)": compared["accuracy"].map(percent) + error,
            "published (%)": compared["published"].map(percent),
            "difference (points)": gap.map(lambda gap: minus(f"{100 * gap:+.2f}")),
            "within noise": (gap.abs() <= compared["limit"]).map({True: "yes", False: "no"}),
            "not the published set": compared["what"].map(lambda w: "" if is_whole(w) else w),
        }
    )
    table.loc[gap.isna(), ["published (%)", "difference (points)", "within noise"]] = ""
    return table.loc[:, (table != "").any()]


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
    theirs = dict(zip(rows["name"], er_cells(rows), strict=True))
    return pd.DataFrame(
        {
            "model": [family.model(name).title for name in measured["name"]],
            "ER (points)": er_cells(measured),
            **(
                {"published ER (points)": measured["name"].map(theirs).fillna("")} if theirs else {}
            ),
            "ImageNet (%)": measured["imagenet"].map(percent),
            "shifted (%)": measured["shifted"].map(percent),
        }
    )


def lacking(family: Family, measured: pd.DataFrame) -> pd.DataFrame:
    """What each model lacks for effective robustness; `measured` as from `accuracies.measured`."""
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
