# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   companion:
#     scope: edition
#     features: true
#     reads:
#     - data/claims.yaml
#     - data/imagenet/objectnet.csv
#     - data/imagenet/sets.yaml
#     - data/measurements/accuracy/*.json
#     - data/measurements/concepts/*.json
#     - data/measurements/outlier_features/*.json
#     - data/measurements/privileged_directions/*.json
#     - data/measurements/pruning/*.json
#     - data/published/accuracies.csv
#     - families/*.yaml
# ---

# %% [markdown]
# # Claims
#
# A verdict on each claim of the paper, from the evidence at hand. The page {doc}`/appendix/claims`
# shows the cards.

# %% tags=["parameters"]
edition: str = "paper"  # which families
near_gaussian: float = 6.0  # mean kurtosis below which one counts as close to the Gaussian's 3
privileged_threshold: float = 10.0  # times the mean importance: from there one is privileged

# %%
import numpy as np
import pandas as pd

from analysis.families.registry import load_families
from analysis.images import sets
from analysis.images.imagelist import is_whole
from analysis.metrics import average_precision, concept_counts
from analysis.metrics.outliers import OUTLIER_THRESHOLD
from companion.claims import ledger as claims
from companion.claims.ledger import Verdict
from companion.measurements import (
    concept_found,
    pruned_shifts,
    published,
    published_robustness,
    records,
    take,
    views,
)
from companion.measurements.published import FOUR_SHIFTS
from companion.measurements.published_robustness import CLIP_V2
from companion.publish import style, words
from companion.publish.words import digits

families = load_families(edition)
table = published.load()
stated = claims.load_claims()
five = published_robustness.of_families(table, families)
four_line = published_robustness.refit(table, FOUR_SHIFTS, CLIP_V2)
four = published_robustness.of_families(table, families, FOUR_SHIFTS, four_line)
four = four[four["source"] != "model_soups"]
own = views.of_published_sets(families)
verdicts: dict[str, Verdict] = {}

# %% [markdown]
# ## Order of the levels

# %%
shown = [five, four, *([own] if len(own) else [])]
groups = [published_robustness.groups(er, families) for er in shown]
claim = stated["ER-order"]
found = claims.judge_order(claim.order, groups)
gaps = {
    f"{higher.replace('_', '-')} over {lower}": np.nanmin(
        [(v[higher] - v[lower]).min() for v in groups]
    )
    for higher, lower in zip(claim.order, claim.order[1:], strict=False)
}
smallest = "; ".join(f"{name} {style.points(gap)}" for name, gap in gaps.items())
known, from_own = "published", ""
if len(own):
    added = claims.judge_order(claim.order, groups[2:])
    known = "published, or measured here,"
    from_own = (
        f" {added.pairs} of the comparisons are between accuracies from this book's own features "
        f"({len(own)} models on all six data sets), never between these and published ones; "
        f"{added.pairs - added.reversed_pairs} have the claimed order."
    )
verdicts["ER-order"] = Verdict(
    found.outcome,
    f"{found.pairs - found.reversed_pairs} of {found.pairs} comparisons of two levels of one "
    "backbone and pretraining set have the claimed order, on five shifts or on four (smallest gap "
    f"in points: {smallest}). All three levels are {known} for {found.complete} of the "
    f"{found.groups} backbones and pretraining sets. The finetuned and supervised models are the "
    "nearest public ones, not the paper's." + from_own,
)

# %% [markdown]
# ## Range and fit

