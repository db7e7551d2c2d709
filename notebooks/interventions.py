# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper, pocket]
#     measurements: [basis, interventions]
#     reads:
#     - data/embeddings.yaml
#     - data/emoji/emoji.zip
# ---

# %% [markdown]
# # What the head can undo
#
# What do changes of the features do to κ and to predictions? {doc}`/what_kurtosis_measures`
# explains the results.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import numpy as np

from analysis.metrics.basis import random_rotation
from analysis.metrics.outliers import kurtosis
from companion.chapters import measured
from companion.engine.page import Page
from companion.engine.style import digits
from companion.measurements.intervals import Interval

changed = measured.of_editions("interventions", edition)
tried = measured.one_set_each([m for m in changed if m.level != "random"])
page = Page("interventions", tried)

# %% [markdown]
# ## By hand
#
# A head W sees W h + b. Rotate h and W alike, add a constant to one coordinate, and subtract its
# effect in b: the logits stay the same, while κ can take any value. The mean image is such a
# constant, too.

# %%
rng = np.random.default_rng(0)
h, head, b = (rng.normal(size=shape) for shape in ((500, 64), (10, 64), 10))
turn, constant = random_rotation(64, seed=1), 12 * np.eye(64)[7]
there = h @ turn + constant
logits = there @ (head @ turn).T + (b - head @ turn @ constant)
assert np.allclose(logits, h @ head.T + b)
page.by_hand("by-hand", f"{digits(kurtosis(h).mean())} to {digits(kurtosis(there).mean())}")
assert np.allclose((h - h.mean(0)) @ head.T + (b + head @ h.mean(0)), logits)

# %% [markdown]
# ## What predictions lose

# %%
CHANGES = {
    "rotated": "rotated",
    "shifted": "rotated, constant added",
    "less_mean": "mean subtracted",
}


def costs(m):
    """What changes cost, each with its interval, and what other coordinates do on average."""
    names, whole = ("other_at_mean", "without_other"), m.value("accuracy_whole")
    each = {
        f"change_{of}": Interval.of_paired(
            m.value(f"difference_{of}"), m.value(f"difference_{of}_error"), m.counts["images"]
        )
        for of in ("less_mean", "leader_at_mean", "without_leader")
    }
    return each | {name: m.value(f"accuracy_{name}").mean() - whole for name in names}


page.table("interventions", measured.frame(tried, costs))

# %% [markdown]
# ## What each change keeps

# %%
rows = (
    {"model": measured.full_title(m), "change": change}
    | {of: np.ravel(m.value(f"{of}_{name}"))[-1] for of in ("kurtosis", "cosine", "eigenframe")}
    | {"changed": np.ravel(m.value(f"changed_{name}"))[-1] if name in CHANGES else None}
    for m in tried
    for name, change in ({"whole": "none"} | CHANGES).items()
)
page.table("kept", rows)

# %% [markdown]
# ## The example in words

# %%
zero_shot = [m for m in changed if m.level == "zero_shot"]
for front in sorted(zero_shot, key=lambda m: m.counts["images"])[-1:]:
    of_front = measured.of_same_model(front, "basis")[front.data.name]
    of_head = measured.frame([front], costs).iloc[0]
    page.numbers("of-head", of_head)
    page.numbers("of-images", measured.frame([of_front]).iloc[0])
    barely = "how the coordinate varies between images barely matters to this head"
    page.holds(of_head["change_leader_at_mean"].above(0) == "undecided", barely, [front])
every = sum(np.sum(m.value(f"changed_{name}")) for m in changed for name in CHANGES)
page.holds(not every, "no prediction changes", changed)
page.number(changed=f"none of {sum(m.counts['images'] for m in changed):,} predictions")
