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
from typing import get_args

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from analysis.families.registry import Model
from analysis.features import encoders
from analysis.features.devices import computing
from analysis.features.extract import Encoder, extract
from analysis.features.plan import ExtractionSettings, Precision
from analysis.features.preprocess import to_pixels
from analysis.images import imagelist

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
    return imagelist.folder(folder, name="photographs")


def fastest(repeat, *calls):
    """Return the fastest time of each, taken in turns: what else runs here falls on all."""
    took = []
    for i in range(repeat):
        took.append([])
        for call in calls:
            start = time.perf_counter()
            call(i)
            took[-1].append(time.perf_counter() - start)
    return np.min(took, axis=0)


def compare_with_encoder_alone(model, images, settings, folder, repeat):
    loaded = encoders.load(model, device=settings.device)
    encoder = Encoder(loaded, settings)
    decoded = [to_pixels(images.image(i), model.preprocessing) for i in range(len(images))]
    pixels = torch.from_numpy(np.stack(decoded)).to(loaded.device)

    def alone(_):
        with computing([loaded.encoder]):
            for first in range(0, len(pixels), settings.batch_size):
                encoder(pixels[first : first + settings.batch_size]).cpu()

    def whole(i):
        extract([model], images, settings, folder=folder / f"{model.name}-{i}")

    def loading(_):
        encoders.load(model, device=settings.device)

    with computing([loaded.encoder]):
        encoder(pixels[: settings.batch_size]).cpu()
    ready, files, start = fastest(repeat, alone, whole, loading)
    print(
        f"{model.architecture}: {len(images) / ready:.1f} images per second for the encoder alone "
        f"on ready tensors; from JPEG files to features on disk {ready / (files - start):.0%} of "
        f"it, {ready / files:.0%} with the {start:.1f} s in which the model is loaded once."
    )


def compare_passes(models, images, settings, folder, repeat):
    def together(i):
        extract(models, images, settings, folder=folder / f"together-{i}")

    def one_by_one(i):
        for model in models:
            extract([model], images, settings, folder=folder / f"alone-{i}")

    one, many = fastest(repeat, together, one_by_one)
    print(
        f"{len(models)} × {models[0].architecture}: {one:.1f} s in one pass, {many:.1f} s in "
        f"{len(models)} passes: {many / one:.1f} times faster."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="few images")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=get_args(Precision))
    parser.add_argument("--threads", type=int, default=1, help="of the encoder on a CPU (1)")
    options = parser.parse_args()
    count = 64 if options.small else 256
    settings = ExtractionSettings(
        device=options.device, precision=options.precision, batch_size=32,
        workers=os.cpu_count() or 2, progress=False,
    )  # fmt: skip
    torch.set_num_threads(options.threads)
    repeat = 1 if options.small else 3
    print(
        f"{count} images of 500 × 375; {os.cpu_count()} cores, of which the encoder has "
        f"{options.threads}; {settings.device}, {settings.precision}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "jpeg").mkdir()
        images = photographs(folder / "jpeg", count)
        for architecture, width in (
            ("resnet50", 2048), ("vit_base_patch32_224", 768), ("tf_efficientnet_lite0", 1280),
        ):  # fmt: skip
            model = drawn(architecture, "timm", architecture, width, PHOTO)
            compare_with_encoder_alone(model, images, settings, folder, repeat)
        pocket = [drawn(f"pocket-{i}", "open_clip", "pocket-cnn", 128, POCKET) for i in range(6)]
        compare_passes(pocket, images, settings, folder, repeat)
        lite = [drawn(f"lite-{i}", "timm", "tf_efficientnet_lite0", 1280, PHOTO) for i in range(4)]
        compare_passes(lite, images, settings, folder, repeat)


if __name__ == "__main__":
    main()
