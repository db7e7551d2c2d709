# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   companion:
#     scope: family
#     editions: [paper, reader, pocket]
#     features: true
#     reads:
#     - data/imagenet/objectnet.csv
#     - data/imagenet/sets.yaml
#     - data/measurements/accuracy/*.json
#     - data/published/accuracies.csv
#     - data/pocket/accuracies.csv
#     - data/pocket/recognised.csv
#     - data/emoji/emoji.zip
# ---

# %% [markdown]
# # Effective robustness
#
# How much more accurate are this backbone's models under the shifts than their accuracy in the
# distribution of ImageNet lets one expect? The section {doc}`/measuring_robustness` explains the
# question; this page shows one backbone. The accuracies of the paper's models were published by
# others, and are measured here, too, where there are features; those of the {doc}`pocket lab
# </guide/pocket_lab>`, where a drawing style stands for ImageNet and other styles for its shifts,
# are its own. Everything else is computed here.

# %% tags=["parameters"]
family: str = "rn50"  # the family in front
pool_v2: str = "matched_frequency"  # ImageNet-V2 variant of the published pool that is refitted
resamples: int = 2000  # bootstrap resamples
seed: int = 0  # seed of the bootstrap

# %%
import numpy as np
import pandas as pd

from analysis.families.registry import level_title, load_family
from analysis.metrics.robustness import (
    PAPER_BASELINE,
    Baseline,
    bootstrap_baselines,
    effective_robustness,
)
from companion.measurements import (
    accuracy,
    pocket_robustness,
    published,
    published_robustness,
    views,
)
from companion.measurements.due import unusable
from companion.measurements.records import available
from companion.publish import dots, style, words

backbone = load_family(family)
in_pocket = backbone.edition == "pocket"
first, second = views.of_family(backbone, pool_v2)
SIX = list(accuracy.NAMES.values())
measured = [] if in_pocket else available("accuracy", backbone, SIX)
own_view = views.own(backbone, pool_v2, measured)
own_measured = [m for m in measured if m.model in set(own_view.models["name"])]
kind = "recorded" if in_pocket else "published"
kind_with_own = f"published, {words.kind(own_measured)}" if own_measured else kind
LEVELS = {level: level_title(level, backbone.edition) for level in style.LEVEL_STYLES}


def marks(models: pd.DataFrame, y: str = "shifted", own: bool = False) -> list[dots.Marks]:
    """The models of one source by level; many checkpoints of one description as small marks."""
    found = []
    for level, title in LEVELS.items():
        of_level = models[models["level"] == level]
        soups = of_level["source"] == "model_soups"
        small = of_level["name"].str.endswith("web-small")
        looks = [
            (soups, "small", f"finetuned (model soups, {soups.sum()} models)"),
            (small, "hollow", f"{title}, small web"),
            (~soups & ~small, "hollow" if own else "filled",
             f"{title}, own features" if own else f"{title}, large web" if small.any() else title),
        ]  # fmt: skip
        for which, look, name in looks:
            if which.any():
                part = of_level[which]
                found.append(dots.Marks(name, level, part["imagenet"], part[y], look=look))
    return found


def accuracy_figure(view: views.View) -> dots.Drawing:
    """Logit axes with the pool, its fit and the family."""
    ends = [0.04, 0.91], [0.02, 0.80]
    models = view.models[view.models["level"] != "random"] if in_pocket else view.models
    ours = own_view.models if view is first else own_view.models[:0]
    if len(ours):  # a reader's model may lie outside
        both = ours["imagenet"], ours["shifted"]
        ends = [
            [min(low, 0.7 * values.min()), max(high, 1 - 0.7 * (1 - values.max()))]
            for (low, high), values in zip(ends, both, strict=True)
        ]
    if in_pocket:
        both = [pd.concat([models[name], view.pool[name]]) for name in ("imagenet", "shifted")]
        ends = [[0.85 * values.min(), 1.15 * values.max()] for values in both]
    return dots.robustness(
        view.pool,
        view.line,
        bootstrap_baselines(view.pool["imagenet"], view.pool["shifted"], resamples, seed),
        [*marks(models), *marks(ours, own=True)],
        (f"{view.inside} (%, logit scale)", f"{view.outside} (%)"),
        ends,
        PAPER_BASELINE if view.reference is PAPER_BASELINE else None,
    )


