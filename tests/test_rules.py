"""The rule of each claim, on cases worked by hand: small measurements and frames, no files."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.families.registry import Family, load_families
from analysis.images.imagelist import DIFFERS
from analysis.metrics.robustness import effective_robustness, is_robust
from companion import cli
from companion.claims.evidence import Evidence, beside_ordinary, gather
from companion.claims.ledger import ClaimError, load_claims
from companion.claims.rules import RULES, judge, judge_all
from companion.measurements.effective_robustness import view
from companion.measurements.measurement import IMAGENET, Measurement
from companion.measurements.quantities import declared
from companion.publish.cards import badge, brief, card, flips, lines, rows, sentence

CLAIMS = load_claims()
PROVENANCE = {
    "weights": "none", "weights_sha256": None, "weights_note": "made up",
    "origins": [{"name": "none", "sha256": "0" * 64}], "layer": "last", "head": "",
    "version": "0", "made_from": {"features": "0"}, "libraries": {"numpy": "0"},
    "device": "none", "precision": "none",
}  # fmt: skip


def family(name: str, *models: tuple[str, str, str], **more) -> Family:
    """A backbone with models (name, level, pretraining); `more`: fields of models by name."""
    look = {"size": 8, "interpolation": "box", "mean": [0, 0, 0], "std": [1, 1, 1]}
    built = {"library": "timm", "architecture": "none"}
    return Family.model_validate({
        "name": name, "title": name.upper(), "edition": "paper", "order": 1, "backbone": "none",
        "models": [
            {"name": n, "level": level, "pretraining": data, "preprocessing": look, "width": 4}
            | (built if level == "random" else {}) | more.get(n, {})
            for n, level, data in models
        ],
    })  # fmt: skip


#: One backbone with two zero-shot models, one of which was finetuned; and models that stand in.
MODELS = (
    ("rich", "zero_shot", "OpenAI"), ("poor", "zero_shot", "YFCC-15M"),
    ("captions", "captions", "captions"), ("tuned", "finetuned", "OpenAI"),
    ("labels", "supervised", "labels"), ("drawn", "random", "none"),
)  # fmt: skip
BUILT = {"library": "open_clip", "architecture": "x", "weights": "y"}
ONE = family("one", *MODELS, labels=BUILT)
STANDING = {"stand_in": True}
OTHERS = {"of": family("one", *MODELS, tuned=STANDING, labels=STANDING | BUILT)}
LABELS_STAND_IN = {"of": family("one", *MODELS, labels=STANDING | BUILT)}
RELU = {"library": "timm", "architecture": "resnet50", "weights": "x"}
AT_RELU = {"of": family("one", *MODELS, labels=RELU)}
#: Both lower models end before the projection, of which one zero-shot model is known there, too.
VIT = {"library": "timm", "architecture": "vit_x", "weights": "x"}
EARLY = BUILT | {"layer": "before_projection", "head": "none"}
IN_FRONT = family(
    "one", *MODELS, ("early", "zero_shot", "OpenAI"), ("other", "zero_shot", "YFCC-15M"),
    tuned=VIT, labels=VIT, early=EARLY, other=EARLY,
)  # fmt: skip
BEFORE = {"of": IN_FRONT}
LEVELS = {model.name: model.level for model in IN_FRONT.models}


def measured(
    model: str, experiment: str, data: str = "imagenet", copy: str = "", images: int = 100,
    inferred: str = "", classes: int = 5, components: int = 4, names=None, head: str = "", **values,
):  # fmt: skip
    """A measurement with these values; every other quantity is zero."""
    kinds = declared()[experiment].quantities
    fill = {name: [0, [0], [[0]]][len(kind.shape)] for name, kind in kinds.items()}
    return Measurement.model_validate({
        "format": 2, "experiment": experiment, "family": ONE.name if model in LEVELS else "other",
        "model": model, "level": LEVELS.get(model, "supervised"),
        "data": {"name": data, "what": f"images{copy}"},
        "provenance": PROVENANCE | {"inferred": inferred, "head_classes": head},
        "names": names or {},
        "counts": {"images": images, "components": components, "classes": classes},
        "values": {n: {"unit": kinds[n].unit, "value": v} for n, v in (fill | values).items()},
    })  # fmt: skip


def kurtosis(model: str, mean: float, error: float = 0.5, outliers=(), **about):
    """Outlier features with the standard error of the mean kurtosis; a fifth of κ is its spread."""
    spread = np.linspace(0.8 * mean, 1.2 * mean, 101).tolist()
    return measured(
        model, "outlier_features", kurtosis_mean=mean, kurtosis_standard_error=error,
        kurtosis_percentiles=spread, outlier_coordinates=list(outliers), **about,
    )  # fmt: skip


def kurtoses(**means: float):
    return [kurtosis(model, mean) for model, mean in means.items()]


def importance(model: str, largest: float, error: float = 0.1 / 1.98, **about):
    """Head and images centred, ± 0.1; five times as much without."""
    return measured(
        model, "privileged_directions", importance=[1, 5 * largest],
        importance_centred=[largest, 1], importance_centred_error=error, **about,
    )  # fmt: skip


def pruning(model: str, change: float, error: float = 0.01, **about):
    """Ten directions, of which two are kept with 80 % pruned: there accuracy changes."""
    rank = 10
    zeros = dict.fromkeys(("accuracy_importance", "accuracy_random"), [0.5] * rank)
    return measured(
        model, "pruning", difference_importance=[-1, change] + [0] * (rank - 2),
        difference_importance_error=[error] * rank, **zeros, **about,
    )  # fmt: skip


def evidence(*measurements, of: Family = ONE, **more) -> Evidence:
    return Evidence({of.name: of}, measurements, **more)


def frame(*models: tuple[str, float, float], limit: float = 0.05) -> pd.DataFrame:
    """Effective robustness ± of models of the one backbone; ordinary models have 0 ± 0.05."""
    named = {model.name: model for model in ONE.models}
    return pd.DataFrame([
        {"family": "one", "name": n, "level": named[n].level, "pretraining": named[n].pretraining,
         "title": "ONE", "er": er, "low": er - half, "high": er + half,
         "excess": er, "excess_low": er - half, "excess_high": er + half, "limit": limit,
         "ordinary_models": 12, "robust": is_robust(er - half, er + half, limit)}
        for n, er, half in models
    ])  # fmt: skip


def robustness(**views: pd.DataFrame):
    return {"robustness": views}


def five(*models: tuple[str, float, float], **limit: float):
    return robustness(five=frame(*models, **limit))


def under_shift(
    model: str, accuracy: float, robustness: float, whole: float = 0.5, random: float = 0.2, **about
):
    """Changes with intervals of ± 0.005 with two of ten directions kept, and as many at random."""
    changes = {
        f"{part}_change_importance": [[v, 0], [v - 0.005, 0], [v + 0.005, 0]]
        for part, v in (("inside", accuracy), ("robustness", robustness))
    }
    inside = [[whole + accuracy, whole], [0, 0], [1, 1]]
    return measured(
        model, "pruning_under_shift", data="imagenet-and-shifts", kept=[2, 10],
        inside_importance=inside, inside_random=[[random, whole], [0, 0], [1, 1]], **changes,
        **about,
    )  # fmt: skip


def concepts(
    model: str, unique: int, images=100, textures=3, halves=(0, 0), top=(), first=0, threshold=0.9
):
    """Of ten concepts some in a row are encoded; counts of random halves differ by `halves`."""
    best = [0.95 if first <= n < first + unique else 0.5 for n in range(10)]
    return measured(
        model, "concepts", "broden", images=images, threshold=threshold, lower_threshold=0.8,
        positives=[50] * 10, frequent_positives=40,
        best=best, unique_draws=[unique],
        unique_halves=[unique + half for half in halves], lower_halves=[0] * len(halves),
        best_halves=[0] * len(halves), top_textures=textures, top_concepts=list(range(5)),
        names={"top_concepts": list(top)},
    )  # fmt: skip


def encoded(**unique: int):
    return [concepts(model, count) for model, count in unique.items()]


def judged(claim: str, known: Evidence):
    return judge(CLAIMS[claim], known)


def told(verdict) -> str:
    """The outcome and each case in short: + holds, - fails, ? undecided, in brackets aside."""
    signs = {"holds": "+", "fails": "-", "undecided": "?"}
    cases = [
        f"[{name} {signs[case.result]}]" if case.aside else f"{name} {signs[case.result]}"
        for name, case in sorted(verdict.cases.items())
    ]
    return "; ".join([verdict.outcome, *cases])


#: Four more concepts than a model with four, with a standard error of 1.9.
WIDE = concepts("rich", 8, halves=(-1.347, 1.347))
RICH, POOR = kurtosis("rich", 40, outliers=[0]), kurtosis("poor", 12, outliers=[1])
LOW, OUTLYING = kurtosis("captions", 3.2), kurtosis("labels", 9, outliers=[2])
FIVE = frame(("rich", 0.2, 0.01), ("captions", 0.01, 0.02), ("labels", 0, 0.01))
ROBUST = robustness(five=FIVE)
FALLS = frame(("rich", 0.2, 0.01), ("tuned", 0.1, 0.01))
RISES = frame(("rich", 0.1, 0.01), ("tuned", 0.2, 0.01))
ORDERED = five(("rich", 0.2, 0.01), ("tuned", 0.1, 0.01), ("labels", 0, 0.01))
#: Random weights, and a κ far above 3 whose model a source does not name.
CONTROL, INFERRED = kurtosis("drawn", 2.9), kurtosis("rich", 40, inferred="by its size")
IMAGENETS = {"data": "coco", "head": IMAGENET}
#: Four concepts against four: enough for neither test of C-overlap.
EQUAL = [concepts("rich", 8), concepts("tuned", 8), concepts("labels", 8)]
#: Claim → measurements, outcome with cases, what else is known.
CASES = {
    # the interval of the mean above 6, and above the control's
    "K-zero-shot": [
        ((), "not measured"),
        ((RICH, CONTROL), "agrees so far; rich +"),
        ((RICH, POOR, CONTROL), "reproduced; poor +; rich +"),
        ((kurtosis("rich", 6.5, 0.5), CONTROL), "undecided; rich ?"),
        ((kurtosis("rich", 6.5, 0.5), POOR, CONTROL), "agrees so far; poor +; rich ?"),
        ((kurtosis("rich", 4, 0.5), POOR, CONTROL), "mixed; poor +; rich -"),
        ((kurtosis("rich", 4, 0.5), kurtosis("poor", 6.5, 0.5)), "differs; poor ?; rich -"),
        # without a control nothing is established; one of another set of images serves
        ((RICH, POOR), "undecided; poor ?; rich ?"),
        ((RICH, kurtosis("drawn", 50)), "differs; rich -"),
        ((RICH, kurtosis("drawn", 39)), "undecided; rich ?"),
        ((RICH, kurtosis("drawn", 3, data="coco")), "agrees so far; rich +"),
        ((RICH, kurtosis("drawn", 50, data="coco")), "differs; rich -"),
        ((RICH, CONTROL, kurtosis("drawn", 50, data="coco")), "agrees so far; rich +"),
        # a handful of images establishes nothing, however close together they lie
        ((kurtosis("rich", 30.14, 0, images=1), CONTROL), "not measured"),
        ((kurtosis("rich", 30.14, 1, images=7), CONTROL), "not measured"),
        ((kurtosis("rich", 8.3, 1, images=8), CONTROL), "undecided; rich ?"),  # t is 2.36, not 1.96
        ((kurtosis("rich", 8.3, 1, images=800), CONTROL), "agrees so far; rich +"),
        # a model that is inferred decides nothing
        ((INFERRED, CONTROL), "undecided; [rich +]"),
        ((kurtosis("rich", 4, inferred="by its size"), POOR, CONTROL),
         "agrees so far; poor +; [rich -]"),
        ((INFERRED, kurtosis("poor", 4), CONTROL), "differs; poor -; [rich +]"),
        # on two other data sets: what decides, unless they contradict each other
        ((kurtosis("rich", 40, data="a"), kurtosis("rich", 9, data="b"), CONTROL),
         "agrees so far; rich +"),
        ((kurtosis("rich", 40, data="a"), kurtosis("rich", 6.1, data="b"), CONTROL),
         "agrees so far; rich +"),
        ((kurtosis("rich", 40, data="a"), kurtosis("rich", 2, data="b"), CONTROL),
         "undecided; rich ?"),
        ((kurtosis("rich", 40, data="a"), kurtosis("rich", 2, data="b", inferred="by its size"),
          CONTROL), "agrees so far; rich +"),
        # if a model was measured on ImageNet only that counts; copies that differ never do
        ((RICH, kurtosis("rich", 2, data="coco"), CONTROL), "agrees so far; rich +"),
        ((kurtosis("rich", 40, copy=f"; {DIFFERS}: few"),), "not measured"),
        ((kurtosis("rich", 40, data="some_captions"),), "not measured"),
    ],
    # the interval below 6; models of other families decide nothing
    "K-others": [
        ((kurtosis("stand-in", 30),), "not measured"),
        ((kurtosis("tuned", 4),), "agrees so far; tuned +"),
        ((kurtosis("tuned", 4), kurtosis("labels", 3)), "reproduced; labels +; tuned +"),
        ((kurtosis("tuned", 5.9), kurtosis("labels", 3)), "agrees so far; labels +; tuned ?"),
        ((kurtosis("tuned", 8), kurtosis("labels", 3)), "mixed; labels +; tuned -"),
        # stand-ins decide nothing, and what is behind a ReLU is of another layer
        ((kurtosis("tuned", 3), kurtosis("labels", 9)), "undecided; [labels -]; [tuned +]", OTHERS),
        ((kurtosis("tuned", 3, data="a"), kurtosis("tuned", 9, data="b", inferred="by its size")),
         "undecided; [tuned +]", OTHERS),
        ((kurtosis("tuned", 3), kurtosis("labels", 9)), "agrees so far; labels ?; tuned +",
         AT_RELU),
        # models that end before the projection are compared there, on the same images
        (kurtoses(tuned=3, labels=3), "undecided; labels ?; tuned ?", BEFORE),
        (kurtoses(tuned=3, labels=3, rich=40), "undecided; labels ?; tuned ?", BEFORE),
        (kurtoses(tuned=3, labels=3, early=40), "reproduced; labels +; tuned +", BEFORE),
        (kurtoses(tuned=9, labels=3, early=40), "mixed; labels +; tuned -", BEFORE),
        (kurtoses(tuned=5.9, labels=3, early=40), "agrees so far; labels +; tuned ?", BEFORE),
        ((kurtosis("tuned", 3), kurtosis("early", 40, data="coco")), "undecided; tuned ?", BEFORE),
        # the zero-shot model has none there either: then the layer tells nothing apart
        (kurtoses(tuned=3, labels=9, early=5), "undecided; labels ?; tuned ?", BEFORE),
        (kurtoses(tuned=3, labels=3, early=6.5), "undecided; labels ?; tuned ?", BEFORE),
        # another pretraining set's serves the supervised model alone; both have to, where known
        (kurtoses(tuned=3, labels=3, other=40), "agrees so far; labels +; tuned ?", BEFORE),
        (kurtoses(tuned=3, labels=3, early=40, other=4), "agrees so far; labels ?; tuned +",
         BEFORE),
    ],
    # the ratio of means is at least 2, on the same data
    "K-openai": [
        ((RICH,), "not measured"),
        ((RICH, POOR), "reproduced; rich, poor +"),
        ((RICH, kurtosis("poor", 20)), "undecided; rich, poor ?"),
        ((RICH, kurtosis("poor", 30)), "differs; rich, poor -"),
        ((RICH, kurtosis("poor", 12, data="coco")), "not measured"),
    ],
    # no outlier features, and not robust: no further above ordinary models than these scatter
    "K-captions": [
        ((), "not measured", ROBUST),
        ((LOW,), "undecided; captions ?"),
        ((LOW,), "reproduced; captions +", ROBUST),
        ((kurtosis("captions", 9, outliers=[0]),), "differs; captions -", ROBUST),
        # κ alone is no outlier feature, here as in K-indicator
        ((kurtosis("captions", 9),), "reproduced; captions +", ROBUST),
        ((LOW,), "differs; captions -", five(("captions", 0.09, 0.02))),
        ((LOW,), "reproduced; captions +", five(("captions", 0.02, 0.01))),
        # no ordinary models to compare with
        ((LOW,), "undecided; captions ?", five(("captions", 0.09, 0.02), limit=np.nan)),
        # but on four shifts there are
        (
            (LOW,),
            "reproduced; captions +",
            robustness(
                five=frame(("captions", 0.09, 0.02), limit=np.nan),
                four=frame(("captions", 0.02, 0.01)),
            ),
        ),
    ],
    # robust models cannot test it; others may have no outlier features
    "K-indicator": [
        ((RICH,), "undecided; [rich ?]", ROBUST),
        ((RICH, LOW), "agrees so far; captions +; [rich ?]", ROBUST),
        ((OUTLYING, LOW), "mixed; captions +; labels -", ROBUST),
        ((kurtosis("labels", 9),), "agrees so far; labels +", ROBUST),
        ((kurtosis("labels", 3, outliers=[2]),), "agrees so far; labels +", ROBUST),
        ((kurtosis("labels", 6, outliers=[2]),), "undecided; labels ?", ROBUST),
        ((kurtosis("tuned", 5),), "undecided; tuned ?", ROBUST),
        # a second row of the same name is another checkpoint: which one, nobody knows
        ((LOW,), "undecided; captions ?", robustness(five=pd.concat([FIVE] * 2))),
        # own accuracies go before published ones, and these before four shifts
        ((LOW,), "undecided; [captions ?]", robustness(five=FIVE, own=frame(("captions", 1, 0)))),
        ((LOW,), "agrees so far; captions +",
         robustness(four=frame(("captions", 1, 0)), five=FIVE)),
        ((LOW,), "agrees so far; captions +", robustness(four=FIVE)),
        # at another layer outlier features speak only where the layer itself does
        ((OUTLYING,), "undecided; labels ?", ROBUST | AT_RELU),
        ((OUTLYING,), "undecided; labels ?", ROBUST | BEFORE),
        ((OUTLYING, kurtosis("early", 4)), "undecided; labels ?", ROBUST | BEFORE),
        ((OUTLYING, kurtosis("early", 40)), "differs; labels -", ROBUST | BEFORE),
    ],
    # ten times the mean, with head and images centred, and more than the control
    "D-privileged": [
        ((), "not measured"),
        ((importance("rich", 20),), "undecided; rich ?"),
        ((importance("rich", 20), importance("drawn", 25)), "undecided; rich ?"),
        ((importance("rich", 20), importance("drawn", 15, data="coco")), "undecided; rich ?"),
        ((importance("rich", 9.8), importance("drawn", 2)), "differs; rich -"),
        ((importance("rich", 9.95), importance("drawn", 2)), "undecided; rich ?"),
        ((importance("rich", 20), importance("drawn", 19.9)), "undecided; rich ?"),
        ((importance("rich", 20), importance("drawn", 15)), "agrees so far; rich +"),
        # lower levels: weaker than zero-shot of the same pretraining, and none
        ((importance("tuned", 19), importance("poor", 30)), "undecided; poor ?; tuned ?"),
        ((importance("tuned", 19), importance("rich", 20)), "agrees so far; rich ?; tuned +"),
        ((importance("tuned", 19.999), importance("rich", 20)), "undecided; rich ?; tuned ?"),
        ((importance("tuned", 21), importance("rich", 20)), "differs; rich ?; tuned -"),
        ((importance("labels", 9),), "agrees so far; labels +"),
        ((importance("rich", 20), importance("tuned", 19), importance("labels", 11)),
         "mixed; labels -; rich ?; tuned +"),
        ((importance("rich", 90), importance("labels", 11)), "differs; labels -; rich ?"),
        ((importance("rich", 20), importance("drawn", 15), importance("tuned", 12),
          importance("labels", 2)), "agrees so far; labels +; rich +; tuned +"),
        ((importance("rich", 20), importance("poor", 20), importance("drawn", 15),
          importance("tuned", 12), importance("labels", 2)),
         "reproduced; labels +; poor +; rich +; tuned +"),
        # heads are ImageNet's by their classes, whatever the images and however many the rows
        ((importance("rich", 9, data="coco"),), "undecided; [rich -]"),
        ((importance("rich", 9, data="coco", classes=1000),), "undecided; [rich -]"),
        ((importance("rich", 9, **IMAGENETS),), "differs; rich -"),
    ],
    # the changes end above minus one point; accuracy alone can only differ
    "P-80": [
        ((), "not measured"),
        ((pruning("rich", 0, 0.001),), "undecided; rich ?"),
        ((pruning("rich", -0.05, 0.01),), "differs; rich -"),
        ((pruning("rich", -0.5, data="coco_500_images"),), "undecided; [rich -]"),
        ((pruning("rich", -0.5, data="coco_500_images", classes=1000),), "undecided; [rich -]"),
        ((under_shift("rich", -0.004, 0.002),), "agrees so far; rich +"),
        ((under_shift("rich", -0.008, 0),), "undecided; rich ?"),
        ((under_shift("rich", 0, -0.02),), "differs; rich -"),
        ((under_shift("rich", 0, -0.02, classes=20, components=20),), "undecided; rich ?"),
        # "unchanged" says nothing near chance, nor where random pruning costs nothing either
        ((under_shift("rich", 0, 0, whole=0.007, random=0.005, classes=1000),),
         "undecided; rich ?"),
        ((under_shift("rich", 0, 0, whole=0.29, random=0.2),), "undecided; rich ?"),
        ((under_shift("rich", 0, 0, random=0.495),), "undecided; rich ?"),
        # four of twenty directions kept, of which ten have weight: fewer lose more
        ((pruning("rich", -0.05, classes=20, components=20),), "undecided; rich ?"),
        ((pruning("rich", -0.05, classes=12, components=20),), "differs; rich -"),
        # a second, small set of images does not take a loss back
        ((pruning("rich", -0.1, 0.013, **IMAGENETS),
          pruning("rich", -0.1, 0.07, **IMAGENETS | {"data": "few", "images": 20})),
         "differs; rich -"),
        # of one model measured in both ways, that under shift decides
        ((pruning("rich", -0.05), under_shift("rich", 0, 0), under_shift("poor", 0, 0)),
         "reproduced; poor +; rich +"),
    ],
    "C-more": [
        ((concepts("rich", 5),), "not measured"),
        ((concepts("rich", 5), concepts("tuned", 4)), "agrees so far; rich, tuned +"),
        ((concepts("rich", 5), concepts("tuned", 4)), "undecided; [rich, tuned +]", OTHERS),
        ((concepts("rich", 5), concepts("tuned", 5)), "undecided; rich, tuned ?"),
        ((concepts("rich", 4), concepts("tuned", 5)), "differs; rich, tuned -"),
        ((concepts("rich", 5), concepts("tuned", 4, 9)), "not measured"),  # of other images
        # a lead of 2.1 standard errors is established alone, and not as one of three (Holm)
        ((WIDE, concepts("tuned", 4)), "agrees so far; rich, tuned +"),
        ((WIDE, concepts("tuned", 4), concepts("labels", 4), concepts("poor", 4)),
         "undecided; poor, labels ?; rich, labels ?; rich, tuned ?"),
        # pairs with a stand-in are not among the three
        ((WIDE, concepts("tuned", 4), concepts("labels", 4), concepts("poor", 4)),
         "agrees so far; [poor, labels ?]; [rich, labels ?]; rich, tuned +", LABELS_STAND_IN),
        ((concepts("rich", 5), concepts("poor", 6), concepts("tuned", 4), concepts("labels", 3)),
         "reproduced; poor, labels +; rich, labels +; rich, tuned +"),
    ],
    # more than half, and more than the supervised model shares, by exact tests
    "C-overlap": [
        ((concepts("rich", 8), concepts("tuned", 8)), "undecided; tuned ?"),
        ((concepts("rich", 8), concepts("tuned", 8), concepts("labels", 2)), "reproduced; tuned +"),
        ((concepts("rich", 8), concepts("tuned", 8), concepts("labels", 4)), "undecided; tuned ?"),
        (EQUAL, "undecided; tuned ?"),
        ((concepts("rich", 5), concepts("tuned", 8), concepts("labels", 0)), "undecided; tuned ?"),
        ((concepts("rich", 2, first=8), concepts("tuned", 8), concepts("labels", 0)),
         "differs; tuned -"),
        ((concepts("rich", 3), concepts("tuned", 0)), "not measured"),
        # in the pocket lab at the lower threshold
        ((concepts("rich", 8, threshold=1), concepts("tuned", 8)), "undecided; tuned ?",
         {"counts": "lower"}),
    ],
    # 6 is nearer to the mean of 8 and 4 than to 3; 4 is not
    "C-not-indicator": [
        (encoded(rich=8, poor=4, captions=6, labels=3), "reproduced; captions +", ROBUST),
        (encoded(rich=8, poor=4, captions=4, labels=3), "differs; captions -", ROBUST),
        # nearness to one end says nothing where the ends are equal or reversed
        (encoded(rich=5, captions=0, labels=5), "undecided; captions ?", ROBUST),
        (encoded(rich=5, captions=1, labels=8), "undecided; captions ?", ROBUST),
        (encoded(rich=8, captions=6, labels=3), "undecided; captions ?"),
        (encoded(rich=8, captions=6), "not measured", ROBUST),
    ],
    "ER-order": [
        ((), "not measured"),
        ((), "not measured", five(("labels", 0, 0.01))),
        ((), "agrees so far; rich, labels +; rich, tuned +; tuned, labels +", ORDERED),
        ((), "undecided; [rich, labels +]; [rich, tuned +]; [tuned, labels +]", ORDERED | OTHERS),
        # no pair across pretraining sets, and a pair in two views counts once
        ((), "not measured", five(("poor", 0.1, 0), ("tuned", 0.2, 0))),
        ((), "agrees so far; rich, tuned +", robustness(five=FALLS, four=FALLS)),
        ((), "differs; rich, tuned -", robustness(five=FALLS, four=RISES)),
        # a gap within its error, and none at all; values of two views are never compared
        ((), "undecided; rich, tuned ?", five(("rich", 0.2, 0.02), ("tuned", 0.19, 0.01))),
        ((), "undecided; rich, tuned ?", five(("rich", 0.2, 0), ("tuned", 0.2, 0))),
        ((), "not measured",
         robustness(five=frame(("rich", 0.2, 0)), own=frame(("tuned", 0.1, 0)))),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "measurements", "expected", "more"),
    [(claim, *case, {})[:4] for claim, cases in CASES.items() for case in cases],
)
def test_rules(claim, measurements, expected, more):
    assert told(judged(claim, evidence(*measurements, **more))) == expected


def consistent(claim: str, true: bool, rng: np.random.Generator):
    """Measurements on two sets of images that all agree with a claim, or all contradict it.

    Half of them are too vague to say either.
    """
    far, near = rng.uniform(40, 90, 2), rng.uniform(2, 3, 2)

    def on_both(make, *of, **about):
        for model, value in of:
            for data in ("a", "b"):
                yield make(model, value, float(rng.choice([0.01, 500])), data=data, **about)

    def kurtoses(value, *models, **about):
        return [*on_both(kurtosis, *((model, value) for model in models), **about)]

    zero_shot, others = (far[0], near[0]) if true else (near[0], far[0])
    own, tuned, labels = (60, 20, 4) if true else (9, 70, 30)
    pruned = [under_shift(m, *rng.choice([0, -0.007], 2)) for m in ("rich", "poor")]
    return {
        "K-zero-shot": kurtoses(zero_shot, "rich", "poor") + kurtoses(1.5, "drawn"),
        "K-others": kurtoses(others, "tuned", "labels"),
        "K-openai": kurtoses(90, "rich") + kurtoses(20 if true else 80, "poor"),
        "K-indicator": kurtoses(others, "labels", "captions", outliers=[1]),
        "D-privileged": [*on_both(importance, ("rich", own), ("poor", own), ("drawn", 12),
                                  ("tuned", tuned), ("labels", labels), head=IMAGENET)],
        "P-80": pruned
        if true
        else [*on_both(pruning, ("rich", -0.05), ("poor", -0.07), head=IMAGENET)],
    }[claim]  # fmt: skip


@pytest.mark.parametrize("true", [True, False])
@pytest.mark.parametrize(
    "claim", ["K-zero-shot", "K-others", "K-openai", "K-indicator", "D-privileged", "P-80"]
)
def test_a_consistent_measurement_never_makes_a_verdict_less_certain(claim, true):
    certainty = ["not measured", "undecided", "agrees so far", "reproduced"]
    certainty = certainty if true else [*certainty[:2], "differs"]
    rng, reached = np.random.default_rng(0), set()
    for _ in range(60):
        known = rng.permutation(np.array(consistent(claim, true, rng), dtype=object))
        outcomes = [judged(claim, evidence(*known[:n], **ROBUST)).outcome
                    for n in range(len(known) + 1)]  # fmt: skip
        ranks = [certainty.index(outcome) for outcome in outcomes]
        assert ranks == sorted(ranks), outcomes
        reached |= {outcomes[-1]}
    assert reached & {*certainty[2:]}  # some evidence is enough


def test_features_before_the_projection_are_no_other_zero_shot_model():
    known = evidence(*kurtoses(rich=40, early=40, other=40, labels=9), **BEFORE)
    zero_shot = judged("K-zero-shot", known)
    assert ([*zero_shot.cases], zero_shot.covered) == (["rich"], 2)
    assert not {"early", "other"} & {*judged("K-indicator", known).cases}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (("meshed (texture)", "flecked", "car"), None, "agrees so far; rich +"),
        (("meshed", "car"), None, "undecided; rich ?"),
        (("car", "dog"), None, "differs; rich -"),
        ((), None, "undecided; rich ?"),  # names are not recorded
        (("meshed", "flecked"), 2, "reproduced; rich +; tuned +"),
        (("meshed", "flecked"), 3, "mixed; rich +; tuned -"),
    ],
)
def test_textures_are_those_that_the_paper_prints(before, after, expected):
    printed = {"names": {"one": ("meshed", "flecked", "dotted")}}
    claim = CLAIMS["D-texture"].model_copy(update=printed)
    known = [concepts("rich", 3, textures=3, top=before)]
    known += [] if after is None else [concepts("tuned", 3, textures=after)]
    assert told(judge(claim, evidence(*known))) == expected
    assert judged("D-texture", evidence(*known)).covered == 0  # nothing printed of this backbone


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("ab", "undecided; [rich +]"),  # first and second of seven
        ("af", "undecided; [rich ?]"),  # the sixth may be among five, as draws overlap
        ("eg", "undecided; [rich ?]"),  # the fifth may not, the last is not
        ("g", "undecided; [rich -]"),
    ],
)
def test_textures_ranked_among_themselves_stand_aside(printed, expected):
    """Seven textures, of which neighbours from the fifth on change places with the draws."""
    along = np.array([0.95, 0.93, 0.91, 0.89, 0.80, 0.79, 0.5])
    half = np.array([0.005, 0.005, 0.005, 0.005, 0.02, 0.02, 0.005])
    ranked = measured(
        "rich", "textures", data="textures", names={"along_top": list("abcdefg")},
        along_top=along.tolist(), along_top_lowest=(along - half).tolist(),
        along_top_highest=(along + half).tolist(), per_direction=[0.9, 0.8, 0.95],
        top_direction=1,
    )  # fmt: skip
    claim = CLAIMS["D-texture"].model_copy(update={"names": {"one": tuple(printed)}})
    verdict = judge(claim, evidence(ranked))
    assert told(verdict) == expected
    assert verdict.of("among_textures")["rich"].value == sum(name in "abcde" for name in printed)
    assert verdict.of("directions_better")["rich"].value == 2
    probed = judge(claim, evidence(ranked, concepts("rich", 3, top=(printed[0],))))
    assert "[" not in told(probed)  # the probe that the claim asks for goes before


def plain(verdict):
    """A verdict without the order of its cases and numbers."""
    return replace(verdict, numbers=tuple(sorted(map(str, verdict.numbers))))


def test_the_order_of_models_and_measurements_never_matters():
    measurements = [
        RICH, POOR, LOW, kurtosis("rich", 30, data="a"), kurtosis("tuned", 4, data="a"),
        kurtosis("tuned", 9, data="b"), kurtosis("drawn", 3), kurtosis("labels", 5.5),
        importance("rich", 20, data="a"), importance("rich", 9, data="b", classes=1000),
        importance("poor", 30), importance("tuned", 19, data="a"), importance("labels", 21),
        importance("drawn", 12, data="a"), pruning("rich", -0.05), pruning("poor", 0),
        under_shift("rich", 0, 0), concepts("rich", 5, halves=(0, 2)), concepts("labels", 3),
        concepts("tuned", 4, first=1), concepts("captions", 4), concepts("poor", 6),
    ]  # fmt: skip
    views = {"five": FIVE, "four": frame(("tuned", 0.1, 0.06), ("rich", 0.2, 0.01))}
    fits = pd.DataFrame({"v2": ["mean", "top"], "kinds": "all", "models": [9, 8],
                         "slope": [0.76, 0.8], "intercept": [-1.487, -1.4], "r": 0.99})  # fmt: skip
    draw = np.random.default_rng(0)
    seen = []
    for _ in range(12):
        models = [ONE.models[i] for i in draw.permutation(len(ONE.models))]
        of = ONE.model_copy(update={"models": tuple(models)})
        known = evidence(
            *(measurements[i] for i in draw.permutation(len(measurements))), of=of,
            robustness={view: rows.sample(frac=1, random_state=int(draw.integers(99)))
                        for view, rows in views.items()}, fits=fits.sample(frac=1),
        )  # fmt: skip
        seen.append({name: plain(one) for name, one in judge_all(known, CLAIMS).items()})
    assert sum(verdict.outcome != "not measured" for verdict in seen[0].values()) >= 12
    assert all(each == seen[0] for each in seen)


def test_a_difference_of_counts_carries_its_interval():
    verdict = judged("C-more", evidence(concepts("rich", 5, halves=(0, 2)), concepts("tuned", 4)))
    (more,) = verdict.of("more").values()
    half = 1.96 * np.std([1, 3], ddof=1)
    assert (more.value, more.low, more.high) == pytest.approx((1, 1 - half, 1 + half), rel=1e-4)


@pytest.mark.parametrize(
    ("low", "high", "known", "outcome"),
    [
        (0.062, 0.367, "prl", "reproduced"),
        (0.059, 0.367, "prl", "mixed"),
        (0.062, 0.367, "pl", "undecided"),  # the missing model may lie beyond
        (0.3, 0.31, "pr", "undecided"),  # two models from the middle contradict nothing
        (0.059, 0.367, "pl", "differs"),  # a missing one can only widen the range
        (0.062, 0.2, "prl", "mixed"),
        (0.062, 0.39, "pl", "differs"),
    ],
)
def test_the_range_and_whose_it_is(low, high, known, outcome):
    rows = pd.concat([frame(("poor", low, 0.01)), frame(("rich", 0.15, 0.01))])
    rows = pd.concat([rows, rows[:1].assign(name="large", family="vit_l_14", er=high)])
    rows = rows[[name[0] in known for name in rows["name"]]]
    large = family("vit_l_14", ("large", "zero_shot", "OpenAI"))
    both = Evidence({"one": ONE, "vit_l_14": large}, robustness={"five": rows})
    assert judged("ER-range", both).outcome == outcome
    if outcome == "reproduced":
        other = replace(both, robustness={"five": rows.assign(family="one")})
        assert told(judged("ER-range", other)) == "mixed; highest -; lowest +"
        part = {"five": rows[:2], "own": rows[2:]}  # without a published value the own one counts
        assert judged("ER-range", replace(both, robustness=part)).outcome == "reproduced"
    assert judged("ER-range", replace(both, robustness={})).outcome == "not measured"


def test_one_choice_of_fit_has_to_agree():
    fits = pd.DataFrame({"v2": ["mean", "threshold"], "kinds": "all", "models": [9, 8],
                         "slope": [0.76, 0.8], "intercept": [-1.487, -1.4], "r": 0.99})  # fmt: skip
    agrees, differs = (judged("ER-fit", evidence(fits=part)) for part in (fits, fits[1:]))
    assert (agrees.outcome, differs.outcome) == ("reproduced", "differs")
    assert agrees.of("slope").keys() == {"V2 mean, all but more data"}
    assert differs.of("intercept")["V2 threshold, all but more data"].value == -1.4  # the nearest
    assert judged("ER-fit", evidence()).outcome == "not measured"


def test_every_claim_has_a_rule_and_a_claim_without_one_is_an_error():
    assert RULES.keys() == CLAIMS.keys()
    with pytest.raises(ClaimError, match=r"no rule judges claim new"):
        judge(CLAIMS["P-80"].model_copy(update={"id": "new"}), evidence())


def test_verdicts_as_plain_data_say_coverage_apart_from_agreement():
    inferred = kurtosis("poor", 3, inferred="by its size")
    verdict = judged("K-zero-shot", evidence(RICH, inferred, CONTROL))
    (row,) = rows({"K-zero-shot": verdict})
    assert row["outcome"] == "agrees so far"
    assert row["coverage"] == {"measured": 1, "of": 2, "unit": "models"}
    assert row["agreement"] == {"holds": 1, "fails": 0, "undecided": 0}
    assert row["aside"] == {"inferred": {"holds": 0, "fails": 1, "undecided": 0}}
    assert row["cases"]["poor"] == {"result": "fails", "aside": "inferred"}
    assert {"name": "low_kurtosis", "value": pytest.approx(32.8), "unit": "dimensionless",
            "of": "rich", "data": "imagenet"} in row["numbers"]  # fmt: skip
    said = [*lines({"K-zero-shot": verdict})]
    assert [said[0][17:30], said[0][31:]] == [
        "agrees so far",
        "1 of 2 models measured, 1 agrees; 1 model of inferred identity: 1 differs",
    ]
    assert said[1].split()[:3] == ["kurtosis", "40", "(39.01"]
    assert badge(verdict).startswith("[agrees so far]{.verdict-agrees-so-far} [1 of 2 models")


def test_the_command_prints_every_claim(capsys, tmp_path):
    assert cli.main(["claims"]) == 0
    text = capsys.readouterr().out
    assert [line.split()[0] for line in text.splitlines() if line[0] != " "] == [*CLAIMS]
    assert cli.main(["claims", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["outcome"] for row in told] == [line[17:30].strip() for line in text.splitlines()
                                                if line[0] != " "]  # fmt: skip
    for folder in ("no-folder", str(tmp_path)):
        assert cli.main(["claims", "--measurements", folder]) == 1
        assert f"{folder} is no folder of measurements: give one" in capsys.readouterr().err


@pytest.fixture(scope="module")
def published():
    return gather("paper", experiments=("accuracy",)).robust


@pytest.mark.parametrize(
    ("model", "view", "robust"),
    [
        ("rn50-openai", "five", True),
        ("vit_l_14-openai", "five", True),
        ("rn50-supervised", "five", False),
        ("vit_b_32-supervised", "four", None),  # its interval contains what ordinary models have
        ("vit_b_16-supervised", "four", False),
        ("vit_l_14-supervised", "four", None),
        ("vit_b_32-openai-finetuned", "four", True),  # as the atlas says of the same model
        ("vit_b_16-openai-finetuned", "four", True),
        ("vit_l_14-openai-finetuned", "four", True),
        ("rn50-yfcc15m", "five", None),  # hardly any is
    ],
)
def test_no_model_is_robust_for_its_accuracy_alone(published, model, view, robust):
    assert (published[model].view, published[model].robust) == (view, robust)


def test_hardly_any_ordinary_model_is_called_robust():
    """Of the baseline's models, a sixth of which lie above the line beyond their sets' error."""
    five = view("five")
    er = effective_robustness(five.pool["shifted"], five.pool["imagenet"], five.reference)
    judged = beside_ordinary(five.pool.assign(er=er, low=er, high=er), five)
    judged = judged.dropna(subset=["excess"])
    assert len(judged) > 200 and (judged["excess_low"] > judged["limit"]).mean() < 0.04


def test_measurements_of_a_folder_are_judged_alone(tmp_path):
    (tmp_path / "pruning").mkdir()
    known = gather("paper", tmp_path)
    assert not known.measurements and not known.concepts
    assert judged("K-others", known).outcome == "not measured"
    verdict = judged("ER-range", known)
    assert verdict.outcome == "reproduced"  # from published accuracies
    refitted = [verdict.of(f"refitted_{end}")["line"].value for end in ("lowest", "highest")]
    assert refitted == pytest.approx([0.0698, 0.3856], abs=5e-5)  # computed apart, by np.polyfit


@pytest.fixture(scope="module")
def known():
    return evidence(
        RICH, POOR, LOW, kurtosis("drawn", 2.9, 0), importance("rich", 36),
        importance("drawn", 16), pruning("rich", -0.02, head=IMAGENET),
        pruning("poor", -0.5, data="coco"), kurtosis("stand-in", 29.7),
        under_shift("rich", 0, 0), concepts("rich", 5), concepts("tuned", 4, textures=2),
        concepts("labels", 1), robustness={"five": FIVE, "own": frame(("poor", 0.1, 0.01))},
        misread=pd.DataFrame({"name": ["poor"], "er": [0.081]}),
        others={"other": family("other", ("stand-in", "supervised", "labels"))},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "texts"),
    [
        ("K-zero-shot", ["| ONE, zero-shot, OpenAI | ImageNet (validation) | 40.0 (39.0 to 41.0) |",
                         "| ONE, random weights | ImageNet (validation) | 2.90 (2.90 to 2.90) |",
                         "2 of 2 models measured, all agree", "2 of these sets are"]),
        ("K-others", ["| OTHER, supervised, labels |", "| 29.7 (28.7 to 30.7) |", "below 6"]),
        ("K-openai", ["| ONE, zero-shot, OpenAI against zero-shot, YFCC-15M |",
                      "(3.06 to 3.63) |"]),
        ("K-captions", ["+1.0 (−1.0 to +3.0) | +1.0 (−1.0 to +3.0) | 12 |"]),
        ("D-privileged", ["| 180 |", "| 36.0 (35.9 to 36.1) |"]),
        ("K-indicator", ["2 are robust and have outlier features"]),
        ("ER-range", ["| +8.1 |"]),
        ("P-80", ["−1%", "two", "| 50.0 |", "| −2.0 (−4.0 to −0.0) |", "coco",
                  "+0.0 (−0.5 to +0.5)"]),
        ("C-more", ["finetuned, OpenAI |"]),
        ("C-overlap", ["| ONE, finetuned, OpenAI | 4 | 4 |", "| 100.0 |"]),
        ("ER-fit", ["Not measured. It needs: "]),
    ],
)  # fmt: skip
def test_cards_show_a_verdicts_numbers_as_one_table(claim, texts, known):
    said = card(CLAIMS[claim], judged(claim, known), known)
    for text in texts:
        assert text in said
    assert "{ref}" not in said.replace("{ref}`what robust means", "") and "nan" not in said
    assert said.startswith(":::{div} claim-card") and said.endswith(f"{{bearing}}`{claim}`\n:::")


def test_a_card_says_where_its_verdict_flips(known):
    assert (
        flips(CLAIMS["K-zero-shot"], known)
        == "*reproduced* at 3.5 to 10, *agrees so far* at 12, *mixed* at 15 to 30."
    )
    assert flips(CLAIMS["ER-order"], known) == flips(CLAIMS["K-others"], evidence()) == ""


@pytest.mark.parametrize(
    ("claim", "known", "expected"),
    [
        ("K-zero-shot", evidence(RICH, POOR, CONTROL), "2 of 2 models measured, all agree"),
        ("K-zero-shot", evidence(RICH, CONTROL), "1 of 2 models measured, 1 agrees"),
        ("K-zero-shot", evidence(), "none of 2 models"),
        ("K-zero-shot", evidence(INFERRED, CONTROL),
         "none of 2 models; 1 model of inferred identity: 1 agrees"),
        ("ER-order", evidence(**ORDERED | OTHERS),
         "none of the paper's own pairs; 3 stand-in pairs: all agree"),
        ("K-indicator", evidence(RICH, LOW, **ROBUST),
         "1 of 4 models measured, 1 agrees; 1 robust model, which cannot test the claim"),
    ],
)  # fmt: skip
def test_a_badge_is_a_sentence(claim, known, expected):
    assert sentence(judged(claim, known)) == expected


def test_cards_of_the_papers_printed_numbers():
    known = Evidence(load_families("paper"))
    for name, numbers in {"C-more": "| RN50 | 89 |", "C-overlap": "| RN50 | 93.9 | 82.6 |"}.items():
        said = card(CLAIMS[name], judged(name, known), known)
        assert "verdict-not-measured" in said and numbers in said


def test_the_pocket_lab_is_judged_by_the_same_rules():
    known = evidence(RICH, POOR, LOW, CONTROL, **ROBUST)
    said = {n: brief(CLAIMS[n], judged(n, known)) for n in ("K-zero-shot", "K-captions", "P-80")}
    assert said["K-zero-shot"].endswith("[2 of 2 models measured, all agree]{.coverage}")
    assert "the comparison separates nothing" in said["K-captions"]
    assert said["P-80"].startswith("[not measured]")
