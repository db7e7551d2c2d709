# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   companion:
#     scope: family
#     editions: [paper, reader, pocket]
#     features: true
#     reads:
#     - data/claims.yaml
#     - data/emoji/emoji.zip
#     - data/emoji/appearance.npy
#     - data/imagenet/sets.yaml
#     - data/measurements/concepts/*.json
# ---

# %% [markdown]
# # Concepts
#
# Which concepts lie along single directions of this backbone's representations, and how many would
# by chance? The section {doc}`/concepts` explains the question.

# %% tags=["parameters"]
family: str = "pocket_cnn"  # the family in front
threshold: float = 0.9  # average precision from which a concept is encoded: the paper's
lower: float = 0.8  # a second, lower threshold: ours
# %%
import numpy as np
import pandas as pd

from analysis.families.registry import load_family
from analysis.features import store
from analysis.images import emoji, sets
from analysis.metrics import average_precision, concept_counts, directions
from analysis.metrics.concept_counts import LEAST_CLUSTERS, LEAST_POSITIVES
from companion.claims import cards, ledger
from companion.claims.evidence import POCKET, Evidence
from companion.claims.rules import RULES
from companion.measurements import concept_probe
from companion.measurements.concept_probe import ConceptsMissingError
from companion.measurements.due import COCO
from companion.measurements.measures import TOP_CONCEPTS, counts_of
from companion.measurements.records import available
from companion.publish import charts, dots, style, words

backbone = load_family(family)
is_pocket = backbone.edition == "pocket"
images_are = "emoji" if is_pocket else "images"  # what is halved, and what exchanges labels
# The paper's threshold decides the words about its models; few concepts of the pocket lab reach it.
COUNT, enough = ("lower", lower) if is_pocket else ("unique", threshold)
SEED = concept_counts.Settings().seed
BASES = {"singular": "right singular vectors", "coordinates": "coordinates"}


def title(model) -> str:
    """A model in words."""
    return model.title


data = "pocket" if is_pocket else "broden"
by_model = {m.model: m for m in available("concepts", backbone, [data])}
live = [m for m in backbone.models if m.name in by_model and by_model[m.name].live]
recorded = [m for m in by_model.values() if not m.live]
why, whole = "", None
try:
    whole = concept_probe.of_family(backbone)
except ConceptsMissingError as error:
    why = str(error)
    if sets.root():  # where data lies on this machine is nobody's business
        why = why.replace(str(sets.root()), "…")
if by_model:  # models can only be compared on the same concepts of the same images
    images_with = by_model[live[0].name if live else recorded[0].model].value("positives")
    by_model = {
        name: m for name, m in by_model.items() if np.array_equal(m.value("positives"), images_with)
    }
    recorded = [m for m in recorded if m.model in by_model]
    live = [m for m in live if m.name in by_model]
measured = [m for m in backbone.models if m.name in by_model]
features, parts = {}, {}
if live:
    probe = whole.select(LEAST_POSITIVES, LEAST_CLUSTERS)
    settings = concept_counts.settings_for(probe)
    sample = average_precision.balanced_sample(probe.labels, settings.seed)
    for model in live:
        features[model.name] = concept_probe.features(model, probe)
        parts[model.name] = directions.decompose(concept_probe.head(model, probe.data).weight)
source = (
    "recorded, live" if live and recorded else "recorded" if recorded else "live"
)  # of what is known of all of them


def missing(name: str, what: str, once: bool = True) -> None:
    """Say in place of a result that there is none; for the paper's families once a section."""
    if is_pocket or once:
        style.text(name, f"*Not measured in this build: {what}.*")


# %%
if live:
    of_each_kind = pd.Series(probe.kinds).value_counts().items()
    style.text(
        "probe",
        f"Probe: {probe.labels.shape[0]:,} images ({probe.title}), with {len(probe.names):,} "
        f"concepts of at least {LEAST_POSITIVES} positive images"
        + (f" of at least {LEAST_CLUSTERS} emoji that do not look alike" if is_pocket else "")
        + f" ({', '.join(f'{n} × {kind}' for kind, n in of_each_kind)}; {len(whole.names):,} "
        "before that choice, made before any count)."
        + (
            " Several images are pictures of one emoji, so labels are permuted over emoji to see "
            "what chance gives."
            if is_pocket
            else ""
        ),
    )
