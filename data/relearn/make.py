"""Train the experiments of `plan.yaml` and write what is kept of them next to this file.

    python data/relearn/make.py                  # all that is not finished, then the tables
    python data/relearn/make.py --until 02:30    # begin no run after this time
    python data/relearn/make.py --ship           # the tables of what is finished
    python data/relearn/make.py --check 3        # three runs again, compared with what is kept

Features are fetched as `data/embeddings.yaml` says. A call that was stopped goes on where it was:
what is finished lies under --work, and what is in the tables is not trained again. README.md says
what the tables hold.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import runpy
import sys
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from safetensors.numpy import load_file
from safetensors.numpy import save as arrays_as_bytes

from analysis.base.files import fingerprint, replaced, sha256_of, write_text
from analysis.base.roots import ROOT
from analysis.families.registry import load_families
from analysis.metrics import basis
from companion.checkpoints.weights import read_weights
from companion.pocket import origin, relearn
from companion.pocket.origin import Projections
from companion.pocket.relearn import Pairs, RelearnSettings

HERE = Path(__file__).resolve().parent
PLAN = yaml.safe_load((HERE / "plan.yaml").read_text(encoding="utf-8"))
WORK = ROOT / ".companion" / "relearn"
PUBLISHED = runpy.run_path(str(HERE.parent / "embeddings" / "make.py"))
USUAL = "vit_b_32-imagenet"
TABLES = ("runs", "curves", "profiles")
#: Trainings to play, and what is recorded of a frame besides the mean image.
FRAMES, PLAYED = HERE / "frames.safetensors", ("kurtosis", "mean_share", "accuracy", "path")
#: Largest relative difference of κ that --check accepts from another machine.
TOLERANCE = 0.2


@dataclass(frozen=True)
class Run:
    """One training of two projections."""

    pairs: str
    seed: int
    settings: RelearnSettings

    @property
    def key(self) -> str:
        """Hash of all that decides the result."""
        files = PLAN["pairs"][self.pairs]
        return fingerprint([self.settings, self.seed, files, PLAN["shares"], PLAN["looks"]])[:16]

    @property
    def profiled(self) -> bool:
        """Whether the mean image is kept: all is the default but the second moment."""
        plan = PLAN["profiles"]
        usual = RelearnSettings(**PLAN["defaults"])
        return (
            self.pairs == USUAL
            and self.seed in plan["seeds"]
            and self.settings.second_moment in plan["second_moment"]
            and self.settings.model_copy(update={"second_moment": "element"}) == usual
        )

    @property
    def framed(self) -> bool:
        """Whether the mean image is recorded at every frame of the training, to be played."""
        free = {"second_moment": "element", "gain": 1.0}
        usual = self.settings.model_copy(update=free) == RelearnSettings(**PLAN["defaults"])
        plan, kind = PLAN["frames"], self.settings.second_moment
        gain = plan["gains"].get(kind, self.settings.gain) == self.settings.gain
        return usual and gain and self.pairs == USUAL and self.seed in plan["seeds"]

    def about(self) -> dict[str, Any]:
        """What names it in the tables."""
        return {"pairs": self.pairs, "seed": self.seed} | self.settings.model_dump()


def main() -> int:
    """Parse the command line, do it, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", type=int, default=0, metavar="N", help="train N runs again")
    parser.add_argument("--ship", action="store_true", help="train nothing, write the tables")
    parser.add_argument("--until", metavar="HH:MM", help="begin no run after this time of today")
    parser.add_argument("--work", type=Path, default=WORK, help="where finished trainings lie")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.check:
        return compare(options.check)
    runs = list(planned())
    for number, run in enumerate([] if options.ship else runs, 1):
        if options.until and time.strftime("%H:%M") >= options.until:
            break
        target = options.work / f"{run.key}.json"
        if not target.is_file() and not is_kept(run):
            began, spent = time.monotonic(), time.process_time()
            write_text(target, json.dumps(trained(run)))
            print(f"{number}/{len(runs)}  {time.monotonic() - began:.0f} s, "
                  f"{time.process_time() - spent:.0f} of processor  {run.pairs} {run.seed} "
                  f"{run.settings.second_moment}", flush=True)  # fmt: skip
    return ship(runs, options.work)


