"""Encoders whose features others published, put together for the pages that compare them.

A row is one model on one image set. ``told`` names a model by backbone and pretraining set, and
says where it is inferred which model it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from analysis.features.published import table
from companion.claims.ledger import Interval
from companion.measurements.measures import counts_of
from companion.measurements.records import Measurement
from companion.publish import dots, overview, style, words
from companion.publish.charts import pruned
from companion.publish.dots import Row
from companion.publish.style import Drawing, digits, minus, percent, points, span

INFERRED = "(inferred)"
#: Of figures of outlier features: the axis, what stands at the right, the Gaussian's kurtosis.
AXIS, HEADING, GAUSSIAN = "activation kurtosis κ (log scale)", "leader, leads in", 3
#: Lowest and highest mean κ that are known of a model from public features that are not recorded.
KNOWN_RANGE = {"ViT-B/32 OpenAI": (30, 165)}
#: Shares of a head's directions that are kept, for a table.
KEPT = (1, 0.5, 0.4, 0.3, 0.2, 0.1)


def outliers() -> dict[str, list[Measurement]]:
    """Outlier features by model, of the paper's families and the contrasts, on images.

    Models in the order of their families, image sets in that of `data/embeddings.yaml`. Features
    before the projection are no other encoder, and left out.
    """
    found: dict[str, list[Measurement]] = {}
    for m in overview.known("outlier_features", "paper", "contrast"):
        if "captions" not in m.data.name and not words.whose(m)[1].own_layer:
            found.setdefault(m.model, []).append(m)
    return {model: _in_order(own) for model, own in found.items()}


def _in_order(found: Sequence[Measurement]) -> list[Measurement]:
    """In the order of `data/embeddings.yaml`, others last."""
    order = {(one.model, one.data): place for place, one in enumerate(table().embeddings)}
    return sorted(found, key=lambda m: order.get((m.model, m.data.name), len(order)))


def one_set_each(found: Sequence[Measurement]) -> list[Measurement]:
    """Of several image sets of a model the first of `data/embeddings.yaml`, and its captions.

    What is not listed there, a reader's own, goes before.
    """
    listed = {(one.model, one.data) for one in table().embeddings}
    own = sorted(_in_order(found), key=lambda m: (m.model, m.data.name) in listed)
    first: dict[tuple[str, bool], Measurement] = {}
    for m in own:
        first.setdefault((m.model, "captions" in m.data.name), m)
    return [m for m in found if m in first.values()]


def told(m: Measurement) -> str:
    """Backbone and pretraining set, or level where it is not zero-shot; inferred if it is."""
    family, model = words.whose(m)
    if family.edition == "pocket":
        return f"{family.title}, {model.title}"
    what = model.pretraining.split()[0] if m.level == "zero_shot" else model.title
    title = family.title if family.edition == "contrast" else f"{family.title} {what}"
    return f"{title} {INFERRED}" if m.provenance.inferred else title


def outlier_row(m: Measurement) -> tuple[Row, str]:
    """κ with the middle 90 % of single images; the leader, and how often it leads."""
    low, high = m.value("kurtosis_percentiles")[[5, 95]].tolist()
    leader, leading = m.value("persistence_coordinate"), m.value("persistence_fraction")
    row = Row(titled(m), m.level, float(m.value("kurtosis_mean")), low, high)
    return row, f"{leader}, {words.share(leading)}"


def seven(found: Iterable[Measurement]) -> Drawing:
    """Outlier features, a row for each measurement."""
    return dots.noted([*map(outlier_row, found)], AXIS, HEADING, GAUSSIAN)


def titled(m: Measurement) -> str:
    """Model and images; that a model is inferred is said once."""
    return f"{told(m)}: {m.data.title.removesuffix(' (model inferred)')}"


def with_imagenets_head(found: Sequence[Measurement]) -> list[Measurement]:
    """Those of zero-shot models with the published 80-template head, on one set of each model."""
    heads = {(one.model, one.data) for one in table().embeddings if one.head}
    return one_set_each([m for m in found if (m.model, m.data.name) in heads])


def beside_robustness(
    found: Mapping[str, Sequence[Measurement]], intervals: Mapping[str, Interval]
) -> dict[str, list[Row]]:
    """Zero-shot models by falling effective robustness: it, and κ on the first of their image sets.

    The interval of κ: from the lowest to the highest mean of the model's image sets.
    """
    models = [own for name, own in found.items() if name in intervals]
    robust, kurtosis = [], []
    for own in sorted(models, key=lambda own: -intervals[own[0].model].value):
        title, er = told(own[0]), intervals[own[0].model]
        means = [float(m.value("kurtosis_mean")) for m in own]
        robust.append(Row(title, own[0].level, 100 * er.value, 100 * er.low, 100 * er.high))
        kurtosis.append(Row(title, own[0].level, means[0], min(means), max(means)))
    return {"effective robustness (points)": robust, "activation kurtosis κ": kurtosis}


def order_told(rows: Mapping[str, Sequence[Row]], count: int) -> str:
    """Whether κ has the order of effective robustness among these models, in sentences.

    ``count`` of them are robust: above what ordinary models of their accuracy reach. At the end
    what changes if a model's κ has the range that is known of it (`KNOWN_RANGE`).
    """
    robust, kurtosis = rows.values()
    known = [(er, k) for er, k in zip(robust, kurtosis, strict=True) if INFERRED not in k.title]
    pairs = [*combinations(known, 2)]  # by falling robustness
    alike, reverse, depends = _orders([k for _, k in known])
    told = (
        f"{'All' if count == len(robust) else count} of these {len(robust)} encoders are more "
        f"robust than their ImageNet accuracy predicts. Take the {len(known)} encoders whose "
        f"identity is certain. In {reverse} of their {len(pairs)} pairs the more robust encoder "
        f"has the lower κ on the image sets available, in {alike} the higher; in {depends} it "
        "depends on the image set."
    )
    against = [
        (er.value - less.value, k, other, er, less)
        for (er, k), (less, other) in pairs
        if er.low > less.high and k.high < other.low
    ]
    if against:
        _, k, other, er, less = min(against, key=lambda pair: pair[0])
        told += (
            f" {k.title} has a lower κ than {other.title} on each of these sets "
            f"({digits(k.high)} at most against {digits(other.low)} at least) and is the more "
            f"robust of the two ({points(er.value / 100)} against {points(less.value / 100)} "
            "points)."
        )
    for title, (low, high) in KNOWN_RANGE.items():
        wider = [k._replace(low=low, high=high) if k.title == title else k for _, k in known]
        if wider != [k for _, k in known]:
            alike, reverse, depends = _orders(wider)
            told += (
                f" On other image sets, not recorded here, {title} is known to have a κ from {low} "
                f"to {high}: with these the more robust encoder has the lower κ in {reverse} "
                f"pairs, the higher in {alike}, and {depends} depend on the set."
            )
    return minus(told)


def _orders(kurtosis: Sequence[Row]) -> tuple[int, int, int]:
    """Pairs of models by falling robustness: higher κ first, lower first, and undecided."""
    pairs = [*combinations(kurtosis, 2)]
    alike = sum(k.low > other.high for k, other in pairs)
    reverse = sum(k.high < other.low for k, other in pairs)
    return alike, reverse, len(pairs) - alike - reverse


def varies(found: Mapping[str, Sequence[Measurement]]) -> str:
    """What varies between image sets of one model and what does not, an item each."""
    told_of = []
    for own in found.values():
        if len(own) > 1:
            means = [m.value("kurtosis_mean") for m in own]
            leaders = list(dict.fromkeys(str(m.value("persistence_coordinate")) for m in own))
            least = min(m.value("persistence_fraction") for m in own)
            where = "every image" if least == 1 else f"at least {words.share(least)} of the images"
            same = "coordinate {} is" if len(leaders) == 1 else "coordinates {} are"
            told_of.append(
                f"{told(own[0])}, {len(own)} image sets: κ {span(means)}; "
                f"{same.format(' and '.join(leaders))} dominant in {where} of a set."
            )
    return style.items(told_of)


def contrasts_told(found: Sequence[Measurement]) -> str:
    """How many supervised contrasts have a κ above 6, and in how many of these one leads."""
    own = [m for m in found if m.level == "supervised"]
    high = [m for m in own if m.value("kurtosis_mean") > 6]
    led = [m for m in high if m.value("persistence_fraction") > 0.5]
    return (
        f"{len(high)} of the {len(own)} have a κ above 6 as well, and {len(led) or 'none'} of "
        f"these {'has' if len(led) < 2 else 'have'} a coordinate that is dominant in most images."
    )


def controls_told(found: Sequence[Measurement]) -> str:
    """The same as `controls` in a sentence, lowest to highest over models."""
    whole, head = span(m.value("importance").max() for m in found), "importance_head_centred"
    row = span(m.value(head)[0] for m in found)
    image, drawn, other = (
        span(m.value(f"control_{name}") for m in found)
        for name in ("centred_features", "random_features", "random_head")
    )
    return (
        f"The largest importance is {whole} times the mean, {row} with a mean-centred head, "
        f"{image} with mean-centred images, {drawn} with random features and {other} with a random "
        "head."
    )


def ranks(found: Sequence[Measurement]) -> str:
    """How many directions heads have, in words."""
    return "; ".join(
        f"{told(m)} has {len(m.value('accuracy_importance'))} directions for "
        f"{m.counts['classes']:,} classes and {m.counts['components']:,} components"
        for m in found
    )


def of_components(found: Sequence[Measurement], share: float) -> str:
    """What pruning a share costs where it is taken of as many directions as a head could have.

    Of heads that have many fewer; a sentence each.
    """
    told_of = []
    for m in found:
        most, (best, change, half) = min(m.counts["components"], m.counts["classes"]), pruned(m)
        kept = round((1 - share) * most)
        if len(best) < 0.9 * most and kept <= len(best):
            lost = change[kept - 1], half[kept - 1]
            told_of.append(
                f"Of the {most:,} directions that the head of {told(m)} could have, pruning "
                f"{100 * share:.0f} % keeps {kept} of its {len(best)}: accuracy is "
                f"{percent(best[kept - 1])} %, a difference of {points(*lost)} points, and "
                f"{overview.lost(*lost)}."
            )
    return " ".join(told_of)


def controls(found: Sequence[Measurement]) -> pd.DataFrame:
    """The largest importance over the mean of each head, and with one thing changed at a time."""
    return pd.DataFrame(
        {
            "model": titled(m),
            "as it is": digits(m.value("importance").max()),
            "head centred": digits(m.value("importance_head_centred")[0]),
            "features centred": digits(m.value("control_centred_features")),
            "random features": digits(m.value("control_random_features")),
            "random head": digits(m.value("control_random_head")),
            "both random": digits(m.value("control_random_both")),
        }
        for m in found
    )


def kept(found: Sequence[Measurement]) -> pd.DataFrame:
    """Accuracy with some shares of a head's directions kept, and what a fifth of them loses."""
    rows = []
    for m in found:
        best, lost, half = pruned(m)
        steps = {f"{100 * share:g} %": round(share * len(best)) for share in KEPT}
        fifth = steps["20 %"]
        rows.append(
            {"model": titled(m), "directions": str(len(best))}
            | {f"{share} kept": percent(best[step - 1]) for share, step in steps.items()}
            | {"change at 20 % (points)": points(lost[fifth - 1], half[fifth - 1])}
        )
    return pd.DataFrame(rows)


