# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   companion:
#     scope: family
#     editions: [paper, reader, pocket]
#     features: true
#     reads:
#     - data/emoji/emoji.zip
#     - data/measurements/pruning/*.json
#     - data/pocket/accuracies.csv
# ---

# %% [markdown]
# # Pruning
#
# How many directions of the head can be left out before predictions get worse? The section
# {doc}`/pruning` explains the question. It needs features of single images, a head and labels.

# %% tags=["parameters"]
family: str = "vit_b_16"  # the family in front
resamples: int = 2000  # bootstrap resamples of test concepts and baselines (pocket lab)
seed: int = 0  # seed of the bootstrap

# %%
import numpy as np
import pandas as pd

from analysis import (
    charts,
    evidence,
    figures,
    paper_sets,
    pocket_robustness,
    pruned_shifts,
    reporting,
)
from analysis.registry import load_family

KEPT = (1.0, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)  # shares of directions shown in the table

backbone = load_family(family)
pocket = backbone.edition == "pocket"
found = evidence.gather("pruning", backbone, [pruned_shifts.TRAINING] if pocket else None)
shifts = {*paper_sets.GRID} - {"imagenet", "broden"}  # shown as accuracy under shift, not here
found = [m for m in found if m.data.name not in shifts]


def accuracies(measurement, order: str, kept: int) -> str:
    """Accuracy in percent with that many directions kept."""
    return figures.percent(measurement.value(f"accuracy_{order}")[kept - 1])


# %% [markdown]
# ## Accuracy against the share pruned

# %%
if pocket:
    figures.text(
        "accuracy",
        "In the pocket lab accuracy and effective robustness are shown together, in the next part.",
    )
if found and not pocket:
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
        orders, the counterpart of the paper's Figure 3. {reporting.task(found[0])} (head:
        {reporting.heads(found)}). Blue band: 95 % interval of the paired difference from
        the whole head; grey: lowest to highest of {found[0].value("random_orders")} random orders.
        Dashed: the 80 % of the claim.""",
        alt=f"Falling curves. {'; '.join(words)}.",
        evidence=reporting.kind(found),
    )

# %%
if found and not pocket:
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
        evidence=reporting.kind(found),
    )

# %%
rows = []
for model in () if pocket else backbone.models:
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
if found and not pocket:
    figures.table(
        pd.DataFrame(rows).fillna(""),
        name="kept",
        caption=f"""Accuracy of {backbone.title} with some of the directions kept, in the task of
        the figure. Difference: from the whole head, on the same images, in the order of importance,
        ± 95 % interval. At random: mean of several orders.""",
        evidence=reporting.kind(found),
    )

# %% [markdown]
# ## Effective robustness against the share pruned
#
# Of the pocket lab's models accuracy under shift is at hand, too: the styles that no model trains
# on. The directions are ordered by what the test emoji of the training style show, then every style
# is classified with the same pruned head, and the pocket lab's own baseline says which accuracy
# under shift to expect. Models of the paper's families need features of ImageNet and its five
# shifts for this.

# %%
names = [m.model for m in found] if pocket else []
if pocket:  # where features of another style are missing there is no robustness to show
    names = [n for n in names if pruned_shifts.complete(backbone.model(n))]
sweeps = {n: pruned_shifts.sweeps(backbone.model(n), resamples, seed) for n in names}
titles = {n: reporting.model_title(backbone.model(n)) for n in names}
pool = pocket_robustness.pool("unseen") if pocket else None


def change(sweep, quantity: str, kept: int, joint: str = " to ") -> str:
    """What pruning changes, with its interval: percentage points."""
    parts = (sweep.change, sweep.change_low, sweep.change_high)
    return reporting.with_interval(*(getattr(part, quantity)[kept - 1] for part in parts), joint)


if sweeps:
    lowest = pool["imagenet"].min()
    figure, panels = figures.new_figure(
        columns=2, rows=len(sweeps), width=8.4, height=1 + 2.5 * len(sweeps), sharex=True,
        squeeze=False,
    )  # fmt: skip
    for (left, right), name in zip(panels, sweeps, strict=True):
        charts.draw_sweeps(left, sweeps[name], "inside")
        charts.draw_sweeps(right, sweeps[name], "robustness", lowest)
        right.axhline(0, color=figures.INK, linewidth=0.8)
        left.set(ylabel="accuracy (%)", ylim=(0, None), title=titles[name])
        right.set(ylabel="ER, unseen styles (points)", ylim=(-12, 8))
    for axes in panels[-1]:
        axes.set(xlabel="directions pruned (%)")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    rank = len(sweeps[names[0]]["importance"].curves.inside)
    fifth = round(0.2 * rank)
    words = []
    for name, found_orders in sweeps.items():
        whole, pruned = (
            [figures.percent(found_orders[o].curves.inside[k - 1]) for o in charts.ORDERS]
            for k in (rank, fifth)
        )
        er = [figures.points(found_orders["importance"].curves.robustness[k - 1])
              for k in (rank, fifth)]  # fmt: skip
        words.append(
            f"{titles[name]}: {whole[0]} % with all {rank} directions; with {fifth} kept "
            + ", ".join(f"{v} % {t}" for v, (t, *_) in zip(pruned, charts.ORDERS.values(),
                                                            strict=True))
            + f"; effective robustness by importance {er[0]}, then {er[1]} points"
        )  # fmt: skip
    figures.show(
        figure,
        name="curve",
        caption=f"""Accuracy in the training style (left) and effective robustness on the unseen
        styles (right) of {backbone.title} against the share of directions pruned, in four orders,
        the counterpart of the paper's Figure 3. {reporting.task(found[0])}. Blue band: 95 % of
        {resamples} resamples (seed {seed}) of the test concepts, the same in every style, and of
        the baseline's pool; grey: lowest to highest of {found[0].value("random_orders")} random
        orders. Thin on the right: accuracy below {figures.percent(lowest)} %, the pool's lowest, so
        that the baseline is extrapolated. Dashed: the 80 % of the claim, {fifth} of {rank}
        directions kept.""",
        alt=f"Pairs of panels. {'; '.join(words)}.",
        evidence="recorded, live",
    )

# %%
SHARES = (1, 0.5, 0.3, 0.2, 0.1)  # of directions kept, in the pocket lab's tables
if sweeps:
    accuracy, robustness = [], []
    for name, found_orders in sweeps.items():
        sweep = found_orders["importance"]
        for kept in dict.fromkeys(round(share * rank) for share in SHARES):
            inside, outside, er = (
                getattr(sweep.curves, quantity)[kept - 1]
                for quantity in ("inside", "outside", "robustness")
            )
            row = {"model": titles[name], "kept": str(kept)}
            whole = kept == rank
            accuracy.append(
                row
                | {
                    "training style (%)": figures.percent(inside),
                    "change (points)": "" if whole else change(sweep, "inside", kept, ", "),
                    "unseen (%)": figures.percent(outside),
                }
            )
            robustness.append(
                row
                | {
                    "ER (points)": figures.points(er) + (" (*)" if inside < lowest else ""),
                    "change (points)": "" if whole else change(sweep, "robustness", kept, ", "),
                }
            )
    figures.table(
        pd.DataFrame(accuracy),
        name="kept",
        caption=f"""Accuracy of {backbone.title} with the most important directions kept, in the
        training style and on average over the unseen styles. Change: from the whole head, with its
        95 % interval in brackets. The paper's 80 % is the row of {fifth} kept.""",
        evidence="live",
    )
    figures.table(
        pd.DataFrame(robustness),
        name="kept-robustness",
        caption=f"""Effective robustness of {backbone.title} on the unseen styles with the most
        important directions kept. Change: from the whole head, with its 95 % interval in brackets,
        paired within each resample. (*): the accuracy is below the pool's lowest, the baseline
        extrapolated. One seed of training, the shipped one.""",
        evidence="recorded, live",
    )

