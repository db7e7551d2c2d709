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
from companion.publish import costs, style

THROUGHPUT = ROOT / "data" / "throughput"
objectnet = descriptions()["objectnet"].used.images
images = sum((one.used or one).images for one in (descriptions()[name] for name in GRID))
models = {f.title: [m for m in f.models if m.loadable] for f in load_families(edition).values()}

# %% [markdown]
# ## Disk

# %%
disk = pd.DataFrame(
    {
        "family": title,
        "models with weights or random": len(own),
        "features in fp32 (GB)": f"{costs.gigabytes(own, images, 4):.1f}",
        "in fp16 or bf16 (GB)": f"{costs.gigabytes(own, images, 2):.1f}",
    }
    for title, own in models.items()
)
style.table(
    "disk", disk, None,
    f"""Disk for the features of {images:,} images: {len(GRID)} data sets, of ObjectNet the
    {objectnet:,} that are used. Each image has the model's number of
    components, and {costs.LABEL_BYTES} bytes for a label and a row number. While a data set is put
    together, its features take twice that.""",
)  # fmt: skip

# %% [markdown]
# ## Measured on a CPU

# %%
measured = json.loads((THROUGHPUT / "full_size.json").read_text(encoding="utf-8"))
encoders = measured["encoders"]
style.table(
    "full-size", costs.extractions(encoders), "recorded",
    f"""Extraction of {encoders[0]["images"]:,} generated JPEG files, on average
    {measured["file_bytes"] / 1e3:.0f} kB, by encoders with random weights:
    {measured["cores"]} cores of an {measured["device"]}, {measured["precision"]}, PyTorch
    {measured["torch"]}, {measured["taken"]}. Encoder alone: on tensors that lie ready, before and
    after. Memory of the process: the most in the second fifth of the time, and in the last.""",
)  # fmt: skip
decoding = float(np.mean([one["decoding_seconds"] for one in encoders]))
style.text("decoding", f"{1 / decoding:.0f} images a second")

# %% [markdown]
# ## Time on GPUs

# %%
speeds = pd.read_csv(THROUGHPUT / "published.csv").set_index("architecture")["images_per_second"]
lacking = sorted({m.architecture for own in models.values() for m in own} - {*speeds.index})
minutes = costs.minutes(models, speeds, images, decoding, cores)
style.table(
    "minutes", minutes, "published",
    f"""An extrapolation, measured by nobody: minutes to extract {images:,} images, if each
    encoder reaches the speed that timm's authors published for the same network on an NVIDIA RTX
    PRO 6000 (Max-Q) in mixed precision {{cite:p}}`wightman2019pytorch`.""",
    more=f"""Decoding takes what it took one core in the table above, {cores} cores for each GPU,
    and the slower of both decides. Eight GPUs: the work shared evenly. Loading weights, heads,
    reading from disk and measuring are not in it."""
    + (f" Without a published speed, and left out: {', '.join(lacking)}." if lacking else ""),
)  # fmt: skip
