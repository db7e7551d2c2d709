"""Rows of the trainings behind CLIP's own features, as `data/relearn/make.py` writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analysis.base.roots import ROOT
from companion.chapters.origin_figures import DIFFERING, OPTIMISERS
from companion.engine.style import digits
from companion.measurements.intervals import student_95

FOLDER = ROOT / "data" / "relearn"
#: The second moments of the main runs.
THREE = {"element": "Adam", "column": "one a column", "shared": "one a row (shared)"}
#: Two kinds of optimiser: levels of marks, and their names.
KINDS = {"first": "step size differs between outputs", "second": "all outputs alike"}
#: What besides the optimiser tells runs apart.
SETTING = ["pairs", "start", "centred", "caption_noise", "scale", "batch", "learning_rate", "steps"]
#: Whose features they are, where it is not ViT-B/32 on ImageNet's training images.
PAIRS = {
    "vit_b_16-coco": "ViT-B/16, 400 COCO pairs",
    "rn50-imagenet": "RN50, 400 images",
    "vit_l_14-news": "ViT-L/14, 271 news photographs",
    "vit_b_32-single": "ViT-B/32, 800 images, a class each",
    "vit_b_32-few": "ViT-B/32, 271 images, a class each",
    "vit_b_16_marqo-products": "Marqo-FashionCLIP, 800 products",
    "vit_b_32_fashionclip-products": "FashionCLIP, 901 products",
}

#: Settings that sentences name, as `setting` writes them.
SLUGS = {
    "common vector taken out": "centred",
    "random start": "random",
    "30 % wrong captions": "wrong",
    "ViT-B/16, 400 COCO pairs": "coco",
    "30 % wrong captions, 1,500 steps, rate 0.001": "slow",
    "batches of 32": "small-batch",
    "batches of 512": "large-batch",
    "batches of 1000": "largest-batch",
    "10 % wrong captions": "few-wrong",
    "60 % wrong captions": "most-wrong",
    "500 steps, rate 0.001": "short",
    "2,000 steps, rate 0.001": "long",
    "8,000 steps, rate 0.001": "longer",
    "20,000 steps, rate 0.001": "longest",
    "RN50, 400 images": "rn50",
    "ViT-L/14, 271 news photographs": "news",
    "ViT-B/32, 800 images, a class each": "single",
    "ViT-B/32, 271 images, a class each": "few",
    "Marqo-FashionCLIP, 800 products": "marqo",
    "FashionCLIP, 901 products": "fashionclip",
    "ViT-B/16, 400 COCO pairs, 30 % wrong captions, 1,500 steps, rate 0.001": "coco-slow",
    "ViT-L/14, 271 news photographs, 30 % wrong captions, 1,500 steps, rate 0.001": "news-slow",
    "common vector taken out, 30 % wrong captions": "centred-wrong",
}


def read(name: str = "runs") -> pd.DataFrame:
    """A table of `data/relearn`. Runs get the name of their optimiser (`of`) and its `level`.

    A learned temperature is a scale of 0.
    """
    table = pd.read_csv(FOLDER / f"{name}.csv")
    if name != "runs":
        return table
    table["scale"] = table["scale"].fillna(0)
    step = table["second_moment"].map({kind: title for kind, (title, _) in OPTIMISERS.items()})
    gain = step + " × " + table["gain"].map("{:g}".format)
    table["of"] = step.where(~table["second_moment"].isin(["lamb", "none"]), gain)
    table["of"] = table["of"].where(table["rotated"] == "none", "Adam, half of the outputs rotated")
    table["level"] = np.where(table["second_moment"].isin(DIFFERING), *KINDS)
    return table


def published(pairs: str = "vit_b_32-imagenet") -> dict[str, float]:
    """What the same held-out images are like in the model's own axes."""
    about = json.loads((FOLDER / "relearn.json").read_text(encoding="utf-8"))
    found: dict[str, float] = about["models"][pairs]
    return found