# %%
own_zero_shot = own[own["level"] == "zero_shot"]
unpublished = own_zero_shot[~own_zero_shot["name"].isin(five["name"])]
zero_shot = five[five["level"] == "zero_shot"]
zero_shot = pd.concat([zero_shot, *([unpublished] if len(unpublished) else [])])
zero_shot = zero_shot.reset_index(drop=True)
low, high = (zero_shot.loc[i] for i in (zero_shot["er"].idxmin(), zero_shot["er"].idxmax()))
claim = stated["ER-range"]
ends = {"lowest": low["er"], "highest": high["er"]}
outcome = claims.judge_values(claim, ends)
as_named = "YFCC" in low["pretraining"] and high["family"] == "vit_l_14"
verdicts["ER-range"] = Verdict(
    outcome if as_named else "differs",
    f"Lowest: {style.points(low['er'], low['er_95'])} points ({low['title']}, "
    f"{low['pretraining']}), printed {100 * claim.values['lowest']:g}. Highest: "
    f"{style.points(high['er'], high['er_95'])} points ({high['title']}, "
    f"{high['pretraining']}), printed {100 * claim.values['highest']:g}. Tolerance: "
    f"{100 * claim.tolerance:g} point. ±: 95 % interval from the finite test sets."
    + (
        f" From this book's own features, {len(own_zero_shot)} of {len(zero_shot)} zero-shot "
        f"models run from {style.points(own_zero_shot['er'].min())} to "
        f"{style.points(own_zero_shot['er'].max())} points; "
        + (
            f"{len(unpublished)} of them, without published accuracies, count above."
            if len(unpublished)
            else "as all of them are published, too, the published values decide."
        )
        if len(own_zero_shot)
        else ""
    ),
)

choices = published_robustness.fit_choices(table)
claim = stated["ER-fit"]
constants = [{n: float(getattr(c, n)) for n in claim.values} for c in choices.itertuples()]
outcomes = [claims.judge_values(claim, values) for values in constants]
agreeing = [i for i, found in enumerate(outcomes) if found == "reproduced"]
KINDS = {"all": "all but those trained with more data", "standard": "standard training only"}


def described(index: int) -> str:
    """One choice of fit with its constants."""
    c = choices.loc[index]
    numbers = f"slope {c['slope']:.3f}, intercept {c['intercept']:.3f}, r {c['r']:.3f}"
    variant = "mean of the three variants" if c["v2"] == "mean" else c["v2"].replace("_", " ")
    return f"V2 {variant}, {c['models']} models ({KINDS[c['kinds']]}): {style.minus(numbers)}"


nearest = agreeing or [(choices["intercept"] - claim.values["intercept"]).abs().idxmin()]
verdicts["ER-fit"] = Verdict(
    "reproduced" if agreeing else "differs",
    f"{len(agreeing)} of the {len(choices)} fits that the paper's text leaves open agree in all "
    f"three constants within {claim.tolerance}. "
    + "; ".join(described(i) for i in nearest)
    + ". We looked for the choice that gives the printed constants; the others give other lines.",
)

# %% [markdown]
# ## Outlier features, privileged directions and pruning
#
# From recorded measurements of single images. The paper names no cut-offs; the rule of each verdict
# is written on its card.

# %%
zero_shot_models = {
    model.name: f"{family.title}, {model.pretraining}"
    for family in families.values()
    for model in family.at_level("zero_shot")
}
LOWER = ("finetuned", "supervised")
lower_models = sum(len(f.at_level(level)) for f in families.values() for level in LOWER)
# What is quick to compute is live where features are in the store; the rest only as recorded.
# Copies of a data set that are not the published one decide no claim.
everything = {
    experiment: [
        m
        for family in families.values()
        for m in take.gather(experiment, family)
        if is_whole(m.data.what)
    ]
    for experiment in ("outlier_features", "privileged_directions")
} | {
    experiment: [
        m for m in records.read_all(experiment) if m.family in families and is_whole(m.data.what)
    ]
    for experiment in ("pruning", "concepts")
}


def measured(experiment: str, level: str) -> list:
    """Measurements of a level's models that saw every single image: of ImageNet, or of others.

    Of a model that was measured on ImageNet only that counts.
    """
    found = [
        m
        for m in everything[experiment]
        if m.level == level and m.basis == "per_image" and "captions" not in m.data.name
    ]
    on_imagenet = {m.model for m in found if m.data.name == "imagenet"}
    return [m for m in found if m.data.name == "imagenet" or m.model not in on_imagenet]


