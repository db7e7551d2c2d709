"""Train what `plan.yaml` lists under `answers`, and keep a row of each training in `answers.csv`.

    python data/relearn/answers.py                  # all that is not in the table, in its order
    python data/relearn/answers.py --until 11:40    # begin no training after this time
    python data/relearn/answers.py --check 3        # three trainings again, compared with the table

A row is written when its training ends, so a call that was stopped goes on where it was. README.md
says what the columns are.
"""

from __future__ import annotations

import argparse
import itertools
import runpy
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch.nn.functional import normalize

from analysis.base.files import write_text
from analysis.base.roots import ROOT
from analysis.metrics import basis, modalities, outliers
from companion.pocket import answers, origin, relearn
from companion.pocket.answers import AnswerSettings, Side
from companion.pocket.origin import Locked, Projections

HERE = Path(__file__).resolve().parent
MAKE = runpy.run_path(str(HERE / "make.py"))
PLAN = MAKE["PLAN"]["answers"]
TABLES = {"answers": HERE / "answers.csv", "shadows": HERE / "answer_shadows.csv"}
#: What of the settings no group varies, and what is of `companion.pocket.origin` alone.
LEFT_OUT = {
    "second_moment", "width", "memory", "warmup", "gain", "rotated", "layer_norm", "centred",
    "weight_decay", "shadows",
}  # fmt: skip
#: Over how many steps the texts' answer is measured, and how many of the longest columns with it.
EVERY, OTHERS = 25, 100
Training = tuple[str, int, AnswerSettings]


def main() -> int:
    """Parse the command line, do it, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", type=int, default=0, metavar="N", help="train N again")
    parser.add_argument("--until", metavar="HH:MM", help="begin none after this time of today")
    options = parser.parse_args()
    torch.set_num_threads(1)
    done = {name: read(path) for name, path in TABLES.items()}
    finished = done["answers"].index
    if options.check:
        again = [run for run in planned() if key(*run) in finished]
        return compare(again[:: max(1, len(again) // options.check)][: options.check])
    missing = [run for run in planned() if key(*run) not in finished]
    for number, run in enumerate(missing, 1):
        if options.until and time.strftime("%H:%M") >= options.until:
            break
        began = time.process_time()
        row, shadows = trained(*run)
        for name, new in zip(TABLES, ([row], shadows), strict=True):
            table = pd.concat([read(TABLES[name]), pd.DataFrame(new)]) if new else None
            if table is not None:
                text = table.to_csv(index=False, float_format="%.5g")
                write_text(TABLES[name], text)
        spent = time.process_time() - began
        print(f"{number}/{len(missing)} {spent:.0f} s κ {row['kurtosis']:.4g}, "
              f"{row['kurtosis_texts']:.4g} {key(*run)}", flush=True)  # fmt: skip
    return 0


def planned() -> Iterator[Training]:
    """Every training of the plan once, in its order."""
    seen = set()
    for group in PLAN["groups"]:
        for values in itertools.product(*group.get("vary", {}).values()):
            for seed, pairs in itertools.product(
                group["seeds"], group.get("pairs", [PLAN["usual"]])
            ):
                own = PLAN["defaults"].get(pairs, {}) | group.get("set", {})
                own = own | dict(zip(group.get("vary", {}), values, strict=True))
                run = (pairs, seed, AnswerSettings(**own))
                if key(*run) not in seen:
                    seen.add(key(*run))
                    yield run


def key(pairs: str, seed: int, settings: AnswerSettings) -> str:
    """What names a training: pairs, seed, and what is not the default."""
    own = settings.model_dump(exclude_defaults=True, exclude={"shadows"})
    return " ".join([pairs, str(seed), *(f"{name}={value}" for name, value in own.items())])


def read(path: Path) -> pd.DataFrame:
    """A table as it stands, by `key`; empty if there is none."""
    table = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["key"])
    return table.set_index("key", drop=False)


@cache
def inputs(pairs: str) -> Any:
    """Features of one model as pairs, or what the towers of a pocket model give."""
    if pairs not in PLAN["towers"]:
        return MAKE["pairs_of"](pairs)
    tower = PLAN["towers"][pairs]
    return origin.locked(
        ROOT / f"data/pocket/checkpoints/{tower['checkpoint']}.safetensors", tower["styles"]
    )


def begin(pairs: str, seed: int, s: AnswerSettings) -> tuple[Locked, Projections]:
    """Inputs, and the projections from which a training begins."""
    found = inputs(pairs)
    if isinstance(found, Locked):
        return found, origin.drawn(found, s, seed)
    begun = relearn.begin(found, s, seed, s.one_matrix)
    return begun.locked, begun.own


class Damping:
    """How strongly the texts' last steps push back on each column of the mean image.

    Its part of the mean in a step, over the trainings' early part; columns with a short mean are
    too noisy to be compared.
    """

    def __init__(self, last: float) -> None:
        self.last, self.before, self.push, self.energy = last, None, 0.0, 0.0

    def __call__(
        self, step: int, slopes: Any, batch: Any, own: Any, sides: tuple[Side, Side]
    ) -> None:
        if step % EVERY or step > self.last:
            return
        x, y, _ = batch
        now, mean = sides[1].weight, normalize(x @ sides[0].weight, dim=1).mean(0)
        if self.before is not None:
            moved = normalize(y @ now, dim=1) - normalize(y @ self.before, dim=1)
            self.push = self.push + slopes.of_cosines.sum(0) @ moved * mean
            self.energy = self.energy + mean**2
        self.before = now.clone()

    def of(self, column: int) -> dict[str, float]:
        """The damping of one column, and the median of the longest others'."""
        longest = self.energy.argsort(descending=True)[:OTHERS]
        all_of_them = self.push / self.energy
        others = all_of_them[longest[longest != column]].median()
        return {"damping": float(all_of_them[column]), "damping_others": float(others)}


