# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   companion:
#     scope: edition
#     reads:
#     - data/recipes/*.yaml
#     - data/recipes/cost/assumptions.yaml
#     - data/recipes/cost/flops.csv
#     - data/imagenet/sets.yaml
#     - families/*.yaml
# ---

# %% [markdown]
# # Training at full size
#
# The recipes of the comparison models, with the source of every number, and what each would cost.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import pandas as pd

from analysis.families.registry import load_families
from analysis.images.sets import descriptions
from companion.publish import style
from training import recipes

known = {name: recipes.load(name) for name in recipes.names()}
images = {
    name: recipes.CAPTIONS if one.level == "captions" else descriptions()["imagenet-train"].images
    for name, one in known.items()
}

# %%
GIVEN = {True: "yes", False: "no", None: "none"}


def shown(value) -> str:
    """A value of a recipe as a reader would write it."""
    if value is None or isinstance(value, bool):
        return GIVEN[value]
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def source(recipe, setting) -> str:
    """Where a value is from, as a link, or why we chose it."""
    name = recipe.sources[setting]
    if name in recipe.references:
        return f"[{name}]({recipe.references[name]})"
    reason = name.partition(":")[2].strip()
    return f"our choice{': ' + reason if reason else ''}"


rows = [
    {"recipe": f"`{name}`", "setting": setting.replace("_", " "), "value": shown(value),
     "source": source(one, setting)}
    for name, one in known.items()
    for setting, value in one.settings.model_dump(exclude_unset=True).items()
]  # fmt: skip
style.table(
    "recipes",
    pd.DataFrame(rows),
    evidence=None,
    caption="Every number of every recipe, and where it comes from.",
    search="Find a setting",
)
ours = sum(row["source"].startswith("our choice") for row in rows)
style.text("count", f"Of their {len(rows)} settings, {ours} are our choice.")


# %%
def fits(recipe, architecture: str) -> bool:
    """Whether a recipe is made for the kind of tower."""
    kind = "resnet" if architecture.startswith("RN") else "vit"
    return recipe.towers in ("any", kind)


def span(low: float, high: float) -> str:
    """Two numbers with as many digits as an estimate deserves."""
    return " to ".join(f"{x:.1f}" if x < 10 else f"{x:,.0f}" for x in (low, high))


assumed = recipes.assumptions()
gpus = assumed["gpus"]
costs = []
for family in load_families(edition).values():
    model = family.at_level("zero_shot")[0]
    for name, one in known.items():
        each = recipes.operations(one, model.architecture)
        if not fits(one, model.architecture) or each is None:
            continue
        seen = one.settings.epochs * (images[name] // one.settings.batch) * one.settings.batch
        hours = recipes.gpu_hours(seen * each)
        best, worst = hours[gpus[-1]["name"]]
        costs.append(
            {
                "backbone": family.title,
                "recipe": f"`{name}`",
                "images (10⁶)": f"{seen / 1e6:.1f}",
                "operations": f"{seen * each:.1e}",
                **{f"hours, {gpu}": span(*both) for gpu, both in hours.items()},
                f"images/s, {gpus[-1]['name']}": span(seen / worst / 3600, seen / best / 3600),
            }
        )
low, high = assumed["utilisation"]
peaks = ", ".join(
    f"{gpu['peak'] / 1e12:.0f} for the [{gpu['name']}]({gpu['source']})" for gpu in gpus
)
style.table(
    "cost",
    pd.DataFrame(costs),
    evidence=None,
    caption=f"""Estimated cost of one training, in hours of one GPU. Not measured. Images: seen in
    all epochs. Operations are counted (forward and backward), the rest is assumed: {peaks} × 10¹²
    operations a second at most (bf16, as the maker says), of which {high:.0%} down to {low:.0%} are
    reached. Images per second: what one GPU would then ask of the processors that decode.""",
)