def control(measurement):
    """The same measurement of the same backbone with random weights."""
    data = (measurement.family, measurement.data.name)
    found = measured(measurement.experiment, "random")
    return next((m for m in found if (m.family, m.data.name) == data), None)


def on_what(found) -> str:
    """Whether measurements are of ImageNet's images."""
    count = sum(m.data.name == "imagenet" for m in found)
    return "on ImageNet" if count == len(found) else f"{count or 'not'} on ImageNet"


holds, sentences = {}, []
for m in measured("outlier_features", "zero_shot"):
    random = control(m)
    low, high = m.value("kurtosis_percentiles")[[0, -1]]
    limit = max(3, random.value("kurtosis_percentiles")[-1] if random else 3)
    holds[m.model] = bool(low > limit)
    against = (
        f" The same architecture with random weights: {digits(random.value('kurtosis_mean'))} "
        f"(up to {digits(random.value('kurtosis_percentiles')[-1])})."
        if random
        else ""
    )
    sentences.append(
        f"{zero_shot_models[m.model]}, {m.data.title}: κ "
        f"{digits(m.value('kurtosis_mean'))} (single images {digits(low)} to {digits(high)})."
        + against
    )
if holds:
    verdicts["K-zero-shot"] = Verdict(
        claims.judge_cases(holds, len(zero_shot_models)),
        " ".join(sentences) + f" Measured: {len(holds)} of {len(zero_shot_models)} zero-shot "
        f"models, {on_what(measured('outlier_features', 'zero_shot'))}. Rule: κ counts as far "
        "above 3 if every single image lies above 3 and above every image of the control.",
    )

# %%
(sparse,) = records.read_all("outlier_features", "efficientnet_lite0")
others = [m for level in LOWER for m in measured("outlier_features", level)]
holds = {m.model: bool(m.value("kurtosis_mean") < near_gaussian) for m in others}
verdicts["K-others"] = Verdict(
    claims.judge_cases(holds, lower_models),
    f"Measured: {len(holds)} of the {lower_models} finetuned and supervised models"
    + "".join(f"; {m.model}: κ {digits(m.value('kurtosis_mean'))}" for m in others)
    + f" (rule: close to 3 means below {near_gaussian:g}, a choice of this book). A supervised "
    "network outside the paper's families, EfficientNet-Lite0, has κ "
    f"{digits(sparse.value('kurtosis_mean'))} on {sparse.counts['images']} photographs: its "
    "features come from behind a ReLU and are sparse, and no coordinate leads throughout "
    f"({sparse.value('leaders')} leaders in {sparse.counts['images']} images). So the layer "
    "decides what this claim can mean."
    + ("" if others else f" It needs: {stated['K-others'].needs}"),
)

# %%
holds, sentences = {}, []
for m in measured("privileged_directions", "zero_shot"):
    random = control(m)
    largest, centred = m.value("importance").max(), m.value("importance_head_centred")[0]
    holds[m.model] = bool(largest >= privileged_threshold)
    against = (
        f" But with random weights it is {digits(random.value('importance').max())} times (centred "
        f"{digits(random.value('importance_head_centred')[0])}), above the threshold as well: by "
        "this rule the control has a privileged direction too."
        if random and random.value("importance").max() >= privileged_threshold
        else ""
    )
    sentences.append(
        f"{zero_shot_models[m.model]}, {m.data.title}, "
        + (
            "with ImageNet's head"
            if m.data.name == "imagenet"
            else f"with {m.counts['classes']} captions as head"
        )
        + f": largest importance {digits(largest)} times the mean "
        f"({digits(centred)} with the head centred).{against}"
    )
