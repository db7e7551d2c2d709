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
# This page lists every model of every family, from the family files, and the tables of published
# accuracies.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
from analysis.families.registry import load_families
from companion.chapters import measured, robustness_figures
from companion.engine import style
from companion.engine.page import Page
from companion.measurements import accuracies
from companion.sources import public

families = load_families(edition) | load_families("reader")
page = Page("models", "published")
models = [(family, model) for family in families.values() for model in family.models]


def weights(model) -> str:
    """Where the model comes from, in the library's own names."""
    if model.level == "random":
        return f"`{model.architecture}`, none (random)"
    if not model.library:
        return "no public weights"
    return f"{model.library}: `{model.architecture}`, `{model.shown_weights}`"


page.table(
    "models",
    (
        {"family": family, "model": model, "weights": weights(model)}
        | {"level": style.LEVEL_STYLES[model.level].title}
        | {"layer": f", {model.own_layer}".replace("_", " the ") if model.own_layer else ""}
        for family, model in models
    ),
    "",
    models=len(models),
    families=len(families),
)

# %%
notes: dict[str, list[str]] = {}
for family, model in models:
    if model.note:
        note = " ".join(model.note.split())
        notes.setdefault(note, []).append(f"{family.title}, {model.title}")
page.texts(notes="\n".join(f"- *{'; '.join(who)}.* {note}" for note, who in notes.items()))

# %%
page.table("sources", robustness_figures.sources(accuracies.load()))

# %%
everyone = families | load_families("contrast")
whose = {model.name: f"{f.title}, {model.title}" for f in everyone.values() for model in f.models}
files = [
    {"whose": whose[row["model"]], "inferred": " (inferred)" if "inferred" in row else ""}
    | {"file": public.artifact(row["artifact"])}
    | {name: row[name] for name in ("what", "known")}
    for row in measured.published_embeddings().values()
    if row["model"] in whose
]
page.table("features", files)
