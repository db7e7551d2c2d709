"""One layer's features of a folder of pictures: this package, a plain loop, thingsvision.

    python data/benchmarks/any_layer.py                                   this package and the loop
    python data/benchmarks/any_layer.py --thingsvision tv/bin/python      thingsvision, too
    python data/benchmarks/any_layer.py --record ...                      also writes any_layer.csv

thingsvision asks for older libraries than this project, so it needs a Python of its own
(`python -m venv tv && tv/bin/pip install thingsvision`). For the recorded run it was installed
without what it asks for (`pip install --no-deps`), next to this project's PyTorch. Everyone takes
the class token behind block 11 of timm's ViT-Tiny with drawn weights, of the same generated
pictures, with one thread, and has to find the same numbers. Building the network, which is the same
for all, is not counted. Speed is by processor time, so that other programs change it little.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("any_layer.csv")
PICTURES, ROUNDS = 142, 3
#: Libraries whose versions a row names.
VERSIONS = ("torch", "timm", "thingsvision")
NETWORK = """
import timm, torch
torch.set_num_threads(1)
torch.manual_seed(0)
net = timm.create_model("vit_tiny_patch16_224").eval()
preprocess = timm.data.create_transform(**timm.data.resolve_model_data_config(net))
"""
WAYS = {
    "this package": """
from companion.any_encoder.features import features_of
features = features_of(net, "pictures", preprocess, layer="blocks.11", pool="first")
""",
    "a plain loop": """
from pathlib import Path
from PIL import Image
paths = sorted(Path("pictures").glob("*.jpg"))
kept = []
handle = net.blocks[11].register_forward_hook(lambda part, given, made: kept.append(made[:, 0]))
with torch.inference_mode():
    for first in range(0, len(paths), 32):
        pictures = [Image.open(path).convert("RGB") for path in paths[first : first + 32]]
        net(torch.stack([preprocess(picture) for picture in pictures]))
handle.remove()
features = torch.cat(kept).numpy()
""",
    "thingsvision": """
from thingsvision import get_extractor_from_model
from thingsvision.utils.data import DataLoader, ImageDataset
extractor = get_extractor_from_model(model=net, device="cpu", backend="pt")
data = ImageDataset("pictures", "names", backend="pt", transforms=preprocess)
batches = DataLoader(data, batch_size=32, backend="pt")
made = extractor.extract_features(batches, module_name="blocks.11", flatten_acts=False)
features = made[:, 0]
""",
}
#: Runs a way several times: the processor time of each round, and what was found.
TIMED = """
import importlib.metadata, json, os, sys
import numpy as np
network, way, rounds, names, place = json.loads(sys.argv[1])
exec(network)
took = []
for _ in range(rounds):
    start = sum(os.times()[:4])
    exec(way)
    took.append(sum(os.times()[:4]) - start)
np.save(place, np.asarray(features, dtype=np.float32))
found = {}
for name in names:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps([took, found]))
"""


def main():
    """Measure, print, and record if so asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--thingsvision", metavar="PYTHON", help="the Python that has it")
    parser.add_argument("--record", action="store_true", help=f"write {TABLE.name}")
    options = parser.parse_args()
    pythons = {"this package": sys.executable, "a plain loop": sys.executable}
    if options.thingsvision:
        pythons["thingsvision"] = str(Path(options.thingsvision).absolute())
    rows = compared(pythons)
    for row in rows:
        print(", ".join(f"{name}: {value}" for name, value in row.items()))
    if options.record:
        with TABLE.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [*rows[0]], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def compared(pythons, pictures=PICTURES, rounds=ROUNDS):
    """A row for each way; ``pythons`` has the Python that each runs in.

    Exits if a way finds other numbers than the first.
    """
    rows, first = [], None
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        draw(folder / "pictures", pictures)
        for name, python in pythons.items():
            took, versions, features = measured(python, WAYS[name], folder, rounds)
            first = features if first is None else first
            if first.shape != features.shape or not np.allclose(first, features, atol=1e-3):
                sys.exit(f"{name} finds other features than {rows[0]['way']}.")
            rows.append(
                {
                    "way": name,
                    "lines of code": len(WAYS[name].strip().splitlines()),
                    "pictures per processor second": f"{pictures / min(took):.0f}",
                    "with": ", ".join(f"{of} {number}" for of, number in versions.items()),
                }
            )
    return rows


def draw(folder, count):
    """Pictures of 320 × 320."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8))
        coarse.resize((320, 320)).save(folder / f"{number:03}.jpg")


def measured(python, way, folder, rounds):
    """The processor time of each round, the versions, and the features."""
    place = folder / "features.npy"
    given = json.dumps([NETWORK, way, rounds, VERSIONS, str(place)])
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    line = [python, "-c", TIMED, given]
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    took, versions = json.loads(done.stdout.splitlines()[-1])
    return took, versions, np.load(place)


if __name__ == "__main__":
    main()
