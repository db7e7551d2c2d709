"""What extraction costs on a GPU: end to end against the bare encoder, memory, precision.

    python benchmarks/gpu.py --json gpu.json                          on a machine with a GPU
    python benchmarks/gpu.py --device cpu --images 64 --models RN50   proves the code, slowly

Weights are drawn and pictures generated (`extraction`): neither changes the speed, but κ of drawn
weights is near the Gaussian's, so what precision does to a trained model's is to be measured there.
The bare encoder is timed as timm's `benchmark.py` does: a batch that lies ready, calls to warm up,
then calls between two synchronisations. End to end is `companion extract`'s own function, from JPEG
files to features on disk, loading included. What a precision changes is said against fp32.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from extraction import photographs

from analysis.features import checkpoints, encoders, store
from analysis.features.extract import Encoder, extract
from analysis.features.plan import ExtractionSettings
from analysis.features.preprocess import to_pixels
from analysis.metrics.directions import decompose, importance
from analysis.metrics.outliers import kurtosis

MODELS = ("RN50", "ViT-B-16", "ViT-L-14")
#: Calls of the bare encoder: to warm up, and timed.
WARM, TIMED = 10, 40
#: Pictures that decoding is timed on, and classes of the drawn head.
DECODED, CLASSES = 200, 1000
ENOUGH = 0.95


def synchronise(device):
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def peak(device):
    """Bytes of memory, the GPU's most since the last call where there is one."""
    if not device.startswith("cuda"):
        return psutil.Process().memory_info().rss
    most = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return most


def bare(loaded, settings, calls):
    """Images a second of an encoder on one batch that lies ready, and the memory at most."""
    encoder = Encoder(loaded, settings)
    size = loaded.model.preprocessing.size
    pixels = torch.randint(0, 256, (settings.batch_size, 3, size, size), dtype=torch.uint8,
                           device=settings.device)  # fmt: skip
    peak(settings.device)
    for _ in range(calls[0]):
        encoder(pixels)
    synchronise(settings.device)
    start = time.perf_counter()
    for _ in range(calls[1]):
        encoder(pixels)
    synchronise(settings.device)
    seconds = time.perf_counter() - start
    return calls[1] * settings.batch_size / seconds, peak(settings.device)


def whole(models, images, settings, folder):
    """Seconds from files to features by some models in one pass, and the memory at most."""
    peak(settings.device)
    start = time.perf_counter()
    extract(models, images, settings, folder=folder)
    return time.perf_counter() - start, peak(settings.device)


def decoding(images, model):
    """Images a second that one core decodes and resizes."""
    count = min(DECODED, len(images))
    began = time.process_time()
    for place in range(count):
        to_pixels(images.image(place), model.preprocessing)
    return count / (time.process_time() - began)


def speeds(model, images, options, folder):
    """One model: the bare encoder under each layout, compiled or not, and end to end."""
    calls = (WARM, TIMED) if options.device.startswith("cuda") else (1, 2)
    loaded = encoders.load(model, device=options.device)
    layouts = [
        (last, compiled) for last in (False, True) for compiled in (False, True)[: options.compile]
    ]
    alone = []
    for last, compiled in layouts:
        settings = of(options, channels_last=last, compile=compiled)
        rate, most = bare(loaded, settings, calls)
        alone.append({"channels_last": last, "compiled": compiled, "images_per_second": rate,
                      "memory": most})  # fmt: skip
    best = max(alone, key=lambda one: one["images_per_second"])
    del loaded
    settings = of(options, channels_last=best["channels_last"], compile=best["compiled"])
    seconds, most = whole([model], images, settings, folder / f"alone-{model.name}")
    rate, decoded = len(images) / seconds, decoding(images, model)
    return {
        "architecture": model.architecture, "alone": alone, "images_per_second": rate,
        "share": rate / best["images_per_second"], "memory": most,
        "decoded_per_core": decoded,
        "cores_that_suffice": int(np.ceil(ENOUGH * best["images_per_second"] / decoded)),
    }  # fmt: skip


def of(options, precision="bf16", **more):
    settings = {"device": options.device, "precision": precision, "progress": False}
    given = {"batch_size": options.batch_size, "workers": options.workers}
    return ExtractionSettings(**settings, **given, **more)


