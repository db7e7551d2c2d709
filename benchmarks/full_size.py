"""Extraction at full size without the data: 5,000 JPEG files through real architectures.

    python benchmarks/full_size.py             a quarter of an hour on two idle cores
    python benchmarks/full_size.py --small     a look in two minutes; writes nothing
    python benchmarks/full_size.py --write     also keeps the result in data/throughput/

Files are generated, of ImageNet's typical sizes; weights are drawn, which does not change the
speed. For each encoder: images per second from files to features on disk, loading and writing
included; the encoder alone on ready tensors, timed before and after; what decoding costs on one
core; and the memory of the process, looked at every half second, early and at the end. Each
encoder runs in a process of its own.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import numpy as np
import psutil
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from extraction import drawn

from analysis.common import ROOT
from analysis.families import registry
from analysis.features.devices import computing
from analysis.features.encoders import load
from analysis.features.extract import Encoder, device_for, extract
from analysis.features.plan import Precision, Settings
from analysis.features.preprocess import to_pixels
from analysis.images import imagelist

RESULT = ROOT / "data" / "throughput" / "full_size.json"
#: Encoders and their widths.
ENCODERS = {"RN50-quickgelu": 1024, "ViT-B-32": 512}
#: Width and height in pixels, and their share: our assumption of what ImageNet's files are like.
SIZES = {
    (500, 375): 0.55, (375, 500): 0.15, (500, 333): 0.12, (333, 500): 0.05, (500, 500): 0.03,
    (640, 480): 0.05, (1024, 768): 0.03, (1600, 1200): 0.02,
}  # fmt: skip
#: Images that the encoder alone is timed on, and that decoding is timed on.
READY, DECODED = 256, 200
#: Seconds between two looks at the memory.
PAUSE = 0.5


def write_photograph(folder, number):
    """One picture of nothing: coarse colours with as much grain as gives ImageNet's file sizes."""
    rng = np.random.default_rng(number)
    width, height = list(SIZES)[rng.choice(len(SIZES), p=list(SIZES.values()))]
    coarse = Image.fromarray(rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    grain = rng.normal(0, 9, (height, width, 1)).astype(np.float32)
    pixels = (smooth + grain).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(folder / f"{number:06}.jpg", quality=92)


def generate(folder, count):
    folder.mkdir()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda number: write_photograph(folder, number), range(count)))
    return np.mean([path.stat().st_size for path in folder.iterdir()])


def memory():
    """Bytes that the process holds in memory now."""
    return psutil.Process().memory_info().rss


def watched(call):
    """Do the call, and return its seconds and the memory over its time."""
    seen, done = [], threading.Event()

    def look():
        while not done.wait(PAUSE):
            seen.append(memory())

    watcher = threading.Thread(target=look)
    watcher.start()
    start = time.perf_counter()
    try:
        call()
    finally:
        took = time.perf_counter() - start
        done.set()
        watcher.join()
    return took, seen


def alone(encoder, pixels, batch):
    """Images per second of the encoder on ready tensors."""
    with computing([encoder.loaded.encoder]):
        encoder(pixels[:batch]).cpu()
        start = time.perf_counter()
        for first in range(0, len(pixels), batch):
            encoder(pixels[first : first + batch]).cpu()
        return len(pixels) / (time.perf_counter() - start)


def measure(architecture, folder, settings):
    """What one encoder does with the files of a folder."""
    images = imagelist.folder(folder, name="photographs")
    family = registry.load_family("vit_b_32")
    preprocessing = family.at_level("zero_shot")[0].preprocessing
    model = drawn("full-size", "open_clip", architecture, ENCODERS[architecture], preprocessing)
    chosen = np.linspace(0, len(images) - 1, min(READY, len(images))).astype(int)
    began = time.process_time()
    ready = [to_pixels(images.image(i), preprocessing) for i in chosen[:DECODED]]
    decoding = (time.process_time() - began) / len(ready)
    ready += [to_pixels(images.image(i), preprocessing) for i in chosen[DECODED:]]
    loaded = load(model, device=settings.device)
    encoder = Encoder(loaded, settings)
    pixels = torch.from_numpy(np.stack(ready)).to(loaded.device)
    before = alone(encoder, pixels, settings.batch_size)
    with tempfile.TemporaryDirectory() as store:
        took, seen = watched(lambda: extract([model], images, settings, folder=Path(store)))
    after = alone(encoder, pixels, settings.batch_size)
    fifth = max(1, len(seen) // 5)
    return {
        "architecture": architecture,
        "images": len(images),
        "images_per_second": len(images) / took,
        "alone_per_second": [before, after],
        "decoding_seconds": decoding,
        "memory_early": max(seen[fifth : 2 * fifth]),
        "memory_late": max(seen[-fifth:]),
        "memory_peak": max(seen),
    }


def child(architecture, folder, options):
    """The same in a process of its own, whose memory starts from nothing."""
    command = [sys.executable, __file__, "--measure", architecture, str(folder),
               "--device", options.device, "--precision", options.precision]  # fmt: skip
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout)


def described(found):
    """One encoder's result in a line."""
    both = " and ".join(f"{speed:.1f}" for speed in found["alone_per_second"])
    share = found["images_per_second"] / np.mean(found["alone_per_second"])
    early, late, peak = (found[f"memory_{when}"] / 2**20 for when in ("early", "late", "peak"))
    return (
        f"{found['architecture']}: {found['images_per_second']:.1f} images/s from files to "
        f"features, encoder alone {both}: {share:.0%}; decoding "
        f"{1 / found['decoding_seconds']:.0f} images/s on one core; memory {early:.0f} MiB early, "
        f"{late:.0f} late, {peak:.0f} at most"
    )


def cpu():
    """What the processor calls itself."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    names = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="few images; writes nothing")
    parser.add_argument("--write", action="store_true", help=f"keep the result in {RESULT.name}")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=get_args(Precision))
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    settings = Settings(
        device=options.device, precision=options.precision, batch_size=64, shard_size=512,
        workers=os.cpu_count() or 2, progress=False,
    )  # fmt: skip
    if options.measure:
        architecture, folder = options.measure
        print(json.dumps(measure(architecture, Path(folder), settings)))
        return
    device = device_for(options.device)
    result = {
        "taken": datetime.now(UTC).date().isoformat(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else cpu(),
        "cores": os.cpu_count(),
        "precision": options.precision,
        "torch": version("torch"),
        "pillow": version("pillow"),
        "batch_size": settings.batch_size,
        "encoders": [],
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "jpeg"
        result["file_bytes"] = round(generate(folder, 300 if options.small else 5000))
        print(f"{len(list(folder.iterdir()))} files of {result['file_bytes'] / 1e3:.0f} kB")
        for architecture in ENCODERS:
            found = child(architecture, folder, options)
            result["encoders"].append(found)
            print(described(found))
    load_now = os.getloadavg()[0]
    print(f"load of the machine in the last minute: {load_now:.1f} on {os.cpu_count()} cores")
    result["load"] = round(load_now, 2)
    if options.write and not options.small:
        part = RESULT.with_name(RESULT.name + ".part")
        part.write_text(json.dumps(result, indent=1) + "\n")
        part.replace(RESULT)
        print(f"written: {RESULT}")


if __name__ == "__main__":
    main()
