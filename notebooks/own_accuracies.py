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
from analysis.families.registry import load_family
from companion.chapters import reproduced
from companion.engine import style
from companion.engine.page import Page
from companion.measurements import accuracies
from companion.measurements.effective_robustness import effective, view
from companion.measurements.records import available, unusable_features
from companion.sources import sets

backbone = load_family(family)
table = accuracies.load()
recorded = available("accuracy", backbone, sets.GRID)
measured = accuracies.measured([backbone], recorded)  # one row for each model and data set
compared = accuracies.with_published(measured, backbone, table)
evidence = reproduced.evidence(compared, style.kind(recorded))
page = Page("own_accuracies", evidence, backbone=backbone.title)

# %% [markdown]
# ## Accuracy on each data set, compared with what was published
#
# If the copy of a data set is complete, both sides saw the same images and should agree more
# closely than the sampling error. A larger difference points to another protocol, precision or
# copy. Accuracies on other images than the published ones decide no claim.

# %%
page.table("own-accuracies", reproduced.rows(backbone, compared))

# %% [markdown]
# ## Effective robustness

# %%
robustness = effective(measured, accuracies.FIVE_SHIFTS)
of_published = view("five").models(accuracies.known([backbone]))
page.table("own-robustness", reproduced.robustness(backbone, robustness, of_published, table))
page.table("own-missing", reproduced.lacking(backbone, measured), "")
if problems := style.unusable(unusable_features(backbone)):
    page.texts(unusable=problems)
