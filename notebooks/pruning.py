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
#     - data/imagenet/objectnet.csv
#     - data/imagenet/sets.yaml
#     - data/measurements/pruning/*.json
#     - data/measurements/pruning_under_shift/*.json
#     - data/pocket/accuracies.csv
#     - data/published/accuracies.csv
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

from analysis.families.registry import load_family
from companion.claims import rules
from companion.measurements import pocket_robustness, published, published_robustness
from companion.measurements.due import SHIFTED, unusable
from companion.measurements.measures import (
    RESAMPLES,
    SEED,
    sweeps_of,
)
from companion.measurements.records import available
from companion.publish import charts, style, words

KEPT = (1.0, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)  # shares of directions shown in the table

backbone = load_family(family)
pocket = backbone.edition == "pocket"
inside, *shifts = SHIFTED["pocket" if pocket else "imagenet-and-shifts"]
found = available("pruning", backbone)


def curves(m) -> dict:
    """Accuracy in four orders, and what pruning by importance costs."""
    rank = len(m.value("accuracy_importance"))
    kept = np.arange(1, rank + 1)
    best, error = m.value("accuracy_importance"), 1.96 * m.value("difference_importance_error")
    ends = {
        "importance": (best - error, best + error),
        "random": (m.value("accuracy_random_lowest"), m.value("accuracy_random_highest")),
    }
    orders = {
        order: charts.Curve(kept, m.value(f"accuracy_{order}"), *ends.get(order, ()))
        for order in charts.ORDERS
    }
    cost = m.value("difference_importance")
    return {
        "accuracy (%)": orders,
        "difference (points)": {"importance": charts.Curve(kept, cost, cost - error, cost + error)},
    }


def accuracies(measurement, order: str, kept: int) -> str:
    """Accuracy in percent with that many directions kept."""
    return style.percent(measurement.value(f"accuracy_{order}")[kept - 1])


# %% [markdown]
# ## Accuracy against the share pruned

# %%
if pocket:
    style.text(
        "accuracy",
        "In the pocket lab accuracy and effective robustness are shown together, in the next part.",
    )
if found and not pocket:
    style.figure(
        "curve",
        charts.pruning({words.title(m, backbone): curves(m) for m in found}),
        words.kind(found),
        f"""Accuracy of {backbone.title} against the share of directions pruned, in four
        orders, the counterpart of the paper's Figure 3. {words.task(found[0])} (head:
        {words.heads(found)}). Blue band: 95 % interval of the paired difference from
        the whole head; grey: lowest to highest of {found[0].value("random_orders")} random orders.
        Right: accuracy less that of the whole head on the same {found[0].counts["images"]} images;
        losses above 20 points are cut off. Dashed: the 80 % of the claim.""",
    )


# %%
rows = []
for model in () if pocket else backbone.models:
    own = [m for m in found if m.model == model.name]
    name = {"model": model.title}
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
                    "difference (points)": style.points(loss, error) if kept < rank else "",
                    "by singular value (%)": accuracies(m, "singular_value", kept),
                    "at random (%)": accuracies(m, "random", kept),
                    "reversed (%)": accuracies(m, "reversed", kept),
                }
            )
    if not own and found:
        rows.append(name | {"by importance (%)": "not measured"})
if found and not pocket:
    style.table(
        "kept",
        pd.DataFrame(rows).fillna(""),
        caption=f"""Accuracy of {backbone.title} with some of the directions kept, in the task of
        the figure. Difference: from the whole head, on the same images, in the order of importance,
        ± 95 % interval. At random: mean of several orders.""",
        evidence=words.kind(found),
    )

# %% [markdown]
# ## Effective robustness against the share pruned
#
# The directions are ordered once, by what the images of the training distribution show; then the
# same pruned head classifies these and the images of every shift, and a baseline says which
# accuracy under shift to expect. In the pocket lab the training style and the styles that no model
# trains on play these parts; for the other families they are ImageNet and its five shifts.
# ObjectNet's classes are then rows of the ImageNet head, for zero-shot models, too, so that one
# head is pruned: with all directions kept the value may differ a little from that of a head of
# ObjectNet's own names. It takes the features of all six data sets.

