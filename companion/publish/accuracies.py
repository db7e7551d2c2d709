"""Accuracies and effective robustness (`views`) as marks, rows and words, in both editions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.families.registry import LEVELS, Edition, Family, level_title
from analysis.metrics.robustness import (
    PAPER_BASELINE,
    Baseline,
    bootstrap_baselines,
    effective_robustness,
)
from companion.measurements import views
from companion.measurements.accuracies import MODEL_KEY, OWN
from companion.measurements.views import View
from companion.publish import dots, style, words
from companion.publish.style import Evidence, minus, percent, points


def evidence(*models: pd.DataFrame) -> Evidence:
    """What kind of evidence accuracies are, by their sources."""
    return words.kinds(*(kind for rows in models for kind in rows["evidence"])) or "published"


#: Where the public tables come from.
ADDRESSES = {
    "open_clip": "mlfoundations/open_clip",
    "imagenet_testbed": "modestyachts/imagenet-testbed",
    "timm": "huggingface/pytorch-image-models",
    "model_soups": "mlfoundations/model-soups",
}


def sources(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each public table at its commit: how much of it there is, and is left out."""
    return pd.DataFrame(
        {
            "source": f"[{ADDRESSES[name]}](https://github.com/{ADDRESSES[name]}/tree/{commit})",
            "commit": f"`{commit[:10]}`",
            "models": own[MODEL_KEY].drop_duplicates().shape[0],
            "accuracies": len(own),
            "left out": int((own["defect"] != "").sum()),
            "data sets": own["dataset"].nunique(),
        }
        for key, own in table.groupby(["source", "commit"], sort=False)
        for name, commit in [map(str, key)]
    )


def marks(
    models: pd.DataFrame, edition: Edition, x: str = "imagenet", y: str = "shifted"
) -> list[dots.Marks]:
    """The models' columns x and y by level; many checkpoints of one description as small marks."""
    found = []
    soups, own = models["source"] == "model_soups", models["source"] == OWN
    soup_count = models.loc[soups, "model"].nunique()
    few = models["name"].map(dots.look) == "hollow"
    for level in LEVELS:
        title = level_title(level, edition)
        here = models["level"] == level
        large = f"{title}, large web" if (here & few).any() else title
        for which, look, name in (
            (soups, "small", f"{title} (model soups, {soup_count} models)"),
            (few, "hollow", f"{title}, small web"),
            (~soups & ~few & ~own, "filled", large),
            (own, "hollow", f"{title}, own features"),
        ):
            part = models[here & which]
            if len(part):
                names = part["model"] + ", " + part["pretraining"]
                found.append(dots.Marks(name, level, part[x], part[y], look=look, names=names))  # type: ignore[arg-type]
    return found


def against_baseline(
    view: View, edition: Edition, resamples: int, seed: int
) -> style.Drawing | None:
    """A view on logit axes: its pool, the line with its band, and the models; None without any."""
    models = view.models[view.models["level"] != "random"]
    if models.empty:
        return None
    shown = pd.concat([models, view.pool])
    low, high = shown[["imagenet", "shifted"]].min(), shown[["imagenet", "shifted"]].max()
    ends = [(0.85 * low[axis], 1 - 0.85 * (1 - high[axis])) for axis in ("imagenet", "shifted")]
    return dots.robustness(
        view.pool,
        view.line,
        bootstrap_baselines(view.pool["imagenet"], view.pool["shifted"], resamples, seed),
        marks(models, edition),
        (f"{view.inside} (%, logit scale)", f"{view.outside} (%)"),
        (ends[0], ends[1]),
        None if view.reference == view.line else view.reference,
    )


def each_shift(
    models: pd.DataFrame, lines: Mapping[str, Baseline], titles: Mapping[str, str], edition: Edition
) -> style.Drawing | None:
    """Effective robustness on each shift alone (`views.by_shift`), at the shift's name and r."""
    models = models[(models["level"] != "random") & models["er"].notna()]
    if models.empty:
        return None
    models = models.assign(place=models["shift"].map(list(lines).index))
    placed = marks(models, edition, "place", "er")
    named = {shift: titles[shift].replace(" high ", "\nhigh ") for shift in lines}
    places = [minus(f"{named[shift]}\nr = {line.r:.2f}") for shift, line in lines.items()]
    return dots.strips(places, placed, "effective robustness (points)")


def rows(family: Family, view: View, averaged: pd.DataFrame) -> pd.DataFrame:
    """Rows of Table 1: one for each model and source of a view (`views.averaged`)."""
    models = averaged.to_dict("records")
    one_of = "each" if any(1 < len(one["each"]) < 10 for one in models) else "checkpoints"
    found = []
    for one in models:
        each, er = one["each"], points(one["er"], one["er_95"])
        if one["er_95"] != one["er_95"]:
            er = f"{points(one['er'])} ({points(one['low'])} to {points(one['high'])})"
        row = {
            "model": family.model(one["name"]).title,
            "shifts": view.where,
            "ER (points)": er,
            f"{view.inside} (%)": percent(one["imagenet"]),
            "shifted (%)": percent(one["shifted"]),
            one_of: " / ".join(map(points, each)) if 1 < len(each) < 10 else f"{len(each)}",
            "source": one["source"],
        }
        found.append(row)
    return pd.DataFrame(found)


