# ---
# jupyter:
#   companion:
#     scope: edition
#     editions: [paper, pocket]
#     measurements: [accuracy, basis]
#     reads:
#     - data/embeddings.yaml
#     - data/emoji/emoji.zip
#     - data/moments/kurtosis.csv
#     - data/pocket/*.csv
#     - data/published/accuracies.csv
# ---

# %% [markdown]
# # What kurtosis measures
#
# What rotations and means do to κ and predictions: shown on {doc}`/what_kurtosis_measures`.

# %% tags=["parameters"]
edition: str = "paper"  # which families

# %%
import numpy as np
import pandas as pd

from analysis.families.registry import level_title
from analysis.metrics import basis
from analysis.metrics.indicators import rank_correlation
from analysis.metrics.outliers import kurtosis
from companion.claims.evidence import gather
from companion.publish import dots, encoders, overview, style, words
from companion.publish.style import digits

editions = (edition, "contrast") if edition == "paper" else (edition,)
bases = [m for m in overview.known("basis", *editions) if "captions" not in m.data.name]
one_each = encoders.one_set_each(bases)

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
    "κ, rotated (hollow)": ("kurtosis", "kurtosis_rotated"),
    "Gaussian, mean subtracted (hollow)": ("kurtosis_gaussian", "kurtosis_less_mean"),
}
panels = {
    title: [
        dots.Row(encoders.told(m), m.level, m.value(filled),
                 other=np.mean(m.value(hollow)))
        for m in one_each
    ]
    for title, (filled, hollow) in PANELS.items()
}  # fmt: skip
style.figure(
    "turned", dots.rows(panels, lines=(3,), levels=edition, log=True) if one_each else None,
    words.kind(one_each),
    """A rotation removes a large κ, and so does subtracting the mean image (hollow marks). Filled:
    features as published (left); Gaussian draws with their mean and covariance (right). Line:
    3.""",
)  # fmt: skip
style.text("gaussian", overview.gaussian_suffices(bases))
style.text("moments", overview.from_moments(bases))
for name, some in (("statements", one_each), ("every-set", bases)):
    style.table(
        name,
        pd.DataFrame(
            {
                "model": encoders.told(m),
                **({"images": m.data.title} if name == "every-set" else {}),
                "κ": digits(m.value("kurtosis")),
                "rotated": digits(max(m.value("kurtosis_rotated"))),
                "mean subtracted": digits(m.value("kurtosis_less_mean")),
                "Gaussian": digits(m.value("kurtosis_gaussian")),
                "in the mean (%)": f"{100 * m.value('mean_share'):.0f}",
                "eigenframe": digits(m.value("kurtosis_eigenframe")),
                "rank": digits(m.value("effective_rank")),
            }
            for m in some
        ),
        words.kind(some),
        """No rotation changes the last three columns, and adding a constant leaves only the
        effective rank unchanged.""",
        more="""Columns 2 to 5 are κ: of the images as they are; the largest in ten random bases;
        after mean subtraction; of Gaussian draws with their mean and covariance. In the mean: share
        of the images' energy. Eigenframe: κ along the eigenvectors of the second moments. Rank: the
        effective rank of the covariance.""",
    )

style.text("eigenframe-share", overview.eigenframe_and_share(bases))
style.text("random-weights", overview.shares_of_random(one_each))

# %% [markdown]
# ## Does a statement order robust and less robust models?

# %%
STATEMENTS = {
    "kurtosis": "κ", "kurtosis_less_mean": "κ, mean subtracted",
    "kurtosis_eigenframe": "κ in the eigenframe", "mean_share": "share in the mean",
    "effective_rank": "effective rank",
}  # fmt: skip
intervals = gather(edition, experiments=("accuracy",)).intervals
trained = [m for m in bases if m.level != "random" and not m.provenance.inferred]
own = [m for m in trained if m.model in intervals]
frame = pd.DataFrame(
    {"model": m.model, "level": m.level, "er": intervals[m.model].value}
    | {statement: m.value(statement) for statement in STATEMENTS}
    for m in own
)
enough = len(frame) > 2
if enough:  # of a model on several sets of images the median
    frame = frame.groupby(["model", "level"], as_index=False, sort=False).median()
panels = {
    title: [dots.Marks(level_title(own, edition), own, m[name], m["er"], names=m["model"])
            for own, m in frame.groupby("level", sort=False)]
    for name, title in STATEMENTS.items() if enough
}  # fmt: skip
style.figure(
    "order", dots.scatter(panels, "effective robustness (points)") if panels else None,
    words.kind(own) if own else None,
    """Five statements about features against effective robustness. A mark is a model: the median
    over its image sets.""",
)  # fmt: skip
told = "; ".join(
    f"{title} {rank_correlation(frame[statement], frame['er']):.2f}"
    for statement, title in STATEMENTS.items() if enough
)  # fmt: skip
of = f" ({len(frame)} models)" if enough else "not measured"
style.text("correlations", style.minus(told + of))