# %%
under_shift = [m for m in available("pruning_under_shift", backbone) if m.level != "random"]
sweeps = {m.model: sweeps_of(m) for m in under_shift}
titles = {name: backbone.model(name).title for name in sweeps}
if pocket:
    pool = pocket_robustness.pool("unseen")
else:
    pool = published_robustness.pool(published.load(), published.FIVE_SHIFTS, "matched_frequency")
INSIDE, OUTSIDE = ("training style", "unseen styles") if pocket else ("ImageNet", "five shifts")
WHERE = "in the training style" if pocket else "on ImageNet"
KIND = words.kind(under_shift)
SOURCE = "recorded, live" if pocket else f"published, {KIND}"
BAND = (
    f"95 % of {RESAMPLES} resamples (seed {SEED}) of the test concepts, the same in every style, "
    "and of the baseline's pool"
    if pocket
    else "95 % interval from the finite test sets, the paper's printed line held fixed"
)


def change(sweep, quantity: str, kept: int, joint: str = " to ") -> str:
    """What pruning changes, with its interval: percentage points."""
    at = sweep.at(kept)
    parts = (sweep.change, sweep.change_low, sweep.change_high)
    return words.with_interval(*(getattr(part, quantity)[at] for part in parts), joint)


def curve(sweep, quantity: str, order: str, lowest: float = 0) -> charts.Curve:
    """One quantity of a sweep, sound from some accuracy on, with its interval in two orders."""
    ends = [getattr(end, quantity) for end in (sweep.low, sweep.high)]
    low, high = ends if order in ("importance", "random") else (None, None)
    sound = sweep.curves.inside >= lowest
    return charts.Curve(sweep.steps, getattr(sweep.curves, quantity), low, high, sound)


def fifth_of(sweep) -> tuple[int, int]:
    """The rank, and how many directions are left with 80 % pruned."""
    whole = int(sweep.steps[-1])
    return whole, max(1, round(0.2 * whole))


if sweeps:
    lowest = pool["imagenet"].min()
    rank, fifth = fifth_of(next(iter(sweeps.values()))["importance"])
    kept_words = f", {fifth} of {rank} directions kept" if len(sweeps) == 1 or pocket else ""
    drawn = under_shift[0].value("random_orders")
    style.figure(
        "curve" if pocket else "curve-shifts",
        charts.pruning(
            {
                titles[name]: {
                    "accuracy (%)": {o: curve(by[o], "inside", o) for o in charts.ORDERS},
                    f"ER, {OUTSIDE} (points)": {
                        o: curve(by[o], "robustness", o, lowest) for o in charts.ORDERS
                    },
                }
                for name, by in sweeps.items()
            }
        ),
        SOURCE,
        f"""Accuracy {WHERE} (left) and effective robustness on the {OUTSIDE}
        (right) of {backbone.title} against the share of directions pruned, in four orders,
        the counterpart of the paper's Figure 3."""
        + (f" {words.task(found[0])}." if pocket else "")
        + f""" Blue band: {BAND}; grey: lowest to highest of {drawn} random orders. Thin on the
        right: accuracy below {style.percent(lowest)} %, the pool's lowest, so that the baseline
        is extrapolated. Dashed: the 80 % of the claim{kept_words}.""",
    )