if holds:
    clip = measured("privileged_directions", "zero_shot")
    weaker = {
        m.model: bool(m.value("importance").max() < o.value("importance").max())
        for level in LOWER
        for m in measured("privileged_directions", level)
        for o in clip
        if (m.family, m.data.name) == (o.family, o.data.name)
    }
    verdicts["D-privileged"] = Verdict(
        claims.judge_cases(holds | weaker, len(zero_shot_models) + lower_models),
        " ".join(sentences) + f" Measured: {len(holds)} of {len(zero_shot_models)} zero-shot "
        f"models, {on_what(clip)}; {len(weaker)} of {lower_models} finetuned "
        "and supervised models, the comparison of levels needs these. Rule: at "
        f"least {privileged_threshold:g} times the mean, a choice of this book; finetuned and "
        "supervised below zero-shot.",
    )

# %%
by_model = {
    m.model: m
    for level in (*LOWER, "zero_shot", "captions")
    for m in measured("outlier_features", level)
}
robustness = {
    r.name: r for r in pd.concat([five.drop_duplicates("name", keep=False), own]).itertuples()
}
titles = {
    model.name: f"{family.title}, {model.title}"
    for family in families.values()
    for model in family.models
}


def middle(measurement) -> tuple[float, float]:
    """What nine in ten single images' kurtosis lies between."""
    return tuple(measurement.value("kurtosis_percentiles")[[5, 95]])


pairs = [
    (rich, poor)
    for family in families.values()
    for rich in family.at_level("zero_shot")
    for poor in family.at_level("zero_shot")
    if "OpenAI" in rich.pretraining and poor.pretraining in ("YFCC-15M", "CC-12M")
]
holds, sentences = {}, []
for rich, poor in pairs:
    if rich.name in by_model and poor.name in by_model:
        high, low = by_model[rich.name], by_model[poor.name]
        if high.data.name == low.data.name:
            holds[f"{rich.name}, {poor.name}"] = middle(high)[0] > middle(low)[1]
            sentences.append(
                f"{titles[rich.name]} {digits(high.value('kurtosis_mean'))} and {poor.pretraining} "
                f"{digits(low.value('kurtosis_mean'))} on {high.data.title}"
            )
if holds:
    verdicts["K-openai"] = Verdict(
        claims.judge_cases(holds, len(pairs)),
        f"Mean κ: {'; '.join(sentences)}. Rule, ours: far above means that 95 % of the images lie "
        "above 95 % of those of the other model.",
    )

# %%
captions_models = [m for f in families.values() for m in f.at_level("captions")]
holds, sentences = {}, []
for model in captions_models:
    if model.name in by_model:
        kurtosis = by_model[model.name].value("kurtosis_mean")
        holds[f"{model.name}, κ"] = bool(kurtosis < near_gaussian)
        sentences.append(f"{titles[model.name]}: κ {digits(kurtosis)}")
        if model.name in robustness:
            r = robustness[model.name]
            holds[f"{model.name}, ER"] = bool(r.er - r.er_95 <= 0)
            sentences[-1] += f", effective robustness {style.points(r.er, r.er_95)} points"
if holds:
    verdicts["K-captions"] = Verdict(
        claims.judge_cases(holds, 2 * len(captions_models)),
        "; ".join(sentences) + f". Rule, ours: no outlier features means κ below {near_gaussian:g}"
        "; not robust, that the 95 % interval of effective robustness does not lie above zero.",
    )

# %%
holds, with_outliers = {}, []
for name, m in by_model.items():
    if name in robustness:
        outlying = len(m.value("outlier_coordinates")) > 0
        outlying = bool(outlying and m.value("kurtosis_mean") >= near_gaussian)
        robust = bool(robustness[name].er - robustness[name].er_95 > 0)
        if not robust:
            holds[name] = not outlying
        if outlying:
            with_outliers.append(f"{titles[name]}{'' if robust else ' (not robust)'}")
if holds:
    verdicts["K-indicator"] = Verdict(
        claims.judge_cases(holds, max(lower_models + len(captions_models), len(holds))),
        f"Of {len(holds)} models that are not robust and were measured, {sum(holds.values())} have "
        f"no outlier features. Models with outlier features: {'; '.join(with_outliers) or 'none'}. "
        "Rule, ours: not robust means that the 95 % interval of effective robustness does not lie "
        f"above zero; outlier features, a coordinate of at least {OUTLIER_THRESHOLD:g} times the "
        f"mean and κ of at least {near_gaussian:g}. Not every model that is not robust can be "
        f"known: the claim is taken to cover the {lower_models + len(captions_models)} models "
        "below zero-shot.",
    )

