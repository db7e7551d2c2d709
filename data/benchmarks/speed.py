"""How long a person waits for the book and for a probe: one command for the page *Speed*.

    python data/benchmarks/speed.py             about ten minutes on two idle cores
    python data/benchmarks/speed.py --record    also writes speed.csv, which the page shows

Everything is done in a copy of this checkout, from nothing but the installed environment. The last
rows are what the same libraries need for a book of two pages, and for a probe's pictures in a plain
loop. Compare times of one run only: other programs slow down all of them.
"""

import argparse
import csv
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("speed.csv")
PYTHON = sys.executable
JUPYTER_BOOK = str(Path(PYTHON).with_name("jupyter-book"))
COMPANION = [PYTHON, "-m", "companion.cli"]
#: What is not copied: what a build makes, and what a clone does not have.
GENERATED = (".git", ".venv*", ".companion", "store", "runs", "_build", "trained", "*_cache")
#: Pictures that are probed, and pixels at each side before they are cropped.
PICTURES, SIDE = 142, 320
#: A small network that timm has, with drawn weights: neither changes the speed.
NETWORK = "tf_efficientnet_lite1"
PAGES = {
    "_config.yml": 'title: t\nexecute:\n  execute_notebooks: "off"\n',
    "_toc.yml": "format: jb-book\nroot: index\nchapters:\n- file: page\n",
    "index.md": "# One\n\nText.\n",
    "page.md": "# Two\n\nText.\n",
}
LOOP = f"""
import sys, pathlib, torch, timm
from PIL import Image
from timm.data import create_transform, resolve_data_config
from safetensors.torch import load_file
network = timm.create_model("{NETWORK}").eval()
network.load_state_dict(load_file("weights.safetensors"))
see = create_transform(**resolve_data_config({{}}, model=network))
torch.set_num_threads(1)
with torch.inference_mode():
    for path in sorted(pathlib.Path("pictures").glob("*.jpg")):
        network(see(Image.open(path).convert("RGB"))[None])
"""


def main():
    """Measure, print, and record if so asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="write speed.csv")
    record = parser.parse_args().record
    with tempfile.TemporaryDirectory() as scratch:
        rows = [*measured(Path(scratch))]
    if record:
        with TABLE.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([["what", "seconds"], *rows, [machine(), ""]])


def measured(scratch):
    """Each task in turn: its name, and how long it took."""
    copy = scratch / "checkout"
    shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(*GENERATED))
    (copy / "data/benchmarks" / TABLE.name).write_text(
        "what,seconds\nnot yet,\n"
    )  # the page shows it
    book = [JUPYTER_BOOK, "build", "book/"]
    runs = [*COMPANION, "build", "--runs"]
    yield timed("features, measurements and all runs, from nothing", runs, copy)
    yield timed("all pages, with the runs there", book, copy)
    yield timed("the book again, with nothing to do", book, copy)
    probe = scratch / "probe"
    draw(probe)
    words = ["weights.safetensors", "--architecture", NETWORK, "--images", "pictures"]
    outside = [*COMPANION, "probe", *words]
    yield timed(f"a probe of {PICTURES} pictures, timm's {NETWORK}", outside, probe, copy)
    yield timed("the same pictures in a plain loop of PyTorch", [PYTHON, "-c", LOOP], probe, copy)
    own = [*COMPANION, "rerun", "outlier_features", "--checkpoint", str(probe / words[0])]
    own += ["--architecture", NETWORK, "--data", str(probe / "pictures")]
    yield timed("a chapter rerun with this checkpoint", own, copy)
    small = scratch / "small"
    small.mkdir()
    for name, text in PAGES.items():
        (small / name).write_text(text)
    subprocess.run([JUPYTER_BOOK, "build", "."], cwd=small, check=True, capture_output=True)
    again = [JUPYTER_BOOK, "build", "."]
    yield timed("a book of two pages by Jupyter Book alone, with nothing to do", again, small)


def draw(folder):
    """Pictures and weights."""
    import numpy as np
    import timm
    from PIL import Image
    from safetensors.torch import save_file

    (folder / "pictures").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        coarse = Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8))
        coarse.resize((SIDE, SIDE)).save(folder / "pictures" / f"{number:03}.jpg")
    save_file(timm.create_model(NETWORK).state_dict(), folder / "weights.safetensors")


def timed(what, command, folder, packages=None):
    """Run a command; print and return how long it took. It has to succeed."""
    environment = os.environ | {"PYTHONPATH": str(packages or folder)}
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    took = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{what}: {done.stderr[-2000:]}")
    print(f"{what}: {took:.1f} s", flush=True)
    return [what, f"{took:.1f}"]


def machine():
    """What measured it, and when."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    day = datetime.now(UTC).date()
    return f"{day}, {cores} cores, {platform.machine()}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
