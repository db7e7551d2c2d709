"""Build ``accuracies.csv``: published top-1 accuracies of four projects in one tidy table.

Next to it ``models.csv``, what each model learned from and whether comparisons count it,
``open_clip_others.csv``, open_clip's models on data sets that are not ImageNet's, and ``lca.csv``,
the effective robustness of 75 models by a fifth project's accuracies, which bear no licence and are
not copied. ``finetuned.csv`` is typed from papers: README.md says from which.

    python data/published/make.py           # write the tables
    python data/published/make.py --check   # compare them with the committed ones

The originals are fetched at fixed commits and checked (see ``data/artifacts.yaml``). README.md
next to this file says what each column means and how each source is read.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
from functools import cache
from pathlib import Path

import pandas as pd

from analysis.base.files import write_text
from analysis.families.registry import ZOO, load_families
from analysis.metrics.robustness import effective_robustness
from companion.measurements.accuracies import (
    CLASSES_PUBLISHED,
    FIVE_SHIFTS,
    MODEL_KEY,
    MORE_DATA,
    matches,
)
from companion.sources.public import artifact, fetch

HERE = Path(__file__).resolve().parent
TABLE = HERE / "accuracies.csv"
MODELS = HERE / "models.csv"
OTHERS = HERE / "open_clip_others.csv"
ONE_EVALUATOR = HERE / "lca.csv"
TYPES = HERE / "imagenet_testbed_types.csv"
PRETRAINING = HERE / "pretraining.csv"

KEY = [*MODEL_KEY, "dataset"]
COLUMNS = [
    *("source", "commit", "model", "weights", "image_size", "level", "family", "kind"),
    *("dataset", "classes", "accuracy", "defect"),
]
OPEN_CLIP = "open_clip/openclip_results.csv"
TESTBED = "imagenet-testbed/robustness_top1s.csv"
TIMM = "pytorch-image-models/results-{}.csv"
SOUPS = "model-soups/{}_results.jsonl"
LCA = "LCA-on-the-line/{}.csv"

OPEN_CLIP_DATASETS = {
    "ImageNet 1k": "imagenet",
    "ImageNet v2": "imagenet_v2_matched_frequency",
    "ImageNet-R": "imagenet_r",
    "ImageNet Sketch": "imagenet_sketch",
    "ObjectNet": "objectnet",
    "ImageNet-A": "imagenet_a",
}
# Columns that hold no other data set. ImageNet-O was chosen with a network of ImageNet's classes.
ABOUT = ("name", "pretrained", "params (M)", "FLOPs (B)", "Average perf. on 38 datasets")
NOT_OTHERS = {*ABOUT, *OPEN_CLIP_DATASETS, "ImageNet-O"}
# The testbed has each ImageNet-V2 test set twice. The other columns ("format-val") differ from
# these by 1 percentage point at most, and a baseline fitted on them by 0.003 at most.
TESTBED_DATASETS = {
    "val": "imagenet",
    "imagenetv2-matched-frequency": "imagenet_v2_matched_frequency",
    "imagenetv2-threshold0.7": "imagenet_v2_threshold",
    "imagenetv2-topimages": "imagenet_v2_top_images",
    "imagenet-r": "imagenet_r",
    "imagenet-sketch": "imagenet_sketch",
    "objectnet-1.0-beta": "objectnet",
    "imagenet-a": "imagenet_a",
}
TIMM_DATASETS = {
    "imagenet": "imagenet",
    "imagenetv2-matched-frequency": "imagenet_v2_matched_frequency",
    "imagenet-r": "imagenet_r",
    "sketch": "imagenet_sketch",
    "imagenet-a": "imagenet_a",
}
SOUPS_DATASETS = {
    "ImageNet": "imagenet",
    "ImageNetV2": "imagenet_v2_matched_frequency",
    "ImageNetR": "imagenet_r",
    "ImageNetSketch": "imagenet_sketch",
    "ObjectNet": "objectnet",
    "ImageNetA": "imagenet_a",
}

WRONG_ACTIVATION = (
    "Evaluated with GELU although the weights were trained with QuickGELU; "
    "the row of the quickgelu architecture is the right one."
)
# Only where both rows are published and differ: OpenAI's weights were loaded with QuickGELU under
# either name.
TRAINED_WITH_QUICKGELU = {
    ("RN50", "yfcc15m"),
    ("RN50", "cc12m"),
    ("RN101", "yfcc15m"),
    ("ViT-B-32", "laion400m_e31"),
    ("ViT-B-32", "laion400m_e32"),
}
# Named so in the project's own plot.
LINEAR_PROBE = "Linear probe, from which the other models start"
CHANCE_LEVEL = (
    "Near chance on every data set, so the evaluation, or the checkpoint as a zero-shot "
    "classifier, is broken."
)

# Parts of a timm tag that say: not trained on ImageNet-1k labels alone.
OTHER_TRAINING = {
    *("ft", "in12k", "in21k", "in22k", "jft", "ig1b", "yfcc100m", "laion2b", "laiona", "openai"),
    *("webli", "dist", "distilled", "ssld", "usi", "teacher", "seer", "swag", "bamboo", "dino"),
    *("clip", "mae", "mim", "fcmae", "6m", "m30m", "m38m"),
}


def open_clip() -> pd.DataFrame:
    """Zero-shot CLIP models, fractions."""
    table = pd.read_csv(fetch(OPEN_CLIP)).rename(columns={"name": "model", "pretrained": "weights"})
    long = _long(table, ["model", "weights"], OPEN_CLIP_DATASETS)
    pairs = pd.Series(zip(long["model"], long["weights"], strict=True), index=long.index)
    long["defect"] = ""
    long.loc[pairs.isin(TRAINED_WITH_QUICKGELU), "defect"] = WRONG_ACTIVATION
    broken = pairs == ("coca_ViT-B-32", "mscoco_finetuned_laion2b_s13b_b90k")
    long.loc[broken, "defect"] = CHANCE_LEVEL
    return _from(long, "open_clip", OPEN_CLIP, level="zero_shot")


def imagenet_testbed() -> pd.DataFrame:
    """The baseline pool of Taori et al. 2020, percent; ``kind`` is the testbed's model type."""
    table = pd.read_csv(fetch(TESTBED))
    types = pd.read_csv(TYPES).set_index("model")["type"]
    long = _long(table, ["model"], TESTBED_DATASETS)
    long["accuracy"] /= 100
    long["kind"] = long["model"].map(types)
    if long["kind"].isna().any():
        raise SystemExit(f"{TYPES.name} lacks models of {TESTBED}: bring the two in step.")
    long["level"] = (long["kind"] != MORE_DATA).map({True: "supervised", False: ""})
    return _from(long, "imagenet_testbed", TESTBED)


