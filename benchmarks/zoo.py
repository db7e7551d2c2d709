"""The grid of the edition zoo on checkpoints of random weights: time and memory of each model.

    python benchmarks/zoo.py --minutes 5 --write    goes on where it stopped, a model at a time
    python benchmarks/zoo.py --small                one small architecture; writes nothing

For each architecture weights are drawn, saved as float16 under the name that `companion families
zoo --weights` expects, and `companion grid --edition zoo` is called in a copy of this project on a
few generated JPEG files; then weights and features are deleted, so that disk and memory hold one
model. Those whose weights are above the limit are left out, and zero-shot heads where the tokenizer
would have to be downloaded. Last, one family of several checkpoints at once.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import open_clip
import torch
from conftest import ROOT, make_project
from full_size import cpu, write_photograph
from safetensors.torch import save_file

from analysis.features import checkpoints, networks
from companion import zoo
from companion.measurements import accuracies, atlas

RESULT = ROOT / "data" / "throughput" / "zoo.json"
IMAGES, LIMIT = 8, 1.5e9
#: Architectures of open_clip beside those with published accuracies, each of another kind.
MORE = (
    "ViT-S-32", "ViT-S-16", "ViT-S-32-alt", "ViT-S-16-alt", "ViT-M-32", "ViT-M-16", "ViT-M-32-alt",
    "ViT-M-16-alt", "ViT-B-32-plus-256", "convnext_tiny", "convnext_small", "timm-resnet50",
    "swin_base_patch4_window7_224", "MobileCLIP-S1", "MobileCLIP-B", "ViTamin-S", "ViTamin-B",
)  # fmt: skip
GROWTH = ("ViT-B-32", (1, 2, 4, 8))


def known():
    """Architectures with published accuracies and a tag of each, then `MORE`."""
    found = {}
    for row in atlas.clip(accuracies.load()).itertuples():
        try:
            model = checkpoints.of_published(row.model, row.weights, "zoo-x")
        except checkpoints.ModelError:
            continue
        found.setdefault(model.architecture, model.weights)
    return found | {name: "drawn" for name in MORE if name in open_clip.list_models()}


def described(architecture, tag, weights, name):
    """The model as the zoo describes it, with weights in a file."""
    if tag == "drawn":
        model = checkpoints.find("random", architecture=architecture, name=name)
    else:
        model = checkpoints.of_published(architecture, tag, name)
    text = networks.architecture(architecture).get("text_cfg", {})
    fields = {"level": "zero_shot", "weights": weights.as_posix()}
    fields |= {"head": "none"} if "hf_tokenizer_name" in text else {}
    return type(model).model_validate(model.model_dump() | fields)


def draw(architecture, path):
    """Save random weights; returns how many there are, and the bytes."""
    net = networks.build("zoo", "open_clip", architecture, drawn=True)
    state = {name: tensor.half() if tensor.is_floating_point() else tensor
             for name, tensor in net.state_dict().items()}  # fmt: skip
    save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, path)
    return sum(parameter.numel() for parameter in net.parameters())


def parameters(architecture):
    net = networks.build("zoo", "open_clip", architecture, outline=True)
    return sum(parameter.numel() for parameter in net.parameters())


def watched(command, folder, environment):
    """Seconds of a command, and the most memory that one of its processes had."""
    start, most, done = time.perf_counter(), [0], threading.Event()
    process = subprocess.Popen(command, cwd=folder, env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip

    def look():
        while not done.wait(0.1):
            try:
                every = [psutil.Process(process.pid), *psutil.Process(process.pid).children(True)]
                most[0] = max([most[0], *(one.memory_info().rss for one in every)])
            except psutil.Error:
                continue

    watcher = threading.Thread(target=look)
    watcher.start()
    said = process.communicate()[0]
    done.set()
    watcher.join()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{said[-2000:]}")
    return time.perf_counter() - start, most[0]


def measure(project, models, architecture):
    """Do the grid for one family; what it took, and how many measurements it recorded."""
    zoo.write([zoo.family(architecture, models)], project / "families" / "zoo")
    environment = os.environ | {
        "PYTHONPATH": str(project), "COMPANION_STORE": str(project / "store"),
    }  # fmt: skip
    command = [sys.executable, "-m", "companion.cli", "grid", "--edition", "zoo", "--data",
               "images", "--device", "cpu", "--batch-size", "8", "--workers", "2"]  # fmt: skip
    seconds, memory = watched(command, project, environment)
    recorded = [*(project / "data" / "measurements").rglob("zoo-*.json")]
    features = [*(project / "store").glob("zoo-*/*.safetensors")]
    found = {"seconds": round(seconds, 1), "memory": memory, "measurements": len(recorded),
             "features_bytes": sum(path.stat().st_size for path in features)}  # fmt: skip
    for path in [*recorded, *(project / "store").glob("zoo-*/**/*")]:
        path.unlink(missing_ok=True) if path.is_file() else None
    return found


def one(project, architecture, tag):
    """One architecture, from drawing its weights to measurements."""
    path = project / f"{architecture}--{tag}.safetensors"
    count = draw(architecture, path)
    try:
        model = described(architecture, tag, path, f"zoo-{architecture}-{tag}".lower())
        found = measure(project, [model], architecture)
    finally:
        size = path.stat().st_size
        path.unlink()
    return {"architecture": architecture, "published": tag != "drawn", "parameters": count,
            "weights_bytes": size, "pixels": model.preprocessing.size,
            "head": model.head != "none", **found}  # fmt: skip


def together(project, architecture, count):
    """One family of several checkpoints, which are copies."""
    path = project / f"{architecture}--drawn.safetensors"
    draw(architecture, path)
    models = [
        described(architecture, "drawn", path, f"zoo-copy-{number}") for number in range(count)
    ]
    found = measure(project, models, architecture)
    path.unlink()
    return {"architecture": architecture, "models": count, **found}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="one architecture; writes nothing")
    parser.add_argument("--write", action="store_true", help=f"keep the result in {RESULT.name}")
    parser.add_argument("--minutes", type=float, default=600, help="begin no model after them")
    options = parser.parse_args()
    result = {"taken": datetime.now(UTC).date().isoformat(), "device": cpu(),
              "cores": os.cpu_count(), "torch": version("torch"),
              "open_clip": version("open_clip_torch"), "images": IMAGES, "limit_bytes": LIMIT,
              "models": [], "together": [], "left_out": []}  # fmt: skip
    if options.write and RESULT.is_file():
        result = json.loads(RESULT.read_text())
    done = {one["architecture"] for one in (*result["models"], *result["left_out"])}
    architectures = {"ViT-S-32": "drawn"} if options.small else known()
    sizes = {name: parameters(name) for name in architectures if name not in done}
    began = time.monotonic()

    def keep():
        if options.write and not options.small:
            RESULT.write_text(json.dumps(result, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as scratch:
        data = ["data/pocket", "data/emoji", "data/concepts", "data/published", "data/throughput"]
        project = make_project(Path(scratch) / "project", {}, files={"notebooks/.keep": ""},
                               data=data)  # fmt: skip
        for number in range(IMAGES):
            folder = project / "images" / ("cat", "dog", "house")[number % 3]
            folder.mkdir(parents=True, exist_ok=True)
            write_photograph(folder, number)
        for name in sorted(sizes, key=sizes.get):
            if time.monotonic() - began > 60 * options.minutes:
                return print("more is left: call again")
            if 2 * sizes[name] > LIMIT:
                left = {"architecture": name, "parameters": sizes[name]}
                result["left_out"].append(left)
                continue
            found = one(project, name, architectures[name])
            found["load"] = round(os.getloadavg()[0], 1)
            result["models"].append(found)
            keep()
            print(f"{name}: {found['parameters'] / 1e6:.0f} M, {found['seconds']:.0f} s, "
                  f"{found['memory'] / 1e9:.1f} GB, {found['measurements']} measurements",
                  flush=True)  # fmt: skip
        for count in GROWTH[1][: 1 if options.small else None]:
            if count in {one["models"] for one in result["together"]}:
                continue
            if time.monotonic() - began > 60 * options.minutes:
                return print("more is left: call again")
            architecture = "ViT-S-32" if options.small else GROWTH[0]
            result["together"].append(together(project, architecture, count))
            keep()
            print(result["together"][-1], flush=True)
    keep()
    return None


if __name__ == "__main__":
    torch.set_num_threads(os.cpu_count() or 2)
    main()
