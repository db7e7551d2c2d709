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
from companion.publish import measured, style, unread
from companion.publish.page import Page
from companion.publish.style import digits

editions = (edition, "contrast") if edition == "paper" else (edition,)
found = measured.known("unread", *editions)
page = Page("unread", found, edition=edition)

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
page.texts(by_hand_before=digits(kurtosis(h).mean()), by_hand_after=digits(kurtosis(left).mean()))

# %% [markdown]
# ## Dropped, and next to random directions

# %%
one_each = measured.one_set_each([m for m in found if m.level != "random"])
judged = [m for m in found if m.level != "random" and unread.Pair(m, 0).judged]
shown = measured.one_set_each(judged or one_each)
page.figure("curves", unread.curves(shown[:4]) if shown else None)
page.figure("directions", unread.directions(shown[:4]) if shown else None)

# %%
tasks = {m.model: m for m in shown}
first = [unread.Pair(tasks.get(m.model, m), 0) for m in measured.one_set_each(found)]
for name, some in (("first", first), ("every", unread.pairs(found))):
    page.table(name, map(unread.row, some))
shares = pd.DataFrame(
    {"model": "", "share (%)": f"{100 * share:g}"}
    | unread.row(unread.Pair(m, 0), share, images=False)
    for m in shown
    for share in m.value("shares")
)
page.table("shares", shares.drop(columns=["texts", "accuracy (points)"], errors="ignore"))

# %%
for name, random in (("trained", False), ("drawn", True)):
    own = [m for m in found if (m.level == "random") == random]
    values = [100 * unread.Pair(m, 0).at("energy") for m in own]
    told = f"{style.span(values, '{:.0f}'.format)} %" if values else "not measured"
    page.texts({f"energy-{name}": told})

# %% [markdown]
# ## In words

# %%
whole = [p for p in unread.pairs(found) if "OpenAI" in measured.model_title(p.m) and p.enough]
if edition == "paper" and whole:
    page.texts(unread.ranges(whole))
    front = max((p for p in whole if p.judged), key=lambda p: p.m.counts["images"])
    shown_front = {
        "front": f"{measured.model_title(front.m)} on {front.m.data.title}",
        "front-dropped": f"{front.at('dropped'):.0f} of {front.m.counts['components']}",
        "front-before": digits(front.m.value("kurtosis")),
        "front-after": digits(front.at("kurtosis_without")),
        "front-change": front.change(),
    }
    page.texts(shown_front)
    above = [p for p in whole if p.at("kurtosis_without") > 6]
    page.holds({p.m.family for p in above} == {"vit_b_16"}, "For ViT-B/16, κ stays above 6")
    for name, low, high in (("ViT-B/", 0.03, 0.08), ("ViT-L/14", 0.15, 0.25), ("RN50", 0.4, 0.6)):
        part = [p.chance for p in whole if name in measured.set_title(p.m)]
        page.holds(
            low < min(part) and max(part) < high,
            "about a twentieth in the ViT-B models, a fifth in ViT-L/14 and half in RN50",
        )
    kappa = style.span(p.at("kurtosis_without") for p in above)
    page.texts(exceptions=len(above), exceptions_kappa=kappa)
    control = [p for p in unread.pairs(found) if p.m.level == "random"]
    if control:
        inside, chance = (f"{100 * v:.0f} %" for v in (control[0].at("energy"), control[0].chance))
        page.texts(control=inside, control_chance=chance)
