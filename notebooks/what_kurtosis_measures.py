# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper, pocket]
#     measurements: [accuracy, basis]
#     reads:
#     - data/embeddings.yaml
#     - data/emoji/emoji.zip
#     - data/moments/kurtosis.csv
#     - data/pocket/*.csv
#     - data/published/*.csv
# ---

# %% [markdown]
# # What kurtosis measures
#
# What do rotations and means do to κ and to predictions? {doc}`/what_kurtosis_measures` explains
# the results.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import numpy as np
import pandas as pd

from analysis.base.roots import ROOT
from analysis.metrics import basis
from analysis.metrics.indicators import rank_correlation
from analysis.metrics.outliers import kurtosis
from companion.chapters import figures, measured
from companion.claims.evidence import gather
from companion.engine import plots, style
from companion.engine.page import Page
from companion.engine.style import digits

editions = (edition, "contrast") if edition == "paper" else (edition,)
bases = [m for m in measured.of_editions("basis", *editions) if not measured.of_captions(m)]
one_each, kind = measured.one_set_each(bases), style.kind(bases)
clip = [m for m in bases if m.level == "zero_shot" and measured.family_of(m).edition == edition]
clip = [m for m in clip if m.counts["images"] >= 30]  # a covariance of nine photographs is none
page = Page("what_kurtosis_measures", kind, edition=edition)

# %% [markdown]
# ## By hand
#
# We draw images with one large coordinate and a head that names a class, and rotate both at random.

# %%
rng = np.random.default_rng(0)
h, head = rng.normal(size=(500, 64)), rng.normal(size=(10, 64))
h[:, 7] += 12
turn = np.linalg.qr(rng.normal(size=(64, 64)))[0]
assert np.allclose(h @ head.T, (h @ turn) @ (head @ turn).T)
assert np.isclose(basis.mean_share(h), basis.mean_share(h @ turn))
before, after = (digits(kurtosis(some).mean()) for some in (h, h @ turn))
page.number(by_hand_before=before, by_hand_after=after)

# %% [markdown]
# ## A rotation, and the mean image

# %%
GIVEN, CHANGED = "as the model gives it", "changed"
CHANGES = {"after a rotation": "kurtosis_rotated", "without the mean": "kurtosis_less_mean"}
rows = pd.DataFrame(
    {"panel": title, "of": measured.model_title(m), "level": m.level}
    | {GIVEN: m.value("kurtosis"), CHANGED: np.mean(m.value(name))}
    for title, name in CHANGES.items()
    for m in sorted(one_each, key=lambda m: -m.value("kurtosis"))
)
axis = {"label": "activation kurtosis κ"}
if bases:
    marks = plots.marks(rows, GIVEN, other=CHANGED, verticals=figures.GAUSSIAN, **axis)
page.figure("turned", marks if bases else None)
if bases:
    by_level = rows[rows["panel"] == "after a rotation"].groupby("level", sort=False)
    few = by_level.head(1).index.union(by_level.get_group("zero_shot").index[:2])
    marks = plots.marks(rows.loc[few], GIVEN, other=CHANGED, verticals=figures.GAUSSIAN, **axis)
page.slide("turned", marks if bases else None)
for name, some in (("statements", one_each), ("every-set", bases)):
    rotated = measured.frame(some, lambda m: {"most_rotated": np.max(m.value("kurtosis_rotated"))})
    page.table(name, rotated)

# %% [markdown]
# ## In numbers

# %%
if len(clip) > 2:
    apart = [abs(m.value("kurtosis_gaussian") / m.value("kurtosis") - 1) for m in clip]
    share = [m.counts["components"] * m.value("mean_share") ** 2 for m in clip]
    r = np.corrcoef(np.log([m.value("kurtosis_eigenframe") for m in clip]), np.log(share))[0, 1]
    page.number(
        gaussian_apart=f"{100 * max(apart):.0f} %", sets=len(clip), eigenframe_share=f"{r:.3f}"
    )
for control in [m for m in one_each if m.level == "random"][:1]:
    for name in ("mean_share", "kurtosis_eigenframe"):
        same = [m.value(name) for m in clip if m.data.name == control.data.name]
        above = control.value(name) > max(same, default=0)
        page.holds(above, "random weights have more of both than OpenAI's ViT-B/16")
        page.number({f"random-{name}": digits(control.value(name))})

# %%
if edition == "paper":
    sparse = next(m for m in one_each if m.model.startswith("efficientnet_lite0"))
    page.holds(sparse.value("kurtosis") > 2 * sparse.value("kurtosis_gaussian"), "something else")
    moments = pd.read_csv(ROOT / "data/moments/kurtosis.csv")
    kappas = (m.value("kurtosis") for m in bases if m.model in set(moments["model"]))
    page.number(
        sparse_kurtosis=digits(sparse.value("kurtosis")),
        sparse_gaussian=digits(sparse.value("kurtosis_gaussian")),
        moments=" or ".join(map(digits, moments["kurtosis"])),
        moments_leader=moments["leader"][0],
        moments_images=style.span(kappas),
    )

# %% [markdown]
# ## Does a statement order robust and less robust models?

# %%
STATEMENTS = ["kurtosis", "kurtosis_less_mean", "mean_share", "kurtosis_eigenframe"]
STATEMENTS += ["effective_rank"]
intervals = gather(edition, experiments=("accuracy",)).intervals
trained = [m for m in bases if m.level != "random" and not m.provenance.inferred]
compared = [m for m in trained if m.model in intervals]
frame = measured.frame(compared, lambda m: {"model": m.model, "er": intervals[m.model].value})
if len(frame) > 2:  # of a model on several sets of images the median
    medians = frame.groupby("model")[[*STATEMENTS, "er"]].median()
    rho = {name: rank_correlation(medians[name], medians["er"]) for name in STATEMENTS}
    apart = max(map(abs, rho.values())) < 1
    page.table("order", [{"models": len(medians)} | rho], holds=apart)
