"""The explorer's data: every published model and every line, in one compact structure.

The page computes effective robustness from these numbers by the same equation as
`analysis.metrics.robustness`; a test compares the two. Columns are lists of equal length, names
that repeat are numbers into a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, get_args

import numpy as np
import pandas as pd

from analysis.families.registry import LEVELS, Family
from analysis.metrics.robustness import PAPER_BASELINE, fit_baseline, is_robust, matched_excess
from companion.engine.style import LEVEL_STYLES
from companion.measurements import accuracies, atlas
from companion.measurements.accuracies import (
    CLIP_V2,
    FIVE_SHIFTS,
    FOUR_SHIFTS,
    GELU,
    MODEL_KEY,
    V2,
    V2_VARIANTS,
    Pool,
)
from companion.measurements.atlas import SHIFT_TITLES
from companion.measurements.effective_robustness import POOL_TITLES
from companion.measurements.measurement import Measurement

#: Which accuracies are averaged, by the name that the page's link keeps.
VIEWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "five": ("mean of five shifts", FIVE_SHIFTS),
    "four": ("mean of four shifts, without ObjectNet", FOUR_SHIFTS),
    **{
        shift: (f"ImageNet-{title}".replace("ImageNet-ObjectNet", "ObjectNet"), (shift,))
        for shift, title in SHIFT_TITLES.items()
    },
}
#: Lines by what they are fitted to; "all" and "standard" are the testbed's.
LINES = {
    "printed": "the paper's printed line",
    "all": f"testbed, {POOL_TITLES['all']}",
    "standard": f"testbed, {POOL_TITLES['standard']}",
    "modern": "timm, trained on ImageNet-1k alone",
    "clip": "zero-shot CLIP above 10 %",
}
#: The level of models that have none of the book's: trained on more data, or with a teacher.
OTHER = ("other", "more data or a teacher", "#7d7d7d", "x")
#: How each source's models are measured with this book's commands.
COMMANDS = {
    "open_clip": "companion rerun outlier_features --checkpoint {model}/{weights} --data pictures/",
    "timm": "companion rerun outlier_features --checkpoint {model}.{weights} --data pictures/",
}


def data(
    table: pd.DataFrame, families: Mapping[str, Family], measured: Iterable[Measurement]
) -> dict[str, Any]:
    """Everything that the page needs; accuracies are fractions of 1e6, None where unpublished.

    `measured`: outlier features, whose mean κ is shown with the published row of the same weights.
    """
    models = _models(table)
    rows = [(name, *LEVEL_STYLES[name]) for name in LEVELS if name in set(models["level"])]
    levels = pd.DataFrame([*rows, OTHER], columns=["name", "title", "colour", "marker"])
    content: dict[str, Any] = {
        "views": {name: {"title": t, "shifts": list(s)} for name, (t, s) in VIEWS.items()},
        "shifts": SHIFT_TITLES,
        "pools": LINES,
        "variants": {name: name.replace("_", " ") for name in ("mean", *V2_VARIANTS)},
        "lines": lines(table),
        "levels": levels.to_dict("records"),
        "level": models["level"].map([*levels["name"]].index).tolist(),
        "commands": COMMANDS,
        "kurtosis": _kurtosis(models, families, measured),
    }
    content |= {name: models[name].tolist() for name in ("model", "weights", "size")}
    for name in ("source", "data", "group"):  # each name once, and the number of each row's
        codes, names = pd.factorize(models[name])
        content[name] = {"names": list(names), "of": codes.tolist()}
    for name in ("imagenet", *FIVE_SHIFTS):
        content[name] = [None if value != value else round(1e6 * value) for value in models[name]]
    return content


def lookup(table: pd.DataFrame, content: Mapping[str, Any]) -> dict[str, Any]:
    """What a page answers to a checkpoint's name: columns in the rows of `content`, from `data`.

    Percents and points: ImageNet top-1, `er` over five shifts where these were published and else
    over four, the `excess` over supervised models of equal accuracy, on four shifts, and the
    `limit` that 97.5 % of those stay below. `robust` as in `is_robust`. None where unknown.
    """
    four = atlas.on_four_shifts(table)
    ordinary = atlas.ordinary(four)
    matched = matched_excess(four["imagenet"], four["er"], ordinary["imagenet"], ordinary["er"])
    ends = (matched.excess - 1.96 * matched.error, matched.excess + 1.96 * matched.error)
    robust = [is_robust(*each) for each in zip(*ends, matched.limit, strict=True)]
    known: dict[str, Any] = {"excess": matched.excess, "limit": matched.limit, "robust": robust}
    own = four.assign(**known).set_index(MODEL_KEY)
    models = _models(table)
    five = models["objectnet"].notna() & models["imagenet"].gt(0)
    shifted = models[[*FIVE_SHIFTS]].mean(axis=1)
    er = np.where(five, shifted - PAPER_BASELINE.predict(models["imagenet"]), np.nan)
    own = own.reindex(pd.MultiIndex.from_frame(models[MODEL_KEY]))
    columns: dict[str, Any] = {
        "imagenet": models["imagenet"],
        "er": np.where(five, er, own["er"]),
        "excess": own["excess"],
        "limit": own["limit"],
    }
    rows: dict[str, Any] = {
        name: [None if value != value else round(100 * value, 1) for value in of]
        for name, of in columns.items()
    }
    kept = ("model", "weights", "size", "level", "commands", "kurtosis", "source")
    titles = [level["title"] for level in content["levels"]]
    said = {"five": five.tolist(), "titles": titles, "robust": own["robust"].tolist()}
    return rows | {name: content[name] for name in kept} | said


def lines(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Every line that can be chosen: view, pool, variant of ImageNet-V2 in the pool, constants."""
    four = atlas.models(table, FOUR_SHIFTS)
    clip = atlas.clip(table).query("imagenet > 0.1")
    modern = four[(four["source"] == "timm") & (four["level"] == "supervised")]
    printed = {"view": "five", "pool": "printed", "v2": "mean", "models": None}
    rows = [printed | asdict(PAPER_BASELINE)]
    for view, (_, shifts) in VIEWS.items():
        pools = [
            (kinds, v2, accuracies.baseline_pool(accuracies.wide(table, v2), kinds))
            for kinds in get_args(Pool)
            for v2 in (get_args(V2) if "imagenet_v2" in shifts else (CLIP_V2,))
        ]
        pools += [("clip", CLIP_V2, clip)]
        pools += [("modern", CLIP_V2, modern)] if "objectnet" not in shifts else []
        for pool, v2, models in pools:
            shifted = models[list(shifts)].mean(axis=1)
            sound = shifted > 0  # a model that is never right has no logit
            line = fit_baseline(models["imagenet"][sound], shifted[sound])
            row = {"view": view, "pool": pool, "v2": v2, "models": int(sound.sum())}
            rows.append(row | asdict(line))
    return rows