elif recorded:
    first = recorded[0]
    style.text(
        "probe",
        f"Probe: {first.counts['images']:,} images ({first.data.what}), with "
        f"{first.counts['concepts']:,} concepts of at least {LEAST_POSITIVES} positive images. The "
        "counts are recorded measurements; what needs the features themselves is not measured in "
        "this build.",
    )
else:
    style.text("probe", f"*Nothing is measured in this build.* {why}")

# %% [markdown]
# ## How many concepts

# %%
found = {
    (name, basis): counts_of(m, "" if basis == "singular" else "coordinates_")
    for name, m in by_model.items()
    for basis in BASES
}


def number(value: float) -> str:
    """A mean of counts."""
    return f"{value:.1f}".removesuffix(".0")


def count_cells(result, quantity: str, name: str) -> dict[str, str]:
    """One model's count at one threshold, and what chance gives."""
    low, high = result.spread(quantity)
    cells = {name: f"{number(result.value(quantity))} ({low:.0f}–{high:.0f})"}
    for kind in ("random", "permuted"):
        chance = result.chance(quantity, kind)
        cells[f"{name} {kind}"] = (
            f"{number(chance.mean)} ({chance.lowest:.0f}–{chance.highest:.0f})"
        )
    return cells


def models_with(basis: str) -> list:
    """Models of which the counts along a basis are known."""
    return [m for m in measured if (m.name, basis) in found]


def directions_of(basis: str) -> str:
    """How many directions the models have."""
    counts = sorted({found[m.name, basis].directions for m in models_with(basis)})
    return f"{' to '.join(str(n) for n in (counts[0], counts[-1])[: len(counts)])} for each model"


def times(what: str) -> str:
    """How often something was repeated for the models of this page."""
    counts = sorted({len(getattr(result, what)) for result in found.values()} - {0})
    return " or ".join(map(str, counts))


for basis, name in BASES.items():
    label = "table-3" if basis == "singular" else "table-3-coordinates"
    if not models_with(basis):
        once = bool(measured) or basis == "singular"
        missing(label, f"the number of unique concepts along {name}", once)
        continue
    rows = []
    for model in models_with(basis):
        result = found[model.name, basis]
        row = {"model": title(model)}
        row |= count_cells(result, "unique", f"≥ {threshold:g}")
        row |= count_cells(result, "lower", f"≥ {lower:g}")
        row["mean best AP (%)"] = f"{100 * result.value('best'):.1f}" + (
            f" ± {196 * result.error('best'):.1f}" if len(result.halves) else ""
        )
        rows.append(row)
    style.table(
        label,
        pd.DataFrame(rows),
        caption=f"""Number of unique concepts that the {name} encode ({directions_of(basis)};
        each direction in one sign), {backbone.title}, the counterpart of the paper's Table 3: with
        an average precision of at least {threshold:g}, the paper's threshold, and of at least
        {lower:g}, ours.
        In brackets the lowest and the highest of {times("draws")} draws of negatives. *Random*: the
        same for equally many random directions of the same features; *permuted*: for the model's
        directions with the labels permuted over {images_are}; mean (lowest to highest) of
        {times("random")}, from seed {SEED}. Mean best AP: over concepts, of the best direction's
        average precision"""
        + (
            f", ± 95 % interval from {times('halves')} random halves of the {images_are}."
            if basis == "singular"
            else "."
        ),
        evidence=source,
    )

# %%
ZERO, FINE, SUPER = "zero_shot", "finetuned", "supervised"


def compared() -> dict[str, str]:
    """Level → model: a finetuned model, the zero-shot one that it started from, a supervised."""
    for fine in (m for m in measured if m.level == FINE):
        zero = [m for m in measured if m.level == ZERO and m.pretraining == fine.pretraining]
        others = [m for m in measured if m.level == SUPER]
        comparable = {len(found[m.name, "singular"].halves) for m in (fine, *zero[:1], *others[:1])}
        if zero and others and len(comparable) == 1:
            return {ZERO: zero[0].name, FINE: fine.name, SUPER: others[0].name}
    return {}


trio = compared()
QUANTITY_TITLES = {
    "unique": f"concepts with AP ≥ {threshold:g}",
    "lower": f"concepts with AP ≥ {lower:g}",
    "best": "mean best AP",
}