def missing() -> list[dict[str, Any]]:
    """The settings of the planned runs that are not trained."""
    about = json.loads((FOLDER / "relearn.json").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = about["not trained"]
    return found


def alike(runs: pd.DataFrame, *free: str) -> pd.DataFrame:
    """The runs with the setting of the first, except in some columns."""
    fixed = [name for name in SETTING if name not in free]
    return runs[(runs[fixed] == runs.iloc[0][fixed]).all(axis=1)]


def usual(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that differ in the optimiser alone; Muon's, which cost more, are shorter."""
    muon = alike(runs, "steps").query("second_moment == 'muon'")
    return pd.concat([alike(runs), muon])


def by_optimiser(runs: pd.DataFrame) -> pd.DataFrame:
    """A row of lists for each optimiser, in their order, with the number of seeds."""
    order = [kind for kind in OPTIMISERS if kind in set(runs["second_moment"])]
    some = runs.sort_values("second_moment", key=lambda of: of.map(order.index), kind="stable")
    lists = some.groupby("of", sort=False).agg(list).reset_index()
    return lists.assign(seeds=lists["seed"].map(len))


def of_main(runs: pd.DataFrame) -> dict[str, Any]:
    """Lists of one cell's runs; the geometric mean of κ with its 95 % interval over seeds."""
    log = np.log(runs["kurtosis"])
    half = student_95(len(log) - 1) * log.std() / np.sqrt(len(log))
    low, mean, high = (digits(np.exp(log.mean() + side * half)) for side in (-1, 0, 1))
    lists = {str(name): runs[name].tolist() for name in runs}
    return lists | {"mean": mean, "ends": f"{low} to {high}", "seeds": len(runs)}


def setting(run: pd.Series[Any], first: pd.Series[Any]) -> str:
    """In what a run's setting differs from another's, in words."""
    length = f"{run['steps']:,} steps, rate {run['learning_rate']:g}"
    words = {
        "pairs": PAIRS.get(run["pairs"]),
        "start": "random start",
        "centred": "common vector taken out",
        "caption_noise": f"{100 * run['caption_noise']:.0f} % wrong captions",
        "scale": "learned temperature",
        "batch": f"batches of {run['batch']}",
        "learning_rate": length,
        "steps": length,
    }
    differ = [words[name] for name in SETTING if run[name] != first[name]]
    return ", ".join(dict.fromkeys(map(str, differ))) or "as above"


def conditions(runs: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """A row for each setting: lists of all columns, each followed by the second moment."""
    three = runs[runs["second_moment"].isin(THREE) & (runs["rotated"] == "none")]
    words = three.apply(setting, axis=1, first=runs.iloc[0])
    for name, some in three.groupby(words, sort=False):
        each = {kind: own.to_dict("list") for kind, own in some.groupby("second_moment")}
        lists = {
            f"{of}_{kind}": each.get(kind, {}).get(of, np.nan) for kind in THREE for of in runs
        }
        yield {"setting": name, "seeds": some["seed"].nunique(), **lists}


def doses(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The runs of `THREE` in which one quantity varies, by its name; `value` is how much of it."""
    three = runs[runs["second_moment"].isin(THREE) & (runs["rotated"] == "none")]
    right = three[three["caption_noise"] == 0]
    slow = right[right["learning_rate"] < three["learning_rate"].iloc[0]]
    return {
        "steps, at a quarter of the rate": alike(slow, "steps").assign(value=slow["steps"]),
        "pairs in a batch": alike(three, "batch").assign(value=three["batch"]),
        "wrong captions (%)": alike(three, "caption_noise").assign(
            value=100 * three["caption_noise"]
        ),
    }


def along_path(runs: pd.DataFrame) -> float:
    """Rank correlation of κ and path where steps differ between outputs and captions are right."""
    asis = _as_they_are(runs)
    seeing = asis[asis["level"] == "first"]
    return float(seeing["path"].corr(seeing["kurtosis"], "spearman"))


def _as_they_are(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of the first model with right captions, its common vector and no other axes for Adam."""
    same = (runs["pairs"] == runs["pairs"].iloc[0]) & (runs["caption_noise"] == 0)
    kept: pd.DataFrame = runs[same & ~runs["centred"] & (runs["rotated"] == "none")]
    return kept


def judged(runs: pd.DataFrame) -> dict[int, bool]:
    """Which of the numbered predictions of `plan.yaml` hold in every run that they are about."""
    main = usual(runs)
    lamb = main[main["second_moment"] == "lamb"]
    asis = _as_they_are(runs)
    plain = main[main["rotated"] == "none"]
    three = plain[plain["second_moment"].isin(THREE)]
    kappa = {kind: of["kurtosis"] for kind, of in three.groupby("second_moment")}
    accuracy = three.groupby("second_moment")["accuracy"].mean()
    alone = asis[asis["second_moment"].isin(["matrix", "none", "muon"])]
    taken = runs[runs["centred"] & (runs["caption_noise"] == 0)]
    half, adam = runs[runs["rotated"] == "half"], three[three["second_moment"] == "element"]
    less = [f"{name}_less_vector_0.0001" for name in ("kurtosis", "accuracy")]
    found = {
        1: min(kappa["element"].min(), kappa["column"].min()) > 4
        and kappa["shared"].max() < 3.5
        and accuracy.max() - accuracy.min() < 0.03,
        2: three["kurtosis_less_mean"].max() < 3.5,
        3: alone["kurtosis"].max() < 3.5,
        4: lamb[lamb["gain"] == 1]["kurtosis"].max() < 3.5
        and lamb[lamb["gain"] == 10]["kurtosis"].min() > 20,
        5: taken["kurtosis"].max() < 3.5,
        6: along_path(runs) > 0.8 and asis[asis["level"] == "second"]["kurtosis"].max() < 3.5,
        7: (half["leader"] >= half["width"] / 2).all(),
        8: adam[less[0]].max() < 4 and (adam["accuracy"] - adam[less[1]]).max() < 0.01,
        9: runs[runs["pairs"] == "vit_b_16-coco"]["kurtosis"].max() < 3.5,
    }
    return {number: bool(holds) for number, holds in found.items()} | _judged_later(runs)


def with_own_captions(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs in which each image has a right caption of its own, with `mean_share_begun`."""
    own = runs[runs["pairs"].str.contains("coco|news|products") & (runs["caption_noise"] == 0)]
    return own.assign(mean_share_begun=own["pairs"].map(lambda name: published(name)["mean_share"]))


def _judged_later(runs: pd.DataFrame) -> dict[int, bool]:
    """The same of the predictions that were added when others of these runs had been seen."""
    asis, turned = _as_they_are(runs), runs[runs["rotated"] == "none"]
    own = with_own_captions(runs)
    marqo = runs[runs["pairs"] == "vit_b_16_marqo-products"].groupby("second_moment")["kurtosis"]
    tower = marqo.median().drop("shared").max() < 8 and marqo.max().drop("shared").max() > 10
    longest = asis.query("steps == 20000 and start == 'turned'")
    largest = asis.query("batch == 1000 and start == 'turned'")
    later = runs[runs["seed"] >= 3]
    half = later[later["rotated"] == "half"]
    random = later.query("start == 'random' and second_moment in ('element', 'shared')")
    fewest = runs[(runs["pairs"] == "vit_b_32-few") & (runs["second_moment"] == "element")]
    found = {
        10: (own["mean_share"] < own["mean_share_begun"]).all() and own["kurtosis"].max() < 3.5,
        11: _apart(turned.query("caption_noise == 0.3 and steps == 1500"), 4),
        12: _apart(longest, 30) and longest["kurtosis_less_mean"].max() < 3.5,
        13: _apart(largest, 3.5) and largest["kurtosis"].max() < 10,
        14: (half["leader"] >= half["width"] / 2).all() and _apart(random, 4),
        15: _apart(runs[runs["pairs"] == "vit_b_32-single"], 4),
        16: fewest["kurtosis"].max() < 3.5,
        17: tower and marqo.max()["shared"] < 3.5,
    }
    return {number: bool(holds) for number, holds in found.items()}


def _apart(runs: pd.DataFrame, least: float) -> bool:
    """Whether κ is above ``least`` in every run with Adam, and below 3.5 with one a row."""
    kappa = runs.groupby("second_moment")["kurtosis"]
    return bool(kappa.min()["element"] > least and kappa.max()["shared"] < 3.5)


def less_vector(runs: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows of what the one vector carries in runs of `THREE`, by percent of the texts' variance."""
    shares = [name.rpartition("_")[2] for name in map(str, runs) if name.startswith("dropped_")]
    for kind in THREE:
        some = runs[runs["second_moment"] == kind]
        for share in shares if len(some) else ():
            ending = f"_less_vector_{share}"
            own = {
                n.removesuffix(ending): some[n].tolist()
                for n in map(str, some)
                if n.endswith(ending)
            }
            before = {f"{name}_before": some[name].tolist() for name in ("kurtosis", "accuracy")}
            yield {"kind": kind, "share": 100 * float(share), **own, **before}
