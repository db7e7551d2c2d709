"""Accuracies and effective robustness as tidy frames for figures, and as cells of tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.families.registry import Edition, Level, level_title
from analysis.metrics.indicators import interval
from analysis.metrics.robustness import (
    Baseline,
    bootstrap_baselines,
    effective_robustness,
)
from companion.engine import plots, style
from companion.engine.cells import joined
from companion.engine.style import Drawing, minus, points
from companion.engine.words import put, write_at_mark
from companion.measurements.accuracies import MODEL_KEY
from companion.measurements.effective_robustness import ORDER, WORDS, View, drawn, trained_on

Array = NDArray[np.float64]
ER, TOP_1 = "effective robustness (points)", "ImageNet top-1 (%)"
#: Two means of shifts.
RENDITIONS, PHOTOGRAPHS = (
    f"{of} (logits off the line)" for of in ("renditions", "hard photographs")
)
#: Where the public tables come from.
ADDRESSES = {
    "open_clip": "mlfoundations/open_clip",
    "imagenet_testbed": "modestyachts/imagenet-testbed",
    "timm": "huggingface/pytorch-image-models",
    "model_soups": "mlfoundations/model-soups",
}


def evidence(*models: pd.DataFrame) -> str:
    """The kind of evidence of accuracies, by their sources."""
    return style.kinds(*(kind for rows in models for kind in rows["evidence"])) or "published"


# Figures


def against_baseline(
    view: View, models: pd.DataFrame, edition: Edition, resamples: int, seed: int, **names: str
) -> Drawing | None:
    """Accuracy under shift against accuracy without; None without any model.

    The view's pool, the line through it with its 95 % band, the paper's printed line, and models
    (`View.models`). ``names``: what to write at which model.
    """
    models = models[models["level"] != "random"]
    if models.empty:
        return None
    pool, marked = view.pool.assign(of=view.pool["model"]), drawn(models, edition)
    pool = pool.assign(level="", look="small", series=f"baseline pool ({len(pool)})")
    frame = pd.concat([pool, marked], ignore_index=True)
    lines = {"fit to this pool": view.line.predict}
    if view.reference != view.line:
        lines["the paper's printed line"] = view.reference.predict
    refits = bootstrap_baselines(pool["imagenet"], pool["shifted"], resamples, seed)
    frame = frame.assign(label=frame["name"].map(names))
    return on_logit_axes(frame, view.shifts, lines, refits, crop=edition == "paper")


def on_logit_axes(
    models: pd.DataFrame,
    shifts: tuple[str, ...],
    lines: Mapping[str, Callable[[Array], Array]],
    refits: Sequence[Baseline],
    crop: bool = False,
) -> Drawing:
    """Accuracy under shift against accuracy without, with lines and the 95 % band of the first.

    ``crop``: models without a level that are far weaker than all others are outside the frame.

    ``models``: `imagenet` and `shifted`, fractions; `of`, `level`, `series`, `look`, `label`.
    ``lines``: the accuracy under shift that each expects. ``refits``: the first line, of resampled
    models.
    """
    x, y = (f"{label} (%)" for label in WORDS[shifts][:2])
    about = models[["of", "level", "series", "look", "label"]].fillna("")
    frame = about.assign(**{x: 100 * models["imagenet"], y: 100 * models["shifted"]})
    drawing = plots.scatter(frame.drop(columns="label"), x, y, height=4.4)
    (axes,) = drawing.figure.axes
    plots.on_logit_axes(axes, frame[frame["level"] != ""] if crop else frame, frame, lines, refits)
    for text, places in frame[frame["label"] != ""].groupby("label")[[x, y]]:
        write_at_mark(axes, str(text), tuple(places.mean()))
    return drawing


def arrows_beside(drawing: Drawing, at: float, top: float, bottoms: Sequence[float]) -> None:
    """At the right of a figure of ER, an arrow up to a model's from what each comparison expects.

    `at`, `top`: the model's mark; `bottoms` in points. Each arrow bears its length.
    """
    (axes,) = drawing.figure.axes
    places = at + 2.4 + 2.3 * np.arange(len(bottoms))
    axes.plot([at, places[-1]], [top, top], color=style.INK, linewidth=0.8)
    arrow = {"arrowstyle": "-|>", "color": style.INK, "shrinkA": 0, "shrinkB": 0}
    for x, bottom in zip(places, bottoms, strict=True):
        axes.annotate("", (x, top), (x, bottom), arrowprops=arrow, zorder=5)
        length = points((top - bottom) / 100)
        put(axes, length, (x, bottom), (0, -3), fontsize=9, ha="center", va="top")
    axes.set_xlim(None, places[-1] + 2)


def beside_equals(
    supervised: pd.DataFrame, zero_shot: pd.DataFrame, finetuned: pd.DataFrame
) -> Drawing:
    """Effective robustness against ImageNet accuracy above 60 %, with what equals would have.

    A finetuned model is joined to its ``expected`` robustness.
    """
    expected = finetuned.dropna(subset="expected")
    parts = {
        "supervised": supervised.assign(look="small"),
        "zero-shot CLIP": zero_shot.assign(level="zero_shot", look="small"),
        "finetuned CLIP": finetuned.assign(
            look="filled", low=finetuned["expected"], high=finetuned["er"]
        ),
        "expected at that accuracy": expected.assign(
            level="supervised", look="hollow", er=expected["expected"]
        ),
    }
    marks = pd.concat(parts, names=["series"]).reset_index("series").query("imagenet > 0.6")
    marks = marks.assign(of=marks["model"], **{TOP_1: 100 * marks["imagenet"]})
    return plots.scatter(in_points(marks, TOP_1), TOP_1, ER, horizontals={"": 0}, height=3.8)


def off_the_lines(models: pd.DataFrame, off: pd.DataFrame) -> pd.DataFrame:
    """Marks of models by how far off the lines of shifts they are, and of groups of several.

    `off`: of each model (row) and shift, in logits. Groups have a `label`, and the mean.
    """
    marks = pd.DataFrame(
        {
            "of": models["model"] + " " + models["weights"],
            "level": "zero_shot",
            "group": models["group"],
            RENDITIONS: off[["imagenet_r", "imagenet_sketch"]].mean(axis=1),
            PHOTOGRAPHS: off[["objectnet", "imagenet_a"]].mean(axis=1),
        }
    )
    several = marks[marks["group"].duplicated(keep=False)]
    means = several.groupby("group", as_index=False)[[RENDITIONS, PHOTOGRAPHS]].mean()
    named = means.assign(of=means["group"], level="zero_shot", label=means["group"])
    parts = [marks.assign(look="small", label=""), named.assign(look="filled")]
    return pd.concat(parts, ignore_index=True)


def by_level(models: pd.DataFrame) -> Drawing:
    """Effective robustness by level with 95 % intervals, where it is known of each level."""
    known = models.dropna(subset=["er"]).groupby("name")["level"].transform("nunique")
    rows = models[models.index.isin(known.index[known == len(ORDER)])]
    frame = in_points(rows.assign(of=short(rows)))
    drawing = plots.marks(frame, ER, levels=level_names(reversed(ORDER)), limits=(-5, 41))
    ends = frame.groupby("of", sort=False)[ER].agg(["min", "max"])
    (axes,) = drawing.figure.axes
    places = range(len(ends))[::-1]
    axes.hlines(places, ends["min"], ends["max"], color=style.MUTED, linewidth=0.8, zorder=1)
    return drawing


def spans_of_lines(models: pd.DataFrame, view: View) -> Drawing:
    """Effective robustness under the first of a view's candidate lines, and the range under all."""
    under = np.array([er_under(models, line) for _, line, _ in view.candidates()])
    spans = models.assign(of=short(models), low=under.min(axis=0), high=under.max(axis=0))
    frame = in_points(spans.assign(er=under[0]))
    return plots.marks(frame, ER, levels=level_names(spans["level"]), limits=(0, 41))