# %% [markdown]
# ## Accuracy under shift against accuracy without

# %%
BAND = f"Band: 95 % of {resamples} refits to resampled pools (seed {seed})."
CAPTIONS = {
    "five": f"""The {backbone.title} models that were measured on all five shifts, the baseline
    pool of {{cite:t}}`taori2020measuring` and two baselines. Effective robustness is the
    vertical distance to the dashed line, in percentage points. {BAND}"""
    + " Hollow: accuracies from features of this book's own." * bool(len(own_view.models)),
    "four": f"""The same on four shifts, without ObjectNet, for the {backbone.title} models that
    timm measured, which has no ObjectNet. The line is refitted on the same four shifts, so the two
    figures' values must not be compared. {BAND}""",
    "unseen": f"""The counterpart of the paper's Figure 1: the {backbone.title} models, one mark for
    each seed, on test concepts in the {len(first.shifts)} styles that no model trains on, the
    pocket lab's own baseline pool of small supervised models, and the line fitted to it. {BAND} The
    models with random weights, near chance, lie outside.""",
    "seen": f"""The same in the style that the web sets hold: the zero-shot models know it, the
    supervised ones do not. A part of CLIP's robustness on ImageNet's shifts may be of that kind.
    {BAND}""",
}
NAMES = {
    "five": "figure-1",
    "unseen": "figure-1",
    "four": "figure-four-shifts",
    "seen": "figure-seen",
}
only_second = sorted(set(second.models["name"]) - set(first.models["name"]))
for view in (first, second) if in_pocket or only_second else (first,):
    style.figure(
        NAMES[view.name],
        accuracy_figure(view),
        kind_with_own if view is first else kind,
        CAPTIONS[view.name],
    )

# %% [markdown]
# ## Effective robustness of each model


# %%
def published_rows(view: views.View, models: pd.DataFrame) -> pd.DataFrame:
    """One row per model for the table; checkpoints of one description are summarised."""
    rows = []
    for (_, source), own in models.groupby(["name", "source"], sort=False):
        one = own.iloc[0]
        low, middle, high = own["er"].quantile([0, 0.5, 1])
        many = len(own) > 1
        value = style.points(middle, None if many else one["er_95"])
        if many:
            value += f" ({style.points(low)} to {style.points(high)})"
        rows.append(
            {
                "level": LEVELS[one["level"]],
                "pretraining": one["pretraining"],
                "ER (points)": value,
                "shifts": len(view.shifts),
                "ImageNet (%)": style.percent(own["imagenet"].median()),
                "shifted (%)": style.percent(own["shifted"].median()),
                "models": len(own),
                "source": source,
            }
        )
    return pd.DataFrame(rows)


def pocket_rows() -> pd.DataFrame:
    """One row per model: mean over seeds with its interval, and each seed."""
    rows = {m.name: {"model": m.title} for m in backbone.models}
    for view in (first, second):
        resampled = pocket_robustness.resampled(backbone, view.name, resamples, seed)
        for name, own in view.models.groupby("name", sort=False):
            low, high = np.percentile(resampled[name].mean(axis=1), [2.5, 97.5])
            rows[name] |= {"training style (%)": style.percent(own["imagenet"].mean())}
            rows[name] |= {
                f"{view.name} (%)": style.percent(own["shifted"].mean()),
                f"ER {view.name}": f"{style.points(own['er'].mean())} "
                f"({style.points(low)} to {style.points(high)})",
                f"seeds, {view.name}": " / ".join(map(style.points, own["er"])),
            }
    return pd.DataFrame(rows.values())


if in_pocket:
    style.table(
        "table-1",
        pocket_rows(),
        caption=f"""Effective robustness of the {backbone.title} models in percentage points: mean
        over seeds (95 % interval), and each seed. The interval is from {resamples} resamples (seed
        {seed}) of the test concepts, the same in all styles and for all seeds, and of the pool's
        models; near-duplicate concepts are drawn one by one, which makes it a little too narrow.
        Random weights lie so low that their baseline is extrapolated.""",
        evidence=kind,
    )