def counted(m: Measurement) -> dict[str, list[Row]]:
    """Concepts that some direction encodes: the head's, coordinates, and chance; mean and ends."""
    found, coordinates = counts_of(m), counts_of(m, "coordinates_")
    shown = {
        "singular vectors of the head": ("zero_shot", found.of("draws", "unique")),
        "coordinates": ("zero_shot", coordinates.of("draws", "unique")),
        "random directions": ("random", found.of("random", "unique")),
        "singular vectors, permuted labels": ("random", found.of("permuted", "unique")),
    }
    axis = f"concepts with AP ≥ {m.value('threshold'):g}, of {m.counts['concepts']}"
    return {
        axis: [
            Row(title, level, float(own.mean()), float(own.min()), float(own.max()))
            for title, (level, own) in shown.items()
        ]
    }


def counted_told(m: Measurement) -> str:
    """Whether singular vectors do better than random directions, in a sentence."""
    (rows,) = counted(m).values()
    own, coordinates, drawn, mixed = (row.value for row in rows)
    better = "more than any" if rows[0].low > rows[2].high else "no more than"
    return (
        f"Along the head's singular vectors {own:.4g} of {m.counts['concepts']} concepts are "
        f"encoded, {better} random directions ({drawn:.4g}); along coordinates {coordinates:.4g}, "
        f"with permuted labels {mixed:.4g}."
    )


