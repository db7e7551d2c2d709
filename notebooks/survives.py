# ---
# jupyter:
#   companion:
#     scope: edition
#     reads:
#     - data/survives.json
# ---

# %% [markdown]
# # What this book survives
#
# Figures of the fault matrix (`tests/faults/matrix.py`), as they were recorded. The page
# {doc}`/appendix/survives` shows and explains them.

# %% tags=["parameters"]
edition: str = "paper"
confidence: float = 0.95  # of the largest share of faults that the tries leave possible

# %%
import json

import pandas as pd
from scipy.stats import beta

from analysis.common import ROOT
from companion.publish import style

recorded = json.loads((ROOT / "data" / "survives.json").read_text(encoding="utf-8"))
rows = pd.DataFrame(recorded["rows"])
rows["lost"] = rows["failed"].map(len)


def at_most(lost: pd.Series, tries: pd.Series) -> pd.Series:
    """The largest share that would still show so few with this confidence (Clopper and Pearson)."""
    return pd.Series(beta.ppf(confidence, lost + 1, tries - lost), index=lost.index).fillna(1.0)


# %%
COLUMNS = {
    "kills": "command killed",
    "pairs": "command, and another started beside it",
    "flips": "file with one bit flipped",
    "texts": "way in for a hostile text",
}
for kind, column in COLUMNS.items():
    of = rows[rows["kind"] == kind]
    if of.empty:
        style.text(kind, "Not measured.")
        style.text(f"{kind}-told", "")
        continue
    shown = pd.DataFrame(
        {
            column: of["fault"],
            "tries": of["tries"].map("{:,}".format),
            "lost": of["lost"].map("{:,}".format),
            "at most (%)": (100 * at_most(of["lost"], of["tries"])).map("{:.1f}".format),
        }
    )
    style.table(kind, shown, None, f"What was tried: a {column}, and how often anything was lost.")
    style.text(
        f"{kind}-told",
        f"{of['tries'].sum() - of['lost'].sum():,} of {of['tries'].sum():,} were survived.",
    )
style.text("confidence", f"{100 * confidence:g} %")
commits = ", ".join(f"`{commit}`" for commit in dict.fromkeys(rows["commit"]))
style.text("made-by", f"Tried at {commits}; {recorded['machine']}.")