def timm() -> pd.DataFrame:
    """timm's models at each image size, percent; never on ObjectNet."""
    parts = []
    for stem, dataset in TIMM_DATASETS.items():
        part = pd.read_csv(fetch(TIMM.format(stem)), usecols=["model", "img_size", "top1"])
        parts.append(part.assign(dataset=dataset))
    long = pd.concat(parts, ignore_index=True)
    long = long.rename(columns={"img_size": "image_size", "top1": "accuracy"})
    long["accuracy"] /= 100
    long[["model", "weights"]] = long["model"].str.split(".", n=1, expand=True)
    long["level"] = [
        timm_level(model, weights)
        for model, weights in zip(long["model"], long["weights"], strict=True)
    ]
    return _from(long, "timm", TIMM.format("imagenet"))


def timm_level(model: str, weights: str) -> str:
    """Return the level that a timm name and tag tell, or "" where they do not.

    ``finetuned``: CLIP weights finetuned on ImageNet-1k alone. ``supervised``: the tag names
    ImageNet-1k, and neither it nor the model's name other data, finetuning or a teacher.
    """
    parts = {*model.split("_"), *weights.split("_")}  # `hrnet_w18_ssld.paddle_in1k`: distilled
    name = f"{model}.{weights}"
    if fnmatch.fnmatch(name, "*clip*ft_in1k*") and "in12k" not in parts:
        return "finetuned"
    if "in1k" in parts and not parts & OTHER_TRAINING:
        return "supervised"
    return ""


def model_soups() -> pd.DataFrame:
    """72 models trained on ImageNet from CLIP ViT-B/32, and two averages of them, fractions."""
    parts = [
        pd.read_json(fetch(SOUPS.format(stem)), lines=True)
        for stem in ("individual_model", "greedy_soup", "uniform_soup")
    ]
    table = pd.concat(parts, ignore_index=True).rename(columns={"model_name": "model"})
    long = _long(table, ["model"], SOUPS_DATASETS)
    # A soup averages the weights of many finetuned models: no finetuned model itself.
    single = long["model"].str.startswith("model_")
    long["level"] = single.map({True: "finetuned", False: ""})
    long["kind"] = (long["model"] == "model_0").map({True: LINEAR_PROBE, False: ""})
    return _from(long, "model_soups", SOUPS.format("individual_model"))


