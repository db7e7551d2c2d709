"""Train the experiments of `origin.yaml` and write what is kept of them next to this file.

    python data/pocket/origin.py                 # all that is not finished, then the tables
    python data/pocket/origin.py --ship          # the tables of what is finished
    python data/pocket/origin.py --models        # only the models trained with all weights
    python data/pocket/origin.py --check 3       # three runs again, compared with what is kept

A call that was stopped goes on where it was: finished projections lie under --work. A run that is
in the tables is not trained again, unless other towers are shipped now. The tables are
`origin.csv` (a row for each run), `origin_curves.csv` (during training), `origin_mechanism.csv` and
`origin_coordinates.csv` (speeds and means of single coordinates), `origin_rotations.csv` (runs in
which the optimiser works in other axes), `origin_models.csv` (all weights trained; `grown/` has the
weights of seed 0), and `origin.json` says what they were made from.

`origin_frames.safetensors` has trainings to play, in the metadata's `runs` (JSON: a list of
settings). For run r and frame f, trained for step[f] steps:

- `mean` (runs, frames, 512), int8: the mean of the test emoji in the training style, each scaled to
  length 1; times `unit` (runs, frames), float32, it is the signed value;
- `kurtosis`, `mean_share`, `accuracy`, `er` (runs, frames), float32, as in `origin.csv`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from numpy.typing import NDArray
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save as arrays_as_bytes
from safetensors.torch import load_file
from scipy.stats import spearmanr

from analysis.base.files import fingerprint, replaced, sha256_of, write_text
from analysis.base.roots import ROOT
from analysis.features.store import Head
from analysis.metrics import basis, modalities, outliers, robustness
from companion.checkpoints.weights import read_weights
from companion.measurements import accuracies
from companion.pocket import objectives, origin, pocket, pocket_lab
from companion.pocket.origin import Locked, OriginSettings, Projections
from companion.pocket.pocket import PocketRecipe, Recipes
from companion.sources import emoji

HERE = Path(__file__).resolve().parent
PLAN = yaml.safe_load((HERE / "origin.yaml").read_text(encoding="utf-8"))
WORK = ROOT / ".companion" / "origin"
#: Weights of seed 0 of the models of which all weights were trained.
GROWN = HERE / "grown"
#: Trainings to play.
FRAMES = HERE / "origin_frames.safetensors"
#: Directions that hold together at most this share of the captions' variance are hardly read.
UNREAD = 0.01
#: Largest relative difference of κ that --check accepts from another machine.
TOLERANCE = 0.2
#: What is recorded of a frame besides the mean image.
PLAYED = ("kurtosis", "mean_share", "accuracy", "er")
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """One training of two projections."""

    towers: str
    seed: int
    settings: OriginSettings

    @property
    def key(self) -> str:
        """Hash of all that decides the result."""
        path = checkpoint(self.towers)
        world = pocket_lab.world().digest
        return fingerprint([self.settings, self.seed, sha256_of(path), self.towers, world])[:16]

    @property
    def watched(self) -> bool:
        """Whether it is looked at during training: all is the default but the second moment."""
        usual = self._usual(second_moment="element", gain=1.0)
        return usual and self.seed in PLAN["frames"]["seeds"]

    @property
    def framed(self) -> bool:
        """Whether it is recorded frame by frame, to be played."""
        plan, step = PLAN["frames"], self.settings.second_moment
        seeds = plan["seeds"] if self.watched and step in plan["second_moment"] else []
        seeds = seeds + plan["rotated seeds"] * self._usual(rotated="none")
        return self.towers == plan["towers"] and self.seed in seeds

    def _usual(self, **settings: Any) -> bool:
        return self.settings.model_copy(update=settings) == OriginSettings()

    def about(self) -> dict[str, Any]:
        """What names it in the tables."""
        return {"towers": self.towers, "seed": self.seed} | self.settings.model_dump()


def main() -> int:
    """Parse the command line, do it, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", type=int, default=0, metavar="N", help="train N runs again")
    parser.add_argument("--ship", action="store_true", help="train nothing, write the tables")
    parser.add_argument("--models", action="store_true", help="train and ship whole models alone")
    parser.add_argument("--work", type=Path, default=WORK, help="where finished trainings lie")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.check:
        return compare(options.check)
    if options.models:
        train_models(options.work)
        return ship_models(options.work)
    runs = list(planned())
    if options.ship:
        return ship(runs, options.work)
    began, spent = time.monotonic(), time.process_time()
    known = kept("origin")
    for number, run in enumerate(runs, 1):
        target = options.work / f"{run.key}.safetensors"
        if not target.is_file() and not (is_in(known, run) and is_played(run)):
            train(run, target)
            print(f"{number}/{len(runs)}  {time.monotonic() - began:.0f} s  "
                  f"{time.process_time() - spent:.0f} s of processor  {run.towers} {run.seed}",
                  flush=True)  # fmt: skip
    train_models(options.work)
    return ship(runs, options.work)


