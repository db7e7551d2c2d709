"""Speed and memory of section 3's metrics against plainer ways, as ratios of one run.

    python benchmarks/directions.py            the sizes of ImageNet: about two minutes
    python benchmarks/directions.py --small    a look in seconds

Features are generated. Every comparison first checks that both ways agree. The plain way of
pruning is timed on some of its steps and scaled up, which the output says.
"""

# ruff: noqa: E402 - the number of threads must be set before NumPy is imported
import argparse
import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import scipy.stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from analysis.metrics.directions import importance
from analysis.metrics.outliers import kurtosis, outlier_features
from analysis.metrics.pruning import prune, pruning_curve, pruning_order


def timed(call):
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def report(what, ours, plain, note=""):
    print(f"{what}: {ours:.2f} s against {plain:.2f} s, {plain / ours:.1f} times faster. {note}")


def compare_pruning(images, classes, width):
    rng = np.random.default_rng(0)
    head = rng.normal(size=(classes, width))
    labels = rng.integers(0, classes, images)
    features = (head[labels] + rng.normal(size=(images, width)) * 4).astype(np.float32)
    order = pruning_order(importance(features, head), "importance")
    ours, curve = timed(lambda: pruning_curve(features, labels, head, order))
    double = features.astype(np.float64)
    steps = np.unique(np.linspace(1, len(order), 8).astype(int))

    def afresh():
        for keep in steps:
            logits = double @ prune(head, order, keep).T
            yield (logits.argmax(axis=1) == labels).mean()

    plain, expected = timed(lambda: list(afresh()))
    np.testing.assert_allclose(curve[steps - 1], expected, atol=2 / images)
    report(
        f"pruning curve, {len(order)} steps, {classes} classes, {images} images",
        ours, plain * len(order) / len(steps),
        f"Recomputing each step: timed on {len(steps)} of them, scaled up.",
    )  # fmt: skip


def compare_kurtosis(images, width):
    features = np.random.default_rng(1).normal(size=(images, width)).astype(np.float32)
    kurtosis(features[:1000])
    ours, values = timed(lambda: kurtosis(features))
    double = features.astype(np.float64)
    plain, expected = timed(lambda: scipy.stats.kurtosis(double, axis=1, fisher=False))
    np.testing.assert_allclose(values, expected, rtol=1e-9)
    report(f"kurtosis, {images} × {width}", ours, plain, "scipy is spared the copy to float64.")


def anonymous_megabytes():
    """Memory of this process that is not backed by a file (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("the memory comparison needs Linux's /proc.")


def peak_of_metrics(path, mapped):
    """Run the metrics in this process and return their peak above the start, in MB."""
    features = np.load(path, mmap_mode="r")
    head = np.random.default_rng(0).normal(size=(1000, features.shape[1]))
    importance(features[:64], head)  # what libraries set up once
    start, peak, done = anonymous_megabytes(), [0.0], threading.Event()

    def watch():
        while not done.wait(0.002):
            peak[0] = max(peak[0], anonymous_megabytes() - start)

    watcher = threading.Thread(target=watch)
    watcher.start()
    given = features if mapped else np.asarray(features, dtype=np.float64)
    outlier_features(given), importance(given, head)
    done.set()
    watcher.join()
    return peak[0]


def compare_memory(images, width):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.npy"
        features = np.random.default_rng(2).normal(size=(images, width)).astype(np.float32)
        np.save(path, features)
        for way in ("mapped", "loaded"):
            command = [sys.executable, __file__, "--peak", str(path), way]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            print(
                f"outlier features and importance of {features.nbytes / 1e6:.0f} MB, "
                f"{'memory-mapped' if way == 'mapped' else 'loaded as float64'}: peak "
                f"{float(out):.0f} MB of own memory"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(peak_of_metrics(options.peak[0], options.peak[1] == "mapped"))
        return
    images, classes, width = (4000, 200, 128) if options.small else (50_000, 1000, 512)
    print(f"numpy {np.__version__}, scipy {scipy.__version__}, one thread")
    compare_kurtosis(images, width)
    compare_memory(images, width)
    compare_pruning(images, classes, width)


if __name__ == "__main__":
    main()
