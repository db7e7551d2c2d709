# ---
# jupyter:
#   companion:
#     scope: family
#     evidence: [concepts--pocket, concepts--broden]
#     measurements: [concepts]
#     reads:
#     - data/emoji/emoji.zip
#     - data/emoji/appearance.npy
# ---

# %% [markdown]
# # Concepts, direction by direction
#
# This page shows what depends on choices that the paper leaves open, how many concepts a direction
# holds, and what lies along each. The counts are on the backbone's page of {doc}`/concepts`.

# %% tags=["parameters"]
family: str = "pocket_cnn"  # the model family that is shown
named: int = 5  # concepts that are named of the most important direction
shown: int = 8  # images at each of its ends

# %%
import numpy as np
import pandas as pd

from analysis.families.registry import load_family
from companion.chapters import concept_tables, picture_rows
from companion.chapters.measured import model_of
from companion.chapters.notes import closing_notes
from companion.engine import plots, style
from companion.engine.page import Page
from companion.measurements.kept_counts import counts_of

backbone = load_family(family)
measured = concept_tables.of_family(backbone)
live = {title: m for title, m in measured.items() if m.live}  # features of these are here
evidence = style.kind(measured.values())
page = Page("concepts_directions", evidence, shown=shown)

# %% [markdown]
# ## Concepts per direction

# %%
parts = [
    pd.DataFrame(
        {"of": title, "level": m.level, "panel": f"AP ≥ {m.value(cut):g}"}
        | {"concepts": np.sort(m.value(name))[::-1]}
    )
    for cut, name in (("threshold", "per_direction"), ("lower_threshold", "per_direction_lower"))
    for title, m in measured.items()
]
place = "direction, most concepts first"
curves = pd.concat(p.assign(**{place: np.arange(1, len(p) + 1)}) for p in parts) if parts else None
page.figure(
    "polysemanticity",
    plots.lines(curves, place, "concepts", drawstyle="steps-mid") if parts else None,
)

# %% [markdown]
# ## What the choices do
#
# As far as we know, the paper leaves open the sign of a direction, whether features are normalised,
# and how many positives a concept needs. The table repeats the counts under other choices.

# %%
CHOICES = [
    f"{how}, {along}"
    for along in ("right singular vectors", "coordinates")
    for how in ("as above", "both signs", "length 1")
]
CHOICES += ["look-alikes too", "annotated negatives", "1 % of a picture"]  # the last two: Broden
choices = []
for title, m in measured.items():
    counts = ("{:.0f} / {:.0f}".format(*both) for both in m.value("other_choices"))
    choices.append({"model": title} | dict(zip(CHOICES, counts, strict=False)))
page.table("choices", choices)

# %% [markdown]
# ## Kinds of concepts
#
# From here on we look at single concepts, which needs the features on this disk.

# %%
probe = concept_tables.chosen(live.values())
cuts = [m.value(cut) for m in [*live.values()][:1] for cut in ("threshold", "lower_threshold")]
kinds = ({"model": t} | concept_tables.kinds(counts_of(m), probe, cuts) for t, m in live.items())
page.table("kinds", kinds, "live")

# %% [markdown]
# ## The most important direction

# %%
along, ends = [], {}
images, names = concept_tables.emoji_of(probe)
for title, m in live.items():
    row, order = concept_tables.most_important(model_of(m), probe, named)
    along.append(row)
    ends[title] = [*order[:shown], *order[-shown:]]
page.table("top-concepts", along, "live")
page.figure("pictures", picture_rows.ends(ends, images, names) if len(images) else None, "live")

# %% [markdown]
# ## Every concept

# %%
page.table("every-concept", concept_tables.lookup(probe, live), "live")

# %% tags=["remove-input"]
page.texts(closing_notes("concepts", backbone, list(measured.values())))