def planned() -> Iterator[Run]:
    """Every run of the plan once, in its order."""
    seen = set()
    for group in PLAN["groups"]:
        for values in itertools.product(group["seeds"], *group["vary"].values()):
            own = PLAN["defaults"] | dict(zip(group["vary"], values[1:], strict=True))
            own.setdefault("gain", PLAN["gains"].get(own.get("second_moment"), 1.0))
            for pairs in group.get("pairs", [USUAL]):
                run = Run(pairs, values[0], RelearnSettings(**own))
                if run not in seen:
                    seen.add(run)
                    yield run


@cache
def pairs_of(name: str) -> Pairs:
    """Public features of one model, fetched and checked as `data/embeddings/make.py` does."""
    plan, known = PLAN["pairs"][name], PUBLISHED["TABLE"]
    model = next(m for f in load_families().values() for m in f.models if m.name == plan["model"])
    every = [*known["heads"], *known["texts"], *known["embeddings"]]
    entries = {entry["data"]: entry for entry in every if entry["model"] == model.name}
    image_entry, text_entry = entries[plan["images"]], entries.get(plan["texts"])
    labels, _ = PUBLISHED["labels_of"](image_entry)
    rows = np.flatnonzero(labels >= 0)[: plan.get("first")]  # those that have a text
    images, texts = (
        basis.at_length_one(np.asarray(side, dtype=np.float64))
        for side in (
            PUBLISHED["images_of"](image_entry)[rows],
            PUBLISHED["array_of" if text_entry else "captions_of"](text_entry or image_entry),
        )
    )
    labels = labels[rows]
    held_out = np.arange(len(images)) % plan["held_out"] == plan["held_out"] - 1
    captions = text_entry not in known["heads"]  # one of each image, not a class each
    classes = np.unique(labels[held_out]) if captions else np.arange(len(texts))
    return Pairs(images, texts, np.asarray(labels, dtype=np.int64), held_out, classes)


def as_published(name: str) -> dict[str, float]:
    """What the held-out images and their classes' texts are like in the model's own axes."""
    pairs = pairs_of(name)
    texts = pairs.texts[pairs.classes]
    return relearn.described(pairs.images[pairs.held_out], texts, pairs.answers)