else:
    extra = second.models[second.models["name"].isin(only_second)]
    rows = pd.concat([published_rows(first, first.models), published_rows(second, extra)])
    if len(rows):
        style.table(
            "table-1",
            rows,
            caption=f"""Effective robustness of the {backbone.title} models. ±: 95 % interval from
            the finite test sets, the baseline held fixed. Several models: median (lowest to
            highest). Five shifts against the paper's printed line, four shifts (no ObjectNet)
            against a line refitted on these four: rows with 4 and rows with 5 shifts must not be
            compared.""",
            evidence=kind,
        )

# %% tags=["remove-input"]
if in_pocket:
    er = first.models.set_index(["name", "seed"])["er"]
    numbers = sorted(first.models["seed"].unique())
    levels = ("web-large", "finetuned", "supervised")
    chain = [next(m.name for m in backbone.models if m.name.endswith(end)) for end in levels]
    in_order = [
        number
        for number in numbers
        if er[chain[0], number] > er[chain[1], number] > er[chain[2], number]
    ]
    style.text(
        "order",
        f"{backbone.title}: the paper's order, zero-shot over finetuned over supervised, holds on "
        f"unseen styles for {len(in_order)} of {len(numbers)} seeds.",
    )

# %% tags=["remove-input"]
known = {name for view in (first, second, own_view) for name in view.models["name"]}
absent = [
    LEVELS[m.level] + ("" if m.level == "captions" else f", {m.pretraining}")
    for m in backbone.models
    if m.name not in known and m.level != "random"
]
if absent:
    items = "\n".join(f"- {item}" for item in absent)
    style.text(
        "not-measured",
        ":::{admonition} Not measured yet\n:class: not-measured\nNo complete set of published "
        f"accuracies is known for these {backbone.title} models:\n\n{items}\n:::",
    )

# %% [markdown]
# ## From features of this book's own


# %%
def own_command(data: list[str]) -> str:
    """How to get what is missing (MyST)."""
    return (
        f"`companion extract {family} --data {' '.join(data)}`, then `companion measure accuracy "
        f"{family} --record`"
    )


TITLES = {"imagenet": "ImageNet"} | views.SHIFT_TITLES
by_model = accuracy.by_model(measured)
rows, beyond, compared = [], [], 0
for model in backbone.models:
    theirs = published_robustness.of_checkpoint(published.load(), model)
    theirs = theirs.set_index("dataset")["accuracy"]
    sets = by_model.get(model.name, {})
    for name in filter(sets.get, TITLES):
        one = sets[name]
        limit = published_robustness.NORMAL_95 * one.standard_error
        row = {
            "model": model.title,
            "data set": TITLES[name],
            "images": f"{one.images:,}",
            "own (%)": style.percent(one.top1) + (f" ± {100 * limit:.1f}" if limit else ""),
        }
        if name in theirs:
            gap = one.top1 - theirs[name]
            compared += 1
            inside = abs(gap) <= limit
            beyond += [] if inside else [f"{row['model']} on {row['data set']}"]
            row |= {
                "published (%)": style.percent(theirs[name]),
                "difference (points)": style.minus(f"{100 * gap:+.2f}"),
                "within noise": "yes" if inside else "no",
            }
        rows.append(row)
if rows:
    noise = (
        f"{compared - len(beyond)} of the {compared} differences from published values of the very "
        "same checkpoint are within the sampling noise of the own value"
        + (f"; not so: {'; '.join(beyond)}." if beyond else ".")
        + " Both sides saw the same images if the copy is complete, so agreement should be closer "
        "than noise: a larger difference speaks of another protocol, precision or copy."
        if compared
        else "Of none of these checkpoints is an accuracy published here."
    )
    style.text("own-agreement", noise)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    style.table(
        "own-accuracies",
        pd.DataFrame(rows, columns=columns).fillna(""),
        caption=f"""Top-1 accuracy of {backbone.title} from features of this book's own, among each
        data set's classes. ±: 95 % of the binomial sampling error, none where no image is
        recognised. V2 is the matched-frequency variant, ObjectNet without its red border."""
        + bool(compared)
        * """ Beside it what was published of the very same checkpoint, where that is known, and
        whether the difference is smaller than that error; open_clip's published values kept
        ObjectNet's border.""",
        evidence=f"published, {words.kind(measured)}" if compared else words.kind(measured),
        search="Find a model or data set" if len(rows) > 18 else "",
    )
    differing = [
        f"- {titled}: {one.what}"
        for titled, one in sorted(
            {(TITLES[name], one) for sets in by_model.values() for name, one in sets.items()},
            key=lambda pair: pair[0],
        )
        if not one.complete
    ]
    if differing:
        items = "\n".join(dict.fromkeys(differing))
        style.text(
            "own-copies",
            ":::{admonition} Not the published data sets\n:class: warning\nThese accuracies are of "
            f"other images than the published ones, so they decide no claim:\n\n{items}\n:::",
        )