def textures(m: Measurement, shown: int, named: Sequence[str]) -> pd.DataFrame:
    """The textures of highest average precision along the top direction; ``named``: these too."""
    names, along = m.names["along_top"], m.value("along_top")
    order = np.argsort(-along).tolist()
    chosen = [*order[:shown], *(c for c in order[shown:] if names[c] in named)]
    low, high = m.value("along_top_lowest"), m.value("along_top_highest")
    return pd.DataFrame(
        {
            "texture": names[c] + " *" * (names[c] in named),
            "rank": str(order.index(c) + 1),
            "AP": f"{along[c]:.2f} ({low[c]:.2f} to {high[c]:.2f})",
            "in the other sign": f"{m.value('against_top')[c]:.2f}",
        }
        for c in chosen
    )


def texture_told(m: Measurement) -> str:
    """Where the top direction stands among the head's directions and among random ones."""
    own, drawn = m.value("per_direction"), m.value("per_random_direction")
    top = own[m.value("top_direction")]
    return (
        f"Along the most important direction the mean over textures is {top:.2f}; "
        f"{int((own > top).sum())} of the head's {len(own)} directions and "
        f"{int((drawn > top).sum())} of as many random ones set textures apart better, each in its "
        f"favourable sign (the median direction: {np.median(own):.2f} and {np.median(drawn):.2f}). "
        f"{int((m.value('along_top') >= 0.9).sum())} of {len(m.value('along_top'))} textures reach "
        "0.9."
    )