def build() -> pd.DataFrame:
    """Return the whole table, sorted, with every column of the committed file."""
    table = pd.concat([open_clip(), imagenet_testbed(), timm(), model_soups()], ignore_index=True)
    table = table.fillna({"weights": "", "kind": "", "defect": "", "level": ""})
    table["classes"] = table["dataset"].map(CLASSES_PUBLISHED)
    table["image_size"] = table["image_size"].astype("Int64")
    table["family"] = ""
    for family in load_families("paper").values():
        for key in (key for model in family.models for key in model.published):
            table.loc[matches(table, key), "family"] = family.name
    if table.duplicated(KEY).any():
        raise SystemExit(
            "two rows for one model and data set: " + str(table[table.duplicated(KEY)])
        )
    return table[COLUMNS].sort_values(KEY, kind="stable", na_position="first")


def models(table: pd.DataFrame) -> pd.DataFrame:
    """Every model: what it learned from, its size, and why comparisons leave it out, if they do.

    Three rules: a known defect; the same accuracies on every data set as another row of that
    source, of which one counts, that of a family of this book if there is one, else the first; an
    epoch before the last of one run.
    """
    flat = table.assign(
        image_size=table["image_size"].fillna(0), accuracy=table["accuracy"].round(6)
    )
    index = [*MODEL_KEY, "family", "defect"]
    rows = flat.set_index([*index, "dataset"])["accuracy"].unstack("dataset").reset_index()
    reason = rows["defect"]
    for rule in (_twins, _earlier_epochs):
        reason = reason.where(reason != "", rule(rows))
    sizes = pd.read_csv(fetch(OPEN_CLIP)).drop_duplicates("name").set_index("name")["params (M)"]
    of_open_clip = rows["source"] == "open_clip"
    rows["image_size"] = rows["image_size"].replace(0, pd.NA).astype("Int64")
    pretraining = [trained_on(row) for row in rows[MODEL_KEY].to_dict("records")]
    zoo = ZOO + "-" + rows["model"] + "-" + rows["weights"]
    return rows[MODEL_KEY].assign(
        data=[data for data, _ in pretraining],
        group=[group for _, group in pretraining],
        parameters=rows["model"].map(sizes).where(of_open_clip),
        zoo=zoo.str.lower().where(of_open_clip, ""),
        set_aside=reason,
    )


@cache
def patterns() -> list[dict[str, str]]:
    """Return the rows of ``pretraining.csv``."""
    return pd.read_csv(PRETRAINING, dtype=str, keep_default_na=False).to_dict("records")


def trained_on(model: dict[str, str]) -> tuple[str, str]:
    """Return the data and the group of data of the first pattern that fits a model's names."""
    for rule in patterns():
        if all(fnmatch.fnmatchcase(model[n], rule[n]) for n in ("source", "model", "weights")):
            return rule["data"], rule["group"]
    raise SystemExit(f"{PRETRAINING.name} has no pattern for {model}: add one.")


def _twins(rows: pd.DataFrame) -> pd.Series[str]:
    """For rows of a source with equal accuracies, all but one: the name of the one that counts."""
    same = ["source", *(name for name in CLASSES_PUBLISHED if name in rows)]
    best_first = rows.sort_values(["defect", "family"], ascending=[True, False], kind="stable")
    first = best_first.groupby(same, dropna=False).transform("first").reindex(rows.index)
    name = (first["model"] + " " + first["weights"]).str.strip()
    counts = (first["model"] == rows["model"]) & (first["weights"] == rows["weights"])
    reason = "The same accuracies on every data set as " + name + ", so counted once."
    return reason.where(~counts, "")


def _earlier_epochs(rows: pd.DataFrame) -> pd.Series[str]:
    """For epoch 31 of a run whose epoch 32 is there too, that it is left out."""
    names = set(rows["model"] + rows["weights"])
    last = rows["weights"].str.replace("_e31", "_e32")
    earlier = (last != rows["weights"]) & (rows["model"] + last).isin(names)
    reason = "Epoch 31 of a training run whose epoch 32 is there too."
    return earlier.map({True: reason, False: ""})


