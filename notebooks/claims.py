# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper, pocket]
#     measurements: all
#     reads:
#     - data/claims.yaml
#     - data/emoji/appearance.npy
#     - data/emoji/emoji.zip
#     - data/pocket/accuracies.csv
#     - data/pocket/recognised.csv
#     - data/published/*.csv
#     - data/rates/rates.csv
# ---

# %% [markdown]
# # Claims
#
# A verdict on each claim of the paper from the available evidence. The same rules judge the pocket
# lab's models. The page {doc}`/appendix/claims` shows the cards. What the paper claims, and how we
# judge it, is in `data/claims.yaml`; each claim has one function in `companion.claims`.

# %% tags=["parameters"]
edition: str = "paper"  # which families
near_gaussian: float = 6.0  # mean kurtosis below which one counts as close to the Gaussian's 3
privileged_threshold: float = 10.0  # times the mean importance: from there one is privileged

# %%
from dataclasses import replace

from analysis.metrics.robustness import REACHES
from companion.chapters import claim_cards
from companion.claims.evidence import Cuts, gather
from companion.claims.ledger import load_claims
from companion.claims.rules import judge_all
from companion.engine import style
from companion.engine.page import Page
from companion.sources import sets

claims = {name: claim.of(edition) for name, claim in load_claims().items()}
cuts = Cuts(near_gaussian=near_gaussian, privileged=privileged_threshold)
evidence = replace(gather(edition), cuts=cuts)
verdicts = judge_all(evidence, claims)
page = Page("claims", evidence.measurements)

# %% [markdown]
# ## What a verdict rests on
#
# A rule looks at single cases, mostly one model, in which the claim holds, fails, or is undecided.
# The outcome follows from the cases; how many models were measured is counted separately. These are
# the cases and the first numbers of one verdict:

# %%
verdicts["K-zero-shot"].cases, verdicts["K-zero-shot"].covered, verdicts["K-zero-shot"].numbers[:3]

# %% [markdown]
# ## Cards and ledger

# %%
for name, claim in claims.items():
    page.texts(
        {
            name: claim_cards.card(claim, verdicts[name], evidence),
            f"{name}-line": claim_cards.line(claim, verdicts[name]),
            f"{name}-badge": claim_cards.badge(verdicts[name]),
            f"{name}-outcome": f"*{verdicts[name].outcome}*",
            f"{name}-verdict": claim_cards.reasoned(verdicts[name]),
        }
    )

# %%
ledger = [
    {"name": name, "claim": claim, "verdict": verdicts[name]}
    | {"chip": claim_cards.chip(verdicts[name]), "sentence": claim_cards.reckoned(verdicts[name])}
    | {"brief": claim_cards.brief(claim, verdicts[name])}
    for name, claim in claims.items()
]
page.table("ledger", ledger, style.kinds("published", style.kind(evidence.measurements)))
page.texts(counts=claim_cards.counts(verdicts), strip=claim_cards.strip(claims, verdicts))
lacking = [v for v in verdicts.values() if v.outcome in claim_cards.OPEN]
page.texts(strip_open=claim_cards.strip_open(claims, verdicts, evidence))
page.number(lacking=len(lacking))
days = (m.provenance.taken or "" for m in evidence.measurements)
page.number(number=len(claims), day=max(days, default=""))
models = [model for model in evidence.models.values() if model.level != "random"]
public, images = sum(m.loadable for m in models), sum(map(sets.images, sets.GRID))
page.sentence(
    "cost",
    public=public,
    models=len(models),
    images=images,
    encodings=public * images / 1e6,
    rest=len(models) - public,
)
page.table("brief", ledger)

# %% [markdown]
# ## Who is robust
#
# Several claims ask whether a model is robust. It is robust if the whole interval of its excess
# over ordinary models of its accuracy lies above what 97.5 % of these have, and if no reach of the
# local fit says the contrary.

# %%
titles = {m.name: f"{f.title}, {m.title}" for f in evidence.families.values() for m in f.models}
answers = {True: "robust", False: "not robust", None: "not known"}
signs = {True: "+", False: "−", None: "?"}
robust = (
    {"title": titles[name], "known": robustness, "answer": answers[robustness.robust]}
    | {"signs": " ".join(signs[answer] for answer in robustness.answers)}
    for name, robustness in evidence.robust.items()
)
page.table(
    "robust",
    robust,
    style.kinds("published", style.kind(evidence.measurements)),
    reaches=", ".join(f"{100 * reach:.0f}" for reach in REACHES),
)
