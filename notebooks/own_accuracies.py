# ---
# jupyter:
#   companion:
#     scope: family
#     editions: [paper, reader]
#     evidence: [accuracy--imagenet, accuracy--imagenet-v2, accuracy--imagenet-r,
#       accuracy--imagenet-sketch, accuracy--objectnet, accuracy--imagenet-a]
#     measurements: [accuracy]
#     reads:
#     - data/published/accuracies.csv
# ---

# %% [markdown]
# # Accuracies that this book measured
#
# How accurate are this backbone's models on features that this book extracted, and do published
# accuracies of the very same checkpoints agree? The section {ref}`own-accuracies` says how they are
# measured.

# %% tags=["parameters"]
family: str = "rn50"  # the model family that is shown

# %%
import numpy as np

from analysis.families.registry import load_family
from analysis.images import sets
from analysis.metrics.robustness import PAPER_BASELINE, effective_robustness
from companion.measurements import accuracies, views
from companion.measurements.due import unusable
from companion.measurements.records import available
from companion.publish import own, style, words

backbone = load_family(family)
table = accuracies.load()
measured = available("accuracy", backbone, sets.GRID)
known = accuracies.measured([backbone], measured)  # one row for each model and data set
evidence = words.kind(measured)

# %% [markdown]
# ## From recognised images to effective robustness
#
# Take the share of images recognised on each data set, average it over the five shifts, and
# subtract what the paper's printed line expects, {eq}`eq-effective-robustness`.

# %%
robustness = views.effective(known, accuracies.FIVE_SHIFTS)
for name in robustness["name"][:1]:
    top1 = known[known["name"] == name].set_index("dataset")["accuracy"].to_dict()
    inside = top1.pop("imagenet")
    logit = np.log(inside / (1 - inside))
    expected = 1 / (1 + np.exp(-(PAPER_BASELINE.slope * logit + PAPER_BASELINE.intercept)))
    by_hand = np.mean(list(top1.values())) - expected
    assert np.isclose(by_hand, effective_robustness(np.mean(list(top1.values())), inside))
    style.text("by-hand", f"{backbone.model(name).title}: {style.points(by_hand)} points.")

# %% [markdown]
# ## Accuracy on each data set, compared with what was published

# %%
compared = accuracies.compared(known, backbone, table)
style.text("own-agreement", own.agreement(backbone, compared))
style.table(
    "own-accuracies", own.rows(backbone, compared), own.evidence(compared, evidence),
    f"""Top-1 accuracy of {backbone.title} from features that this book extracted, among each data
    set's classes, compared with published accuracies of the same checkpoint.""",
    more="""±: 95 % of the binomial sampling error, omitted where no image is recognised. The table
    says whether a difference is smaller than that error. V2 is the matched-frequency variant;
    ObjectNet is without its red border, which open_clip's published values kept.""",
    search="Find a model or data set",
)  # fmt: skip
style.text("own-copies", own.copies(compared))

# %% [markdown]
# ## Effective robustness

# %%
of_published = views.view("five", [backbone]).models
style.table(
    "own-robustness", own.robustness(backbone, robustness, of_published, table),
    own.evidence(compared, evidence),
    f"""Effective robustness of {backbone.title} from features that this book extracted, on five
    shifts against the paper's printed line, compared with the same checkpoint's from published
    accuracies.""",
    more="±: 95 % interval from the finite test sets, with the line held fixed.",
)  # fmt: skip
style.text("own-missing", own.missing(backbone, known))
style.text("unusable", words.unusable(unusable(backbone)) or "All features can be used.")