def trained(
    pairs: str, seed: int, s: AnswerSettings
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Train once: its row, and a row for each rule that was only compared."""
    locked, begun = begin(pairs, seed, s)
    damping, means = Damping(answers.EARLY * s.steps), {}

    def watch(step: int, slopes: Any, batch: Any, own: Any, sides: Any) -> None:
        damping(step, slopes, batch, own, sides)
        losses.append(slopes.loss)
        if step in (0, round(answers.EARLY * s.steps)):
            means[step > 0] = [side.abs() for side in answers.means(own, locked)]

    losses: list[torch.Tensor] = []
    own, sides = answers.train(locked, s, seed, begun, watch)
    row: dict[str, Any] = {"key": key(pairs, seed, s), "pairs": pairs, "seed": seed}
    row |= {name: value for name, value in s.model_dump(exclude=LEFT_OUT).items()}
    row["loss"] = float(torch.stack(losses[-(s.steps // 10) :]).mean())
    row["last_scale"] = s.scale or float(
        own.log_scale.detach().exp().clamp(max=origin.LARGEST_SCALE)
    )
    row |= ended(pairs, own, begun, locked)
    row |= {
        f"place{end}": place(means[False][side], row[f"leader{end}"])
        for side, end in enumerate(("", "_texts"))
    }
    of_texts = s.altered == "texts"
    column = answers.chosen(begun, locked, s)
    column = column if isinstance(column, int) else row["leader" if of_texts else "leader_texts"]
    mean = means[False][not of_texts][column], means[True][not of_texts][column]
    row |= {"column": column, "growth": float(torch.log(mean[1] / mean[0]))} | damping.of(column)
    row["column_place"] = place(answers.means(own, locked)[not of_texts].abs(), column)
    for side, leader, end in zip(
        sides, (row["leader_texts"], row["leader"]), ("images", "texts"), strict=True
    ):
        row |= compared(side.ratios.get("own", torch.ones(1)), leader, end)
    about = {"key": row["key"], "seed": seed, "pairs": pairs}
    shadows = [
        about | {"rule": rule} | compared(ratio, row["leader"], "texts")
        for rule, ratio in sides[1].ratios.items()
        if rule != "own"
    ]
    return row, shadows


@torch.no_grad()
def place(mean: torch.Tensor, column: int) -> int:
    """The place of a column among all by its mean (d,): 1 for the longest."""
    return int((mean > mean[column]).sum()) + 1


def compared(ratio: torch.Tensor, leader: int, end: str) -> dict[str, float]:
    """The least ratio of a side's columns, and that where the other side leads, with its rank."""
    own = ratio[leader % len(ratio)]
    found = {"least": ratio.min(), "least_at": ratio.argmin(), "ratio": own}
    found["rank"] = (ratio < own).sum() + 1
    return {f"{name}_{end}": float(value) for name, value in found.items()}


def ended(pairs: str, own: Projections, begun: Projections, locked: Locked) -> dict[str, Any]:
    """What held-out images and their classes' texts are like at the end, and how far it was."""
    images, texts = relearn.features(own, locked)
    found: dict[str, Any] = {}
    for side, end in ((images, ""), (texts, "_texts")):
        leader = modalities.dominant_coordinate(side)
        found |= {
            f"kurtosis{end}": float(outliers.kurtosis(side).mean()),
            f"kurtosis_less_mean{end}": float(outliers.kurtosis(basis.less_mean(side)).mean()),
            f"leader{end}": leader.coordinate,
            f"leader_share{end}": leader.share,
            f"mean_share{end}": basis.mean_share(side),
        }
    for name in ("image", "text"):
        now, then = getattr(own, name).detach(), getattr(begun, name).detach()
        found[f"path_{name}s"] = float((now - then).norm() / then.norm())
    if pairs not in PLAN["towers"]:
        found["accuracy"] = float(relearn.right(images, texts, inputs(pairs).answers).mean())
    return found


def compare(runs: list[Training]) -> int:
    """Train some again; 1 if κ of one is another than the table's."""
    table, differ = read(TABLES["answers"]), 0
    for run in runs:
        now, then = trained(*run)[0]["kurtosis"], table.loc[key(*run), "kurtosis"]
        print(f"{key(*run)}: κ {now:.4g}, kept {then:.4g}", flush=True)
        differ += abs(now / then - 1) > MAKE["TOLERANCE"]
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
