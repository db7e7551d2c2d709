# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper, pocket]
#     measurements: [unread]
#     reads:
#     - data/embeddings.yaml
#     - data/embeddings/foreign.csv
#     - data/emoji/emoji.zip
# ---

# %% [markdown]
# # What the head does not read
#
# What is left of κ and of accuracy if images lose the directions along which their model's texts
# vary least, or the mean image's part in them? {doc}`/what_kurtosis_measures` explains this.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import numpy as np
import pandas as pd

from analysis.base.roots import ROOT
from analysis.metrics import basis
from analysis.metrics.outliers import kurtosis
from companion.chapters import measured, unread_figures
from companion.engine import style
from companion.engine.page import Page
from companion.engine.style import digits
from companion.measurements.intervals import Interval
from companion.measurements.unread import LARGEST, ORTHOGONAL

editions = (edition, "contrast") if edition == "paper" else (edition,)
measurements = measured.of_editions("unread", *editions)
page = Page("unread", measurements, edition=edition)

# %% [markdown]
# ## By hand
#
# We draw texts that vary in 40 of 64 directions, and images with a large constant in one of the
# others. Texts vary least along the last right singular vectors of the centred texts. The mean
# image's part in these is one vector, and without it alone κ is as low.

# %%
rng = np.random.default_rng(0)
texts = rng.normal(size=(200, 64)) * (np.arange(64) < 40)
h = texts[:100] + rng.normal(0, 0.3, (100, 64)) + 20 * np.eye(64)[50]
least = np.linalg.svd(texts - texts.mean(0))[2][::-1][:24]
left = h - h @ least.T @ least
assert (h @ texts.T).argmax(1).tolist() == (left @ texts.T).argmax(1).tolist()
assert np.allclose(left, basis.without(h, basis.least_varying(texts, 0)))
one = basis.mean_part(h, least)
assert kurtosis(h - np.outer(h @ one, one) / (one @ one)).mean() < 1.1 * kurtosis(left).mean()
page.number(by_hand_before=digits(kurtosis(h).mean()), by_hand_after=digits(kurtosis(left).mean()))

# %% [markdown]
# ## Dropped, and next to random directions

# %%
trained = [m for m in measurements if m.level != "random"]
judged = [m for m in trained if unread_figures.pairs([m])["judged"].iloc[0]]
chosen = measured.one_set_each(judged or trained)
page.figure("curves-each", unread_figures.curves(chosen[:4]) if chosen else None)
b_32 = [m for m in chosen if "ViT-B/32" in measured.model_title(m)][:1] or chosen[:1]
page.figure("curves", unread_figures.curves(b_32) if b_32 else None)
page.slide("curves", unread_figures.curves(b_32) if b_32 else None, 2.9)
page.figure("directions", unread_figures.along_texts(chosen[:4]) if chosen else None)

# %%
tasks = {m.model: m for m in chosen}
first = unread_figures.pairs(tasks.get(m.model, m) for m in measured.one_set_each(measurements))
pairs = unread_figures.pairs(measurements)
page.table("first", first.query("place == 0"))
page.table("every", pairs)
each = [unread_figures.taken_off(m) for m in chosen]
falls = [taken["kurtosis"][2] < taken["kurtosis"][0] / 2 for taken in each]
taken_off = pd.concat(each) if each else []
page.table("taken-off-each", taken_off, holds=edition == "pocket" or all(falls))
shares = [unread_figures.pairs([m], m.value("shares")) for m in chosen]
if shares:
    of_shares = pd.concat(shares).query("place == 0")
    page.table("shares", of_shares.assign(percent=100 * of_shares["share"]))

# %%
for name, which in (("trained", "!="), ("drawn", "==")):
    energy = 100 * pairs.query(f"place == 0 and level {which} 'random'")["energy"]
    text = f"{style.span(energy, '{:.0f}'.format)} %" if len(energy) else "not measured"
    page.number({f"energy-{name}": text})

# %% [markdown]
# ## In words

