# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   companion:
#     scope: family
#     reads:
#     - data/measurements/pruning/*.json
# ---

# %% [markdown]
# # Pruning
#
# How many directions of the head can be left out before predictions get worse? The section
# {doc}`/pruning` explains the question. It needs features of single images, a head and labels.

# %% tags=["parameters"]
family: str = "vit_b_16"  # the family in front

# %%
import numpy as np
import pandas as pd

from analysis import charts, figures, measurements, reporting
from analysis.registry import load_family

KEPT = (1.0, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)  # shares of directions shown in the table

backbone = load_family(family)
found = measurements.read_all("pruning", family)
order = {model.name: row for row, model in enumerate(backbone.models)}
found.sort(key=lambda m: order[m.model])


def accuracies(measurement, order: str, kept: int) -> str:
    """Accuracy in percent with that many directions kept."""
    return figures.percent(measurement.value(f"accuracy_{order}")[kept - 1])


# %% [markdown]
# ## Accuracy against the share pruned

# %%
if found:
    figure, panels = figures.new_figure(
        rows=len(found), height=1 + 3.6 * len(found), sharex=True, squeeze=False
    )
    for axes, m in zip(panels[:, 0], found, strict=True):
        charts.draw_pruning(axes, m)
        axes.set_title(reporting.title(m, backbone))
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    words = []
    for m in found:
        rank = len(m.value("accuracy_importance"))
        fifth = round(0.2 * rank)
        words.append(
            f"{reporting.title(m, backbone)}: {accuracies(m, 'importance', rank)} % with all {rank}"
            f" directions; with {fifth} kept {accuracies(m, 'importance', fifth)} % by importance, "
            f"{accuracies(m, 'singular_value', fifth)} % by singular value, "
            f"{accuracies(m, 'random', fifth)} % at random and "
            f"{accuracies(m, 'reversed', fifth)} % reversed"
        )
    figures.show(
        figure,
        name="curve",
        caption=f"""Accuracy of {backbone.title} against the share of directions pruned, in four
        orders, the counterpart of the paper's Figure 3. The task is not ImageNet: each image is to
        be given its own caption out of {found[0].counts["classes"]}
        (head: {found[0].provenance.head}). Blue band: 95 % interval of the paired difference from
        the whole head; grey: lowest to highest of {found[0].value("random_orders")} random orders.
        Dashed: the 80 % of the claim.""",
        alt=f"Falling curves. {'; '.join(words)}.",
        evidence="recorded",
    )

# %%
if found:
    figure, panels = figures.new_figure(
        rows=len(found), height=0.8 + 2.7 * len(found), sharex=True, squeeze=False
    )
    words = []
    for axes, m in zip(panels[:, 0], found, strict=True):
        difference = 100 * m.value("difference_importance")
        error = 196 * m.value("difference_importance_error")
        pruned = charts.pruned_shares(len(difference))
        colour = figures.LEVEL_STYLES[m.level].colour
        axes.plot(pruned, difference, color=colour, linewidth=1.6)
        axes.fill_between(
            pruned, difference - error, difference + error, color=colour, alpha=0.2, linewidth=0
        )
        axes.axhline(0, color=figures.INK, linewidth=1)
        axes.axvline(80, color=figures.INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set(xlim=(0, 100), ylim=(-20, 5), ylabel="difference (points)")
        axes.set_title(reporting.title(m, backbone))
        fifth = round(0.2 * len(difference)) - 1
        words.append(
            f"{reporting.title(m, backbone)}: "
            f"{figures.minus(f'{difference[fifth]:.1f}')} ± {error[fifth]:.1f} points with 80 % "
            "pruned"
        )
    panels[-1, 0].set(xlabel="directions pruned (%), the least important first")
    figures.show(
        figure,
        name="difference",
        caption=f"""What pruning costs: accuracy less that of the whole head on the same
        {found[0].counts["images"]} images, with a 95 % interval of the paired difference. Losses
        above 20 points are cut off.""",
        alt=f"Line near zero that falls where most directions are pruned. {'; '.join(words)}.",
        evidence="recorded",
    )

# %%
rows = []
for model in backbone.models:
    own = [m for m in found if m.model == model.name]
    name = {"model": reporting.model_title(model)}
    for m in own:
        rank = len(m.value("accuracy_importance"))
        for share in KEPT:
            kept = round(share * rank)
            error = 1.96 * m.value("difference_importance_error")[kept - 1]
            loss = m.value("difference_importance")[kept - 1]
            rows.append(
                name
                | {
                    "kept": f"{kept}",
                    "by importance (%)": accuracies(m, "importance", kept),
                    "difference (points)": figures.points(loss, error) if kept < rank else "",
                    "by singular value (%)": accuracies(m, "singular_value", kept),
                    "at random (%)": accuracies(m, "random", kept),
                    "reversed (%)": accuracies(m, "reversed", kept),
                }
            )
    if not own and found:
        rows.append(name | {"by importance (%)": "not measured"})
if found:
    figures.table(
        pd.DataFrame(rows).fillna(""),
        name="kept",
        caption=f"""Accuracy of {backbone.title} with some of the directions kept, in the task of
        the figure. Difference: from the whole head, on the same images, in the order of importance,
        ± 95 % interval. At random: mean of several orders.""",
        evidence="recorded",
    )

# %% [markdown]
# ## One direction left out

# %%
sentences = []
for m in found:
    without = m.value("accuracy_without_each")
    whole = m.value("accuracy_importance")[-1]
    worst = int(without.argmin())
    others = np.delete(without, worst)
    sentences.append(
        f"{reporting.title(m, backbone)}: leaving out direction {worst + 1} (by singular value) "
        f"alone takes accuracy from {figures.percent(whole)} % to "
        f"{figures.percent(without[worst])} %, more than any other. Without any single one of the "
        f"others it stays between {figures.percent(others.min())} % and "
        f"{figures.percent(others.max())} %."
    )
if sentences:
    figures.text("leave-one-out", "\n\n".join(sentences))
else:
    figures.text("leave-one-out", "Not measured for this family; the list below says why.")

# %% [markdown]
# ## What is missing

# %% tags=["remove-input"]
missing = reporting.not_measured(
    backbone,
    reporting.without(backbone, found),
    "Here will stand accuracy and effective robustness against the share pruned",
    "pruning",
)
figures.text("not-measured", missing or "Every model of this family was measured.")
notes = reporting.code_notes(found)
if notes:
    figures.text("older-code", notes)