# %%
claim = stated["P-80"]
share = claim.values["pruned_share"]
holds, sentences, elsewhere = {}, [], []
for m in measured("pruning", "zero_shot"):
    rank = len(m.value("accuracy_importance"))
    kept = round((1 - share) * rank)
    difference = m.value("difference_importance")[kept - 1]
    error = 1.96 * m.value("difference_importance_error")[kept - 1]
    fewest = words.fewest_kept_without_loss(m)
    on_imagenet = m.data.name == "imagenet"
    if m.data.name in sets.GRID and not on_imagenet:
        continue  # on a shift a curve is ordered by that shift's own images
    if on_imagenet:  # what the claim is about; another task decides nothing
        holds[f"{m.model}, accuracy"] = bool(difference + error >= 0)
    task = (
        "on ImageNet"
        if on_imagenet
        else f"finding each of {m.counts['images']} COCO images' caption among "
        f"{m.counts['classes']}"
        if m.data.name.startswith("coco")
        else f"{m.data.title}, {m.counts['classes']} classes"
    )
    (sentences if on_imagenet else elsewhere).append(
        f"{zero_shot_models[m.model]}, {task}: "
        f"{style.percent(m.value('accuracy_importance')[-1])} % "
        f"with all {rank} directions, {style.percent(m.value('accuracy_importance')[kept - 1])} "
        f"% with {kept} ({style.points(difference, error)} points); with {kept} at random "
        f"{style.percent(m.value('accuracy_random')[kept - 1])} %. No loss is established down "
        f"to {fewest} directions ({100 * (1 - fewest / rank):.0f} % pruned)."
    )
whole_sets = set(own["name"])  # measured on six data sets as they were published
for model in (m for f in families.values() for m in f.at_level("zero_shot")):
    if model.name in whole_sets and pruned_shifts.complete(model, pruned_shifts.PAPER):
        sweep = pruned_shifts.sweeps_on_imagenet(model, ["importance"], shares=(1 - share, 1))
        sweep, changes = sweep["importance"], {}
        for quantity in ("inside", "robustness"):
            parts = (sweep.change, sweep.change_low, sweep.change_high)
            changes[quantity] = [getattr(part, quantity)[0] for part in parts]
        holds[f"{model.name}, accuracy"] = bool(changes["inside"][2] >= 0)
        holds[f"{model.name}, robustness"] = bool(changes["robustness"][2] >= 0)
        sentences.append(
            f"{zero_shot_models[model.name]}, on ImageNet and its five shifts with "
            f"{sweep.steps[0]} of {sweep.steps[-1]} directions: accuracy "
            f"{words.with_interval(*changes['inside'])} points, effective robustness "
            f"{words.with_interval(*changes['robustness'])} points."
        )
if holds:
    robust = sum(name.endswith("robustness") for name in holds)
    verdicts["P-80"] = Verdict(
        claims.judge_cases(holds, 2 * len(zero_shot_models)),
        " ".join(sentences) + f" Measured: accuracy of {len(holds) - robust}, effective robustness "
        f"of {robust} of {len(zero_shot_models)} zero-shot models. Rule: no loss may be "
        "established, which needs the whole 95 % interval below zero."
        + (" In another task, which does not decide the claim: " * bool(elsewhere))
        + " ".join(elsewhere),
    )
elif elsewhere:
    verdicts["P-80"] = Verdict(
        claims.judge_cases({}, len(zero_shot_models)),
        "On ImageNet nothing was measured yet. In another task, which does not decide the claim: "
        + " ".join(elsewhere)
        + " An ImageNet head may behave otherwise, and robustness was not measured. It needs: "
        + claim.needs,
    )