def under_each_line(family: Family, view: View) -> pd.DataFrame:
    """The lines that could be a view's baseline, and each model's effective robustness under it.

    Checkpoints of one description are left out; of seeds the mean is given.
    """
    models = views.once(view.models)
    models = models[models["source"] != "model_soups"]
    found = []
    for title, (line, count) in view.fits.items():
        er = effective_robustness(models["shifted"], models["imagenet"], line)
        means = models.assign(er=er).groupby(["name", "source"], sort=False)["er"].mean()
        row = {
            "fit": title,
            "models in the pool": "" if count is None else count,
            "slope": f"{line.slope:.3f}",
            "intercept": minus(f"{line.intercept:.3f}"),
            "r": f"{line.r:.2f}",
        }
        for (name, source), value in zip(means.index, means, strict=True):
            row[family.model(name).title + " (own)" * (source == OWN)] = points(value)
        found.append(row)
    return pd.DataFrame(found)


def order(family: Family, shown: Sequence[View]) -> str:
    """Where the paper's order of levels holds, as a sentence."""
    counts = []
    for view in shown:
        er = views.triples(family, view)
        holds = (er["zero_shot"] > er["finetuned"]) & (er["finetuned"] > er["supervised"])
        of = "seeds" if family.edition == "pocket" else "pretraining sets"
        if len(er):
            counts.append(f"on {view.where} for {int(holds.sum())} of {len(er)} {of}")
    if not counts:
        return f"{family.title}: no zero-shot, finetuned and supervised model share their shifts."
    told = "the paper's order, zero-shot over finetuned over supervised, holds"
    return f"{family.title}: {told} {' and '.join(counts)}."


def absent(family: Family, shown: Sequence[View]) -> str:
    """An admonition (MyST) on the models that no view has; a sentence if there is none."""
    known = {name for view in shown for name in view.models["name"]}
    models = [m for m in family.models if m.name not in known and m.level != "random"]
    if not models:
        return "Every model of this family is shown."
    return style.admonition(
        "Not measured yet",
        f"No complete set of published accuracies is known for these {family.title} models:\n\n"
        + style.items(model.title for model in models),
        "not-measured",
    )


def by_level(groups: pd.DataFrame, of_many: str = "") -> pd.DataFrame:
    """A row for each of `views.groups` with a column per level.

    `of_many` follows a value that is the median of many models.
    """

    def cell(value: float, error: float) -> str:
        if value != value:
            return "not published"
        return points(value, error) if error == error else points(value) + of_many

    named = pd.DataFrame({"backbone": groups["title"], "pretraining set": groups["pretraining"]})
    return named.assign(
        **{
            level.replace("_", "-"): [
                cell(value, error)
                for value, error in zip(groups[level], groups[f"{level}_95"], strict=True)
            ]
            for level in ("zero_shot", "finetuned", "supervised")
        }
    )


def short(models: pd.DataFrame) -> list[str]:
    """The backbone and the pretraining set of each model or group, in few words."""
    sets = models["pretraining"].str.replace("OpenAI WIT-400M", "OpenAI")
    return list(models["title"] + ", " + sets)


def drawn_by_level(groups: pd.DataFrame) -> list[dots.Row]:
    """The same as marks, each with its 95 % interval."""
    return [
        dots.Row(name, level, 100 * value, 100 * (value - error), 100 * (value + error))
        for level in ("supervised", "finetuned", "zero_shot")
        for name, value, error in zip(
            short(groups), groups[level], groups[f"{level}_95"].fillna(0), strict=True
        )
    ]


def spans_of_lines(models: pd.DataFrame, choices: pd.DataFrame) -> list[dots.Row]:
    """Effective robustness of each model under the printed line, and its lowest and highest.

    Under that line and every line of `choices`, as for `fits`.
    """
    lines = [Baseline(*c) for c in choices[["slope", "intercept", "r"]].itertuples(index=False)]
    under = [
        100 * effective_robustness(models["shifted"], models["imagenet"], line)
        for line in (PAPER_BASELINE, *lines)
    ]
    spans = (under[0], np.min(under, axis=0), np.max(under, axis=0))
    return [dots.Row(*row) for row in zip(short(models), models["level"], *spans, strict=True)]


def fits(choices: pd.DataFrame) -> pd.DataFrame:
    """The baseline's constants under every choice (`views.fit_choices`)."""
    kinds = {"all": "all but “trained with more data”", "standard": "standard training only"}
    return pd.DataFrame(
        {
            "ImageNet-V2 in the mean": choices["v2"].str.replace("_", " "),
            "pool": choices["kinds"].map(kinds),
            "models": choices["models"],
        }
        | {
            name: [minus(f"{value:.3f}") for value in choices[name]]
            for name in ("slope", "intercept", "r")
        }
    )
