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
#     - data/measurements/accuracy/*.json
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

from analysis import (
    claims,
    concept_counts,
    figures,
    measurements,
    paper_sets,
    pruned_shifts,
    published,
    published_robustness,
    reporting,
    views,
)
from analysis.claims import Verdict
from analysis.imagenet import DIFFERS
from analysis.published import FOUR_SHIFTS
from analysis.published_robustness import CLIP_V2
from analysis.registry import load_families
from analysis.reporting import digits

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
smallest = "; ".join(f"{name} {figures.points(gap)}" for name, gap in gaps.items())
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
    f"Lowest: {figures.points(low['er'], low['er_95'])} points ({low['title']}, "
    f"{low['pretraining']}), printed {100 * claim.values['lowest']:g}. Highest: "
    f"{figures.points(high['er'], high['er_95'])} points ({high['title']}, "
    f"{high['pretraining']}), printed {100 * claim.values['highest']:g}. Tolerance: "
    f"{100 * claim.tolerance:g} point. ±: 95 % interval from the finite test sets."
    + (
        f" From this book's own features, {len(own_zero_shot)} of {len(zero_shot)} zero-shot "
        f"models run from {figures.points(own_zero_shot['er'].min())} to "
        f"{figures.points(own_zero_shot['er'].max())} points; "
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
    return f"V2 {variant}, {c['models']} models ({KINDS[c['kinds']]}): {figures.minus(numbers)}"


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


def recorded(experiment: str, level: str) -> list:
    """Measurements of the families' models of a level that saw every single image."""
    return [
        m
        for m in measurements.read_all(experiment)
        if m.family in families and m.level == level and m.basis == "per_image"
        and "captions" not in m.data.name
    ]  # fmt: skip


def control(measurement):
    """The same measurement of the same backbone with random weights."""
    data = (measurement.family, measurement.data.name)
    found = recorded(measurement.experiment, "random")
    return next((m for m in found if (m.family, m.data.name) == data), None)


holds, sentences = {}, []
for m in recorded("outlier_features", "zero_shot"):
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
        f"{zero_shot_models[m.model]}, {reporting.data_title(m)}: κ "
        f"{digits(m.value('kurtosis_mean'))} (single images {digits(low)} to {digits(high)})."
        + against
    )
if holds:
    verdicts["K-zero-shot"] = Verdict(
        claims.judge_cases(holds, len(zero_shot_models)),
        " ".join(sentences) + f" Measured: {len(holds)} of {len(zero_shot_models)} zero-shot "
        "models, not on ImageNet. Rule: κ counts as far above 3 if every single image lies above "
        "3 and above every image of the control.",
    )

# %%
(sparse,) = measurements.read_all("outlier_features", "efficientnet_lite0")
others = [m for level in LOWER for m in recorded("outlier_features", level)]
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
for m in recorded("privileged_directions", "zero_shot"):
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
        f"{zero_shot_models[m.model]}, {reporting.data_title(m)}, with {m.counts['classes']} "
        f"captions as head: largest importance {digits(largest)} times the mean "
        f"({digits(centred)} with the head centred).{against}"
    )
if holds:
    clip = recorded("privileged_directions", "zero_shot")
    weaker = {
        m.model: bool(m.value("importance").max() < o.value("importance").max())
        for level in LOWER
        for m in recorded("privileged_directions", level)
        for o in clip
        if (m.family, m.data.name) == (o.family, o.data.name)
    }
    verdicts["D-privileged"] = Verdict(
        claims.judge_cases(holds | weaker, len(zero_shot_models) + lower_models),
        " ".join(sentences) + f" Measured: {len(holds)} of {len(zero_shot_models)} zero-shot "
        f"models, with another head than the paper's; {len(weaker)} of {lower_models} finetuned "
        "and supervised models, the comparison of levels needs these. Rule: at "
        f"least {privileged_threshold:g} times the mean, a choice of this book; finetuned and "
        "supervised below zero-shot.",
    )

# %%
claim = stated["P-80"]
share = claim.values["pruned_share"]
holds, sentences, elsewhere = {}, [], []
for m in recorded("pruning", "zero_shot"):
    rank = len(m.value("accuracy_importance"))
    kept = round((1 - share) * rank)
    difference = m.value("difference_importance")[kept - 1]
    error = 1.96 * m.value("difference_importance_error")[kept - 1]
    fewest = reporting.fewest_kept_without_loss(m)
    on_imagenet = m.data.name == "imagenet" and DIFFERS not in m.data.what
    if m.data.name in paper_sets.GRID and not on_imagenet:
        continue  # on a shift a curve is ordered by that shift's own images
    if on_imagenet:  # what the claim is about; another task decides nothing
        holds[f"{m.model}, accuracy"] = bool(difference + error >= 0)
    task = (
        "on ImageNet"
        if on_imagenet
        else f"finding each of {m.counts['images']} COCO images' caption among "
        f"{m.counts['classes']}"
        if m.data.name.startswith("coco")
        else f"{reporting.data_title(m)}, {m.counts['classes']} classes"
    )
    (sentences if on_imagenet else elsewhere).append(
        f"{zero_shot_models[m.model]}, {task}: "
        f"{figures.percent(m.value('accuracy_importance')[-1])} % "
        f"with all {rank} directions, {figures.percent(m.value('accuracy_importance')[kept - 1])} "
        f"% with {kept} ({figures.points(difference, error)} points); with {kept} at random "
        f"{figures.percent(m.value('accuracy_random')[kept - 1])} %. No loss is established down "
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
            f"{reporting.with_interval(*changes['inside'])} points, effective robustness "
            f"{reporting.with_interval(*changes['robustness'])} points."
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
# No model of the paper has been probed. What version 1 prints can be computed with, but that only
# asks whether the paper agrees with itself, so it decides no claim.

# %%
printed = concept_counts.printed_regions(stated["C-overlap"])
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
    figures.text(name, card(claim, verdicts[name]))

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
figures.table(
    ledger,
    name="ledger",
    caption="""The paper's claims and the verdict of this build on each; the cards below give the
    evidence.""",
    evidence="published",
)
counts = ledger["claim"].map(lambda n: verdicts[n].outcome).value_counts()
order = ("reproduced", "partly", "differs", "not measured")
figures.text("counts", ", ".join(f"{counts.get(o, 0)} {o}" for o in order))