def gap(one: str, other: str, quantity: str) -> str:
    """The difference of two models with its 95 % interval."""
    if len(found[one, "singular"].halves) != len(found[other, "singular"].halves):
        return "n/a"
    d = concept_counts.difference(found[one, "singular"], found[other, "singular"], quantity)
    scale = 100 if quantity == "best" else 1
    unit = " points" if quantity == "best" else ""
    return style.minus(f"{scale * d.value:+.1f} ± {scale * 1.96 * d.error:.1f}{unit}")


if trio:
    reference = backbone.model(trio[ZERO])
    others = [m for m in measured if m.name != reference.name]
    style.table(
        "differences",
        pd.DataFrame(
            {
                f"{title(reference)}, less …": [title(m) for m in others],
                **{
                    what: [gap(reference.name, m.name, q) for m in others]
                    for q, what in QUANTITY_TITLES.items()
                },
            }
        ),
        caption=f"""By how much the zero-shot model exceeds each other one, ± 95 % interval:
        1.96 times the standard deviation of the paired difference over {times("halves")} random
        halves of the {images_are}, negatives drawn anew in each. Right singular vectors, one
        training of each model.""",
        evidence=source,
    )
else:
    missing("differences", "the differences between the levels", once=False)


# %%
def row(model, quantity: str) -> dots.Row:
    """A model's count with its interval, beside chance."""
    result = found[model.name, "singular"]
    value, error = result.value(quantity), 1.96 * result.error(quantity)
    chance = (result.chance(quantity, kind) for kind in ("random", "permuted"))
    return dots.Row(
        title(model), model.level, value, max(0, value - error), value + error,
        chance=tuple((c.mean, c.lowest, c.highest) for c in chance),
    )  # fmt: skip


if trio:
    style.figure(
        "counts",
        dots.rows(
            {
                QUANTITY_TITLES[quantity]: [row(model, quantity) for model in measured]
                for quantity in ("unique", "lower")
            }
        ),
        source,
        f"""Unique concepts along the right singular vectors of each {backbone.title} head,
        and what chance gives. Mark: mean of {times("draws")} draws of negatives; line: 95 %
        interval from random halves of the {images_are}. Bar above it: lowest to highest of
        {times("random")} sets of equally many random directions, stroke at their mean; below: of
        {times("permuted")} permutations of the labels.""",
    )
else:
    missing("counts", "the counts beside chance", once=False)

# %% [markdown]
# ## What the choices do
#
# The known text of the paper leaves open the sign of a direction, whether features are normalised
# and how many positives a concept needs. The same count under other choices:

# %%
CHOICES = [
    f"{choice}, {name}"
    for name in BASES.values()
    for choice in ("as above", "both signs", "length 1")
]

if measured:
    columns = CHOICES + [f"any {LEAST_POSITIVES} images, {BASES['singular']}"] * is_pocket
    rows = [
        {"model": title(model)}
        | {
            name: "{:.0f} / {:.0f}".format(*counts)
            for name, counts in zip(
                columns, by_model[model.name].value("other_choices"), strict=False
            )
        }
        for model in measured
    ]
    more = int(by_model[measured[0].name].value("concepts_of_few_clusters"))
    every_concept = by_model[measured[0].name].counts["concepts"]
    style.table(
        "choices",
        pd.DataFrame(rows),
        caption=f"""Unique concepts with an average precision of at least {threshold:g} / at least
        {lower:g} under other choices, {backbone.title}; one draw of negatives (seed {SEED}).
        *Both signs*: a direction or its opposite, whichever is better. *Length 1*: features scaled
        to length 1 before projecting."""
        + (
            f" *Any {LEAST_POSITIVES} images*: without asking for {LEAST_CLUSTERS} emoji that do "
            f"not look alike, which gives {every_concept + more} concepts instead of "
            f"{every_concept}."
            if is_pocket
            else ""
        ),
        evidence=source,
    )
else:
    missing("choices", "the effect of the open choices")

# %% [markdown]
# ## Kinds of concepts

