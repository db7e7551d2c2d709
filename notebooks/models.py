# ---
# jupyter:
#   companion:
#     scope: edition
#     readers: true
#     reads:
#     - data/artifacts.yaml
#     - data/embeddings.yaml
#     - data/published/accuracies.csv
# ---

# %% [markdown]
# # Models
#
# Every model of every family, from the family files, and the tables of published accuracies.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import pandas as pd

from analysis.families.registry import load_families
from analysis.features import published as features
from analysis.images import public
from companion.measurements import accuracies
from companion.publish import accuracies as published
from companion.publish import style

families = load_families(edition) | load_families("reader")
table = accuracies.load()


def weights(model) -> str:
    """Where the model comes from, in the library's own names."""
    if model.level == "random":
        return f"`{model.architecture}`, none (random)"
    if not model.library:
        return "no public weights"
    return f"{model.library}: `{model.architecture}`, `{model.shown_weights}`"


rows = [
    {
        "backbone": family.title,
        "level": style.LEVEL_STYLES[model.level].title,
        "pretraining": model.pretraining + ", before the projection" * bool(model.own_layer),
        "architecture and weights": weights(model),
        "width": model.width,
        "pixels": model.preprocessing.size,
    }
    for family in families.values()
    for model in family.models
]
style.table(
    "models", pd.DataFrame(rows), None,
    f"""This book has {len(rows)} models in {len(families)} families. Width: components of the
    representation that the head sees. Pixels: side of the square input image.""",
)  # fmt: skip

# %%
notes: dict[str, list[str]] = {}
for family in families.values():
    for model in family.models:
        if model.note:
            named = model.level not in ("supervised", "captions", "random")
            parts = [family.title, style.LEVEL_STYLES[model.level].title]
            parts += [model.pretraining] if named else []
            who = ", ".join([*parts, "before the projection"] if model.own_layer else parts)
            notes.setdefault(" ".join(model.note.split()), []).append(who)
style.text("notes", "\n".join(f"- *{'; '.join(who)}.* {note}" for note, who in notes.items()))

# %%
style.table(
    "sources", published.sources(table), "published",
    """The published accuracies come from these tables, each pinned to one commit. A model that was
    evaluated at two image sizes counts twice.""",
    more="""Left out: accuracies with a known defect; they stay in the table with the reason and
    enter no figure.""",
)  # fmt: skip

# %%
GITHUB = "https://github.com"
everyone = families | load_families("contrast")
whose = {model.name: f for f in everyone.values() for model in f.models}
files = [
    {
        "model": f"{whose[one.model].title}, {whose[one.model].model(one.model).title}",
        "images": one.what,
        "known from": one.known + " (inferred)" * one.inferred,
        "file": f"[{file.repository}]({GITHUB}/{file.repository}/blob/{file.commit}/{file.path})",
        "licence": file.licence,
    }
    for one in features.table().embeddings
    if one.model in whose
    for file in [public.artifact(one.artifact)]
]
style.table(
    "features", pd.DataFrame(files), "published",
    """Others published these features of single images and captions; each file is pinned to a
    commit and a checksum. *Inferred*: no source names the model.""",
    more="""Known from: how we know whose features they are. Where no licence is stated, this book
    keeps only the address and the numbers that it computed, and a reader's machine fetches the
    file.""",
)  # fmt: skip
