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
# do so by chance? The section {doc}`/concepts` explains the question; this page computes
# {eq}`eq-average-precision` and {eq}`eq-n-unique`.

# %% tags=["parameters"]
family: str = "pocket_cnn"  # the model family that is shown
shown: int = 5  # images at the top of a direction

# %%
import numpy as np

from analysis.families.registry import load_family
from analysis.metrics.average_precision import average_precision_on, project
from analysis.metrics.concept_counts import regions
from analysis.metrics.directions import decompose
from companion.chapters import claim_cards, concept_tables, picture_rows
from companion.chapters.measured import model_of
from companion.chapters.notes import closing_notes
from companion.claims import ledger
from companion.claims.evidence import evidence_of_family
from companion.claims.rules import judge
from companion.engine import plots, style
from companion.engine.page import Page
from companion.measurements import concept_probe
from companion.measurements.kept_counts import counts_of

BASES = {"": "right singular vectors", "coordinates_": "coordinates"}
backbone = load_family(family)
measured = concept_tables.of_family(backbone)
probe = concept_tables.chosen(measured.values())  # None without features on this disk
evidence = style.kind(measured.values())
page = Page("concepts", evidence, edition=backbone.edition, backbone=backbone.title)

# %% [markdown]
# ## How many concepts

# %%
to_judge = evidence_of_family(backbone, measured.values())
rows = concept_tables.against_chance(measured, to_judge.counts)
page.figure(
    "counts",
    plots.marks(rows, "concepts", other="chance") if len(rows) else None,
    probe=concept_tables.probe_images(measured.values()),
)

# %%
for basis, along in BASES.items():
    page.table(
        "table-3-coordinates" if basis else "table-3",
        concept_tables.counted(measured, basis),
        along=along,
    )
page.table("differences", concept_tables.excess(measured))

# %% [markdown]
# ## What the levels share

# %%
trio = concept_tables.trio(measured.values())  # a finetuned model, its start, a supervised one
cuts = [m.value(cut) for m in [*trio.values()][:1] for cut in ("threshold", "lower_threshold")]
shared = {
    (along, f"{cut:g}"): regions({v: counts_of(m, basis).ap for v, m in trio.items()}, cut)
    for basis, along in BASES.items()
    for cut in cuts
}
rows = (
    {"along": along, "cut": cut, "share": concept_tables.share_of(r, "finetuned", "zero_shot")} | r
    for (along, cut), r in shared.items()
)
page.table("regions", rows)
page.figure(
    "venn",
    picture_rows.venn({f"{a}: AP ≥ {c}": r for (a, c), r in shared.items()}) if trio else None,
)

# %% [markdown]
# ## What lies along a direction
#
# Project images that show a concept, and the same number that do not, on a direction v of the head,
# and sort them. At each image that shows the concept, note the share of such images from the top
# down to it; average precision is the mean of these shares. Here v is the direction along which the
# first concept's is highest.

# %%
for m in [m for m in measured.values() if m.live][:1]:
    model = model_of(m)
    h = concept_probe.features(model, probe)  # (N, d)
    directions = decompose(concept_probe.head(model, probe.data).weight).directions
    number = int(m.value("best_direction")[0])
    v = directions[[number]]  # (1, d)
    drawn = probe.sample(0, concept_probe.Reading.of(m.data.name).annotated)  # of each concept
    images, shows = drawn.rows[: drawn.starts[1]], drawn.positive[: drawn.starts[1]]  # the first's
    order = np.argsort(-(h[images] @ v[0]), kind="stable")
    in_order, ranked = shows[order], images[order]
    share = in_order.cumsum() / np.arange(1, len(in_order) + 1)
    by_hand = share[in_order].mean()
    scores = project(h, v, normalise=False)
    assert np.isclose(by_hand, average_precision_on(scores, drawn)[0, 0], atol=1e-3)
    assert np.isclose(by_hand, m.value("best")[0], atol=1e-3)
    named = {"model": model.title, "direction": number + 1, "concept": probe.names[0]}
    page.by_hand("by-hand", **named, precision=by_hand)

# %%
images, _ = concept_tables.emoji_of(probe)
concept, top = concept_tables.top_images(model, probe, shown) if len(images) else ("", {})
alt = f"Two rows of emoji, the {shown} that score highest for {concept}."
page.figure(
    "top-images",
    picture_rows.pictures({by: images[rows] for by, rows in top.items()}, alt) if top else None,
    "live",
    concept=concept,
)
if len(images):
    page.slide("ranked", picture_rows.ranked(images[ranked], in_order, probe.names[0]), 1.7)

# %% [markdown]
# ## What follows for the claims

# %%
for name, claim in ledger.load_claims().items():
    if name.startswith("C-") or name == "D-texture":
        brief = claim_cards.brief(claim, judge(claim, to_judge))
        page.texts({f"claim-{name}": f"**{name}.** {brief}"})
page.texts(closing_notes("concepts", backbone, list(measured.values())))
