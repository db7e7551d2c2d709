# ---
# jupyter:
#   companion:
#     scope: edition
#     reads:
#     - data/throughput/full_size.json
#     - data/throughput/growth.json
#     - data/throughput/published.csv
#     - data/throughput/zoo.json
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

# %% [markdown]
# ## The zoo on checkpoints of random weights, measured on a CPU

# %%
trial = json.loads((THROUGHPUT / "zoo.json").read_text(encoding="utf-8"))
here = f"{trial['cores']} cores of an {trial['device']}, shared with other work, {trial['taken']}"
published = sum(one["published"] for one in trial["models"])
headless = sum(not one["head"] for one in trial["models"])
slope, r = costs.slope_of_memory(trial["models"])
style.figure(
    "zoo", costs.zoo(trial["models"]), "recorded",
    f"""The grid of the edition zoo on {trial["images"]} images, for one checkpoint of random
    weights at a time: {len(trial["models"])} architectures of open_clip, {published} of them with
    published accuracies; {here}, PyTorch {trial["torch"]}.""",
    more=f"""Left out: {len(trial["left_out"])} whose weights take more than
    {trial["limit_bytes"] / 1e9:.1f} GB in float16. Without a head, as their tokenizer is not on
    this machine, so that nothing about a head was measured: {headless}. Time: the two jobs of a
    model in a call of the grid for several; it depends on the operations, too, and on what else the
    machine did. Memory: of the largest process; a parameter takes {slope:.1f} bytes, correlation
    {r:.2f}.""",
)  # fmt: skip
style.text("zoo-trial", f"{len(trial['models'])} architectures")

# %% [markdown]
# ## How the commands grow

# %%
growth = json.loads((THROUGHPUT / "growth.json").read_text(encoding="utf-8"))
style.figure(
    "growth", costs.growth(growth["points"]), "recorded",
    """Seconds of the processor of three commands with nothing to execute, against how many models
    there are in the published tables, how many measurements, how many families of the paper, one
    varied at a time.""",
    more=f"""The least of {growth["calls"]} calls on {growth["cores"]} cores of an
    {growth["device"]}, {growth["taken"]}. *build*: what each build of the book begins with, before
    Sphinx. The steepest growth between two neighbouring sizes goes with the power
    {costs.steepest(growth["points"]):.2f} of the size; 1 is linear.""",
)  # fmt: skip