def trained(run: Run) -> dict[str, Any]:
    """Train one run: its row, its curve and, if it is kept, its mean image."""
    pairs, settings = pairs_of(run.pairs), run.settings
    begun = relearn.begin(pairs, settings, run.seed)
    looks = {round(share * settings.steps) for share in PLAN["looks"]}
    losses: list[float] = []
    curve: list[dict[str, float]] = []

    frames: list[dict[str, Any]] = []

    def watch(step: int, loss: float, own: Projections, optimizer: Any = None) -> None:
        losses.append(loss)
        framed = run.framed and step in PLAN["frames"]["steps"]
        if step in looks or framed:
            images, texts = relearn.features(own, begun.locked)
            seen = {"step": step, "path": relearn.path(own, begun.own)}
            seen |= relearn.described(images, texts, pairs.answers)
            curve.extend([seen] * (step in looks))
            mean = basis.at_length_one(images).mean(axis=0)
            frames.extend([{"mean": mean.round(5).tolist(), **seen}] * framed)

    watch(0, np.nan, begun.own)
    own = origin.grow(
        begun.locked, settings, run.seed, deepcopy(begun.own), watch, relearn.written_out
    )
    ends = relearn.ended(begun, own, pairs.answers, PLAN["shares"])
    learned = float(own.log_scale.detach().exp().clamp(max=origin.LARGEST_SCALE))
    row = run.about() | {
        "loss": float(np.mean(losses[-(settings.steps // 10) :])),
        "last_scale": settings.scale or learned,
        "path": relearn.path(own, begun.own),
        "kurtosis_begun": curve[0]["kurtosis"],
        "accuracy_begun": curve[0]["accuracy"],
    }
    found = {"row": row | ends, "curve": curve, "frames": frames}
    if run.profiled:
        images, _ = relearn.features(own, begun.locked)
        found["profile"] = basis.at_length_one(images).mean(axis=0).tolist()
    return found


def ship(runs: Sequence[Run], work: Path) -> int:
    """Write the tables of what is finished, and what they were made from."""
    rows, curves, profiles = [], [], []
    for run in runs:
        path = work / f"{run.key}.json"
        if not path.is_file():
            continue
        found = json.loads(path.read_text(encoding="utf-8"))
        rows.append({"run": run.key} | found["row"])
        curves += [{"run": run.key} | look for look in found["curve"]]
        about = {"run": run.key, "second_moment": run.settings.second_moment}
        profiles += [
            about | {"coordinate": number, "mean": value}
            for number, value in enumerate(found.get("profile", ()))
        ]
    for name, new in zip(TABLES, (rows, curves, profiles), strict=True):
        before, after = kept(name), pd.DataFrame(new)
        if len(before) and len(after):
            before = before[~before["run"].isin(after["run"])]
        table = pd.concat([some for some in (before, after) if len(some)], ignore_index=True)
        write_text(HERE / f"{name}.csv", table.to_csv(index=False, float_format="%.6g"))
    write_frames(runs, work)
    about = {
        "models": {name: as_published(name) for name in PLAN["pairs"]},
        "plan": sha256_of(HERE / "plan.yaml"),
        "not trained": [run.about() for run in runs if not is_kept(run)],
        "tables": {f"{name}.csv": sha256_of(HERE / f"{name}.csv") for name in TABLES}
        | {FRAMES.name: sha256_of(FRAMES)},
        "libraries": {"torch": torch.__version__, "numpy": np.__version__},
        "machine": f"{platform.machine()}, one thread",
    }
    write_text(HERE / "relearn.json", json.dumps(about, indent=1) + "\n")
    print(f"{len(runs) - len(about['not trained'])} of {len(runs)} runs are in the tables.")
    return 0


def write_frames(runs: Sequence[Run], work: Path) -> None:
    """Write the frames of all runs that are finished now or were before, in the plan's order."""
    abouts, parts = [], []
    before = [] if not FRAMES.is_file() else json.loads(read_weights(FRAMES).metadata["runs"])
    arrays = load_file(FRAMES) if before else {}
    for run in (run for run in runs if run.framed):
        path = work / f"{run.key}.json"
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if frames := found.get("frames"):
            mean = np.array([frame["mean"] for frame in frames])
            unit = np.abs(mean).max(axis=1) / 127
            part = {name: np.array([f[name] for f in frames], dtype=np.float32) for name in PLAYED}
            part |= {"unit": unit.astype(np.float32)}
            part |= {"mean": np.rint(mean / unit[:, None]).astype(np.int8)}
        elif run.about() in before:
            part = {n: a[before.index(run.about())] for n, a in arrays.items() if n != "step"}
        else:
            continue
        abouts.append(run.about())
        parts.append(part)
    stacked = {name: np.stack([part[name] for part in parts]) for name in (parts or [{}])[0]}
    stacked["step"] = np.array(PLAN["frames"]["steps"], dtype=np.int32)
    with replaced(FRAMES) as target:
        target.write_bytes(arrays_as_bytes(stacked, metadata={"runs": json.dumps(abouts)}))


def kept(name: str) -> pd.DataFrame:
    """A table as it was written before."""
    path = HERE / f"{name}.csv"
    return pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["run"])


def is_kept(run: Run) -> bool:
    """Whether the tables have this run."""
    return bool((kept("runs")["run"] == run.key).any())


def compare(count: int) -> int:
    """Train some runs of the table again; 1 if κ of one is another than what is kept."""
    table, differ = kept("runs").set_index("run"), 0
    runs = [run for run in planned() if run.key in table.index]
    for run in runs[:: max(1, len(runs) // count)][:count]:
        now, then = trained(run)["row"]["kurtosis"], table.loc[run.key, "kurtosis"]
        print(f"{run.key}: κ {now:.4g}, kept {then:.4g}", flush=True)
        differ += abs(now / then - 1) > TOLERANCE
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