def level_names(levels: Iterable[Level], edition: Edition = "paper") -> dict[str, str]:
    """The levels with their names, for a legend."""
    return {level: level_title(level, edition) for level in levels}


def in_points(frame: pd.DataFrame, *more: str) -> pd.DataFrame:
    """The columns of models in a figure: names, looks, and effective robustness in points."""
    columns = [c for c in ("panel", "of", "level", "series", "look", "name", *more) if c in frame]
    ends = {c: 100 * frame[c] for c in ("low", "high") if c in frame}
    return frame[columns].assign(**{ER: 100 * frame["er"]}, **ends).dropna(subset=[ER])


def short(models: pd.DataFrame) -> list[str]:
    """The backbone and the pretraining set of each model or group, in few words."""
    names = trained_on(models).str.replace("OpenAI WIT-400M", "OpenAI")
    return list(models["title"] + ", " + names)


# Tables


def sources(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each public table at its commit: its size, and how much is left out."""
    models = table.groupby(MODEL_KEY, dropna=False).ngroup()
    groups = table.assign(model=models, left_out=table["defect"] != "").groupby(
        ["source", "commit"], sort=False
    )
    rows = groups.agg({"model": "nunique", "left_out": "sum", "dataset": ["size", "nunique"]})
    return joined(rows).assign(address=rows.index.get_level_values("source").map(ADDRESSES))


def intervals(models: pd.DataFrame) -> pd.Series[Any]:
    """Effective robustness of each model with the ends of its interval."""
    ends = models[["er", "low", "high"]].itertuples(index=False, name=None)
    return pd.Series([*ends], models.index, dtype=object)


def level_table(groups: pd.DataFrame, of_many: str = "") -> pd.DataFrame:
    """A row for each zero-shot model (`by_pretraining`), with a column for each level.

    `of_many` follows a value that is the median of many models.
    """
    many = groups["low"].isna() & groups["er"].notna()
    cells = intervals(groups).mask(many, groups["er"].map(lambda er: points(er) + of_many))
    table = groups.assign(pretraining=trained_on(groups))
    table = table.loc[groups["level"] == ORDER[0], ["title", "pretraining"]]
    return table.assign(**{level: cells[groups["level"] == level].to_list() for level in ORDER})


def er_under(models: pd.DataFrame, line: Baseline) -> Array:
    """Effective robustness of models under another line, from imagenet and shifted."""
    shifted, inside = (models[name].astype(float) for name in ("shifted", "imagenet"))
    return effective_robustness(shifted, inside, line)


def fits(choices: pd.DataFrame) -> pd.DataFrame:
    """The baseline's constants under every choice (`fit_choices`)."""
    kinds = {"all": "all but “trained with more data”", "standard": "standard training only"}
    return choices.assign(v2=choices["v2"].str.replace("_", " "), pool=choices["kinds"].map(kinds))


def statistic(
    of: Callable[..., float], models: pd.DataFrame, *columns: str, resamples: int, seed: int
) -> str:
    """A statistic of columns, and its 95 % interval from resampled data families (`group`)."""
    values = [models[column] for column in columns]
    ends = interval(of, models["group"], *values, resamples=resamples, seed=seed)
    return minus("{:.2f} ({:.2f} to {:.2f})".format(of(*values), *ends))