# %%
if live:
    kinds = pd.Series(probe.kinds).value_counts(sort=False)
    rows = []
    for model in live:
        result = found[model.name, "singular"]
        counts = [concept_counts.by_kind(result.ap, probe.kinds, t) for t in (threshold, lower)]
        best = pd.Series(concept_counts.best_of(result.ap)).groupby(list(probe.kinds)).mean()
        rows.append(
            {"model": title(model)}
            | {
                f"{kind} (of {kinds[kind]})": f"{counts[0][kind]} / {counts[1][kind]} "
                f"({100 * best[kind]:.0f} %)"
                for kind in kinds.index
            }
        )
    style.table(
        "kinds",
        pd.DataFrame(rows),
        caption=f"""Concepts of each kind with an average precision of at least {threshold:g} / at
        least {lower:g} in some right singular vector, and in brackets the mean over the kind's
        concepts of the best direction's average precision. One draw of negatives (seed {SEED}).""",
        evidence="live",
    )
else:
    missing("kinds", "the kinds of concepts")

# %% [markdown]
# ## What the levels share

# %%
if trio:
    shared_bases = [b for b in BASES if all((name, b) in found for name in trio.values())]
    regions = {
        (basis, at): concept_counts.regions(
            {level: found[name, basis].ap for level, name in trio.items()}, at
        )
        for basis in shared_bases
        for at in (threshold, lower)
    }
    style.table(
        "regions",
        pd.DataFrame(
            [
                {"directions": BASES[basis], "AP ≥": f"{at:g}"} | words.regions(of)
                for (basis, at), of in regions.items()
            ]
        ),
        caption=f"""Concepts encoded by the zero-shot model (ZS), the one finetuned from it (FT) and
        the supervised one (SUP), by which of them encode it: the numbers of the paper's Figure 4.
        Last: the share of the finetuned model's concepts that the zero-shot model encodes too. One
        draw of negatives (seed {SEED}).""",
        evidence=source,
    )
    shown = lower if sum(regions["singular", threshold].values()) < 20 else threshold
    few = f" (fewer than twenty reach the paper's {threshold:g})" if shown == lower else ""
    style.figure(
        "venn",
        charts.venn({BASES[basis]: regions[basis, shown] for basis in shared_bases}),
        source,
        f"""The counterpart of the paper's Figure 4 for {backbone.title}: concepts with an
        average precision of at least {shown:g}{few}. Areas are approximate. One draw of negatives
        (seed {SEED}).""",
    )
else:
    missing("regions", "what the levels' concepts have in common")
    missing("venn", "what the levels' concepts have in common", once=False)

# %%
printed = ledger.printed_regions(ledger.load_claims()["C-overlap"]).get(family)
if printed:
    style.table(
        "regions-printed",
        pd.DataFrame([{"model": f"{backbone.title}, OpenAI"} | words.regions(printed)]),
        caption="""The same regions as the paper's version 1 prints them, read off its Figure 4:
        **the paper's own numbers, not a measurement of this book**. Zero-shot (ZS), finetuned (FT),
        supervised (SUP); the last column is computed from them.""",
        evidence="published",
    )
    style.figure(
        "venn-printed",
        charts.venn({f"{backbone.title}, OpenAI": printed}),
        "published",
        f"""Version 1's Venn diagram for {backbone.title} (OpenAI), drawn again from its
        printed numbers: **the paper's own numbers, not a measurement of this book**. Areas are
        approximate.""",
    )

# %% [markdown]
# ## Concepts per direction

# %%
if measured:
    concepts_of = {}
    per_direction = "per_direction_lower" if is_pocket else "per_direction"
    for model in measured:
        of_each = by_model[model.name].value(per_direction)
        most_first = np.sort(of_each)[::-1]
        concepts_of[title(model)] = (model.level, np.arange(1, len(of_each) + 1), most_first)
    style.figure(
        "polysemanticity",
        charts.curves(
            {f"concepts with AP ≥ {enough:g}": concepts_of},
            "direction, the one with most concepts first",
            steps=True,
        ),
        "live",
        f"""Concepts per direction, the proxy for polysemanticity, over the right singular
        vectors of each {backbone.title} head, at the threshold of {enough:g}. A concept counts in
        every direction that encodes it. One draw of negatives (seed {SEED}).""",
    )
else:
    missing("polysemanticity", "the concepts per direction")

# %% [markdown]
# ## The most privileged direction


# %%
training = f"pocket-{emoji.IMAGENET}-test" if is_pocket else "imagenet"
weighed = {}  # which images each model's importance is of