def open_clip_others() -> pd.DataFrame:
    """Zero-shot CLIP models on 31 data sets that are not ImageNet's: a column each, fractions."""
    table = pd.read_csv(fetch(OPEN_CLIP))
    others = [column for column in table if column not in NOT_OTHERS]
    named = table.rename(columns={"name": "model", "pretrained": "weights"})
    return named[["model", "weights", *others]].sort_values(["model", "weights"])


def one_evaluator() -> pd.DataFrame:
    """Effective robustness by the printed line of the models that LCA-on-the-line evaluated.

    Columns: model (its name there), supervision (labels or texts), name (of the same weights in the
    paper's families, empty if there are none) and er, a fraction. Those accuracies have no licence,
    so what is computed from them is kept and they are not.
    """
    columns = {}
    for dataset in ("imagenet", *FIVE_SHIFTS):
        table = pd.read_csv(fetch(LCA.format(dataset)), sep=";").set_index("models_name_list")
        columns[dataset] = table["target_axis"]
    accuracy = pd.DataFrame(columns)
    shifted = accuracy[list(FIVE_SHIFTS)].mean(axis="columns", skipna=False)
    found = pd.DataFrame(
        {
            "supervision": table["is_VLM"].map({True: "texts", False: "labels"}),
            "name": [_of_paper().get(name, "") for name in accuracy.index],
            "er": effective_robustness(shifted, accuracy["imagenet"]),
        },
        index=accuracy.index.rename("model"),
    )
    return found.round({"er": 6}).sort_values(["supervision", "er"]).reset_index()


@cache
def _of_paper() -> dict[str, str]:
    """LCA-on-the-line's names of the paper's zero-shot models; its tags lack the underscores."""
    models = [m for f in load_families("paper").values() for m in f.at_level("zero_shot")]
    by_key = {(m.published[0].model, m.published[0].weights): m.name for m in models}
    tag = str.maketrans("", "", "_")
    own = {name: f"ViT-{name[3].upper()}-{name[4:]}" for name in ("vitb16", "vitl14")}
    own["vitb32"] = "ViT-B-32-quickgelu"
    named = {
        f"openCLIP('{model}', '{weights.translate(tag)}')": name
        for (model, weights), name in by_key.items()
    }
    return named | {theirs: by_key[model, "openai"] for theirs, model in own.items()}


def to_csv(table: pd.DataFrame) -> bytes:
    """Return the table as the committed file's bytes: UTF-8, LF, six decimals."""
    text = table.assign(accuracy=table["accuracy"].map("{:.6f}".format)).to_csv(
        index=False, lineterminator="\n"
    )
    return text.encode()


def _long(table: pd.DataFrame, key: list[str], datasets: dict[str, str]) -> pd.DataFrame:
    """Turn one column per data set into one row per model and data set; gaps are left out."""
    missing = [column for column in (*key, *datasets) if column not in table]
    if missing:
        raise SystemExit(f"the source has no column {missing[0]!r}: its format has changed.")
    long = table.rename(columns=datasets)[[*key, *datasets.values()]].melt(
        id_vars=key, var_name="dataset", value_name="accuracy"
    )
    return long.dropna(subset="accuracy")


def _from(long: pd.DataFrame, source: str, name: str, level: str | None = None) -> pd.DataFrame:
    """Add where the rows come from, and the columns that this source does not have."""
    given = {"source": source, "commit": artifact(name).commit}
    if level is not None:
        given["level"] = level
    return long.assign(**given).reindex(columns=[c for c in COLUMNS if c != "classes"])


def main() -> int:
    """Write the table, or with --check say whether the committed one is what this script makes."""
    parser = argparse.ArgumentParser(description="Build data/published/accuracies.csv.")
    parser.add_argument("--check", action="store_true", help="compare with the committed table")
    check = parser.parse_args().check
    table = build()
    more = {
        MODELS: models(table),
        OTHERS: open_clip_others(),
        ONE_EVALUATOR: one_evaluator(),
    }
    made = {path: found.to_csv(index=False, lineterminator="\n") for path, found in more.items()}
    every = {TABLE: to_csv(table), **{path: text.encode() for path, text in made.items()}}
    for path, content in every.items():
        if not check:
            write_text(path, content.decode())
            rows = content.count(b"\n") - 1
            print(f"{path.name}: {rows} rows, {len(content) / 1e6:.2f} MB")
        elif not path.is_file() or path.read_bytes() != content:
            print(f"{path.name} is out of date: run make.py")
            return 1
        else:
            print(f"{path.name} is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
