"""Accuracies from this book's own features beside published ones, as rows and sentences."""

from __future__ import annotations

import pandas as pd

from analysis.families.registry import Family
from analysis.images import sets
from analysis.images.imagelist import is_whole
from companion.measurements import accuracies
from companion.publish import words
from companion.publish.style import Evidence, admonition, items, minus, percent, points


def evidence(compared: pd.DataFrame, own: Evidence) -> Evidence:
    """The kind of the own accuracies, with the published ones if there are any beside them."""
    beside = not compared.empty and compared["published"].notna().any()
    return words.kinds(own, "published") if beside else own


def rows(family: Family, compared: pd.DataFrame) -> pd.DataFrame:
    """One row per model and data set; the published columns only if one of them is filled."""
    found = []
    for one in compared.to_dict("records"):
        limit, gap = one["limit"], one["accuracy"] - one["published"]
        error = f" ± {100 * limit:.1f}" if limit else ""
        row = {
            "model": family.model(one["name"]).title,
            "data set": _title(one["dataset"]),
            "images": f"{one['images']:,}",
            "own (%)": percent(one["accuracy"]) + error,
        }
        if one["published"] == one["published"]:
            row |= {
                "published (%)": percent(one["published"]),
                "difference (points)": minus(f"{100 * gap:+.2f}"),
                "within noise": "yes" if abs(gap) <= limit else "no",
            }
        found.append(row)
    return pd.DataFrame(found).fillna("")


def agreement(family: Family, compared: pd.DataFrame) -> str:
    """How many differences from published values are within the sampling noise, in words."""
    if compared.empty:
        return ""
    known = compared[compared["published"].notna()]
    if known.empty:
        return "Of none of these checkpoints is an accuracy published here."
    beyond = known[(known["accuracy"] - known["published"]).abs() > known["limit"]]
    named = [
        f"{family.model(name).title} on {_title(dataset)}"
        for name, dataset in zip(beyond["name"], beyond["dataset"], strict=True)
    ]
    return (
        f"{len(known) - len(beyond)} of the {len(known)} differences from published values of the "
        "very same checkpoint are within the sampling noise of the own value"
        + (f"; not so: {'; '.join(named)}." if named else ".")
        + " Both sides saw the same images if the copy is complete, so agreement should be closer "
        "than noise: a larger difference speaks of another protocol, precision or copy."
    )


def copies(compared: pd.DataFrame) -> str:
    """An admonition (MyST) on copies of data sets that are not the published ones."""
    if compared.empty:
        return ""
    found = [
        (_title(dataset), what)
        for dataset, what in zip(compared["dataset"], compared["what"], strict=True)
        if not is_whole(what)
    ]
    if not found:
        return "All images are those of the published data sets."
    listed = items(f"{title}: {what}" for title, what in sorted(set(found)))
    return admonition(
        "Not the published data sets",
        "These accuracies are of other images than the published ones, so they decide no claim:"
        f"\n\n{listed}",
    )


def robustness(
    family: Family, own: pd.DataFrame, published: pd.DataFrame, table: pd.DataFrame
) -> pd.DataFrame:
    """Effective robustness of each model from own accuracies, beside the published one.

    `own`, `published`: as `views.effective` gives them. The published one is shown where all six
    accuracies of the very same checkpoint are in the `table` of published accuracies.
    """
    found, theirs = [], published.set_index("name")
    for one in own.to_dict("records"):
        model = family.model(one["name"])
        known = accuracies.of_checkpoint(table, model)["dataset"]
        row = {"model": model.title, "ER (points)": points(one["er"], one["er_95"])}
        if not accuracies.missing(known) and model.name in theirs.index:
            er, error = theirs.loc[[model.name], ["er", "er_95"]].to_numpy(float)[0]
            row["published ER (points)"] = points(er, error)
        found.append(
            row | {"ImageNet (%)": percent(one["imagenet"]), "shifted (%)": percent(one["shifted"])}
        )
    return pd.DataFrame(found).fillna("")


def missing(family: Family, own: pd.DataFrame) -> str:
    """What effective robustness lacks, and how to get it (MyST); `own` as `accuracies.measured`."""
    loadable = [model for model in family.models if model.loadable and model.level != "random"]
    if not loadable:
        return "No weights can be loaded."
    lacking = {m: accuracies.missing(own.loc[own["name"] == m.name, "dataset"]) for m in loadable}
    every = accuracies.missing([])
    wanted = [data for data in every if any(data in few for few in lacking.values())]
    command = (
        f"`companion extract {family.name} --data {' '.join(wanted)}`, then `companion measure "
        f"accuracy {family.name} --record`"
    )
    if own.empty:
        return f"Not measured: {command}."
    told = [f"{m.title}: {', '.join(few)}" for m, few in lacking.items() if few]
    inside = own[own["dataset"] == "imagenet"].set_index("name")["accuracy"]
    told += [
        f"{m.title}: effective robustness is not defined where "
        f"{'every' if inside[m.name] else 'no'} image of ImageNet is recognised"
        for m, few in lacking.items()
        if not few and inside[m.name] in (0, 1)
    ]
    if not told:
        return "Effective robustness of every model whose weights can be loaded is measured."
    note = f"\n\nWhat is missing comes from {command}." if wanted else ""
    return admonition("No effective robustness yet", items(told) + note, "not-measured")


def _title(dataset: str) -> str:
    return sets.short(sets.published()[dataset])