def importance_features(model) -> np.ndarray:
    """Features of the training distribution; else of the probe."""
    try:
        found = store.read_features(store.features_path(model.name, training), model)
    except store.StoreError:
        weighed[model.name] = "the probe's images"
        return features[model.name]
    weighed[model.name] = (
        "the test images of the training style"
        if is_pocket
        else found.sidecar["data"].get("what") or training
    )
    return found.features


def privileged(model) -> dict:
    """The most important direction: its importance, its scores and its average precisions."""
    weights = directions.importance(importance_features(model), parts[model.name])
    top, along = concept_counts.along_most_important(
        features[model.name], parts[model.name], sample, settings, weights
    )
    scores = average_precision.project(
        features[model.name], parts[model.name].directions[[top]], normalise=False
    )
    scores = scores * np.sign(scores.mean())
    best = average_precision.top_concepts(along[None], 0, TOP_CONCEPTS)
    return {
        "model": model,
        "importance": weights[top] / weights.mean(),
        "scores": scores[:, 0],
        "top": [(probe.names[c], probe.kinds[c], float(along[c])) for c in best],
    }


tops = [privileged(model) for model in live]
if tops:
    style.table(
        "top-concepts",
        pd.DataFrame(
            {
                "model": [title(t["model"]) for t in tops],
                "importance (× mean)": [words.digits(t["importance"]) for t in tops],
                "concepts of the highest AP (%)": [
                    ", ".join(f"{n} ({k}, {100 * ap:.0f})" for n, k, ap in t["top"]) for t in tops
                ],
            }
        ),
        caption=f"""The most important direction of each head and the concepts along it with the
        highest average precision. The direction points to where the images lie on average. One draw
        of negatives (seed {SEED}); below {threshold:g} the paper would not call a concept encoded.
        Importance: relative to the mean direction, on {"; ".join(dict.fromkeys(weighed.values()))}.
        """,
        evidence="live",
    )
else:
    missing("top-concepts", "the concepts of the most privileged direction")

# %%
EACH = 8
if tops and is_pocket:
    every = emoji.load()
    pictures = every.images[np.flatnonzero(every.table["split"] == "test")]
    names = every.table[every.table["split"] == "test"]["name"].to_numpy()
    drawings, told = {}, []
    for t in tops:
        order = np.argsort(-t["scores"], kind="stable")
        chosen = [*order[:EACH], *order[-EACH:]]
        drawings[title(t["model"]).replace(", ", ",\n")] = [pictures[place] for place in chosen]
        told.append(
            f"{title(t['model'])}: highest {names[chosen[0]]}, {names[chosen[1]]}; lowest "
            f"{names[chosen[-1]]}, {names[chosen[-2]]}"
        )
    style.figure(
        "pictures",
        charts.pictures(
            drawings,
            f"Rows of small drawings, one row for each model. {'. '.join(told)}.",
            {0: "highest", EACH: "lowest"},
        ),
        "live",
        f"""The {EACH} test images that score highest and the {EACH} that score lowest on
        the most important direction of each head, in all drawing styles. Who drew them is in
        `data/emoji/LICENSES.md`.""",
    )
else:
    missing("pictures", "the images along the most privileged direction", once=False)

# %% [markdown]
# ## Every concept

# %%
if live:
    by_luck = [found[m.name, "singular"].chance("best", "permuted").mean for m in live]
    lookup = pd.DataFrame({"concept": probe.names, "kind": probe.kinds})
    lookup["images"] = [str(n) for n in probe.positives]
    for model in live:
        m = by_model[model.name]
        lookup[title(model)] = [
            f"{100 * ap:.0f} (v{d + 1})"
            for ap, d in zip(m.value("best"), m.value("best_direction"), strict=True)
        ]
    best_first = np.argsort(-concept_counts.best_of(found[live[0].name, "singular"].ap))
    style.table(
        "every-concept",
        lookup.iloc[best_first],
        caption=f"""Each concept's best average precision in percent, and in brackets the right
        singular vector that reaches it, for every {backbone.title} model. One draw of negatives
        (seed {SEED}); permuted labels reach {100 * np.mean(by_luck):.0f} on average.""",
        evidence="live",
        search="Find a concept",
    )