def planned() -> Iterator[Run]:
    """Every run of the plan once, in its order."""
    seen = set()
    for group in PLAN["groups"]:
        for values in itertools.product(*group["vary"].values()):
            own = dict(zip(group["vary"], values, strict=True))
            gain = PLAN["gains"].get(own.get("second_moment"), 1.0)
            settings = OriginSettings(**own, gain=gain)
            for towers, seed in itertools.product(group["towers"], group["seeds"]):
                run = Run(towers, seed, settings)
                if run not in seen:
                    seen.add(run)
                    yield run


def checkpoint(towers: str) -> Path:
    """The shipped model whose towers stay fixed."""
    return pocket.CHECKPOINTS / f"{PLAN['towers'][towers]['checkpoint']}.safetensors"


@cache
def locked(towers: str) -> Locked:
    """What these towers give before the projections."""
    return origin.locked(checkpoint(towers), PLAN["towers"][towers]["styles"])


# Training


def train(run: Run, target: Path | None = None) -> tuple[Projections, list[float]]:
    """Train one run; write its projections, losses and what was watched, if there is a target."""
    losses: list[float] = []
    kept: dict[str, torch.Tensor] = {}
    curve: list[dict[str, float]] = []
    mechanism = PLAN["mechanism"]
    noted = {step * m for step in mechanism["from"] for m in (1, mechanism["factor"])}
    frames = PLAN["frames"]["steps"] if run.framed else ()

    def watch(step: int, loss: float, own: Projections, optimizer: Any) -> None:
        losses.append(loss)
        if run.watched and step in PLAN["watched"]:
            curve.append({"step": step, "loss": float(np.mean(losses[-100:]))} | glimpsed(run, own))
        if run.watched and run.settings.second_moment == "element" and step in noted:
            kept.update(speeds(run, step, own, optimizer))
        if step in frames:
            kept.update(frame(run, step, own))

    if run.framed:
        kept.update(frame(run, 0, origin.drawn(locked(run.towers), run.settings, run.seed)))
    own = origin.grow(locked(run.towers), run.settings, run.seed, watch=watch)
    if target is not None:
        tensors = {name: value.detach() for name, value in own.state_dict().items()} | kept
        tenth = float(np.mean(losses[-(run.settings.steps // 10) :]))
        metadata = {"loss": repr(tenth), "curve": json.dumps(curve)}
        target.parent.mkdir(parents=True, exist_ok=True)
        objectives.write_tensors(tensors, target, metadata)
    return own, losses


def speeds(run: Run, step: int, own: Projections, optimizer: Any) -> dict[str, torch.Tensor]:
    """Both sides' mean and spread at each coordinate, and the root of their second moment."""
    data, found = locked(run.towers), {}
    sides = {"image": (own.image, data.images), "text": (own.text, captions(data))}
    for side, (weight, inputs) in sides.items():
        features = torch.nn.functional.normalize(inputs @ weight, dim=-1).detach()
        found[f"{step} {side} mean"] = features.mean(0)
        found[f"{step} {side} spread"] = features.std(0)
        found[f"{step} {side} root"] = optimizer.state[weight]["square"].mean(0).sqrt()
    return found


def frame(run: Run, step: int, own: Projections) -> dict[str, torch.Tensor]:
    """What is recorded of one step of a run that is played."""
    features = own.features(locked(run.towers).tested)
    mean = basis.at_length_one(in_style(features)).mean(axis=0)
    seen = glimpsed(run, own)
    seen["er"] = float(
        robustness.effective_robustness(seen["unseen"], seen["accuracy"], tests()[1])
    )
    values = [seen[name] for name in PLAYED]
    return {
        f"frame {step} mean": torch.tensor(mean, dtype=torch.float32),
        f"frame {step} values": torch.tensor(values, dtype=torch.float32),
    }


def captions(data: Locked) -> torch.Tensor:
    """The texts on which a model is measured: the first caption of each training concept."""
    return data.texts[data.concepts.unique(), 0]


# Measuring


@cache
def tests() -> tuple[pd.DataFrame, robustness.Baseline]:
    """The table of the test emoji, and the line through the pool for the unseen styles."""
    table = emoji.metadata()
    pool = accuracies.pocket_pool("unseen")
    tested = table[table["split"] == "test"].reset_index(drop=True)
    return tested, robustness.fit_baseline(pool["imagenet"], pool["shifted"])


def glimpsed(run: Run, own: Projections) -> dict[str, float]:
    """What is watched during training, of `measured`."""
    data = locked(run.towers)
    features = own.features(data.tested)
    inside = in_style(features)
    return {
        "kurtosis": float(outliers.kurtosis(inside).mean()),
        "mean_share": basis.mean_share(inside),
    } | accuracies_of(features, zero_shot(own, data))


def zero_shot(own: Projections, data: Locked) -> Head:
    """The head that the text projection makes of the classes' texts."""
    weight = own.head(data.prompts).astype(np.float32)
    return Head(weight, tuple(emoji.CLASSES), normalize=True)


def measured(run: Run, own: Projections) -> dict[str, Any]:
    """Everything about one run's features."""
    data = locked(run.towers)
    texts = own.of_texts(captions(data)).detach().double().numpy()
    return representation(own.features(data.tested), zero_shot(own, data)) | of_both(
        own.features(data.tested), texts
    )


def representation(features: Array, head: Head) -> dict[str, Any]:
    """What features of the test emoji (M, d) are like, and what their head recognises.

    κ and its kin are of the test emoji in the training style, as in `representations.csv`.
    """
    inside, own = in_style(features), accuracies_of(features, head)
    found = outliers.outlier_features(inside)
    turned = inside @ basis.random_rotation(inside.shape[1], 0)
    return {
        "kurtosis": found.kurtosis_mean,
        "kurtosis_error": found.kurtosis_standard_error,
        "leader": found.persistence.coordinate,
        "persistence": found.persistence.fraction,
        "mean_share": basis.mean_share(inside),
        "top_share": modalities.dominant_coordinate(inside).share,
        "kurtosis_less_mean": outliers.kurtosis(basis.less_mean(inside)).mean(),
        "kurtosis_rotated": outliers.kurtosis(turned).mean(),
        "kurtosis_eigenframe": outliers.kurtosis(basis.eigenframe(inside)).mean(),
        **own,
        "er": float(robustness.effective_robustness(own["unseen"], own["accuracy"], tests()[1])),
    }


def accuracies_of(features: Array, head: Head) -> dict[str, float]:
    """Accuracy on the test emoji in the training style, and the mean over the unseen styles."""
    table, _ = tests()
    known = (table["class_index"] >= 0).to_numpy()
    right = head.logits(features).argmax(axis=1) == table["class_index"].to_numpy()
    by_style = pd.Series(right[known]).groupby(table["style"].to_numpy()[known]).mean()
    unseen = by_style[list(accuracies.styles("unseen"))].mean()
    return {"accuracy": float(by_style[emoji.IMAGENET]), "unseen": float(unseen)}


def of_both(features: Array, texts: Array) -> dict[str, Any]:
    """What captions (n, d) are like, and how quiet each side is where the other's mean lies."""
    inside = in_style(features)
    means = [basis.at_length_one(some).mean(axis=0) for some in (inside, texts)]
    cosine = means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1])
    along = basis.energy_by_text_variance(inside, texts)
    return {
        "kurtosis_texts": outliers.kurtosis(texts).mean(),
        "mean_share_texts": basis.mean_share(texts),
        "cosine_of_means": cosine,
        "energy_unread": along.energy[np.cumsum(along.variance) <= UNREAD].sum(),
        "quiet_texts": modalities.quietness(inside, texts),
        "quiet_images": modalities.quietness(texts, inside),
    }


def in_style(features: Array) -> Array:
    """The test emoji in the training style."""
    return features[(tests()[0]["style"] == emoji.IMAGENET).to_numpy()]


# All weights


def model_recipes() -> Recipes:
    """The recipes of `recipes.yaml` and those of the plan."""
    base, own = pocket.load_recipes(), PLAN["models"]
    added = [PocketRecipe(**(own["defaults"] | recipe)) for recipe in own["recipes"]]
    return Recipes(seeds=base.seeds, models=(*base.models, *added))


def models() -> Iterator[tuple[PocketRecipe, int]]:
    """The trainings of all weights, and their seeds."""
    recipes, seeds = model_recipes(), PLAN["models"]["seeds"]
    return ((recipes.recipe(name), seed) for name in seeds for seed in seeds[name])


def train_models(work: Path) -> None:
    """Train all weights of the plan's models that are not in the table, and their beginnings."""
    recipes, known = model_recipes(), kept("origin_models")
    for recipe, seed in models():
        if ((known["model"] == recipe.name) & (known["seed"] == seed)).any():
            continue
        begin(recipe, seed, recipes, work)
        print(pocket_lab.run(recipe, recipes, seed, work).name, flush=True)


def begin(recipe: PocketRecipe, seed: int, recipes: Recipes, work: Path) -> None:
    """See to the weights from which a recipe starts: shipped for seed 0, trained for others."""
    start = recipes.recipe(str(recipe.start))
    shipped = pocket.CHECKPOINTS / f"{start.name}.safetensors"
    target = pocket_lab.weights_path(start.name, seed, work)
    if seed == 0 and shipped.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shipped, target)
    pocket_lab.run(start, recipes, seed, work)


def model_row(recipe: PocketRecipe, seed: int, work: Path) -> dict[str, Any]:
    """What one model of which all weights were trained is like."""
    tested = (emoji.metadata()["split"] == "test").to_numpy()
    features, head = pocket_lab.represented(
        pocket_lab.weights_path(recipe.name, seed, work), tested
    )
    about = {"model": recipe.name, "level": recipe.level, "start": recipe.start, "seed": seed}
    return about | representation(features.astype(np.float64), head)


# What is kept


def ship(runs: Sequence[Run], work: Path) -> int:
    """Write the tables of what is finished, and what they were made from."""
    rows, curves, mechanism, coordinates, rotations = [], [], [], [], []
    finished = {run: work / f"{run.key}.safetensors" for run in runs}
    finished = {run: path for run, path in finished.items() if path.is_file()}
    for run, path in finished.items():
        tensors, metadata = load_file(path), read_weights(path).metadata
        own = Projections(tensors["image"], tensors["text"], run.settings.layer_norm)
        own.load_state_dict({name: tensors[name] for name in own.state_dict()})
        learned = float(tensors["log_scale"].exp().clamp(max=origin.LARGEST_SCALE))
        ends = {
            "loss": float(metadata["loss"]),
            "last_scale": run.settings.scale or learned,
            "summed_rate": sum(origin.rate(run.settings, n) for n in range(run.settings.steps)),
        }
        rows.append(run.about() | ends | measured(run, own))
        about = {"towers": run.towers, "second_moment": run.settings.second_moment}
        rotations += of_rotation(run, own)
        curves += [about | {"seed": run.seed} | row for row in json.loads(metadata["curve"])]
        if "200 image mean" in tensors:
            table = {n: t.double().numpy() for n, t in tensors.items() if n[0].isdigit()}
            mechanism += of_speeds(run, table)
            coordinates += [of_coordinates(run, table)] * (run.seed == 0)
    tables = {
        "origin": pd.DataFrame(rows), "origin_curves": pd.DataFrame(curves),
        "origin_mechanism": pd.DataFrame(mechanism), "origin_rotations": pd.DataFrame(rotations),
        "origin_coordinates": pd.concat([pd.DataFrame(), *coordinates], ignore_index=True),
    }  # fmt: skip
    tables = {name: with_kept(name, table) for name, table in tables.items()}
    for name, table in tables.items():
        write_text(HERE / f"{name}.csv", table.to_csv(index=False, float_format="%.6g"))
    write_frames(runs, finished)
    about = {
        "plan": sha256_of(HERE / "origin.yaml"),
        "not trained": [run.about() for run in runs if not is_in(tables["origin"], run)],
        "checkpoints": {t: sha256_of(checkpoint(t)) for t in PLAN["towers"]},
        "emoji": pocket_lab.world().digest,
        "tables": {f"{name}.csv": sha256_of(HERE / f"{name}.csv") for name in tables}
        | {FRAMES.name: sha256_of(FRAMES)},
        "libraries": {"torch": torch.__version__, "numpy": np.__version__},
        "machine": f"{platform.machine()}, one thread",
    }
    write_text(HERE / "origin.json", json.dumps(about, indent=1) + "\n")
    print(f"{len(tables['origin'])} of {len(runs)} runs are in the tables.")
    return ship_models(work)


def ship_models(work: Path) -> int:
    """Write the table of the whole models that are finished, and the weights of seed 0."""
    trained = [
        (recipe, seed)
        for recipe, seed in models()
        if pocket_lab.weights_path(recipe.name, seed, work).is_file()
    ]
    new = pd.DataFrame([model_row(*task, work) for task in trained])
    table = with_kept("origin_models", new)
    write_text(HERE / "origin_models.csv", table.to_csv(index=False, float_format="%.6g"))
    for recipe, seed in trained:
        if seed == 0:
            weights = pocket_lab.weights_path(recipe.name, seed, work).read_bytes()
            with replaced(GROWN / f"{recipe.name}.safetensors") as target:
                target.write_bytes(weights)
    about = json.loads((HERE / "origin.json").read_text(encoding="utf-8"))
    about["tables"]["origin_models.csv"] = sha256_of(HERE / "origin_models.csv")
    about["grown"] = {path.name: sha256_of(path) for path in sorted(GROWN.glob("*.safetensors"))}
    write_text(HERE / "origin.json", json.dumps(about, indent=1) + "\n")
    print(f"{len(table)} models are in the table.")
    return 0


def kept(name: str) -> pd.DataFrame:
    """A table as it was written before; without rows if other towers are shipped now."""
    path = HERE / f"{name}.csv"
    table = pd.read_csv(path) if path.is_file() else pd.DataFrame()
    about = json.loads((HERE / "origin.json").read_text(encoding="utf-8"))
    same = about["checkpoints"] == {
        towers: sha256_of(checkpoint(towers)) for towers in PLAN["towers"]
    }
    return table if same else table.iloc[:0]


def played() -> tuple[list[dict[str, Any]], dict[str, NDArray[Any]]]:
    """The runs that can be played, and their arrays."""
    if not FRAMES.is_file() or kept("origin").empty:
        return [], {}
    return json.loads(read_weights(FRAMES).metadata["runs"]), load_arrays(FRAMES)


def is_played(run: Run) -> bool:
    """Whether this run's frames are recorded, if they should be."""
    return not run.framed or run.about() in played()[0]


def write_frames(runs: Sequence[Run], finished: Mapping[Run, Path]) -> None:
    """Write the frames of all runs that are finished now or were before, in the plan's order."""
    (before, arrays), steps, abouts = played(), PLAN["frames"]["steps"], []
    columns: dict[str, list[NDArray[Any]]] = {n: [] for n in ("mean", "unit", *PLAYED)}
    for run in (run for run in runs if run.framed):
        if run in finished:
            tensors = load_file(finished[run])
            mean = np.stack([tensors[f"frame {step} mean"].numpy() for step in steps])
            values = np.stack([tensors[f"frame {step} values"].numpy() for step in steps])
            unit = np.abs(mean).max(axis=1) / 127
            row = dict(zip(PLAYED, values.T, strict=True))
            row |= {"mean": np.rint(mean / unit[:, None]).astype(np.int8), "unit": unit}
        elif run.about() in before:
            row = {name: arrays[name][before.index(run.about())] for name in columns}
        else:
            continue
        abouts.append(run.about())
        for name, column in columns.items():
            column.append(row[name])
    stacked = {name: np.stack(column) for name, column in columns.items()}
    stacked["step"] = np.array(steps, dtype=np.int32)
    with replaced(FRAMES) as target:
        target.write_bytes(arrays_as_bytes(stacked, metadata={"runs": json.dumps(abouts)}))


def is_in(table: pd.DataFrame, run: Run) -> bool:
    """Whether the table has a row for this run."""
    if table.empty:
        return False
    about = pd.Series(run.about(), dtype=object)
    rows = table[about.index].astype(object)
    return bool(((rows == about) | (rows.isna() & about.isna())).all(axis=1).any())


def with_kept(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """The rows written before and these, which replace those of the same run or model."""
    before = kept(name)
    settings = {"towers", "model", "seed", "step", "coordinate", *OriginSettings.model_fields}
    same = [column for column in (table if before.empty else before) if column in settings]
    return pd.concat([before, table], ignore_index=True).drop_duplicates(same, keep="last")


def of_speeds(run: Run, noted: Mapping[str, Array]) -> Iterator[dict[str, Any]]:
    """Rank correlations over coordinates, at each step that the plan names."""
    plan = PLAN["mechanism"]
    for step in plan["from"]:
        now = {n.removeprefix(f"{step} "): a for n, a in noted.items() if n.startswith(f"{step} ")}
        size = {side: np.abs(now[f"{side} mean"]) for side in ("image", "text")}
        later = {side: np.abs(noted[f"{step * plan['factor']} {side} mean"]) for side in size}
        row = {"towers": run.towers, "seed": run.seed, "step": step}
        for side, other in (("image", "text"), ("text", "image")):
            pairs = {
                f"{side} root, {other} spread": (now[f"{side} root"], now[f"{other} spread"]),
                f"{side} growth, 1/{side} root": (
                    later[side] - size[side],
                    1 / now[f"{side} root"],
                ),
                f"{side} mean, {other} root": (size[side], now[f"{other} root"]),
                f"{side} mean, {other} spread": (size[side], now[f"{other} spread"]),
            }
            row |= {name: spearmanr(*pair).statistic for name, pair in pairs.items()}
        row["image mean, text mean"] = spearmanr(size["image"], size["text"]).statistic
        row["kurtosis of the mean"] = float(outliers.kurtosis(now["image mean"][None])[0])
        yield row


def of_coordinates(run: Run, noted: Mapping[str, Array]) -> pd.DataFrame:
    """Each coordinate's inverse root, and the growth of the images' mean, at the shown step."""
    plan = PLAN["mechanism"]
    step, last = plan["shown"], max(plan["from"]) * plan["factor"]
    before, after, end = (
        np.abs(noted[f"{at} image mean"]) for at in (step, step * plan["factor"], last)
    )
    return pd.DataFrame(
        {
            "towers": run.towers,
            "seed": run.seed,
            "coordinate": np.arange(len(before)),
            "inverse_root": 1 / noted[f"{step} image root"],
            "text_spread": noted[f"{step} text spread"],
            "mean": before,
            "growth": after - before,
            "last_mean": end,
        }
    )


def of_rotation(run: Run, own: Projections) -> Iterator[dict[str, Any]]:
    """κ of each half of the coordinates, and in the axes in which the optimiser works.

    Of the default runs, whatever axes the optimiser works in; the means' energy in each half too.
    """
    if not run._usual(rotated="none") or run.towers != PLAN["frames"]["towers"]:
        return
    inside = in_style(own.features(locked(run.towers).tested))
    sizes = own.image.shape[0], own.text.shape[0]
    turn = origin.turns(run.settings, sizes, run.seed)[0][1]
    working = inside if turn is None else inside @ turn.numpy()
    half = inside.shape[1] // 2
    energy = basis.at_length_one(inside).mean(axis=0) ** 2
    yield {
        "towers": run.towers,
        "seed": run.seed,
        "rotated": run.settings.rotated,
        "kurtosis": outliers.kurtosis(inside).mean(),
        "kurtosis_first_half": outliers.kurtosis(inside[:, :half]).mean(),
        "kurtosis_second_half": outliers.kurtosis(inside[:, half:]).mean(),
        "kurtosis_working_axes": outliers.kurtosis(working).mean(),
        "energy_first_half": energy[:half].sum() / energy.sum(),
    }


def compare(count: int) -> int:
    """Train some short runs again; 1 if a κ differs from the kept one by more than rounding."""
    kept = pd.read_csv(HERE / "origin.csv")
    runs = [run for run in planned() if run.settings.steps <= 4000]
    worst = 0.0
    for run in runs[:: max(1, len(runs) // count)][:count]:
        own, _ = train(run)
        rows = kept[(kept["towers"] == run.towers) & (kept["seed"] == run.seed)]
        for name, value in run.settings.model_dump().items():
            rows = rows[rows[name].isna() if value is None else rows[name] == value]
        now, before = measured(run, own)["kurtosis"], rows["kurtosis"].item()
        print(f"{run.towers} {run.seed} {run.settings.second_moment}: {now:.4g}, kept {before:.4g}")
        worst = max(worst, abs(now / before - 1))
    print(f"The largest difference of κ is {100 * worst:.2g} %.")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