# %% tags=["remove-input"]
if sweeps:
    sentences = []
    for name, found_orders in sweeps.items():
        sweep = found_orders["importance"]
        kept = pruned_shifts.fewest_without_loss(sweep, "inside")
        lost = int((sweep.change_high.robustness < 0).sum())
        sentences.append(
            f"**{titles[name]}:** with {fifth} of {rank} directions kept accuracy changes by "
            f"{change(sweep, 'inside', fifth)} points, effective robustness by "
            f"{change(sweep, 'robustness', fifth)} points. A loss of accuracy is established below "
            f"{kept} directions ({100 * (1 - kept / rank):.0f} % pruned), one of effective "
            f"robustness at {lost} of the {rank - 1} steps."
        )
    figures.text("eighty", "\n".join(f"- {sentence}" for sentence in sentences))
elif pocket:
    figures.text("eighty", "Not measured; the list below says how to.")
else:
    figures.text("eighty", "Effective robustness under pruning is not measured for this family.")

# %% [markdown]
# ## One direction left out

# %%
sentences = []
for m in found:
    without = m.value("accuracy_without_each")
    whole = m.value("accuracy_importance")[-1]
    worst = int(without.argmin())
    others = np.delete(without, worst)
    name = f"**{titles[m.model]}:**" if m.model in titles else f"{reporting.title(m, backbone)}:"
    sentences.append(
        f"{name} leaving out direction {worst + 1} (by singular value) "
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
reporting.show_what_is_missing(
    backbone,
    found,
    [m for m in reporting.without(backbone, found) if m.level != "random"],  # knows no classes
    "Here will stand accuracy and effective robustness against the share pruned",
    "pruning",
    evidence.unusable(backbone),
)
