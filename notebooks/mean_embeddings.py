# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   companion:
#     scope: edition
#     reads:
#     - data/imagenet/sets.yaml
#     - data/measurements/outlier_features/*.json
#     - data/measurements/privileged_directions/*.json
#     - families/*.yaml
# ---

# %% [markdown]
# # What mean embeddings and heads show
#
# Of some models only a mean embedding of images, or only the head, was published. Averaging removes
# what differs between images, so the mean looks more concentrated than any single image, and
# importance needs every image: these values must be compared neither with those per image nor with
# the paper's. The pages {doc}`/outlier_features` and {doc}`/privileged_directions` show them.

# %% tags=["parameters"]
edition: str = "paper"  # which families
threshold: float = 6.0  # times the mean coordinate: from there a coordinate is named an outlier

# %%
import pandas as pd

from analysis.families.registry import load_families
from companion.measurements.records import available
from companion.publish import charts, style, words
from companion.publish.words import digits

families = load_families(edition)


def known(experiment: str) -> dict:
    """Measurements that saw no single images, by backbone and model."""
    return {
        f"{family.title}, {family.model(m.model).title}": m
        for family in families.values()
        for m in available(experiment, family)
        if m.basis != "per_image"
    }


# %% [markdown]
# ## Mean embeddings

# %%
means = known("outlier_features")
style.table(
    "kurtosis-of-mean",
    pd.DataFrame(
        {
            "model": title,
            "κ of the mean": digits(m.value("kurtosis_of_mean")),
            "outliers": words.outliers(m.value("profile_of_mean"), threshold),
            "largest coordinate": str(m.value("profile_of_mean").argmax()),
            "its size (× mean)": digits(m.value("profile_of_mean").max()),
            "share of the mean (%)": f"{100 * m.value('mean_share'):.1f}"
            if "mean_share" in m.values
            else "n/a",
        }
        for title, m in means.items()
    ),
    words.kind(means.values()),
    f"""Kurtosis of published *mean* embeddings of COCO images. These are **not** mean kurtoses:
    they must be compared neither with those per image nor with the paper's. Outliers: coordinates
    at least {threshold:g} times as far from the embedding's mean as the mean coordinate. Share of
    the mean: |mean|² over the mean |h|², which needs the covariance.""",
)
style.figure(
    "mean-profile",
    charts.profiles(means, threshold, "profile_of_mean"),
    words.kind(means.values()),
    """Mean embeddings: each coordinate's distance from the embedding's mean, relative to the mean
    coordinate (1, thin line). An approximation from the mean alone.""",
)

# %% [markdown]
# ## Heads

# %%
heads = known("privileged_directions")


def relative(m, number: int) -> str:
    """A singular value, relative to the mean one."""
    share = m.value("singular_value_share")
    return digits(share[number] * len(share))


def largest(m) -> tuple[int, float]:
    """The first direction's largest component, and its size."""
    size = abs(m.value("top_components"))
    return size.argmax(), size.max()


style.table(
    "heads",
    pd.DataFrame(
        {
            "head": f"{title}: {m.data.title}",
            "first σ (× mean)": relative(m, 0),
            "second σ (× mean)": relative(m, 1),
            "v₁ with mean head row": f"{m.value('top_with_head_mean'):.3f}",
            "v₁ with mean embedding": f"{m.value('cosine_with_mean')[0]:.3f}"
            if "cosine_with_mean" in m.values
            else "not measured",
            "largest coordinate": "{} ({:.2f})".format(*largest(m)),
        }
        for title, m in heads.items()
    ),
    words.kind(heads.values()),
    """Genuine ImageNet zero-shot heads: singular values relative to the mean one, and the |cos| of
    the first direction with the head's mean row and with a published mean embedding of COCO images.
    Largest coordinate: where the direction has its largest component, and that component's size.
    Importance needs single images and is not given.""",
)
