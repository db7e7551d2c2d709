"""Made-up evidence: what measurements of the paper's models could find, if so much is true.

One generator for each kind of measurement; the arguments say what is true. Nothing here knows a
rule. Which worlds there are, and what is wrong in each, `worlds` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.families.registry import Family, Level, Model, load_families
from analysis.metrics import directions
from analysis.metrics.robustness import NORMAL_95, is_robust
from companion.claims.evidence import Evidence
from companion.measurements.measurement import IMAGENETS_CLASSES, Measurement

Rng = np.random.Generator
Floats = NDArray[np.float64]
Coin = Literal["model", "pretraining", "level"]
#: What is true of a model, by its name, a zero-shot one's pretraining, or its level.
Truth = Mapping[str, float]


# The models


@cache
def families() -> dict[str, Family]:
    """The paper's backbones, as if its own models were all public and end in the projection."""
    own: dict[str, Any] = {"stand_in": False, "library": "open_clip", "published": ()}
    return {
        name: family.model_copy(
            update={
                "models": tuple(
                    m.model_copy(update=own) for m in family.models if m.is_one and not m.own_layer
                )
            }
        )
        for name, family in load_families("paper").items()
    }


def true_of(truth: Truth) -> Iterator[tuple[str, Model, float]]:
    """Each model of which something is true, with its family's name: by name, then level."""
    for name, family in families().items():
        for model in family.models:
            keys = [model.name, model.pretraining, model.level]
            if model.level != "zero_shot":
                del keys[1]
            if found := [truth[key] for key in keys if key in truth]:
                yield name, model, found[0]


def measured(
    experiment: str,
    family: str,
    model: Model,
    values: Mapping[str, Any],
    data: str = "imagenet",
    images: int = 200,
    classes: int = 1000,
    names: Mapping[str, Sequence[str]] | None = None,
) -> Measurement:
    """A measurement with these values and nothing else, unchecked."""
    content: dict[str, Any] = {
        "experiment": experiment,
        "family": family,
        "model": model.name,
        "level": model.level,
        "data": SimpleNamespace(name=data, is_whole=True),
        "counts": {"images": images, "components": 1000, "classes": classes},
        "values": {name: SimpleNamespace(unit="", value=value) for name, value in values.items()},
        "names": names or {},
        "provenance": SimpleNamespace(inferred="", head_classes=IMAGENETS_CLASSES),
    }
    return Measurement.model_construct(**content)


def robustness(rng: Rng, truth: Truth, half: float, limit: float = 0.05) -> pd.DataFrame:
    """Effective robustness in one view, ± half the interval; ordinary models have up to a limit."""
    rows = []
    for family, model, true in true_of(truth):
        er = rng.normal(true, half / NORMAL_95)
        ends = er - half, er + half
        row: dict[str, Any] = {"family": family, "name": model.name, "level": model.level}
        row |= {"pretraining": model.pretraining, "er": er, "low": ends[0], "high": ends[1]}
        row |= {"excess": er, "excess_low": ends[0], "excess_high": ends[1], "limit": limit}
        robust = is_robust(*ends, limit)
        rows.append(row | {"ordinary_models": 100, "robust": robust, "answers": ()})
    return pd.DataFrame(rows)


# What measurements find


