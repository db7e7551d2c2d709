# ---
# jupyter:
#   companion:
#     scope: family
#     evidence: [pruning_under_shift--pocket, pruning_under_shift--imagenet-and-shifts]
#     measurements: [pruning_under_shift]
#     reads:
#     - data/pocket/accuracies.csv
#     - data/published/accuracies.csv
# ---

# %% [markdown]
# # Pruning under shift
#
# How much robustness is left when directions are pruned? The directions of one head are ordered
# once, by the images of the training distribution. The same pruned head then classifies these
# images and those of every shift, and a baseline predicts the accuracy under shift.
#
# For the paper's models the head is ImageNet's, ordered by its importance for ImageNet's images.
# The classes of ImageNet-R, ImageNet-A and ObjectNet are then rows of that head (several rows to a
# class for ObjectNet), whereas {doc}`/measuring_robustness` gives each set a head of its own.

# %% tags=["parameters"]
family: str = "pocket_cnn"  # the model family that is shown

# %%
from analysis.families.registry import load_family
from companion.chapters import pruning_figures
from companion.chapters.notes import closing_notes
from companion.chapters.pocket_models import pruning_losses, pruning_rows, pruning_steps
from companion.engine import style
from companion.engine.page import Page
from companion.engine.style import percent
from companion.measurements.effective_robustness import view
from companion.measurements.measures import RESAMPLES, SEED
from companion.measurements.records import available

KEPT = (1, 0.5, 0.3, 0.2, 0.1)  # shares of directions shown in the table
#: What the training distribution is called, and the shifts; the view with the shifts' baseline,
#: and the evidence that this rests on.
SAMPLES = {
    "pocket": ("training style", "unseen styles", "unseen", "recorded"),
    "imagenet-and-shifts": ("ImageNet", "five shifts", "five", "published"),
}

backbone = load_family(family)
measurements = [m for m in available("pruning_under_shift", backbone) if m.level != "random"]
by_title = {backbone.model(m.model).title: m for m in measurements}
sample = next((m.data.name for m in measurements), "pocket")
trained_on, outside, name, source = SAMPLES[sample]
lowest = view(name).pool["imagenet"].min()  # accuracy below which the baseline is extrapolated
evidence = style.kinds(source, style.kind(measurements))
page = Page("pruning_under_shift", evidence, edition=sample, backbone=backbone.title)

# %% [markdown]
# ## Accuracy and effective robustness against the share pruned

# %%
quantities = {"accuracy (%)": "inside", f"ER, {outside} (points)": "robustness"}
curves = {title: pruning_steps(m, quantities, lowest) for title, m in by_title.items()}
page.figure(
    "curve",
    pruning_figures.curves(curves) if measurements else None,
    orders=next((m.value("random_orders") for m in measurements), "no"),
    lowest=percent(lowest),
    resamples=RESAMPLES,
    seed=SEED,
)

# %%
rows = (row for title, m in by_title.items() for row in pruning_rows(title, m, KEPT, lowest))
page.table("kept", rows, inside=trained_on, outside=outside.removesuffix(" styles"))
page.table("losses", (pruning_losses(title, m) for title, m in by_title.items()))

# %% tags=["remove-input"]
page.texts(closing_notes("pruning_under_shift", backbone, measurements, random=False))