# %%
if len(own_view.models):
    published_er = first.models.set_index("name")
    rows = []
    for one in own_view.models.itertuples():
        theirs = published_robustness.of_checkpoint(
            published.load(), backbone.model(one.name)
        )  # the same checkpoint's, on all five shifts, or nothing
        same = set(accuracy.NAMES) <= set(theirs["dataset"]) and one.name in published_er.index
        other = published_er.loc[one.name] if same else None
        rows.append(
            {
                "model": backbone.model(one.name).title,
                "ER (points)": style.points(one.er, one.er_95),
                "published ER (points)": style.points(other["er"], other["er_95"]) if same else "",
                "ImageNet (%)": style.percent(one.imagenet),
                "shifted (%)": style.percent(one.shifted),
            }
        )
    beside = any(row["published ER (points)"] for row in rows)
    style.table(
        "own-robustness",
        pd.DataFrame(rows).drop(columns=[] if beside else "published ER (points)"),
        caption=f"""Effective robustness of {backbone.title} from features of this book's own, on
        five shifts against the paper's printed line. ±: 95 % interval from the finite test sets,
        the line held fixed."""
        + " Beside it that of the very same checkpoint from published accuracies." * beside,
        evidence=kind_with_own,
    )

# %% tags=["remove-input"]
loadable = [model for model in backbone.models if model.loadable and model.level != "random"]
if in_pocket:
    style.text("own-missing", "In the pocket lab every accuracy above is of the book's own.")
elif not measured:
    style.text(
        "own-missing",
        f"Not measured: {own_command(SIX)}." if loadable else "No weights can be loaded.",
    )
else:
    lacking = {m.name: accuracy.missing(by_model.get(m.name, {})) for m in loadable}
    titled = {m.name: m.title for m in loadable}
    items = [f"- {titled[name]}: {', '.join(sets)}" for name, sets in lacking.items() if sets]
    wanted = [data for data in SIX if any(data in sets for sets in lacking.values())]
    inside = {n: by_model[n]["imagenet"].top1 for n, sets in lacking.items() if not sets}
    never = [
        f"- {titled[name]}: effective robustness is not defined where "
        f"{'every' if top1 else 'no'} image of ImageNet is recognised"
        for name, top1 in inside.items()
        if top1 in (0, 1)
    ]
    parts = ["\n".join([*items, *never])] * bool(items or never)
    parts += [f"What is missing comes from {own_command(wanted)}."] * bool(wanted)
    if parts:
        style.text(
            "own-missing",
            ":::{admonition} No effective robustness yet\n:class: not-measured\n"
            + "\n\n".join(parts)
            + "\n:::",
        )
problems = unusable(backbone)
if problems and not in_pocket:
    style.text("unusable", words.unusable(problems))

# %% [markdown]
# ## Shift by shift
#
# The mean hides that the shifts differ. Here each shift has a baseline of its own, fitted to the
# pool's accuracies on that shift alone. Its correlation `r` says how far a line is a fair summary.
# On ImageNet-A, whose images were picked because one ResNet-50 fails on them, it is not.

# %%
sides = [(first, first.models)]
sides.append((second, second.models) if in_pocket else (first, extra))
only_own = own_view.models[~own_view.models["name"].isin(first.models["name"])]
sides += [] if in_pocket else [(own_view, only_own)]
shift_lines = {
    shift: views.own_line(view, shift)
    for view in (first, *((second,) if in_pocket else ()))
    for shift in view.shifts
}
titles = dict(first.shifts) | (dict(second.shifts) if in_pocket else {})
never_right = int((first.pool[list(first.shifts)] == 0).to_numpy().sum())


