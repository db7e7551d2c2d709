# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper, pocket]
#     measurements: [unread]
#     reads:
#     - data/embeddings.yaml
#     - data/emoji/emoji.zip
# ---

# %% [markdown]
# # What the head does not read
#
# Images without the directions along which their model's texts hardly vary. The page
# {doc}`/what_kurtosis_measures` shows these results and explains them.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import numpy as np
import pandas as pd

from analysis.metrics import basis
from analysis.metrics.outliers import kurtosis
from companion.publish import measured, style, unread, words
from companion.publish.style import digits, holds

editions = (edition, "contrast") if edition == "paper" else (edition,)
found = measured.known("unread", *editions)
kind = words.kind(found) if found else None

# %% [markdown]
# ## By hand
#
# Texts that vary in 40 of 64 directions, and images with a large constant in one of the others. The
# right singular vectors of the centred texts, the last ones first, are what texts vary along least.

# %%
rng = np.random.default_rng(0)
texts = rng.normal(size=(200, 64)) * (np.arange(64) < 40)
h = texts[:100] + rng.normal(0, 0.3, (100, 64)) + 20 * np.eye(64)[50]
least = np.linalg.svd(texts - texts.mean(0))[2][::-1][:24]
left = h - h @ least.T @ least
assert (h @ texts.T).argmax(1).tolist() == (left @ texts.T).argmax(1).tolist()
assert np.allclose(left, basis.without(h, basis.least_varying(texts, 0)))
style.texts(
    {"by-hand-before": digits(kurtosis(h).mean()), "by-hand-after": digits(kurtosis(left).mean())}
)

# %% [markdown]
# ## Dropped, and next to random directions

# %%
one_each = measured.one_set_each([m for m in found if m.level != "random"])
judged = [m for m in found if m.level != "random" and unread.Pair(m, 0).judged]
shown = measured.one_set_each(judged or one_each)
CAPTIONS = {
    "paper": (
        """κ falls and accuracy stays when the directions of least text variance are dropped; random
        directions do the opposite. Dotted: directions that hold 0.01 % of the texts' variance.""",
        """The axis of the dominant coordinate (cross) holds much of the images' energy and less of
        the texts' variance than an average axis. Dots: directions; dashed: average energy.""",
        "Dropping the directions along which texts hardly vary removes most of a large κ.",
    ),
    "pocket": (
        """κ and accuracy without directions, those of least text variance first and random ones.
        Dotted: directions that hold 0.01 % of the texts' variance.""",
        """How much texts vary along a direction, and how much energy images have there. Cross: axis
        of the dominant coordinate; dashed: an average direction.""",
        "Without the directions along which a head's rows hardly vary, κ stays.",
    ),
}[edition]
style.figure(
    "curves",
    unread.curves(shown[:4]) if shown else None,
    kind,
    CAPTIONS[0],
    more="""Where possible, other texts than the task's own choose the directions; the table below
    names texts, images and tasks. Random: the mean of three sets of directions.""",
)
style.figure(
    "directions",
    unread.directions(shown[:4]) if shown else None,
    kind,
    CAPTIONS[1],
    more="""Directions with less than a billionth of the variance are drawn there. Along those whose
    variance may be rounding, energy is their mean.""",
)

# %%
COLUMNS = """Dropped: directions with 0.01 % of the texts' variance. κ, random: without the same
number of random ones. Energy: the images' share there (in brackets: in average directions).
Dominant: share of its axis. Equal: predictions that stay (random directions). Too few: no more
texts than components."""
tasks = {m.model: m for m in shown}
first = [unread.Pair(tasks.get(m.model, m), 0) for m in measured.one_set_each(found)]
for name, some in (("first", first), ("every", unread.pairs(found))):
    style.table(name, pd.DataFrame(map(unread.row, some)), kind, CAPTIONS[2], more=COLUMNS)
shares = pd.DataFrame(
    {"model": "", "share (%)": f"{100 * share:g}"}
    | unread.row(unread.Pair(m, 0), share, images=False)
    for m in shown
    for share in m.value("shares")
)
style.table(
    "shares",
    shares.drop(columns=["texts", "accuracy (points)"], errors="ignore"),
    kind,
    "The same for four shares of the texts' variance, fixed before anything was measured.",
)

# %%
for name, random in (("trained", False), ("drawn", True)):
    own = [m for m in found if (m.level == "random") == random]
    values = [100 * unread.Pair(m, 0).at("energy") for m in own]
    told = f"{style.span(values, '{:.0f}'.format)} %" if values else "not measured"
    style.text(f"energy-{name}", told)

# %% [markdown]
# ## In words

# %%
whole = [p for p in unread.pairs(found) if "OpenAI" in measured.model_title(p.m) and p.enough]
if edition == "paper" and whole:
    style.texts(unread.ranges(whole))
    front = max((p for p in whole if p.judged), key=lambda p: p.m.counts["images"])
    shown_front = {
        "front": f"{measured.model_title(front.m)} on {front.m.data.title}",
        "front-dropped": f"{front.at('dropped'):.0f} of {front.m.counts['components']}",
        "front-before": digits(front.m.value("kurtosis")),
        "front-after": digits(front.at("kurtosis_without")),
        "front-change": front.change(),
    }
    style.texts(shown_front)
    above = [p for p in whole if p.at("kurtosis_without") > 6]
    holds({p.m.family for p in above} == {"vit_b_16"}, "κ stays above 6 for ViT-B/16 alone")
    for name, low, high in (("ViT-B/", 0.03, 0.08), ("ViT-L/14", 0.15, 0.25), ("RN50", 0.4, 0.6)):
        part = [p.chance for p in whole if name in measured.set_title(p.m)]
        holds(low < min(part) and max(part) < high, f"how many directions {name} has there")
    kappa = style.span(p.at("kurtosis_without") for p in above)
    style.texts({"exceptions": str(len(above)), "exceptions-kappa": kappa})
    control = [p for p in unread.pairs(found) if p.m.level == "random"]
    if control:
        inside, chance = (f"{100 * v:.0f} %" for v in (control[0].at("energy"), control[0].chance))
        style.texts({"control": inside, "control-chance": chance})
