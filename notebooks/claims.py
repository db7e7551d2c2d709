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
#     - data/published/accuracies.csv
# ---

# %% [markdown]
# # Claims
#
# A verdict on each claim of the paper, from the evidence at hand: a card, or for the pocket lab's
# models, which the same rules judge, a sentence that stands beside it. The page
# {doc}`/appendix/claims` shows the cards. What the paper claims, and how this book judges it, is in
# `data/claims.yaml`; each claim has one function in `companion.claims.rules`.

# %% tags=["parameters"]
edition: str = "paper"  # which families
near_gaussian: float = 6.0  # mean kurtosis below which one counts as close to the Gaussian's 3
privileged_threshold: float = 10.0  # times the mean importance: from there one is privileged

# %%
import pandas as pd

from companion.claims.evidence import Cuts, gather
from companion.claims.ledger import load_claims
from companion.claims.rules import judge_all
from companion.publish import style, words
from companion.publish.cards import badge, beside, by_reach, card, counts, outcome

claims = load_claims()
cuts = Cuts(near_gaussian=near_gaussian, privileged=privileged_threshold)
evidence = gather(edition, cuts=cuts)
verdicts = judge_all(evidence, claims)

# %% [markdown]
# ## What a verdict rests on
#
# A rule looks at single cases, mostly one model: what the claim says holds there, fails, or is
# undecided. The outcome follows from the cases; how many models were measured is counted apart. The
# cases and the first numbers of one verdict:

# %%
verdicts["K-zero-shot"].cases, verdicts["K-zero-shot"].covered, verdicts["K-zero-shot"].numbers[:3]

# %% [markdown]
# ## Cards and ledger

# %%
tell = {"paper": card, "pocket": beside}[edition]
for name, claim in claims.items():
    style.text(name, tell(claim, verdicts[name], evidence))
    style.text(f"{name}-outcome", outcome(verdicts[name]))
    style.text(f"{name}-badge", badge(verdicts[name]))
style.text("reach", by_reach(evidence, claims) if edition == "paper" else "")

# %%
ledger = pd.DataFrame(
    {
        "claim": [f"{{ref}}`{name} <claim-{name}>`" for name in claims],
        "verdict": [badge(verdict) for verdict in verdicts.values()],
        "version": [", ".join(claim.version) for claim in claims.values()],
        "chapter": [f"{{doc}}`/{claim.page}`" for claim in claims.values()],
        "expected": [claim.expected for claim in claims.values()],
    }
)
style.table(
    "ledger", ledger, words.kinds("published", words.kind(evidence.measurements)),
    "The paper's claims and the verdict of this build on each; the cards below give the evidence.",
    search="Find a claim", choose="verdict",
)  # fmt: skip
style.text("counts", counts(verdicts))