def by_shift(view: views.View, models: pd.DataFrame) -> pd.DataFrame:
    """Effective robustness per model and shift against that shift's own line."""
    parts = [
        models[["name", "level", "source"]].assign(
            shift=shift,
            er=effective_robustness(models[shift], models["imagenet"], shift_lines[shift]),
        )
        for shift in view.shifts
        if shift in models
    ]
    return pd.concat(parts)


shift_er = pd.concat([by_shift(view, models) for view, models in sides])
shift_er = shift_er[(shift_er["level"] != "random") & shift_er["er"].notna()]
places = [style.minus(f"{title}\nr = {shift_lines[s].r:.2f}") for s, title in titles.items()]
strips = []
for level, title in LEVELS.items():
    own = shift_er[shift_er["level"] == level]
    soups, ours = own["source"] == "model_soups", own["source"] == views.OWN
    looks = (
        (own[~soups & ~ours], "filled", title),
        (own[soups], "small", f"{title}, model soups"),
        (own[ours], "hollow", f"{title}, own features"),
    )
    for part, look, name in looks:
        if len(part):
            x = part["shift"].map(list(titles).index)
            strips.append(dots.Marks(name, level, x, part["er"], look=look))
left_out = (
    f" (left out: {never_right} value of exactly 0 %, which has no logit)" if never_right else ""
)
about = (
    "The last style is the seen one; one mark for each model and seed."
    if in_pocket
    else "V2 is the matched-frequency variant. Models without ObjectNet have no point there."
    + " Hollow: models with accuracies of this book's own alone." * bool(len(only_own))
)
if len(shift_er):
    style.figure(
        "by-shift",
        dots.strips(
            [place.replace(" high ", "\nhigh ") for place in places],
            strips,
            "effective robustness (points)",
        ),
        kind_with_own if len(only_own) else kind,
        f"""Effective robustness of the {backbone.title} models on each shift alone, against
        a line fitted to the pool's {len(first.pool)} models on that shift{left_out}; r is that
        fit's correlation. {about}""",
    )

# %% [markdown]
# ## How much rests on the choice of fit
#
# The paper prints its constants but not which variant of ImageNet-V2 stands in the mean, nor which
# models are in the pool. The same accuracies give other values under other choices. In the pocket
# lab the pool is our own; how near r is to 1 says how far one line carries for all its models.

# %%
if in_pocket:
    fits = pd.DataFrame(
        [
            {
                "styles": view.name,
                "models in the pool": len(view.pool),
                "slope": f"{view.line.slope:.2f}",
                "intercept": style.minus(f"{view.line.intercept:.2f}"),
                "r": f"{view.line.r:.2f}",
            }
            for view in (first, second)
        ]
    )
    about = "The pocket lab's baselines, in logits."
else:
    choices = published_robustness.fit_choices(published.load())
    POOLS = {"all": "all but more data", "standard": "standard training only"}
    lines = {"printed constants": PAPER_BASELINE} | {
        f"V2 {c.v2.replace('_', ' ')}, {POOLS[c.kinds]}": Baseline(c.slope, c.intercept, c.r)
        for c in choices.itertuples()
    }
    singles = first.models[first.models["source"] != "model_soups"]
    singles = pd.concat([singles, only_own])

    def column(m) -> str:
        """What tells a model apart from the family's others."""
        if m.source == views.OWN:
            return f"{backbone.model(m.name).title} (own)"
        return m.pretraining if m.level == "zero_shot" else LEVELS[m.level]

    fits = pd.DataFrame(
        {
            "fit": list(lines),
            "slope": [f"{line.slope:.3f}" for line in lines.values()],
            "intercept": [style.minus(f"{line.intercept:.3f}") for line in lines.values()],
        }
        | {
            column(m): [
                style.points(float(effective_robustness(m.shifted, m.imagenet, line)))
                for line in lines.values()
            ]
            for m in singles.itertuples()
        }
    )
    about = f"""Effective robustness (points) of the {backbone.title} models measured on five
    shifts, under the printed constants and under eight refits: four choices of ImageNet-V2 in the
    pool, and two choices of pool. The models' own accuracies stay the same (V2
    matched-frequency)."""
style.table(
    "fits",
    fits,
    caption=about,
    evidence=kind_with_own if not in_pocket and len(only_own) else kind,
)