# %%
SHARES = (1, 0.5, 0.3, 0.2, 0.1)  # of directions kept, in the tables under shift
if sweeps:
    accuracy, robustness = [], []
    for name, found_orders in sweeps.items():
        sweep = found_orders["importance"]
        rank, fifth = fifth_of(sweep)
        for kept in dict.fromkeys(max(1, round(share * rank)) for share in SHARES):
            top1, outside, er = (
                getattr(sweep.curves, quantity)[sweep.at(kept)]
                for quantity in ("inside", "outside", "robustness")
            )
            row = {"model": titles[name], "kept": str(kept)}
            whole = kept == rank
            accuracy.append(
                row
                | {
                    f"{INSIDE} (%)": style.percent(top1),
                    "change (points)": "" if whole else change(sweep, "inside", kept, ", "),
                    f"{OUTSIDE.removesuffix(' styles')} (%)": style.percent(outside),
                }
            )
            robustness.append(
                row
                | {
                    "ER (points)": style.points(er) + (" (*)" if top1 < lowest else ""),
                    "change (points)": "" if whole else change(sweep, "robustness", kept, ", "),
                }
            )
    paired = "within each resample" if pocket else "image by image"
    style.table(
        "kept" if pocket else "kept-shifts",
        pd.DataFrame(accuracy),
        caption=f"""Accuracy of {backbone.title} with the most important directions kept, {WHERE}
        and on average over the {OUTSIDE}. Change: from the whole head, with its 95 % interval in
        brackets. The paper's 80 % is the row with a fifth kept.""",
        evidence=KIND,
    )
    style.table(
        "kept-robustness",
        pd.DataFrame(robustness),
        caption=f"""Effective robustness of {backbone.title} on the {OUTSIDE} with the most
        important directions kept. Change: from the whole head, with its 95 % interval in brackets,
        paired {paired}. (*): the accuracy is below the pool's lowest, the baseline
        extrapolated."""
        + " One seed of training, the shipped one." * pocket,
        evidence=SOURCE,
    )

# %% tags=["remove-input"]
if sweeps:
    sentences = []
    for m in under_shift:
        sweep = sweeps[m.model]["importance"]
        at_80 = rules.pruned_under_shift(m, 0.8)  # as the claim is judged
        rank, kept = int(at_80["rank"].value), sweep.fewest_without_loss("inside")
        accuracy, robustness = (
            words.with_interval(n.value, n.low, n.high)
            for n in (at_80["accuracy_change"], at_80["robustness_change"])
        )
        sentences.append(
            f"**{titles[m.model]}:** with {at_80['kept'].value:.0f} of {rank} directions kept "
            f"accuracy changes by {accuracy} points, effective robustness by {robustness} points. "
            f"A loss of accuracy is established below {kept} directions "
            f"({100 * (1 - kept / rank):.0f} % pruned), one of effective robustness at "
            f"{int((sweep.change_high.robustness < 0).sum())} of the {len(sweep.steps) - 1} steps."
        )
    style.text("eighty", "\n".join(f"- {sentence}" for sentence in sentences))
elif pocket:
    style.text("eighty", "Not measured; the list below says how to.")
else:
    style.text(
        "eighty",
        "Effective robustness under pruning is not measured for this family: `companion extract "
        f"{family} --data {inside} {' '.join(shifts)}` makes the features that it takes.",
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
    name = (
        f"**{titles[m.model]}:**"
        if pocket and m.model in titles
        else f"{words.title(m, backbone)}:"
    )
    sentences.append(
        f"{name} leaving out direction {worst + 1} (by singular value) "
        f"alone takes accuracy from {style.percent(whole)} % to "
        f"{style.percent(without[worst])} %, more than any other. Without any single one of the "
        f"others it stays between {style.percent(others.min())} % and "
        f"{style.percent(others.max())} %."
    )
if sentences:
    style.text("leave-one-out", "\n\n".join(sentences))
else:
    style.text("leave-one-out", "Not measured for this family; the list below says why.")

# %% [markdown]
# ## What is missing

# %% tags=["remove-input"]
words.show_what_is_missing(
    backbone,
    found,
    [m for m in words.without(backbone, found) if m.level != "random"],  # knows no classes
    "Here will stand accuracy and effective robustness against the share pruned",
    "pruning",
    unusable(backbone),
)
