# ---
# jupyter:
#   companion:
#     scope: family
#     evidence: [concepts--pocket, concepts--broden]
#     measurements: [concepts]
#     reads:
#     - data/claims.yaml
#     - data/emoji/emoji.zip
#     - data/emoji/appearance.npy
# ---

# %% [markdown]
# # Concepts
#
# Which concepts lie along single directions of this backbone's representations, and how many would
# by chance? The section {doc}`/concepts` explains the question; {eq}`eq-average-precision` and
# {eq}`eq-n-unique` are what is computed.

# %% tags=["parameters"]
family: str = "pocket_cnn"  # the model family that is shown

# %%
import numpy as np
import pandas as pd

from analysis.families.registry import load_family
from analysis.metrics.average_precision import average_precision_on, balanced_sample, project
from analysis.metrics.concept_counts import regions
from analysis.metrics.directions import decompose
from companion.claims import ledger
from companion.claims.evidence import of_family
from companion.claims.rules import judge
from companion.measurements import concept_probe
from companion.measurements.measures import counts_of
from companion.publish import cards, charts, counts, dots, style, words

backbone = load_family(family)
measured = counts.of_family(backbone)
evidence = words.kind(measured.values())
style.text("probe", counts.probe(measured.values()))

# %% [markdown]
# ## From projections to average precision
#
# Project images that show a concept, and the same number that do not, on a direction v of the head,
# and sort them. Average precision averages, over the images that show the concept, the share of
# such images from the top down to that one.

# %%
for model in [words.whose(m)[1] for m in measured.values() if m.live][:1]:
    probe = counts.chosen(measured.values())
    h = concept_probe.features(model, probe)  # (N, d)
    v = decompose(concept_probe.head(model, probe.data).weight).directions[:1]  # (1, d)
    drawn = balanced_sample(probe.labels, seed=0)  # positives and negatives of each concept
    rows, shows = drawn.rows[: drawn.starts[1]], drawn.positive[: drawn.starts[1]]  # of the first
    in_order = shows[np.argsort(-(h[rows] @ v[0]), kind="stable")]
    share = in_order.cumsum() / np.arange(1, len(in_order) + 1)
    by_hand = share[in_order].mean()
    scores = project(h, v, normalise=False)
    assert np.isclose(by_hand, average_precision_on(scores, drawn)[0, 0], atol=1e-3)
    style.text(
        "by-hand", f"{model.title}, v1, *{probe.names[0]}*: average precision {by_hand:.2f}."
    )

# %% [markdown]
# ## How many concepts

# %%
BASES = {"": "right singular vectors", "coordinates_": "coordinates"}
found = {(t, basis): counts_of(m, basis) for t, m in measured.items() for basis in BASES}
quantities, frequent = (f(measured.values()) for f in (counts.quantities, counts.how_frequent))
of_frequent = f"""*Frequent*: of {frequent}, in one draw; the interval is from random halves of
    the images. {counts.in_halves(found[m, ""] for m in measured)}"""

for basis, along in BASES.items():
    table = pd.DataFrame(
        {"model": model, "concepts with": title}
        | counts.beside_chance(found[model, basis], quantity, "encoded")
        | ({} if basis else {"frequent, ± 95 %": counts.frequent(found[model, basis], quantity)})
        for model in measured for quantity, title in quantities.items()
    )  # fmt: skip
    style.table(
        f"table-3{'-coordinates' * bool(basis)}", table, evidence,
        f"""Unique concepts that the {along} of each {backbone.title} model encode, compared with
        two kinds of chance (counterpart of the paper's Table 3). Each direction has one sign.""",
        more=f"""Mean (lowest to highest): over draws of negatives; over sets of the same number of
        random directions in the same features; over permutations of the labels. Mean best AP: over
        concepts, in percent. {"" if basis else of_frequent}""",
    )  # fmt: skip

# %%
first, *others = measured or [""]
gaps = pd.DataFrame(
    {"models": f"{first} minus {other}"}
    | {title: counts.gap(found[first, ""], found[other, ""], quantity)
       for quantity, title in quantities.items()}
    for other in others
)  # fmt: skip
style.table(
    "differences", gaps, evidence,
    f"""The first model's excess over each other model, among {frequent}.
    ±: 1.96 standard deviations of the paired difference over random halves of the images, with new
    negatives.""",
)  # fmt: skip

# %%
shown = {title: [counts.row(model, m, quantity) for model, m in measured.items()]
         for quantity, title in quantities.items() if quantity != "best"}  # fmt: skip
style.figure(
    "counts", dots.rows(shown) if measured else None, evidence,
    f"""Unique concepts along the right singular vectors of each {backbone.title} head, compared
    with chance. The line spans draws of negatives; the bars show the same number of random
    directions (above) and permuted labels (below).""",
    more="Line and bars run from the lowest to the highest value; strokes mark the bars' means.",
)  # fmt: skip

# %% [markdown]
# ## What the levels share

# %%
trio = counts.trio(measured.values())  # level → a finetuned model, its start, a supervised one
cuts = counts.thresholds(measured.values()) if trio else ()
shared = {
    (along, f"{cut:g}"): regions({v: counts_of(m, basis).ap for v, m in trio.items()}, cut)
    for basis, along in BASES.items() for cut in cuts
}  # fmt: skip
parts = ({"directions": a, "AP ≥": c} | words.regions(r) for (a, c), r in shared.items())
style.table(
    "regions", pd.DataFrame(parts), evidence,
    """Concepts that the zero-shot model (ZS), the model finetuned from it (FT) and the supervised
    model (SUP) encode: the numbers of the paper's Figure 4. One draw of negatives.""",
)  # fmt: skip
style.figure(
    "venn", charts.venn({f"{a}, AP ≥ {c}": r for (a, c), r in shared.items()}) if trio else None,
    evidence,
    f"""How the concepts of three levels overlap: the paper's Figure 4 for {backbone.title},
    measured here. Areas are approximate; a level that encodes nothing has no circle.""",
)  # fmt: skip

# %% [markdown]
# ## What follows for the claims

# %%
known = of_family(backbone, measured.values())
for name, claim in ledger.load_claims().items():
    if name.startswith("C-") or name == "D-texture":
        verdict = judge(claim, known)
        style.text(f"claim-{name}", f"**{name}.** {cards.brief(claim, verdict)}")
words.missing("concepts", backbone, list(measured.values()))
