# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   companion:
#     scope: edition
#     reads:
#     - data/imagenet/sets.yaml
#     - data/throughput/full_size.json
#     - data/throughput/published.csv
#     - families/*.yaml
# ---

# %% [markdown]
# # What the grid costs
#
# Disk, measured speed on a CPU, and time on GPUs from published speeds. The page
# {doc}`/appendix/grid` shows these results and explains them.

# %% tags=["parameters"]
edition: str = "paper"  # which families
cores: int = 16  # processor cores that decode for one GPU

# %%
import json

import numpy as np
import pandas as pd

from analysis.common import ROOT
from analysis.families.registry import load_families
from analysis.images.sets import GRID, descriptions
from companion.publish import style

THROUGHPUT = ROOT / "data" / "throughput"
GPUS = (1, 8)
LABEL_BYTES = 16  # a label and a row number
families = load_families(edition)
sets = [descriptions()[name] for name in GRID]
images = sum((one.used or one).images for one in sets)
models = {name: [m for m in family.models if m.loadable] for name, family in families.items()}

# %% [markdown]
# ## Disk


# %%
def gigabytes(name: str, each: int) -> float:
    """Features of all images by all models of a family, at so many bytes a component."""
    return images * sum(m.width * each + LABEL_BYTES for m in models[name]) / 1e9


style.text("images", f"{images:,}")
style.table(
    "disk",
    pd.DataFrame(
        {
            "family": family.title,
            "models with weights or random": len(models[name]),
            "features in fp32 (GB)": f"{gigabytes(name, 4):.1f}",
            "in fp16 or bf16 (GB)": f"{gigabytes(name, 2):.1f}",
        }
        for name, family in families.items()
    ),
    evidence=None,
    caption=f"""Disk for the features of {images:,} images: {len(GRID)} data sets, of ObjectNet the
    {descriptions()["objectnet"].used.images:,} that are used. Each image has the model's number of
    components, and {LABEL_BYTES} bytes for a label and a row number. While a data set is put
    together, its features take twice that.""",
)

# %% [markdown]
# ## Measured on a CPU

# %%
measured = json.loads((THROUGHPUT / "full_size.json").read_text(encoding="utf-8"))
rows = []
for one in measured["encoders"]:
    alone = np.mean(one["alone_per_second"])
    rows.append(
        {
            "encoder": one["architecture"],
            "images": f"{one['images']:,}",
            "files to features (images/s)": f"{one['images_per_second']:.1f}",
            "encoder alone (images/s)": " / ".join(f"{x:.1f}" for x in one["alone_per_second"]),
            "share (%)": f"{100 * one['images_per_second'] / alone:.0f}",
            "memory early (MiB)": f"{one['memory_early'] / 2**20:.0f}",
            "at the end (MiB)": f"{one['memory_late'] / 2**20:.0f}",
        }
    )
style.table(
    "full-size",
    pd.DataFrame(rows),
    caption=f"""Extraction of {rows[0]["images"]} generated JPEG files, on average
    {measured["file_bytes"] / 1e3:.0f} kB, by encoders with random weights:
    {measured["cores"]} cores of an {measured["device"]}, {measured["precision"]}, PyTorch
    {measured["torch"]}, {measured["taken"]}. Encoder alone: on tensors that lie ready, before and
    after. Memory of the process: the most in the second fifth of the time, and in the last.""",
    evidence="recorded",
)
decoding = float(np.mean([one["decoding_seconds"] for one in measured["encoders"]]))
style.text("decoding", f"{1 / decoding:.0f} images a second")

# %% [markdown]
# ## Time on GPUs

# %%
speeds = pd.read_csv(THROUGHPUT / "published.csv").set_index("architecture")["images_per_second"]
lacking = sorted({m.architecture for own in models.values() for m in own} - {*speeds.index})
timed = {name: [m for m in own if m.architecture in speeds] for name, own in models.items()}
timed = {name: own for name, own in timed.items() if own}


def minutes(seconds_per_image: float, gpus: int = 1) -> str:
    """Minutes for all images, shared evenly."""
    return f"{images * seconds_per_image / 60 / gpus:.1f}"


def row(title: str, encoding: list[float], count: int) -> dict[str, str]:
    """Minutes for some families, by the seconds that each takes for an image through its models."""
    fed = sum(max(seconds, decoding / cores) for seconds in encoding)
    return {
        "family": title,
        "models": str(count),
        "encoders alone, 1 GPU (min)": minutes(sum(encoding)),
        **{f"with decoding, {n} GPU{'s' * (n > 1)} (min)": minutes(fed, n) for n in GPUS},
        "cores that one GPU needs": f"{np.ceil(decoding / encoding[0]):.0f}"
        if len(encoding) == 1
        else "",
    }


encoding = {name: sum(1 / speeds[m.architecture] for m in own) for name, own in timed.items()}
rows = [row(families[name].title, [encoding[name]], len(own)) for name, own in timed.items()]
rows.append(row("all", [*encoding.values()], sum(map(len, timed.values()))))
style.table(
    "minutes",
    pd.DataFrame(rows),
    caption=f"""An extrapolation, measured by nobody: minutes to extract {images:,} images, if each
    encoder reaches the speed that timm's authors published for the same network on an NVIDIA RTX
    PRO 6000 (Max-Q) in mixed precision {{cite:p}}`wightman2019pytorch`; decoding takes what it took
    one core in the table above, {cores} cores for each GPU, and the slower of both decides. Eight
    GPUs: the work shared evenly. Loading weights, heads, reading from disk and measuring are not in
    it."""
    + (f" Without a published speed, and left out: {', '.join(lacking)}." if lacking else ""),
    evidence="published",
)
