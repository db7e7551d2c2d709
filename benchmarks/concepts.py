"""Average precision of directions for concepts: time and growth against plainer ways.

    python benchmarks/concepts.py            Broden's size: about three minutes
    python benchmarks/concepts.py --small    a look in seconds

Scores and labels are generated (`broden_like`). Every comparison first checks that both ways
agree. The yardstick is one `np.argsort` of a direction's float32 scores, timed in turns with the
rest in the same run; every time is also given as a multiple of it. Times are the best of several,
which on a busy machine come closest to what the work takes. scikit-learn and torchmetrics are timed
on some concepts and scaled up to all, which the table says.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import scipy.sparse

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from analysis.metrics.average_precision import (
    average_precision,
    average_precision_on,
    balanced_sample,
)

YARDSTICK = "one np.argsort"
IMAGES, DIRECTIONS, CONCEPTS = 63_305, 32, 1197


def broden_like(images=IMAGES, concepts=CONCEPTS, per_image=15.0, seed=0):
    """Sparse labels (images, concepts) as dense as Broden's, by assumption.

    Assumed: 15 concepts per image on average (10 to 13 colours, objects, parts and materials, and
    a scene or texture); the k-th most frequent concept has images in proportion to k^−1.5, at
    least 10 and at most 60 % of all, so a few have tens of thousands and many 10 to 100; each
    concept's images are drawn at random.
    """
    rng = np.random.default_rng(seed)
    profile = np.arange(1, concepts + 1) ** -1.5
    least = min(10, images)
    low, high = 0.0, 1e4 * images
    for _ in range(60):
        middle = (low + high) / 2
        sizes = np.clip(middle * profile, least, max(least, 0.6 * images))
        low, high = (low, middle) if sizes.sum() > per_image * images else (middle, high)
    sizes = sizes.astype(int)
    rows = np.concatenate([rng.choice(images, size, replace=False) for size in sizes])
    columns = np.repeat(rng.permutation(concepts), sizes)
    pair = (np.ones(len(rows), dtype=bool), (rows, columns))
    return scipy.sparse.csr_array(pair, shape=(images, concepts))


def normal_scores(images, directions, seed=1):
    return np.random.default_rng(seed).normal(size=(images, directions)).astype(np.float32)


def best_in_turns(ways, rounds=7):
    """Seconds of each call, the best of several rounds that go through all of them in turn."""
    times = {name: [] for name in ways}
    for _ in range(rounds):
        for name, call in ways.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: min(values) for name, values in times.items()}


def sort_each(scores):
    columns = np.ascontiguousarray(scores.T)
    return lambda: [np.argsort(column) for column in columns]


def scikit_learn(scores, dense):
    from sklearn.metrics import average_precision_score

    return [average_precision_score(dense[:, k], scores) for k in range(dense.shape[1])]


def torchmetrics_way(scores, dense):
    """Ranks scaled to [0, 1], because it puts a sigmoid over scores that leave this range."""
    import torch
    from torchmetrics.functional.classification import multilabel_average_precision

    ranks = np.argsort(np.argsort(scores)) / len(scores)
    given = torch.from_numpy(np.tile(ranks[:, None], (1, dense.shape[1])))
    labels = torch.from_numpy(dense.astype(np.int64))
    found = multilabel_average_precision(given, labels, dense.shape[1], average=None)
    return found.numpy()


def table(rows, yardstick):
    print("| way | ms per direction | times one argsort |\n|---|---:|---:|")
    for name, seconds in rows.items():
        print(f"| {name} | {1e3 * seconds:,.2f} | {seconds / yardstick:,.1f} |")


def compare(images, directions, concepts, sampled):
    scores, labels = normal_scores(images, directions), broden_like(images, concepts)
    sample = balanced_sample(labels, seed=0)
    chosen = np.unique(np.linspace(0, concepts - 1, sampled).astype(int))
    dense, column = labels[:, chosen].toarray(), scores[:, 0]
    ours = average_precision(scores, labels)
    for found in (scikit_learn(column, dense), torchmetrics_way(column, dense)):
        np.testing.assert_allclose(found, ours[0, chosen], atol=1e-6)
    many = {
        YARDSTICK: sort_each(scores),
        "this engine, 1 thread": lambda: average_precision(scores, labels, threads=1),
        "this engine, 2 threads": lambda: average_precision(scores, labels, threads=2),
        "balanced draw, 1 thread": lambda: average_precision_on(scores, sample, threads=1),
        "balanced draw, 2 threads": lambda: average_precision_on(scores, sample, threads=2),
    }
    one = {
        f"scikit-learn, {len(chosen)} concepts scaled up": lambda: scikit_learn(column, dense),
        f"torchmetrics, {len(chosen)} concepts scaled up": lambda: torchmetrics_way(column, dense),
    }
    rows = {name: seconds / directions for name, seconds in best_in_turns(many).items()}
    for name, seconds in best_in_turns(one, rounds=3).items():
        rows[name] = seconds * (concepts / len(chosen) if "scaled up" in name else 1)
    print(f"{images} images, {concepts} concepts, {labels.nnz} labels, {directions} directions")
    table(rows, rows[YARDSTICK])
    start = time.perf_counter()
    balanced_sample(labels, seed=1)
    print(f"drawing the balanced sample, once: {time.perf_counter() - start:.2f} s\n")


def growth(images, directions, concepts):
    """One thread, each size doubled by itself; labels per image grow with neither N nor C."""
    print(
        "| N | d | C | ms in all | ms per direction | times one argsort |\n|---:|---:|---:"
        + 3 * "|---:"
        + "|"
    )
    base = np.array([images // 4, directions // 2, concepts // 4])
    for factors in ((1, 1, 1), (2, 1, 1), (4, 1, 1), (1, 2, 1), (1, 4, 1), (1, 1, 2), (1, 1, 4)):
        n, d, c = (base * factors).tolist()
        scores, labels = normal_scores(n, d), broden_like(n, c)

        def ours(scores=scores, labels=labels):
            average_precision(scores, labels, threads=1)

        times = best_in_turns({YARDSTICK: sort_each(scores), "ours": ours})
        print(
            f"| {n} | {d} | {c} | {1e3 * times['ours']:.1f} | {1e3 * times['ours'] / d:.2f} "
            f"| {times['ours'] / times[YARDSTICK]:.1f} |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true")
    small = parser.parse_args().small
    images, directions, concepts = (5000, 8, 200) if small else (IMAGES, DIRECTIONS, CONCEPTS)
    print(f"numpy {np.__version__}, scipy {scipy.__version__}")
    compare(images, directions, concepts, sampled=10 if small else 40)
    growth(images, directions, concepts)


if __name__ == "__main__":
    main()
