# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   companion:
#     scope: edition
#     editions: [paper, pocket]
#     features: true
#     reads:
#     - data/emoji/emoji.zip
#     - data/imagenet/objectnet.csv
#     - data/imagenet/sets.yaml
#     - data/measurements/accuracy/*.json
#     - data/measurements/basis/*.json
#     - data/measurements/interventions/*.json
#     - data/pocket/*.csv
#     - data/published/accuracies.csv
#     - families/*.yaml
# ---

# %% [markdown]
# # What kurtosis measures
#
# Rotations, means and moments of genuine features, and what they do to κ and to predictions. The
# page {doc}`/what_kurtosis_measures` shows these results and explains them.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import numpy as np
import pandas as pd

from analysis.families.registry import load_families
from analysis.metrics import basis
from analysis.metrics.indicators import rank_correlation
from analysis.metrics.outliers import kurtosis
from companion.claims.evidence import gather
from companion.publish import dots, overview, style, words
from companion.publish.words import digits

families = load_families(edition) | (load_families("contrast") if edition == "paper" else {})
bases = [m for m in overview.known("basis", families) if "captions" not in m.data.name]
shown = overview.titled(bases, families)
one_each = overview.one_each(bases, overview.known("interventions", families))

# %% [markdown]
# ## By hand
#
# Images with one large coordinate, a head that names a class, and a random rotation of both.

# %%
rng = np.random.default_rng(0)
h, head = rng.normal(size=(500, 64)), rng.normal(size=(10, 64))
h[:, 7] += 12
turn = np.linalg.qr(rng.normal(size=(64, 64)))[0]
assert ((h @ head.T).argmax(1) == ((h @ turn) @ (head @ turn).T).argmax(1)).all()
unit = h / np.linalg.norm(h, axis=1, keepdims=True)
assert np.isclose(np.sum(unit.mean(axis=0) ** 2), basis.mean_share(h))
assert np.isclose(basis.mean_share(h), basis.mean_share(h @ turn))
style.text(
    "by-hand",
    f"κ = {digits(kurtosis(h).mean())} before and {digits(kurtosis(h @ turn).mean())} after",
)

# %% [markdown]
# ## A rotation, and the mean image

# %%
PANELS = {
    "κ: as it is (filled), rotated (hollow)": ("kurtosis", "kurtosis_rotated"),
    "κ: Gaussian draws (filled), less the mean": ("kurtosis_gaussian", "kurtosis_less_mean"),
}
panels = {
    title: [
        dots.Row(overview.title(m, families, data=False), m.level, m.value(filled),
                 other=np.mean(m.value(hollow)))
        for m in one_each
    ]
    for title, (filled, hollow) in PANELS.items()
}  # fmt: skip
style.figure(
    "turned", dots.rows(panels, lines=(3,), levels=True, log=True), words.kind(one_each),
    """Activation kurtosis κ of the same images, one set for each model. Left: as the model gives
    them, and after a random rotation of their coordinates (mean of ten). Right: draws from the
    Gaussian that has the images' mean and covariance, and the images less their mean. Line: the 3
    of Gaussian numbers. The table below names the images.""",
)  # fmt: skip
style.text("gaussian", overview.gaussian_suffices(list(shown.values()), families))
style.table(
    "statements",
    pd.DataFrame(
        {
            "model": title,
            "κ": digits(m.value("kurtosis")),
            "rotated": " to ".join(digits(f(m.value("kurtosis_rotated"))) for f in (min, max)),
            "less the mean": digits(m.value("kurtosis_less_mean")),
            "Gaussian": digits(m.value("kurtosis_gaussian")),
            "in the mean (%)": f"{100 * m.value('mean_share'):.0f}",
            "of it in one coordinate (%)": f"{100 * m.value('mean_coordinate_share'):.0f}",
            "eigenframe": digits(m.value("kurtosis_eigenframe")),
            "effective rank": digits(m.value("effective_rank")),
        }
        for title, m in shown.items()
    ),
    words.kind(shown.values()),
    """κ in ten random frames, lowest to highest; less the mean image; of as many Gaussian draws
    with the images' mean and covariance. In the mean: the share of the images' energy that lies in
    the mean image, and how much of that in its largest coordinate. Eigenframe: κ in the frame of
    the eigenvectors of the second moments. Effective rank: (Σ λ)² / Σ λ² of the covariance. No
    rotation changes the share in the mean, the eigenframe's κ and the effective rank.""",
)  # fmt: skip

# %% [markdown]
# ## Does a statement order robust and less robust models?

# %%
STATEMENTS = {
    "kurtosis": "κ", "kurtosis_less_mean": "κ less the mean",
    "kurtosis_eigenframe": "κ in the eigenframe", "mean_share": "share in the mean",
    "effective_rank": "effective rank",
}  # fmt: skip
intervals = gather(edition, experiments=("accuracy",)).intervals
own = [
    m for m in bases if m.level != "random" and m.model in intervals and not m.provenance.inferred
]
frame = pd.DataFrame(
    {"model": m.model, "level": m.level, "er": intervals[m.model].value}
    | {statement: m.value(statement) for statement in STATEMENTS}
    for m in own
)
enough = len(frame) > 2
if enough:  # of a model on several sets of images the median
    frame = frame.groupby(["model", "level"], as_index=False, sort=False).median()
panels = {
    title: [dots.Marks(style.LEVEL_STYLES[level].title, level, rows[name], rows["er"])
            for level, rows in frame.groupby("level", sort=False)]
    for name, title in STATEMENTS.items() if enough
}  # fmt: skip
style.figure(
    "order", dots.scatter(panels, "effective robustness (points)") if panels else None,
    words.kind(own) if own else None,
    "Five statements about features against effective robustness, one mark for each model.",
)  # fmt: skip
told = "; ".join(
    f"{title} {rank_correlation(frame[statement], frame['er']):.2f}"
    for statement, title in STATEMENTS.items() if enough
)  # fmt: skip
style.text("correlations", told + (f" ({len(frame)} models)" if enough else "not measured"))