# %%
# nine photographs say too little
whole = pairs[pairs["model"].str.contains("OpenAI") & pairs["enough"] & (pairs["images"] >= 30)]
if edition == "paper" and len(whole):
    of_others = whole[whole["judged"]]
    row = whole.to_dict("list") | {"pairs": len(whole), "models": whole["model"].nunique()}
    page.numbers("of-pairs", row | {"reach": unread_figures.reach(of_others["change"])})
    page.numbers("one-of-pairs", row | {"reach": unread_figures.reach(of_others["one_change"])})
    unlabelled = whole[whole["enough"] & whole["one_change"].isna() & ~whole["in_sample"]]
    changed = 1 - unlabelled["equal_one_vector"]
    page.holds(changed.max() > 0.1, "single predictions do change")
    page.number(
        single_changed=f"{style.span(100 * changed)} %",
        single_middle=f"{100 * changed.median():.0f} %",
        single_sets=len(changed),
    )
    front = of_others.loc[of_others["images"].idxmax()]  # texts of another vocabulary come first
    page.numbers("front-of", front)
    page.holds(
        "dishes" in front["texts"], "Names of dishes, not of these classes, chose the direction"
    )
    page.holds(front["one_change"].low > -0.01, "and accuracy on ImageNet's classes stays")
    beside = of_others[of_others["data"] == front["data"]]
    page.numbers("classes-of", beside.iloc[-1])
    (m,) = (m for m in chosen if measured.model_title(m) == front["model"])
    taken = unread_figures.taken_off(m)
    # the last needs a bias
    only = unread_figures.in_corner(taken) == ["without", "one_vector", "constant", "biased"]
    most, loss = (f"{limit:g}" for limit in unread_figures.CORNER)
    page.figure("taken-off", unread_figures.costs(taken), holds=only, most=most, loss=loss)
    row = unread_figures.by_name(taken)
    as_far = all(
        row[f"{name}_kurtosis"] < 10 and row[f"{name}_change"].high < 0
        for name in ("mean", "leader_at_zero")
    )
    page.holds(
        as_far,
        "the whole mean image κ falls as far, but accuracy with it. Setting the dominant",
    )
    little = all(
        row[f"{name}_kurtosis"] > row["nothing_kurtosis"] / 2 and row[f"{name}_change"].high < -0.05
        for name in ("most_varying", "least_varying")
    )
    page.holds(little, "along which images vary most or least lower κ little and cost much")
    rivals = [row[f"orthogonal_{r}_change"] for r in ORTHOGONAL]
    costly = all(change.high < 0 for change in rivals)
    page.holds(
        costly, "part of the mean image orthogonal to the directions along which images vary"
    )
    page.numbers(
        "of-rivals",
        {
            "cost": [-100 * change.value for change in rivals],
            "kurtosis": [row[f"orthogonal_{r}_kurtosis"] for r in ORTHOGONAL],
            "biased": row["biased_kurtosis"],
            "directions": ORTHOGONAL,
            "largest": [-100 * row[f"mean_in_{n}_change"].value for n in LARGEST],
        },
    )
    foreign = pd.read_csv(ROOT / "data" / "embeddings" / "foreign.csv")
    images = int(front["images"])
    foreign["change"] = [
        Interval.of_paired(change, error, images)
        for change, error in foreign[["change", "error"]].to_numpy()
    ]
    page.table("foreign", foreign.assign(what=foreign["images"].str.replace("_", " ")))
    others = foreign.iloc[1:]
    page.holds(
        others["kurtosis"].max() < 10 and min(c.low for c in others["change"]) > -0.015,
        "The vector is the model's, not the data set's",
    )
    page.numbers("of-foreign", others.to_dict("list") | {"sets": len(others)})
    page.numbers("of-textures", others.set_index("images").loc["dtd_test"])
    of = {m.family: unread_figures.by_name(unread_figures.taken_off(m)) for m in chosen}
    for family, row in of.items():
        page.numbers("taken-of-each", row | {"family": family.replace("_", "-")})
    unsure = (of["vit_b_16"]["mean_change"], of["rn50"]["leader_at_zero_change"])
    page.holds(all(c.low < 0 < c.high for c in unsure), "which may be nothing")
    fall = [of["rn50"][f"{name}_kurtosis"] for name in ("leader_at_zero", "one_vector")]
    page.holds(fall[0] < 1.6 * fall[1], "that we can see either, and lowers κ nearly as far")
    left = (whole["kurtosis_one_vector"] - 3) / (whole["kurtosis"] - 3)
    page.holds(left.max() < 0.25, "of OpenAI's models most of κ comes from one vector")
    page.holds(left.max() < 0.25 and whole["model"].nunique() == 4, "In four of OpenAI's")
    above = whole[whole["kurtosis_without"] > 6]
    described = above["texts"].str.contains("descriptions").all()
    described &= len(above) == whole["texts"].str.contains("descriptions").sum()
    page.holds(described, "Where the texts are generated descriptions of the classes, κ stays")
    for name, low, high in (("ViT-B/", 0.03, 0.08), ("ViT-L/14", 0.15, 0.25), ("RN50", 0.4, 0.6)):
        part = whole.loc[whole["model"].str.contains(name), "chance"]
        page.holds(
            low < part.min() and part.max() < high,
            "about a twentieth in the ViT-B models, a fifth in ViT-L/14 and half in RN50",
        )
    page.number(exceptions_kappa=style.span(above["kurtosis_without"]))
    for _, control in pairs[pairs["level"] == "random"].head(1).iterrows():
        page.numbers("control-of", control)