def _models(table: pd.DataFrame) -> pd.DataFrame:
    """Models with four shifts or five, in the order of what the page shows first."""
    four = atlas.models(table, FOUR_SHIFTS)
    five = atlas.models(table)[[*MODEL_KEY, "objectnet"]]
    models = four.merge(five, on=MODEL_KEY, how="left")
    models["level"] = models["level"].where(models["level"] != "", OTHER[0])
    models["size"] = models["image_size"].fillna(0).astype(int)
    place = models["level"].map([*LEVELS, OTHER[0]].index)
    return models.iloc[np.argsort(place, kind="stable")].reset_index(drop=True)


def _kurtosis(
    models: pd.DataFrame, families: Mapping[str, Family], measured: Iterable[Measurement]
) -> dict[str, list[dict[str, Any]]]:
    """Row → κ and the images it was measured on, for rows whose very weights were measured.

    Models of the edition zoo are found by their names, which name the row.
    """
    places: dict[Any, int] = {}
    for place, row in enumerate(models.itertuples()):
        places[row.source, str(row.model).removesuffix(GELU), row.weights] = place
        places[row.zoo] = place
    for family in families.values():
        for model in family.models:
            architecture = (model.architecture or "").removesuffix(GELU)
            key = (model.library, architecture, model.weights)
            if key in places:
                places[model.name] = places[key]
    values: dict[str, list[dict[str, Any]]] = {}
    for m in measured:
        if m.model in places and "captions" not in m.data.name:  # κ of images, not of texts
            value = {"value": m.value("kurtosis_mean"), "data": m.data.title}
            values.setdefault(str(places[m.model]), []).append(value)
    return values