def kurtosis(
    rng: Rng,
    kappa: Truth,
    robust: Truth | None = None,
    outliers: Sequence[str] = (),
    share: float | None = None,
    coin: Coin = "model",
    images: int = 200,
    spread: float = 0.5,
    few: bool = False,
    sets: int = 1,
    copies: int = 1,
    views: int = 1,
    counted: bool = True,
    half: float = 0.01,
) -> Evidence:
    """κ of images, skewed (log-normal): its mean by model, its spread over the mean.

    ``outliers``: which levels, or models, have a coordinate far above the mean one. ``share``: how
    probably any model has outlier features, by chance, in place of ``outliers``, with one ``coin``
    for each model, pretraining set or level. ``few``: two in a hundred images carry half of κ.
    ``copies``: how often each image is repeated; ``views``: of how many almost equal pictures it is
    one, which the file knows if they were ``counted``.
    """
    taken = []
    sigma = np.sqrt(np.log1p(spread**2))
    for family, model, mean, far in _with_outliers(rng, kappa, outliers, share, coin):
        for number in range(1 if model.level == "random" and sets == 1 else sets):
            drawn = np.exp(rng.normal(np.log(mean) - sigma**2 / 2, sigma, images // views))
            drawn = np.repeat(drawn, views)
            if few:
                drawn = drawn * np.where(rng.random(images) < 0.02, 25, 0.5 / 0.98)
            repeated = np.tile(drawn, copies)
            values: dict[str, Any] = {
                "kurtosis_mean": drawn.mean(),
                "kurtosis_standard_error": repeated.std(ddof=1) / np.sqrt(len(repeated)),
                "kurtosis_percentiles": np.sort(drawn)[np.arange(101) * (images - 1) // 100],
                "outlier_coordinates": np.arange(int(far)),
                "distinct_images": images,
            }
            values |= {"scenes": images // views} if views > 1 and counted else {}
            data = "imagenet" if sets == 1 else f"set{number}"
            about: dict[str, Any] = {"data": data, "images": images * copies}
            taken.append(measured("outlier_features", family, model, values, **about))
    seen = {"five": robustness(rng, robust, half)} if robust else {}
    return Evidence(families(), taken, seen)


def _with_outliers(
    rng: Rng, kappa: Truth, outliers: Sequence[str], share: float | None, coin: Coin
) -> Iterator[tuple[str, Model, float, bool]]:
    """Family, model, its true mean of κ (30 if high by chance), and whether a coordinate is far."""
    coins: dict[tuple[str, ...], bool] = {}
    for family, model, mean in true_of(kappa):
        by_chance = False
        if share is not None and model.level != "random":
            told = {"model": (model.name,), "pretraining": (model.level, model.pretraining)}
            side = told.get(coin, (model.level,))
            by_chance = coins[side] = coins[side] if side in coins else rng.random() < share
        far = by_chance or model.level in outliers or model.name in outliers
        yield family, model, 30.0 if by_chance else mean, far


def importance(
    rng: Rng, largest: Truth, images: int = 200, spread: float = 1.0, sets: int = 1
) -> Evidence:
    """The largest importance, head and images centred, with its standard error over images."""
    taken = []
    for family, model, true in true_of(largest):
        for number in range(sets):
            error = true * spread / np.sqrt(images)
            found = _directions(max(1.0, rng.normal(true, error)), error)
            data = "imagenet" if sets == 1 else f"set{number}"
            taken.append(measured("privileged_directions", family, model, found, data, images))
    return Evidence(families(), taken)


def gauge(rng: Rng, images: int = 60, width: int = 16, classes: int = 20) -> Evidence:
    """Random heads and images of every model, far from the origin: a constant that says nothing."""
    taken = []
    for family, model, _ in true_of(dict.fromkeys(("zero_shot", "supervised", "random"), 0)):
        shift = 30 * rng.normal(size=width)
        features = (rng.normal(size=(images, width)) + shift).astype(np.float32)
        head = rng.normal(size=(classes, width)) + shift
        both = directions.centred_importance(features, head)
        found = _directions(float(both.importance.max()), both.error)
        taken.append(measured("privileged_directions", family, model, found, images=images))
    return Evidence(families(), taken)


def _directions(largest: float, error: float) -> dict[str, Any]:
    centred = np.array([largest, 1.0])
    return {
        "importance": centred,
        "importance_head_centred": centred,
        "importance_centred": centred,
        "importance_centred_error": error,
    }


def pruning(
    rng: Rng,
    accuracy: float | Truth,
    robust: float | None = None,
    images: int = 50_000,
    whole: float = 0.6,
    random: float = 0.2,
    sets: int = 1,
    between: float = 0.0,
) -> Evidence:
    """Changes of accuracy with a fifth of the directions kept, and of robustness where given.

    A tenth of the predictions changes between right and wrong, fewer where all are at chance.
    ``between``: how far true changes of models lie to either side of what is given, at most.
    """
    truth = accuracy if isinstance(accuracy, Mapping) else {"zero_shot": accuracy}
    error = np.sqrt(min(0.1, 2 * whole) / images)
    taken = []
    for family, model, mean in true_of(truth):
        true = mean + rng.uniform(-between, between) if between else mean
        for number in range(sets):
            inside = rng.normal(true, error)
            if robust is None:
                data = "imagenet" if sets == 1 else f"set{number}"
                found = _accuracies(inside, error, whole, random)
                m = measured("pruning", family, model, found, data, images)
                m.counts["components"] = 5  # all of the head's directions have weight
                taken.append(m)
                continue
            shifted = rng.normal(robust, 1.5 * error), 1.5 * NORMAL_95 * error
            found = _changes((inside, NORMAL_95 * error), shifted, whole, random)
            taken.append(measured("pruning_under_shift", family, model, found))
    return Evidence(families(), taken)


def _accuracies(inside: float, error: float, whole: float, random: float) -> dict[str, Any]:
    return {
        "accuracy_importance": np.full(5, whole),
        "accuracy_random": np.full(5, random),
        "difference_importance": np.r_[inside, np.zeros(4)],
        "difference_importance_error": np.full(5, error),
    }


def _changes(
    inside: tuple[float, float], robust: tuple[float, float], whole: float, random: float
) -> dict[str, Any]:
    curves = {
        f"{part}_change_importance": np.array([[v, 0], [v - half, 0], [v + half, 0]])
        for part, (v, half) in {"inside": inside, "robustness": robust}.items()
    }
    return curves | {
        "kept": np.array([200, 1000]),
        "inside_importance": np.array([[whole + inside[0], whole], [0, 0], [1, 1]]),
        "inside_random": np.array([[random, whole], [0, 0], [1, 1]]),
    }


# Concepts

#: Concepts of the made-up probe, all frequent, and the textures among them (Broden's numbers).
CONCEPTS, TEXTURES, TOP = 1197, 47, 5


def concepts(
    rng: Rng,
    counts: Truth,
    error: float = 12.0,
    halves: int = 30,
    robust: Truth | None = None,
    half: float = 0.01,
) -> Evidence:
    """How many concepts are encoded, with the error that halves of the images estimate."""
    taken = []
    for family, model, true in true_of(counts):
        count = int(np.clip(round(rng.normal(true, error)), 0, CONCEPTS))
        best = np.where(np.arange(CONCEPTS) < count, 0.95, 0.5)
        repeated = rng.normal(count, error, halves)
        taken.append(_probed(family, model, best, unique_halves=repeated))
    views = {"five": robustness(rng, robust, half)} if robust else {}
    return Evidence(families(), taken, views)


def overlap(
    rng: Rng,
    share: float,
    supervised: float,
    encoded: int = 360,
    alike: int = 1,
    found: int | None = None,
) -> Evidence:
    """Which concepts of the finetuned models others encode, by groups of so many alike ones.

    ``found``: of how many the groups are that the file knows, if not of all that are alike.
    """
    taken = []
    group, known = np.arange(CONCEPTS) // alike, np.arange(CONCEPTS) // (found or alike)
    probabilities: dict[Level, float] = {"zero_shot": share, "supervised": supervised}
    for level, probability in {**probabilities, "finetuned": 1.0}.items():
        for family, model, _ in true_of({level: 0.0}):
            flags = (rng.random(group[-1] + 1) < probability)[group]
            flags &= np.arange(CONCEPTS) < encoded
            taken.append(_probed(family, model, np.where(flags, 0.95, 0.5), groups=known))
    return Evidence(families(), taken)


def textures(
    rng: Rng,
    printed: Mapping[str, Sequence[str]],
    named: bool,
    before: float,
    after: float,
) -> Evidence:
    """The five top concepts: the printed names are all among them, or five are drawn at random.

    ``before``, ``after``: how probably each of the others is a texture, and each one later.
    """
    taken = []
    for family, model, _ in true_of({"zero_shot": 0.0, "finetuned": 0.0}):
        if "OpenAI" not in model.pretraining or family not in printed:
            continue
        names = [*printed[family]] if named and model.level == "zero_shot" else []
        share = before if model.level == "zero_shot" else after
        found = len(names) + int((rng.random(TOP - len(names)) < share).sum())
        if not named and model.level == "zero_shot":
            kinds = [*printed[family], *(f"other {n}" for n in range(TEXTURES - 3))]
            chosen = rng.choice(np.array([*kinds, *[""] * (CONCEPTS - len(kinds))]), TOP, False)
            names, found = [*chosen], int((chosen != "").sum())
        top = [*names, *["else"] * TOP][:TOP]
        more = {"top_textures": found, "top_concepts": np.arange(TOP)}
        best = np.full(CONCEPTS, 0.5)
        taken.append(_probed(family, model, best, {"top_concepts": top}, **more))
    return Evidence(families(), taken)


def _probed(
    family: str,
    model: Model,
    best: Floats,
    names: Mapping[str, Sequence[str]] | None = None,
    **more: Any,
) -> Measurement:
    halves = len(more.get("unique_halves", ()))
    values = {
        "threshold": 0.9,
        "lower_threshold": 0.8,
        "positives": _POSITIVES,
        "frequent_positives": 40,
        "directions": 500,
        "best": best,
        "unique_draws": np.array([(best > 0.9).sum()]),
        "unique_random": np.array([10.0]),
        "lower_draws": np.zeros(1),
        "best_draws": np.zeros(1),
        "lower_random": np.zeros(1),
        "best_random": np.zeros(1),
        "lower_halves": np.zeros(halves),
        "best_halves": np.zeros(halves),
    }
    about: dict[str, Any] = {"data": "broden", "names": names}
    return measured("concepts", family, model, values | more, **about)


_POSITIVES = np.full(CONCEPTS, 50)


# Effective robustness


def order(
    rng: Rng,
    robust: Truth,
    half: float = 0.006,
    views: Sequence[str] = ("five",),
    evaluators: float = 0.0,
) -> Evidence:
    """Effective robustness by level, in views whose errors are independent.

    ``evaluators``: the standard error that all models of one level share, evaluated by one person.
    """
    if evaluators:
        robust = {level: rng.normal(value, evaluators) for level, value in robust.items()}
    return Evidence(families(), (), {view: robustness(rng, robust, half) for view in views})


def ends(
    rng: Rng,
    lowest: float,
    highest: float,
    lowest_of: str = "YFCC-15M",
    highest_of: str = "vit_l_14",
    shuffled: bool = False,
    evaluations: float = 0.002,
    rounding: float = 0.005,
) -> Evidence:
    """Zero-shot models between two ends, whose values were rounded and are evaluated by others."""
    models = [(family, model) for family, model, _ in true_of({"zero_shot": 0.0})]
    inner = np.sort(rng.uniform(lowest + 0.02, highest - 0.02, len(models)))
    low = next(n for n, (_, m) in enumerate(models) if lowest_of in (m.pretraining, m.level))
    high = max(n for n, (family, _) in enumerate(models) if family == highest_of)
    inner[low], inner[high] = np.array([lowest, highest]) + rng.uniform(-rounding, rounding, 2)
    values = rng.permutation(inner) if shuffled else inner
    truth = {model.name: value for (_, model), value in zip(models, values, strict=True)}
    rows = robustness(rng, truth, NORMAL_95 * evaluations)
    return Evidence(families(), (), {"five": rows})


def fit(
    rng: Rng,
    slope: float | None,
    intercept: float | None,
    evaluations: float = 0.0001,
) -> Evidence:
    """Eight fits of which one has the true constants; the others scatter as this book's do.

    Three are of the same pool on other variants of ImageNet-V2, four of another pool. Without
    constants they are drawn about the printed ones: another line.
    """
    true = np.array([slope or rng.normal(0.76, 0.04), intercept or rng.normal(-1.49, 0.06), 0.99])
    variants = rng.normal(size=(8, 3)) * [0.003, 0.06, 0.001]
    variants[0] = 0
    pool = np.repeat([[0, 0, 0], [0.25, -0.3, -0.02]], 4, axis=0)
    fits = true + variants + pool + evaluations * rng.normal(size=(8, 3)) * [1, 1, 0.2]
    table = pd.DataFrame(fits, columns=["slope", "intercept", "r"])
    names = [f"choice {n}" for n in range(len(table))]
    return Evidence(families(), (), fits=table.assign(v2=names, kinds="all", models=100))


GENERATORS: dict[str, Callable[..., Evidence]] = {
    "kurtosis": kurtosis,
    "importance": importance,
    "gauge": gauge,
    "pruning": pruning,
    "concepts": concepts,
    "overlap": overlap,
    "textures": textures,
    "order": order,
    "ends": ends,
    "fit": fit,
}
