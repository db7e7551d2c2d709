"""Accuracies from this book's own features beside published ones, as rows and sentences."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from analysis.families.registry import Family
from companion.measurements import accuracy, published_robustness
from companion.measurements.accuracy import Accuracy
from companion.measurements.views import SHIFT_TITLES
from companion.publish.style import Evidence, minus, percent, points

TITLES = {"imagenet": "ImageNet"} | SHIFT_TITLES


def evidence(compared: pd.DataFrame, own: Evidence) -> Evidence:
    """The kind of the own accuracies, with the published ones if there are any beside them."""
    beside = not compared.empty and compared["published"].notna().any()
    kinds: dict[Evidence, Evidence] = {
        "recorded": "published, recorded", "live": "published, live",
        "recorded, live": "published, recorded, live",
    }  # fmt: skip
    return kinds[own] if beside else own


def rows(compared: pd.DataFrame) -> pd.DataFrame:
    """One row per model and data set; the published columns only if one of them is filled."""
    found = []
    for one in compared.to_dict("records"):
        limit, gap = one["limit"], one["top1"] - one["published"]
        error = f" ± {100 * limit:.1f}" if limit else ""
        row = {"model": one["model"].title, "data set": TITLES[one["data"]],
               "images": f"{one['own'].images:,}",
               "own (%)": percent(one["top1"]) + error}  # fmt: skip
        if one["published"] == one["published"]:
            row |= {"published (%)": percent(one["published"]),
                    "difference (points)": minus(f"{100 * gap:+.2f}"),
                    "within noise": "yes" if abs(gap) <= limit else "no"}  # fmt: skip
        found.append(row)
    return pd.DataFrame(found).fillna("")


def agreement(compared: pd.DataFrame) -> str:
    """How many differences from published values are within the sampling noise, in words."""
    if compared.empty:
        return ""
    known = compared[compared["published"].notna()]
    if known.empty:
        return "Of none of these checkpoints is an accuracy published here."
    beyond = known[(known["top1"] - known["published"]).abs() > known["limit"]]
    named = [
        f"{m.title} on {TITLES[d]}" for m, d in zip(beyond["model"], beyond["data"], strict=True)
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
    found = [(TITLES[d], own.what) for d, own in zip(compared["data"], compared["own"], strict=True)
             if not own.complete]  # fmt: skip
    if not found:
        return "All images are those of the published data sets."
    items = "\n".join(f"- {title}: {what}" for title, what in sorted(set(found)))
    return (
        ":::{admonition} Not the published data sets\n:class: warning\nThese accuracies are of "
        f"other images than the published ones, so they decide no claim:\n\n{items}\n:::"
    )


def robustness(
    family: Family, own: pd.DataFrame, published: pd.DataFrame, table: pd.DataFrame
) -> pd.DataFrame:
    """Effective robustness of each model (`views.of_measurements`), beside the published one.

    `published`: `published_robustness.of_families` by name; used where all six accuracies of the
    very same checkpoint are in the `table` of published accuracies.
    """
    found = []
    for one in own.to_dict("records"):
        model = family.model(one["name"])
        theirs = published_robustness.of_checkpoint(table, model)["dataset"]
        row = {"model": model.title, "ER (points)": points(one["er"], one["er_95"])}
        if set(accuracy.NAMES) <= set(theirs) and model.name in published.index:
            er, error = published.loc[[model.name], ["er", "er_95"]].to_numpy(float)[0]
            row["published ER (points)"] = points(er, error)
        found.append(row | {"ImageNet (%)": percent(one["imagenet"]),
                            "shifted (%)": percent(one["shifted"])})  # fmt: skip
    return pd.DataFrame(found).fillna("")


def missing(family: Family, by_model: Mapping[str, Mapping[str, Accuracy]]) -> str:
    """What effective robustness lacks, and how to get it (MyST)."""
    loadable = [model for model in family.models if model.loadable and model.level != "random"]
    if not loadable:
        return "No weights can be loaded."
    lacking = {m: accuracy.missing(by_model.get(m.name, {})) for m in loadable}
    wanted = [data for data in accuracy.NAMES.values() if any(data in s for s in lacking.values())]
    command = (
        f"`companion extract {family.name} --data {' '.join(wanted)}`, then `companion measure "
        f"accuracy {family.name} --record`"
    )
    if not by_model:
        return f"Not measured: {command}."
    items = [f"- {m.title}: {', '.join(sets)}" for m, sets in lacking.items() if sets]
    inside = {m: by_model[m.name]["imagenet"].top1 for m, sets in lacking.items() if not sets}
    items += [
        f"- {m.title}: effective robustness is not defined where "
        f"{'every' if top1 else 'no'} image of ImageNet is recognised"
        for m, top1 in inside.items() if top1 in (0, 1)
    ]  # fmt: skip
    if not items:
        return "Effective robustness of every model whose weights can be loaded is measured."
    note = f"\n\nWhat is missing comes from {command}." if wanted else ""
    return (
        ":::{admonition} No effective robustness yet\n:class: not-measured\n"
        + "\n".join(items) + note + "\n:::"
    )  # fmt: skip
