"""Speed of extraction, as ratios of one run.

    python benchmarks/extraction.py            some minutes on two cores
    python benchmarks/extraction.py --small    a look in half a minute

Pictures are generated JPEG files of ImageNet's usual size, weights are drawn: neither changes the
speed. Two questions: how much of the encoder's own speed is left when its images come from files,
and what it saves to send every image through several encoders at once.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from analysis import datasets
from analysis.extract import Encoder, Settings, extract
from analysis.models import load
from analysis.registry import Model

POCKET = {"size": 32, "interpolation": "box", "mean": (0.5,) * 3, "std": (0.5,) * 3}
PHOTO = {**POCKET, "size": 224, "resize": 256, "interpolation": "bicubic"}


def drawn(name, library, architecture, width, preprocessing):
    return Model(
        name=name, level="random", library=library, architecture=architecture,
        pretraining="none", width=width, preprocessing=preprocessing,
    )  # fmt: skip


def photographs(folder, count):
    rng = np.random.default_rng(0)
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (47, 63, 3), dtype=np.uint8))
        noise = rng.normal(0, 6, (375, 500, 3))
        pixels = np.asarray(coarse.resize((500, 375))) + noise
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i:05}.jpg")
    return datasets.folder(folder, name="photographs")


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare_with_encoder_alone(model, images, settings, folder, repeat):
    """Alternate the two, so that what else the machine does falls on both."""
    loaded = load(model, device=settings.device)
    encoder = Encoder(loaded, settings, folder)
    pixels = torch.stack(
        [(loaded.preprocess(images.image(i)) * 127 + 127).byte() for i in range(len(images))]
    ).to(loaded.device)

    def alone():
        for first in range(0, len(pixels), settings.batch_size):
            encoder(pixels[first : first + settings.batch_size]).cpu()

    encoder(pixels[: settings.batch_size]).cpu()
    took = {"alone": [], "whole": []}
    for i in range(repeat):
        took["alone"].append(timed(alone))
        took["whole"].append(
            timed(lambda i=i: extract([model], images, settings, folder=folder / f"{i}"))
        )
    ready, whole = (len(images) / min(took[name]) for name in ("alone", "whole"))
    start = timed(lambda: load(model, device=settings.device))
    started = len(images) / (min(took["whole"]) - start)
    print(
        f"{model.architecture}: {whole:.1f} images per second from JPEG files to features on "
        f"disk, {ready:.1f} for the encoder alone on ready tensors: {whole / ready:.0%} of it; "
        f"without the {start:.1f} s that loading the model takes once, {started / ready:.0%}."
    )


def compare_passes(models, images, settings, folder):
    together = timed(lambda: extract(models, images, settings, folder=folder / "together"))
    one_by_one = timed(
        lambda: [extract([m], images, settings, folder=folder / "alone") for m in models]
    )
    print(
        f"{len(models)} × {models[0].architecture}: {together:.1f} s in one pass, {one_by_one:.1f} "
        f"s in {len(models)} passes: {one_by_one / together:.1f} times faster."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="few images")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "fp16", "bf16"))
    options = parser.parse_args()
    count = 64 if options.small else 512
    settings = Settings(
        device=options.device, precision=options.precision, batch_size=32,
        workers=os.cpu_count() or 2, progress=False,
    )  # fmt: skip
    print(f"{count} images of 500 × 375, {os.cpu_count()} cores, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "jpeg").mkdir()
        images = photographs(folder / "jpeg", count)
        compare_with_encoder_alone(
            drawn("resnet50", "timm", "resnet50", 2048, PHOTO), images, settings, folder,
            repeat=1 if options.small else 2,
        )  # fmt: skip
        pocket = [drawn(f"pocket-{i}", "open_clip", "pocket-cnn", 128, POCKET) for i in range(6)]
        compare_passes(pocket, images, settings, folder)
        lite = [drawn(f"lite-{i}", "timm", "tf_efficientnet_lite0", 1280, PHOTO) for i in range(4)]
        compare_passes(lite, images, settings, folder)


if __name__ == "__main__":
    main()
