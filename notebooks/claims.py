# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   companion:
#     scope: edition
#     reads:
#     - data/claims.yaml
#     - data/published/accuracies.csv
#     - families/*.yaml
# ---

# %% [markdown]
# # Claims
#
# A verdict on each claim of the paper, from the evidence at hand. The page {doc}`/appendix/claims`
# shows the cards.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import numpy as np
import pandas as pd

from analysis import claims, figures, published, published_robustness
from analysis.claims import Verdict
from analysis.published import FOUR_SHIFTS
from analysis.published_robustness import CLIP_V2
from analysis.registry import load_families

families = load_families(edition)
table = published.load()
stated = claims.load_claims()
five = published_robustness.of_families(table, families)
four_line = published_robustness.refit(table, FOUR_SHIFTS, CLIP_V2)
four = published_robustness.of_families(table, families, FOUR_SHIFTS, four_line)
four = four[four["source"] != "model_soups"]
verdicts: dict[str, Verdict] = {}

# %% [markdown]
# ## Order of the levels

# %%
views = [published_robustness.groups(er, families) for er in (five, four)]
claim = stated["ER-order"]
found = claims.judge_order(claim.order, views)
gaps = {
    f"{higher.replace('_', '-')} over {lower}": np.nanmin(
        [(v[higher] - v[lower]).min() for v in views]
    )
    for higher, lower in zip(claim.order, claim.order[1:], strict=False)
}
smallest = "; ".join(f"{name} {figures.points(gap)}" for name, gap in gaps.items())
verdicts["ER-order"] = Verdict(
    found.outcome,
    f"{found.pairs - found.reversed_pairs} of {found.pairs} comparisons of two levels of one "
    "backbone and pretraining set have the claimed order, on five shifts or on four (smallest gap "
    f"in points: {smallest}). All three levels are published for {found.complete} of the "
    f"{found.groups} backbones and pretraining sets. The finetuned and supervised models are the "
    "nearest public ones, not the paper's.",
)

# %% [markdown]
# ## Range and fit

# %%
zero_shot = five[five["level"] == "zero_shot"]
low, high = (zero_shot.loc[i] for i in (zero_shot["er"].idxmin(), zero_shot["er"].idxmax()))
claim = stated["ER-range"]
ends = {"lowest": low["er"], "highest": high["er"]}
outcome = claims.judge_values(claim, ends)
as_named = "YFCC" in low["pretraining"] and high["family"] == "vit_l_14"
verdicts["ER-range"] = Verdict(
    outcome if as_named else "differs",
    f"Lowest: {figures.points(low['er'], low['er_95'])} points ({low['title']}, "
    f"{low['pretraining']}), printed {100 * claim.values['lowest']:g}. Highest: "
    f"{figures.points(high['er'], high['er_95'])} points ({high['title']}, "
    f"{high['pretraining']}), printed {100 * claim.values['highest']:g}. Tolerance: "
    f"{100 * claim.tolerance:g} point. ±: 95 % interval from the finite test sets.",
)

choices = published_robustness.fit_choices(table)
claim = stated["ER-fit"]
constants = [{n: float(getattr(c, n)) for n in claim.values} for c in choices.itertuples()]
outcomes = [claims.judge_values(claim, values) for values in constants]
agreeing = [i for i, found in enumerate(outcomes) if found == "reproduced"]
KINDS = {"all": "all but those trained with more data", "standard": "standard training only"}


def described(index: int) -> str:
    """One choice of fit with its constants."""
    c = choices.loc[index]
    numbers = f"slope {c['slope']:.3f}, intercept {c['intercept']:.3f}, r {c['r']:.3f}"
    variant = "mean of the three variants" if c["v2"] == "mean" else c["v2"].replace("_", " ")
    return f"V2 {variant}, {c['models']} models ({KINDS[c['kinds']]}): {figures.minus(numbers)}"


nearest = agreeing or [(choices["intercept"] - claim.values["intercept"]).abs().idxmin()]
verdicts["ER-fit"] = Verdict(
    "reproduced" if agreeing else "differs",
    f"{len(agreeing)} of the {len(choices)} fits that the paper's text leaves open agree in all "
    f"three constants within {claim.tolerance}. "
    + "; ".join(described(i) for i in nearest)
    + ". We looked for the choice that gives the printed constants; the others give other lines.",
)

# %% [markdown]
# ## Cards and ledger


# %%
def card(claim: claims.Claim, verdict: Verdict) -> str:
    """One claim as a block of MyST."""
    badge = f"[{verdict.outcome}]{{.verdict-{verdict.outcome.replace(' ', '-')}}}"
    place = f"{claim.place}, {' and '.join(claim.version)}"
    return (
        f":::{{div}} claim-card\n**{claim.id}** {badge} *{place}*\n\n"
        f"**The paper:** {claim.statement}\n\n**Expected:** {claim.expected}\n\n"
        f"**Found:** {verdict.evidence}\n:::"
    )


for name, claim in stated.items():
    unmeasured = Verdict("not measured", f"No evidence yet. It needs: {claim.needs}")
    verdicts.setdefault(name, unmeasured)
    figures.text(name, card(claim, verdicts[name]))

# %%
ledger = pd.DataFrame(
    {
        "claim": list(stated),
        "verdict": [
            f"[{verdicts[n].outcome}]{{.verdict-{verdicts[n].outcome.replace(' ', '-')}}}"
            for n in stated
        ],
        "version": [", ".join(c.version) for c in stated.values()],
        "chapter": [f"{{doc}}`/{c.page}`" for c in stated.values()],
        "expected": [c.expected for c in stated.values()],
    }
)
figures.table(
    ledger,
    name="ledger",
    caption="""The paper's claims and the verdict of this build on each; the cards below give the
    evidence.""",
    evidence="published",
)
counts = ledger["claim"].map(lambda n: verdicts[n].outcome).value_counts()
order = ("reproduced", "partly", "differs", "not measured")
figures.text("counts", ", ".join(f"{counts.get(o, 0)} {o}" for o in order))