# %% [markdown]
# ## Concepts
#
# What version 1 prints can be computed with, but that only asks whether the paper agrees with
# itself, so it decides no claim. Recorded measurements on Broden do.

# %%
probed = {m.model: m for m in everything["concepts"] if m.data.name == "broden"}
counted = {name: concept_found.recorded(m) for name, m in probed.items()}


def partners(level: str) -> list[tuple]:
    """Each model of a level with the zero-shot models that it is compared with."""
    return [
        (zero_shot, other)
        for family in families.values()
        for zero_shot in family.at_level("zero_shot")
        for other in family.at_level(level)
        if level != "finetuned" or other.pretraining == zero_shot.pretraining
    ]


def on_the_same(*names: str) -> bool:
    """Whether the models were probed with the very same images and concepts."""
    known = [probed[name] for name in names if name in probed]
    return len(known) == len(names) and all(
        np.array_equal(m.value("positives"), known[0].value("positives"))
        and m.counts["images"] == known[0].counts["images"]
        for m in known
    )


printed = concept_found.printed_regions(stated["C-overlap"])
sizes = {name: concept_counts.totals(regions) for name, regions in printed.items()}
inside = {
    families[name].title: 100 * concept_counts.shared(regions, "finetuned", "zero_shot")
    / sizes[name]["finetuned"]
    for name, regions in printed.items()
}  # fmt: skip
verdicts["C-overlap"] = Verdict(
    claims.judge_cases({}, len(printed)),
    "No model was probed. Computed from the paper's own printed numbers, which is no reproduction: "
    "of the finetuned model's concepts the zero-shot model encodes "
    + ", ".join(f"{share:.0f} % ({name})" for name, share in inside.items())
    + ". Rule, once features are there: most means more than half, on every backbone. It needs: "
    + stated["C-overlap"].needs,
)
smallest = {
    families[name].title: min(n["zero_shot"] - n["finetuned"], n["zero_shot"] - n["supervised"])
    for name, n in sizes.items()
}
verdicts["C-more"] = Verdict(
    claims.judge_cases({}, len(printed)),
    "No model was probed. In the paper's own printed numbers zero-shot leads by at least "
    + ", ".join(f"{gap} ({t})" for t, gap in smallest.items())
    + f". It needs: {stated['C-more'].needs}",
)

# %%
compared = [*partners("finetuned"), *partners("supervised")]
holds, sentences, sure = {}, [], 0
for one, other in compared:
    if on_the_same(one.name, other.name):
        gap = concept_counts.difference(counted[one.name], counted[other.name], "unique")
        holds[f"{one.name}, {other.name}"] = bool(gap.value > 0)
        sure += gap.sign > 0
        sentences.append(
            f"{titles[one.name]} less {other.title} "
            f"{style.minus(f'{gap.value:+.0f}')} ± {1.96 * gap.error:.0f}"
        )
if holds:
    verdicts["C-more"] = Verdict(
        claims.judge_cases(holds, len(compared)),
        f"Recorded on Broden: {'; '.join(sentences)} concepts (95 % interval from halves of the "
        f"images). {sum(holds.values())} of {len(holds)} comparisons favour zero-shot, for {sure} "
        "the interval lies above zero. Rule: zero-shot encodes more.",
    )

shares = {}
for one, other in partners("finetuned"):
    if on_the_same(one.name, other.name):
        has = [
            average_precision.encoded(counted[m.name].ap, probed[m.name].value("threshold")).any(
                axis=0
            )
            for m in (one, other)
        ]
        if has[1].any():
            shares[titles[other.name]] = (has[0] & has[1]).sum() / has[1].sum()
if shares:
    told = "; ".join(f"{title} {style.percent(share)} %" for title, share in shares.items())
    verdicts["C-overlap"] = Verdict(
        claims.judge_cases({k: bool(v > 0.5) for k, v in shares.items()},
                           len(partners("finetuned"))),
        f"Recorded on Broden, of the finetuned model's concepts the zero-shot model encodes: {told}"
        ". Rule: mostly means more than half.",
    )  # fmt: skip

