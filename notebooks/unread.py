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
# What is left of κ and of accuracy if images lose the directions along which their model's texts
# hardly vary? {doc}`/what_kurtosis_measures` explains these results.

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
measurements = measured.of_editions("unread", *editions)
page = Page("unread", measurements, edition=edition)

# %% [markdown]
# ## By hand
#
# We draw texts that vary in 40 of 64 directions, and images with a large constant in one of the
# others. Texts vary least along the last right singular vectors of the centred texts.

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
trained = [m for m in measurements if m.level != "random"]
judged = [m for m in trained if unread.pairs([m])["judged"].iloc[0]]
chosen = measured.one_set_each(judged or trained)
page.figure("curves", unread.curves(chosen[:4]) if chosen else None)
page.figure("directions", unread.directions(chosen[:4]) if chosen else None)

# %%
tasks = {m.model: m for m in chosen}
first = unread.pairs(tasks.get(m.model, m) for m in measured.one_set_each(measurements))
pairs = unread.pairs(measurements)
page.table("first", first.query("place == 0"))
page.table("every", pairs)
shares = [unread.pairs([m], m.value("shares")) for m in chosen]
if shares:
    of_shares = pd.concat(shares).query("place == 0")
    page.table("shares", of_shares.assign(percent=100 * of_shares["share"]))

# %%
for name, which in (("trained", "!="), ("drawn", "==")):
    energy = 100 * pairs.query(f"place == 0 and level {which} 'random'")["energy"]
    text = f"{style.span(energy, '{:.0f}'.format)} %" if len(energy) else "not measured"
    page.texts({f"energy-{name}": text})

# %% [markdown]
# ## In words

# %%
whole = pairs[pairs["model"].str.contains("OpenAI") & pairs["enough"]]
if edition == "paper" and len(whole):
    of_others = whole[whole["judged"]]
    largest = of_others.loc[of_others["change"].map(lambda change: abs(change.value)).idxmax()]
    row = whole.to_dict("list") | {"pairs": len(whole), "models": whole["model"].nunique()}
    page.numbers("of-pairs", row)
    page.numbers("cost-of", largest)
    front = of_others.loc[of_others["images"].idxmax()]
    page.numbers("front-of", front)
    above = whole[whole["kurtosis_without"] > 6]
    page.holds({*above["family"]} == {"vit_b_16"}, "For ViT-B/16, κ stays above 6")
    for name, low, high in (("ViT-B/", 0.03, 0.08), ("ViT-L/14", 0.15, 0.25), ("RN50", 0.4, 0.6)):
        part = whole.loc[whole["model"].str.contains(name), "chance"]
        page.holds(
            low < part.min() and part.max() < high,
            "about a twentieth in the ViT-B models, a fifth in ViT-L/14 and half in RN50",
        )
    page.texts(exceptions=len(above), exceptions_kappa=style.span(above["kurtosis_without"]))
    for _, control in pairs[pairs["level"] == "random"].head(1).iterrows():
        page.numbers("control-of", control)