else:
    missing("every-concept", "the concepts one by one")

# %% [markdown]
# ## In words
#
# Judged by the same rules as the claims' cards.

# %%
claims = ledger.load_claims()
scope = POCKET if is_pocket else {}
evidence = Evidence({family: backbone}, list(by_model.values()), **scope)
for name in ("C-more", "C-overlap", "D-texture", "C-not-indicator"):
    verdict = RULES[name](claims[name], evidence)
    if verdict.holds or is_pocket:
        told = cards.beside(claims[name], verdict, evidence, f"**{backbone.title}.**")
        style.text(f"claim-{name}", told)

# %% [markdown]
# ## A small probe
#
# Measurements with the words of captions as concepts, not the paper's.


# %%
def mean_and_ends(values: np.ndarray, scale: float = 1) -> str:
    """The mean of some repetitions with the lowest and the highest."""
    if scale > 1:
        mean, low, high = (scale * v for v in (values.mean(), values.min(), values.max()))
        return f"{mean:.1f} ({low:.1f} to {high:.1f})"
    return f"{number(values.mean())} ({values.min():.0f} to {values.max():.0f})"


small = available("concepts", backbone, [COCO])
if small:
    columns = {
        "unique": f"AP ≥ {small[0].value('threshold'):g}",
        "lower": f"AP ≥ {small[0].value('lower_threshold'):g}",
        "best": "mean best AP (%)",
    }
    style.table(
        "recorded",
        pd.DataFrame(
            [
                {
                    "model": title(backbone.model(m.model)),
                    "quantity": what,
                    "singular vectors": mean_and_ends(
                        m.value(f"{name}_draws"), 100 if name == "best" else 1
                    ),
                    **{
                        kind_title: mean_and_ends(
                            m.value(f"{name}_{kind}"), 100 if name == "best" else 1
                        )
                        for kind, kind_title in (
                            ("random", "random directions"),
                            ("permuted", "permuted labels"),
                        )
                    },
                }
                for m in small
                for name, what in columns.items()
            ]
        ),
        caption=f"""Unique concepts among {small[0].counts["concepts"]} that at least
        {small[0].value("least_positives")} of {small[0].counts["images"]} images show.
        Images: {small[0].data.what.replace("; concepts:", ". Concepts:")}. Along the
        {small[0].value("directions")} right singular vectors of the head
        ({small[0].provenance.head}): mean (lowest to highest) of {small[0].value("draws")}
        draws of negatives; beside it as many random directions of the same features, and permuted
        labels, {small[0].value("chance_sets")} sets of each.""",
        evidence=words.kind(small),
    )

    def in_words(m) -> str:
        """What one recorded model's directions encode, beside chance."""
        own, drawn, mixed = (m.value(f"unique_{k}").mean() for k in ("draws", "random", "permuted"))
        return (
            f"{title(backbone.model(m.model))}: {number(own)} of {m.counts['concepts']} words "
            f"along singular vectors, {number(drawn)} along random directions, {number(mixed)} "
            "with permuted labels"
        )

    style.text("recorded-words", "; ".join(map(in_words, small)))
    few = small[0].counts
    style.text("recorded-images", f"{few['images']} images, {few['concepts']} words")
else:
    style.text("recorded", "Not measured for this family.")

# %% [markdown]
# ## What is missing

# %%
absent = [m for m in backbone.models if m not in measured]
public = [title(m) for m in absent if m.loadable]
private = [title(m) for m in absent if not m.loadable]
lines = [
    "Missing are the concepts of these models, whose weights can be had: "
    + "; ".join(public)
    + ".\n\n"
    + (
        "Their features are extracted before every build where PyTorch is installed."
        if is_pocket
        else "They need features of Broden and a head each. `companion status --data` says where "
        f"Broden is expected.\n\n```console\n$ companion extract {family} --data broden\n"
        f"$ companion extract {family} --data IMAGENET_FOLDER\n"
        f"$ companion run concepts {family}\n```"
    )
    if public
    else "",
    f"No public weights are known for: {'; '.join(private)}." if private else "",
]
style.text(
    "not-measured",
    "::::{admonition} Not measured yet\n:class: not-measured\n"
    + "\n\n".join(filter(None, lines))
    + "\n::::"
    if absent
    else "Every model of this family was measured.",
)
