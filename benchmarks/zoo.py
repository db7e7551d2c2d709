"""The grid of the edition zoo on checkpoints of random weights: time and memory of each model.

    python benchmarks/zoo.py --minutes 5 --write    goes on where it stopped, a model at a time
    python benchmarks/zoo.py --small                one small architecture; writes nothing

For some architectures at a time weights are drawn, saved as float16 under the name that `companion
families zoo --weights` expects, and `companion grid --edition zoo` is called in a copy of this
project on a few generated JPEG files, one job after the other; then weights and features are
deleted. Of each model: seconds and memory of its two jobs. Those whose weights are above the limit
are left out, and zero-shot heads where the tokenizer would have to be downloaded. Last, one family
of several checkpoints, which are loaded together.
"""

import argparse
import json
import os
import shutil
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
IMAGES, LIMIT = 4, 1.5e9
#: Bytes of weights on disk at a time.
AT_ONCE = 1.5e9
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


class Watch:
    """Memory of a command's processes while it runs, and when it said what."""

    def __init__(self, command, folder, environment):
        self.lines, self.seen, self.done = [], [], threading.Event()
        self.process = subprocess.Popen(command, cwd=folder, env=environment, text=True,
                                        stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)  # fmt: skip
        looking = threading.Thread(target=self.look)
        looking.start()
        self.began = time.perf_counter()
        for line in self.process.stdout:
            self.lines.append((time.perf_counter(), line.strip()))
        self.process.wait()
        self.seconds = time.perf_counter() - self.began
        self.done.set()
        looking.join()
        if self.process.returncode:
            said = "\n".join(line for _, line in self.lines[-20:])
            sys.exit(f"{' '.join(command)} failed:\n{said}")

    def look(self):
        """Note the largest process, ten times a second."""
        while not self.done.wait(0.1):
            try:
                own = psutil.Process(self.process.pid)
                most = max(one.memory_info().rss for one in (own, *own.children(True)))
                self.seen.append((time.perf_counter(), most))
            except psutil.Error:
                continue

    def of(self, family):
        """Seconds of the jobs of a family, and the most memory meanwhile."""
        seconds, memory = 0.0, 0
        for job in ("features", "measure"):
            text = f"{job} {family} "
            start = next(at for at, line in self.lines if f"running {text}" in line)
            end = next(at for at, line in self.lines if f"finished {text}" in line)
            seconds += end - start
            memory = max([memory, *(most for at, most in self.seen if start <= at <= end)])
        return {"seconds": round(seconds, 1), "memory": memory}


def measure(project, families):
    """Do the grid for some families in one call; what each took, and the whole."""
    zoo.write(families, project / "families" / "zoo")
    environment = os.environ | {
        "PYTHONPATH": str(project), "COMPANION_STORE": str(project / "store"),
    }  # fmt: skip
    command = [sys.executable, "-m", "companion.cli", "grid", "--edition", "zoo", "--data",
               "images", "--device", "cpu", "--batch-size", "8", "--workers", "2",
               "--jobs", "1"]  # fmt: skip
    watch = Watch(command, project, environment)
    found = {}
    for one in families:
        names = [model.name for model in one.models]
        recorded = [
            path
            for name in names
            for path in (project / "data" / "measurements").rglob(f"{name}--*.json")
        ]
        found[one.title] = watch.of(one.name) | {"measurements": len(recorded)}
        for path in recorded:
            path.unlink()
        for name in names:
            shutil.rmtree(project / "store" / name)
    return found, watch.seconds


def some(project, tags):
    """Some architectures in one call of the grid, from drawing their weights to measurements."""
    families, about = [], {}
    for architecture, tag in tags.items():
        path = project / f"{architecture}--{tag}.safetensors"
        count = draw(architecture, path)
        model = described(architecture, tag, path, f"zoo-{architecture}-{tag}".lower())
        families.append(zoo.family(architecture, [model]))
        about[architecture] = {
            "architecture": architecture, "published": tag != "drawn", "parameters": count,
            "weights_bytes": path.stat().st_size, "pixels": model.preprocessing.size,
            "head": model.head != "none",
        }  # fmt: skip
    found, seconds = measure(project, families)
    for path in project.glob("*.safetensors"):
        path.unlink()
    load = round(os.getloadavg()[0], 1)
    return [about[name] | found[name] | {"load": load} for name in tags], seconds


def together(project, architecture, count):
    """One family of several checkpoints, which are copies."""
    path = project / f"{architecture}--drawn.safetensors"
    draw(architecture, path)
    models = [
        described(architecture, "drawn", path, f"zoo-copy-{number}") for number in range(count)
    ]
    found, _ = measure(project, [zoo.family(architecture, models)])
    path.unlink()
    return {"architecture": architecture, "models": count, **found[architecture]}


def pieces(sizes):
    """Architectures in the order of their size, so many at a time as `AT_ONCE` bytes hold."""
    piece, held = [], 0
    for name in sorted(sizes, key=sizes.get):
        if piece and held + 2 * sizes[name] > AT_ONCE:
            yield piece
            piece, held = [], 0
        piece.append(name)
        held += 2 * sizes[name]
    yield piece


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="one architecture; writes nothing")
    parser.add_argument("--write", action="store_true", help=f"keep the result in {RESULT.name}")
    parser.add_argument("--minutes", type=float, default=600, help="begin no model after them")
    options = parser.parse_args()
    result = {"taken": datetime.now(UTC).date().isoformat(), "device": cpu(),
              "cores": os.cpu_count(), "torch": version("torch"),
              "open_clip": version("open_clip_torch"), "images": IMAGES, "limit_bytes": LIMIT,
              "models": [], "calls": [], "together": [], "left_out": []}  # fmt: skip
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
        for name in [name for name, size in sizes.items() if 2 * size > LIMIT]:
            result["left_out"].append({"architecture": name, "parameters": sizes.pop(name)})
        for names in pieces(sizes) if sizes else ():
            if time.monotonic() - began > 60 * options.minutes:
                return print("more is left: call again")
            found, seconds = some(project, {name: architectures[name] for name in names})
            result["models"] += found
            result["calls"].append({"models": len(names), "seconds": round(seconds, 1)})
            keep()
            for one in found:
                print(f"{one['architecture']}: {one['parameters'] / 1e6:.0f} M, "
                      f"{one['seconds']:.0f} s, {one['memory'] / 1e9:.1f} GB, "
                      f"{one['measurements']} measurements", flush=True)  # fmt: skip
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