def precisions(model, images, options, folder):
    """What each precision changes, against fp32: κ, importance, and predictions of a drawn head."""
    head = np.random.default_rng(0).normal(size=(CLASSES, model.width))
    found, reference = [], {}
    on_gpu = options.device.startswith("cuda")
    for precision in ("fp32", "tf32", "bf16", "fp16") if on_gpu else ("fp32", "bf16"):
        place = folder / f"precision-{precision}"
        (path,) = extract([model], images, of(options, precision), folder=place)
        features = np.asarray(store.read_features(path).features, dtype=np.float64)
        values = {
            "kurtosis": kurtosis(features), "importance": importance(features, decompose(head)),
            "predicted": (features @ head.T).argmax(axis=1),
        }  # fmt: skip
        reference = reference or values
        relative = {
            name: float(np.max(np.abs(values[name] / reference[name] - 1)))
            for name in ("kurtosis", "importance")
        }
        same = float((values["predicted"] == reference["predicted"]).mean())
        mean = values["kurtosis"].mean() / reference["kurtosis"].mean() - 1
        found.append({"precision": precision, "kurtosis_mean_change": float(mean),
                      "kurtosis_most": relative["kurtosis"], "predictions_kept": same,
                      "importance_most": relative["importance"]})  # fmt: skip
    return {"architecture": model.architecture, "precisions": found}


def measure(options, folder):
    """Everything, as it is kept."""
    (folder / "jpeg").mkdir()
    images = photographs(folder / "jpeg", options.images)
    models = [
        checkpoints.find("random", architecture=one, name=one.lower()) for one in options.models
    ]
    each = []
    for model in models:
        each.append(speeds(model, images, options, folder))
        print(described(each[-1]), flush=True)
    together = {}
    if len(models) > 1:
        seconds, most = whole(models, images, of(options), folder / "together")
        apart = sum(len(images) / one["images_per_second"] for one in each)
        together = {"seconds": seconds, "one_by_one": apart, "memory": most}
        print(f"{len(models)} encoders in one pass: {seconds:.1f} s, one by one {apart:.1f} s; "
              f"memory {most / 2**20:.0f} MiB", flush=True)  # fmt: skip
    accuracy = [precisions(model, images, options, folder / model.name) for model in models]
    for one in accuracy:
        for row in one["precisions"][1:]:
            print(f"{one['architecture']}, {row['precision']} against fp32: mean κ "
                  f"{100 * row['kurtosis_mean_change']:+.3f} %, importance at most "
                  f"{100 * row['importance_most']:.3f} %, predictions kept "
                  f"{100 * row['predictions_kept']:.2f} %")  # fmt: skip
    on_gpu = options.device.startswith("cuda")
    return {
        "taken": datetime.now(UTC).date().isoformat(),
        "device": torch.cuda.get_device_name() if on_gpu else platform.processor(),
        "cores": os.cpu_count(), "workers": options.workers, "torch": version("torch"),
        "python": platform.python_version(), "images": len(images),
        "batch_size": options.batch_size,
        "encoders": each, "together": together, "precision": accuracy,
    }  # fmt: skip


def described(found):
    """One model's speed in a line."""
    alone = ", ".join(
        f"{'channels last' if one['channels_last'] else 'channels first'}"
        f"{' compiled' * one['compiled']} {one['images_per_second']:.1f}"
        for one in found["alone"]
    )
    return (
        f"{found['architecture']}, bf16: bare encoder {alone} images/s; from files to features "
        f"{found['images_per_second']:.1f}, {found['share']:.0%} of the fastest; one core decodes "
        f"{found['decoded_per_core']:.0f}, so {found['cores_that_suffice']} cores suffice for "
        f"{ENOUGH:.0%}; memory {found['memory'] / 2**20:.0f} MiB"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--models", nargs="+", default=MODELS, help="architectures of open_clip")
    parser.add_argument("--batch-size", type=int, default=0, help="(256; on a CPU 8)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 4)
    parser.add_argument("--json", type=Path, help="a file for the result")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("There is no GPU here, so nothing was measured: call this on a machine with one, "
                 "or try the code with --device cpu --images 64 --models RN50.")  # fmt: skip
    options.batch_size = options.batch_size or (256 if options.device.startswith("cuda") else 8)
    options.compile = 2 if options.device.startswith("cuda") else 1  # of not and compiled
    with tempfile.TemporaryDirectory() as scratch:
        result = measure(options, Path(scratch))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
        print(f"written: {options.json}")


if __name__ == "__main__":
    main()