holds, sentences = {}, []
textures = {name: int(m.value("top_textures")) for name, m in probed.items()}
for one, other in partners("finetuned"):
    if one.name in textures:
        named = len(probed[one.name].value("top_concepts"))
        holds[one.name] = textures[one.name] > named / 2
        told = f"{titles[one.name]}: {textures[one.name]} of {named}"
        if on_the_same(one.name, other.name):
            holds[other.name] = textures[other.name] < textures[one.name]
            told += f", finetuned {textures[other.name]}"
        sentences.append(told)
if holds:
    with_partners = {m.name for pair in partners("finetuned") for m in pair}
    verdicts["D-texture"] = Verdict(
        claims.judge_cases(holds, len(with_partners)),
        "Recorded on Broden, textures among the concepts of highest average precision along the "
        f"most important direction for these images: {'; '.join(dict.fromkeys(sentences))}. Rule, "
        "ours: more than half of them are textures in zero-shot models, and fewer after "
        "finetuning. Names are not recorded; the pages of the backbones show them where features "
        "are on disk.",
    )

holds, sentences = {}, []
for model in captions_models:
    (family,) = (f for f in families.values() if model in f.models)
    top = [m.name for m in family.at_level("zero_shot") if m.name in counted]
    low = [m.name for m in family.at_level("supervised") if m.name in counted]
    if top and low and on_the_same(model.name, *top, *low):
        own_count = counted[model.name].value("unique")
        ends = [np.mean([counted[n].value("unique") for n in names]) for names in (low, top)]
        holds[model.name] = bool(abs(own_count - ends[1]) < abs(own_count - ends[0]))
        sentences.append(
            f"{titles[model.name]}: {own_count:.0f}, zero-shot {ends[1]:.0f}, supervised "
            f"{ends[0]:.0f}"
        )
if holds:
    verdicts["C-not-indicator"] = Verdict(
        claims.judge_cases(holds, len(captions_models)),
        f"Unique concepts recorded on Broden: {'; '.join(sentences)}. Rule, ours: language "
        "explains the number if the model trained on captions, which is not robust, is nearer to "
        "zero-shot than to supervised.",
    )

# %% [markdown]
# ## Cards and ledger


# %%
def card(claim: claims.Claim, verdict: Verdict) -> str:
    """One claim as a block of MyST."""
    badge = f"[{verdict.outcome}]{{.verdict-{verdict.outcome.replace(' ', '-')}}}"
    place = f"{claim.place}, {' and '.join(claim.version)}"
    return (
        f":::{{div}} claim-card\n**{claim.id}** {badge} *{place}*\n\n"
        f"**The paper:** {claim.statement}\n\n**Expected:** {claim.expected}\n\n"
        f"**Found:** {verdict.evidence}\n:::"
    )


for name, claim in stated.items():
    unmeasured = Verdict("not measured", f"No evidence yet. It needs: {claim.needs}")
    verdicts.setdefault(name, unmeasured)
    style.text(name, card(claim, verdicts[name]))

# %%
ledger = pd.DataFrame(
    {
        "claim": list(stated),
        "verdict": [
            f"[{verdicts[n].outcome}]{{.verdict-{verdicts[n].outcome.replace(' ', '-')}}}"
            for n in stated
        ],
        "version": [", ".join(c.version) for c in stated.values()],
        "chapter": [f"{{doc}}`/{c.page}`" for c in stated.values()],
        "expected": [c.expected for c in stated.values()],
    }
)
style.table(
    ledger,
    name="ledger",
    caption="""The paper's claims and the verdict of this build on each; the cards below give the
    evidence.""",
    evidence="published",
)
counts = ledger["claim"].map(lambda n: verdicts[n].outcome).value_counts()
order = ("reproduced", "partly", "differs", "not measured")
style.text("counts", ", ".join(f"{counts.get(o, 0)} {o}" for o in order))
