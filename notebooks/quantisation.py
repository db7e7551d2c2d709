# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper, pocket]
#     measurements: [quantisation]
#     reads:
#     - data/benchmarks/stores.csv
#     - data/embeddings.yaml
#     - data/emoji/emoji.zip
#     - data/engines.csv
#     - data/our_claims.yaml
#     - data/pocket/bits.csv
# ---

# %% [markdown]
# # How many bits do features need?
#
# What is left of neighbours and of accuracy if each number of a feature gets few bits?
# {doc}`/bits` explains these results.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import numpy as np
import pandas as pd

from analysis.base.roots import ROOT
from analysis.metrics import quantisation as metrics
from analysis.metrics.basis import random_rotation
from analysis.metrics.outliers import kurtosis
from companion.chapters import measured, quantisation_figures
from companion.claims import ours
from companion.engine import style
from companion.engine.page import Page
from companion.engine.style import digits

editions = (edition, "contrast") if edition == "paper" else (edition,)
measurements = measured.of_editions("quantisation", *editions)
one_each = measured.one_set_each(measurements)
page = Page("quantisation", measurements, edition=edition)

# %% [markdown]
# ## By hand
#
# Twenty clusters of images share one large coordinate. With 4 bits, its size decides the step, and
# most other numbers become 0. After a rotation no number is large, and the neighbours stay.

# %%
rng = np.random.default_rng(0)
centres = rng.normal(size=(20, 64))
h = centres[np.arange(400) % 20] + 0.7 * rng.normal(size=(400, 64)) + 30 * np.eye(64)[7]


def four_bits(h):
    """Round to 15 levels around 0, one scale for each vector."""
    step = np.abs(h).max(axis=1, keepdims=True) / 7
    return step * np.round(h / step)


assert np.allclose(four_bits(h), metrics.uniform(h, bits=4))
queries = np.arange(400)
found, turned = metrics.nearest(h, queries), h @ random_rotation(64, seed=0)
kept = [metrics.kept(found, four_bits(some), queries).mean() for some in (h, turned)]
by_hand = dict(zip(("before", "after"), kept, strict=True))
page.number({f"by-hand-{name}": f"{100 * share:.0f} %" for name, share in by_hand.items()})
page.number({"by-hand-kappa": digits(kurtosis(h).mean())})

# %% [markdown]
# ## Neighbours kept

# %%
table = quantisation_figures.rows(measurements)
if len(table):
    large = table[table["kurtosis_written"] > 30]
    falls = large.empty or large["kept_written"].max() < large["kept_rotated"].min()
    page.figure("picture", quantisation_figures.picture(measurements), holds=falls)
    page.slide("picture", quantisation_figures.picture(measurements), 3)
    widths = table
    for bits in (8, 6, 5, 4, 3, 2):
        of_bits = quantisation_figures.rows(measurements, bits=bits).add_suffix(f"_{bits}")
        widths = widths.join(of_bits)
    page.table("widths", widths)

# %%
if len(one_each) > 3:
    page.numbers("of-rank", quantisation_figures.correlations(table))

# %% [markdown]
# ## A claim of ours
#
# Does κ predict the loss of a family of encoders that is left out? This is no claim of the paper's.

# %%
if edition == "paper" and len(table):
    claim = ours.load()["B-4-bits"]
    each, found = quantisation_figures.encoders(table, claim.after)
    page.table("encoders", each, holds=found.result == "holds")
    of_claim = found._asdict() | {"encoders": len(each)}
    of_claim |= quantisation_figures.beside_kappa(table, each)
    of_claim["rate"] = ours.false_rate(each["family"], alike=0.9)
    page.numbers("of-claim", of_claim)
    texts = {name: getattr(claim, name) for name in ("statement", "expected", "rule", "note")}
    page.texts({f"claim-{name}": text for name, text in texts.items()})

# %% [markdown]
# ## Scheme by scheme

# %%
judged = [m for m in one_each if m.value("accuracy_whole").size and m.level == "zero_shot"]
for front in sorted(judged, key=lambda m: m.counts["images"])[-1:]:
    schemes = quantisation_figures.by_scheme(front, one_each)
    signs = schemes[schemes["scheme"] == quantisation_figures.SCHEME_TITLES["sign"]].iloc[0]
    hurt = signs["accuracy_rotated"] < signs["accuracy_written"]
    alike = schemes.query("bits >= 3")["won"].abs().max() < 0.03
    says = hurt if edition == "paper" else alike
    page.table("schemes", schemes, holds=says, front=measured.set_title(front))
    title = measured.model_title(front)
    page.figure("curves", quantisation_figures.curves([front]), model=title)
    page.numbers("front-of", measured.frame([front]).iloc[0])
    for _, row in schemes.iterrows():
        page.numbers("of-scheme", row)

# %% [markdown]
# ## The error that theory expects

# %%
errors = pd.DataFrame(quantisation_figures.errors(measurements))
if len(errors):
    fine = errors.query("bits >= 6")["ratio"]
    page.number(error_ratio=style.span(fine, "{:.2f}".format))

# %% [markdown]
# ## Engines
#
# What `data/benchmarks/quantisation.py` found, with queries that are not compressed.

# %%
if edition == "paper":
    page.table("engines", pd.read_csv(ROOT / "data/engines.csv"), "recorded")

# %% [markdown]
# ## Stores of texts
#
# Public stores of other people, as `data/benchmarks/bits.py` measures them.

# %%
if edition == "paper":
    stores = pd.read_csv(ROOT / "data/benchmarks/stores.csv")
    frames = {"written": "written", "turned": "turned", "mean off": "mean_off"}
    shares = {name: f"{{{column}:whole}}" for name, column in frames.items()}
    about = {"encoder": "{encoder}", "vectors": "{vectors}", "κ": "{kurtosis:digits}"}
    page.table("stores", stores, about | {"bits": "{bits}"} | shares, evidence="recorded")
    short = {"text-embedding-ada-002": "ada", "text-embedding-3-small": "small"}
    for (encoder, bits), of in stores.groupby(["encoder", "bits"]):
        if encoder in short:
            for column in ("written", "turned", "mean_off"):
                found = style.span(100 * of[column], "{:.0f}".format)
                page.number({f"{short[encoder]}-{bits}-{column}": f"{found} %"})

# %% [markdown]
# ## The same models, grown with and without outlier features

# %%
if edition == "pocket":
    twins = quantisation_figures.twins()
    page.table("twins", twins, "recorded")
    for _, row in twins.iterrows():
        page.numbers("of-twins", row)
